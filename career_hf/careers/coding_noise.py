"""Coding noise: moves that are only wrong codes are taken out of careers, by rules that the literature uses.

A coder who reads the same job twice may give it two codes. About 9% of the occupations of the NLSY79 are wrong
(Sullivan 2009, "Estimation of an Occupational Choice Model when Occupations Are Misclassified", Journal of Human
Resources 44(2)), and much of the mobility that surveys measure is coding (Kambourov and Manovskii 2008, "Rising
Occupational and Industry Mobility in the United States", International Economic Review 49(1)). Two rules find codes
that are likely wrong:

    round trip   A spell of B between two spells of A is recoded to A, unless another signal changed at both moves.
    no signal    A move is undone where no other signal changed with it: the employer, the industry, hours or pay. The
                 steps between two moves that are kept get one occupation.

Neither rule is right about everybody: true moves are lost too. On the simulated market, whose wrong codes are known,
`docs/how_to/coding_noise.md` counts both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, concatenate_datasets

from ..number_ranges import Range, within_ranges
from ..occupations.labels import NOT_WORKING
from ..readable_values import ReadableResult
from .columns import career_table, is_list, is_text, list_lengths, list_values, make_dataset
from .dataset_card import write_card
from .describing import describe
from .frames import load_careers, save_careers
from .ledger import Ledger
from .periods import person_periods, plural, time_unit
from .provenance import SOURCES, Limits, Source, limits_of, source_of
from .saved_files import MANIFEST, read_manifest


# The column that says what was done with a step, and its values.
CODING_NOISE = "coding_noise"
AS_CODED, ROUND_TRIP, NO_SIGNAL, AFTER = "as coded", "round trip", "no signal", "after recoded"

RecodeTo = Literal["commonest", "first"]
CHANGE = Range(0, 1e12, whole=False, open_low=True)


@dataclass(frozen=True, repr=False)
class RecodedCareers(ReadableResult):
    """Careers without moves that are likely to be wrong codes, and how many moves there were.

    Args:
        careers: Careers of all splits together, with the further column `coding_noise`.
        moves: One row per kind of move between two occupations: moves, and share (of pairs of neighbouring steps that
            both have an occupation).
        ledger: How many moves each rule removed, and how many person-years it recoded.
        splits: The same careers by split name.
        manifest: The manifest of the splits, if the folder of careers had one.
        source, limits: Where the careers come from and what they cannot contain, if the folder's card says it.
    """

    careers: Dataset
    moves: pd.DataFrame
    ledger: Ledger
    splits: DatasetDict
    manifest: Mapping[str, Any] | None = None
    source: Source | None = None
    limits: Limits = Limits()

    def to_frame(self) -> pd.DataFrame:
        """The table `moves`."""
        return self.moves

    def save(self, folder: str | Path) -> None:
        """Saves the careers in their splits, with the ledger, the split manifest, the table `moves.csv` and a card.

        Args:
            folder: Destination folder; created if missing.
        """
        save_careers(self.splits, folder, self.ledger, self.manifest)
        self.moves.to_csv(Path(folder) / "moves.csv", float_format="%.6f")
        if self.source is not None:
            write_card(
                folder,
                self.source,
                splits=self.splits,
                ledger=self.ledger,
                description=describe(self.careers),
                manifest=self.manifest,
                limits=None if self.limits == Limits() else self.limits,
            )


@within_ranges
def recode_coding_noise(
    careers: str | Path | Dataset | DatasetDict,
    *,
    round_trip: int = 1,
    signals: Sequence[str] = (),
    smallest_changes: Mapping[str, float] = MappingProxyType({}),
    recode_to: RecodeTo = "commonest",
    keep_codes: bool = False,
    without_work: Sequence[str] = NOT_WORKING,
) -> RecodedCareers:
    """Recodes occupations of careers so that moves which are likely to be wrong codes are none.

    Only moves from one occupation to another, at two neighbouring steps, can be wrong codes here; states without work
    are left as they are, and no step is dropped. First spells between two spells of the same occupation are recoded
    (A-B-A), unless a signal changed at both of their ends. Then, if there are signals, every move is undone at which
    one is known and none that is known changed.

    Args:
        careers: A folder of careers, careers by split name, or careers.
        round_trip: Most steps of a spell that is recoded between two spells of one occupation; 0 for none.
        signals: Columns of labels over time whose change confirms a move, such as employer or industry.
        smallest_changes: Columns of numbers over time whose change confirms a move, with the smallest change, up or
            down, that does, such as {"log_wage": .2}.
        recode_to: What the steps between two moves that are kept become if moves between them are undone: the
            "commonest" of their codes (of equally common ones the earliest), or the "first", which needs no later
            year, so that with `round_trip=0` careers stay fit for forecasting.
        keep_codes: Whether occupations stay as they are, and only the new column says what the rules would do.
        without_work: Labels of states without work.

    Returns:
        The careers with a column `coding_noise` over time, for reports and not for models: "round trip" and "no
        signal" at steps that were recoded, by rule; "after recoded" at other steps whose step before was; and "as
        coded", where the occupation and the one before are those that were coded, so that models of careers with and
        without coding noise can be scored on the same outcomes.

    Raises:
        ValueError: A column is missing, is no column over time of its kind, or is there already (`coding_noise`); a
            smallest change is not above 0; or nobody has a label of `without_work` that is not one of the package's.
    """
    folder = careers if isinstance(careers, (str, Path)) else None
    splits = load_careers(careers) if isinstance(careers, (str, Path)) else careers
    splits = DatasetDict(splits) if isinstance(splits, Mapping) else DatasetDict({"all": splits})
    if not splits:
        raise ValueError("there are no careers to recode: no split is given")
    if recode_to not in get_args(RecodeTo):
        raise ValueError(f"recode_to is {recode_to!r}, and must be one of {', '.join(get_args(RecodeTo))}")
    for name, change in smallest_changes.items():
        if not CHANGE.has(change):
            raise ValueError(f"smallest_changes: that of '{name}' is {change!r}, and must be {CHANGE}")
    if unknown := set(without_work) - set(NOT_WORKING) - _labels(splits):
        raise ValueError(f"without_work has '{min(unknown)}', which nobody has: leave it out, or correct it")
    asked = bool(signals or smallest_changes)

    recoded, totals = {}, dict.fromkeys(_Counts.__annotations__, 0)
    for name, part in splits.items():
        table = career_table(part)
        _check_columns(table, signals, smallest_changes)
        coded, mark, counts = _recode(table, round_trip, signals, smallest_changes, recode_to, without_work)
        totals = {key: total + getattr(counts, key) for key, total in totals.items()}
        offsets = pa.array(np.append(0, list_lengths(table, "year").cumsum()), pa.int32())
        columns = {key: table[key] for key in table.column_names}
        if not keep_codes:
            columns["occupation"] = pa.ListArray.from_arrays(offsets, coded)
        columns[CODING_NOISE] = pa.ListArray.from_arrays(offsets, pa.array(mark, pa.string()))
        recoded[name] = make_dataset(columns)

    total = _Counts(**totals)
    manifest, known = None, None
    if folder is not None:
        manifest = read_manifest(Path(folder) / MANIFEST) if (Path(folder) / MANIFEST).exists() else None
        known = SOURCES.get(source_of(folder)["source"])
    return RecodedCareers(
        careers=concatenate_datasets(list(recoded.values())),
        moves=total.table(asked),
        ledger=total.ledger(asked, round_trip, recode_to, keep_codes, time_unit(next(iter(splits.values())))),
        splits=DatasetDict(recoded),
        manifest=manifest,
        source=known,
        limits=limits_of(folder) if folder is not None else Limits(),
    )


@dataclass(frozen=True)
class _Counts:
    """What the rules did: pairs of neighbouring steps with occupations, moves by what became of them, and steps."""

    steps: int
    pairs: int
    moves: int
    round_trips: int
    no_signal: int
    same_sides: int
    confirmed: int
    unknown: int
    steps_round_trip: int
    steps_no_signal: int

    @property
    def left(self) -> int:
        """Moves that are left."""
        return self.moves - self.round_trips - self.no_signal - self.same_sides

    def table(self, asked: bool) -> pd.DataFrame:
        """Moves by what became of them, and their share of pairs of steps."""
        rows = {"as coded": self.moves, "removed: round trip (A-B-A)": self.round_trips}
        if asked:
            rows |= {
                "removed: no signal changed": self.no_signal,
                "removed: between steps recoded to one occupation": self.same_sides,
                "kept: a signal changed": self.confirmed,
                "kept: no signal is known": self.unknown,
            }
        rows |= {"left": self.left}
        table = pd.DataFrame({"moves": pd.Series(rows)}).rename_axis("kind")
        return table.assign(share=table["moves"] / self.pairs if self.pairs else np.nan)

    def ledger(self, asked: bool, round_trip: int, recode_to: str, keep_codes: bool, unit: str) -> Ledger:
        """The same as a ledger."""
        ledger, left = Ledger(), self.moves - self.round_trips
        within = f"into or out of a spell of {round_trip} step(s) or fewer between two of one occupation"
        ledger.record("recode round trips", "moves", self.moves, left, {within: self.round_trips}, depends_on="future")
        if asked:
            dropped = {"no signal changed": self.no_signal}
            dropped |= {"between steps recoded to one occupation": self.same_sides}
            ledger.record(
                f"recode moves without a signal to the {recode_to} code",
                "moves",
                left,
                self.left,
                {reason: count for reason, count in dropped.items() if count},
                {"kept although no signal is known": self.unknown} if self.unknown else {},
                depends_on="future" if recode_to == "commonest" else "past",
            )
        altered = {ROUND_TRIP: self.steps_round_trip, NO_SIGNAL: self.steps_no_signal}
        ledger.record(
            "recode coding noise", person_periods(unit), self.steps, self.steps, altered=altered, depends_on="future"
        )
        ledger.note(
            "codes were kept: the entries count what would be recoded (column coding_noise)"
            if keep_codes
            else f"the column coding_noise says which codes were altered; it depends on later {plural(unit)}, so no "
            "model may have it as a covariate"
        )
        return ledger


def _recode(
    table: pa.Table,
    round_trip: int,
    signals: Sequence[str],
    smallest_changes: Mapping[str, float],
    recode_to: str,
    without_work: Sequence[str],
) -> tuple[pa.Array, np.ndarray, _Counts]:
    """The occupations of all steps, recoded; the mark of each step; and counts."""
    encoded = list_values(table, "occupation").dictionary_encode()
    code, labels = encoded.indices.to_numpy(), encoded.dictionary
    lengths = list_lengths(table, "occupation")
    person = np.repeat(np.arange(len(lengths)), lengths)
    working = ~np.isin(labels.to_numpy(zero_copy_only=False), list(without_work))[code]
    same_person = _with_before(person, np.equal)
    comparable = same_person & working & _with_before(working, np.logical_and)
    known, changed = _signals(table, signals, smallest_changes, same_person)

    moves = comparable & _with_before(code, np.not_equal)
    after_trips = _without_round_trips(code, same_person, comparable, changed, round_trip)
    moves_left = comparable & _with_before(after_trips, np.not_equal)
    unconfirmed = moves_left & known & ~changed
    # A stretch of steps lasts from one move that is kept, or one step without work, to the next.
    kept = moves_left & ~unconfirmed
    stretch = np.cumsum(~comparable | kept)
    result = _one_code_each(after_trips, stretch, unconfirmed, recode_to)
    same_sides = kept & _with_before(result, np.equal)

    altered = result != code
    mark = np.full(len(code), AS_CODED, dtype=object)
    mark[same_person & _with_before(altered, lambda _, before: before)] = AFTER
    mark[altered] = np.where(after_trips != code, ROUND_TRIP, NO_SIGNAL)[altered]
    counts = _Counts(
        steps=len(code),
        pairs=int(comparable.sum()),
        moves=int(moves.sum()),
        round_trips=int(moves.sum() - moves_left.sum()),
        no_signal=int(unconfirmed.sum()),
        same_sides=int(same_sides.sum()),
        confirmed=int((kept & changed & ~same_sides).sum()),
        unknown=int((kept & ~changed & ~same_sides).sum()),
        steps_round_trip=int((mark == ROUND_TRIP).sum()),
        steps_no_signal=int((mark == NO_SIGNAL).sum()),
    )
    return labels.take(pa.array(result)), mark, counts


def _without_round_trips(
    code: np.ndarray, same_person: np.ndarray, comparable: np.ndarray, changed: np.ndarray, longest: int
) -> np.ndarray:
    """Codes in which short spells between two of one occupation have its code."""
    starts = np.flatnonzero(~same_person | _with_before(code, np.not_equal))
    spell_code, size = code[starts], np.diff(np.append(starts, len(code)))
    is_trip = np.zeros(len(starts), dtype=bool)
    there, back = starts[1:-1], starts[2:]
    is_trip[1:-1] = (
        (spell_code[2:] == spell_code[:-2])
        & comparable[there]
        & comparable[back]
        & (size[1:-1] <= longest)
        & ~(changed[there] & changed[back])
    )
    # In A-B-A-B-A the second spell is recoded, then the third is part of the first, and the fourth is recoded.
    places = np.arange(len(starts))
    run_start = np.maximum.accumulate(np.where(is_trip & ~_with_before(is_trip, np.logical_and), places, 0))
    taken = np.flatnonzero(is_trip & ((places - run_start) % 2 == 0))
    spell_code = spell_code.copy()
    spell_code[taken] = spell_code[taken - 1]
    return np.repeat(spell_code, size)


def _one_code_each(code: np.ndarray, stretch: np.ndarray, unconfirmed: np.ndarray, recode_to: str) -> np.ndarray:
    """Codes in which each stretch with an unconfirmed move has one code."""
    steps = np.flatnonzero(np.isin(stretch, stretch[unconfirmed]))
    if not len(steps):
        return code
    frame = pd.DataFrame({"stretch": stretch[steps], "code": code[steps], "step": steps})
    held = frame.groupby(["stretch", "code"], sort=False)["step"].agg(["size", "min"]).reset_index()
    order = ["stretch", "min"] if recode_to == "first" else ["stretch", "size", "min"]
    ascending = [name != "size" for name in order]
    chosen = held.sort_values(order, ascending=ascending).drop_duplicates("stretch").set_index("stretch")["code"]
    result = code.copy()
    result[steps] = chosen.loc[stretch[steps]].to_numpy()
    return result


def _signals(
    table: pa.Table, signals: Sequence[str], smallest_changes: Mapping[str, float], same_person: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(steps,)` each: whether a signal is known at a step and the one before, and whether a known one changed."""
    known, changed = np.zeros(len(same_person), dtype=bool), np.zeros(len(same_person), dtype=bool)
    for name in signals:
        codes = list_values(table, name).dictionary_encode().indices
        codes = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
        both = same_person & (codes >= 0) & _with_before(codes >= 0, np.logical_and)
        known |= both
        changed |= both & _with_before(codes, np.not_equal)
    for name, smallest in smallest_changes.items():
        numbers = list_values(table, name).to_numpy(zero_copy_only=False).astype(float)
        change = np.where(same_person, _with_before(numbers, lambda now, before: np.abs(now - before)), np.nan)
        known |= np.isfinite(change)
        changed |= change >= smallest
    return known, changed


def _with_before(values: np.ndarray, compare: Any) -> np.ndarray:
    """A comparison of each value with the one before it; false (or missing) for the first of all."""
    result = np.zeros(len(values), dtype=float if values.dtype.kind == "f" else bool)
    result[1:] = compare(values[1:], values[:-1])
    return result


def _labels(splits: DatasetDict) -> set[str]:
    occupations = [pc.unique(list_values(career_table(part), "occupation")) for part in splits.values()]
    return {label for some in occupations for label in some.to_pylist()}


def _check_columns(table: pa.Table, signals: Sequence[str], smallest_changes: Mapping[str, float]) -> None:
    """Raises a ValueError if a signal is no column of its kind, or `coding_noise` is there."""
    if CODING_NOISE in table.column_names:
        raise ValueError(f"careers have a column '{CODING_NOISE}' already: take the careers before they were recoded")
    for argument, names, kind in (
        ("signals", signals, "labels"),
        ("smallest_changes", smallest_changes, "numbers"),
    ):
        right = [
            field.name
            for field in table.schema
            if is_list(field.type)
            and is_text(field.type.value_type) == (kind == "labels")
            and field.name not in ("occupation", "year", "weight")
        ]
        if wrong := [name for name in names if name not in right]:
            raise ValueError(f"{argument} has '{wrong[0]}', which is no column of {kind} over time; these are {right}")


__all__ = ["AS_CODED", "CODING_NOISE", "RecodedCareers", "recode_coding_noise"]
