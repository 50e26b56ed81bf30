"""The data of wage regressions: one row per person-year with a wage, and named blocks of its columns.

    careers (+ representations) -> wage_frame -> frame -> design(block names, frame) -> a ColumnTransformer

Blocks are the terms of Blau and Kahn's (2017) full specification as far as careers hold them, occupations, lagged
occupations, and the representations h_t of Eq. 9. A design is an ordinary transformer of scikit-learn: it learns the
levels of labels from the rows that it is fitted on, and it may be applied to rows with other levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict, concatenate_datasets
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from ..careers.columns import is_weight, with_weights
from ..careers.frames import as_careers, as_splits, long_table
from ..careers.ledger import Ledger
from ..encoding.processing_career import CareerProcessor
from ..number_ranges import within_ranges
from ..occupations.labels import NOT_WORKING
from ..occupations.normalising import label_of, labels_of
from ..representing.cross_fitting import check_not_trained_on
from ..representing.representations import names_of


LOG_WAGE, PREVIOUS, FOLD = "log_wage", "previous_occupation", "fold"
MISSING, NOTHING_BEFORE = "missing", "none"
# A block of a representation is "h NAME", with the name that it was given in `wage_frame`.
VECTORS = "h "


@dataclass(frozen=True)
class Block:
    """A term of a specification.

    Args:
        column: Name of the column in the frame.
        kind: "labels" become dummies, "numbers" stay as they are, "squares" come with their square.
        stands_for: The term of Blau and Kahn's specification that the block stands for; empty if they have none.
        finer: Names of blocks that stand for it in more detail; `available_blocks` takes them where careers have all.
    """

    column: str
    kind: Literal["labels", "numbers", "squares"]
    stands_for: str = ""
    finer: tuple[str, ...] = ()


BLOCKS = {
    "year": Block("year", "labels", "separate regressions by year"),
    "schooling": Block("schooling", "numbers", "years of schooling"),
    "education": Block("education", "labels", "college and advanced degrees"),
    "experience": Block(
        "experience",
        "squares",
        "years of full-time and of part-time work, and their squares",
        finer=("full-time experience", "part-time experience"),
    ),
    "region": Block("region", "labels", "region"),
    "metropolitan": Block("metropolitan", "labels", "metropolitan area"),
    "race": Block("race", "labels", "race and ethnicity"),
    "gender": Block("gender", "labels", "separate regressions for women and men"),
    "union": Block("union", "labels", "collective bargaining"),
    "government": Block("government", "labels", "government job"),
    "industry": Block("industry", "labels", "14 industries"),
    "full-time experience": Block("full_time_experience", "squares"),
    "part-time experience": Block("part_time_experience", "squares"),
    "occupation": Block("occupation", "labels"),
    "lagged occupation": Block(PREVIOUS, "labels"),
    # What `predict_log_wages` returns, put into the frame beside its rows.
    "wage head": Block("wage_head", "numbers"),
}
BLAU_KAHN = tuple(name for name, block in BLOCKS.items() if block.stands_for)
# Levels that fewer people have than this share one dummy, with levels that were never seen.
RARE = 10
POOLED = "other levels"
# The name that stands for all splits together.
ALL_SPLITS = "all"


def careers_of_splits(
    careers: str | Path | Dataset | DatasetDict,
    split: str,
    processor: CareerProcessor | None = None,
    weighted: bool = False,
) -> Dataset:
    """The careers of some splits, after a check that the model was trained on nobody in them.

    Args:
        careers: A folder of careers, careers by split name, or careers, which `split_careers` splits.
        split: Comma-separated names of splits; "all" takes everybody.
        processor: The model's processor, which has recorded whom the model was trained on; None without a model.
        weighted: Whether survey weights are kept; without them, nothing that is made of the careers is weighted.

    Raises:
        ValueError: There is no such split; weights are asked for and missing; or the model was trained on some of
            these people, or on people who are not
            in the split "train", or there is no split "train" to tell.
    """
    splits = as_splits(careers)
    names = list(splits) if split == ALL_SPLITS else split.split(",")
    chosen = concatenate_datasets([as_careers(splits, name) for name in names])
    if processor is not None:
        if "train" not in splits:
            raise ValueError(f"the careers have splits {list(splits)}: whom the model saw cannot be checked")
        check_not_trained_on(chosen, splits["train"], processor)
    return with_weights(chosen, weighted)


@within_ranges
def wage_frame(
    careers: Dataset,
    representations: Mapping[str, np.ndarray] | None = None,
    *,
    fold: np.ndarray | None = None,
    not_working: Sequence[str] = NOT_WORKING,
) -> tuple[pd.DataFrame, Ledger]:
    """One row per person-year at work whose wage is observed.

    Args:
        careers: Careers with an outcome `log_wage` over time.
        representations: Arrays `(person-years, size)` by name ("before", "including"): what `representations` or
            `cross_fit` return for these careers, all steps.
        fold: `(person-years,)`: the fold whose model made each representation, as `cross_fit` returns it. Coordinates
            of different models mean different things, so each fold then has coefficients of its own.
        not_working: Occupation labels that mean no work. Such years have no wage to explain, and do not count as
            experience.

    Years whose weight is 0 (a round in which the survey gives the person no weight) stay part of the career, and are
    left out of the frame.

    Returns:
        The frame and a ledger. The index is the person-year's place in `to_frame(careers)`. The columns are those of
        `to_frame(careers)`, with missing labels as "missing"; weight, of the person or of the person-year, 1 where
        careers have none; experience, the years seen at work so far, this one included, unless careers have a column
        of that name; previous_occupation, the occupation of the year observed before, "none" in the first; fold where
        it is given; and NAME_h0, NAME_h1, ... for each representation.

    Raises:
        ValueError: Careers have no wages, a weight is missing, negative or not finite, or a representation has another
            number of person-years.
    """
    if LOG_WAGE not in careers.column_names:
        raise ValueError(f"careers have no outcome '{LOG_WAGE}', only {careers.column_names}: build them with wages")
    person_years = long_table(careers).to_pandas()
    person, occupation = person_years["person"], person_years["occupation"]
    at_work = ~occupation.isin(not_working)
    ledger = Ledger()
    added: dict[str, Any] = {PREVIOUS: occupation.groupby(person).shift().fillna(NOTHING_BEFORE)}
    added["weight"] = _weights(person_years)
    if "experience" not in person_years:
        added["experience"] = at_work.groupby(person).cumsum().astype(float)
        ledger.note("experience: years observed at work so far, this one included; careers have no such column")
    if fold is not None:
        added[FOLD] = fold
    vectors = []
    for name, values in (representations or {}).items():
        if len(values) != len(person_years):
            raise ValueError(
                f"representation '{name}' has {len(values)} rows and careers have {len(person_years)} person-years: "
                "represent these careers, all steps"
            )
        vectors.append(pd.DataFrame(values, columns=[f"{name}_{h}" for h in names_of(values.shape[1])]))
    texts = [name for name in person_years if pd.api.types.is_string_dtype(person_years[name]) and name != "person"]
    person_years = person_years.assign(**added, **{name: person_years[name].fillna(MISSING) for name in texts})

    observed = person_years[LOG_WAGE].notna()
    weighted = added["weight"] > 0
    explained = observed & at_work & weighted
    dropped = {
        "not at work": int((~at_work & ~observed).sum()),
        "not at work, although there is a wage": int((~at_work & observed).sum()),
        "at work, wage not observed": int((at_work & ~observed).sum()),
    }
    if not weighted.all():
        dropped["at work with a wage, weight 0 in this year"] = int((at_work & observed & ~weighted).sum())
    ledger.record("keep years at work with a wage", "person-years", len(explained), int(explained.sum()), dropped)
    if not explained.any():
        if (observed & at_work).any():
            raise ValueError("column 'weight' is 0 in every year at work with a wage: nothing is left to explain")
        raise ValueError(f"no year at work has a wage: '{LOG_WAGE}' is missing in all {len(explained)} person-years")
    return pd.concat([person_years, *vectors], axis=1)[explained], ledger


def _weights(person_years: pd.DataFrame) -> pd.Series:
    """The weight of every person-year, whether careers have one per person or one per step; ones without weights."""
    if "weight" not in person_years:
        return pd.Series(1.0, index=person_years.index)
    weight = person_years["weight"].astype(float)
    good = is_weight(weight.to_numpy())
    if not good.all():
        row = person_years.iloc[int(good.argmin())]
        raise ValueError(
            f"person '{row['person']}', year {row['year']}, column 'weight', value {row['weight']}: neither positive "
            "nor 0; correct it, or make it 0 to leave the year out"
        )
    return weight


@within_ranges
def available_blocks(names: Sequence[str], frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Blocks whose columns a frame has, and blocks whose columns it lacks or has with one value only.

    Where the frame has years of full-time and of part-time work, these two blocks are in the place of "experience".

    Args:
        names: Names of blocks.
        frame: What `wage_frame` returns.
    """
    available, missing = [], []
    for name in names:
        finer = BLOCKS[name].finer if name in BLOCKS else ()
        if finer and all(_has_columns(one, frame) for one in finer):
            available += [one for one in finer if one not in names]
        elif _has_columns(name, frame):
            available.append(name)
        else:
            missing.append(name)
    return available, missing


def design(names: Sequence[str], frame: pd.DataFrame, rare: int = RARE) -> ColumnTransformer:
    """The columns of a specification, from named blocks; without an intercept, which regressions add.

    Dummies leave out the first level in the order of labels, the base (`bases`). A number that is missing counts as 0
    and has a dummy.

    Args:
        names: Names of blocks: keys of `BLOCKS`; other columns of the frame, whose labels become dummies; and "h NAME"
            for a representation.
        frame: What `wage_frame` returns. It tells which columns exist; nothing is learned from it here.
        rare: Levels that fewer people have than this share one dummy, "COLUMN_other levels", with levels that were
            never seen: a dummy of one person explains that person.

    Returns:
        A transformer of frames, not yet fitted, whose output is sparse.

    Raises:
        ValueError: A block is not known, the frame does not have its column, or two blocks have the same column.
    """
    by_column: dict[str, str] = {}
    parts: list[tuple[str, Any, list[str]]] = []
    for name in names:
        if name.startswith(VECTORS):
            if list(names).count(name) > 1:
                raise ValueError(f"block '{name}' is named twice: name it once")
            columns = vector_columns(name, frame)
            if not columns:
                raise ValueError(f"the frame has no representation '{name[len(VECTORS) :]}': give it to wage_frame")
            by_fold = FOLD in frame
            parts.append((name, PerFold() if by_fold else "passthrough", [FOLD] * by_fold + columns))
            continue
        block = block_named(name, frame)
        if (first := by_column.setdefault(block.column, name)) != name or list(names).count(name) > 1:
            raise ValueError(f"blocks '{first}' and '{name}' have the same column '{block.column}': name it once")
        if block.column not in frame:
            raise ValueError(f"block '{name}' needs a column '{block.column}', which careers do not have")
        if block.kind == "labels":
            columns = [block.column, "person"]
            # A label with one level, as where all levels are rare, has no dummies.
            has_dummies = len(Dummies(rare).fit(frame[columns]).levels_) > 1
            parts.append((name, Dummies(rare) if has_dummies else "drop", columns))
            continue
        powers = PolynomialFeatures(2 if block.kind == "squares" else 1, include_bias=False)
        parts.append((name, make_pipeline(SimpleImputer(strategy="constant", fill_value=0), powers), [block.column]))
        if frame[block.column].isna().any():
            parts.append((f"{name} missing", MissingIndicator(features="all"), [block.column]))
    return ColumnTransformer(parts, sparse_threshold=1.0, verbose_feature_names_out=False)


def vector_columns(name: str, frame: pd.DataFrame) -> list[str]:
    """The columns of the block of a representation, "h NAME"."""
    start = f"{name[len(VECTORS) :]}_h"
    return [column for column in frame if column.startswith(start) and column[len(start) :].isdigit()]


class Dummies(TransformerMixin, BaseEstimator):
    """Dummies of the levels of a label, without the first one; levels of few people share the last dummy.

    The first column is the label, the second tells people apart.

    Args:
        fewest: Number of people that a level needs for a dummy of its own.

    Attributes:
        base_: The level without a dummy.
        pooled_: Levels that share the dummy "other levels".
    """

    def __init__(self, fewest: int = RARE) -> None:
        self.fewest = fewest

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learns the levels, and how many people have each."""
        label, person = X.columns
        people = X.drop_duplicates().groupby(label, observed=True)[person].nunique()
        self.column_, self.pooled_ = label, [str(label_of(level)) for level in people.index[people < self.fewest]]
        own = [str(label_of(level)) for level in people.index[people >= self.fewest]]
        self.levels_ = [*own, *([POOLED] if self.pooled_ else [])]
        self.base_ = self.levels_[0]
        self._encoder = OneHotEncoder(categories=[self.levels_], drop="first", handle_unknown="ignore")
        self._encoder.fit(pd.DataFrame({label: self.levels_}))
        return self

    def transform(self, X: pd.DataFrame) -> sparse.csr_array:
        """`(rows, levels - 1)`. A level that was never seen counts as pooled, or as the base if nothing was pooled."""
        labels = labels_of(X[self.column_])
        other = POOLED if self.pooled_ else self.base_
        return self._encoder.transform(labels.where(labels.isin(self.levels_), other).to_frame())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """ "COLUMN_LEVEL" for every level but the base."""
        return np.array([f"{self.column_}_{level}" for level in self.levels_[1:]], dtype=object)


def bases(columns: ColumnTransformer) -> dict[str, str]:
    """The level without a dummy, by the column of the label.

    Args:
        columns: What `design` returns, fitted.
    """
    dummies = (part for _, part, _ in columns.transformers_ if isinstance(part, Dummies))
    return {part.column_: part.base_ for part in dummies}


def pooled_levels(columns: ColumnTransformer) -> dict[str, list[str]]:
    """Levels that share the dummy "other levels", by the column of the label; columns without them are left out.

    Args:
        columns: What `design` returns, fitted.
    """
    dummies = (part for _, part, _ in columns.transformers_ if isinstance(part, Dummies))
    return {part.column_: part.pooled_ for part in dummies if part.pooled_}


class PerFold(TransformerMixin, BaseEstimator):
    """Repeats the columns of a representation for each fold, with zeros in the rows of other folds.

    Regressions then have separate coefficients for each fold. The first column is the fold, the others are the
    representation.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learns the folds."""
        self.folds_ = np.unique(X[FOLD])
        self.columns_ = list(X.columns.drop(FOLD))
        return self

    def transform(self, X: pd.DataFrame) -> sparse.csr_array:
        """`(rows, folds * size)`.

        Raises:
            ValueError: A fold was not among the rows fitted on, so nothing is known about its coordinates.
        """
        if new := set(np.unique(X[FOLD])) - set(self.folds_):
            raise ValueError(f"fold {min(new)} was not among the rows fitted on: split people within folds")
        values = X[self.columns_].to_numpy()
        return sparse.hstack([sparse.csr_array(values * (X[[FOLD]] == k).to_numpy()) for k in self.folds_]).tocsr()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns, each with its fold."""
        return np.array([f"{column}, fold {k}" for k in self.folds_ for column in self.columns_], dtype=object)


def block_named(name: str, frame: pd.DataFrame) -> Block:
    """The block with this name, or a block made from the column of the frame with this name."""
    if name in BLOCKS:
        return BLOCKS[name]
    if name not in frame:
        raise ValueError(
            f"'{name}' is neither a block nor a column; blocks are {', '.join(BLOCKS)} and '{VECTORS}NAME'"
        )
    return Block(name, "labels" if pd.api.types.is_string_dtype(frame[name]) else "numbers")


def _has_columns(name: str, frame: pd.DataFrame) -> bool:
    if name.startswith(VECTORS):
        return bool(vector_columns(name, frame))
    column = block_named(name, frame).column
    return column in frame and frame[column].nunique() > 1


__all__ = [
    "ALL_SPLITS",
    "BLAU_KAHN",
    "BLOCKS",
    "Block",
    "Dummies",
    "PerFold",
    "available_blocks",
    "bases",
    "block_named",
    "careers_of_splits",
    "design",
    "pooled_levels",
    "vector_columns",
    "wage_frame",
]
