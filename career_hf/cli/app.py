"""The command `career-hf`: each command parses, calls one public function and prints."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .audit import audit
from .benchmark import benchmark
from .card import card
from .compare import compare
from .console import TRACEBACK, TRACEBACK_VARIABLE, Commands, say
from .convert import convert
from .describe import describe
from .displacement import displacement
from .evaluate import evaluate
from .export import export
from .exposure import exposure
from .finetune import finetune
from .forecast import forecast
from .gap import gap
from .prepare import prepare
from .push import push
from .quickstart import quickstart
from .rake import rake
from .rationale import rationale
from .recode_coding_noise import recode_coding_noise
from .representations import representations
from .similar import similar
from .simulate import simulate
from .train import train
from .transitions import transitions
from .wage_regression import wage_regression
from .what_if import what_if


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"career_hf {career_hf.__version__}")
        raise typer.Exit()


@app.callback()
def career(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            TRACEBACK,
            envvar=TRACEBACK_VARIABLE,
            help="Print the traceback of an error, not only its line; it may stand anywhere in a command.",
        ),
    ] = False,
) -> None:
    """CAREER, a foundation model for labor sequence data."""


app.add_typer(prepare, name="prepare", rich_help_panel="Data")
COMMANDS = {
    "Data": (describe, rake, recode_coding_noise, simulate),
    "Models": (quickstart, train, finetune, convert, export),
    "Scores": (evaluate, compare, forecast, audit, benchmark),
    "Explanations": (rationale, similar, what_if, transitions, exposure, displacement),
    "Wages": (representations, wage_regression, gap),
    "Sharing": (card, push),
}
for _group, _commands in COMMANDS.items():
    for _command in _commands:
        app.command(_command.__name__.replace("_", "-"), rich_help_panel=_group)(_command)


if __name__ == "__main__":
    app()
