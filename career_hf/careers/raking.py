"""Raking: weights with which careers, such as a corpus of resumes, have the margins of a population.

People who write and upload resumes are younger, better educated and more often employed than the population. With
raked weights the shares of people by gender, education and so on are those of a survey (Deming and Stephan, 1940); the
paper's Broader Impact asks for it. Weights correct the margins, and nothing else: within a cell of the
margins, people who upload a resume are taken to be like people who do not.

The whole package reads these weights from the column `weight` of careers, wherever `weighted=True` asks for them. The
library `svy` fits them: `pip install "career_hf[survey]"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict

from ..number_ranges import within_ranges
from ..occupations.normalising import label_of, labels_of
from ..readable_values import ReadableResult
from .atomic_files import complete, move_into
from .columns import (
    career_table,
    is_list,
    is_text,
    list_lengths,
    list_values,
    make_dataset,
    weights_by_person,
    weights_by_step,
)
from .frames import as_careers, load_careers, save_careers
from .ledger import Ledger
from .saved_files import MANIFEST, check_same_careers, read_manifest
from .splits import split_manifest


# The largest relative distance of a share from its target that counts as fitted.
TOLERANCE = 1e-6
MOST_ROUNDS = 1_000

Margins = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, repr=False)
class RakedCareers(ReadableResult):
    """Careers with raked weights, and how far these meet the margins.

    Args:
        careers: Careers of all splits together, with the column `weight`, of mean 1 over people.
        margins: One row per margin and level: margin, level, people, before, after and target (shares).
        ledger: How many people were left out, and how many weights were trimmed.
        effective_sample_size: Kish's effective sample size, (sum of weights)^2 / sum of their squares: so many people
            of equal weight would give means of the same precision, if the averaged values are unrelated to the
            weights.
        largest: The largest weight, in multiples of the mean.
        splits: The same careers by split name.
        manifest: What `split_manifest` returns for these splits, if the folder of careers had a manifest.
    """

    careers: Dataset
    margins: pd.DataFrame
    ledger: Ledger
    effective_sample_size: float
    largest: float
    splits: DatasetDict
    manifest: Mapping[str, Any] | None = None

    def to_frame(self) -> pd.DataFrame:
        """The table `margins`."""
        return self.margins

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Saves the careers in their splits, with the ledger, the split manifest and the table `margins.csv`.

        Args:
            folder: Destination folder; written atomically. Other files that it holds stay.
            overwrite: Whether other careers in the folder are replaced. The same ones may always be saved again.

        Raises:
            ValueError: The folder holds other careers.
        """
        folder = Path(folder).absolute()
        with complete(folder, move_into) as unfinished:
            save_careers(self.splits, unfinished, self.ledger, self.manifest)
            if not overwrite:
                check_same_careers(folder, unfinished)
            self.margins.to_csv(unfinished / "margins.csv", index=False)


@within_ranges
def rake(
    careers: str | Path | Dataset | DatasetDict,
    margins: Margins | Sequence[str] | str | Path | pd.DataFrame,
    *,
    survey: str | Path | Dataset | DatasetDict | None = None,
    people: pd.DataFrame | None = None,
    drop_missing: bool = False,
    largest: float | None = None,
) -> RakedCareers:
    """Finds weights with which careers have given margins.

    Args:
        careers: Careers, a folder of them, or careers by split name, whose people are weighted together, so that one
            person counts as much in training as in testing. Raking starts from their `weight`, or from equal weights
            if they have none. Where it changes over the years, people count with their mean weight, and all of a
            person's weights are multiplied by one factor. People whose weights are all 0 keep them, and are not
            counted.
        margins: For each covariate the share of people of each level, such as {"gender": {"male": .49, "female":
            .51}}; divided by their sum. Or the names of covariates, whose shares `margins_of` takes from the survey.
            Or a frame, or a CSV file, with columns margin, level and share. A covariate that changes over a career
            (or "occupation") counts with its latest known level.
        survey: Careers that stand for the population, where `margins` are names.
        people: A frame with `person` and a column for each margin that is not a column of the careers, such as groups
            of birth years, or two covariates jointly.
        drop_missing: Leave out people without a level of some margin, instead of refusing them.
        largest: Largest weight allowed, in multiples of the mean: larger ones are trimmed, and margins fitted again,
            until both hold.

    Returns:
        The careers with weights, and how far these meet the margins.

    Raises:
        ValueError: If a margin has no column, somebody has no level, a level has people and no share or a share and no
            people, or the margins cannot all be met. The message names the margin.
        ImportError: If `svy` is not installed.
    """
    if people is not None and "person" not in people:
        raise ValueError(f"people has no column 'person', only {list(people)}, so its rows belong to nobody")
    margins = _checked_margins(_read_margins(margins, survey, people))
    splits = load_careers(careers) if isinstance(careers, (str, Path)) else careers
    splits = splits if isinstance(splits, DatasetDict) else DatasetDict({"all": splits})
    table = career_table(as_careers(splits))
    levels = pd.DataFrame({name: _latest_levels(table, name, people) for name in margins})
    missing = levels.isna().any(axis=1).to_numpy()
    if missing.any() and not drop_missing:
        row = int(missing.argmax())
        name = str(levels.columns[int(levels.iloc[row].isna().to_numpy().argmax())])
        raise ValueError(
            f"person '{table['person'][row].as_py()}' ({missing.sum()} in all), column '{name}': no level is known, "
            "so the margins cannot count them; fill it in, or leave them out with drop_missing=True"
        )
    known_people, levels = table.filter(pa.array(~missing)), levels[~missing]
    own = weights_by_person(known_people)
    counted = own > 0
    if not counted.any():
        raise ValueError("column 'weight' is 0 for everybody, so there is nothing to rake: correct or drop the column")
    levels, start = levels[counted].reset_index(drop=True), own[counted]
    before = _shares(levels, start, margins)
    weight = _fit(levels, start, margins, largest)
    margins_table = before.rename(columns={"share": "before"}).assign(after=_shares(levels, weight, margins)["share"])
    margins_table = margins_table[["margin", "level", "people", "before", "after", "target"]]
    _check_fit(margins_table, weight, largest)
    ledger, dropped = Ledger(), {"no level of a margin is known": int(missing.sum())}
    people_trimmed = int((weight > 0.999 * largest).sum()) if largest is not None else 0
    trimmed = {f"weight trimmed to {largest:g} times the mean": people_trimmed} if people_trimmed else {}
    ledger.record("rake", "people", len(missing), len(own), dropped=dropped, altered=trimmed)
    if not counted.all():
        ledger.note(f"{(~counted).sum()} people have weight 0 in every year, and keep it")
    columns = {name: known_people[name] for name in known_people.column_names} | {
        "weight": _raked_column(known_people, counted, weight)
    }
    raked = make_dataset(columns)
    row_of_person = {person: row for row, person in enumerate(raked["person"])}
    weighted = DatasetDict(
        {
            name: raked.select([row_of_person[person] for person in split["person"] if person in row_of_person])
            for name, split in splits.items()
        }
    )
    return RakedCareers(
        careers=raked,
        margins=margins_table,
        ledger=ledger,
        effective_sample_size=float(weight.sum() ** 2 / (weight**2).sum()),
        largest=float(weight.max()),
        splits=weighted,
        manifest=_manifest(careers, weighted),
    )


@within_ranges
def margins_of(
    survey: Dataset, names: Sequence[str], people: pd.DataFrame | None = None
) -> dict[str, dict[str, float]]:
    """Shares of people by level, weighted where the survey has weights, as `rake` takes them.

    Args:
        survey: Careers that stand for the population.
        names: Covariates, with the levels that the other careers have; as in `rake`, the latest known level counts.
        people: As in `rake`.

    Raises:
        ValueError: If a name is not a column.
    """
    table = career_table(survey)
    weight = weights_by_person(table)
    if not weight.any():
        raise ValueError("column 'weight' of the survey is 0 for everybody, so it has no shares")
    sums = {name: pd.Series(weight).groupby(_latest_levels(table, name, people)).sum() for name in names}
    return {name: {str(level): float(n) for level, n in (total / total.sum()).items()} for name, total in sums.items()}


def _raked_column(table: pa.Table, counted: np.ndarray, weight: np.ndarray) -> pa.Array:
    """The column `weight` of raked careers: a number for each person, or for each year where it was so before."""
    raked = np.zeros(table.num_rows)
    raked[counted] = weight
    if "weight" not in table.column_names or not is_list(table.schema.field("weight").type):
        return pa.array(raked, pa.float64())
    factor = np.divide(raked, weights_by_person(table), out=np.zeros_like(raked), where=counted)
    lengths = list_lengths(table, "year")
    offsets = pa.array(np.append(0, lengths.cumsum()), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(weights_by_step(table) * np.repeat(factor, lengths)))


def _read_margins(
    margins: Margins | Sequence[str] | str | Path | pd.DataFrame,
    survey: str | Path | Dataset | DatasetDict | None,
    people: pd.DataFrame | None,
) -> Margins:
    """Shares of people by margin and level, from a mapping, a table, a CSV file, or the covariates of a survey."""
    if survey is not None and isinstance(margins, (Mapping, str, Path, pd.DataFrame)):
        raise ValueError("margins have their own shares, so the survey would be ignored: give names, or no survey")
    if isinstance(margins, Mapping):
        return {name: _shares_by_level(name, shares, shares.values()) for name, shares in margins.items()}
    if isinstance(margins, (str, Path)):
        try:
            table = pd.read_csv(margins, dtype={"margin": str, "level": str})
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise ValueError(f"{margins} cannot be read as a table of margins: {error}") from error
        margins = table
    if isinstance(margins, pd.DataFrame):
        if not {"margin", "level", "share"} <= set(margins.columns):
            raise ValueError(f"the table of margins has columns {list(margins.columns)}, not margin, level and share")
        shares = pd.to_numeric(margins["share"], errors="coerce")
        if (shares.isna() | margins["margin"].isna()).any():
            row = int((shares.isna() | margins["margin"].isna()).to_numpy().argmax())
            raise ValueError(
                f"row {row} of the table of margins has margin {margins['margin'].iloc[row]!r} and share "
                f"{margins['share'].iloc[row]!r}: give every row a name and a number"
            )
        rows_of = margins.assign(share=shares.astype(float)).groupby("margin", sort=False)
        return {str(name): _shares_by_level(str(name), rows["level"], rows["share"]) for name, rows in rows_of}
    if survey is None:
        raise ValueError(f"margins {list(margins)} are names: pass survey= with the careers that have their shares")
    return margins_of(as_careers(survey), margins, people)


def _manifest(careers: Any, splits: DatasetDict) -> dict[str, Any] | None:
    """The manifest of the weighted splits, if the folder of careers has one; some of its people may be left out."""
    if not isinstance(careers, (str, Path)) or not (Path(careers) / MANIFEST).exists():
        return None
    before = read_manifest(Path(careers) / MANIFEST)
    return split_manifest(splits, before["salt"], dict(before["fractions"]), before["group"])


def _shares_by_level(margin: str, levels: Iterable[Any], shares: Iterable[float]) -> dict[str, float]:
    """Shares by the label of each level, as careers write it; a ValueError if a level is missing or there twice."""
    by_level: dict[str, float] = {}
    for level, share in zip(levels, shares, strict=True):
        label = label_of(level)
        if label is None or label in by_level:
            problem = "a share without a level" if label is None else f"level '{label}' twice"
            raise ValueError(f"margin '{margin}' has {problem}: give every level one share")
        by_level[label] = share
    return by_level


def _checked_margins(margins: Margins) -> Margins:
    if not margins:
        raise ValueError("there are no margins to rake to: name at least one, such as {'gender': {...}}")
    for name, shares in margins.items():
        refused = [level for level, share in shares.items() if not (np.isfinite(share) and share > 0)]
        if refused or not shares:
            problem = f"level '{refused[0]}' has share {shares[refused[0]]}" if refused else "has no levels"
            raise ValueError(
                f"margin '{name}': {problem}; shares must be positive: leave out people whose level the population "
                "does not have"
            )
    return margins


def _latest_levels(table: pa.Table, name: str, people: pd.DataFrame | None) -> pd.Series:
    """`(people,)` latest known level of each person, null where none is known."""
    if people is not None and name in people.columns and name != "person":
        identifiers = labels_of(people["person"])
        if identifiers.duplicated().any():
            repeated = identifiers[identifiers.duplicated()].iloc[0]
            raise ValueError(f"person '{repeated}' has two rows in the frame of people: keep one")
        levels = labels_of(people[name]).set_axis(pd.Index(identifiers))
        return levels.reindex(table["person"].to_pylist()).reset_index(drop=True)
    kind = table.schema.field(name).type if name in table.column_names else None
    over_time = kind is not None and is_list(kind)
    if kind is None or not is_text(kind.value_type if over_time else kind):
        raise ValueError(
            f"margin '{name}' is no column of labels of the careers, which have {table.column_names}: rename it, or "
            "pass people= with such a column"
        )
    if not over_time:
        return pd.Series(table[name].to_pandas(), dtype=object)
    steps = pd.Series(list_values(table, name).to_pandas(), dtype=object)
    person = np.repeat(np.arange(table.num_rows), list_lengths(table, name))
    # `last` skips missing levels.
    return steps.groupby(person).last().reset_index(drop=True)


def _shares(levels: pd.DataFrame, weight: np.ndarray, margins: Margins) -> pd.DataFrame:
    """margin, level, people, share and target; a ValueError where levels and margins are not the same."""
    frames = []
    for name, shares in margins.items():
        grouped = pd.DataFrame({"weight": weight}).groupby(levels[name].to_numpy())["weight"]
        sums = grouped.agg(["size", "sum"])
        unlisted = [level for level in sums.index if level not in shares]
        empty = [level for level in shares if level not in sums.index]
        if unlisted:
            raise ValueError(
                f"margin '{name}': {sums['size'][unlisted[0]]} people have level '{unlisted[0]}', which has no share, "
                f"only {list(shares)}; give it one, or leave these people out"
            )
        if empty:
            raise ValueError(
                f"margin '{name}': nobody has level '{empty[0]}', whose share is {shares[empty[0]]:.4g}; merge it "
                "with another level, in the careers and in the margins"
            )
        target = pd.Series(shares) / sum(shares.values())
        sums = sums.reindex(list(shares))
        frames.append(
            pd.DataFrame(
                {
                    "margin": name,
                    "level": list(shares),
                    "people": sums["size"].to_numpy(),
                    "share": (sums["sum"] / weight.sum()).to_numpy(),
                    "target": target.to_numpy(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _fit(levels: pd.DataFrame, start: np.ndarray, margins: Margins, largest: float | None) -> np.ndarray:
    """`(people,)` raked weights of mean 1, or the last that were reached."""
    try:
        import polars
        import svy
    except ImportError as error:
        raise ImportError("raking needs svy: pip install 'career_hf[survey]'") from error
    # svy reserves some names, so its columns are numbered.
    names = {name: f"margin_{i}" for i, name in enumerate(margins)}
    data = polars.DataFrame({new: levels[name].to_list() for name, new in names.items()})
    data = data.with_columns(polars.Series("base", start / start.mean()))
    options: dict[str, Any] = {"tol": TOLERANCE, "max_iter": MOST_ROUNDS, "on_nonconvergence": "ignore"}
    if largest is not None:
        options["trimming"] = svy.TrimConfig(upper=float(largest), max_iter=MOST_ROUNDS)
    shares: Any = {names[name]: dict(level_shares) for name, level_shares in margins.items()}
    raked = svy.Sample(data, svy.Design(wgt="base")).weighting.rake(shares=shares, wgt_name="raked", **options)
    fitted: Any = raked.data
    weight = fitted["raked"].to_numpy()
    return weight / weight.mean()


def _check_fit(margins_table: pd.DataFrame, weight: np.ndarray, largest: float | None) -> None:
    """Raises a ValueError that names the margin furthest from its target, or the one whose weights are largest."""
    distance = ((margins_table["after"] - margins_table["target"]) / margins_table["target"]).abs()
    most = np.inf if largest is None else largest * (1 + 10 * TOLERANCE)
    if distance.max() <= 10 * TOLERANCE and weight.max() <= most:
        return
    within = f" with weights up to {largest:g} times the mean" if largest is not None else ""
    fix = (
        "allow larger ones, merge levels, or drop a margin"
        if largest is not None
        else "merge levels, or drop a margin"
    )
    if distance.max() > 10 * TOLERANCE:
        worst = margins_table.loc[distance.idxmax()]
        problem = f"has share {worst['after']:.4f} after raking"
    else:
        worst = margins_table.loc[(margins_table["target"] / margins_table["people"]).idxmax()]
        problem = f"is a share of {worst['people'] / len(weight):.4f}, and weights of {weight.max():.2f} are left"
    raise ValueError(
        f"the margins cannot all be met{within}: margin '{worst['margin']}', level '{worst['level']}' "
        f"({worst['people']} people) {problem}; its target is {worst['target']:.4f}; {fix}"
    )
