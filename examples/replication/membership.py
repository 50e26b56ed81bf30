"""Can a model tell who was in its training careers? Two attacks on membership, by how rare a person's path is.

The attacker has the model's probabilities and a person's whole career, and guesses whether the person was in training.
`loss` guesses by the mean log-probability of the person's years (Yeom et al. 2018). `reference` subtracts what models
that never saw the person say of the same career, so that nobody is taken for a member whose career is likely anyway:
the calibrated attack of Watson et al. (2022), a light form of LiRA (Carlini et al. 2022). The references are trained
like the target, each on a random half of the people of the target's training and test splits.

The AUC is the probability that a member looks more like a member than somebody else does: a half is a guess. The
intervals resample people. A path is rare if references that never saw the person find it unlikely. The same attacks on
a model that is trained on without dropout or a stop on validation careers show that they find what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, concatenate_datasets
from sklearn.metrics import roc_auc_score

from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.careers.splits import split_careers
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.resampling import interval
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.sources import keane_wolpin_careers as keane_wolpin
from career_hf.training.cells import fit_once
from career_hf.training.trainer import scratch_recipe

from .study import Output, Study, StudyResult, StudySettings, Workers, page_of, studies, write_table


TARGET, OVERTRAINED, REFERENCE = "early stopping", "trained on", "reference"
ATTACKS = ("loss", "reference")
QUARTERS = ("commonest quarter", "second quarter", "third quarter", "rarest quarter")


@dataclass(frozen=True, kw_only=True)
class MembershipSettings(StudySettings):
    """Settings of the models that are attacked, which have the paper's size.

    Args:
        references: Number of models that the second attack compares with.
        rate: Peak learning rate.
        longer: How many times as many updates the model has that is trained on.
        fields: Further fields of every model's config.
    """

    references: int = 4
    rate: float = 2e-3
    most_steps: int = 400
    tokens_per_batch: int = 2_000
    longer: int = 2
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Attacked:
    """One model that is trained, and its seed."""

    model: str
    seed: int = 0

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.model}, {self.seed}"


@dataclass(frozen=True, kw_only=True)
class MembershipStudy(Study):
    """The study in its folder.

    Args:
        data: Folder of careers in splits; the careers that are in the package if None.
        covariates: Covariates of every model.
    """

    data: Path | None = None
    covariates: tuple[str, ...] = ("year", "schooling")

    float_formats = "%.6g"

    def described(self) -> dict[str, Any]:
        return {**super().described(), "data": str(self.data or "keane-wolpin"), "covariates": list(self.covariates)}

    def splits(self) -> dict[str, Dataset]:
        return split_careers(keane_wolpin.load()[0]) if self.data is None else load_careers(self.data)

    def people(self) -> Dataset:
        """Everybody of whom an attacker asks: members first."""
        splits = self.splits()
        return concatenate_datasets([splits["train"], splits["test"]])

    def half(self, seed: int) -> np.ndarray:
        """`(people,)`: whether a reference is trained on them."""
        draw = np.random.default_rng(seed).permutation(len(self.people()))
        return draw < len(draw) / 2

    def models(self) -> list[Attacked]:
        """The models that are attacked, and the references."""
        references = [Attacked(REFERENCE, seed) for seed in range(1, self.settings.references + 1)]
        return [Attacked(TARGET), Attacked(OVERTRAINED), *references]

    def compute(self, workers: int) -> None:
        """Trains and scores every model that is not there yet."""
        missing = [model for model in self.models() if not self.path(model).exists()]
        self.work("Models", self.score, missing, workers)

    def path(self, trial: Attacked) -> Path:
        """The file of what a model says of everybody."""
        return self.folder / "scores" / f"{trial.folder}.parquet"

    def score(self, trial: Attacked) -> None:
        """Trains a model, and writes the mean log-probability of everybody's years."""
        model, processor = self.train(trial)
        table = transition_table(model, self.people(), processor, unknown_levels="missing")
        means = table.groupby("person", observed=True, sort=False)["log_prob"].mean()
        write_table(self.path(trial), means.rename("score").reset_index().astype({"person": str}))

    def train(self, trial: Attacked) -> Any:
        splits, settings = self.splits(), self.settings
        train = splits["train"]
        if trial.model == REFERENCE:
            train = self.people().select(np.flatnonzero(self.half(trial.seed)))
        processor = CareerProcessor.fit(train, covariates=self.covariates, unknown_occupation="unknown")
        fields = dict(settings.fields or {})
        if trial.model == OVERTRAINED:
            settings = replace(settings, most_steps=settings.longer * settings.most_steps, patience=10_000)
            fields |= {"hidden_dropout": 0.0, "attention_dropout": 0.0}
        # All are stopped by the same people, of whom nothing is asked.
        validation = train if trial.model == OVERTRAINED else splits["validation"]
        schedule = settings.schedule(settings.rate, trial.seed)
        return fit_once(
            self.place(trial.folder),
            CareerForOccupationPrediction,
            processor,
            lambda folder: scratch_recipe(processor, folder, config_overrides=fields, **schedule),
            train,
            validation,
            source=source_of(self.data) if self.data else {"source": "keane-wolpin"},
            unknown_levels="missing",
        )

    def report(self) -> StudyResult:
        """AUCs of both attacks on both models, of everybody and by rarity of the path."""
        scores = {model: pd.read_parquet(self.path(model))["score"].to_numpy() for model in self.models()}
        member = np.arange(len(self.people())) < len(self.splits()["train"])
        references = [model for model in scores if model.model == REFERENCE]
        unseen = np.array([np.where(self.half(model.seed), np.nan, scores[model]) for model in references])
        known = ~np.isnan(unseen).all(axis=0)
        outside = np.full(len(member), np.nan)
        outside[known] = np.nanmean(unseen[:, known], axis=0)
        rows = []
        for model in (TARGET, OVERTRAINED):
            loss = scores[Attacked(model)]
            for attack, guess in zip(ATTACKS, (loss, loss - outside), strict=True):
                table = attack_table(guess[known], member[known], -outside[known], self.settings.draws)
                rows.append(table.assign(model=model, attack=attack))
        table = pd.concat(rows, ignore_index=True)[["model", "attack", *rows[0].columns.drop(["model", "attack"])]]
        shown = table.assign(AUC=[f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in table[["auc", "low", "high"]].values])
        page = shown.pivot(index=["model", "attack"], columns="paths", values="AUC")[["all", *QUARTERS]]
        return StudyResult({"membership": table}, page=page_of({"Membership inference": page}))


def attack_table(guess: np.ndarray, member: np.ndarray, rarity: np.ndarray, draws: int, seed: int = 0) -> pd.DataFrame:
    """AUC of a guess who was in training, with an interval, of everybody and by rarity.

    Args:
        guess: `(people,)`, larger for those who look like members.
        member: `(people,)`, whether the person was in training.
        rarity: `(people,)`, by which people are put into quarters.
        draws: Number of resamples of people.
        seed: Random seed of the resamples.

    Returns:
        Columns paths, members, others, auc, low, high (95%; null with fewer than ten members or others).
    """
    quarter = np.searchsorted(np.quantile(rarity, [0.25, 0.5, 0.75]), rarity, side="right")
    draw, rows = np.random.default_rng(seed), []
    for name, rows_of in [
        ("all", np.arange(len(guess))),
        *((q, np.flatnonzero(quarter == i)) for i, q in enumerate(QUARTERS)),
    ]:
        guesses, members = guess[rows_of], member[rows_of]
        resampled = [
            _auc(guesses[drawn], members[drawn]) for drawn in draw.integers(len(rows_of), size=(draws, len(rows_of)))
        ]
        low, high = interval(np.array(resampled), min(int(members.sum()), int((~members).sum())))
        rows.append((name, int(members.sum()), int((~members).sum()), _auc(guesses, members), low, high))
    return pd.DataFrame(rows, columns=["paths", "members", "others", "auc", "low", "high"])


def _auc(guess: np.ndarray, member: np.ndarray) -> float:
    """NaN if there are no members or nobody else."""
    return float(roc_auc_score(member, guess)) if 0 < member.sum() < len(member) else np.nan


@studies.command("membership")
def membership_command(
    output: Output,
    data: Annotated[Path | None, typer.Option(help="Folder of careers; those in the package unless given.")] = None,
    covariates: Annotated[str, typer.Option(help="Comma-separated covariates.")] = "year,schooling",
    references: Annotated[int, typer.Option(help="Number of reference models.", min=2)] = 4,
    workers: Workers = 1,
) -> None:
    """Can a model tell who was in its training careers? Two attacks, by how rare a person's path is."""
    settings = MembershipSettings(references=references)
    result = MembershipStudy(output, settings, data=data, covariates=tuple(covariates.split(","))).run(workers)
    show(result["membership"], "AUC of guesses who was in training; 0.5 is a guess")
    say(f"{output}/membership.csv, tables.md")
