"""A mixture of first-order Markov chains: every person follows one unobserved chain for the whole career.

    p(y_1, ..., y_T) = sum_k pi_k prod_t A_k(y_{t-1}, y_t)
    p(y_t = j | past) = sum_k p(k | y_1, ..., y_{t-1}) A_k(y_{t-1}, j)

It is the classical model of sequences from an unknown number of groups (Poulsen, 1990; Cadez et al., 2003; in
economics Frydman, 2005, after the mover-stayer model of Blumen, Kogan and McCarthy, 1955). A career starts from the
beginning-of-career id, which is a context like any other, so chains differ in first occupations too.

A chain is smoothed as in Appendix G of the CAREER paper, with its own shares f_k of occupations, and `fit` maximises
the posterior density by EM (Dempster, Laird and Rubin, 1977). Dirichlet priors are worth `strength` steps of the chain
P and the occupation shares f of all people, which are those of `MarkovForOccupationPrediction`, so that a chain with
few data is close to that of all people. The prior of the shares of chains is worth one person each:

    A_k(i, j) = w1 B_k(i, j) + (1 - w1) f_k(j)
    B_k(i, j) = (n_k(i, j) + strength P(i, j)) / (n_k(i, .) + strength)
    f_k(j)    = (m_k(j) + strength f(j)) / (m_k(.) + strength)
    pi_k      = (people in k + 1) / (people + K)

n_k and m_k count the steps that B_k and f_k explain, each career by its probability of chain k. The posterior density
never falls from one iteration to the next. f_k matters if there are many occupations: a chain that is smoothed by the
shares of all people alone loses the occupations of its own people. Storage is dense, `num_chains` x `vocab_size`
squared: 9 MB for 20 chains of 335 occupations.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from datasets import Dataset
from scipy.sparse import csr_array
from scipy.special import logsumexp
from torch import nn
from transformers.utils import logging

from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.strict_config import number, size, strict_config
from ..models.two_stage import IMPOSSIBLE
from .markov import MarkovForOccupationPrediction, refuse_covariates, tune_weight


logger = logging.get_logger(__name__)

NUM_CHAINS_GRID = (1, 2, 5, 10, 20)
STRENGTH_GRID = (10.0, 30.0, 100.0, 300.0, 1000.0)


@strict_config
class MixtureOfMarkovChainsConfig(OccupationConfig):
    r"""Configuration of [`MixtureOfMarkovChainsForOccupationPrediction`].

    Args:
        num_chains (`int`): K, the number of chains.
        strength (`float`): Number of steps of all people that the priors of each row of B_k, and of f_k, are worth.
        first_order_weight (`float`): w1, the weight of transitions against occupation shares in every chain and in P.
        pseudo_count (`float`): Number that is added to every count in the occupation shares.

    All other fields are those of [`OccupationConfig`]; there are no covariates. Fields other than `num_chains` only
    record how the model was fitted.
    """

    model_type = "career_markov_mixture"

    num_chains: int = size(1)
    strength: float | int = number(100.0, above=0)
    first_order_weight: float | int = number(0.99, at_least=0, at_most=1)
    pseudo_count: float | int = number(1.0, at_least=0)

    def validate_no_covariates(self):
        """Part of `@strict` validation: a mixture of Markov chains has no covariates."""
        refuse_covariates("a mixture of Markov chains", self)


class MixtureOfMarkovChainsForOccupationPrediction(OccupationModel):
    """A mixture of Markov chains: `fit` runs EM, `forward` is any occupation model's.

    Example:
        >>> from career_hf.careers import from_frame
        >>> from career_hf.encoding.processing_career import CareerProcessor
        >>> jobs = ["cook"] * 4 + ["cook", "waiter"] * 2
        >>> people = {"person": [1] * 4 + [2] * 4, "year": list(range(1990, 1994)) * 2, "occupation": jobs}
        >>> careers = from_frame(people)
        >>> processor = CareerProcessor.fit(careers, covariates=())
        >>> encoded, _ = processor.encode(careers)
        >>> model = MixtureOfMarkovChainsForOccupationPrediction.fit(encoded, processor, num_chains=2, strength=0.1)
        >>> stayer = {"year": list(range(1990, 1994)), "occupation": ["cook"] * 4}
        >>> p_cook = model(**processor(stayer)).logits[0, :, processor.occupations.index("cook")].exp()
        >>> [round(p, 2) for p in p_cook.tolist()]
        [1.0, 0.51, 0.95, 0.98]
    """

    config: MixtureOfMarkovChainsConfig
    config_class = MixtureOfMarkovChainsConfig
    model_tags = ["career", "occupation-prediction", "markov"]
    description = "a mixture of Markov chains of occupations"
    why_not_exported = None
    is_counted = True
    is_always_tuned = True
    # Products of many probabilities need more digits than bfloat16 has.
    _keep_in_fp32_modules_strict = ["chain_shares", "transitions"]

    def __init__(self, config: MixtureOfMarkovChainsConfig):
        super().__init__(config)
        chains, size = config.num_chains, config.vocab_size
        self.chain_shares = nn.Parameter(torch.full((chains,), torch.nan), requires_grad=False)
        self.transitions = nn.Parameter(torch.full((chains, size, size), torch.nan), requires_grad=False)
        self.post_init()

    @classmethod
    def fit(
        cls,
        encoded: Dataset,
        processor: CareerProcessor,
        *,
        num_chains: int,
        strength: float = 100.0,
        first_order_weight: float = 0.99,
        pseudo_count: float = 1.0,
        weighted: bool = False,
        restarts: int = 3,
        seed: int = 0,
        max_iterations: int = 500,
        tolerance: float = 1e-5,
    ) -> Self:
        """Fits chains to encoded careers from several random starts, and keeps the best fit.

        Args:
            encoded: Training careers as `processor.encode` returns them.
            processor: A processor without covariates.
            num_chains: K, the number of chains.
            strength: Number of steps of all people that the priors of each row of B_k, and of f_k, are worth.
            first_order_weight: w1, as in `MarkovForOccupationPrediction.fit`.
            pseudo_count: Number that is added to every count in f, as in `MarkovForOccupationPrediction.fit`.
            weighted: Whether to count careers and steps with their survey weights (`counts_by_person`).
            restarts: Number of random starts.
            seed: Random seed of the starts.
            max_iterations: Number of iterations of EM after which a run stops with a warning.
            tolerance: Gain of log-density per step, in nats, at or below which a run stops.

        Returns:
            A fitted model, with chains from the most to the least common.

        Raises:
            ValueError: The processor has covariates, there are no careers, there are no weights to use, or a setting
                makes no sense.
        """
        config = MixtureOfMarkovChainsConfig(
            **processor.config_kwargs(),
            num_chains=num_chains,
            strength=strength,
            first_order_weight=first_order_weight,
            pseudo_count=pseudo_count,
        )
        if restarts < 1:
            raise ValueError(f"restarts must be at least 1, and is {restarts}")
        pooled = MarkovForOccupationPrediction.fit(
            encoded, processor, first_order_weight=first_order_weight, pseudo_count=pseudo_count, weighted=weighted
        )
        every_context = torch.arange(config.vocab_size).unsqueeze(0)
        chain = pooled(every_context).logits[0].double().softmax(-1).numpy()  # sums to one in float64
        shares = pooled.occupation_shares.double().numpy()
        shares = shares / shares.sum()
        counts, weight = counts_by_person(encoded, config.vocab_size, weighted)
        steps = float(weight @ counts.sum(1))
        rng = np.random.default_rng(seed)
        # A single chain has no start to choose.
        runs = [
            run_em(counts, weight, chain, shares, config, rng, max_iterations, tolerance * steps)
            for _ in range(restarts if num_chains > 1 else 1)
        ]
        best = max(runs, key=lambda run: run.log_density[-1])
        order = np.argsort(-best.chain_shares, kind="stable")
        model = cls(config)
        model.chain_shares[:] = torch.from_numpy(best.chain_shares[order])
        model.transitions[:] = torch.from_numpy(best.transitions[order])
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
    ) -> "MixtureOfMarkovChainsForOccupationPrediction":
        """A mixture by `tune_mixture`, with the arguments that all models made of counts share; it is always tuned."""
        return tune_mixture(train, validation, processor, weighted=weighted, seed=seed)

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        posteriors = self.chain_posteriors(input_ids).to(self.transitions.dtype)
        # Chain by chain, because all chains' rows at once are `num_chains` times larger.
        probabilities = sum(
            (
                posterior.unsqueeze(-1) * nn.functional.embedding(input_ids, chain)
                for posterior, chain in zip(posteriors.unbind(-1), self.transitions, strict=True)
            ),
            start=self.transitions.new_zeros(()),
        )
        return probabilities.log().clamp(min=IMPOSSIBLE), None

    def chain_posteriors(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Probability of each chain given the steps before t, `(batch, time, chains)` in float64.

        Args:
            input_ids: `(batch, time)`, y_{t-1}.
        """
        # Log-probability of step t under each chain, `(chains, batch, time - 1)`: the next input is its outcome.
        steps = self.transitions[:, input_ids[:, :-1], input_ids[:, 1:]].double().log().clamp(min=IMPOSSIBLE)
        before = nn.functional.pad(steps.cumsum(-1), (1, 0))
        return (before + self.chain_shares.double().log()[:, None, None]).softmax(0).movedim(0, -1)


def tune_mixture(
    train: Dataset,
    validation: Dataset,
    processor: CareerProcessor,
    *,
    num_chains: Iterable[int] = NUM_CHAINS_GRID,
    strengths: Iterable[float] = STRENGTH_GRID,
    pseudo_count: float = 1.0,
    weighted: bool = False,
    restarts: int = 3,
    seed: int = 0,
) -> MixtureOfMarkovChainsForOccupationPrediction:
    """A mixture of training careers, with the number of chains and the strength that fit validation careers best.

    The chain of all people is the first-order one of `tune_weight`. A career's likelihood is that of all its
    predictions together.

    Args:
        train: Encoded careers to fit.
        validation: Encoded careers whose likelihood is maximised.
        processor: A processor without covariates.
        num_chains: Candidate numbers of chains.
        strengths: Candidate strengths of the prior.
        pseudo_count, restarts, seed: As in `fit`.
        weighted: Whether to use survey weights, in fitting and in the likelihood.

    Returns:
        A fitted model whose config has the chosen settings.
    """
    pooled = tune_weight(train, validation, processor, pseudo_count=pseudo_count, weighted=weighted)
    counts, weight = counts_by_person(validation, pooled.config.vocab_size, weighted)
    pairs = np.unique(counts.indices)
    observed = counts[:, pairs]

    def log_likelihood(model: MixtureOfMarkovChainsForOccupationPrediction) -> float:
        with np.errstate(divide="ignore"):
            log_transitions = np.log(model.transitions.double().numpy().reshape(model.config.num_chains, -1)[:, pairs])
        joint = observed @ log_transitions.T + np.log(model.chain_shares.double().numpy())
        return float(weight @ logsumexp(joint, axis=1))

    settings: dict[str, Any] = {"pseudo_count": pseudo_count, "weighted": weighted, "restarts": restarts, "seed": seed}
    settings["first_order_weight"] = pooled.config.first_order_weight
    fit = partial(MixtureOfMarkovChainsForOccupationPrediction.fit, train, processor, **settings)
    grid = itertools.product(num_chains, strengths)
    return max((fit(num_chains=k, strength=strength) for k, strength in grid), key=log_likelihood)


@dataclass(frozen=True)
class EMRun:
    """The result of EM from one start.

    Args:
        chain_shares: `(chains,)`, pi.
        transitions: `(chains, vocabulary, vocabulary)`, A.
        log_density: Log-likelihood plus log-prior (up to a constant) after every M-step; it never falls.
    """

    chain_shares: np.ndarray
    transitions: np.ndarray
    log_density: list[float]


def run_em(
    counts: csr_array,
    weight: np.ndarray,
    pooled: np.ndarray,
    shares: np.ndarray,
    config: MixtureOfMarkovChainsConfig,
    rng: np.random.Generator,
    max_iterations: int = 500,
    tolerance: float = 0.0,
) -> EMRun:
    """EM from one random start, in which everybody belongs to one chain, drawn at random.

    Only pairs of occupations that occur are visited, so an iteration costs (pairs of a person, summed) x chains.

    Args:
        counts: `(people, vocabulary * vocabulary)`: number of each person's steps from i to j, in column
            i * vocabulary + j.
        weight: `(people,)`: survey weights, or ones.
        pooled: `(vocabulary, vocabulary)`: P, with positive probabilities of pairs that occur.
        shares: `(vocabulary,)`: f.
        config: Config with the number of chains, the strength of the priors and w1.
        rng: Generator of random numbers for the start.
        max_iterations: Maximum number of iterations.
        tolerance: Gain of log-density at or below which the run stops.
    """
    size, chains, strength, w1 = len(shares), config.num_chains, config.strength, config.first_order_weight
    pairs = np.unique(counts.indices)
    previous, following = pairs // size, pairs % size
    observed = counts[:, pairs]
    by_pair = observed.T.tocsr()
    contexts, row_starts = np.unique(previous, return_index=True)
    row = np.repeat(np.arange(len(contexts)), np.diff(np.r_[row_starts, len(pairs)]))
    into_occupation = csr_array((np.ones(len(pairs)), (following, np.arange(len(pairs)))), shape=(size, len(pairs)))
    pair_prior, share_prior = strength * pooled[previous, following][:, None], strength * shares[:, None]
    possible = shares > 0
    # The prior of pairs that never occur: their B is prior / total, and only the total changes.
    never_occur = strength - np.add.reduceat(pair_prior, row_starts)

    posterior = np.eye(chains)[rng.integers(chains, size=len(weight))]
    chain, own_shares = pair_prior / strength, share_prior / strength
    log_density: list[float] = []
    while True:
        # M-step. B_k and f_k explain a step in proportion to their contributions to its probability.
        expected = weight[:, None] * posterior
        steps = by_pair @ expected
        by_shares = steps * (1 - w1) * own_shares[following] / (w1 * chain + (1 - w1) * own_shares[following])
        by_chain = steps - by_shares
        log_totals = np.log(np.add.reduceat(by_chain, row_starts) + strength)
        log_chain = np.log(by_chain + pair_prior) - log_totals[row]
        chain = np.exp(log_chain)
        own_shares = into_occupation @ by_shares + share_prior
        own_shares /= own_shares.sum(0)
        log_pi = np.log((expected.sum(0) + 1) / (weight.sum() + chains))
        log_prior = log_pi.sum() + (pair_prior * log_chain).sum() - (never_occur * log_totals).sum()
        log_prior += (share_prior[possible] * np.log(own_shares[possible])).sum()
        # E-step.
        joint = observed @ np.log(w1 * chain + (1 - w1) * own_shares[following]) + log_pi
        log_likelihood = logsumexp(joint, axis=1)
        posterior = np.exp(joint - log_likelihood[:, None])
        log_density.append(float(weight @ log_likelihood + log_prior))
        gain = np.diff(log_density[-2:]).sum() if len(log_density) > 1 else np.inf
        if gain <= tolerance:
            break
        if len(log_density) >= max_iterations:
            logger.warning(f"EM stopped at max_iterations={max_iterations}; the last iteration gained {gain:.3g} nats")
            break
    transitions = np.zeros((chains, size * size))
    transitions[:, pairs] = by_chain.T
    transitions = transitions.reshape(chains, size, size) + strength * pooled
    transitions *= w1 / transitions.sum(-1, keepdims=True)
    transitions += (1 - w1) * own_shares.T[:, None]
    return EMRun(np.exp(log_pi), transitions, log_density)


def counts_by_person(encoded: Dataset, vocab_size: int, weighted: bool) -> tuple[csr_array, np.ndarray]:
    """`(people, vocabulary * vocabulary)` counts of each person's steps from i to j, and weights of mean one.

    Where weights change over a career, the person has the mean weight of the steps that have one, and a step counts
    with its weight in units of this mean. Without mixing, each step then counts with its own weight. People whose
    weights are all 0 are left out.
    """
    careers = EncodedCareers(encoded)
    flat = careers.gather(np.arange(len(careers)))
    person = np.repeat(np.arange(len(careers)), flat.lengths)
    pair = flat.input_ids.astype(np.int64) * vocab_size + flat.labels
    times, weight = np.ones(len(pair)), np.ones(len(careers))
    if weighted and flat.weights is not None:
        own = flat.weights.astype(np.float64)
        sums, counted = (np.bincount(person, weights=x, minlength=len(careers)) for x in (own, 1.0 * (own > 0)))
        weight = np.divide(sums, counted, out=np.zeros_like(sums), where=counted > 0)
        times = np.divide(own, weight[person], out=np.zeros_like(own), where=own > 0)
    counts = csr_array((times, (person, pair)), shape=(len(careers), vocab_size**2))
    counts.sum_duplicates()
    counts.eliminate_zeros()
    people = weight > 0
    return counts[people], weight[people] / weight[people].mean()


__all__ = ["MixtureOfMarkovChainsConfig", "MixtureOfMarkovChainsForOccupationPrediction", "run_em", "tune_mixture"]
