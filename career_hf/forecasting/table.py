"""The forecast table: one row per person and year that was forecast and then observed, in the columns of a transition
table, so that `evaluation` computes every metric from it.

`realised_years` says who is forecast and what became of them, once for all models; `forecast_table` holds one model's
forecast against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ..careers.clusters import DESIGN
from ..careers.frames import covariate_names, cut, long_table
from ..careers.ledger import Ledger
from ..careers.periods import period_label, period_labels, plural, time_unit
from ..evaluation.transition_table import TRANSITIONS
from ..occupations.labels import NOT_WORKING
from .result import Forecast


Who = Literal["survivors", "observed"]
# The columns of a forecast table that are not covariates.
COLUMNS = [
    *["person", "step", "year", "gap_years", "previous", "occupation", "log_prob", "log_prob_error"],
    *["log_prob_correction", "p_stay", "rank", "p_top", "mass", "mass_before", "set_size", "in_set", "transition"],
    *["unknown", "survivor", "weight"],
]
# Levels that fewer people have are one level where attrition is predicted.
FEWEST_OF_LEVEL = 20
# The most people whom one person stands for.
MOST_STOOD_FOR = 20.0
# Rows whose distributions are sorted at once.
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Realised:
    """Who is forecast, and what became of them.

    Args:
        histories: Their careers up to the cutoff, to be handed to `forecast`.
        careers: Their whole careers, for forecasts that are to know covariates after the cutoff (`covariates=`).
        rows: One row per person and forecast year in which the person was observed, in the order of `histories`; the
            columns of a forecast table that do not depend on a model.
        ledger: Who is not forecast, and which years are not there, and why.
    """

    histories: Dataset
    careers: Dataset
    rows: pd.DataFrame
    ledger: Ledger


def check_states(careers: Dataset, cutoff: int, years: Sequence[int], states: Sequence[str] = NOT_WORKING) -> None:
    """Checks that the same states can be observed before the cutoff and in the forecast years.

    A state that a survey stopped or began to measure in between would be an error of every forecast.

    Args:
        careers: Careers, the forecast years included.
        cutoff: The last year of training.
        years: The forecast years.
        states: States to check; one that occurs on neither side is left alone.

    Raises:
        ValueError: A state occurs in the forecast years and not in the last year of training, or the reverse.
    """
    long, unit = long_table(careers).to_pandas(), time_unit(careers)
    past = long.loc[long["year"] <= cutoff, "year"]
    if past.empty:
        raise ValueError(f"nobody is observed up to {period_label(cutoff, unit)}; choose a later cutoff")
    last = int(past.max())
    before = set(long.loc[long["year"] == last, "occupation"])
    ahead = set(long.loc[long["year"].isin(years), "occupation"])
    window, latest = ", ".join(period_label(year, unit) for year in years), period_label(last, unit)
    for state in states:
        if (state in before) != (state in ahead):
            there, absent = (f"in {latest}", f"in {window}") if state in before else (f"in {window}", f"in {latest}")
            raise ValueError(
                f"state '{state}' occurs {there}, and never {absent}: what is called so was not observed in the same "
                f"way; choose another cutoff or other {plural(unit)}, or careers in which such states are one"
            )


def realised_years(
    careers: Dataset, cutoff: int, years: Sequence[int], who: Who = "survivors", *, people: int | None = None
) -> Realised:
    """Who is forecast from a cutoff, and what they did in the years after it.

    Everybody with an observation up to the cutoff can be forecast. The paper keeps those who are observed "through the
    last year of forecasting" (Appendix G), and counts observations that are no multiple of three years: so survivors
    are people observed in the last forecast year, scored in each forecast year in which they are observed.

    Args:
        careers: Careers, the forecast years included.
        cutoff: The last year that may be known.
        years: The forecast years.
        who: "survivors"; or "observed", whoever is observed in any of the years. Each row of the latter has a weight,
            the inverse of the probability of being observed in its year (`attrition_weights`, from the last state,
            how long ago it was, and the last level of every covariate), so that a weighted mean is about everybody who
            can be forecast.
        people: How many of them are drawn at random, the same at every call; all of them unless given.

    Returns:
        Histories, careers, rows and ledger. Columns of the rows: person; step, which forecast year it is, from 1;
        year; gap_years since the last observation up to the cutoff; previous, the occupation then; occupation;
        transition, "stay" where these are the same, "return" where it is an earlier one, else "new"; survivor, whether
        the person is one; weight, the survey weight (null without one), times the inverse probability with "observed";
        stratum, psu and group, where careers have them, by which intervals resample (`careers.clusters`); and the
        covariates at the last observation. In other units than the year there is a further column of that name, with
        the labels of the periods.

    Raises:
        ValueError: Years do not increase from the cutoff, nobody has a step up to it, or nobody is left.
    """
    if who not in get_args(Who):
        raise ValueError(f"who must be one of {get_args(Who)}, not {who!r}")
    unit = time_unit(careers)
    labels = [period_label(year, unit) for year in years]
    goals = np.array(years, dtype=np.int64)
    if len(goals) == 0 or (np.diff(goals, prepend=cutoff) <= 0).any():
        shown = list(years) if unit == "year" else labels
        last_known = period_label(cutoff, unit)
        raise ValueError(
            f"forecast {plural(unit)} {shown} must be at least one, and increase from the cutoff {last_known}"
        )
    histories, ledger = cut(careers, cutoff)
    covariates = [name for names in covariate_names(careers) for name in names]
    taken = sorted(set(covariates) & {*COLUMNS})
    if taken:
        raise ValueError(f"careers have columns {taken}, which are names of the forecast table's own; rename them")

    everybody = pd.Index(histories["person"])
    long = long_table(careers).to_pandas()
    past = long[long["year"] <= cutoff]
    last = past.drop_duplicates("person", keep="last").set_index("person")
    ahead = long[long["year"].isin(goals) & long["person"].isin(everybody)]
    person, step = everybody.get_indexer(ahead["person"]), np.searchsorted(goals, ahead["year"])
    seen: np.ndarray = np.zeros((len(everybody), len(goals)), dtype=bool)
    seen[person, step] = True
    survivor: np.ndarray = seen[:, -1]
    forecast_people = survivor if who == "survivors" else np.array(seen.any(axis=1))
    reason = f"not observed in {labels[-1]}" if who == "survivors" else f"not observed in any forecast {unit}"
    if not forecast_people.any():
        up_to = period_label(cutoff, unit)
        raise ValueError(f"nobody qualifies: all {len(everybody)} people with a step up to {up_to} are {reason}")
    count = int(forecast_people.sum())
    dropped = {reason: len(everybody) - count}
    ledger.record("people to forecast", "people", len(everybody), count, dropped, depends_on="future")
    if people is not None and people < count:
        drawn = np.random.default_rng(0).choice(np.flatnonzero(forecast_people), people, replace=False)
        ledger.record("a sample of them", "people", count, people, {"not drawn": count - people})
        forecast_people = np.isin(np.arange(len(everybody)), drawn)
    scored = seen[forecast_people]
    unseen = {f"not observed in {label}": int(n) for label, n in zip(labels, (~scored).sum(axis=0), strict=True)}
    ledger.record(f"{plural(unit)} to score", "forecasts", scored.size, int(scored.sum()), unseen, depends_on="future")

    weight = np.broadcast_to(
        (last["weight"].to_numpy() if "weight" in last else np.array([np.nan]))[:, None], seen.shape
    )
    if who == "observed":
        since = (cutoff - last["year"]).rename("years since")
        weights = attrition_weights(pd.concat([last[["occupation", *covariates]], since], axis=1), seen)
        at_most = int((seen & (weights >= MOST_STOOD_FOR)).sum())
        if at_most:
            ledger.note(f"{at_most} observations stand for {MOST_STOOD_FOR:g} each, the most that is allowed")
        weight = np.where(np.isnan(weight), 1.0, weight) * weights

    rows = pd.DataFrame({"person": ahead["person"], "step": (step + 1).astype(np.int32), "year": ahead["year"]})
    of_last = last.iloc[person].set_index(ahead.index)
    rows["gap_years"] = (ahead["year"] - of_last["year"]).astype(np.int32)
    rows["previous"], rows["occupation"] = of_last["occupation"], ahead["occupation"]
    done = pd.MultiIndex.from_frame(past[["person", "occupation"]])
    again = pd.MultiIndex.from_frame(rows[["person", "occupation"]]).isin(done)
    kinds = np.select([rows["previous"] == rows["occupation"], again], ["stay", "return"], default="new")
    rows["transition"] = pd.Categorical(kinds, categories=TRANSITIONS)
    rows["survivor"], rows["weight"] = survivor[person], weight[person, step]
    rows = rows.join(of_last[[*(name for name in DESIGN if name in of_last), *covariates]])
    if unit != "year":
        rows[unit] = period_labels(rows["year"], unit)
    whole = np.flatnonzero(pd.Index(careers["person"]).isin(everybody[forecast_people]))
    return Realised(
        histories.select(np.flatnonzero(forecast_people)),
        careers.select(whole),
        rows[forecast_people[person]].reset_index(drop=True),
        ledger,
    )


def attrition_weights(features: pd.DataFrame, seen: np.ndarray) -> np.ndarray:
    """Inverse probabilities of being observed, from a logistic regression for each year.

    A weighted mean over those who are observed is then about everybody, if whoever is observed does not differ from
    the others with the same features.

    Args:
        features: One row of labels per person; rare labels are one level.
        seen: `(people, years)`, who was observed when.

    Returns:
        `(people, years)`, at most `MOST_STOOD_FOR`; 1 in a year in which everybody was observed.
    """
    labels = features.astype(object).where(features.notna(), "missing").astype(str)
    weights = np.ones(seen.shape)
    for year, happened in enumerate(seen.T):
        if happened.any() and not happened.all():
            encoder = OneHotEncoder(min_frequency=FEWEST_OF_LEVEL, handle_unknown="ignore")
            model = make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(labels, happened)
            weights[:, year] = 1 / model.predict_proba(labels)[:, 1]
    return weights.clip(max=MOST_STOOD_FOR)


def places(forecast: Forecast, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows' people and years are in a forecast's arrays, each `(rows,)`.

    Raises:
        ValueError: A row's person or year was not forecast.
    """
    person = pd.Index(forecast.people).get_indexer(rows["person"])
    year = rows["year"].to_numpy()
    if (person < 0).any():
        raise ValueError(
            f"person '{rows['person'].iloc[int(person.argmin())]}' was not forecast; forecast `histories`"
        )
    same = forecast.years[person] == year[:, None]
    absent = np.flatnonzero(~same.any(axis=1))
    if len(absent):
        row, unit = rows.iloc[absent[0]], forecast.time_unit
        only = period_labels(forecast.years[0], unit).tolist()
        raise ValueError(f"person '{row['person']}': {period_label(row['year'], unit)} was not forecast, only {only}")
    return person, same.argmax(axis=1)


def _said(number: int, forecast: Forecast) -> str:
    """A period in an error."""
    return f"{forecast.time_unit} {period_label(number, forecast.time_unit)}"


def known_occupations(forecast: Forecast, labels: pd.Series, unknown_occupation: str | None = None) -> pd.Series:
    """What occupations are to a model: their own labels, or that of the unknown occupation.

    Args:
        forecast: The model's forecast.
        labels: Labels of occupations.
        unknown_occupation: The label for those that the model does not know; that of the forecast unless given. Null
            if there is none.
    """
    if unknown_occupation is None:
        unknown_occupation = forecast.attrs.get("unknown_occupation")
    labels = labels.astype(object)
    return labels.where(labels.isin(forecast.occupations), unknown_occupation)


def forecast_table(
    forecast: Forecast,
    rows: pd.DataFrame,
    *,
    watch: Sequence[str] = (),
    unknown_occupation: str | None = None,
    level: float = 0.9,
) -> pd.DataFrame:
    """A forecast beside what happened.

    Args:
        forecast: A forecast of at least the people and years of `rows`.
        rows: What became of them, as `Realised.rows` has it.
        watch: Labels whose probability is kept, in columns "p(label)".
        unknown_occupation: The processor's label for occupations it does not know, that of the forecast unless given;
            without one they are errors.
        level: Probability that the sets of likeliest occupations hold at least.

    Returns:
        The rows, in which occupations keep their own labels, with further columns: log_prob, the natural log of the
        forecast probability of the occupation, without the bias from sampling; log_prob_error, its Monte-Carlo
        standard error; log_prob_correction, how much lower it would be if the bias had been left in; p_stay, the
        probability of `previous`; rank of the occupation, one more than the number of likelier ones; p_top, the
        largest probability; mass, the probability of the occupation and of all that rank before it, and mass_before,
        that of the latter alone; set_size, how many of the likeliest occupations hold `level`; in_set, whether the
        occupation is one of them; unknown, whether the model does not know the occupation or the previous one, in
        whose place its unknown occupation is scored (their transition is null); and the watched probabilities.

    Raises:
        ValueError: A person or year was not forecast, an occupation is not known, or has probability 0.
    """
    person, step = places(forecast, rows)
    labels = pd.Index(forecast.occupations)
    missing = [label for label in watch if label not in labels]
    if missing:
        raise ValueError(f"watched labels {missing} are not among the {len(labels)} that are forecast")
    if unknown_occupation is None:
        unknown_occupation = forecast.attrs.get("unknown_occupation")
    spare = -1 if unknown_occupation is None else labels.get_loc(unknown_occupation)
    codes = {}
    for name in ("occupation", "previous"):
        codes[name] = labels.get_indexer(known_occupations(forecast, rows[name], unknown_occupation))
        if (codes[name] < 0).any():
            row = rows.iloc[int(codes[name].argmin())]
            raise ValueError(
                f"person '{row['person']}', {_said(row['year'], forecast)}: the model does not know {name} "
                f"'{row[name]}'; pass unknown_occupation=, or forecast with a model that knows it"
            )
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("p", "p_stay", "rank", "p_top", "mass", "mass_before", "set_size", "place")
    }
    for part in np.array_split(np.arange(len(rows)), -(-len(rows) // ROWS_AT_ONCE)):
        p = forecast.probability[person[part], step[part]].astype(np.float64)
        of_truth = np.take_along_axis(p, codes["occupation"][part, None], axis=1)
        order = np.argsort(-p, axis=1, kind="stable")
        mass = np.take_along_axis(p, order, axis=1).cumsum(axis=1)
        before = np.insert(mass[:, :-1], 0, 0, axis=1)
        place = (order == codes["occupation"][part, None]).argmax(axis=1)
        parts["p"].append(of_truth[:, 0])
        parts["p_stay"].append(p[np.arange(len(p)), codes["previous"][part]])
        parts["rank"].append((p > of_truth).sum(axis=1) + 1)
        parts["p_top"].append(p.max(axis=1))
        parts["mass"].append(mass[np.arange(len(p)), place])
        parts["mass_before"].append(before[np.arange(len(p)), place])
        parts["set_size"].append(((mass < level).sum(axis=1) + 1).clip(max=len(labels)))
        parts["place"].append(place)
    value = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    correction, log_error = (array[person, step, codes["occupation"]] for array in forecast.log_corrections())
    if (value["p"] == 0).any():
        row = rows.iloc[int(value["p"].argmin())]
        raise ValueError(
            f"person '{row['person']}', {_said(row['year'], forecast)}: '{row['occupation']}' has probability 0, and "
            "no log-probability; use estimator='conditional', or more samples"
        )
    unknown = (
        np.zeros(len(rows), dtype=bool) if spare < 0 else (codes["occupation"] == spare) | (codes["previous"] == spare)
    )
    every = labels.append(pd.Index(pd.unique(rows[["occupation", "previous"]].to_numpy().ravel()))).unique()
    table = rows.assign(
        previous=pd.Categorical(rows["previous"], categories=every),
        occupation=pd.Categorical(rows["occupation"], categories=every),
        log_prob=np.log(value["p"]) + correction,
        log_prob_error=log_error.astype(np.float64),
        log_prob_correction=correction.astype(np.float64),
        p_stay=value["p_stay"],
        rank=value["rank"].astype(np.int32),
        p_top=value["p_top"],
        mass=value["mass"],
        mass_before=value["mass_before"],
        set_size=value["set_size"].astype(np.int32),
        in_set=value["place"] < value["set_size"],
        transition=rows["transition"].mask(unknown),
        unknown=unknown,
    )
    table = table[[*COLUMNS, *(name for name in rows.columns if name not in COLUMNS)]]
    return table.assign(
        **{f"p({label})": forecast.probability[person, step, labels.get_loc(label)] for label in watch}
    )
