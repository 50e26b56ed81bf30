"""Nobody is represented by a model that was trained on them, unless that is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from career_hf import CareerProcessor
from career_hf.careers import from_frame, split_careers, split_manifest, truncate
from career_hf.encoding.training_history import record_careers
from career_hf.representing.cross_fitting import check_not_trained_on, cross_fit
from career_hf.representing.representations import representations
from career_hf.rivals import Job2VecConfig, Job2VecForOccupationPrediction


@pytest.fixture(scope="module")
def families():
    """60 people in 20 families, of different lengths."""
    rng = np.random.default_rng(0)
    rows = [
        {"person": p, "year": 1990 + t, "occupation": rng.choice(["cook", "waiter", "nurse"]), "family": f"f{p % 20}"}
        for p in range(60)
        for t in range(1 + p % 4)
    ]
    return from_frame(pd.DataFrame(rows), group="family")


@pytest.mark.parametrize("steps", ["all", "last"])
def test_everybody_is_represented_by_the_model_that_saw_none_of_their_family(families, steps):
    models = {}

    def train(training, fold):
        torch.manual_seed(fold)
        processor = CareerProcessor.fit(families, covariates=["year"])
        model = Job2VecForOccupationPrediction(Job2VecConfig.from_processor(processor, embedding_size=4))
        models[fold] = training, model, processor
        return model, processor

    frame, fold_of = cross_fit(families, 3, train, steps=steps, kind="pandas")
    assert sorted(models) == [0, 1, 2]
    rows = pd.DataFrame({"person": frame.index.get_level_values("person"), "fold": fold_of})
    for fold, (training, model, processor) in models.items():
        out = rows.loc[rows["fold"] == fold, "person"].unique()
        inside = [i for i, person in enumerate(families["person"]) if person in set(out)]
        held_out = families.select(inside)
        check_not_trained_on(held_out, training)  # by person and by family
        assert len(training) + len(held_out) == len(families)
        expected = representations(model, held_out, processor, steps=steps)
        np.testing.assert_array_equal(frame[fold_of == fold].to_numpy(), expected)


def test_a_checkpoint_is_as_good_as_a_pair(families, tmp_path):
    def train(training, fold):
        torch.manual_seed(fold)
        processor = CareerProcessor.fit(families, covariates=["year"])
        return Job2VecForOccupationPrediction(Job2VecConfig.from_processor(processor, embedding_size=4)), processor

    def train_in_a_folder(training, fold):
        for part in train(training, fold):
            part.save_pretrained(tmp_path / str(fold))
        return tmp_path / str(fold)

    (expected, _), (values, _) = (cross_fit(families, 2, function) for function in (train, train_in_a_folder))
    np.testing.assert_array_equal(values, expected)
    # So it is for representations themselves, of splits and of careers.
    pair, splits = train(families, 0), split_careers(families)
    of_test = representations(pair[0], splits["test"], pair[1])
    np.testing.assert_array_equal(representations(pair, splits, split="test"), of_test)
    np.testing.assert_array_equal(representations(tmp_path / "0", splits["test"]), of_test)
    assert len(representations(pair, splits)) == sum(map(len, families["year"]))
    with pytest.raises(ValueError, match="a model is a folder"):
        representations(pair[0], splits["test"])


def test_a_fold_without_people_is_an_error(families):
    with pytest.raises(ValueError, match="of which .* are empty"):
        cross_fit(families.select(range(2)), 5, lambda training, fold: None)
    with pytest.raises(ValueError, match="take 2 or more"):
        cross_fit(families, 1, lambda training, fold: None)


def test_people_who_were_trained_on_are_named(families):
    splits = split_careers(families)
    check_not_trained_on(splits["test"], splits["train"])
    people = families.select(range(60))
    with pytest.raises(ValueError, match="is in both 'trained on' and 'represented'"):
        check_not_trained_on(people, splits["train"])


def test_a_manifest_is_enough_to_find_them(families):
    splits = split_careers(families, salt="other")
    manifest = split_manifest(splits, salt="other")
    for name in ("validation", "test"):
        check_not_trained_on(splits[name], manifest)
    someone = splits["train"]["person"][3]
    one_too_many = families.select([list(families["person"]).index(someone)])
    with pytest.raises(ValueError, match=f"person '{someone}' and 0 others of 1 are in the split 'train'"):
        check_not_trained_on(one_too_many, manifest)


def test_training_careers_have_to_be_those_that_the_processor_has_recorded(families):
    splits = split_careers(families)
    processor = CareerProcessor.fit(splits["train"], covariates=["year"])
    processor.record_training(processor.encode(splits["train"])[0], "training")
    check_not_trained_on(splits["test"], splits["train"], processor)
    fewer = splits["train"].select(range(len(splits["train"]) - 1))
    with pytest.raises(ValueError, match="trained on other careers than these"):
        check_not_trained_on(splits["test"], fewer, processor)


def test_training_careers_are_known_by_their_years_up_to_the_cutoff_of_training(families):
    splits = split_careers(families)
    early, _ = truncate(splits["train"], 1991)
    processor = CareerProcessor.fit(early, covariates=["year"])
    processor.record_training(processor.encode(early)[0], "training")
    with pytest.raises(ValueError, match=r"other careers than these, as its processor has recorded: pass .* cutoff"):
        check_not_trained_on(splits["test"], splits["train"], processor)  # the last year is not recorded
    record_careers(processor.training_stages[-1], early)
    for same in (early, splits["train"]):
        check_not_trained_on(splits["test"], same, processor)
    with pytest.raises(ValueError, match=r"the last year of which is 1991: pass the careers .* up to its cutoff"):
        check_not_trained_on(splits["test"], splits["train"].select(range(20)), processor)
    with pytest.raises(ValueError, match="is in both 'trained on' and 'represented'"):
        check_not_trained_on(families.select(range(60)), splits["train"], processor)
