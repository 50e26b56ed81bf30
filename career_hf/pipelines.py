"""Pipelines: `pipeline("occupation-prediction", model=FOLDER)` and `pipeline("career-forecast", model=FOLDER)`.

They take one career as a mapping, several as a list of mappings, or people as a long table, and give labels with
titles. Both are `forecast`: the next step of a career is a forecast one step ahead, which is exact. Everybody in a
list or table is one call, cut into batches of `batch_tokens` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoModelForCausalLM, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .careers.columns import is_list, one_career
from .careers.frames import from_frame


if TYPE_CHECKING:
    from datasets import Dataset

    from .forecasting.result import Forecast

FORECAST_ARGUMENTS = (
    ("horizon", "years", "step", "gap_covariate", "covariates", "carry_forward", "unknown_levels")
    + ("samples", "estimator", "exact_steps", "seed", "batch_tokens")
)  # fmt: skip


class CareerForecastPipeline(Pipeline):
    """Likely occupations in coming years, with any occupation model.

    Inputs are one person's career (a mapping of `year`, `occupation` and the model's covariates to lists; what does
    not change may be a single value), a list of such mappings, a long table with columns person, year, occupation and
    the covariates, or careers. Every argument of [`forecasting.forecast`] can be given, when the pipeline is made or
    called, and:

    Args:
        top_k: Occupations of each year, the likeliest first.

    Returns:
        For a mapping one dict, otherwise a list of one dict per person (in a table's case sorted by person): person,
        and years, a list of dicts with year, stay_probability (that of the last observed occupation) and occupations,
        a list of dicts with occupation, title (null without one), probability and standard_error.

    Raises:
        ValueError: As `processor.encode` and `forecast`; the message names person, column and value.
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
        """Predicts; see the class."""
        if isinstance(inputs, list | tuple):
            # One call for all, where Transformers would make one for each.
            return super().__call__({"several": list(inputs)}, **kwargs) if inputs else []
        found = super().__call__({"given": inputs}, **kwargs)
        return found[0] if isinstance(inputs, Mapping) and len(found) == 1 else found

    def preprocess(self, input_: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        careers = self._careers(input_["given"]) if "given" in input_ else self._several(input_["several"])
        return {"careers": careers}

    def _careers(self, given: Any) -> Dataset:
        if hasattr(given, "features") and is_list(given.features.arrow_schema.field("occupation").type):
            return given
        covariates = [name for name in self.feature_extractor.covariate_names if name != "year"]
        return from_frame(
            one_career(given, covariates) if isinstance(given, Mapping) else given, covariates=covariates
        )

    def _several(self, given: list[Any]) -> Dataset:
        """Careers in the order in which they were given; who has no name is called by place."""
        covariates = [name for name in self.feature_extractor.covariate_names if name != "year"]
        table: dict[str, list[Any]] = {}
        people: dict[str, int] = {}
        for place, career in enumerate(given):
            if not isinstance(career, Mapping):
                raise ValueError(
                    f"entry {place} of the list is a {type(career).__name__}: a list holds one mapping for each "
                    "person, with lists of years and occupations"
                )
            columns = one_career({**career, "person": str(career.get("person", place))}, covariates)
            person = columns["person"][0]
            if person in people:
                raise ValueError(
                    f"entries {people[person]} and {place} of the list are both person {person!r}: give each a name "
                    "of its own, or none; an entry without a name is called by its place"
                )
            people[person] = place
            for name, values in columns.items():
                table.setdefault(name, []).extend(values)
        careers = from_frame(table, covariates=covariates)
        return careers.select(np.argsort([people[person] for person in careers["person"]]))

    def _forward(self, input_tensors: dict[str, Any], **forecast_arguments: Any) -> Any:
        from .forecasting.forecast import forecast

        careers = input_tensors["careers"]
        found = forecast(self.model, careers, self.feature_extractor, **forecast_arguments)
        return {"forecast": found, "last": [career[-1] for career in careers["occupation"]]}

    def postprocess(self, model_outputs: Any, top_k: Any = 5, **parameters: Any) -> list[dict[str, Any]]:
        from .occupations.crosswalks import titles_of

        found, last = model_outputs["forecast"], model_outputs["last"]
        titles = titles_of(found.occupations)
        return [self._person(found, i, last[i], top_k, titles) for i in range(len(found.people))]

    def _person(self, found: Forecast, i: int, last: str, top_k: int, titles: Mapping[str, str]) -> dict[str, Any]:
        """What is said of one person."""
        years = []
        for t, year in enumerate(found.years[i].tolist()):
            p, error = found.probability[i, t], found.standard_error[i, t]
            likeliest = [
                {
                    "occupation": found.occupations[j],
                    "title": titles.get(found.occupations[j]),
                    "probability": float(p[j]),
                    "standard_error": float(error[j]),
                }
                for j in np.argsort(-p, kind="stable")[:top_k]
            ]
            stay = float(p[found.occupations.index(last)]) if last in found.occupations else None
            years.append({"year": year, "stay_probability": stay, "occupations": likeliest})
        return {"person": found.people[i], "years": years}


class OccupationPredictionPipeline(CareerForecastPipeline):
    """The next occupation, one step of the model after each person's last year; exact.

    Inputs and errors as in [`CareerForecastPipeline`]. `covariates` may hold the values of that year; those that
    change keep their latest value otherwise.

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

    def _person(self, found: Forecast, i: int, last: str, top_k: int, titles: Mapping[str, str]) -> dict[str, Any]:
        person = super()._person(found, i, last, top_k, titles)
        return {"person": person["person"], **person["years"][0]}


__all__ = ["CareerForecastPipeline", "OccupationPredictionPipeline"]


for _task, _pipeline in {
    "career-forecast": CareerForecastPipeline,
    "occupation-prediction": OccupationPredictionPipeline,
}.items():
    PIPELINE_REGISTRY.register_pipeline(_task, _pipeline, pt_model=AutoModelForCausalLM, type="text")
