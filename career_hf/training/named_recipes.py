"""Recipes of `train` by name: the paper's, and the best that is known for a survey of some thousand people.

A recipe gives options of `train` other values, adds settings of the Trainer and fields of the config. What was tried
and how much it helps is in docs/replication/better_model.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


# Options of `train` that a recipe may change, with the paper's values (Appendix G).
PAPER = {
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
    """What a recipe changes.

    Args:
        options: Options of `train`, those of `PAPER`.
        arguments: Fields of TrainingArguments.
        fields: Fields of CareerConfig.
        groups: Whether occupations share the weights of their broad groups, where labels are occ1990dd codes and there
            are no other title vectors (`occupations.group_vectors`).
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    groups: bool = False


RECIPES = {
    "paper": NamedRecipe(),
    "best": NamedRecipe(
        options={"learning_rate": 3e-3, "warmup_steps": 0.1, "tokens_per_batch": 2_000, "max_steps": 900},
        arguments={"lr_scheduler_type": "linear", "weight_decay": 0.3},
        fields={"return_pointer": True, "career_features": True, "num_hidden_layers": 2},
        groups=True,
    ),
}


def named_recipe(name: str, is_career: bool, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `train` under a recipe, with the Trainer's settings, and fields of the config.

    Args:
        name: A name in `RECIPES`.
        is_career: Whether the model is CAREER.
        options: Values of the options in `PAPER`; one that differs from the paper's takes precedence over the recipe.

    Raises:
        ValueError: There is no such recipe, or it is not for the model.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe '{name}'; recipes are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if recipe.fields and not is_career:
        raise ValueError(f"recipe '{name}' is for CAREER, whose fields it sets: leave it out")
    changed = {option: recipe.options.get(option, value) for option, value in PAPER.items()}
    given = {option: value for option, value in options.items() if value != PAPER[option]}
    return {**changed, **given, **recipe.arguments}, dict(recipe.fields)


__all__ = ["PAPER", "RECIPES", "NamedRecipe", "named_recipe"]
