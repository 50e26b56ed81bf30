"""A simulated labor market whose true probabilities are known: see `docs/explanation/simulated_market.md`."""

from importlib import import_module
from typing import Any

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`


# Public names by the module they live in. They are imported when they are first used, because some of those modules
# need pandas, and `import career_hf`, which registers the true model, must not.
_PUBLIC = {
    "ahead": ["truth_ahead"],
    "miscoding": ["miscode"],
    "model": ["TrueOccupationConfig", "TrueOccupationModel", "world_processor"],
    "oracles": ["expectations", "floors", "martingale_z", "oracle_summary", "scores"],
    "presets": ["PRESETS", "RESUMES", "SCALING", "Preset", "preset"],
    "rationales": ["rationale_sets"],
    "resumes": ["ResumeConfig", "load_resumes", "write_resumes"],
    "saving": ["save_simulation", "write_resume_card"],
    "survey": ["Simulation", "SurveyConfig", "simulate"],
    "thinning": ["Thinned", "ThinnedTruth", "thin", "thinned_truth"],
    "wages": ["WageConfig", "WageLaw", "draw_wages", "type_posteriors", "wage_features", "wage_summary", "wage_truth"],
    "world": ["World", "WorldConfig"],
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
