"""Forecasts beyond a cutoff in a notebook: what the verbs do is what one would put together by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict
from forecast_examples import careers_of, model_and_processor

import career_hf
from career_hf.careers import truncate
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import by_horizon
from career_hf.forecasting.table import forecast_table, realised_years


@pytest.fixture(scope="module")
def careers():
    return careers_of(people=80)


@pytest.fixture(scope="module")
def checkpoint(careers):
    """A model that was trained up to 1981, and its processor."""
    return model_and_processor("career", careers=truncate(careers, 1981)[0])


def test_a_cutoff_cuts_careers_and_covariates_are_known_only_on_request(checkpoint, careers):
    model, processor = checkpoint
    past, _ = truncate(careers, 1981)
    options = {"unknown_levels": "missing", "samples": 20}
    by_hand = forecast(model, past, processor, years=[1982, 1983, 1984], covariates=careers, **options)
    result = career_hf.forecast(checkpoint, careers, cutoff=1981, covariates="realised", **options)
    assert result.people == by_hand.people and (result.years == [1982, 1983, 1984]).all()
    assert np.array_equal(result.probability, by_hand.probability)
    assert result.histories["year"] == past["year"]
    assert result.attrs["covariates"] == "realised" and by_hand.attrs["covariates"] == "given"
    # Without it the forecast is that of people of whom nothing more was ever heard.
    carried = forecast(model, past, processor, years=[1982, 1983, 1984], **options)
    default = career_hf.forecast(checkpoint, careers, cutoff=1981, **options)
    assert np.array_equal(default.probability, carried.probability) and default.attrs["covariates"] == "last"
    assert not np.array_equal(result.probability, carried.probability)
    half = DatasetDict({"a": careers.select(range(40)), "b": careers.select(range(40, 80))})
    second = career_hf.forecast(checkpoint, half, horizon=1, split="b", unknown_levels="missing")
    assert second.people == careers["person"][40:]
    with pytest.raises(ValueError, match="trained on years up to 1981, so nothing after 1980 would be a forecast"):
        career_hf.forecast(checkpoint, careers, cutoff=1980)
    with pytest.raises(ValueError, match="nobody is observed after 2000"):
        career_hf.forecast(checkpoint, careers, cutoff=2000)


@pytest.mark.parametrize(("everyone", "covariates"), [(False, "last"), (True, "realised")])
def test_scores_are_those_of_the_forecast_put_together_by_hand(checkpoint, careers, everyone, covariates, tmp_path):
    model, processor = checkpoint
    options = {"cutoff": 1981, "years": [1982, 1983], "everyone": everyone}
    report = career_hf.evaluate_forecast(checkpoint, careers, **options, covariates=covariates, samples=20, draws=10)
    realised = realised_years(careers, 1981, [1982, 1983], "observed" if everyone else "survivors")
    result = forecast(
        model,
        realised.histories,
        processor,
        years=[1982, 1983],
        covariates={"last": "last", "realised": realised.careers}[covariates],
        unknown_levels="missing",
        samples=20,
        trajectories=True,
    )
    table = forecast_table(result, realised.rows, unknown_occupation=processor.unknown_occupation)
    pd.testing.assert_frame_equal(report.table, table)
    pd.testing.assert_frame_equal(report.to_frame(), by_horizon(table, 10, weighted=everyone))
    assert set(report.tables) == {"by_horizon", "prediction_sets", "calibration", "shares"}
    assert report.tables["shares"]["occupation"].nunique() == 4
    assert str(report.ledger) == str(realised.ledger)
    report.save(tmp_path)
    assert pd.read_csv(tmp_path / "by_horizon.csv")["year"].tolist() == ["all", "1982", "1983"]
    assert len(pd.read_parquet(tmp_path / "forecast_table.parquet")) == len(table)


def test_figures_are_of_people_who_are_forecast(checkpoint, careers, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
    report = career_hf.evaluate_forecast(checkpoint, careers, cutoff=1981, people=9, samples=5, draws=5)
    assert len(report.forecast.people) == 9
    assert "fewer than 10" in report.note
    assert report.with_intervals()["perplexity"].str.endswith("[too few]").all()
    person = report.forecast.people[3]
    title = report.figure("person", person).get_suptitle()
    assert person in title and "framed" in title
    assert report.forecast.people[0] in report.forecast.figure().get_suptitle()
    with pytest.raises(ValueError, match="person 'nobody' is not among the 9 who are forecast"):
        report.figure("person", "nobody")
    with pytest.raises(ValueError, match="no figure 'people'"):
        report.figure("people")
    report.forecast.save(tmp_path)
    with pytest.raises(ValueError, match="hold no histories"):
        career_hf.Forecast.load(tmp_path).figure()
