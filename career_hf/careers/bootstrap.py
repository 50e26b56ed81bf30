"""Resamples of people for refits of a model: the Bayesian bootstrap.

A resample does not leave people out and repeat others. Everybody gets a random weight, exponential with mean 1, which
has the mean and, but for 1/n, the variance of how often a bootstrap draws somebody (Rubin, 1981, "The Bayesian
bootstrap", Annals of Statistics 9). So every occupation and every level is in every resample, and refits share a
vocabulary; and nobody is there twice. People of one cluster (`careers.clusters`) have one weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset

from .clusters import DESIGN, clusters
from .columns import career_table, is_list, list_lengths, list_values, make_dataset


def bootstrap_weights(careers: Dataset, seed: int | Sequence[int]) -> Dataset:
    """Careers with random weights, times the survey weights if careers have some.

    Args:
        careers: Careers, one row per person.
        seed: Random seed of the weights, a number or several.

    Returns:
        The careers, with their column `weight`, one number per person, or one per year where it was so before.
    """
    table = career_table(careers)
    design = {name: careers[name][:] for name in ("person", *DESIGN) if name in table.column_names}
    cluster = clusters(pd.DataFrame(design))
    factor = np.random.default_rng(seed).exponential(size=int(cluster.max(initial=-1)) + 1)[cluster]
    weight: pa.Array = pa.array(factor)
    if "weight" in table.column_names:
        if is_list(table.schema.field("weight").type):
            lengths = list_lengths(table, "weight")
            values = np.asarray(list_values(table, "weight"), dtype=np.float64) * np.repeat(factor, lengths)
            weight = pa.ListArray.from_arrays(pa.array(np.r_[0, lengths.cumsum()], pa.int32()), pa.array(values))
        else:
            weight = pa.array(np.asarray(table["weight"], dtype=np.float64) * factor)
        table = table.drop_columns(["weight"])
    return make_dataset(table.append_column("weight", weight))


__all__ = ["bootstrap_weights"]
