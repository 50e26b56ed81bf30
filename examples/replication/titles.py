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

from career_hf.careers.atomic_files import complete
from career_hf.careers.columns import career_table, list_values
from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.encoding.vocabulary import label_counts
from career_hf.evaluation.metrics import compare, compare_by, summarize
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.title_embeddings import load_title_embeddings
from career_hf.occupations.crosswalks import titles_of
from career_hf.training.trainer import Recipe, scratch_recipe

from .cells import keep_settings, likeliest, run_jobs, schedule, score_once, train_once, training_log
from .rivals_tables import load


CAREER, TITLES, SHUFFLED = "CAREER", "with titles", "with shuffled titles"
VARIANTS = (CAREER, TITLES, SHUFFLED)
UNKNOWN = "unknown"

# Person-years that one core trains on in a second, for the cost that is announced.
SPEED = 25_000

Vectors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """What every variant gets.

    Args:
        rates: Peak learning rates to try; they fall to zero at the last update.
        seeds: Training seeds; the first also has the trials.
        most_steps: Updates at most; early stopping may come before. A tenth of them is warmup, and as many lie between
            validations.
        tokens_per_batch: Person-years of an update.
        patience: Validations without improvement before training stops.
        size: Of title vectors that are made here, from titles.
        noise: Of vectors that are made here, from a simulated market: standard deviation, in those of a skill.
        hidden: Share of occupations whose names are withheld in the second part.
        draws: Resamples of people behind the intervals.
    """

    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    seeds: int = 3
    most_steps: int = 1_000
    tokens_per_batch: int = 4_000
    patience: int = 3
    size: int = 64
    noise: float = 0.5
    hidden: float = 0.1
    draws: int = 1_000


@dataclass(frozen=True)
class Source:
    """Careers and what is known of their occupations.

    Args:
        data: Folder of careers in splits, as `career-hf prepare` or `simulate` writes it.
        covariates: Of every variant.
        titles: File of title vectors, as `save_title_embeddings` writes it.
        truth: Folder of a simulated market's truth, from whose skills vectors are made. Without either, vectors are
            made from the titles of occ1990dd.
    """

    data: Path
    covariates: tuple[str, ...]
    titles: Path | None = None
    truth: Path | None = None


@dataclass(frozen=True)
class Trial:
    """One training run: a variant, its learning rate, a seed, and whether some occupations are hidden from it."""

    variant: str
    rate: float
    seed: int = 0
    hides: bool = False

    @property
    def folder(self) -> str:
        """A name for its folder."""
        return f"{self.variant}{', some hidden' if self.hides else ''}, {self.rate:g}, {self.seed}"


def trials(settings: Settings) -> list[Trial]:
    """Every trial on the first seed."""
    return [Trial(variant, rate) for variant in VARIANTS for rate in settings.rates]


def cost(settings: Settings) -> tuple[int, float]:
    """Training runs, and core hours if none stops early."""
    runs = len(VARIANTS) * (len(settings.rates) + settings.seeds - 1 + settings.seeds)
    return runs, runs * settings.most_steps * settings.tokens_per_batch / SPEED / 3600


def run(folder: Path, source: Source, settings: Settings, workers: int = 2) -> None:
    """Tunes and trains every variant, then scores test careers; what is finished is not run again.

    Leaves `folder/tables/VARIANT/SEED.parquet`, transition tables, and `folder/unseen/VARIANT/SEED.parquet`.

    Args:
        folder: Of the study.
        source: Careers and vectors.
        settings: What every variant gets.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: Occupations have no titles, or the folder holds a study with other settings.
    """
    described = {name: list(v) if isinstance(v, tuple) else v and str(v) for name, v in asdict(source).items()}
    keep_settings(folder, {**described, **asdict(settings)})
    vectors_of(source, settings, vocabulary(load_careers(source.data)["train"]))  # errors before the hours of training
    given = folder, source, settings
    run_jobs("Trials", [partial(train, *given, trial) for trial in trials(settings)], workers)
    frozen = [replace(best(folder, settings, name), seed=seed) for name in VARIANTS for seed in range(settings.seeds)]
    jobs = [partial(score, *given, trial) for trial in frozen]
    jobs += [partial(score_unseen, *given, replace(trial, hides=True)) for trial in frozen]
    run_jobs("Further seeds, hidden occupations, and scoring", jobs, workers)


def best(folder: Path, settings: Settings, variant: str) -> Trial:
    """The trial of a variant that validation careers like best."""
    return likeliest(folder, (trial for trial in trials(settings) if trial.variant == variant))


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


def vectors_of(source: Source, settings: Settings, occupations: Sequence[str]) -> dict[str, np.ndarray]:
    """Vector of every occupation, from a file, a simulated market or titles.

    Raises:
        ValueError: If these are not occ1990dd codes, or an occupation has no vector; it is named.
    """
    if source.titles is not None:
        made = load_title_embeddings(source.titles)
    elif source.truth is not None:
        truth: Any = AutoModelForCausalLM.from_pretrained(source.truth)
        made = market_vectors(truth.law.world, settings.noise)
    else:
        made = text_vectors(texts_of(occupations), settings.size)
    missing = [label for label in occupations if label not in made]
    if missing:
        raise ValueError(f"occupation '{missing[0]}' has no vector ({len(missing)} have none): add it to the file")
    return {label: made[label] for label in occupations}


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


def shuffled(vectors: Vectors) -> dict[str, np.ndarray]:
    """The same vectors, dealt out to other occupations."""
    dealt = np.random.default_rng(0).permutation(len(vectors))
    rows = list(vectors.values())
    return {label: rows[i] for label, i in zip(vectors, dealt, strict=True)}


def titles_of_variant(
    source: Source, settings: Settings, variant: str, train: Dataset
) -> dict[str, np.ndarray] | None:
    """What a variant is given; None for CAREER."""
    if variant == CAREER:
        return None
    vectors = vectors_of(source, settings, vocabulary(train))
    return shuffled(vectors) if variant == SHUFFLED else vectors


def train(folder: Path, source: Source, settings: Settings, trial: Trial) -> tuple[PreTrainedModel, CareerProcessor]:
    """Trains one variant, or loads it."""
    splits = load_careers(source.data)
    known = None
    if trial.hides:
        hidden = set(hidden_occupations(splits["train"], settings.hidden))
        known = [label for label in vocabulary(splits["train"]) if label not in hidden]
    processor = CareerProcessor.fit(splits["train"], source.covariates, UNKNOWN, known)
    titles = titles_of_variant(source, settings, trial.variant, splits["train"])
    fields = {} if titles is None else {"title_embedding_size": len(next(iter(titles.values())))}

    def recipe(output: Path) -> Recipe:
        how = schedule(settings, trial.rate, trial.seed)
        return scratch_recipe(processor, output, config_overrides=fields, **how)

    def make_model(config: Any) -> CareerForOccupationPrediction:
        model = CareerForOccupationPrediction(config)
        if titles is not None:
            model.set_title_embeddings(titles, untitled=[UNKNOWN])
        return model

    place = folder / "models" / trial.folder
    parts = splits["train"], splits["validation"]
    return train_once(place, make_model, processor, recipe, *parts, source_of(source.data))


def score(folder: Path, source: Source, settings: Settings, trial: Trial) -> None:
    """Trains one variant, or loads it, and scores test careers."""
    made = train(folder, source, settings, trial)
    score_once(folder / "tables" / trial.variant / f"{trial.seed}.parquet", *made, load_careers(source.data)["test"])


def score_unseen(folder: Path, source: Source, settings: Settings, trial: Trial) -> None:
    """Trains a variant from which some occupations are hidden, or loads it, and scores moves to these."""
    path = folder / "unseen" / trial.variant / f"{trial.seed}.parquet"
    model, processor = train(folder, source, settings, trial)
    if path.exists():
        return
    splits = load_careers(source.data)
    hidden = hidden_occupations(splits["train"], settings.hidden)
    new = processor.extend(occupations=hidden)
    set_seed(trial.seed)  # rows of CAREER without titles are drawn
    titles = titles_of_variant(source, settings, trial.variant, splits["train"])
    model.resize_vocabulary(processor, new, titles=titles)  # type: ignore[operator]
    table = choices_among(model.eval(), new, splits["test"], hidden)
    with complete(path) as unfinished:
        table.to_parquet(unfinished)


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


# MERGED titles_tables: """What the study of titles found: tables and one figure, from its scores of test careers."""


CHANCE = "chance"
BINS = 4
COLORS = {TITLES: "#0072B2", SHUFFLED: "#999999", CAREER: "#D55E00"}

Tables = Mapping[str, Sequence[pd.DataFrame]]


@dataclass(frozen=True)
class Found:
    """What the study found.

    Args:
        overall: One row per variant: rate and hours of training; perplexity with low, high (people resampled), seeds
            and seed_sd; difference_from_career of log-perplexity with low_from_career and high_from_career, and the
            same from_shuffled.
        by_count: One row per kind of steps ("all", "moves"), bin of the true occupation's person-years in training and
            variant: n steps; occupations of the bin and their smallest and largest count; difference of log-perplexity
            from that of `against`, CAREER or shuffled titles, with low and high.
        unseen: One row per variant: n moves to occupations whose names were withheld; gain, log-probability of the
            true one among these over chance's, with low and high; mean reciprocal rank, and chance's; and
            difference_from_shuffled with low and high.
    """

    overall: pd.DataFrame
    by_count: pd.DataFrame
    unseen: pd.DataFrame


def titles_tables(folder: Path, source: Source, settings: Settings) -> Found:
    """The tables, from a study that is finished."""
    tables = load(folder / "tables")
    tables = {name: tables[name] for name in VARIANTS}
    unseen = load(folder / "unseen")
    counts = counts_of(load_careers(source.data)["train"])
    return Found(
        _overall(folder, tables, settings),
        _by_count(tables, counts, settings.draws),
        unseen_table({name: unseen[name] for name in VARIANTS}, settings.draws),
    )


def _overall(folder: Path, tables: Tables, settings: Settings) -> pd.DataFrame:
    log = training_log(folder)
    how = {
        name: {
            "rate": best(folder, settings, name).rate,
            "hours": log.loc[log.index.str.startswith(f"{name}, "), "hours"].sum(),
        }
        for name in VARIANTS
    }
    levels = summarize(tables, settings.draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    differences = [
        compare(tables, choice, settings.draws)[["difference", "low", "high"]].add_suffix(end)
        for choice, end in ((CAREER, "_from_career"), (SHUFFLED, "_from_shuffled"))
    ]
    return pd.DataFrame.from_dict(how, orient="index").rename_axis("model").join([levels, *differences])


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


def _by_count(tables: Tables, counts: Mapping[str, int], draws: int) -> pd.DataFrame:
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
            part = compare_by(chosen, choice, "bin", draws).reset_index()
            part = part[part["model"] != CAREER]
            parts.append(part.assign(steps=steps, against=choice, bin=part["bin"].astype(int)).join(ranges, on="bin"))
    columns = ["steps", "bin", "occupations", "smallest", "largest"]
    columns += ["model", "against", "n", "difference", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def unseen_table(unseen: Tables, draws: int) -> pd.DataFrame:
    """Choices among occupations whose names were withheld; see `Found.unseen`."""
    first = next(iter(unseen.values()))[0]
    blind = first.assign(log_prob=first["chance"])
    from_chance = compare({**unseen, CHANCE: [blind]}, CHANCE, draws).loc[list(unseen)]
    from_shuffled = compare(unseen, SHUFFLED, draws)
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


def figure(found: Found) -> Figure:
    """Moves by how often training saw the true occupation, and choices among occupations that it never saw."""
    whole = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = whole.subplots(1, 2, width_ratios=(1.5, 1))
    moves = found.by_count.query("steps == 'moves' and against == @CAREER")
    for shift, (name, rows) in zip((-0.08, 0.08), moves.groupby("model", sort=False), strict=True):
        spans = np.abs(rows[["low", "high"]].to_numpy() - rows[["difference"]].to_numpy()).T
        place = rows["bin"] + shift
        left.errorbar(place, rows["difference"], yerr=spans, fmt="o", capsize=3, color=COLORS[str(name)], label=name)
    ticks = moves.drop_duplicates("bin")
    ranges = zip(ticks["smallest"], ticks["largest"], strict=True)
    left.set_xticks(ticks["bin"], [f"{low:,}-{high:,}" for low, high in ranges])
    left.axhline(0, color="black", linewidth=1)
    left.legend(frameon=False)
    left.set(
        title="Moves: against CAREER without titles; below 0 is better",
        xlabel="person-years of the true occupation in training",
        ylabel="difference of log-perplexity, nats\n(95% intervals by resampling people)",
    )
    for place, (name, row) in enumerate(found.unseen.iterrows()):
        spans = np.abs(row[["low", "high"]].to_numpy(dtype=float) - row["gain"])[:, None]
        right.errorbar(place, row["gain"], yerr=spans, fmt="o", capsize=3, color=COLORS[str(name)])
    right.set_xticks(range(len(found.unseen)), list(found.unseen.index))
    right.axhline(0, color="black", linewidth=1)
    right.margins(x=0.2)
    right.set(title="Choice among occupations never seen", ylabel="nats per move above chance")
    return whole


def titles_study(folder: Path, source: Source, settings: Settings | None = None, workers: int = 2) -> Found:
    """Trains what is not trained yet; writes overall.csv, by_count.csv, unseen.csv and titles.png into the folder.

    Args:
        folder: Of the study; one that was stopped goes on.
        source: Careers and vectors.
        settings: What every variant gets.
        workers: Processes, each of which uses one thread.
    """
    settings = settings or Settings()
    run(folder, source, settings, workers)
    found = titles_tables(folder, source, settings)
    found.overall.to_csv(folder / "overall.csv")
    found.by_count.to_csv(folder / "by_count.csv", index=False)
    found.unseen.to_csv(folder / "unseen.csv")
    figure(found).savefig(folder / "titles.png", dpi=110)
    return found


@study.command()
def titles(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder of the study.")],
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    title_embeddings: Annotated[
        Path | None, typer.Option(help="Vectors of titles, as `save_title_embeddings` writes them.", exists=True)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth of a simulated market, whose skills are taken for titles.", exists=True)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; each uses one thread.")] = 2,
    seeds: Annotated[int, typer.Option(help="Training seeds.")] = 3,
    rates: Annotated[str, typer.Option(help="Learning rates that every variant tries, comma-separated.")] = (
        "0.001,0.002,0.004"
    ),
    most_steps: Annotated[int, typer.Option(help="Updates at most, at which the rate is zero.", min=10)] = 1_000,
) -> None:
    """CAREER with vectors of occupations' titles, without, and with shuffled ones: rare and unseen occupations."""
    from .titles import Settings, Source, cost
    from .titles_tables import titles_study

    if title_embeddings is not None and truth is not None:
        raise typer.BadParameter("vectors come from --title-embeddings or from --truth, not from both")
    settings = Settings(tuple(map(float, rates.split(","))), seeds, most_steps)
    runs, hours = cost(settings)
    say(f"{runs} training runs, at most {hours:.1f} core hours")
    source = Source(data, tuple(covariates.split(",")), title_embeddings, truth)
    found = titles_study(output, source, settings, workers)
    show(
        found.overall[["perplexity", "low", "high", "seed_sd"]], "Test perplexity, 95% intervals by resampling people"
    )
    for choice in ("career", "shuffled"):
        names = {f"{name}_from_{choice}": name for name in ("difference", "low", "high")}
        show(
            found.overall[[*names]].rename(columns=names), f"Log-perplexity minus that of {choice}; below 0 is better"
        )
    columns = ["smallest", "largest", "n", "difference", "low", "high"]
    for (steps, model, choice), rows in found.by_count.groupby(["steps", "model", "against"], sort=False):
        kind = "All steps" if steps == "all" else "Moves"
        title = f"{kind}, {model} against {choice}, by person-years of the occupation in training; 1 is the rarest"
        show(rows.set_index("bin")[columns], title)
    columns = ["n", "gain", "low", "high", "reciprocal_rank", "chance_reciprocal_rank"]
    show(found.unseen[columns], "Moves to occupations never seen: log-probability of the choice above chance")
    say(f"{output}/overall.csv, by_count.csv, unseen.csv, titles.png")
