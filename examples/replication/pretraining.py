"""CAREER on a survey of the simulated market, from scratch or after pretraining on resumes, for several studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from career_hf.careers.atomic_files import complete
from career_hf.careers.provenance import SOURCES
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.transfer import resize_vocabulary
from career_hf.rivals.markov import tune_weight
from career_hf.simulation import TrueOccupationModel, World, preset, world_processor
from career_hf.simulation.presets import Preset
from career_hf.simulation.world import NOT_WORKING
from career_hf.training.trainer import Recipe, finetuning_recipe, pretraining_recipe, scratch_recipe

from .cells import train_once


if TYPE_CHECKING:
    from datasets import Dataset

RESUME_COVARIATES = ("year", "education", "region")
SURVEY_COVARIATES = (*RESUME_COVARIATES, "race", "gender", "birth_year")

Made = tuple[PreTrainedModel, CareerProcessor]


@dataclass(frozen=True)
class SurveySettings:
    """Sizes of a study on a survey of the simulated market. All its models have the same architecture.

    Args:
        occupations, families, types, recipes: Of the world.
        train_people: Survey people to train and fine-tune on.
        validation_people, test_people: Further survey people.
        layers, hidden_size, heads: Of every CAREER model.
        pretraining_steps: Updates of pretraining.
        most_steps: Updates at most of training on a survey; early stopping comes before.
        warmup_steps: Updates to the peak rate, in pretraining and after.
        eval_steps: Updates between validations on the survey.
        pretraining_rate: Peak learning rate of pretraining.
        tokens_per_batch: Person-years of an update.
        patience: Validations without improvement before training stops.
        seeds: Training seeds, of initial weights and of the order of careers, in pretraining and after.
        draws: Resamples of test people behind the intervals.
    """

    occupations: int = 120
    families: int = 12
    types: int = 8
    recipes: int = 8
    train_people: int = 2_000
    validation_people: int = 1_000
    test_people: int = 4_000
    layers: int = 3
    hidden_size: int = 64
    heads: int = 2
    pretraining_steps: int = 2_000
    most_steps: int = 2_500
    warmup_steps: int = 200
    eval_steps: int = 50
    pretraining_rate: float = 1e-3
    tokens_per_batch: int = 2_000
    patience: int = 4
    seeds: int = 3
    draws: int = 1_000

    def market(self, **numbers: Any) -> Preset:
        """The survey at these sizes, with further numbers of the world changed."""
        sizes = {name: getattr(self, name) for name in ("occupations", "families", "types", "recipes")}
        return preset("survey").with_world(**(sizes | numbers))

    @property
    def pool(self) -> int:
        """People to choose training samples from."""
        return self.train_people


def keep_survey(path: Path, settings: SurveySettings, market: Preset) -> World:
    """Draws a survey's people, keeps their careers in `path`, and returns their world."""
    drawn = market.simulate(settings.pool + settings.validation_people + settings.test_people)
    if not path.exists():
        with complete(path) as unfinished:
            drawn.careers.save_to_disk(str(unfinished))
    return drawn.world


def split_survey(path: Path, settings: SurveySettings) -> dict[str, Dataset]:
    """Careers of a survey: training people, of whom samples take the first, validation and test people."""
    from datasets import load_from_disk

    careers = load_from_disk(str(path))
    start, splits = 0, {}
    for name, people in {
        "train": settings.pool,
        "validation": settings.validation_people,
        "test": settings.test_people,
    }.items():
        splits[name] = careers.select(range(start, start + people))
        start += people
    return splits


def references(world: World, train: Dataset, validation: Dataset) -> dict[str, Made]:
    """What models are measured by: "floor", the truth, and tuned Markov chains of both orders."""
    processor = CareerProcessor.fit(train, covariates=[], occupations=world.labels)
    encoded, encoded_validation = (processor.encode(careers)[0] for careers in (train, validation))
    made: dict[str, Made] = {"floor": (TrueOccupationModel.of_world(world), world_processor(world))}
    for order in (1, 2):
        made[f"Markov-{order}"] = (tune_weight(encoded, encoded_validation, processor, order=order), processor)
    return made


def pretrain(
    place: Path,
    settings: SurveySettings,
    train: Dataset,
    validation: Dataset,
    labels: Sequence[str],
    *,
    seed: int,
    two_stage: bool = True,
    eval_steps: int | None = None,
) -> Made:
    """CAREER pretrained on resumes, from `place` if it is there.

    Args:
        place: Its folder.
        settings: Of the study.
        train, validation: Resumes.
        labels: Of the world; those of states without work are left out, as resumes never show them.
        seed: Of initial weights and of the order of resumes.
        two_stage: Of the model.
        eval_steps: Updates between validations; one validation at the end unless given.
    """
    occupations = [name for name in labels if name not in NOT_WORKING]
    processor = CareerProcessor.fit(train, RESUME_COVARIATES, occupations=occupations)
    recipe = _recipe(
        pretraining_recipe,
        processor,
        settings,
        settings.pretraining_rate,
        seed,
        two_stage,
        max_steps=settings.pretraining_steps,
        eval_steps=eval_steps or settings.pretraining_steps,
    )
    source = SOURCES["simulated-resumes"].record
    return train_once(place, CareerForOccupationPrediction, processor, recipe, train, validation, source)


def carry_over(
    model: PreTrainedModel, processor: CareerProcessor, train: Dataset, labels: Sequence[str], seed: int
) -> CareerProcessor:
    """Gives a pretrained model, in place, the survey's states, levels and covariates, and returns their processor.

    Args:
        model, processor: Pretrained.
        train: Survey careers to fine-tune on.
        labels: Of the world.
        seed: Of the weights of what is new.
    """
    new = [name for name in SURVEY_COVARIATES if name not in RESUME_COVARIATES]
    extended = processor.extend(train, occupations=labels, covariates=new)
    torch.manual_seed(seed)  # of fresh rows
    resize_vocabulary(model, processor, extended)
    return extended


def fine_tune(
    place: Path,
    settings: SurveySettings,
    model: PreTrainedModel,
    processor: CareerProcessor,
    train: Dataset,
    validation: Dataset,
    *,
    rate: float,
    seed: int,
    two_stage: bool = True,
) -> Made:
    """What `carry_over` made, trained on the survey; from `place` if it is there."""
    recipe = _recipe(finetuning_recipe, processor, settings, rate, seed, two_stage)
    return train_once(place, lambda _: model, processor, recipe, train, validation, SOURCES["simulated"].record)


def train_from_scratch(
    place: Path,
    settings: SurveySettings,
    train: Dataset,
    validation: Dataset,
    labels: Sequence[str],
    *,
    rate: float,
    seed: int,
    two_stage: bool = True,
) -> Made:
    """CAREER trained on the survey alone, from `place` if it is there."""
    processor = CareerProcessor.fit(train, SURVEY_COVARIATES, occupations=labels)
    recipe = _recipe(scratch_recipe, processor, settings, rate, seed, two_stage)
    return train_once(
        place, CareerForOccupationPrediction, processor, recipe, train, validation, SOURCES["simulated"].record
    )


def _recipe(
    paper: Callable[..., Recipe],
    processor: CareerProcessor,
    settings: SurveySettings,
    rate: float,
    seed: int,
    two_stage: bool,
    **steps: int,
) -> Callable[[Path], Recipe]:
    """From a folder for checkpoints to a recipe of the paper at the study's size."""
    steps = {"max_steps": settings.most_steps, "eval_steps": settings.eval_steps} | steps
    return lambda output: paper(
        processor,
        output,
        learning_rate=rate,
        warmup_steps=settings.warmup_steps,
        tokens_per_batch=settings.tokens_per_batch,
        patience=settings.patience,
        save_steps=steps["eval_steps"],
        seed=seed,
        config_overrides={
            "num_hidden_layers": settings.layers,
            "hidden_size": settings.hidden_size,
            "num_attention_heads": settings.heads,
            "intermediate_size": 4 * settings.hidden_size,
            "two_stage": two_stage,
        },
        **steps,
    )
