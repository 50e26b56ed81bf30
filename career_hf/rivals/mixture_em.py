"""EM for a mixture of Markov chains (Dempster, Laird and Rubin, 1977), from counts of each person's steps.

`mixture.py` says what is maximised, and has the model that is made of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logsumexp
from transformers.utils import logging


if TYPE_CHECKING:
    from datasets import Dataset

    from .mixture import MixtureOfMarkovChainsConfig

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class EMRun:
    """What EM found from one start.

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
    """EM from one random start, in which everybody belongs to one chain, drawn by lot.

    Only pairs of occupations that occur are visited, so an iteration costs (pairs of a person, summed) x chains.

    Args:
        counts: `(people, vocabulary * vocabulary)`, how often each person moved (or stayed) from i to j, in column
            i * vocabulary + j.
        weight: `(people,)`, survey weights, or ones.
        pooled: `(vocabulary, vocabulary)`, P; pairs that occur have probability.
        shares: `(vocabulary,)`, f.
        config: Number of chains, strength of the priors and w1.
        rng: For the start.
        max_iterations: Iterations at most.
        tolerance: Log-density that an iteration has to gain to be followed by another.
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
    # The prior's part for pairs that never occur: their B is prior / total, in which only the total changes.
    never_occur = strength - np.add.reduceat(pair_prior, row_starts)

    posterior = np.eye(chains)[rng.integers(chains, size=len(weight))]
    chain, own_shares = pair_prior / strength, share_prior / strength
    log_density: list[float] = []
    while True:
        # M-step. A step is explained by B_k or by f_k, in proportion to what each contributes to its probability.
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
    """`(people, vocabulary * vocabulary)` counts of each person's steps from i to j, and weights of mean one."""
    from ..encoding.collating import EncodedCareers  # brings datasets, which a loaded model does not need

    careers = EncodedCareers(encoded)
    flat = careers.gather(np.arange(len(careers)))
    person = np.repeat(np.arange(len(careers)), flat.lengths)
    pair = flat.input_ids.astype(np.int64) * vocab_size + flat.labels
    counts = csr_array((np.ones(len(pair)), (person, pair)), shape=(len(careers), vocab_size**2))
    counts.sum_duplicates()
    if not weighted or flat.weight is None:
        return counts, np.ones(len(careers))
    weight = flat.weight.astype(np.float64)
    return counts, weight / weight.mean()


__all__ = ["EMRun", "counts_by_person", "run_em"]
