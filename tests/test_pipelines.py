"""Pipelines give what `forecast` gives, in whatever form careers come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from forecast_examples import careers_of, model_and_processor
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from career_hf import CareerForecastPipeline, CareerProcessor
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


def rows_of(careers):
    """Careers as people would keep them: one mapping for each person."""
    return [
        {name: career[name] for name in ("person", "year", "occupation", "education", "race")} for career in careers
    ]


def agree(predictions, expected):
    """Whether predictions are the same, up to how batches are summed."""
    assert [entry["person"] for entry in predictions] == [entry["person"] for entry in expected]
    for entry, other in zip(predictions, expected, strict=True):
        assert entry["year"] == other["year"]
        assert entry["stay_probability"] == pytest.approx(other["stay_probability"], rel=1e-5)
        for row, same in zip(entry["occupations"], other["occupations"], strict=True):
            assert row["occupation"] == same["occupation"]
            assert row["probability"] == pytest.approx(same["probability"], rel=1e-5)
    return True


STREAMS = {
    "a generator": lambda rows: (row for row in rows),
    "an iterator": iter,
    "groups of a table": lambda rows: (
        frame.to_dict("list") for _, frame in pd.concat(map(pd.DataFrame, rows)).groupby("person")
    ),
    "a KeyDataset": lambda rows: KeyDataset(Dataset.from_list([{"career": row} for row in rows]), "career"),
    "an IterableDataset": lambda rows: Dataset.from_list(rows).to_iterable_dataset(),
}


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_gives_one_result_after_the_other_in_order(predict, kind, batch_size):
    careers = careers_of(9)
    results = predict(STREAMS[kind](rows_of(careers)), batch_size=batch_size)
    assert not isinstance(results, list)
    assert agree(list(results), predict(careers))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_size_of_a_batch_changes_no_prediction(predict, batch_size):
    careers = careers_of(9)
    expected = predict(careers)
    for inputs in (
        careers,
        rows_of(careers),
        to_frame(careers),
        to_frame(careers, "polars"),
        to_frame(careers, "arrow"),
    ):
        assert agree(predict(inputs, batch_size=batch_size), expected)


def test_sampled_forecasts_of_a_stream_are_those_of_a_list(folder):
    ahead = pipeline("career-forecast", model=str(folder), device="cpu", samples=20, horizon=2, batch_size=3)
    rows = [{name: value for name, value in row.items() if name != "person"} for row in rows_of(careers_of(7))]
    whole = pipeline("career-forecast", model=str(folder), device="cpu", samples=20, horizon=2)(rows)
    for streamed, listed in zip(ahead(row for row in rows), whole, strict=True):
        assert streamed["person"] == listed["person"]
        for year, same in zip(streamed["years"], listed["years"], strict=True):
            assert year["stay_probability"] == pytest.approx(same["stay_probability"], rel=1e-5)


def test_a_stream_is_read_as_results_are_taken(predict):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield CAREER

    results = predict(endless(), batch_size=2)
    assert [next(results)["person"] for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert len(taken) <= 8
    assert list(predict(iter([]))) == []


def test_workers_read_what_has_a_length(predict):
    careers = careers_of(5)
    rows = rows_of(careers)
    keyed = KeyDataset([{"career": row} for row in rows], "career")
    assert agree(list(predict(keyed, num_workers=2, batch_size=2)), predict(careers))
    assert agree(predict(rows, num_workers=1), predict(careers))
    with pytest.raises(ValueError, match="num_workers is 2, and a generator can only be read by one process"):
        predict((row for row in rows), num_workers=2)


def test_a_model_object_takes_its_processor(folder, tmp_path):
    model, processor = model_and_processor("career")
    expected = pipeline("occupation-prediction", model=str(folder), device="cpu")(CAREER)
    for given in ({"processor": processor}, {"feature_extractor": processor}, {"processor": folder}):
        made = pipeline("occupation-prediction", model=model, device="cpu", **given)
        assert made(CAREER) == expected
        assert isinstance(made.processor, CareerProcessor)
    made.save_pretrained(tmp_path)
    again = pipeline("occupation-prediction", model=str(tmp_path), device="cpu", trust_remote_code=False)
    assert again(CAREER) == expected
    with pytest.raises(ValueError, match="needs the model's CareerProcessor, and none is given; pass processor="):
        pipeline("occupation-prediction", model=model, device="cpu")
    with pytest.raises(ValueError, match="CareerProcessor, not a dict"):
        CareerForecastPipeline(model, processor={})


def test_a_checkpoint_without_its_processor_says_so(tmp_path):
    model_and_processor("career")[0].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="that of its checkpoint cannot be loaded: .*preprocessor_config.json"):
        pipeline("occupation-prediction", model=str(tmp_path), device="cpu")


def test_a_list_keeps_its_order_and_names_the_nameless_by_place(predict):
    predictions = predict([CAREER, CAREER | {"person": "zoe"}, CAREER])
    assert [entry["person"] for entry in predictions] == ["0", "zoe", "2"]


def test_a_dataset_of_rows_is_a_list_of_rows(predict):
    rows = [group.to_dict("list") for _, group in to_frame(careers_of(3)).groupby("person")]
    assert predict(Dataset.from_list(rows)) == predict(rows)
    nameless = [{"year": [1980, 1981], "occupation": ["cook", "nurse"], "education": [10, 11], "race": "a"}] * 2
    assert predict(Dataset.from_list(nameless)) == predict(nameless)


def test_two_entries_with_one_name_are_an_error(predict):
    with pytest.raises(ValueError, match="entries 0 and 1 are both person '1'"):
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
    with pytest.raises(ValueError, match="entry 1 is a str"):
        predict([CAREER, "cook"])
    with pytest.raises(ValueError, match=r"exact and has no \['samples'\]"):
        predict(CAREER, samples=5)
    with pytest.raises(ValueError, match=r"\['temperature'\] are not known"):
        pipeline("career-forecast", model=str(folder), device="cpu", temperature=1)
    with pytest.raises(ValueError, match="top_k is 0"):
        predict(CAREER, top_k=0)
    with pytest.raises(ValueError, match="batch_size is 0, and must be at least 1"):
        predict([CAREER], batch_size=0)
    with pytest.raises(ValueError, match=r"entry 0 has the people \['a', 'b', 'c'\]"):
        predict([CAREER | {"person": ["a", "b", "c"]}])
    with pytest.raises(ValueError, match="'person' is not in the table"):
        predict(Dataset.from_list([{"career": CAREER}]))
    # Rows of a long table, one after another, are not careers.
    rows = (
        {"person": "1", "year": year, "occupation": "cook", "education": "10", "race": "a"} for year in (1980, 1981)
    )
    with pytest.raises(ValueError, match="both person '1'.*pass the rows of a long table as one table"):
        list(predict(rows, batch_size=1))
    with pytest.raises(ValueError, match=r"entry 1, person '1': 'year' has 2 values, but 'occupation' has 3"):
        predict([CAREER, CAREER | {"year": [1980, 1981]}])
    with pytest.raises(ValueError, match="person '1', row 1, column 'occupation', value None: the value is missing"):
        predict(CAREER | {"occupation": ["cook", float("nan"), "nurse"]})
    with pytest.raises(ValueError, match="column 'year' has 3 values, but 'person' has 2"):
        predict(CAREER | {"person": ["a", "a"], "race": ["a"] * 3})
    with pytest.raises(ValueError, match="a Series is one row or column of a table: pass the table"):
        predict(to_frame(careers_of(2)).iloc[0])
    with pytest.raises(ValueError, match=r"a mapping of splits \['test'\], not one dataset: take one of them"):
        predict(DatasetDict({"test": careers_of(2)}))
    for options, message in (
        ({"top_k": "3"}, "top_k is '3', and must be at least 1, a whole number"),
        ({"top_k": 1.5}, "top_k is 1.5, and must be at least 1, a whole number"),
        ({"batch_size": "2"}, "batch_size is '2', and must be at least 1, a whole number"),
        ({"num_workers": "2"}, "num_workers is '2', and must be at least 1, a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            predict([CAREER], **options)
    coming = {"person": ["1"], "year": [1983], "education": ["12"]}
    for inputs, options in (((row for row in [CAREER]), {}), ([CAREER], {"batch_size": 1})):
        with pytest.raises(ValueError, match="covariates= is one table for everybody"):
            predict(inputs, covariates=coming, **options)
