"""A hook of mkdocs: Typer writes the page on the command line from `career-hf` itself, whenever the site is built."""

from __future__ import annotations

from typing import Any

import typer
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from career_hf.cli.app import app


def on_files(files: Files, config: Any) -> Files:
    command = _with_whole_summaries(typer.main.get_command(app))
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="career-hf", title="Command line")
    files.append(File.generated(config, "reference/command_line.md", content=text))
    return files


def _with_whole_summaries(command: Any) -> Any:
    """The command, whose lists of commands say the whole first line of each instead of 45 letters of it."""
    for one in getattr(command, "commands", {}).values():
        one.short_help = (one.help or "").split("\n\n")[0].replace("\n", " ")
        _with_whole_summaries(one)
    return command
