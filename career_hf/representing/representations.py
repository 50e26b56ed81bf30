"""Representations of careers: h_t of every person-year, or each person's last, from any model that has them.

A model has representations if it has a method `represent`: CAREER, NEMO, Job2Vec and job representation learning.
Markov chains, the regression and the bag of jobs add up tables of scores, and have no vector from which all scores
follow.

There are two timings. `before` is the paper's h_t(y_{t-1}, x_t): occupations before year t, covariates up to t.
`including` also knows the occupation of year t: it is h of the career with y_t appended, at one further step whose
covariates are x_t once more, and never x_{t+1}. Neither uses anything after t.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel

from ..careers.columns import career_table, list_lengths, list_values, make_dataset
from ..careers.frames import as_careers
from ..careers.periods import period_labels, time_unit
from ..careers.shards import CareerShards
from ..encoding.checkpoints import as_checkpoint
from ..encoding.collating import EncodedCareers
from ..encoding.parts import PartFiles, files_of_parts, parts_of, read_part
from ..encoding.processing_career import CareerProcessor
from ..encoding.scoring_batches import scoring_batches
from ..number_ranges import within_ranges


Timing = Literal["before", "including"]
Steps = Literal["all", "last"]
Kind = Literal["array", "arrow", "dataset", "pandas"]
UnknownLevels = Literal["error", "missing"]

KIND = "representations"


@within_ranges
def representations(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    processor: CareerProcessor | None = None,
    *,
    split: str | None = None,
    timing: Timing = "before",
    steps: Steps = "all",
    kind: Kind = "array",
    batch_tokens: int | None = None,
    unknown_levels: UnknownLevels = "error",
) -> Any:
    """Representations of careers, in their order.

    Args:
        model: A model with a method `represent`, with its `processor`; or the folder or Hub id of a checkpoint, a pair
            (model, processor), or a result of training.
        careers: Careers, careers by split name, or a folder of them; labels, not ids.
        processor: The model's processor.
        split: Name of the split to represent; all splits together if None.
        timing: "before", h_t of the paper, which excludes the occupation of year t, or "including".
        steps: "all" person-years, or each person's "last".
        kind: Form of the result, see below.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.

    Returns:
        "array": float32 `(rows, hidden)`. "arrow" or "dataset": a `pyarrow.Table` or `datasets.Dataset` with columns
        person, year and representation, a list of `hidden` numbers; careers in quarters or months have their labels in
        a column of that name too. "pandas": a frame keyed by person and year (or the label of the quarter or month),
        with columns h0, h1, ...

    Raises:
        ValueError: The model has no representation, the processor is another model's, there is no such split, or a
            career cannot be encoded.
    """
    _check_option("timing", timing, Timing)
    _check_option("steps", steps, Steps)
    _check_option("kind", kind, Kind)
    model, processor = as_checkpoint(model, processor)
    careers = as_careers(careers, split)
    encoded = _encode(model, careers, processor, unknown_levels)
    values = _represent(model, encoded, timing, steps, batch_tokens)
    return values if kind == "array" else as_kind(keyed_table(careers, values, steps), kind)


@within_ranges
def save_representations(
    model: Any,
    careers: str | Path | Dataset | DatasetDict | CareerShards,
    processor: CareerProcessor | None,
    folder: str | Path,
    *,
    split: str | None = None,
    timing: Timing = "before",
    steps: Steps = "all",
    people_per_file: int = 20_000,
    batch_tokens: int | None = None,
    unknown_levels: UnknownLevels = "error",
) -> None:
    """Writes representations of any number of careers to Parquet files that `load_representations` reads.

    Careers in files (`CareerShards`, or a folder of Parquet files for each split) are read part by part. Every file is
    written atomically, so an interrupted run continues where it stopped. Each file records the model, the options and
    the careers that it was made from, and is used again only if these are the same.

    Args:
        model, careers, split, timing, steps, batch_tokens, unknown_levels: As in `representations`.
        processor: The model's processor; None if `model` has it too.
        folder: Destination folder.
        people_per_file: Number of careers in one file; memory grows with it. Careers in files are taken in whole row
            groups.

    Raises:
        ValueError: As in `representations`, or the folder has files of another model, other options or other careers.
    """
    _check_option("timing", timing, Timing)
    _check_option("steps", steps, Steps)
    model, processor = as_checkpoint(model, processor)
    files = PartFiles(folder, KIND, model, {"timing": timing, "steps": steps}, ["person", "year"])

    def represent(some: Dataset, encoded: EncodedCareers, which: str) -> pa.Table:
        values = _represent(model, encoded, timing, steps, batch_tokens, f"Representing careers, {which}")
        return keyed_table(some, values, steps)

    files.write(
        parts_of(careers, split, people_per_file),
        lambda some: _encode(model, some, processor, unknown_levels),
        represent,
    )


@within_ranges
def load_representations(folder: str | Path, kind: Kind = "array") -> Any:
    """Reads the files that `save_representations` wrote.

    Args:
        folder: The folder of the files.
        kind: As in `representations`; a "dataset" is memory-mapped, the others are held in memory.

    Raises:
        ValueError: The folder has no representations, or not all of them yet, or a file is damaged.
    """
    _check_option("kind", kind, Kind)
    paths = files_of_parts(folder, KIND, "save_representations")
    if kind == "dataset":
        # Parquet cannot be memory-mapped; the Arrow copy that can stays in the folder, not in the user's home.
        return Dataset.from_parquet([str(path) for path in paths], cache_dir=str(Path(folder) / ".arrow"))
    tables = [read_part(path, pq.read_table).replace_schema_metadata(None) for path in paths]
    return as_kind(pa.concat_tables(tables), kind)


def as_kind(table: pa.Table, kind: Kind) -> Any:
    """A table as `keyed_table` makes it, in one of the forms that `representations` returns."""
    if kind == "arrow":
        return table
    if kind == "dataset":
        return make_dataset({name: table[name] for name in table.column_names})
    values = np.array(list_values(table, "representation")).reshape(len(table), -1)  # a copy that can be written to
    if kind == "array":
        return values
    keys = table.select(table.column_names[:-1]).to_pandas()
    # Labels stand for the numbers of quarters and months.
    keys = keys[["person", keys.columns[-1]]]
    return pd.DataFrame(values, index=pd.MultiIndex.from_frame(keys), columns=names_of(values.shape[1]))


def names_of(size: int) -> list[str]:
    """The names of a representation's numbers: h0, h1, ..."""
    return [f"h{i}" for i in range(size)]


def _encode(
    model: PreTrainedModel, careers: Dataset, processor: CareerProcessor, unknown_levels: UnknownLevels
) -> EncodedCareers:
    if not hasattr(model, "represent"):
        raise ValueError(
            f"{type(model).__name__} has no representation of careers: it has no method represent. Take CAREER, NEMO, "
            "Job2Vec or job representation learning"
        )
    processor.check(model.config)
    return EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])


def _represent(
    model: Any,
    careers: EncodedCareers,
    timing: Timing,
    steps: Steps,
    batch_tokens: int | None,
    description: str = "Representing careers",
) -> np.ndarray:
    """float32 `(rows, hidden)`; the model is in eval mode meanwhile."""
    values: np.ndarray | None = None
    tokens = 1 if timing == "before" else 2
    for batch in scoring_batches(model, careers, batch_tokens, tokens_per_step=tokens, description=description):
        appended = batch.labels.clamp(min=0) if timing == "including" else None
        with torch.inference_mode():
            hidden = model.represent(batch.inputs["input_ids"], batch.inputs.get("covariates"), appended)
        if steps == "all":
            rows, hidden = batch.places, hidden[batch.real]
        else:
            rows, hidden = batch.people, hidden[torch.arange(len(hidden), device=hidden.device), batch.last_steps]
        if values is None:
            size = int(careers.lengths.sum()) if steps == "all" else len(careers)
            values = np.empty((size, hidden.shape[-1]), dtype=np.float32)
        values[rows] = hidden.float().cpu().numpy()
    if values is None:
        raise ValueError("there are no careers to represent")
    return values


def keyed_table(careers: Dataset, values: np.ndarray, steps: Steps) -> pa.Table:
    """Columns person, year, of careers in quarters or months also the label of the period, and representation."""
    unit = time_unit(careers)
    table = career_table(careers.select_columns(["person", "year"]))
    lengths = list_lengths(table, "year")
    rows = np.arange(lengths.sum()) if steps == "all" else lengths.cumsum() - 1
    people = np.repeat(np.arange(len(lengths)), lengths)[rows]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    year = list_values(table, "year").take(pa.array(rows))
    columns = {"person": table["person"].take(pa.array(people)), "year": year}
    if unit != "year":
        columns[unit] = pa.array(period_labels(year, unit), pa.string())
    return pa.table(columns | {"representation": lists})


def _check_option(name: str, value: str, options: Any) -> None:
    if value not in get_args(options):
        raise ValueError(f"{name} is one of {', '.join(get_args(options))}, not {value!r}")


__all__ = ["load_representations", "representations", "save_representations"]
