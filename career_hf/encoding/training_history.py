"""Training stages: counts of every occupation and covariate level in training, kept in the processor's state.

A stage is a mapping for JSON: `stage` (its name), `source` (as `careers.provenance.source_of` returns it), `people`
and `person_years`, `occupation_counts` and `move_counts` (into an occupation from another, by id), `covariate_counts`
(by covariate, by level), and, after training,
`run` (see `training/run_record.py`) and, if it was on a resample of people (`careers/bootstrap.py`), `bootstrap`.
Fine-tuning keeps the earlier stages, so a checkpoint names every source of its training data. A stage that is recorded
twice, as when training is continued, is two entries.

`record_careers` adds `last_year` and `people_hashes`, so that a model that is scored on people it was trained on, or
forecasts years it was trained on, is noticed. A person's hash is of the identifier and the whole career, occupation by
occupation, in 64 bits. Identifiers alone are often small numbers, which anybody could try one by one; a whole career
cannot be guessed so easily, but this is no anonymity: whoever knows somebody's identifier and career can tell whether
this person was trained on, and short careers can be guessed. So the hashes stay in the folders of those who have the
careers, and `round_stage`, with which checkpoints are published, leaves them out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from reprlib import repr as short
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values
from ..careers.provenance import UNKNOWN_SOURCE
from ..careers.shards import CareerShards, table_pieces
from ..careers.splits import are_counts
from ..models.json_fields import check_types


# Of more people the smallest hashes are kept, and only people whose hashes are as small are looked for among them.
MOST_HASHES = 50_000
PEOPLE_AT_ONCE = 100_000


# The fields of a stage that are read again, by type, and those that every stage has.
TYPES = {
    "stage": str,
    "source": dict[str, Any],
    "people": int,
    "person_years": int,
    "occupation_counts": list[int],
    "covariate_counts": list[list[int]],
    "move_counts": list[int],
    "last_year": int | None,
    "people_hashes": str,
    "run": dict[str, Any],
    "counts_rounded_to": int,
    "bootstrap": dict[str, Any],
}
SOURCE_TYPES = {"source": str, "license": str, "redistribution": str, "first_year": int, "last_year": int}
REQUIRED = ("stage", "occupation_counts", "covariate_counts")


def count_stage(
    encoded: pa.Table, name: str, sizes: Sequence[int], source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Counts one training set.

    Args:
        encoded: Encoded careers.
        name: Name of the stage.
        sizes: Number of occupation ids, then of each covariate's levels.
        source: Source of the careers; unknown if None.

    Raises:
        ValueError: If there are ids beyond the sizes.
    """
    labels = list_values(encoded, "labels").to_numpy()
    scored = labels >= 0
    levels = covariate_matrix(encoded)[scored] if len(sizes) > 1 else labels
    moved = scored & (labels != list_values(encoded, "input_ids").to_numpy())
    lengths = list_lengths(encoded, "labels")
    moved[lengths.cumsum() - lengths] = False  # where careers begin
    stage = {
        "stage": name,
        "source": dict(UNKNOWN_SOURCE if source is None else source),
        "people": encoded.num_rows,
        "person_years": int(scored.sum()),
        "occupation_counts": np.bincount(labels[scored], minlength=sizes[0]).tolist(),
        "covariate_counts": [np.bincount(levels[:, i], minlength=n).tolist() for i, n in enumerate(sizes[1:])],
        "move_counts": np.bincount(labels[moved], minlength=sizes[0]).tolist(),
    }
    check_stage(stage, sizes)
    return stage


def sum_counts(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One stage of the parts of a training set, each of which `count_stage` counted."""
    total = dict(stages[0])
    for stage in stages[1:]:
        for name in ("people", "person_years"):
            total[name] += stage[name]
        occupations, levels = sum_stage([total, stage], None)
        total["occupation_counts"] = occupations.tolist()
        total["covariate_counts"] = [counts.tolist() for counts in levels]
        total["move_counts"] = np.add(total["move_counts"], stage["move_counts"]).tolist()
    return total


def record_careers(stage: dict[str, Any], careers: Dataset | CareerShards) -> None:
    """Adds to a stage the last year and the hashes of the careers that it was trained on.

    Careers that are counts of moves are nobody's: they are no people, and have no hashes.

    Args:
        stage: A stage, as `count_stage` returns it; it is changed.
        careers: The training careers, with labels, not ids.
    """
    careers = careers.select_columns(["person", "year", "occupation"])
    last_year, people = None, 0
    for piece in table_pieces(careers):
        table = _people(piece)
        people += table.num_rows
        if table.num_rows:
            year = pc.max(list_values(table, "year")).as_py()
            last_year = year if last_year is None else max(last_year, year)
    if people < len(careers):
        stage["people"] = people
    if last_year is None:
        return
    stage["last_year"] = last_year
    hashes = np.array([], dtype="<u8")
    for piece in table_pieces(careers):
        of_piece, _ = _hashes_of_people(_people(piece), last_year)
        hashes = np.unique(np.concatenate([hashes, of_piece]))[:MOST_HASHES]
    stage["people_hashes"] = base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def _people(table: pa.Table) -> pa.Table:
    """The careers of people, without counts of moves."""
    counts = are_counts(table["person"])
    return table.filter(pa.array(~counts)).combine_chunks() if counts.any() else table


def last_year_of(stage: Mapping[str, Any]) -> int | None:
    """The last year of a stage's training careers; None where it was not recorded."""
    last: int | None = stage.get("last_year", stage.get("source", {}).get("last_year"))
    return last


def people_trained_on(stages: Sequence[Mapping[str, Any]], careers: Dataset) -> tuple[int, int]:
    """How many people of some careers a model was trained on.

    A person counts whose identifier and whole career, as far as the last year of the stage, are those of somebody in
    training, so that years after a cutoff of training, or of a later wave, hide nobody.

    Args:
        stages: Training stages.
        careers: Careers, with labels.

    Returns:
        The number of people who were trained on in any stage, and the number who were looked for: all of them, or
        fewer where a stage had so many people that only some of their hashes were kept; 0 where none were recorded.

    Raises:
        ValueError: The hashes of a stage are damaged.
    """
    table = career_table(careers)
    seen, compared = np.zeros((2, table.num_rows), dtype=bool)
    for stage in stages:
        if "people_hashes" not in stage:
            continue
        try:
            trained = np.frombuffer(base64.b64decode(stage["people_hashes"], validate=True), dtype="<u8")
        except ValueError as error:
            raise ValueError(f"the people_hashes of training stage '{stage['stage']}' are damaged: {error}") from error
        hashes, rows = _hashes_of_people(table, stage["last_year"])
        if len(trained) == MOST_HASHES:
            rows, hashes = rows[hashes <= trained[-1]], hashes[hashes <= trained[-1]]
        compared[rows] = True
        seen[rows[np.isin(hashes, trained)]] = True
    return int(seen.sum()), int(compared.sum())


def _hashes_of_people(table: pa.Table, last_year: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of everybody with a step up to a year, in uint64, and the rows of these people."""
    hashes, rows = [], []
    # A part at a time, because texts of all careers take more memory than careers.
    for first in range(0, table.num_rows, PEOPLE_AT_ONCE):
        part = table.slice(first, PEOPLE_AT_ONCE)
        years, lengths = list_values(part, "year"), list_lengths(part, "year")
        early = years.to_numpy() <= last_year
        steps = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[early], minlength=len(lengths))
        of_part = np.flatnonzero(steps)
        text = pa.large_string()
        labels = list_values(part, "occupation").cast(text).filter(early)
        of_steps = pc.binary_join_element_wise(years.filter(early).cast(text), labels, pa.scalar(":", text))
        offsets = pa.array(np.append(0, steps[of_part].cumsum()), pa.int64())
        careers = pc.binary_join(pa.LargeListArray.from_arrays(offsets, of_steps), pa.scalar("\x1f", text))
        person = part["person"].cast(text).take(pa.array(of_part))
        for career in pc.binary_join_element_wise(person, careers, pa.scalar("\x1f", text)).to_pylist():
            hashes.append(blake2b(career.encode(), digest_size=8, person=b"career_hf").digest())
        rows.append(first + of_part)
    return np.frombuffer(b"".join(hashes), dtype="<u8"), np.concatenate([np.array([], dtype=np.int64), *rows])


def pad_stage(stage: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """A stage for larger vocabularies, in which the appended occupations and levels have counts of zero."""
    counts = [stage["occupation_counts"], *stage["covariate_counts"]]
    counts += [[] for _ in sizes[len(counts) :]]
    padded = [[*count, *[0] * (size - len(count))] for count, size in zip(counts, sizes, strict=True)]
    larger = {**stage, "occupation_counts": padded[0], "covariate_counts": padded[1:]}
    if "move_counts" in stage:
        larger["move_counts"] = [*stage["move_counts"], *[0] * (sizes[0] - len(stage["move_counts"]))]
    return larger


def round_stage(stage: Mapping[str, Any], k: int) -> dict[str, Any]:
    """A stage as it may be published: without hashes of people, and with counts rounded up to multiples of k, so that
    no count reveals fewer than k person-years.

    Positive counts stay positive, which is enough for forecasts. All counts are rounded, because a single exact count
    could be computed from sums of the others. `people` and `person_years` stay as they are.
    """
    stage = {name: value for name, value in stage.items() if name != "people_hashes"}
    if k == 1:
        return stage

    def rounded(counts: Sequence[int]) -> list[int]:
        return [-(-count // k) * k for count in counts]

    return {
        **stage,
        "occupation_counts": rounded(stage["occupation_counts"]),
        "covariate_counts": [rounded(counts) for counts in stage["covariate_counts"]],
        **({"move_counts": rounded(stage["move_counts"])} if "move_counts" in stage else {}),
        "counts_rounded_to": k,
    }


def same_counts(stage: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two stages have the same counts; the counts of `stage` may be rounded."""
    other = round_stage(other, stage.get("counts_rounded_to", 1))
    return all(stage[name] == other[name] for name in ("occupation_counts", "covariate_counts"))


def check_stage(stage: Mapping[str, Any], sizes: Sequence[int]) -> None:
    """Checks that a stage has one count for every id.

    Raises:
        ValueError: If the numbers of counts and ids differ, or a field is missing or has a wrong type.
    """
    check_types(f"training stage {short(stage.get('stage'))}", stage, TYPES, REQUIRED)
    check_types(f"source of training stage {short(stage['stage'])}", stage.get("source", {}), SOURCE_TYPES)
    counted = [len(stage["occupation_counts"]), *map(len, stage["covariate_counts"])]
    if counted != list(sizes):
        raise ValueError(
            f"stage '{stage['stage']}' counts {counted} ids, but the vocabularies have {list(sizes)}: record training "
            "with the processor that encoded its careers, and enlarge a processor with extend"
        )


def sum_stage(stages: Sequence[Mapping[str, Any]], name: str | None) -> tuple[np.ndarray, list[np.ndarray]]:
    """The counts of a stage (the last recorded one if `name` is None), summed over its entries.

    Returns:
        Counts by occupation id, and for each covariate counts by level id.

    Raises:
        ValueError: If the stage is not recorded.
    """
    names = [stage["stage"] for stage in stages]
    name = names[-1] if name is None and names else name
    entries = [stage for stage in stages if stage["stage"] == name]
    if not entries:
        raise ValueError(f"training stage {name!r} is not recorded, only {names}; call record_training when training")
    by_covariate = zip(*(entry["covariate_counts"] for entry in entries), strict=True)
    occupations = np.sum([entry["occupation_counts"] for entry in entries], axis=0)
    return occupations, [np.sum(counts, axis=0) for counts in by_covariate]


def covariate_matrix(encoded: pa.Table) -> np.ndarray:
    """The covariates of encoded careers as `(steps, covariates)` level ids."""
    steps = list_values(encoded, "covariates")
    return steps.flatten().to_numpy().reshape(len(steps), -1)
