"""CAREER on a survey of the simulated market, from scratch or after pretraining on resumes, for several studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import load_from_disk
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
from career_hf.training.cells import fit_once
from career_hf.training.trainer import Recipe, finetuning_recipe, pretraining_recipe, scratch_recipe

from .study import Made, Study, StudySettings


if TYPE_CHECKING:
    from datasets import Dataset

RESUME_COVARIATES = ("year", "education", "region")
SURVEY_COVARIATES = (*RESUME_COVARIATES, "race", "gender", "birth_year")


@dataclass(frozen=True, kw_only=True)
class SurveySettings(StudySettings):
    """Sizes of a study on a survey of the simulated market. All its models have the same architecture.

    Args:
        occupations, families, types, recipes: Sizes of the world.
        train_people: Survey people to train and fine-tune on.
        validation_people, test_people: Further survey people.
        layers, hidden_size, heads: Sizes of every CAREER model.
        pretraining_steps: Updates of pretraining.
        warmup_steps: Updates to the peak rate, in pretraining and after.
        eval_steps: Updates between validations on the survey.
        pretraining_rate: Peak learning rate of pretraining.

    Seeds are those of initial weights and of the order of careers, in pretraining and after. The rest as in
    `StudySettings`.
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

    def market(self, **numbers: Any) -> Preset:
        """The survey at these sizes, with further numbers of the world changed."""
        sizes = {name: getattr(self, name) for name in ("occupations", "families", "types", "recipes")}
        return preset("survey").with_world(**(sizes | numbers))

    @property
    def pool(self) -> int:
        """People to choose training samples from."""
        return self.train_people

    @property
    def people(self) -> int:
        """People of the survey."""
        return self.pool + self.validation_people + self.test_people

    @property
    def architecture(self) -> dict[str, int]:
        """Fields of CAREER's config."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden_size,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.hidden_size,
        }

    def schedule(self, rate: float, seed: int, **steps: int) -> dict[str, Any]:
        """What a recipe is told; the rate falls as the recipe says.

        Args:
            rate: Peak learning rate.
            seed: Training seed.
            steps: `max_steps` and `eval_steps`, where they are others than on the survey.
        """
        steps = {"max_steps": self.most_steps, "eval_steps": self.eval_steps} | steps
        return {
            "learning_rate": rate,
            "warmup_steps": self.warmup_steps,
            "tokens_per_batch": self.tokens_per_batch,
            "patience": self.patience,
            "save_steps": steps["eval_steps"],
            "seed": seed,
            **steps,
        }


@dataclass(frozen=True)
class SurveyStudy(Study):
    """A study whose test people are those of the survey in its folder `survey`."""

    settings: SurveySettings

    def splits(self) -> dict[str, Dataset]:
        """Careers of the survey."""
        return split_survey(self.folder / "survey", self.settings)

    def test(self) -> Dataset:
        return self.splits()["test"]

    def labels(self) -> list[str]:
        """Occupations and states of the survey's world."""
        return World.build(self.settings.market().world).labels


def keep_survey(path: Path, settings: SurveySettings, market: Preset) -> World:
    """Draws a survey's people, keeps their careers in `path`, and returns their world."""
    drawn = market.simulate(settings.people)
    if not path.exists():
        with complete(path) as unfinished:
            drawn.careers.save_to_disk(str(unfinished))
    return drawn.world


def split_survey(path: Path, settings: SurveySettings) -> dict[str, Dataset]:
    """Careers of a survey: training people, of whom samples take the first, validation and test people."""
    careers, start, splits = load_from_disk(str(path)), 0, {}
    sizes = {"train": settings.pool, "validation": settings.validation_people, "test": settings.test_people}
    for name, people in sizes.items():
        splits[name] = careers.select(range(start, start + people))
        start += people
    return splits


def markov_chain(train: Dataset, validation: Dataset, labels: Sequence[str], order: int) -> Made:
    """A tuned Markov chain."""
    processor = CareerProcessor.fit(train, covariates=[], occupations=labels)
    encoded, encoded_validation = (processor.encode(careers)[0] for careers in (train, validation))
    return tune_weight(encoded, encoded_validation, processor, order=order), processor


def references(world: World, train: Dataset, validation: Dataset) -> dict[str, Made]:
    """What models are measured by: "floor", the truth, and tuned Markov chains of both orders."""
    chains = {f"Markov-{order}": markov_chain(train, validation, world.labels, order) for order in (1, 2)}
    return {"floor": (TrueOccupationModel.of_world(world), world_processor(world)), **chains}


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
        place: The model's folder.
        settings: Sizes of the study.
        train, validation: Resumes.
        labels: Occupations of the world; states without work are left out, as resumes never show them.
        seed: Seed of initial weights and of the order of resumes.
        two_stage: Whether the model has two stages.
        eval_steps: Updates between validations; one validation at the end unless given.
    """
    occupations = [name for name in labels if name not in NOT_WORKING]
    processor = CareerProcessor.fit(train, RESUME_COVARIATES, occupations=occupations)
    most = settings.pretraining_steps
    schedule = settings.schedule(settings.pretraining_rate, seed, max_steps=most, eval_steps=eval_steps or most)
    recipe = _recipe(pretraining_recipe, processor, settings, schedule, two_stage)
    source = SOURCES["simulated-resumes"].record
    return fit_once(place, CareerForOccupationPrediction, processor, recipe, train, validation, source)


def carry_over(
    model: PreTrainedModel, processor: CareerProcessor, train: Dataset, labels: Sequence[str], seed: int
) -> CareerProcessor:
    """Gives a pretrained model, in place, the survey's states, levels and covariates, and returns their processor.

    Args:
        model, processor: The pretrained model.
        train: Survey careers to fine-tune on.
        labels: Occupations and states of the world.
        seed: Seed of the weights of what is new.
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
    recipe = _recipe(finetuning_recipe, processor, settings, settings.schedule(rate, seed), two_stage)
    return fit_once(place, lambda _: model, processor, recipe, train, validation, SOURCES["simulated"].record)


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
    **options: Any,
) -> Made:
    """CAREER trained on the survey alone, from `place` if it is there; with further options of the recipe."""
    processor = CareerProcessor.fit(train, SURVEY_COVARIATES, occupations=labels)
    recipe = _recipe(scratch_recipe, processor, settings, settings.schedule(rate, seed) | options, two_stage)
    source = SOURCES["simulated"].record
    return fit_once(place, CareerForOccupationPrediction, processor, recipe, train, validation, source)


def _recipe(
    paper: Callable[..., Recipe],
    processor: CareerProcessor,
    settings: SurveySettings,
    schedule: dict[str, Any],
    two_stage: bool,
) -> Callable[[Path], Recipe]:
    """From a folder for checkpoints to a recipe of the paper at the study's size."""
    fields = {**settings.architecture, "two_stage": two_stage}
    return lambda output: paper(processor, output, config_overrides=fields, **schedule)
