"""The code of a model card: written for one checkpoint, executed on a made-up career, and shown with its output."""

from __future__ import annotations

import io
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from ..careers.periods import PER_YEAR, period_labels
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import sum_stage
from ..encoding.vocabulary import year_of
from ..models.modeling_wage import CareerForWagePrediction
from ..occupations.labels import NOT_WORKING


# In the code of a card, "." is the folder of the checkpoint.
_OCCUPATIONS = """from transformers import pipeline

import career_hf  # registers the models and the pipelines

checkpoint = "."  # this folder, or its name on the Hub
career = {career}
predict = pipeline("occupation-prediction", model=checkpoint, device="cpu", trust_remote_code=False)
prediction = predict(career, top_k=3)
print(f"{{prediction['{unit}']}}: stays with probability {{prediction['stay_probability']:.3f}}")
for row in prediction["occupations"]:
    print(f"{{row['probability']:.3f}} {{row['occupation']}} {{row['title'] or ''}}".strip())
"""
_WAGES = """from career_hf import CareerForWagePrediction, CareerProcessor

checkpoint = "."  # this folder, or its name on the Hub
career = {career}
model = CareerForWagePrediction.from_pretrained(checkpoint)
processor = CareerProcessor.from_pretrained(checkpoint)
wages = model(**processor(career)).predicted_log_wage[0]
for year, wage in zip(career["{unit}"], wages.tolist()):
    print(f"{{year}}: expected log wage {{wage:.3f}}")
"""


def snippet(folder: str | Path, model: PreTrainedModel, processor: CareerProcessor) -> tuple[str, str]:
    """Code that uses a checkpoint, and the output of executing it.

    Args:
        folder: Folder of the checkpoint, which the code calls ".".
        model, processor: Model and processor of the checkpoint.
    """
    template = _WAGES if isinstance(model, CareerForWagePrediction) else _OCCUPATIONS
    code = template.format(career=_as_code(made_up_career(processor)), unit=processor.time_unit)
    printed = io.StringIO()
    with chdir(folder), redirect_stdout(printed):
        exec(compile(code, "model card", "exec"), {})
    return code, printed.getvalue()


def made_up_career(processor: CareerProcessor) -> dict[str, Any]:
    """A made-up career of three years: frequent occupations, the last trained years, the most frequent levels."""
    stages = processor.training_stages
    counts = sum_stage(stages, None) if stages else (np.ones(len(processor.occupations)), None)
    order = np.argsort(-np.asarray(counts[0]), kind="stable").tolist()
    idle = {*NOT_WORKING, processor.unknown_occupation}
    labels = [processor.occupations[i] for i in order if i not in processor.special_token_ids]
    labels = [label for label in labels if label not in idle] or labels
    unit = processor.time_unit
    years = [2000 * PER_YEAR[unit] + step for step in range(3)]
    career: dict[str, Any] = {
        unit: period_labels(years, unit).tolist(),
        "occupation": [labels[0], labels[0], labels[min(1, len(labels) - 1)]],
    }
    for i, (name, levels) in enumerate(zip(processor.covariate_names, processor.covariate_levels, strict=True)):
        seen = np.asarray(counts[1][i]) if counts[1] is not None else np.ones(len(levels))
        seen_levels = [j for j in range(1, len(levels)) if seen[j] > 0]
        if name == "year":
            years = [year for year in (year_of(levels[j]) for j in seen_levels) if year is not None]
            career[unit] = period_labels(sorted(years)[-3:], unit).tolist()
            career["occupation"] = career["occupation"][-len(career[unit]) :]
        else:
            career[name] = levels[max(seen_levels, key=lambda j: seen[j])] if seen_levels else None
    return career


def _as_code(career: dict[str, Any]) -> str:
    lines = [f"    {as_literal(name)}: {as_literal(value)}," for name, value in career.items()]
    return "\n".join(["{", *lines, "}"])


def as_literal(value: Any) -> str:
    """A value as Python code, with double quotes where possible."""
    code = repr(value)
    return code if '"' in code else code.replace("'", '"')


__all__ = ["made_up_career", "snippet"]
