"""Forecasts of careers some steps ahead, by sampling trajectories from any occupation model.

The probability of an occupation k steps ahead is the average of p(y_{T+k} | path) over sampled paths y_{T+1}, ...,
y_{T+k-1}: the conditional probabilities themselves, not how often an occupation was drawn, which has the same mean and
a larger variance (the original program does the same). One step ahead there is nothing to sample and the forecast is
the model's own probability; more steps can be enumerated.

`forecast_years.py` says which steps are taken and with which covariates, `trajectories.py` takes them, and
`forecast_result.py` is what comes out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from transformers.utils import logging

from ..encoding.collating import EncodedCareers
from .result import Forecast, Trajectories
from .shared_prefix import SHARED_PREFIX
from .trajectories import Estimator, SharedPast, TrajectorySampler, WholeHistories
from .years import StepRule, levels_ahead, steps_ahead


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

logger = logging.get_logger(__name__)

# Enumerated paths of one person at most.
MOST_BRANCHES = 100_000


def forecast(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    horizon: int | None = None,
    years: Sequence[int] | None = None,
    step: StepRule = "observation",
    gap_covariate: str | None = None,
    covariates: Any = None,
    carry_forward: bool = True,
    unknown_levels: Literal["error", "missing"] = "error",
    samples: int = 1000,
    estimator: Estimator = "conditional",
    exact_steps: int = 1,
    trajectories: bool = False,
    seed: int = 0,
    batch_tokens: int = 4_000,
) -> Forecast:
    """Probability of every occupation in coming years, given the whole of each career.

    A year on which the model was not trained has no embedding of its own; it uses the latest trained year before it,
    for every such year (Section 5 of the paper), and the result says so.

    Args:
        model: An occupation model.
        careers: Careers to continue; all their steps are conditioned on. `careers.truncate` cuts them at a year.
        processor: The model's processor.
        horizon: Steps ahead of each person's own last year, each of `processor.step_length` years; or else
        years: the years to forecast, the same for everybody.
        step: What a step is where `years` are further apart than `processor.step_length`, or a person's last year is
            further before them: "observation", one step from each observation to the next however many years lie
            between, as in the paper; or "interval", steps of `processor.step_length` years, of which those between
            are sampled too and left out of the result.
        gap_covariate: A covariate that holds the years since the step before, for models that were trained with one;
            its future values follow from the years.
        covariates: Future values of covariates: careers, or a long table with person, year and columns of values.
            Rows up to a person's last year are not used, because the career has those years, and no row is by a
            model without covariates.
        carry_forward: Whether a covariate that changes over time keeps its latest value where no later one is given.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        samples: Trajectories per person.
        estimator: "conditional" averages the model's probabilities over the trajectories, "frequency" counts how often
            an occupation was drawn, which has the same mean and a larger error.
        exact_steps: Steps that are exact, by enumerating all paths to them: 1 costs nothing; 2 asks the model once for
            every occupation, which is cheaper than sampling as many trajectories. With 0 the frequencies of the first
            step are sampled too.
        trajectories: Whether to return the sampled trajectories too.
        seed: Seed of the sampling. A person's draws depend on nobody else who is forecast, nor on `batch_tokens`.
        batch_tokens: Steps that one call of the model reads at most, which bounds memory. A few thousand keep a CPU
            busy; a GPU needs more.

    Returns:
        A `Forecast`, with its Monte-Carlo standard errors.

    Raises:
        ValueError: The processor does not belong to the model; nobody is left to forecast; a forecast year is not
            after a person's last, or lies before every trained one; or a covariate has no value, or one that the model
            does not know. The message names person, column and year.
    """
    if samples < 2 or exact_steps < 0 or batch_tokens < 1:
        raise ValueError(
            f"samples must be at least 2, exact_steps 0 and batch_tokens 1, not {samples}, {exact_steps} and "
            f"{batch_tokens}"
        )
    if estimator not in get_args(Estimator) or step not in get_args(StepRule):
        raise ValueError(
            f"estimator must be one of {get_args(Estimator)} and step of {get_args(StepRule)}, not {estimator!r} and "
            f"{step!r}"
        )
    processor.check(model.config)
    ids = np.setdiff1d(np.arange(len(processor.occupations)), processor.special_token_ids)
    if len(ids) ** max(exact_steps - 1, 0) > MOST_BRANCHES:
        raise ValueError(
            f"{len(ids)} occupations have {len(ids) ** (exact_steps - 1):,} paths to step {exact_steps}, too many to "
            "enumerate; lower exact_steps"
        )
    ahead = steps_ahead(careers, horizon, years, step, processor.step_length)
    encoded = EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])
    levels: np.ndarray | None = None
    placed: dict[int, int] = {}
    carried: dict[str, int] = {}
    if encoded.covariates is not None:
        last = encoded.covariates[encoded.starts + encoded.lengths - 1]
        levels, placed, carried = levels_ahead(
            ahead,
            last,
            careers,
            processor,
            covariates,
            gap_covariate=gap_covariate,
            carry_forward=carry_forward,
            unknown_levels=unknown_levels,
        )
    if placed:
        logger.warning_once(f"years without training steps use the latest trained year: {placed}")

    shape = (len(ahead.people), int(ahead.wanted.sum()) // len(ahead.people))
    probability = np.empty((*shape, len(ids)), dtype=np.float32)
    error = np.empty_like(probability)
    paths = []
    with _reader(model) as read, logging.tqdm(total=shape[0], desc="Forecasting careers", unit="person") as progress:
        for people in _groups(encoded.lengths, ahead.lengths, samples, batch_tokens):
            steps = (ahead.lengths.cumsum() - ahead.lengths)[people, None] + np.arange(ahead.lengths[people[0]])
            past = encoded.gather(people)
            histories = np.c_[past.input_ids.reshape(len(people), -1), past.labels.reshape(len(people), -1)[:, -1]]
            x = None
            if past.covariates is not None and levels is not None:
                earlier = past.covariates.reshape(len(people), -1, levels.shape[1])
                x = _tensor(np.concatenate([earlier, levels[steps]], axis=1), model)
            generators = [np.random.default_rng([seed, zlib.crc32(ahead.people[i].encode())]) for i in people]
            uniforms = np.stack([generator.random((steps.shape[1], samples)) for generator in generators])
            wanted = ahead.wanted[steps[0]]
            sampler = TrajectorySampler(
                read(model, _tensor(histories, model), x),
                torch.from_numpy(uniforms).to(model.device),
                wanted=wanted.tolist(),
                estimator=estimator,
                exact_steps=exact_steps,
                draw_last=trajectories,
                batch_tokens=batch_tokens,
            ).run()
            probability[people] = sampler.probability.cpu().numpy()[:, wanted][..., ids]
            error[people] = sampler.standard_error.cpu().numpy()[:, wanted][..., ids]
            if trajectories:
                drawn = sampler.drawn.cpu().numpy()[..., wanted]
                paths += [
                    (i, *np.unique(own, axis=0, return_counts=True)) for i, own in zip(people, drawn, strict=True)
                ]
            progress.update(len(people))
    return Forecast(
        people=ahead.people,
        years=ahead.year[ahead.wanted].reshape(shape).astype(np.int32),
        occupations=[processor.occupations[i] for i in ids],
        probability=probability,
        standard_error=error,
        trajectories=_distinct(paths, ids) if trajectories else None,
        attrs={
            "samples": samples,
            "seed": seed,
            "estimator": estimator,
            "exact_steps": exact_steps,
            "step": step,
            "step_length": processor.step_length,
            "gap_covariate": gap_covariate,
            "years_placed_at": placed,
            "carried_forward": carried,
        },
    )


@contextmanager
def _reader(model: PreTrainedModel) -> Iterator[type[SharedPast] | type[WholeHistories]]:
    """How to ask a model, which is in eval mode meanwhile, and has its attention exchanged where that is possible."""
    was_training = model.training
    shares = getattr(model, "_supports_attention_backend", False)
    attention = model.config._attn_implementation
    model.eval()
    if shares:
        model.set_attn_implementation(SHARED_PREFIX)
    try:
        with torch.inference_mode():
            yield SharedPast if shares else WholeHistories
    finally:
        if shares:
            model.set_attn_implementation(attention)
        model.train(was_training)


def _groups(lengths: np.ndarray, steps: np.ndarray, samples: int, batch_tokens: int) -> Iterator[np.ndarray]:
    """Places of people whose histories are equally long and who take equally many steps.

    As many at a time as one call can read the histories of, or about as their first moves fill one call: more would
    only wait in memory.
    """
    order = np.lexsort([steps, lengths])
    borders = np.flatnonzero(np.diff(lengths[order]) | np.diff(steps[order])) + 1
    for people in np.split(order, borders):
        size = max(1, batch_tokens // max(int(lengths[people[0]]) + 1, samples // 8))
        yield from np.array_split(people, -(-len(people) // size))


def _tensor(ids: np.ndarray, model: PreTrainedModel) -> torch.Tensor:
    return torch.from_numpy(ids.astype(np.int64)).to(model.device)


def _distinct(paths: list[tuple[int, np.ndarray, np.ndarray]], ids: np.ndarray) -> Trajectories:
    """Trajectories from each person's place, distinct paths of occupation ids and counts."""
    paths = sorted(paths, key=lambda path: path[0])
    return Trajectories(
        person=np.repeat([i for i, _, _ in paths], [len(count) for _, _, count in paths]).astype(np.int32),
        count=np.concatenate([count for _, _, count in paths]).astype(np.int32),
        occupation=np.searchsorted(ids, np.concatenate([path for _, path, _ in paths])).astype(np.int32),
    )
