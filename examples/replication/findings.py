"""The paper's findings on the simulated market: what is trained, on what, and the scores of every model.

A finding that the law of the market builds in would be true by construction. So every comparison is made again where
its cause is taken away: in a world without returns, after pretraining on a corpus whose occupations are shuffled, on
resumes from another labor market. Models of one world are trained with the same seeds on the same people and scored on
the same test steps, beside the true probabilities of those steps. `findings_tables.py` says what was found.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel

from career_hf.careers.atomic_files import complete
from career_hf.careers.columns import career_table, list_lengths, list_values, make_dataset
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.changed_predictions import changed_predictions
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.simulation import ResumeConfig, World, load_resumes, write_resumes
from career_hf.simulation.presets import CONTROLS, NO_HISTORY, Preset
from career_hf.simulation.world import NOT_WORKING

from .cells import keep_settings, run_jobs
from .pretraining import (
    SurveySettings,
    carry_over,
    fine_tune,
    keep_survey,
    pretrain,
    references,
    split_survey,
    train_from_scratch,
)


if TYPE_CHECKING:
    from datasets import Dataset

# Worlds that surveys are drawn from. Each but the first takes one thing away from it.
WORLDS: dict[str, dict[str, Any]] = {
    "market": {},
    "no returns": CONTROLS["no_returns"],
    "one type": CONTROLS["one_type"],
    # Only the previous occupation matters, so there is nothing that a chain cannot know.
    "markov": CONTROLS["markov"],
    # Everybody moves, so there is nothing for a first stage to know.
    "no stays": {"stay_occupation": -30.0, "stay_unemployed": -30.0, "stay_out": -30.0, "stay_school": -30.0},
}
# Corpora to pretrain on for the survey of a world: changes of the resumes' world, and what is done to occupations.
CORPORA: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "resumes": ("market", {}, None),
    "resumes, omega .5": ("market", {"departure": 0.5}, None),
    "resumes, omega 1": ("market", {"departure": 1.0}, None),
    # Another market without anything that makes careers more than a chain.
    "unrelated resumes": ("market", {"departure": 1.0, "seed": 1, **NO_HISTORY}, None),
    "relabelled resumes": ("market", {}, "relabelled"),
    "shuffled resumes": ("market", {}, "shuffled"),
    "resumes, no returns": ("no returns", {}, None),
    "resumes, one type": ("one type", {}, None),
}


@dataclass(frozen=True)
class Settings(SurveySettings):
    """Sizes of the study; rates were chosen on validation careers. The rest as in `SurveySettings`.

    Args:
        more_people: Larger training samples that contain the others, to compare with pretraining.
        resumes: Size of each corpus.
        scratch_rate, finetuning_rate: Peak learning rates.
    """

    more_people: tuple[int, ...] = (4_000, 8_000)
    resumes: int = 20_000
    scratch_rate: float = 2e-3
    finetuning_rate: float = 5e-4

    def preset(self, world: str, **changes: Any) -> Preset:
        """The survey of a world, at these sizes."""
        return self.market(**(WORLDS[world] | changes))

    @property
    def pool(self) -> int:
        """People to choose training samples from."""
        return max(self.train_people, *self.more_people)


@dataclass(frozen=True)
class Cell:
    """One CAREER model: its survey's world, training people, corpus if it is pretrained, stages and seed."""

    world: str
    people: int
    seed: int
    corpus: str | None = None
    two_stage: bool = True

    @property
    def model(self) -> str:
        """The model's name in tables."""
        if self.corpus is None:
            return f"{'two' if self.two_stage else 'one'}-stage, {self.people} people"
        return f"pretrained on {self.corpus}{'' if self.two_stage else ', one-stage'}"


def cells(settings: Settings) -> list[Cell]:
    """Every model that is trained, the costliest first."""
    seeds, few = range(settings.seeds), settings.train_people
    pretrained = [Cell(CORPORA[corpus][0], few, seed, corpus) for corpus in CORPORA for seed in seeds]
    pretrained += [Cell("market", few, seed, "resumes", two_stage=False) for seed in seeds]
    more = [Cell("market", people, seed) for people in sorted(settings.more_people, reverse=True) for seed in seeds]
    scratch = [Cell(world, few, seed) for world in WORLDS for seed in seeds]
    one_stage = [Cell(world, few, seed, two_stage=False) for world in ("market", "no stays") for seed in seeds]
    one_stage += [Cell("market", max(settings.more_people), seed, two_stage=False) for seed in seeds]
    return [*more, *pretrained, *scratch, *one_stage]


def run(folder: Path, settings: Settings, workers: int = 2) -> None:
    """Trains and scores every model; what is finished is not run again.

    Leaves a transition table of test careers for every model in `folder/tables`.

    Args:
        folder: For careers, models and tables.
        settings: Sizes.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: The folder holds a study with other settings.
    """
    keep_settings(folder, asdict(settings))
    corpora = [partial(draw_corpus, folder, settings, corpus) for corpus in CORPORA]
    surveys = [partial(draw_survey, folder, settings, world) for world in WORLDS]
    run_jobs("Drawing careers", [*corpora, *surveys], workers)
    run_jobs("Training models", [partial(train_cell, folder, settings, cell) for cell in cells(settings)], workers)


def survey_of(folder: Path, settings: Settings, world: str) -> dict[str, Dataset]:
    """Careers of a world's survey: training people, of whom samples take the first, validation and test people."""
    return split_survey(folder / "surveys" / world, settings)


def draw_survey(folder: Path, settings: Settings, world: str) -> None:
    """Draws a survey and scores its test careers with the truth and with Markov chains."""
    drawn = keep_survey(folder / "surveys" / world, settings, settings.preset(world))
    splits = survey_of(folder, settings, world)
    train = splits["train"].select(range(settings.train_people))
    for name, made in references(drawn, train, splits["validation"]).items():
        _score(folder, world, name, 0, *made, splits["test"])


def draw_corpus(folder: Path, settings: Settings, corpus: str) -> None:
    """Draws a corpus of resumes; the altered ones are made from the unaltered when they are loaded."""
    world, changes, altered = CORPORA[corpus]
    if altered is None:
        drawn = World.build(settings.preset(world, **changes).world)
        write_resumes(drawn, ResumeConfig(people=settings.resumes), folder / "corpora" / corpus)


def corpus_of(folder: Path, corpus: str) -> Dataset:
    """The careers of a corpus.

    "relabelled": every occupation goes by the name of another, the same everywhere, so how careers move is left and
    who moves where is lost. "shuffled": occupations are dealt out anew over all person-years, so only how common they
    are is left.
    """
    altered = CORPORA[corpus][2]
    if altered is None:
        return load_resumes(folder / "corpora" / corpus)
    resumes = load_resumes(folder / "corpora" / "resumes")
    table, rng = career_table(resumes), np.random.default_rng(0)
    held = list_values(table, "occupation").dictionary_encode()
    codes, names = held.indices.to_numpy(), held.dictionary
    if altered == "relabelled":
        names = names.take(pa.array(rng.permutation(len(names))))
    else:
        codes = rng.permutation(codes)
    offsets = pa.array(np.r_[0, list_lengths(table, "occupation").cumsum()], pa.int32())
    occupation = pa.ListArray.from_arrays(offsets, names.take(pa.array(codes)))
    return make_dataset({name: table[name] for name in table.column_names} | {"occupation": occupation})


def train_cell(folder: Path, settings: Settings, cell: Cell) -> None:
    """Trains a model and scores test careers; a pretrained model is also scored before fine-tuning."""
    splits = survey_of(folder, settings, cell.world)
    train, validation, test = splits["train"].select(range(cell.people)), splits["validation"], splits["test"]
    labels = World.build(settings.preset(cell.world).world).labels
    place = folder / "models" / f"{cell.world}, {cell.model}, {cell.seed}"
    stages: dict[str, Any] = {"seed": cell.seed, "two_stage": cell.two_stage}
    if cell.corpus is None:
        rate = settings.scratch_rate
        made = train_from_scratch(place, settings, train, validation, labels, rate=rate, **stages)
    else:
        resumes = corpus_of(folder, cell.corpus)
        held_out = min(1_000, len(resumes) // 10)
        parts = resumes.select(range(held_out, len(resumes))), resumes.select(range(held_out))
        of_corpus = folder / "models" / f"{cell.corpus}{'' if cell.two_stage else ', one-stage'}, {cell.seed}"
        pretrained, old = pretrain(of_corpus, settings, *parts, labels, **stages)
        processor = carry_over(pretrained, old, train, labels, cell.seed)
        _score(folder, cell.world, f"{cell.model}, zero-shot", cell.seed, pretrained, processor, test)
        rate = settings.finetuning_rate
        made = fine_tune(place, settings, pretrained, processor, train, validation, rate=rate, **stages)
    _score(folder, cell.world, cell.model, cell.seed, *made, test)


def table_path(folder: Path, world: str, model: str, seed: int) -> Path:
    """Where the transition table of a model on its world's test careers is."""
    return folder / "tables" / world / model / f"{seed}.parquet"


def _score(
    folder: Path,
    world: str,
    name: str,
    seed: int,
    model: PreTrainedModel,
    processor: CareerProcessor,
    test: Dataset,
) -> None:
    """Writes a model's transition table, with its log-probabilities given that people work."""
    path = table_path(folder, world, name, seed)
    if not path.exists():
        table = transition_table(model, test, processor, split="test", unknown_levels="missing")
        with _given_work(model, processor):
            given_work = transition_table(model, test, processor, split="test", unknown_levels="missing")
        with complete(path) as unfinished:
            table.assign(log_prob_given_work=given_work["log_prob"]).to_parquet(unfinished)


def _given_work(model: PreTrainedModel, processor: CareerProcessor) -> AbstractContextManager[PreTrainedModel]:
    """Within it, a model's probabilities are those given that y_t is an occupation, which is all resumes contain."""
    barred = [*processor.special_token_ids, *processor.occupation_ids(NOT_WORKING)]

    def condition(log_probs: torch.Tensor, _previous: torch.Tensor) -> torch.Tensor:
        ids = torch.tensor(barred, device=log_probs.device)
        return log_probs.index_fill(-1, ids, IMPOSSIBLE).log_softmax(-1)

    return changed_predictions(model, condition)
