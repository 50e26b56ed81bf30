"""`train_ensemble`: refits of one model to resamples of people with other seeds, for intervals that hold the model's
uncertainty.

An interval that resamples the people of a test set holds the fitted model fixed. But with other training people, or
another seed, the model would be another one. The members of an ensemble are such models. Whatever takes an ensemble
(`forecast`, `evaluate_forecast`, `what_if`, `transitions`) predicts with their average, and its intervals add how far
they differ (`evaluation.resampling.between_members`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from accelerate import PartialState

from .careers.ledger import Ledger
from .encoding.checkpoints import load_checkpoint
from .encoding.ensemble_folders import (
    is_whole,
    member_folder,
    member_folders,
    member_number,
    read_ensemble,
    write_ensemble,
)
from .number_ranges import within_ranges
from .trained_models import Careers, TrainedModel, careers_record, finetune, train
from .training.plan import training_member
from .training.runs import last_checkpoint


@within_ranges
def train_ensemble(
    careers: Careers,
    *,
    members: int = 5,
    output: str | Path | None = None,
    pretrained: Any = None,
    bootstrap: bool = True,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> list[TrainedModel]:
    """Trains, or fine-tunes, a model several times: each time on another resample of people, with another seed.

    Args:
        careers: A folder of careers, careers by split name, or careers, which are then split.
        members: Number of models. Their differences estimate a variance with one degree of freedom less, so that few
            of them make wide intervals: a 90% interval is 2.1 standard deviations wide on each side with five, 1.8
            with ten, and 1.64 with infinitely many.
        output: Destination folder, in which `member-0`, `member-1`, ... are checkpoints that load alone. The folder
            stands for the ensemble wherever one is taken. Nothing is kept if None.
        pretrained: A CAREER model that is fine-tuned, as in `finetune`; if None, members are trained from scratch.
        bootstrap: Whether every member has other random weights of people, survey weights times those of the Bayesian
            bootstrap (`careers.bootstrap`). Without it members differ by their seeds alone, which is less than what
            other people would make of the model.
        seed: Random seed of the ensemble, from which each member's own is drawn (`numpy.random.SeedSequence` of this
            seed and the member's number).
        resume: Whether to continue an ensemble that was stopped, with the same careers and settings (`ensemble.json`
            of the folder records them): whole members are loaded, one that was begun goes on from its last checkpoint.
            There may be more members than before.
        overwrite: Whether an ensemble in the output folder is replaced. If the new one has fewer members, the others
            are deleted.
        options: Further arguments of `train`, or of `finetune`.

    Returns:
        The members, to be passed as a model.

    Example:
        >>> members = train_ensemble("careers/mine", output="runs/ensemble", cutoff=1992)  # doctest: +SKIP
        >>> report = evaluate_forecast("runs/ensemble", "careers/mine", cutoff=1992)  # doctest: +SKIP

    Raises:
        ValueError: The output folder holds a model, or an ensemble that is neither to be resumed nor replaced, or one
            of other settings or careers or of more members is to be resumed, or as in `train` and `finetune`.
    """
    settings: dict[str, Any] = {}
    if output is not None:
        settings = _settings(careers, pretrained, {**options, "bootstrap": bootstrap, "seed": seed})
        _check_folder(Path(output), members, settings, resume, overwrite)
    elif resume:
        raise ValueError("resuming needs the output folder of the ensemble that was stopped")
    is_replaced = overwrite and bool(member_folders(output))
    # Processes that train together all look before the first one writes.
    PartialState().wait_for_everyone()
    is_first = PartialState().is_main_process
    if output is not None and not is_replaced and is_first:
        write_ensemble(output, members, settings)
    trained = []
    for number in range(members):
        folder = None if output is None else member_folder(output, number)
        begun = folder is not None and last_checkpoint(folder / "training") is not None
        if resume and folder is not None and not begun and is_whole(folder):
            trained.append(TrainedModel(*load_checkpoint(folder), {}, Ledger()))
            continue
        more: Mapping[str, Any] = {
            **options,
            "output": folder,
            "bootstrap": bootstrap,
            "seed": member_seed(seed, number),
            "resume": resume and begun,
            "overwrite": overwrite,
        }
        with training_member(number, members):
            trained.append(train(careers, **more) if pretrained is None else finetune(pretrained, careers, **more))
        if output is not None and is_replaced and number == 0 and is_first:
            # Only now are the options known to be sound, and only now is the earlier ensemble no longer whole.
            _discard(Path(output), members)
            write_ensemble(output, members, settings)
    return trained


def member_seed(seed: int, number: int) -> int:
    """The seed of a member, so that ensembles of neighbouring seeds share no member.

    Args:
        seed: Seed of the ensemble.
        number: Number of the member, counted from 0.

    Returns:
        A number of 31 bits.
    """
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1)


def _settings(careers: Careers, pretrained: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What determines an ensemble's members, in a form for JSON, with the defaults of what is not given.

    Vectors, and models that are given in memory, are left to the checkpoints of members. So is the number of updates,
    which may grow by some recipes.
    """
    verb = train if pretrained is None else finetune
    defaults = {name: one.default for name, one in signature(verb).parameters.items() if one.default is not one.empty}
    given = {**defaults, **options, "pretrained": pretrained}
    apart = ("output", "resume", "overwrite", "max_steps")
    named = {name: _plain(value) for name, value in given.items() if name not in apart}
    return {**named, "careers": careers_record(careers, options.get("cutoff"))}


def _plain(value: Any) -> Any:
    """A value as JSON can have it; of what it cannot have, the type."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Integral | Real) and not isinstance(value, bool):
        return int(value) if isinstance(value, Integral) else float(value)
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return type(value).__name__


def _check_folder(output: Path, members: int, settings: Mapping[str, Any], resume: bool, overwrite: bool) -> None:
    """Raises a ValueError unless an ensemble may be trained in a folder, gone on with, or replace the one there."""
    if resume and overwrite:
        raise ValueError("resume continues the ensemble in the output folder and overwrite replaces it: give one")
    if (output / "config.json").exists():
        raise ValueError(f"{output} holds a model, and an ensemble needs a folder of its own: choose another")
    there = member_folders(output)
    replace = "choose another folder, or replace the ensemble with overwrite=True (--overwrite)"
    if overwrite or not there:
        _refuse_strangers([folder for folder in there if member_number(folder) >= members])
        return
    if not resume:
        raise ValueError(
            f"{output} holds an ensemble of {len(there)} models: go on with it with resume=True (--resume), {replace}"
        )
    if len(there) > members:
        raise ValueError(f"{output} holds an ensemble of {len(there)} models, more than {members}: {replace}")
    record = read_ensemble(output)
    if record is None or "settings" not in record:
        raise ValueError(f"{output} has no record of its members' settings and cannot be resumed: {replace}")
    before = record["settings"]
    for name in [*settings, *(name for name in before if name not in settings)]:
        if before.get(name) != settings.get(name):
            differ = f"{short(before.get(name))}, and now it is {short(settings.get(name))}"
            if name == "careers":
                differ = "other people or years than these"
            raise ValueError(f"{output} cannot be resumed: its {name} is {differ}: {replace}")


def _refuse_strangers(folders: Sequence[Path]) -> None:
    """Refuses to delete folders that are no members, for their names."""
    for folder in folders:
        if not (is_whole(folder) or (folder / "training").is_dir()):
            raise ValueError(f"{folder} would be deleted and holds no model of an ensemble: move it away")


def _discard(output: Path, members: int) -> None:
    """Ends an earlier ensemble, whose first member was replaced: members that will be trained are no longer whole, and
    those beyond the new number are deleted."""
    for folder in member_folders(output):
        number = member_number(folder)
        if number >= members:
            shutil.rmtree(folder)
        elif number > 0:
            for name in ("config.json", "adapter_config.json"):
                (folder / name).unlink(missing_ok=True)


__all__ = ["member_seed", "train_ensemble"]
