"""Malformed arguments of the public functions, made from their signatures: `career_hf.NAME`, for names of the stub."""

from __future__ import annotations

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from attacks import EMPTY_IS_DEFAULT, FREE
from datasets import Dataset
from scene import CUTOFF, SHORT, Scene
from verdicts import ACCEPTED, HANG, REFUSED, SILENT, TRACEBACK, Verdict, time_limit

import career_hf
from career_hf.number_ranges import RANGES


@dataclass(frozen=True)
class FunctionAttack:
    """One malformed call: a function, and the argument that is made wrong."""

    target: str
    what: str
    option: str
    value: Any = field(compare=False)
    wrong: bool = True
    why: str = ""


# Wrong values of any argument, in a function so that a call that changes one does not change another's.
def wrong_values() -> list[Any]:
    """Values of every kind, most of which any argument should refuse."""
    empty, foreign = pd.DataFrame(), pd.DataFrame({"a": [1.0], "b": ["x"]})
    values = [
        None,
        -1,
        0,
        1.5,
        float("nan"),
        float("inf"),
        10**12,
        1e20,
        "",
        "no_such_thing",
        "x" * 5000,
        b"x",
        "\0",
        "1",
    ]
    values += [
        [],
        {},
        set(),
        ["no_such_thing"],
        [1, "a"],
        [None],
        {"a": 1},
        {1: 2},
        object(),
        len,
        True,
        1j,
        (),
        ((),),
    ]
    values += [empty, foreign, Dataset.from_dict({}), Dataset.from_dict({"a": [1]}), np.zeros((2, 2)), np.array("x")]
    return [
        *values,
        Path("no_such_thing"),
        Path(""),
        pd.NA,
        pd.NaT,
        np.float64("nan"),
        np.int64(-5),
        range(0),
        iter([1]),
    ]


EMPTY_KINDS = (list, tuple, set, dict, range, pd.DataFrame, Dataset)
FAST = {**SHORT, "draws": 20, "samples": 4, "folds": 2, "updates": 0, "trials": 1, "seeds": 1, "split": "test"}
FAST |= {"unknown_levels": "missing"}


@cache
def fillers(scene: Scene) -> dict[str, Callable[[Path], Any]]:
    """Right values of arguments by their names, each made from a scratch folder."""
    careers = career_hf.load_careers(scene.careers)
    chain, processor = career_hf.load_checkpoint(scene.chain)
    table = pd.read_parquet(scene.table)
    frame = career_hf.to_frame(careers["test"])
    embedded = career_hf.representations(str(scene.career), careers["test"], unknown_levels="missing")
    values: dict[str, Any] = {
        "careers": careers["test"],
        "data": careers["test"],
        "pretrained": str(scene.career),
        "checkpoint": str(scene.career),
        "model": chain,
        "models": {"chain": [str(scene.chain)]},
        "processor": processor,
        "table": table,
        "tables": {"chain": [table]},
        "by": "gender",
        "frame": frame,
        "cutoff": CUTOFF,
        "person": "p001",
        "people": ["p001"],
        "change": {"gender": "female"},
        "embeddings": embedded,
        "vectors": embedded,
        "representations": embedded,
        "train": lambda training, fold: (chain, processor),
        "horizon": 1,
        "repo": "me/careers",
        "dry_run": True,
        "margins": scene.margins,
        "counts": pd.DataFrame({"origin": ["0010", "0050"], "destination": ["0050", "0010"], "count": [3, 4]}),
        "values": embedded,
        "trained_on": careers["train"],
        "folds": 2,
        "column": "transition",
        "baseline": "chain",
        "splits": careers,
    }
    made: dict[str, Callable[[Path], Any]] = {
        name: (lambda scratch, value=value: value) for name, value in values.items()
    }
    made["output"] = made["folder"] = lambda scratch: scratch / "new"
    made["path"] = lambda scratch: scratch / "new.onnx"
    made["settings"] = lambda scratch: {}
    made["dictionaries"] = lambda scratch: scene.empty
    return made


# Arguments that mean another thing than usual in one function.
OWN: dict[str, dict[str, Callable[[Scene, Path], Any]]] = {
    "load_careers": {"folder": lambda scene, scratch: scene.careers},
    "load_checkpoint": {"checkpoint": lambda scene, scratch: scene.chain},
    "load_representations": {"folder": lambda scene, scratch: scene.empty},
    "load_transition_table": {"folder": lambda scene, scratch: scene.empty},
    "write_model_card": {"folder": lambda scene, scratch: scene.fresh("career", scratch)},
    "publish": {"folder": lambda scene, scratch: scene.fresh("career", scratch)},
    "train": {"careers": lambda scene, scratch: scene.careers},
    "finetune": {"careers": lambda scene, scratch: scene.careers},
    "train_ensemble": {"careers": lambda scene, scratch: scene.careers},
    "compare": {"careers": lambda scene, scratch: scene.careers, "models": lambda scene, scratch: ["markov-1"]},
    "split_careers": {},
    "similar": {"checkpoint": lambda scene, scratch: str(scene.career), "people": lambda scene, scratch: ["p001"]},
    "rationales": {"model": lambda scene, scratch: str(scene.career)},
    # A model is given, because the models of folds would be trained at length.
    "representation_table": {"model": lambda scene, scratch: str(scene.career), "folds": lambda scene, scratch: None},
    "representations": {"model": lambda scene, scratch: str(scene.career)},
    "save_representations": {
        "model": lambda scene, scratch: career_hf.load_checkpoint(scene.career)[0],
        "processor": lambda scene, scratch: career_hf.load_checkpoint(scene.career)[1],
    },
    "save_transition_table": {
        "model": lambda scene, scratch: career_hf.load_checkpoint(scene.career)[0],
        "processor": lambda scene, scratch: career_hf.load_checkpoint(scene.career)[1],
    },
    "forecast": {"model": lambda scene, scratch: str(scene.career)},
    "displacement": {"model": lambda scene, scratch: str(scene.chain)},
    "exposure": {
        "predictions": lambda scene, scratch: str(scene.chain),
        "attributes": lambda scene, scratch: career_hf.occupations.attributes(),
        "careers": lambda scene, scratch: career_hf.load_careers(scene.careers)["test"],
    },
    "evaluate_forecast": {"model": lambda scene, scratch: str(scene.career)},
}
# Options that functions hand on to another one.
HANDED_ON: dict[str, dict[str, Any]] = {"train_ensemble": SHORT}
# Arguments that these calls do not read, and why.
UNUSED_HERE = {
    "split": "careers that are no folder have no splits",
    "api": "a dry run asks no server",
    "salt": "any text is a salt",
}
# A recipe, a Trainer and functions that are called back are for programmers: wrong ones are wrong programs.
NOT_ATTACKED = {"fit_model"}


def public_functions() -> dict[str, Callable[..., Any]]:
    """The public functions of the package."""
    found = {name: getattr(career_hf, name) for name in career_hf.__all__}
    return {name: value for name, value in found.items() if inspect.isfunction(value) and name not in NOT_ATTACKED}


def unfilled(scene: Scene) -> list[str]:
    """Required arguments of public functions that nothing fills: a new one needs a line in `fillers` or `OWN`."""
    return [
        f"{name}({parameter.name})"
        for name, function in public_functions().items()
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in fillers(scene)
        and parameter.name not in OWN.get(name, {})
    ]


def function_attacks(scene: Scene) -> Iterator[FunctionAttack]:
    """Every wrong value of every argument of every public function."""
    for name, function in public_functions().items():
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or "Callable" in str(
                parameter.annotation
            ):
                continue
            if str(parameter.annotation) in ("bool", "'bool'"):
                continue
            for value in wrong_values():
                shown = " ".join(repr(value).split())
                shown = shown if len(shown) < 50 else f"{shown[:40]}... ({type(value).__name__})"
                wrong, why = is_wrong(parameter, value)
                yield FunctionAttack(name, f"{parameter.name} = {shown}", parameter.name, value, wrong, why)


def is_wrong(parameter: inspect.Parameter, value: Any) -> tuple[bool, str]:
    """Whether success with this value would be wrong, and why or why not."""
    name, annotation = parameter.name, str(parameter.annotation).strip("'")
    if value is None and (parameter.default is None or "None" in annotation):
        return False, "None is allowed"
    if name in RANGES and isinstance(value, (int, float, np.number)):
        return not RANGES[name].has(value), f"{name} must be {RANGES[name]}"
    if name in FREE or name in ("output", "folder", "name", "note", "attrs", "fields", "labels", "title"):
        return False, FREE.get(name, "any text will do")
    if name in UNUSED_HERE:
        return False, UNUSED_HERE[name]
    if isinstance(value, EMPTY_KINDS) and not len(value):
        return False, "an empty list is no list of anything wrong"
    if isinstance(value, str) and value == "" and name in EMPTY_IS_DEFAULT:
        return False, "an empty text is the default"
    return True, "it is no such value"


def judge_function(attack: FunctionAttack, scene: Scene, seconds: float = 60) -> Verdict:
    """Calls a function with something malformed."""
    function = public_functions()[attack.target]
    scratch = Path(tempfile.mkdtemp(prefix="attack-"))
    here = Path.cwd()
    try:
        own = OWN.get(attack.target, {})
        given = {}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in own:
                given[parameter.name] = own[parameter.name](scene, scratch)
            elif parameter.default is parameter.empty and parameter.name in fillers(scene):
                given[parameter.name] = fillers(scene)[parameter.name](scratch)
            elif parameter.name in FAST or parameter.name == "dry_run":
                given[parameter.name] = FAST.get(parameter.name, True)
        given |= HANDED_ON.get(attack.target, {})
        given[attack.option] = attack.value
        os.chdir(scratch)
        error: BaseException | None = None
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), time_limit(seconds) as ran_out:
            try:
                positional = [
                    given.pop(parameter.name)
                    for parameter in inspect.signature(function).parameters.values()
                    if parameter.kind is parameter.POSITIONAL_ONLY
                ]
                function(*positional, **given)
            except BaseException as raised:
                error = raised
    finally:
        os.chdir(here)
        shutil.rmtree(scratch, ignore_errors=True)
    if ran_out:
        return Verdict(attack, HANG, f"more than {seconds} seconds")
    if error is None:
        return Verdict(attack, SILENT if attack.wrong else ACCEPTED, attack.why)
    words = f"{type(error).__name__}: {error}"
    return Verdict(attack, REFUSED if isinstance(error, (ValueError, OSError, ImportError)) else TRACEBACK, words)


__all__ = ["FunctionAttack", "function_attacks", "judge_function", "public_functions", "unfilled"]
