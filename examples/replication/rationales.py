"""Do greedy rationales find the steps that made people move? On the simulated market, where these are known.

A recipe, a ladder or an earlier spell pulls people to an occupation, and `simulation.rationale_sets` says which steps
each pull depends on. CAREER is trained with job dropout, per person and per batch, and without; the greedy search then
orders the steps before every move that was made under a strong pull. `rationales_tables.py` says how many of the steps
that it adds are planted (precision) and how many of the planted needs they meet (recall), beside steps drawn at random
and beside the latest ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from career_hf.careers.atomic_files import complete
from career_hf.careers.provenance import SOURCES
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.explaining.rationales import Rule, rationales, smallest_rationales
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.rivals.markov import tune_weight
from career_hf.simulation import World, rationale_sets
from career_hf.simulation.presets import Preset
from career_hf.training.trainer import Recipe, scratch_recipe

from .cells import keep_settings, run_jobs, score_once, train_once
from .pretraining import SURVEY_COVARIATES, Made, SurveySettings, split_survey


# How job dropout is drawn, by what the model is called.
DROPPING = "job dropout"
MODELS: dict[str, dict[str, Any]] = {
    DROPPING: {"job_dropout": 0.5},
    "job dropout per batch": {"job_dropout": 0.5, "job_dropout_per": "batch"},
    "no job dropout": {},
}
# A tuned Markov chain, to be ranked beside.
CHAIN = "Markov-1"
# The move that was made, among moves. ORDER does not stop: where the search would have is read off the ranks.
RULE, ORDER = Rule(target="true"), Rule(target="true", top=0)


@dataclass(frozen=True)
class Settings(SurveySettings):
    """Sizes of the study. The rest as in `SurveySettings`; there is no pretraining.

    Recipes are rare: few people hold both of their occupations. So the market is smaller than in other studies (every
    occupation is part of a recipe), which gives a model examples to learn them from, and their pull is stronger.

    Args:
        recipe_strength: Pull of a recipe.
        ladder_waves: Waves in a family before its ladder pulls.
        weakest_effect: Moves are explained that a pull made this many times as likely.
        most_added: Steps that are added to the latest one.
        exhaustive, longest: Moves for which all sets are tried too, among those with at most so many steps before the
            latest.
        rate: Peak learning rate.
    """

    occupations: int = 30
    families: int = 6
    recipes: int = 10
    train_people: int = 10_000
    validation_people: int = 500
    test_people: int = 3_000
    most_steps: int = 1_500
    warmup_steps: int = 150
    eval_steps: int = 150
    tokens_per_batch: int = 3_000
    seeds: int = 1
    recipe_strength: float = 6.0
    ladder_waves: int = 3
    weakest_effect: float = 2.0
    most_added: int = 5
    exhaustive: int = 200
    longest: int = 8
    rate: float = 2e-3

    @property
    def world(self) -> Preset:
        """The survey of the study's market."""
        return self.market(recipe_strength=self.recipe_strength, ladder_waves=self.ladder_waves)


def run(folder: Path, settings: Settings, workers: int = 2) -> None:
    """Draws the market, trains the models and searches rationales; what is finished is not done again.

    Leaves `planted.parquet`, `smallest.parquet` (smallest sets beside greedy ones, of the first model), and for every
    model and seed its transition table of test careers in `tables` and its ordering of steps in `orders`.

    Args:
        folder: For careers, models and tables.
        settings: Sizes.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: The folder holds a study with other settings.
    """
    keep_settings(folder, asdict(settings))
    run_jobs("Drawing careers", [partial(draw, folder, settings)], 1)
    cells = [(model, seed) for model in MODELS for seed in range(settings.seeds)]
    run_jobs("Training models", [partial(trained, folder, settings, *cell) for cell in cells], workers)
    jobs = [partial(explain, folder, settings, *cell) for cell in cells]
    run_jobs("Searching", [*jobs, *[partial(job, folder, settings) for job in (try_all_sets, score_chain)]], workers)


def draw(folder: Path, settings: Settings) -> None:
    """Draws the survey, and finds what pulled test people to the occupations that they moved to."""
    path = folder / "planted.parquet"
    if path.exists():
        return
    drawn = settings.world.simulate(settings.pool + settings.validation_people + settings.test_people)
    if not (folder / "survey").exists():
        with complete(folder / "survey") as unfinished:
            drawn.careers.save_to_disk(str(unfinished))
    test = split_survey(folder / "survey", settings)["test"]
    planted = rationale_sets(replace(drawn, careers=test))
    # What a move has before the latest step, which is part of every rationale: something to find.
    planted = planted[(planted["effect"] >= settings.weakest_effect) & (planted["step"] > 1)]
    years = dict(zip(test["person"], test["year"], strict=True))
    planted["year"] = [years[person][step] for person, step in zip(planted["person"], planted["step"], strict=True)]
    with complete(path) as unfinished:
        planted.astype({"occupation": "str", "mechanism": "str"}).to_parquet(unfinished)


def trained(folder: Path, settings: Settings, model: str, seed: int) -> Made:
    """A model, from its folder if it is there."""
    splits = split_survey(folder / "survey", settings)
    labels = World.build(settings.world.world).labels
    processor = CareerProcessor.fit(splits["train"], SURVEY_COVARIATES, occupations=labels)
    return train_once(
        folder / "models" / f"{model}, {seed}",
        CareerForOccupationPrediction,
        processor,
        partial(_recipe, processor, settings, model, seed),
        splits["train"],
        splits["validation"],
        SOURCES["simulated"].record,
    )


def _recipe(processor: CareerProcessor, settings: Settings, model: str, seed: int, output: Path) -> Recipe:
    """Training from scratch at the study's size; which job dropout is all that models differ in."""
    return scratch_recipe(
        processor,
        output,
        learning_rate=settings.rate,
        warmup_steps=settings.warmup_steps,
        max_steps=settings.most_steps,
        eval_steps=settings.eval_steps,
        save_steps=settings.eval_steps,
        tokens_per_batch=settings.tokens_per_batch,
        patience=settings.patience,
        seed=seed,
        config_overrides={
            "num_hidden_layers": settings.layers,
            "hidden_size": settings.hidden_size,
            "num_attention_heads": settings.heads,
            "intermediate_size": 4 * settings.hidden_size,
        },
        **MODELS[model],
    )


def explain(folder: Path, settings: Settings, model: str, seed: int) -> None:
    """Scores test careers, and orders the steps before every move that was pulled."""
    test = split_survey(folder / "survey", settings)["test"]
    network, processor = trained(folder, settings, model, seed)
    score_once(folder / "tables" / model / f"{seed}.parquet", network, processor, test)
    path = folder / "orders" / model / f"{seed}.parquet"
    if not path.exists():
        moves = pd.read_parquet(folder / "planted.parquet")[["person", "year"]].drop_duplicates()
        size = 1 + settings.most_added
        orders = rationales(network, test, processor, ORDER, steps=moves, max_size=size, unknown_levels="missing")
        with complete(path) as unfinished:
            orders.to_frame().to_parquet(unfinished)


def try_all_sets(folder: Path, settings: Settings) -> None:
    """Smallest rationales of the first model beside its greedy ones, for moves with few steps before them."""
    path = folder / "smallest.parquet"
    if path.exists():
        return
    test = split_survey(folder / "survey", settings)["test"]
    network, processor = trained(folder, settings, DROPPING, 0)
    planted = pd.read_parquet(folder / "planted.parquet")
    few = planted.loc[planted["step"] - 1 <= settings.longest, ["person", "year"]].drop_duplicates()
    given: dict[str, Any] = {"steps": few.head(settings.exhaustive), "unknown_levels": "missing"}
    smallest = smallest_rationales(network, test, processor, RULE, longest=settings.longest, **given)
    greedy = rationales(network, test, processor, RULE, **given).to_frame().groupby(["person", "year"])
    ends = greedy.agg(greedy_size=("order", "size"), greedy_complete=("complete", "first"))
    with complete(path) as unfinished:
        smallest.merge(ends.reset_index(), on=["person", "year"], validate="one_to_one").to_parquet(unfinished)


def score_chain(folder: Path, settings: Settings) -> None:
    """Scores test careers with a Markov chain."""
    splits = split_survey(folder / "survey", settings)
    labels = World.build(settings.world.world).labels
    processor = CareerProcessor.fit(splits["train"], [], occupations=labels)
    encoded, validation = (processor.encode(splits[name])[0] for name in ("train", "validation"))
    chain = tune_weight(encoded, validation, processor, order=1)
    score_once(folder / "tables" / CHAIN / "0.parquet", chain, processor, splits["test"])
