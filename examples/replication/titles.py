"""Title-aware occupations (`career_hf/models/title_embeddings.py`): do they help, and whom?

Three variants: CAREER, CAREER with title vectors, and CAREER with the same vectors dealt out to the wrong occupations,
which has as many parameters and knows nothing. All have the same batches, schedule, ceiling of updates and patience,
and try the same learning rates on validation careers with the first seed; the best is frozen and trained with every
seed. Then every variant is trained once more for every seed without the names of some occupations, which are "unknown"
to it; titles bring them back (`resize_vocabulary`), and the question is how well a mover's choice among them is
predicted by a model that never saw one of them. Test careers are scored once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from datasets import Dataset
from matplotlib.figure import Figure
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PreTrainedModel, set_seed

from career_hf.careers.columns import career_table, list_values
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.encoding.vocabulary import label_counts
from career_hf.evaluation.metrics import perplexity_differences, perplexity_differences_by, summarize
from career_hf.figures.style import columns, looks, new_figure, styled
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.title_embeddings import load_title_embeddings, maker_with_titles
from career_hf.occupations.crosswalks import titles_of
from career_hf.training.cells import fit_once, run_jobs
from career_hf.training.trainer import scratch_recipe

from .study import (
    CareersStudy,
    Covariates,
    Data,
    Job,
    Made,
    MostSteps,
    Output,
    Rates,
    Seeds,
    StudyResult,
    StudySettings,
    Tables,
    Trial,
    Workers,
    studies,
    write_table,
)


CAREER, TITLES, SHUFFLED = "CAREER", "with titles", "with shuffled titles"
VARIANTS = (CAREER, TITLES, SHUFFLED)
UNKNOWN = "unknown"
# What follows a variant's name where some occupations are hidden from it.
HIDDEN = ", some hidden"
CHANCE = "chance"
BINS = 4


@dataclass(frozen=True, kw_only=True)
class TitlesSettings(StudySettings):
    """What every variant gets; the rest as in `StudySettings`.

    Args:
        rates: Peak learning rates to try; they fall to zero at the last update.
        size: Size of title vectors that are made here, from titles.
        noise: Standard deviation of noise in vectors that are made here from a simulated market, in those of a skill.
        hidden: Share of occupations whose names are withheld in the second part.
    """

    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    size: int = 64
    noise: float = 0.5
    hidden: float = 0.1

    def cost(self) -> tuple[int, float]:
        """Training runs, and core hours if none stops early."""
        runs = len(VARIANTS) * (len(self.rates) + self.seeds - 1 + self.seeds)
        return runs, self.hours(runs)


@dataclass(frozen=True)
class TitlesStudy(CareersStudy):
    """Leaves overall.csv, by_count.csv, unseen.csv and titles.png; scores of hidden occupations are in `unseen`.

    Args:
        titles: File of title vectors, as `save_title_embeddings` writes it.
        truth: Folder of a simulated market's truth, from whose skills vectors are made. Without either, vectors are
            made from the titles of occ1990dd.
    """

    settings: TitlesSettings = TitlesSettings()
    titles: Path | None = None
    truth: Path | None = None

    def described(self) -> dict[str, Any]:
        paths = {name: path and str(path) for name in ("data", "titles", "truth") for path in [getattr(self, name)]}
        return {**paths, "covariates": list(self.covariates), **asdict(self.settings)}

    def prepare(self, workers: int) -> None:
        self.vectors(vocabulary(self.splits()["train"]))  # what is wrong is said before the hours of training

    def trials(self) -> list[Trial]:
        return [Trial(variant, rate) for variant in VARIANTS for rate in self.settings.rates]

    def compute(self, workers: int) -> None:
        self.tune(workers)
        frozen = self.frozen()
        jobs = [Job(self.score, trial) for trial in frozen] + [Job(self.score_unseen, trial) for trial in frozen]
        run_jobs("Further seeds, hidden occupations, and scoring", jobs, workers)

    def vectors(self, occupations: Sequence[str]) -> dict[str, np.ndarray]:
        """Vector of every occupation, from a file, a simulated market or titles.

        Raises:
            ValueError: If these are not occ1990dd codes, or an occupation has no vector; it is named.
        """
        if self.titles is not None:
            vectors = load_title_embeddings(self.titles)
        elif self.truth is not None:
            truth: Any = AutoModelForCausalLM.from_pretrained(self.truth, trust_remote_code=False)
            vectors = market_vectors(truth.law.world, self.settings.noise)
        else:
            vectors = text_vectors(texts_of(occupations), self.settings.size)
        missing = [label for label in occupations if label not in vectors]
        if missing:
            raise ValueError(f"occupation '{missing[0]}' has no vector ({len(missing)} have none): add it to the file")
        return {label: vectors[label] for label in occupations}

    def titles_of_variant(self, variant: str, train: Dataset) -> dict[str, np.ndarray] | None:
        """What a variant is given; None for CAREER."""
        if variant == CAREER:
            return None
        vectors = self.vectors(vocabulary(train))
        return shuffled(vectors) if variant == SHUFFLED else vectors

    def train(self, trial: Trial) -> Made:
        splits = self.splits()
        train, occupations = splits["train"], None
        if trial.model.endswith(HIDDEN):
            hidden = hidden_occupations(train, self.settings.hidden)
            occupations = [label for label in vocabulary(train) if label not in hidden]
        processor = CareerProcessor.fit(train, self.covariates, UNKNOWN, occupations)
        titles = self.titles_of_variant(trial.model.removesuffix(HIDDEN), train)
        fields = {} if titles is None else {"title_embedding_size": len(next(iter(titles.values())))}
        schedule = self.settings.schedule(trial.rate, trial.seed)
        recipe = partial(scratch_recipe, processor, config_overrides=fields, **schedule)

        make_model = maker_with_titles(CareerForOccupationPrediction, titles, [UNKNOWN])
        careers = train, splits["validation"]
        return fit_once(self.place(trial.folder), make_model, processor, recipe, *careers, source_of(self.data))

    def score_unseen(self, trial: Trial) -> None:
        """Trains a variant from which some occupations are hidden, or loads it, and scores moves to these."""
        path = self.folder / "unseen" / trial.model / f"{trial.seed}.parquet"
        if path.exists():
            return
        model, processor = self.train(replace(trial, model=f"{trial.model}{HIDDEN}"))
        splits = self.splits()
        hidden = hidden_occupations(splits["train"], self.settings.hidden)
        new = processor.extend(occupations=hidden)
        set_seed(trial.seed)  # rows of CAREER without titles are drawn
        titles = self.titles_of_variant(trial.model, splits["train"])
        model.resize_vocabulary(processor, new, titles=titles)  # type: ignore[operator]
        write_table(path, choices_among(model.eval(), new, splits["test"], hidden))

    def report(self) -> StudyResult:
        """Tables and the figure.

        `overall` has one row per variant: rate and hours of training; perplexity with low, high (people resampled),
        seeds and seed_sd; difference_from_career of log-perplexity with low_from_career and high_from_career, and the
        same from_shuffled.
        """
        tables, unseen, draws = self.tables(), self.tables("unseen"), self.settings.draws
        tables = {name: tables[name] for name in VARIANTS}
        training = {
            name: {"rate": best.rate, "hours": self.training_of(name)["hours"].sum()}
            for name, best in self.best().items()
        }
        levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
        differences = [
            perplexity_differences(tables, choice, draws)[["difference", "low", "high"]].add_suffix(end)
            for choice, end in ((CAREER, "_from_career"), (SHUFFLED, "_from_shuffled"))
        ]
        overall = pd.DataFrame.from_dict(training, orient="index").rename_axis("model").join([levels, *differences])
        by_count = by_count_table(tables, counts_of(self.splits()["train"]), draws)
        seen_never = unseen_table({name: unseen[name] for name in VARIANTS}, draws)
        found = {"overall": overall, "by_count": by_count, "unseen": seen_never}
        return StudyResult(found, {"titles": titles_figure(by_count, seen_never)})


def counts_of(train: Dataset) -> dict[str, int]:
    """Person-years of every occupation in training careers."""
    return label_counts(list_values(career_table(train), "occupation"))


def vocabulary(train: Dataset) -> list[str]:
    """Every occupation of training careers, sorted."""
    return sorted(counts_of(train))


def hidden_occupations(train: Dataset, share: float) -> list[str]:
    """Occupations whose names are withheld, drawn at random among codes; states without work are words."""
    codes = [label for label in vocabulary(train) if label[:1].isdigit()]
    number = max(2, round(share * len(codes)))
    return sorted(np.random.default_rng(0).choice(codes, number, replace=False).tolist())


def texts_of(occupations: Sequence[str]) -> dict[str, str]:
    """The title of every occupation of occ1990dd; a state without work is its own.

    Raises:
        ValueError: If these are not occ1990dd codes.
    """
    known = titles_of(occupations)
    texts = {label: known.get(label, label.replace("_", " ")) for label in occupations}
    if not known:
        raise ValueError(
            f"these occupations ('{occupations[0]}' and others) are not codes of occ1990dd, whose titles are known: "
            "pass a file of vectors of their titles, or the truth of a simulated market"
        )
    return texts


def text_vectors(texts: Mapping[str, str], size: int) -> dict[str, np.ndarray]:
    """Vectors of texts without any pretrained encoder, of length one: TF-IDF of pieces of words, reduced by SVD.

    Args:
        texts: Text by label.
        size: Of the vectors; less if there are fewer texts.
    """
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(texts.values())
    reduced = TruncatedSVD(min(size, len(texts) - 1, pieces.shape[1] - 1), random_state=0).fit_transform(pieces)
    return dict(zip(texts, normalize(reduced).astype(np.float32), strict=True))


def market_vectors(world: Any, noise: float) -> dict[str, np.ndarray]:
    """Vectors in place of titles for a simulated market, where titles mean nothing: skills with noise.

    An occupation has its place in the skill space, each coordinate with noise; a state without work one of its own
    coordinates. They are scaled to a mean length of one.

    Args:
        world: A [`World`].
        noise: Standard deviation, in units of a skill's.
    """
    places, states = len(world.skill), world.num_states - len(world.skill)
    spread = world.skill.std(axis=0)
    skill = (world.skill - world.skill.mean(axis=0)) / spread
    skill = skill + noise * np.random.default_rng(0).normal(size=skill.shape)
    rows = np.zeros((places + states, skill.shape[1] + states), dtype=np.float32)
    rows[:places, : skill.shape[1]] = skill
    rows[places:, skill.shape[1] :] = np.eye(states) * np.linalg.norm(skill, axis=1).mean()
    return dict(zip(world.labels, rows / np.linalg.norm(rows, axis=1).mean(), strict=True))


def shuffled(vectors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same vectors, dealt out to other occupations."""
    dealt = np.random.default_rng(0).permutation(len(vectors))
    rows = list(vectors.values())
    return {label: rows[i] for label, i in zip(vectors, dealt, strict=True)}


@torch.no_grad()
def choices_among(
    model: PreTrainedModel, processor: CareerProcessor, careers: Dataset, occupations: Sequence[str]
) -> pd.DataFrame:
    """How likely the truth was among some occupations, at every step that moves to one of them.

    Args:
        model: An occupation model.
        processor: The model's.
        careers: To score.
        occupations: Labels.

    Returns:
        One row per step: person; step; occupation; log_prob, the log-probability of y_t given that the person moves to
        one of the occupations; chance, that of choosing among them blindly; rank of y_t among them, 1 at best.
    """
    encoded, _ = processor.encode(careers, unknown_levels="missing")
    everyone, ids = EncodedCareers(encoded), torch.from_numpy(processor.occupation_ids(occupations)).long()
    people, rows = careers["person"], []
    collator = PaddingCollator(processor.pad_token_id)
    for batch_people in np.array_split(np.arange(len(everyone)), -(-len(everyone) // 256)):
        batch = collator(everyone.gather(batch_people))
        labels, previous = batch["labels"], batch["input_ids"]
        row, step = (torch.isin(labels, ids) & (labels != previous)).nonzero(as_tuple=True)
        inputs = {name: batch[name] for name in ("input_ids", "covariates") if name in batch}
        among = model(**inputs).logits[row, step][:, ids]
        open_to = ids != previous[row, step].unsqueeze(-1)
        log_probs = F.log_softmax(among.masked_fill(~open_to, -torch.inf), dim=-1)
        truth = log_probs.gather(-1, (ids == labels[row, step].unsqueeze(-1)).long().argmax(-1, keepdim=True))
        rows.append(
            pd.DataFrame(
                {
                    "person": [people[batch_people[i]] for i in row.tolist()],
                    "step": step.numpy(),
                    "occupation": processor.decode(labels[row, step]),
                    "log_prob": truth.squeeze(-1).numpy(),
                    "chance": -open_to.sum(-1).float().log().numpy(),
                    "rank": (1 + (log_probs > truth).sum(-1)).numpy(),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def count_bins(counts: Mapping[str, int], bins: int = BINS) -> pd.DataFrame:
    """Occupations in bins of about as many occupations each, by person-years in training.

    Returns:
        By label: bin, 1 for the rarest; occupations, smallest and largest of its bin.
    """
    by_label = pd.Series(counts).sort_values(kind="stable")
    bin_of = pd.Series(1 + np.arange(len(by_label)) * bins // len(by_label), index=by_label.index)
    groups = by_label.groupby(bin_of)
    return pd.DataFrame(
        {
            "bin": bin_of,
            "occupations": groups.transform("size"),
            "smallest": groups.transform("min"),
            "largest": groups.transform("max"),
        }
    )


def by_count_table(tables: Tables, counts: Mapping[str, int], draws: int) -> pd.DataFrame:
    """One row per kind of steps ("all", "moves"), bin of the true occupation's person-years in training and variant.

    Returns:
        n steps; occupations of the bin and their smallest and largest count; difference of log-perplexity from that of
        `against`, CAREER or shuffled titles, with low and high.
    """
    bins = count_bins(counts)
    ranges = bins.drop_duplicates("bin").set_index("bin")
    of_label = bins["bin"].to_dict()

    def known(table: pd.DataFrame, moves: bool) -> pd.DataFrame:
        table = table.assign(bin=table["occupation"].astype(str).map(of_label))
        counted = table["bin"].notna()
        return table[counted & table["transition"].isin(["return", "new"]) if moves else counted]

    parts = []
    for steps in ("all", "moves"):
        chosen = {name: [known(table, steps == "moves") for table in seeds] for name, seeds in tables.items()}
        for choice in (CAREER, SHUFFLED):
            part = perplexity_differences_by(chosen, choice, "bin", draws).reset_index()
            part = part[part["model"] != CAREER]
            parts.append(part.assign(steps=steps, against=choice, bin=part["bin"].astype(int)).join(ranges, on="bin"))
    columns = ["steps", "bin", "occupations", "smallest", "largest"]
    columns += ["model", "against", "n", "difference", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def unseen_table(unseen: Tables, draws: int) -> pd.DataFrame:
    """Choices among occupations whose names were withheld.

    Returns:
        One row per variant: n moves to these occupations; gain, log-probability of the true one among them over
        chance's, with low and high; mean reciprocal rank, and chance's; difference_from_shuffled with low and high.
    """
    first = next(iter(unseen.values()))[0]
    blind = first.assign(log_prob=first["chance"])
    from_chance = perplexity_differences({**unseen, CHANCE: [blind]}, CHANCE, draws).loc[list(unseen)]
    from_shuffled = perplexity_differences(unseen, SHUFFLED, draws)
    among = np.rint(np.exp(-first["chance"])).astype(int)
    ranks = {name: np.mean([(1 / table["rank"]).mean() for table in seeds]) for name, seeds in unseen.items()}
    return pd.DataFrame(
        {
            "n": len(first),
            "gain": -from_chance["difference"],
            "low": -from_chance["high"],
            "high": -from_chance["low"],
            "reciprocal_rank": pd.Series(ranks),
            "chance_reciprocal_rank": np.mean([(1 / np.arange(1, k + 1)).mean() for k in among]),
            "difference_from_shuffled": from_shuffled["difference"],
            "difference_low": from_shuffled["low"],
            "difference_high": from_shuffled["high"],
        }
    ).rename_axis("model")


@styled
def titles_figure(by_count: pd.DataFrame, unseen: pd.DataFrame) -> Figure:
    """Moves by how often training saw the true occupation, and choices among occupations that it never saw."""
    figure, (upper, lower) = new_figure(9.0, 2)
    moves = by_count[(by_count["steps"] == "moves") & (by_count["against"] == CAREER)]
    of_variant = looks((TITLES, SHUFFLED, CAREER))
    series = {"series": "model", "series_looks": of_variant, "reference": 0}
    columns(upper, moves, estimate="difference", name="bin", **series)
    bins = moves.drop_duplicates("bin")
    ranges = zip(bins["smallest"], bins["largest"], strict=True)
    upper.set_xticks(range(len(bins)), [f"{low:,}-{high:,}" for low, high in ranges])
    upper.set(
        title="Moves: against CAREER without titles; below 0 is better",
        xlabel="person-years of the true occupation in training",
        ylabel="log-perplexity, nats\n(95% intervals)",
    )
    upper.legend()
    columns(lower, unseen.reset_index(), estimate="gain", name="model", dodge=False, **series)
    lower.set(title="Choice among occupations never seen", ylabel="nats per move above chance")
    return figure


@studies.command()
def titles(
    data: Data,
    output: Output,
    covariates: Covariates = "year",
    title_embeddings: Annotated[
        Path | None, typer.Option(help="Vectors of titles, as `save_title_embeddings` writes them.", exists=True)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth of a simulated market, whose skills are taken for titles.", exists=True)
    ] = None,
    workers: Workers = 2,
    seeds: Seeds = 3,
    rates: Rates = "0.001,0.002,0.004",
    most_steps: MostSteps = 1_000,
) -> None:
    """CAREER with vectors of occupations' titles, without, and with shuffled ones: rare and unseen occupations."""
    if title_embeddings is not None and truth is not None:
        raise typer.BadParameter("vectors come from --title-embeddings or from --truth, not from both")
    settings = TitlesSettings(rates=tuple(map(float, rates.split(","))), seeds=seeds, most_steps=most_steps)
    runs, hours = settings.cost()
    say(f"{runs} training runs, at most {hours:.1f} core hours")
    names = tuple(covariates.split(","))
    study = TitlesStudy(output, settings, data=data, covariates=names, titles=title_embeddings, truth=truth)
    result = study.run(workers)
    overall = result["overall"]
    show(overall[["perplexity", "low", "high", "seed_sd"]], "Test perplexity, 95% intervals")
    for choice in ("career", "shuffled"):
        columns = {f"{name}_from_{choice}": name for name in ("difference", "low", "high")}
        differences = overall[[*columns]].rename(columns=columns)
        show(differences, f"Log-perplexity minus that of {choice}; below 0 is better")
    wanted = ["smallest", "largest", "n", "difference", "low", "high"]
    for (steps, model, choice), rows in result["by_count"].groupby(["steps", "model", "against"], sort=False):
        kind = "All steps" if steps == "all" else "Moves"
        title = f"{kind}, {model} against {choice}, by person-years of the occupation in training; 1 is the rarest"
        show(rows.set_index("bin")[wanted], title)
    wanted = ["n", "gain", "low", "high", "reciprocal_rank", "chance_reciprocal_rank"]
    show(result["unseen"][wanted], "Moves to occupations never seen: log-probability of the choice above chance")
    say(f"{output}/overall.csv, by_count.csv, unseen.csv, titles.png")
