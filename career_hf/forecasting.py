"""Forecasts of careers some steps ahead, by sampling trajectories from any occupation model.

The probability of an occupation k steps ahead is the average of p(y_{T+k} | path) over sampled paths y_{T+1}, ...,
y_{T+k-1}: the conditional probabilities themselves, not how often an occupation was drawn, which has the same mean and
a smaller variance (the original program does the same). One step ahead there is nothing to sample and the forecast is
the model's own probability.

Paths that agree so far are one row with a count, and a row's draws are one multinomial: the same distribution as
drawing every path by itself, at a fraction of the work.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from transformers.utils import logging

from .career_columns import LongTable, career_table, list_values
from .collating import EncodedCareers


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from .processing_career import CareerProcessor

logger = logging.get_logger(__name__)


def forecast(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    horizon: int,
    samples: int = 1000,
    seed: int = 0,
    covariates: Any = None,
    batch_tokens: int = 16_000,
) -> pd.DataFrame:
    """Probability of every occupation in each of the next years, given the whole of each career.

    A step ahead is `processor.step_length` years. A year on which the model was not trained has no embedding of its
    own; it uses the latest trained year before it, for every such year (Section 5 of the paper), and the result says
    so. Other covariates keep their last value unless `covariates` gives later ones.

    Args:
        model: An occupation model.
        careers: Careers to continue; all their steps are conditioned on.
        processor: The model's processor.
        horizon: Steps ahead.
        samples: Trajectories per person.
        seed: Seed of the sampling. A person's forecast does not depend on who else is forecast.
        covariates: Long table with person, year and future values of covariates, for models that have them. A value
            holds from its year on until a later one is given.
        batch_tokens: Steps per forward call, which bounds memory.

    Returns:
        person, year, occupation, probability and standard_error (Monte-Carlo; 0 one step ahead), one row per person,
        future year and occupation. `attrs["years_placed_at"]` maps each year without training to the trained year it
        uses.

    Raises:
        ValueError: The processor does not belong to the model, `covariates` names a person who is not in the careers,
            repeats a person and year or has an unknown value, or a year lies before every trained one.
    """
    if horizon < 1 or samples < 2:
        raise ValueError(f"horizon must be at least 1 and samples at least 2, not {horizon} and {samples}")
    processor.check(model.config)
    encoded = EncodedCareers(processor.encode(careers)[0])
    table = career_table(careers)
    people = table["person"].to_pylist()
    ends = encoded.lengths.cumsum() - 1
    last_year = list_values(table, "year").to_numpy()[ends].astype(np.int64)
    years = last_year[:, None] + processor.step_length * np.arange(1, horizon + 1)
    levels, placed = _future_levels(encoded, people, years, processor, covariates)
    if placed:
        logger.warning(f"years without training steps use the latest trained year: {placed}")

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            results = [
                _forecast_person(
                    model,
                    np.r_[encoded[i]["input_ids"], encoded[i]["labels"][-1]].astype(np.int64),
                    None if levels is None else np.concatenate([encoded[i]["covariates"], levels[i]]).astype(np.int64),
                    horizon,
                    samples,
                    np.random.default_rng([seed, zlib.crc32(person.encode())]),
                    batch_tokens,
                )
                for i, person in enumerate(logging.tqdm(people, desc="Forecasting careers", unit="person"))
            ]
    finally:
        model.train(was_training)

    ids = np.setdiff1d(np.arange(len(processor.occupations)), processor.special_token_ids)
    probability, error = np.stack(results, axis=1)[..., ids]
    labels = [processor.occupations[i] for i in ids]
    rows = len(people) * horizon
    frame = pd.DataFrame(
        {
            "person": pd.Categorical.from_codes(np.repeat(np.arange(len(people)), horizon * len(ids)), people),
            "year": np.repeat(years.ravel(), len(ids)).astype(np.int32),
            "occupation": pd.Categorical.from_codes(np.tile(np.arange(len(ids)), rows), labels),
            "probability": probability.ravel(),
            "standard_error": error.ravel(),
        }
    )
    frame.attrs["years_placed_at"] = placed
    return frame


def _forecast_person(
    model: PreTrainedModel,
    history: np.ndarray,
    levels: np.ndarray | None,
    horizon: int,
    samples: int,
    rng: np.random.Generator,
    batch_tokens: int,
) -> np.ndarray:
    """Probabilities and their standard errors, `(2, horizon, vocabulary)`.

    Args:
        history: `(time,)`, beginning-of-career id and all occupations so far.
        levels: `(time + horizon - 1, covariates)`, x_1 to the last step of the horizon.
    """
    paths, count = history[None], np.array([samples])
    steps = []
    for step in range(horizon):
        p = _next_probabilities(model, paths, levels, batch_tokens)
        share = count / samples
        mean = share @ p
        # Squares around the mean rather than a difference of two sums: exactly zero where there is one path.
        error = np.sqrt(share @ (p - mean) ** 2 / (samples - 1))
        steps.append([mean, error])
        if step + 1 < horizon:
            children = rng.multinomial(count, p)
            parent, occupation = children.nonzero()
            paths, count = np.c_[paths[parent], occupation], children[parent, occupation]
    return np.stack(steps, axis=1)


def _next_probabilities(
    model: PreTrainedModel, paths: np.ndarray, levels: np.ndarray | None, batch_tokens: int
) -> np.ndarray:
    """p(y | path) for each of `(paths, time)`, `(paths, vocabulary)` in float64, rows summing to one."""
    length = paths.shape[1]
    x = None if levels is None else torch.from_numpy(levels[:length]).to(model.device)
    chunks = []
    for chunk in torch.from_numpy(paths).to(model.device).split(max(1, batch_tokens // length)):
        covariates = None if x is None else x.expand(len(chunk), -1, -1)
        chunks.append(model(input_ids=chunk, covariates=covariates).logits[:, -1].double().softmax(-1).cpu().numpy())
    return np.concatenate(chunks)


def _future_levels(
    encoded: EncodedCareers, people: list[str], years: np.ndarray, processor: CareerProcessor, covariates: Any
) -> tuple[np.ndarray | None, dict[int, int]]:
    """Covariate ids of the steps ahead, `(people, horizon, covariates)`, and where untrained years were placed."""
    given = None if covariates is None else _given_values(covariates, people, years, processor)
    if encoded.covariates is None:
        return None, {}
    last = encoded.covariates[encoded.starts + encoded.lengths - 1]
    levels = np.repeat(last[:, None], years.shape[1], axis=1)
    placed: dict[int, int] = {}
    for c, name in enumerate(processor.covariate_names):
        if name == processor.time_covariate:
            trained = _trained_years(processor, c)
            place = np.searchsorted(trained, years, side="right") - 1
            if (place < 0).any():
                raise ValueError(
                    f"year {years[place < 0][0]} lies before {trained[0]}, the first year that was trained on, and "
                    "cannot be placed; forecast careers that end later"
                )
            pairs = np.unique(np.stack([years, trained[place]], axis=-1).reshape(-1, 2), axis=0)
            placed = {int(year): int(at) for year, at in pairs if year != at}
            ids = processor.level_ids(name, trained.astype(str).tolist())
            levels[..., c] = ids[place]
        elif given is not None and name in given:
            known = given[name].notna().to_numpy().reshape(years.shape)
            levels[known, c] = processor.level_ids(name, given[name].dropna().tolist())
    return levels, placed


def _trained_years(processor: CareerProcessor, covariate: int) -> np.ndarray:
    """Years that the last training stage trained on, sorted; all known years where no stage was recorded."""
    labels = processor.covariate_levels[covariate]
    counts = processor.trained_counts()[1][covariate] if processor.training_stages else np.ones(len(labels))
    return np.sort([int(label) for label, count in zip(labels[1:], counts[1:], strict=True) if count > 0])


def _given_values(covariates: Any, people: list[str], years: np.ndarray, processor: CareerProcessor) -> pd.DataFrame:
    """For each person and future year the latest value given at or before it, null where there is none."""
    names = [name for name in processor.covariate_names if name != processor.time_covariate and name in covariates]
    table = LongTable(covariates, "person", ["year", *names])
    rows = pd.DataFrame({"person": table.people.to_pylist(), "year": table.years("year")})
    strangers = rows.index[~rows["person"].isin(people)]
    if len(strangers):
        raise ValueError(
            f"covariates, row {strangers[0]}: person '{rows['person'][strangers[0]]}' is not in the careers; drop the "
            "row or add the career"
        )
    twice = rows.index[rows.duplicated()]
    if len(twice):
        person, year = rows.loc[twice[0]]
        raise ValueError(f"covariates, row {twice[0]}: person '{person}' has year {year} twice; keep one row")
    horizon = pd.DataFrame({"person": np.repeat(people, years.shape[1]), "year": years.ravel()})
    values = pd.DataFrame(index=horizon.index)
    for name in names:
        given = rows.assign(value=table.labels(name).to_pylist()).dropna(subset="value").sort_values("year")
        wanted = horizon.rename_axis("row").reset_index().sort_values("year")
        values[name] = pd.merge_asof(wanted, given, on="year", by="person").set_index("row")["value"]
    return values
