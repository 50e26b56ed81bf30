"""NLSY97 careers: the rules on extracts made by hand in the Investigator's layout; no real extract was at hand."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nlsy97_extracts import PERSON, employed, interview, items, weeks, write_extract
from typer.testing import CliRunner

from career_hf.careers import load_careers, to_frame, validate
from career_hf.cli.app import app
from career_hf.occupations.crosswalks import read_data
from career_hf.sources import nlsy97_careers as nlsy97


def over_time(careers, person, column="occupation"):
    row = next(row for row in careers if row["person"] == str(person))
    return dict(zip(row["year"], row[column], strict=True))


def check_sums(careers, ledger, people, rule="paper"):
    """In = out + dropped, from every person in every round to the careers."""
    validate(careers)
    for unit, start, end in (
        ("people", people, len(careers)),
        ("person-years", people * len(nlsy97.ROUNDS), sum(map(len, careers["year"]))),
    ):
        entries = [entry for entry in ledger.entries if entry.unit == unit]
        assert (entries[0].rows_in, entries[-1].rows_out) == (start, end)
        assert start - end == sum(sum(entry.dropped.values()) for entry in entries)
    assert all(entry.depends_on != "future" for entry in ledger.entries) == (rule == "no_lookahead")


def test_a_year_belongs_to_what_most_of_its_weeks_were_spent_on(tmp_path):
    cases = [
        ([(199901, 27), (4, 25)], 3, "276"),
        ([(199901, 26), (4, 26)], 3, "276"),  # a tie: work first
        ([(4, 14), (5, 13), (199901, 25)], 3, "unemployed"),
        ([(4, 13), (5, 14), (199901, 25)], 3, "out_of_labor_force"),
        ([(4, 13), (1, 7), (5, 7), (199901, 25)], 3, "out_of_labor_force"),
        ([(5, 30), (199901, 22)], 10, "in_school"),
        ([(1, 30), (199901, 22)], 8, "in_school"),
        ([(4, 30), (199901, 22)], 10, "unemployed"),
        ([(199901, 30), (5, 22)], 10, "276"),
        ([(0, 40), (3, 8), (199901, 4)], 3, "276"),  # weeks without a certain status do not count
        ([(2, 30), (5, 5), (199901, 17)], 3, "out_of_labor_force"),
    ]
    people = {
        person: employed(2004) | weeks(2005, *spells) | interview(2005, enrollment, 1, (4720,), (199901,))
        for person, (spells, enrollment, _) in enumerate(cases, 1)
    }
    careers, ledger = nlsy97.build(write_extract(tmp_path, people))
    for person, (_, _, state) in enumerate(cases, 1):
        assert over_time(careers, person) == {2004: "276", 2005: state}, person
    altered = next(entry.altered for entry in ledger.entries if entry.step == "state before occupation")
    assert altered["not employed although an occupation is reported: occupation not used"] == 7
    assert altered["not searching for work and enrolled: in school"] == 2
    check_sums(careers, ledger, len(people))


def test_the_occupation_is_that_of_the_employer_with_most_weeks_and_pay_and_hours_go_with_it(tmp_path):
    roster = {"codes": (4720, 20), "employers": (200501, 200401), "pay": (825, 2050), "hours": (20, 40)}
    main_is_first = interview(2005, main=1, **roster)
    people = {
        1: weeks(2005, (200401, 30), (200501, 22)) | main_is_first,
        # The employer of most weeks joined after the interview: the main job at the interview stands for the year.
        2: weeks(2005, (200501, 10), (200601, 42)) | main_is_first,
        3: weeks(2005, (200401, 26), (200501, 26)) | main_is_first,
        4: weeks(2005, (200601, 52)) | interview(2005, main=2, **roster),
    }
    careers, ledger = nlsy97.build(write_extract(tmp_path, people))
    assert careers["occupation"][:] == [["22"], ["276"], ["22"], ["22"]]
    assert careers["hourly_wage"][:] == [[20.5], [8.25], [20.5], [20.5]]
    assert careers["weekly_hours"][:] == [[40], [20], [40], [40]]
    altered = next(entry.altered for entry in ledger.entries if entry.step == "state before occupation")
    assert altered["employed: occupation of the employer with most weeks"] == 2
    assert altered["employed: occupation of the main job at the interview"] == 2


def test_years_without_a_usable_state_are_dropped_with_their_reason(tmp_path):
    years = employed(1998) | employed(2000) | employed(2001, code=-4) | employed(2002, code=9999)
    years |= weeks(2003, (6, 30), (200301, 22)) | interview(2003) | employed(2004, code=9810)
    years |= weeks(2005, (2, 52)) | interview(2005) | weeks(2006, (0, 52)) | interview(2006)
    years |= weeks(2007, (200701, 52)) | interview(2007, main=12, codes=(4720,), employers=(1,))
    years |= weeks(2008, (200801, 52)) | interview(2008, main=-4) | weeks(2009, (200901, 52))
    years |= employed(2010, code=12_345)
    unknown = {("KEY!BDATE_Y", "1997"): -3} | employed(2000)
    careers, ledger = nlsy97.build(write_extract(tmp_path, {1: years, 2: unknown}))
    assert over_time(careers, 1) == {2000: "276"}
    dropped = ledger.dropped()
    for text in (
        "occupation: valid skip",
        "occupation: no main job: valid skip",
        "occupation: the extract lacks job 12",
        "Census 2002 code 9999",
        "Census 2002 code 12345",
        "employment status: active military service",
        "occupation code of the armed forces",
        "unemployed or out of the labor force unknown",
        "no week with a known status",
    ):
        assert dropped[text] == 1, text
    assert dropped["turns 18 or less, or no birth year"] == 2
    assert dropped["not interviewed"] == 19 * 2 - 12
    check_sums(careers, ledger, 2)


def test_without_weekly_status_weeks_worked_say_employed_or_not_in_every_year(tmp_path):
    def worked(year, number, **more):
        return {(f"CVC_WKSWK_YR_ALL.{year % 100:02d}", "XRND"): number} | interview(
            year, main=1, codes=(4720,), **more
        )

    years = worked(2004, 52) | worked(2005, 0) | worked(2006, 0, enrollment=9) | worked(2007, 1) | worked(2008, -3)
    careers, ledger = nlsy97.build(write_extract(tmp_path, {1: years}, weekly=False))
    assert over_time(careers, 1) == {2004: "276", 2005: "not_working", 2006: "in_school", 2007: "276"}
    assert ledger.dropped()["weeks worked: invalid skip"] == 1
    assert any("no weekly status (EMP_STATUS)" in note for note in ledger.notes)


def test_the_rules_on_schooling_labor_force_and_region_with_and_without_later_years(tmp_path):
    out = weeks(2000, (5, 52)) | interview(2000) | weeks(2001, (5, 52)) | interview(2001)
    grade, region = "CV_HGC_EVER_EDT", "CV_CENSUS_REGION"
    people = {
        "never": employed(2000) | {(grade, "1997"): 8, (grade, "2001"): 8},
        "later": employed(2000) | employed(2002) | {(grade, "1997"): 8, (grade, "2002"): 9},
        "unknown": employed(2000) | {(grade, "1997"): 95},
        "out": out,
        "out first": out | employed(2002),
        "searched": out | weeks(2002, (4, 52)) | interview(2002) | {(region, "1997"): 2, (region, "2002"): 3},
        "seen late": employed(2000) | employed(2001) | {(region, "2001"): 4},
    }
    number = {name: person for person, name in enumerate(people, 1)}
    folder = write_extract(tmp_path, {number[name]: answers for name, answers in people.items()})
    paper, ledger = nlsy97.build(folder)
    check_sums(paper, ledger, len(people))
    years = {row["person"]: row["year"] for row in paper}
    people_left = ("later", "unknown", "out first", "searched", "seen late")
    assert list(years) == [str(number[name]) for name in people_left]
    assert years[str(number["out first"])] == [2000, 2001, 2002]
    region_of = dict(zip(paper["person"], paper["region"], strict=True))
    assert region_of[str(number["searched"])] == "northcentral"
    assert region_of[str(number["seen late"])] == "west"
    assert over_time(paper, number["unknown"], "education") == {2000: None}
    assert over_time(paper, number["later"], "education") == {2000: "no_high_school", 2002: "no_high_school"}

    strict, ledger = nlsy97.build(folder, rule="no_lookahead")
    check_sums(strict, ledger, len(people), "no_lookahead")
    years = {row["person"]: row["year"] for row in strict}
    assert list(years) == [str(number[name]) for name in people_left]
    assert years[str(number["later"])] == years[str(number["out first"])] == years[str(number["searched"])] == [2002]
    assert dict(zip(strict["person"], strict["region"], strict=True))[str(number["seen late"])] is None
    counts = next(note for note in ledger.notes if note.startswith("person-years left by the rules"))
    assert "'paper' keeps 11 of 5 people; 'no_lookahead' keeps 6 of 5 people; used: 'no_lookahead'" in counts


def test_an_unknown_rule_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown rule 'strict'.*paper.*no_lookahead"):
        nlsy97.build(tmp_path, rule="strict")


def test_static_covariates_and_the_design_of_the_survey(tmp_path):
    def person(group, race, sex=1, sample=1, household=1):
        answers = {
            "KEY!RACE_ETHNICITY": group,
            "KEY!RACE": race,
            "KEY!SEX": sex,
            "CV_SAMPLE_TYPE": sample,
            "SIDCODE": household,
        }
        return employed(2004) | {(name, "1997"): value for name, value in answers.items()}

    people = {1: person(1, 2), 2: person(2, 1, sex=2), 3: person(4, 1, sample=0), 4: person(4, 4), 5: person(3, -2)}
    careers, ledger = nlsy97.build(write_extract(tmp_path, people))
    assert careers["race"][:] == ["black", "hispanic", "white", "other", "other"]
    assert careers["gender"][:2] == ["male", "female"]
    assert careers["sample"][1:3] == ["cross_sectional", "supplemental"]
    assert careers["weight"][:] == [1234.56] * 5  # two decimals are implied
    assert (careers["stratum"][0], careers["psu"][0], careers["group"][0]) == ("7", "7-2", "1")


def test_rounds_with_weights_of_their_own_weigh_each_year(tmp_path):
    people = {1: employed(2004) | employed(2005), 2: employed(2004) | employed(2005)}
    write_extract(tmp_path, people)
    lines = ['"R0000100","S9000100","S9000200"', "1,12345,700", "2,50,-5"]
    (tmp_path / "weights.csv").write_text("\n".join(lines) + "\n")
    names = [
        f"S90{n}.00   {year}    SAMPLING WEIGHT    SAMPLING_WEIGHT_CC\n" for n, year in (("001", 2004), ("002", 2005))
    ]
    (tmp_path / "weights.sdf").write_text("".join(["Number  Year  Variable Description  Question Name\n", *names]))
    careers, ledger = nlsy97.build(tmp_path)
    assert careers["year"][:] == [[2004, 2005]] * 2
    assert careers["weight"][:] == [[123.45, 7.0], [0.5, 0.0]]
    assert any("weights are those of each round" in note for note in ledger.notes)


def test_a_design_that_is_not_in_the_extract_or_not_known_of_everybody_is_left_out_and_noted(tmp_path):
    people = {1: employed(2004), 2: employed(2004) | {("VPSU", "1997"): -3}}
    careers, ledger = nlsy97.build(write_extract(tmp_path, people, without=("SIDCODE", "SAMPLING_WEIGHT_CC")))
    assert not {"group", "weight", "psu"} & set(careers.column_names)
    assert "stratum" in careers.column_names
    for text in ("SIDCODE (R1193000, 1997) is not in the extract", "VPSU is missing for 1 people"):
        assert any(text in note for note in ledger.notes)


def test_variables_that_are_missing_are_listed_with_name_year_and_number(tmp_path):
    without = ("KEY!RACE", ("CV_MAINJOB_FLG", "2009"), "EMP_STATUS_2010.07")
    with pytest.raises(ValueError) as error:
        nlsy97.build(write_extract(tmp_path, {1: employed(2004)}, without=without))
    assert "3 variable(s)" in str(error.value)
    assert "KEY!RACE, survey year 1997, reference number R05387.00" in str(error.value)
    assert "CV_MAINJOB_FLG, survey year 2009, reference number T36000.00" in str(error.value)
    assert "EMP_STATUS_2010.07, asked once, reference number E00130.07" in str(error.value)
    assert "NLS Investigator" in str(error.value)


def test_names_are_tried_before_numbers_and_without_names_the_roster_is_not_guessed(tmp_path):
    named, bare = tmp_path / "named", tmp_path / "bare"
    named.mkdir()
    bare.mkdir()
    people = {1: employed(2004, pay=(900,))}
    write_extract(named, people)
    text = (named / "extract.sdf").read_text().replace("CV_HGC_EVER_EDT", "CV_HGC_EVER    ")
    (named / "extract.sdf").write_text(text.replace("KEY!SEX", "KEY_SEX"))
    careers, _ = nlsy97.build(named)
    assert careers["hourly_wage"][0] == [9.0]
    careers, ledger = nlsy97.build(write_extract(bare, people, sdf=False))
    assert (careers["occupation"][0], careers["hourly_wage"][0]) == (["276"], [None])
    assert any("YEMP_UID.01 is not in the extract for 19 of 19 rounds" in note for note in ledger.notes)


def test_codes_of_the_census_list_of_2010_are_pointed_out(tmp_path):
    people = {1: employed(2004) | employed(2017, code=136)}  # 0136, human resources managers, is new in 2010
    _, ledger = nlsy97.build(write_extract(tmp_path, people))
    assert any(note.startswith("warning: 1 occupation codes are in the Census list of 2010") for note in ledger.notes)


def test_the_code_of_people_without_an_occupation_is_in_both_lists_and_gives_no_warning(tmp_path):
    people = {1: employed(2004) | employed(2017, code=9920), 2: employed(2004)}
    careers, ledger = nlsy97.build(write_extract(tmp_path, people))
    assert careers["year"][:] == [[2004], [2004]]
    assert not any("Census list of 2010" in note for note in ledger.notes)
    assert {"Census 2002 code 9920": 1} in [entry.dropped for entry in ledger.entries]


@pytest.fixture
def three_rounds(monkeypatch):
    monkeypatch.setattr(nlsy97, "ROUNDS", (1997, 2004, 2005))


STATUS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 199901, 200401, -4])
YEAR = st.tuples(st.lists(st.tuples(STATUS, st.integers(1, 26)), max_size=2), st.sampled_from([-5, -4, 3, 10]),
                 st.sampled_from([4720, 20, 9810, 9999, -4]), st.integers(-5, 20))  # fmt: skip


# Shrinking a failure would take minutes.
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.dictionaries(st.sampled_from([2004, 2005]), YEAR), min_size=5, max_size=25),
    st.randoms(),
    st.sampled_from(["paper", "no_lookahead"]),
)
def test_nothing_is_lost_and_the_order_of_people_does_not_matter(three_rounds, tmp_path_factory, people, random, rule):
    answers = {0: employed(2004)}
    for person, years in enumerate(people, 1):
        answers[person] = {}
        for year, (spells, enrollment, code, grade) in years.items():
            year_answers = weeks(year, *spells) | interview(year, enrollment, 1, (code,), (200401,))
            answers[person] |= year_answers | {("CV_HGC_EVER_EDT", str(year)): grade}
    folder, shuffled = tmp_path_factory.mktemp("extract"), tmp_path_factory.mktemp("shuffled")
    order = list(answers)
    random.shuffle(order)
    write_extract(folder, answers)
    write_extract(shuffled, {person: answers[person] for person in order})
    careers, ledger = nlsy97.build(folder, rule=rule)
    check_sums(careers, ledger, len(answers), rule)
    again, again_ledger = nlsy97.build(shuffled, rule=rule)
    assert to_frame(again).equals(to_frame(careers))
    assert str(again_ledger) == str(ledger)


def test_the_tagset_that_ships_has_every_number_that_a_build_looks_for():
    shipped = read_data("tagsets/nlsy97.NLSY97", "career_hf.sources")
    numbers = {shipped.columns[0], *shipped.iloc[:, 0]}
    references = {
        reference for reference, _, name in items() if not name.startswith(("YEMP_UID", "CV_HRLY_PAY", "CV_HRS"))
    }
    assert (
        references | set(read_data("nlsy97_variables.csv", "career_hf.sources")["reference"]) | {"R0000100"} == numbers
    )
    assert len(numbers) == len(shipped) + 1
    assert set(PERSON) <= set(read_data("nlsy97_variables.csv", "career_hf.sources")["question_name"])


def test_the_command_takes_the_rule(tmp_path):
    people = {
        p: employed(2004) | {("SIDCODE", "1997"): p, ("CV_HGC_EVER_EDT", "1997"): 8 + p % 2} for p in range(1, 30)
    }
    command = ["prepare", "nlsy97", "--extract", str(write_extract(tmp_path, people)), "--output", str(tmp_path / "c")]
    result = CliRunner().invoke(app, [*command, "--rule", "no_lookahead"])
    assert result.exit_code == 0, result.output
    assert sum(careers.num_rows for careers in load_careers(tmp_path / "c").values()) == 15
    assert "highest grade known by then below 9" in result.output
