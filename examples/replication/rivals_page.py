"""What the study of rivals found, and its tables as Markdown, for documentation."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


# The paper's NLSY79 column: one stage from Figure 2a, two stages from Table 8, CAREER's from Figure 2a.
PAPER_NLSY79 = {
    "Markov regression, one stage": 15.03,
    "NEMO, one stage": 12.82,
    "job representation, one stage": 14.71,
    "Job2Vec, one stage": 14.46,
    "bag of jobs, one stage": 13.09,
    "CAREER, one stage": 12.20,
    "Markov regression, two stages": 13.30,
    "NEMO, two stages": 12.37,
    "job representation, two stages": 13.97,
    "Job2Vec, two stages": 13.91,
    "bag of jobs, two stages": 12.68,
    "CAREER, two stages": 12.00,
    "CAREER, pretrained, two stages": 11.32,
}
# The paper's Table 4, on the PSID (stay, return, new), and its Table 5 on the NLSY79. Its CAREER is pretrained.
PAPER_TABLE_4 = {
    "Markov regression, two stages": "1.92 / 29.6 / 115.7",
    "NEMO, two stages": "1.99 / 30.8 / 105.0",
    "job representation, two stages": "1.91 / 48.7 / 115.1",
    "Job2Vec, two stages": "1.88 / 45.4 / 115.1",
    "bag of jobs, two stages": "1.90 / 35.6 / 112.9",
    "CAREER, pretrained, two stages": "1.87 / 12.9 / 100.1",
}
PAPER_TABLE_5 = {
    "Markov regression, two stages": 0.732,
    "NEMO, two stages": 0.731,
    "job representation, two stages": 0.704,
    "Job2Vec, two stages": 0.705,
    "bag of jobs, two stages": 0.706,
    "CAREER, pretrained, two stages": 0.761,
}


@dataclass(frozen=True)
class Rivals:
    """What the study found, by the paper's numbers."""

    figure_2a: pd.DataFrame
    table_4: pd.DataFrame
    table_5: pd.DataFrame
    table_8: pd.DataFrame
    figure_4: pd.DataFrame
    costs: pd.DataFrame


def page(found: Rivals) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    The paper's numbers, which are of other samples, stand beside those of careers that were not simulated.

    Args:
        found: What the study found.
    """
    kinds, accuracies = _kinds(found.table_4), found.table_5.round(3)
    if "over_floor" not in found.figure_2a:
        kinds["paper's PSID"] = kinds.index.map(lambda model: PAPER_TABLE_4.get(model, ""))
        accuracies.insert(1, "paper's NLSY79", accuracies.index.map(PAPER_TABLE_5.get))
    parts = {
        "Figure 2a: test perplexity": _levels(found.figure_2a),
        "Table 4: perplexity by kind of step": kinds,
        "Table 5: AUCs, ranks of the truth, calibration errors": _blank(accuracies),
        "Table 8: one and two stages": _stages(found.table_8),
        "Cost": _blank(found.costs.round({"hours": 2, "validation": 3})),
    }
    return "\n\n".join(
        f"### {title}\n\n{table.reset_index().to_markdown(index=False, disable_numparse=True)}"
        for title, table in parts.items()
        if len(table)
    )


def _levels(levels: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "perplexity [95% interval]": _interval(levels, "perplexity", "low", "high", ".2f"),
        "log difference from CAREER": _interval(
            levels, "difference", "low_of_difference", "high_of_difference", "+.3f"
        ),
        "sd over seeds": levels["seed_sd"].map("{:.3f}".format, na_action="ignore"),
    }
    for name in ("per_person", "weighted"):
        if name in levels:
            columns[name.replace("_", " ")] = levels[name].map("{:.2f}".format)
    if "over_floor" in levels:
        columns["over the floor"] = levels["over_floor"].map("{:.3f}".format)
        columns["share of the gap closed"] = levels["gap_closed"].map("{:.3f}".format)
    else:
        columns["paper's NLSY79"] = pd.Series(levels.index.map(PAPER_NLSY79.get), levels.index)
    return _blank(pd.DataFrame(columns))


def _kinds(kinds: pd.DataFrame) -> pd.DataFrame:
    """One row per model, and for each cut stay / return / new."""
    places = {"stay": ".2f", "return": ".1f", "new": ".1f"}
    texts = [
        " / ".join("-" if pd.isna(row[kind]) else f"{row[kind]:{places[kind]}}" for kind in places)
        for _, row in kinds.iterrows()
    ]
    return (
        kinds.assign(text=texts).pivot(index="model", columns="cut", values="text")[kinds["cut"].unique()].fillna("")
    )


def _stages(stages: pd.DataFrame) -> pd.DataFrame:
    if not len(stages):
        return stages
    levels = {name: stages[name].map("{:.2f}".format) for name in ("one stage", "two stages")}
    return pd.DataFrame(levels | {"log difference": _interval(stages, "difference", "low", "high", "+.3f")})


def _blank(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), "")


def _interval(table: pd.DataFrame, value: str, low: str, high: str, form: str) -> pd.Series:
    """Numbers with their intervals, empty where there is none."""
    texts = [
        "" if pd.isna(number) else f"{number:{form}} [{least:{form}}, {most:{form}}]"
        for number, least, most in table[[value, low, high]].itertuples(index=False)
    ]
    return pd.Series(texts, table.index)
