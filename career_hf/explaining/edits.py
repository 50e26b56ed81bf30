"""Edited careers, and how often training saw anything like them.

An edit changes labels and nothing else: years, people and survey weights stay. Edited careers are careers like any
others. `what_if.py` compares the predictions that a model makes from the original and from the edited careers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import RESERVED_NAMES, career_table, is_list, is_text, list_lengths, list_values, make_dataset
from ..careers.ledger import Ledger
from ..careers.periods import PER_YEAR, Period, period_number, person_periods, time_unit
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..encoding.vocabulary import MISSING


PREVIOUS = "previous occupation"


@dataclass(frozen=True)
class Edit:
    """New labels for careers, and the time from which they apply. The year is held fixed.

    Args:
        covariates: For each covariate its new level, or new levels by old ones; other old levels stay, and missing
            levels too. A covariate that does not change over a career is edited for the whole career.
        occupations: The new occupation, or new occupations by old ones.
        from_year: The first year, or label of a month or quarter, that is edited; earlier ones stay as they are.
        from_age: The first age that is edited; careers need a `birth_year`. Without a year or an age, whole careers
            are edited.

    Example:
        >>> Edit({"education": "college"}, from_age=22)
        Edit(covariates={'education': 'college'}, occupations=None, from_year=None, from_age=22)
    """

    covariates: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    occupations: str | Mapping[str, str] | None = None
    from_year: Period | None = None
    from_age: int | None = None

    def __post_init__(self) -> None:
        if not self.covariates and self.occupations is None:
            raise ValueError("the edit changes nothing: name covariates= or occupations=")
        if self.from_year is not None and self.from_age is not None:
            raise ValueError(f"give from_year or from_age, not both ({self.from_year} and {self.from_age})")
        if "year" in self.covariates:
            raise ValueError("the year is held fixed: edit other covariates, or occupations")

    @property
    def changes(self) -> dict[str, str | Mapping[str, str]]:
        """For each edited column of the careers its new label, or new labels by old ones."""
        return {**self.covariates, **({} if self.occupations is None else {"occupation": self.occupations})}

    def __str__(self) -> str:
        parts = []
        for name, new in self.changes.items():
            pairs = {"": new} if isinstance(new, str) else new
            parts += [f"{name}{f' from {old}' if old else ''} to {to}" for old, to in pairs.items()]
        since = f" from {self.from_year} on" if self.from_year is not None else ""
        since = f" from age {self.from_age} on" if self.from_age is not None else since
        return "; ".join(parts) + since


def edit_careers(careers: Dataset, edit: Edit) -> tuple[Dataset, Ledger]:
    """Edits careers.

    Args:
        careers: Careers, one row per person.
        edit: The new labels.

    Returns:
        The careers with the new labels, and a ledger of the altered labels by column, old label and new label.

    Raises:
        ValueError: A column does not exist or does not hold labels, an old label does not occur in it, a covariate
            that does not change is to be edited from a year on, or an age is not known.
    """
    table = career_table(careers)
    lengths = list_lengths(table, "year")
    in_time = _edited_years(table, lengths, edit)
    columns = {name: table[name] for name in table.column_names}
    units = person_periods(time_unit(table))
    altered: dict[str, dict[str, int]] = {units: {}, "people": {}}
    for name, new in edit.changes.items():
        if name not in columns or (name in RESERVED_NAMES and name != "occupation"):
            raise ValueError(f"careers have no covariate '{name}' to edit, only {table.column_names}")
        kind = table.schema.field(name).type
        over_time = is_list(kind)
        if not is_text(kind.value_type if over_time else kind):
            raise ValueError(f"column '{name}' has type {kind}, which is no covariate's; covariates hold labels")
        if not over_time and (edit.from_year is not None or edit.from_age is not None):
            raise ValueError(
                f"'{name}' does not change over a career, so it cannot be edited from a year or an age on: edit whole "
                "careers, or make a separate edit of covariates that change"
            )
        labels = pd.Series((list_values(table, name) if over_time else table[name]).to_pandas(), dtype=object)
        edited = labels.where(~in_time, new) if isinstance(new, str) and over_time else labels
        if isinstance(new, str) and not over_time:
            edited = pd.Series(new, index=labels.index)
        if not isinstance(new, str):
            _check_old_labels(name, new, labels)
            edited = labels.mask(labels.isin(list(new)) & (in_time if over_time else True), labels.map(dict(new)))
        changed = (edited != labels) & ~(edited.isna() & labels.isna())
        pairs = pd.DataFrame({"old": labels[changed].fillna(MISSING), "new": edited[changed]}).value_counts()
        unit = units if over_time else "people"
        altered[unit] |= {f"{name}: {old} to {to}": int(n) for (old, to), n in pairs.items()}
        values = pa.array(edited.where(edited.notna(), None), pa.string())
        offsets = pa.array(np.append(0, lengths.cumsum()), pa.int32())
        columns[name] = pa.ListArray.from_arrays(offsets, values) if over_time else values
    ledger = Ledger()
    for unit, size in {"people": table.num_rows, units: int(lengths.sum())}.items():
        ledger.record("edit careers", unit, size, size, altered=altered[unit])
    return make_dataset(columns), ledger


def _check_old_labels(name: str, new: Mapping[str, str], labels: pd.Series) -> None:
    occurring = labels.dropna().unique()
    absent = [old for old in new if old not in occurring]
    if absent:
        raise ValueError(
            f"no career has '{absent[0]}' in column '{name}', only {sorted(occurring)[:10]}: correct the edit"
        )


def _edited_years(table: pa.Table, lengths: np.ndarray, edit: Edit) -> np.ndarray:
    """`(person-years,)`: whether the edit applies to the year."""
    years, unit = list_values(table, "year").to_numpy(), time_unit(table)
    if edit.from_age is None:
        if edit.from_year is None:
            return np.ones(len(years), dtype=bool)
        return np.asarray(years >= period_number(edit.from_year, unit, "from_year"))
    if "birth_year" not in table.column_names or is_list(table.schema.field("birth_year").type):
        raise ValueError(
            "ages need a column birth_year, which does not change: add it to the careers, or use from_year"
        )
    born = pd.to_numeric(table["birth_year"].to_pandas(), errors="coerce").to_numpy(dtype=np.float64)
    if np.isnan(born).any():
        row = int(np.isnan(born).argmax())
        value = table["birth_year"][row].as_py()
        raise ValueError(
            f"person '{table['person'][row].as_py()}', column 'birth_year', value {value!r}: not a year, so the age "
            "is not known; leave the person out, or use from_year"
        )
    return np.asarray(years // PER_YEAR[unit] >= np.repeat(born, lengths) + edit.from_age)


def check_known(edit: Edit, processor: CareerProcessor) -> None:
    """Checks that a model knows the labels that an edit writes.

    Args:
        edit: The edit.
        processor: The model's processor.

    Raises:
        ValueError: The model does not have a covariate, a new level or occupation is not in the vocabulary, or no
            recorded training stage ever saw it.
    """
    stages = processor.training_stages
    for name, new in edit.changes.items():
        if name == "occupation":
            labels, counts = processor.occupations, [stage["occupation_counts"] for stage in stages]
            unfit = set(processor.special_token_ids)
        elif name in processor.covariate_names:
            c = processor.covariate_names.index(name)
            labels, counts = processor.covariate_levels[c], [stage["covariate_counts"][c] for stage in stages]
            unfit = set()
        else:
            raise ValueError(
                f"the model has no covariate '{name}', only {processor.covariate_names}, so it cannot tell the "
                "careers apart: edit one of these, or train a model with it"
            )
        for label in [new] if isinstance(new, str) else dict.fromkeys(new.values()):
            if label not in labels or labels.index(label) in unfit:
                first = [other for i, other in enumerate(labels) if i not in unfit][:12]
                raise ValueError(f"'{label}' of '{name}' is not known to the model, which has {first}: correct it")
            if counts and not np.sum(counts, axis=0)[labels.index(label)]:
                raise ValueError(f"'{label}' of '{name}' was never seen in training: what follows it is not known")


def support(
    original: EncodedCareers,
    edited: EncodedCareers,
    training: EncodedCareers,
    processor: CareerProcessor,
    fewest: int = 10,
) -> pd.DataFrame:
    """Counts how often training saw the inputs of edited person-years: positivity, as far as it can be counted.

    Args:
        original, edited: Careers before and after the edit, encoded.
        training: The careers that the model was trained on, encoded.
        processor: The model's processor.
        fewest: Person-years of training below which a combination counts as rare.

    Returns:
        One row for each edited input (a covariate or the previous occupation), one for it together with each other
        input, and one for all covariates jointly. Columns: combination; rows, the number of person-years in which
        some part of it was edited; people; rare, the number of rows with values that training has fewer than `fewest`
        times; never, the number of rows with values that training does not have.
    """
    names = [PREVIOUS, *processor.covariate_names]
    before, after, seen = (_inputs(encoded) for encoded in (original, edited, training))
    changed = before != after
    person = np.repeat(np.arange(len(edited)), edited.lengths)
    touched: list[int] = np.flatnonzero(changed.any(axis=0)).tolist()
    combinations: dict[tuple[int, ...], None] = {(c,): None for c in touched}
    combinations |= {tuple(sorted((c, other))): None for c in touched for other in range(len(names)) if other != c}
    if len(names) > 3 and any(touched):
        combinations[tuple(range(1, len(names)))] = None
    rows = []
    for columns in combinations:
        is_edited = changed[:, columns].any(axis=1)
        edited_rows, trained_rows = (pd.DataFrame(part[:, columns]) for part in (after[is_edited], seen))
        times = trained_rows.value_counts().rename("times").reset_index()
        count = edited_rows.merge(times, how="left")["times"].fillna(0).to_numpy()
        jointly = len(columns) == len(names) - 1 and len(names) > 3
        rows.append(
            {
                "combination": "all covariates" if jointly else ", ".join(names[c] for c in columns),
                "rows": int(is_edited.sum()),
                "people": len(np.unique(person[is_edited])),
                "rare": int((count < fewest).sum()),
                "never": int((count == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def _inputs(encoded: EncodedCareers) -> np.ndarray:
    """`(person-years, 1 + covariates)`: the id of the previous occupation, and the levels of covariates."""
    flat = encoded.gather(np.arange(len(encoded)))
    previous = flat.input_ids[:, None]
    return previous if flat.covariates is None else np.concatenate([previous, flat.covariates], axis=1)
