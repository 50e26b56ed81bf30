"""Pipelines: `pipeline("occupation-prediction", model=FOLDER)` and `pipeline("career-forecast", model=FOLDER)`.

They take one career as a mapping, several careers as a list of mappings, or many as a long table, and return labels
with titles. Both call `forecast`: the next step of a career is a forecast one step ahead, which is exact. A list or
table is one call of `forecast`, which divides it into batches of `batch_tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoModelForCausalLM, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .careers.columns import is_list, one_career
from .careers.frames import from_frame
from .forecasting.forecast import forecast
from .forecasting.result import Forecast
from .occupations.crosswalks import titles_of


FORECAST_ARGUMENTS = (
    ("horizon", "years", "step", "gap_covariate", "covariates", "carry_forward", "unknown_levels")
    + ("samples", "estimator", "exact_steps", "seed", "batch_tokens")
)  # fmt: skip


class CareerForecastPipeline(Pipeline):
    """Likely occupations in coming years, with any occupation model.

    Inputs are one person's career (a mapping of `year`, `occupation` and the model's covariates to lists; a covariate
    that does not change may be a single value), a list of such mappings, a long table with columns person, year,
    occupation and the covariates, or careers. Arguments of [`forecasting.forecast`] can be given when the pipeline is
    made or called, and also:

    Args:
        top_k: Number of occupations that are returned for each year, the likeliest first.

    Returns:
        For a mapping one dict, otherwise a list of one dict per person (for a table, sorted by person) with person and
        years, a list of dicts with year, stay_probability (the probability of the last observed occupation) and
        occupations, a list of dicts with occupation, title (None without one), probability and standard_error.

    Raises:
        ValueError: As in `processor.encode` and `forecast`; the message names person, column and value.
    """

    feature_extractor: Any  # a CareerProcessor
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_video_processor: Any = False
    _load_feature_extractor: Any = True
    _load_tokenizer: Any = False

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        unknown = sorted(set(kwargs) - set(FORECAST_ARGUMENTS))
        if unknown:
            raise ValueError(f"arguments {unknown} are not known: give top_k, or some of {list(FORECAST_ARGUMENTS)}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}, and must be at least 1")
        return {}, kwargs, {} if top_k is None else {"top_k": top_k}

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Predicts occupations; the class describes inputs and results."""
        if isinstance(inputs, list | tuple):
            # One call for the whole list; Transformers would make one call for each entry.
            return super().__call__({"list": list(inputs)}, **kwargs) if inputs else []
        predictions = super().__call__({"table": inputs}, **kwargs)
        return predictions[0] if isinstance(inputs, Mapping) and len(predictions) == 1 else predictions

    def preprocess(self, input_: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        if "list" in input_:
            return {"careers": self._careers_of_list(input_["list"])}
        return {"careers": self._careers_of_table(input_["table"])}

    def _careers_of_table(self, table: Any) -> Dataset:
        """Careers from a long table or from one mapping; careers are returned unchanged."""
        if isinstance(table, Dataset) and is_list(table.features.arrow_schema.field("occupation").type):
            return table
        covariates = [name for name in self.feature_extractor.covariate_names if name != "year"]
        frame = one_career(table, covariates) if isinstance(table, Mapping) else table
        return from_frame(frame, covariates=covariates)

    def _careers_of_list(self, entries: list[Any]) -> Dataset:
        """Careers in the order of the list; a person without a name is named by the place in the list."""
        covariates = [name for name in self.feature_extractor.covariate_names if name != "year"]
        table: dict[str, list[Any]] = {}
        people: dict[str, int] = {}
        for place, career in enumerate(entries):
            if not isinstance(career, Mapping):
                raise ValueError(
                    f"entry {place} of the list is a {type(career).__name__}: a list holds one mapping for each "
                    "person, with lists of years and occupations"
                )
            columns = one_career({**career, "person": str(career.get("person", place))}, covariates)
            person = columns["person"][0]
            if person in people:
                raise ValueError(
                    f"entries {people[person]} and {place} of the list are both person {person!r}: give each "
                    "a different name, or none; an entry without a name is named by its place"
                )
            people[person] = place
            for name, values in columns.items():
                table.setdefault(name, []).extend(values)
        careers = from_frame(table, covariates=covariates)
        return careers.select(np.argsort([people[person] for person in careers["person"]]))

    def _forward(self, input_tensors: dict[str, Any], **forecast_arguments: Any) -> Any:
        careers = input_tensors["careers"]
        result = forecast(self.model, careers, self.feature_extractor, **forecast_arguments)
        return {"forecast": result, "last_occupations": [career[-1] for career in careers["occupation"]]}

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
        for t, year in enumerate(result.years[row].tolist()):
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
            years.append({"year": year, "stay_probability": stay, "occupations": likeliest})
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


__all__ = ["CareerForecastPipeline", "OccupationPredictionPipeline"]


for _task, _pipeline in {
    "career-forecast": CareerForecastPipeline,
    "occupation-prediction": OccupationPredictionPipeline,
}.items():
    PIPELINE_REGISTRY.register_pipeline(_task, _pipeline, pt_model=AutoModelForCausalLM, type="text")
