"""Groups of outcomes, and probabilities of occupations summed by group, for what-if comparisons and moves.

A group is any label: a broad group of occ1990dd (`occupations.crosswalks.groups_of`), a state without work, or a
single occupation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast, get_args

import torch

from ..encoding.processing_career import CareerProcessor
from ..occupations.crosswalks import GroupLevel, groups_of
from ..occupations.crosswalks import groups as broad_groups
from ..occupations.labels import NOT_WORKING


# The group of every occupation, or the name of a grouping: "occupation" for single ones, or a level of `groups_of`.
Groups = Mapping[str, str] | str


def group_matrix(processor: CareerProcessor, groups: Groups = "occupation") -> tuple[list[str], torch.Tensor]:
    """The matrix that turns probabilities of occupations into those of groups: `log_probs.double().exp() @ matrix`.

    Args:
        processor: The model's processor.
        groups: The group of every occupation; or "occupation", where each is its own group, or a level of
            `groups_of`: "group", "major_group" or "census_group".

    Returns:
        Labels of the groups, in the order of `ordered_groups`; and float64 `(vocabulary, groups)`, 1 where the
        occupation is in the group. Special ids are in no group.

    Raises:
        ValueError: An occupation has no group; there is no such level; or occupations are numbers that are no
            occ1990dd codes.
    """
    if isinstance(groups, str) and groups not in ("occupation", *get_args(GroupLevel)):
        raise ValueError(f"groups {groups!r} is none of 'occupation', {', '.join(map(repr, get_args(GroupLevel)))}")
    occupations = {
        label: i for i, label in enumerate(processor.occupations) if i not in set(processor.special_token_ids)
    }
    group_of: Mapping[str, str] = {label: label for label in occupations}
    if isinstance(groups, Mapping):
        group_of = groups
    elif groups != "occupation":
        group_of = groups_of(processor.occupations, cast(GroupLevel, groups))
    ungrouped = [label for label in occupations if label not in group_of]
    if ungrouped:
        raise ValueError(
            f"{len(ungrouped)} occupations have no group, '{ungrouped[0]}' among them: add them to groups"
        )
    labels = ordered_groups(group_of[label] for label in occupations)
    place = {label: column for column, label in enumerate(labels)}
    matrix = torch.zeros(len(processor.occupations), len(labels), dtype=torch.float64)
    for label, i in occupations.items():
        matrix[i, place[group_of[label]]] = 1
    return labels, matrix


def ordered_groups(labels: Iterable[str]) -> list[str]:
    """Distinct labels: broad groups by their codes, then other labels as they come, then states without work."""
    distinct = dict.fromkeys(labels)
    broad = [label for level in get_args(GroupLevel) for label in broad_groups(level).values()]
    order = dict.fromkeys([*broad, *(label for label in distinct if label not in NOT_WORKING), *NOT_WORKING])
    return [label for label in order if label in distinct]
