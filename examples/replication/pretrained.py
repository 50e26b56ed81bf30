"""What a study of one's own careers starts from: a checkpoint, or resumes on which CAREER is pretrained first.

Models are kept in their folders, as those of every study: one that is there is not trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from datasets import Dataset, DatasetDict

from career_hf import finetune
from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.shipped import shipped
from career_hf.simulation import load_resumes
from career_hf.training.cells import STATE, fit_once
from career_hf.training.trainer import finetuning_defaults, scratch_recipe

from .study import Made


PRETRAINED = "pretrained"
SPLITS = ("train", "validation", "test")
# Of resumes without splits, at most so many are held out to stop pretraining by.
MOST_HELD_OUT = 1_000

Checkpoint = Annotated[
    str | None, typer.Option(help="Pretrained CAREER to fine-tune: a folder, a Hub id, or a name that ships.")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Tiny models and few updates, to see that the files fit; no result.")
]


@dataclass(frozen=True)
class Start:
    """A checkpoint, or resumes to pretrain on.

    Args:
        checkpoint: Folder, Hub id, or name of a checkpoint that ships; None to pretrain.
        resumes: Careers to pretrain on, in splits or as `simulate` writes them.
    """

    checkpoint: str | None = None
    resumes: Path | None = None

    def __post_init__(self) -> None:
        if self.checkpoint is not None and self.resumes is not None:
            raise ValueError("give a checkpoint, or resumes to pretrain on, not both")

    @property
    def is_given(self) -> bool:
        """Whether there is a pretrained model beside the one from scratch."""
        return self.checkpoint is not None or self.resumes is not None

    def described(self) -> dict[str, str]:
        """What settings.json holds of it; nothing without a start."""
        given = {"checkpoint": self.checkpoint, "resumes": self.resumes}
        return {name: str(value) for name, value in given.items() if value is not None}

    def check(self) -> None:
        """Says what is wrong before anything is trained.

        Raises:
            ValueError: There is no such checkpoint, or there are no such resumes.
        """
        if self.checkpoint is not None:
            load_checkpoint(shipped(self.checkpoint))
        if self.resumes is not None:
            corpus(self.resumes)


def corpus(resumes: Path) -> tuple[Dataset, Dataset]:
    """Resumes to pretrain on, and to validate on."""
    # What `simulate` writes has files of spells, and their description.
    if not (resumes / "resumes.json").exists():
        splits = load_careers(resumes)
        if lacking := [name for name in SPLITS[:2] if name not in splits]:
            raise ValueError(f"{resumes} has splits {list(splits)}, and not '{lacking[0]}': prepare it with splits")
        return splits["train"], splits["validation"]
    careers = load_resumes(resumes)
    held_out = min(MOST_HELD_OUT, len(careers) // 10)
    return careers.select(range(held_out, len(careers))), careers.select(range(held_out))


def survey_of(data: Path) -> DatasetDict:
    """Careers of a survey in a folder.

    Raises:
        ValueError: They are not in splits.
    """
    splits = load_careers(data)
    if set(splits) != set(SPLITS):
        raise ValueError(f"{data} has splits {list(splits)}: prepare it with train, validation and test")
    return splits


def pretrain_once(
    place: Path,
    resumes: Path,
    covariates: Sequence[str],
    schedule: dict[str, Any],
    people: int | None = None,
    occupations: Sequence[str] | None = None,
) -> Path:
    """CAREER pretrained on resumes, in its folder.

    Args:
        place: The folder of the model.
        resumes: As in `Start`.
        covariates: Those of the survey; resumes are pretrained with the ones that they have.
        schedule: What the recipe is told, sizes of the model included.
        people: Number of resumes, the first ones; all if None.
        occupations: Occupations of the model; those of these resumes if None.
    """
    if not place.exists():
        train, validation = corpus(resumes)
        if people is not None and people > len(train):
            raise ValueError(f"{resumes} has {len(train):,} resumes to pretrain on, fewer than {people:,}")
        train = train if people is None else train.select(range(people))
        held = [name for name in covariates if name == "year" or name in train.column_names]
        processor = CareerProcessor.fit(train, held, occupations=occupations, unknown_occupation="unknown")
        recipe = partial(scratch_recipe, processor, **schedule)
        model = CareerForOccupationPrediction
        fit_once(place, model, processor, recipe, train, validation, source_of(resumes))
    return place


def fine_tune_once(
    place: Path, start: str | Path, parts: DatasetDict, covariates: Sequence[str], *, most_steps: int, seed: int
) -> Made:
    """A pretrained CAREER that is fine-tuned on a survey, with the settings that suit its size; from `place` if there.

    Args:
        place: The folder of the fine-tuned model.
        start: The pretrained one.
        parts: Careers to fine-tune on, and to stop by.
        covariates: Covariates of the survey, which the model gets beside its own.
        most_steps: Updates at most.
        seed: Training seed.
    """
    if not place.exists():
        steps = finetuning_defaults(sum(map(len, parts["train"]["year"])))["max_steps"]
        with complete(place) as unfinished:
            options: dict[str, Any] = {"covariates": covariates, "max_steps": min(steps, most_steps), "seed": seed}
            trained = finetune(shipped(start), parts, output=unfinished, **options)
            trained.state.save_to_json(str(unfinished / STATE))  # type: ignore[union-attr]  # not None after training
    return load_checkpoint(place)
