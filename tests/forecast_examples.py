"""Careers, and a small model of every class, that several tests of forecasts use; and forecasts as one would write
them first, which share nothing with the package but the models."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pandas as pd
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.careers import from_frame, truncate
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.job_vectors import (
    Job2VecConfig,
    Job2VecForOccupationPrediction,
    JobRepresentationConfig,
    JobRepresentationForOccupationPrediction,
)
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.rivals.mixture import MixtureOfMarkovChainsForOccupationPrediction
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.rivals.regression import RegressionConfig, RegressionForOccupationPrediction


LABELS = ["cook", "waiter", "driver", "nurse"]
COVARIATES = ("year", "education", "race")
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ORIGINAL = {"special_tokens_in_softmax": True, "first_step_stay": True, "logit_clamp": 10, "two_stage": True}

CAREER = {"career": {}, "career-one-stage": {"two_stage": False}, "career-original": ORIGINAL}
RIVALS = {
    "regression": (RegressionConfig, RegressionForOccupationPrediction, {}),
    "bag-of-jobs": (BagOfJobsConfig, BagOfJobsForOccupationPrediction, {"embedding_size": 6}),
    "nemo": (NemoConfig, NemoForOccupationPrediction, {"hidden_size": 8}),
    "job-representation": (JobRepresentationConfig, JobRepresentationForOccupationPrediction, {"embedding_size": 6}),
    "job2vec": (Job2VecConfig, Job2VecForOccupationPrediction, {"embedding_size": 6}),
}
CHAINS = ["markov-1", "markov-2", "mixture"]
MODELS = [*CAREER, *RIVALS, *CHAINS]


def careers_of(people=40, seed=0, first_year=1980, gap=1, labels=LABELS):
    """Careers of 2 to 5 steps; education sometimes changes, race never."""
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02d}", "year": first_year + gap * t, "occupation": rng.choice(labels)}
        | {"education": str(10 + (t + p) // 3), "race": "ab"[p % 2]}
        for p in range(people)
        for t in range(rng.integers(2, 6))
    ]
    return from_frame(pd.DataFrame(rows), covariates=["education"], static=["race"])


def model_and_processor(name, seed=0, careers=None, labels=LABELS):
    """A model of one of the classes in `MODELS`, far from uniform, and its processor, which has seen 1980 to 1986."""
    careers = careers_of() if careers is None else careers
    chain = name in CHAINS
    processor = CareerProcessor.fit(careers, covariates=() if chain else COVARIATES, occupations=labels)
    encoded, _ = processor.encode(careers)
    processor.record_training(encoded, "training")
    if name == "mixture":
        fit = MixtureOfMarkovChainsForOccupationPrediction.fit
        return fit(encoded, processor, num_chains=2, strength=2.0, restarts=1), processor
    if chain:
        fit = MarkovForOccupationPrediction.fit
        return fit(encoded, processor, order=int(name[-1]), first_order_weight=0.7, second_order_weight=0.6), processor
    if name in CAREER:
        model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **(SMALL | CAREER[name])))
    else:
        config_class, model_class, fields = RIVALS[name]
        model = model_class(config_class.from_processor(processor, **fields))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model.eval(), processor


def next_probabilities(model, processor, paths, levels):
    """p(y | path), `(paths, vocabulary)` in float64, from whole histories, and the same among occupations alone."""
    covariates = None if levels is None else torch.from_numpy(levels[: paths.shape[1]]).expand(len(paths), -1, -1)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(paths), covariates=covariates).logits[:, -1].double()
    p = logits.exp()
    logits[:, processor.special_token_ids] = -np.inf
    return p.numpy(), logits.softmax(-1).numpy()


def history_and_levels(processor, career, years):
    """The ids of a career, the beginning included, and the levels of its steps and of `years`, covariates carried
    forward and years after the last one taken for it."""
    history = np.array([processor.bos_token_id, *processor.occupation_ids(career["occupation"])], dtype=np.int64)
    if not processor.covariate_names:
        return history, None
    last = int(processor.covariate_levels[0][-1])
    labels = {
        "year": [str(min(year, last)) for year in [*career["year"], *years]],
        "education": [*career["education"], *[career["education"][-1]] * len(years)],
        "race": [career["race"]] * (len(career["year"]) + len(years)),
    }
    levels = [processor.level_ids(name, labels[name]) for name in processor.covariate_names]
    return history, np.stack(levels, axis=-1).astype(np.int64)


def naive_forecast(model, processor, career, years, samples, seed=0):
    """Every trajectory by itself, whole history and all, with the random numbers that the package gives it.

    Returns:
        `(steps, vocabulary)` average probabilities and `(samples, steps)` occupation ids.
    """
    history, levels = history_and_levels(processor, career, years)
    generator = np.random.default_rng([seed, zlib.crc32(career["person"].encode())])
    uniforms = generator.random((len(years), samples))
    paths, means = np.repeat(history[None], samples, axis=0), []
    for step in range(len(years)):
        of_all, p = next_probabilities(model, processor, paths, levels)
        means.append(of_all.mean(0))
        drawn = []
        for path, own, u in zip(paths, p, uniforms[step], strict=True):
            stay = own[path[-1]]
            own[path[-1]] = 0
            left = (u - stay) / (1 - stay) * own.sum()
            drawn.append(path[-1] if u < stay else np.searchsorted(own.cumsum(), left, side="right"))
        paths = np.c_[paths, drawn]
    return np.array(means), paths[:, len(history) :]


def enumerated_forecast(model, processor, career, years):
    """The law of all paths.

    Returns:
        `(steps, vocabulary)` exact probabilities, `(paths, steps)` occupation ids and `(paths,)` probabilities.
    """
    history, levels = history_and_levels(processor, career, years)
    ids = [i for i in range(len(processor.occupations)) if i not in processor.special_token_ids]
    marginal = np.zeros((len(years), len(processor.occupations)))
    law: dict[tuple, float] = {(): 1.0}
    for step in range(len(years)):
        paths = np.array([[*history, *path] for path in law], dtype=np.int64)
        share = np.array(list(law.values()))[:, None]
        of_all, p = (p * share for p in next_probabilities(model, processor, paths, levels))
        marginal[step] = of_all.sum(0)
        law = {(*path, j): p[i, j] for (i, path), j in itertools.product(enumerate(law), ids)}
    return marginal, np.array(list(law)), np.array(list(law.values()))


def cut(careers, people=5):
    """The first people's careers up to 1982, which all but end there."""
    return truncate(careers, 1982)[0].select(range(people))
