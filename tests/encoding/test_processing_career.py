"""CareerProcessor: labels to ids and back, and a state that survives being written with sorted keys."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedConfig, Trainer, TrainingArguments

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.careers import from_frame, to_frame
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.modeling_wage import check_excluded


# Not in alphabetical order, which is the order that sorted keys would give.
NAMES = ["year", "region", "gender"]


@pytest.fixture
def processor(careers):
    return CareerProcessor.fit(careers, covariates=NAMES)


def config_of(processor, **changes):
    kwargs = processor.config_kwargs() | changes
    names = {name: kwargs.pop(name) for name in ("id2label", "label2id")}
    config = PreTrainedConfig(**names)
    for name, value in kwargs.items():
        setattr(config, name, value)
    return config


def test_fit_orders_occupations_by_count_then_label(processor):
    """cook 4, waiter 2, nurse and pilot 1 each."""
    assert processor.occupations == ["<pad>", "<start>", "cook", "waiter", "nurse", "pilot"]
    assert processor.id2label == dict(enumerate(processor.occupations))


def test_fit_sorts_levels_after_missing(processor):
    assert processor.covariate_names == NAMES
    assert processor.covariate_levels == [
        ["missing", "1990", "1991", "1992", "1993", "1994", "1995"],
        ["missing", "south", "west"],
        ["missing", "f", "m"],
    ]


def test_numeric_levels_are_sorted_as_numbers():
    frame = {"person": [1, 2, 3], "year": [999, 1000, 98], "occupation": ["a", "b", "c"], "grade": [9, 10, None]}
    processor = CareerProcessor.fit(from_frame(frame, covariates=["grade"]), covariates=["grade", "year"])
    assert processor.covariate_levels == [["missing", "9", "10"], ["missing", "98", "999", "1000"]]


def test_fit_records_time_covariate_and_most_common_gap(processor, careers):
    """Gaps are 2, 2 (ann) and 1, 2, 2 (cy)."""
    assert (processor.time_covariate, processor.step_length) == ("year", 2)
    assert CareerProcessor.fit(careers, covariates=["gender"]).time_covariate is None


def test_encode_is_shifted_input_aligned_labels_and_levels(processor, careers):
    encoded, ledger = processor.encode(careers)
    assert encoded["input_ids"][:] == [[1, 2, 3], [1], [1, 2, 2, 3]]
    assert encoded["labels"][:] == [[2, 3, 2], [5], [2, 2, 3, 4]]
    assert encoded["covariates"][0] == [[1, 1, 1], [3, 1, 1], [5, 0, 1]]
    assert encoded["covariates"][2] == [[1, 2, 0], [2, 2, 0], [4, 1, 0], [6, 1, 0]]
    assert encoded["length"][:] == [3, 1, 4]
    assert (ledger.entries[0].rows_in, ledger.entries[0].altered) == (8, {})


@st.composite
def frames(draw):
    people = draw(st.integers(1, 6))
    rows = [(p, y) for p in range(people) for y in draw(st.sets(st.integers(1980, 1999), min_size=1, max_size=6))]
    column = {name: [draw(st.sampled_from(values)) for _ in rows] for name, values in LEVELS.items()}
    return {"person": [p for p, _ in rows], "year": [y for _, y in rows], **column}


LEVELS = {"occupation": ["a", "b", "c"], "region": ["n", "s", None], "gender": ["f", "m", "missing"]}


@settings(max_examples=50, deadline=None)
@given(frames())
def test_encode_equals_a_loop_over_steps(frame):
    careers = from_frame(frame, covariates=["region", "gender"])
    processor = CareerProcessor.fit(careers, covariates=["region", "year", "gender"])
    encoded, _ = processor.encode(careers)
    for career, row in zip(careers, encoded, strict=True):
        labels = [processor.occupations.index(occupation) for occupation in career["occupation"]]
        assert row["labels"] == labels
        assert row["input_ids"] == [1, *labels[:-1]]
        for t, levels in enumerate(row["covariates"]):
            values = [career["region"][t], str(career["year"][t]), career["gender"][t]]
            assert levels == [
                known.index("missing" if value is None else value)
                for known, value in zip(processor.covariate_levels, values, strict=True)
            ]


def test_encoded_columns_are_single_contiguous_lists(processor, careers):
    encoded, _ = processor.encode(careers.select([2, 0, 1]))
    table = encoded.data.table
    kinds = {name: str(table[name].type) for name in ("input_ids", "labels", "covariates", "length", "weight")}
    assert kinds == {
        "input_ids": "list<item: int32>",
        "labels": "list<item: int32>",
        "covariates": "list<item: fixed_size_list<item: int32>[3]>",
        "length": "int32",
        "weight": "float",
    }
    assert all(column.num_chunks == 1 for column in table.columns)
    assert table["input_ids"].chunk(0).offsets.to_pylist() == [0, 4, 7, 8]


def test_model_without_covariates_has_no_covariate_column(careers):
    processor = CareerProcessor.fit(careers, covariates=())
    encoded, _ = processor.encode(careers)
    assert "covariates" not in encoded.column_names
    assert "covariates" not in processor(careers)
    processor.record_training(encoded, "pretraining")
    assert processor.trained_counts()[1] == []


def test_weights_have_mean_one_per_scored_step_of_training(processor, careers):
    """Weights 1, 4, 2 over 3, 1, 4 steps: 15 in 8 steps."""
    assert np.isclose(processor.weight_scale, 8 / 15)
    encoded, _ = processor.encode(careers)
    assert np.allclose(encoded["weight"][:], np.array([1, 4, 2]) * 8 / 15)
    assert np.isclose(np.average(encoded["weight"][:], weights=encoded["length"][:]), 1)
    # The factor is that of training, whatever is encoded later.
    assert np.isclose(processor.encode(careers.select([1]))[0]["weight"][0], 4 * 8 / 15)


def test_weights_are_left_out_with_a_note_if_training_had_none(careers):
    processor = CareerProcessor.fit(careers.remove_columns("weight"))
    encoded, ledger = processor.encode(careers)
    assert "weight" not in encoded.column_names
    assert "weights left out" in ledger.notes[0]


def test_unknown_occupation_is_an_error_that_names_it(careers):
    processor = CareerProcessor.fit(careers.select([0, 1]))
    match = r"person 'cy', row 0, year 1995: occupation 'nurse' is not among the 3 known.*extend.*unknown_occupation"
    with pytest.raises(ValueError, match=match):
        processor.encode(careers.select([2]), unknown_levels="missing")


def test_unknown_occupation_can_be_a_named_one_and_is_counted(careers):
    processor = CareerProcessor.fit(careers.select([0, 1]), covariates=["gender"], unknown_occupation="other")
    assert processor.occupations == ["<pad>", "<start>", "cook", "pilot", "waiter", "other"]
    encoded, ledger = processor.encode(careers.select([2]))
    assert processor.decode(encoded["labels"][0]) == ["cook", "cook", "waiter", "other"]
    assert ledger.entries[0].altered == {"occupation outside the vocabulary, now 'other'": 1}


def test_coding_scheme_gives_ids_to_occupations_nobody_held(careers):
    scheme = ["pilot", "nurse", "waiter", "cook", "judge", "actor"]
    processor = CareerProcessor.fit(careers, occupations=scheme)
    assert processor.occupations[2:] == ["cook", "waiter", "nurse", "pilot", "actor", "judge"]
    with pytest.raises(ValueError, match="person 'bob', row 1, year 1992: occupation 'pilot' is not among the 5"):
        CareerProcessor.fit(careers, occupations=scheme[1:])
    mapped = CareerProcessor.fit(careers, occupations=["cook"], unknown_occupation="other")
    assert mapped.occupations[2:] == ["cook", "other"]


def test_special_labels_cannot_be_occupations():
    frame = {"person": [1], "year": [1990], "occupation": ["<start>"]}
    with pytest.raises(ValueError, match="occupation '<start>' has two ids"):
        CareerProcessor.fit(from_frame(frame))
    processor = CareerProcessor.fit(from_frame(frame | {"occupation": ["cook"]}))
    with pytest.raises(ValueError, match="occupation '<start>' is not among the 1 known"):
        processor.encode(from_frame(frame))


def test_unseen_year_is_an_error_that_names_the_trained_range(processor, careers):
    late = careers.map(lambda career: {"year": [year + 10 for year in career["year"]]})
    match = r"person 'ann', row 0, year 2000: '2000' of covariate 'year' is not among the trained years, 1990 to 1995"
    with pytest.raises(ValueError, match=match):
        processor.encode(late)
    encoded, ledger = processor.encode(late, unknown_levels="missing")
    assert [step[0] for row in encoded["covariates"][:] for step in row] == [0] * 8
    assert ledger.entries[0].altered == {"level of 'year' never seen in training, now 'missing'": 8}


def test_unseen_static_level_names_the_person_and_counts_person_years(processor, careers):
    other = careers.map(lambda career: {"gender": "x" if career["person"] == "cy" else "f"})
    match = r"person 'cy', row 2, year 1990: 'x' of covariate 'gender' is not among the trained levels f, m; correct"
    with pytest.raises(ValueError, match=match):
        processor.encode(other)
    assert processor.encode(other, unknown_levels="missing")[1].entries[0].altered == {
        "level of 'gender' never seen in training, now 'missing'": 4
    }
    with pytest.raises(ValueError, match="unknown_levels 'ignore'"):
        processor.encode(other, unknown_levels="ignore")


def test_missing_covariate_column_is_an_error(processor, careers):
    with pytest.raises(ValueError, match="careers have no covariate 'region'"):
        processor.encode(careers.remove_columns("region"))
    with pytest.raises(ValueError, match="'log_wage' has type list<item: double> and is no covariate"):
        CareerProcessor.fit(careers, covariates=["log_wage"])


def test_encode_validates_careers(processor, careers):
    with pytest.raises(ValueError, match="person 'ann', row 3, column 'person'.*two rows"):
        processor.encode(Dataset.from_dict({k: v + v[:1] for k, v in careers[:].items()}, features=careers.features))


def test_encode_of_nobody_is_empty(processor, careers):
    encoded, ledger = processor.encode(careers.select([]))
    assert (encoded.num_rows, ledger.entries[0].rows_out) == (0, 0)


def test_save_and_load_give_the_same_state_and_encoding(processor, careers, tmp_path):
    encoded, _ = processor.encode(careers)
    processor.record_training(encoded, "pretraining")
    processor.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert list(written) == sorted(written)
    loaded = CareerProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.encode(careers)[0][:] == encoded[:]
    assert loaded.config_kwargs() == processor.config_kwargs()


def test_encoded_careers_survive_a_round_trip_through_disk(processor, careers, tmp_path):
    encoded, _ = processor.encode(careers)
    encoded.save_to_disk(tmp_path / "encoded")
    assert load_from_disk(tmp_path / "encoded")[:] == encoded[:]


def test_call_pads_on_the_right(processor, careers):
    batch = processor(careers)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [1, 0, 0, 0], [1, 2, 2, 3]]
    assert batch["labels"].tolist() == [[2, 3, 2, -100], [5, -100, -100, -100], [2, 2, 3, 4]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert batch["covariates"].shape == (3, 4, 3)
    assert batch["covariates"][1].tolist() == [[3, 2, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())
    assert set(batch) == {"input_ids", "labels", "attention_mask", "covariates"}


@settings(max_examples=30, deadline=None)
@given(frames(), st.data())
def test_a_call_is_the_encoded_dataset_padded_however_careers_are_given(frame, data):
    careers = from_frame(frame, covariates=["region", "gender"])
    names = data.draw(st.permutations(["region", "year", "gender"]))[: data.draw(st.integers(0, 3))]
    processor = CareerProcessor.fit(careers, covariates=names)
    rows = data.draw(st.permutations(range(careers.num_rows)))
    padded = PaddingCollator()(processor.encode(careers.select(rows))[0].to_list())
    padded["attention_mask"] = (padded["labels"] != -100).long()
    batch = processor(careers.select(rows))
    assert set(batch) == set(padded) and all(torch.equal(batch[name], padded[name]) for name in padded)
    in_order = processor(careers)
    assert all(torch.equal(values, in_order[name]) for name, values in processor(frame).items())
    lengths = in_order["attention_mask"].sum(1)
    for row, career in enumerate(careers):
        alone = processor(career)
        assert all(torch.equal(values[0], in_order[name][row, : lengths[row]]) for name, values in alone.items())


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_call_takes_frames(processor, careers, kind):
    expected, batch = processor(careers), processor(to_frame(careers, kind))
    assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_call_takes_one_person(processor, careers):
    career = {"year": [1990, 1991], "occupation": ["cook", "nurse"], "region": ["south", None], "gender": "f"}
    batch = processor(career, return_tensors="np")
    assert batch["labels"].tolist() == [[2, 4]]
    assert batch["covariates"].tolist() == [[[1, 1, 1], [2, 0, 1]]]
    whole = processor(careers[2])
    assert torch.equal(whole["labels"][0], processor(careers)["labels"][2])
    with pytest.raises(ValueError, match="'year' .*does not increase"):
        processor(career | {"year": [1991, 1990]})
    with pytest.raises(ValueError, match="'region' has 3 values, but 'occupation' has 2"):
        processor(career | {"region": ["south"] * 3})
    with pytest.raises(ValueError, match="the career has no 'gender'"):
        processor({name: value for name, value in career.items() if name != "gender"})


def test_decode_undoes_encoding_in_any_shape(processor, careers):
    batch = processor(careers)
    assert processor.decode(batch["labels"])[1] == ["pilot", None, None, None]
    assert processor.decode(batch["input_ids"])[0] == ["<start>", "cook", "waiter", "<pad>"]
    assert processor.decode(2) == "cook" and processor.decode([4]) == ["nurse"]
    with pytest.raises(ValueError, match="id 6 is not an occupation: ids go from 0 to 5"):
        processor.decode([2, 6])


def test_lookups_give_ids_and_name_what_is_unknown(processor):
    assert processor.occupation_ids(["pilot", "cook"]).tolist() == [5, 2]
    assert processor.level_ids("region", ["west", None, "missing"]).tolist() == [2, 0, 0]
    with pytest.raises(ValueError, match="occupation 'judge' is not in the vocabulary"):
        processor.occupation_ids(["cook", "judge"])
    with pytest.raises(ValueError, match="level 'north' of covariate 'region'"):
        processor.level_ids("region", ["north"])
    with pytest.raises(ValueError, match="'education' is not one of the model's covariates"):
        processor.level_ids("education", ["college"])


def test_extend_keeps_ids_and_appends_what_is_new(processor, survey):
    extended = processor.extend(survey, covariates=["education"], occupations=["mayor", "cook"])
    assert extended.occupations == [*processor.occupations, "judge", "actor", "mayor"]
    assert extended.covariate_names == [*NAMES, "education"]
    for old, new in zip(processor.covariate_levels, extended.covariate_levels, strict=False):
        assert new[: len(old)] == old
    assert extended.covariate_levels[0][7:] == ["1980", "1981", "1999"]
    assert extended.covariate_levels[1:] == [
        ["missing", "south", "west", "north"],
        ["missing", "f", "m", "x"],
        ["missing", "college"],
    ]
    assert (extended.step_length, extended.weight_scale) == (1, None)
    assert processor.occupations[-1] == "pilot" and processor.covariate_names == NAMES


def test_extended_processor_encodes_both_surveys(processor, careers, survey):
    extended = processor.extend(survey)
    assert extended.encode(careers)[0]["labels"][:] == processor.encode(careers)[0]["labels"][:]
    assert extended.decode(extended.encode(survey)[0]["labels"][0]) == ["judge", "judge"]


def test_extend_without_careers_takes_occupations_only(processor):
    extended = processor.extend(occupations=["judge"], unknown_occupation="other")
    assert extended.occupations[-2:] == ["judge", "other"] and extended.unknown_occupation == "other"
    assert extended.weight_scale == processor.weight_scale
    with pytest.raises(ValueError, match=r"levels of new covariates \['education'\] are unknown: pass the training"):
        processor.extend(covariates=["education"])


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"id2label": {0: "<pad>", 1: "<start>", 2: "chef"}}, ["'cook' at id 2", "'chef'", "resize_vocabulary"]),
        ({"vocab_size": 7}, ["None at id 6"]),
        ({"covariate_names": ["year", "gender", "region"]}, ["covariate_names", "['year', 'gender', 'region']"]),
        ({"covariate_sizes": [7, 3, 4]}, ["covariate_sizes [7, 3, 3]", "[7, 3, 4]"]),
        ({"special_token_ids": [0, 1, 2]}, ["special_token_ids [0, 1]", "[0, 1, 2]"]),
        ({"bos_token_id": 0}, ["bos_token_id 1", "config 0"]),
    ],
)
def test_check_names_what_disagrees_with_the_config(processor, changes, parts):
    processor.check(config_of(processor))
    if "id2label" in changes:
        changes = {"id2label": processor.id2label | changes["id2label"]}
    if "vocab_size" in changes:
        changes = changes | {"id2label": processor.id2label | {6: "judge"}}
    with pytest.raises(ValueError) as error:
        processor.check(config_of(processor, **changes))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"occupations": ["<pad>", "<start>", "cook", "cook"]}, "occupation 'cook' has two ids"),
        ({"covariate_levels": [["f", "m"]]}, "level 0 of covariate 'gender' is .* must be 'missing'"),
        ({"unknown_occupation": "other"}, "unknown_occupation 'other' is not in occupations"),
    ],
)
def test_contradicting_state_is_refused(changes, match):
    state = {"occupations": ["<pad>", "<start>", "cook"]}
    state |= {"covariate_names": ["gender"], "covariate_levels": [["missing"]]}
    CareerProcessor(**state)
    with pytest.raises(ValueError, match=match):
        CareerProcessor(**state | changes)


def test_fit_on_nobody_is_an_error(careers):
    with pytest.raises(ValueError, match="no careers to learn a vocabulary from"):
        CareerProcessor.fit(careers.select([]))


def test_what_are_no_careers_is_an_error_that_says_how_to_make_them(processor, careers):
    for wrong in (to_frame(careers), careers.to_list(), {"person": ["1"]}):
        for read in (CareerProcessor.fit, processor.encode, processor.extend):
            with pytest.raises(ValueError, match=f"no {type(wrong).__name__}: make them of a long table"):
                read(wrong)
    splits = DatasetDict({"train": careers})
    for read in (CareerProcessor.fit, processor.encode, processor.extend, processor):
        with pytest.raises(ValueError, match=r"give one split, such as splits\['train'\]"):
            read(splits)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, c: CareerProcessor.fit(c, "year"), "covariates='year' is a text"),
        (lambda p, c: CareerProcessor.fit(c, occupations="cook"), "occupations='cook' is a text"),
        (lambda p, c: CareerProcessor.fit(c, ["year", "gender", "year"]), "covariate 'year' is named twice"),
        (lambda p, c: CareerProcessor.fit(c, ["coding_noise"]), "follows from later years too"),
        (lambda p, c: CareerProcessor("cook"), "occupations='cook' is a text"),
        (lambda p, c: check_excluded(["year"], "gender"), "exclude_covariates='gender' is a text"),
        (lambda p, c: p.extend(occupations="astronaut"), "occupations='astronaut' is a text"),
        (lambda p, c: p.extend(c, covariates="gender"), "covariates='gender' is a text"),
        (lambda p, c: p.occupation_ids("cook"), "labels='cook' is a text"),
        (lambda p, c: p.level_ids("gender", "f"), "labels='f' is a text"),
    ],
)
def test_a_text_is_no_list_of_names(processor, careers, call, message):
    with pytest.raises(ValueError, match=message):
        call(processor, careers)


def encoded_rows(processor, careers, **changes):
    return [{**row, **changes} for row in processor.encode(careers)[0].select([0])]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lambda rows: [rows[0] | {"covariates": [[0.9, 1, 1]] * 3}], "'covariates' of the batch is float64, and must"),
        (lambda rows: [rows[0] | {"input_ids": [1.0, 2.9, 3.0]}], "'input_ids' of the batch is float64"),
        (lambda rows: [rows[0] | {"labels": [float("nan"), 2, 3]}], "'labels' of the batch is float64"),
        (lambda rows: [rows[0] | {"labels": ["cook"] * 3}], "'labels' of the batch is <U4"),
        (lambda rows: rows[0], r"one encoded career is no batch: pass a list with it, pad\(\[career\]\)"),
        (lambda rows: {name: [value, value][: len(name) - 5] for name, value in rows[0].items()}, "theirs are {"),
        (lambda rows: [], "no careers in this batch"),
        (lambda rows: "rows", "a batch is a list of encoded careers, and no str"),
        (lambda rows: [{"person": "1", "occupation": ["cook"]}], "has no 'input_ids', only .*: encode careers"),
    ],
)
def test_what_is_no_encoded_batch_is_an_error(processor, careers, batch, message):
    rows = encoded_rows(processor, careers)
    for pad in (processor.pad, PaddingCollator()):
        if isinstance(batch(rows), dict) and pad is not processor.pad:
            continue
        with pytest.raises(ValueError, match=message) as error:
            pad(batch(rows))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="a batch is a list of encoded careers, and no DataFrame: encode careers"):
        processor.pad(to_frame(careers))


def test_the_pair_that_encode_returns_is_no_batch(processor, careers):
    with pytest.raises(ValueError, match="a Dataset, and no encoded career: encode careers, and pass the first of"):
        processor.pad(processor.encode(careers))
    with pytest.raises(ValueError, match="no tuple: encode careers, and pass the first"):
        EncodedCareers(processor.encode(careers))
    floats = processor.encode(careers)[0].map(lambda row: {"labels": [i + 0.5 for i in row["labels"]]})
    with pytest.raises(ValueError, match="'labels' of the batch is float64"):
        EncodedCareers(floats).gather(np.arange(2))


def test_a_processor_is_not_saved_beside_the_model_of_another(processor, careers, tmp_path):
    """As a plain Trainer does, which trains with whatever processor pads."""
    frame = to_frame(careers)
    frame["gender"] = frame["gender"].replace({"f": "woman"})
    other = CareerProcessor.fit(from_frame(frame, covariates=["region"], static=["gender"]), NAMES)
    model = CareerForOccupationPrediction(
        CareerConfig(**processor.config_kwargs(), hidden_size=4, num_hidden_layers=1, intermediate_size=4)
    )
    arguments = TrainingArguments(tmp_path / "run", report_to="none", use_cpu=True)
    Trainer(model, arguments, processing_class=processor).save_model(tmp_path / "right")
    assert CareerProcessor.from_pretrained(tmp_path / "right").occupations == processor.occupations
    with pytest.raises(ValueError, match="is not that of the model in .*levels of covariate 'gender'.*save the new"):
        Trainer(model, arguments, processing_class=other).save_model(tmp_path / "wrong")
    # Somebody else's model, or none, is nothing to compare with.
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    other.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"covariate_levels": [["missing"]]}, "3 covariate_names and 1 covariate_levels"),
        ({"covariate_names": ["year", "region", "region"]}, "covariate_names .* has a name twice"),
        ({"covariate_levels": None}, "'covariate_levels' must be"),
        ({"covariate_names": [1, 2, 3]}, "'covariate_names' must be"),
        ({"occupations": ["<pad>", "<start>", None]}, "'occupations' must be"),
        ({"pad_token_id": "x"}, "'pad_token_id' must be int, and is 'x'"),
        ({"weight_scale": "x"}, "'weight_scale' must be"),
        ({"step_length": "x"}, "'step_length' must be int, and is 'x'"),
        (
            {"special_token_ids": []},
            r"special_token_ids \[\] must contain pad_token_id and bos_token_id",
        ),
    ],
)
def test_an_edited_file_is_an_error_that_names_the_field(processor, edit, message, tmp_path):
    processor.save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | edit))
    with pytest.raises(ValueError, match=message) as error:
        CareerProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("year", "nearest"), [(1900, "1990"), (1992, "1991"), (1994, "1995"), (2050, "1995")])
def test_an_optional_covariate_may_be_absent_and_a_year_is_the_nearest_trained_one(careers, year, nearest):
    processor = CareerProcessor.fit(careers, covariates=["year", "region"])
    processor.covariate_levels[0] = ["missing", "1990", "1991", "1995"]
    other = from_frame({"person": ["x"], "year": [year], "occupation": ["cook"]})
    with pytest.raises(ValueError, match=f"'{year}' of covariate 'year'"):
        processor.encode(other)
    processor.optional_covariates = ["year"]
    with pytest.raises(ValueError, match="careers have no covariate 'region'"):
        processor.encode(other)
    processor.optional_covariates = ["year", "region"]
    encoded, ledger = processor.encode(other)
    assert encoded["covariates"][0] == [[processor.covariate_levels[0].index(nearest), 0]]
    assert ledger.entries[0].altered == {
        "year never seen in training, now the nearest that was": 1,
        "no column 'region', now 'missing'": 1,
    }
    assert processor.extend(other).covariate_levels[1] == processor.covariate_levels[1]


def test_an_optional_covariate_is_one_of_the_models(careers):
    with pytest.raises(ValueError, match="optional covariate 'region' is none of the covariates"):
        CareerProcessor(optional_covariates=["region"])
