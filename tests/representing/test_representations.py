"""Representations against models called on each prefix by itself, and what they may not depend on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from damaged_files import damage_file
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_shards, to_frame
from career_hf.representing.representations import load_representations, representations, save_representations
from career_hf.rivals import (
    BagOfJobsConfig,
    BagOfJobsForOccupationPrediction,
    Job2VecConfig,
    Job2VecForOccupationPrediction,
    JobRepresentationConfig,
    JobRepresentationForOccupationPrediction,
    MarkovForOccupationPrediction,
    NemoConfig,
    NemoForOccupationPrediction,
)


LABELS, REGIONS = ["cook", "waiter", "nurse", "pilot"], ["south", "west", "north"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def frame_of(people=12, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02d}", "year": 1990 + t, "occupation": rng.choice(LABELS), "region": rng.choice(REGIONS)}
        for p in range(people)
        for t in range(rng.integers(1, 7))
    ]
    return pd.DataFrame(rows)


def careers_of(frame):
    return from_frame(frame, covariates=["region"])


@pytest.fixture(scope="module")
def careers():
    return careers_of(frame_of())


@pytest.fixture(scope="module")
def processor(careers):
    levels = [["missing", *map(str, range(1990, 1997))], ["missing", *REGIONS]]
    return CareerProcessor(
        occupations=["<pad>", "<start>", *LABELS],
        covariate_names=["year", "region"],
        covariate_levels=levels,
        time_covariate="year",
    )


def model_of(name, processor):
    torch.manual_seed(0)
    if name.startswith("career"):
        # Larger weights than at the start of training, so that attention attends to something.
        config = CareerConfig(**processor.config_kwargs(), **SIZES, initializer_range=0.3)
        model = CareerForOccupationPrediction(config)
        if name != "career":
            model.set_attn_implementation(name.removeprefix("career "))
        return model.eval()
    kind, config = {
        "nemo": (NemoForOccupationPrediction, NemoConfig),
        "job2vec": (Job2VecForOccupationPrediction, Job2VecConfig),
        "job representation": (JobRepresentationForOccupationPrediction, JobRepresentationConfig),
        "bag of jobs": (BagOfJobsForOccupationPrediction, BagOfJobsConfig),
    }[name]
    sizes = {"hidden_size": 16} if name == "nemo" else {"embedding_size": 16}
    return kind(config.from_processor(processor, **sizes, initializer_range=0.3)).eval()


MODELS = ["career", "career eager", "career sdpa_by_length", "nemo", "job2vec", "job representation"]


def by_hand(model, processor, careers, timing):
    """The model called on each prefix by itself, through the heads' own input where it has them."""
    rows = []
    for career in careers:
        ids = [1, *processor.occupation_ids(career["occupation"])]
        levels = np.stack(
            [
                processor.level_ids("year", list(map(str, career["year"]))),
                processor.level_ids("region", career["region"]),
            ],
            axis=1,
        )
        for t in range(len(career["year"])):
            steps = [*range(t + 1), t] if timing == "including" else [*range(t + 1)]
            given = torch.tensor([ids[: len(steps)]]), torch.tensor(levels[steps][None]).long()
            with torch.no_grad():
                if isinstance(model, CareerForOccupationPrediction):
                    h = model(*given).last_hidden_state
                else:
                    # What the output layer of the rival is handed.
                    seen = []
                    head = getattr(model, "output", None) or model.stay_head
                    hook = head.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
                    model(*given)
                    hook.remove()
                    h = seen[0]
            rows.append(h[0, -1].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("timing", ["before", "including"])
@pytest.mark.parametrize("name", MODELS)
def test_every_row_is_the_model_called_on_that_prefix(name, timing, careers, processor):
    model = model_of(name, processor)
    values = representations(model, careers, processor, timing=timing, batch_tokens=20)
    np.testing.assert_allclose(values, by_hand(model, processor, careers, timing), atol=2e-6)


def test_the_base_model_has_the_same_representations(careers, processor):
    model = model_of("career", processor)
    for timing in ("before", "including"):
        of_base = representations(model.model, careers, processor, timing=timing)
        np.testing.assert_array_equal(of_base, representations(model, careers, processor, timing=timing))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_year_knows_nothing_that_comes_after_it(data):
    """Other covariates and occupations after t leave row t alone; another y_t changes it with "including" only."""
    processor = CareerProcessor(
        occupations=["<pad>", "<start>", *LABELS],
        covariate_names=["year", "region"],
        covariate_levels=[["missing", *map(str, range(1980, 2010))], ["missing", *REGIONS]],
        time_covariate="year",
    )
    model = model_of(data.draw(st.sampled_from(["career", "nemo", "job2vec"])), processor)
    labels, regions = st.sampled_from(LABELS), st.sampled_from(REGIONS)
    length = data.draw(st.integers(2, 7))
    t = data.draw(st.integers(0, length - 2))
    years = [1980 + 2 * i for i in range(length)]
    base = {
        "occupation": data.draw(st.lists(labels, min_size=length, max_size=length)),
        "region": data.draw(st.lists(regions, min_size=length, max_size=length)),
    }

    def row(years, **changed):
        columns = base | changed
        steps = len(columns["occupation"])
        careers = careers_of({"person": [1] * steps, "year": years[:steps], **columns})
        return {
            timing: representations(model, careers, processor, timing=timing)[t] for timing in ("before", "including")
        }

    def other(values, name, start):
        pool = LABELS if name == "occupation" else REGIONS
        return [v if i < start else pool[(pool.index(v) + 1) % len(pool)] for i, v in enumerate(values)]

    vector = row(years)
    later = years[: t + 1] + [year + 1 for year in years[t + 1 :]]
    after = {name: other(values, name, t + 1) for name, values in base.items()}
    cut = {name: values[: t + 1] for name, values in base.items()}
    for changed in (row(later, **after), row(years, **cut)):
        for timing in vector:
            np.testing.assert_allclose(changed[timing], vector[timing], atol=1e-5)
    now = other(base["occupation"][: t + 1], "occupation", t) + base["occupation"][t + 1 :]
    changed = row(years, occupation=now)
    np.testing.assert_allclose(changed["before"], vector["before"], atol=1e-5)
    assert np.abs(changed["including"] - vector["including"]).max() > 1e-3


def test_rows_do_not_depend_on_who_else_is_there_or_on_how_careers_are_batched(careers, processor):
    model = model_of("career", processor)
    for timing in ("before", "including"):
        everyone = representations(model, careers, processor, timing=timing)
        alone = [representations(model, careers.select([i]), processor, timing=timing) for i in range(len(careers))]
        np.testing.assert_allclose(everyone, np.concatenate(alone), atol=2e-6)
        one_by_one = representations(model, careers, processor, timing=timing, batch_tokens=1)
        np.testing.assert_allclose(everyone, one_by_one, atol=2e-6)


def test_the_last_step_and_every_kind_of_table_say_the_same(careers, processor):
    model = model_of("career", processor)
    array = representations(model, careers, processor)
    frame = representations(model, careers, processor, kind="pandas")
    long = to_frame(careers)
    assert list(frame.columns) == [f"h{i}" for i in range(16)]
    assert frame.index.to_frame().values.tolist() == long[["person", "year"]].values.tolist()
    np.testing.assert_array_equal(frame.to_numpy(), array)
    last = representations(model, careers, processor, steps="last", kind="pandas")
    pd.testing.assert_frame_equal(last, frame.groupby(level="person", sort=False).tail(1))
    for kind in ("arrow", "dataset"):
        table = representations(model, careers, processor, kind=kind)
        assert table.column_names == ["person", "year", "representation"]
        values = table["representation"].to_pylist() if kind == "arrow" else table["representation"][:]
        np.testing.assert_array_equal(np.array(values, dtype=np.float32), array)
    array[0] = 0  # can be written to


def test_dropout_is_off_meanwhile_and_on_again_afterwards(careers, processor):
    model = model_of("career", processor)
    expected = representations(model, careers, processor)
    model.train()
    np.testing.assert_array_equal(representations(model, careers, processor), expected)
    assert model.training


@pytest.mark.parametrize("name", ["bag of jobs", "markov"])
def test_a_model_without_a_representation_is_named(name, careers, processor):
    if name == "markov":
        processor = CareerProcessor.fit(careers, covariates=())
        model = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor)
    else:
        model = model_of(name, processor)
    with pytest.raises(ValueError, match=f"{type(model).__name__} has no representation"):
        representations(model, careers, processor)


def test_what_cannot_be_asked_for(careers, processor):
    model = model_of("career", processor)
    with pytest.raises(ValueError, match="timing is one of before, including, not 'after'"):
        representations(model, careers, processor, timing="after")
    with pytest.raises(ValueError, match="load both from one checkpoint"):
        representations(model, careers, CareerProcessor.fit(careers))
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="set_attn_implementation"):
        representations(model, careers, processor, timing="including")


class Stopped(Exception):
    pass


def test_a_run_that_was_stopped_goes_on(careers, processor, tmp_path):
    model = model_of("career", processor)
    arguments = {"timing": "including", "people_per_file": 5}
    represent, calls = type(model).represent, []

    def stops(*given):
        calls.append(given)
        if len(calls) == 2:
            raise Stopped
        return represent(model, *given)

    model.represent = stops
    with pytest.raises(Stopped):
        save_representations(model, careers, processor, tmp_path / "h", **arguments)
    assert [path.name for path in sorted((tmp_path / "h").glob("*.parquet"))] == ["00000.parquet"]
    with pytest.raises(ValueError, match="has 1 of 3 files"):
        load_representations(tmp_path / "h")
    save_representations(model, careers, processor, tmp_path / "h", **arguments)
    assert len(calls) == 4  # the first file was not made again
    expected = representations(model, careers, processor, timing="including", kind="pandas")
    loaded = load_representations(tmp_path / "h", kind="pandas")
    pd.testing.assert_frame_equal(loaded, expected, atol=2e-6)
    np.testing.assert_array_equal(load_representations(tmp_path / "h"), loaded.to_numpy())
    assert load_representations(tmp_path / "h", kind="dataset").column_names == ["person", "year", "representation"]


def test_files_of_something_else_are_not_taken_for_what_is_asked(careers, processor, tmp_path):
    model = model_of("career", processor)
    save_representations(model, careers, processor, tmp_path, people_per_file=5)
    with pytest.raises(ValueError, match="made with other timing"):
        save_representations(model, careers, processor, tmp_path, people_per_file=5, timing="including")
    changed = frame_of()
    changed.loc[0, "region"] = next(region for region in REGIONS if region != changed.loc[0, "region"])
    with pytest.raises(ValueError, match="made with other careers"):
        save_representations(model, careers_of(changed), processor, tmp_path, people_per_file=5)
    with torch.no_grad():
        model.model.norm.bias += 1
    with pytest.raises(ValueError, match="made with other model"):
        save_representations(model, careers, processor, tmp_path, people_per_file=5)
    damage_file(tmp_path / "00002.parquet", "cut", 0.7)
    for kind in ("array", "dataset"):
        with pytest.raises(ValueError, match=r"^[^\n]*00002.parquet is damaged: [^\n]*; delete it, [^\n]*$"):
            load_representations(tmp_path, kind)
    pq.write_table(to_frame(careers, "arrow"), tmp_path / "00000.parquet")
    with pytest.raises(ValueError, match="not a file of representations"):
        load_representations(tmp_path)
    with pytest.raises(ValueError, match="has 0 of no files"):
        load_representations(tmp_path / "elsewhere")


def test_files_of_careers_are_represented_part_by_part(careers, processor, tmp_path):
    model = model_of("career", processor)
    save_shards(careers, tmp_path / "careers" / "test", people_per_group=2)
    files = tmp_path / "careers"
    save_representations(model, files, processor, tmp_path / "h", split="test", people_per_file=5)
    assert len(list((tmp_path / "h").glob("*.parquet"))) == 3
    expected = representations(model, careers, processor, kind="pandas")
    pd.testing.assert_frame_equal(load_representations(tmp_path / "h", kind="pandas"), expected, atol=2e-6)
    with pytest.raises(ValueError, match="none is 'train'"):
        save_representations(model, files, processor, tmp_path / "h", split="train")
