"""Attributes of likely destinations: how exposed to AI, how routine or how well paid the occupations are to which a
group is likely to go, from a model's next steps or from a forecast.

The number of a group is a ratio: the attribute, averaged over all that its people may do next, each as likely as the
model says, among occupations that have the attribute. What has none, states without work among them, is no zero and is
not dropped silently: its share of the probability stands beside every number and, occupation by occupation, in
`Exposure.without`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict

from ..careers.clusters import cluster_name, clusters
from ..careers.columns import career_table, weights_by_step, with_weights
from ..careers.frames import as_careers, long_table
from ..careers.ledger import Ledger
from ..careers.periods import person_periods, time_unit, with_period_labels
from ..encoding.checkpoints import as_ensemble
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..evaluation.resampling import combine_members, interval, interval_text, resample_means
from ..evaluation.transition_table import distributions
from ..figures.exposure import exposure_figure
from ..figures.style import save
from ..forecasting.result import Forecast
from ..number_ranges import within_ranges
from ..occupations.attributes import as_attributes, attribute_matrix
from ..readable_values import ReadableResult


if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESTINATIONS = ("movers", "all")
# People whose forecasts are multiplied at once.
PEOPLE_AT_ONCE = 2_000


@dataclass(frozen=True, repr=False)
class Exposure(ReadableResult):
    """Attributes of the likely destinations of groups of people.

    Args:
        rows: One row per year (of forecasts), group and attribute, as `to_frame` returns them.
        without: The share of the probability on each occupation that has no value of an attribute: year (of
            forecasts), the group, attribute, occupation and share, largest first.
        ledger: Which person-years are used, and why others are not.
        by: What groups are told apart by; None if everybody is one.
    """

    rows: pd.DataFrame
    without: pd.DataFrame
    ledger: Ledger
    by: str | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row per year (of forecasts), group, attribute and, where the attribute is a text, level.

        Columns: year (or month or quarter, as labels); the group; attribute; level (null where the attribute is a
        number); n (predictions), people and clusters; implied, the mean attribute of destinations as the model expects
        them; origin, that of the occupations that people come from, each as likely to be left as the model says;
        change, implied less origin;
        without, the share of the probability on occupations without the attribute. Of next steps also observed, the
        mean attribute of the destinations of those who moved; and difference, implied less observed, paired. Each of
        implied, change, observed and difference has the ends of its 95% interval behind it, such as implied_low and
        implied_high, null with fewer than `FEWEST` clusters; those of one model hold it fixed, those of an ensemble
        hold the differences between its members. Of a text, numbers are shares of the level. `attrs` have
        destinations, weighted, draws, members (number of models) and clusters ("household", say).
        """
        return self.rows

    def with_intervals(self) -> pd.DataFrame:
        """`to_frame` for people to read: numbers as text, with their intervals in brackets, or "too few"."""
        return texts_with_intervals(self.rows, {"change": "+", "difference": "+"})

    def figure(self) -> Figure:
        """What is expected and what was observed by group, with intervals, a panel per attribute.

        Returns:
            A matplotlib figure that no window shows.
        """
        return exposure_figure(self.rows, self.by)

    def save(self, folder: str | Path, *, figures: bool = False) -> None:
        """Saves `exposure.csv`, `without.csv` and `ledger.json`.

        Args:
            folder: Destination folder.
            figures: Whether to save `exposure.png` too, which needs matplotlib.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.to_csv(folder / "exposure.csv", index=False)
        self.without.to_csv(folder / "without.csv", index=False)
        self.ledger.save(folder / "ledger.json")
        if figures:
            save(self.figure(), folder / "exposure.png")


@dataclass(frozen=True)
class _Predictions:
    """Predictions whose attributes are averaged.

    Args:
        rows: One row per prediction: person, the columns of its cluster, previous, weight, perhaps occupation (what
            came) and the covariates; and year, where there are groups of years.
        labels: Labels of the model's occupations, J of them.
        unknown: The label that stands for occupations which the model does not know; None if there is none.
        parts: Places of some rows, and their `(rows, J)` probabilities, until all rows are there.
        years: Whether years have numbers of their own.
        record: What the ledger records of the rows.
    """

    rows: pd.DataFrame
    labels: list[str]
    unknown: str | None
    parts: Iterator[tuple[np.ndarray, np.ndarray]]
    years: bool
    record: tuple[str, str, int, int, dict[str, int]]


@within_ranges
def exposure(
    predictions: Any,
    attributes: str | Path | pd.DataFrame,
    careers: str | Path | Dataset | DatasetDict | None = None,
    *,
    by: str | None = None,
    destinations: Literal["movers", "all"] = "movers",
    split: str = "test",
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "missing",
    weighted: bool = False,
) -> Exposure:
    """The expected attribute of the likely destinations of groups of people, with clustered intervals.

    Args:
        predictions: A `Forecast`, whose years each get their numbers; or an occupation model (a folder, a Hub id, a
            pair (model, processor) or what `train` returns), whose next steps are averaged over all steps of `careers`
            but first ones, beside what was observed. Either may be of an ensemble: a list of models, or the folder
            that `train_ensemble` wrote.
        attributes: Attributes by occupation, as `occupations.attributes` returns them; or a file, or a table with a
            column `occupation`, that it reads.
        careers: Careers of people whom the model was not trained on; with a forecast they are its own.
        by: What groups people: a covariate of the careers, as it is at the step, or where a forecast begins; "year",
            "quarter" or "month", the period of the step; or a text attribute, such as "major_group", which then is
            that of the occupation that people come from.
        destinations: "movers" for the occupations of those who leave, given that they do: all states but the previous
            one (of a forecast: the last one before it); "all" for whatever comes next, staying included.
        split: The split of a folder, or of careers by split name.
        draws, seed: Number and random seed of the resamples behind intervals, of PSUs or households where careers have
            them, otherwise of people.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        weighted: Whether to use the careers' survey weights.

    Raises:
        ValueError: The table of attributes is faulty, or no occupation of the model is in it; careers are missing, or
            given with a forecast; `by` is no covariate and no text attribute; weights are asked for and missing; or
            nobody has a second step.
    """
    table = as_attributes(attributes)
    if destinations not in DESTINATIONS:
        raise ValueError(f"destinations must be one of {DESTINATIONS}, not {destinations!r}")
    ledger = Ledger()
    if isinstance(predictions, Forecast):
        if by in ("year", predictions.time_unit):
            raise ValueError(f"by {by!r}: each {by} of a forecast has numbers of its own as it is; leave by= out")
        if careers is not None:
            raise ValueError("careers are those that the forecast continues: leave careers= out")
        members = [_of_forecast(one, predictions, weighted) for one in predictions.members or [predictions]]
    elif careers is None:
        raise ValueError("a model predicts the next steps of careers: pass careers=, or a forecast in its place")
    else:
        chosen = with_weights(as_careers(careers, split), weighted)
        # The period goes by the name of its unit.
        by = time_unit(chosen) if by == "year" else by
        members = [_of_model(*one, chosen, batch_tokens, unknown_levels) for one in as_ensemble(predictions)]
    found = members[0]
    ledger.record(*found.record)
    group, levels = _groups(found.rows, table, by)
    check_known(table, found.labels)
    unused = int((~table.index.isin(found.labels)).sum())
    if unused:
        ledger.note(f"{unused} of {len(table)} occupations of the table of attributes are none of the model's")
    outcomes = table.drop(columns=by) if by in table.columns else table
    if not len(outcomes.columns):
        raise ValueError(f"attributes have nothing but '{by}', which groups people: add one whose exposure is wanted")
    rows, without = _averages(members, group, levels, outcomes, destinations, draws, seed)
    rows, without = (
        frame.drop(columns="by") if by is None else frame.rename(columns={"by": by}) for frame in (rows, without)
    )
    if isinstance(predictions, Forecast):
        rows, without = (with_period_labels(frame, predictions.time_unit) for frame in (rows, without))
    rows.attrs = {"destinations": destinations, "weighted": weighted, "draws": draws}
    rows.attrs |= {"members": len(members), "clusters": cluster_name(found.rows.columns)}
    return Exposure(rows, without, ledger, by)


def _of_model(
    model: Any,
    processor: CareerProcessor,
    careers: Dataset,
    batch_tokens: int | None,
    unknown_levels: Literal["error", "missing"],
) -> _Predictions:
    """Next steps of careers, but first ones."""
    processor.check(model.config)
    encoded = EncodedCareers(processor.encode(careers, unknown_levels)[0])
    long = long_table(careers).to_pandas()
    weight = weights_by_step(career_table(careers))
    first = ~long["person"].duplicated().to_numpy()
    used = ~first & (weight > 0)
    dropped = {"first step, which has no step before": int(first.sum()), "weight 0": int((~first & ~used).sum())}
    record = ("predict next steps", person_periods(time_unit(careers)), len(long), int(used.sum()), dropped)
    if not used.any():
        raise ValueError("nobody is observed twice, so nobody goes anywhere: pass longer careers")
    long["previous"] = long["occupation"].shift()
    ids = np.setdiff1d(np.arange(len(processor.occupations)), processor.special_token_ids)
    place_of_step = np.cumsum(used) - 1

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for places, log_probs, _, _ in distributions(model, encoded, batch_tokens):
            wanted = used[places]
            chosen = log_probs[torch.from_numpy(wanted).to(log_probs.device)][:, torch.from_numpy(ids)]
            yield place_of_step[places[wanted]], chosen.cpu().double().exp().numpy()

    labels = [processor.occupations[i] for i in ids]
    rows = with_period_labels(long.assign(weight=weight)[used].reset_index(drop=True), time_unit(careers))
    return _Predictions(rows, labels, processor.unknown_occupation, parts(), False, record)


def _of_forecast(forecast: Forecast, whole: Forecast, weighted: bool) -> _Predictions:
    """Every year of everybody who is forecast, of a member of an ensemble or of the only model; `whole` has the
    histories."""
    careers = with_weights(whole.require_histories(), weighted)
    steps = long_table(careers).to_pandas()
    last = steps.drop_duplicates("person", keep="last").set_index("person").loc[forecast.people]
    horizon = forecast.years.shape[1]
    rows = last.loc[last.index.repeat(horizon)].reset_index().rename(columns={"occupation": "previous"})
    rows = rows.assign(
        year=forecast.years.ravel(), weight=rows["weight"].to_numpy(dtype=float) if "weight" in rows else 1.0
    )
    used = (rows["weight"] > 0).to_numpy()
    record = (
        "forecast",
        person_periods(forecast.time_unit),
        len(rows),
        int(used.sum()),
        {"weight 0": int((~used).sum())},
    )
    # A person of weight 0 stays among the rows, where nothing is added for it.
    probability = forecast.probability.reshape(-1, len(forecast.occupations))

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, len(rows), PEOPLE_AT_ONCE):
            yield np.arange(first, min(first + PEOPLE_AT_ONCE, len(rows))), probability[first : first + PEOPLE_AT_ONCE]

    unknown = forecast.attrs.get("unknown_occupation")
    return _Predictions(rows, list(forecast.occupations), unknown, parts(), True, record)


def _groups(rows: pd.DataFrame, table: pd.DataFrame, by: str | None) -> tuple[np.ndarray, list[str | None]]:
    """`(rows,)` places of groups, and their names, None where the group is not known."""
    if by is None:
        return np.zeros(len(rows), dtype=np.int64), [None]
    if by in table.columns:
        if pd.api.types.is_numeric_dtype(table[by]):
            raise ValueError(f"by {by!r} is a number; groups need a text attribute: cut it into levels")
        # In the order of the table, as broad groups have one.
        names = list(dict.fromkeys(table[by].dropna().astype(str)))
        column = rows["previous"].map(table[by].dropna().astype(str))
    elif by in rows.columns and by not in ("person", "previous", "occupation", "weight"):
        column = rows[by].astype(object).where(rows[by].notna(), None)
        names = sorted(column.dropna().unique(), key=str)
    else:
        texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
        raise ValueError(f"by {by!r} is no covariate of the careers and no text attribute, which are {texts}")
    names = [name for name in names if name in set(column.dropna())]
    codes = pd.Index(names, dtype=object).get_indexer(column)
    return np.where(codes < 0, len(names), codes), [*map(str, names), *([None] if (codes < 0).any() else [])]


def _averages(
    members: Sequence[_Predictions],
    group: np.ndarray,
    levels: list[str | None],
    table: pd.DataFrame,
    destinations: str,
    draws: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames of an `Exposure`, with groups in a column "by", of one model or of the members of an ensemble."""
    found = members[0]
    rows, labels = found.rows, pd.Index(found.labels)
    weight, cluster = rows["weight"].to_numpy(dtype=float), clusters(rows)
    years = np.unique(rows["year"]) if found.years else np.array([0])
    year = np.searchsorted(years, rows["year"]) if found.years else np.zeros(len(rows), dtype=np.int64)
    section = year * len(levels) + group
    cells, cell = np.unique(np.stack([section, cluster]), axis=1, return_inverse=True)
    # Occupations that the model does not know have attributes too where people come from, and where they went.
    seen = pd.unique(rows[["previous", *(["occupation"] if "occupation" in rows else [])]].to_numpy().ravel())
    every = labels.append(pd.Index(seen, dtype=object)).unique()
    names, value, known = attribute_matrix(table, list(every))
    # An average lies between the least and the greatest value of any occupation.
    bounds = np.where(known, value, np.inf).min(axis=0), np.where(known, value, -np.inf).max(axis=0)
    known = known.astype(float)
    previous = every.get_indexer(rows["previous"].astype(object))
    spare = -1 if found.unknown is None else labels.get_loc(found.unknown)
    place_in_model = np.where(previous < len(labels), previous, spare)
    of_model = slice(len(labels))

    # By member and cell: sums of attributes and of what has them, of destinations, of origins, and of what happened.
    sums = np.zeros((len(members), 6, cells.shape[1], len(names)))
    mass = np.zeros((len(years) * len(levels), len(labels)))
    for own, member in zip(sums, members, strict=True):
        for places, probability in member.parts:
            p = probability.astype(np.float64)
            if destinations == "movers":
                here = place_in_model[places]
                p[np.flatnonzero(here >= 0), here[here >= 0]] = 0
            p *= weight[places, None]
            total, at = p.sum(axis=1, keepdims=True), cell[places]
            np.add.at(own[0], at, p @ value[of_model])
            np.add.at(own[1], at, p @ known[of_model])
            np.add.at(own[2], at, total * value[previous[places]])
            np.add.at(own[3], at, total * known[previous[places]])
            np.add.at(mass, section[places], p)
    has_truth = "occupation" in rows
    if has_truth:
        truth = every.get_indexer(rows["occupation"].astype(object))
        counted = (truth != previous) | (destinations == "all")
        for own in sums:
            np.add.at(own[4], cell[counted], weight[counted, None] * value[truth[counted]])
            np.add.at(own[5], cell[counted], weight[counted, None] * known[truth[counted]])

    columns = np.moveaxis(sums, 2, 0).reshape(cells.shape[1], -1)
    means, drawn = resample_means(columns, np.ones(len(columns)), cells[1], cells[0], draws=draws, seed=seed)
    used = weight > 0
    by_section = rows[used].assign(cluster=cluster[used]).groupby(section[used])
    sizes = by_section[["person", "cluster"]].nunique().assign(n=by_section.size())
    frames, absent = [], []
    for place in sizes.index:
        estimates = _ratios(means[place].reshape(len(members), 6, -1), has_truth)
        resampled = _ratios(drawn[:, place].reshape(draws, len(members), 6, -1), has_truth)
        combined = {name: combine_members(estimates[name], resampled[name], seed, *bounds) for name in estimates}
        numbers, together = (_with_differences({name: both[i] for name, both in combined.items()}) for i in (0, 1))
        size = sizes.loc[place]
        head = {"year": years[place // len(levels)]} if found.years else {}
        head["by"] = levels[place % len(levels)]
        frame = pd.DataFrame(names, columns=["attribute", "level"]).astype(object)
        frame = frame.assign(n=int(size["n"]), people=int(size["person"]), clusters=int(size["cluster"]))
        for name, number in numbers.items():
            frame[name] = number
            if name != "origin":
                ends = interval(together[name], int(size["cluster"]))
                frame[f"{name}_low"], frame[f"{name}_high"] = ends
        share = mass[place] / mass[place].sum()
        frame["without"] = share @ (1 - known[of_model])
        for position, name in enumerate(head):
            frame.insert(position, name, head[name])
        frames.append(frame)
        for attribute in dict.fromkeys(name for name, _ in names):
            column = next(i for i, (name, _) in enumerate(names) if name == attribute)
            lacking = np.flatnonzero((known[of_model, column] == 0) & (share > 0))
            lacking = lacking[np.argsort(-share[lacking], kind="stable")]
            absent.append(
                pd.DataFrame({"occupation": labels[lacking], "share": share[lacking]}).assign(
                    **head, attribute=attribute
                )
            )
    order = [*(["year"] if found.years else []), "by", "attribute", "occupation", "share"]
    return pd.concat(frames, ignore_index=True), pd.concat(absent, ignore_index=True)[order]


def check_known(table: pd.DataFrame, labels: list[str]) -> None:
    """Refuses a table of attributes that is coded in another way than a model's occupations."""
    if not table.index.isin(labels).any():
        raise ValueError(
            f"no occupation of the model, such as '{labels[-1]}', is in the table of attributes, which has "
            f"'{table.index[0]}': code both alike, for example with occupations.attributes(table, system=...)"
        )


def texts_with_intervals(rows: pd.DataFrame, signs: Mapping[str, str]) -> pd.DataFrame:
    """A frame for people to read: columns with ends NAME_low and NAME_high as text, the ends in brackets.

    Args:
        rows: Any frame.
        signs: "+" by name of the columns whose positive numbers have a sign, as differences have.
    """
    named = [str(name) for name in rows.columns if f"{name}_low" in rows.columns]
    texts = {
        name: [
            interval_text(*ends, 3, signs.get(name, ""))
            for ends in zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
        ]
        for name in named
    }
    return rows.assign(**texts).drop(columns=[f"{name}_{end}" for name in named for end in ("low", "high")])


def _ratios(sums: np.ndarray, has_truth: bool) -> dict[str, np.ndarray]:
    """Ratios from the six sums of `_averages`, which are the last axis but one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        implied, origin, observed = (sums[..., i, :] / sums[..., i + 1, :] for i in (0, 2, 4))
    return {"implied": implied, "origin": origin, **({"observed": observed} if has_truth else {})}


def _with_differences(ratios: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Ratios, and their differences, in the order of their columns."""
    implied, origin = ratios["implied"], ratios["origin"]
    numbers = {"implied": implied, "origin": origin, "change": implied - origin}
    if "observed" in ratios:
        numbers |= {"observed": ratios["observed"], "difference": implied - ratios["observed"]}
    return numbers


__all__ = ["Exposure", "exposure"]
