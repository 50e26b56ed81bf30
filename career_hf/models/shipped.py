"""Checkpoints that ship with the package, which have names instead of folders: `occ1990dd-small`."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any


FOLDER = Path(__file__).parents[1] / "checkpoints"
SMALL = "occ1990dd-small"


def shipped_names() -> list[str]:
    """Names of the checkpoints that ship with the package."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def shipped(checkpoint: Any) -> Any:
    """The folder of a checkpoint that ships with the package, where a name is that of one; anything else as it is.

    A folder of that name in the working directory comes first, as everywhere in Transformers.

    Args:
        checkpoint: Folder, Hub id or name.

    Raises:
        ValueError: The name is nearly that of a checkpoint that ships, and no folder has it. Without a slash it can
            be no user's checkpoint, and Transformers would ask the Hub for it, without a connection for a minute.
    """
    if not isinstance(checkpoint, (str, os.PathLike)) or Path(checkpoint).is_dir():
        return checkpoint
    name = os.fspath(checkpoint)
    if name in shipped_names():
        return str(FOLDER / name)
    if "/" not in name and (close := get_close_matches(name.lower(), shipped_names(), n=1)):
        raise ValueError(
            f"there is no folder {name!r}, and no checkpoint of that name ships with career_hf: did you mean "
            f"{close[0]!r}?"
        )
    return checkpoint


__all__ = ["SMALL", "shipped", "shipped_names"]
