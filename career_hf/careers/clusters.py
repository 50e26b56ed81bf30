"""The one rule of clusters: whose rows are dependent, for intervals, standard errors and folds alike.

Surveys draw places and households, and then everybody in them. The cluster of a row is the primary sampling unit where
careers have one, otherwise the family or household, otherwise the person. Whoever resamples, folds or sums influences
by these clusters allows for all that people share in them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


# With fewer clusters or people than this, spread cannot be estimated: no interval and no standard error.
FEWEST = 10
DESIGN = ("stratum", "psu", "group")
NAMES = {"psu": "PSU", "group": "household", "person": "person"}


def cluster_column(columns: Iterable[str]) -> str:
    """The column that tells clusters apart: "psu" where there is one, otherwise "group", otherwise "person".

    Args:
        columns: Names of the columns of careers, or of a long table made from them.
    """
    present = set(columns)
    return next((name for name in ("psu", "group") if name in present), "person")


def cluster_name(columns: Iterable[str]) -> str:
    """What a cluster is, for people to read: "PSU", "household" or "person". Arguments as in `cluster_column`."""
    return NAMES[cluster_column(columns)]


def clusters(table: pd.DataFrame) -> np.ndarray:
    """The cluster of each row, as numbers 0, 1, ... in the order of their first rows.

    Args:
        table: One row per person-year or per person, with a column `person` and perhaps `psu`, `stratum` and `group`.
            Labels of PSUs may start again in every stratum.

    Returns:
        int64 `(rows,)`.

    Raises:
        ValueError: A row has no cluster, or a household or a person is in two PSUs or households, so that rows of
            different clusters would be dependent.
    """
    column = cluster_column(table.columns)
    missing = table[column].isna().to_numpy()
    if missing.any():
        person = table["person"].iloc[int(missing.argmax())]
        raise ValueError(f"person '{person}', column '{column}': the value is missing; give everybody one")
    codes = pd.factorize(table[column])[0].astype(np.int64)
    if column == "psu" and "stratum" in table:
        stratum = pd.factorize(table["stratum"], use_na_sentinel=False)[0]
        codes = pd.factorize(stratum * (codes.max(initial=0) + 1) + codes)[0].astype(np.int64)
    for inner in ("group", "person"):
        if inner not in table or inner == column:
            continue
        unit, names = pd.factorize(table[inner], use_na_sentinel=False)
        # The cluster of each unit's first row; its other rows have to be in the same.
        first = np.zeros(len(names), dtype=np.int64)
        first[unit[::-1]] = codes[::-1]
        torn = first[unit] != codes
        if torn.any():
            raise ValueError(
                f"column '{column}': {NAMES[inner]} '{names[unit[torn.argmax()]]}' is in two of its units; "
                f"give each {NAMES[inner]} one value, or remove the column"
            )
    return codes


__all__ = ["DESIGN", "FEWEST", "cluster_column", "cluster_name", "clusters"]
