"""`train_ensemble`: refits of one model to resamples of people with other seeds, for intervals that hold the model's
uncertainty.

An interval that resamples the people of a test set holds the fitted model fixed. But with other training people, or
another seed, the model would be another one. The members of an ensemble are such models. Whatever takes an ensemble
(`forecast`, `evaluate_forecast`, `what_if`, `transitions`) predicts with their average, and its intervals add how far
they differ (`evaluation.resampling.between_members`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import logging

from .encoding.checkpoints import MEMBER, member_folders
from .number_ranges import within_ranges
from .trained_models import Careers, TrainedModel, finetune, train
from .training.runs import last_checkpoint


logger = logging.get_logger(__name__)


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
        seed: Random seed of the first member; that of the next is one larger.
        resume: Whether to continue an ensemble that was stopped: whole members are loaded, one that was begun goes on
            from its last checkpoint.
        options: Further arguments of `train`, or of `finetune`.

    Returns:
        The members, to be passed as a model.

    Example:
        >>> members = train_ensemble("careers/mine", output="runs/ensemble", cutoff=1992)  # doctest: +SKIP
        >>> report = evaluate_forecast("runs/ensemble", "careers/mine", cutoff=1992)  # doctest: +SKIP

    Raises:
        ValueError: The output folder holds a model or an ensemble of more members, or as in `train` and `finetune`.
    """
    if output is not None:
        if (Path(output) / "config.json").exists():
            raise ValueError(f"{output} holds a model, and an ensemble needs a folder of its own: choose another")
        if len(member_folders(output)) > members:
            raise ValueError(
                f"{output} holds an ensemble of {len(member_folders(output))} models, more than {members}: choose "
                "another folder, or members="
            )
    elif resume:
        raise ValueError("resuming needs the output folder of the ensemble that was stopped")
    trained = []
    for number in range(members):
        folder = None if output is None else Path(output) / f"{MEMBER}{number}"
        begun = folder is not None and last_checkpoint(folder / "training") is not None
        logger.info(f"model {number + 1} of {members}")
        more: Mapping[str, Any] = {
            **options,
            "output": folder,
            "bootstrap": bootstrap,
            "seed": seed + number,
            "resume": resume and begun,
        }
        trained.append(train(careers, **more) if pretrained is None else finetune(pretrained, careers, **more))
    return trained


__all__ = ["train_ensemble"]
