"""Facts about careers and models that only the truth can tell: floors, entropies, distances to the truth, tests.

Floors are transition tables, so `evaluation.summarize`, `perplexity_by` and `stay_auc` read them like any model's.
Only expectations under the truth, which need whole distributions, have functions of their own.
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
from ..evaluation.metrics import cluster_counts_by, perplexity, perplexity_differences, resampled_nll
from ..evaluation.resampling import interval
from ..evaluation.transition_table import distributions, transition_table
from ..number_ranges import within_ranges
from .filtering import Knowledge
from .model import TYPE_COVARIATE, TrueOccupationModel, world_processor
from .survey import Simulation


@within_ranges
def floors(simulation: Simulation, *, split: str | None = None) -> dict[str, pd.DataFrame]:
    """Makes transition tables of the truth with three kinds of knowledge about people's types.

    Args:
        simulation: Careers and their world.
        split: As in `transition_table`.

    Returns:
        "type known", which no model can reach from observed data; "floor", p*, the best that any model can do; and "no
        inference", the best that a model can do without learning a person's type from the past. Expected perplexities
        rise in this order.
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


@within_ranges
def scores(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    floor: pd.DataFrame,
    markov: pd.DataFrame,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Measures how close models come to the truth.

    Args:
        tables: Transition tables by model, or lists of them, one for each training seed.
        floor: Transition table of the true model on the same careers.
        markov: Transition table of a Markov chain, the other end of the scale.
        draws, seed: Number of resamples of clusters, and the random seed for drawing them.
        weighted: Whether survey weights are used.

    Returns:
        The columns of `metrics.perplexity_differences` with the floor as the baseline, so that `ratio` is perplexity
        over the floor's and `difference` the excess in nats with its interval; and gap_closed, the share of the way
        from Markov to floor in log-perplexity (0 for the chain, 1 for the truth), with the interval gap_low, gap_high.
    """
    all_tables = {"floor": floor, "markov": markov, **tables}
    compared = perplexity_differences(all_tables, "floor", draws=draws, seed=seed, weighted=weighted)
    _, (estimate,), resampled = resampled_nll(all_tables, draws, seed, weighted)

    def gap_closed(nll: np.ndarray) -> np.ndarray:
        return (nll[..., [1]] - nll) / (nll[..., [1]] - nll[..., [0]])

    (count,) = cluster_counts_by(floor, weighted=weighted)
    low, high = interval(gap_closed(resampled[:, 0]), count)
    return compared.assign(gap_closed=gap_closed(estimate), gap_low=low, gap_high=high)


@within_ranges
def expectations(
    truth: TrueOccupationModel,
    careers: Dataset,
    processor: CareerProcessor,
    model: PreTrainedModel | None = None,
    model_processor: CareerProcessor | None = None,
    *,
    batch_tokens: int = 16_000,
) -> pd.DataFrame:
    """Computes expectations under the truth at every step: its entropy, and a model's distance from it.

    -log p of the realised occupation is one draw; its mean under p*(. | past) is entropy + kl, with far less noise.

    Args:
        truth: The true model.
        careers: Careers of the world.
        processor: Processor of the true model.
        model: Any occupation model, or None for the entropy alone.
        model_processor: Processor of that model. Occupations are matched by label; one that the model does not have
            counts as probability exp(-1e4).
        batch_tokens: Number of steps in a batch.

    Returns:
        One row per step in the order of the careers (as in `transition_table`): person, step, entropy, and with a
        model kl, both in nats.
    """
    encoded = _encoded(truth, careers, processor)
    model_batches: Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]] | None = None
    columns = np.zeros(0, dtype=int)
    if model is not None:
        if model_processor is None:
            raise ValueError("model_processor is missing: pass the model's own processor")
        model_ids = {label: i for i, label in enumerate(model_processor.occupations)}
        columns = np.array([model_ids.get(label, -1) for label in processor.occupations])
        model_batches = distributions(model, _encoded(model, careers, model_processor), batch_tokens)
    steps = int(encoded.lengths.sum())
    table = pd.DataFrame(
        {
            "person": np.repeat(np.array(careers["person"][:], dtype=object), encoded.lengths),
            "step": encoded.gather(np.arange(len(encoded))).positions,
        }
    )
    entropy, kl = np.empty(steps), np.empty(steps)
    for rows, log_probs, _, _ in distributions(truth, encoded, batch_tokens):
        log_p = log_probs.double().cpu().numpy()
        p = np.exp(log_p)
        entropy[rows] = -(p * log_p).sum(axis=1)
        if model_batches is not None:
            log_q = np.where(columns < 0, -1e4, next(model_batches)[1].double().cpu().numpy()[:, columns])
            kl[rows] = (p * (log_p - log_q)).sum(axis=1)
    table["entropy"] = entropy
    return table if model_batches is None else table.assign(kl=kl)


def _encoded(model: PreTrainedModel, careers: Dataset, processor: CareerProcessor) -> EncodedCareers:
    processor.check(model.config)
    return EncodedCareers(processor.encode(careers)[0])


@within_ranges
def martingale_z(table: pd.DataFrame, entropy: np.ndarray, by: str | None = None) -> pd.Series:
    """Tests whether careers were drawn from given probabilities.

    Under the truth -log p(y_t) - entropy_t has mean zero given the past, so its mean over steps, divided by a standard
    error clustered by person, is close to a standard normal variable. A filter that forgets something (a Bayes update,
    the gap between waves) is surprised more or less often than it says, and the statistic grows with the sample.
    Errors can cancel: a filter that does not learn from education is surprised too rarely at some levels and too often
    at others, which only groups show.

    Args:
        table: A transition table.
        entropy: `(steps,)`, entropy of the same model at the same steps.
        by: Column known before the occupation (education, year, step, previous, gender), whose groups get one z each.

    Returns:
        z by group; by default the single group "all".
    """
    group = np.repeat("all", len(table)) if by is None else table[by].astype(str).to_numpy()
    excess = pd.DataFrame({"person": table["person"].astype(str).to_numpy(), "group": group})
    excess["excess"] = -table["log_prob"].to_numpy() - entropy
    excess_of_person = excess.groupby(["group", "person"], sort=False)["excess"].sum()
    groups = excess_of_person.groupby("group", sort=False)
    return groups.sum() / np.sqrt((excess_of_person**2).groupby("group", sort=False).sum())


@within_ranges
def oracle_summary(tables: Mapping[str, pd.DataFrame], entropy: pd.DataFrame) -> pd.Series:
    """Summarises how predictable careers are.

    Args:
        tables: What `floors` returns.
        entropy: What `expectations` returns.

    Returns:
        Perplexities of the three tables, exp of the mean entropy (the floor without the noise of realised
        occupations), and the martingale z of the floor.
    """
    summary = {f"perplexity, {name}": perplexity(table) for name, table in tables.items()}
    summary["exp(mean entropy)"] = float(np.exp(entropy["entropy"].mean()))
    summary["martingale z"] = martingale_z(tables["floor"], entropy["entropy"].to_numpy())["all"]
    return pd.Series(summary, name="oracles")
