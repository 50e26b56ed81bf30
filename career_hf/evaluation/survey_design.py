"""Perplexity of the population of a survey, with standard errors from the survey's sampling design.

`metrics` resamples people as if they had been drawn one by one. Surveys draw whole places from strata, and give people
weights. Here standard errors are those of survey sampling: the mean negative log-likelihood is a ratio of two weighted
totals, linearised, and its variance is that of totals of primary sampling units (PSUs) within strata, which count as
drawn with replacement (Binder, 1983). A subgroup is a domain, in which PSUs without any of its people still count. The
library `svy` computes the estimates: `pip install "career_hf[survey]"`.

Careers have the design: `from_frame(frame, weight=..., stratum=..., psu=...)` makes columns `weight`, `stratum` and
`psu`, which `transition_table` keeps; it also keeps `static` columns, which may hold the design too. For careers
without a design, pass a frame of people (`SurveyDesign.people`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..careers.columns import is_weight
from ..occupations.normalising import labels_of
from .metrics import mean_over_seeds, shared_rows


@dataclass(frozen=True)
class SurveyDesign:
    """The columns of a transition table, or of a frame of people, that describe how people were sampled.

    Args:
        weight: Column of survey weights, which may differ between the steps of a person; None counts all steps alike.
            Steps of weight 0 are outside the domain, and their PSUs count.
        stratum: Column of strata; None if there are no strata.
        psu: Column of primary sampling units. Without strata and places, people are the units.
        people: A frame with one row per person of the survey, with `person` and the columns above, which then need not
            be in the table. People who were not scored count: scored people, such as a test split, are a domain of the
            whole survey, and a stratum may have a single scored PSU.
        singleton: Contribution of strata with a single PSU to the variance. None refuses such strata; "center" uses
            the mean of all PSUs instead of theirs, "scale" the average of other strata, "skip" nothing (in R's
            survey.lonely.psu, "adjust", "average" and "remove").

    Example:
        >>> SurveyDesign(stratum="stratum", psu="psu")
        SurveyDesign(weight='weight', stratum='stratum', psu='psu', people=None, singleton=None)
    """

    weight: str | None = "weight"
    stratum: str | None = None
    psu: str = "person"
    people: pd.DataFrame | None = None
    singleton: Literal["center", "scale", "skip"] | None = None


def survey_perplexity(
    table: pd.DataFrame, design: SurveyDesign | None = None, by: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Weighted perplexity with design-based standard errors and 95% intervals.

    The standard error of perplexity is that of the mean times perplexity (delta method). Intervals are exponentials of
    those of the mean, from Student's t with PSUs less strata degrees of freedom.

    Args:
        table: A transition table.
        design: The sampling design; if None, the weights of the table and people as units.
        by: Columns to group by; all rows are one group if None.

    Returns:
        One row per group (a single row "all" without `by`): n (steps), people, psus, nll (mean negative
        log-likelihood), nll_standard_error, perplexity, standard_error, low, high, df. Standard errors and intervals
        are null where df is 0.

    Raises:
        ValueError: A column is missing or has nulls, a weight is negative or infinite, all weights are 0, a person has
            two values of a column, a PSU is in two strata, or a stratum has a single PSU and the design has no
            `singleton`.
        ImportError: `svy` is not installed.
    """
    estimates = _linearised({"nll": -table["log_prob"].to_numpy()}, table, design or SurveyDesign(), by)["nll"]
    nll, error = estimates["mean"], estimates["standard_error"]
    sizes = estimates[["n", "people", "psus"]]
    return sizes.assign(
        nll=nll,
        nll_standard_error=error,
        perplexity=np.exp(nll),
        standard_error=np.exp(nll) * error,
        low=np.exp(estimates["low"]),
        high=np.exp(estimates["high"]),
        df=estimates["df"],
    )


def survey_differences(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    design: SurveyDesign | None = None,
    by: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Log-perplexity of each model minus the baseline's on the same rows, with design-based standard errors.

    The rows are those of `metrics.shared_rows`.

    Args:
        tables: For each model a transition table, or one for each seed, whose log-probabilities are averaged.
        baseline: The model whose log-perplexity is subtracted.
        design, by: As in `survey_perplexity`.

    Returns:
        One row per group and model, the baseline excepted: n, people, psus, ratio of perplexities, difference (its
            log),
        standard_error, low and high of the difference, df.

    Raises:
        ValueError: The tables do not have the same rows, there is no such baseline, or as in `survey_perplexity`.
        ImportError: `svy` is not installed.
    """
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")
    seeds, _ = shared_rows(tables)
    log_prob = {name: mean_over_seeds(model_tables)["log_prob"].to_numpy() for name, model_tables in seeds.items()}
    # A difference of two means over the same rows is the mean of differences.
    losses = {name: log_prob[baseline] - values for name, values in log_prob.items() if name != baseline}
    estimates = _linearised(losses, seeds[baseline][0], design or SurveyDesign(), by)
    rows = [
        estimate.rename(columns={"mean": "difference"})
        .assign(ratio=np.exp(estimate["mean"]), model=name)
        .set_index("model", append=True)
        for name, estimate in estimates.items()
    ]
    columns = ["n", "people", "psus", "ratio", "difference", "standard_error", "low", "high", "df"]
    return pd.concat(rows)[columns]


def _linearised(
    values: Mapping[str, np.ndarray], table: pd.DataFrame, design: SurveyDesign, by: str | Sequence[str] | None
) -> dict[str, pd.DataFrame]:
    """Weighted mean of each of some columns of `(steps,)` values, by group, with its linearised standard error."""
    people = _people(table, design)
    place = people.index.get_indexer(labels_of(table["person"]))
    if (place < 0).any():
        person = table["person"].iloc[int((place < 0).argmax())]
        raise ValueError(f"person '{person}' of the table is not among the design's people: add a row for them")

    names = [by] if isinstance(by, str) else list(by or [])
    if design.weight is None or design.people is not None:
        weight = people["weight"].to_numpy()[place]
    else:
        weight = table[design.weight].to_numpy(dtype=np.float64)
    # Steps of weight 0 are like people who were not scored.
    counted = weight > 0
    if not counted.any():
        raise ValueError(f"column '{design.weight}' is 0 in every step: nothing is left to average")
    table, place, weight = table[counted], place[counted], weight[counted]
    keys = [table[name] for name in names] or [pd.Series("all", index=table.index, name="steps")]
    steps = pd.DataFrame({"person": place, "psu": people["psu"].to_numpy()[place]}, index=table.index)
    grouped = steps.groupby(keys, observed=True, dropna=False)
    sizes = grouped.agg(n=("person", "size"), people=("person", "nunique"), psus=("psu", "nunique"))
    # Each person who was not scored has one row outside the scored domain.
    absent = np.setdiff1d(np.arange(len(people)), place)
    rows = people.iloc[np.concatenate([place, absent])].assign(weight=np.concatenate([weight, np.ones(len(absent))]))
    group = np.concatenate([grouped.ngroup().to_numpy(), np.zeros_like(absent)])
    return {
        name: sizes.assign(
            **_means(np.concatenate([column[counted], np.zeros(len(absent))]), group, rows, len(table), design)
        )
        for name, column in values.items()
    }


def _means(
    values: np.ndarray, group: np.ndarray, rows: pd.DataFrame, scored: int, design: SurveyDesign
) -> dict[str, np.ndarray]:
    """mean, standard_error, low, high and df of each group, where the first `scored` rows are a domain of all rows."""
    try:
        import polars
        import svy
    except ImportError as error:
        raise ImportError("designs of surveys need svy: pip install 'career_hf[survey]'") from error

    columns = {name: rows[name].to_numpy() for name in ("weight", "stratum", "psu")}
    data = polars.DataFrame(columns | {"value": values, "group": group, "scored": np.arange(len(rows)) < scored})
    sampled = svy.Design(wgt="weight", stratum="stratum", psu="psu", singleton=design.singleton)
    where = None if scored == len(rows) else polars.col("scored")
    estimate: Any = svy.Sample(data, sampled).estimation.mean("value", by="group", where=where)
    estimates = estimate.to_polars().sort("group")
    has_spread = estimates["df"].to_numpy() > 0
    names = {"standard_error": "se", "low": "lci", "high": "uci"}
    spread = {name: np.where(has_spread, estimates[theirs].to_numpy(), np.nan) for name, theirs in names.items()}
    return {"mean": estimates["est"].to_numpy(), **spread, "df": estimates["df"].to_numpy()}


def _people(table: pd.DataFrame, design: SurveyDesign) -> pd.DataFrame:
    """Weight and codes of stratum and PSU of every person, by identifier, after checks; ones for weights of steps."""
    source, where = (table, "table") if design.people is None else (design.people, "frame of people")
    roles = {"person": "person", "weight": design.weight, "stratum": design.stratum, "psu": design.psu}
    design_columns = {role: name for role, name in roles.items() if name is not None}
    for role, name in design_columns.items():
        if name not in source.columns:
            raise ValueError(
                f"the {where} has no column '{name}' for the {role}, only {list(source.columns)}: give the careers "
                f"one (from_frame(..., {role}=...)), or pass SurveyDesign(people=...)"
            )
    # Weights of a table are those of its steps.
    own = [name for role, name in design_columns.items() if role != "weight" or design.people is not None]
    columns = list(dict.fromkeys(own))
    # An identifier is the same person whether a table holds it as text, a whole number or a float.
    labels = {name: labels_of(source[name]) for name in columns if name != design.weight}
    people = source[columns].assign(**labels).drop_duplicates()
    twice = people["person"].duplicated()
    if twice.any():
        rows = people[people["person"] == people.loc[twice, "person"].iloc[0]]
        name = next(name for name in columns[1:] if rows[name].nunique(dropna=False) > 1)
        raise ValueError(
            f"person '{rows['person'].iloc[0]}', column '{name}': {rows[name].iloc[0]!r} and {rows[name].iloc[1]!r}; "
            "a sampling design does not change over a career: take a column with one value for each person"
        )
    for role, name in design_columns.items():
        if source[name].isna().any():
            person = source.loc[source[name].isna(), "person"].iloc[0]
            fix = "or SurveyDesign(weight=None) to count all steps alike" if role == "weight" else "or leave them out"
            raise ValueError(f"person '{person}', column '{name}': no {role}; give everybody one, {fix}")

    weight = np.ones(len(people))
    if design.weight is not None:
        weights = source[design.weight].to_numpy(dtype=np.float64)
        if not is_weight(weights).all():
            row = int(is_weight(weights).argmin())
            year = f", year {source['year'].iloc[row]}" if "year" in source else ""
            raise ValueError(
                f"person '{source['person'].iloc[row]}'{year}, column '{design.weight}', value {weights[row]}: not a "
                "finite weight, positive or 0; correct it, or leave the person out"
            )
        weight = weight if design.people is None else people[design.weight].to_numpy(dtype=np.float64)
    one_stratum = np.zeros(len(people), dtype=np.int64)
    strata, stratum_names = (
        (one_stratum, pd.Index(["all"])) if design.stratum is None else pd.factorize(people[design.stratum])
    )
    units, unit_names = pd.factorize(people[design.psu])
    nested = pd.DataFrame({"stratum": strata, "psu": units}).drop_duplicates()
    torn = nested[nested["psu"].duplicated(keep=False)].sort_values("psu", kind="stable")
    if len(torn):
        (one, two), unit = stratum_names[torn["stratum"].iloc[:2]], unit_names[torn["psu"].iloc[0]]
        raise ValueError(
            f"column '{design.psu}': PSU '{unit}' is in two strata, '{one}' and '{two}'; if labels of PSUs start "
            f"again in every stratum, join both labels: '{one}/{unit}'"
        )
    count = np.bincount(nested["stratum"])
    if (count == 1).any() and design.singleton is None:
        name = stratum_names[int((count == 1).argmax())]
        raise ValueError(
            f"{(count == 1).sum()} of {len(count)} strata have a single PSU, '{name}' among them, so how much PSUs "
            "vary there is not known; pass people= of the whole survey if only some were scored, merge it with a "
            "stratum like it, or say SurveyDesign(singleton='center')"
        )
    return pd.DataFrame({"weight": weight, "stratum": strata, "psu": units}, index=pd.Index(people["person"]))
