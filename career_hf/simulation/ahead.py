"""True probabilities some waves ahead: exact by enumeration where possible, else sampled from the true law.

Future education is not known, so it is averaged over; `forecasting.forecast` with the true model instead takes
covariates as given. The two agree for people who are not in school.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from datasets import Dataset

from ..careers.frames import to_frame
from ..number_ranges import within_ranges
from ..occupations.labels import EDUCATION
from .filtering import Filter
from .model import SPECIAL, TrueOccupationModel, world_processor
from .survey import draw_rows


# Most paths of one person that are enumerated: with 330 occupations enough for two waves, but not for three.
MOST_BRANCHES = 20_000


@within_ranges
def truth_ahead(
    model: TrueOccupationModel,
    careers: Dataset,
    *,
    horizon: int,
    gap: int = 1,
    paths: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Computes the true probability of every state in each of the next waves, given each whole career.

    Args:
        model: The true model.
        careers: Careers to continue, of the same world.
        horizon: Number of waves ahead.
        gap: Number of years between waves.
        paths: Number of sampled paths per person; None to enumerate all paths, which is exact.
        seed: Random seed for sampling paths.

    Returns:
        The columns of `Forecast.to_frame`: person, year, occupation, probability and standard_error, which is 0
        where the probability is exact.

    Raises:
        ValueError: If there are too many paths to enumerate (pass `paths`), or the model knows types, which careers do
            not hold.
    """
    if model.config.knowledge == "type" or horizon < 1 or (paths is not None and paths < 2):
        raise ValueError(
            f"horizon must be at least 1, paths at least 2, and the model's knowledge 'history' or 'nothing'; not "
            f"{horizon}, {paths} and {model.config.knowledge!r}"
        )
    states = len(model.law.world.labels)
    if paths is None and states ** (horizon - 1) > MOST_BRANCHES:
        raise ValueError(
            f"{states} states have {states ** (horizon - 1):,} paths to wave {horizon}, too many to enumerate: pass "
            "paths=10_000 to sample, or a shorter horizon"
        )
    processor = world_processor(model.law.world)
    encoded, _ = processor.encode(careers)
    rng = np.random.default_rng(seed)
    results = []
    for career in encoded.with_format("numpy"):
        filter_ = _filter_after(model, career["labels"], np.asarray(career["covariates"]))
        results.append(_probabilities_ahead(filter_, horizon, gap, paths, rng))
    long = to_frame(careers)
    last_year = long.groupby("person", sort=False)["year"].last()
    return pd.DataFrame(
        {
            "person": np.repeat(last_year.index.to_numpy(), horizon * states),
            "year": np.repeat(last_year.to_numpy()[:, None] + gap * np.arange(1, horizon + 1), states),
            "occupation": pd.Categorical.from_codes(
                np.tile(np.arange(states), len(last_year) * horizon), model.law.world.labels
            ),
            "probability": np.concatenate([p.ravel() for p, _ in results]),
            "standard_error": np.concatenate([error.ravel() for _, error in results]),
        }
    )


def _filter_after(model: TrueOccupationModel, labels: np.ndarray, levels: np.ndarray) -> Filter:
    """The filter of one person after the last wave."""
    names = list(model.config.covariate_names or [])
    years = model.law.world.config.first_year + levels[:, names.index("year")] - 1
    education = levels[:, names.index("education")] - 1
    filter_ = model.start(levels[:1])
    for t in range(len(labels)):
        filter_.observe_covariates(years[[t]], education[[t]])
        filter_.observe_occupation(labels[[t]] - len(SPECIAL))
    return filter_


def _probabilities_ahead(
    filter_: Filter, horizon: int, gap: int, paths: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and their standard errors, `(horizon, states)`."""
    share = np.ones(1)
    if paths is not None:
        filter_, share = filter_.take(np.zeros(paths, dtype=np.int64)), np.full(paths, 1 / paths)
    probabilities, errors = [], []
    for wave in range(horizon):
        year = filter_.history.year + gap
        rises = (filter_.weights * filter_.law.completes_level(filter_.history, year)).sum(axis=1)
        if paths is None:
            # Each path continues with the present level, and also with the next one where that is possible.
            rising = np.flatnonzero(rises > 0)
            rows = np.r_[np.arange(len(rises)), rising]
            rose = np.arange(len(rows)) >= len(rises)
            share = share[rows] * np.where(rose, rises[rows], 1 - rises[rows])
            filter_ = filter_.take(rows)
        else:
            rose = rng.random(paths) < rises
        level = np.minimum(filter_.history.education + rose, len(EDUCATION) - 1)
        filter_.observe_covariates(filter_.history.year + gap, level)
        p = filter_.probabilities()
        mean = share @ p
        probabilities.append(mean)
        spread = np.sqrt(share @ (p - mean) ** 2 / (paths - 1)) if paths else np.zeros_like(mean)
        errors.append(spread)
        if wave + 1 == horizon:
            break
        if paths is None:
            rows, state = p.nonzero()
            share, filter_ = share[rows] * p[rows, state], filter_.take(rows)
        else:
            state = draw_rows(p, rng)
        filter_.observe_occupation(state)
    return np.stack(probabilities), np.stack(errors)
