"""The earlier occupations of every step of some careers, and what follows from them without learning anything.

A step knows its own past alone: careers that are packed into one row, steps that a mask hides and paths that continue
one career are told apart by a table of ancestors, `(steps, longest)`: the step itself, the one before it, and so on.
What is true of an earlier step (how often its occupation had been held by then) is computed once for that step, and
read by all later ones. Time is in years where the config knows the years of a covariate's levels, otherwise in steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from transformers.cache_utils import Cache, DynamicLayer

from .positions import has_values
from .two_stage import among


# Scores below this hide a step in a four-dimensional mask, as those of job dropout do.
HIDDEN = -1e3
CAREER_FEATURES = (
    "log of years in the occupation",
    "log of steps in the occupation",
    "the first step in the occupation",
    "the second step in the occupation",
    "log of years since the last observation",
    "more than one year since the last observation",
    "log of years since the beginning",
    "log of steps since the beginning",
    "log of the number of occupations so far",
    "occupations per step",
    "moves per step",
    "moves among the last three steps",
    "moves among the last five steps",
    "log of the number of returns",
    "returns per move",
    "the occupation was returned to",
    "log of steps ever in the occupation",
    "share of steps in the occupation",
    "log of the number of spells in the occupation",
    "log of steps in the spell before",
)
SLOT_FEATURES = (
    "log of steps in it",
    "share of all steps",
    "log of the number of its spells",
    "log of steps in its last spell",
    "log of years since it was left",
    "log of the number of occupations since it was left",
    "it is the occupation before the present one",
    "its last spell was entered from the present occupation",
    "its last spell ended in the present occupation",
    "log of the number of occupations so far",
    "log of steps in the present occupation",
    "log of years since the last observation",
)


@dataclass(frozen=True)
class OwnHistory:
    """What some steps know of their own past; every tensor has one row for each of these steps.

    Args:
        features: `(batch, time, features)`, `CAREER_FEATURES`.
        slots: `(batch, time, longest)`, ids of the earlier occupations other than the previous one, each at the place
            of its last step, `pad_token_id` elsewhere.
        slot_features: `(batch, time, longest, features)`, `SLOT_FEATURES` of each.
    """

    features: torch.Tensor
    slots: torch.Tensor
    slot_features: torch.Tensor


def years_of_levels(processor: Any) -> dict[str, list[int]]:
    """The year of every level of a processor's covariate "year", 0 where it is missing, by the name of the covariate.

    Args:
        processor: A `CareerProcessor`.
    """
    name = processor.time_covariate
    if name is None:
        return {}
    levels = processor.covariate_levels[processor.covariate_names.index(name)]
    return {name: [int(level) if level.lstrip("-").isdigit() else 0 for level in levels]}


def own_history(
    config: Any,
    input_ids: torch.Tensor,
    covariates: torch.Tensor | None,
    position_ids: torch.Tensor,
    attention_mask: Any = None,
    cache: Cache | None = None,
    continuations: Any = None,
    counted: bool = False,
) -> OwnHistory:
    """The own history of every step of a batch.

    Args:
        config: A `CareerConfig`.
        input_ids: `(batch, time)`, previous occupations.
        covariates: `(batch, time, covariates)`, or None.
        position_ids: `(batch, time)` or `(1, time)`; they restart where another career begins.
        attention_mask: `(batch, past + time)`, or `(batch, 1, time, time)` where it says which steps are seen; or
            None.
        cache: A cache, whose layer after the model's own keeps ids, years and positions of earlier steps.
        continuations: Paths that continue careers (`forecasting.shared_prefix.Continuations`), or None.
        counted: Whether positions were counted from the first column, so that nothing restarts.
    """
    batch, time = input_ids.shape
    positions = position_ids.expand(batch, -1)
    years = torch.zeros_like(positions)
    if covariates is not None:
        for name, values in config.level_years.items():
            table = torch.tensor(values, device=covariates.device)
            years = table[covariates[..., config.covariate_names.index(name)]]
    steps = torch.stack([input_ids, years, positions.to(input_ids.dtype)], dim=-1)
    if continuations is not None:
        steps = continuations.follow(steps, config.num_hidden_layers)
    elif cache is not None:
        if len(cache.layers) == config.num_hidden_layers:
            cache.layers.append(DynamicLayer())
        steps, _ = cache.update(steps.unsqueeze(1), steps[..., :0].unsqueeze(1), config.num_hidden_layers)
        steps = steps.squeeze(1)
    joined = continuations is not None or cache is not None
    ancestors, seen = _ancestors(steps[..., 2], attention_mask, joined, counted and not joined)
    return _known(config, steps, ancestors, seen, time)


def _ancestors(
    positions: torch.Tensor, attention_mask: Any, one_career: bool, counted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of each step's ancestors in the flattened batch, `(steps, longest)`, and which of them there are.

    Args:
        positions: `(batch, time)`.
        attention_mask: As in `own_history`.
        one_career: Whether rows have one career each, perhaps after padding.
        counted: Whether they have nothing else.
    """
    batch, time = positions.shape
    steps = torch.arange(time, device=positions.device)
    mask = attention_mask if isinstance(attention_mask, torch.Tensor) else None
    if mask is not None and mask.dim() == 4:
        visible = mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] > HIDDEN
        places = torch.where(visible & (steps <= steps[:, None]), steps, -1).expand(batch, -1, -1)
        places = F.pad(places.sort(-1, descending=True).values, (0, 1), value=-1)
        rows = torch.arange(batch, device=positions.device).view(-1, 1, 1) * time
        return (places.clamp(min=0) + rows).flatten(0, 1), (places >= 0).flatten(0, 1)
    if counted and mask is None:
        age = steps.repeat(batch, 1)
    else:
        change = positions.diff(dim=-1)
        begins = change < 1 if one_career or mask is not None else change != 1
        if mask is not None and mask.dim() == 2:
            begins = begins | ~mask[:, -time:-1].bool()
        start = torch.where(F.pad(begins, (1, 0), value=True), steps, 0).cummax(-1).values
        age = steps - start
    longest = int(age.max()) + 1 if has_values(age) else time
    back = torch.arange(max(longest, 2) if has_values(age) else longest + 1, device=positions.device)
    places = torch.arange(batch * time, device=positions.device).unsqueeze(-1) - back
    return places.clamp(min=0), back <= age.flatten().unsqueeze(-1)


def _known(config: Any, steps: torch.Tensor, ancestors: torch.Tensor, seen: torch.Tensor, time: int) -> OwnHistory:
    """What the last `time` steps of every row know, from ids, years and positions of all, `(batch, all, 3)`."""
    ids, years, positions = steps.flatten(0, 1).unbind(-1)
    batch, longest = steps.shape[0], ancestors.shape[-1]
    is_occupation = ~among(ids, config.special_token_ids)
    back = torch.arange(longest, device=ids.device)

    # Facts of every step, which later ones read.
    same = (ids[ancestors] == ids.unsqueeze(-1)) & seen
    steps_ever, run = same.sum(-1), torch.where(same, longest, back).amin(-1)
    parent, has_parent = ancestors[:, 1], seen[:, 1]
    begins = ~same[:, 1]
    spells = (same & begins[ancestors]).sum(-1)
    dated = (years > 0) & (years[parent] > 0)
    gap = torch.where(dated, years - years[parent], positions - positions[parent]).clamp(min=0) * has_parent
    move = begins & has_parent & is_occupation & is_occupation[parent]
    came_back = move & (spells > 1)
    inside = torch.where(run < longest, run, 0).unsqueeze(-1)
    before = ancestors.gather(-1, inside).squeeze(-1)
    has_before = seen.gather(-1, inside).squeeze(-1) & (run < longest)
    origin = torch.where(has_before, ids[before], -1)
    # How many steps ago the same occupation was held before.
    ago = torch.where(same[:, 1:], back[1:], longest).amin(-1)

    # What the last steps of every row know.
    own, there = ancestors, seen
    if steps.shape[1] != time:
        own, there = (of_all.view(batch, -1, longest)[:, -time:].flatten(0, 1) for of_all in (own, there))
    now = own[:, 0]
    gaps = gap[own] * there
    since = gaps.cumsum(-1) - gaps
    earlier = back + ago[own]
    earlier = torch.where(there & (earlier < longest), earlier, longest)
    held_later = torch.zeros(own.shape[0], longest + 1, device=ids.device, dtype=torch.long).scatter(-1, earlier, 1)
    is_last = (held_later[:, :longest] == 0) & there & is_occupation[own]
    occupations, number = is_last.sum(-1), there.sum(-1)
    rank = is_last.long().cumsum(-1) - 1
    moves, returns = move[own] & there, came_back[own] & there
    numbers, move_count, return_count = number.float(), moves.sum(-1).float(), returns.sum(-1).float()
    years_in = since.gather(-1, (run[now] - 1).unsqueeze(-1)).squeeze(-1)
    length_before = torch.where(has_before & is_occupation[before], run[before], 0)[now]
    working = is_occupation[now]

    def log(values: torch.Tensor) -> torch.Tensor:
        return values.float().log1p()

    features = torch.stack(
        [
            log(years_in),
            log(run[now] * working),
            ((run[now] == 1) & working).float(),
            (run[now] == 2).float(),
            log(gap[now]),
            (gap[now] > 1).float(),
            log(since.amax(-1)),
            log(number - 1),
            log(occupations),
            occupations / numbers,
            move_count / numbers,
            (moves & (back < 3)).sum(-1) / 3,
            (moves & (back < 5)).sum(-1) / 5,
            log(return_count),
            return_count / move_count.clamp(min=1),
            came_back[now].float(),
            log(steps_ever[now] * working),
            steps_ever[now] * working / numbers,
            log(spells[now] * working),
            log(length_before),
        ],
        dim=-1,
    )

    is_slot = is_last & (back > 0)
    followed_by = ids[own.index_select(1, (back - 1).clamp(min=0))]
    slot_features = torch.stack(
        [
            log(steps_ever[own]),
            steps_ever[own] / numbers.unsqueeze(-1),
            log(spells[own]),
            log(run[own]),
            log(since),
            log(rank.clamp(min=0)),
            (rank == 1).float(),
            (origin[own] == ids[now].unsqueeze(-1)).float(),
            (followed_by == ids[now].unsqueeze(-1)).float(),
            log(occupations).unsqueeze(-1).expand(-1, longest),
            log(run[now]).unsqueeze(-1).expand(-1, longest),
            log(gap[now]).unsqueeze(-1).expand(-1, longest),
        ],
        dim=-1,
    )
    slots = torch.where(is_slot, ids[own], config.pad_token_id)
    return OwnHistory(
        features.view(batch, time, -1),
        slots.view(batch, time, longest),
        slot_features.view(batch, time, longest, -1),
    )


__all__ = ["CAREER_FEATURES", "SLOT_FEATURES", "OwnHistory", "own_history", "years_of_levels"]
