"""A mixture of first-order Markov chains: people differ in the chain that they follow, for good, and nobody is told.

    p(y_1, ..., y_T) = sum_k pi_k prod_t A_k(y_{t-1}, y_t)
    p(y_t = j | past) = sum_k p(k | y_1, ..., y_{t-1}) A_k(y_{t-1}, j)

It is the classical model of sequences from an unknown number of groups (Poulsen, 1990; Cadez et al., 2003; in
economics Frydman, 2005, after the mover-stayer model of Blumen, Kogan and McCarthy, 1955). A career starts from the
beginning-of-career id, which is a context like any other, so chains differ in first occupations too.

A chain is smoothed as in Appendix G of the CAREER paper, with shares f_k of occupations of its own, and `fit`
maximises the posterior density by EM (Dempster, Laird and Rubin, 1977). Dirichlet priors are worth `strength` steps of
all people's chain P and occupation shares f, `MarkovForOccupationPrediction`'s, so that a chain says what all people
say where it has seen little; the prior of the shares of chains is worth one person each:

    A_k(i, j) = w1 B_k(i, j) + (1 - w1) f_k(j)
    B_k(i, j) = (n_k(i, j) + strength P(i, j)) / (n_k(i, .) + strength)
    f_k(j)    = (m_k(j) + strength f(j)) / (m_k(.) + strength)
    pi_k      = (people in k + 1) / (people + K)

n_k and m_k count the steps that B_k and f_k explain, each career by its probability of chain k. The posterior density
never falls from one iteration to the next. f_k matters where occupations are many: a chain that is smoothed by what
all people do alone forgets which occupations its own people hold.
Storage is dense, `num_chains` x `vocab_size` squared: 9 MB for 20 chains of 335 occupations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from scipy.special import logsumexp
from torch import nn

from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.two_stage import IMPOSSIBLE
from .markov import MarkovForOccupationPrediction, tune_weight
from .mixture_em import counts_by_person, run_em


if TYPE_CHECKING:
    from datasets import Dataset

    from ..encoding.processing_career import CareerProcessor

NUM_CHAINS_GRID = (1, 2, 5, 10, 20)
STRENGTH_GRID = (10.0, 30.0, 100.0, 300.0, 1000.0)


@strict
class MixtureOfMarkovChainsConfig(OccupationConfig):
    r"""Configuration of [`MixtureOfMarkovChainsForOccupationPrediction`].

    Args:
        num_chains (`int`): K, how many chains are mixed.
        strength (`float`): Steps of all people that each row of B_k, and f_k, start from.
        first_order_weight (`float`): w1, the weight of transitions against occupation shares in every chain and in P.
        pseudo_count (`float`): What every occupation's count starts from in the occupation shares.

    The rest as in [`OccupationConfig`]; covariates are none. All but `num_chains` only say how the model was fitted.
    """

    model_type = "career_markov_mixture"
    keys_to_ignore_at_inference = ["past_key_values"]

    num_chains: int = 1
    strength: float | int = 100.0
    first_order_weight: float | int = 0.99
    pseudo_count: float | int = 1.0

    def validate_mixture(self):
        """Part of `@strict` validation: the number of chains and the smoothing."""
        if self.num_chains < 1:
            raise ValueError(f"num_chains must be at least 1, and is {self.num_chains}")
        if not self.strength > 0:
            raise ValueError(
                f"strength must be above 0, and is {self.strength}; without any, a chain has no probabilities for "
                "occupations that none of its people held"
            )
        if not 0 <= self.first_order_weight <= 1:
            raise ValueError(f"first_order_weight must be between 0 and 1, and is {self.first_order_weight}")

    def validate_no_covariates(self):
        """Part of `@strict` validation: covariates, of which a Markov chain has none."""
        if self.covariate_names or self.covariate_sizes:
            raise ValueError(
                f"a mixture of Markov chains has no covariates, and was given {self.covariate_names}; give it a "
                "processor of its own, CareerProcessor.fit(careers, covariates=())"
            )


class MixtureOfMarkovChainsForOccupationPrediction(OccupationModel):
    """A mixture of Markov chains: `fit` runs EM, `forward` is any occupation model's.

    Example:
        >>> from career_hf.careers import from_frame
        >>> from career_hf.processing_career import CareerProcessor
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
    ) -> MixtureOfMarkovChainsForOccupationPrediction:
        """Fits chains to encoded careers, from several random starts of which the best is kept.

        Args:
            encoded: Training careers as `processor.encode` returns them.
            processor: A processor without covariates.
            num_chains: K.
            strength: How many steps of all people the priors of each row of B_k, and of f_k, are worth.
            first_order_weight: w1, as in `MarkovForOccupationPrediction.fit`.
            pseudo_count: Added to each occupation's count in f, likewise.
            weighted: Count each career with its survey weight, in units of the mean weight.
            restarts: Random starts.
            seed: Seed of the random starts.
            max_iterations: Iterations of EM after which a start is given up as it is, with a warning.
            tolerance: Log-density per step, in nats, that an iteration has to gain to be followed by another.

        Returns:
            A fitted model, chains from the most to the least common.

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
    """The mixture of training careers with the number of chains and the strength that validation careers like best.

    The pooled chain is `tune_weight`'s of first order. A career's likelihood is that of all its predictions at once.

    Args:
        train: Encoded careers to fit.
        validation: Encoded careers whose likelihood is maximised.
        processor: A processor without covariates.
        num_chains: Candidate numbers of chains.
        strengths: Candidate strengths of the prior.
        pseudo_count, restarts, seed: As in `fit`.
        weighted: Use survey weights, in fitting and in the likelihood.

    Returns:
        A fitted model; its config holds what was chosen.
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


__all__ = ["MixtureOfMarkovChainsConfig", "MixtureOfMarkovChainsForOccupationPrediction", "tune_mixture"]
