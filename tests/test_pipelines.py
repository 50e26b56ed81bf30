"""Pipelines give what `forecast` gives, in whatever form careers come."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_examples import careers_of, model_and_processor
from transformers import pipeline

from career_hf import CareerProcessor
from career_hf.careers import from_frame, to_frame
from career_hf.forecasting.forecast import forecast


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model, processor = model_and_processor("career")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def predict(folder):
    return pipeline("occupation-prediction", model=str(folder), device="cpu")


CAREER = {
    "year": [1980, 1981, 1982],
    "occupation": ["cook", "cook", "nurse"],
    "education": ["10", "11", "11"],
    "race": "a",
}


def test_one_career_gets_the_models_own_next_step(predict):
    prediction = predict(CAREER, top_k=2)
    batch = predict.feature_extractor(
        {name: (values if name == "race" else [*values, values[-1]]) for name, values in CAREER.items()}
        | {"year": [1980, 1981, 1982, 1983]}
    )
    p = predict.model(**batch).logits[0, -1].softmax(-1)
    assert (prediction["person"], prediction["year"], len(prediction["occupations"])) == ("1", 1983, 2)
    assert prediction["stay_probability"] == pytest.approx(
        p[predict.feature_extractor.occupation_ids(["nurse"])[0]].item()
    )
    best = prediction["occupations"][0]
    assert best["probability"] == pytest.approx(p.max().item(), rel=1e-5)
    assert predict.feature_extractor.occupations[int(p.argmax())] == best["occupation"]
    assert best["standard_error"] == 0 and best["title"] is None


def test_lists_tables_and_careers_are_one_call_and_agree(predict):
    careers = careers_of(7)
    of_table, of_careers = predict(to_frame(careers)), predict(careers)
    rows = to_frame(careers)
    as_dicts = [
        {"person": person, "race": person_rows["race"].iloc[0]}
        | {name: person_rows[name].tolist() for name in ("year", "occupation", "education")}
        for person, person_rows in rows.groupby("person")
    ]
    of_list = predict(as_dicts)
    assert of_table == of_careers == of_list
    assert [entry["person"] for entry in of_list] == careers["person"][:]
    # One at a time, the same up to how batches are summed.
    alone = predict(as_dicts[3])
    assert alone["stay_probability"] == pytest.approx(of_list[3]["stay_probability"], rel=1e-5)
    assert predict([]) == []


def test_a_list_keeps_its_order_and_names_the_nameless_by_place(predict):
    predictions = predict([CAREER, CAREER | {"person": "zoe"}, CAREER])
    assert [entry["person"] for entry in predictions] == ["0", "zoe", "2"]


def test_two_entries_with_one_name_are_an_error(predict):
    with pytest.raises(ValueError, match="entries 0 and 1 of the list are both person '1'"):
        predict([CAREER | {"person": 1}, CAREER])


def test_the_forecast_pipeline_is_the_forecast(folder):
    ahead = pipeline("career-forecast", model=str(folder), device="cpu", samples=40)
    careers = careers_of(5)
    forecasts = ahead(careers, horizon=3, seed=1, top_k=99)
    expected = forecast(ahead.model, careers, CareerProcessor.from_pretrained(folder), horizon=3, samples=40, seed=1)
    assert len(forecasts) == 5
    for i, person in enumerate(forecasts):
        assert [entry["year"] for entry in person["years"]] == expected.years[i].tolist()
        for t, entry in enumerate(person["years"]):
            by_label = {row["occupation"]: row["probability"] for row in entry["occupations"]}
            assert sum(by_label.values()) == pytest.approx(1, abs=1e-5)
            probabilities = [by_label[label] for label in expected.occupations]
            np.testing.assert_allclose(probabilities, expected.probability[i, t], rtol=1e-6)


def test_covariates_to_come_are_used(predict):
    careers = from_frame({"person": ["1"] * 3, **CAREER, "race": ["a"] * 3}, covariates=["education"], static=["race"])
    coming = {"person": ["1"], "year": [1983], "education": ["12"]}
    assert predict(careers, covariates=coming) != predict(careers)


@pytest.mark.parametrize("name", ["markov-2", "nemo"])
def test_rivals_have_the_pipelines_too(name, tmp_path):
    model, processor = model_and_processor(name)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    prediction = pipeline("occupation-prediction", model=str(tmp_path), device="cpu")(CAREER)
    assert sum(row["probability"] for row in prediction["occupations"]) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_used_is_said(predict, folder):
    with pytest.raises(ValueError, match="'judge'"):
        predict(CAREER | {"occupation": ["cook", "cook", "judge"]})
    with pytest.raises(ValueError, match="no 'education'"):
        predict({"year": [1980], "occupation": ["cook"], "race": "a"})
    with pytest.raises(ValueError, match="entry 1 of the list is a str"):
        predict([CAREER, "cook"])
    with pytest.raises(ValueError, match=r"exact and has no \['samples'\]"):
        predict(CAREER, samples=5)
    with pytest.raises(ValueError, match=r"\['temperature'\] are not known"):
        pipeline("career-forecast", model=str(folder), device="cpu", temperature=1)
    with pytest.raises(ValueError, match="top_k is 0"):
        predict(CAREER, top_k=0)
