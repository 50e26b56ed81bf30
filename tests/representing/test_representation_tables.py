"""Tables of representations: nobody's own model or outcome, the same numbers in every file, names that Stata takes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

import career_hf
from career_hf.careers import save_careers, split_careers
from career_hf.cli.app import app
from career_hf.representing.tables import (
    PENALTIES,
    STATA_WORDS,
    RepresentationTable,
    build_table,
    read_representation_table,
    stata_names,
    write_stata,
)
from career_hf.simulation import draw_wages, preset
from career_hf.wages import BLAU_KAHN, available_blocks, held_out_r2, predict_held_out, wage_frame


TINY = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 16}
SHORT = {"max_steps": 2, "eval_steps": 1, "warmup_steps": 1, "tokens_per_batch": 2000}


@pytest.fixture(scope="module")
def market():
    """Careers with wages, in households of two, whose identifiers are whole numbers."""
    careers = career_hf.to_frame(draw_wages(preset("tiny").simulate(100)).careers)
    careers["person"] = pd.factorize(careers["person"])[0].astype(str)
    careers["household"] = (careers["person"].astype(int) // 2).astype(str)
    covariates = ["education", "region"]
    static = ["gender", "race"]
    return career_hf.from_frame(
        careers, covariates=covariates, static=static, outcomes=["log_wage"], group="household"
    )


@pytest.fixture(scope="module")
def folder(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers")
    save_careers(split_careers(market), folder)
    return folder


@pytest.fixture(scope="module")
def fitted(folder, tmp_path_factory):
    """h of everybody from two models, and the folder of the models."""
    models = tmp_path_factory.mktemp("models")
    return career_hf.representation_table(folder, folds=2, models=models, fields=TINY, **SHORT), models


def test_everybody_is_represented_by_the_model_of_the_others(fitted, folder):
    table, models = fitted
    everybody = career_hf.careers.as_careers(folder)
    frame = table.frame
    assert frame[["person", "year", "log_wage"]].equals(career_hf.to_frame(everybody)[["person", "year", "log_wage"]])
    assert frame.groupby("group")["fold"].nunique().max() == 1 and set(frame["fold"]) == {0, 1}
    for fold in (0, 1):
        people = set(frame.loc[frame["fold"] == fold, "person"])
        away = everybody.select([row for row, person in enumerate(everybody["person"]) if person in people])
        expected = career_hf.representations(
            models / f"fold_{fold}", away, timing="including", unknown_levels="missing"
        )
        np.testing.assert_array_equal(frame.loc[frame["fold"] == fold, table.vectors].to_numpy(), expected)
    # The models are used again, and only for these settings and people.
    again = career_hf.representation_table(folder, folds=2, models=models, timing="including", fields=TINY, **SHORT)
    assert again.frame.equals(frame)
    with pytest.raises(ValueError, match="other settings"):
        career_hf.representation_table(folder, folds=3, models=models, fields=TINY, **SHORT)
    frame = career_hf.to_frame(everybody)
    frame.loc[len(frame) // 2, "occupation"] = frame["occupation"].iloc[0] + "x"
    recoded = career_hf.from_frame(frame[["person", "year", "occupation"]])
    with pytest.raises(ValueError, match="other settings"):
        career_hf.representation_table(recoded, folds=2, models=models, fields=TINY, **SHORT)


def test_models_that_saw_the_fold_are_refused(fitted, folder, tmp_path):
    _, models = fitted
    for path in models.rglob("*"):
        if path.is_file():
            changed = Path(str(path.relative_to(models)).replace("fold_0", "x").replace("fold_1", "fold_0"))
            place = tmp_path / str(changed).replace("x/", "fold_1/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="model of fold 0 was trained on .* people of the fold"):
        career_hf.representation_table(folder, folds=2, models=tmp_path, fields=TINY, **SHORT)


def test_components_and_predictions_are_made_within_folds(market, fitted, folder):
    table, models = fitted
    everybody = career_hf.careers.as_careers(folder)
    made = career_hf.representation_table(
        folder, folds=2, models=models, components=3, ridge=["log_wage"], fields=TINY, **SHORT
    )
    assert made.vectors == ["pc0", "pc1", "pc2"] and set(made.labels) == {*made.vectors, "ridge_log_wage"} | {
        "person",
        "year",
        "fold",
    }
    h, wage = table.frame[table.vectors].to_numpy(), table.frame["log_wage"].to_numpy()
    household = pd.factorize(table.frame["group"])[0]
    for fold in (0, 1):
        rows = np.flatnonzero(table.frame["fold"] == fold)
        np.testing.assert_allclose(
            made.frame.loc[rows, made.vectors],
            PCA(3, svd_solver="full").fit_transform(h[rows].astype(float)),
            atol=1e-5,
        )
        parts = GroupKFold(5, shuffle=True, random_state=0).split(rows, groups=household[rows])
        for train, away in parts:
            train = rows[train][np.isfinite(wage[rows[train]])]
            assert not set(household[train]) & set(household[rows[away]])
            ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(h[train], wage[train])
            np.testing.assert_allclose(
                made.frame["ridge_log_wage"].to_numpy()[rows[away]], ridge.predict(h[rows[away]])
            )
    # A person's own wage is not in the prediction of it.
    changed = career_hf.to_frame(everybody)
    person = changed.loc[changed["log_wage"].notna(), "person"].iloc[0]
    changed.loc[changed["person"] == person, "log_wage"] += 100
    other = career_hf.from_frame(changed, outcomes=["log_wage"], group="group")
    values = h[career_hf.to_frame(everybody).sort_values(["person", "year"], key=lambda c: c.astype(int)).index]
    one = build_table(market, values, None, timing="including", ridge=["log_wage"]).frame
    two = build_table(other, values, None, timing="including", ridge=["log_wage"]).frame
    own, same = one["person"] == person, one["ridge_log_wage"] == two["ridge_log_wage"]
    assert same[own].all() and not same[~own].all()


def test_files_have_the_same_numbers_and_merge_with_the_panel(fitted, folder, tmp_path):
    table, models = fitted
    for ending in ("dta", "parquet", "csv"):
        path = tmp_path / f"h.{ending}"
        table.save(path)
        read = read_representation_table(path)
        np.testing.assert_allclose(read[table.vectors], table.frame[table.vectors], rtol=1e-6)
        assert read["person"].astype(str).tolist() == table.frame["person"].tolist()
        assert read["group"].dtype.kind == "i" and (read["fold"] == table.frame["fold"]).all()
        np.testing.assert_allclose(read["log_wage"], table.frame["log_wage"], rtol=1e-12)
    assert pd.read_stata(tmp_path / "h.dta")["person"].dtype.kind == "i"
    labels = pd.io.stata.StataReader(tmp_path / "h.dta").variable_labels()
    assert labels["h0"] == "Number 1 of 16 of h, including" and labels["fold"].startswith("Fold of people")
    given = ["representations", "--data", folder, "--cross-fit", 2, "--models", tmp_path / "models", "--max-steps", 1]
    given += ["--eval-steps", 1, "--components", 2, "--ridge", "log_wage", "--output", tmp_path / "command.dta"]
    result = CliRunner().invoke(app, [str(text) for text in given])
    assert result.exit_code == 0 and "2 folds of households; cluster by household" in result.output, result.output
    assert {"fold", "pc0", "pc1", "ridge_log_wage"} <= set(pd.read_stata(tmp_path / "command.dta"))
    # A file of another kind is refused before anything is trained.
    refused = CliRunner().invoke(app, [str(text) for text in [*given[:-1], tmp_path / "h.sav"]])
    assert refused.exit_code == 2 and ".dta, .parquet, .csv" in re.sub(r"[│\s]+", " ", refused.output)


def test_one_model_represents_people_that_it_was_not_trained_on(fitted, folder):
    splits = career_hf.load_careers(folder)
    trained = career_hf.train(splits, fields=TINY, **SHORT)
    table = career_hf.representation_table(folder, trained, components=2)
    assert "fold" not in table.frame and list(table.frame["person"].unique()) == splits["test"]["person"][:]
    with pytest.raises(ValueError, match="trained on"):
        career_hf.representation_table(folder, trained, split="train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give folds=, .* or model="),
        ({"folds": 2, "model": "career"}, "give folds=, .* or model="),
        ({"folds": 2, "output": "h.sav"}, "ends in '.sav', and must end in one of .dta, .parquet, .csv"),
        ({"folds": 2, "timing": "after"}, "timing is one of before, including"),
        ({"folds": 2, "resume": True}, "resume is not for models of folds"),
        ({"model": "career", "max_steps": 2}, "max_steps is for models of folds"),
        ({"folds": 2, "ridge": "log_wage"}, "ridge='log_wage' is a text"),
        ({"folds": 2, "ridge": ["gender"]}, "ridge has 'gender'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(folder, options, message):
    with pytest.raises(ValueError, match=message):
        career_hf.representation_table(folder, **options)


def test_columns_that_cannot_be_made_are_refused(market):
    values = np.random.default_rng(0).normal(size=(sum(map(len, market["year"])), 4))
    for options, message in [
        ({"components": 5}, "components is 5, and h has 4"),
        ({"ridge": ["gender"]}, r"ridge has 'gender', .*\['log_wage'\]"),
        ({"ridge": ["log_wage", "log_wage"]}, "once"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_table(market, values, None, timing="before", **options)
    few = market.select(range(8))
    with pytest.raises(ValueError, match="4 household.* 10 are needed"):
        build_table(few, values[: sum(map(len, few["year"]))], None, timing="before", ridge=["log_wage"])
    taken = market.add_column("h0", market["gender"][:])
    with pytest.raises(ValueError, match="have a column 'h0'"):
        build_table(taken, values, None, timing="before")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8, unique=True))
@example([":N", "str1", "_N", " all"])
def test_stata_takes_every_name(names):
    new_names = stata_names(names)
    assert list(new_names) == names and len(set(new_names.values())) == len(names)
    for old, new in new_names.items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,31}", new) and new not in STATA_WORDS
        assert not re.fullmatch(r"str\d+", new)
        if re.fullmatch(r"[a-z][a-z0-9]{0,31}", old) and old not in STATA_WORDS and not old.startswith("str"):
            assert new == old


def test_texts_truth_values_and_odd_names_reach_stata(tmp_path):
    frame = pd.DataFrame(
        {"a b": ["é", None], "in": [True, False], "x" * 40: [1.0, np.nan], "long text": ["y" * 3000, ""]}
    )
    write_stata(frame, tmp_path / "t.dta", {"a b": "Two letters"})
    read = pd.read_stata(tmp_path / "t.dta")
    assert list(read) == ["a_b", "v_in", "x" * 32, "long_text"]
    assert read["a_b"].tolist() == ["é", ""] and read["v_in"].tolist() == [1, 0] and read["long_text"][0] == "y" * 3000
    labels = pd.io.stata.StataReader(tmp_path / "t.dta").variable_labels()
    assert labels["a_b"] == "a b: Two letters" and labels["v_in"] == "in"
    with pytest.raises(ValueError, match="Stata cannot hold"):
        write_stata(pd.DataFrame({"x": [np.inf]}), tmp_path / "u.dta", {})


def test_months_are_labels_in_a_table_that_wages_are_regressed_on(tmp_path):
    pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
    rng, people, months = np.random.default_rng(0), 40, ["2001-02", "2001-03", "2001-04"]
    frame = {"person": np.repeat(np.arange(people), 3), "month": months * people, "log_wage": rng.normal(size=120)}
    frame["occupation"] = rng.choice(["cook", "waiter"], 120)
    careers = career_hf.from_frame(pd.DataFrame(frame), year="month", outcomes=["log_wage"])
    table = build_table(careers, rng.normal(size=(120, 2)), None, timing="including")
    assert table.frame["month"].tolist() == career_hf.to_frame(careers)["month"].tolist()
    assert "year" not in table.frame and table.labels["month"] == "Month"
    options = {"split": "all", "add": [], "splits": 2, "draws": 10}
    reports = []
    for name in ("h.csv", "h.dta"):
        table.save(tmp_path / name)
        reports.append(career_hf.wages.regress(careers, representations_from=tmp_path / name, **options).r2)
    pd.testing.assert_frame_equal(*reports, rtol=1e-5)
    for change, message in [
        (table.frame.iloc[1:], "person '.*' has no row for 2001-02"),
        (pd.concat([table.frame, table.frame[:1]]), "has two rows for 2001-02"),
        (table.frame.assign(month="x"), "column 'month', value 'x' is not a month"),
        (table.frame.rename(columns={"month": "quarter"}), "has no column 'month', the unit of the careers"),
    ]:
        with pytest.raises(ValueError, match=message):
            career_hf.wages.regress(careers, representations_from=change, **options)


def test_wages_are_regressed_on_a_table_with_coefficients_by_fold(fitted, folder, tmp_path):
    pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
    table, _ = fitted
    everybody = career_hf.careers.as_careers(folder)
    options = {"split": "all", "add": [], "splits": 2, "draws": 10}
    RepresentationTable(table.frame.sample(frac=1, random_state=0), {}, []).save(tmp_path / "h.csv")
    report = career_hf.wages.regress(folder, representations_from=tmp_path / "h.csv", **options)
    assert list(report.regressions) == ["Blau-Kahn", "+ h cross-fitted"]
    h = table.frame[table.vectors].to_numpy()
    frame, _ = wage_frame(everybody, {"cross-fitted": h}, fold=table.frame["fold"].to_numpy())
    base = available_blocks(BLAU_KAHN, frame)[0]
    specifications = {"Blau-Kahn": base, "+ h cross-fitted": [*base, "h cross-fitted"]}
    expected = held_out_r2(predict_held_out(frame, specifications, splits=2), draws=10)
    pd.testing.assert_frame_equal(report.r2, expected, rtol=1e-3)
    assert report.regressions["+ h cross-fitted"].columns > report.regressions["Blau-Kahn"].columns + 16
    with pytest.raises(ValueError, match="person '.*' has no row for"):
        career_hf.wages.regress(folder, representations_from=table.frame.iloc[1:], **options)
    with pytest.raises(ValueError, match="representations_from has no numbers of h"):
        career_hf.wages.regress(folder, representations_from=table.frame[["person", "year"]], **options)
    with pytest.raises(ValueError, match="has two rows"):
        career_hf.wages.regress(folder, representations_from=pd.concat([table.frame, table.frame[:1]]), **options)
    with pytest.raises(ValueError, match="not both"):
        career_hf.wages.regress(folder, "runs/x", representations_from=table.frame, **options)
