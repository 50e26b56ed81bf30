"""The study of pretraining volume: its power law, and a run at a size at which nothing is learned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_points import points_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from replication import volume as study
from replication.volume import break_even, crossing, fit, fit_power_law, power_law, resampled_seeds

from career_hf.careers import save_careers, split_careers
from career_hf.careers.clusters import clusters
from career_hf.evaluation.metrics import perplexity, perplexity_differences
from career_hf.evaluation.resampling import interval_levels
from career_hf.simulation import load_resumes, preset


SMALL = study.VolumeSettings(
    occupations=24,
    families=6,
    types=3,
    recipes=2,
    train_people=40,
    validation_people=20,
    test_people=40,
    volumes=(0, 20, 30, 45, 60),
    held_out=20,
    layers=1,
    hidden_size=8,
    heads=1,
    pretraining_steps=2,
    pretraining_eval_steps=1,
    most_steps=2,
    eval_steps=1,
    tokens_per_batch=500,
    rates=(1e-3,),
    seeds=1,
    draws=20,
)
VOLUMES = np.array([1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000])


@given(fall=st.floats(0.01, 0.5), b=st.floats(0.1, 1.5), c=st.floats(0.5, 3.0))
@hypothesis_settings(max_examples=20, deadline=None)
def test_the_power_law_that_made_the_points_is_found(fall, b, c):
    a = fall / (VOLUMES[0] ** -b - VOLUMES[-1] ** -b)
    found = fit_power_law(VOLUMES, power_law(VOLUMES, a, b, c))
    assert found == pytest.approx((a, b, c), rel=1e-2)


def test_the_fit_is_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    nll = power_law(VOLUMES, 2.0, 0.45, 2.0) + rng.normal(0, 0.003, len(VOLUMES))
    found = fit_power_law(VOLUMES, nll)
    least = min(
        # Given b, a and c are a straight line's.
        np.linalg.lstsq(np.stack([VOLUMES**-b, np.ones(7)], axis=1), nll)[1][0]
        for b in np.linspace(0.01, 2, 2_000)
    )
    assert ((power_law(VOLUMES, *found) - nll) ** 2).sum() == pytest.approx(least, rel=1e-3)


def test_no_law_falls_below_the_truth():
    nll = power_law(VOLUMES, 2.0, 0.3, 1.5)
    assert fit_power_law(VOLUMES, nll, floor=1.4) == pytest.approx((2.0, 0.3, 1.5), rel=1e-2)
    assert fit_power_law(VOLUMES, nll, floor=1.55)[2] == pytest.approx(1.55, abs=1e-3)
    assert fit_power_law(VOLUMES, nll, floor=1.9)[2] >= 1.9  # as can be in a small sample


def test_too_few_volumes_are_an_error():
    with pytest.raises(ValueError, match="3 volumes are too few"):
        fit_power_law(VOLUMES[:3], VOLUMES[:3])
    for volumes in ((1_000, 2_000, 3_000, 4_000), (0, 1, 2, 3), (0, 1, 2, 3, 3), (0, 1, 2, 3, 4, -1)):
        with pytest.raises(ValueError, match="must be 0, to compare with"):
            replace(SMALL, volumes=volumes)


def test_the_law_crosses_where_it_has_that_value():
    law = (2.0, 0.5, 1.5)
    assert crossing(law, power_law(np.array(3_000.0), *law)) == pytest.approx(3_000)
    assert crossing(law, 1.4) == np.inf


def test_break_even_is_the_smallest_volume_from_which_on_all_win():
    found = pd.DataFrame({"volume": [np.nan, 0, 10, 20, 50, 100]})
    assert break_even(found.assign(high_of_difference=[1, 0, -0.1, 0.1, -0.1, -0.1])) == 50
    assert break_even(found.assign(high_of_difference=[1, 0, -0.1, -0.1, -0.1, -0.1])) == 10
    assert np.isnan(break_even(found.assign(high_of_difference=[1, 0, -0.1, -0.1, -0.1, 0.1])))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    made = study.VolumeStudy(tmp_path_factory.mktemp("volume"), SMALL)
    return made, made.run(workers=1)


def test_every_volume_is_pretrained_and_scored(done):
    made, found = done
    trained = {path.name for path in (made.folder / "models").iterdir()}
    expected = {f"pretraining, {n} resumes, 0" for n in SMALL.volumes[1:]}
    assert trained == expected | {f"survey, {n} resumes, 0.001, 0" for n in SMALL.volumes}
    pretrainings, surveys, hours = SMALL.cost()
    assert pretrainings + surveys == len(trained) and hours > 0
    assert set(made.tables()) == {"floor", "Markov-1", "Markov-2", *(f"{n} resumes" for n in SMALL.volumes)}
    for name in ("volume", "law"):
        assert len(pd.read_csv(made.folder / f"{name}.csv")) == len(found[name])
    left, right = found.figures["volume"].axes
    rows = found["volume"].query("volume > 0")
    for axes, column in ((left, "perplexity"), (right, "difference")):
        np.testing.assert_allclose(points_of(axes), rows[["volume", column]])


def test_every_volume_tries_every_rate(done):
    made = replace(done[0], settings=replace(SMALL, rates=(1e-3, 4e-3)))
    assert {trial.folder for trial in made.trials()} == {
        f"survey, {n} resumes, {rate}, 0" for n in SMALL.volumes for rate in ("0.001", "0.004")
    }


def test_samples_of_resumes_are_nested_and_none_is_held_out(done):
    folder = done[0].folder
    people = [load_resumes(folder / "resumes", n)["person"][:] for n in SMALL.volumes[1:]]
    for fewer, more in zip(people, people[1:], strict=False):
        assert more[: len(fewer)] == fewer and len(fewer) < len(more)
    corpus, held_out = (load_resumes(folder / name).to_pandas() for name in ("resumes", "held out"))
    columns = ["year", "occupation"]
    seen, unseen = (set(frame[columns].map(tuple).itertuples(index=False)) for frame in (corpus, held_out))
    assert unseen and not seen & unseen


def test_tables_hold_what_transition_tables_say(done):
    made, found = done
    tables = made.tables()
    nll = {name: np.mean([np.log(perplexity(table)) for table in of]) for name, of in tables.items()}
    row = found["volume"].loc["30 resumes"]
    assert np.log(row["perplexity"]) == pytest.approx(nll["30 resumes"])
    assert row["difference"] == pytest.approx(nll["30 resumes"] - nll["0 resumes"])
    assert np.log(row["over_floor"]) == pytest.approx(nll["30 resumes"] - nll["floor"])
    a, b, c = found["law"]["estimate"].iloc[:3]
    of_volume = np.array([nll[f"{n} resumes"] for n in SMALL.volumes[1:]])
    expected = fit_power_law(np.array(SMALL.volumes[1:]), of_volume, nll["floor"])
    assert (a, b, c) == pytest.approx(expected)
    parameters = found["law"].iloc[:5]
    assert (parameters["low"] <= parameters["high"]).all()


def test_resampling_people_alone_is_that_of_comparisons(done):
    tables = done[0].tables()
    # With one seed each there is nothing else to resample.
    single = {str(n): tables[f"{n} resumes"][:1] for n in (0, 60)}
    estimate, resampled = resampled_seeds(single, draws=50)
    compared = perplexity_differences(single, "0", draws=50).loc["60"]
    assert estimate[1] - estimate[0] == pytest.approx(compared["difference"])
    levels = interval_levels(len(np.unique(clusters(single["0"][0]))))
    low, high = np.quantile(resampled[:, 1] - resampled[:, 0], levels)
    assert (low, high) == pytest.approx((compared["low"], compared["high"]))
    # With two, a resample has both, or one of them twice.
    two = [tables["60 resumes"][0], tables["45 resumes"][0]]
    both = {"60": two}
    _, of_people = resampled_seeds({str(i): [table] for i, table in enumerate(two)}, draws=50)
    _, of_both = resampled_seeds(both, draws=50)
    first, second = of_people.T
    means = np.stack([first, second, (first + second) / 2], axis=1)
    assert np.allclose(np.abs(means - of_both).min(axis=1), 0)
    assert len({int(np.abs(row - value).argmin()) for row, value in zip(means, of_both, strict=True)}) == 3


def test_the_fit_is_of_points_on_a_known_law():
    """Tables in which every step of volume n has log-probability -(a n^-b + c), plus what depends on the person."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(50), 4)
    base = pd.DataFrame({"person": people, "step": np.tile(np.arange(4), 50), "occupation": "cook", "weight": 1.0})
    noise = rng.normal(0, 0.3, 50)
    settings = replace(SMALL, volumes=(0, *VOLUMES.tolist()), draws=50)
    law = (3.0, 0.4, 1.8)
    nll = {0: 1.95} | dict(zip(VOLUMES.tolist(), power_law(VOLUMES, *law), strict=True))
    tables = {f"{n} resumes": [base.assign(log_prob=-value - noise[people])] for n, value in nll.items()}
    tables["floor"] = [base.assign(log_prob=-1.5 - noise[people])]
    found, curve = fit(tables, settings)
    assert found["estimate"].iloc[:2].tolist() == pytest.approx(law[:2], rel=1e-3)
    assert found.loc["c", "estimate"] == pytest.approx(law[2] + noise.mean(), rel=1e-4)
    assert found.loc["break-even by the law", "estimate"] == pytest.approx(crossing(law, 1.95), rel=1e-3)
    np.testing.assert_allclose(np.log(curve["estimate"]), power_law(curve.index, *found["estimate"].iloc[:3]))
    # What all volumes share moves the floor, and neither the exponent nor the break-even.
    width = found["high"] - found["low"]
    assert width["c"] > 0.05 and width["b"] < 1e-2
    assert width["break-even by the law"] < 0.01 * found.loc["break-even by the law", "estimate"]


def test_what_is_finished_is_not_run_again(done):
    made, _ = done
    files = [*made.folder.rglob("*.parquet"), *made.folder.rglob("*.safetensors")]
    times = {path: path.stat().st_mtime_ns for path in files}
    lost = made.folder / "tables" / "30 resumes" / "0.parquet"
    before = pd.read_parquet(lost)
    lost.unlink()
    made.compute(workers=1)
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {lost}
    pd.testing.assert_frame_equal(pd.read_parquet(lost), before)
    with pytest.raises(ValueError, match="other settings"):
        replace(made, settings=replace(SMALL, seeds=3)).run()


def test_a_survey_and_resumes_of_ones_own(tmp_path):
    for name, people, seed in (("survey", 80, 0), ("resumes", 120, 5)):
        save_careers(split_careers(preset("tiny").simulate(people, seed).careers), tmp_path / name)
    volumes = (0, 10, 20, 30, 60)
    made = study.OwnVolumeStudy(
        tmp_path / "study",
        replace(SMALL, volumes=volumes),
        data=tmp_path / "survey",
        resumes=tmp_path / "resumes",
        covariates=("year", "education"),
        checkpoint="occ1990dd-small",
    )
    found = made.run(workers=1)
    assert set(found["volume"].index) == {study.CHECKPOINT, *map(study.model_name, volumes)}
    assert "over_floor" not in found["volume"] and found["law"].loc["c", "estimate"] >= 0
    tables = made.tables()
    assert len({len(of[0]) for of in tables.values()}) == 1
    assert "survey" in found.figures["volume"].axes[0].get_title()
