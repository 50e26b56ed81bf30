"""Which move pays: what occupations pay, other things equal, and the predicted wage change of likely destinations.

    careers with log_wage -> occupation_pay -> OccupationPay.of_moves(forecast) -> one row per likely destination

Pay is the occupation's coefficient in a regression of log wages. With `same_people` it is estimated from those who
work in several occupations, each compared with themselves; otherwise from people who are alike in the controls. It is
what movers' destinations pay, and not what a move would pay somebody who was drawn at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from scipy import stats

from ..careers.clusters import FEWEST, cluster_name, clusters
from ..careers.ledger import Ledger
from ..forecasting.result import Forecast
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from .design import LOG_WAGE, careers_of_splits, wage_frame
from .regression import ABSORBED, import_pyfixest


# A column of more levels is a measurement.
MOST_LEVELS = 500


@dataclass(frozen=True, repr=False)
class OccupationPay(ReadableResult):
    """What occupations pay, as `occupation_pay` estimates it.

    Args:
        pay: One row per occupation, its index, in the order of labels: log_wage, its pay in log points, less the mean
            over all person-years; low and high, the ends of the 95% interval, missing where fewer than `FEWEST`
            clusters tell it; people and person_years that tell it: with `same_people` those of people who work in
            other occupations too.
        covariance: `(occupations, occupations)`, the covariance of pay, by labels, clustered; missing likewise.
        ledger: Which person-years are used, and why others are not.
        degrees: Degrees of freedom of intervals: clusters less 1.
        attrs: What was estimated: controls, same_people, weighted, and clusters ("household", say).
    """

    pay: pd.DataFrame
    covariance: pd.DataFrame
    ledger: Ledger
    degrees: int
    attrs: dict[str, object]

    def to_frame(self) -> pd.DataFrame:
        """`pay`. Its column log_wage is an attribute of occupations, which `exposure` averages over groups."""
        return self.pay.copy()

    @within_ranges
    def of_moves(self, forecast: Forecast, k: int = 5) -> pd.DataFrame:
        """The likeliest destinations of people who are forecast, and how much more or less they pay.

        Args:
            forecast: A forecast of careers, which holds them.
            k: Destinations of each person and year; staying is none of them.

        Returns:
            One row for each: person, year (of the forecast), rank (from 1), previous (the last known occupation),
            occupation, probability, change in log points, and low and high, the ends of its 95% interval. The interval
            holds what is uncertain about pay, not about the forecast. The last three are missing where pay of either
            occupation is not known, as of states without work.

        Raises:
            TypeError: It is no forecast.
            ValueError: The forecast was loaded from files, which hold no careers; or its model and the wages have no
                occupation in common.
        """
        if not isinstance(forecast, Forecast):
            raise TypeError(f"forecast is a {type(forecast).__name__}: pass what forecast(model, careers) returns")
        if not self.pay.index.isin(forecast.occupations).any():
            raise ValueError(
                f"no occupation of the forecast, such as '{forecast.occupations[0]}', has known pay, only "
                f"'{self.pay.index[0]}' and others: take wages and a model of one coding"
            )
        last = [labels[-1] for labels in forecast.require_histories()["occupation"]]
        # One more than asked for, since the last occupation is left out.
        rows = forecast.top(k + 1)
        rows["person"], rows["occupation"] = rows["person"].astype(str), rows["occupation"].astype(str)
        rows.insert(3, "previous", rows["person"].map(dict(zip(forecast.people, last, strict=True))))
        rows = rows[rows["occupation"] != rows["previous"]].copy()
        rows["rank"] = rows.groupby(["person", forecast.time_unit], sort=False).cumcount() + 1
        rows = rows[rows["rank"] <= k].drop(columns="standard_error").reset_index(drop=True)
        return rows.join(self.change(rows["previous"], rows["occupation"]))

    def change(self, previous: Sequence[str] | pd.Series, occupation: Sequence[str] | pd.Series) -> pd.DataFrame:
        """The difference in pay of pairs of occupations.

        Args:
            previous, occupation: Labels of those left and of those entered, as many of each.

        Returns:
            One row per pair: change in log points, low and high, the ends of its 95% interval; missing where pay of
            either is not known.

        Raises:
            TypeError: They are no lists.
            ValueError: There are more of one than of the other.
        """
        if not all(isinstance(labels, Sequence | pd.Series | np.ndarray) for labels in (previous, occupation)):
            raise TypeError("previous and occupation are lists of labels, one of each per pair")
        if isinstance(previous, str) or isinstance(occupation, str) or len(previous) != len(occupation):
            raise ValueError("previous and occupation are lists of labels, one of each per pair: give as many of both")
        left, entered = (
            self.pay.index.get_indexer([str(label) for label in labels]) for labels in (previous, occupation)
        )
        has_pay = (left >= 0) & (entered >= 0)
        pay, covariance = self.pay[LOG_WAGE].to_numpy(), self.covariance.to_numpy()
        change = np.where(has_pay, pay[entered] - pay[left], np.nan)
        variance = covariance[left, left] + covariance[entered, entered] - 2 * covariance[left, entered]
        half = np.where(has_pay, _width(self.degrees) * np.sqrt(variance.clip(min=0)), np.nan)
        return pd.DataFrame({"change": change, "low": change - half, "high": change + half})


@within_ranges
def occupation_pay(
    careers: str | Path | Dataset | DatasetDict,
    *,
    split: str = "train",
    controls: Sequence[str] = ("year", "education", "gender"),
    same_people: bool = False,
    fewest: int = 20,
    weighted: bool = False,
) -> OccupationPay:
    """What occupations pay, other things equal: their coefficients in a regression of log wages, by pyfixest.

    Args:
        careers: A folder of careers with an outcome `log_wage`, careers by split name, or careers.
        split: Comma-separated splits whose wages are explained; "all" takes everybody.
        controls: Columns of labels, and "year", the period of whatever unit, each level of which has an effect of its
            own. What a control can say as well as an occupation is left to the control.
        same_people: Whether each person has an effect too, so that people are compared with themselves elsewhere.
            Controls that never change for a person then say nothing.
        fewest: Occupations in which fewer people have wages are left out; with `same_people`, in which fewer people
            do who work in other occupations too.
        weighted: Whether to use the careers' survey weights.

    Raises:
        ImportError: pyfixest is not installed (extra `econ`).
        ValueError: A control is no column of the careers, is named twice or has more than `MOST_LEVELS` levels; fewer
            than two occupations have enough people; pay of an occupation cannot be told from the controls, as where
            its code is of some years alone, or from people's effects, as where nobody moves to some others; or as in
            `careers_of_splits` and `wage_frame`.

    Example:
        >>> from career_hf.simulation import draw_wages, preset
        >>> pay = occupation_pay(draw_wages(preset("tiny").simulate(800)).careers, split="all")
        >>> list(pay.pay.columns)
        ['log_wage', 'low', 'high', 'people', 'person_years']
    """
    pyfixest = import_pyfixest()
    frame, ledger = wage_frame(careers_of_splits(careers, split, weighted=weighted))
    controls = list(controls)
    _check_controls(controls)
    if absent := [name for name in controls if name not in frame]:
        raise ValueError(f"controls: careers have no column '{absent[0]}', only {sorted(frame.columns)}")
    frame, telling = _of_enough_people(frame, fewest, same_people, ledger)
    labels = sorted(frame["occupation"].unique())
    # Columns have numbers for names, since labels may hold what a formula reads as operators.
    place = pd.Categorical(frame["occupation"], labels).codes
    # Controls come first: of columns that say the same pyfixest leaves the later out, and what a control could say as
    # well is no pay.
    columns: dict[str, np.ndarray] = {}
    for number, name in enumerate(controls):
        levels = pd.factorize(frame[name].astype(str))[0]
        if levels.max() + 1 > MOST_LEVELS:
            raise ValueError(
                f"controls: '{name}' has {levels.max() + 1:,} levels, and may have {MOST_LEVELS:,}; a control is a "
                "column of labels, so make groups of numbers"
            )
        columns |= {f"control{number}_{level}": levels == level for level in range(1, levels.max() + 1)}
    columns |= {f"occupation{number}": place == number for number in range(1, len(labels))}
    data = pd.DataFrame(columns, dtype=float)
    data["log_wage"], data["weight"] = frame[LOG_WAGE].to_numpy(), frame["weight"].to_numpy()
    data["cluster"], data["person"] = pd.factorize(clusters(frame))[0], pd.factorize(frame["person"])[0]
    formula = f"log_wage ~ {' + '.join(columns)}"
    if same_people:
        # Of one effect alone demeaning is exact; the others are dummies.
        formula += " | person"
    with warnings.catch_warnings():
        # Controls that do not vary within a person drop out beside the person's effect.
        warnings.filterwarnings("ignore", message=r"(?s).*multicollinearity", category=UserWarning)
        fit = pyfixest.feols(
            formula,
            data,
            vcov={"CRV1": "cluster"},
            weights="weight",
            fixef_rm="none",
            demeaner=pyfixest.MapDemeaner(fixef_tol=ABSORBED),
            copy_data=False,
            store_data=False,
            lean=True,
        )
    names = [f"occupation{number}" for number in range(1, len(labels))]
    if lost := [labels[number] for number, name in enumerate(names, start=1) if name not in fit.coef().index]:
        raise ValueError(
            f"occupation '{lost[0]}': its pay cannot be told from the effects of {', '.join(controls) or 'people'}, "
            "or, with same_people, nobody moves between it and some other occupations; leave such a control or "
            "same_people out, or take fewer occupations, such as those of one coding"
        )
    places = [list(fit.coef().index).index(name) for name in names]
    pay, covariance = np.zeros(len(labels)), np.zeros((len(labels), len(labels)))
    pay[1:], covariance[1:, 1:] = fit.coef().to_numpy()[places], np.asarray(fit._vcov)[np.ix_(places, places)]
    # Less the mean over person-years, so that no occupation is the one that others are compared with.
    share = np.bincount(place, weights=frame["weight"], minlength=len(labels)) / frame["weight"].sum()
    centre = np.eye(len(labels)) - share
    pay, covariance = centre @ pay, centre @ covariance @ centre.T
    told = frame[telling].assign(cluster=data["cluster"].to_numpy()[telling])
    degrees = int(told["cluster"].nunique()) - 1
    sizes = told.groupby("occupation").agg(
        people=("person", "nunique"), person_years=("person", "size"), clusters=("cluster", "nunique")
    )
    sizes = sizes.reindex(labels)
    # Errors of few clusters are far too small.
    few = (sizes["clusters"] < FEWEST).to_numpy()
    covariance[few] = covariance[:, few] = np.nan
    half = _width(degrees) * np.sqrt(np.diag(covariance).clip(min=0))
    rows = pd.DataFrame(
        {LOG_WAGE: pay, "low": pay - half, "high": pay + half}
        | {name: sizes[name].to_numpy() for name in ("people", "person_years")},
        index=pd.Index(labels, name="occupation", dtype=object),
    )
    attrs = {"controls": list(controls), "same_people": same_people, "weighted": weighted}
    attrs["clusters"] = cluster_name(frame.columns)
    return OccupationPay(rows, pd.DataFrame(covariance, labels, labels), ledger, degrees, attrs)


def _check_controls(controls: Sequence[str]) -> None:
    for number, name in enumerate(controls):
        if name in ("person", "occupation", LOG_WAGE, "weight"):
            raise ValueError(
                f"controls: '{name}' is no control; leave it out (people have effects with same_people=True)"
            )
        if name in controls[:number]:
            raise ValueError(f"controls: '{name}' is there twice; name it once")


def _width(degrees: int) -> float:
    """Half the width of a 95% interval in standard errors; missing with too few clusters."""
    return float(stats.t.ppf(0.975, degrees)) if degrees + 1 >= FEWEST else np.nan


def _of_enough_people(
    frame: pd.DataFrame, fewest: int, same_people: bool, ledger: Ledger
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of occupations whose pay enough people tell, and which of these rows are of people who do: everybody, or
    with `same_people` those who work in two of these occupations."""
    rows = frame
    while True:
        several = rows.groupby("person")["occupation"].transform("nunique") > 1 if same_people else rows["weight"] >= 0
        people = rows[several].groupby("occupation")["person"].nunique()
        has_enough = rows["occupation"].isin(people.index[people >= fewest])
        if has_enough.all():
            break
        rows = rows[has_enough]  # people may now have one occupation only
    who = "people who work in others too" if same_people else "people with wages"
    dropped = {f"occupation of fewer than {fewest} {who}": len(frame) - len(rows)}
    ledger.record("keep occupations of enough people", "person-years", len(frame), len(rows), dropped)
    if rows["occupation"].nunique() < 2:
        raise ValueError(
            f"fewer than two occupations have at least {fewest} {who}: lower fewest, or take more careers"
        )
    return rows, several.to_numpy()
