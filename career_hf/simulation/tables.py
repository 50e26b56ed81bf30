"""Tables of log-odds by observed cells, which make the law of a simulated market like that of a survey.

The law of a `WorldConfig` has few numbers, drawn values and smooth functions, and no survey is like that. `LawTables`
adds one number for each cell: how staying changes with years in the occupation and with the calendar, which broad
groups people move between, how strongly earlier occupations draw them back. Every cell is made of what is observed
before the step, or of the occupation itself, never of the latent type: the exact filter is exact with any tables.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..occupations.labels import EDUCATION, GENDERS


# Rows and columns of tables that go by the state of the last wave: an occupation, then the three states without work.
KINDS = 4
NONE = -1  # no occupation yet
# Classes of movers beside an occupation: the states without work.
CLASSES = 3


@dataclass(frozen=True)
class LawTables:
    """Log-odds by cell, added to those of the law; J occupations, G broad groups.

    Origins are the group of the last wave's occupation, the three states without work, and the first wave: G + 4 rows.
    Classes of a whole number are given by their first values: `(1, 2, 5)` are 1, 2 to 4, and 5 or more; what is below
    the first belongs to it.

    Args:
        group: `(J,)`, broad group of each occupation, numbered from 0.
        size: `(J,)`, log-size of each occupation, instead of a drawn one.
        gender_typing: `(J,)`, log-size among women minus that among men, instead of a drawn one.
        years, durations, held, since, waves: First values of the Y, D, H, S and W classes of calendar year, years in
            the present occupation or state, other occupations held before, years since an occupation was last held,
            and waves in which it was held.
        stay_by_duration: `(4, D)`, staying, by kind of state.
        stay_by_year: `(2, 4, Y)`, staying, by gender and kind of state.
        stay_by_group: `(G,)`, staying in an occupation.
        move_by_origin: `(G + 4, 3)`, the states without work against the occupations, of those who do not stay.
        move_by_year: `(2, Y, 3)`, the same by gender.
        move_by_education: `(5, 3)`, the same by level of education.
        flow: `(G + 4, G)`, which broad group, by origin.
        education_flow: `(5, G)`, which broad group, by level of education.
        return_by_held, return_by_since, return_by_waves: `(H,)`, `(S,)`, `(W,)`, whose sum, times the world's
            `return_strength`, draws people to each occupation that they held before, instead of
            log(1 + waves held) exp(-return_decay years since).
        recall: Added to that sum for the last occupation of people without work.
        rise_by_year: `(2, Y)`, completing a level of education within a year, after a wave in school and after any
            other, instead of `education_progress`.
    """

    group: tuple[int, ...]
    size: tuple[float, ...]
    gender_typing: tuple[float, ...]
    years: tuple[int, ...]
    durations: tuple[int, ...]
    held: tuple[int, ...]
    since: tuple[int, ...]
    waves: tuple[int, ...]
    stay_by_duration: tuple[tuple[float, ...], ...]
    stay_by_year: tuple[tuple[tuple[float, ...], ...], ...]
    stay_by_group: tuple[float, ...]
    move_by_origin: tuple[tuple[float, ...], ...]
    move_by_year: tuple[tuple[tuple[float, ...], ...], ...]
    move_by_education: tuple[tuple[float, ...], ...]
    flow: tuple[tuple[float, ...], ...]
    education_flow: tuple[tuple[float, ...], ...]
    return_by_held: tuple[float, ...]
    return_by_since: tuple[float, ...]
    return_by_waves: tuple[float, ...]
    recall: float
    rise_by_year: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _tuples(getattr(self, f.name)))
        arrays, groups = self.arrays(), max(self.group, default=-1) + 1
        years, origins = len(self.years), groups + KINDS
        shapes = {
            "size": (len(self.group),),
            "gender_typing": (len(self.group),),
            "stay_by_duration": (KINDS, len(self.durations)),
            "stay_by_year": (len(GENDERS), KINDS, years),
            "stay_by_group": (groups,),
            "move_by_origin": (origins, CLASSES),
            "move_by_year": (len(GENDERS), years, CLASSES),
            "move_by_education": (len(EDUCATION), CLASSES),
            "flow": (origins, groups),
            "education_flow": (len(EDUCATION), groups),
            "return_by_held": (len(self.held),),
            "return_by_since": (len(self.since),),
            "return_by_waves": (len(self.waves),),
            "recall": (),
            "rise_by_year": (2, years),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ValueError(
                    f"{name} of the tables needs finite numbers of shape {shape}, not {arrays[name].shape}"
                )
        for name in ("years", "durations", "held", "since", "waves"):
            if not len(arrays[name]) or (np.diff(arrays[name]) <= 0).any():
                raise ValueError(f"{name} of the tables must increase and not be empty, not {getattr(self, name)}")

    def arrays(self) -> dict[str, np.ndarray]:
        """Every table by name; `group` and first values of classes are int64, the others float64."""
        whole = ("group", "years", "durations", "held", "since", "waves")
        return {
            f.name: np.array(getattr(self, f.name), dtype=np.int64 if f.name in whole else np.float64)
            for f in fields(self)
        }

    def to_dict(self) -> dict[str, Any]:
        """The tables by name, ready for JSON; `LawTables(**d)` reads it."""
        return {name: _lists(value) for name, value in asdict(self).items()}


def class_of(values: np.ndarray, first_values: np.ndarray) -> np.ndarray:
    """The class of each whole number, from the first values of all classes."""
    return np.maximum(np.searchsorted(first_values, values, side="right") - 1, 0)


def origins(previous: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The row of tables that go by origin, from `(people,)` states of the last wave and the `(J,)` groups."""
    groups = group.max() + 1
    rows = np.r_[group, groups + np.arange(KINDS)]  # of occupations, states without work, and the first wave
    return rows[np.where(previous == NONE, len(rows) - 1, previous)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple) else value
