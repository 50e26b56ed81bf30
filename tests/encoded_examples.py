"""Small encoded careers and models that several tests train on."""

from __future__ import annotations

import numpy as np
from datasets import Dataset, Features, List, Value

from career_hf import CareerConfig, CareerForOccupationPrediction


LEVELS = {"year": 12, "education": 4}


def encoded_careers(
    people: int, seed: int = 0, occupations: int = 9, weight: bool = False, longest: int = 12
) -> Dataset:
    """What `CareerProcessor.encode` returns, for random careers in which most steps are stays."""
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    for _ in range(people):
        length = int(rng.integers(1, longest + 1))
        labels = rng.integers(2, occupations + 2, length)
        for t in np.flatnonzero(rng.random(length - 1) < 0.6) + 1:
            labels[t] = labels[t - 1]
        row = {
            "input_ids": [1, *labels[:-1].tolist()],
            "labels": labels.tolist(),
            "covariates": rng.integers(0, list(LEVELS.values()), (length, len(LEVELS))).tolist(),
            "length": length,
        }
        rows.append(row | {"weight": float(rng.gamma(2.0, 0.5))} if weight else row)
    features = {
        "input_ids": List(Value("int32")),
        "labels": List(Value("int32")),
        "covariates": List(List(Value("int32"), length=len(LEVELS))),
        "length": Value("int32"),
    }
    return Dataset.from_list(rows, features=Features(features | ({"weight": Value("float32")} if weight else {})))


def small_model(dropout: float = 0.0, occupations: int = 9, **config) -> CareerForOccupationPrediction:
    """A two-layer CAREER for `encoded_careers`."""
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32} | config
    return CareerForOccupationPrediction(
        CareerConfig(
            vocab_size=occupations + 2,
            covariate_names=list(LEVELS),
            covariate_sizes=list(LEVELS.values()),
            hidden_dropout=dropout,
            attention_dropout=dropout,
            **settings,
        )
    )
