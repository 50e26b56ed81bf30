"""What only the truth can say about careers and about models: floors, entropies, distances to the truth, and tests.

Everything that a transition table can hold is one, so floors are read with `evaluation.summarize`, `perplexity_by` and
`stay_auc` like any model's. Only expectations under the truth, which need whole distributions, have functions here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedModel

from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..evaluation.metrics import INTERVAL, perplexity, perplexity_differences, resampled_nll
from ..evaluation.transition_table import distributions, transition_table
from .filtering import Knowledge
from .model import TYPE_COVARIATE, TrueOccupationModel, world_processor
from .survey import Simulation


def floors(simulation: Simulation, *, split: str | None = None) -> dict[str, pd.DataFrame]:
    """Transition tables of the truth, knowing three different things about people's types.

    Args:
        simulation: Careers and the world they come from.
        split: As in `transition_table`.

    Returns:
        "type known": what nobody can reach from observed data; "floor": p*, the best that any model can do; "no
        inference": the best that can be done without learning from the past what type a person is. Expected
        perplexities rise in this order.
    """
    types = pd.Series(simulation.types["type"].astype(str).to_numpy(), index=simulation.types["person"])
    people = simulation.careers["person"][:]
    with_type = simulation.careers.add_column(TYPE_COVARIATE, types.loc[people].tolist())

    def table(knowledge: Knowledge, careers: Dataset) -> pd.DataFrame:
        model = TrueOccupationModel.of_world(simulation.world, knowledge)
        return transition_table(model, careers, world_processor(simulation.world, knowledge), split=split)

    return {
        "type known": table("type", with_type).drop(columns=TYPE_COVARIATE),
        "floor": table("history", simulation.careers),
        "no inference": table("nothing", simulation.careers),
    }


def scores(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    floor: pd.DataFrame,
    markov: pd.DataFrame,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """How close models come to the truth.

    Args:
        tables: Transition tables by model, or lists of them, one for each training seed.
        floor: The true model's table on the same careers.
        markov: A Markov chain's, the other end of the scale.
        draws, seed: Number of resamples of people, and their random seed.
        weighted: Use survey weights.

    Returns:
        The columns of `metrics.perplexity_differences` with the floor as the baseline, so that `ratio` is perplexity
        over the floor's and `difference` the excess in nats with its interval; and gap_closed, the share of the way
        from Markov to floor in log-perplexity (0 for the chain, 1 for the truth), with the interval gap_low, gap_high.
    """
    everything = {"floor": floor, "markov": markov, **tables}
    compared = perplexity_differences(everything, "floor", draws=draws, seed=seed, weighted=weighted)
    _, (estimate,), resampled = resampled_nll(everything, draws, seed, weighted)

    def closed(nll: np.ndarray) -> np.ndarray:
        return (nll[..., [1]] - nll) / (nll[..., [1]] - nll[..., [0]])

    low, high = np.quantile(closed(resampled[:, 0]), INTERVAL, axis=0)
    return compared.assign(gap_closed=closed(estimate), gap_low=low, gap_high=high)


def expectations(
    truth: TrueOccupationModel,
    careers: Dataset,
    processor: CareerProcessor,
    model: PreTrainedModel | None = None,
    model_processor: CareerProcessor | None = None,
    *,
    batch_tokens: int = 16_000,
) -> pd.DataFrame:
    """Expectations under the truth at every step: its entropy, and a model's distance from it.

    -log p of what happened is one draw; its mean under p*(. | past) is entropy + kl, with far less noise.

    Args:
        truth: The true model.
        careers: Careers.
        processor: The true model's processor.
        model: Any occupation model, or None for the entropy alone.
        model_processor: Its processor. Occupations are matched by label; one that the model does not have costs what
            it costs at probability exp(-1e4).
        batch_tokens: Steps per batch.

    Returns:
        One row per step in the order of the careers (as in `transition_table`): person, step, entropy, and with a
        model kl, both in nats.
    """
    own = _encoded(truth, careers, processor)
    other: Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]] | None = None
    columns = np.zeros(0, dtype=int)
    if model is not None:
        if model_processor is None:
            raise ValueError("model_processor is missing: pass the model's own processor")
        places = {label: i for i, label in enumerate(model_processor.occupations)}
        columns = np.array([places.get(label, -1) for label in processor.occupations])
        other = distributions(model, _encoded(model, careers, model_processor), batch_tokens)
    steps = int(own.lengths.sum())
    table = pd.DataFrame(
        {
            "person": np.repeat(np.array(careers["person"][:], dtype=object), own.lengths),
            "step": own.gather(np.arange(len(own))).positions,
        }
    )
    entropy, kl = np.empty(steps), np.empty(steps)
    for place, log_probs, _, _ in distributions(truth, own, batch_tokens):
        log_p = log_probs.double().cpu().numpy()
        p = np.exp(log_p)
        entropy[place] = -(p * log_p).sum(axis=1)
        if other is not None:
            log_q = np.where(columns < 0, -1e4, next(other)[1].double().cpu().numpy()[:, columns])
            kl[place] = (p * (log_p - log_q)).sum(axis=1)
    table["entropy"] = entropy
    return table if other is None else table.assign(kl=kl)


def _encoded(model: PreTrainedModel, careers: Dataset, processor: CareerProcessor) -> EncodedCareers:
    processor.check(model.config)
    return EncodedCareers(processor.encode(careers)[0])


def martingale_z(table: pd.DataFrame, entropy: np.ndarray, by: str | None = None) -> pd.Series:
    """Tests whether probabilities are those that careers were drawn from.

    Under the truth -log p(y_t) - entropy_t has mean zero given the past, so its mean over steps, divided by a standard
    error clustered by person, is close to a standard normal variable. A filter that forgets something (a Bayes update,
    the gap between waves) is surprised more or less often than it says, and the statistic grows with the sample.
    Errors can cancel: a filter that does not learn from education is surprised too rarely at some levels and too often
    at others, which only groups show.

    Args:
        table: A transition table.
        entropy: `(steps,)`, entropy of the same model at the same steps.
        by: A column known before the occupation (education, year, step, previous, gender): one z for each group.

    Returns:
        z by group; a single "all" without `by`.
    """
    group = np.repeat("all", len(table)) if by is None else table[by].astype(str).to_numpy()
    excess = pd.DataFrame({"person": table["person"].astype(str).to_numpy(), "group": group})
    excess["excess"] = -table["log_prob"].to_numpy() - entropy
    of_people = excess.groupby(["group", "person"], sort=False)["excess"].sum()
    groups = of_people.groupby("group", sort=False)
    return groups.sum() / np.sqrt((of_people**2).groupby("group", sort=False).sum())


def oracle_summary(tables: Mapping[str, pd.DataFrame], entropy: pd.DataFrame) -> pd.Series:
    """Numbers that say how predictable careers are.

    Args:
        tables: What `floors` returns.
        entropy: What `expectations` returns.

    Returns:
        Perplexities of the three tables, exp of the mean entropy (the floor without the luck of the draw), and the
        martingale z of the floor.
    """
    summary = {f"perplexity, {name}": perplexity(table) for name, table in tables.items()}
    summary["exp(mean entropy)"] = float(np.exp(entropy["entropy"].mean()))
    summary["martingale z"] = martingale_z(tables["floor"], entropy["entropy"].to_numpy())["all"]
    return pd.Series(summary, name="oracles")
