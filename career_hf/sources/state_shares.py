"""Shares of people in each state and of people who stay, by year, which every build of a survey notes in its ledger.

A share that jumps may reflect a change of the survey, which no model can foresee, and not of the labor market.
"""

from __future__ import annotations

import datasets
import pandas as pd

from ..careers.frames import to_frame
from ..careers.ledger import Ledger
from ..occupations.labels import NOT_WORKING


SHARE_JUMP = 0.05
# The share of stayers also changes with the labor market and with age, by up to .06 a year in the NLSY79.
STAY_JUMP = 0.1


def note_state_shares(careers: datasets.Dataset, ledger: Ledger) -> None:
    """Notes warnings about shares that jump, then the shares of people in each state and of stayers, by year."""
    shares, stays = state_shares(careers), stay_shares(careers)
    for warning in [*share_jumps(shares), *share_jumps(stays, STAY_JUMP)]:
        ledger.note(warning)
    for title, by_year in (
        ("state shares by year, in percent of the people observed", shares),
        ("shares of people who stay, in percent of those observed in the round before too", stays),
    ):
        if len(by_year):  # nobody stays in a single round
            table = (100 * by_year.drop(columns="people")).round(1).assign(people=by_year["people"])
            ledger.note(f"{title}:\n{table.to_string(na_rep='')}")


def state_shares(careers: datasets.Dataset) -> pd.DataFrame:
    """Computes the share of people in each state, by year.

    Returns:
        One row per year; columns `employed` (any occupation), one per state without employment, and `people`, the
        number of people.
    """
    frame = to_frame(careers, "pandas")
    state = frame["occupation"].where(frame["occupation"].isin(NOT_WORKING), "employed")
    counts = pd.crosstab(frame["year"], state)
    order = [name for name in ("employed", *NOT_WORKING) if name in counts.columns]
    people = counts.sum(axis=1)
    shares = counts[order].div(people, axis=0).assign(people=people)
    return shares.rename_axis(columns=None)


def stay_shares(careers: datasets.Dataset) -> pd.DataFrame:
    """Computes the share of people in the occupation or state of the round before, among people observed in both.

    Returns:
        One row per year but the first; a column for each distance of rounds, such as `same occupation 1 year before`,
        which is null where rounds are at another distance; and `people`, the number of people.
    """
    frame = to_frame(careers, "pandas")[["person", "year", "occupation"]]
    years = sorted(frame["year"].unique())
    before = dict(zip(years[:-1], years[1:], strict=True))
    earlier = frame.assign(year=frame["year"].map(before)).dropna()
    pairs = frame.merge(earlier, on=["person", "year"], suffixes=("", "_before"))
    stays = (pairs["occupation"] == pairs["occupation_before"]).groupby(pairs["year"]).agg(["mean", "size"])
    distance = pd.Series({after: after - first for first, after in before.items()})
    shares = pd.DataFrame(index=stays.index)
    for years_before in sorted(set(distance[stays.index])):
        column = f"same occupation {years_before} year{'s' * (years_before > 1)} before"
        shares[column] = stays["mean"].where(distance == years_before)
    return shares.assign(people=stays["size"])


def share_jumps(shares: pd.DataFrame, threshold: float = SHARE_JUMP) -> list[str]:
    """Writes warnings about shares that change by more than `threshold` between adjacent rounds.

    Args:
        shares: What `state_shares` or `stay_shares` returns.
        threshold: Largest change, as a share, without a warning.
    """
    warnings = []
    for state in shares.columns.drop("people"):
        for before, after in zip(shares.index[:-1], shares.index[1:], strict=True):
            first, second = shares.loc[before, state], shares.loc[after, state]
            if abs(second - first) > threshold:
                warnings.append(
                    f"warning: share of '{state}' goes from {first:.1%} in {before} to {second:.1%} in {after}, "
                    f"more than {threshold:.0%} between rounds"
                )
    return warnings
