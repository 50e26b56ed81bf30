"""`compare`: compares models with equal budgets on any careers.

Every trained model gets the same number of validation trials over learning rates and, if it has them, dropout and
sizes (`trial_rates` and `trial_fields` of its class), the same batches, schedule and patience, and the same maximum of
updates. Trials have the first seed; the settings of the best trial are then trained with further seeds. Models made of
counts choose their smoothing on the same validation careers. Test careers are scored once, at the end. A pretrained
model may know occupations that the training careers do not have; all models are compared on the steps that all of them
know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedModel
from transformers.utils import logging

from .careers.atomic_files import complete, locked
from .careers.columns import with_weights
from .careers.frames import as_splits, covariate_names
from .careers.ledger import Ledger
from .careers.splits import check_not_empty
from .encoding.checkpoints import load_checkpoint
from .encoding.processing_career import CareerProcessor
from .evaluation.metrics import auc_differences, shared_rows, summarize
from .evaluation.report import perplexity_in_groups
from .evaluation.transition_table import transition_table, who_was_trained_on
from .figures.evaluation import plot_levels, plot_transitions
from .figures.style import new_figure, save
from .models.modeling_career import CareerForOccupationPrediction
from .number_ranges import within_ranges
from .readable_values import ReadableResult
from .registration import model_named, model_names
from .trained_models import UNKNOWN, Careers, source_record
from .training.cells import best_trial, fit_once, keep_settings, linear_schedule, run_jobs, training_log
from .training.trainer import finetuning_recipe, recipe_for


if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRETRAINED = "career, pretrained"
YEAR = "year"

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Budget:
    """The budget of every trained model.

    Args:
        trials: Number of validation trials of each model.
        seeds: Number of training seeds; trials have the first seed.
        stages: Forms that are trained: 2 is two stages, 1 is one softmax.
        tokens_per_batch: Number of person-years in one update.
        max_steps: Maximum number of updates, at which the learning rate is zero; early stopping may come before.
        warmup_steps: Number of updates until the peak rate.
        eval_steps: Number of updates between validations.
        patience: Number of validations without improvement after which training stops.
    """

    trials: int = 8
    seeds: int = 3
    stages: tuple[int, ...] = (2,)
    tokens_per_batch: int = 4_000
    max_steps: int = 1_000
    warmup_steps: int = 100
    eval_steps: int = 100
    patience: int = 3


@dataclass(frozen=True)
class Trial:
    """One training run: a model in one or two stages, its peak learning rate, fields of its config, and its seed."""

    model: str
    stages: int
    rate: float
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name in tables."""
        return self.model if self.stages == 2 else f"{self.model}, one stage"

    @property
    def folder(self) -> str:
        """The name of the trial's folder."""
        fields = "".join(f", {key}={value}" for key, value in self.fields.items())
        return f"{self.name}, {self.rate:g}{fields}, {self.seed}"


@dataclass(frozen=True, repr=False)
class Comparison(ReadableResult):
    """A comparison of models on the same test careers.

    Args:
        tables: For each model its transition tables, one for each seed.
        trials: One row per training run: model, rate, fields, seed, updates, hours, the best validation negative
            log-likelihood, and whether its settings were chosen.
        baseline: The model that the others are compared with.
        draws: Number of resamples behind the intervals, of PSUs or households where careers have them, otherwise of
            people.
        weighted: Whether numbers use survey weights.
        ledger: Which steps are left out because some models do not know their occupations, how many are scored as the
            unknown occupation, and whether the pretrained model was trained on test people.
    """

    tables: Mapping[str, Sequence[pd.DataFrame]]
    trials: pd.DataFrame
    baseline: str
    draws: int = 1000
    weighted: bool = False
    ledger: Ledger = field(default_factory=Ledger)

    def to_frame(self) -> pd.DataFrame:
        """One row per model, the best first.

        Returns:
            Columns n (steps), people, perplexity with its clustered interval (low, high); difference of log-perplexity
            from the baseline's with its interval (difference_low, difference_high); perplexity by kind of step (first,
            stay, return, new); stay_auc with its interval, and its difference from the baseline's with its own
            (stay_auc_difference); seeds and seed_sd; unknown and left_out, as in `metrics.summarize`; trials, updates
            and hours of all training.
        """
        # All rows have the same split, and so are one group.
        levels = self._groups("split").drop(columns=["split", "n", "people", "perplexity", "low", "high"])
        summary = summarize(self.tables, self.draws, weighted=self.weighted)
        areas = auc_differences(self.tables, self.baseline, draws=self.draws, weighted=self.weighted)
        areas = areas[["difference", "difference_low", "difference_high"]].add_prefix("stay_auc_")
        runs = self.trials.groupby("model")
        costs = pd.DataFrame(
            {"trials": runs["trial"].sum(), "updates": runs["updates"].sum(), "hours": runs["hours"].sum()}
        )
        whole = summary.join(levels.set_index("model")).join(areas).join(costs)
        whole[list(costs)] = whole[list(costs)].fillna(0)
        sizes = ["n", "people", "perplexity", "low", "high", "difference", "difference_low", "difference_high"]
        return whole[[*sizes, *(name for name in whole if name not in sizes)]].sort_values("perplexity")

    def by_transition(self) -> pd.DataFrame:
        """Perplexity by kind of step with intervals, one row per kind and model, as in `perplexity_in_groups`."""
        return self._groups("transition")

    def _groups(self, column: str) -> pd.DataFrame:
        return perplexity_in_groups(self.tables, column, self.baseline, self.draws, weighted=self.weighted)

    def figure(self) -> Figure:
        """Perplexity of every model with its interval, and by kind of step relative to the baseline."""
        models = len(self.tables)
        heights = [1.2 + 0.5 * models, *([5 + 0.3 * -(-models // 2)] if models > 1 else [])]
        figure, panels = new_figure(sum(heights), len(heights), height_ratios=heights, squeeze=False)
        plot_levels(panels[0, 0], self.to_frame(), highlight=[self.baseline])
        if models > 1:
            plot_transitions(panels[1, 0], self.by_transition(), self.baseline)
        return figure

    def save(self, folder: str | Path) -> None:
        """Writes comparison.csv, by_transition.csv, trials.csv, ledger.json, the transition tables and comparison.png.

        Args:
            folder: Destination folder. Without matplotlib a warning says that there is no figure.
        """
        folder = Path(folder)
        for name, tables in self.tables.items():
            for seed, table in enumerate(tables):
                path = _table_path(folder, name, seed)
                if not path.exists():
                    _write_table(path, table)
        self.to_frame().to_csv(folder / "comparison.csv")
        self.by_transition().to_csv(folder / "by_transition.csv", index=False)
        self.trials.to_csv(folder / "trials.csv", index=False)
        self.ledger.save(folder / "ledger.json")
        if find_spec("matplotlib") is None:
            logger.warning("tables only: figures need matplotlib, pip install 'career_hf[studies]'")
        else:
            save(self.figure(), folder / "comparison.png")


@dataclass(frozen=True)
class _Setup:
    """Everything that the processes of a comparison need."""

    folder: Path
    splits: Mapping[str, Dataset]
    covariates: tuple[str, ...]
    source: Mapping[str, Any]
    budget: Budget
    pretrained: str | None
    watch: tuple[str, ...]

    def vocabulary(self) -> dict[str, Any]:
        """The occupations of all models: those of training careers, and the unknown occupation for all others.

        A pretrained model keeps further ones that it has.
        """
        labels = {label for occupations in self.splits["train"]["occupation"] for label in occupations}
        return {"unknown_occupation": UNKNOWN, "occupations": sorted(labels)}


@within_ranges
def compare(
    careers: Careers,
    *,
    models: Sequence[str] | None = None,
    covariates: Sequence[str] = ("year",),
    trials: int = 8,
    seeds: int = 3,
    stages: Sequence[int] = (2,),
    tokens_per_batch: int = 4_000,
    max_steps: int = 1_000,
    warmup_steps: int = 100,
    eval_steps: int = 100,
    patience: int = 3,
    pretrained: str | Path | None = None,
    baseline: str | None = None,
    watch: Sequence[str] = (),
    weighted: bool = False,
    draws: int = 1000,
    output: str | Path | None = None,
    workers: int = 1,
    source: str | None = None,
) -> Comparison:
    """Tunes, trains and scores models with equal budgets.

    Args:
        careers: A folder of careers, careers by split name, or careers, which are then split.
        models: Names of models from `career_hf.registration.model_names()`; all of them if None.
        covariates: The year, and columns of the careers, for every model that has covariates.
        trials: Number of validation trials of each trained model, 8 at most.
        seeds: Number of training seeds; trials have the first seed.
        stages: Forms of each trained model: 2 is two stages, 1 is one softmax.
        tokens_per_batch: Number of person-years in one update.
        max_steps: Maximum number of updates, at which the learning rate is zero.
        warmup_steps: Number of updates until the peak rate.
        eval_steps: Number of updates between validations.
        patience: Number of validations without improvement after which training stops.
        pretrained: Folder or Hub id of a CAREER model that is fine-tuned and compared too, in two stages only.
        baseline: The model that the others are compared with; the first one if None.
        watch: States without work whose probabilities the transition tables keep.
        weighted: Whether to use the careers' survey weights, in training and in the tables.
        draws: Number of resamples behind the intervals, of PSUs or households where careers have them, otherwise of
            people.
        output: Destination folder. A comparison that was stopped continues from it; nothing is kept if None.
        workers: Number of processes, each with one thread.
        source: Key of `careers.provenance.SOURCES` for the source of careers in memory.

    Returns:
        The comparison, which is also saved in `output`.

    Raises:
        ValueError: There is no such model or baseline, a model has fewer settings to try than `trials`, splits are
            missing, or the folder holds a comparison with other settings.
    """
    names = list(dict.fromkeys(model_names() if models is None else models))
    budget = Budget(trials, seeds, tuple(stages), tokens_per_batch, max_steps, warmup_steps, eval_steps, patience)
    splits = as_splits(careers)
    if missing := [name for name in ("train", "validation", "test") if name not in splits]:
        raise ValueError(f"a comparison needs the split '{missing[0]}', and the careers have {list(splits)}")
    check_not_empty(splits, ("train", "validation", "test"))
    # Transition tables keep the weights of test careers.
    parts = {name: with_weights(splits[name], weighted) for name in ("train", "validation", "test")}
    splits = {**parts, "test": splits["test"]}
    counted = [name for name in names if model_named(name)[0].is_counted]
    known = [YEAR, *(name for part in covariate_names(splits["train"]) for name in part)]
    if absent := [name for name in covariates if name not in known]:
        raise ValueError(f"covariate '{absent[0]}' is none of the careers': covariates are {known}")
    if len(counted) == len(names) and pretrained is None and set(covariates) - {YEAR}:
        raise ValueError(
            f"covariates={list(covariates)}, but {', '.join(counted)} are made of counts and have no covariates: "
            "leave them out, or compare a model that is trained too"
        )
    planned = planned_trials([name for name in names if name not in counted], budget, pretrained is not None)
    forms = {name: list(dict.fromkeys(trial.name for trial in planned if trial.model == name)) for name in names}
    tables = [form for name in names for form in forms[name] or [name]]
    tables += [PRETRAINED] if pretrained is not None else []
    baseline = tables[0] if baseline is None and tables else baseline
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is none of {tables}")
    with TemporaryDirectory() if output is None else locked(output) as folder:
        setup = _Setup(
            Path(folder),
            splits,
            tuple(covariates),
            source_record(careers, source),
            budget,
            None if pretrained is None else str(pretrained),
            tuple(sorted(watch)),
        )
        people = {name: len(part) for name, part in splits.items()}
        settings = {"people": people, "covariates": covariates, "pretrained": setup.pretrained}
        keep_settings(setup.folder, {**settings, "watch": setup.watch, "weighted": weighted, **asdict(budget)})
        run_jobs("Trials", [partial(_train, setup, trial) for trial in planned], workers)
        chosen = _best(setup.folder, planned)
        frozen = [replace(trial, seed=seed) for trial in chosen for seed in range(seeds)]
        scoring: list[Callable[[], Any]] = [partial(_score, setup, trial) for trial in frozen]
        run_jobs(
            "Further seeds, and scoring", [*scoring, *(partial(_count, setup, name) for name in counted)], workers
        )
        sizes = {name: 1 if name in counted else seeds for name in tables}
        scored = {
            name: [pd.read_parquet(_table_path(setup.folder, name, seed)) for seed in range(sizes[name])]
            for name in tables
        }
        _, ledger = shared_rows(scored)
        if pretrained is not None:
            note = who_was_trained_on(load_checkpoint(pretrained)[1], splits["test"])
            if note is not None:
                ledger.note(f"{PRETRAINED}: {note}")
        comparison = Comparison(scored, _trial_log(setup.folder, planned, frozen), baseline, draws, weighted, ledger)
        if output is not None:
            comparison.save(output)
    return comparison


def planned_trials(models: Sequence[str], budget: Budget, pretrained: bool = False) -> list[Trial]:
    """All trials, with the first seed and the same number for each model.

    Args:
        models: Names of trained models.
        budget: The budget of every model.
        pretrained: Whether a pretrained CAREER is fine-tuned too.

    Raises:
        ValueError: A model has fewer settings to try than trials.
    """
    grids = {name: (model_named(name)[0].trial_rates, model_named(name)[0].trial_fields) for name in models}
    forms = [(name, stages) for stages in budget.stages for name in models]
    if pretrained:
        career = CareerForOccupationPrediction
        grids[PRETRAINED] = career.finetuning_rates, career.finetuning_fields
        forms.append((PRETRAINED, 2))
    return [
        Trial(name, stages, rate, fields=fields)
        for name, stages in forms
        for rate, fields in trial_grid(*grids[name], budget.trials)
    ]


def trial_grid(
    rates: Sequence[float], fields: Sequence[Mapping[str, Any]], trials: int
) -> list[tuple[float, Mapping[str, Any]]]:
    """Pairs of a learning rate and fields of a config, ordered by the sum of their places, so that few trials vary
    both.

    Args:
        rates: Peak learning rates, the most promising first.
        fields: Fields of the config, the most promising first.
        trials: Number of pairs.

    Raises:
        ValueError: There are fewer pairs than trials.
    """
    pairs = sorted(itertools.product(enumerate(rates), enumerate(fields)), key=lambda pair: pair[0][0] + pair[1][0])
    if trials > len(pairs):
        raise ValueError(f"trials is {trials}, and a model has {len(pairs)} settings to try: ask for fewer")
    return [(rate, chosen) for (_, rate), (_, chosen) in pairs[:trials]]


def score_once(
    path: Path,
    model: PreTrainedModel,
    processor: CareerProcessor,
    careers: Dataset,
    *,
    split: str = "test",
    **options: Any,
) -> None:
    """Writes the transition table of careers to a Parquet file, unless the file exists.

    Args:
        path: Destination file.
        model, processor: The model that scores the careers, and its processor.
        careers: Careers to score.
        split: Name of the split in the table.
        options: Further options of `transition_table`.
    """
    if not path.exists():
        _write_table(
            path, transition_table(model, careers, processor, split=split, unknown_levels="missing", **options)
        )


def _train(setup: _Setup, trial: Trial) -> tuple[PreTrainedModel, CareerProcessor]:
    """Trains the model of a trial, or loads it."""
    budget, splits, vocabulary = setup.budget, setup.splits, setup.vocabulary()
    settings = linear_schedule(
        rate=trial.rate,
        seed=trial.seed,
        max_steps=budget.max_steps,
        tokens_per_batch=budget.tokens_per_batch,
        patience=budget.patience,
        warmup_steps=budget.warmup_steps,
        eval_steps=budget.eval_steps,
    )
    make_model: Callable[[Any], PreTrainedModel]
    if trial.model == PRETRAINED:
        pretrained = str(setup.pretrained)
        _, old = load_checkpoint(pretrained)
        processor = old.extend(splits["train"], covariates=setup.covariates, **vocabulary)
        recipe = partial(finetuning_recipe, processor, **settings)

        def make_model(_: Any) -> PreTrainedModel:
            model = CareerForOccupationPrediction.from_pretrained(pretrained, **trial.fields)
            model.resize_vocabulary(old, processor)
            return model
    else:
        model_class, named_fields = model_named(trial.model)
        make_model = model_class
        processor = CareerProcessor.fit(splits["train"], setup.covariates, **vocabulary)
        fields = {**named_fields, **trial.fields, "two_stage": trial.stages == 2}
        recipe = partial(recipe_for, model_class, processor, fields=fields, **settings)
    place = setup.folder / "models" / trial.folder
    return fit_once(place, make_model, processor, recipe, splits["train"], splits["validation"], setup.source)


def _score(setup: _Setup, trial: Trial) -> None:
    """Trains a model with a further seed, or loads it, and scores test careers."""
    path = _table_path(setup.folder, trial.name, trial.seed)
    if not path.exists():
        score_once(path, *_train(setup, trial), setup.splits["test"], watch=list(setup.watch))


def _count(setup: _Setup, name: str) -> None:
    """Makes a model of counts, tunes it, and scores test careers."""
    path = _table_path(setup.folder, name, 0)
    if not path.exists():
        model_class, fields = model_named(name)
        processor = CareerProcessor.fit(setup.splits["train"], [], **setup.vocabulary())
        encoded, validation = (processor.encode(setup.splits[part])[0] for part in ("train", "validation"))
        weighted = "weight" in encoded.column_names
        model = model_class.from_careers(encoded, validation, processor, tune=True, weighted=weighted, **fields)
        score_once(path, model, processor, setup.splits["test"], watch=list(setup.watch))


def _best(folder: Path, trials: Sequence[Trial]) -> list[Trial]:
    """For each model the trial with the best validation metric."""
    by_name: dict[str, list[Trial]] = {}
    for trial in trials:
        by_name.setdefault(trial.name, []).append(trial)
    return [best_trial(folder, model_trials) for model_trials in by_name.values()]


def _trial_log(folder: Path, planned: Sequence[Trial], frozen: Sequence[Trial]) -> pd.DataFrame:
    """One row per training run of a comparison."""
    log, chosen = training_log(folder), {trial.folder for trial in frozen}
    tried = {trial.folder for trial in planned}
    runs = {trial.folder: trial for trial in (*planned, *frozen)}
    rows = [
        {
            "model": trial.name,
            "rate": trial.rate,
            "fields": ", ".join(f"{key}={value}" for key, value in trial.fields.items()),
            "seed": trial.seed,
            **log.loc[place],
            "trial": place in tried,
            "chosen": place in chosen,
        }
        for place, trial in runs.items()
    ]
    columns = ["model", "rate", "fields", "seed", "updates", "hours", "best", "trial", "chosen"]
    return pd.DataFrame(rows, columns=columns).astype({"updates": int})


def _table_path(folder: Path, name: str, seed: int) -> Path:
    return folder / "tables" / name / f"{seed}.parquet"


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with complete(path) as unfinished:
        table.to_parquet(unfinished)


__all__ = ["Budget", "Comparison", "Trial", "compare", "planned_trials", "score_once", "trial_grid"]
