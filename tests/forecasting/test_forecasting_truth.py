"""Forecasts against numbers that are known otherwise: the original program's model enumerated, powers of a transition
matrix, and the simulated market's truth."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from forecast_examples import careers_of, cut, model_and_processor
from safetensors.torch import load_file

from career_hf import CareerForOccupationPrediction
from career_hf.careers import from_frame, truncate
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.changed_predictions import changed_predictions
from career_hf.forecasting.forecast import forecast
from career_hf.original.conversion import convert_state_dict, original_config
from career_hf.simulation import TrueOccupationModel, preset, world_processor
from career_hf.simulation.ahead import truth_ahead


COVARIATES = ["year", "education", "location", "ethnicity", "gender"]
# In the original's dictionaries "missing" is a level like others, and the first id is never used.
UNUSED, MISSING = "missing", "not stated"


def original_forecast(oracle, tokens="occupations_only", **kwargs):
    """Forecasts of the six people of the original program's exact forecasts, through the public function.

    Args:
        tokens: "all_tokens" for the model as it is, "occupations_only" for one without mass at special tokens.
    """
    facts = json.loads((oracle / "g_forecast_exact" / "forecast.json").read_text())
    symbols = {name: d["symbols"] for name, d in json.loads((oracle / "dictionaries.json").read_text()).items()}
    levels = [[UNUSED, *[MISSING if s == "missing" else s for s in symbols[name][1:]]] for name in COVARIATES]
    # Forecast years have embeddings too, random ones: no training step up to the cutoff saw them.
    trained = [int(year.isdigit() and int(year) <= facts["cutoff_year"]) for year in levels[0]]
    counts = [[1] * len(symbols["job"]), trained, *[[1] * len(own) for own in levels[1:]]]
    processor = CareerProcessor(
        occupations=symbols["job"],
        covariate_names=COVARIATES,
        covariate_levels=levels,
        special_token_ids=facts["special_ids"],
        pad_token_id=1,
        bos_token_id=2,
        time_covariate="year",
        training_stages=[{"stage": "training", "occupation_counts": counts[0], "covariate_counts": counts[1:]}],
    )
    weights = load_file(oracle / "a_career_two_stage_cov" / "weights.safetensors")
    shape = {"covariate_names": COVARIATES, "num_attention_heads": 2, "two_stage": True}
    config = original_config(weights, **shape, special_token_ids=facts["special_ids"])
    config = type(config)(**(config.to_dict() | processor.config_kwargs()))
    model = CareerForOccupationPrediction(config).eval()
    model.load_state_dict(convert_state_dict(weights, config))

    people = json.loads((oracle / "sequences.json").read_text())
    rows: dict[str, list] = {name: [] for name in ("person", "year", "occupation", *COVARIATES[1:])}
    for row in range(26, 32):
        person, steps = people[row], len(people[row]["job"])
        rows["person"] += [str(row)] * steps
        rows["year"] += map(int, person["year"])
        rows["occupation"] += person["job"]
        rows["education"] += [MISSING if label == "missing" else label for label in person["education"]]
        for name in COVARIATES[2:]:
            rows[name] += [MISSING if person[name] == "missing" else person[name]] * steps
    careers = from_frame(rows, covariates=["education"], static=COVARIATES[2:])
    past = truncate(careers, facts["cutoff_year"])[0]
    change = nullcontext()
    if tokens == "occupations_only":
        special = torch.tensor(facts["special_ids"])
        change = changed_predictions(
            model, lambda log_probs, _: log_probs.index_fill(-1, special, -torch.inf).log_softmax(-1)
        )
    with change:
        result = forecast(model, past, processor, years=facts["forecast_years"], covariates=careers, **kwargs)
    exact = np.load(oracle / "g_forecast_exact" / "oracle.npz")
    keys = [f"paper_all_years_after_2014__row{row}__{tokens}" for row in range(26, 32)]
    ordinary = np.setdiff1d(np.arange(len(symbols["job"])), facts["special_ids"])
    exact = np.stack([exact[key] for key in keys])
    return result, exact[..., ordinary], exact[..., facts["special_ids"]].sum(-1)


def test_the_first_step_is_that_of_the_original_program_with_its_special_tokens(shared):
    # Later steps are not, because the original draws special tokens too, and goes on from them.
    result, exact, special = original_forecast(shared / "oracle", "all_tokens", samples=200)
    np.testing.assert_allclose(result.probability[:, 0], exact[:, 0], atol=5e-6)
    np.testing.assert_allclose(result.special[:, 0], special[:, 0], atol=5e-6)
    assert special[:, 0].min() > 0.01
    np.testing.assert_allclose(result.probability.sum(-1) + result.special, 1, atol=1e-5)


def test_the_original_programs_exact_forecasts(shared):
    """Case g: the paper's treatment of years without training, the last trained one for all of them."""
    enumerated, exact, _ = original_forecast(shared / "oracle", samples=2, exact_steps=3)
    assert enumerated.attrs["years_placed_at"] == {2015: 2014, 2017: 2014, 2019: 2014}
    np.testing.assert_allclose(enumerated.probability, exact, atol=5e-6)
    sampled, _, _ = original_forecast(shared / "oracle", samples=4000, exact_steps=1)
    np.testing.assert_allclose(sampled.probability[:, 0], exact[:, 0], atol=5e-6)
    z = (sampled.probability[:, 1:] - exact[:, 1:]) / sampled.standard_error[:, 1:]
    assert np.abs(z).max() < 4.5 and 0.8 < np.sqrt((z**2).mean()) < 1.2


@pytest.mark.parametrize("order", [1, 2])
def test_a_markov_chain_ahead_is_its_matrix_power(order):
    model, processor = model_and_processor(f"markov-{order}")
    careers = cut(careers_of())
    size = len(processor.occupations)
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    # The chain on pairs (before previous, previous): a first-order chain just ignores the first of the two.
    with torch.no_grad():
        following = model(pairs).logits[:, 1].double().exp().numpy().reshape(size, size, size)
    exact = forecast(model, careers, processor, horizon=3)
    result = forecast(model, careers, processor, horizon=3, samples=2000, seed=1, exact_steps=1)
    powers = np.zeros_like(result.probability)
    for person, career in enumerate(careers):
        ids = [1, *processor.occupation_ids(career["occupation"])]
        state = np.zeros((size, size))
        state[ids[-2], ids[-1]] = 1
        for step in range(3):
            state = np.einsum("hi,hij->ij", state, following)
            powers[person, step] = state.sum(0)[2:]
    np.testing.assert_allclose(exact.probability, powers, atol=1e-6)
    assert (exact.standard_error == 0).all() and (exact.log_error == 0).all() and exact.attrs["exact_steps"] == 3
    np.testing.assert_allclose(result.probability[:, 0], powers[:, 0], atol=1e-6)
    z = (result.probability - powers)[:, 1:] / result.standard_error[:, 1:]
    assert np.abs(z).max() < 4 and 0.5 < np.sqrt((z**2).mean()) < 1.5


@pytest.fixture(scope="module")
def market():
    """A market in which nobody's education changes, because truth ahead averages over it and forecasts take it as
    given."""
    world = preset("tiny").with_world(education_progress=0.0, occupations=8, families=4, recipes=0)
    return world.with_survey(last_annual_year=1992, skipped=0.0).simulate(40, seed=1)


def z_scores(market, knowledge, exact_steps=1, **kwargs):
    """Forecasts of a true model minus the exact truth 1, 2 and 3 years ahead, also in standard errors: of states that
    are not rare, because an error that comes from paths never sampled cannot be seen in the sample."""
    model = TrueOccupationModel.of_world(market.world)
    careers = market.careers.select(range(20))
    exact = truth_ahead(model, careers, horizon=3)["probability"].to_numpy().reshape(len(careers), 3, -1)
    forecaster = TrueOccupationModel.of_world(market.world, knowledge)
    result = forecast(
        forecaster, careers, world_processor(market.world), horizon=3, samples=400, exact_steps=exact_steps, **kwargs
    )
    difference = result.probability - exact
    common = (exact > 0.03) & (result.standard_error > 0)
    return difference, difference[common] / result.standard_error[common]


@pytest.mark.parametrize("estimator", ["conditional", "frequency"])
def test_forecasts_are_unbiased_on_a_market_whose_truth_is_known(market, estimator):
    difference, z = z_scores(market, "history", estimator=estimator)
    assert np.abs(difference[:, 0]).max() < 1e-6
    assert len(z) > 200 and 0.9 < np.sqrt((z**2).mean()) < 1.1 and np.abs(z).max() < 5
    # Of an occupation's share among all 20 people, by year.
    bias = difference[:, 1:].mean(0)
    assert np.abs(bias).max() < 0.01
    # A model that is right about everything but the person's own past is not.
    wrong, z = z_scores(market, "nothing", estimator=estimator)
    assert np.abs(wrong[:, 0]).max() > 0.01 and np.sqrt((z**2).mean()) > 1.5


def test_two_steps_enumerated_are_the_truth(market):
    difference, _ = z_scores(market, "history", exact_steps=2)
    assert np.abs(difference[:, :2]).max() < 1e-6 and np.abs(difference[:, 2]).max() > 1e-4
