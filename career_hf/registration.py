"""Makes the models of this package known to Transformers' Auto classes and pipelines, and finds them by name.

Transformers only knows models of other packages after their classes are registered, which imports torch and takes
seconds. `import career_hf` does not: registration waits until Transformers itself is imported, so that preparing and
describing careers load no model. Rooms that need Transformers import it in their `__init__`, before any of their
files, because registration imports the files of several rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import wrapt


# The class of each model, and its names in `train` and `compare`. A new rival has its own file and a line here.
MODELS: dict[str, tuple[str, ...]] = {
    "models.modeling_career.CareerForOccupationPrediction": ("career",),
    "models.modeling_wage.CareerForWagePrediction": (),
    "rivals.markov.MarkovForOccupationPrediction": ("markov-1", "markov-2"),
    "rivals.backoff.BackoffForOccupationPrediction": ("backoff",),
    "rivals.mixture.MixtureOfMarkovChainsForOccupationPrediction": ("mixture",),
    "rivals.regression.RegressionForOccupationPrediction": ("regression",),
    "rivals.bag_of_jobs.BagOfJobsForOccupationPrediction": ("bag-of-jobs",),
    "rivals.nemo.NemoForOccupationPrediction": ("nemo",),
    "rivals.job_vectors.JobRepresentationForOccupationPrediction": ("job-representation",),
    "rivals.job_vectors.Job2VecForOccupationPrediction": ("job2vec",),
    "simulation.model.TrueOccupationModel": (),
}

# Registered classes by name, and all registered classes.
_named: dict[str, Any] = {}
_registered: list[Any] = []


def register_with_transformers() -> None:
    """Registers models, processors and pipelines as soon as Transformers and its pipelines are imported."""
    wrapt.register_post_import_hook(_register_models, "transformers")
    wrapt.register_post_import_hook(_import_pipelines, "transformers.pipelines")


def register(model_class: Any, *names: str) -> None:
    """Registers a model, perhaps of another package, with Transformers and with `train` and `compare`.

    Args:
        model_class: Class of the model; its `config_class` needs its own `model_type`.
        names: Names of the model for `train` and `compare`.
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCausalLM, AutoProcessor

    config, processor = model_class.config_class, _load("encoding.processing_career.CareerProcessor")
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModelForCausalLM.register(config, model_class, exist_ok=True)
    AutoFeatureExtractor.register(config, processor, exist_ok=True)
    AutoProcessor.register(config, processor, exist_ok=True)
    _named.update(dict.fromkeys(names, model_class))
    if model_class not in _registered:
        _registered.append(model_class)


def model_names() -> list[str]:
    """Names of the models that `train` and `compare` know; no model is loaded."""
    return list(dict.fromkeys([*(name for names in MODELS.values() for name in names), *_named]))


def model_classes() -> list[Any]:
    """Classes of all registered models; Transformers must be imported before."""
    return list(_registered)


def model_named(name: str) -> tuple[Any, Mapping[str, Any]]:
    """The class for a name, and the settings that the name implies, such as the order of a chain.

    Raises:
        ValueError: There is no model with this name; the message lists the names.
    """
    if name not in model_names():
        raise ValueError(f"there is no model '{name}'; models are {', '.join(model_names())}")
    import transformers  # noqa: F401  # registers the models

    return _named[name], _named[name].named_fields.get(name, {})


def _register_models(transformers: Any) -> None:
    for place, names in MODELS.items():
        register(_load(place), *names)
    from transformers import AutoModel

    career = _load("models.modeling_career.CareerModel")
    AutoModel.register(career.config_class, career, exist_ok=True)


def _import_pipelines(pipelines: Any) -> None:
    # The file itself registers its pipelines, because its import may be what imports Transformers' pipelines first.
    import_module(f"{__package__}.pipelines")


def _load(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), name)
