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
# How many steps ago an occupation was held that was not.
NEVER = 2**31 - 1
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
        cache: A cache, whose layer after the model's own keeps the facts of earlier steps.
        continuations: Paths that continue careers (`forecasting.shared_prefix.Continuations`), or None.
        counted: Whether positions were counted from the first column, so that nothing restarts.
    """
    batch, time = input_ids.shape
    positions = position_ids.expand(batch, -1)
    years = torch.zeros_like(positions, dtype=torch.long)
    if covariates is not None:
        for name, values in config.level_years.items():
            table = torch.tensor(values, device=covariates.device)
            years = table[covariates[..., config.covariate_names.index(name)]]
    steps = torch.stack([input_ids.long(), years, positions.long()], dim=-1)
    earlier = None
    if continuations is not None:
        earlier = continuations.earlier_facts(config.num_hidden_layers)
    elif cache is not None:
        if len(cache.layers) == config.num_hidden_layers:
            cache.layers.append(DynamicLayer())
        if cache.get_seq_length():
            earlier_facts: Any = cache.layers[config.num_hidden_layers].keys
            if earlier_facts is None:
                raise ValueError(
                    "this cache knows nothing of the occupations of earlier steps, because another model made it: "
                    "begin with a call of this model and use_cache=True"
                )
            earlier = earlier_facts.squeeze(1)
    every = steps if earlier is None else torch.cat([earlier[..., :3], steps], dim=1)
    joined = continuations is not None or cache is not None
    ancestors, seen = _ancestors(every[..., 2], attention_mask, joined, counted and not joined, time)
    facts = _facts(config, steps.flatten(0, 1), every.flatten(0, 1), ancestors, seen)
    of_batch = facts.view(batch, time, -1)
    if continuations is not None:
        continuations.keep_facts(of_batch)
    elif cache is not None:
        cache.update(of_batch.unsqueeze(1), of_batch[..., :0].unsqueeze(1), config.num_hidden_layers)
    known = facts if earlier is None else torch.cat([earlier, of_batch], dim=1).flatten(0, 1)
    return _known(config, known, ancestors, seen, batch, time)


def _ancestors(
    positions: torch.Tensor, attention_mask: Any, one_career: bool, counted: bool, new: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of each step's ancestors in the flattened batch, `(steps, longest)`, and which of them there are.

    Args:
        positions: `(batch, time)`.
        attention_mask: As in `own_history`.
        one_career: Whether rows have one career each, perhaps after padding.
        counted: Whether they have nothing else.
        new: Number of steps at the end of each row whose ancestors are wanted.
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
    places = torch.arange(batch * time, device=positions.device)
    if new != time:
        places, age = places.view(batch, time)[:, -new:].flatten(), age[:, -new:]
    return (places.unsqueeze(-1) - back).clamp(min=0), back <= age.flatten().unsqueeze(-1)


def _facts(
    config: Any, steps: torch.Tensor, every: torch.Tensor, ancestors: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """What is true of some steps, from their own past alone, `(steps, facts)` as `_known` reads them.

    Args:
        config: A `CareerConfig`.
        steps: `(steps, 3)`, ids, years and positions.
        every: `(all steps, 3)`, those of all steps.
        ancestors, seen: From `_ancestors`.
    """
    (ids, years, positions), (all_ids, all_years, all_positions) = steps.unbind(-1), every.unbind(-1)
    longest = ancestors.shape[-1]
    back = torch.arange(longest, device=ids.device)
    chain = all_ids[ancestors]
    same = (chain == ids.unsqueeze(-1)) & seen
    run = torch.where(same, longest, back).amin(-1)
    # Of an ancestor, whether a spell begins there.
    goes_on = (chain[:, 1:] == chain[:, :-1]) & seen[:, 1:]
    spells = same.sum(-1) - (same[:, :-1] & goes_on).sum(-1)
    parent, has_parent = ancestors[:, 1], seen[:, 1]
    dated = (years > 0) & (all_years[parent] > 0)
    gap = torch.where(dated, years - all_years[parent], positions - all_positions[parent]).clamp(min=0) * has_parent
    are_occupations = ~among(torch.stack([ids, chain[:, 1]]), config.special_token_ids)
    move = ~same[:, 1] & has_parent & are_occupations.all(0)
    inside = torch.where(run < longest, run, 0).unsqueeze(-1)
    has_before = seen.gather(-1, inside).squeeze(-1) & (run < longest)
    origin = torch.where(has_before, chain.gather(-1, inside).squeeze(-1), -1)
    ago = torch.where(same[:, 1:], back[1:], NEVER).amin(-1)
    found = [ids, years, positions, same.sum(-1), run, spells, gap, move, move & (spells > 1), origin, ago]
    return torch.stack([fact.to(ids.dtype) for fact in found], dim=-1)


def _known(
    config: Any, facts: torch.Tensor, ancestors: torch.Tensor, seen: torch.Tensor, batch: int, time: int
) -> OwnHistory:
    """What some steps know, from the facts of all steps, `(all steps, facts)`, and their ancestors."""
    ids, _, _, steps_ever, run, spells, gap, move, came_back, origin, ago = facts.unbind(-1)
    move, came_back = move.bool(), came_back.bool()
    longest = ancestors.shape[-1]
    back = torch.arange(longest, device=ids.device)
    now, own_ids, own_runs = ancestors[:, 0], ids[ancestors], run[ancestors]
    is_occupation = ~among(own_ids, config.special_token_ids)
    gaps = gap[ancestors] * seen
    since = gaps.cumsum(-1) - gaps
    # Ancestors whose occupation was held later too.
    earlier = back + ago[ancestors]
    earlier = torch.where(seen & (earlier < longest), earlier, longest)
    held_later = torch.zeros(now.shape[0], longest + 1, device=ids.device, dtype=torch.long).scatter(-1, earlier, 1)
    is_last = (held_later[:, :longest] == 0) & seen & is_occupation
    occupations, number = is_last.sum(-1), seen.sum(-1)
    rank = is_last.long().cumsum(-1) - 1
    moves, returns = move[ancestors] & seen, came_back[ancestors] & seen
    numbers, move_count, return_count = number.float(), moves.sum(-1).float(), returns.sum(-1).float()
    years_in = since.gather(-1, (run[now] - 1).unsqueeze(-1)).squeeze(-1)
    spell_before = torch.where(run[now] < longest, run[now], 0).unsqueeze(-1)
    length_before = (own_runs * (seen & is_occupation)).gather(-1, spell_before).squeeze(-1) * (run[now] < longest)
    working = is_occupation[:, 0]

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
    followed_by = own_ids.index_select(1, (back - 1).clamp(min=0))
    slot_features = torch.stack(
        [
            log(steps_ever[ancestors]),
            steps_ever[ancestors] / numbers.unsqueeze(-1),
            log(spells[ancestors]),
            log(own_runs),
            log(since),
            log(rank.clamp(min=0)),
            (rank == 1).float(),
            (origin[ancestors] == ids[now].unsqueeze(-1)).float(),
            (followed_by == ids[now].unsqueeze(-1)).float(),
            log(occupations).unsqueeze(-1).expand(-1, longest),
            log(run[now]).unsqueeze(-1).expand(-1, longest),
            log(gap[now]).unsqueeze(-1).expand(-1, longest),
        ],
        dim=-1,
    )
    slots = torch.where(is_slot, own_ids, config.pad_token_id)
    return OwnHistory(
        features.view(batch, time, -1),
        slots.view(batch, time, longest),
        slot_features.view(batch, time, longest, -1),
    )


__all__ = ["CAREER_FEATURES", "SLOT_FEATURES", "OwnHistory", "own_history", "years_of_levels"]
