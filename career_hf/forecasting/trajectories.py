"""Trajectories of careers, sampled from any occupation model without computing anything twice.

Every trajectory has random numbers of its own, one for each step, and takes each step as it would alone. But those
that have gone the same way so far are one path, for which the model is asked once: trajectories that agree can only
differ in what they draw next. So the result is that of sampling every trajectory by itself, at a fraction of the work,
and the counts of the paths that branch off a path are a multinomial draw (Binomial for staying, then the moves).

Paths are followed depth first, some at a time, which bounds memory; and the past that a person's paths share is read
once (`shared_prefix.py`), where the model's attention allows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..evaluation.transition_table import check_log_probs
from ..models.modeling_outputs import CACHE
from .jackknife import GROUPS, group_of, log_correction
from .shared_prefix import Continuations


Estimator = Literal["conditional", "frequency"]


@dataclass(frozen=True)
class Paths:
    """Distinct ways that people's careers go on, ordered by person; tensors.

    Args:
        people: `(paths,)`, the person whose path it is.
        previous: `(paths,)`, the last occupation.
        share: `(paths,)`, how much of the person's probability, or of the person's trajectories, goes this way.
        samples: `(trajectories,)`, ordered by path: person x trajectories of a person + number.
        path_of_sample: `(trajectories,)`, which of these paths each follows.
    """

    people: torch.Tensor
    previous: torch.Tensor
    share: torch.Tensor
    samples: torch.Tensor
    path_of_sample: torch.Tensor


class WholeHistories:
    """Asks a model without a cache: every path's whole history, each time.

    Args:
        model: An occupation model.
        histories: `(people, time)`, the beginning-of-career id and all occupations so far.
        levels: `(people, time + steps - 1, covariates)`, x_1 to the last step ahead, or None.
    """

    def __init__(self, model: PreTrainedModel, histories: torch.Tensor, levels: torch.Tensor | None) -> None:
        self.model, self.histories, self.levels = model, histories, levels
        # A Markov chain says how many occupations it remembers, and need not be told more.
        self.memory = getattr(model.config, "order", None) if levels is None else None

    def tokens_per_path(self, step: int) -> int:
        """How many steps of a career a call reads for each path, `step` steps ahead."""
        return self.histories.shape[1] + step if self.memory is None else self.memory

    def begin(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of each person's next step, `(people, vocabulary)`, and what `go_on` needs."""
        return self._read(self.histories, torch.arange(len(self.histories), device=self.histories.device))

    def go_on(
        self, state: torch.Tensor, parents: torch.Tensor, paths: Paths, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for paths that go on from `parents`, places among the paths of `state`."""
        return self._read(torch.cat([state[parents], paths.previous.unsqueeze(1)], dim=1), paths.people)

    def _read(self, input_ids: torch.Tensor, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.memory is not None:
            input_ids = input_ids[:, -self.memory :].contiguous()
        covariates = None if self.levels is None else self.levels[people, : input_ids.shape[1]]
        return self.model(input_ids=input_ids, covariates=covariates).logits[:, -1], input_ids


class SharedPast:
    """Asks a model under "shared_prefix" attention, which reads a person's past once; arguments as above."""

    def __init__(self, model: PreTrainedModel, histories: torch.Tensor, levels: torch.Tensor | None) -> None:
        self.model, self.histories, self.levels = model, histories, levels

    def tokens_per_path(self, step: int) -> int:
        return 1

    def begin(self) -> tuple[torch.Tensor, Continuations]:
        covariates = None if self.levels is None else self.levels[:, : self.histories.shape[1]]
        output = self.model(input_ids=self.histories, covariates=covariates, use_cache=True)
        people = torch.arange(len(self.histories), device=self.histories.device)
        return output.logits[:, -1], Continuations(output[CACHE], people, [])

    def go_on(
        self, state: Continuations, parents: torch.Tensor, paths: Paths, step: int
    ) -> tuple[torch.Tensor, Continuations]:
        continuations = state.branch(parents)
        place = self.histories.shape[1] - 1 + step
        covariates = None if self.levels is None else self.levels[paths.people, place].unsqueeze(1)
        input_ids = paths.previous.unsqueeze(1)
        output = self.model(
            input_ids=input_ids,
            covariates=covariates,
            position_ids=torch.full_like(input_ids, place),
            continuations=continuations,
        )
        return output.logits[:, -1], continuations


class TrajectorySampler:
    """Trajectories of people whose histories are equally long, and probabilities of occupations that follow from them.

    Args:
        reader: `WholeHistories` or `SharedPast`, which hold model and people.
        uniforms: `(people, steps, trajectories)` random numbers in [0, 1), float64.
        wanted: Steps whose probabilities are wanted.
        estimator: See `forecast`.
        exact_steps: See `forecast`.
        draw_last: Whether the last step's occupations are wanted too.
        batch_tokens: Steps that one call of the model reads at most.

    Attributes, after `run`:
        probability: `(people, steps, vocabulary)`, float64. A model may give special ids a part of it, as the original
            program does, though nobody's path goes through them.
        standard_error: Likewise.
        log_correction, log_error: Likewise: what has to be added to the log of a probability, which sampling makes too
            low, and the standard error of the sum (`jackknife.py`).
        drawn: `(people, trajectories, steps)`, the occupation ids of every trajectory; not of the last step, unless
            `draw_last`.
    """

    def __init__(
        self,
        reader: WholeHistories | SharedPast,
        uniforms: torch.Tensor,
        wanted: list[bool],
        estimator: Estimator,
        exact_steps: int,
        draw_last: bool,
        batch_tokens: int,
    ) -> None:
        self.reader, self.uniforms, self.wanted = reader, uniforms, wanted
        self.estimator, self.exact_steps, self.batch_tokens = estimator, exact_steps, batch_tokens
        people, self.steps, self.trajectories = uniforms.shape
        config = reader.model.config
        # A model may leave special ids in its softmax. They have a probability, as in `evaluate`, but are no
        # occupations: what is drawn is an occupation, with the probability that it has among occupations.
        self.special = torch.tensor(config.special_token_ids, device=uniforms.device)
        self.draw_last = draw_last or estimator == "frequency"
        shape = (people, self.steps, config.vocab_size)
        self.probability = torch.zeros(shape, dtype=torch.float64, device=uniforms.device)
        self.squares = torch.zeros_like(self.probability)
        # What groups of trajectories add to the probabilities of steps that are sampled.
        self.of_groups = {
            step: self.probability.new_zeros(people, GROUPS, config.vocab_size)
            for step in range(exact_steps, self.steps)
            if wanted[step]
        }
        self.drawn = torch.zeros(people * self.trajectories, self.steps, dtype=torch.long, device=uniforms.device)

    def run(self) -> TrajectorySampler:
        """Samples, and computes what the attributes hold."""
        logits, state = self.reader.begin()
        people = torch.arange(len(self.uniforms), device=self.uniforms.device)
        everyone = people.repeat_interleave(self.trajectories)
        samples = torch.arange(len(everyone), device=everyone.device)
        whole = torch.ones(len(people), device=people.device)
        self._explore(logits, state, Paths(people, self.reader.histories[:, -1], whole, samples, everyone), 0)
        self.drawn = self.drawn.view(len(people), self.trajectories, self.steps)
        if self.estimator == "frequency":
            self._count()
        for step, sums in self.of_groups.items():
            self.probability[:, step] = sums.sum(1)
        variance = (self.squares - self.probability**2).clamp(min=0)
        variance[:, : self.exact_steps] = 0
        self.standard_error = (variance / (self.trajectories - 1)).sqrt()
        self.log_correction, self.log_error = torch.zeros_like(variance), torch.zeros_like(variance)
        for step, sums in self.of_groups.items():
            p = self.probability[:, step]
            relative_error = self.standard_error[:, step] / p.where(p > 0, 1)
            found = log_correction(sums, relative_error, self.trajectories)
            self.log_correction[:, step], self.log_error[:, step] = found
        return self

    def _count(self) -> None:
        """Takes how often occupations were drawn for their probabilities."""
        numbers = torch.arange(self.trajectories, device=self.drawn.device)
        for step, sums in self.of_groups.items():
            cell = group_of(numbers, self.trajectories) * sums.shape[2] + self.drawn[..., step]
            share = torch.full_like(cell, 1 / self.trajectories, dtype=sums.dtype)
            sums.view(len(sums), -1).scatter_add_(1, cell, share)
            self.squares[:, step] = sums.sum(1)

    def _explore(self, logits: torch.Tensor, state: Any, paths: Paths, step: int) -> None:
        """Takes a step from `paths`, and then all further ones."""
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32))
        check_log_probs(log_probs)
        if self.wanted[step] and (self.estimator == "conditional" or step < self.exact_steps):
            self._add(log_probs.exp(), paths, step)
        last = step + 1 == self.steps
        if last and not self.draw_last:
            return
        p = log_probs.index_fill(1, self.special, -torch.inf).softmax(-1)
        person, number = paths.samples // self.trajectories, paths.samples % self.trajectories
        occupations = draw(p, paths.previous, paths.path_of_sample, self.uniforms[person, step, number])
        self.drawn[paths.samples, step] = occupations
        if last:
            return
        branch = self._enumerate if step + 1 < self.exact_steps else self._gather
        parents, children = branch(p, paths, occupations)
        del p, log_probs
        limit = max(1, self.batch_tokens // self.reader.tokens_per_path(step + 1))
        for places, piece in pieces(children, limit):
            logits, states = self.reader.go_on(state, parents[places], piece, step + 1)
            self._explore(logits, states, piece, step + 1)

    def _add(self, p: torch.Tensor, paths: Paths, step: int) -> None:
        """Adds what the paths say about a step to their people's probabilities."""
        people = slice(int(paths.people[0]), int(paths.people[-1]) + 1)
        rows = torch.arange(len(p), device=p.device)
        if step < self.exact_steps:
            self.probability[people, step] += _sums(p, rows, paths.share, paths.people, people)
            return
        self.squares[people, step] += _sums(p.square(), rows, paths.share, paths.people, people)
        # A path has a row in each group that some of its trajectories are in.
        group = group_of(paths.samples % self.trajectories, self.trajectories)
        key, counts = (paths.path_of_sample * GROUPS + group).unique(return_counts=True)
        rows = key // GROUPS
        bag, order = (paths.people[rows] * GROUPS + key % GROUPS).sort(stable=True)
        bags = slice(people.start * GROUPS, people.stop * GROUPS)
        sums = _sums(p, rows[order], counts[order] / self.trajectories, bag, bags)
        self.of_groups[step][people] += sums.view(-1, GROUPS, p.shape[1])

    def _gather(self, p: torch.Tensor, paths: Paths, occupations: torch.Tensor) -> tuple[torch.Tensor, Paths]:
        """The paths that trajectories went: for each its parent among `paths`, and itself."""
        key, order = (paths.path_of_sample * p.shape[1] + occupations).sort()
        key, path_of_sample, counts = key.unique_consecutive(return_inverse=True, return_counts=True)
        parents, previous = key // p.shape[1], key % p.shape[1]
        share = counts.to(p) / self.trajectories
        return parents, Paths(paths.people[parents], previous, share, paths.samples[order], path_of_sample)

    def _enumerate(self, p: torch.Tensor, paths: Paths, occupations: torch.Tensor) -> tuple[torch.Tensor, Paths]:
        """All paths that are possible, each with its probability."""
        parents, previous = p.nonzero(as_tuple=True)
        place = torch.zeros(p.shape, dtype=torch.long, device=p.device)
        place[parents, previous] = torch.arange(len(parents), device=p.device)
        path_of_sample, order = place[paths.path_of_sample, occupations].sort()
        share = paths.share[parents] * p[parents, previous]
        return parents, Paths(paths.people[parents], previous, share, paths.samples[order], path_of_sample)


def _sums(
    values: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor, bag: torch.Tensor, bags: slice
) -> torch.Tensor:
    """Weighted sums of rows of `values` in each of the `bags`, to which the rows belong in ascending order."""
    starts = torch.searchsorted(bag, torch.arange(bags.start, bags.stop, device=bag.device))
    return F.embedding_bag(rows, values, starts, mode="sum", per_sample_weights=weight.to(values))


def draw(p: torch.Tensor, previous: torch.Tensor, rows: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Draws an occupation for each trajectory: stay or not, and only for those who move, where.

    Args:
        p: `(paths, vocabulary)` probabilities.
        previous: `(paths,)`, the occupation in which one stays.
        rows: `(trajectories,)`, the path of each.
        uniforms: `(trajectories,)` in [0, 1), float64.

    Returns:
        `(trajectories,)` occupation ids.
    """
    stay = p.gather(1, previous.unsqueeze(1)).squeeze(1).double()[rows]
    occupations = previous[rows]
    movers = (uniforms >= stay).nonzero().squeeze(1)
    if len(movers) == 0:
        return occupations
    moving, row = rows[movers].unique_consecutive(return_inverse=True)
    moves = p[moving].scatter(1, previous[moving].unsqueeze(1), 0)
    # One increasing sequence for all rows: row i goes from i to i + 1. So one binary search serves all draws.
    cumulative = moves.cumsum(1).double()
    cumulative /= cumulative[:, -1:].clone()
    cumulative += torch.arange(len(moving), device=p.device).unsqueeze(1)
    # What is left of a mover's number is uniform again; it stays short of 1, which would be in the next row.
    left = ((uniforms[movers] - stay[movers]) / (1 - stay[movers])).clamp(max=1 - 1e-9)
    place = torch.searchsorted(cumulative.view(-1), left + row, right=True)
    occupations[movers] = place - row * p.shape[1]
    return occupations


def pieces(paths: Paths, limit: int) -> Iterator[tuple[slice, Paths]]:
    """Cuts paths into as few equal pieces of at most `limit` as there can be, each with its place."""
    count = -(-len(paths.people) // limit)
    for i in range(count):
        places = slice(len(paths.people) * i // count, len(paths.people) * (i + 1) // count)
        ends = torch.tensor([places.start, places.stop], device=paths.people.device)
        samples = slice(*torch.searchsorted(paths.path_of_sample, ends).tolist())
        yield (
            places,
            Paths(
                paths.people[places],
                paths.previous[places],
                paths.share[places],
                paths.samples[samples],
                paths.path_of_sample[samples] - places.start,
            ),
        )
