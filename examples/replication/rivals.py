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
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import (
    compare,
    first_as_new,
    mean_over_seeds,
    perplexity,
    perplexity_by,
    stay_auc,
    summarize,
)
from career_hf.evaluation.report import accuracy, calibration, perplexity_in_groups
from career_hf.evaluation.transition_table import transition_table
from career_hf.figures.evaluation import plot_levels, plot_steps, plot_transitions
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.transfer import resize_vocabulary
from career_hf.occupations.crosswalks import groups, groups_of
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.base import BaselineConfig
from career_hf.rivals.job2vec import Job2VecConfig, Job2VecForOccupationPrediction
from career_hf.rivals.job_representation import JobRepresentationConfig, JobRepresentationForOccupationPrediction
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.rivals.regression import RegressionConfig, RegressionForOccupationPrediction
from career_hf.simulation import load_resumes
from career_hf.simulation.world import NOT_WORKING
from career_hf.training.trainer import baseline_recipe, finetuning_recipe, scratch_recipe

from .boosted_trees import BoostedTrees
from .cells import keep_settings, likeliest, run_jobs, train_once, training_log


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


# MERGED rivals_trials: """What the study of rivals tries for every model: learning rates and sizes, and what Appendix G says of each."""


CAREER = "CAREER"


@dataclass(frozen=True)
class Rival:
    """A model that is trained by gradient descent.

    Args:
        model: Its class.
        config: Class of its config; None for CAREER, whose recipe makes it.
        rates: Peak learning rates to try.
        fields: Fields of the config to try at each rate; the paper's first.
        paper_rate, paper_warmup: Of Appendix G. NEMO's are not given there; CAREER's are taken.
    """

    model: type[PreTrainedModel]
    config: type[BaselineConfig] | None
    rates: tuple[float, ...]
    fields: tuple[dict[str, Any], ...]
    paper_rate: float
    paper_warmup: int


_MORE_DROPOUT = {"hidden_dropout": 0.2, "attention_dropout": 0.2}
RIVALS = {
    "Markov regression": Rival(
        RegressionForOccupationPrediction,
        RegressionConfig,
        (4e-3, 1e-3, 2e-3, 8e-3, 3e-3, 1.6e-2, 5e-4, 6e-3),
        ({},),
        5e-4,
        4_000,
    ),
    "NEMO": Rival(
        NemoForOccupationPrediction,
        NemoConfig,
        (3e-3, 6e-3),
        ({}, {"hidden_dropout": 0.3}, {"hidden_size": 100}, {"hidden_size": 100, "hidden_dropout": 0.3}),
        5e-4,
        500,
    ),
    "job representation": Rival(
        JobRepresentationForOccupationPrediction,
        JobRepresentationConfig,
        (5e-3, 2e-2, 1e-2, 2.5e-3),
        ({}, {"embedding_size": 100}),
        5e-3,
        5_000,
    ),
    "Job2Vec": Rival(
        Job2VecForOccupationPrediction,
        Job2VecConfig,
        (5e-3, 2e-2, 1e-2, 2.5e-3),
        ({}, {"embedding_size": 100}),
        5e-3,
        5_000,
    ),
    "bag of jobs": Rival(
        BagOfJobsForOccupationPrediction,
        BagOfJobsConfig,
        (1e-3, 2.5e-4, 5e-4, 2e-3),
        ({}, {"embedding_size": 256}),
        5e-4,
        5_000,
    ),
    CAREER: Rival(
        CareerForOccupationPrediction,
        None,
        (3e-3, 6e-3),
        ({}, _MORE_DROPOUT, {"num_hidden_layers": 2}, {"num_hidden_layers": 2, **_MORE_DROPOUT}),
        5e-4,
        500,
    ),
}
# Fine-tuned on the survey; where there are resumes.
PRETRAINED = Rival(CareerForOccupationPrediction, None, (1e-3, 2.5e-4, 5e-4, 2e-3), ({}, _MORE_DROPOUT), 1e-4, 500)

# MERGED rivals_tables: """Tables and figures of the study of rivals, from its transition tables."""


Tables = Mapping[str, Sequence[pd.DataFrame]]

BASELINE = f"{CAREER}, two stages"
MARKOV = "Markov chain, order 1"
# Figure 4: from the eleventh year on, careers are few.
LONGEST = 15


def load(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Transition tables by model, one for each seed.

    Args:
        folder: `tables` or `groups` of a study.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(pd.read_parquet(path))
    return tables


def figure_2a(tables: Tables, draws: int) -> pd.DataFrame:
    """Perplexity of every model with its interval, and its difference from two-stage CAREER's.

    `per_person` is perplexity with every person counting alike, and `weighted`, where there are survey weights, with
    everybody's weight. Where the truth is, `over_floor` is perplexity over its, and `gap_closed` the share of
    log-perplexity between the first-order Markov chain and the truth that a model gains.
    """
    levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    compared = compare(tables, BASELINE, draws)[["ratio", "difference", "low", "high"]]
    found = levels.join(compared, suffixes=("", "_of_difference"))
    counted: dict[str, dict[str, bool]] = {"per_person": {"per_person": True}}
    if all(table["weight"].notna().all() for of_model in tables.values() for table in of_model):
        counted["weighted"] = {"weighted": True}
    for name, how in counted.items():
        logs = {model: np.mean([np.log(perplexity(table, **how)) for table in of]) for model, of in tables.items()}
        found[name] = np.exp(pd.Series(logs))
    found = found.sort_values("perplexity", ascending=False)
    if FLOOR in found.index:
        found["over_floor"] = found["perplexity"] / found.loc[FLOOR, "perplexity"]
        below_chain = np.log(found.loc[MARKOV, "perplexity"] / found["perplexity"])
        found["gap_closed"] = below_chain / below_chain[FLOOR]
    return found


def table_4(tables: Tables, groups: Tables) -> pd.DataFrame:
    """Perplexity by kind of step, on several cuts of the same rows, since much measured mobility is coding noise.

    Args:
        tables: Of occupations.
        groups: Of broad groups of occupations, whose stays, returns and new entries are those of groups; may be empty.

    Returns:
        One row per cut and model: n and perplexity of stay, return and new. Cuts: all steps, with first occupations
        among the new ones as in the paper; without them; without steps at which the coding scheme changed; gaps of one
        year; returns that are not A-B-A, and those that are; and the broad groups. Perplexity is null where there are
        no steps.
    """
    cuts = {
        "as in the paper": lambda table: first_as_new(table),
        "from the second step on": lambda table: table[table["step"] > 0],
        "same coding scheme": lambda table: table[(table["step"] > 0) & ~table["coding_changed"]],
        "gaps of one year": _one_year,
        "without A-B-A": _without_aba,
        "A-B-A alone": lambda table: table[table["aba"]],
    }
    rows = []
    of_cut = [(cut, take, tables) for cut, take in cuts.items()]
    of_cut.append(("broad groups", cuts["from the second step on"], groups))
    for cut, take, source in of_cut:
        for model, of_model in source.items():
            kinds = perplexity_by(take(mean_over_seeds(of_model)), "transition")
            of_kind = {kind: kinds["perplexity"].get(kind, np.nan) for kind in ("stay", "return", "new")}
            counts = {f"n_{kind}": kinds["n"].get(kind, 0) for kind in ("stay", "return", "new")}
            rows.append({"cut": cut, "model": model, **of_kind, **counts})
    return pd.DataFrame(rows)


def table_5(tables: Tables, groups: Tables) -> pd.DataFrame:
    """Areas under the ROC curve of moving and of entering states without work, how high the truth ranks, calibration.

    As in `evaluation_report.accuracy`; moving also on the cuts of Table 4, and out of the broad group. Expected
    calibration errors are of the probability of staying and of the likeliest occupation's.

    Args:
        tables, groups: As in `table_4`.
    """
    found = accuracy(tables)
    cuts: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Tables]] = {
        "same coding scheme": (lambda table: table[~table["coding_changed"]], tables),
        "gaps of one year": (_one_year, tables),
        "without A-B-A": (_without_aba, tables),
        "broad groups": (lambda table: table, groups),
    }
    for place, (cut, (take, source)) in enumerate(cuts.items(), start=1):
        if source:
            aucs = {model: np.mean([stay_auc(take(table)) for table in seeds]) for model, seeds in source.items()}
            found.insert(place, f"moving, {cut}", pd.Series(aucs))
    return found.join(calibration(tables)[["stay_ece", "top_ece"]])


def table_8(tables: Tables, draws: int) -> pd.DataFrame:
    """What two stages gain over one, for models that have both: difference of log-perplexity, below 0 for a gain."""
    rows = {}
    for name in tables:
        one = name.replace("two stages", "one stage")
        if one != name and one in tables:
            found = compare({"one": tables[one], "two": tables[name]}, "one", draws)
            rows[name.replace(", two stages", "")] = {
                "one stage": found.loc["one", "perplexity"],
                "two stages": found.loc["two", "perplexity"],
                **found.loc["two", ["difference", "low", "high"]],
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure_4(tables: Tables) -> pd.DataFrame:
    """Perplexity by how many occupations came before, one row per model and step."""
    rows = []
    for model, of_model in tables.items():
        by_step = perplexity_by(mean_over_seeds(of_model), "step")
        rows.append(by_step[by_step.index < LONGEST].reset_index().assign(model=model))
    return pd.concat(rows, ignore_index=True)


def costs(study: Study, frozen: Sequence[Trial]) -> pd.DataFrame:
    """Trials of every model, updates and hours of all its training, further seeds included, and what was chosen, with
    its log-perplexity on validation careers (first seed).

    Args:
        study: Whose models they are; trials that it did not run are not counted.
        frozen: What was chosen.
    """
    log = training_log(study.folder)
    planned = [trial for trial in trials(study) if trial.folder in log.index]
    rows = {}
    for chosen in frozen:
        mine = log[log.index.str.startswith(f"{chosen.name}, ")]
        rows[chosen.name] = {
            "trials": sum(trial.name == chosen.name for trial in planned),
            "updates": mine["updates"].sum(),
            "hours": mine["hours"].sum(),
            "validation": log.loc[chosen.folder, "best"],
            "rate": chosen.rate,
            **chosen.fields,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def costs_of_trees(study: Study) -> pd.DataFrame:
    """The same for the two parts of boosted trees, whose updates are iterations."""
    rows = {}
    for part, tried in pd.read_csv(study.folder / f"{TREES}.csv").groupby("part", sort=False):
        likeliest = tried.loc[tried["nll"].idxmin()]
        rows[f"{TREES}, to {part}"] = {
            "trials": len(tried),
            "updates": tried["iterations"].sum(),
            "hours": tried["hours"].sum(),
            "rate": likeliest["learning_rate"],
            **likeliest[["max_leaf_nodes", "l2_regularization"]],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure(tables: Tables, draws: int) -> Figure:
    """Figure 2a, Table 4 and Figure 4 as three panels."""
    whole = Figure(figsize=(17, 6), layout="constrained")
    left, middle, right = whole.subplots(1, 3, width_ratios=(1.2, 1, 1))
    levels = figure_2a(tables, draws)
    plot_levels(left, levels, highlight=[name for name in levels.index if name.startswith(CAREER)])
    two_stage = {name.rpartition(",")[0]: of for name, of in tables.items() if name.endswith("two stages")}
    later = {name: [table[table["step"] > 0] for table in of] for name, of in two_stage.items()}
    plot_transitions(middle, perplexity_in_groups(later, "transition", CAREER, draws), CAREER)
    plot_steps(right, perplexity_in_groups(two_stage, "step", CAREER, draws), highlight=[CAREER])
    right.set_yscale("log")
    return whole


def _without_aba(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["step"] > 0) & ~table["aba"]]


def _one_year(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["gap_years"] == 1).fillna(False)]


def rivals(study: Study, workers: int = 2) -> Rivals:
    """Trains what is not trained yet; writes each table as CSV, all as tables.md, and rivals.png.

    Args:
        study: What is compared; one that was stopped goes on.
        workers: Processes, each of which uses one thread.
    """
    run(study, workers)
    folder, draws = study.folder, study.budget.draws
    tables, groups = load(folder / "tables"), load(folder / "groups")
    found = Rivals(
        figure_2a(tables, draws),
        table_4(tables, groups),
        table_5(tables, groups),
        table_8(tables, draws),
        figure_4(tables),
        pd.concat([costs(study, best(study)), costs_of_trees(study)]),
    )
    for name, table in vars(found).items():
        table.to_csv(folder / f"{name}.csv", index=name not in ("table_4", "figure_4"))
    (folder / "tables.md").write_text(page(found) + "\n", encoding="utf-8")
    figure(tables, draws).savefig(folder / "rivals.png", dpi=110)
    return found


# MERGED rivals_page: """What the study of rivals found, and its tables as Markdown, for documentation."""


# The paper's NLSY79 column: one stage from Figure 2a, two stages from Table 8, CAREER's from Figure 2a.
PAPER_NLSY79 = {
    "Markov regression, one stage": 15.03,
    "NEMO, one stage": 12.82,
    "job representation, one stage": 14.71,
    "Job2Vec, one stage": 14.46,
    "bag of jobs, one stage": 13.09,
    "CAREER, one stage": 12.20,
    "Markov regression, two stages": 13.30,
    "NEMO, two stages": 12.37,
    "job representation, two stages": 13.97,
    "Job2Vec, two stages": 13.91,
    "bag of jobs, two stages": 12.68,
    "CAREER, two stages": 12.00,
    "CAREER, pretrained, two stages": 11.32,
}
# The paper's Table 4, on the PSID (stay, return, new), and its Table 5 on the NLSY79. Its CAREER is pretrained.
PAPER_TABLE_4 = {
    "Markov regression, two stages": "1.92 / 29.6 / 115.7",
    "NEMO, two stages": "1.99 / 30.8 / 105.0",
    "job representation, two stages": "1.91 / 48.7 / 115.1",
    "Job2Vec, two stages": "1.88 / 45.4 / 115.1",
    "bag of jobs, two stages": "1.90 / 35.6 / 112.9",
    "CAREER, pretrained, two stages": "1.87 / 12.9 / 100.1",
}
PAPER_TABLE_5 = {
    "Markov regression, two stages": 0.732,
    "NEMO, two stages": 0.731,
    "job representation, two stages": 0.704,
    "Job2Vec, two stages": 0.705,
    "bag of jobs, two stages": 0.706,
    "CAREER, pretrained, two stages": 0.761,
}


@dataclass(frozen=True)
class Rivals:
    """What the study found, by the paper's numbers."""

    figure_2a: pd.DataFrame
    table_4: pd.DataFrame
    table_5: pd.DataFrame
    table_8: pd.DataFrame
    figure_4: pd.DataFrame
    costs: pd.DataFrame


def page(found: Rivals) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    The paper's numbers, which are of other samples, stand beside those of careers that were not simulated.

    Args:
        found: What the study found.
    """
    kinds, accuracies = _kinds(found.table_4), found.table_5.round(3)
    if "over_floor" not in found.figure_2a:
        kinds["paper's PSID"] = kinds.index.map(lambda model: PAPER_TABLE_4.get(model, ""))
        accuracies.insert(1, "paper's NLSY79", accuracies.index.map(PAPER_TABLE_5.get))
    parts = {
        "Figure 2a: test perplexity": _levels(found.figure_2a),
        "Table 4: perplexity by kind of step": kinds,
        "Table 5: AUCs, ranks of the truth, calibration errors": _blank(accuracies),
        "Table 8: one and two stages": _stages(found.table_8),
        "Cost": _blank(found.costs.round({"hours": 2, "validation": 3})),
    }
    return "\n\n".join(
        f"### {title}\n\n{table.reset_index().to_markdown(index=False, disable_numparse=True)}"
        for title, table in parts.items()
        if len(table)
    )


def _levels(levels: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "perplexity [95% interval]": _interval(levels, "perplexity", "low", "high", ".2f"),
        "log difference from CAREER": _interval(
            levels, "difference", "low_of_difference", "high_of_difference", "+.3f"
        ),
        "sd over seeds": levels["seed_sd"].map("{:.3f}".format, na_action="ignore"),
    }
    for name in ("per_person", "weighted"):
        if name in levels:
            columns[name.replace("_", " ")] = levels[name].map("{:.2f}".format)
    if "over_floor" in levels:
        columns["over the floor"] = levels["over_floor"].map("{:.3f}".format)
        columns["share of the gap closed"] = levels["gap_closed"].map("{:.3f}".format)
    else:
        columns["paper's NLSY79"] = pd.Series(levels.index.map(PAPER_NLSY79.get), levels.index)
    return _blank(pd.DataFrame(columns))


def _kinds(kinds: pd.DataFrame) -> pd.DataFrame:
    """One row per model, and for each cut stay / return / new."""
    places = {"stay": ".2f", "return": ".1f", "new": ".1f"}
    texts = [
        " / ".join("-" if pd.isna(row[kind]) else f"{row[kind]:{places[kind]}}" for kind in places)
        for _, row in kinds.iterrows()
    ]
    return (
        kinds.assign(text=texts).pivot(index="model", columns="cut", values="text")[kinds["cut"].unique()].fillna("")
    )


def _stages(stages: pd.DataFrame) -> pd.DataFrame:
    if not len(stages):
        return stages
    levels = {name: stages[name].map("{:.2f}".format) for name in ("one stage", "two stages")}
    return pd.DataFrame(levels | {"log difference": _interval(stages, "difference", "low", "high", "+.3f")})


def _blank(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), "")


def _interval(table: pd.DataFrame, value: str, low: str, high: str, form: str) -> pd.Series:
    """Numbers with their intervals, empty where there is none."""
    texts = [
        "" if pd.isna(number) else f"{number:{form}} [{least:{form}}, {most:{form}}]"
        for number, least, most in table[[value, low, high]].itertuples(index=False)
    ]
    return pd.Series(texts, table.index)


@study.command()
def rivals(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Output,
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    trials: Annotated[int, typer.Option(help="Validation trials for each model, at most 8.", min=1, max=8)] = 8,
    one_stage: Annotated[bool, typer.Option(help="Train every model in one stage too (Table 8).")] = True,
    paper_recipe: Annotated[
        bool, typer.Option("--paper-recipe", help="The paper's rates, warmups and batches; nothing is tuned.")
    ] = False,
    most_steps: Annotated[
        int | None,
        typer.Option(help="Updates at most: 1,000, or with the paper's recipe 20,000.", min=10, show_default=False),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The true model, as `simulate` writes it, for the floor.", exists=True)
    ] = None,
    resumes: Annotated[
        Path | None, typer.Option(help="Resumes to pretrain CAREER on: as careers, or as `simulate`.", exists=True)
    ] = None,
    pretraining_steps: Annotated[
        int, typer.Option(help="Updates of pretraining, where there are resumes.", min=10)
    ] = 3_000,
) -> None:
    """Every rival in the paper beside CAREER, with the same budget: Figure 2a, Tables 4, 5 and 8, Figure 4."""
    from .rivals import Budget, Study
    from .rivals import trials as trials_of
    from .rivals_tables import rivals as run

    most_steps = most_steps or (20_000 if paper_recipe else 1_000)
    budget = Budget(
        trials=trials,
        seeds=seeds,
        stages=(2, 1) if one_stage else (2,),
        most_steps=most_steps,
        warmup_steps=most_steps // 10,
        eval_steps=most_steps // 10,
        paper=paper_recipe,
        pretraining_steps=pretraining_steps,
    )
    plan = Study(output, data, tuple(covariates.split(",")), budget, truth, resumes)
    planned = trials_of(plan)
    runs = len(planned) + (seeds - 1) * len({trial.name for trial in planned})
    each = "3 to 25 minutes" if paper_recipe else "for 1,000 updates half a minute to 3 minutes"
    say(f"{runs} training runs, each {each} of one core on 10,000 people")
    found = run(plan, workers)
    show(found.figure_2a, "Figure 2a: test perplexity, and difference of log-perplexity from two-stage CAREER")
    if resumes is None:
        say("CAREER with pretraining: not run, no resume corpus")
    cut = found.table_4[found.table_4["cut"] == "as in the paper"].set_index("model").drop(columns="cut")
    show(cut, "Table 4: perplexity by kind of step")
    show(found.table_5, "Table 5: AUC of moving and of entering states, ranks of the truth, calibration errors")
    if len(found.table_8):
        show(found.table_8, "Table 8: one and two stages")
    show(found.costs, "Cost of every model")
    say(f"{output}/*.csv, rivals.png")
