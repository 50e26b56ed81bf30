"""`career-hf export`: writes a checkpoint's scoring path as an ONNX file, for programs without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say


def export(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of CAREER or of most of its rivals.")],
    output: Annotated[Path, typer.Option(help="Destination file, such as model.onnx.")],
) -> None:
    """Write a model's scoring path as one ONNX file with its labels, and compare onnxruntime with the model."""
    difference = career_hf.export_onnx(checkpoint, output)
    say(f"onnxruntime's log-probabilities of random careers differ from the model's by {difference:.1e} at most")
    say(f"saved {output}")
