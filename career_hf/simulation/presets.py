"""Worlds and surveys by name, and controls, in which one mechanism of the world is switched off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..number_ranges import within_ranges
from .resumes import ResumeConfig
from .survey import Simulation, SurveyConfig, simulate
from .world import World, WorldConfig


@dataclass(frozen=True)
class Preset:
    """A world and the way in which it is surveyed.

    Args:
        world: Numbers of the world.
        survey: Numbers of the survey.
    """

    world: WorldConfig
    survey: SurveyConfig

    @within_ranges
    def simulate(self, people: int | None = None, seed: int = 0) -> Simulation:
        """Draws careers.

        Args:
            people: Number of people drawn; by default that of the preset.
            seed: Random seed for drawing people.

        Raises:
            ValueError: `people` or `seed` is no whole number, or out of its range.
        """
        survey = self.survey if people is None else replace(self.survey, people=people)
        return simulate(World.build(self.world), survey, seed=seed)

    def with_world(self, **numbers: Any) -> Preset:
        """The preset with some numbers of the world changed."""
        return replace(self, world=replace(self.world, **numbers))

    def with_survey(self, **numbers: Any) -> Preset:
        """The preset with some numbers of the survey changed."""
        return replace(self, survey=replace(self.survey, **numbers))

    def to_dict(self) -> dict[str, Any]:
        """All numbers, ready for JSON."""
        return {"world": self.world.to_dict(), "survey": self.survey.to_dict()}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Mapping[str, Any]]) -> Preset:
        """A preset from what `to_dict` gave, as the study `market-fit` writes it for any survey.

        Raises:
            ValueError: If numbers are missing, unknown or impossible.
        """
        try:
            return cls(WorldConfig(**numbers["world"]), SurveyConfig(**numbers["survey"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are not the numbers of a preset, as `to_dict` gives them: {error}") from error


SURVEY = Preset(WorldConfig(), SurveyConfig())
TINY = Preset(
    WorldConfig(occupations=24, families=6, types=4, skills=3, recipes=3, last_year=1992, nearness=0.4),
    SurveyConfig(people=500, last_annual_year=1984, fewest_waves=3, most_waves=9, skipped=0.05),
)
# The five states of Keane and Wolpin's men (out of the labor force is "home"), in shares like theirs.
KEANE_WOLPIN = Preset(
    WorldConfig(
        seed=291,
        occupations=3,
        families=3,
        types=4,
        skills=2,
        recipes=0,
        first_birth_year=1961,
        last_birth_year=1964,
        last_year=2012,
        occupation_labels=("white_collar", "blue_collar", "military"),
        size_sd=1.5,
        attachment_sd=0.6,
        stay_occupation=0.7,
        stay_out=-0.6,
        stay_school=0.3,
        move_unemployed=-1000.0,
        move_out=-1.3,
        move_school=-1.9,
        first_school=2.0,
        nearness=0.6,
        ladder=0.0,
        education_gap=0.3,
    ),
    SurveyConfig(people=1_400, last_annual_year=2012, fewest_waves=10, most_waves=25, skipped=0.0),
)

# Fitted to the NLSY79 by the study `market-fit`; the file holds log-odds by cells of ten people or more.
NLSY79 = Preset.from_dict(json.loads(Path(__file__).with_name("nlsy79.json").read_text(encoding="utf-8")))

# Mechanisms that make the law depend on more than the previous occupation, each switched off.
NO_HISTORY = {
    "stay_duration": 0.0,
    "stay_unemployed_duration": 0.0,
    "last_occupation_survives": False,
    "mean_skill": 0.0,
    "return_strength": 0.0,
    "ladder": 0.0,
    "recipe_strength": 0.0,
}
NO_COVARIATES = {
    "trend_sd": 0.0,
    "region_sd": 0.0,
    "gender_typing_sd": 0.0,
    "education_gap": 0.0,
    "stay_age": 0.0,
    "stay_school_age": 0.0,
    "stay_gap": 0.0,
    "unemployed_education": 0.0,
    "unemployed_age": 0.0,
    "out_age": 0.0,
    "out_women": 0.0,
    "school_age": 0.0,
}
CONTROLS: dict[str, dict[str, Any]] = {
    "markov": {"types": 1, **NO_HISTORY, **NO_COVARIATES},
    "one_type": {"types": 1},
    "no_returns": {"return_strength": 0.0},
    "gender_free": {"type_gender_sd": 0.0},
}
PRESETS = {
    "tiny": TINY,
    "kw": KEANE_WOLPIN,
    "survey": SURVEY,
    "nlsy79": NLSY79,
    **{name: SURVEY.with_world(**numbers) for name, numbers in CONTROLS.items()},
}
# Corpora of resumes from the world of `survey`, and the nested samples of `scaling` (Figure 2b).
RESUMES = {"resume": ResumeConfig(people=200_000), "scaling": ResumeConfig(people=1_000_000)}
SCALING = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


@within_ranges
def preset(name: str) -> Preset:
    """Finds a preset by name: tiny, kw, survey, nlsy79; or a control of survey: markov, one_type, no_returns,
    gender_free.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset '{name}', only {', '.join(PRESETS)}")
    return PRESETS[name]
