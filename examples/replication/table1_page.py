"""What the study of forecasts found, and its tables as Markdown, for documentation."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from .rivals_tables import BASELINE


OVERALL = "overall"


@dataclass(frozen=True)
class Table1:
    """What the study found.

    Args:
        perplexity: One row per design, population, year ("overall" among them) and model: n, perplexity, low, high,
            difference of log-perplexity from CAREER's, difference_low, difference_high, monte_carlo (the standard
            error of log-perplexity that sampling trajectories adds), seeds, seed_sd (of log-perplexity).
        auc: One row per design, population, state, year and model: auc, averaged over seeds.
        kinds: One row per design, population, year and model: the share who are found in the last occupation that was
            known, `predicted` and `observed`, and perplexity of these (`stay`), of who is in an earlier occupation
            (`return`) and of all others (`new`), as in Table 4.
        costs: Trials, updates, hours and what was chosen, by design and model.
    """

    perplexity: pd.DataFrame
    auc: pd.DataFrame
    kinds: pd.DataFrame
    costs: pd.DataFrame


def page(found: Table1) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    Args:
        found: What the study found.
    """
    parts: dict[str, pd.DataFrame] = {}
    for (design, population), rows in found.perplexity.groupby(["design", "population"], sort=False):
        title = title_of(design, population)
        parts[f"{title}: perplexity"] = as_in_the_paper(rows)
        parts[f"{title}: log-perplexity minus that of {BASELINE}"] = differences(rows)
        parts[f"{title}: AUC of being in a state, all years together"] = areas(part_of(found.auc, design, population))
        parts[f"{title}: found in the last occupation known, and perplexity of these, of returns and of others"] = (
            kinds(part_of(found.kinds, design, population))
        )
    parts["Cost"] = found.costs.round({"hours": 2, "validation": 3})
    return "\n\n".join(f"### {title}\n\n{_markdown(table)}" for title, table in parts.items() if len(table))


def part_of(frame: pd.DataFrame, design: str, population: str) -> pd.DataFrame:
    """The rows of one design and population."""
    return frame[(frame["design"] == design) & (frame["population"] == population)]


def title_of(design: str, population: str) -> str:
    """Who is forecast and who of them is scored, as headings say it."""
    forecast = {"everybody": "Everybody trains and is forecast", "new people": "New people are forecast"}[design]
    return f"{forecast}, scored on {population}"


def as_in_the_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """Models down and years across, the best first, as Tables 1 and 2 stand in the paper; intervals in brackets.

    Args:
        rows: `Table1.perplexity` of one design and population.
    """
    texts = [f"{row.perplexity:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in rows.itertuples()]
    overall = rows[rows["year"] == OVERALL].set_index("model")
    wide = _wide(rows.assign(text=texts), list(overall.sort_values("perplexity").index))
    noise = overall["perplexity"] * overall["monte_carlo"]
    wide["sampling error"] = noise.map(lambda error: f"{error:.3f}" if error < 0.1 else f"{error:.2f}")
    if (overall["seeds"] > 1).any():
        wide["sd of log over seeds"] = overall["seed_sd"].map("{:.3f}".format, na_action="ignore")
    return wide


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of log-perplexity from CAREER's, years across, the smallest first.

    Args:
        rows: `Table1.perplexity` of one design and population.
    """
    others = rows[rows["model"] != BASELINE]
    texts = [
        f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]" for row in others.itertuples()
    ]
    order = others[others["year"] == OVERALL].sort_values("difference")["model"]
    return _wide(others.assign(text=texts), list(order))


def areas(rows: pd.DataFrame) -> pd.DataFrame:
    """Areas under the ROC curve of states, all years together; states across, the best model of the first one first.

    Args:
        rows: `Table1.auc` of one design and population.
    """
    wide = rows[rows["year"] == OVERALL].pivot(index="model", columns="state", values="auc")
    wide = wide[list(rows["state"].unique())]
    return wide.sort_values(list(wide.columns), ascending=False).map("{:.3f}".format)


def kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares in the last occupation known, and perplexities by kind of step, one row for each year and model.

    Args:
        rows: `Table1.kinds` of one design and population.
    """
    wide = rows[rows["year"] != OVERALL].set_index("model").drop(columns=["design", "population"])
    perplexities = wide[["stay", "return", "new"]].map("{:.2f}".format, na_action="ignore")
    shares = wide[["predicted", "observed"]].map("{:.3f}".format)
    return pd.concat([wide["year"], shares, perplexities], axis=1)


def _wide(rows: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    wide = rows.pivot(index="model", columns="year", values="text")
    return wide.loc[models, [OVERALL, *(year for year in wide.columns if year != OVERALL)]]


def _markdown(table: pd.DataFrame) -> str:
    text = table.astype(object).where(table.notna(), "")
    return text.reset_index().to_markdown(index=False, disable_numparse=True)
