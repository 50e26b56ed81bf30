"""Careers in files are scored part by part into files: rows are those of careers in memory, and runs go on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from damaged_files import damage_file
from datasets import Dataset, DatasetDict, concatenate_datasets

from career_hf import (
    CareerConfig,
    CareerForOccupationPrediction,
    CareerProcessor,
    evaluate,
    forecast,
    load_transition_table,
    save_transition_table,
    transition_table,
)
from career_hf.careers import CareerShards, save_shards
from career_hf.careers.frames import as_careers, as_splits


def some_careers(people: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        years = 1990 + np.sort(rng.choice(12, int(rng.integers(1, 9)), replace=False))
        # A label that few people have is not in every part, and a column without values is one of some parts.
        labels = rng.choice(["clerk", "cook", "nurse", "pilot"], len(years), p=[0.6, 0.3, 0.08, 0.02]).tolist()
        row = {"person": f"{seed}-{person:03d}", "year": years.tolist(), "occupation": labels}
        row |= {"gender": None if person < 12 else ["man", "woman"][person % 2], "weight": float(rng.gamma(2.0))}
        rows.append(row)
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def splits():
    return DatasetDict({"validation": some_careers(20, 1), "test": some_careers(60, 2)})


@pytest.fixture(scope="module")
def folder(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers")
    for name, careers in splits.items():
        save_shards(careers, folder / name, people_per_group=6)
    return folder


@pytest.fixture(scope="module")
def scorer(splits):
    known = splits["test"].filter(lambda row: "pilot" not in row["occupation"])
    processor = CareerProcessor.fit(known, ["year", "gender"], unknown_occupation="unknown")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes, initializer_range=0.3))
    encoded, _ = processor.encode(known)
    processor.record_training(encoded, "training")
    return model.eval(), processor


def assert_same_rows(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, expected, check_categorical=False, atol=1e-5, rtol=1e-5)


def test_files_are_scored_into_files_with_the_rows_of_memory(splits, folder, scorer, tmp_path, monkeypatch):
    options = {"split": "test", "unknown_levels": "missing", "watch": ["nurse"]}
    expected = transition_table(scorer, splits["test"], **options)
    assert expected["unknown"].any() and expected["gender"].isna().any()
    # No part is as large as the split, which is never read at once.
    monkeypatch.delattr(CareerShards, "load")
    sizes, read = [], CareerShards.read
    monkeypatch.setattr(CareerShards, "read", lambda *given: sizes.append(len(read(*given))) or read(*given))
    save_transition_table(scorer, folder, None, tmp_path / "scores", **options, people_per_file=14)
    assert sizes == [12] * 5
    monkeypatch.undo()
    assert_same_rows(load_transition_table(tmp_path / "scores"), expected)
    few = load_transition_table(tmp_path / "scores", columns=["person", "log_prob"])
    np.testing.assert_allclose(few["log_prob"], expected["log_prob"], atol=1e-5)
    assert list(few) == ["person", "log_prob"]
    # Careers in memory are scored into files too, and so is one set of files.
    save_transition_table(scorer, splits, None, tmp_path / "memory", **options, people_per_file=25)
    assert_same_rows(load_transition_table(tmp_path / "memory"), expected)
    options["split"] = None
    save_transition_table(scorer, CareerShards(folder / "test"), None, tmp_path / "alone", **options)
    assert_same_rows(load_transition_table(tmp_path / "alone").drop(columns="split"), expected.drop(columns="split"))


def test_a_stopped_run_goes_on_and_other_careers_models_and_options_are_refused(folder, splits, scorer, tmp_path):
    options = {"split": "test", "unknown_levels": "missing", "people_per_file": 20}
    scores = tmp_path / "scores"
    save_transition_table(scorer, folder, None, scores, **options)
    whole = load_transition_table(scores)
    made = {path.name: path.stat().st_mtime_ns for path in scores.glob("*.parquet")}
    (scores / "00001.parquet").unlink()
    with pytest.raises(ValueError, match="has 3 of 4 files: run save_transition_table to its end"):
        load_transition_table(scores)
    save_transition_table(scorer, folder, None, scores, **options)
    assert_same_rows(load_transition_table(scores), whole)
    assert sum(path.stat().st_mtime_ns != made[path.name] for path in scores.glob("*.parquet")) == 1
    with pytest.raises(ValueError, match="was made with other watch"):
        save_transition_table(scorer, folder, None, scores, **options, watch=["cook"])
    weight = np.array(splits["test"]["weight"]) + 1
    heavier = splits["test"].remove_columns("weight").add_column("weight", weight)
    save_shards(heavier, tmp_path / "heavier" / "test", people_per_group=6)
    with pytest.raises(ValueError, match="was made with other careers"):
        save_transition_table(scorer, tmp_path / "heavier", None, scores, **options)
    with pytest.raises(ValueError, match="the careers have splits .* none is 'train'"):
        save_transition_table(scorer, folder, None, scores, split="train")
    with pytest.raises(ValueError, match="names no split of one set of files"):
        save_transition_table(scorer, CareerShards(folder / "test"), None, scores, split="test")
    with pytest.raises(ValueError, match="has no column 'nll'"):
        load_transition_table(scores, columns=["nll"])
    with pytest.raises(ValueError, match="test has Parquet files, .* it lies in and split='test', or CareerShards"):
        save_transition_table(scorer, folder / "test", None, tmp_path / "other")
    damage_file(scores / "00001.parquet", "cut", 0.7)
    for read in (load_transition_table, lambda place: save_transition_table(scorer, folder, None, place, **options)):
        with pytest.raises(ValueError, match=r"^[^\n]*00001.parquet is damaged: [^\n]*; delete it, [^\n]*$"):
            read(scores)
    (scores / "00001.parquet").unlink()
    save_transition_table(scorer, folder, None, scores, **options)
    assert_same_rows(load_transition_table(scores), whole)


def test_verbs_take_a_folder_of_files_and_read_the_split_that_they_need(folder, splits, scorer, monkeypatch):
    read = []
    load = CareerShards.load
    monkeypatch.setattr(CareerShards, "load", lambda self: read.append(self) or load(self))
    report = evaluate({"career": scorer}, folder, draws=2)
    assert [len(shards) for shards in set(read)] == [60]
    expected = evaluate({"career": scorer}, splits, draws=2)
    pd.testing.assert_frame_equal(report.to_frame(), expected.to_frame(), rtol=1e-6)
    ahead = forecast(scorer, folder, split="validation", horizon=1, unknown_levels="missing").to_frame()
    assert set(ahead["person"]) == set(splits["validation"]["person"])
    assert as_careers(folder).to_list() == concatenate_datasets([splits["test"], splits["validation"]]).to_list()
    mixed = as_splits({"test": splits["test"], "validation": CareerShards(folder / "validation")})
    assert mixed["validation"].to_list() == splits["validation"].to_list()


def test_careers_of_files_are_checked_when_a_split_is_taken(splits, tmp_path):
    wrong = splits["test"].select([0, 0])
    save_shards(wrong, tmp_path / "test")
    with pytest.raises(ValueError, match="the person has two rows"):
        as_careers(tmp_path, "test")
