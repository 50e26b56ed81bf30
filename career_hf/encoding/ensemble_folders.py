"""The folder of an ensemble: its members are checkpoints `member-0`, `member-1`, ..., and `ensemble.json` says how
many there will be.

The record is written before the first member is trained, so that an ensemble that was stopped is not taken for a
smaller one. A folder without it, into which members were copied, is an ensemble of those that it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..careers.atomic_files import complete
from ..models.json_fields import check_types, read_json


# The folders of an ensemble's members are member-0, member-1, ...
MEMBER = "member-"
ENSEMBLE = "ensemble.json"
GO_ON = (
    "go on with `career-hf train --ensemble N --resume` or `train_ensemble(..., resume=True)`, and the same settings"
)


def member_folder(folder: str | Path, number: int) -> Path:
    """The folder of one member, which may not be there yet."""
    return Path(folder) / f"{MEMBER}{number}"


def member_folders(model: Any) -> list[Path]:
    """The folders of an ensemble's members, whole or not, in order; empty for all but the folder of an ensemble."""
    if not isinstance(model, (str, Path)) or (Path(model) / "config.json").exists():
        return []
    found = [path for path in Path(model).glob(f"{MEMBER}*") if path.name[len(MEMBER) :].isdecimal() and path.is_dir()]
    return sorted(found, key=member_number)


def member_number(member: Path) -> int:
    """The number of a member, by the name of its folder."""
    return int(member.name[len(MEMBER) :])


def is_whole(member: Path) -> bool:
    """Whether a member was saved: a config, weights and a processor, which is written after them."""
    configs = ("config.json", "adapter_config.json")
    return (
        any((member / name).is_file() for name in configs)
        and any(member.glob("*.safetensors"))
        and (member / "preprocessor_config.json").is_file()
    )


def whole_members(model: Any) -> list[Path]:
    """The folders of an ensemble's members, in order; empty for all but the folder of an ensemble.

    Raises:
        ValueError: A member is missing or was not trained to its end, or there are more than the record says.
    """
    folders, record = member_folders(model), read_ensemble(model)
    if not folders and record is None:
        return []
    there = {member_number(path) for path in folders}
    intended = max(there) + 1 if record is None else record["members"]
    if there and max(there) >= intended:
        raise ValueError(
            f"'{model}' has {MEMBER}{max(there)}, and its {ENSEMBLE} is of {intended} models: move the others away"
        )
    for number in range(intended):
        if not is_whole(member_folder(model, number)):
            begun = "was not trained to its end" if number in there else "is missing"
            raise ValueError(
                f"the ensemble '{model}' of {intended} models is incomplete, because {MEMBER}{number} {begun}: {GO_ON}"
            )
    return folders


def read_ensemble(model: Any) -> dict[str, Any] | None:
    """The record of an ensemble's folder: `members`, their number, and `settings`; None where there is none.

    Raises:
        ValueError: The record is damaged.
    """
    if not isinstance(model, (str, Path)) or (Path(model) / "config.json").exists():
        return None
    file = Path(model) / ENSEMBLE
    if not file.is_file():
        return None
    record = read_json(file)
    check_types(str(file), record, {"members": int, "settings": dict[str, Any]}, ["members"])
    return record


def write_ensemble(folder: str | Path, members: int, settings: Mapping[str, Any]) -> None:
    """Writes the record of an ensemble, whole or not at all."""
    with complete(Path(folder) / ENSEMBLE) as unfinished:
        unfinished.write_text(json.dumps({"members": members, "settings": settings}, indent=2), encoding="utf-8")


def check_member(folder: Path) -> None:
    """Refuses a member of an ensemble that was begun and not trained to its end.

    Raises:
        ValueError: It is one.
    """
    if folder.name.startswith(MEMBER) and (folder.parent / ENSEMBLE).is_file() and not is_whole(folder):
        raise ValueError(f"'{folder}' was not trained to its end: {GO_ON}")


def refuse_ensemble(output: str | Path | None) -> None:
    """Refuses the folder of an ensemble as that of one model, which would hide the members.

    Raises:
        ValueError: It holds members.
    """
    if members := member_folders(output):
        raise ValueError(f"{output} holds an ensemble of {len(members)} models: choose another folder for one model")


__all__ = [
    "check_member",
    "is_whole",
    "member_folder",
    "member_folders",
    "member_number",
    "read_ensemble",
    "refuse_ensemble",
    "whole_members",
    "write_ensemble",
]
