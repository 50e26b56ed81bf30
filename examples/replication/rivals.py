"""Every rival of the paper beside CAREER on the same careers: Figure 2a, Tables 4, 5 and 8, Figure 4.

Equal budget: every model that is trained gets the same number of validation trials over learning rates and, where it
has them, dropout and sizes, the same batches, schedule and patience, the same ceiling of updates, and warmup within a
tenth of it. Trials have the first seed; the best is frozen, and further seeds are trained with it. With the paper's
recipe, which is a study of its own, models have the rates, warmups, sizes and batches of Appendix G, and nothing is
tuned. Test careers are scored once, at the end. `rivals_tables.py` makes the tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.transfer import resize_vocabulary
from career_hf.occupations.crosswalks import groups, groups_of
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture
from career_hf.simulation import load_resumes
from career_hf.simulation.world import NOT_WORKING
from career_hf.training.trainer import baseline_recipe, finetuning_recipe, scratch_recipe

from .boosted_trees import BoostedTrees
from .cells import keep_settings, likeliest, run_jobs, train_once
from .rivals_trials import CAREER, PRETRAINED, RIVALS, Rival


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

FLOOR = "the truth"
TREES = "boosted trees"


@dataclass(frozen=True)
class Budget:
    """What every trained model gets.

    Args:
        trials: Validation trials of each model, at most 8.
        seeds: Training seeds; the first also has the trials.
        stages: Which forms are trained: 2 and 1 are two stages and one.
        tokens_per_batch: Person-years of an update.
        most_steps: Updates at most; early stopping may come before. With equal budgets the rate is zero there; with
            the paper's recipe it has to be late, say 20,000.
        warmup_steps: Updates to the peak.
        eval_steps: Updates between validations.
        patience: Validations without improvement before training stops.
        draws: Resamples of people behind the intervals.
        paper: Models are trained with the paper's recipe instead, until they overfit: of the above, seeds, stages,
            most_steps and draws still hold; trials are of boosted trees, which the paper does not have.
        pretraining_steps: Updates of pretraining, for each number of stages and each seed; not tuned.
        pretraining_rate: Its peak rate.
    """

    trials: int = 8
    seeds: int = 3
    stages: tuple[int, ...] = (2, 1)
    tokens_per_batch: int = 4_000
    most_steps: int = 1_000
    warmup_steps: int = 100
    eval_steps: int = 100
    patience: int = 3
    draws: int = 1_000
    paper: bool = False
    pretraining_steps: int = 3_000
    pretraining_rate: float = 1e-3


@dataclass(frozen=True)
class Study:
    """What is compared on what.

    Args:
        folder: Of the study.
        data: Folder of careers in splits, as `career-hf prepare` writes it.
        covariates: Of every model that has covariates.
        budget: What every trained model gets.
        truth: Checkpoint of the true model, of careers that are simulated.
        resumes: Folder of resumes to pretrain CAREER on, as `career-hf simulate --preset resume` writes it.
    """

    folder: Path
    data: Path
    covariates: tuple[str, ...]
    budget: Budget = Budget()
    truth: Path | None = None
    resumes: Path | None = None

    @property
    def rivals(self) -> dict[str, Rival]:
        """Models that are trained, by name, the costliest last."""
        return RIVALS if self.resumes is None else {**RIVALS, f"{CAREER}, pretrained": PRETRAINED}

    def splits(self) -> dict[str, Dataset]:
        """Careers by split."""
        return load_careers(self.data)

    def vocabulary(self) -> dict[str, Any]:
        """Occupations of all models, for `CareerProcessor`: those of training careers, and one for all others.

        In a simulated market every occupation is known, and there are no others.
        """
        if self.truth is None:
            # Not those that resumes alone have: to all models, these are unknown alike.
            held = {label for occupations in self.splits()["train"]["occupation"] for label in occupations}
            return {"unknown_occupation": "unknown", "occupations": sorted(held)}
        known = CareerProcessor.from_pretrained(self.truth)
        return {"occupations": [name for i, name in enumerate(known.occupations) if i not in known.special_token_ids]}

    def corpus(self) -> tuple[Dataset, Dataset]:
        """Resumes to pretrain on, and to validate on."""
        if self.resumes is None:
            raise ValueError("this study has no resumes to pretrain on: give it a folder of them")
        if (self.resumes / "dataset_dict.json").exists():
            splits = load_careers(self.resumes)
            return splits["train"], splits["validation"]
        careers = load_resumes(self.resumes)
        held_out = min(1_000, len(careers) // 10)
        return careers.select(range(held_out, len(careers))), careers.select(range(held_out))


@dataclass(frozen=True)
class Trial:
    """One training run: a rival in one or two stages, its learning rate and other settings, and a seed."""

    rival: str
    stages: int
    rate: float
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name in tables."""
        return f"{self.rival}, {'two stages' if self.stages == 2 else 'one stage'}"

    @property
    def folder(self) -> str:
        """A name for its folder."""
        fields = "".join(f", {key}={value}" for key, value in self.fields.items())
        return f"{self.name}, {self.rate:g}{fields}, {self.seed}"

    def settings(self, study: Study) -> dict[str, Any]:
        """What its recipe is given."""
        budget, common = study.budget, {"learning_rate": self.rate, "seed": self.seed}
        if budget.paper:
            # The schedule, batches and patience are the recipe's own, which are Appendix G's.
            return common | {"warmup_steps": study.rivals[self.rival].paper_warmup, "max_steps": budget.most_steps}
        return common | {
            "lr_scheduler_type": "linear",
            "warmup_steps": budget.warmup_steps,
            "max_steps": budget.most_steps,
            "eval_steps": budget.eval_steps,
            "save_steps": budget.eval_steps,
            "tokens_per_batch": budget.tokens_per_batch,
            "patience": budget.patience,
        }


def trials(study: Study) -> list[Trial]:
    """Every trial on the first seed, as many for each rival; with the paper's recipe there is one, the paper's."""
    models = itertools.product(study.budget.stages, study.rivals.items())
    if study.budget.paper:
        return [Trial(rival, stages, what.paper_rate) for stages, (rival, what) in models]
    return [
        Trial(rival, stages, rate, fields=fields)
        for stages, (rival, what) in models
        for rate, fields in diagonal(what.rates, what.fields)[: study.budget.trials]
    ]


def diagonal(rates: Sequence[float], fields: Sequence[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
    """All pairs, those of what comes first in both first, so that a few trials vary both."""
    pairs = itertools.product(enumerate(rates), enumerate(fields))
    return [(rate, what) for (i, rate), (j, what) in sorted(pairs, key=lambda pair: pair[0][0] + pair[1][0])]


def run(study: Study, workers: int = 2) -> None:
    """Tunes and trains every model, then scores test careers; what is finished is not run again.

    Leaves `tables/MODEL/SEED.parquet` in the study's folder, and the same at broad groups of occupations in `groups`
    where labels are occ1990dd codes.

    Args:
        study: What is compared.
        workers: Processes, each of which uses one thread.
    """
    budget = study.budget
    paths = {name: str(getattr(study, name)) for name in ("data", "truth", "resumes")}
    keep_settings(study.folder, {**paths, "covariates": study.covariates, **asdict(budget)})
    if study.resumes is not None:
        of_seed = itertools.product(budget.stages, range(budget.seeds))
        run_jobs("Pretraining", [partial(pretrain, study, stages, seed) for stages, seed in of_seed], workers)
    run_jobs("Trials", [partial(train, study, trial) for trial in trials(study)], workers)
    frozen = [replace(trial, seed=seed) for trial in best(study) for seed in range(budget.seeds)]
    run_jobs("Further seeds", [partial(train, study, trial) for trial in frozen], workers)
    scoring: list[Callable[[], Any]] = [partial(score, study, trial) for trial in frozen]
    run_jobs("Scoring", [*scoring, partial(count, study), partial(boost, study), partial(score_truth, study)], workers)


def pretrain(study: Study, stages: int, seed: int) -> Path:
    """Trains CAREER on resumes, at the size it has on the survey; the folder of the model."""
    budget, (resumes, validation) = study.budget, study.corpus()
    covariates = [name for name in study.covariates if name == "year" or name in resumes.column_names]
    processor = CareerProcessor.fit(resumes, covariates, **study.vocabulary())
    recipe = partial(
        scratch_recipe,
        processor,
        config_overrides={"two_stage": stages == 2},
        learning_rate=budget.pretraining_rate,
        tokens_per_batch=budget.tokens_per_batch,
        lr_scheduler_type="linear",
        warmup_steps=budget.pretraining_steps // 10,
        max_steps=budget.pretraining_steps,
        eval_steps=budget.pretraining_steps,
        save_steps=budget.pretraining_steps,
        seed=seed,
    )
    place = study.folder / "pretrained" / f"{stages}, {seed}"
    # `corpus` has raised if there are no resumes.
    source = source_of(study.resumes)  # type: ignore[arg-type]
    train_once(place, CareerForOccupationPrediction, processor, recipe, resumes, validation, source)
    return place


def train(study: Study, trial: Trial) -> tuple[PreTrainedModel, CareerProcessor]:
    """Trains one model, or loads it."""
    splits, rival, vocabulary = study.splits(), study.rivals[trial.rival], study.vocabulary()
    settings, fields = trial.settings(study), {**trial.fields, "two_stage": trial.stages == 2}
    make: Callable[[Any], PreTrainedModel] = rival.model
    if rival is PRETRAINED:
        pretrained = pretrain(study, trial.stages, trial.seed)
        old = CareerProcessor.from_pretrained(pretrained)
        processor = old.extend(splits["train"], covariates=study.covariates, **vocabulary)
        recipe = partial(finetuning_recipe, processor, **settings)

        def make(_: Any) -> PreTrainedModel:
            model = CareerForOccupationPrediction.from_pretrained(pretrained, **fields)
            resize_vocabulary(model, old, processor)
            return model
    else:
        processor = CareerProcessor.fit(splits["train"], study.covariates, **vocabulary)
        if rival.config is None:
            recipe = partial(scratch_recipe, processor, config_overrides=fields, **settings)
        else:
            recipe = partial(baseline_recipe, rival.config.from_processor(processor, **fields), **settings)
    place = study.folder / "models" / trial.folder
    parts = splits["train"], splits["validation"]
    return train_once(place, make, processor, recipe, *parts, source_of(study.data))


def best(study: Study) -> list[Trial]:
    """The trial with the best validation likelihood, for each rival and number of stages."""
    of_name: dict[str, list[Trial]] = {}
    for trial in trials(study):
        of_name.setdefault(trial.name, []).append(trial)
    return [likeliest(study.folder, same) for same in of_name.values()]


def score(study: Study, trial: Trial) -> None:
    """Scores test careers with a chosen model."""
    keep_table(study, trial.name, trial.seed, partial(train, study, trial))


def count(study: Study) -> None:
    """Counts Markov chains and fits mixtures of them, tunes their smoothing, and scores test careers."""
    for order in (1, 2):
        keep_table(study, f"Markov chain, order {order}", 0, partial(_tuned, study, partial(tune_weight, order=order)))
    keep_table(study, "mixture of Markov chains", 0, partial(_tuned, study, tune_mixture))


def _tuned(study: Study, tune: Callable[..., PreTrainedModel]) -> tuple[PreTrainedModel, CareerProcessor]:
    splits = study.splits()
    processor = CareerProcessor.fit(splits["train"], [], **study.vocabulary())
    encoded, validation = (processor.encode(splits[name])[0] for name in ("train", "validation"))
    return tune(encoded, validation, processor, weighted="weight" in encoded.column_names), processor


def boost(study: Study) -> None:
    """Grows boosted trees, which are not kept, and scores test careers; what was tried is in a CSV."""

    def grow() -> tuple[PreTrainedModel, CareerProcessor]:
        splits = study.splits()
        processor = CareerProcessor.fit(splits["train"], study.covariates, **study.vocabulary())
        encoded, _ = processor.encode(splits["train"])
        validation, _ = processor.encode(splits["validation"], unknown_levels="missing")
        trees = BoostedTrees.fit(encoded, validation, processor, broad_groups(processor), trials=study.budget.trials)
        with complete(study.folder / f"{TREES}.csv") as unfinished:
            trees.trials.to_csv(unfinished, index=False)
        return trees, processor

    keep_table(study, TREES, 0, grow)


def score_truth(study: Study) -> None:
    """Scores test careers with the true model of a simulated market: the floor of perplexity."""
    truth = study.truth
    if truth is not None:
        keep_table(study, FLOOR, 0, partial(load_checkpoint, truth))


def broad_groups(processor: CareerProcessor) -> dict[str, str] | None:
    """Broad group of every occupation, where labels are occ1990dd codes."""
    return groups_of(processor.occupations) if set(processor.occupations) & set(groups()) else None


def keep_table(
    study: Study, name: str, seed: int, make: Callable[[], tuple[PreTrainedModel, CareerProcessor]]
) -> None:
    """Writes the transition table of a model, and that of broad groups, unless they are there.

    Args:
        study: Says what is scored.
        name, seed: Of the model.
        make: Makes or loads the model and its processor, if there is anything to write.
    """
    # The table of occupations is the last to be written, so where it is nothing is missing.
    if (study.folder / "tables" / name / f"{seed}.parquet").exists():
        return
    model, processor = make()
    for kind, mapping in {"groups": broad_groups(processor), "tables": None}.items():
        if kind == "groups" and mapping is None:
            continue
        labels = set(mapping.values()) if mapping else processor.occupations
        watch = [label for label in NOT_WORKING if label in labels]
        table = transition_table(
            model,
            study.splits()["test"],
            processor,
            split="test",
            unknown_levels="missing",
            groups=mapping,
            watch=watch,
        )
        with complete(study.folder / kind / name / f"{seed}.parquet") as unfinished:
            table.to_parquet(unfinished)
