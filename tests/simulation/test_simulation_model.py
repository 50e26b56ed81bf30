"""The true law behind the interface of every occupation model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from scipy.stats import chisquare

from career_hf.careers import from_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.forecasting.forecast import forecast
from career_hf.simulation import TrueOccupationModel, preset, world_processor
from career_hf.simulation.ahead import truth_ahead
from career_hf.simulation.law import Law, People
from career_hf.simulation.survey import draw_careers


@pytest.fixture(scope="module")
def simulation():
    return preset("tiny").simulate(60, seed=3)


@pytest.fixture(scope="module")
def truth(simulation):
    return TrueOccupationModel.of_world(simulation.world)


def test_probabilities_sum_to_one_and_special_ids_get_none(simulation, truth):
    batch = world_processor(simulation.world)(simulation.careers)
    logits = truth(**batch).logits
    real = batch["attention_mask"].bool()
    assert logits.dtype == torch.float32
    assert (logits[..., :2] == -1e4).all()
    torch.testing.assert_close(
        logits.double().exp().sum(-1)[real], torch.ones(int(real.sum())).double(), rtol=1e-6, atol=0
    )


def test_padding_and_the_other_rows_of_a_batch_change_nothing(simulation, truth):
    batch = world_processor(simulation.world)(simulation.careers)
    together = truth(**batch).logits
    for i in range(0, 60, 7):
        length = int(batch["attention_mask"][i].sum())
        alone = truth(batch["input_ids"][[i], :length], batch["covariates"][[i], :length]).logits
        torch.testing.assert_close(together[i, :length], alone[0])


def test_loss_is_the_mean_negative_log_probability_of_the_transition_table(simulation, truth):
    processor = world_processor(simulation.world)
    table = transition_table(truth, simulation.careers, processor, batch_tokens=100)
    batch = processor(simulation.careers)
    batch.pop("attention_mask")
    assert truth(**batch).loss.item() == pytest.approx(-table["log_prob"].mean(), rel=1e-6)


def test_a_saved_model_is_the_same_world_whatever_draws_random_numbers_later(simulation, truth, tmp_path, monkeypatch):
    processor = world_processor(simulation.world)
    before = transition_table(truth, simulation.careers, processor)
    truth.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    original = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: original(12345))
    loaded = TrueOccupationModel.from_pretrained(tmp_path)
    after = transition_table(loaded, simulation.careers, CareerProcessor.from_pretrained(tmp_path))
    assert loaded.dtype == torch.float64
    pd.testing.assert_frame_equal(before, after)


def test_a_world_rounded_to_fewer_digits_is_refused(simulation):
    model = TrueOccupationModel.of_world(simulation.world).bfloat16()
    with pytest.raises(ValueError, match="rounded to torch.bfloat16"):
        model(**world_processor(simulation.world)(simulation.careers.select([0])))


@pytest.mark.parametrize("knowledge", ["nothing", "type"])
def test_other_kinds_of_knowledge_are_saved_too(simulation, knowledge, tmp_path):
    model = TrueOccupationModel.of_world(simulation.world, knowledge)
    model.save_pretrained(tmp_path)
    assert TrueOccupationModel.from_pretrained(tmp_path).config.knowledge == knowledge


def test_packed_careers_and_missing_covariates_are_refused(simulation, truth):
    batch = world_processor(simulation.world)(simulation.careers.select([0]))
    with pytest.raises(ValueError, match="none were given"):
        truth(batch["input_ids"])
    twice = {name: torch.cat([batch[name]] * 2, dim=1) for name in ("input_ids", "covariates")}
    with pytest.raises(ValueError, match="one career"):
        truth(**twice)
    with pytest.raises(StrictDataclassClassValidationError, match="knowledge must be"):
        TrueOccupationModel.of_world(simulation.world, "everything")


def test_two_waves_ahead_equals_the_frequencies_of_careers_drawn_from_the_law():
    """People alike in all that is observed up to a first wave in school, of types drawn as in the population."""
    world = preset("tiny").simulate(1).world
    law, n, rng = Law(world), 60_000, np.random.default_rng(5)
    people = People(*(np.full(n, value) for value in (1959, 1, 0, 3)))
    types = rng.choice(world.config.types, p=law.prior(people)[0], size=n)
    years = np.tile([1980, 1982, 1984], (n, 1))
    states, levels = draw_careers(law, people, types, years, np.full(n, 3), rng)
    matches = (states[:, 0] == world.num_states - 1) & (levels[:, 0] == 1)
    drawn = np.bincount(states[matches, 2], minlength=world.num_states)

    one = {"person": ["a"], "year": [1980], "occupation": ["in_school"], "education": ["high_school"]}
    one |= {"region": ["west"], "race": ["non_black_non_hispanic"], "gender": ["female"], "birth_year": ["1959"]}
    career = from_frame(one, covariates=["education"], static=["region", "race", "gender", "birth_year"])
    truth = TrueOccupationModel.of_world(world)
    exact = truth_ahead(truth, career, horizon=2, gap=2)
    assert exact["year"].unique().tolist() == [1982, 1984]
    p = exact[exact["year"] == 1984]["probability"].to_numpy()
    assert exact.groupby("year")["probability"].sum().to_numpy() == pytest.approx(1)
    assert matches.sum() > 4000
    assert chisquare(drawn, p * matches.sum()).pvalue > 1e-3

    sampled = truth_ahead(truth, career, horizon=2, gap=2, paths=4000)
    z = (sampled["probability"] - exact["probability"]) / sampled["standard_error"].clip(lower=1e-12)
    assert z[sampled["standard_error"] > 0].abs().max() < 4.5
    with pytest.raises(ValueError, match="paths=10_000"):
        truth_ahead(truth, career, horizon=5)
    with pytest.raises(ValueError, match="horizon must be"):
        truth_ahead(TrueOccupationModel.of_world(world, "type"), career, horizon=1)


def test_forecasts_of_the_package_are_exact_one_wave_ahead_for_people_out_of_school(simulation, truth):
    out_of_school = [i for i, states in enumerate(simulation.careers["occupation"]) if states[-1] != "in_school"]
    careers = simulation.careers.select(out_of_school[:4])
    theirs = forecast(truth, careers, world_processor(simulation.world), horizon=1, samples=2).to_frame()
    mine = truth_ahead(truth, careers, horizon=1)
    assert theirs["person"].astype(str).tolist() == mine["person"].astype(str).tolist()
    assert theirs["occupation"].astype(str).tolist() == mine["occupation"].astype(str).tolist()
    np.testing.assert_allclose(theirs["probability"], mine["probability"], atol=1e-6)
    assert theirs["year"].tolist() == mine["year"].tolist()
