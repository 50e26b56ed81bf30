"""Careers as texts: what stands where, against texts written by hand, and templates that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import from_frame, to_text
from career_hf.careers.texts import check_distinct, words_of_labels


@pytest.fixture(scope="module")
def careers():
    frame = {
        "person": [1, 1, 1, 2],
        "year": [1990, 1991, 1993, 1990],
        "occupation": [405, "in_school", 405, 18],
        "education": ["no_high_school", None, "college", "college"],
        "gender": ["female", "female", "female", None],
    }
    return from_frame(frame, covariates=["education"], static=["gender"])


def test_a_text_has_the_covariates_and_titles_of_every_year(careers):
    texts = to_text(careers)
    cleaners = "Housekeepers, maids, butlers, and cleaners"
    assert texts["person"] == ["1", "2"] and texts["text"] == [
        f"gender: female\n1990 (no high school): {cleaners}\n1991 (unknown): in school\n1993 (college): {cleaners}\n",
        "gender: unknown\n1990 (college): Managers of properties and real estate\n",
    ]
    (spans,) = [
        [text["text"][start:end] for start, end in zip(text["start"], text["end"], strict=True)]
        for text in texts.select([0])
    ]
    assert spans == [cleaners, "in school", cleaners]


def test_a_template_says_what_is_written_once_and_what_every_year(careers):
    template = "A {gender} worker {{born}} with {education}.\n* {year}, {occupation}\nend of {person}"
    titles = {"405": "a {cleaner}", "in_school": "pupil", "18": "manager"}
    assert to_text(careers, template, titles)["text"] == [
        "A female worker {born} with no high school.\n"
        "* 1990, a {cleaner}\n* 1991, pupil\n* 1993, a {cleaner}\nend of 1",
        "A unknown worker {born} with college.\n* 1990, manager\nend of 2",
    ]
    assert to_text(careers, "{occupation}", titles)["start"] == [[0, 12, 18], [0]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.text(alphabet="xé☃ :{}", max_size=5))
def test_places_are_those_of_the_titles(occupations, letters):
    frame = {"person": ["p"] * len(occupations), "year": list(range(len(occupations))), "occupation": occupations}
    titles = {"a": "Ä b", "b": "b", "c": "☃☃"}
    escaped = letters.replace("{", "{{").replace("}", "}}")
    (text,) = to_text(from_frame(frame), f"{escaped}\n{escaped}{{year}} {{occupation}}\n{escaped}", titles)
    spans = zip(text["start"], text["end"], strict=True)
    assert [text["text"][start:end] for start, end in spans] == [titles[name] for name in occupations]
    assert (
        text["text"]
        == f"{letters}\n"
        + "".join(f"{letters}{year} {titles[name]}\n" for year, name in enumerate(occupations))
        + letters
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{year}\n", "must have one line that ends with {occupation}"),
        ("", "must have one line that ends with {occupation}"),
        ("{occupation} in {year}", "must have one line that ends with {occupation}"),
        ("{occupation}\n{occupation}", "must have one line that ends with {occupation}"),
        ("{yaer}: {occupation}", r"names \{yaer\}, and the careers have columns \['person', 'year', 'occupation'"),
        ("{year.real}: {occupation}", "names {year.real}"),
        ("{}: {occupation}", "names {}"),
        ("{year:>5}: {occupation}", "must have the name {year} alone"),
        ("{year}}: {occupation}", "is malformed: Single '}'"),
        ("{year: {occupation}", "is malformed"),
    ],
)
def test_templates_that_say_nothing_are_refused(careers, template, message):
    with pytest.raises(ValueError, match=message) as error:
        to_text(careers, template)
    assert "\n" not in str(error.value)


def test_titles_tell_occupations_apart(careers):
    with pytest.raises(ValueError, match="no words for occupation '18' "):
        to_text(careers, titles={"405": "cleaner", "in_school": "pupil"})
    with pytest.raises(ValueError, match="no words for occupation '405' "):
        to_text(careers, titles={"405": " ", "in_school": "pupil", "18": "x"})
    with pytest.raises(ValueError, match="occupations 'in_school' and '18' have one title, 'x y'"):
        to_text(careers, titles={"405": "cleaner", "in_school": "x_y", "18": "x\ny"})
    with pytest.raises(ValueError, match="'a_b' and 'a b' have one title"):
        check_distinct(words_of_labels(["a_b", "a b"]))
    # Numbers of another coding have no titles, and are not given those of occ1990dd.
    assert words_of_labels(["405", "9999", "in_school"]) == {"405": "405", "9999": "9999", "in_school": "in school"}
