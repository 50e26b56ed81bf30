"""What the Space says about one career, for any occupation model of the package; nothing here knows of the layout.

A career is a mapping of lists of one length, as the pipelines take it: `year`, `occupation`, the model's covariates.
The lists of a visitor come from outside, so `check` bounds what they hold before anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import pipeline

import career_hf  # noqa: F401  # registers the models and the pipelines
from career_hf.careers import from_frame
from career_hf.careers.columns import one_career
from career_hf.encoding.vocabulary import MISSING
from career_hf.explaining.rationales import rationales
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.result import Forecast
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.shipped import shipped
from career_hf.occupations.crosswalks import in_words


MOST_YEARS, MOST_AHEAD, MOST_SAMPLES, LONGEST_LABEL = 60, 10, 500, 200
FIRST_YEAR, LAST_YEAR = 1, 9999
MOST_MOVES = 8
PERSON = "entered here"

Career = dict[str, list]


class CareerPredictor:
    """A checkpoint that answers for one career at a time; others wait, because forecasts exchange its attention.

    Args:
        checkpoint: Folder, Hub id or name of an occupation model with its processor.

    Attributes:
        covariates: The model's covariates but the year, in its order.
        occupations: Labels, the most frequent first.
        names: What each occupation is called: its label, with its title where it is an occ1990dd code.
        trained_years: Years that the model was trained on, ascending; empty where the year is no covariate.
    """

    def __init__(self, checkpoint: str) -> None:
        self.predict = pipeline(
            "occupation-prediction", model=shipped(checkpoint), device="cpu", trust_remote_code=False
        )
        self.model, self.processor = self.predict.model, self.predict.feature_extractor
        self.lock = Lock()
        self.covariates = [name for name in self.processor.covariate_names if name != "year"]
        self.occupations = self.processor.occupation_labels
        self.names = in_words(self.occupations)
        timed = self.processor.time_covariate is not None
        self.trained_years = sorted(int(year) for year in self.levels("year") if year != MISSING) if timed else []

    def levels(self, covariate: str) -> list[str]:
        """Levels of a covariate that training saw; missing is the last, where training saw it."""
        place = self.processor.covariate_names.index(covariate)
        levels = self.processor.covariate_levels[place]
        if not self.processor.training_stages:
            return levels[1:]
        counts = self.processor.trained_counts()[1][place]
        return [levels[i] for i in [*range(1, len(levels)), 0] if counts[i] > 0]

    def empty(self) -> Career:
        """A career without a year."""
        return {name: [] for name in ("year", "occupation", *self.covariates)}

    def check(self, career: Any) -> Dataset:
        """A visitor's career as careers of one person.

        Raises:
            ValueError: The career is empty, too long, or holds what a career does not; or as `from_frame` and
                `one_career`. Whether the model knows its labels is found when it is encoded.
        """
        if not isinstance(career, Mapping):
            raise ValueError(f"a career is a mapping of lists, {list(self.empty())}, not a {type(career).__name__}")
        unknown = [str(name)[:LONGEST_LABEL] for name in career if name not in self.empty()]
        if unknown:
            raise ValueError(
                f"the career has '{unknown[0]}', which the model does not know: give {list(self.empty())}"
            )
        for name, values in career.items():
            values = values if isinstance(values, list) else [values]
            if len(values) > MOST_YEARS:
                raise ValueError(f"'{name}' has {len(values)} values: a career has at most {MOST_YEARS} years here")
            for value in values:
                self._check_value(name, value)
        if not career.get("year") or not career.get("occupation"):
            raise ValueError("the career is empty: add a year with its occupation first")
        return from_frame(one_career({**career, "person": PERSON}, self.covariates), covariates=self.covariates)

    def _check_value(self, name: str, value: Any) -> None:
        if name == "year":
            whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
            if value is None:
                raise ValueError("there is no year: enter one, such as 1985")
            if not whole or not FIRST_YEAR <= value <= LAST_YEAR:
                raise ValueError(f"year {str(value)[:LONGEST_LABEL]!r} is not a whole number such as 1985; correct it")
            if self.trained_years and value not in self.trained_years:
                raise ValueError(
                    f"year {value} is none of the years that the model was trained on, {self.trained_years[0]} to "
                    f"{self.trained_years[-1]}: enter one of them"
                )
        elif name == "occupation" and value in (None, ""):
            raise ValueError("a year has no occupation: choose one")
        elif value is not None and (not isinstance(value, str) or len(value) > LONGEST_LABEL):
            raise ValueError(
                f"'{name}' has the value {str(value)[:LONGEST_LABEL]!r}, which is not text of at most {LONGEST_LABEL} "
                "characters; correct it"
            )

    def add_year(self, career: Career, year: Any, occupation: str | None, levels: list[str | None]) -> Career:
        """The career with one more year in its place, or with that year's occupation and covariates replaced.

        Raises:
            ValueError: As `check`, or the model does not know a label.
        """
        row = dict(zip(self.empty(), [year, occupation, *levels], strict=True))
        for name, value in row.items():
            self._check_value(name, value)
            if name in self.covariates and value is None and MISSING not in self.levels(name):
                raise ValueError(f"year {int(year)} has no {name}, and the model never saw it missing: choose a level")
        row["year"] = int(year)
        added = self.remove_year(career, year)
        place = int(np.searchsorted(added["year"], row["year"]))
        for name, value in row.items():
            added[name].insert(place, value)
        self.processor.encode(self.check(added))
        return added

    def remove_year(self, career: Career, year: Any) -> Career:
        """The career without a year."""
        kept = [i for i, own in enumerate(career["year"]) if own != year]
        return {name: [values[i] for i in kept] for name, values in career.items()}

    def next_year(self, career: Career, top_k: int | None = None) -> dict[str, Any]:
        """What the pipeline "occupation-prediction" says of a career: year, stay_probability and occupations."""
        careers = self.check(career)
        with self.lock:
            return self.predict(careers, top_k=top_k or len(self.occupations))[0]

    def moves(self, career: Career, predicted: Mapping[str, Any]) -> pd.DataFrame:
        """The likeliest moves of what `next_year` returns with all occupations.

        Returns:
            Columns occupation, name, probability, and if_moving, the probability given a move.
        """
        found = pd.DataFrame(predicted["occupations"])
        found = found[found["occupation"] != career["occupation"][-1]]
        found["if_moving"] = found["probability"] / found["probability"].sum()
        found.insert(1, "name", found["occupation"].map(self.names))
        return found[["occupation", "name", "probability", "if_moving"]].head(MOST_MOVES).reset_index(drop=True)

    def forecast(self, career: Career, horizon: Any = 5, samples: Any = 200) -> Forecast:
        """The coming years; the same draws every time.

        Raises:
            ValueError: As `check` and `forecast`, or more years or trajectories are asked for than there may be.
        """
        for name, value, least, most in [("horizon", horizon, 1, MOST_AHEAD), ("samples", samples, 2, MOST_SAMPLES)]:
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {str(value)[:LONGEST_LABEL]}: give a whole number from {least} to {most}")
        careers = self.check(career)
        with self.lock:
            return forecast(self.model, careers, self.processor, horizon=horizon, samples=samples)

    def rationale(self, career: Career) -> tuple[pd.DataFrame, Career, str]:
        """Which years are enough for the likeliest move of the coming year (the paper's rule, found greedily).

        Where the model was not trained on the coming year, the last year of the career is explained instead: a
        rationale needs a year that has an embedding of its own.

        Returns:
            Rows of `rationales`; the career up to the explained year; and in words what the rows say.

        Raises:
            ValueError: As `check`, or there is no rationale; the message says why.
        """
        careers = self.check(career)
        if not isinstance(self.model, CareerForOccupationPrediction):
            raise ValueError(
                f"This model is no CAREER ({type(self.model).__name__}). Rationales ask a model what it predicts from "
                "a few years of a career, and only CAREER can be told where in the career those years stood."
            )
        coming = careers["year"][0][-1] + self.processor.step_length
        said = ""
        shown = {name: list(values) for name, values in careers[0].items() if name in career}
        if not self.trained_years or coming in self.trained_years:
            # Its occupation is not looked at, because what is explained is the likeliest move.
            shown = {name: [*values, coming if name == "year" else values[-1]] for name, values in shown.items()}
        elif len(shown["year"]) > 1:
            last = shown["year"][-1]
            said = f"The model was not trained on {coming}, so what it would have predicted for {last} is explained. "
        else:
            raise ValueError(
                f"The model was not trained on {coming}, and one year is too few to explain: add another."
            )
        steps = {"person": [PERSON], "year": [shown["year"][-1]]}
        with self.lock:
            found = rationales(self.model, self.check(shown), self.processor, steps=steps).to_frame()
        return found, shown, said + self._in_words(found)

    def _in_words(self, found: pd.DataFrame) -> str:
        last = found.iloc[-1]
        years = ", ".join(
            f"{row['rationale_year']} ({self.names.get(row['rationale_occupation'], row['rationale_occupation'])})"
            for _, row in found.sort_values("rationale_step").iterrows()
        )
        target, several = self.names[last["target"]], len(found) > 1
        return (
            f"If this person moves in {last['year']}, the likeliest occupation is **{target}**, with probability "
            f"{last['whole_probability']:.0%} given the {last['step']} years before. "
            f"{'These years are' if several else 'The latest year alone is'} "
            f"{'enough' if last['complete'] else 'not enough'} to make it the likeliest ({last['probability']:.0%}): "
            f"{years}."
        )

    @property
    def job_dropout_note(self) -> str:
        """What is said beside rationales where the model was not trained with job dropout, or it is not known."""
        stages = self.processor.training_stages
        drawn = [stage.get("run", {}).get("settings", {}).get("job_dropout") for stage in stages]
        if any(drawn):
            return ""
        how = "It is not recorded whether this model was" if None in drawn or not drawn else "This model was not"
        return (
            f"**{how} trained with job dropout.** It may never have been asked what it predicts from a few years "
            "of a career, so take this rationale with caution."
        )
