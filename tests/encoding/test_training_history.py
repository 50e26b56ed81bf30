"""What each training stage saw, kept in the processor's state."""

from __future__ import annotations

from hashlib import blake2b

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers.provenance import UNKNOWN_SOURCE
from career_hf.encoding import training_history
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.encoding.training_history import round_stage, same_counts


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


def test_every_stage_keeps_its_source_through_finetuning_and_files(processor, careers, survey, tmp_path):
    psid = {"source": "psid", "license": "psid-conditions", "redistribution": "forbidden", "first_year": 1990}
    processor.record_training(processor.encode(careers)[0], "pretraining", psid)
    processor.save_pretrained(tmp_path)
    extended = CareerProcessor.from_pretrained(tmp_path).extend(survey, covariates=["education"])
    extended.record_training(extended.encode(survey)[0], "finetuning")
    extended.save_pretrained(tmp_path)
    stages = CareerProcessor.from_pretrained(tmp_path).training_stages
    assert [stage["source"] for stage in stages] == [psid, dict(UNKNOWN_SOURCE)]
    assert [(stage["people"], stage["person_years"]) for stage in stages] == [(3, 8), (2, 3)]


def test_folders_from_before_sources_were_kept_load(processor, careers, tmp_path):
    processor.record_training(processor.encode(careers)[0], "pretraining")
    for name in ("source", "people", "person_years"):
        del processor.training_stages[0][name]
    processor.save_pretrained(tmp_path)
    assert CareerProcessor.from_pretrained(tmp_path).extend(careers).trained_counts()[0].tolist() == [0, 0, 4, 2, 1, 1]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_rounded_counts_keep_what_was_seen_and_hide_how_often(processor, careers, k):
    processor.record_training(processor.encode(careers)[0], "pretraining")
    stage = processor.training_stages[0]
    rounded = round_stage(stage, k)
    for counts, rounded_counts in zip(
        [stage["occupation_counts"], *stage["covariate_counts"]],
        [rounded["occupation_counts"], *rounded["covariate_counts"]],
        strict=True,
    ):
        assert all(
            number % k == 0 and 0 <= number - count < k for count, number in zip(counts, rounded_counts, strict=True)
        )
        assert [number > 0 for number in rounded_counts] == [count > 0 for count in counts]
    assert rounded["person_years"] == 8
    # Whoever has the training careers can still tell that they are these, and that others are not.
    processor.record_training(processor.encode(careers.select([0, 1]))[0], "others")
    assert same_counts(rounded, stage) and not same_counts(rounded, processor.training_stages[-1])


LABELS = st.text(min_size=1, max_size=4).filter(str.strip)


@settings(max_examples=30)
@given(
    careers=st.lists(st.dictionaries(st.integers(-3, 12), LABELS, min_size=1, max_size=6), max_size=6),
    last_year=st.integers(-4, 12),
    at_once=st.integers(1, 4),
)
def test_a_hash_of_a_person_is_that_of_the_name_and_the_years_up_to_the_last(careers, last_year, at_once):
    """Models that were saved have these hashes, so that their definition never changes."""
    rows = [(f"p{i}", *zip(*sorted(steps.items()), strict=True)) for i, steps in enumerate(careers)]
    table = pa.table(
        {
            "person": pa.array([person for person, _, _ in rows], pa.string()),
            "year": pa.array([list(years) for _, years, _ in rows], pa.list_(pa.int32())),
            "occupation": pa.array([list(labels) for _, _, labels in rows], pa.list_(pa.string())),
        }
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_history, "PEOPLE_AT_ONCE", at_once)
        hashes, places = training_history._hashes_of_people(table, last_year)
    expected = {}
    for place, (person, years, labels) in enumerate(rows):
        early = [f"{year}:{label}" for year, label in zip(years, labels, strict=True) if year <= last_year]
        if early:
            text = "\x1f".join([person, *early])
            digest = blake2b(text.encode(), digest_size=8, person=b"career_hf").digest()
            expected[place] = int.from_bytes(digest, "little")
    assert dict(zip(places.tolist(), hashes.tolist(), strict=True)) == expected
