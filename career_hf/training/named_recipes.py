"""Recipes of `train`: by the size of the careers, the paper's, and the best that is known for a survey.

A recipe gives options of `train` their values, adds settings of the Trainer and fields of the config. Without a name,
the schedule follows from the number of person-years to train on, and the model is the paper's (`training_defaults`).
What was tried and how much it helps is in docs/how_to/training.md for sizes, and in docs/replication/better_model.md
for the best recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .trainer import training_defaults


# Options of `train` that follow from the recipe unless they are given, with the paper's values (Appendix G).
PAPER: Mapping[str, Any] = {
    "learning_rate": 5e-4,
    "warmup_steps": None,
    "tokens_per_batch": 16_000,
    "max_steps": 20_000,
    "eval_steps": 100,
    "patience": 10,
    "dropout": 0.1,
}


@dataclass(frozen=True)
class NamedRecipe:
    """What a recipe determines.

    Args:
        options: Options of `train`, those of `PAPER`.
        arguments: Fields of TrainingArguments.
        fields: Fields of CareerConfig.
        groups: Whether occupations share the weights of their broad groups, where labels are occ1990dd codes and there
            are no other title vectors (`occupations.group_vectors`).
    """

    options: Mapping[str, Any] = field(default_factory=lambda: PAPER)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    groups: bool = False


RECIPES = {
    "paper": NamedRecipe(),
    "best": NamedRecipe(
        options={**PAPER, "learning_rate": 3e-3, "warmup_steps": 0.1, "tokens_per_batch": 2_000, "max_steps": 900},
        arguments={"lr_scheduler_type": "linear", "weight_decay": 0.3},
        fields={"return_pointer": True, "career_features": True, "num_hidden_layers": 2},
        groups=True,
    ),
}


def check_recipe(name: str | None, is_career: bool) -> None:
    """Checks the name of a recipe before careers are read.

    Args:
        name: A name in `RECIPES`, or None.
        is_career: Whether the model is CAREER.

    Raises:
        ValueError: There is no such recipe, or it is not for the model.
    """
    if name is None:
        return
    if name not in RECIPES:
        raise ValueError(f"there is no recipe '{name}'; recipes are {', '.join(RECIPES)}")
    if RECIPES[name].fields and not is_career:
        raise ValueError(f"recipe '{name}' is for CAREER, whose fields it sets: leave it out")


def recipe_settings(
    name: str | None, given: Mapping[str, Any], person_years: int, rate: float | None = None
) -> dict[str, Any]:
    """Settings of the Trainer and the dropout under a recipe, with the options that a caller gives.

    Args:
        name: A name in `RECIPES`; by the number of person-years if None.
        given: Values of the options in `PAPER`; one that is not None takes precedence over the recipe.
        person_years: Number of person-years to train on.
        rate: Peak learning rate where sizes decide, for a model that wants another one than CAREER; CAREER's if None.
    """
    chosen = {option: value for option, value in given.items() if value is not None}
    if name is not None:
        return {**RECIPES[name].options, **chosen, **RECIPES[name].arguments}
    settings = training_defaults(person_years, max_steps=chosen.get("max_steps"))
    return {**settings, **({} if rate is None else {"learning_rate": rate}), **chosen}


__all__ = ["PAPER", "RECIPES", "NamedRecipe", "check_recipe", "recipe_settings"]
