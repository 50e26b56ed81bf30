"""Floors come in the right order, controls reach them, and scores measure the distance."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import set_seed

from career_hf import CareerForOccupationPrediction
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity, stay_auc
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import (
    TrueOccupationModel,
    expectations,
    floors,
    oracle_summary,
    preset,
    scores,
    world_processor,
)
from career_hf.simulation.presets import CONTROLS
from career_hf.simulation.world import COVARIATES
from career_hf.training.trainer import build_trainer, scratch_recipe


@pytest.fixture(scope="module")
def simulation():
    return preset("tiny").simulate(3000, seed=2)


@pytest.fixture(scope="module")
def tables(simulation):
    return floors(simulation)


def chain_of(simulation):
    processor = CareerProcessor.fit(simulation.careers, covariates=(), occupations=simulation.world.labels)
    encoded, _ = processor.encode(simulation.careers)
    return MarkovForOccupationPrediction.fit(encoded, processor), processor


def test_knowing_the_type_beats_the_floor_and_the_floor_beats_learning_nothing(simulation, tables):
    nll = {name: -table["log_prob"] for name, table in tables.items()}
    better = nll["floor"] - nll["type known"], nll["no inference"] - nll["floor"]
    for difference in better:
        of_people = difference.groupby(tables["floor"]["person"], observed=True).sum()
        assert of_people.sum() > 3 * np.sqrt((of_people**2).sum())
    assert stay_auc(tables["type known"]) > stay_auc(tables["floor"]) > stay_auc(tables["no inference"])
    truth = TrueOccupationModel.of_world(simulation.world)
    summary = oracle_summary(tables, expectations(truth, simulation.careers, world_processor(simulation.world)))
    assert summary["perplexity, floor"] == perplexity(tables["floor"])
    assert summary["exp(mean entropy)"] == pytest.approx(summary["perplexity, floor"], rel=0.03)
    assert abs(summary["martingale z"]) < 3


def test_with_one_type_there_is_nothing_to_learn():
    tables = floors(preset("tiny").with_world(types=1).simulate(200))
    for table in tables.values():
        np.testing.assert_array_equal(table["log_prob"], tables["floor"]["log_prob"])


def test_a_markov_chain_reaches_the_floor_of_the_markov_control_and_of_no_other_world():
    ratio = {}
    for name, numbers in {"markov": CONTROLS["markov"], "tiny": {}}.items():
        world = preset("tiny").with_world(occupations=10, families=4, recipes=2, **numbers)
        chain, processor = chain_of(world.simulate(30_000, seed=0))
        test = world.simulate(5_000, seed=1)
        floor = floors(test)["floor"]
        ratio[name] = perplexity(transition_table(chain, test.careers, processor)) / perplexity(floor)
    # 30,000 people are some 150,000 steps for some 150 free numbers: 5e-4 nats of estimation, and w1 = .99 costs more.
    assert 0.995 < ratio["markov"] < 1.01
    assert ratio["tiny"] > 1.1


def test_distance_to_the_truth_is_what_realised_losses_estimate(simulation, tables):
    """KL(p* || model) averages to the difference of log-perplexities, and is zero for the truth itself."""
    chain, chain_processor = chain_of(preset("tiny").simulate(3000, seed=9))
    truth, processor = TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)
    itself = expectations(truth, simulation.careers, processor, truth, processor)
    assert itself["kl"].abs().max() < 1e-6

    against = expectations(truth, simulation.careers, processor, chain, chain_processor, batch_tokens=1000)
    floor, of_chain = tables["floor"], transition_table(chain, simulation.careers, chain_processor)
    assert against["person"].tolist() == floor["person"].astype(str).tolist()
    assert against["step"].tolist() == floor["step"].tolist()
    np.testing.assert_allclose(against["entropy"], itself["entropy"], atol=1e-6)
    assert (against["kl"] > -1e-6).all()
    realised = floor["log_prob"] - of_chain["log_prob"]
    of_people = (realised - against["kl"]).groupby(floor["person"], observed=True).sum()
    assert abs(of_people.sum()) < 4 * np.sqrt((of_people**2).sum())
    with pytest.raises(ValueError, match="model_processor"):
        expectations(truth, simulation.careers, processor, chain)


def test_scores_put_the_chain_at_zero_and_the_truth_at_one(simulation, tables):
    chain, processor = chain_of(preset("tiny").simulate(3000, seed=9))
    markov = transition_table(chain, simulation.careers, processor)
    table = scores({"no inference": tables["no inference"]}, tables["floor"], markov, draws=50)
    assert table.loc["markov", "gap_closed"] == 0
    assert table.loc["floor", "gap_closed"] == 1
    assert 0 < table.loc["no inference", "gap_closed"] < 1
    expected = perplexity(tables["no inference"]) / perplexity(tables["floor"])
    assert table.loc["no inference", "ratio"] == pytest.approx(expected)


def test_a_trained_model_stays_above_the_floor_and_below_the_chain(tmp_path):
    drawn = preset("tiny").simulate(1_300, seed=7)
    train, validation, test = (drawn.careers.select(range(*ends)) for ends in ((0, 800), (800, 900), (900, 1_300)))
    processor = CareerProcessor.fit(train, COVARIATES, occupations=drawn.world.labels)
    recipe = scratch_recipe(
        processor,
        tmp_path,
        learning_rate=5e-3,
        warmup_steps=20,
        max_steps=150,
        eval_steps=50,
        save_steps=50,
        tokens_per_batch=1_000,
        use_cpu=True,
        config_overrides={"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64},
    )
    set_seed(0)
    model = CareerForOccupationPrediction(recipe.config)
    encoded, encoded_validation = (processor.encode(careers)[0] for careers in (train, validation))
    build_trainer(model, processor, recipe, encoded, encoded_validation).train()
    chain_processor = CareerProcessor.fit(train, [], occupations=drawn.world.labels)
    chain = MarkovForOccupationPrediction.fit(chain_processor.encode(train)[0], chain_processor)

    truth = TrueOccupationModel.of_world(drawn.world)
    floor = transition_table(truth, test, world_processor(drawn.world))
    tables = {
        "career": transition_table(model, test, processor, unknown_levels="missing"),
        "chain": transition_table(chain, test, chain_processor),
    }
    scored = scores(tables, floor, tables["chain"], draws=200)
    excess = scored["difference"] + 3 * scored["standard_error"]
    assert (excess[["career", "chain"]] > 0).all()
    assert scored.loc["career", "high"] < scored.loc["chain", "difference"]
    assert (
        0 < scored.loc["career", "gap_low"] < scored.loc["career", "gap_closed"] < scored.loc["career", "gap_high"] < 1
    )
    assert scored.loc["chain", ["gap_closed", "gap_low", "gap_high"]].abs().max() < 1e-12
