"""Malformed inputs, made from the signatures of commands and functions, and from the files that they read.

Nobody writes a case for a new option: the tree of commands says what it takes, and every kind has its wrong values. A
new command needs its line in `BASES`, a new public function a filler for its arguments in `functions.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scene import CUTOFF, SHORT, Scene, command_line

from career_hf.number_ranges import RANGES


# What every command is given, so that it is fast and works; then one thing of it is made wrong.
FAST: dict[str, Any] = {**SHORT, "draws": 20, "samples": 4, "folds": 2, "updates": 0, "trials": 1, "seeds": 1}
FAST |= {"people": 20, "splits": 2, "data": "careers", "checkpoint": "career", "preset": "tiny"}
BASES: dict[str, dict[str, Any]] = {
    "audit": {"table": "table", "by": "gender"},
    "benchmark": {},
    "card": {"folder": "+career", "data": "careers"},
    "compare": {"models": "markov-1"},
    "convert": {"checkpoint": "table", "dictionaries": "careers"},
    "describe": {"folders": "careers"},
    "displacement": {"checkpoint": "chain"},
    "evaluate": {"models": "chain"},
    "export": {"output": "new.onnx"},
    "exposure": {"checkpoint": "chain"},
    "finetune": {},
    "forecast": {"model": "career", "cutoff": CUTOFF},
    "gap": {"split": "test"},
    "prepare cps": {"extract": "empty"},
    "prepare decorte": {"source": "empty"},
    "prepare jobhop": {"source": "empty"},
    "prepare karrierewege": {"source": "empty"},
    "prepare keane-wolpin": {},
    "prepare moves": {"counts": "moves", "crosswalk": "census2010", "states": "nilf=out_of_labor_force"},
    "prepare nlsy79": {"extract": "nlsy97"},
    "prepare nlsy97": {"extract": "nlsy97"},
    "prepare panel": {"table": "panel", "static": "gender", "outcomes": "log_wage"},
    "prepare psid": {"extract": "psid"},
    "prepare resumes": {"spells": "resumes", "as_of": "2010-12-31"},
    "prepare spells": {"spells": "spells", "as_of": "2010-12-31"},
    "push": {"folder": "+career", "repo": "me/careers", "dry_run": True},
    "quickstart": {},
    "rake": {"table": "margins"},
    "rationale": {"person": "p001", "output": "new.png"},
    "recode-coding-noise": {},
    "representations": {"model": "career", "output": "new.csv"},
    "similar": {"person": "p001", "split": "all"},
    "simulate": {},
    "train": {"covariates": "year,gender"},
    "transitions": {"checkpoint": "chain"},
    "wage-regression": {"output": "new"},
    "what-if": {"covariate": "gender=female"},
}
# Commands whose base is refused: their files are not made here (the agencies' and the Hub's), or not to be had.
REFUSED_BASES = {
    "convert",
    "prepare cps",
    "prepare decorte",
    "prepare jobhop",
    "prepare karrierewege",
    "prepare nlsy79",
}

NUMBERS = ("-1", "0", "1.5", "nan", "inf", "-inf", "1e20", "99999999999999999999", "1000000000000", "", "abc", "1e308")
TEXTS = (
    "",
    ",",
    " ",
    "no_such_thing",
    "[red]x[/red]",
    "'; DROP TABLE x; --",
    "x" * 5000,
    "é\u202e\u0000"[:2],
    "\udcff",
)
TEXTS += ("year,year", "-1", "{}", "nan", "a=b=c", "../../x", "%s%n", "\n", "gender,no_such_thing")
PLACES = (
    "/dev/null/no_such_place",
    "no_such_thing",
    "",
    "x" * 5000,
    "\udcff",
    "http://127.0.0.1:9/x",
    "~/x",
    "s3://x/y",
)


@dataclass(frozen=True)
class Attack:
    """One malformed input.

    Args:
        target: Command or function.
        what: What was made wrong, in words.
        arguments: A function from the scene and a scratch folder to the command's arguments.
        option: Name of the argument that was made wrong, if it is one.
        value: Its value.
        wrong: Whether success would be wrong for certain; then `why` says why, and otherwise why it may be right.
    """

    target: str
    what: str
    arguments: Callable[[Scene, Path], list[str]] = field(compare=False)
    option: str = ""
    value: str = ""
    wrong: bool = True
    why: str = ""


def commands() -> dict[str, Any]:
    """Every command by its path, such as "prepare spells"."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*path, name))
        else:
            yield " ".join(path), command

    return dict(walk(command_line(), ()))


def base(command: Any, path: str, scene: Scene, scratch: Path) -> dict[str, Any]:
    """Arguments with which a command works, by name."""
    mine = BASES[path]
    given = {}
    for parameter in command.params:
        name = parameter.name
        if name in mine or (name in FAST and (parameter.required or name not in ("data", "checkpoint"))):
            given[name] = mine.get(name, FAST.get(name))
        elif name == "output":
            given[name] = "new"
    return {name: _placed(value, scene, scratch) for name, value in given.items()}


def _placed(value: Any, scene: Scene, scratch: Path) -> Any:
    """A name of the scene as its path: "+career" is a copy of the folder `career`, and "new..." does not exist yet."""
    if not isinstance(value, str):
        return value
    if value.startswith("new"):
        return str(scratch / value)
    if value.startswith("+"):
        return str(scene.fresh(value[1:], scratch))
    from scene import NAMES

    return str(getattr(scene, value)) if value in NAMES else value


def as_line(command: Any, path: str, given: dict[str, Any]) -> list[str]:
    """Arguments by name as a command line: options first, then the arguments in their order."""
    options, arguments = [], []
    for parameter in command.params:
        if parameter.name not in given:
            continue
        value = given[parameter.name]
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif getattr(parameter, "is_flag", False):
            options += [parameter.opts[0]] if value else []
        else:
            options += [f"{parameter.opts[0]}={value}"]
    return [*path.split(" "), *options, "--", *arguments]


def command_attacks() -> Iterator[Attack]:
    """Every wrong value of every argument of every command, and every required argument left out."""
    for path, command in commands().items():
        for parameter in command.params:
            for value in wrong_values(parameter):
                yield _with_value(path, command, parameter, value)
            if parameter.required:
                yield _left_out(path, command, parameter.name)


def wrong_values(parameter: Any) -> tuple[str, ...]:
    """Wrong values for an argument, by its kind; a flag has none."""
    kind = getattr(parameter, "type_descriptor", None)
    annotation = kind.annotation if kind is not None else str
    if getattr(parameter, "is_flag", False) or annotation is bool:
        return ()
    if annotation in (int, float):
        return NUMBERS
    if kind is not None and kind.is_choice:
        return ("", "no_such_thing", "[red]", "\udcff")
    if annotation is Path or parameter.name in PLACE_NAMES:
        return PLACES + ("{empty}", "{table}", "{spells}", "{careers}", "{career}")
    return TEXTS


# Texts that name a folder or file.
PLACE_NAMES = {"checkpoint", "model", "models", "pretrained", "source", "spells", "folders"}


def _with_value(path: str, command: Any, parameter: Any, value: str) -> Attack:
    def arguments(scene: Scene, scratch: Path) -> list[str]:
        placed = value
        if value[:1] == "{" and value[1:-1]:
            # A copy, because a command may write into it.
            (scratch / "given").mkdir()
            placed = str(scene.fresh(value[1:-1], scratch / "given"))
        return as_line(command, path, {**base(command, path, scene, scratch), parameter.name: placed})

    wrong, why = _is_wrong(path, parameter, value)
    shown = value if len(value) < 40 else f"{value[:10]}... ({len(value)} letters)"
    return Attack(path, f"{parameter.name} = {shown!r}", arguments, parameter.name, value, wrong, why)


def _left_out(path: str, command: Any, name: str) -> Attack:
    def arguments(scene: Scene, scratch: Path) -> list[str]:
        given = base(command, path, scene, scratch)
        return as_line(command, path, {key: value for key, value in given.items() if key != name})

    has_default = name == "output" and path in ("quickstart", "rationale")
    return Attack(path, f"without {name}", arguments, name, "", not has_default, "it is required")


# Texts that may be anything, and why.
FREE: dict[str, str] = {
    "missing": "any text may mean missing",
    "salt": "any text is a salt",
    "note": "any text is a note on the card",
    "name": "any text is a heading of the card",
    "no_occupation": "any text is a label",
    "override_licence": "nothing is to be overridden in a checkpoint of careers that are not published here",
    "occupation": "it is a new label, whose support is reported",
    "output": "any text is the name of a folder",
}
# Options that a base does not read, and why.
UNUSED_HERE = {("compare", "covariates"): "models that are counted have none"}
# Options that mean their default where they are empty.
EMPTY_IS_DEFAULT = {
    "covariates",
    "untitled",
    "years",
    "split",
    "person",
    "baseline",
    "by",
    "margins",
    "carried",
    "static",
    "lacks",
}
EMPTY_IS_DEFAULT |= {
    "count",
    "states",
    "outcomes",
    "crosswalk",
    "watch",
    "models",
    "ignored",
    "model",
    "add",
    "leave_out",
    "ridge",
    "signals",
    "smallest_changes",
    "columns",
    "match",
}


def _is_wrong(path: str, parameter: Any, value: str) -> tuple[bool, str]:
    """Whether success with this value would be wrong, and why or why not."""
    name = parameter.name
    kind = getattr(parameter, "type_descriptor", None)
    annotation = kind.annotation if kind is not None else str
    if annotation in (int, float):
        try:
            number = annotation(value)
        except ValueError:
            return True, "it is no number of this kind"
        inside = RANGES[name].has(number) if name in RANGES else False
        return not inside, f"{name} must be {RANGES.get(name, 'in RANGES')}"
    if name in FREE:
        return False, FREE[name]
    if (path, name) in UNUSED_HERE:
        return False, UNUSED_HERE[path, name]
    if not value.replace(",", "").strip() and name in EMPTY_IS_DEFAULT:
        return False, "an empty text is the default"
    if value[:1] == "{" and value[1:-1]:
        # A folder or file of another kind: right where it is the kind that the command reads.
        return value not in RIGHT_KINDS.get(name, ()), "it is a folder or file of another kind"
    return True, "there is no such thing"


RIGHT_KINDS: dict[str, tuple[str, ...]] = {
    "data": ("{careers}",),
    "folders": ("{careers}",),
    "survey": ("{careers}",),
    "checkpoint": ("{career}",),
    "model": ("{career}",),
    "models": ("{career}",),
    "pretrained": ("{career}",),
    "folder": ("{career}",),
    "table": ("{table}",),
    "spells": ("{spells}",),
}


# Files whose damage a command need not notice, and why.
HARMLESS = {
    "README.md": "a card is read only for the source, which is then unknown",
    "ledger.json": "the ledger is for people",
    "split.json": "the manifest is for people and for the check of leaks",
    "checksums.json": "without checksums there is nothing to compare with",
    "generation_config.json": "no model of careers generates",
}
JSON_OF_OTHER_TYPES = ("[]", "{}", "null", '"text"', "3", "NaN", "[[[[", "\ufeff{}", '{"a": ' * 5000)
DAMAGES = ("removed", "emptied", "truncated", "bit flipped", "a folder", "noise", "a link to itself")
READERS = {
    "career": ("transitions", "evaluate", "card", "push", "finetune", "forecast", "export"),
    "careers": ("describe", "train", "transitions", "rake", "evaluate"),
    "chain": ("transitions", "evaluate"),
}


def folder_attacks(files: dict[str, list[str]], seed: int = 0) -> Iterator[Attack]:
    """Every file of a checkpoint and of a folder of careers, damaged in every way, for commands that read it.

    Args:
        files: Names of files by name of the folder in the scene.
        seed: Seed of the places of flipped bits.
    """
    known = commands()
    for folder, names in files.items():
        for name in names:
            damages = [*DAMAGES, *(JSON_OF_OTHER_TYPES if name.endswith(".json") else ())]
            for number, damage in enumerate(damages):
                path = READERS[folder][(number + seed) % len(READERS[folder])]
                yield _damaged(path, known[path], folder, name, damage, seed)


def json_attacks(contents: dict[str, dict[str, Any]], seed: int = 0) -> Iterator[Attack]:
    """Every field of every JSON file left out, and given values of other types, without checksums.

    Args:
        contents: The objects in JSON files, by folder and file, such as "career/config.json".
        seed: Seed of the choice of commands.
    """
    known = commands()
    for place, content in contents.items():
        folder, _, name = place.partition("/")
        for key in content:
            for number, value in enumerate((..., None, -1, 10**12, "text", [], {}, 0.5, True, float("nan"))):
                path = READERS[folder][(number + seed) % len(READERS[folder])]
                yield _edited(path, known[path], folder, name, key, value)


def _edited(path: str, command: Any, folder: str, name: str, key: str, value: Any) -> Attack:
    def arguments(scene: Scene, scratch: Path) -> list[str]:
        copy = scene.fresh(folder, scratch / "damaged")
        content = json.loads((copy / name).read_text())
        if value is ...:
            del content[key]
        else:
            content[key] = value
        (copy / name).write_text(json.dumps(content))
        (copy / "checksums.json").unlink(missing_ok=True)
        return _line_with(path, command, folder, copy, scene, scratch)

    what = f"{folder}/{name}: {key} " + ("left out" if value is ... else f"= {value!r}")
    return Attack(path, what, arguments, value=repr(value), wrong=False, why="a field of another value may be right")


def _damaged(path: str, command: Any, folder: str, name: str, damage: str, seed: int) -> Attack:
    def arguments(scene: Scene, scratch: Path) -> list[str]:
        copy = scene.fresh(folder, scratch / "damaged")
        damage_file(copy / name, damage, seed)
        return _line_with(path, command, folder, copy, scene, scratch)

    shown = damage if damage in DAMAGES else f"is {damage[:12]!r}"
    harmless = HARMLESS.get(Path(name).name, "")
    if Path(name).name == "dataset_info.json" and damage == "{}":
        harmless = "the table has its own columns"
    if folder == "careers" and damage == "bit flipped":
        harmless = "careers have no checksums: a flipped bit may be another value"
    return Attack(path, f"{folder}/{name} {shown}", arguments, wrong=not harmless, why=harmless or "it is damaged")


def _line_with(path: str, command: Any, folder: str, copy: Path, scene: Scene, scratch: Path) -> list[str]:
    """The base of a command with a damaged folder in the place of the whole one."""
    given = base(command, path, scene, scratch)
    names = ("data", "folders") if folder == "careers" else ("checkpoint", "model", "models", "folder")
    for name in names:
        if name in given:
            given[name] = str(copy)
            break
    return as_line(command, path, given)


def damage_file(path: Path, damage: str, seed: int) -> None:
    """Damages one file; a damage that is not listed is its new content."""
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "a link to itself":
        path.symlink_to(path.name)
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "noise":
        path.write_bytes(np.random.default_rng(seed).bytes(max(len(content), 64)))
    elif damage == "bit flipped":
        place = random.Random(f"{path.name} {seed}").randrange(8 * max(len(content), 1))
        flipped = bytearray(content or b"\0")
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(flipped))
    elif damage != "removed":
        path.write_text(damage)


# Texts in the place of a table of spells, of margins and so on.
def poisons(text: str) -> dict[str, bytes]:
    """Poisoned forms of a CSV file."""
    lines = text.splitlines()
    header, first, *rest = lines
    columns, cells = header.split(","), first.split(",")
    poisoned = {
        "empty": "",
        "header only": header,
        "no header": "\n".join(lines[1:]),
        "a column twice": "\n".join(f"{line},{line.split(',')[0]}" for line in lines),
        "another separator": text.replace(",", ";"),
        "a row with more cells": "\n".join([*lines, first + ",1,2"]),
        "a row with fewer cells": "\n".join([*lines, cells[0]]),
        "blank lines": "\n\n".join(lines),
        "an open quote": text + '"',
    }
    for place, column in enumerate(columns):
        left_out = [[cell for i, cell in enumerate(line.split(",")) if i != place] for line in lines]
        poisoned[f"without {column}"] = "\n".join(map(",".join, left_out))
        for value in (
            "",
            "nan",
            "inf",
            "-inf",
            "1e308",
            "-1",
            "1.0",
            "0",
            "x" * 70_000,
            '"',
            "=1+1",
            "9999-12-31",
            "é",
        ):
            row = ",".join(value if i == place else cell for i, cell in enumerate(cells))
            shown = value if len(value) < 20 else f"{len(value)} letters"
            poisoned[f"{column} = {shown!r}"] = "\n".join([header, row, *rest])
    as_bytes = {name: content.encode() for name, content in poisoned.items()}
    as_bytes |= {"a byte-order mark": b"\xef\xbb\xbf" + text.encode(), "UTF-16": text.encode("utf-16")}
    as_bytes |= {"a null byte": text.encode().replace(b",", b"\0,", 1), "Latin-1": (text + "é").encode("latin-1")}
    as_bytes |= {"noise": np.random.default_rng(0).bytes(999), "a Parquet head": b"PAR1" + text.encode() + b"PAR1"}
    return as_bytes


# What a reader of a table of spells or margins may take, and why.
POISON_READ_BY = {
    "spells": ("prepare spells", "spells"),
    "resumes": ("prepare resumes", "spells"),
    "margins": ("rake", "table"),
    "moves": ("prepare moves", "counts"),
    "panel": ("prepare panel", "table"),
}


def table_attacks(texts: dict[str, str]) -> Iterator[Attack]:
    """Every poisoned form of every CSV file of the scene."""
    known = commands()
    for name, text in texts.items():
        path, option = POISON_READ_BY[name]
        for poison, content in poisons(text).items():
            yield _poisoned(path, known[path], name, option, poison, content)


def _poisoned(path: str, command: Any, name: str, option: str, poison: str, content: bytes) -> Attack:
    def arguments(scene: Scene, scratch: Path) -> list[str]:
        file = scratch / f"{name}.csv"
        file.write_bytes(content)
        return as_line(command, path, {**base(command, path, scene, scratch), option: str(file)})

    wrong = poison in ("empty", "header only", "another separator", "noise", "a Parquet head", "no header")
    why = "there is no table in it" if wrong else "the ledger counts what was dropped, and other cells are values"
    return Attack(path, f"{name}.csv: {poison}", arguments, value=poison, wrong=wrong, why=why)


def all_attacks(scene: Scene) -> list[Attack]:
    """Every attack on the commands, each once, in an order that is always the same."""
    files = {
        name: sorted(str(p.relative_to(getattr(scene, name))) for p in getattr(scene, name).rglob("*") if p.is_file())
        for name in READERS
    }
    contents = {}
    for folder in ("career", "careers"):
        for name in files[folder]:
            if name.endswith(".json") and "checksums" not in name:
                contents[f"{folder}/{name}"] = json.loads((getattr(scene, folder) / name).read_text())
    contents = {place: content for place, content in contents.items() if isinstance(content, dict)}
    texts = {name: getattr(scene, name).read_text() for name in POISON_READ_BY}
    attacks = [
        *command_attacks(),
        *folder_attacks(files),
        *folder_attacks(files, 1),
        *json_attacks(contents),
        *table_attacks(texts),
    ]
    return list({(attack.target, attack.what): attack for attack in attacks}.values())


__all__ = ["Attack", "all_attacks", "command_attacks", "commands"]
