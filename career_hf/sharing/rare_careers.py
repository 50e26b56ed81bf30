"""Rare careers: k-anonymity of training careers, and of the counts that a checkpoint stores.

A model of a career that only one person had can disclose that person, and a stored count of 1 can too. A cell is an
occupation, a level of a covariate, an occupation with a level, a move, or the beginning of a career; it is rare if
fewer than k people are in it (Sweeney, 2002). The report counts cells and people. It is a measure, not a guarantee: k
people may share a private fact (Machanavajjhala et al., 2007), and somebody who knows more about a person needs less
of a career to recognise it. Counts of moves, which `from_moves` makes, are no people: they were published already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..careers.columns import career_table
from ..careers.frames import to_frame
from ..careers.splits import COUNTS
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import count_stage, same_counts


K = 5
PREFIXES = (1, 2, 3, 5, 10)


def rare_careers(careers: Dataset, covariates: Sequence[str] = (), k: int = K) -> pd.DataFrame:
    """Counts cells of careers with fewer than k people.

    Args:
        careers: Careers that a model was trained on; those that are counts of moves are left out.
        covariates: Columns of the careers, or "year".
        k: Smallest number of people in a cell that is not rare.

    Returns:
        One row per kind of cell (the index): cells; rare cells; unique cells, with one person; people, those in any
            cell
        of the kind; people in a rare cell; and share, of these people. The kinds are the occupation, the move (from
        one year's occupation to another in the next year), the first 1, 2, 3, 5 and 10 occupations in order, the whole
        career (occupations in order), each covariate's level, and the occupation with the level.

    Raises:
        ValueError: A covariate is not a column, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}, but must be a number of people, 1 or more")
    long = to_frame(careers)
    long = long[~long["person"].str.startswith(COUNTS)]
    absent = [name for name in covariates if name not in long.columns]
    if absent:
        raise ValueError(f"the careers have no column '{absent[0]}', only {list(long.columns)}")
    person, occupation = pd.factorize(long["person"])[0], pd.factorize(long["occupation"])[0]
    moves = (person[1:] == person[:-1]) & (occupation[1:] != occupation[:-1])
    paths = np.split(occupation, np.flatnonzero(np.diff(person)) + 1) if len(long) else []
    kinds = {
        "occupation": _cells(person, occupation),
        "move": _cells(person[1:][moves], occupation[:-1][moves], occupation[1:][moves]),
    }
    for n in PREFIXES:
        kinds[f"first {n} occupation{'s' if n > 1 else ''}"] = _paths((p[:n] for p in paths), at_least=n)
    kinds["whole career"] = _paths(paths)
    for name in covariates:
        level = pd.factorize(long[name].astype(object))[0]
        present = level >= 0
        kinds[f"{name} level"] = _cells(person[present], level[present])
        kinds[f"{name} and occupation"] = _cells(person[present], occupation[present], level[present])
    rows = {kind: _cell_counts(in_cell, person, k) for kind, (in_cell, person) in kinds.items()}
    result = pd.DataFrame.from_dict(rows, orient="index")
    result.attrs = {"k": k, "people": len(paths)}
    return result


def small_counts(processor: CareerProcessor, k: int = K, rare: pd.DataFrame | None = None) -> pd.DataFrame:
    """Small counts in the training history of a checkpoint's processor.

    Args:
        processor: The processor of the checkpoint.
        k: As in `rare_careers`. Counts are of person-years: a count below k has fewer than k people, and a larger one
            may have too.
        rare: `rare_careers` of the training careers of the last stage, by the processor's covariates, to count people;
            None without these careers.

    Returns:
        One row per stage and vocabulary (the index): labels that occur; labels with a count below k; and, for the last
        stage with `rare`, labels of fewer than k people.
    """
    rows: dict[str, dict[str, Any]] = {}
    for number, stage in enumerate(processor.training_stages):
        counts = [stage["occupation_counts"], *stage["covariate_counts"]]
        for name, count in zip(["occupation", *processor.covariate_names], map(np.asarray, counts), strict=True):
            row = {"labels": int((count > 0).sum()), f"counts below {k}": int(((count > 0) & (count < k)).sum())}
            rows[f"{number + 1} {stage['stage']}: {name}"] = row
            if rare is not None and number == len(processor.training_stages) - 1:
                kind = "occupation" if name == "occupation" else f"{name} level"
                row[f"of fewer than {k} people"] = int(rare.loc[kind, "rare cells"])
    return pd.DataFrame.from_dict(rows, orient="index")


def are_recorded(careers: Dataset, processor: CareerProcessor) -> bool:
    """Whether careers have the counts of one of the processor's training stages."""
    encoded, _ = processor.encode(careers, unknown_levels="missing")
    sizes = [len(processor.occupations), *map(len, processor.covariate_levels)]
    these = count_stage(career_table(encoded), "these", sizes)
    return any(same_counts(stage, these) for stage in processor.training_stages)


def _cells(person: np.ndarray, *codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every distinct (person, cell), the number of people in the cell, and the person."""
    names = [str(i) for i in range(len(codes))]
    pairs = pd.DataFrame(dict(zip(names, codes, strict=True))).assign(person=person).drop_duplicates()
    people = pairs.groupby(names)["person"].transform("size")
    return people.to_numpy(), pairs["person"].to_numpy()


def _paths(paths: Iterable[np.ndarray], at_least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Like `_cells`, where a cell is the path of a person, who has at most one."""
    cells: list[Hashable] = [path.tobytes() for path in paths if len(path) >= at_least]
    people = Counter(cells)
    return np.array([people[cell] for cell in cells], dtype=np.int64), np.arange(len(cells))


def _cell_counts(in_cell: np.ndarray, person: np.ndarray, k: int) -> dict[str, Any]:
    people = len(np.unique(person))
    rare = len(np.unique(person[in_cell < k]))
    # Every cell occurs once for each of its people.
    return {
        "cells": round(float((1 / in_cell).sum())),
        "rare cells": round(float((1 / in_cell[in_cell < k]).sum())),
        "unique cells": int((in_cell == 1).sum()),
        "people": people,
        "people in a rare cell": rare,
        "share": rare / people if people else 0.0,
    }


__all__ = ["K", "are_recorded", "rare_careers", "small_counts"]
