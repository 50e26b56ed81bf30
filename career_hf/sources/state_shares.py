"""Who is in which state, by year: what every build of a survey notes in its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..careers import to_frame
from ..describing import NOT_WORKING


if TYPE_CHECKING:
    import datasets

    from ..ledger import Ledger

SHARE_JUMP = 0.05


def note_state_shares(careers: datasets.Dataset, ledger: Ledger) -> None:
    """Notes the share of people in each state by year, after a warning for every share that jumps."""
    shares = state_shares(careers)
    for warning in share_jumps(shares):
        ledger.note(warning)
    table = (100 * shares.drop(columns="people")).round(1).assign(people=shares["people"])
    ledger.note(f"state shares by year, in percent of the people observed:\n{table.to_string()}")


def state_shares(careers: datasets.Dataset) -> pd.DataFrame:
    """Share of people in each state, by year.

    Returns:
        One row per year; columns `employed` (any occupation), one per state without employment, and `people`, their
        number.
    """
    frame = to_frame(careers, "pandas")
    state = frame["occupation"].where(frame["occupation"].isin(NOT_WORKING), "employed")
    counts = pd.crosstab(frame["year"], state)
    order = [name for name in ("employed", *NOT_WORKING) if name in counts.columns]
    people = counts.sum(axis=1)
    shares = counts[order].div(people, axis=0).assign(people=people)
    return shares.rename_axis(columns=None)


def share_jumps(shares: pd.DataFrame, threshold: float = SHARE_JUMP) -> list[str]:
    """Warnings for states whose share changes by more than `threshold` between adjacent rounds of `state_shares`."""
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
