"""What became of people after an event, such as the loss of a job, against what a model forecast before it.

The forecast from the years before the event is the counterfactual: what people with such careers go on to do. Realised
less forecast, by years since the event, is an event study whose counterfactual is a whole distribution of occupations
and not the past of the same people. It knows what the career says, and nothing of the event.

Two things separate this difference from the effect of the event. A model may forecast badly: the same difference among
people without the event, who were forecast from the same years (`comparison`), is the model's error, and `net` is free
of it as far as the error is the same for both (differences in differences; with match=, within cells of the same
covariates: Iacus, King and Porro, 2012, "Causal Inference without Balance Checking"). And who has the event may differ
in what careers do not say: that is an assumption here as everywhere, which years before the event (`lead`) can speak
against, not for. A model also forecasts the event itself, for as many as usually have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from ..careers.clusters import DESIGN, cluster_name, clusters
from ..careers.columns import read_file, with_weights
from ..careers.frames import as_careers, covariate_names, cut, long_table
from ..careers.ledger import Ledger
from ..careers.periods import period_labels, time_unit
from ..encoding.checkpoints import as_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import last_year_of, people_trained_on
from ..evaluation.resampling import interval, resample_means
from ..figures.displacement import displacement_figure
from ..figures.style import save
from ..forecasting.forecast import forecast
from ..forecasting.result import Forecast
from ..number_ranges import within_ranges
from ..occupations.attributes import as_attributes, attribute_matrix
from ..occupations.labels import NOT_WORKING
from ..occupations.normalising import labels_of
from ..readable_values import ReadableResult
from .exposure import check_known, texts_with_intervals


if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARISONS = ("not_displaced", "never_displaced", "none")
EMPLOYED, SAME = "employed", "same occupation"


@dataclass(frozen=True, repr=False)
class Displacement(ReadableResult):
    """Realised less forecast outcomes of people with an event, by time since it.

    Args:
        rows: One row per event time and outcome, as `to_frame` returns them.
        events: One row per event that is used: person and year.
        ledger: Which events are used, how many people are compared, and which years are not scored.
    """

    rows: pd.DataFrame
    events: pd.DataFrame
    ledger: Ledger

    def to_frame(self) -> pd.DataFrame:
        """One row per event time, outcome and, of attributes that are texts, level.

        Columns: event_time, years since the event, 0 in its year; outcome ("employed", "same occupation" as in the
        step before the event, and attributes); level; n (people with the event who are observed then) and clusters;
        realised and forecast, the mean outcome of these people; difference, realised less forecast; compared, the
        number of observations of people without the event, and comparison, their difference, weighted as those with
        the event are spread over event years and cells of `match`; net, difference less comparison. Differences have
        the ends of 95% intervals, clustered and paired, behind them: difference_low, net_high and so on. Means of
        attributes are over the probability, and over the people, in occupations that have the attribute. `attrs` have
        lead, comparison, match, weighted, draws and clusters.
        """
        return self.rows

    def with_intervals(self) -> pd.DataFrame:
        """`to_frame` for people to read: differences as text, with their intervals in brackets, or "too few"."""
        return texts_with_intervals(self.rows, {name: "+" for name in ("difference", "comparison", "net")})

    def figure(self, outcomes: Sequence[str] | None = None) -> Figure:
        """Realised and forecast outcomes by event time, and at the right their difference, before and after that of
        people without the event is taken off; a line of panels per outcome.

        Args:
            outcomes: The outcomes that are drawn; all of them unless given.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: There is no such outcome.
        """
        rows = self.rows
        if outcomes is not None:
            absent = sorted(set(outcomes) - set(rows["outcome"]))
            if absent:
                raise ValueError(f"there is no outcome {absent[0]!r}, only {rows['outcome'].unique().tolist()}")
            rows = rows[rows["outcome"].isin(outcomes)]
        return displacement_figure(rows)

    def save(self, folder: str | Path, *, figures: bool = False) -> None:
        """Saves `displacement.csv`, `events.csv` and `ledger.json`.

        Args:
            folder: Destination folder.
            figures: Whether to save `displacement.png` too, which needs matplotlib.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.to_csv(folder / "displacement.csv", index=False)
        self.events.to_csv(folder / "events.csv", index=False)
        self.ledger.save(folder / "ledger.json")
        if figures:
            save(self.figure(), folder / "displacement.png")


@within_ranges
def displacement(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    events: str | Path | pd.DataFrame | None = None,
    *,
    state: str = "unemployed",
    split: str = "test",
    horizon: int = 3,
    lead: int = 1,
    attributes: str | Path | pd.DataFrame | None = None,
    comparison: Literal["not_displaced", "never_displaced", "none"] = "not_displaced",
    match: Sequence[str] = (),
    people: int | None = None,
    not_working: Sequence[str] = NOT_WORKING,
    samples: int = 200,
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "missing",
    weighted: bool = False,
) -> Displacement:
    """Compares what people did after an event with what a model forecast from the years before it.

    Args:
        model: An occupation model: a folder, a Hub id, a pair (model, processor) or what `train` returns. It was
            trained on other people, or on no year after those that a forecast may know.
        careers: A folder of careers, or careers, of people with the event and without it.
        events: Who was displaced, and in which year: a table (or its file, CSV or Parquet) with columns person and
            year, the first step at which a career may show it. Only people who worked in the step before count, and a
            person's first event. Without a table it is the first step at which somebody is in `state` who worked in
            the step before.
        state: The state that is the event, without a table. Employment at event time 0 is then 0 by definition.
        split: The split of a folder, or of careers by split name.
        horizon: Steps after the event that are compared, of `processor.step_length` years each.
        lead: How many steps before the event the last known one is. With more than 1, the steps between are forecast
            too: differences there, before anything has happened, speak against the comparison. Everybody works in the
            step before the event, by definition, with it or without it.
        attributes: Attributes by occupation as further outcomes, as in `exposure`.
        comparison: People without the event who worked in the step before it: "not_displaced", whoever has had none up
            to the year of the event; "never_displaced", whoever has none in the whole career; or "none".
        match: Covariates, or "occupation", at the last known step that people who are compared share with those who
            have the event, whose spread over them they are given; event years they share anyway. People with the event
            whom nobody shares all of this with are left out.
        people: How many people are compared in each event year, drawn at random; all of them unless given.
        not_working: States that are no employment; none, an empty list, if everybody always works.
        samples: Trajectories of each person in forecasts.
        draws, seed: Number and random seed of the resamples of clusters behind intervals; the seed is that of
            forecasts too.
        batch_tokens, unknown_levels: As in `forecast`.
        weighted: Whether to use the careers' survey weights, of the last known step.

    Raises:
        ValueError: The table lacks a column or a value, or none of its people is among the careers; nobody is left who
            had the event, or to compare; nobody is ever out of work; the model was trained on these people in years
            that a forecast must not know; `match` names no covariate; or as in `forecast`.
    """
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison must be one of {COMPARISONS}, not {comparison!r}")
    careers = with_weights(as_careers(careers, split), weighted)
    covariates = [name for names in covariate_names(careers) for name in names]
    absent = [name for name in match if name not in (*covariates, "occupation")]
    if absent:
        raise ValueError(f"match: {absent[0]!r} is neither 'occupation' nor a covariate, which are {covariates}")
    taken = sorted({"before", "event_year", "displaced"} & {*covariates})
    if taken:
        raise ValueError(f"careers have a column '{taken[0]}', which is a name of the comparison's own; rename it")
    model, processor = as_checkpoint(model)
    step = processor.step_length
    long = long_table(careers).to_pandas()
    if not_working and not long["occupation"].isin(not_working).any():
        raise ValueError(
            f"nobody is ever in one of the states not_working={list(not_working)}: name those of these careers, or "
            "pass not_working=[] if everybody always works"
        )
    ledger = Ledger()
    risk = _at_risk(long, not_working, lead, step)
    given = events if events is None or isinstance(events, pd.DataFrame) else read_file(events)
    happened = _events(long, given, state, risk, ledger)
    pairs = _compared(risk, happened, comparison, list(match), people, seed, ledger)
    _check_not_trained_on(processor, careers, pairs, lead * step, ledger)

    table = None
    if attributes is not None:
        table = as_attributes(attributes)
        if taken := [name for name in table.columns if name in (EMPLOYED, SAME, *long.columns)]:
            raise ValueError(
                f"attributes have a column '{taken[0]}', which is a column of the careers or an outcome by itself: "
                "rename it"
            )
        check_known(table, processor.occupations)
    columns = ["person", *(name for name in DESIGN if name in pairs), "event_year", "before", "displaced", "weight"]
    frames, sums = [], []
    labels_seen = pd.unique(long["occupation"])
    place_of_person = pd.Series(np.arange(len(careers)), index=careers["person"][:])
    unit = time_unit(careers)
    for year, rows in pairs.groupby("event_year"):
        ahead = [int(year) + step * time for time in range(1 - lead, horizon + 1)]
        then = long[long["year"].isin(ahead) & long["person"].isin(rows["person"])]
        ahead = sorted(then["year"].unique().tolist())
        if not ahead:
            continue
        everybody = careers.select(np.sort(place_of_person[rows["person"].unique()].to_numpy()))
        result = forecast(
            model,
            cut(everybody, int(year) - lead * step)[0],
            processor,
            years=period_labels(ahead, unit).tolist(),
            step="interval",
            samples=samples,
            seed=seed,
            batch_tokens=batch_tokens,
            unknown_levels=unknown_levels,
        )
        scored = rows[columns].merge(then[["person", "year", "occupation"]], on="person")
        frames.append(scored.assign(event_time=scored["year"] - scored["event_year"]))
        sums.append(_outcomes(result, scored, table, not_working, labels_seen))
    if not frames:
        raise ValueError("nobody is observed at any of the event times; choose another horizon")
    scored = pd.concat(frames, ignore_index=True)
    _record_observed(pairs, scored, 1 - lead, horizon, step, ledger)
    names: list[tuple[str, str | None]] = [(EMPLOYED, None), (SAME, None)]
    if table is not None:
        names += attribute_matrix(table, list(dict.fromkeys([*result.occupations, *labels_seen])))[0]
    rows = _rows(scored, np.concatenate(sums), names, comparison, draws, seed)
    rows.attrs = {"lead": lead, "comparison": comparison, "match": list(match), "weighted": weighted, "draws": draws}
    rows.attrs["clusters"] = cluster_name(long.columns)
    used = pairs.loc[pairs["displaced"], ["person", "event_year"]].rename(columns={"event_year": "year"})
    return Displacement(rows, used.reset_index(drop=True), ledger)


def _at_risk(long: pd.DataFrame, not_working: Sequence[str], lead: int, step: int) -> pd.DataFrame:
    """Every person and year in which the event may happen: who worked in the step before, and is observed at the last
    step that a forecast may know. Columns: those of the last known step, event_year, and before, the occupation in the
    step before."""
    before = long.loc[~long["occupation"].isin(not_working), ["person", "year", "occupation"]]
    before = before.rename(columns={"occupation": "before"}).assign(event_year=before["year"] + step)
    known = long.assign(event_year=long["year"] + lead * step).drop(columns="year")
    return known.merge(before.drop(columns="year"), on=["person", "event_year"])


def _events(
    long: pd.DataFrame, events: pd.DataFrame | None, state: str, risk: pd.DataFrame, ledger: Ledger
) -> pd.DataFrame:
    """One row per event: person, event_year and used, whether the person was at risk then."""
    if events is None:
        entered = long.loc[long["occupation"] == state, ["person", "year"]].rename(columns={"year": "event_year"})
        if entered.empty:
            raise ValueError(f"nobody is ever in the state '{state}': name another state=, or pass a table of events")
        happened = entered.merge(risk[["person", "event_year"]]).drop_duplicates("person").assign(used=True)
        count = long["person"].nunique()
        never = {f"never '{state}' after a step at work, or not known before it": count - len(happened)}
        ledger.record("find events", "people", count, len(happened), never)
        return happened
    missing = [name for name in ("person", "year") if name not in events.columns]
    if missing:
        raise ValueError(f"the table of events has no column '{missing[0]}', only {list(events.columns)}")
    if events.empty:
        raise ValueError("the table of events has no rows: give a row with person and year for each event")
    years = pd.to_numeric(events["year"], errors="coerce")
    given = pd.DataFrame({"person": labels_of(events["person"]), "event_year": years})
    wrong = given["person"].isna() | given["event_year"].isna() | (given["event_year"] % 1 != 0)
    if wrong.any():
        row = wrong.idxmax()
        raise ValueError(
            f"events, row {row}: person '{given.loc[row, 'person']}', year {events.loc[row, 'year']!r} is no person "
            "and whole year; correct or drop the row"
        )
    given = given.astype({"event_year": np.int64}).sort_values("event_year", kind="stable")
    first = given.drop_duplicates("person")
    inside = first["person"].isin(long["person"])
    if not inside.any():
        raise ValueError(
            f"nobody in the table of events, such as person '{first['person'].iloc[0]}', is among these careers: give "
            "people as the careers have them, and the split that they are in"
        )
    at_risk = first.merge(risk[["person", "event_year"]].assign(used=True), how="left")["used"].notna().to_numpy()
    dropped = {
        "a later event of the same person": len(given) - len(first),
        "the person is not among the careers": int((~inside).sum()),
        "not observed, or not working, in the step before": int((inside.to_numpy() & ~at_risk).sum()),
    }
    ledger.record("use events", "events", len(given), int(at_risk.sum()), dropped)
    return first.assign(used=at_risk)[inside.to_numpy()].reset_index(drop=True)


def _compared(
    risk: pd.DataFrame,
    happened: pd.DataFrame,
    comparison: str,
    match: list[str],
    people: int | None,
    seed: int,
    ledger: Ledger,
) -> pd.DataFrame:
    """Everybody who is forecast, in each event year: the rows of `risk`, displaced and weight."""
    if not happened["used"].any():
        raise ValueError("nobody who had the event worked, and was observed, in the step before; look at the careers")
    risk = risk.assign(weight=risk["weight"] if "weight" in risk else 1.0)
    year_of = happened.set_index("person")["event_year"]
    of_person = risk["person"].map(year_of)
    displaced = risk[(of_person == risk["event_year"]).to_numpy()].assign(displaced=True)
    if comparison == "none":
        return displaced[displaced["weight"] > 0].reset_index(drop=True)
    without = of_person.isna() | ((comparison == "not_displaced") & (of_person > risk["event_year"]))
    others = risk[without & risk["event_year"].isin(displaced["event_year"])].assign(displaced=False)
    if people is not None:
        shuffled = others.sample(frac=1, random_state=seed)
        drawn = shuffled[shuffled.groupby("event_year").cumcount() < people].sort_index()
        left_out = {"not drawn": len(others) - len(drawn)}
        ledger.record("draw people to compare", "people and years compared", len(others), len(drawn), left_out)
        others = drawn
    both = pd.concat([displaced, others], ignore_index=True)
    both = both[both["weight"] > 0].reset_index(drop=True)
    cell = both.groupby(["event_year", *match], dropna=False, sort=False).ngroup().to_numpy()
    is_displaced = both["displaced"].to_numpy()
    count = int(cell.max(initial=-1)) + 1
    mass = [np.bincount(cell, both["weight"] * chosen, count) for chosen in (is_displaced, ~is_displaced)]
    shared = (mass[0] > 0) & (mass[1] > 0)
    if not shared.any():
        raise ValueError("nobody without the event can be compared: match on less, or pass comparison='none'")
    kept = shared[cell]
    before, after = int(is_displaced.sum()), int((is_displaced & kept).sum())
    ledger.record("match", "people with the event", before, after, {"nobody to compare with": before - after})
    before, after = int((~is_displaced).sum()), int((~is_displaced & kept).sum())
    ledger.record("match", "people and years compared", before, after, {"nobody with the event": before - after})
    factor = np.where(is_displaced, 1.0, np.divide(mass[0], mass[1], where=shared, out=np.zeros(count))[cell])
    return both.assign(weight=both["weight"] * factor)[kept].reset_index(drop=True)


def _check_not_trained_on(
    processor: CareerProcessor, careers: Dataset, pairs: pd.DataFrame, back: int, ledger: Ledger
) -> None:
    """Refuses a model that was trained on these people in years that a forecast must not know."""
    first = int(pairs["event_year"].min()) - back
    stages = [stage for stage in processor.training_stages if (last_year_of(stage) or first + 1) > first]
    used = careers.select(np.flatnonzero(pd.Index(careers["person"][:]).isin(pairs["person"])))
    seen, looked_for = people_trained_on(stages, used)
    if seen:
        raise ValueError(
            f"the model was trained on {seen} of these {len(used)} people, in years after {first}, so its forecasts "
            f"know what they did: pass people of another split, or a model that was trained with cutoff={first}"
        )
    if not processor.training_stages or (stages and not looked_for):
        ledger.note("the model does not record whom it was trained on; nothing shows that these people are others")


def _outcomes(
    result: Forecast,
    scored: pd.DataFrame,
    table: pd.DataFrame | None,
    not_working: Sequence[str],
    labels_seen: np.ndarray,
) -> np.ndarray:
    """`(rows, outcomes, 4)`: the outcome as it was and whether it is known, and as forecast, with its probability."""
    every = list(dict.fromkeys([*result.occupations, *labels_seen]))
    place = pd.Index(every)
    person = pd.Index(result.people).get_indexer(scored["person"])
    time = np.searchsorted(result.years[0], scored["year"])
    p = result.probability[person, time].astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    truth, before = place.get_indexer(scored["occupation"]), place.get_indexer(scored["before"])
    works = ~place.isin(not_working)
    rows, own = np.arange(len(scored)), np.minimum(before, p.shape[1] - 1)
    same = np.where(before < p.shape[1], p[rows, own], 0.0)
    one = np.ones(len(scored))
    columns = [
        np.stack([works[truth], one, p @ works[: p.shape[1]], one], axis=-1),
        np.stack([truth == before, one, same, one], axis=-1),
    ]
    if table is not None:
        _, value, known = attribute_matrix(table, every)
        of_model = slice(p.shape[1])
        realised = np.stack([(value * known)[truth], known[truth]], axis=-1)
        expected = np.stack([p @ (value * known)[of_model], p @ known[of_model].astype(float)], axis=-1)
        columns += list(np.moveaxis(np.concatenate([realised, expected], axis=-1), 1, 0))
    return np.stack(columns, axis=1).astype(np.float64)


def _record_observed(
    pairs: pd.DataFrame, scored: pd.DataFrame, first: int, last: int, step: int, ledger: Ledger
) -> None:
    """Writes into the ledger how many of those with the event are observed at each event time."""
    count, displaced = int(pairs["displaced"].sum()), scored[scored["displaced"]]
    seen = {time * step: int((displaced["event_time"] == time * step).sum()) for time in range(first, last + 1)}
    unseen = {f"not observed at event time {time}": count - n for time, n in seen.items()}
    ledger.record("score", "event times of people with the event", count * len(seen), sum(seen.values()), unseen)


def _rows(
    scored: pd.DataFrame,
    sums: np.ndarray,
    names: list[tuple[str, str | None]],
    comparison: str,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """The frame of a `Displacement`."""
    times = np.unique(scored["event_time"])
    groups = 2 * np.searchsorted(times, scored["event_time"]) + ~scored["displaced"].to_numpy()
    cluster, weight = clusters(scored[["person", *(name for name in DESIGN if name in scored)]]), scored["weight"]
    flat = sums.reshape(len(sums), -1)
    means, drawn = resample_means(flat, weight.to_numpy(float), cluster, groups, draws=draws, seed=seed)
    # A group of the last event time may be empty.
    spare = 2 * len(times) - len(means)
    means = np.concatenate([means, np.full((spare, means.shape[1]), np.nan)])
    drawn = np.concatenate([drawn, np.full((draws, spare, means.shape[1]), np.nan)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        levels, drawn_levels = (
            (array[..., 0::2] / array[..., 1::2])
            for array in (
                means.reshape(len(times), 2, len(names), 4),
                drawn.reshape(draws, len(times), 2, len(names), 4),
            )
        )
    frames = []
    for place, time in enumerate(times):
        own = (scored["event_time"] == time).to_numpy()
        is_displaced = scored["displaced"].to_numpy()
        count, others = (len(np.unique(cluster[own & mask])) for mask in (is_displaced, ~is_displaced))
        frame = pd.DataFrame(names, columns=["outcome", "level"]).astype(object)
        frame.insert(0, "event_time", int(time))
        frame = frame.assign(n=int((own & is_displaced).sum()), clusters=count)
        frame["realised"], frame["forecast"] = levels[place, 0].T
        gap = levels[place, ..., 0] - levels[place, ..., 1]
        resampled = drawn_levels[:, place, ..., 0] - drawn_levels[:, place, ..., 1]
        numbers = {"difference": (gap[0], resampled[:, 0], count)}
        if comparison != "none":
            numbers["comparison"] = (gap[1], resampled[:, 1], others)
            numbers["net"] = (gap[0] - gap[1], resampled[:, 0] - resampled[:, 1], min(count, others))
        for name, (estimate, of_draws, size) in numbers.items():
            if name == "comparison":
                frame["compared"] = int((own & ~is_displaced).sum())
            frame[name] = estimate
            frame[f"{name}_low"], frame[f"{name}_high"] = interval(of_draws, size)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


__all__ = ["Displacement", "displacement"]
