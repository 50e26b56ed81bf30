"""`describe` against counts in plain Python, its figures against the careers they draw, and the command."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from typer.testing import CliRunner

from career_hf.careers import from_frame, load_careers, save_careers
from career_hf.careers.describing import describe
from career_hf.cli.app import app
from career_hf.figures.careers import (
    clocked_steps,
    lengths_figure,
    sequences_figure,
    states_figure,
    transitions_figure,
)
from career_hf.occupations.crosswalks import codes, groups_of
from career_hf.occupations.labels import BELOW_COLLEGE, COLLEGE, LEVELS, NOT_WORKING
from career_hf.sources.open_resumes import DEGREES as JOBHOP_DEGREES
from career_hf.sources.resume_careers import DEGREES


@pytest.fixture(scope="module")
def careers():
    """60 people of 1 to 9 years, some missing, half with a gap, in occ1990dd and the states without an occupation."""
    rng = np.random.default_rng(0)
    labels = [*rng.choice(codes(), 40), *NOT_WORKING[:3]]
    rows = defaultdict(list)
    for person in range(60):
        birth = int(rng.integers(1960, 1965))
        for year in range(1980, 1980 + int(rng.integers(1, 10))):
            if year == 1983 and person % 2:
                continue
            row = {
                "person": person,
                "year": year,
                "occupation": rng.choice(labels),
                "education": rng.choice(["high_school", "college", "graduate", None]),
                "birth_year": birth,
                "employer": f"employer {rng.integers(12)}",
            }
            for name, value in row.items():
                rows[name].append(value)
    return from_frame(rows, covariates=["education", "employer"], static=["birth_year"])


@pytest.fixture(scope="module")
def rows(careers):
    """The careers as plain tuples: person, year, occupation, education."""
    return [
        (career["person"], *step)
        for career in careers
        for step in zip(career["year"], career["occupation"], career["education"], strict=True)
    ]


def test_percentages_of_states_and_broad_groups_are_of_all_person_years(careers, rows):
    summary = describe(careers)
    group = groups_of({row[2] for row in rows}, "census_group")
    for name, count in Counter(group[row[2]] for row in rows).items():
        assert summary[f"percent {name.lower()}"] == pytest.approx(100 * count / len(rows))


def test_percentages_of_levels_are_of_all_person_years_and_those_of_graduates_of_the_known(careers, rows):
    summary = describe(careers)
    count = Counter(row[3] for row in rows)
    with_education = len(rows) - count[None]
    assert summary["percent education college"] == pytest.approx(100 * count["college"] / len(rows))
    assert summary["percent college graduates"] == pytest.approx(
        100 * (count["college"] + count["graduate"]) / with_education
    )
    assert summary["missing education"] == pytest.approx(count[None] / len(rows))


def test_there_is_no_percentage_of_graduates_where_a_level_of_education_is_not_known():
    rows = {"person": [1, 2], "year": [1, 1], "occupation": ["a", "b"], "education": ["college", "Lyceum"]}
    percent = describe(from_frame(rows, static=["education"])).filter(like="percent")
    assert percent.to_dict() == {"percent education Lyceum": 50, "percent education college": 50}


def test_the_levels_of_every_source_are_known():
    levels = {*LEVELS["education"], *DEGREES.values(), *JOBHOP_DEGREES.values()}
    assert levels <= COLLEGE | BELOW_COLLEGE


def test_levels_of_a_static_covariate_count_once_a_year(careers, rows):
    years = Counter()
    for career in careers:
        years[career["birth_year"]] += len(career["year"])
    assert describe(careers)["percent birth_year 1962"] == pytest.approx(100 * years["1962"] / len(rows))


def test_a_covariate_with_many_levels_has_no_percentages(careers):
    assert not describe(careers).index.str.startswith("percent employer").any()
    assert "missing employer" in describe(careers).index


def test_there_are_no_broad_groups_where_codes_are_not_occ1990dd():
    careers = from_frame({"person": [1, 1, 2], "year": [1, 2, 1], "occupation": ["2353", "22", "unemployed"]})
    percent = describe(careers).filter(like="percent")
    assert percent.to_dict() == {"percent unemployed": pytest.approx(100 / 3)}


def test_rows_of_the_transition_figure_are_percentages_of_steps(careers, rows):
    figure = transitions_figure(clocked_steps(careers)[0])
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    group = groups_of({row[2] for row in rows})
    counts = Counter(
        (group[a[2]].replace("_", " "), group[b[2]].replace("_", " "))
        for a, b in zip(rows[:-1], rows[1:], strict=True)
        if a[0] == b[0]
    )
    drawn = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    for i, source in enumerate(names):
        total = sum(n for (a, _), n in counts.items() if a == source)
        for j, target in enumerate(names):
            if total:
                assert drawn[i, j] == pytest.approx(100 * counts[source, target] / total)
            else:
                assert np.isnan(drawn[i, j])


def test_the_sequence_figure_has_a_cell_for_every_observed_year_of_the_people_drawn(careers):
    steps = clocked_steps(careers)[0]
    cells = sequences_figure(steps, "year", people=1000).axes[0].images[0].get_array()
    assert cells.shape == (60, steps["year"].max() - steps["year"].min() + 1)
    assert np.ma.count(cells) == len(steps)
    few = sequences_figure(steps, "year", people=7, seed=1).axes[0].images[0].get_array()
    assert len(few) == 7


def test_shares_add_up_where_there_are_enough_people_and_are_left_out_elsewhere(careers):
    steps = clocked_steps(careers)[0]
    top, bottom = states_figure(steps, "age").axes
    height = defaultdict(float)
    for bar in top.patches:
        height[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    people = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bottom.patches}
    assert people == steps["age"].value_counts().to_dict()
    assert min(people.values()) < 10 <= max(people.values())
    for age, count in people.items():
        assert height[age] == pytest.approx(100 if count >= 10 else 0)


def test_career_lengths_are_counted_per_person(careers):
    bars = lengths_figure(clocked_steps(careers)[0]).axes[0].patches
    drawn = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars if bar.get_height()}
    assert drawn == Counter(len(years) for years in careers["year"])


def test_occupations_that_colours_cannot_tell_apart_become_other(tmp_path):
    frame = {"person": range(40), "year": [2000] * 40, "occupation": [f"job {i}" for i in range(40)]}
    figure = states_figure(from_frame(frame).to_pandas().explode(["year", "occupation"]), "year")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == 10
    assert names[-1] == "other"


def test_the_clock_is_age_where_everybody_has_a_year_of_birth(careers):
    steps, clock = clocked_steps(careers)
    assert clock == "age"
    assert (steps["age"] == steps["year"] - steps["birth_year"].astype(int)).all()
    stated = careers.map(lambda career: {"age": [str(year - 1950) for year in career["year"]]})
    stated = stated.remove_columns("birth_year")
    steps, clock = clocked_steps(stated)
    assert clock == "age" and (steps["age"] == steps["year"] - 1950).all()
    late = stated.map(lambda career: {"age": [str(min(int(age), 33)) for age in career["age"]]})
    assert clocked_steps(late)[1] == "year"
    some = careers.map(lambda career: {"birth_year": None if career["person"] == "3" else career["birth_year"]})
    assert clocked_steps(some)[1] == clocked_steps(careers.remove_columns("birth_year"))[1] == "year"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_describe_prints_a_column_per_folder(careers, tmp_path):
    save_careers(careers, tmp_path / "one")
    save_careers(careers.select(range(10)).remove_columns("education"), tmp_path / "two")
    lines = {
        line.split("│")[1].strip(): line.split("│")[2:4]
        for line in run("describe", tmp_path / "one", tmp_path / "two").splitlines()
        if line.startswith("│")
    }
    assert [cell.strip() for cell in lines["people"]] == ["60", "10"]
    graduates = [cell.strip() for cell in lines["percent college graduates"]]
    assert graduates[0] and not graduates[1]


def test_describe_draws_into_the_folder_which_still_loads(careers, tmp_path):
    save_careers(careers, tmp_path / "one")
    run("describe", tmp_path / "one", "--plot")
    drawn = {path.name: path for path in (tmp_path / "one" / "figures").iterdir()}
    assert set(drawn) == {"sequences.png", "states.png", "lengths.png", "transitions.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.values())
    assert load_careers(tmp_path / "one")["all"].num_rows == 60


@pytest.mark.parametrize("careers", [((),), b"x"])
def test_a_list_of_what_are_no_folders_is_an_error(careers):
    with pytest.raises(ValueError, match="a list must be of folders"):
        describe(careers)
