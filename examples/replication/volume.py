"""How many resumes pretraining needs (Figure 2b), on the simulated market: what is trained, and on what.

CAREER is pretrained on nested samples of one corpus of resumes and fine-tuned on the same survey; with 0 resumes it is
trained from scratch. As in the paper, pretraining has the same ceiling of updates whatever the volume, and the
checkpoint that held-out resumes like best is kept. What is good for a model that was pretrained on many resumes is not
good for one that hardly was: so the learning rate on the survey is chosen anew for every volume, over the same rates,
on validation people with the first seed. `volume_tables.py` fits the power law.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from career_hf.simulation import World, load_resumes, write_resumes
from career_hf.simulation.presets import RESUMES

from .cells import keep_settings, likeliest, run_jobs, score_once
from .pretraining import (
    Made,
    SurveySettings,
    carry_over,
    fine_tune,
    keep_survey,
    pretrain,
    references,
    split_survey,
    train_from_scratch,
)


# Person-years that one core trains on in a second, at the default size; for the cost that is announced.
SPEED = 30_000


@dataclass(frozen=True)
class Settings(SurveySettings):
    """Sizes of the study. The rest as in `SurveySettings`.

    Args:
        volumes: Sizes of the samples of resumes, before people who never work are dropped; 0 is no pretraining.
        held_out: Further resumes, on which pretraining is validated.
        pretraining_eval_steps: Updates of pretraining between validations.
        rates: Peak learning rates to try on the survey.
    """

    volumes: tuple[int, ...] = (0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
    held_out: int = 2_000
    layers: int = 4
    pretraining_steps: int = 8_000
    pretraining_eval_steps: int = 100
    patience: int = 6
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3)

    def __post_init__(self) -> None:
        pretrained = {volume for volume in self.volumes if volume > 0}
        if 0 not in self.volumes or len(pretrained) < 4 or len(pretrained) + 1 < len(self.volumes):
            raise ValueError(
                f"volumes {self.volumes} must be 0, to compare with, and at least four different positive numbers, "
                "because a power law with a floor has three parameters"
            )


def model_name(volume: int) -> str:
    """What a model that was pretrained on so many resumes is called in tables."""
    return f"{volume} resumes"


@dataclass(frozen=True)
class Cell:
    """One model: how many resumes it was pretrained on, its learning rate on the survey, and its seed."""

    volume: int
    rate: float
    seed: int = 0

    @property
    def folder(self) -> str:
        """A name for its folder."""
        return f"survey, {model_name(self.volume)}, {self.rate:g}, {self.seed}"


def cost(settings: Settings) -> tuple[int, int, float]:
    """Runs of pretraining, runs on the survey, and core hours if no run stops early."""
    volumes = len(settings.volumes)
    pretrainings = (volumes - 1) * settings.seeds
    surveys = volumes * (len(settings.rates) + settings.seeds - 1)
    updates = pretrainings * settings.pretraining_steps + surveys * settings.most_steps
    return pretrainings, surveys, updates * settings.tokens_per_batch / SPEED / 3600


def run(folder: Path, settings: Settings, workers: int = 2) -> None:
    """Trains and scores every model; what is finished is not run again.

    Leaves transition tables of test people in `folder/tables/MODEL/SEED.parquet`: every volume, the true model
    ("floor") and Markov chains.

    Args:
        folder: For careers, models and tables.
        settings: Sizes.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: The folder holds a study with other settings.
    """
    keep_settings(folder, asdict(settings))
    run_jobs("Drawing careers", [partial(draw, folder, settings) for draw in (draw_resumes, draw_survey)], workers)
    # The costliest first.
    volumes, seeds = sorted(settings.volumes, reverse=True), range(settings.seeds)
    pretraining = [partial(pretrained, folder, settings, volume, seed) for volume in volumes[:-1] for seed in seeds]
    run_jobs("Pretraining", pretraining, workers)
    trials = [Cell(volume, rate) for volume in volumes for rate in settings.rates]
    run_jobs("Trials on the survey", [partial(train, folder, settings, trial) for trial in trials], workers)
    frozen = [replace(best(folder, settings, volume), seed=seed) for volume in volumes for seed in seeds]
    run_jobs("Further seeds, and scoring", [partial(score, folder, settings, cell) for cell in frozen], workers)


def best(folder: Path, settings: Settings, volume: int) -> Cell:
    """The trial of a volume that validation people like best."""
    return likeliest(folder, (Cell(volume, rate) for rate in settings.rates))


def draw_resumes(folder: Path, settings: Settings) -> None:
    """Draws the corpus that all samples are the first of, and the one that is held out."""
    world = World.build(settings.market().world)
    for name, people, seed in (("resumes", max(settings.volumes), 0), ("held out", settings.held_out, 1)):
        write_resumes(world, replace(RESUMES["scaling"], people=people), folder / name, seed=seed)
        load_resumes(folder / name)  # converts them once, before processes want to read them together


def draw_survey(folder: Path, settings: Settings) -> None:
    """Draws the survey and scores its test people with the truth and with Markov chains."""
    world = keep_survey(folder / "survey", settings, settings.market())
    splits = split_survey(folder / "survey", settings)
    for name, made in references(world, splits["train"], splits["validation"]).items():
        score_once(folder / "tables" / name / "0.parquet", *made, splits["test"])


def pretrained(folder: Path, settings: Settings, volume: int, seed: int) -> Made:
    """CAREER pretrained on the first `volume` resumes."""
    return pretrain(
        folder / "models" / f"pretraining, {model_name(volume)}, {seed}",
        settings,
        load_resumes(folder / "resumes", volume),
        load_resumes(folder / "held out"),
        World.build(settings.market().world).labels,
        seed=seed,
        eval_steps=settings.pretraining_eval_steps,
    )


def train(folder: Path, settings: Settings, cell: Cell) -> Made:
    """Trains a model on the survey, or loads it."""
    splits = split_survey(folder / "survey", settings)
    careers = splits["train"], splits["validation"]
    labels = World.build(settings.market().world).labels
    place, rate, seed = folder / "models" / cell.folder, cell.rate, cell.seed
    if cell.volume == 0:
        return train_from_scratch(place, settings, *careers, labels, rate=rate, seed=seed)
    model, processor = pretrained(folder, settings, cell.volume, seed)
    processor = carry_over(model, processor, careers[0], labels, seed)
    return fine_tune(place, settings, model, processor, *careers, rate=rate, seed=seed)


def score(folder: Path, settings: Settings, cell: Cell) -> None:
    """Trains a model on the survey, or loads it, and scores test people."""
    test = split_survey(folder / "survey", settings)["test"]
    score_once(
        folder / "tables" / model_name(cell.volume) / f"{cell.seed}.parquet", *train(folder, settings, cell), test
    )
