"""The arrays of a forecast as frames, datasets and files."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_examples import careers_of, cut, model_and_processor

from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.result import Forecast


@pytest.fixture(scope="module")
def result():
    model, processor = model_and_processor("career")
    return forecast(model, cut(careers_of()), processor, horizon=3, samples=30, trajectories=True)


def test_a_frame_has_a_row_for_each_person_year_and_occupation(result):
    frame = result.to_frame()
    assert frame.columns.tolist() == ["person", "year", "occupation", "probability", "standard_error"]
    assert len(frame) == result.probability.size
    for row in frame.sample(20, random_state=0).itertuples():
        person, occupation = result.people.index(row.person), result.occupations.index(row.occupation)
        year = result.years[person].tolist().index(row.year)
        assert row.probability == result.probability[person, year, occupation]
        assert row.standard_error == result.standard_error[person, year, occupation]
    assert frame.duplicated(["person", "year", "occupation"]).sum() == 0


def test_top_is_the_head_of_the_sorted_frame(result):
    frame = result.to_frame()
    for k in (1, 2, 4, 9):
        top = result.top(k)
        best = frame.sort_values("probability", ascending=False, kind="stable")
        best = best.groupby(["person", "year"], observed=True).head(k).sort_values(["person", "year"], kind="stable")
        assert top["occupation"].tolist() == best["occupation"].tolist()
        assert top["probability"].tolist() == best["probability"].tolist()
        assert top["standard_error"].tolist() == best["standard_error"].tolist()
        assert top["rank"].tolist() == list(range(1, min(k, 4) + 1)) * 15


def test_a_dataset_has_a_row_for_each_person_and_year(result):
    dataset = result.to_dataset()
    assert dataset["person"] == [person for person in result.people for _ in range(3)]
    assert dataset["year"] == result.years.ravel().tolist()
    assert np.array_equal(dataset.with_format("numpy")["probability"][:], result.probability.reshape(15, 4))


@pytest.mark.parametrize("with_trajectories", [True, False])
def test_what_is_saved_is_loaded(result, tmp_path, with_trajectories):
    result.save(tmp_path / "forecast")
    if not with_trajectories:  # saved again in the same folder
        result = Forecast(**{**result.__dict__, "trajectories": None})
        result.save(tmp_path / "forecast")
    loaded = Forecast.load(tmp_path / "forecast")
    for name in ("people", "occupations", "attrs"):
        assert getattr(loaded, name) == getattr(result, name)
    for name in ("years", "probability", "standard_error"):
        assert np.array_equal(getattr(loaded, name), getattr(result, name))
        assert getattr(loaded, name).dtype == getattr(result, name).dtype
    assert (loaded.trajectories is None) is not with_trajectories
    if with_trajectories:
        for name, values in vars(result.trajectories).items():
            assert np.array_equal(getattr(loaded.trajectories, name), values)


def test_trajectories_are_distinct_and_add_up(result):
    paths = result.trajectories
    assert (np.diff(paths.person) >= 0).all() and (paths.count > 0).all()
    assert np.bincount(paths.person, paths.count).tolist() == [30] * 5
    assert len(np.unique(np.c_[paths.person, paths.occupation], axis=0)) == len(paths.count)
