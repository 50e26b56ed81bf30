"""Attention of many continuations of a few careers, each to its own career's past, which is computed and kept once.

Forecasts continue a career along hundreds of paths. With a cache of keys and values for every path, the past would be
copied hundreds of times, and moving those copies costs more than computing the next step. Here the past stands in
memory once for each person, and is attended to in place by all of the person's paths; a path owns its last step alone,
and reads the steps between from the paths that it branched off.

`model.set_attn_implementation("shared_prefix")` selects it; without `continuations` it is Transformers' sdpa.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask


SHARED_PREFIX = "shared_prefix"


class Continuations:
    """Paths that continue some careers, ordered by person, and the keys and values that they attend to.

    Args:
        past: Keys and values of the careers, all of one length, from a call with `use_cache=True`.
        people: `(paths,)`, the career that each path continues, in ascending order.
        ancestors: For every earlier step of the paths, its `(layers, 2, paths then, heads, head size)` keys and
            values, and `(paths,)` which of those paths each path branched off.
    """

    def __init__(
        self,
        past: Cache,
        people: torch.Tensor,
        ancestors: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self.past, self.ancestors, self.people = past, ancestors, people
        self.last_states: torch.Tensor | None = None
        # `(paths, steps, facts)`: what a model that asks for its own history knows of the steps of each path after the
        # career; of those before its last step, and of all.
        self.earlier_steps: torch.Tensor | None = None
        self.own_steps: torch.Tensor | None = None
        # The paths of one person as a row of a grid, so that one product serves a person's paths.
        self.first, last = int(people[0]), int(people[-1])
        sizes = torch.bincount(people - self.first, minlength=last - self.first + 1)
        starts = sizes.cumsum(0) - sizes
        place = torch.arange(len(people), device=people.device)
        width = int(sizes.max())
        self.in_grid = (people - self.first) * width + place - starts[people - self.first]
        self.grid = torch.zeros(len(sizes) * width, dtype=torch.long, device=people.device)
        self.grid[self.in_grid] = place
        self.shape = (len(sizes), width)

    def branch(self, parents: torch.Tensor) -> Continuations:
        """The paths that go on from `parents`, places among these paths in ascending order."""
        earlier = [(states, places[parents]) for states, places in self.ancestors]
        last = [] if self.last_states is None else [(self.last_states, parents)]
        branched = Continuations(self.past, self.people[parents], [*earlier, *last])
        branched.earlier_steps = None if self.own_steps is None else self.own_steps[parents]
        return branched

    def earlier_facts(self, layer: int) -> torch.Tensor:
        """Facts of all steps before the last one of each path, those of its career included, `(paths, steps, facts)`.

        Args:
            layer: The layer of the cache that has those of the careers.
        """
        past: Any = self.past.layers[layer]
        of_careers = past.keys[self.people, 0]
        return of_careers if self.earlier_steps is None else torch.cat([of_careers, self.earlier_steps], dim=1)

    def keep_facts(self, facts: torch.Tensor) -> None:
        """Keeps facts of the last step of each path, `(paths, 1, facts)`, for the paths that branch off."""
        self.own_steps = facts if self.earlier_steps is None else torch.cat([self.earlier_steps, facts], dim=1)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """What the last step of each path attends to in one layer; all shapes are `(paths, heads, 1, head size)`."""
        query, last = query.squeeze(2) * scaling, torch.stack([key.squeeze(2), value.squeeze(2)])
        paths, heads, size = query.shape
        if self.last_states is None:
            self.last_states = last.new_empty(len(self.past.layers), *last.shape)
        self.last_states[layer] = last
        past: Any = self.past.layers[layer]
        keys, values = (states[self.first : self.first + self.shape[0]] for states in (past.keys, past.values))
        suffix = query.new_empty(2, len(self.ancestors) + 1, paths, heads, size)
        for step, (states, places) in enumerate(self.ancestors):
            for kind in (0, 1):
                torch.index_select(states[layer, kind], 0, places, out=suffix[kind, step])
        suffix[:, -1] = last

        in_grid = query.index_select(0, self.grid).view(*self.shape, heads, size).transpose(1, 2)
        to_past = (in_grid @ keys.transpose(2, 3)).transpose(1, 2).flatten(0, 1).index_select(0, self.in_grid)
        to_suffix = (suffix[0] * query).sum(-1).permute(1, 2, 0)
        scores = torch.cat([to_past, to_suffix], dim=-1)
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
        in_grid = weights.index_select(0, self.grid).view(*self.shape, heads, -1).transpose(1, 2)
        attended = (in_grid[..., : keys.shape[2]] @ values).transpose(1, 2).flatten(0, 1).index_select(0, self.in_grid)
        for step, weight in enumerate(weights[..., keys.shape[2] :].unbind(-1)):
            attended.addcmul_(suffix[1, step], weight.unsqueeze(-1))
        return attended


def shared_prefix_forward(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    continuations: Continuations | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Attention of the last steps of `continuations`; query, key and value are `(paths, heads, 1, head size)`."""
    if continuations is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scaling = query.shape[3] ** -0.5 if scaling is None else scaling
    return continuations.attend(module.layer_idx, query, key, value, scaling).unsqueeze(1), None


AttentionInterface.register(SHARED_PREFIX, shared_prefix_forward)
AttentionMaskInterface.register(SHARED_PREFIX, sdpa_mask)
