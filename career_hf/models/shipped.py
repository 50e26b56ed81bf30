"""Checkpoints that ship with the package, which have names instead of folders: `occ1990dd-small`."""

import os
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
    """
    if not isinstance(checkpoint, (str, os.PathLike)) or Path(checkpoint).is_dir():
        return checkpoint
    name = os.fspath(checkpoint)
    return str(FOLDER / name) if name in shipped_names() else checkpoint


__all__ = ["SMALL", "shipped", "shipped_names"]
