"""What a forecast is: arrays of probabilities by person, year and occupation, and the frames and files they become."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..careers.atomic_files import complete
from ..careers.columns import make_dataset
from ..careers.periods import TIME_UNIT, period_label, period_labels, period_number, with_period_labels
from ..figures.forecasts import person_figure
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trajectories:
    """Sampled ways in which careers go on, each distinct one once.

    Args:
        person: `(paths,)`, places in the forecast's `people`, ascending.
        count: `(paths,)`, how many of the person's trajectories went this way.
        occupation: `(paths, horizon)`, places in the forecast's `occupations`.
    """

    person: np.ndarray
    count: np.ndarray
    occupation: np.ndarray


@dataclass(frozen=True, repr=False)
class Forecast(ReadableResult):
    """Probabilities of every occupation in coming years.

    Args:
        people: Identifiers, in the order of the careers.
        years: `(people, horizon)`, the forecast years.
        occupations: Labels.
        probability: `(people, horizon, occupations)`, float32. With `special` a row sums to one.
        standard_error: Likewise; of sampling trajectories, 0 where the probability is exact. It is estimated from the
            sample, which cannot know of rare paths that it does not hold, so it is too small for rare occupations.
        trajectories: The sampled trajectories, if they were asked for.
        histories: The careers that were continued, for figures; None in a forecast that was loaded from files.
        attrs: How the forecast was made: samples, seed, estimator and exact_steps; step, "observation" or "interval",
            step_length and gap_covariate, which say how gaps between years were treated; covariates, whether their
            coming values were the "last" ones, the "realised" ones or "given"; years_placed_at, the trained year that
            each year without training uses; carried_forward and advanced, for each covariate at how many steps;
            unknown_occupation, the label that stands for occupations which the model does not know, or None;
            time_unit, "month" or "quarter" where `years` are numbers of these.
        special: `(people, horizon)`, float32, the probability that the model gives to ids that are no occupations,
            given that all steps before were occupations. It is 0 but for models that keep these ids in their softmax,
            as the original program does (`config.special_tokens_in_softmax`). There it is not shared out among
            occupations, so that the first step has the probabilities of `evaluate`. With the estimator "frequency" it
            is 0 too, because what is drawn is always an occupation. None in forecasts saved before it was recorded.
        log_correction: As `probability`, what has to be added to the log of a probability: the log of an average over
            sampled trajectories is too low on average (`jackknife.py`). 0 where the probability is exact; None in
            forecasts saved before it was estimated.
        log_error: Likewise, the standard error of the corrected log.
        members: The forecasts of the members of an ensemble, of which this is the average; none of one model. Their
            differences say how uncertain the model is.
    """

    people: list[str]
    years: np.ndarray
    occupations: list[str]
    probability: np.ndarray
    standard_error: np.ndarray
    trajectories: Trajectories | None = None
    histories: Dataset | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    special: np.ndarray | None = None
    log_correction: np.ndarray | None = None
    log_error: np.ndarray | None = None
    members: tuple[Forecast, ...] = ()

    @property
    def time_unit(self) -> str:
        """What `years` count: "year", "quarter" or "month". Frames have a column of that name, with labels."""
        return str(self.attrs.get(TIME_UNIT, "year"))

    @property
    def labels(self) -> np.ndarray:
        """`(people, horizon)`, the forecast periods as people read them: `years`, or labels such as "1993-07"."""
        return period_labels(self.years, self.time_unit)

    @property
    def placed(self) -> dict[Any, Any]:
        """The trained year that each year without training uses; in other units their labels."""
        unit, placed = self.time_unit, self.attrs.get("years_placed_at", {})
        labels = {period_label(year, unit): period_label(at, unit) for year, at in placed.items()}
        return dict(placed) if unit == "year" else labels

    def to_frame(self) -> pd.DataFrame:
        """A row for each person, year and occupation: person, year, occupation, probability and standard_error.

        This is a large frame; those of `top` and `to_dataset` are smaller.
        """
        people, horizon, occupations = self.probability.shape
        frame = pd.DataFrame(
            {
                "person": _categories(np.repeat(np.arange(people), horizon * occupations), self.people),
                "year": np.repeat(self.years.ravel(), occupations).astype(np.int32),
                "occupation": _categories(np.tile(np.arange(occupations), people * horizon), self.occupations),
                "probability": self.probability.ravel(),
                "standard_error": self.standard_error.ravel(),
            }
        )
        frame = with_period_labels(frame, self.time_unit)
        frame.attrs = dict(self.attrs)
        return frame

    def top(self, k: int) -> pd.DataFrame:
        """The `k` likeliest occupations of every person and year.

        Returns:
            A row for each of them: person, year, rank (from 1), occupation, probability and standard_error.
        """
        people, horizon, occupations = self.probability.shape
        k = min(k, occupations)
        # Stable, so that ties are in the order of the occupations.
        best = np.argsort(-self.probability, axis=-1, kind="stable")[..., :k]
        frame = pd.DataFrame(
            {
                "person": _categories(np.repeat(np.arange(people), horizon * k), self.people),
                "year": np.repeat(self.years.ravel(), k).astype(np.int32),
                "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), people * horizon),
                "occupation": _categories(best.ravel(), self.occupations),
                "probability": np.take_along_axis(self.probability, best, axis=-1).ravel(),
                "standard_error": np.take_along_axis(self.standard_error, best, axis=-1).ravel(),
            }
        )
        return with_period_labels(frame, self.time_unit)

    @within_ranges
    def figure(self, person: str | None = None, realised: Mapping[Any, str] | None = None) -> Figure:
        """One person's past and forecast: years across, occupations down, probabilities in the cells.

        Args:
            person: Identifier of a person who is forecast; the first one unless given.
            realised: What became of the person, by year or by the label of the period; drawn as frames.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: The person is not forecast, or the forecast was loaded from files and holds no histories.
        """
        person = self.people[0] if person is None else person
        if person not in self.people:
            raise ValueError(f"person '{person}' is not among the {len(self.people)} who are forecast")
        unit = self.time_unit
        happened = {period_number(at, unit, "realised"): label for at, label in (realised or {}).items()}
        history = self.require_histories()[self.people.index(person)]
        return person_figure(self, person, history, happened, unit)

    def log_corrections(self) -> tuple[np.ndarray, np.ndarray]:
        """`log_correction` and `log_error`; to second order, from `standard_error`, where they were not recorded."""
        if self.log_correction is not None and self.log_error is not None:
            return self.log_correction, self.log_error
        p = self.probability
        relative = np.divide(self.standard_error, p, out=np.zeros_like(p), where=p > 0)
        return relative**2 / 2, relative

    def require_histories(self) -> Dataset:
        """The careers that were continued.

        Raises:
            ValueError: The forecast was loaded from files, which do not hold them.
        """
        if self.histories is None:
            raise ValueError("the forecast was loaded from files, which hold no histories: make it again")
        return self.histories

    def to_dataset(self) -> Dataset:
        """A row for each person and year: person, year, lists of the probability and standard_error of every
        occupation, in the order of `occupations`, and `special`, `log_correction` and `log_error`, if they were
        recorded."""
        return make_dataset(self._table())

    def save(self, folder: str | Path) -> None:
        """Saves `forecast.parquet` and, where there are trajectories, `trajectories.parquet`.

        The first has the rows of `to_dataset`; occupations and attrs are in the metadata of its schema. Histories are
        not saved. The members of an ensemble are saved likewise, each in a folder `member-0`, `member-1`, ... of its
        own.
        """
        for old in [*Path(folder).glob("member-*/*.parquet")]:
            old.unlink()
        for number, member in enumerate(self.members):
            member.save(Path(folder) / f"member-{number}")
        state = {"horizon": self.years.shape[1], "occupations": self.occupations, "attrs": self.attrs}
        with complete(Path(folder) / "forecast.parquet") as unfinished:
            pq.write_table(self._table().replace_schema_metadata({"career_hf": json.dumps(state)}), unfinished)
        (Path(folder) / "trajectories.parquet").unlink(missing_ok=True)
        if self.trajectories is not None:
            paths = self.trajectories
            columns = {"person": paths.person, "count": paths.count, "occupation": _lists(paths.occupation)}
            with complete(Path(folder) / "trajectories.parquet") as unfinished:
                pq.write_table(pa.table(columns), unfinished)

    @classmethod
    def load(cls, folder: str | Path) -> Forecast:
        """Loads what `save` saved."""
        table = pq.read_table(Path(folder) / "forecast.parquet").combine_chunks()
        state = json.loads(table.schema.metadata[b"career_hf"])
        attrs = state["attrs"]
        attrs["years_placed_at"] = {int(year): at for year, at in attrs.get("years_placed_at", {}).items()}
        horizon, occupations = state["horizon"], state["occupations"]
        shape = (-1, horizon, len(occupations))
        trajectories = None
        if (Path(folder) / "trajectories.parquet").exists():
            paths = pq.read_table(Path(folder) / "trajectories.parquet").combine_chunks()
            occupation = _array(paths["occupation"]).reshape(paths.num_rows, -1)
            trajectories = Trajectories(_array(paths["person"]), _array(paths["count"]), occupation)
        return cls(
            people=table["person"].to_pylist()[::horizon],
            years=_array(table["year"]).reshape(-1, horizon),
            occupations=occupations,
            probability=_array(table["probability"]).reshape(shape),
            standard_error=_array(table["standard_error"]).reshape(shape),
            trajectories=trajectories,
            attrs=attrs,
            members=tuple(cls.load(Path(folder) / f"member-{i}") for i in range(attrs.get("members", 0))),
            special=_array(table["special"]).reshape(-1, horizon) if "special" in table.column_names else None,
            **{
                name: _array(table[name]).reshape(shape)
                for name in ("log_correction", "log_error")
                if name in table.column_names
            },
        )

    def _table(self) -> pa.Table:
        horizon, occupations = self.probability.shape[1:]
        columns = {
            "person": pa.array(np.repeat(np.array(self.people, dtype=object), horizon), pa.string()),
            "year": pa.array(self.years.ravel(), pa.int32()),
            "probability": _lists(self.probability.reshape(-1, occupations)),
            "standard_error": _lists(self.standard_error.reshape(-1, occupations)),
        }
        for name in ("log_correction", "log_error"):
            values = getattr(self, name)
            if values is not None:
                columns[name] = _lists(values.reshape(-1, occupations))
        if self.special is not None:
            columns["special"] = pa.array(self.special.ravel(), pa.float32())
        return pa.table(columns)


def _categories(codes: np.ndarray, labels: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype="str"))


def _lists(matrix: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _array(column: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers, or of lists of them end to end."""
    values = column.combine_chunks()
    return (values.flatten() if pa.types.is_fixed_size_list(values.type) else values).to_numpy()
