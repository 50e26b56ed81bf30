"""Kinds of arguments that public functions take: a text is no list, a table no careers, a number no text."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from test_number_ranges import FUNCTIONS

import career_hf
from career_hf.argument_kinds import KINDS, check_names, kinds_of
from career_hf.number_ranges import is_number, within_ranges


ARGUMENTS = [
    (path, parameter.name, kinds_of(parameter.annotation))
    for path, function in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters.values()
    if not is_number(parameter)
    and kinds_of(parameter.annotation)
    and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    and not path.endswith(".fit_model")
]
# A value of each kind, to give a function what it takes when something else is wrong.
EXAMPLES = [None, True, 1, "text", Path("folder"), ["name"], {"a": 1}, Dataset.from_dict({"a": [1]}), pd.DataFrame()]
EXAMPLES += [np.zeros(1), object(), b"bytes", [1], 1j]
EXAMPLES += [career_hf.CareerProcessor.fit(career_hf.from_frame({"person": ["a"], "year": [1], "occupation": ["b"]}))]


def call_with(path, name, value):
    """Calls a function with one argument, and arguments before it that are right."""
    function, given_values = FUNCTIONS[path], {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_KEYWORD,):
            kinds = kinds_of(parameter.annotation)
            fits = [example for example in EXAMPLES if kinds and any(KINDS[kind][0](example) for kind in kinds)]
            given_values[parameter.name] = 1 if is_number(parameter) else fits[0] if fits else None
    given_values[name] = value
    return function(**given_values)


def test_there_are_arguments_of_every_kind():
    named = {(path, name) for path, name, _ in ARGUMENTS}
    assert len(ARGUMENTS) > 300 and {("career_hf.train", "careers"), ("career_hf.similar", "ignored")} <= named
    kinds = {kind for _, _, kinds in ARGUMENTS for kind in kinds}
    assert kinds == set(KINDS) - {"int", "float"}


@pytest.mark.parametrize(("path", "name", "kinds"), ARGUMENTS)
def test_no_public_function_takes_a_value_of_another_kind(path, name, kinds):
    wrong = [example for example in EXAMPLES if not any(KINDS[kind][0](example) for kind in kinds)]
    assert wrong
    for value in wrong:
        with pytest.raises(ValueError, match=rf"\b{name}( is |=)") as error:
            call_with(path, name, value)
        assert "\n" not in str(error.value) and error.traceback[-1].path.name == "argument_kinds.py"


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (career_hf.perplexity, ("runs/markov",), "table is 'runs/markov', and must be a pandas table"),
        (career_hf.perplexity_by, ("gender", pd.DataFrame()), "table is 'gender', and must be a pandas table"),
        (career_hf.summarize, (pd.DataFrame(),), "tables is a DataFrame, and must be a mapping"),
        (
            career_hf.train,
            (pd.DataFrame({"person": ["a"]}),),
            r"careers is a table \(DataFrame\), and must be careers, .*: make careers of it with career_hf.from_frame",
        ),
        (career_hf.split_careers, (DatasetDict(),), r"careers is a mapping of splits \[\], not one dataset"),
        (career_hf.to_frame, (["a"],), r"careers is \['a'\], and must be careers"),
    ],
)
def test_arguments_in_the_wrong_order_or_of_another_kind_are_refused_in_one_line(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (career_hf.similar, {"people": 12}, "people is 12, a number, and must be a text: people='12'"),
        (career_hf.rationales, {"person": 12}, "person is 12, a number, and must be a text: person='12'"),
        (
            career_hf.compare,
            {"watch": "unemployed"},
            r"watch='unemployed' is a text: pass a list, watch=",
        ),
        (career_hf.write_model_card, {"by": "gender"}, r"by='gender' is a text: pass a list, by=\['gender'\]"),
        (career_hf.from_frame, {"outcomes": "wage"}, r"outcomes='wage' is a text: pass a list"),
        (career_hf.rationales, {"covariates": "year"}, r"covariates='year' is a text: pass a list"),
        (career_hf.evaluate, {"weighted": "no"}, "weighted is 'no', and must be True or False"),
        (career_hf.train, {"resume": 1}, "resume is 1, and must be True or False"),
        (career_hf.evaluate, {"by": 12}, "by is 12, a number, and must be a text"),
        (career_hf.evaluate, {"by": ["year", 3]}, r"by is \['year', 3\], and must be a text or a list of texts"),
    ],
)
def test_numbers_and_texts_in_the_place_of_names_are_refused(function, arguments, message):
    first = {
        "model": "runs/x",
        "careers": "careers",
        "models": {"a": "runs/a"},
        "people": "p",
        "frame": pd.DataFrame(),
    }
    first["folder"] = "runs/x"
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    given_values = {p.name: first[p.name] for p in required} | arguments
    with pytest.raises(ValueError, match=message):
        function(**given_values)


def test_what_a_source_returns_is_refused_with_the_part_that_is_needed():
    prepared = career_hf.sources.keane_wolpin()
    message = "is a PreparedCareers, what a source returns: pass its "
    with pytest.raises(ValueError, match=f"careers {message}splits, as in career_hf.sources.keane_wolpin.*splits"):
        career_hf.train(prepared)
    with pytest.raises(ValueError, match=f"careers {message}careers, as in"):
        career_hf.split_careers(prepared)


def test_values_of_the_kind_pass_whatever_their_type():
    @within_ranges
    def takes(
        by: str | Sequence[str] = (),
        covariates: Collection[str] = (),
        weighted: bool = False,
        models: Mapping[str, Mapping[str, str | int]] | None = None,
        steps: Callable[[int], int] | None = None,  # noqa: F821  # no kind that is known
    ) -> tuple:
        return by, covariates, weighted, models, steps

    assert takes("year") == ("year", (), False, None, None) and takes(pd.Index(["a"]), {"b"})[1] == {"b"}
    assert takes(weighted=np.bool_(True))[2] and takes(models={"a": {"b": 1}}, steps=3)[4] == 3
    assert takes(np.array(["year"]).tolist(), covariates=pd.Series(["a"]).tolist())[0] == ["year"]


@given(st.one_of(st.text(), st.integers(), st.lists(st.one_of(st.text(), st.integers()), min_size=1)))
def test_only_lists_of_texts_are_names(value):
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        assert check_names(covariates=value) is None
    else:
        with pytest.raises(ValueError, match=r"covariates=.* pass"):
            check_names(covariates=value)
