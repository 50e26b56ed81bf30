"""What each training stage saw, kept in the processor's state."""

from __future__ import annotations

import pytest

from career_hf.processing_career import CareerProcessor


@pytest.fixture
def processor(careers):
    return CareerProcessor.fit(careers, covariates=["year", "region", "gender"])


def test_record_training_counts_targets_and_levels(processor, careers):
    processor.record_training(processor.encode(careers)[0], "pretraining")
    occupations, (years, regions, genders) = processor.trained_counts("pretraining")
    assert occupations.tolist() == [0, 0, 4, 2, 1, 1]
    assert years.tolist() == [0, 2, 1, 2, 1, 1, 1]
    assert (regions.tolist(), genders.tolist()) == ([1, 4, 3], [4, 3, 1])


def test_stages_are_apart_and_a_repeated_stage_is_summed(processor, careers, survey):
    processor.record_training(processor.encode(careers)[0], "pretraining")
    processor.record_training(processor.encode(careers.select([1]))[0], "pretraining")
    extended = processor.extend(survey)
    extended.record_training(extended.encode(survey)[0], "finetuning")
    assert [stage["stage"] for stage in extended.training_stages] == ["pretraining", "pretraining", "finetuning"]
    assert extended.trained_counts("pretraining")[0].tolist() == [0, 0, 4, 2, 1, 2, 0, 0]
    assert extended.trained_counts()[0].tolist() == [0, 0, 0, 0, 0, 0, 2, 1]


def test_last_trained_year_is_that_of_the_stage(processor, careers, survey):
    with pytest.raises(ValueError, match="None is not recorded, only"):
        processor.last_trained_year()
    processor.record_training(processor.encode(careers.select([0, 1]))[0], "pretraining")
    assert processor.last_trained_year() == 1994
    # 1981 gets a higher id than 1994: the latest year is not the last level.
    extended = processor.extend(survey)
    extended.record_training(extended.encode(survey.select([0]))[0], "finetuning")
    assert (extended.last_trained_year(), extended.last_trained_year("pretraining")) == (1981, 1994)
    with pytest.raises(ValueError, match="stage 'scratch' is not recorded"):
        extended.last_trained_year("scratch")
    with pytest.raises(ValueError, match="year is not a covariate"):
        CareerProcessor.fit(careers, covariates=["gender"]).last_trained_year()


def test_record_training_refuses_ids_of_another_processor(processor, careers, survey):
    encoded, _ = processor.extend(survey).encode(survey)
    with pytest.raises(ValueError, match=r"stage 'finetuning' counts .* ids, but the vocabularies have"):
        processor.record_training(encoded, "finetuning")
    assert processor.training_stages == []
