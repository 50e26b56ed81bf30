"""Crosswalks from SOC 2010, O*NET-SOC 2010, ISCO-08, ESCO and Census codes to occ1990dd, with weights of targets.

A crosswalk is a frame with one row per pair: `source` (text), `occ1990dd` (text) and `weight`, the share of the source
code's jobs that the target gets; weights of a source code sum to one. The chain for resumes is O*NET-SOC 2010 -> SOC
2010 -> Census 2010 -> occ1990dd. It ends in David Dorn's own table of Census 2010 codes, never in Deming's variant,
which has other targets. `data/README.md` says where each table comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ..number_ranges import within_ranges
from .crosswalks import DIGITS, MERGED, MILITARY, NOT_OCCUPATIONS, codes, crosswalk, read_data
from .normalising import label_of


# fmt: off
System = Literal[
    "census1970", "census1980", "census1990", "census2000", "census2002", "census2010",
    "soc2010", "onet_soc2010", "isco08",
]
# fmt: on
# Ways in which ESCO identifies an occupation: its address, its preferred label in English, its code ("2353.1"), or the
# first four digits of the code, which are the ISCO-08 unit group.
ESCOKey = Literal["uri", "label", "code", "isco08"]
MILITARY_TARGET = "905"
ESCO_URI = "http://data.europa.eu/esco/occupation/"
ESCO_COLUMNS = {"conceptUri": "uri", "preferredLabel": "label", "code": "code"}


@dataclass(frozen=True)
class Coverage:
    """The part of some data that a crosswalk maps.

    Args:
        cells: Number of cells with a code, usually person-years.
        mapped: Number of cells whose code has a target.
        split: Number of cells whose code has several targets, so that the modal one is a choice; None if unknown.
        unmapped: Number of cells per code without a target, by falling count.
    """

    cells: int
    mapped: int
    split: int | None
    unmapped: pd.Series

    @property
    def share(self) -> float:
        """Share of cells that are mapped; 1 where there are none."""
        return self.mapped / self.cells if self.cells else 1.0

    def __str__(self) -> str:
        first = ", ".join(f"{code} ({count})" for code, count in self.unmapped.head(10).items())
        split = "" if self.split is None else f", {self.split} by a code with more targets"
        rest = f"; without a target, {len(self.unmapped)} codes: {first}" if first else ""
        return f"mapped {self.mapped} of {self.cells} ({self.share:.1%}){split}{rest}"


def weighted_crosswalk(system: System) -> pd.DataFrame:
    """Loads the crosswalk of one coding system to occ1990dd.

    Codes of the armed forces have the target 905 here, which is not among the 330 occupations; codes of the unemployed
    have no target. The sources have no weights, so the targets of an ISCO-08 code are weighted by the number of SOC
    codes behind them; in the other systems a code has one target.

    Args:
        system: "census1970" to "census2010" (source codes with leading zeros, such as "0010"), "soc2010" ("11-1011"),
            "onet_soc2010" ("11-1011.00") or "isco08" ("1111").

    Returns:
        A frame with source, occ1990dd and weight, sorted by source, then by falling weight, then by occ1990dd.

    Raises:
        ValueError: If the system is not one of these.
    """
    if system not in get_args(System):
        raise ValueError(f"there is no crosswalk from {system!r}; choose one of {get_args(System)}")
    if system.startswith("census"):
        return _from_census(int(system.removeprefix("census")))
    soc = chain(_table("soc2010_census2010.csv"), _from_census(2010))
    if system == "soc2010":
        return soc
    return chain(_table("isco08_soc2010.csv" if system == "isco08" else "onet_soc2010.csv"), soc)


@within_ranges
def esco_crosswalk(key: ESCOKey = "uri", occupations_file: str | Path | None = None) -> pd.DataFrame:
    """Loads the crosswalk of ESCO occupations to occ1990dd, by way of O*NET-SOC 2010 (Kanders et al., 2020).

    The shipped table has the 1,680 occupations just below the ISCO-08 unit groups, by address and English label.
    ESCO's own file adds codes and all finer occupations: each has the target of its closest ancestor in the table,
    else the weighted targets of its ISCO-08 unit group. A unit group's weights are shares of its ESCO occupations in
    the shipped table; groups without any (such as the armed forces) have those of `weighted_crosswalk("isco08")`.

    Args:
        key: Content of the source column: "uri", "label" (lower case), "code", which needs the file, or "isco08".
        occupations_file: `occupations_en.csv` of a download from the ESCO portal, version 1.1 or later.

    Returns:
        A frame with source, occ1990dd and weight.

    Raises:
        ValueError: If the key is unknown, the key is "code" without the file, or the file lacks columns.
    """
    if key not in get_args(ESCOKey):
        raise ValueError(f"key {key!r} of ESCO occupations is not one of {get_args(ESCOKey)}")
    if key == "code" and occupations_file is None:
        raise ValueError(
            "the shipped tables have no ESCO codes: pass occupations_file=, occupations_en.csv of a download "
            "from the ESCO portal, or map their first four digits, key='isco08'"
        )
    shipped = read_data("esco_onet_soc2010.csv").rename(columns={"onet_soc2010": "via"})
    shipped = shipped.assign(uri=ESCO_URI + shipped["uuid"], label=shipped["label"].str.lower())

    def by_onet(rows: pd.DataFrame, key: str) -> pd.DataFrame:
        pairs = rows[[key, "via"]].rename(columns={key: "source"}).assign(weight=1.0)
        return chain(pairs, weighted_crosswalk("onet_soc2010"))

    groups, isco = by_onet(shipped, "isco08"), weighted_crosswalk("isco08")
    groups = pd.concat([groups, isco[~isco["source"].isin(groups["source"])]])
    if key == "isco08":
        return _tidy(groups)
    if occupations_file is None:
        return by_onet(shipped, key)
    listed = _read_esco(occupations_file)
    onet_of_code = listed.set_index("code")["uri"].map(shipped.set_index("uri")["via"]).dropna().to_dict()
    listed["via"] = [_value_of_closest_ancestor(code, onet_of_code) for code in listed["code"]]
    with_ancestor, without_ancestor = listed.dropna(subset="via"), listed[listed["via"].isna()]
    if key != "code":  # labels and addresses may differ between versions of ESCO
        with_ancestor = pd.concat([with_ancestor, shipped[~shipped[key].isin(listed[key])]])
    pairs = pd.DataFrame({"source": without_ancestor[key], "via": without_ancestor["code"].str[:4], "weight": 1.0})
    return _tidy(pd.concat([by_onet(with_ancestor, key), chain(pairs, groups)]))


@within_ranges
def make_crosswalk(frame: Any, source: str, occ1990dd: str, weight: str | None = None) -> pd.DataFrame:
    """Makes and checks a crosswalk from a user's table, for codings that the package does not ship.

    Args:
        frame: pandas frame, or dict of columns, with one row per pair of codes.
        source: Column of the source codes.
        occ1990dd: Column of the targets, text or whole numbers.
        weight: Column of positive weights, which are scaled to sum to one per source code; equal weights if None.

    Returns:
        A frame with source, occ1990dd and weight.

    Raises:
        ValueError: If a target is neither one of the 330 occupations nor 905 (as in Deming's variant, which must not
            be mixed with Dorn's tables), a weight is not positive and finite, a column is missing, or a pair occurs
            twice.
    """
    frame = pd.DataFrame(frame)
    for column in (source, occ1990dd, *([weight] if weight is not None else [])):
        if column not in frame:
            raise ValueError(f"the crosswalk has no column '{column}', only {[str(name) for name in frame]}")
    pairs = pd.DataFrame({"source": _text(frame[source]), "occ1990dd": _text(frame[occ1990dd]).replace(MERGED)})
    pairs["weight"] = _weights(frame[weight]) if weight is not None else 1.0
    for column, values in ((source, pairs["source"]), (occ1990dd, pairs["occ1990dd"])):
        if values.isna().any():
            raise ValueError(
                f"column '{column}' has no code in row {values.isna().idxmax()} ({values.isna().sum()} in all): drop "
                "rows without a source code or without a target"
            )
    foreign = sorted(set(pairs["occ1990dd"]) - {*codes(), MILITARY_TARGET})
    if foreign:
        raise ValueError(
            f"column '{occ1990dd}' has {len(foreign)} values that are not occ1990dd codes of Autor and Dorn (2013): "
            f"{', '.join(foreign[:20])}; Deming's variant has targets of its own: start from Dorn's tables instead"
        )
    refused = pairs[~((pairs["weight"] > 0) & np.isfinite(pairs["weight"]))]
    if len(refused):
        raise ValueError(
            f"weight {refused['weight'].iloc[0]:g} of code {refused['source'].iloc[0]} is not positive and finite: "
            "drop the row, or correct the weight"
        )
    repeated = pairs[pairs.duplicated(["source", "occ1990dd"])]
    if len(repeated):
        first = repeated.iloc[0]
        raise ValueError(f"code {first['source']} has {first['occ1990dd']} twice: keep one row per pair of codes")
    return _tidy(pairs)


@within_ranges
def read_crosswalk(path: str | Path) -> pd.DataFrame:
    """Reads a crosswalk from a CSV file with columns source, occ1990dd and, if wished, weight, and checks it.

    Raises:
        ValueError: If the file cannot be read, or for the reasons of `make_crosswalk`.
    """
    frame = _read_csv(path)
    return make_crosswalk(frame, "source", "occ1990dd", "weight" if "weight" in frame else None)


@within_ranges
def as_crosswalk(crosswalk: str | Path | pd.DataFrame) -> pd.DataFrame:
    """A crosswalk by the name of a coding system, from a CSV file (`.csv`, `.csv.gz`), or a frame, which is checked.

    Raises:
        ValueError: As `weighted_crosswalk`, `read_crosswalk` and `make_crosswalk` do.
    """
    if isinstance(crosswalk, pd.DataFrame):
        return make_crosswalk(crosswalk, "source", "occ1990dd", "weight" if "weight" in crosswalk else None)
    if ".csv" in Path(crosswalk).suffixes:
        return read_crosswalk(crosswalk)
    return weighted_crosswalk(crosswalk)  # type: ignore[arg-type]


@within_ranges
def chain(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Joins two crosswalks end to end, such as a national coding to ISCO-08 and ISCO-08 to occ1990dd.

    Args:
        first: Frame with source, via and weight.
        second: Crosswalk whose source codes are the `via` codes of the first.

    Returns:
        A frame with source, occ1990dd and weight. `via` codes without a target are left out, and the weights of the
        others scaled to sum to one; source codes without any target are not in the frame, and `recode` counts them.
    """
    joined = first.merge(second.rename(columns={"source": "via"}), on="via", suffixes=("", "_via"))
    joined["weight"] *= joined.pop("weight_via")
    return _tidy(joined)


@within_ranges
def modal(table: pd.DataFrame) -> pd.Series:
    """Finds one target per source code: the target of largest weight; of several, the smallest occ1990dd code.

    The tie rule is arbitrary but fixed, so that the same data give the same careers; `Coverage.split` counts the cells
    where it, or the weight, had to choose.
    """
    # Weights are rounded, because sums of thirds differ in the last digit.
    ranked = table.assign(number=table["occ1990dd"].astype(int), weight=table["weight"].round(9)).sort_values(
        ["source", "weight", "number"], ascending=[True, False, True]
    )
    return ranked.drop_duplicates("source").set_index("source")["occ1990dd"]


def source_of_code(table: pd.DataFrame) -> dict[str, str]:
    """The crosswalk's own spelling of each code, by the code and, for codes of digits, by the code without zeros."""
    sources = table["source"].unique().tolist()
    if not all(source.isdigit() for source in sources):
        return {source: source for source in sources}
    return {source.lstrip("0") or "0": source for source in sources} | {source: source for source in sources}


@within_ranges
def recode(codes: pd.Series, table: pd.DataFrame) -> tuple[pd.Series, Coverage]:
    """Maps codes to the modal target of a crosswalk.

    Args:
        codes: Source codes, text or numbers; codes of digits may lack the leading zeros that the crosswalk's codes
            have. Null stays null.
        table: A crosswalk: source, occ1990dd and weight.

    Returns:
        The occ1990dd codes, null where there is none; and the coverage.
    """
    codes = _text(codes)
    sources = codes.map(source_of_code(table))
    mapped = sources.map(modal(table)).astype("string")
    width = min((len(source) for source in table["source"]), default=0) if table["source"].str.isdigit().all() else 0
    unmapped = codes[mapped.isna()].dropna().str.zfill(width).value_counts()
    coverage = Coverage(
        cells=int(codes.notna().sum()),
        mapped=int(mapped.notna().sum()),
        split=int(sources.map(table.groupby("source").size()).gt(1).sum()),
        unmapped=unmapped.rename("count"),
    )
    return mapped.rename("occ1990dd"), coverage


def coverage_of(person_years: pd.Series) -> Coverage:
    """Counts the person-years of careers that have an occ1990dd code.

    Args:
        person_years: Number of person-years by occupation, without states such as unemployed and in_school.

    Returns:
        The coverage; `split` is None, because careers do not show it.
    """
    has_code = person_years.index.isin([*codes(), MILITARY_TARGET])
    unmapped = person_years[~has_code].sort_values(ascending=False, kind="stable")
    return Coverage(int(person_years.sum()), int(person_years[has_code].sum()), None, unmapped.rename("count"))


def _from_census(vintage: int) -> pd.DataFrame:
    table = crosswalk(vintage)
    table = table[~table.isin(NOT_OCCUPATIONS)]
    military = pd.Series(MILITARY_TARGET, index=sorted(MILITARY[vintage]))
    pairs = pd.concat([table, military])
    source = pairs.index.astype(str).str.zfill(DIGITS[vintage])
    return _tidy(pd.DataFrame({"source": source, "occ1990dd": pairs.to_numpy(), "weight": 1.0}))


def _table(name: str) -> pd.DataFrame:
    """Reads a shipped table of two columns, source and via, with equal weights."""
    pairs = read_data(name).set_axis(["source", "via"], axis=1)
    return pairs.assign(weight=1.0)


def _read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """All cells of a CSV file as text; a ValueError that names the file if it cannot be read."""
    try:
        return pd.read_csv(path, dtype=str, **options)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _read_esco(path: str | Path) -> pd.DataFrame:
    """Reads ESCO's own list of occupations: uri, label (lower case) and code."""
    listed = _read_csv(path, keep_default_na=False)
    missing = [name for name in ESCO_COLUMNS if name not in listed.columns]
    if missing:
        raise ValueError(f"{path} has no columns {missing}: pass occupations_en.csv of ESCO version 1.1 or later")
    listed = listed.rename(columns=ESCO_COLUMNS)[list(ESCO_COLUMNS.values())]
    return listed.assign(label=listed["label"].str.strip().str.lower())


def _value_of_closest_ancestor(code: str, values: dict[str, str]) -> str | None:
    """The value of an ESCO code ("3118.3.12"), else of its parent ("3118.3") and so on."""
    while code:
        if code in values:
            return values[code]
        code = code.rpartition(".")[0]
    return None


def _weights(weights: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(weights, errors="coerce").astype("float64")
    unreadable = np.flatnonzero(numbers.isna() & weights.notna())
    if len(unreadable):
        raise ValueError(f"weight {weights.iloc[unreadable[0]]!r} (row {unreadable[0]}) is not a number: correct it")
    return numbers


def _text(codes: pd.Series) -> pd.Series:
    """Turns codes into text by the rule of `normalising`; numbers must be whole, missing ones are null."""
    if pd.api.types.is_numeric_dtype(codes):
        fractions = codes[(codes % 1).fillna(0) != 0]
        if len(fractions):
            raise ValueError(
                f"code {fractions.iloc[0]} is not a whole number: read codes with dots or letters as text"
            )
    return pd.Series([label_of(code) for code in codes.astype(object)], index=codes.index, dtype="string")


def _tidy(pairs: pd.DataFrame) -> pd.DataFrame:
    """Makes one row per pair, weights that sum to one per source code, and a fixed order."""
    summed = pairs.groupby(["source", "occ1990dd"], as_index=False)["weight"].sum()
    summed["weight"] /= summed.groupby("source")["weight"].transform("sum")
    summed["number"] = summed["occ1990dd"].astype(int)
    ordered = summed.sort_values(["source", "weight", "number"], ascending=[True, False, True], ignore_index=True)
    return ordered.drop(columns="number")
