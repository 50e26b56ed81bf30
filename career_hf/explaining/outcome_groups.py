"""Groups of outcomes, and probabilities of occupations added up by them: for what-if comparisons and moves.

A group is any label: a broad group of occ1990dd (`sources.crosswalks.groups_of`), a state without work, or a single
occupation, which is what it is without a mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast, get_args

import torch

from ..occupations.crosswalks import GroupLevel, groups_of
from ..occupations.crosswalks import groups as broad_groups
from ..occupations.labels import NOT_WORKING


if TYPE_CHECKING:
    from ..encoding.processing_career import CareerProcessor


def group_matrix(
    processor: CareerProcessor, groups: Mapping[str, str] | None = None
) -> tuple[list[str], torch.Tensor]:
    """What turns probabilities of occupations into those of groups: `log_probs.double().exp() @ matrix`.

    Args:
        processor: The model's processor.
        groups: Group of every occupation; each occupation is its own group without it.

    Returns:
        Labels of the groups, in the order of `in_order`; and float64 `(vocabulary, groups)`, 1 where the occupation is
        of the group. Special ids are in none.

    Raises:
        ValueError: An occupation has no group.
    """
    occupations = {
        label: i for i, label in enumerate(processor.occupations) if i not in set(processor.special_token_ids)
    }
    group_of = {label: label for label in occupations} if groups is None else groups
    without = [label for label in occupations if label not in group_of]
    if without:
        raise ValueError(f"{len(without)} occupations have no group, '{without[0]}' among them: add them to groups")
    labels = in_order(group_of[label] for label in occupations)
    place = {label: column for column, label in enumerate(labels)}
    matrix = torch.zeros(len(processor.occupations), len(labels), dtype=torch.float64)
    for label, i in occupations.items():
        matrix[i, place[group_of[label]]] = 1
    return labels, matrix


def outcome_groups(processor: CareerProcessor, level: str) -> dict[str, str] | None:
    """The groups that a command is asked for.

    Args:
        processor: The model's processor.
        level: "occupation" for single ones, or a level of `sources.crosswalks.groups_of`.

    Returns:
        What `group_matrix` takes.

    Raises:
        ValueError: There is no such level, or occupations are numbers that are no occ1990dd codes.
    """
    if level == "occupation":
        return None
    if level not in get_args(GroupLevel):
        raise ValueError(f"groups {level!r} is none of 'occupation', {', '.join(map(repr, get_args(GroupLevel)))}")
    return groups_of(processor.occupations, cast(GroupLevel, level))


def in_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels: broad groups by their codes, then others as they come, states without work last."""
    found = dict.fromkeys(labels)
    broad = [label for level in get_args(GroupLevel) for label in broad_groups(level).values()]
    order = dict.fromkeys([*broad, *(label for label in found if label not in NOT_WORKING), *NOT_WORKING])
    return [label for label in order if label in found]


__all__ = ["group_matrix", "in_order", "outcome_groups"]
