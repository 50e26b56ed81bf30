"""The rows and labels that other programs predict, against counts in plain Python, and the hashes that fix them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict
from typer.testing import CliRunner

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers, split_manifest
from career_hf.cli.app import app


@pytest.fixture(scope="module")
def frame():
    draw = np.random.default_rng(0)
    rows = [
        {"person": p, "year": 1990 + 2 * t, "occupation": draw.choice([18, 405, "unemployed"]), "sex": "fm"[p % 2]}
        for p in range(40)
        for t in range(draw.integers(1, 6))
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(
        region=draw.choice(["south", "west"], len(frame)), wage=draw.normal(size=len(frame)), weight=2.0
    )


@pytest.fixture(scope="module")
def splits(frame):
    careers = from_frame(frame, covariates=["region"], static=["sex"], outcomes=["wage"], weight="weight")
    return split_careers(careers)


def test_rows_are_those_of_the_careers_with_what_came_before(frame, splits):
    made = career_hf.benchmark(splits)
    assert made.labels["label"].tolist() == ["18", "405", "unemployed"]
    assert made.labels["title"].tolist()[1:] == ["Housekeepers, maids, butlers, and cleaners", "unemployed"]
    first = ["split", "person", "step", "year", "previous", "occupation"]
    assert list(made.rows)[:6] == first and set(made.rows) == {*first, "region", "sex", "weight"}
    person_split = {person: name for name, part in splits.items() for person in part["person"]}
    expected = []
    for person, rows in frame.groupby("person"):
        before = None
        for step, row in enumerate(rows.sort_values("year").itertuples()):
            expected.append((person_split[str(person)], str(person), step, row.year, before, str(row.occupation)))
            before = str(row.occupation)
    found = made.rows.astype(object).where(made.rows.notna(), None)
    assert sorted(found.iloc[:, :6].itertuples(index=False, name=None), key=str) == sorted(expected, key=str)
    assert made.splits["steps"].sum() == len(frame) and made.splits["people"].sum() == 40


def test_hashes_fix_people_rows_and_labels_whatever_their_order(splits):
    made = career_hf.benchmark(splits)
    test = made.rows[made.rows["split"] == "test"].sort_values(["person", "year"])
    lines = [
        json.dumps(row) + "\n" for row in zip(test["person"], test["year"].tolist(), test["occupation"], strict=True)
    ]
    assert made.splits.loc["test", "rows_sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert made.labels_sha256 == hashlib.sha256(b'"18"\n"405"\n"unemployed"\n').hexdigest()
    assert made.splits.loc["test", "people_sha256"] == split_manifest(splits)["splits"]["test"]["sha256"]
    turned = DatasetDict({name: part.select(range(len(part))[::-1]) for name, part in splits.items()})
    pd.testing.assert_frame_equal(career_hf.benchmark(turned).splits, made.splits)
    fewer = DatasetDict({**splits, "test": splits["test"].select(range(len(splits["test"]) - 1))})
    changed = career_hf.benchmark(fewer).splits
    assert changed.loc["test", "rows_sha256"] != made.splits.loc["test", "rows_sha256"]
    assert changed.loc["train"].equals(made.splits.loc["train"])


def test_the_command_writes_what_a_script_reads_and_evaluate_names_the_same_hashes(splits, tmp_path):
    save_careers(splits, tmp_path / "careers")
    result = CliRunner().invoke(
        app, ["benchmark", "--data", str(tmp_path / "careers"), "--output", str(tmp_path / "b")]
    )
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "b" / "rows.csv", dtype=str, keep_default_na=False)
    made, fixed = career_hf.benchmark(splits), json.loads((tmp_path / "b" / "benchmark.json").read_text())
    expected = made.rows.astype(object).where(made.rows.notna(), "").astype(str)
    pd.testing.assert_frame_equal(rows.astype(object), expected.astype(object))
    assert pd.read_csv(tmp_path / "b" / "labels.csv", dtype=str).equals(made.labels.astype("str"))
    assert made.labels_sha256[:20] in result.output and fixed["labels"] == {"labels": 3, "sha256": made.labels_sha256}

    test = rows[rows["split"] == "test"].assign(log_prob=np.log(1 / 3))
    ledger = str(career_hf.evaluate({"uniform": test}, tmp_path / "careers", draws=2).ledger)
    assert fixed["splits"]["test"]["rows_sha256"] in ledger and made.labels_sha256 in ledger


def test_what_cannot_be_a_benchmark_is_said(splits):
    with pytest.raises(ValueError, match="no careers to make a benchmark of"):
        career_hf.benchmark(DatasetDict({"test": splits["test"].select([])}))
    with pytest.raises(ValueError, match="careers have a column 'step', .* rename it"):
        career_hf.benchmark(splits["test"].add_column("step", ["1"] * len(splits["test"])))
