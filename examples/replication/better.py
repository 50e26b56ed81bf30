"""A better model than CAREER: a stage for returns, inputs that are computed from the career, and shared weights of
occupations of one broad group, together and without each, on one split.

Every model sees the same training people. CAREER and NEMO have the schedule that won their trials in the study of
rivals; what is new has fewer updates. Variants of the new model differ in one thing from the recipe, which was chosen
on validation careers. With resumes, the recipe is also trained on the survey and on them at once. Test careers are
scored once, after everything is trained.

The log-perplexity of a model is the sum of five parts, by the chain rule: the first occupation; whether a person
stays; whether a mover returns to an earlier occupation; which earlier occupation; and which new one. Perplexities of
returns and new occupations alone mix the last three: a model that gives returns what they deserve takes it from new
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from career_hf.careers.ledger import Ledger
from career_hf.careers.mixing import Mixture, mix
from career_hf.careers.prepared import PreparedCareers
from career_hf.careers.provenance import Limits, source_of
from career_hf.cli.console import say, show
from career_hf.comparing import score_once
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.mixtures import encode_mixture
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import auc_differences, perplexity_differences, summarize
from career_hf.evaluation.report import calibration
from career_hf.evaluation.transition_table import distributions, transition_table
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.title_embeddings import maker_with_titles
from career_hf.occupations.crosswalks import group_vectors
from career_hf.rivals.backoff import BackoffForOccupationPrediction
from career_hf.rivals.nemo import NemoForOccupationPrediction
from career_hf.trained_models import mixture_record
from career_hf.training.cells import fit_once, linear_schedule
from career_hf.training.trainer import recipe_for

from .pretrained import Start, corpus
from .rivals import broad_groups
from .study import (
    CareersStudy,
    Covariates,
    Data,
    Made,
    Output,
    Seeds,
    StudyResult,
    StudySettings,
    Tables,
    Trial,
    Workers,
    page_of,
    studies,
    whiskers,
    with_interval,
    write_table,
)


BASELINE, TRUTH, COUNTED = "CAREER, two stages", "the truth", "counted moves"
PARTS = ("first", "stay or move", "return or new", "which return", "which new")
POINTER, FEATURES = {"return_pointer": True}, {"career_features": True}
TWO_LAYERS = {"num_hidden_layers": 2}
WITH_RESUMES = "the recipe, with resumes"


@dataclass(frozen=True)
class Variant:
    """A model of the study.

    Args:
        fields: Fields of its config.
        model: Its class.
        rate: Peak learning rate.
        weight_decay: Weight decay of every parameter.
        dropout: Dropout of hidden states and attention; the class's own if None.
        groups: Whether occupations share weights of their broad groups, where labels are occ1990dd codes.
        is_new: Whether it is trained by the new, short schedule.
        with_resumes: Whether it is trained on resumes too, by a schedule of its own.
    """

    fields: Mapping[str, Any]
    model: type[PreTrainedModel] = CareerForOccupationPrediction
    rate: float = 3e-3
    weight_decay: float = 0.3
    dropout: float | None = None
    groups: bool = True
    is_new: bool = True
    with_resumes: bool = False

    def made(self, processor: CareerProcessor) -> tuple[Callable[[Any], PreTrainedModel], dict[str, Any]]:
        """What makes a model for a processor, and the fields of its config."""
        fields, titles = dict(self.fields), None
        if self.groups:
            titles = group_vectors(processor.occupation_labels) or None
        if titles is not None:
            fields |= {"title_embedding_size": len(next(iter(titles.values())))}
        if self.dropout is not None:
            fields |= {"hidden_dropout": self.dropout, "attention_dropout": self.dropout}
        return maker_with_titles(self.model, titles), fields


OLD = partial(Variant, weight_decay=0.01, groups=False, is_new=False)
VARIANTS = {
    BASELINE: OLD(TWO_LAYERS),
    "the recipe": Variant(TWO_LAYERS | POINTER | FEATURES),
    "CAREER, one stage": OLD(TWO_LAYERS | {"two_stage": False}),
    "NEMO, two stages": OLD({}, model=NemoForOccupationPrediction),
    "without groups": Variant(TWO_LAYERS | POINTER | FEATURES, groups=False),
    "without weight decay": Variant(TWO_LAYERS | POINTER | FEATURES, weight_decay=0.01),
    "without features": Variant(TWO_LAYERS | POINTER),
    "without a return stage": Variant(TWO_LAYERS | FEATURES),
    "with more dropout": Variant(TWO_LAYERS | POINTER | FEATURES, dropout=0.25),
    WITH_RESUMES: Variant(TWO_LAYERS | POINTER | FEATURES, weight_decay=0.1, with_resumes=True),
}


@dataclass(frozen=True, kw_only=True)
class BetterSettings(StudySettings):
    """Sizes of the study; `most_steps` and `tokens_per_batch` are those of CAREER and NEMO.

    Args:
        new_steps, new_tokens: Updates of a new model, and person-years in each.
        resume_steps, resume_tokens: Updates of a model that is trained on resumes too, and person-years in each.
        survey_share: The survey's share of the weight of both.
        models: Names in `VARIANTS`.
    """

    new_steps: int = 900
    new_tokens: int = 2_000
    resume_steps: int = 1_600
    resume_tokens: int = 8_000
    survey_share: float = 0.3
    models: tuple[str, ...] = field(default_factory=lambda: tuple(VARIANTS))

    @classmethod
    def quick(cls) -> BetterSettings:
        """A size at which everything runs and little is learned."""
        return cls(seeds=1, most_steps=30, new_steps=30, resume_steps=30, draws=100)


@dataclass(frozen=True)
class BetterStudy(CareersStudy):
    """Leaves levels, averages, parts, cuts, moving, calibration and costs as CSV, all as tables.md, and better.png.

    Args:
        truth: Checkpoint of the true model, of careers that are simulated.
        resumes: Resumes of the same market, as careers in splits or as `simulate` writes them.
    """

    settings: BetterSettings = BetterSettings()
    truth: Path | None = None
    resumes: Path | None = None

    def described(self) -> dict[str, Any]:
        settings = {
            name: value for name, value in vars(self.settings).items() if name not in ("seeds", "draws", "models")
        }
        paths = {
            name: None if (path := getattr(self, name)) is None else str(path) for name in ("data", "truth", "resumes")
        }
        return {**paths, "covariates": self.covariates, **settings}

    def trials(self) -> list[Trial]:
        return [
            Trial(name, VARIANTS[name].rate, seed)
            for seed in range(self.settings.seeds)
            for name in self.settings.models
            if self.resumes is not None or not VARIANTS[name].with_resumes
        ]

    def compute(self, workers: int) -> None:
        self.tune(workers)
        # Only now, so that nothing that is trained can depend on test careers.
        self.work("Scoring", self.score, self.trials(), workers)
        self.keep_table(COUNTED, 0, self.counted)
        if self.truth is not None:
            self.keep_table(TRUTH, 0, partial(load_checkpoint, self.truth))

    def processor(self, covariates: tuple[str, ...], careers: Dataset | None = None) -> CareerProcessor:
        """Occupations of training careers, and one for all others; in a simulated market all that there are.

        Args:
            covariates: Covariates of the model.
            careers: Careers whose levels it knows; the survey's training careers if None.
        """
        train = self.splits()["train"]
        careers = train if careers is None else careers
        if self.truth is not None:
            truth = CareerProcessor.from_pretrained(self.truth)
            return CareerProcessor.fit(careers, covariates, occupations=truth.occupation_labels)
        held = sorted({label for occupations in train["occupation"] for label in occupations})
        return CareerProcessor.fit(careers, covariates, unknown_occupation="unknown", occupations=held)

    def train(self, trial: Trial) -> Made:
        settings, variant, careers = self.settings, VARIANTS[trial.model], self.splits()
        source, encode, optional = source_of(self.data), None, []
        steps, tokens = settings.most_steps, settings.tokens_per_batch
        if variant.is_new:
            steps, tokens = settings.new_steps, settings.new_tokens
        if variant.with_resumes:
            steps, tokens = settings.resume_steps, settings.resume_tokens
            mixture, optional = self.with_resumes()
            careers, source = mixture.splits, mixture_record(mixture)
            encode = partial(encode_mixture, limits=mixture.limits)
        processor = self.processor(self.covariates, careers["train"])
        processor.optional_covariates = optional
        schedule = linear_schedule(
            rate=trial.rate, seed=trial.seed, max_steps=steps, tokens_per_batch=tokens, patience=settings.patience
        )
        make_model, fields = variant.made(processor)
        recipe = partial(
            recipe_for, variant.model, processor, fields=fields, weight_decay=variant.weight_decay, **schedule
        )
        parts = careers["train"], careers["validation"]
        return fit_once(self.place(trial.folder), make_model, processor, recipe, *parts, source, encode=encode)

    def with_resumes(self) -> tuple[Mixture, list[str]]:
        """The survey and resumes at once, of which the survey validates alone; and the covariates that resumes do not
        have, so that a model learns to do without them."""
        splits = self.splits()
        resumes, _ = corpus(self.resumes)  # type: ignore[arg-type]  # `trials` has none without resumes
        held = {label for career in resumes["occupation"] for label in career}
        survey = DatasetDict({name: splits[name] for name in ("train", "validation")})
        # What no resume has, such as states without work, is left out of the softmax there.
        lacks = tuple(label for label in self.processor((), splits["train"]).occupation_labels if label not in held)
        corpora = [
            PreparedCareers.of_splits("panel", survey, Ledger()),
            PreparedCareers.of_splits("panel", DatasetDict(train=resumes), Ledger(), limits=Limits(lacks=lacks)),
        ]
        covariates, share = [name for name in self.covariates if name != "year"], self.settings.survey_share
        lacking = [name for name in covariates if name not in resumes.column_names]
        return mix(corpora, [share, 1 - share], covariates), lacking

    def counted(self) -> Made:
        """Counts moves of training careers; only its strengths are chosen, on validation careers."""
        processor, splits = self.processor(()), self.splits()
        careers = (processor.encode(splits[part])[0] for part in ("train", "validation"))
        return BackoffForOccupationPrediction.from_careers(*careers, processor), processor

    def score(self, trial: Trial) -> None:
        self.keep_table(trial.model, trial.seed, partial(self.train, trial))

    def keep_table(self, name: str, seed: int, make: Callable[[], Made]) -> None:
        """Writes the transition table of a model with its parts, and that of broad groups, unless they are there.

        Args:
            name, seed: The model's.
            make: Makes or loads the model and its processor.
        """
        table, of_groups = (self.folder / kind / name / f"{seed}.parquet" for kind in ("tables", "groups"))
        # The table of occupations is the last to be written, so where it is nothing is missing.
        if table.exists():
            return
        model, processor = make()
        if (mapping := broad_groups(processor)) is not None:
            score_once(of_groups, model, processor, self.test(), groups=mapping)
        write_table(table, table_with_parts(model, processor, self.test()))

    def report(self) -> StudyResult:
        tables, draws = self.tables(), self.settings.draws
        parts = parts_table(tables, draws)
        found = {
            "levels": levels_table(tables, draws),
            "averages": levels_table(averages(tables), draws),
            "parts": parts,
            "cuts": cuts_table(tables, self.tables("groups"), draws),
            "moving": auc_differences(tables, BASELINE, draws=draws),
            "calibration": calibration(tables, baseline=BASELINE, draws=draws),
            "costs": self.costs(),
        }
        return StudyResult(found, {"better": parts_figure(parts)}, better_page(found))

    def costs(self) -> pd.DataFrame:
        """Updates, hours and best validation log-perplexity of every model, averages over seeds."""
        models = dict.fromkeys(trial.model for trial in self.trials())
        rows = {name: self.training_of(f"{name}, {VARIANTS[name].rate:g}") for name in models}
        return pd.DataFrame({name: runs.mean() for name, runs in rows.items()}).T.rename_axis("model")


def table_with_parts(model: PreTrainedModel, processor: CareerProcessor, careers: Any) -> pd.DataFrame:
    """The transition table of careers with a column for each of `PARTS`: -log of a probability, 0 where it is no part.

    They sum to -log_prob in every row. Which steps are stays, returns and new is decided by the model's ids.
    """
    table = transition_table(model, careers, processor, split="test", unknown_levels="missing")
    encoded = EncodedCareers(processor.encode(careers, unknown_levels="missing")[0])
    flat = encoded.gather(np.arange(len(encoded)))
    previous, occupation, first = flat.input_ids, flat.labels, flat.positions == 0
    held = np.zeros((len(previous), len(processor.occupations)), dtype=bool)
    start = 0
    for length in flat.lengths:
        rows = slice(start + 1, start + length)
        at = np.zeros((length - 1, held.shape[1]), dtype=bool)
        at[np.arange(length - 1), previous[rows]] = True
        held[rows] = np.logical_or.accumulate(at, axis=0)
        start += length
    every = np.arange(len(previous))
    held[every, previous] = False
    log_stay, log_return, log_new = (np.full(len(previous), -np.inf) for _ in range(3))
    for place, log_probs, _, _ in distributions(model, encoded):
        p = log_probs.double().exp().cpu().numpy()
        rows = np.arange(len(place))
        with np.errstate(divide="ignore"):
            stay = np.where(first[place], 0, p[rows, previous[place]])
            back = (p * held[place]).sum(axis=1)
            log_stay[place], log_return[place] = np.log(stay), np.log(back)
            log_new[place] = np.log(np.maximum(p.sum(axis=1) - stay - back, 1e-300))
    stays = ~first & (occupation == previous)
    returns = ~first & held[every, occupation]
    new = ~first & ~stays & ~returns
    log_move = np.logaddexp(log_return, log_new)
    log_prob = table["log_prob"].to_numpy()
    found = {
        "first": np.where(first, -log_prob, 0),
        "stay or move": np.where(first, 0, -np.where(stays, log_prob, log_move)),
        "return or new": np.where(returns, log_move - log_return, 0) + np.where(new, log_move - log_new, 0),
        "which return": np.where(returns, log_return - log_prob, 0),
        "which new": np.where(new, log_new - log_prob, 0),
    }
    return table.assign(**{part: found[part] for part in PARTS})


def levels_table(tables: Tables, draws: int) -> pd.DataFrame:
    """Test perplexity with its interval, the difference of log-perplexity from two-stage CAREER, and over the floor.

    `excess` is the log-perplexity over the truth's, and `left` its share of CAREER's, where there is a truth.
    """
    found = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    compared = perplexity_differences(tables, BASELINE, draws)[["difference", "low", "high"]]
    compared = compared.rename(columns={name: f"{name}_of_difference" for name in ("low", "high")})
    found = found.join(compared).sort_values("perplexity")
    if TRUTH in found.index:
        found["excess"] = np.log(found["perplexity"] / found.loc[TRUTH, "perplexity"])
        found["left"] = found["excess"] / found.loc[BASELINE, "excess"]
    return found


def averages(tables: Tables) -> dict[str, list[pd.DataFrame]]:
    """One transition table for each model, with the average over its seeds of the probabilities of what happened."""
    found = {}
    for name, of in tables.items():
        log_prob = np.logaddexp.reduce([table["log_prob"].to_numpy() for table in of]) - np.log(len(of))
        found[name] = [of[0].assign(log_prob=log_prob)]
    return found


def parts_table(tables: Tables, draws: int) -> pd.DataFrame:
    """By model and part: its nats per step, and the difference from two-stage CAREER with its interval."""
    rows = []
    for part in PARTS:
        of_part = {name: [table.assign(log_prob=-table[part]) for table in of] for name, of in tables.items()}
        compared = perplexity_differences(of_part, BASELINE, draws)
        nats = {name: np.mean([table[part].mean() for table in of]) for name, of in tables.items()}
        found = compared[["difference", "low", "high"]].assign(part=part, nats=pd.Series(nats))
        rows.append(found.rename_axis("model").reset_index())
    return pd.concat(rows, ignore_index=True)


def cuts_table(tables: Tables, groups: Tables, draws: int) -> pd.DataFrame:
    """The difference from two-stage CAREER without first steps, without A-B-A returns, over gaps of one year, and of
    the probabilities of broad groups of occupations.

    Args:
        tables: Of occupations.
        groups: Of broad groups; may be empty.
        draws: Resamples of people.
    """
    cuts: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Tables]] = {
        "from the second step on": (lambda table: table[table["step"] > 0], tables),
        "without A-B-A": (lambda table: table[(table["step"] > 0) & ~table["aba"]], tables),
        "gaps of one year": (lambda table: table[(table["gap_years"] == 1).fillna(False)], tables),
        "broad groups": (lambda table: table, groups),
    }
    rows = []
    for cut, (take, source) in cuts.items():
        of_cut = {name: [take(table) for table in of] for name, of in source.items()}
        if of_cut:
            compared = perplexity_differences(of_cut, BASELINE, draws)[["perplexity", "difference", "low", "high"]]
            rows.append(compared.assign(cut=cut).rename_axis("model").reset_index())
    return pd.concat(rows, ignore_index=True)


def parts_figure(parts: pd.DataFrame) -> Figure:
    """The gain over two-stage CAREER in each part, a panel for each."""
    figure = Figure(figsize=(15, 4), layout="constrained")
    others = parts[parts["model"] != BASELINE]
    for axes, (part, rows) in zip(
        figure.subplots(1, len(PARTS), sharey=True), others.groupby("part", sort=False), strict=True
    ):
        axes.errorbar(rows["difference"], rows["model"], xerr=whiskers(rows, "difference"), fmt="o", color="#0072B2")
        axes.axvline(0, color="#555555", linewidth=0.8)
        axes.set(title=part, xlabel="nats per step, against CAREER")
    return figure


def levels_in_words(levels: pd.DataFrame) -> pd.DataFrame:
    """A table of `levels_table`, rounded, intervals in brackets."""
    difference = ("difference", "low_of_difference", "high_of_difference")
    columns = {
        "perplexity [95% interval]": with_interval(levels, "perplexity", "low", "high", 2),
        "log difference from CAREER": with_interval(levels, *difference, 3, "+"),
        "seeds": levels["seeds"],
    }
    if "left" in levels:
        columns |= {name: levels[name].map("{:.3f}".format) for name in ("excess", "left")}
    return pd.DataFrame(columns)


def better_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """All tables under headings, numbers rounded, intervals in brackets."""
    parts, cuts = tables["parts"], tables["cuts"]
    nats = parts.pivot(index="model", columns="part", values="nats").round(4)[list(PARTS)]
    gains = parts.assign(text=with_interval(parts, "difference", "low", "high", 4, "+"))
    of_cuts = cuts.assign(text=with_interval(cuts, "difference", "low", "high", 3, "+"))
    return page_of(
        {
            "Test perplexity": levels_in_words(tables["levels"]),
            "Test perplexity of models that are averaged over seeds": levels_in_words(tables["averages"]),
            "Parts, nats per step": nats,
            "Parts, against CAREER in two stages": gains.pivot(index="model", columns="part", values="text")[
                list(PARTS)
            ],
            "Cuts, against CAREER in two stages": of_cuts.pivot(index="model", columns="cut", values="text"),
            "AUC of moving": tables["moving"].round(3),
            "Calibration errors": tables["calibration"].round(4),
            "Cost": tables["costs"].round({"updates": 0, "hours": 2, "best": 4}),
        }
    )


@studies.command()
def better(
    data: Data,
    output: Output,
    covariates: Covariates = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    truth: Annotated[
        Path | None, typer.Option(help="The true model, as `simulate` writes it, for the floor.", exists=True)
    ] = None,
    resumes: Annotated[
        Path | None,
        typer.Option(help="Resumes of the same market, as `simulate` writes them, for one more model.", exists=True),
    ] = None,
    models: Annotated[
        str, typer.Option(help="Semicolon-separated names of the models; all if empty. Two-stage CAREER is needed.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A size at which everything runs in minutes.")] = False,
) -> None:
    """A stage for returns, inputs computed from the career and shared groups, beside CAREER and NEMO."""
    settings = BetterSettings.quick() if quick else BetterSettings(seeds=seeds)
    if models:
        named = tuple(name.strip() for name in models.split(";"))
        if unknown := [name for name in named if name not in VARIANTS]:
            raise typer.BadParameter(f"there is no model '{unknown[0]}'; models are {'; '.join(VARIANTS)}")
        if BASELINE not in named:
            raise typer.BadParameter(f"'{BASELINE}', which all others stand beside, is not among the models: add it")
        if resumes is None and (lacking := [name for name in named if VARIANTS[name].with_resumes]):
            raise typer.BadParameter(f"'{lacking[0]}' needs resumes: give --resumes")
        settings = replace(settings, models=named)
    Start(resumes=resumes).check()
    paths = {"data": data, "truth": truth, "resumes": resumes}
    study = BetterStudy(output, settings, covariates=tuple(covariates.split(",")), **paths)
    length = "each one to three minutes of one core on 10,000 people"
    length += "" if resumes is None else ", with resumes about a quarter of an hour"
    say(f"{len(study.trials())} training runs, {length}")
    result = study.run(workers)
    show(result["levels"], "Test perplexity, and difference of log-perplexity from two-stage CAREER")
    show(result["parts"].pivot(index="model", columns="part", values="difference"), "Parts, against CAREER")
    say(f"{output}/*.csv, better.png")
