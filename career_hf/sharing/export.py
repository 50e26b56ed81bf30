"""Scoring outside this package: a model's log-probabilities as a program of `torch.export`, or as an ONNX file.

    log_probabilities[i, t, j] = log p(y_t = j | earlier occupations, covariates up to t)

Inputs are `input_ids` (y_{t-1}, the beginning-of-career id at t = 0) and, where the model has any, `covariates`
(levels of x_t), as `CareerProcessor` makes them, for any number of careers and steps. Careers are padded on the right:
no step sees later steps, so padding does not change earlier outputs, and outputs at padded steps have no meaning. An
ONNX file has its labels in its metadata, so that onnxruntime and a JSON parser are enough to use it.
"""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..encoding.checkpoints import as_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..models.modeling_career import CareerForOccupationPrediction
from ..number_ranges import within_ranges
from ..registration import model_classes


ONNX_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
LOG_PROBABILITIES = "log_probabilities"


class ScoringPath(nn.Module):
    """The part of a model that turns ids into log-probabilities.

    Args:
        model: An occupation model.
        spare_steps: Number of padded steps that are added and removed again, as in `ModelFacts`.
    """

    def __init__(self, model: PreTrainedModel, spare_steps: int = 0):
        super().__init__()
        self.model = model
        self.spare_steps = spare_steps

    def forward(self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        steps, spare = input_ids.shape[1], self.spare_steps
        if spare:
            input_ids = F.pad(input_ids, (0, spare), value=self.model.config.pad_token_id)
            covariates = None if covariates is None else F.pad(covariates, (0, 0, 0, spare))
        return self.model(input_ids=input_ids, covariates=covariates).logits[:, :steps]


def export_program(model: PreTrainedModel) -> ExportedProgram:
    """The scoring path as a program of `torch.export`, in float32 on the CPU; the model itself is not changed.

    `program.module()(input_ids=..., covariates=...)` returns `(batch, time, vocabulary)` log-probabilities. Use
    `torch.export.save` and `torch.export.load` to store the program.

    Args:
        model: A model whose class has no `why_not_exported`: CAREER, a bag of jobs, a regression, job representation,
            Job2Vec or a mixture of Markov chains.

    Raises:
        ValueError: The model cannot be exported; the message says why.
    """
    facts: Any = type(model)
    if facts.why_not_exported is not None:
        exported = ", ".join(other.__name__ for other in model_classes() if other.why_not_exported is None)
        raise ValueError(
            f"a {facts.__name__} cannot be exported: {facts.why_not_exported}. Models that can be: {exported}"
        )
    path = ScoringPath(_exportable_copy(model), facts.spare_steps)
    example = random_careers(model.config, careers=3, steps=5)
    free = {0: Dim("batch", min=1), 1: Dim("time", min=1)}
    with torch.no_grad():
        return torch.export.export(
            path, (), kwargs=example, dynamic_shapes={name: dict(free) for name in example}, strict=False
        )


@within_ranges
def export_onnx(model: Any, path: str | Path) -> float:
    """Writes the scoring path as one ONNX file, runs it with onnxruntime and compares it with the model.

    Needs the extra "onnx". Metadata of the file, all of it JSON: `occupations` (an id is a place in this list),
    `covariate_names`, `covariate_levels` (an id is a place in a list), `special_token_ids`, `pad_token_id`,
    `bos_token_id` and `unknown_occupation`.

    Args:
        model: A folder or Hub id, a pair of model and processor, or what `train` returns, of a class as in
            `export_program`, the regression excepted, whose durations need a running maximum.
        path: Destination file, such as model.onnx.

    Returns:
        The largest difference from the model's log-probabilities, on random careers of several lengths.

    Raises:
        ImportError: A library of the extra is not installed.
        ValueError: The model cannot be exported, or the processor is another model's.
    """
    if missing := [name for name in ONNX_LIBRARIES if find_spec(name) is None]:
        raise ImportError(f"{', '.join(missing)} is not installed: pip install 'career_hf[onnx]'")
    model, processor = as_checkpoint(model)
    processor.check(model.config)
    if model.why_not_onnx is not None:
        raise ValueError(
            f"a {type(model).__name__} cannot be exported to ONNX, {model.why_not_onnx}: use export_program"
        )
    program = export_program(model)
    exported: Any = torch.onnx.export(program, (), output_names=[LOG_PROBABILITIES], dynamo=True, verbose=False)
    for value in (*exported.model.graph.inputs, *exported.model.graph.outputs):
        value.shape = type(value.shape)(["batch", "time", *value.shape[2:]])
    exported.model.metadata_props.update({name: json.dumps(value) for name, value in metadata(processor).items()})
    exported.save(path, external_data=False)
    return largest_difference(model, path)


def metadata(processor: CareerProcessor) -> dict[str, Any]:
    """What a program needs to know about ids to use an exported model."""
    names = ("occupations", "covariate_names", "covariate_levels", "special_token_ids")
    return {name: getattr(processor, name) for name in (*names, "pad_token_id", "bos_token_id", "unknown_occupation")}


def largest_difference(model: PreTrainedModel, path: str | Path) -> float:
    """The largest difference of onnxruntime's log-probabilities from a model's, on random careers of 1 to 24 steps."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    path_in_torch, largest = ScoringPath(_exportable_copy(model)), 0.0
    for steps in (1, 2, 7, 24):
        careers = random_careers(model.config, careers=4, steps=steps, seed=steps)
        with torch.no_grad():
            expected = path_in_torch(**careers).numpy()
        (exported,) = session.run([LOG_PROBABILITIES], {name: ids.numpy() for name, ids in careers.items()})
        largest = max(largest, float(np.abs(exported - expected).max()))
    return largest


def random_careers(config: Any, careers: int, steps: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """`input_ids` and, where the model has any, `covariates` of random careers, all but the first padded."""
    generator = torch.Generator().manual_seed(seed)
    occupations = torch.tensor([i for i in range(config.vocab_size) if i not in config.special_token_ids])
    ids = occupations[torch.randint(len(occupations), (careers, steps), generator=generator)]
    ids[:, 0] = config.bos_token_id
    lengths = torch.randint(1, steps + 1, (careers,), generator=generator)
    lengths[0] = steps
    padded = torch.arange(steps) >= lengths[:, None]
    drawn = {"input_ids": ids.masked_fill(padded, config.pad_token_id)}
    if config.covariate_names:
        levels = [torch.randint(size, (careers, steps), generator=generator) for size in config.covariate_sizes]
        drawn["covariates"] = torch.stack(levels, dim=-1).masked_fill(padded.unsqueeze(-1), 0)
    return drawn


def _exportable_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in float32 on the CPU, in eval mode, with attention that can be exported."""
    duplicate = copy.deepcopy(model).eval().to("cpu", torch.float32)  # type: ignore[call-arg, arg-type]
    if isinstance(duplicate, CareerForOccupationPrediction):
        duplicate.set_attn_implementation("sdpa")
    return duplicate


__all__ = ["export_onnx", "export_program"]
