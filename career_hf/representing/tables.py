"""Tables of representations for regressions elsewhere: h beside the columns of careers, to Stata, R or a frame.

h of a model comes as it is (h0, h1, ...), as principal components (pc0, pc1, ...), or as one number for an outcome:
its prediction from h by ridge (ridge_log_wage). Where folds of people have models of their own, axes differ between
folds. Components and predictions are therefore made within each fold: the former need coefficients by fold, the latter
mean the same in all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..careers.atomic_files import complete
from ..careers.clusters import DESIGN, cluster_name, clusters
from ..careers.columns import is_list
from ..careers.frames import long_table
from ..careers.periods import PER_YEAR, time_unit, with_period_labels
from ..readable_values import ReadableResult
from .representations import Timing, names_of


FOLD = "fold"
COMPONENT, PREDICTED = "pc", "ridge_"
VECTOR_COLUMN = re.compile(rf"(h|{COMPONENT})\d+")
# Parts into which the people of a fold are divided, so that nobody's own outcome is in a prediction of it.
PARTS = 5
PENALTIES = np.logspace(-2, 5, 15)
FORMATS = (".dta", ".parquet", ".csv")
# What Stata takes for a name, and words that it keeps for itself.
LONGEST_NAME, LONGEST_LABEL, LONGEST_TEXT = 32, 80, 2045
STATA_WORDS = frozenset(
    "_all _b _coef _cons _n _N _pi _pred _rc _se _skip alias byte double float if in int long strL using with".split()
)
WHOLE = r"0|-?[1-9]\d{0,8}"


@dataclass(frozen=True, repr=False)
class RepresentationTable(ReadableResult):
    """One row per person-year: the columns of the careers, the fold, and h as it is, in components or as predictions.

    Months and quarters are labels such as "1993-07", in a column `month` or `quarter`.

    Args:
        frame: The table, in the order of `to_frame(careers)`.
        labels: What each column is, in a few words, by its name; for Stata, the variable labels.
        notes: Sentences about how the numbers were made.
    """

    frame: pd.DataFrame
    labels: Mapping[str, str]
    notes: Sequence[str]

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.frame

    @property
    def vectors(self) -> list[str]:
        """The columns of h, or of its components."""
        return vectors_of(self.frame)

    def save(self, path: str | Path) -> None:
        """Writes the table; the ending of the name says how: .dta (Stata 14 or later), .parquet or .csv.

        Identifiers of people and of the design that are whole numbers are written as numbers, so that they merge with
        the panel that they are from. Stata's names have at most 32 letters, digits and underscores: other names are
        changed, and the variable's label begins with the old one.

        Raises:
            ValueError: The name has another ending, or Stata cannot hold a value.
        """
        path = check_format(path)
        frame = _with_numbers(self.frame)
        with complete(path) as unfinished:
            if path.suffix == ".csv":
                frame.to_csv(unfinished, index=False)
            elif path.suffix == ".parquet":
                frame.to_parquet(unfinished, index=False)
            else:
                write_stata(frame, unfinished, self.labels)


def build_table(
    careers: Dataset,
    values: np.ndarray,
    fold: np.ndarray | None,
    *,
    timing: Timing,
    components: int | None = None,
    ridge: Sequence[str] = (),
) -> RepresentationTable:
    """Puts representations beside the columns of careers.

    Args:
        careers: The careers that were represented.
        values: `(person-years, size)`: their representations.
        fold: `(person-years,)`: the fold whose model represents each row; None if one model represents all.
        timing: What the representations know of the year, for labels.
        components: Number of principal components in the place of h; None for h itself.
        ridge: Columns of numbers that are predicted from h.

    Raises:
        ValueError: Careers have a column of the name of one that is added; there are more components than numbers or
            rows; or a column to predict is no column of numbers over time, or is known for too few people of a fold.
    """
    check_outcomes(careers, ridge)
    frame = long_table(careers).to_pandas()
    unit = time_unit(careers)
    labels = {"person": "Person", unit: unit.capitalize()}
    added: dict[str, np.ndarray] = {}
    notes = []
    if fold is not None:
        added[FOLD] = fold.astype(np.int16)
        labels[FOLD] = "Fold of people: its model was trained on the other folds"
    rows_of = [np.flatnonzero(fold == k) for k in np.unique(fold)] if fold is not None else [np.arange(len(frame))]
    within = "within the fold" if fold is not None else "of all rows"
    if components is None:
        for number, name in enumerate(names_of(values.shape[1])):
            added[name] = values[:, number]
            labels[name] = f"Number {number + 1} of {values.shape[1]} of h, {timing}"
    else:
        projected, kept = _components(values, rows_of, components)
        for number in range(components):
            added[f"{COMPONENT}{number}"] = projected[:, number]
            labels[f"{COMPONENT}{number}"] = f"Principal component {number + 1} of h, {timing}, {within}"
        shares = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (kept.min(), kept.max())))
        notes.append(f"{components} components have {shares} of the variance of h {within}")
    for name in ridge:
        outcome = frame[name].to_numpy(dtype=float)
        added[f"{PREDICTED}{name}"], correlation = _predicted(frame, outcome, name, values, rows_of)
        labels[f"{PREDICTED}{name}"] = f"{name}, predicted from h of other people of the fold by ridge"
        notes.append(
            f"{PREDICTED}{name} has a correlation of {correlation:.3f} with {name}, which no row was fitted on"
        )
    if taken := [name for name in added if name in frame]:
        raise ValueError(f"careers have a column '{taken[0]}', the name of one that is added: rename it")
    if fold is not None:
        cluster = cluster_name(frame.columns)
        notes.append(f"{len(rows_of)} folds of {'households' if 'group' in frame else 'people'}; cluster by {cluster}")
        notes.append("coordinates of different folds mean different things: interact them with the fold")
    return RepresentationTable(with_period_labels(frame.assign(**added), unit), labels, notes)


def check_outcomes(careers: Dataset, ridge: Sequence[str]) -> None:
    """Raises a ValueError if a column to predict is no column of numbers over time, or is named twice."""
    fields = careers.data.schema
    numbers = [one.name for one in fields if is_list(one.type) and pa.types.is_floating(one.type.value_type)]
    numbers = [name for name in numbers if name != "weight"]
    for name in ridge:
        if name not in numbers or list(ridge).count(name) > 1:
            raise ValueError(f"ridge has '{name}', which has to be one column of numbers, once; these are {numbers}")


def vectors_of(frame: pd.DataFrame) -> list[str]:
    """The columns of a table that are numbers of h, or of its components."""
    return [name for name in frame if VECTOR_COLUMN.fullmatch(str(name))]


def read_representation_table(path: str | Path) -> pd.DataFrame:
    """Reads what `RepresentationTable.save` wrote.

    Raises:
        ValueError: The file is of another kind or damaged, or has no person, year and numbers of h.
    """
    path = check_format(path)
    try:
        if path.suffix == ".dta":
            table = pd.read_stata(path)
        else:
            # Identifiers of a CSV file are labels, and 007 is not 7.
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"person": str})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, UnicodeError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read as a table of representations: {text}") from error
    check_table(table, str(path))
    return table


def check_table(table: pd.DataFrame, name: str) -> None:
    """Raises a ValueError if a frame has no person, period and numbers of h; `name` is what the message calls it."""
    period = next((unit for unit in PER_YEAR if unit in table), "year")
    if absent := [column for column in ("person", period) if column not in table]:
        raise ValueError(f"{name} has no column '{absent[0]}', and so is no table of representations")
    if not vectors_of(table):
        raise ValueError(f"{name} has no numbers of h, such as h0 or pc0, only {list(table)[:20]}")


def check_format(path: str | Path) -> Path:
    """The path of a table; a ValueError if its name ends in none of `FORMATS`."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"{path} ends in '{path.suffix}', and must end in one of {', '.join(FORMATS)}")
    return path


def _components(values: np.ndarray, rows_of: Sequence[np.ndarray], components: int) -> tuple[np.ndarray, np.ndarray]:
    """`(rows, components)`, and for each fold the share of the variance of h that they have."""
    most = min(values.shape[1], *(len(rows) for rows in rows_of))
    if components > most:
        raise ValueError(f"components is {components}, and h has {values.shape[1]} numbers in {most} rows or more")
    projected, kept = np.empty((len(values), components)), []
    for rows in rows_of:
        axes = PCA(components, svd_solver="full").fit(values[rows].astype(np.float64))
        projected[rows] = axes.transform(values[rows].astype(np.float64))
        kept.append(axes.explained_variance_ratio_.sum())
    return projected, np.array(kept)


def _predicted(
    frame: pd.DataFrame, outcome: np.ndarray, name: str, values: np.ndarray, rows_of: Sequence[np.ndarray]
) -> tuple[np.ndarray, float]:
    """An outcome predicted in every row by people of its fold who are not of its cluster; and the correlation."""
    cluster, known = clusters(frame), np.isfinite(outcome)
    predicted = np.empty(len(frame))
    for rows in rows_of:
        count = len(np.unique(cluster[rows[known[rows]]]))
        if count < 2 * PARTS:
            raise ValueError(
                f"ridge: '{name}' is known for {count} {cluster_name(frame.columns)}(s) of a fold, and {2 * PARTS} "
                "are needed: take fewer folds"
            )
        for fitted, held_out in GroupKFold(PARTS, shuffle=True, random_state=0).split(rows, groups=cluster[rows]):
            train = rows[fitted][known[rows[fitted]]]
            model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(values[train], outcome[train])
            predicted[rows[held_out]] = model.predict(values[rows[held_out]])
    return predicted, float(np.corrcoef(predicted[known], outcome[known])[0, 1])


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with identifiers as numbers where all of them are whole numbers."""
    changed = {}
    for name in ("person", *DESIGN):
        if name in frame and frame[name].astype(str).str.fullmatch(WHOLE).all():
            changed[name] = frame[name].astype(str).astype(np.int32)
    return frame.assign(**changed)


def write_stata(frame: pd.DataFrame, path: str | Path, labels: Mapping[str, str]) -> None:
    """Writes a frame as a .dta file of Stata 14 or later.

    Args:
        frame: The table; missing texts become empty ones.
        path: The file.
        labels: Labels of variables, of which Stata keeps 80 characters.

    Raises:
        ValueError: Stata cannot hold a value.
    """
    names = stata_names([str(name) for name in frame])
    stated = {
        new: (labels.get(old, "") if new == old else f"{old}: {labels[old]}" if old in labels else old)[:LONGEST_LABEL]
        for old, new in names.items()
    }
    columns: dict[str, Any] = {}
    long_texts = []
    for old, new in names.items():
        column = frame[old]
        if column.dtype.kind not in "iufb":
            column = column.astype(object).where(column.notna(), "").astype(str).astype(object)
            long_texts += [new] if column.str.len().max() * 4 > LONGEST_TEXT else []
        elif column.dtype.kind == "b":
            column = column.astype(np.int8)
        columns[new] = column
    try:
        pd.DataFrame(columns).to_stata(
            path, write_index=False, variable_labels=stated, version=118, convert_strl=long_texts
        )
    except (OverflowError, ValueError) as error:
        raise ValueError(f"Stata cannot hold this table: {' '.join(str(error).split())}") from error


def stata_names(names: Sequence[str]) -> dict[str, str]:
    """Names that Stata takes, by the old ones: at most 32 letters, digits and underscores, no two alike.

    Args:
        names: Names of columns.
    """
    # A name that needs no change is nobody else's.
    kept = {name for name in names if re.fullmatch(rf"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}", name)}
    kept -= {name for name in kept if _is_reserved(name)}
    new_names: dict[str, str] = {}
    for name in names:
        if name in kept:
            new_names[name] = name
            continue
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if re.match(r"[A-Za-z_]", plain) and not _is_reserved(plain) else f"v_{plain}"
        new, number = plain[:LONGEST_NAME], 2
        while new in kept or new in new_names.values():
            new = f"{plain[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
            number += 1
        new_names[name] = new
    return new_names


def _is_reserved(name: str) -> bool:
    """Whether Stata has a word of its own for it, such as `_N`, `int` or `str8`."""
    return name in STATA_WORDS or re.fullmatch(r"str\d+", name) is not None


__all__ = [
    "RepresentationTable",
    "build_table",
    "check_format",
    "read_representation_table",
    "stata_names",
    "vectors_of",
    "write_stata",
]
