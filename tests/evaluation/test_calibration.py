"""Reliability and recalibration, on the simulated market where the truth is known to be calibrated."""

import numpy as np
import pytest
import torch

from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.evaluation.calibration import Recalibration, calibration_error, recalibrate, reliability
from career_hf.evaluation.metrics import perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, preset, world_processor


DISTORTION = Recalibration(temperature=0.5, stay_slope=1.7, stay_intercept=-0.8)


@pytest.fixture(scope="module")
def market():
    drawn = preset("tiny").simulate(1_500, seed=3)
    return drawn.careers, TrueOccupationModel.of_world(drawn.world), world_processor(drawn.world)


@pytest.mark.parametrize("of", ["stay", "top"])
def test_the_truth_is_calibrated_and_a_distorted_truth_is_not(market, of):
    careers, truth, processor = market
    curve = reliability(transition_table(truth, careers, processor), of)
    inside = ((curve["low"] <= curve["predicted"]) & (curve["predicted"] <= curve["high"])).sum()
    assert inside >= len(curve) - 2
    with DISTORTION.applied_to(truth):
        distorted = reliability(transition_table(truth, careers, processor), of)
    assert calibration_error(distorted) > 3 * calibration_error(curve)


def test_a_curve_counts_every_step_once(market):
    careers, truth, processor = market
    table = transition_table(truth, careers, processor)
    curve = reliability(table, "stay", bins=7, draws=5)
    later = table[table["step"] > 0]
    assert curve["n"].sum() == len(later) and len(curve) == 7
    assert np.average(curve["predicted"], weights=curve["n"]) == pytest.approx(later["p_stay"].mean())
    assert np.average(curve["observed"], weights=curve["n"]) == pytest.approx((later["transition"] == "stay").mean())


def test_predictions_that_are_all_equal_are_one_bin(market):
    careers, truth, processor = market
    table = transition_table(truth, careers, processor)
    later = table[table["step"] > 0]
    curve = reliability(later.assign(p_stay=0.25), "stay", draws=5)
    assert len(curve) == 1 and curve["n"].sum() == len(later)
    assert calibration_error(curve) == pytest.approx(abs((later["transition"] == "stay").mean() - 0.25))


def test_recalibration_undoes_a_distortion(market):
    careers, truth, processor = market
    validation, test = careers.select(range(1_000)), careers.select(range(1_000, 1_500))
    recalibration = recalibrate(truth, validation, processor)
    assert recalibration.temperature == pytest.approx(1, abs=0.08)
    assert recalibration.stay_slope == pytest.approx(1, abs=0.15) and recalibration.stay_intercept == pytest.approx(
        0, abs=0.15
    )
    plain = perplexity(transition_table(truth, test, processor))
    with DISTORTION.applied_to(truth):
        distorted = perplexity(transition_table(truth, test, processor))
        undo = recalibrate(truth, validation, processor)
        with undo.applied_to(truth):
            mended = perplexity(transition_table(truth, test, processor))
    assert undo.temperature == pytest.approx(1 / DISTORTION.temperature, rel=0.08)
    assert undo.stay_slope == pytest.approx(1 / DISTORTION.stay_slope, rel=0.15)
    assert distorted > 1.05 * plain and mended < 1.01 * plain
    # Outside of it the model is as before.
    assert perplexity(transition_table(truth, test, processor)) == plain


def test_recalibrated_probabilities_sum_to_one_and_nothing_changes_with_the_identity(market):
    careers, truth, processor = market
    batch = PaddingCollator(processor.pad_token_id)(EncodedCareers(processor.encode(careers)[0]).gather(np.arange(20)))
    real = batch["labels"] != -100
    logits = truth(input_ids=batch["input_ids"], covariates=batch["covariates"]).logits
    special = processor.special_token_ids
    for recalibration in (Recalibration(), DISTORTION):
        log_probs = recalibration.log_probs(logits.double(), batch["input_ids"], special)[real]
        np.testing.assert_allclose(log_probs.exp().sum(-1), 1, atol=1e-6)
        assert (log_probs[:, special] < -1e3).all()
    same = Recalibration().log_probs(logits.double(), batch["input_ids"], special)[real]
    torch.testing.assert_close(same.exp(), logits.double()[real].exp(), atol=1e-5, rtol=0)


def test_recalibration_needs_stays_and_moves(market):
    careers, truth, processor = market
    never_moved = careers.select([i for i, career in enumerate(careers["occupation"]) if len(set(career)) == 1])
    assert len(never_moved) > 0
    with pytest.raises(ValueError, match="needs stays and moves"):
        recalibrate(truth, never_moved, processor)
