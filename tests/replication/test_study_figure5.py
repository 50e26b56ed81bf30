"""The study of Figure 5 at a small size: its counts against loops, and its cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn_points import names_of, points_of
from replication import figure5 as study

from career_hf.careers import save_careers, split_careers
from career_hf.representing.similar_careers import first_years, occupations_held
from career_hf.simulation import preset
from career_hf.simulation.world import NOT_WORKING


SMALL = study.Figure5Settings(
    occupations=24,
    families=6,
    types=4,
    recipes=2,
    train_people=120,
    validation_people=40,
    test_people=150,
    layers=1,
    hidden_size=16,
    most_steps=4,
    eval_steps=2,
    warmup_steps=1,
    tokens_per_batch=400,
    years=(2, 4),
    map_years=4,
    draws=50,
    seeds=1,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    made = study.Figure5Study(tmp_path_factory.mktemp("figure5"), SMALL)
    return made, made.run(workers=1)


def test_everything_is_compared_and_written(done):
    made, found = done
    shares = found["shares"]
    cases = shares.set_index(["years", "among", "compared by", "timing"]).index
    assert cases.is_unique and len(cases) == 2 * 2 * 8
    assert shares["people"].between(20, 150).all()
    np.testing.assert_allclose(shares["above"], shares["same"] - shares["chance"])
    pd.testing.assert_frame_equal(pd.read_csv(made.folder / "shares.csv"), shares)
    everybody, _, mapped = found.figures["figure5"].axes
    rows = shares[(shares["among"] == study.ALL) & (shares["timing"] == "including")]
    assert set(study.COLOURS) < set(names_of(everybody))
    drawn = rows.set_index("compared by").loc[list(study.COLOURS)]
    assert points_of(everybody)[:, 1] == pytest.approx(drawn["same"].to_numpy())
    people = shares.loc[shares["years"] == SMALL.map_years, "people"].max()
    assert sum(len(of_type.get_offsets()) for of_type in mapped.collections) >= people


def test_knowing_the_type_beats_chance_and_pairs_have_nothing_in_common(done):
    _, found = done
    truth = found["shares"][found["shares"]["compared by"] == study.TRUTH]
    assert (truth["above_low"] > 0.05).all()
    pairs = found["pairs"]
    assert pairs["similarity"].is_monotonic_decreasing and len(pairs) == 10
    drop = r" \d{4}(-\d{4})?"
    states = set(NOT_WORKING)
    for row in pairs.itertuples():
        a, b = (set(pd.Series(text.split(", ")).str.replace(drop, "", regex=True)) for text in row[4:6])
        assert not (a & b) - states


def test_a_study_goes_on_and_refuses_other_settings(done, monkeypatch):
    made, _ = done
    monkeypatch.setattr("career_hf.training.cells.fit_model", None)  # nothing is trained again
    for name in (study.CAREER, study.NEMO):
        made.train((name, 0))
    with pytest.raises(ValueError, match="other settings"):
        study.Figure5Study(made.folder, study.Figure5Settings()).run(workers=1)


@pytest.fixture(scope="module")
def drawn():
    simulation = preset("tiny").simulate(80)
    careers = first_years(simulation.careers, 3)
    types = simulation.types.set_index("person").loc[careers["person"][:], "type"].to_numpy()
    return careers, types


@pytest.mark.parametrize("filtered", [False, True])
def test_chance_is_the_share_of_ones_type_among_those_who_may_be_neighbours(drawn, filtered):
    careers, types = drawn
    held = occupations_held(careers, ignored=NOT_WORKING) if filtered else None
    found = study.chances(types, careers, held)
    jobs = [set(jobs) - set(NOT_WORKING) for jobs in careers["occupation"]]
    alike = list(zip(careers["gender"], careers["race"], [e[-1] for e in careers["education"]], strict=True))
    for i in range(len(types)):
        others = [j for j in range(len(types)) if j != i and not (filtered and jobs[i] & jobs[j])]
        same = [j for j in others if alike[j] == alike[i]]
        for column, among in enumerate([others, same]):
            expected = np.mean([types[j] == types[i] for j in among]) if among else np.nan
            assert found[i, column] == pytest.approx(expected, nan_ok=True)


def test_vectors_without_information_are_at_chance_and_the_type_itself_is_not(drawn):
    careers, types = drawn
    chance = study.chances(types, careers, None)
    known = np.eye(types.max() + 1)[types]
    noise = [np.random.default_rng(seed).normal(size=known.shape) for seed in range(20)]
    by_chance = study.same_type(noise, types, None, chance, SMALL)
    assert abs(by_chance["above"]) < 0.04 and by_chance["above_low"] < 0 < by_chance["above_high"]
    of_seeds = [study.same_type([vectors], types, None, chance, SMALL)["same"] for vectors in noise]
    assert by_chance["same"] == pytest.approx(np.mean(of_seeds))
    assert by_chance["seed_sd"] == pytest.approx(np.std(of_seeds, ddof=1)) and by_chance["seed_sd"] > 0
    assert by_chance["low"] < by_chance["same"] < by_chance["high"]
    with_type = [vectors * 1e-3 + known for vectors in noise]
    assert study.same_type(with_type, types, None, chance, SMALL)["same"] > 0.95


def test_shares_of_years():
    codes = np.array([[0, 0, 2], [1, 1, 1]])
    np.testing.assert_allclose(study.shares_of_years(codes), [[2 / 3, 0, 1 / 3], [0, 1, 0]])


def test_pairs_of_careers_of_ones_own_have_no_occupation_in_common(tmp_path):
    save_careers(split_careers(preset("tiny").simulate(150).careers), tmp_path / "survey")
    settings = study.PairsSettings(years=3, pairs=5).quick()
    start = study.Start("occ1990dd-small")
    given = {"data": tmp_path / "survey", "covariates": ("year", "education")}
    pairs = study.PairsStudy(tmp_path / "study", settings=settings, start=start, **given).run(1)["pairs"]
    assert pairs["similarity"].is_monotonic_decreasing and len(pairs) == 5
    held = dict(
        zip(*(study.survey_of(tmp_path / "survey")["test"][name][:] for name in ("person", "occupation")), strict=True)
    )
    for pair in pairs.itertuples():
        first, second = (set(held[name][:3]) - set(study.NOT_AT_WORK) for name in (pair.person, pair.neighbour))
        assert first and second and not first & second
    scratch = study.PairsStudy(tmp_path / "scratch", settings=settings, **given).run(1)["pairs"]
    assert not np.allclose(scratch["similarity"], pairs["similarity"])
