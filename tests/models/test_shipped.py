"""The checkpoint that ships: its name stands where a folder can, and a folder of that name comes first."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transformers import pipeline

import career_hf
from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.models.checksums import verify_checksums
from career_hf.models.shipped import FOLDER, SMALL, shipped, shipped_names
from career_hf.occupations.crosswalks import codes
from career_hf.occupations.labels import NOT_WORKING


CAREER = {"year": [2020, 2021, 2022], "occupation": ["in_school", "95", "95"]}


def test_the_name_is_a_checkpoint_everywhere():
    assert SMALL in shipped_names()
    model, processor = load_checkpoint(SMALL)
    assert isinstance(CareerForOccupationPrediction.from_pretrained(SMALL), CareerForOccupationPrediction)
    assert CareerProcessor.from_pretrained(SMALL).occupations == processor.occupations
    assert CareerConfig.from_pretrained(SMALL).vocab_size == len(processor.occupations)
    assert set(codes()) <= set(processor.occupations) and processor.unknown_occupation is None
    assert {label for label in processor.occupations if label in NOT_WORKING} == {
        "unemployed",
        "out_of_labor_force",
        "in_school",
    }
    assert 100_000 < model.num_parameters() < 350_000


def test_it_is_small_whole_and_without_people():
    folder = FOLDER / SMALL
    verify_checksums(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    for stage in CareerProcessor.from_pretrained(SMALL).training_stages:
        assert "people_hashes" not in stage and stage["counts_rounded_to"] == 5
        assert all(corpus["redistribution"] == "from the agency" for corpus in stage["source"]["corpora"])
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(part in card for part in ("### Reach", "## Audit by group", "## Publication", "AUC"))


def test_pipelines_take_it_if_no_model_is_named_and_careers_need_no_covariates():
    predict = pipeline("occupation-prediction", device="cpu")
    (likeliest, *_) = predict(CAREER, top_k=3)["occupations"]
    assert likeliest["occupation"] == "95" and likeliest["title"] == "Registered nurses"
    both = predict([CAREER | {"person": "a"}, CAREER | {"person": "b", "education": "college"}], top_k=1)
    assert len(both) == 2 and both[0]["occupations"] != both[1]["occupations"]


def test_verbs_take_it_and_panels_without_covariates():
    careers = career_hf.from_frame({"person": [1, 1, 1], **CAREER})
    table = career_hf.transition_table(SMALL, careers)
    assert np.isfinite(table["log_prob"]).all() and table["p_stay"].iloc[-1] > 0.5
    assert career_hf.forecast(SMALL, careers, horizon=2).top(1)["occupation"].tolist() == ["95", "95"]


def test_a_folder_of_that_name_comes_first_and_other_names_are_not_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SMALL).mkdir()
    assert shipped(SMALL) == SMALL
    with pytest.raises(ValueError, match=f"there is no folder 'small'.*{SMALL}"):
        load_checkpoint("small")


@pytest.mark.parametrize(
    "door",
    [
        load_checkpoint,
        CareerForOccupationPrediction.from_pretrained,
        CareerProcessor.from_pretrained,
        CareerConfig.from_pretrained,
        career_hf.OccupationPredictionPipeline,
    ],
)
def test_a_name_that_is_nearly_right_is_named_at_once(door):
    for name in ("occ1990-small", "OCC1990DD-Small", "occ1990dd"):
        with pytest.raises(ValueError, match=f"^there is no folder '{name}', .*did you mean '{SMALL}'"):
            door(name)


def test_its_card_is_not_written_anew_and_it_can_be_published():
    card = FOLDER / SMALL / "README.md"
    before = card.read_bytes()
    with pytest.raises(ValueError, match=f"^'{SMALL}' ships with its card, {card}, and that is not written anew: "):
        career_hf.write_model_card(SMALL)
    assert card.read_bytes() == before
    publication = career_hf.publish(SMALL, "somebody/careers", dry_run=True)
    assert publication.refusals == [] and "model.safetensors" in set(publication.files["file"])


def test_names_of_the_hub_are_left_to_it():
    names = ["gpt2", "t5-small", "distilbert-base-uncased", "somebody/occ1990-small", "runs/occ1990dd-smal"]
    assert [shipped(name) for name in names] == names


def test_the_class_of_a_pipeline_takes_the_name():
    predict = career_hf.OccupationPredictionPipeline(SMALL, device="cpu")
    assert predict(CAREER, top_k=1) == pipeline("occupation-prediction", device="cpu")(CAREER, top_k=1)


def test_years_before_the_first_of_training_are_the_nearest_in_forecasts_as_in_encoding():
    model, processor = career_hf.load_checkpoint("occ1990dd-small")
    early = {"person": ["a", "a"], "year": [1974, 1975], "occupation": ["95", "95"]}
    found = career_hf.forecast((model, processor), career_hf.from_frame(early), horizon=2)
    assert found.years.tolist() == [[1976, 1977]] and found.probability.sum(-1) == pytest.approx(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"years is 2014, and must be a list of years: years=\[2014\]"):
        career_hf.forecast((model, processor), career_hf.from_frame(early), years=2014)


def test_levels_and_columns_that_the_model_does_not_know_are_said(monkeypatch):
    notes: list[str] = []
    for module in ("encoding.processing_career", "forecasting.years"):
        monkeypatch.setattr(f"career_hf.{module}.logger.warning_once", notes.append)
    predict = career_hf.OccupationPredictionPipeline(SMALL, device="cpu")
    model, processor = predict.model, predict.processor

    def careers(**columns):
        whole = {"person": ["a"] * 3, **CAREER, **{name: [value] * 3 for name, value in columns.items()}}
        return career_hf.from_frame(whole, covariates=list(columns))

    known = {"education": "college", "region": "south", "race": "black", "gender": "female"}
    ahead = {"person": ["a"], "year": [2023]}
    for silent in (CAREER, CAREER | known, CAREER | known | {"employer": "x"}, careers(**known)):
        predict(silent)
    career_hf.forecast((model, processor), careers(**known), horizon=1, covariates=ahead | {"region": ["west"]})
    assert [note for note in notes if "years without" not in note] == []

    level = r"\['BA'\] of covariate 'education' are not among the trained levels college, .*, and count as missing"
    column = (
        r"columns \['educ'\] are not used, .* covariates \['education', 'region', 'race', 'gender'\] are not among"
    )
    for message, predicted in (
        (level, CAREER | {"education": "BA"}),
        (level, [CAREER | {"education": "BA"}]),
        (level, careers(education="BA")),
        (column, CAREER | {"educ": "college"}),
        (column, [CAREER | {"educ": "college"}]),
        (column, careers(educ="college")),
    ):
        notes.clear()
        predict(predicted)
        assert len(set(notes)) == 1 and re.match(message, notes[0])
    career_hf.forecast((model, processor), careers(), horizon=1, covariates=ahead | {"educ": ["college"]})
    assert re.match(f"covariates=: {column}", notes[-1])
