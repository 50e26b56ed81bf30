"""`career-hf export`: a checkpoint's scoring path as an ONNX file, for programs without this package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import say


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def export(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of CAREER or of most of its rivals.")],
    output: Annotated[Path, typer.Option(help="File to write to, such as model.onnx.")],
) -> None:
    """Write a model's scoring path as one ONNX file with its labels, and compare onnxruntime with the model."""
    from ..encoding.checkpoints import load_checkpoint
    from ..sharing.export import export_onnx

    needed = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in needed if find_spec(name) is None]:
        raise typer.BadParameter(f"{', '.join(missing)} is not installed: pip install 'career_hf[onnx]'")
    model, processor = load_checkpoint(checkpoint)
    difference = export_onnx(model, processor, output)
    say(f"onnxruntime's log-probabilities of random careers differ from the model's by {difference:.1e} at most")
    say(f"saved {output}")
