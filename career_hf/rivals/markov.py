"""Markov chains of first and second order, counted and smoothed as in Appendices A and G of the paper.

    first order    p(j | i)    = w1 count(i, j) / count(i, .)       + (1 - w1) f(j)       w1 = .99
    second order   p(j | h, i) = w2 count(h, i, j) / count(h, i, .) + (1 - w2) p(j | i)   w2 = .5

f is the distribution of occupations over all steps. A career starts from the beginning-of-career id, which is a
context like any other, so first occupations are smoothed too. A context that training never saw has the next simpler
distribution alone. Two things differ from the paper: f adds `pseudo_count` to the count of every occupation, because
with plain frequencies an occupation that training never saw has probability zero and one such step makes perplexity
infinite; and `tune_weight` can choose w1 and w2 on validation careers.

Only nonzero counts are stored: their number grows with the data, not with the vocabulary cubed.
"""

import itertools
from collections.abc import Iterable
from typing import Self

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.strict_config import number, one_of, size, strict_config
from ..models.two_stage import IMPOSSIBLE


# Candidate smoothing weights: even steps up to .95, then ever closer to 1, where the first-order weight usually is. 1
# is no candidate, because an unseen transition in the validation careers would have probability zero.
WEIGHT_GRID = (*np.linspace(0, 0.95, 20).tolist(), *(1 - np.geomspace(0.04, 1e-4, 15)).tolist())

NO_CONTEXT = -1

# More stored counts than this are a mistake, which would end in a lack of memory.
MOST_COUNTS = 10**10


def refuse_covariates(kind: str, config: OccupationConfig) -> None:
    """Raises a ValueError if the config of a model that is made of counts has covariates."""
    if config.covariate_names or config.covariate_sizes:
        raise ValueError(
            f"{kind} has no covariates, and was given {config.covariate_names}; give it a processor of its own, "
            "CareerProcessor.fit(careers, covariates=())"
        )


@strict_config
class MarkovConfig(OccupationConfig):
    r"""Configuration of [`MarkovForOccupationPrediction`].

    Args:
        order (`int`): Number of past occupations on which a step depends, 1 or 2.
        first_order_weight (`float`): w1, the weight of transition shares against occupation shares (Appendix G).
        second_order_weight (`float`): w2, the weight of second-order shares against the first-order chain (Appendix
            G).
        pseudo_count (`float`): Number that is added to every count in the occupation shares; 0 in the paper.
        num_contexts, num_transitions (`list[int]`): Numbers of stored rows and of nonzero counts for each order, which
            loading needs.

    All other fields are those of [`OccupationConfig`]; there are no covariates.
    """

    model_type = "career_markov"

    order: int = one_of(1, 1, 2)
    first_order_weight: float | int = number(0.99, at_least=0, at_most=1)
    second_order_weight: float | int = number(0.5, at_least=0, at_most=1)
    pseudo_count: float | int = number(1.0, at_least=0)
    num_contexts: list[int] | None = size(None, MOST_COUNTS)
    num_transitions: list[int] | None = number(None, at_least=0, at_most=MOST_COUNTS)

    def __post_init__(self, **kwargs):
        self.num_contexts = list(self.num_contexts or [1] * self.order)
        self.num_transitions = list(self.num_transitions or [0] * self.order)
        super().__post_init__(**kwargs)

    def validate_order(self):
        """Part of `@strict` validation: the shapes stored for each order."""
        if not len(self.num_contexts or []) == len(self.num_transitions or []) == self.order:
            raise ValueError(
                f"num_contexts {self.num_contexts} and num_transitions {self.num_transitions} need one entry for each "
                f"of the {self.order} orders"
            )

    def validate_no_covariates(self):
        """Part of `@strict` validation: a Markov chain has no covariates."""
        refuse_covariates("a Markov chain", self)


class TransitionCounts(nn.Module):
    """Nonzero counts of the occupations that followed each context, in one row per context, sorted by context.

    Row 0 belongs to no context and is empty; contexts that were never seen have this row.
    """

    contexts: torch.Tensor
    row_starts: torch.Tensor
    occupations: torch.Tensor

    def __init__(self, num_contexts: int, num_transitions: int, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.register_buffer("contexts", torch.full((num_contexts,), NO_CONTEXT))
        self.register_buffer("row_starts", torch.zeros(num_contexts + 1, dtype=torch.long))
        self.register_buffer("occupations", torch.zeros(num_transitions, dtype=torch.long))
        self.counts = nn.Parameter(torch.zeros(num_transitions), requires_grad=False)

    def forward(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Shares of the occupations that followed a context.

        Args:
            context: `(...)` context ids.

        Returns:
            `(..., vocabulary)`: shares, zero for contexts that were never seen; and `(..., 1)`: whether the context
            was seen.
        """
        rows = self._row(context.reshape(-1))
        starts, sizes = self.row_starts[rows], self.row_starts[rows + 1] - self.row_starts[rows]
        # Entry k of step s is at starts[s] + k.
        step = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), sizes)
        entry = torch.arange(len(step), device=rows.device) + (starts - sizes.cumsum(0) + sizes)[step]
        counts = self.counts.new_zeros(len(rows), self.vocab_size)
        counts[step, self.occupations[entry]] = self.counts[entry]
        totals = counts.sum(-1, keepdim=True)
        shares = counts / totals.masked_fill(totals == 0, 1)
        return shares.view(*context.shape, -1), (totals > 0).view(*context.shape, 1)

    @classmethod
    def from_steps(
        cls, context: np.ndarray, occupation: np.ndarray, weight: np.ndarray | None, vocab_size: int
    ) -> Self:
        """Counts steps from flat arrays of contexts, of occupations that followed, and perhaps of weights."""
        codes, inverse = np.unique(context * vocab_size + occupation, return_inverse=True)
        contexts, starts = np.unique(codes // vocab_size, return_index=True)
        table = cls(len(contexts) + 1, len(codes), vocab_size)
        table.contexts[1:] = torch.from_numpy(contexts)
        table.row_starts[1:] = torch.from_numpy(np.r_[starts, len(codes)])
        table.occupations[:] = torch.from_numpy(codes % vocab_size)
        table.counts[:] = torch.from_numpy(np.bincount(inverse, weights=weight, minlength=len(codes)))
        return table

    def share_of(self, context: torch.Tensor, occupation: torch.Tensor) -> torch.Tensor:
        """`(steps,)` shares of one occupation in each context, without rows; NaN for contexts that were never seen."""
        rows = self._row(context)
        row_of_entry = torch.repeat_interleave(self.row_starts.diff())
        totals = torch.zeros(len(self.contexts), dtype=torch.float64).index_add(0, row_of_entry, self.counts.double())
        # The last entry, which no code equals, is the place of codes that do not occur.
        codes = torch.cat(
            [row_of_entry * self.vocab_size + self.occupations, torch.tensor([torch.iinfo(torch.long).max])]
        )
        step_codes = rows * self.vocab_size + occupation
        entry = torch.searchsorted(codes, step_codes)
        counts = torch.cat([self.counts.double(), torch.zeros(1, dtype=torch.float64)])[entry]
        return torch.where(codes[entry] == step_codes, counts, 0.0) / totals[rows]  # 0 / 0 is NaN

    def _row(self, context: torch.Tensor) -> torch.Tensor:
        row = torch.searchsorted(self.contexts, context).clamp(max=len(self.contexts) - 1)
        return torch.where(self.contexts[row] == context, row, 0)


class MarkovForOccupationPrediction(OccupationModel):
    """A Markov chain of occupations: `fit` counts, `forward` is any occupation model's. Careers may be packed.

    Example:
        >>> from career_hf.careers import from_frame
        >>> from career_hf.encoding.processing_career import CareerProcessor
        >>> years = {"person": [1, 1, 1, 2, 2], "year": [1990, 1991, 1992, 1990, 1991]}
        >>> careers = from_frame(years | {"occupation": ["cook", "cook", "waiter", "cook", "cook"]})
        >>> processor = CareerProcessor.fit(careers, covariates=())
        >>> encoded, _ = processor.encode(careers)
        >>> chain = MarkovForOccupationPrediction.fit(encoded, processor, first_order_weight=1.0)
        >>> after_cook = chain(**processor({"year": [1990, 1991], "occupation": ["cook", "cook"]})).logits[0, -1].exp()
        >>> [(label, round(p, 2)) for label, p in zip(processor.occupations[2:], after_cook[2:].tolist())]
        [('cook', 0.67), ('waiter', 0.33)]
    """

    config: MarkovConfig
    config_class = MarkovConfig
    takes_packed_careers = True
    model_tags = ["career", "occupation-prediction", "markov"]
    description = "a Markov chain of occupations, counted and smoothed"
    why_not_exported = "it looks counts up, in rows whose lengths are in the data"
    is_counted = True
    named_fields = {"markov-1": {"order": 1}, "markov-2": {"order": 2}}
    # Counts above 256 do not fit into bfloat16.
    _keep_in_fp32_modules_strict = ["counts", "occupation_shares"]

    def __init__(self, config: MarkovConfig):
        super().__init__(config)
        sizes = list(zip(config.num_contexts or [], config.num_transitions or [], strict=True))
        self.first_order = TransitionCounts(*sizes[0], config.vocab_size)
        self.second_order = TransitionCounts(*sizes[1], config.vocab_size) if config.order == 2 else None
        self.occupation_shares = nn.Parameter(torch.full((config.vocab_size,), torch.nan), requires_grad=False)
        self.post_init()

    @classmethod
    def fit(
        cls,
        encoded: Dataset,
        processor: CareerProcessor,
        *,
        order: int = 1,
        first_order_weight: float = 0.99,
        second_order_weight: float = 0.5,
        pseudo_count: float = 1.0,
        weighted: bool = False,
    ) -> Self:
        """Counts the transitions of encoded careers.

        Args:
            encoded: Training careers as `processor.encode` returns them.
            processor: A processor without covariates.
            order: Order of the chain, 1 or 2.
            first_order_weight: w1; .99 in the paper (Appendix G).
            second_order_weight: w2; .5 in the paper (Appendix G).
            pseudo_count: Number that is added to every count in the occupation shares; 0 in the paper.
            weighted: Whether to count each step with its survey weight, or its person's.

        Raises:
            ValueError: The processor has covariates, there are no careers, or there are no weights to use.
        """
        vocabulary = processor.config_kwargs()
        size = vocabulary["vocab_size"]
        before_previous, previous, occupation, weight = counted_steps(encoded, weighted)
        orders = [TransitionCounts.from_steps(previous, occupation, weight, size)]
        if order == 2:
            has_pair = before_previous != NO_CONTEXT
            context = before_previous[has_pair] * size + previous[has_pair]
            pair_weight = None if weight is None else weight[has_pair]
            orders.append(TransitionCounts.from_steps(context, occupation[has_pair], pair_weight, size))
        config = MarkovConfig(
            **vocabulary,
            order=order,
            first_order_weight=first_order_weight,
            second_order_weight=second_order_weight,
            pseudo_count=pseudo_count,
            num_contexts=[len(counts.contexts) for counts in orders],
            num_transitions=[len(counts.counts) for counts in orders],
        )
        model = cls(config)
        model.first_order, model.second_order = orders[0], orders[1] if order == 2 else None
        counts = np.bincount(occupation, weights=weight, minlength=size) + float(pseudo_count)
        counts[config.special_token_ids] = 0
        model.occupation_shares[:] = torch.from_numpy(counts / counts.sum())
        return model.eval()

    @classmethod
    def from_careers(
        cls,
        train: Dataset,
        validation: Dataset,
        processor: CareerProcessor,
        *,
        tune: bool = True,
        weighted: bool = False,
        seed: int = 0,
        order: int = 1,
    ) -> "MarkovForOccupationPrediction":
        """A chain by `tune_weight` or `fit`, with the arguments that all models made of counts share.

        Args:
            train, validation: Encoded careers.
            processor: A processor without covariates.
            tune: Whether to choose smoothing weights on the validation careers; otherwise they are the paper's.
            weighted: Whether to use survey weights.
            seed: Ignored, because nothing here is random.
            order: Order of the chain, 1 or 2.
        """
        if tune:
            return tune_weight(train, validation, processor, order=order, weighted=weighted)
        return cls.fit(train, processor, order=order, weighted=weighted)

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        shares, seen = self.first_order(input_ids)
        probabilities = _smoothed(shares, seen, self.occupation_shares, self.config.first_order_weight)
        if self.second_order is not None:
            shares, seen = self.second_order(self._pairs(input_ids, position_ids))
            probabilities = _smoothed(shares, seen, probabilities, self.config.second_order_weight)
        return probabilities.log().clamp(min=IMPOSSIBLE), None

    def _pairs(self, input_ids: torch.Tensor, position_ids: torch.Tensor | None) -> torch.Tensor:
        """Codes of second-order contexts (y_{t-2}, y_{t-1}); negative at the first step of a career."""
        before_previous = nn.functional.pad(input_ids[:, :-1], (1, 0), value=NO_CONTEXT)
        if position_ids is not None:
            before_previous = before_previous.masked_fill(position_ids == 0, NO_CONTEXT)
        # Without y_{t-2} the sum is negative, and no context.
        return before_previous * self.config.vocab_size + input_ids


def _smoothed(shares: torch.Tensor, seen: torch.Tensor, simpler: torch.Tensor, weight: float) -> torch.Tensor:
    """A weighted average with a simpler distribution, or that distribution alone if the context was never seen."""
    return torch.where(seen, weight * shares + (1 - weight) * simpler, simpler)


def tune_weight(
    train: Dataset,
    validation: Dataset,
    processor: CareerProcessor,
    *,
    order: int = 1,
    grid: Iterable[float] = WEIGHT_GRID,
    pseudo_count: float = 1.0,
    weighted: bool = False,
) -> MarkovForOccupationPrediction:
    """A chain of training careers, with the smoothing weights that maximise the likelihood of validation careers.

    The likelihood of every weight follows from the probabilities that the smoothed distributions give each validation
    step, so counts are made only once. A second-order chain tunes both weights together.

    Args:
        train: Encoded careers to count.
        validation: Encoded careers whose likelihood is maximised.
        processor: A processor without covariates.
        order: Order of the chain, 1 or 2.
        grid: Candidate weights.
        pseudo_count: As in `fit`.
        weighted: Whether to use survey weights, in counting and in the likelihood.

    Returns:
        A model whose config has the chosen weights.
    """
    fit = MarkovForOccupationPrediction.fit
    model = fit(train, processor, order=order, pseudo_count=pseudo_count, weighted=weighted)
    before_previous, previous, occupation, weight = counted_steps(validation, weighted)
    following = torch.from_numpy(occupation)
    smooth = model.occupation_shares.double().numpy()[occupation]
    first = model.first_order.share_of(torch.from_numpy(previous), following).numpy()
    second = np.full_like(first, np.nan)
    if model.second_order is not None:
        pairs = torch.from_numpy(before_previous * model.config.vocab_size + previous)
        second = model.second_order.share_of(pairs, following).numpy()

    def log_likelihood(weights: tuple[float, float]) -> float:
        probability = smooth
        for share, weight_of_share in zip((first, second), weights, strict=True):
            mixed = probability + weight_of_share * (share - probability)
            probability = np.where(np.isnan(share), probability, mixed)
        with np.errstate(divide="ignore"):
            return float(np.average(np.log(probability), weights=weight))

    candidates = list(grid)
    second_candidates = candidates if order == 2 else [model.config.second_order_weight]
    best = max(itertools.product(candidates, second_candidates), key=log_likelihood)
    model.config.first_order_weight, model.config.second_order_weight = best
    return model


def counted_steps(encoded: Dataset, weighted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """What models that are made of counts count.

    Args:
        encoded: Careers as `processor.encode` returns them.
        weighted: Whether steps have survey weights; steps of weight 0 are then left out.

    Returns:
        `(steps,)` each: y_{t-2} (`NO_CONTEXT` at a first step), y_{t-1}, y_t, and weights with a mean of 1, or None.

    Raises:
        ValueError: There are no careers, or there are no weights to use.
    """
    careers = EncodedCareers(encoded)
    if len(careers) == 0:
        raise ValueError("there are no careers to count; encode at least one")
    flat = careers.gather(np.arange(len(careers)))
    previous, occupation = flat.input_ids.astype(np.int64), flat.labels.astype(np.int64)
    before_previous = np.where(flat.positions == 0, NO_CONTEXT, np.r_[NO_CONTEXT, previous[:-1]])
    if not weighted:
        return before_previous, previous, occupation, None
    if flat.weights is None:
        raise ValueError("weighted=True, but the encoded careers have no column 'weight'; give the careers weights")
    weight = flat.weights.astype(np.float64)
    counted = weight > 0
    if not counted.any():
        raise ValueError("weighted=True, but all weights of the careers are 0, so that nothing would count")
    # Encoded weights have a mean of 1 over all years, and counts one over the years that count.
    weight = weight[counted] * counted.mean()
    return before_previous[counted], previous[counted], occupation[counted], weight


__all__ = ["MarkovConfig", "MarkovForOccupationPrediction", "counted_steps", "refuse_covariates", "tune_weight"]
