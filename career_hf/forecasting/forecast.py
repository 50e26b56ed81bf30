"""Forecasts of careers some steps ahead, by sampling trajectories from any occupation model (Section 5).

The probability of an occupation k steps ahead is the average of p(y_{T+k} | path) over sampled paths y_{T+1}, ...,
y_{T+k-1}: the conditional probabilities themselves, not how often an occupation was drawn, which has the same mean and
a larger variance (the original program does the same). One step ahead there is nothing to sample and the forecast is
the model's own probability; the first few steps are enumerated where that asks no more of the model than sampling; and
Markov chains and their mixtures have an exact law at every step (`exact_chains.py`).

Some models, such as converted checkpoints of the original program, keep special ids (padding, the beginning of a
career) in their softmax. The probability that they give to these stays there, as the forecast's `special`, so that one
step ahead a forecast is what `evaluate` scores. But nobody's path goes through an id that is no occupation: paths are
drawn with the probabilities that occupations have among themselves. The original program draws these ids too.

A forecast is conditioned on what a career says up to its end, and on the calendar: which years are asked for, and that
steps lead from each to the next, for everybody alike. Whether, when and in which state a person is observed later is
not known. Covariates keep their last values, or are known ahead if one says so (`covariates`).

`years.py` says which steps are taken and with which covariates, `trajectories.py` takes them, `jackknife.py` says what
sampling does to logs of probabilities, `result.py` holds what comes out, and `report.py` scores it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel
from transformers.utils import logging

from ..careers.frames import as_careers, as_splits, cut, long_table
from ..careers.periods import TIME_UNIT, Period, period_label, period_number, period_numbers, plural, time_unit
from ..encoding.checkpoints import as_ensemble
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import last_year_of
from ..number_ranges import within_ranges
from .exact_chains import has_exact_law, probabilities_ahead
from .pooling import pool
from .result import Forecast, Trajectories
from .shared_prefix import SHARED_PREFIX
from .trajectories import Estimator, SharedPast, TrajectorySampler, WholeHistories
from .years import Covariates, StepRule, StepsAhead, levels_ahead, steps_ahead


logger = logging.get_logger(__name__)

# Paths of one person that are enumerated at most.
MOST_BRANCHES = 100_000
# Steps that one call of the model reads at most, by the type of its device.
BATCH_TOKENS = {"cpu": 4_000, "cuda": 40_000}
# Years after a cutoff that are forecast unless others are asked for.
DEFAULT_YEARS = 3


@within_ranges
def forecast(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    processor: CareerProcessor | None = None,
    *,
    cutoff: Period | None = None,
    years: Sequence[Period] | None = None,
    horizon: int | None = None,
    split: str | None = None,
    step: StepRule | None = None,
    gap_covariate: str | None = None,
    covariates: Any = "last",
    carry_forward: bool = True,
    unknown_levels: Literal["error", "missing"] = "error",
    samples: int = 1000,
    estimator: Estimator = "conditional",
    exact_steps: int | None = None,
    trajectories: bool = False,
    seed: int = 0,
    batch_tokens: int | None = None,
) -> Forecast:
    """Probability of every occupation in coming years, given the whole of each career.

    A year on which the model was not trained has no embedding of its own; it uses the latest trained year before it,
    for every such year (Section 5 of the paper), and the result says so.

    Args:
        model: An occupation model: a folder, a Hub id, a pair (model, processor), what `train` returns, or the model
            itself, with its processor. Or an ensemble: a list of these, or the folder that `train_ensemble` wrote; the
            forecast is then the average of its members' (`pooling.py`), which it keeps.
        careers: Careers to continue: a folder of careers, or careers. All their steps up to the cutoff are conditioned
            on.
        processor: The processor of a model that is given by itself.
        cutoff: The last year, or label of a month or quarter, that may be known; all years without one. What careers
            say about occupations after it is never used, and what they say about covariates only with
            covariates="realised". People without a step up to it are left out.
        years: The years, or labels of months or quarters, to forecast, the same for everybody. With a cutoff they are
            the first three in which somebody is observed after it, unless years or a horizon are given.
        horizon: Instead of years: how many steps to go ahead of each person's own last year, each of
            `processor.step_length` years.
        split: The split of the careers that is forecast; all of them together without one, and a warning says so.
        step: What a step is where `years` are further apart than `processor.step_length`, or a person's last year is
            further before them: "observation", one step from each observation to the next however many years lie
            between, as in the paper; or "interval", steps of `processor.step_length` years, of which those between
            are sampled too and left out of the result. Unless given it is "observation" in years, which surveys
            leave out, and "interval" in months and quarters.
        gap_covariate: A covariate that holds the years since the step before, for models that were trained with one;
            its future values follow from the years.
        covariates: Values of covariates in coming years. With "last" they keep their last values: nothing after a
            person's last year is known. With "realised" they take what careers say of them after the `cutoff`, as in
            the paper ("we include updated values of dynamic covariates like education", Appendix G); such a forecast
            knows who will have left school. Or careers, or a long table with person, year and columns of values, for
            scenarios; rows up to a person's last year are not used, because the career has those years. In all three
            the year, `gap_covariate` and a covariate called `age` follow from the calendar. A model without covariates
            uses no row.
        carry_forward: Whether a covariate that changes over time keeps its latest value where no later one is given.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        samples: Trajectories per person. The members of an ensemble share them out equally.
        estimator: "conditional" averages the model's probabilities over the trajectories, "frequency" counts how often
            an occupation was drawn, which has the same mean and a larger error.
        exact_steps: Steps that are exact, by enumerating all paths to them: 1 costs nothing; 2 asks the model once for
            every occupation. Unless given, these are all steps of a Markov chain or a mixture of them, whose law
            follows without enumeration; as many steps of another model as have no more paths than there are
            trajectories; and with the estimator "frequency" one. With 0 the frequencies of the first step are sampled
            too.
        trajectories: Whether to return the sampled trajectories too.
        seed: Random seed of the sampling. A person's draws depend on nobody else who is forecast, nor on
            `batch_tokens`.
        batch_tokens: Steps that one call of the model reads at most, which bounds memory: 4,000 unless given, which
            keep a CPU busy, and 40,000 on a GPU.

    Returns:
        A `Forecast`, with its Monte-Carlo standard errors, and with what sampling does to logs of its probabilities.

    Raises:
        ValueError: The processor does not belong to the model, the model was trained on years after the cutoff, or it
            predicts no probabilities; nobody is left to forecast; a forecast year is not after a person's last, or
            lies before every trained one; covariates are "realised" and there is no cutoff; or a covariate has no
            value, or one that the model does not know. The message names person, column and year.
    """
    ensemble = as_ensemble(model, processor)
    if len(ensemble) > 1:
        if samples < 2 * len(ensemble):
            raise ValueError(
                f"samples must be at least {2 * len(ensemble)}, two trajectories for each of {len(ensemble)} models, "
                f"and is {samples}"
            )
        options: dict[str, Any] = {"cutoff": cutoff, "years": years, "horizon": horizon, "split": split, "step": step}
        options |= {"gap_covariate": gap_covariate, "covariates": covariates, "carry_forward": carry_forward}
        options |= {"unknown_levels": unknown_levels, "estimator": estimator, "exact_steps": exact_steps}
        options |= {"trajectories": trajectories, "batch_tokens": batch_tokens}
        each = -(-samples // len(ensemble))
        return pool(
            [
                forecast(member, careers, **options, samples=each, seed=_seed_of(number, seed))
                for number, member in enumerate(ensemble)
            ],
            seed,
        )
    ((model, processor),) = ensemble
    processor.check(model.config)
    unit = processor.time_unit
    last_known = None if cutoff is None else period_number(cutoff, unit, "cutoff")
    goals = None if years is None else period_numbers(years, unit, "years")
    if batch_tokens is None:
        batch_tokens = BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])
    if samples < 2:
        raise ValueError(f"samples must be at least 2, because one trajectory has no spread, and is {samples}")
    step = step or ("observation" if processor.time_unit == "year" else "interval")
    if estimator not in get_args(Estimator) or step not in get_args(StepRule):
        raise ValueError(
            f"estimator must be one of {get_args(Estimator)} and step of {get_args(StepRule)}, not {estimator!r} and "
            f"{step!r}"
        )
    known = covariates if isinstance(covariates, str) else "last" if covariates is None else "given"
    if known not in (*get_args(Covariates), "given"):
        raise ValueError(f"covariates must be one of {get_args(Covariates)}, or a table of values, not {covariates!r}")
    if known == "realised" and cutoff is None:
        raise ValueError(
            "covariates='realised' are those of the careers after a cutoff: give cutoff=, or pass careers with the "
            "coming years as covariates="
        )
    if split is None and not isinstance(careers, Dataset) and len(splits := as_splits(careers)) > 1:
        logger.warning_once(
            f"everybody in the splits {list(splits)} is forecast, also people whom the model was trained on: give "
            "split='test' to forecast one split"
        )
    careers = as_careers(careers, split)
    processor.check_unit(time_unit(careers))
    later = None if known == "last" else covariates
    if last_known is not None:
        if (note := check_not_trained_after(processor, last_known)) is not None:
            logger.warning_once(note)
        if goals is None and horizon is None:
            goals = years_after(careers, last_known)
        histories = cut(careers, last_known)[0]
        if known == "realised":
            later = careers.select(np.flatnonzero(np.isin(careers["person"][:], histories["person"][:])))
        careers = histories
    ids = np.setdiff1d(np.arange(len(processor.occupations)), processor.special_token_ids)
    ahead = steps_ahead(careers, horizon, goals, step, processor.step_length)
    is_exact = exact_steps is None and estimator == "conditional" and has_exact_law(model)
    if exact_steps is None:
        exact_steps = _affordable_steps(len(ids), samples, ahead, estimator)
    if len(ids) ** max(exact_steps - 1, 0) > MOST_BRANCHES:
        raise ValueError(
            f"{len(ids)} occupations have {len(ids) ** (exact_steps - 1):,} paths to step {exact_steps}, too many to "
            "enumerate; lower exact_steps"
        )
    encoded = EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])
    levels: np.ndarray | None = None
    placed: dict[int, int] = {}
    carried: dict[str, int] = {}
    advanced: dict[str, int] = {}
    if encoded.covariates is not None:
        last = encoded.covariates[encoded.starts + encoded.lengths - 1]
        levels, placed, carried, advanced = levels_ahead(
            ahead,
            last,
            careers,
            processor,
            later,
            gap_covariate=gap_covariate,
            carry_forward=carry_forward,
            unknown_levels=unknown_levels,
        )
    if placed:
        shown = {period_label(year, unit): period_label(at, unit) for year, at in placed.items()}
        logger.warning_once(
            f"{plural(unit)} without training steps use another trained {unit}: {placed if unit == 'year' else shown}"
        )

    shape = (len(ahead.people), int(ahead.wanted.sum()) // len(ahead.people))
    probability = np.empty((*shape, len(ids)), dtype=np.float32)
    error, log_correction, log_error = (np.zeros_like(probability) for _ in range(3))
    special = np.empty(shape, dtype=np.float32)
    paths = []
    # A pipeline makes many short calls, which show no bar.
    bar = {"total": shape[0], "desc": "Forecasting careers", "unit": "person", "delay": 1}
    with _reader(model) as reader, logging.tqdm(**bar) as progress:
        if is_exact:
            exact = _exact_law(model, encoded, ahead).cpu().numpy().reshape(*shape, -1)
            probability[:], special[:] = exact[..., ids], exact[..., processor.special_token_ids].sum(-1)
        groups = _groups(encoded.lengths, ahead.lengths, samples, batch_tokens)
        for people in groups if trajectories or not is_exact else ():
            steps = (ahead.lengths.cumsum() - ahead.lengths)[people, None] + np.arange(ahead.lengths[people[0]])
            past = encoded.gather(people)
            past_ids = np.c_[past.input_ids.reshape(len(people), -1), past.labels.reshape(len(people), -1)[:, -1]]
            x = None
            if past.covariates is not None and levels is not None:
                earlier = past.covariates.reshape(len(people), -1, levels.shape[1])
                x = _tensor(np.concatenate([earlier, levels[steps]], axis=1), model)
            generators = [np.random.default_rng([seed, zlib.crc32(ahead.people[i].encode())]) for i in people]
            uniforms = np.stack([generator.random((steps.shape[1], samples)) for generator in generators])
            wanted = ahead.wanted[steps[0]]
            sampler = TrajectorySampler(
                reader(model, _tensor(past_ids, model), x),
                torch.from_numpy(uniforms).to(model.device),
                wanted=(wanted & (not is_exact)).tolist(),
                estimator=estimator,
                exact_steps=exact_steps,
                draw_last=trajectories,
                batch_tokens=batch_tokens,
            ).run()
            if not is_exact:
                special[people] = sampler.probability[..., sampler.special].sum(-1).cpu().numpy()[:, wanted]
                for array, found in (
                    (probability, sampler.probability),
                    (error, sampler.standard_error),
                    (log_correction, sampler.log_correction),
                    (log_error, sampler.log_error),
                ):
                    array[people] = found.cpu().numpy()[:, wanted][..., ids]
            if trajectories:
                drawn = sampler.drawn.cpu().numpy()[..., wanted]
                paths += [
                    (i, *np.unique(of_person, axis=0, return_counts=True))
                    for i, of_person in zip(people, drawn, strict=True)
                ]
            progress.update(len(people))
    return Forecast(
        people=ahead.people,
        years=ahead.year[ahead.wanted].reshape(shape).astype(np.int32),
        occupations=[processor.occupations[i] for i in ids],
        probability=probability,
        standard_error=error,
        trajectories=_distinct(paths, ids) if trajectories else None,
        histories=careers,
        log_correction=log_correction,
        log_error=log_error,
        attrs={
            "samples": samples,
            "seed": seed,
            "estimator": estimator,
            "exact_steps": int(ahead.lengths.max()) if is_exact else exact_steps,
            "step": step,
            "step_length": processor.step_length,
            "gap_covariate": gap_covariate,
            "years_placed_at": placed,
            "covariates": known,
            "carried_forward": carried,
            "advanced": advanced,
            "unknown_occupation": processor.unknown_occupation,
            **({} if unit == "year" else {TIME_UNIT: unit}),
        },
        special=special,
    )


def _seed_of(member: int, seed: int) -> int:
    """The seed of a member's trajectories, which are independent of those of the others."""
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def check_not_trained_after(processor: CareerProcessor, cutoff: int) -> str | None:
    """Checks that a model does not know the years that it is to forecast.

    Args:
        processor: The model's processor, which records what the model was trained on.
        cutoff: The last year that may be known.

    Returns:
        A sentence for the reader of a forecast, if it is not known which years the model was trained on, or if a stage
        before the last one saw later years; otherwise None.

    Raises:
        ValueError: The last stage of training saw later years.
    """
    stages = processor.training_stages
    last = [last_year_of(stage) for stage in stages]
    if stages and processor.time_covariate and last[-1] is None:
        # A stage from before last years were recorded, or of a model that was trained by one's own means.
        last[-1] = processor.last_trained_year()
    unit = processor.time_unit
    units, label = plural(unit), period_label(cutoff, unit)
    if not last or last[-1] is None:
        return (
            f"the model does not record which {units} it was trained on, so nothing shows that those after {label} "
            "were not among them, and that this is a forecast"
        )
    if last[-1] > cutoff:
        raise ValueError(
            f"the model was trained on {units} up to {period_label(last[-1], unit)}, so nothing after {label} would "
            f"be a forecast; train with a cutoff of {label}"
        )
    known = [(stage["stage"], year) for stage, year in zip(stages, last, strict=True) if year is not None]
    later = [f"'{name}' up to {period_label(year, unit)}" for name, year in known if year > cutoff]
    return f"earlier stages of training saw {units} after {label}: {', '.join(later)}" if later else None


def years_after(careers: Dataset, cutoff: int) -> list[int]:
    """The first years in which somebody is observed after a cutoff, three of them at most.

    Args:
        careers: Careers, the years after the cutoff included.
        cutoff: The last year that may be known.

    Raises:
        ValueError: Nobody is observed after the cutoff.
    """
    observed = long_table(careers)["year"].unique().to_pylist()
    later = sorted(year for year in observed if year > cutoff)
    if not later:
        unit = time_unit(careers)
        raise ValueError(
            f"nobody is observed after {period_label(cutoff, unit)}; say which {plural(unit)} to forecast"
        )
    return later[:DEFAULT_YEARS]


@contextmanager
def _reader(model: PreTrainedModel) -> Iterator[type[SharedPast] | type[WholeHistories]]:
    """The class that asks a model, which is in eval mode meanwhile, and shares its past where its attention can."""
    # Few modules train, mostly none: setting all of them takes as long as a layer of a small model.
    trains = [module for module in model.modules() if module.training]
    shares = getattr(model, "_supports_attention_backend", False)
    attention = model.config._attn_implementation
    for module in trains:
        module.training = False
    if shares:
        model.set_attn_implementation(SHARED_PREFIX)
    try:
        with torch.inference_mode():
            yield SharedPast if shares else WholeHistories
    finally:
        if shares:
            model.set_attn_implementation(attention)
        for module in trains:
            module.training = True


def _affordable_steps(occupations: int, samples: int, ahead: StepsAhead, estimator: Estimator) -> int:
    """The steps to which there are no more paths than trajectories are drawn; the first one of frequencies."""
    steps = 1
    while estimator == "conditional" and steps < ahead.lengths.max() and occupations**steps <= samples:
        steps += 1
    return steps


def _exact_law(model: PreTrainedModel, encoded: EncodedCareers, ahead: StepsAhead) -> torch.Tensor:
    """Probabilities at all wanted steps, person by person, `(wanted steps, vocabulary)`."""
    past = encoded.gather(np.arange(len(ahead.people)))
    ends = encoded.lengths.cumsum()
    parts = zip(np.split(past.input_ids, ends[:-1]), past.labels[ends - 1], strict=True)
    histories = [_tensor(np.r_[ids, last], model) for ids, last in parts]
    law = probabilities_ahead(model, histories, int(ahead.lengths.max()))
    number = np.arange(len(ahead.year)) - np.repeat(ahead.lengths.cumsum() - ahead.lengths, ahead.lengths)
    return law[ahead.person[ahead.wanted], number[ahead.wanted]]


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
