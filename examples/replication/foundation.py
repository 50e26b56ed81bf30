"""What pretraining on real people's careers is worth to a survey, at 1% to all of its training people.

CAREER is pretrained on another survey, on published counts of moves between occupations, or on both, and then
fine-tuned on nested samples of the survey's training people; no corpus has anybody of the survey. All models have the
same occupations (every occ1990dd code, and three states), the same size, and one rule for updates, batches and rates
by the size of the sample (`finetuning_defaults`, and `SCRATCH_RATE` from scratch), which was chosen once on validation
people. Two controls say what is learned: with "occupations shuffled" the person-years of the other survey deal out
their occupations anew, so that only how common they are is left; with "occupations relabelled" every occupation goes
by the name of another, so that how careers move is left, and who moves where is lost. Counted models have the same
external counts, whose weight is chosen on validation people. Test people are scored once, at the end.

`foundation-checkpoint` trains the checkpoint that ships, on the corpora whose licences allow it, or, without the
NLSY79, the one behind the tables here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from datasets import Dataset, DatasetDict, concatenate_datasets
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from transformers import PreTrainedModel

import career_hf
from career_hf.careers.columns import career_table, list_lengths, list_values, make_dataset
from career_hf.careers.dataset_card import CARD
from career_hf.careers.frames import load_careers
from career_hf.careers.ledger import Ledger
from career_hf.careers.mixing import CORPUS, Mixture, mix
from career_hf.careers.moves import from_moves
from career_hf.careers.prepared import PreparedCareers
from career_hf.careers.provenance import Limits, limits_of, source_of
from career_hf.cli.console import say, show
from career_hf.cli.options import pairs
from career_hf.comparing import score_once
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.mixtures import encode_mixture
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.encoding.training_history import round_stage
from career_hf.evaluation.metrics import (
    mean_over_seeds,
    perplexity,
    perplexity_by,
    perplexity_differences,
    summarize,
)
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.title_embeddings import maker_with_titles
from career_hf.models.transfer import resize_vocabulary
from career_hf.occupations.crosswalks import codes, group_vectors
from career_hf.occupations.weighted_crosswalks import MILITARY_TARGET
from career_hf.rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture
from career_hf.rivals.nemo import NemoForOccupationPrediction
from career_hf.sharing.model_card import write_model_card
from career_hf.sharing.publishing import add_publication_section
from career_hf.sharing.rare_careers import K, rare_careers, small_counts
from career_hf.sources.panel_careers import panel
from career_hf.trained_models import mixture_record
from career_hf.training.cells import fit_once
from career_hf.training.named_recipes import RECIPES
from career_hf.training.trainer import finetuning_defaults, finetuning_recipe, recipe_for, scratch_recipe

from .membership import QUARTERS, attack_table
from .study import (
    Data,
    Made,
    Output,
    Seeds,
    Study,
    StudyResult,
    Tables,
    Workers,
    load_tables,
    page_of,
    studies,
    whiskers,
    with_interval,
)


STATES = ("unemployed", "out_of_labor_force", "in_school")
# Every model of the study has these occupations, whatever its careers hold.
OCCUPATIONS = (*codes(), *STATES)
COVARIATES = ("year", "education", "region", "race", "gender")
# The name of a corpus of either survey.
PANEL = "panel"
SCRATCH, OTHER, MOVES = "from scratch", "another survey", "counts of moves"
BOTH = "another survey and moves"
SHUFFLED, RELABELLED = "occupations shuffled", "occupations relabelled"
# The recipe of docs/replication/better_model.md: a stage for returns, computed inputs, and weights of broad groups.
BEST_SCRATCH, BEST_OTHER = "best recipe, from scratch", "best recipe, another survey"
# Not pretrained, but trained on the survey and the other one at once.
BEST_TOGETHER = "best recipe, both surveys at once"
PRETRAINED = (OTHER, BEST_OTHER, MOVES, BOTH, SHUFFLED, RELABELLED)
# Rivals that are trained, by their names in tables; their rates are those that won on all training people.
RIVALS: Mapping[str, tuple[Any, float]] = {
    "NEMO": (NemoForOccupationPrediction, 1e-3),
    "bag of jobs": (BagOfJobsForOccupationPrediction, 4e-3),
}
CHAIN, CHAINS, CHAIN_WITH_COUNTS = "Markov chain", "mixture of Markov chains", "Markov chain with external counts"
COUNTED = (CHAIN, CHAINS, CHAIN_WITH_COUNTS)
# Chains with the counts of one source each, by the name of its corpus: what the source is worth in people.
ONE_SOURCE: Mapping[str, str] = {
    "Markov chain with another survey": PANEL,
    "Markov chain with moves of the CPS": "cps-moves",
    "Markov chain with moves of the GSS": "gss-moves",
    "Markov chain with moves of Denmark": "denmark-moves",
}
SOURCES = tuple(ONE_SOURCE)
MAIN, BEST = (SCRATCH, OTHER), (BEST_SCRATCH, BEST_OTHER)
CONTROLS = (SHUFFLED, RELABELLED, MOVES, BOTH, *RIVALS)
TOGETHER = (BEST_TOGETHER,)
PHASES = (MAIN, COUNTED, SOURCES, CONTROLS, BEST, TOGETHER)
SCRATCH_RATE = 3e-3
# Weights of the corpora where they are mixed: surveys of people teach memory, counts teach moves.
MOVES_WEIGHTS = {"cps-moves": 0.1, "gss-moves": 0.05, "denmark-moves": 0.05}
# Counts of fewer people are left out: 6% of the moves in the Danish table are in 80% of its pairs.
FEWEST = {"denmark-moves": 10.0}
# The weight of one external count against one of the sample, of which validation people choose.
COUNT_WEIGHTS = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
# How much all counts of a source weigh beside the other survey's.
COUNT_SHARES = {PANEL: 1.0, "cps-moves": 0.25, "gss-moves": 0.125, "denmark-moves": 0.125}


@dataclass(frozen=True, kw_only=True)
class FoundationSettings:
    """Sizes of the study.

    Args:
        shares: Shares of the training people, of which smaller samples are parts of the larger.
        control_shares: Shares at which controls, trained rivals and counts of moves are run, which cost as much as the
            others.
        together_shares: Shares at which both surveys are trained on at once, which costs the most.
        seeds: Training seeds of fine-tuning and of training from scratch; pretraining has one.
        pretraining_steps: Updates of pretraining.
        pretraining_tokens: Person-years of an update of pretraining.
        pretraining_rate: Peak rate of pretraining, which falls to zero.
        covariate_dropout: Probability that a covariate is missing in pretraining.
        most_steps: Largest number of updates on the survey; None for the rule's.
        draws: Resamples of people behind the intervals.
        layers, hidden_size: Sizes of every CAREER model.
    """

    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    control_shares: tuple[float, ...] = (0.01, 0.1)
    together_shares: tuple[float, ...] = (1.0,)
    seeds: int = 3
    pretraining_steps: int = 800
    pretraining_tokens: int = 3_000
    pretraining_rate: float = 3e-3
    covariate_dropout: float = 0.15
    most_steps: int | None = None
    draws: int = 1_000
    layers: int = 2
    hidden_size: int = 64

    @property
    def fields(self) -> dict[str, int]:
        """Fields of CAREER's config."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden_size,
            "num_attention_heads": max(2, self.hidden_size // 64),
            "intermediate_size": 4 * self.hidden_size,
        }


@dataclass(frozen=True)
class Cell:
    """One training run and its scores: a model at a share of the training people."""

    model: str
    share: float
    seed: int = 0

    @property
    def at(self) -> str:
        """The name of the share's folder."""
        return f"{self.share:g}"


def nlsy97_corpus(table: Path) -> PreparedCareers:
    """Careers of half of the NLSY97, where unemployed and out of the labor force cannot be told apart; the fifth that
    is kept for tests elsewhere is pretrained on too."""
    made = panel(
        table,
        covariates=["education"],
        static=["region", "race", "gender"],
        lacks=["unemployed", "not_working"],
        source="nlsy97",
    )
    splits = made.splits
    train = concatenate_datasets([splits["train"], splits["test"]])
    parts = DatasetDict(train=train, validation=splits["validation"])
    return PreparedCareers.of_splits("nlsy97", parts, made.ledger, limits=made.limits)


def move_corpora(folder: Path, stays: bool = False) -> list[PreparedCareers]:
    """Counts of moves of three sources. Without stays they say where movers go, and nothing about who moves."""
    denmark = folder / "denmark_moneca"
    corpora = [
        from_moves(
            folder / "cps_asec_2011_2019" / "cps_asec_moves.csv.gz",
            origin="census2010_last_year",
            destination="census2010_now",
            count="people",
            crosswalk="census2010",
            source="cps-moves",
            stays=stays,
        ),
        from_moves(
            folder / "gss_panels_2006_2014" / "gss_moves.csv.gz",
            origin="census2010_from",
            destination="census2010_to",
            count="people",
            crosswalk="census2010",
            gap=2,
            source="gss-moves",
            stays=stays,
        ),
        from_moves(
            denmark / "denmark_moves.csv.gz",
            origin="disco_from",
            destination="disco_to",
            count="moves",
            crosswalk=denmark / "disco_occ1990dd.csv.gz",
            source="denmark-moves",
            stays=stays,
        ),
    ]
    return [_usable(corpus) for corpus in corpora]


def _usable(corpus: PreparedCareers) -> PreparedCareers:
    """The counts of a corpus that are of at least a few people, without the armed forces, which are no occupation
    here. The rare ones are most of the table and little of its weight."""
    table = career_table(corpus.splits["train"])
    count = np.asarray(list_values(table, "weight")).reshape(-1, 2)[:, 1]
    codes_of = np.array(list_values(table, "occupation").to_pylist()).reshape(-1, 2)
    kept = (codes_of != MILITARY_TARGET).all(axis=1) & (count >= FEWEST.get(corpus.source.name, 0))
    train = corpus.splits["train"].select(np.flatnonzero(kept))
    return PreparedCareers.of_splits(corpus.source.name, DatasetDict(train=train), corpus.ledger, limits=corpus.limits)


def with_held_out_counts(corpus: PreparedCareers) -> PreparedCareers:
    """Counts of which every twentieth validates, for pretraining on counts alone."""
    train = corpus.splits["train"]
    held_out = np.arange(len(train)) % 20 == 0
    parts = {"train": train.select(np.flatnonzero(~held_out)), "validation": train.select(np.flatnonzero(held_out))}
    return PreparedCareers.of_splits(corpus.source.name, DatasetDict(parts), corpus.ledger, limits=corpus.limits)


def with_occupations(careers: Dataset, deal: Callable[[list[str]], Sequence[str]]) -> Dataset:
    """Careers with other occupations, as many as before, which `deal` makes of all of theirs in order."""
    table = career_table(careers)
    labels = pa.array(deal(list_values(table, "occupation").to_pylist()), pa.string())
    offsets = pa.array(np.r_[0, list_lengths(table, "occupation").cumsum()], pa.int32())
    occupation = pa.ListArray.from_arrays(offsets, labels)
    return make_dataset({column: table[column] for column in table.column_names} | {"occupation": occupation})


def altered(corpus: PreparedCareers, control: str) -> PreparedCareers:
    """The control of a corpus: its occupations dealt out anew over all person-years, or each by another's name."""
    rng = np.random.default_rng(0)
    names_of = {label: label for label in OCCUPATIONS}
    if control == RELABELLED:
        held = sorted({label for part in corpus.splits.values() for career in part["occupation"] for label in career})
        names_of |= dict(zip(held, rng.permutation(held).tolist(), strict=True))

    def deal(labels: list[str]) -> list[str]:
        return rng.permutation(labels).tolist() if control == SHUFFLED else [names_of[label] for label in labels]

    parts = {name: with_occupations(careers, deal) for name, careers in corpus.splits.items()}
    # A shuffled or relabelled state may be anything.
    limits = corpus.limits if control == SHUFFLED else Limits()
    return PreparedCareers.of_splits(corpus.source.name, DatasetDict(parts), Ledger(), limits=limits)


def best_model(fields: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What makes a model of the best recipe, and the fields of its config, which are added to `fields`."""
    titles = group_vectors(OCCUPATIONS)
    fields = {**fields, **RECIPES["best"].fields, "title_embedding_size": len(next(iter(titles.values())))}
    return maker_with_titles(CareerForOccupationPrediction, titles), fields


def pretrain(
    place: Path, mixture: Mixture, settings: FoundationSettings, seed: int = 0, *, best: bool = False
) -> Made:
    """CAREER pretrained on a mixture, from `place` if it is there; it can do without any covariate.

    Args:
        place: Folder of the model.
        mixture: Corpora.
        settings: Sizes.
        seed: Seed of training.
        best: Whether it has the fields and the weight decay of the best recipe.
    """
    train, validation = mixture.splits["train"], mixture.splits["validation"]
    dated = mixture.dated if any(corpus.limits.calendar for corpus in mixture.corpora) else None
    # Counts alone have no year: then the levels are those of the survey, whose embeddings fine-tuning learns.
    covariates = list(COVARIATES) if dated is not None else []
    processor = CareerProcessor.fit(train if dated is None else dated, covariates, occupations=OCCUPATIONS)
    processor.optional_covariates = covariates
    most = settings.pretraining_steps
    make, fields, decay = CareerForOccupationPrediction, settings.fields, {}
    if best:
        (make, fields), decay = best_model(fields), {"weight_decay": RECIPES["best"].arguments["weight_decay"]}
    recipe = partial(
        scratch_recipe,
        processor,
        config_overrides=fields,
        learning_rate=settings.pretraining_rate,
        lr_scheduler_type="linear",
        warmup_steps=most // 10,
        max_steps=most,
        eval_steps=max(1, most // 4),
        save_steps=max(1, most // 4),
        tokens_per_batch=settings.pretraining_tokens,
        covariate_dropout=settings.covariate_dropout if covariates else 0.0,
        metric_for_best_model="weighted_nll",
        seed=seed,
        **decay,
    )
    encode = partial(encode_mixture, limits=mixture.limits)
    return fit_once(place, make, processor, recipe, train, validation, mixture_record(mixture), encode=encode)


@dataclass(frozen=True)
class FoundationStudy(Study):
    """Leaves learning_curves.csv, kinds.csv, worth.csv, zero_shot.csv, foundation.png and tables.md.

    Args:
        data: Folder of careers of the survey in splits.
        corpus: Folder of careers of another survey in splits, of which all but the validation people pretrain.
        moves: Folder with published counts of moves.
        states: States of both surveys that get another's name, since one of the surveys cannot tell them apart.
    """

    settings: FoundationSettings = FoundationSettings()
    data: Path = Path()
    corpus: Path = Path()
    moves: Path = Path()
    states: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        paths = {name: str(getattr(self, name)) for name in ("data", "corpus", "moves")}
        return {**asdict(self.settings), **paths, "states": dict(self.states)}

    def careers(self, folder: Path) -> DatasetDict:
        """Careers of a folder in splits, with the names of states that both surveys have."""

        def named(labels: list[str]) -> list[str]:
            return [self.states.get(label, label) for label in labels]

        return DatasetDict({name: with_occupations(part, named) for name, part in load_careers(folder).items()})

    def splits(self) -> DatasetDict:
        """Careers of the survey."""
        return self.careers(self.data)

    def test(self) -> Dataset:
        return self.splits()["test"]

    def sample(self, share: float) -> Dataset:
        """The first people of one random order of the training people."""
        train = self.splits()["train"]
        order = np.random.default_rng(0).permutation(len(train))
        return train.select(order[: max(1, round(share * len(train)))])

    def other(self) -> PreparedCareers:
        """The careers of the other survey."""
        splits = self.careers(self.corpus)
        train = concatenate_datasets([splits[name] for name in ("train", "test") if name in splits])
        parts = DatasetDict(train=train, validation=splits["validation"])
        return PreparedCareers.of_splits(PANEL, parts, Ledger(), limits=limits_of(self.corpus))

    def mixture(self, name: str) -> Mixture:
        """What a model is pretrained on."""
        if name == MOVES:
            corpora = [with_held_out_counts(corpus) for corpus in move_corpora(self.moves)]
        else:
            other = self.other()
            corpora = [altered(other, name) if name in (SHUFFLED, RELABELLED) else other]
            corpora += move_corpora(self.moves) if name == BOTH else []
        weights = [MOVES_WEIGHTS.get(corpus.source.name, 0.8) for corpus in corpora]
        return mix(corpora, weights, [] if name == MOVES else COVARIATES)

    def pretrained(self, name: str) -> Made:
        """A model that was pretrained, and scored on test people before fine-tuning."""
        best = name == BEST_OTHER
        made = pretrain(self.place(f"pretrained, {name}"), self.mixture(name), self.settings, best=best)
        score_once(self.folder / "zero_shot" / name / "0.parquet", *made, self.test())
        return made

    def cells(self, models: Sequence[str]) -> list[Cell]:
        """All runs of some models: the first seed and the smallest samples first."""
        settings, cells = self.settings, []
        for seed in range(settings.seeds):
            for share in sorted(settings.shares):
                if models in (COUNTED, SOURCES) and seed:
                    continue
                shares = {CONTROLS: settings.control_shares, TOGETHER: settings.together_shares}
                if share in shares.get(tuple(models), settings.shares):
                    cells += [Cell(model, share, seed) for model in models]
        return cells

    def compute(self, workers: int) -> None:
        """What says most comes first, so that a study that is stopped says something."""
        for models in PHASES:
            self.work("Pretraining", self.pretrained, [name for name in models if name in PRETRAINED], workers)
            missing = [cell for cell in self.cells(models) if not self.table(cell).exists()]
            self.work(", ".join(models), self.score, missing, workers)

    def table(self, cell: Cell) -> Path:
        """The scores of a run."""
        return self.folder / "tables" / cell.at / cell.model / f"{cell.seed}.parquet"

    def score(self, trial: Cell) -> None:
        if not self.table(trial).exists():
            score_once(self.table(trial), *self.train(trial), self.test())

    def train(self, trial: Cell) -> Made:
        if trial.model in (*COUNTED, *SOURCES):
            return self.count(trial)
        if trial.model == BEST_TOGETHER:
            return self.together(trial)
        settings, sample = self.settings, self.sample(trial.share)
        schedule = finetuning_defaults(sum(map(len, sample["year"])))
        schedule["seed"] = trial.seed
        if settings.most_steps is not None:
            schedule["max_steps"] = settings.most_steps
            schedule["eval_steps"] = schedule["save_steps"] = max(1, settings.most_steps // 4)
        if trial.model in PRETRAINED:
            make, processor = self.carried_over(trial.model, sample)
            recipe = partial(finetuning_recipe, processor, **schedule)
        else:
            processor = CareerProcessor.fit(sample, COVARIATES, occupations=OCCUPATIONS)
            kind, rate = RIVALS.get(trial.model, (CareerForOccupationPrediction, SCRATCH_RATE))
            make, fields = kind, {} if trial.model in RIVALS else settings.fields
            if trial.model == BEST_SCRATCH:
                make, fields = best_model(fields)
                schedule["weight_decay"] = RECIPES["best"].arguments["weight_decay"]
            # What keeps weights near their start is for a model that has one worth keeping.
            for name in ("layerwise_decay", "l2_sp", "frozen_layers"):
                schedule.pop(name, None)
            recipe = partial(recipe_for, kind, processor, fields=fields, **{**schedule, "learning_rate": rate})
        place = self.place(f"{trial.model}, {trial.at}, {trial.seed}")
        careers = sample, self.splits()["validation"]
        return fit_once(place, make, processor, recipe, *careers, source_of(self.data))

    def carried_over(self, name: str, sample: Dataset) -> tuple[Any, CareerProcessor]:
        """A function that makes the pretrained model for a sample, and its processor."""
        _, old = load_checkpoint(self.place(f"pretrained, {name}"))
        new = [covariate for covariate in COVARIATES if covariate not in old.covariate_names]
        processor = old.extend(sample, covariates=new)

        def make(_: Any) -> PreTrainedModel:
            model = CareerForOccupationPrediction.from_pretrained(self.place(f"pretrained, {name}"))
            resize_vocabulary(model, old, processor)
            return model

        return make, processor

    def together(self, cell: Cell) -> Made:
        """The best recipe, trained on a sample and the other survey at once, of which the sample has 70% of all weight
        and validates alone."""
        sample = DatasetDict(train=self.sample(cell.share), validation=self.splits()["validation"])
        other = self.other()
        corpora = [
            PreparedCareers.of_splits(PANEL, sample, Ledger()),
            PreparedCareers.of_splits(PANEL, DatasetDict(train=other.splits["train"]), Ledger(), limits=other.limits),
        ]
        most = self.settings.most_steps or 1_000
        settings = replace(self.settings, pretraining_steps=most, pretraining_tokens=4_000, covariate_dropout=0.0)
        place = self.place(f"{cell.model}, {cell.at}, {cell.seed}")
        return pretrain(place, mix(corpora, [0.7, 0.3], COVARIATES), settings, cell.seed, best=True)

    def count(self, cell: Cell) -> Made:
        """A counted model of a sample, perhaps with external counts, whose weight validation people choose."""
        sample, validation = self.sample(cell.share), self.splits()["validation"]
        if cell.model in (CHAIN, CHAINS):
            processor = CareerProcessor.fit(sample, [], occupations=OCCUPATIONS)
            encoded, held_out = (processor.encode(careers)[0] for careers in (sample, validation))
            tune = partial(tune_weight, order=1) if cell.model == CHAIN else tune_mixture
            return tune(encoded, held_out, processor), processor
        own = PreparedCareers.of_splits(PANEL, DatasetDict(train=sample, validation=validation), Ledger())
        external = [self.other(), *move_corpora(self.moves, stays=True)]
        of_sample, of_survey = (sum(map(len, corpus.splits["train"]["year"])) for corpus in (own, external[0]))
        source = ONE_SOURCE.get(cell.model)
        external = [corpus for corpus in external if source in (None, corpus.source.name)]
        made = []
        for weight in COUNT_WEIGHTS:
            # The other survey's person-years have this weight each, and a table of moves counts as a share of them.
            shares = [weight * of_survey * COUNT_SHARES[corpus.source.name] for corpus in external]
            mixture = mix([own, *external], [of_sample, *shares])
            train, held_out = (mixture.splits[part] for part in ("train", "validation"))
            held_out = held_out.select(np.flatnonzero(np.array(held_out[CORPUS]) == mixture.corpora[0].name))
            processor = CareerProcessor.fit(train, [], occupations=OCCUPATIONS)
            encoded = (processor.encode(careers)[0] for careers in (train, held_out))
            chain = tune_weight(*encoded, processor, order=1, weighted=True)
            likelihood = transition_table(chain, validation, processor)["log_prob"].mean()
            made.append((likelihood, chain, processor))
        _, chain, processor = max(made, key=lambda each: each[0])
        return chain, processor

    def report(self) -> StudyResult:
        """Perplexity of every model at every share, and what pretraining gains."""
        tables = {share: load_tables(self.folder / "tables" / f"{share:g}") for share in sorted(self.settings.shares)}
        tables = {share: of_share for share, of_share in tables.items() if SCRATCH in of_share}
        people = {share: len(self.sample(share)) for share in tables}
        curves = learning_curves(tables, people, self.settings.draws)
        found = {
            "learning_curves": curves,
            "kinds": kinds(tables, people),
            "ahead": ahead(tables, people, self.settings.draws),
            "worth": worth(curves),
            "zero_shot": zero_shot(load_tables(self.folder / "zero_shot"), self.settings.draws),
        }
        return StudyResult(found, {"foundation": foundation_figure(curves)}, foundation_page(found))


Curves = Mapping[float, Mapping[str, Sequence[pd.DataFrame]]]


def learning_curves(tables: Curves, people: Mapping[float, int], draws: int) -> pd.DataFrame:
    """One row per share and model: perplexity with its interval, and the difference of log-perplexity from training
    from scratch on the same people, with an interval from resampling test people."""
    rows = []
    for share, of_share in tables.items():
        levels = summarize(of_share, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
        compared = perplexity_differences(of_share, SCRATCH, draws)[["difference", "low", "high"]]
        found = levels.join(compared, rsuffix="_of_difference").reset_index()
        rows.append(found.assign(share=share, people=people[share]))
    return pd.concat(rows, ignore_index=True)


def kinds(tables: Curves, people: Mapping[float, int]) -> pd.DataFrame:
    """Perplexity of every model by kind of step: first, stay, return and new, and of moves, which are the last two."""
    rows = []
    for share, of_share in tables.items():
        for model, seeds in of_share.items():
            table = mean_over_seeds(seeds)
            of_kind = perplexity_by(table, "transition")["perplexity"]
            moves = table[table["transition"].isin(["return", "new"])]
            rows.append({"people": people[share], "model": model, **of_kind, "move": perplexity(moves)})
    return pd.DataFrame(rows)


def ahead(tables: Curves, people: Mapping[float, int], draws: int) -> pd.DataFrame:
    """What is pretrained, against training from scratch by the same recipe on the people of the next larger share, and
    the best recipe with the other survey against the best recipe from scratch on the same people."""
    larger = [*pairwise(tables), *((share, share) for share in tables)]
    rows = []
    for share, other in larger:
        models = {BEST_OTHER: BEST_SCRATCH, BEST_TOGETHER: BEST_SCRATCH}
        if other != share:
            models = {OTHER: SCRATCH, BOTH: SCRATCH, MOVES: SCRATCH} | models
        for model, scratch in models.items():
            if model in tables[share] and scratch in tables[other]:
                pair = {scratch: tables[other][scratch], model: tables[share][model]}
                found = perplexity_differences(pair, scratch, draws).loc[model, ["difference", "low", "high"]]
                rows.append({"model": model, "people": people[share], "from scratch on": people[other], **found})
    return pd.DataFrame(rows, columns=["model", "people", "from scratch on", "difference", "low", "high"])


def worth(curves: pd.DataFrame) -> pd.DataFrame:
    """How many people of the survey a model needs without the other sources for the perplexity that it reaches with
    them, by a straight line between neighbouring shares (log people, log-perplexity); null beyond all people. What is
    pretrained stands beside CAREER from scratch, and chains with external counts beside the chain without any."""
    rows = []
    for alone, models in ((SCRATCH, PRETRAINED), (CHAIN, (CHAIN_WITH_COUNTS, *SOURCES))):
        without = curves[curves["model"] == alone].sort_values("people")
        log_people, nll = np.log(without["people"].to_numpy()), np.log(without["perplexity"].to_numpy())
        for row in curves[curves["model"].isin(models)].itertuples():
            reached = np.log(row.perplexity)
            inside = len(nll) and nll.min() <= reached <= nll.max()
            equal = np.exp(np.interp(-reached, -nll, log_people)) if inside else np.nan
            rows.append({"model": row.model, "people": row.people, "without it": alone, "people without it": equal})
    found = pd.DataFrame(rows, columns=["model", "people", "without it", "people without it"])
    return found.assign(worth=found["people without it"] - found["people"])


def zero_shot(tables: Tables, draws: int) -> pd.DataFrame:
    """Perplexity before fine-tuning, by kind of step."""
    return summarize(tables, draws)[["perplexity", "low", "high", "first", "stay", "return", "new"]].reset_index()


def foundation_figure(curves: pd.DataFrame) -> Figure:
    """Learning curves, and the gain over training from scratch."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = [SCRATCH, OTHER, BEST_SCRATCH, BEST_OTHER, BEST_TOGETHER, BOTH, MOVES, CHAIN, CHAIN_WITH_COUNTS]
    for color, model in zip(COLORS, shown, strict=True):
        rows = curves[curves["model"] == model].sort_values("people")
        if not len(rows):
            continue
        style = {"color": color, "label": model, "capsize": 3, "fmt": "--s" if model in COUNTED else "-o"}
        left.errorbar(rows["people"], rows["perplexity"], yerr=whiskers(rows, "perplexity"), **style)
        if model != SCRATCH:
            ends = "low_of_difference", "high_of_difference"
            right.errorbar(rows["people"], rows["difference"], yerr=whiskers(rows, "difference", *ends), **style)
    for axes in (left, right):
        ticks = sorted(curves["people"].unique())
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("training people")
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 6)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    left.set(ylabel="test perplexity (95% intervals)", title="Test people of the survey")
    right.axhline(0, color="black", linewidth=1)
    right.set(ylabel="nats per step", title="Against training from scratch; below 0 pretraining pays")
    left.legend(fontsize=8)
    return figure


def foundation_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """All tables under headings, numbers rounded, intervals in brackets."""
    curves = tables["learning_curves"]
    level = with_interval(curves, "perplexity", "low", "high", 2)
    difference = with_interval(curves, "difference", "low_of_difference", "high_of_difference", 3, "+")
    wide = {
        name: curves.assign(text=text).pivot(index="model", columns="people", values="text").fillna("")
        for name, text in {"level": level, "difference": difference}.items()
    }
    ends = tables["ahead"]
    compared = with_interval(ends, "difference", "low", "high", 3, "+") if len(ends) else pd.Series(dtype=str)
    by_kind = tables["kinds"].set_index(["people", "model"]).round(2)
    return page_of(
        {
            "Test perplexity by training people": wide["level"],
            "Difference of log-perplexity from training from scratch on the same people": wide["difference"],
            "With another source, against the same recipe from scratch": ends.assign(difference=compared)
            .drop(columns=["low", "high"])
            .set_index("model"),
            "How many people a model needs without other sources for the same": tables["worth"]
            .round(0)
            .set_index("model"),
            "Perplexity by kind of step": by_kind,
            "Before fine-tuning": tables["zero_shot"].round(2).set_index("model"),
        }
    )


COLORS = ("#D55E00", "#0072B2", "#E69F00", "#56B4E9", "#8B4513", "#009E73", "#CC79A7", "#555555", "#000000")
States = Annotated[
    str,
    typer.Option(help="States that get another's name, as one survey cannot tell them apart: unemployed=not_working."),
]
Table97 = Annotated[
    Path, typer.Option(help="Table of careers of the NLSY97, one row per person and year.", exists=True)
]
MovesFolder = Annotated[Path, typer.Option(help="Folder with published counts of moves.", exists=True)]


@studies.command()
def foundation(
    data: Data,
    corpus: Annotated[
        Path, typer.Option(help="Folder of careers of another survey in splits, to pretrain on.", exists=True)
    ],
    moves: MovesFolder,
    output: Output,
    workers: Workers = 1,
    seeds: Seeds = 3,
    quick: Annotated[bool, typer.Option("--quick", help="A few updates of tiny models, to see that it runs.")] = False,
    states: States = "",
    so_far: Annotated[
        bool, typer.Option("--so-far", help="Train nothing; report on the runs that are there.")
    ] = False,
) -> None:
    """What pretraining on another survey and on published moves is worth to a survey, from 1% to all of its people."""
    settings = FoundationSettings(seeds=seeds)
    if quick:
        settings = FoundationSettings(
            shares=(0.01, 0.03), control_shares=(0.01,), together_shares=(0.03,), seeds=1, pretraining_steps=4,
            most_steps=4, draws=20, layers=1, hidden_size=16,
        )  # fmt: skip
    study = FoundationStudy(output, settings, data=data, corpus=corpus, moves=moves, states=pairs(states))
    runs = sum(len(study.cells(models)) for models in PHASES if models not in (COUNTED, SOURCES))
    say(f"{len(PRETRAINED)} runs of pretraining and {runs} on the survey, each up to two core minutes")
    if so_far:
        result = study.report()
        result.save(output)
    else:
        result = study.run(workers)
    show(result["learning_curves"].set_index(["people", "model"]), "Test perplexity, and difference from scratch")
    show(result["worth"].set_index("model"), "People that a model needs without other sources for the same")
    say(f"{output}/*.csv, tables.md, foundation.png")


class CheckpointSize(StrEnum):
    """Sizes of checkpoints."""

    small = "small"
    large = "large"


# The large one has the size of the paper's pretrained model (Appendix G); its updates take fifteen times as long.
CHECKPOINTS = {
    CheckpointSize.small: FoundationSettings(pretraining_steps=2_000, pretraining_tokens=4_000),
    CheckpointSize.large: FoundationSettings(
        layers=12, hidden_size=192, pretraining_steps=600, pretraining_tokens=4_000, pretraining_rate=1e-3
    ),
}


@studies.command("foundation-checkpoint")
def foundation_checkpoint(
    nlsy97: Table97,
    output: Output,
    nlsy79: Annotated[
        Path | None,
        typer.Option(help="Folder with extracts of the NLSY79; if left out, nobody of it is trained on.", exists=True),
    ] = None,
    size: Annotated[
        CheckpointSize, typer.Option(help="The one that ships, or one of the size that the paper pretrains.")
    ] = CheckpointSize.small,
    name: Annotated[str | None, typer.Option(help="Name of the checkpoint; `occ1990dd-SIZE` if left out.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates; 2,000 of the small one, 600 of the large.", min=4)
    ] = None,
) -> None:
    """Train the checkpoint that ships, from raw files: `OUTPUT/NAME`, with its card; or a large one in the same way.

    It is trained on corpora whose licences let models go out, and never on the split `test` of the NLSY79.
    """
    name = name or f"occ1990dd-{size.value}"
    settings = CHECKPOINTS[size]
    if steps is not None:
        settings = replace(settings, pretraining_steps=steps)
    survey79 = None if nlsy79 is None else nlsy79_careers(nlsy79)
    corpora = [nlsy97_corpus(nlsy97)] if survey79 is None else [survey79, nlsy97_corpus(nlsy97)]
    of = "NLSY97" if survey79 is None else "NLSY79 and NLSY97"
    place = output / "training" / f"{size.value}, {of}, {settings.pretraining_steps}"
    model, processor = pretrain(place, mix(corpora, None, COVARIATES), settings)
    everybody = concatenate_datasets([corpus.splits["train"].select_columns(CAREER) for corpus in corpora])
    rare, stored = rare_careers(everybody), small_counts(processor)
    data, by, privacy = None, [], None
    if survey79 is not None:
        data, by = output / "nlsy79", ["gender", "race"]
        survey79.save(data)
        privacy = told_apart(model, processor, survey79)
    folder = output / name
    processor.training_stages = [round_stage(stage, K) for stage in processor.training_stages]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    note = f"{size.value.capitalize()} and general: {KNOWS[of]}"
    write_model_card(folder, data, by=by, name=name, note=note)
    add_publication_section(folder / CARD, None, stored, rare, K, privacy)
    show(rare, f"Cells of training careers with fewer than {K} people")
    say(f"{folder}: {model.num_parameters():,} parameters")


def told_apart(model: PreTrainedModel, processor: CareerProcessor, survey: PreparedCareers) -> str:
    """Whether somebody who has a career and the model can tell that it was trained on, by how likely it is."""
    parts = [survey.splits["train"], survey.splits["test"]]
    table = transition_table(model, concatenate_datasets(parts), processor)
    guess = table.groupby("person", observed=True, sort=False)["log_prob"].mean().to_numpy()
    member = np.arange(len(guess)) < len(parts[0])
    # Without references the rarity of a path is what the model itself says.
    rows = attack_table(guess, member, -guess, draws=1_000).set_index("paths")
    texts = {name: f"{row.auc:.3f} [{row.low:.3f}, {row.high:.3f}]" for name, row in rows.iterrows()}
    return (
        "Somebody who has a person's whole career, and guesses by how likely the model finds it whether it was "
        f"trained on, is right with an AUC of {texts['all']} (people of the NLSY79; a half is a guess), and of "
        f"{texts[QUARTERS[-1]]} among the quarter of people whose careers it finds the least likely. It was not tried "
        "with models to compare with, which is a stronger attack (`python examples/replication membership`)."
    )


def nlsy79_careers(extract: Path) -> PreparedCareers:
    """Careers of the NLSY79 in splits."""
    return career_hf.sources.nlsy79(extract, variant="full")


# What a checkpoint of these surveys knows, for the first lines of its card.
FINE_TUNE = "fine-tune it on careers of your own. It knows occupations of the United States from "
KNOWS = {
    "NLSY97": f"{FINE_TUNE}1997 to 2021, of one cohort up to its early forties.",
    "NLSY79 and NLSY97": f"{FINE_TUNE}1980 to 2021, of two cohorts up to their early forties.",
}
CAREER = ["person", "year", "occupation"]
