"""Training stages: counts of every occupation and covariate level in training, kept in the processor's state.

A stage is a mapping for JSON: `stage` (its name), `source` (as `careers.provenance.source_of` returns it), `people`
and `person_years`, `occupation_counts` (by id) and `covariate_counts` (by covariate, by level), and, after training,
`run` (see `training/run_record.py`). Fine-tuning keeps the earlier stages, so a checkpoint names every source of its
training data. A stage that is recorded twice, as when training is continued, is two entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..careers.columns import list_values


# The source of a stage that was recorded without one.
UNKNOWN_SOURCE: Mapping[str, Any] = {"source": "unknown", "license": "unknown", "redistribution": "unknown"}


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
    stage = {
        "stage": name,
        "source": dict(UNKNOWN_SOURCE if source is None else source),
        "people": encoded.num_rows,
        "person_years": int(scored.sum()),
        "occupation_counts": np.bincount(labels[scored], minlength=sizes[0]).tolist(),
        "covariate_counts": [np.bincount(levels[:, i], minlength=n).tolist() for i, n in enumerate(sizes[1:])],
    }
    check_stage(stage, sizes)
    return stage


def pad_stage(stage: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """A stage for larger vocabularies, in which the appended occupations and levels have counts of zero."""
    counts = [stage["occupation_counts"], *stage["covariate_counts"]]
    counts += [[] for _ in sizes[len(counts) :]]
    padded = [[*count, *[0] * (size - len(count))] for count, size in zip(counts, sizes, strict=True)]
    return {**stage, "occupation_counts": padded[0], "covariate_counts": padded[1:]}


def round_stage(stage: Mapping[str, Any], k: int) -> dict[str, Any]:
    """A stage whose counts are rounded up to multiples of k, so that no count reveals fewer than k person-years.

    Positive counts stay positive, which is enough for forecasts. All counts are rounded, because a single exact count
    could be computed from sums of the others. `people` and `person_years` stay as they are.
    """
    if k == 1:
        return dict(stage)

    def rounded(counts: Sequence[int]) -> list[int]:
        return [-(-count // k) * k for count in counts]

    return {
        **stage,
        "occupation_counts": rounded(stage["occupation_counts"]),
        "covariate_counts": [rounded(counts) for counts in stage["covariate_counts"]],
        "counts_rounded_to": k,
    }


def same_counts(stage: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two stages have the same counts; the counts of `stage` may be rounded."""
    other = round_stage(other, stage.get("counts_rounded_to", 1))
    return all(stage[name] == other[name] for name in ("occupation_counts", "covariate_counts"))


def check_stage(stage: Mapping[str, Any], sizes: Sequence[int]) -> None:
    """Checks that a stage has one count for every id.

    Raises:
        ValueError: If the numbers of counts and ids differ.
    """
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
