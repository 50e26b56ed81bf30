"""Pipelines: `pipeline("occupation-prediction", model=FOLDER)` and `pipeline("career-forecast", model=FOLDER)`.

Without a folder they have the checkpoint that ships with the package. They take one career as a mapping, many as a
table or a list, or a stream of careers, and return labels with titles. Both call `forecast`: the next step of a career
is a forecast one step ahead, which is exact. Transformers' own pipelines make batches of tensors; here a batch is some
careers, which are one call of `forecast`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch.utils.data
from datasets import Dataset, DatasetDict, IterableDataset
from transformers import AutoModelForCausalLM, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .careers.columns import career_table, has_row_per_person, is_text, list_lengths, list_values, one_career
from .careers.frames import from_frame
from .careers.periods import period_column
from .careers.validation import validate
from .careers.wide_tables import column_names
from .encoding.checkpoints import as_checkpoint, class_of_kind, load_processor
from .encoding.processing_career import CareerProcessor
from .forecasting.forecast import forecast
from .forecasting.result import Forecast
from .models.shipped import SMALL, shipped
from .number_ranges import RANGES
from .occupations.crosswalks import titles_of
from .occupations.normalising import label_of


# Careers of a stream that are predicted together, unless a batch_size is given.
STREAM_BATCH = 64
FORECAST_ARGUMENTS = (
    ("horizon", "years", "step", "gap_covariate", "covariates", "carry_forward", "unknown_levels")
    + ("samples", "estimator", "exact_steps", "seed", "batch_tokens")
)  # fmt: skip


class CareerForecastPipeline(Pipeline):
    """Likely occupations in coming years, with any occupation model.

    Inputs are

    * one person's career: a mapping of `year`, `occupation` and the model's covariates to lists; a covariate that does
      not change may be a single value;
    * a list of such mappings; a person without a name is named by the place in the list;
    * a `datasets.Dataset` of such mappings;
    * a long table with columns person, year, occupation and the covariates (pandas, polars, Arrow), or careers;
    * a stream of such mappings: a generator or other iterator, a `datasets.IterableDataset`, or a dataset of PyTorch
      such as Transformers' `KeyDataset`. It is read as results are taken.

    Arguments of [`forecasting.forecast`] can be given when the pipeline is made or called, and also:

    Args:
        model: The model, or a folder, a Hub id or the name of a checkpoint that ships with the package, which brings
            its processor. `transformers.pipeline` takes a model, a folder or a Hub id.
        processor: The model's [`CareerProcessor`], or its folder or Hub id; a model that is given as a folder or Hub
            id brings its own. `feature_extractor` is another name for it.
        top_k: Number of occupations that are returned for each year, the likeliest first.
        batch_size: Number of careers that are predicted together, which does not change the predictions. Without it
            they are 64 of a stream and all of anything else, divided into calls of the model by `batch_tokens`.
        num_workers: Number of processes that read a list or a dataset of PyTorch; a stream is read by this process.
        device: As in `transformers.pipeline`.

    Returns:
        For a mapping one dict, for a stream an iterator, otherwise a list of one dict per person (for a table, sorted
        by person) with person and years, a list of dicts with year, stay_probability (the probability of the last
        observed occupation) and occupations, a list of dicts with occupation, title (None without one), probability
        and standard_error.

    Raises:
        ValueError: There is no processor, or as in `processor.encode` and `forecast`; the message names person, column
            and value.
    """

    feature_extractor: CareerProcessor
    processor: CareerProcessor  # type: ignore[assignment]
    # A processor is no `ProcessorMixin`, so Transformers loads it as a feature extractor. It must not insist on one,
    # because then it refuses a model object that is given with processor=.
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False
    _load_feature_extractor: Any = None
    _load_tokenizer: Any = False

    def __init__(self, model: Any, processor: Any = None, feature_extractor: Any = None, **kwargs: Any) -> None:
        processor = feature_extractor if processor is None else processor
        if isinstance(model, str | Path):
            model, processor = as_checkpoint(model, processor)
        class_of_kind(model.config.model_type, getattr(model, "name_or_path", type(model).__name__))
        processor = _processor_of(model, processor)
        super().__init__(model=model, processor=processor, feature_extractor=processor, **kwargs)  # type: ignore[arg-type]

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        unknown = sorted(set(kwargs) - set(FORECAST_ARGUMENTS))
        if unknown:
            raise ValueError(f"arguments {unknown} are not known: give top_k, or some of {list(FORECAST_ARGUMENTS)}")
        if top_k is not None:
            _check_count("top_k", top_k, "occupations")
        return {}, kwargs, {} if top_k is None else {"top_k": top_k}

    def __call__(  # type: ignore[override]
        self, inputs: Any, *, batch_size: int | None = None, num_workers: int | None = None, **kwargs: Any
    ) -> Any:
        """Predicts occupations; the class describes inputs and results."""
        if has_row_per_person(inputs) and not _names_people(inputs):
            inputs = inputs.to_list()
        batch_size = self._batch_size if batch_size is None else batch_size
        num_workers = (self._num_workers if num_workers is None else num_workers) or 0
        is_stream = isinstance(inputs, Iterator | IterableDataset | torch.utils.data.Dataset)
        if batch_size is not None:
            _check_count("batch_size", batch_size, "careers")
        if num_workers:
            _check_count("num_workers", num_workers, "processes")
        covariates = {**self._forward_params, **kwargs}.get("covariates")
        if (is_stream or batch_size) and not isinstance(covariates, str | None):
            raise ValueError(
                "covariates= is one table for everybody, who must be predicted together: give the careers as a list "
                "or table, and leave out batch_size"
            )
        if is_stream or isinstance(inputs, list | tuple):
            entries = _read(inputs, batch_size or STREAM_BATCH, num_workers)
            batches = self._batches(entries, batch_size or (STREAM_BATCH if is_stream else max(len(inputs), 1)))
        else:
            batches = _slices(self._careers_of_table(inputs), batch_size)
        # To Transformers a batch is one input, whose outputs are a list.
        results = chain.from_iterable(super().__call__(_Inputs(batches), num_workers=0, batch_size=1, **kwargs))
        if is_stream:
            return results
        predictions = list(results)
        return predictions[0] if isinstance(inputs, Mapping) and len(predictions) == 1 else predictions

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Saves the model and its processor; the code of the pipeline comes with this package."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def preprocess(self, input_: Any, **parameters: Any) -> dict[str, Any]:
        return {"careers": input_ if isinstance(input_, Dataset) else self._careers_of_entries(input_)}

    def _careers_of_table(self, table: Any) -> Dataset:
        """Careers from a long table or from one mapping; careers are returned unchanged."""
        if isinstance(table, DatasetDict):
            validate(table)  # raises: one split is needed
        if has_row_per_person(table):
            return table
        self.processor.warn_of_unused(table)
        covariates = self.processor.columns_of(table)
        unit = self.processor.time_unit
        frame = one_career(table, covariates, unit) if isinstance(table, Mapping) else table
        return from_frame(frame, year=period_column(column_names(frame), unit), covariates=covariates, unit=unit)

    def _batches(self, entries: Iterable[Any], batch_size: int) -> Iterator[list[Mapping[str, Any]]]:
        """Long tables of one person each, `batch_size` at a time."""
        places: dict[str, int] = {}
        batch: list[Mapping[str, Any]] = []
        for place, career in enumerate(entries):
            if not isinstance(career, Mapping):
                raise ValueError(
                    f"entry {place} is a {type(career).__name__}: give one mapping for each person, with lists of "
                    "years and occupations"
                )
            person = _name(career.get("person", place), place)
            if person in places:
                raise ValueError(
                    f"entries {places[person]} and {place} are both person {person!r}: an entry is a whole career; "
                    "give each a different name, or none, or pass the rows of a long table as one table"
                )
            places[person] = place
            try:
                self.processor.warn_of_unused(career)
                # Entries may differ in the optional covariates that they have.
                optional = dict.fromkeys(name for name in self.processor.optional_covariates if name != "year")
                whole = {**optional, **career, "person": person}
                batch.append(one_career(whole, self.processor.columns_of(whole), self.processor.time_unit))
            except ValueError as error:
                raise ValueError(f"entry {place}, person {person!r}: {error}") from error
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _careers_of_entries(self, entries: list[Mapping[str, Any]]) -> Dataset:
        """Careers in the order of the entries."""
        table = {name: list(chain.from_iterable(columns[name] for columns in entries)) for name in entries[0]}
        unit, covariates = self.processor.time_unit, self.processor.columns_of(table)
        careers = from_frame(table, year=period_column(table, unit), covariates=covariates, unit=unit)
        place = {columns["person"][0]: i for i, columns in enumerate(entries)}
        order = np.argsort([place[person] for person in careers["person"]])
        # Reading a dataset whose rows are rearranged takes longer than a model takes for one career.
        return careers if len(order) == 1 or (np.diff(order) > 0).all() else careers.select(order)

    def _forward(self, input_tensors: dict[str, Any], **forecast_arguments: Any) -> Any:
        careers = input_tensors["careers"]
        result = forecast(self.model, careers, self.processor, **forecast_arguments)
        table = career_table(careers)
        last = list_lengths(table, "occupation").cumsum() - 1
        return {
            "forecast": result,
            "last_occupations": list_values(table, "occupation").take(pa.array(last)).to_pylist(),
        }

    def postprocess(self, model_outputs: Any, top_k: Any = 5, **parameters: Any) -> list[dict[str, Any]]:
        result = model_outputs["forecast"]
        titles = titles_of(result.occupations)
        return [
            self._describe_person(result, row, last, top_k, titles)
            for row, last in enumerate(model_outputs["last_occupations"])
        ]

    def _describe_person(
        self, result: Forecast, row: int, last: str, top_k: int, titles: Mapping[str, str]
    ) -> dict[str, Any]:
        """The dict of one person, whose last observed occupation is `last`."""
        years = []
        for t, year in enumerate(result.labels[row].tolist()):
            probability, standard_error = result.probability[row, t], result.standard_error[row, t]
            likeliest = [
                {
                    "occupation": result.occupations[j],
                    "title": titles.get(result.occupations[j]),
                    "probability": float(probability[j]),
                    "standard_error": float(standard_error[j]),
                }
                for j in np.argsort(-probability, kind="stable")[:top_k]
            ]
            stay = float(probability[result.occupations.index(last)]) if last in result.occupations else None
            years.append({result.time_unit: year, "stay_probability": stay, "occupations": likeliest})
        return {"person": result.people[row], "years": years}


class OccupationPredictionPipeline(CareerForecastPipeline):
    """The exact prediction of the next occupation, one step of the model after each person's last year.

    Inputs and errors are those of [`CareerForecastPipeline`]. `covariates` may hold the covariates of the coming year;
    otherwise they keep their latest value.

    Returns:
        For a mapping one dict, otherwise a list of one dict per person: person, year, stay_probability, occupations.
    """

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        fixed = sorted({"horizon", "years", "samples", "estimator", "exact_steps", "seed"} & set(kwargs))
        if fixed:
            raise ValueError(f"the next step is exact and has no {fixed}: use pipeline('career-forecast', ...)")
        return super()._sanitize_parameters(top_k, **kwargs)

    def _forward(self, input_tensors: dict[str, Any], **forecast_arguments: Any) -> Any:
        return super()._forward(input_tensors, horizon=1, **forecast_arguments)

    def _describe_person(
        self, result: Forecast, row: int, last: str, top_k: int, titles: Mapping[str, str]
    ) -> dict[str, Any]:
        person = super()._describe_person(result, row, last, top_k, titles)
        return {"person": person["person"], **person["years"][0]}


def _check_count(name: str, value: Any, counted: str) -> None:
    """Raises a ValueError unless a number that counts something is whole and at least 1."""
    if not RANGES["k"].has(value):
        raise ValueError(f"{name} is {value!r}, and must be at least 1, a whole number: it counts {counted}")


def _names_people(dataset: Dataset) -> bool:
    """Whether each row of a dataset has the name of its person, as careers have, and not a list or nothing."""
    schema = dataset.data.schema
    return "person" in schema.names and is_text(schema.field("person").type)


def _processor_of(model: Any, processor: Any) -> CareerProcessor:
    """The processor that a pipeline is given, loaded where it is a folder or Hub id."""
    if isinstance(processor, str | Path):
        return load_processor(processor)
    if isinstance(processor, CareerProcessor):
        return processor
    reason = f"not a {type(processor).__name__}"
    if processor is None:
        reason, checkpoint = "and none is given", getattr(model, "name_or_path", "")
        try:
            # Transformers does not say why it could not load the processor of a checkpoint: loading it again does.
            if checkpoint:
                load_processor(checkpoint)
        except ValueError as error:
            reason = f"and that of its checkpoint cannot be loaded: {error}"
    raise ValueError(
        f"a pipeline needs the model's CareerProcessor, {reason}; pass processor=CareerProcessor.from_pretrained(...)"
    )


def _read(inputs: Any, batch_size: int, num_workers: int) -> Iterable[Any]:
    """The entries of a list or stream, in order."""
    is_dataset = isinstance(inputs, torch.utils.data.Dataset | list | tuple) and hasattr(inputs, "__len__")
    if not num_workers:
        # Not every dataset of PyTorch says where it ends when it is iterated.
        return (inputs[i] for i in range(len(inputs))) if is_dataset else iter(inputs)
    if not is_dataset:
        raise ValueError(
            f"num_workers is {num_workers}, and a {type(inputs).__name__} can only be read by one process: leave out "
            "num_workers"
        )
    workers: Any = torch.utils.data.DataLoader(inputs, batch_size, num_workers=num_workers, collate_fn=list)
    return chain.from_iterable(workers)


class _Inputs(torch.utils.data.IterableDataset):
    """Inputs that Transformers takes one after the other; before 5.23 it puts those of a generator into a list."""

    def __init__(self, inputs: Iterator[Any]) -> None:
        self.inputs = inputs

    def __iter__(self) -> Iterator[Any]:
        return self.inputs


def _slices(careers: Dataset, batch_size: int | None) -> Iterator[Dataset]:
    """Careers, `batch_size` at a time, or all together."""
    size = batch_size or max(len(careers), 1)
    for start in range(0, len(careers), size):
        yield careers.select(range(start, min(start + size, len(careers)))) if size < len(careers) else careers


def _name(person: Any, place: int) -> str:
    """The name of the person of one entry; a list names the same person in every year."""
    people = [person] if isinstance(person, str) or not hasattr(person, "__len__") else person
    names = {str(label_of(one)) for one in people}
    if len(names) != 1:
        raise ValueError(f"entry {place} has the people {sorted(names)}: an entry is one person's career")
    return names.pop()


__all__ = ["CareerForecastPipeline", "OccupationPredictionPipeline"]


for _task, _pipeline in {
    "career-forecast": CareerForecastPipeline,
    "occupation-prediction": OccupationPredictionPipeline,
}.items():
    PIPELINE_REGISTRY.register_pipeline(
        _task,
        _pipeline,
        pt_model=AutoModelForCausalLM,
        # The model of a pipeline that is given none.
        default={"model": (shipped(SMALL), None)},
        type="text",
    )
