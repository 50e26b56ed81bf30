"""Resumes: what the view hides is hidden, files are restartable, and the ledger accounts for every year."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from joblib import parallel_config

from career_hf.careers import covariate_names, load_careers, validate
from career_hf.careers.provenance import SOURCES, source_of
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, World, preset, resumes
from career_hf.simulation.law import Law
from career_hf.simulation.resumes import ResumeConfig, draw_resumes, load_resumes, write_resumes
from career_hf.simulation.saving import save_simulation, write_resume_card


WORLD = World.build(preset("tiny").world)
CONFIG = ResumeConfig(people=250, most_years=12, education_missing=0.5, region_missing=0.1)
CLEAN = replace(CONFIG, miscoded=0.0, inflated=0.0, cut=0)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(resumes, "PART", 100)


def drawn(config, n=3000, seed=0):
    return draw_resumes(Law(WORLD), config, n, np.random.default_rng(seed))


def test_a_corpus_holds_only_work_and_hides_what_resumes_do_not_say(tmp_path):
    ledger = write_resumes(WORLD, CONFIG, tmp_path)
    careers = load_resumes(tmp_path)
    validate(careers)
    assert covariate_names(careers) == (["education"], ["region"])
    assert set(np.concatenate(careers["occupation"][:])) <= set(WORLD.labels[:-3])
    years, people = (entry for entry in ledger.entries)
    assert years.rows_out == sum(map(len, careers["year"][:]))
    assert people.rows_in == 250
    assert people.rows_out == len(careers)


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been_stopped(tmp_path):
    whole = write_resumes(WORLD, CONFIG, tmp_path / "whole")
    write_resumes(WORLD, CONFIG, tmp_path / "stopped")
    parts = sorted((tmp_path / "stopped").glob("*.parquet"))
    assert len(parts) == 3
    parts[1].unlink()
    with pytest.raises(ValueError, match="lacks 1 of 3 parts, first part-00001"):
        load_resumes(tmp_path / "stopped")
    written = parts[0].stat().st_mtime_ns
    again = write_resumes(WORLD, CONFIG, tmp_path / "stopped")
    assert parts[0].stat().st_mtime_ns == written
    assert again.to_dict() == whole.to_dict()
    tables = [load_resumes(tmp_path / name).data.table for name in ("whole", "stopped")]
    assert tables[0].equals(tables[1])
    with parallel_config("threading"):
        write_resumes(WORLD, CONFIG, tmp_path / "by two", workers=2)
    assert load_resumes(tmp_path / "by two").data.table.equals(tables[0])
    with pytest.raises(ValueError, match="another world, config or seed"):
        write_resumes(WORLD, CONFIG, tmp_path / "whole", seed=1)


def test_shares_of_missing_education_and_region_are_as_configured():
    table, _ = drawn(CONFIG)
    assert table["region"].null_count / len(table) == pytest.approx(0.1, abs=0.02)
    education = table["education"].to_pylist()
    missing = [None in levels for levels in education]
    assert np.mean(missing) == pytest.approx(0.5, abs=0.03)
    assert all(set(levels) == {None} for levels, is_missing in zip(education, missing, strict=True) if is_missing)


def test_miscoding_stays_in_the_family_has_the_configured_share_and_keeps_spells_together():
    right, counts = drawn(CLEAN)
    wrong, _ = drawn(replace(CLEAN, miscoded=0.2))
    assert counts["coded as another occupation"] == counts["cut off at either end"] == 0
    places = {label: i for i, label in enumerate(WORLD.labels)}
    changed, spells = 0, 0
    for before, after in zip(right["occupation"].to_pylist(), wrong["occupation"].to_pylist(), strict=True):
        a, b = (np.array([places[label] for label in career]) for career in (before, after))
        assert (WORLD.family[a] == WORLD.family[b]).all()
        begins = np.r_[True, a[1:] != a[:-1]]
        of_spell = (begins.cumsum() - 1)[~begins]
        assert (b[~begins] == b[begins][of_spell]).all()
        changed, spells = changed + (a != b)[begins].sum(), spells + begins.sum()
    assert changed / spells == pytest.approx(0.2, abs=0.015)


def test_inflated_spells_are_coded_as_the_senior_occupation():
    table, _ = drawn(replace(CLEAN, inflated=1.0))
    senior = {WORLD.labels[j] for j in WORLD.senior}
    assert set(np.concatenate(table["occupation"].to_pylist())) <= senior


def test_cutting_removes_years_at_the_ends_only():
    whole, cut = (drawn(config)[0].to_pylist() for config in (CLEAN, replace(CLEAN, cut=2)))
    whole_years = {resume["person"]: resume["year"] for resume in whole}
    for resume in cut:
        years = whole_years[resume["person"]]
        start = years.index(resume["year"][0])
        assert resume["year"] == years[start : start + len(resume["year"])]
        assert start <= 2
        assert len(years) - start - len(resume["year"]) <= 2


def college(resumes):
    return np.mean([resume["education"][-1] in ("college", "graduate") for resume in resumes])


def test_tilt_brings_in_the_educated():
    shares = [college(drawn(replace(CLEAN, education_missing=0.0, tilt=tilt))[0].to_pylist()) for tilt in (0.0, 1.0)]
    assert shares[1] > shares[0] + 0.05


def test_rounds_of_collection_differ_with_drift_and_not_without():
    def by_round(config):
        table = drawn(config)[0].to_pylist()
        return [[resume for resume in table if int(resume["person"]) % 3 == r] for r in range(3)]

    assert drawn(replace(CONFIG, rounds=2))[0].equals(drawn(replace(CONFIG, rounds=5))[0])
    selected = by_round(replace(CLEAN, education_missing=0.0, tilt=1.0, drift=1.0, rounds=3))
    shares = [college(resumes) for resumes in selected]
    assert shares[0] + 0.04 < shares[1] < shares[2] - 0.04

    coded = by_round(replace(CLEAN, tilt=0.0, miscoded=0.2, inflated=0.3, drift=1.0, rounds=3))
    right = by_round(replace(CLEAN, tilt=0.0, drift=1.0, rounds=3))
    wrong = [
        np.mean([b["occupation"][0] != a["occupation"][0] for a, b in zip(*samples, strict=True)])
        for samples in zip(right, coded, strict=True)
    ]
    assert wrong[0] == 0
    assert wrong[2] == pytest.approx(2 * wrong[1], rel=0.15)


@pytest.mark.parametrize(
    "numbers", [{"miscoded": 1.5}, {"people": 0}, {"drift": 2.0}, {"rounds": 1}, {"cut": -1}, {"race_shares": (1.0,)}]
)
def test_impossible_resumes_are_refused(numbers):
    with pytest.raises(ValueError):
        ResumeConfig(**numbers)


def test_a_saved_simulation_is_read_by_everything_else(tmp_path):
    simulation = preset("tiny").simulate(100)
    save_simulation(simulation, tmp_path)
    splits = load_careers(tmp_path / "careers")
    assert sum(map(len, splits.values())) == 100
    assert source_of(tmp_path / "careers") == SOURCES["simulated"].record
    truth = TrueOccupationModel.from_pretrained(tmp_path / "truth")
    processor = CareerProcessor.from_pretrained(tmp_path / "truth")
    assert len(transition_table(truth, splits["test"], processor)) == sum(map(len, splits["test"]["year"]))
    assert json.loads((tmp_path / "truth" / "config.json").read_text())["world"] == simulation.world.config.to_dict()


def test_another_survey_is_replaced_only_when_it_is_asked_for(tmp_path):
    first, other = preset("tiny").simulate(20), preset("tiny").simulate(20, seed=1)
    save_simulation(first, tmp_path)
    save_simulation(first, tmp_path)
    with pytest.raises(ValueError, match="careers holds other careers: take another folder, or replace them"):
        save_simulation(other, tmp_path)
    kept = [row for split in load_careers(tmp_path / "careers").values() for row in split["occupation"]]
    assert sorted(kept) == sorted(first.careers["occupation"][:])
    save_simulation(other, tmp_path, overwrite=True)
    kept = [row for split in load_careers(tmp_path / "careers").values() for row in split["occupation"]]
    assert sorted(kept) == sorted(other.careers["occupation"][:])


def test_a_corpus_has_a_dataset_card_with_its_ledger(tmp_path):
    write_resume_card(tmp_path, write_resumes(WORLD, ResumeConfig(people=30), tmp_path))
    assert source_of(tmp_path) == SOURCES["simulated-resumes"].record
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "dropped: never at work, or cut off altogether" in text and "Splits by a hash" not in text


def test_samples_of_a_corpus_are_nested(tmp_path, monkeypatch):
    monkeypatch.setattr(resumes, "PART", 20)
    write_resumes(WORLD, ResumeConfig(people=70), tmp_path)
    whole = load_resumes(tmp_path)["person"][:]
    for people in (1, 19, 20, 21, 55, 70):
        sample = load_resumes(tmp_path, people=people)["person"][:]
        drawn = [20 * int(name[:5]) + int(name[6:]) for name in whole]
        assert sample == [name for name, place in zip(whole, drawn, strict=True) if place < people]
    for people, message in {0: "people is 0", 71: "1 to 70 people"}.items():
        with pytest.raises(ValueError, match=message):
            load_resumes(tmp_path, people=people)
