"""Statistics of careers against loops over careers written out; the truth in figures against the truth in tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replication import likeness as study
from replication.market_figures import career_filtered, market_figures

from career_hf.careers import from_frame, to_frame
from career_hf.evaluation.transition_table import transition_table
from career_hf.occupations.crosswalks import codes
from career_hf.occupations.labels import NOT_WORKING
from career_hf.simulation import TrueOccupationModel, expectations, preset, world_processor
from career_hf.sources import keane_wolpin_careers as keane_wolpin


@pytest.fixture(scope="module")
def market():
    return preset("tiny").simulate(400, seed=0)


@pytest.fixture(scope="module")
def other():
    return preset("tiny").with_world(seed=1, stay_occupation=-2.0).simulate(300, seed=1)


@pytest.fixture(scope="module")
def tables(market, other):
    return study.likeness({"market": market.careers, "other": other.careers}, draws=400)


def of_market(table):
    return table[table["careers"] == "market"]


@st.composite
def some_careers(draw):
    """Two to five short careers over three occupations and two states without work."""
    labels = st.sampled_from(["4", "889", "juggler", "unemployed", "in_school"])
    rows = []
    for person in range(draw(st.integers(2, 5))):
        years = sorted(draw(st.sets(st.integers(1980, 1992), min_size=1, max_size=9)))
        rows += [(f"p{person}", year, draw(labels), str(1960 + person)) for year in years]
    frame = pd.DataFrame(rows, columns=["person", "year", "occupation", "birth_year"])
    return from_frame(frame, static=["birth_year"])


def looking_back(careers):
    """All waves but the first of each person, each described by looking back along the career."""
    waves = []
    for career in careers:
        years, states = career["year"], career["occupation"]
        for t in range(1, len(years)):
            before, now = states[:t], states[t]
            start = t - 1
            while start > 0 and states[start - 1] == before[-1]:
                start -= 1
            worked = [state for state in before if state not in NOT_WORKING]
            wave = {
                "age": years[t] - int(career["birth_year"]),
                "occupation": now,
                "gap": years[t] - years[t - 1],
                "working": now not in NOT_WORKING,
                "state": now if now in NOT_WORKING else "working",
                "previous_state": before[-1] if before[-1] in NOT_WORKING else "working",
                "previous_group": study.occupation_group(before[-1]),
                "group": study.occupation_group(now),
                "previous_working": before[-1] not in NOT_WORKING,
                "transition": "stay" if now == before[-1] else "return" if now in before else "new",
                "aba": now != before[-1] and t >= 2 and states[t - 2] == now,
                "years": years[t - 1] - years[start] + 1,
                "start_known": start > 0,
                "held": len(set(worked) - {before[-1]}),
                "last_occupation": worked[-1] if worked else None,
                "waves_worked": len(worked) + (now not in NOT_WORKING),
                "occupations": len({state for state in [*before, now] if state not in NOT_WORKING}),
            }
            waves.append(wave)
    return pd.DataFrame(waves)


@given(some_careers())
@settings(max_examples=20, deadline=None)
def test_every_wave_is_what_looking_back_along_the_career_says(careers):
    steps = study.career_steps(careers)
    expected = looking_back(careers)
    later = steps[~steps["first"]]
    assert steps["first"].sum() == len(careers) and len(later) == len(expected)
    for name in expected:
        for frame in (later, expected):
            assert name in frame
        actual, wanted = ([None if pd.isna(v) else v for v in frame[name]] for frame in (later, expected))
        assert actual == wanted, name


def test_shares_are_those_of_loops_over_careers(market, tables):
    waves = looking_back(market.careers)
    left = waves["transition"] != "stay"

    at_risk = waves["previous_working"] & waves["start_known"]
    by_duration = left[at_risk].groupby([waves["gap"], waves["years"]])
    leaving = of_market(tables["leaving"]).set_index(["gap", "years"])
    assert leaving["share"].to_dict() == pytest.approx(by_duration.mean().to_dict())
    assert leaving["n"].to_dict() == by_duration.size().to_dict()

    could = waves[left & waves["working"] & (waves["held"] > 0)]
    back = (could["transition"] == "return").groupby(could["held"].clip(upper=study.MOST_HELD)).mean()
    assert of_market(tables["returns"]).set_index("held")["share"].to_dict() == pytest.approx(back.to_dict())

    numbers = tables["summary"]["market"]
    kinds = waves["transition"].value_counts(normalize=True)
    assert numbers[["steps: stay", "steps: return", "steps: new"]].tolist() == pytest.approx(
        kinds[["stay", "return", "new"]].tolist()
    )
    assert numbers["returns: A-B-A"] == pytest.approx(waves.loc[waves["transition"] == "return", "aba"].mean())
    recalls = waves[waves["working"] & ~waves["previous_working"] & waves["last_occupation"].notna()]
    recalled = (recalls["occupation"] == recalls["last_occupation"]).mean()
    assert numbers["back to work: to the last occupation"] == pytest.approx(recalled)
    year_long = waves[(waves["gap"] == 1) & (waves["previous_state"] == "unemployed")]
    assert numbers["stay a year: unemployed"] == pytest.approx((year_long["transition"] == "stay").mean())


def test_moves_are_transition_matrices(market, tables):
    waves = looking_back(market.careers)
    moves = of_market(tables["moves"])
    for share, rows in {"share_of_steps": waves, "share_of_moves": waves[waves["transition"] != "stay"]}.items():
        expected = pd.crosstab(rows["previous_group"], rows["group"], normalize="index")
        actual = moves.pivot(index="from", columns="to", values=share).fillna(0)
        assert actual.loc[expected.index, expected.columns].to_numpy() == pytest.approx(expected.to_numpy())
    # Nobody leaves unemployment for unemployment, but managers leave one occupation for another of theirs.
    within = moves[moves["from"] == moves["to"]].set_index("from")["share_of_moves"]
    assert within["unemployed"] == 0 and within["managers"] > 0


def test_states_lengths_and_concentration_add_up(market, tables):
    states = of_market(tables["states"])
    assert set(states["clock"]) == {"age"}
    long = to_frame(market.careers)
    age = long["year"] - long["birth_year"].astype(int)
    unemployed = (long["occupation"] == "unemployed").groupby(age).mean()
    actual = states[states["state"] == "unemployed"].set_index("at")["share"]
    assert actual.to_dict() == pytest.approx(unemployed.to_dict())
    assert states.groupby("at")["share"].sum().to_numpy() == pytest.approx(1)

    assert of_market(tables["lengths"])["share"].sum() == pytest.approx(1)
    largest = of_market(tables["concentration"])
    work = long.loc[~long["occupation"].isin(NOT_WORKING), "occupation"]
    assert largest["share"].iloc[0] == pytest.approx(work.value_counts(normalize=True).max())
    assert largest["share"].iloc[-1] == pytest.approx(1) and len(largest) == work.nunique()
    held = of_market(tables["held"]).set_index("waves_worked")["mean"]
    assert held[1] == 1 and (held <= held.index).all()


def test_standard_errors_are_clustered_by_person(market, tables):
    """The bootstrap agrees with the sandwich of a mean, e.g. Cameron and Miller (2015), and not with single steps."""
    steps = study.career_steps(market.careers)
    working = steps["working"].astype(float)
    of_people = (working - working.mean()).groupby(steps["person"]).sum()
    clustered = np.sqrt((of_people**2).sum()) / len(steps)
    table = study.shares(steps.assign(all=0), ["all"], "working", draws=1000, seed=0).iloc[0]
    assert table["standard_error"] == pytest.approx(clustered, rel=0.1)
    assert clustered > 1.5 * np.sqrt(working.var() / len(steps))
    assert table["low"] == pytest.approx(working.mean() - 1.96 * clustered, abs=clustered / 3)
    assert table["high"] == pytest.approx(working.mean() + 1.96 * clustered, abs=clustered / 3)


def test_the_last_source_is_what_the_others_are_compared_with(market, other, tables):
    summary = tables["summary"]
    difference = summary["market"] - summary["other"]
    pd.testing.assert_series_equal(summary["market minus other"], difference, check_names=False)
    # The other market was made so that people stay less.
    error = summary["standard error of market minus other"]
    assert difference["steps: stay"] > 4 * error["steps: stay"] > 0
    assert error[["people", "worked: in the 10 largest occupations"]].isna().all()
    itself = study.likeness({"a": market.careers, "b": market.careers}, draws=20)["summary"]
    assert (itself["a minus b"] == 0).all()


def test_groups_cover_occ1990dd_in_the_order_of_its_codes():
    groups = [study.occupation_group(code) for code in codes()]
    assert set(groups) == set(study.GROUPS)
    assert list(dict.fromkeys(groups)) == list(study.GROUPS)
    assert sum(a != b for a, b in zip(groups, groups[1:], strict=False)) == len(study.GROUPS) - 1
    assert study.occupation_group("95") == "professionals"  # registered nurses
    assert study.occupation_group("436") == "services"  # cooks
    assert study.occupation_group("unemployed") == "unemployed"


def test_careers_without_birth_years_and_with_states_of_their_own(market):
    careers = keane_wolpin.load()[0].select(range(150))
    without_work = (*NOT_WORKING, "school", "home")
    tables = study.likeness({"market": market.careers, "men": careers}, without_work=without_work, draws=20)
    assert set(tables["states"]["clock"]) == {"year"}
    men = tables["moves"][tables["moves"]["careers"] == "men"]
    assert set(men["from"]) == {"white_collar", "blue_collar", "military", "school", "home"}
    assert tables["summary"].loc["occupations", "men"] == 3
    assert pd.isna(tables["summary"].loc["worked: clerks", "men"])


def test_careers_too_short_for_a_statistic_leave_its_table_empty(tmp_path):
    frame = {"person": ["a", "a", "b", "b"], "year": [1, 2, 1, 2], "occupation": ["4", "4", "4", "7"]}
    tables = study.likeness_study(tmp_path, {"short": from_frame(frame)}, draws=20)
    assert tables["leaving"].empty and tables["returns"].empty
    assert tables["summary"].loc["steps: stay", "short"] == 0.5


def test_people_without_a_birth_year_are_of_no_age_and_count_elsewhere():
    frame = pd.DataFrame({"person": list("aaabbb"), "year": [1, 2, 4] * 2, "occupation": list("447477")})
    frame["birth_year"] = frame["person"].map({"a": "-20", "b": None})
    tables = study.likeness({"two": from_frame(frame, static=["birth_year"])}, draws=20)
    assert tables["states"].set_index("at")["n"].to_dict() == {21: 1, 22: 1, 24: 1}
    assert tables["summary"].loc["person-years", "two"] == 6
    assert tables["summary"].loc["steps: stay", "two"] == 0.5


def test_careers_that_cannot_be_described_are_refused(market):
    with pytest.raises(ValueError, match="careers_by_name is empty"):
        study.likeness({})
    idle = from_frame({"person": ["a", "a"], "year": [1, 2], "occupation": ["home", "home"]})
    with pytest.raises(ValueError, match="'idle': nobody works"):
        study.likeness({"market": market.careers, "idle": idle}, without_work=["home"])


def test_the_study_writes_tables_without_cells_of_few_people_and_figures(market, other, tmp_path):
    tables = study.likeness_study(tmp_path, {"market": market.careers, "other": other.careers}, draws=20)
    written = pd.read_csv(tmp_path / "likeness.csv", index_col="number")
    assert written["market"].to_dict() == pytest.approx(tables["summary"]["market"].to_dict(), rel=1e-4)
    for name in set(tables) - {"summary"}:
        table = pd.read_csv(tmp_path / f"likeness_{name}.csv")
        assert 0 < len(table) <= len(tables[name])
        if "people" in table:
            assert table["people"].min() >= study.FEWEST
    assert (tables["leaving"]["people"] < study.FEWEST).any()
    for name in ("likeness", "likeness_moves"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_figures_show_what_tables_say_of_enough_people(tables):
    figure = study.likeness_figure(tables)
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[1].lines}
    for name in ("market", "other"):
        rows = tables["leaving"].query("careers == @name and gap == 1 and people >= @study.FEWEST")
        np.testing.assert_allclose(lines[name], rows[["years", "share"]].astype(float))
    figure = study.moves_figure(tables["moves"])
    moves = tables["moves"].query("careers == 'other'").pivot(index="from", columns="to", values="share_of_moves")
    values = figure.axes[0].images[0].get_array()
    assert values.max() == pytest.approx(100 * moves.max().max())
    drawn = [float(text.get_text()) for text in figure.axes[0].texts]
    assert sum(drawn) == pytest.approx(100 * len(moves), abs=100)


def test_one_career_in_figures_is_the_truth_in_tables(market):
    person = max(market.careers, key=lambda career: len(set(career["occupation"])))["person"]
    filtered = career_filtered(market, person)
    truth, processor = TrueOccupationModel.of_world(market.world), world_processor(market.world)
    alone = market.careers.filter(lambda career: career["person"] == person)
    table = transition_table(truth, alone, processor)
    came = [filtered["probabilities"].loc[year, state] for year, state in filtered["waves"]["occupation"].items()]
    assert np.log(came) == pytest.approx(table["log_prob"].to_numpy(), abs=1e-5)
    entropy = expectations(truth, alone, processor)["entropy"]
    assert filtered["waves"]["entropy"].to_numpy() == pytest.approx(entropy.to_numpy(), abs=1e-5)
    assert filtered["types"].sum(axis=1).to_numpy() == pytest.approx(1)
    assert filtered["types"].shape == (len(table), market.world.config.types)
    with pytest.raises(ValueError, match="there is no person 'nobody'"):
        career_filtered(market, "nobody")


def test_both_figures_of_the_market_show_the_truth(market, tmp_path):
    person = market.careers[0]["person"]
    result = market_figures(market, person)
    top, middle, bottom = result.figures["career"].axes[:3]
    filtered = career_filtered(market, person)
    waves = filtered["waves"]
    assert bottom.lines[0].get_ydata() == pytest.approx(waves["entropy"].to_numpy())
    lived = len(set(waves["occupation"]))
    assert top.images[0].get_array().shape == (max(11, lived), len(waves))
    heights = np.array([bar.get_height() for bar in middle.patches]).reshape(-1, len(waves))
    np.testing.assert_allclose(heights.sum(axis=0), 1, atol=1e-6)
    left, right = result.figures["floors"].axes[:2]
    assert len(left.lines) == len(right.containers) == 3
    result.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"career.png", "floors.png"}


def test_distances_are_mean_absolute_differences_weighted_by_the_last_source(market, other, tables):
    found = study.distances(tables).set_index("table")
    assert set(found.index) == set(study.COMPARED)
    returns = tables["returns"].pivot(index="held", columns="careers", values="share").fillna(0)
    of_other = tables["returns"].query("careers == 'other'").set_index("held")
    enough = of_other["people"] >= study.FEWEST
    apart = (returns["market"] - returns["other"]).abs().loc[of_other.index[enough]]
    assert found.loc["returns", "market"] == pytest.approx(np.average(apart, weights=of_other["n"][enough]))
    itself = study.distances(study.likeness({"a": market.careers, "b": market.careers}, draws=20))
    assert (itself["a"] == 0).all()


def test_a_figure_of_moves_has_a_row_for_every_source_but_the_last(tables):
    moves = tables["moves"]
    three = pd.concat([moves, moves[moves["careers"] == "market"].assign(careers="third")])
    figure = study.moves_figure(three)
    assert [axes.get_title() for axes in figure.axes[1::3]] == ["market", "other"]
    values = figure.axes[5].images[0].get_array()
    first = figure.axes[4].images[0].get_array() - figure.axes[3].images[0].get_array()
    np.testing.assert_allclose(values, first)
