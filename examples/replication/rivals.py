"""Every rival of the paper beside CAREER on the same careers: Figure 2a, Tables 4, 5 and 8, Figure 4.

Equal budget: every model that is trained gets the same number of validation trials over learning rates and, where it
has them, dropout and sizes, the same batches, schedule and patience, the same ceiling of updates, and warmup within a
tenth of it. Trials have the first seed; the best is frozen, and further seeds are trained with it. With the paper's
recipe, which is a study of its own, models have the rates, warmups, sizes and batches of Appendix G, and nothing is
tuned. Test careers are scored once, at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.comparing import score_once, trial_grid
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import (
    auc_differences,
    first_as_new,
    mean_over_seeds,
    perplexity,
    perplexity_by,
    perplexity_differences,
    summarize,
)
from career_hf.evaluation.report import accuracy, calibration, perplexity_in_groups
from career_hf.figures.evaluation import plot_levels, plot_steps, plot_transitions
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.transfer import resize_vocabulary
from career_hf.occupations.crosswalks import groups, groups_of
from career_hf.occupations.labels import NOT_WORKING
from career_hf.rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from career_hf.rivals.job_vectors import Job2VecForOccupationPrediction, JobRepresentationForOccupationPrediction
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture
from career_hf.rivals.nemo import NemoForOccupationPrediction
from career_hf.rivals.regression import RegressionForOccupationPrediction
from career_hf.training.cells import fit_once, run_jobs
from career_hf.training.trainer import finetuning_recipe, recipe_for

from .boosted_trees import BoostedTrees
from .pretrained import corpus
from .study import (
    CareersStudy,
    Covariates,
    Data,
    Job,
    Made,
    Output,
    Resumes,
    Seeds,
    StudyResult,
    StudySettings,
    Tables,
    Trial,
    Workers,
    page_of,
    studies,
    with_interval,
    write_table,
)


CAREER, FLOOR, TREES = "CAREER", "the truth", "boosted trees"
BASELINE, PRETRAINED_CAREER = f"{CAREER}, two stages", f"{CAREER}, pretrained"
MARKOV = "Markov chain, order 1"
COUNTED: dict[str, Callable[..., PreTrainedModel]] = {
    MARKOV: partial(tune_weight, order=1),
    "Markov chain, order 2": partial(tune_weight, order=2),
    "mixture of Markov chains": tune_mixture,
}
STAGES = {2: "two stages", 1: "one stage"}
Trials = Annotated[int, typer.Option(help="Validation trials for each model, at most 8.", min=1, max=8)]
# Figure 4: from the eleventh year on, careers are few.
LONGEST = 15


# Models that are trained by gradient descent, the costliest last. What is tried is said by their classes.
RIVALS: dict[str, Any] = {
    "Markov regression": RegressionForOccupationPrediction,
    "NEMO": NemoForOccupationPrediction,
    "job representation": JobRepresentationForOccupationPrediction,
    "Job2Vec": Job2VecForOccupationPrediction,
    "bag of jobs": BagOfJobsForOccupationPrediction,
    CAREER: CareerForOccupationPrediction,
}
# Fine-tuning in Appendix G.
PAPER_FINETUNING = {"learning_rate": 1e-4, "warmup_steps": 500}


@dataclass(frozen=True, kw_only=True)
class RivalsSettings(StudySettings):
    """What every trained model gets; the rest as in `StudySettings`.

    Args:
        trials: Validation trials of each model, at most 8.
        stages: Which forms are trained: 2 and 1 are two stages and one.
        warmup_steps: Updates to the peak.
        eval_steps: Updates between validations.
        paper: Models are trained with the paper's recipe instead, until they overfit: of the above, seeds, stages,
            most_steps and draws still hold; trials are of boosted trees, which the paper does not have. The rate does
            not fall to zero at most_steps, which has to be late, say 20,000.
        pretraining_steps: Updates of pretraining, for each number of stages and each seed; not tuned.
        pretraining_rate: Its peak rate.
    """

    trials: int = 8
    stages: tuple[int, ...] = (2, 1)
    warmup_steps: int = 100
    eval_steps: int = 100
    paper: bool = False
    pretraining_steps: int = 3_000
    pretraining_rate: float = 1e-3

    @classmethod
    def of_steps(cls, most_steps: int, **others: Any) -> RivalsSettings:
        """With so many updates, a tenth of them as warmup, and as many between validations."""
        return cls(most_steps=most_steps, warmup_steps=most_steps // 10, eval_steps=most_steps // 10, **others)

    def schedule(self, rate: float, seed: int) -> dict[str, Any]:
        steps = {"warmup_steps": self.warmup_steps, "eval_steps": self.eval_steps, "save_steps": self.eval_steps}
        return super().schedule(rate, seed) | steps


@dataclass(frozen=True)
class RivalsStudy(CareersStudy):
    """Leaves figure_2a, table_4, table_5, table_8, figure_4 and costs as CSV, all as tables.md, and rivals.png.

    Transition tables are in `tables/MODEL/SEED.parquet`, and the same at broad groups of occupations in `groups` where
    labels are occ1990dd codes.

    Args:
        truth: Checkpoint of the true model, of careers that are simulated.
        resumes: Folder of resumes to pretrain CAREER on, as `career-hf simulate --preset resume` writes it.
    """

    settings: RivalsSettings = RivalsSettings()
    truth: Path | None = None
    resumes: Path | None = None
    # Whether counted models use survey weights, where there are any.
    weighted_counts = True

    @property
    def models(self) -> dict[str, tuple[str, int]]:
        """Models that are trained by their names in tables: rival and number of stages."""
        names = [*RIVALS, *([] if self.resumes is None else [PRETRAINED_CAREER])]
        return {f"{name}, {STAGES[stages]}": (name, stages) for stages in self.settings.stages for name in names}

    def described(self) -> dict[str, Any]:
        paths = {name: str(getattr(self, name)) for name in ("data", "truth", "resumes")}
        return {**paths, "covariates": self.covariates, **asdict(self.settings)}

    def vocabulary(self) -> dict[str, Any]:
        """Occupations of all models, for `CareerProcessor`: those of training careers, and one for all others.

        In a simulated market every occupation is known, and there are no others.
        """
        if self.truth is None:
            # Not those that resumes alone have: to all models, these are unknown alike.
            held = {label for occupations in self.splits()["train"]["occupation"] for label in occupations}
            return {"unknown_occupation": "unknown", "occupations": sorted(held)}
        return {"occupations": CareerProcessor.from_pretrained(self.truth).occupation_labels}

    def corpus(self) -> tuple[Dataset, Dataset]:
        """Resumes to pretrain on, and to validate on."""
        if self.resumes is None:
            raise ValueError("this study has no resumes to pretrain on: give it a folder of them")
        return corpus(self.resumes)

    def trials(self) -> list[Trial]:
        """Every trial on the first seed, as many for each model; with the paper's recipe there is one, the paper's."""
        if self.settings.paper:
            return [
                Trial(name, self.paper_schedule(rival)["learning_rate"]) for name, (rival, _) in self.models.items()
            ]
        return [
            Trial(name, rate, fields=fields)
            for name, (rival, _) in self.models.items()
            for rate, fields in self.grid(rival)
        ]

    def grid(self, rival: str) -> list[tuple[float, dict[str, Any]]]:
        """Learning rates and fields of the config to try."""
        if rival == PRETRAINED_CAREER:
            tried = RIVALS[CAREER].finetuning_rates, RIVALS[CAREER].finetuning_fields
        else:
            tried = RIVALS[rival].trial_rates, RIVALS[rival].trial_fields
        return trial_grid(*tried, self.settings.trials)

    def paper_schedule(self, rival: str) -> Mapping[str, float]:
        """Learning rate and warmup of Appendix G."""
        return PAPER_FINETUNING if rival == PRETRAINED_CAREER else RIVALS[rival].paper_schedule

    def schedule(self, trial: Trial) -> dict[str, Any]:
        """What a recipe is told."""
        settings = self.settings
        if settings.paper:
            # The schedule, batches and patience are the recipe's own, which are Appendix G's.
            paper = self.paper_schedule(self.models[trial.model][0])
            return {**paper, "seed": trial.seed, "max_steps": settings.most_steps}
        return settings.schedule(trial.rate, trial.seed)

    def prepare(self, workers: int) -> None:
        if self.resumes is not None:
            runs = itertools.product(self.settings.stages, range(self.settings.seeds))
            self.work("Pretraining", self.pretrain, runs, workers)

    def compute(self, workers: int) -> None:
        super().compute(workers)
        jobs: list[Callable[[], Any]] = [Job(self.count, name) for name in COUNTED]
        run_jobs("Scoring counted models", [*jobs, self.boost, self.score_truth], workers)

    def pretrain(self, run: tuple[int, int]) -> Path:
        """Trains CAREER on resumes, at the size it has on the survey; the folder of the model.

        Args:
            run: Number of stages, and seed.
        """
        (stages, seed), settings, (resumes, validation) = run, self.settings, self.corpus()
        covariates = [name for name in self.covariates if name == "year" or name in resumes.column_names]
        processor = CareerProcessor.fit(resumes, covariates, **self.vocabulary())
        most = settings.pretraining_steps
        schedule = {
            "learning_rate": settings.pretraining_rate,
            "tokens_per_batch": settings.tokens_per_batch,
            "lr_scheduler_type": "linear",
            "warmup_steps": most // 10,
            "max_steps": most,
            "eval_steps": most,
            "save_steps": most,
            "seed": seed,
        }
        model = CareerForOccupationPrediction
        recipe = partial(recipe_for, model, processor, fields={"two_stage": stages == 2}, **schedule)
        place = self.folder / "pretrained" / f"{stages}, {seed}"
        # `corpus` has raised if there are no resumes.
        fit_once(place, model, processor, recipe, resumes, validation, source_of(self.resumes))  # type: ignore[arg-type]
        return place

    def train(self, trial: Trial) -> Made:
        splits, (rival, stages) = self.splits(), self.models[trial.model]
        schedule, fields = self.schedule(trial), {**trial.fields, "two_stage": stages == 2}
        if rival == PRETRAINED_CAREER:
            pretrained = self.pretrain((stages, trial.seed))
            old = CareerProcessor.from_pretrained(pretrained)
            processor = old.extend(splits["train"], covariates=self.covariates, **self.vocabulary())
            recipe = partial(finetuning_recipe, processor, **schedule)

            def make(_: Any) -> PreTrainedModel:
                model = CareerForOccupationPrediction.from_pretrained(pretrained, **fields)
                resize_vocabulary(model, old, processor)
                return model
        else:
            processor = CareerProcessor.fit(splits["train"], self.covariates, **self.vocabulary())
            make = RIVALS[rival]
            recipe = partial(recipe_for, make, processor, fields=fields, **schedule)
        careers = splits["train"], splits["validation"]
        return fit_once(self.place(trial.folder), make, processor, recipe, *careers, source_of(self.data))

    def score(self, trial: Trial) -> None:
        self.keep_table(trial.model, trial.seed, partial(self.train, trial))

    def counted(self, name: str) -> Made:
        """Counts Markov chains or fits a mixture of them, and tunes their smoothing."""
        splits = self.splits()
        processor = CareerProcessor.fit(splits["train"], [], **self.vocabulary())
        encoded, validation = (processor.encode(splits[part])[0] for part in ("train", "validation"))
        weighted = self.weighted_counts and "weight" in encoded.column_names
        return COUNTED[name](encoded, validation, processor, weighted=weighted), processor

    def count(self, name: str) -> None:
        """Scores test careers with a model that is counted."""
        self.keep_table(name, 0, partial(self.counted, name))

    def boosted(self) -> Made:
        """Grows boosted trees, which are not kept; what was tried is in a CSV."""
        splits = self.splits()
        processor = CareerProcessor.fit(splits["train"], self.covariates, **self.vocabulary())
        encoded, _ = processor.encode(splits["train"])
        validation, _ = processor.encode(splits["validation"], unknown_levels="missing")
        trees = BoostedTrees.fit(encoded, validation, processor, broad_groups(processor), trials=self.settings.trials)
        write_table(self.folder / f"{TREES}.csv", trees.trials)
        return trees, processor

    def boost(self) -> None:
        """Scores test careers with boosted trees."""
        self.keep_table(TREES, 0, self.boosted)

    def score_truth(self) -> None:
        """Scores test careers with the true model of a simulated market: the floor of perplexity."""
        if self.truth is not None:
            self.keep_table(FLOOR, 0, partial(load_checkpoint, self.truth))

    def keep_table(self, name: str, seed: int, make: Callable[[], Made]) -> None:
        """Writes the transition table of a model, and that of broad groups, unless they are there.

        Args:
            name, seed: The model's.
            make: Makes or loads the model and its processor, if there is anything to write.
        """
        table, of_groups = (self.folder / kind / name / f"{seed}.parquet" for kind in ("tables", "groups"))
        # The table of occupations is the last to be written, so where it is nothing is missing.
        if table.exists():
            return
        (model, processor), test = make(), self.test()
        mapping = broad_groups(processor)
        if mapping is not None:
            of_groups.unlink(missing_ok=True)
            watch = [label for label in NOT_WORKING if label in set(mapping.values())]
            score_once(of_groups, model, processor, test, groups=mapping, watch=watch)
        watch = [label for label in NOT_WORKING if label in processor.occupations]
        score_once(table, model, processor, test, groups=None, watch=watch)

    def report(self) -> StudyResult:
        tables, groups, draws = self.tables(), self.tables("groups"), self.settings.draws
        found = {
            "figure_2a": figure_2a(tables, draws),
            "table_4": table_4(tables, groups),
            "table_5": table_5(tables, groups),
            "table_8": table_8(tables, draws),
            "figure_4": figure_4(tables),
            "costs": pd.concat([self.costs(self.best()), self.costs_of_trees()]),
        }
        return StudyResult(found, {"rivals": rivals_figure(tables, draws)}, rivals_page(found))

    def costs(self, chosen: Mapping[str, Trial]) -> pd.DataFrame:
        """Trials of every model, updates and hours of all its training, further seeds included, and what was chosen,
        with its log-perplexity on validation careers (first seed).

        Args:
            chosen: The best trial of each model.
        """
        planned, rows = self.trials(), {}
        for name, best in chosen.items():
            runs = self.training_of(name)
            rows[name] = {
                # Trials that this study did not run itself are not counted.
                "trials": sum(trial.model == name and trial.folder in runs.index for trial in planned),
                "updates": runs["updates"].sum(),
                "hours": runs["hours"].sum(),
                "validation": runs.loc[best.folder, "best"],
                "rate": best.rate,
                **best.fields,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def costs_of_trees(self) -> pd.DataFrame:
        """The same for the two parts of boosted trees, whose updates are iterations."""
        rows = {}
        for part, tried in pd.read_csv(self.folder / f"{TREES}.csv").groupby("part", sort=False):
            likeliest = tried.loc[tried["nll"].idxmin()]
            rows[f"{TREES}, to {part}"] = {
                "trials": len(tried),
                "updates": tried["iterations"].sum(),
                "hours": tried["hours"].sum(),
                "rate": likeliest["learning_rate"],
                **likeliest[["max_leaf_nodes", "l2_regularization"]],
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def broad_groups(processor: CareerProcessor) -> dict[str, str] | None:
    """Broad group of every occupation, where labels are occ1990dd codes."""
    return groups_of(processor.occupations) if set(processor.occupations) & set(groups()) else None


def figure_2a(tables: Tables, draws: int) -> pd.DataFrame:
    """Perplexity of every model with its interval, and its difference from two-stage CAREER's.

    `per_person` is perplexity with every person counting alike, and `weighted`, where there are survey weights, with
    everybody's weight. Where the truth is, `over_floor` is perplexity over its, and `gap_closed` the share of
    log-perplexity between the first-order Markov chain and the truth that a model gains.
    """
    levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    compared = perplexity_differences(tables, BASELINE, draws)[["ratio", "difference", "low", "high"]]
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

    As in `evaluation.report.accuracy` and `calibration`, with intervals and differences from CAREER in two stages;
    moving also on the cuts of Table 4, and out of the broad group.

    Args:
        tables, groups: As in `table_4`.
    """
    found = accuracy(tables, baseline=_baseline(tables))
    cuts: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Tables]] = {
        "same coding scheme": (lambda table: table[~table["coding_changed"]], tables),
        "gaps of one year": (_one_year, tables),
        "without A-B-A": (_without_aba, tables),
        "broad groups": (lambda table: table, groups),
    }
    for cut, (take, source) in cuts.items():
        if source:
            cut_tables = {model: [take(table) for table in seeds] for model, seeds in source.items()}
            areas = auc_differences(cut_tables, _baseline(cut_tables)).add_prefix(f"moving, {cut}_")
            found = found.join(areas.rename(columns={f"moving, {cut}_auc": f"moving, {cut}"}))
    errors = calibration(tables, baseline=_baseline(tables)).drop(columns="perplexity")
    return found.join(errors)


def _baseline(tables: Tables) -> str:
    """CAREER where it is among the models, otherwise the first of them."""
    return BASELINE if BASELINE in tables else next(iter(tables))


def table_8(tables: Tables, draws: int) -> pd.DataFrame:
    """What two stages gain over one, for models that have both: difference of log-perplexity, below 0 for a gain."""
    rows = {}
    for name in tables:
        one = name.replace("two stages", "one stage")
        if one != name and one in tables:
            found = perplexity_differences({"one": tables[one], "two": tables[name]}, "one", draws)
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


def _without_aba(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["step"] > 0) & ~table["aba"]]


def _one_year(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["gap_years"] == 1).fillna(False)]


def rivals_figure(tables: Tables, draws: int) -> Figure:
    """Figure 2a, Table 4 and Figure 4 as three panels."""
    figure = Figure(figsize=(17, 6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
    levels = figure_2a(tables, draws)
    plot_levels(left, levels, highlight=[name for name in levels.index if name.startswith(CAREER)])
    two_stage = {name.rpartition(",")[0]: of for name, of in tables.items() if name.endswith("two stages")}
    later = {name: [table[table["step"] > 0] for table in of] for name, of in two_stage.items()}
    plot_transitions(middle, perplexity_in_groups(later, "transition", CAREER, draws), CAREER)
    plot_steps(right, perplexity_in_groups(two_stage, "step", CAREER, draws), highlight=[CAREER])
    right.set_yscale("log")
    return figure


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


def rivals_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    The paper's numbers, which are of other samples, stand beside those of careers that were not simulated.

    Args:
        tables: Tables of the study, by name.
    """
    kinds, accuracies = _kinds(tables["table_4"]), tables["table_5"].round(3)
    if "over_floor" not in tables["figure_2a"]:
        kinds["paper's PSID"] = kinds.index.map(lambda model: PAPER_TABLE_4.get(model, ""))
        accuracies.insert(1, "paper's NLSY79", accuracies.index.map(PAPER_TABLE_5.get))
    return page_of(
        {
            "Figure 2a: test perplexity": _levels(tables["figure_2a"]),
            "Table 4: perplexity by kind of step": kinds,
            "Table 5: AUCs, ranks of the truth, calibration errors": accuracies,
            "Table 8: one and two stages": _stages(tables["table_8"]),
            "Cost": tables["costs"].round({"hours": 2, "validation": 3}),
        }
    )


def _levels(levels: pd.DataFrame) -> pd.DataFrame:
    difference = ("difference", "low_of_difference", "high_of_difference")
    columns = {
        "perplexity [95% interval]": with_interval(levels, "perplexity", "low", "high", 2),
        "log difference from CAREER": with_interval(levels, *difference, 3, "+"),
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
    return pd.DataFrame(columns)


def _kinds(kinds: pd.DataFrame) -> pd.DataFrame:
    """One row per model, and for each cut stay / return / new."""
    places = {"stay": ".2f", "return": ".1f", "new": ".1f"}
    texts = [
        " / ".join("-" if pd.isna(row[kind]) else f"{row[kind]:{form}}" for kind, form in places.items())
        for _, row in kinds.iterrows()
    ]
    wide = kinds.assign(text=texts).pivot(index="model", columns="cut", values="text")
    return wide[kinds["cut"].unique()].fillna("")


def _stages(stages: pd.DataFrame) -> pd.DataFrame:
    if not len(stages):
        return stages
    levels = {name: stages[name].map("{:.2f}".format) for name in ("one stage", "two stages")}
    return pd.DataFrame(levels | {"log difference": with_interval(stages, "difference", "low", "high", 3, "+")})


@studies.command()
def rivals(
    data: Data,
    output: Output,
    covariates: Covariates = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    trials: Trials = 8,
    one_stage: Annotated[bool, typer.Option(help="Train every model in one stage too (Table 8).")] = True,
    paper_recipe: Annotated[
        bool, typer.Option("--paper-recipe", help="The paper's rates, warmups and batches; nothing is tuned.")
    ] = False,
    most_steps: Annotated[
        int | None,
        typer.Option(
            help="Largest number of updates: 1,000, or with the paper's recipe 20,000.", min=10, show_default=False
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The true model, as `simulate` writes it, for the floor.", exists=True)
    ] = None,
    resumes: Resumes = None,
    pretraining_steps: Annotated[
        int, typer.Option(help="Updates of pretraining, where there are resumes.", min=10)
    ] = 3_000,
) -> None:
    """Every rival in the paper beside CAREER, with the same budget: Figure 2a, Tables 4, 5 and 8, Figure 4."""
    settings = RivalsSettings.of_steps(
        most_steps or (20_000 if paper_recipe else 1_000),
        trials=trials,
        seeds=seeds,
        stages=(2, 1) if one_stage else (2,),
        paper=paper_recipe,
        pretraining_steps=pretraining_steps,
    )
    study = RivalsStudy(
        output, settings, data=data, covariates=tuple(covariates.split(",")), truth=truth, resumes=resumes
    )
    runs = len(study.trials()) + (seeds - 1) * len(study.models)
    each = "3 to 25 minutes" if paper_recipe else "for 1,000 updates half a minute to 3 minutes"
    say(f"{runs} training runs, each {each} of one core on 10,000 people")
    result = study.run(workers)
    show(result["figure_2a"], "Figure 2a: test perplexity, and difference of log-perplexity from two-stage CAREER")
    if resumes is None:
        say("CAREER with pretraining: not run, no resume corpus")
    kinds = result["table_4"]
    show(
        kinds[kinds["cut"] == "as in the paper"].set_index("model").drop(columns="cut"),
        "Table 4: perplexity by kind of step",
    )
    show(result["table_5"], "Table 5: AUC of moving and of entering states, ranks of the truth, calibration errors")
    if len(result["table_8"]):
        show(result["table_8"], "Table 8: one and two stages")
    show(result["costs"], "Cost of every model")
    say(f"{output}/*.csv, rivals.png")
