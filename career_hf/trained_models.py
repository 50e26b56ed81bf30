"""`train` and `finetune`: from careers to a trained model with its processor and its card.

They use the recipes of Appendix G for CAREER and every rival, with the model's name and numbers as arguments. Use
`training.fitting.fit_model` for another recipe or model. This file is not in `training`, because saving a model writes
its card, and `sharing` imports `training`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pandas as pd
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel
from transformers.utils import logging

from .argument_kinds import check_names
from .careers.atomic_files import locked
from .careers.bootstrap import bootstrap_weights
from .careers.columns import list_values, with_weights
from .careers.frames import as_splits, truncate
from .careers.ledger import Ledger
from .careers.mixing import Corpus, Mixture, mix
from .careers.periods import Period
from .careers.prepared import PreparedCareers
from .careers.provenance import SOURCES, UNKNOWN_SOURCE, source_of, years_of
from .careers.shards import CareerShards, person_years, split_shards, table_pieces
from .careers.splits import check_not_empty
from .encoding.checkpoints import as_checkpoint, load_checkpoint, load_processor
from .encoding.ensemble_folders import refuse_ensemble
from .encoding.mixtures import encode_mixture
from .encoding.processing_career import CareerProcessor
from .encoding.training_history import record_careers
from .encoding.vocabulary import label_counts
from .figures.style import save as save_figure
from .figures.training import plot_training, plot_trials
from .models.configuration_career import CareerConfig
from .models.modeling_career import CareerForOccupationPrediction
from .models.title_embeddings import load_title_embeddings, maker_with_titles
from .models.transfer import TransferReport
from .number_ranges import within_ranges
from .occupations.crosswalks import group_vectors
from .registration import model_named
from .sharing.card_results import RESULTS
from .sharing.model_card import redistribution_of, write_model_card
from .training.cells import SETTINGS
from .training.fitting import FittedModel, fit_model
from .training.named_recipes import RECIPES, check_recipe, recipe_settings
from .training.plan import AnnouncedPlan, TrainingPlan
from .training.run_record import counted_run
from .training.runs import claimed_run, last_checkpoint
from .training.search import RateTrial, rate_trials, search
from .training.trainer import Recipe, finetuning_defaults, finetuning_recipe, recipe_for


if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.get_logger(__name__)

Careers: TypeAlias = str | Path | Dataset | DatasetDict
# Corpora of a mixture.
Corpora: TypeAlias = Sequence[Careers | PreparedCareers]
Titles: TypeAlias = str | Path | Mapping[str, Any]
UNKNOWN = "unknown"
# The subfolder of the trials of a search.
TRIALS = "trials"


@dataclass(frozen=True, repr=False)
class TrainedModel(FittedModel):
    """What `train` and `finetune` return.

    Args:
        transfer: Names of the vocabulary that fine-tuning kept, added and dropped; None without pretraining.
        plan: Settings and expected time, as they were before training; None for a model made of counts.
        trials: With `trials` above 1 their table, as `training.search.search` returns it.
    """

    transfer: TransferReport | None = None
    plan: TrainingPlan | None = None
    trials: pd.DataFrame | None = None

    def figure(self) -> Figure:
        """The learning curve: loss of training careers, and negative log-likelihood of validation careers.

        Raises:
            ValueError: The model is made of counts and has no curve.
        """
        if self.state is None:
            raise ValueError(f"a {type(self.model).__name__} is counted, so it has no learning curve")
        return plot_training(self.to_frame())

    def save(self, folder: str | Path) -> Self:
        """Writes the model, its processor and its model card, README.md, into a folder; of several processes that
        train together, the first does.

        Args:
            folder: Destination folder. Evaluation results of an earlier model in the folder are deleted. The table of
                trials and, with matplotlib, its figure are in the subfolder `trials`.
        """
        return super().save(folder)

    def _write(self, folder: Path) -> None:
        super()._write(folder)
        if self.trials is not None:
            place = folder / TRIALS
            place.mkdir(exist_ok=True)
            self.trials.to_csv(place / "trials.csv")
            if find_spec("matplotlib") is not None:
                save_figure(plot_trials(self.trials), place / "trials.png")
        (folder / RESULTS).unlink(missing_ok=True)
        write_model_card(folder)


@within_ranges
def train(
    careers: Careers | Corpora,
    *,
    output: str | Path | None = None,
    model: str = "career",
    covariates: Sequence[str] = ("year",),
    occupations: Any = None,
    corpus_weights: Sequence[float] | None = None,
    cutoff: Period | None = None,
    one_stage: bool = False,
    recipe: str | None = None,
    learning_rate: float | None = None,
    warmup_steps: float | None = None,
    tokens_per_batch: int | None = None,
    max_steps: int | None = None,
    eval_steps: int | None = None,
    patience: int | None = None,
    dropout: float | None = None,
    trials: int = 1,
    job_dropout: float = 0.0,
    covariate_dropout: float = 0.0,
    title_embeddings: Titles | None = None,
    untitled: Collection[str] = (),
    tune_smoothing: bool = False,
    fields: Mapping[str, Any] | None = None,
    source: str | None = None,
    weighted: bool = False,
    bootstrap: bool = False,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Trains a model from scratch on careers: CAREER or one of its rivals, in two stages or one.

    If it is weighted, training stops by the weighted likelihood, which it maximises.

    Args:
        careers: A folder of careers, careers by split name, or careers, which are then split. A list of these is a
            mixture of corpora, as `careers.mixing.mix` makes it: what a corpus cannot contain is left out of its
            softmax, a covariate that it lacks is missing, and its own weights and counts are used. Training careers
            of a folder of Parquet files for each split (`save_shards`), or in `CareerShards`, are read part by part,
            and memory does not grow with them; validation careers are held in memory.
        output: Destination folder of the model, its processor and its card; intermediate checkpoints are in its
            subfolder `training`. Nothing is kept if None.
        model: Name of the model, one of `career_hf.registration.model_names()`.
        covariates: The year, and columns of the careers. Markov chains and mixtures of them have none.
        occupations: The occupations of the model: a list of labels, or a model in any form (a folder, a name, a pair,
            a result of training), whose occupations are taken in their order. Models have to share them where they are
            compared on few people, or are members of one ensemble. If None, they are those of the training careers,
            and "unknown", the one that all others become.
        corpus_weights: For a mixture, the weight of each corpus; by its person-years if None.
        cutoff: Last year, or label of a month or quarter, to train on, to forecast later ones; all years if None.
        one_stage: Whether to use one softmax instead of two stages.
        recipe: Where numbers below that are None come from. If None, from the number of person-years to train on
            (`training.trainer.training_defaults`), for the paper's model. "paper" has the paper's numbers, for large
            data: a rate of 5e-4 after 500 updates (or a tenth of `max_steps`, if that is 500 or less), which falls as
            their inverse square root, and at most 20,000 updates of 16,000 person-years. "best" is CAREER with a stage
            for returns and with inputs that are computed from the career, two layers and a short schedule
            (`training.named_recipes`); where labels are occ1990dd codes, occupations of one broad group share weights.
        learning_rate: Peak learning rate.
        warmup_steps: Number of updates until the peak rate, or below 1 their share of `max_steps`.
        tokens_per_batch: Number of person-years in one update.
        max_steps: Maximum number of updates; early stopping may come first.
        eval_steps: Number of updates between validations.
        patience: Number of validations without improvement after which training stops.
        dropout: Dropout in CAREER's feedforward network and attention.
        trials: Number of pairs of rate and dropout (of a rival, of rates) to try on validation careers. The first is
            the recipe's, further ones lie around it (`training.search`), and one that is given above stays. The best
            is returned; all are in `trials` of the result and, with their models, in the output folder's `trials`.
        job_dropout: For CAREER, the share of careers in which some earlier years are hidden; 0.5 for rationales.
        covariate_dropout: Probability that a covariate of a career is missing in an update. Above 0 the model's
            covariates become optional: it can be used and fine-tuned on careers that lack them.
        title_embeddings: For CAREER, vectors of titles by occupation, or a file that `save_title_embeddings` wrote.
        untitled: Occupations that have no title.
        tune_smoothing: For Markov chains, whether to choose smoothing weights on validation careers, as a mixture
            always does.
        fields: Further fields of the model's config, such as num_hidden_layers.
        source: Key of `careers.provenance.SOURCES` for the source of careers in memory; a folder records its own.
        weighted: Whether to use the careers' survey weights, in the loss, in counts and in early stopping.
        bootstrap: Whether training and validation careers have random weights, drawn by the seed
            (`careers.bootstrap`). Models of several seeds then differ as models of several samples of people do
            (`train_ensemble`).
        seed: Random seed of the initial weights and of the order of careers.
        resume: Whether to continue from the newest whole checkpoint in the output folder. Settings and careers must be
            those of the run that was stopped; only `max_steps` may differ, and only with recipe "paper", because by
            the others the rate depends on it. Where the first `max_steps` was 500 or less, give the run's
            `warmup_steps`, and where it was below `eval_steps`, the run's `eval_steps` too, which follow from it.
            Trials that are in the output folder are not made again.
        overwrite: Whether another run in the output folder is replaced. The same run may always start again.

    Returns:
        The model, its processor, validation metrics, the training log, and `plan`: what was chosen, and what it was
        expected to cost, which is also logged before the first update (logger "career_hf.training.plan").

    Raises:
        ValueError: There is no such model or recipe, it has no use for an option or field, careers have no splits
            `train` and `validation`, they hold an occupation that is not among those given, corpora cannot be mixed,
            there is nothing to resume from, weights are asked for and missing, or the output folder holds another run,
            one that is training, or an ensemble.
    """
    refuse_ensemble(output)
    model_class, named_fields = model_named(model)
    is_career = model_class is CareerForOccupationPrediction
    options: dict[str, Any] = {"learning_rate": learning_rate, "warmup_steps": warmup_steps}
    options |= {"tokens_per_batch": tokens_per_batch, "max_steps": max_steps, "eval_steps": eval_steps}
    options |= {"patience": patience, "dropout": dropout}
    check_recipe(recipe, is_career)
    of_fields = {"dropout": (fields or {}).get("hidden_dropout")}
    fixed = [name for name in ("learning_rate", "dropout") if (options[name], of_fields.get(name)) != (None, None)]
    given = {**options, "covariates": covariates, "one_stage": one_stage, "job_dropout": job_dropout}
    given |= {
        "title_embeddings": title_embeddings,
        "tune_smoothing": tune_smoothing,
        "resume": resume,
        "trials": trials,
    }
    _check_options(model, model_class, given)
    _check_fields(model, model_class, fields or {})
    titles = _load_titles(title_embeddings)
    if len(untitled) and title_embeddings is None:
        raise ValueError(f"untitled is {untitled!r}, and there are no titles: give title_embeddings too")
    labels, unknown = _label_set(occupations)
    if bootstrap and isinstance(careers, (list, tuple)):
        raise ValueError("bootstrap is for one set of careers, and these are corpora of a mixture: leave it out")
    mixture = _mixture(careers, corpus_weights, covariates, is_career, source, cutoff)
    encode = None
    if mixture is None:
        splits = _training_splits(careers, cutoff, weighted, seed if bootstrap else None)
        dated = splits["train"]
        record = {**source_record(careers, source), **years_of(dated)}
    else:
        splits, encode = mixture.splits, partial(encode_mixture, limits=mixture.limits)
        dated = mixture.dated if "year" in covariates else splits["train"]
        record = mixture_record(mixture)
        if labels is None:
            # Those that a corpus alone has are known to all.
            labels = sorted(_occupation_counts(splits["train"]))
    processor = CareerProcessor.fit(
        dated,
        covariates=[] if model_class.is_counted else covariates,
        unknown_occupation=unknown,
        occupations=labels,
    )
    named = None if recipe is None else RECIPES[recipe]
    if titles is None and named is not None and named.groups:
        titles = group_vectors(processor.occupation_labels) or None
    if covariate_dropout:
        processor.optional_covariates = list(processor.covariate_names)
    if model_class.is_counted and isinstance(splits["train"], CareerShards):
        raise ValueError(f"{model} is counted from careers in memory, and these are read from files: load them")
    if model_class.is_counted:
        training = None if output is None else Path(output) / "training"
        claim: AbstractContextManager[Any] = nullcontext()
        if training is not None and training.is_dir():
            # The folder of a run that another model was trained in.
            claim = claimed_run(training, {"model": model}, resume=False, overwrite=overwrite)
        _refuse_trials(output, overwrite)
        with claim:
            every_field = {**named_fields, **(fields or {})}
            counted = _count(model, splits, processor, record, tune_smoothing, seed, every_field)
            return _saved(_noted(counted, bootstrap, weighted, seed), output)
    settings = recipe_settings(
        recipe, options, person_years(splits["train"]), None if is_career else model_class.trial_rates[0]
    )
    settings["eval_steps"] = min(settings["eval_steps"], settings["max_steps"])
    dropout = settings.pop("dropout")
    dropout = (fields or {}).get("hidden_dropout", dropout)
    config_fields: dict[str, Any] = {"two_stage": not one_stage, **named_fields, **(named.fields if named else {})}
    config_fields |= {"title_embedding_size": _titles_size(titles)} if is_career else {}

    def make_recipe(trial: RateTrial, checkpoints: Path) -> Recipe:
        dropouts = {"hidden_dropout": trial.dropout, "attention_dropout": trial.dropout} if is_career else {}
        return recipe_for(
            model_class,
            processor,
            checkpoints,
            {**config_fields, **dropouts, **(fields or {})},
            job_dropout=job_dropout,
            covariate_dropout=covariate_dropout,
            save_steps=settings["eval_steps"],
            seed=seed,
            **{**settings, "learning_rate": trial.learning_rate},
            **_stopping_metric(splits["train"]),
        )

    planned = rate_trials(trials, settings["learning_rate"], dropout if is_career else None, fixed)
    announced = AnnouncedPlan(settings["patience"], person_years(splits["validation"]))
    make_model = maker_with_titles(model_class, titles or None, untitled_occupations(processor, titles, untitled))
    parts, tried = (splits["train"], splits["validation"]), None
    if trials == 1:
        with _training_folder(output, resume, overwrite) as training:
            fitted = fit_model(
                make_model,
                processor,
                make_recipe(planned[0], training),
                *parts,
                source=record,
                resume=resume,
                overwrite=overwrite,
                encode=encode,
                callbacks=[announced],
            )
    else:
        with _trials_folder(output, resume, overwrite) as folder:
            fitted, tried = search(
                folder, planned, make_model, processor, make_recipe, *parts, record, encode=encode, announced=announced
            )
    _note_unknown(fitted.ledger, processor, splits["validation"])
    trained = TrainedModel(**vars(fitted), plan=announced.plan, trials=tried)
    return _saved(_noted(trained, bootstrap, weighted, seed), output)


@within_ranges
def finetune(
    pretrained: Any,
    careers: Careers,
    *,
    output: str | Path | None = None,
    covariates: Sequence[str] = (),
    cutoff: Period | None = None,
    learning_rate: float | None = None,
    lr_scheduler_type: str | None = None,
    layerwise_decay: float | None = None,
    l2_sp: float | None = None,
    frozen_layers: int | None = None,
    dropout: float | None = None,
    warmup_steps: float | None = None,
    tokens_per_batch: int | None = None,
    max_steps: int | None = None,
    eval_steps: int | None = None,
    patience: int | None = None,
    job_dropout: float = 0.0,
    covariate_dropout: float = 0.0,
    title_embeddings: Titles | None = None,
    untitled: Collection[str] = (),
    source: str | None = None,
    weighted: bool = False,
    bootstrap: bool = False,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Fine-tunes a pretrained CAREER model on careers; occupations, levels and covariates are matched by name.

    The model keeps all its occupations, so that models that come from one checkpoint can be compared. Occupations of
    the training careers that it does not know are added; then "unknown" is one too, for those of other careers.

    Settings that are None follow from the number of training person-years (`training.trainer.finetuning_defaults`).
    The paper has others, for a large survey: a rate of 1e-4 that falls as "inverse_sqrt" after 500 updates, batches of
    16,000 person-years, and patience of 10 validations, 100 updates apart.

    Args:
        pretrained: Folder or Hub id of a CAREER model, the name of one that ships with the package, a pair of model
            and processor, or what `train` returns; it is not changed.
        careers: A folder of careers, careers by split name, or careers, which are then split.
        output: As in `train`.
        covariates: Covariates of the model; it keeps the pretrained ones and gets the others.
        learning_rate: Peak learning rate.
        lr_scheduler_type: How the rate falls, as Transformers names it: "linear" to zero at `max_steps`, "cosine" or
            "inverse_sqrt", for example.
        layerwise_decay: Ratio of each layer's rate to that of the layer above, so that what is near the input moves
            less; at 1 all have one rate.
        l2_sp: Strength of the decay towards the pretrained weights (`training.optimizers.adamw`); at 0 weights decay
            towards zero.
        frozen_layers: Number of layers, the lowest first, that keep their weights.
        dropout: Dropout in the feedforward network and attention; as in pretraining if None.
        cutoff, warmup_steps, tokens_per_batch, max_steps, eval_steps, patience: As in `train`.
        bootstrap, seed, resume, overwrite: As in `train`.
        job_dropout, covariate_dropout, title_embeddings, untitled, source, weighted: As in `train`. A model
            whose occupations share weights of their groups goes on to do so.

    Returns:
        The model, its processor, validation metrics and the training log, and `transfer`.

    Raises:
        ValueError: There is no such checkpoint, it is not a CAREER model, it has not so many layers to freeze, or as
            in `train`.
    """
    refuse_ensemble(output)
    titles = _load_titles(title_embeddings)
    if len(untitled) and title_embeddings is None:
        raise ValueError(f"untitled is {untitled!r}, and there are no titles: give title_embeddings too")
    splits = _training_splits(careers, cutoff, weighted, seed if bootstrap else None)
    record = {**source_record(careers, source), **years_of(splits["train"])}
    with _checkpoint_folder(pretrained) as checkpoint, _training_folder(output, resume, overwrite) as training:
        pretrained_model, pretrained_processor = load_checkpoint(checkpoint)
        if not isinstance(pretrained_model.config, CareerConfig):
            kind = pretrained_model.config.model_type
            raise ValueError(f"only CAREER is fine-tuned, and {checkpoint} is of the kind '{kind}'")
        new = [name for name in covariates if name not in pretrained_processor.covariate_names]
        labels = set(_occupation_counts(splits["train"]))
        _warn_of_another_coding(labels, pretrained_processor)
        is_new = not (labels | set(_occupation_counts(splits["validation"]))) <= set(pretrained_processor.occupations)
        processor = pretrained_processor.extend(
            splits["train"], covariates=new, unknown_occupation=UNKNOWN if is_new else None
        )
        if titles is None and _has_group_vectors(pretrained_model, pretrained_processor):
            # States have no group: new ones start as occupations without a title do.
            every = group_vectors(processor.occupation_labels)
            titles = {label: vector for label, vector in every.items() if any(vector)} or None
            untitled = [label for label, vector in every.items() if not any(vector)]
        if covariate_dropout:
            processor.optional_covariates = list(processor.covariate_names)
        fields = {} if dropout is None else {"hidden_dropout": dropout, "attention_dropout": dropout}
        transfers: list[TransferReport] = []

        def make_model(_: Any) -> PreTrainedModel:
            model = CareerForOccupationPrediction.from_pretrained(checkpoint, **fields)
            if titles and model.config.title_embedding_size is None:
                model = CareerForOccupationPrediction.from_pretrained(
                    checkpoint, title_embedding_size=_titles_size(titles), **fields
                )
                model.set_title_embeddings(titles, untitled_occupations(pretrained_processor, titles, untitled))
            without_title = untitled_occupations(processor, titles, untitled)
            transfers.append(model.resize_vocabulary(pretrained_processor, processor, titles, without_title))
            return model

        given = {
            "learning_rate": learning_rate,
            "lr_scheduler_type": lr_scheduler_type,
            "layerwise_decay": layerwise_decay,
            "l2_sp": l2_sp,
            "frozen_layers": frozen_layers,
            "warmup_steps": warmup_steps,
            "tokens_per_batch": tokens_per_batch,
            "max_steps": max_steps,
            "eval_steps": eval_steps,
            "patience": patience,
        }
        schedule = finetuning_defaults(person_years(splits["train"]))
        schedule |= {name: value for name, value in given.items() if value is not None}
        schedule["eval_steps"] = schedule["save_steps"] = min(schedule["eval_steps"], schedule["max_steps"])
        recipe = finetuning_recipe(
            processor,
            training,
            **schedule,
            job_dropout=job_dropout,
            covariate_dropout=covariate_dropout,
            seed=seed,
            **_stopping_metric(splits["train"]),
        )
        announced = AnnouncedPlan(recipe.patience, person_years(splits["validation"]))
        fitted = fit_model(
            make_model,
            processor,
            recipe,
            splits["train"],
            splits["validation"],
            source=record,
            resume=resume,
            overwrite=overwrite,
            callbacks=[announced],
        )
    _note_unknown(fitted.ledger, processor, splits["validation"])
    trained = TrainedModel(**vars(fitted), transfer=transfers[-1], plan=announced.plan)
    return _saved(_noted(trained, bootstrap, weighted, seed), output)


def _saved(trained: TrainedModel, output: str | Path | None) -> TrainedModel:
    """A model after it was saved; several processes go on when the first one has saved it."""
    if output is not None:
        trained.save(output)
        PartialState().wait_for_everyone()
    return trained


def _check_options(name: str, model_class: Any, given: Mapping[str, Any]) -> None:
    """Refuses options of `train` that differ from their defaults and that a model has no use for.

    Raises:
        ValueError: The message names the option and says why the model has no use for it.
    """
    unused: dict[str, str] = {}
    if model_class is not CareerForOccupationPrediction:
        unused |= {
            "dropout": "other models have their own dropout, if any, as hidden_dropout of fields",
            "job_dropout": "rivals cannot hide a year from the others",
            "title_embeddings": "rivals have no place for titles",
        }
    unused = {option: f"is for CAREER and not for {name}, because {reason}" for option, reason in unused.items()}
    if model_class.is_counted:
        counted = f"is not for {name}, which is made of counts"
        steps = (
            "learning_rate",
            "warmup_steps",
            "tokens_per_batch",
            "max_steps",
            "eval_steps",
            "patience",
            "resume",
            "trials",
        )
        unused |= dict.fromkeys(steps, f"{counted} and is not trained step by step")
        unused |= {"covariates": f"{counted} and has no covariates", "one_stage": f"{counted} and has no stages"}
    else:
        unused["tune_smoothing"] = f"is for models that are made of counts, and {name} is not one"
    defaults = signature(train).parameters
    for option, reason in unused.items():
        value, default = given[option], defaults[option].default
        if option == "covariates":
            value, default = list(value) or list(default), list(default)
        if value is not default and value != default:
            raise ValueError(f"{option} {reason}: leave it out")


def _check_fields(name: str, model_class: Any, fields: Mapping[str, Any]) -> None:
    """Refuses further fields that the model's config does not have, which it would keep and never read.

    Raises:
        ValueError: The message has the fields that there are.
    """
    if model_class.is_counted:
        own = ("train", "validation", "processor", "tune", "weighted", "seed")
        known = [field for field in signature(model_class.from_careers).parameters if field not in own]
    else:
        parameters = signature(model_class.config_class).parameters
        known = [*parameters, *model_class.config_class.attribute_map, "attn_implementation"]
    if unknown := [field for field in fields if field not in known]:
        raise ValueError(
            f"fields has {unknown[0]!r}, which {name} does not have; it has {', '.join(sorted(known)) or 'none'}"
        )


def _occupation_counts(careers: Dataset | CareerShards) -> Counter[str]:
    """The number of person-years of careers, in memory or in files, in each occupation."""
    counts = Counter[str]()
    for piece in table_pieces(careers.select_columns(["occupation"])):
        counts.update(label_counts(list_values(piece, "occupation")))
    return counts


def _warn_of_another_coding(labels: Collection[str], processor: CareerProcessor) -> None:
    """Warns if a pretrained model knows less than half of the occupations of training careers."""
    new = sorted(set(labels) - set(processor.occupations))
    if len(new) > len(labels) / 2:
        logger.warning_once(
            f"the pretrained model does not know {len(new)} of {len(labels)} occupations of training careers, such as "
            f"{new[0]!r}, and learns them anew; if they are codes of another coding, map them first, as "
            "`career-hf prepare panel --crosswalk census2010` and `career_hf.sources.panel(crosswalk=...)` do"
        )


def _note_unknown(ledger: Ledger, processor: CareerProcessor, validation: Dataset | CareerShards) -> None:
    """Says in a ledger what the unknown occupation does to the metrics of validation careers."""
    known = set(processor.occupation_labels)
    counts = _occupation_counts(validation)
    outside = [count for label, count in counts.items() if label not in known]
    if outside:
        ledger.note(
            f"{sum(outside):,} of {counts.total():,} person-years of validation careers are in {len(outside)} "
            f"occupations that training careers do not have. All count as one, '{processor.unknown_occupation}', "
            "which is easier to predict than one of them: the perplexity cannot be compared with that of a model that "
            "tells them apart, unless both are trained with the same occupations (occupations=, --occupations)"
        )


def _label_set(occupations: Any) -> tuple[list[str] | CareerProcessor | None, str | None]:
    """Occupations for `CareerProcessor.fit`, and its unknown one, of what a caller calls occupations."""
    if occupations is None:
        return None, UNKNOWN
    if isinstance(occupations, (str, Path)):
        processor = load_processor(occupations)
    elif hasattr(occupations, "processor") or (isinstance(occupations, tuple) and len(occupations) == 2):
        _, processor = as_checkpoint(occupations)
    else:
        check_names(occupations=occupations)
        return list(occupations), UNKNOWN if UNKNOWN in occupations else None
    if not isinstance(processor, CareerProcessor):
        raise ValueError(f"occupations={occupations!r} are no labels and no model: pass a list of labels, or a model")
    return processor, processor.unknown_occupation


def _mixture(
    careers: Any,
    corpus_weights: Sequence[float] | None,
    covariates: Sequence[str],
    is_career: bool,
    source: str | None,
    cutoff: Period | None,
) -> Mixture | None:
    """The mixture of a list of corpora; None of one set of careers."""
    if not isinstance(careers, (list, tuple)):
        if corpus_weights is not None:
            raise ValueError("corpus_weights are for a mixture, and there is one set of careers: pass a list of them")
        return None
    if not is_career:
        raise ValueError("a mixture of corpora is for CAREER: give a rival one set of careers")
    if source is not None or cutoff is not None:
        raise ValueError("source and cutoff are for one set of careers: corpora of a mixture have their own")
    return mix(careers, corpus_weights, covariates)


def mixture_record(mixture: Mixture) -> dict[str, Any]:
    """The source of a mixture, in a form that a checkpoint can keep: its corpora, and the strictest of their terms.

    Args:
        mixture: What `careers.mixing.mix` returns.
    """
    licences = list(dict.fromkeys(str(corpus.source["license"]) for corpus in mixture.corpora))
    dated = [corpus.limits.calendar for corpus in mixture.corpora]
    return {
        "source": " + ".join(corpus.name for corpus in mixture.corpora),
        "license": ", ".join(licences),
        "redistribution": redistribution_of([{"source": corpus.source} for corpus in mixture.corpora]),
        **(years_of(mixture.dated) if any(dated) else {}),
        "corpora": [_corpus_record(corpus) for corpus in mixture.corpora],
    }


def _corpus_record(corpus: Corpus) -> dict[str, Any]:
    """What a checkpoint keeps of one corpus of its mixture."""
    limits = {"lacks": list(corpus.limits.lacks), "stays": corpus.limits.stays}
    sizes = {name: getattr(corpus, name) for name in ("share", "careers", "people", "person_years")}
    return {"name": corpus.name, **corpus.source, **sizes, **limits}


def untitled_occupations(
    processor: CareerProcessor, titles: Mapping[str, Any] | None, untitled: Collection[str]
) -> list[str]:
    """Occupations of a model that have no title: the `untitled` ones, and the unknown one."""
    labels = [str(processor.unknown_occupation), *untitled]
    return [label for label in labels if label in processor.occupations and label not in (titles or {})]


def source_record(careers: Careers, source: str | None = None) -> dict[str, Any]:
    """The source of careers, in a form that a checkpoint can keep.

    Args:
        careers: Careers; a folder records its source.
        source: Key of `careers.provenance.SOURCES` for the source of careers in memory.

    Raises:
        ValueError: There is no such source.
    """
    if source is not None:
        if source not in SOURCES:
            raise ValueError(f"there is no source '{source}'; sources are {', '.join(SOURCES)}")
        return dict(SOURCES[source].record)
    return source_of(careers) if isinstance(careers, (str, Path)) else dict(UNKNOWN_SOURCE)


def _count(
    name: str,
    splits: Mapping[str, Dataset],
    processor: CareerProcessor,
    record: Mapping[str, Any],
    tune: bool,
    seed: int,
    fields: Mapping[str, Any],
) -> TrainedModel:
    """Makes a model of counts."""
    model_class, _ = model_named(name)
    encoded, _ = processor.encode(splits["train"])
    validation, ledger = processor.encode(splits["validation"], unknown_levels="missing")
    started = perf_counter()
    weighted = "weight" in encoded.column_names
    model = model_class.from_careers(encoded, validation, processor, tune=tune, weighted=weighted, seed=seed, **fields)
    processor.record_training(encoded, "training", record)
    record_careers(processor.training_stages[-1], splits["train"])
    settings = {"model": name, "tuned": tune or model_class.is_always_tuned}
    processor.training_stages[-1]["run"] = counted_run(perf_counter() - started, settings)
    _note_unknown(ledger, processor, splits["validation"])
    return TrainedModel(model, processor, {}, ledger)


def _noted(trained: TrainedModel, bootstrap: bool, weighted: bool, seed: int) -> TrainedModel:
    """The model, whose last stage of training says if it was on a resample."""
    if bootstrap:
        trained.processor.training_stages[-1]["bootstrap"] = {"seed": seed, "survey_weights": weighted}
    return trained


def _training_splits(
    careers: Careers, cutoff: Period | None, weighted: bool, resample: int | None
) -> Mapping[str, Any]:
    """The splits "train" and "validation", cut and with the weights of training, of a resample if it has a seed."""
    splits: Mapping[str, Any] = {}
    if isinstance(careers, (str, Path)):
        splits = split_shards(careers)
    elif isinstance(careers, Mapping) and isinstance(careers.get("train"), CareerShards):
        splits = careers
    if splits and cutoff is not None:
        raise ValueError(f"cutoff={cutoff} needs careers in memory, and these are read from files: cut the files")
    if splits and resample is not None:
        raise ValueError("bootstrap needs careers in memory, and these are read from files: load them")
    splits = splits or as_splits(careers)
    missing = [name for name in ("train", "validation") if name not in splits]
    if missing:
        raise ValueError(f"training needs the splits 'train' and 'validation', and the careers have {list(splits)}")
    check_not_empty(splits, ("train", "validation"))
    parts = {name: splits[name] for name in ("train", "validation")}
    if cutoff is not None:
        parts = {name: truncate(part, cutoff)[0] for name, part in parts.items()}
    parts = {name: with_weights(part, weighted) for name, part in parts.items()}
    if resample is None:
        return parts
    return {name: bootstrap_weights(part, [resample, number]) for number, (name, part) in enumerate(parts.items())}


def careers_record(careers: Careers | Corpora, cutoff: Period | None) -> dict[str, Any] | None:
    """What tells the careers of one training run from those of another, in a form for JSON, without any person's hash.

    Args:
        careers: Careers, as in `train`.
        cutoff: As in `train`.

    Returns:
        By split the number of person-years, the last year, and a hash; None of a mixture.
    """
    if isinstance(careers, (list, tuple)):
        return None
    found = {}
    for name, part in _training_splits(careers, cutoff, False, None).items():
        stage: dict[str, Any] = {}
        record_careers(stage, part)
        people = hashlib.sha256(stage.pop("people_hashes", "").encode()).hexdigest()[:16]
        found[name] = {"person_years": person_years(part), **stage, "people": people}
    return found


def _stopping_metric(train: Dataset) -> dict[str, str]:
    return {"metric_for_best_model": "weighted_nll"} if "weight" in train.column_names else {}


def _has_group_vectors(model: Any, processor: CareerProcessor) -> bool:
    """Whether the title vectors of a model are those of its occupations' groups."""
    vectors = group_vectors(processor.occupation_labels)
    if not vectors or model.config.title_embedding_size != _titles_size(vectors):
        return False
    own = model.lm_head.title_projection.title_embeddings.cpu().numpy()
    return all((own[processor.occupations.index(label)] == vector).all() for label, vector in vectors.items())


def _load_titles(titles: Titles | None) -> Mapping[str, Any] | None:
    return load_title_embeddings(titles) if isinstance(titles, (str, Path)) else titles


def _titles_size(titles: Mapping[str, Any] | None) -> int | None:
    """Length of the title vectors; None without titles."""
    if not titles:
        return None
    occupation, vector = next(iter(titles.items()))
    if not hasattr(vector, "__len__"):
        raise ValueError(f"the title embedding of '{occupation}' is {vector!r}, and must be a vector")
    return len(vector)


@contextmanager
def _training_folder(output: str | Path | None, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of intermediate checkpoints, a temporary one without an output folder."""
    if resume and overwrite:
        raise ValueError("resume continues the run in the output folder and overwrite replaces it: give one of them")
    _refuse_trials(output, overwrite)
    if output is not None:
        training = Path(output) / "training"
        if resume and last_checkpoint(training) is None:
            raise ValueError(f"there is no checkpoint in {training} to resume from: train without resuming")
        yield training
    elif resume:
        raise ValueError("resuming needs the output folder of the training that was stopped")
    else:
        if PartialState().num_processes > 1:
            raise ValueError("several processes that train together need one folder for checkpoints: give output")
        with TemporaryDirectory() as temporary:
            yield Path(temporary)


@contextmanager
def _trials_folder(output: str | Path | None, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of trials, which no other run writes to; a temporary one without an output folder."""
    if resume and overwrite:
        raise ValueError("resume continues the trials in the output folder and overwrite replaces them: give one")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ValueError(
            "trials are trained by one process, and several were launched: leave trials out, or launch one"
        )
    if output is not None:
        training, folder = Path(output) / "training", Path(output) / TRIALS
        if resume and not (folder / "models").is_dir():
            raise ValueError(f"there are no trials in {folder} to resume: train without resuming")
        if training.is_dir():
            with claimed_run(training, {"trials": folder.name}, resume=False, overwrite=overwrite):
                pass
        with locked(folder):
            if overwrite:
                shutil.rmtree(folder / "models", ignore_errors=True)
                (folder / SETTINGS).unlink(missing_ok=True)
            yield folder
    elif resume:
        raise ValueError("resuming needs the output folder of the training that was stopped")
    else:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)


def _refuse_trials(output: str | Path | None, overwrite: bool) -> None:
    """Refuses, or removes, trials of an earlier search in the output folder of a run that has none."""
    if output is not None and (folder := Path(output) / TRIALS).is_dir():
        if not overwrite:
            raise ValueError(
                f"{folder} holds trials of another run: take another folder, or replace the run with overwrite=True "
                "(--overwrite)"
            )
        shutil.rmtree(folder)


@contextmanager
def _checkpoint_folder(pretrained: Any) -> Iterator[str | Path]:
    """The folder or Hub id of a pretrained model; a model in memory is saved in a temporary folder."""
    if isinstance(pretrained, (str, Path)):
        yield pretrained
    else:
        model, processor = as_checkpoint(pretrained)
        with TemporaryDirectory() as temporary:
            model.save_pretrained(temporary)
            processor.save_pretrained(temporary)
            yield temporary


__all__ = [
    "TrainedModel",
    "careers_record",
    "finetune",
    "mixture_record",
    "source_record",
    "train",
    "untitled_occupations",
]
