"""Coding noise: both rules against plain Python, worked examples, folders, the command, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import career_hf
from career_hf.careers import from_frame, split_careers, validate
from career_hf.careers.ledger import Ledger
from career_hf.careers.provenance import source_of
from career_hf.cli.app import app
from career_hf.occupations.labels import NOT_WORKING
from career_hf.simulation import miscode, preset


def careers_of(*people, **columns):
    """Careers from a text for each person, a letter for each year; "u" is unemployed and "." a missing signal."""
    rows = {"person": [], "year": [], "occupation": [], **{name: [] for name in columns}}
    for person, text in enumerate(people):
        for year, letter in enumerate(text):
            rows["person"].append(str(person))
            rows["year"].append(2000 + year)
            rows["occupation"].append("unemployed" if letter == "u" else letter)
            for name, texts in columns.items():
                signal = texts[person][year]
                rows[name].append(None if signal == "." else float(signal) if name == "log_wage" else signal)
    outcomes = [name for name in columns if name == "log_wage"]
    return from_frame(rows, covariates=[name for name in columns if name not in outcomes], outcomes=outcomes)


def texts_of(careers):
    return ["".join("u" if label in NOT_WORKING else label for label in person) for person in careers["occupation"]]


@pytest.mark.parametrize(
    ("coded", "signal", "options", "recoded"),
    [
        ("AABAA", None, {}, "AAAAA"),
        ("AABBAA", None, {}, "AABBAA"),
        ("AABBAA", None, {"round_trip": 2}, "AAAAAA"),
        ("AABAA", None, {"round_trip": 0}, "AABAA"),
        ("ABABA", None, {}, "AAAAA"),
        ("ABAB", None, {}, "AAAB"),
        ("AuA", None, {}, "AuA"),  # a state without work is no code
        ("uAu", None, {}, "uAu"),
        ("ABuA", None, {}, "ABuA"),
        ("AABAA", "11233", {"signals": ["employer"]}, "AABAA"),  # both moves are confirmed
        ("AABAA", "11222", {"signals": ["employer"]}, "AAAAA"),  # one is not
        ("AABBB", "11111", {"signals": ["employer"]}, "BBBBB"),
        ("AABBB", "11111", {"signals": ["employer"], "recode_to": "first"}, "AAAAA"),
        ("AABB", "1111", {"signals": ["employer"]}, "AAAA"),  # equally common: the earliest
        ("AABB", "1122", {"signals": ["employer"]}, "AABB"),
        ("AABB", "11.2", {"signals": ["employer"]}, "AABB"),  # nothing is known of the move
        ("AABBuCD", "1111.11", {"signals": ["employer"]}, "AAAAuCC"),
        ("AABAACC", "1112222", {"signals": ["employer"]}, "AAAAAAA"),  # the trip first, then the move
        ("ABCCDA", "112222", {"signals": ["employer"], "round_trip": 0}, "AACCCC"),
    ],
)
def test_rules_on_worked_examples(coded, signal, options, recoded):
    columns = {"employer": [signal]} if signal else {}
    result = career_hf.recode_coding_noise(careers_of(coded, **columns), **options)
    assert texts_of(result.careers) == [recoded]
    kept = career_hf.recode_coding_noise(careers_of(coded, **columns), **options, keep_codes=True)
    assert texts_of(kept.careers) == [coded] and kept.careers["coding_noise"][:] == result.careers["coding_noise"][:]


def test_numbers_confirm_moves_from_their_smallest_change_on():
    careers = careers_of("AABBCC", log_wage=["112234"])
    assert texts_of(career_hf.recode_coding_noise(careers, smallest_changes={"log_wage": 1}).careers) == ["AABBCC"]
    assert texts_of(career_hf.recode_coding_noise(careers, smallest_changes={"log_wage": 1.5}).careers) == ["AAAAAA"]
    fallen = careers_of("AABB", log_wage=["9911"])
    assert texts_of(career_hf.recode_coding_noise(fallen, smallest_changes={"log_wage": 1}).careers) == ["AABB"]


def reference(text, known, changed, round_trip, recode_to):
    """Both rules on one person, spell by spell and step by step; codes, and removed moves by rule."""
    spells = []
    for step, letter in enumerate(text):
        if spells and spells[-1][0] == letter:
            spells[-1][1].append(step)
        else:
            spells.append([letter, [step]])
    i, trips = 1, 0
    while i < len(spells) - 1:
        before, (letter, steps), after = spells[i - 1], spells[i], spells[i + 1]
        confirmed = changed[steps[0]] and changed[after[1][0]]
        if before[0] == after[0] != "u" != letter and len(steps) <= round_trip and not confirmed:
            spells[i - 1 : i + 2] = [[before[0], before[1] + steps + after[1]]]
            trips += 2
        else:
            i += 1
    codes = [letter for letter, steps in spells for _ in steps]
    stretches, undone = [[0]], 0
    for step in range(1, len(codes)):
        now, before = codes[step], codes[step - 1]
        moved = "u" not in (now, before) and now != before
        undo = moved and known[step] and not changed[step]
        undone += undo
        if "u" in (now, before) or (moved and not undo):
            stretches.append([])
        stretches[-1].append(step)
    for steps in stretches:
        held = [codes[step] for step in steps]
        most = held[0] if recode_to == "first" else Counter(held).most_common(1)[0][0]
        if len(set(held)) > 1:
            codes[steps[0] : steps[-1] + 1] = [most] * len(steps)
    return "".join(codes), trips, undone


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("AABBCu"), st.sampled_from("112.")), min_size=1, max_size=9),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 3),
    st.sampled_from(["commonest", "first"]),
)
def test_rules_are_those_of_plain_python_and_the_ledger_adds_up(people, round_trip, recode_to):
    texts = ["".join(letter for letter, _ in person) for person in people]
    signals = ["".join(signal for _, signal in person) for person in people]
    options = {"signals": ["employer"], "round_trip": round_trip, "recode_to": recode_to}
    result = career_hf.recode_coding_noise(careers_of(*texts, employer=signals), **options)
    validate(result.careers)
    expected, trips, undone = [], 0, 0
    for text, signal in zip(texts, signals, strict=True):
        known = [t > 0 and "." not in signal[t - 1 : t + 1] for t in range(len(text))]
        changed = [known[t] and signal[t] != signal[t - 1] for t in range(len(text))]
        codes, trips_of_person, undone_of_person = reference(text, known, changed, round_trip, recode_to)
        expected.append(codes)
        trips, undone = trips + trips_of_person, undone + undone_of_person
    assert texts_of(result.careers) == expected

    def count(all_texts):
        pairs = [pair for text in all_texts for pair in zip(text, text[1:], strict=False) if "u" not in pair]
        return sum(a != b for a, b in pairs), len(pairs)

    moves = result.moves["moves"]
    assert moves["as coded"] == count(texts)[0] and moves["left"] == count(expected)[0]
    assert moves["removed: round trip (A-B-A)"] == trips and moves["removed: no signal changed"] == undone
    assert moves[moves.index.str.startswith("kept")].sum() == moves["left"]
    assert moves[moves.index.str.startswith("removed")].sum() == moves["as coded"] - moves["left"]
    if count(texts)[1]:
        assert result.moves.loc["left", "share"] == moves["left"] / count(texts)[1]
    entries = {(entry.step, entry.unit): entry for entry in result.ledger.entries}
    assert [entry.rows_out for entry in entries.values() if entry.unit == "moves"][-1] == moves["left"]
    altered = sum(
        a != b for before, after in zip(texts, expected, strict=True) for a, b in zip(before, after, strict=True)
    )
    assert sum(result.ledger.entries[-1].altered.values()) == altered

    for before, after, marks in zip(texts, expected, result.careers["coding_noise"], strict=True):
        for t, mark in enumerate(marks):
            assert (mark in ("round trip", "no signal")) == (before[t] != after[t])
            same = before[max(t - 1, 0) : t + 1] == after[max(t - 1, 0) : t + 1]
            assert (mark == "as coded") == same


def test_the_filter_removes_false_moves_of_the_market_and_keeps_most_true_ones():
    market = preset("tiny").simulate(600)
    coded, _ = miscode(market.careers, market.world, 0.1, seed=1)
    recoded = career_hf.recode_coding_noise(coded, without_work=market.world.labels[market.world.config.occupations :])
    frames = [career_hf.to_frame(careers) for careers in (market.careers, coded, recoded.careers)]
    first = frames[0]["person"] != frames[0]["person"].shift()
    true, noisy, left = (~first & (frame["occupation"] != frame["occupation"].shift()) for frame in frames)
    assert (left & noisy & ~true).sum() < 0.65 * (noisy & ~true).sum()
    assert (left & noisy & true).sum() > 0.9 * (noisy & true).sum()


def test_command_keeps_splits_source_and_steps(tmp_path):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("AAABu"), 8)) for _ in range(30)]
    signals = ["".join(rng.choice(list("12"), 8)) for _ in range(30)]
    careers = careers_of(*texts, employer=signals)
    built = career_hf.sources.panel(career_hf.to_frame(careers), covariates=["employer"], source="nlsy97")
    built.save(tmp_path / "careers")
    given = ["recode-coding-noise", "--data", tmp_path / "careers", "--output", tmp_path / "recoded"]
    result = CliRunner().invoke(app, [str(text) for text in [*given, "--signals", "employer"]])
    assert result.exit_code == 0 and "removed: no signal changed" in result.output, result.output
    saved, before = career_hf.load_careers(tmp_path / "recoded"), career_hf.load_careers(tmp_path / "careers")
    expected = career_hf.recode_coding_noise(tmp_path / "careers", signals=["employer"])
    for name, part in before.items():
        assert saved[name]["person"][:] == part["person"][:] and saved[name]["year"][:] == part["year"][:]
        assert saved[name]["occupation"][:] == expected.splits[name]["occupation"][:]
    assert source_of(tmp_path / "recoded") == source_of(tmp_path / "careers")
    assert (tmp_path / "recoded" / "split.json").read_text() == (tmp_path / "careers" / "split.json").read_text()
    assert Ledger.load(tmp_path / "recoded" / "ledger.json").to_dict() == expected.ledger.to_dict()
    moves = pd.read_csv(tmp_path / "recoded" / "moves.csv", index_col="kind")
    assert moves["moves"].to_dict() == expected.moves["moves"].to_dict()
    again = CliRunner().invoke(app, [str(text) for text in [*given[:2], tmp_path / "recoded", *given[3:]]])
    assert again.exit_code == 2 and "before they were recoded" in " ".join(again.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signals": ["industry"]}, r"signals has 'industry', .*\['employer'\]"),
        ({"signals": ["log_wage"]}, "no column of labels over time"),
        ({"signals": ["occupation"]}, "no column of labels over time"),
        ({"smallest_changes": {"employer": 1}}, r"no column of numbers over time; these are \['log_wage'\]"),
        ({"smallest_changes": {"log_wage": 0}}, "that of 'log_wage' is 0, and must be a number above 0"),
        ({"smallest_changes": {"log_wage": "x"}}, "that of 'log_wage' is 'x'"),
        ({"recode_to": "last"}, "recode_to is 'last', and must be one of commonest, first"),
        ({"round_trip": -1}, "round_trip is -1, and must be a whole number between 0 and 200"),
        ({"without_work": ["idle"]}, "without_work has 'idle', which nobody has"),
    ],
)
def test_what_cannot_be_read_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        career_hf.recode_coding_noise(careers_of("AB", employer=["12"], log_wage=["12"]), **options)


def test_no_careers_are_refused():
    with pytest.raises(ValueError, match="no careers to recode"):
        career_hf.recode_coding_noise({})


def test_splits_are_recoded_together():
    careers = careers_of(*["AABAA", "ABBBB", "AAAAA"] * 5)
    splits = split_careers(careers)
    result = career_hf.recode_coding_noise(splits)
    assert {name: len(part) for name, part in result.splits.items()} == {n: len(p) for n, p in splits.items()}
    assert result.moves.loc["as coded", "moves"] == 15 and result.moves.loc["left", "moves"] == 5
