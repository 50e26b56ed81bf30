"""Renders the example cards of this folder: trains three small models, briefly, and writes the card of each.

    career-hf prepare nlsy79 --wages --extract EXTRACTS --output careers/nlsy79
    python model_cards/render.py --nlsy79 careers/nlsy79 --work runs/model_cards

Pretraining on simulated resumes, fine-tuning that on the NLSY79, and a wage head on top: each card tells of all stages
before it. It takes some minutes on one core; models that are in the work folder are not trained again.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from career_hf import CareerForOccupationPrediction, CareerForWagePrediction, CareerProcessor
from career_hf import simulation as market
from career_hf.careers import load_careers, save_careers, split_careers, split_manifest
from career_hf.careers.provenance import training_source
from career_hf.sharing.model_card import write_model_card
from career_hf.training.fitting import fit_model
from career_hf.training.trainer import finetuning_recipe, pretraining_recipe
from career_hf.wages.wage_head import build_wage_trainer, encode_wages, wage_recipe


HERE = Path(__file__).parent
SIZE = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256}
SCHEDULE: dict[str, Any] = {"tokens_per_batch": 4_000, "eval_steps": 50, "save_steps": 50, "seed": 0}
RESUMES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nlsy79", type=Path, required=True, help="Careers with wages, as `prepare` writes them.")
    parser.add_argument("--work", type=Path, default=Path("runs/model_cards"), help="Where models are trained.")
    parser.add_argument("--steps", type=int, default=200, help="Updates of each model at most.")
    parser.add_argument("--output", type=Path, default=HERE, help="Where the cards go.")
    settings = parser.parse_args()
    schedule = {**SCHEDULE, "max_steps": settings.steps}
    note = (
        f"An example of a card, not a model to use: training stopped after at most {settings.steps} updates of "
        f"{SCHEDULE['tokens_per_batch']:,} person-years a stage, long before it was over."
    )
    resumes = write_resumes(settings.work / "resumes", settings.work / "resume-careers")
    trained = {
        "pretrained-on-simulated-resumes": (pretrain, resumes, ["region"]),
        "finetuned-on-nlsy79": (finetune, settings.nlsy79, ["gender", "race"]),
        "wages-of-nlsy79": (add_wages, settings.nlsy79, ["gender", "race"]),
    }
    before = None
    for name, (train, data, by) in trained.items():
        folder = settings.work / name
        if not (folder / "config.json").exists():
            train(folder, data, before, schedule)
        write_model_card(folder, data, by=by, name=name, note=note)
        shutil.copy(folder / "README.md", settings.output / f"{name}.md")
        before = folder


def write_resumes(parts: Path, folder: Path) -> Path:
    """Resumes of the simulated labor market, split, with their dataset card."""
    if not folder.exists():
        world = market.World.build(market.preset("survey").world)
        ledger = market.write_resumes(world, replace(market.RESUMES["resume"], people=RESUMES), parts)
        market.write_resume_card(parts, ledger)
        splits = split_careers(market.load_resumes(parts))
        save_careers(splits, folder, ledger, split_manifest(splits))
        shutil.copy(parts / "README.md", folder / "README.md")
    return folder


def pretrain(folder: Path, data: Path, before: None, schedule: dict[str, Any]) -> None:
    splits = load_careers(data)
    processor = CareerProcessor.fit(splits["train"], ["year"], unknown_occupation="unknown")
    settings = {**schedule, "learning_rate": 1e-3, "warmup_steps": 50}
    recipe = pretraining_recipe(processor, folder / "training", config_overrides=SIZE, **settings)
    _train(CareerForOccupationPrediction, processor, recipe, data, splits)


def finetune(folder: Path, data: Path, before: Path, schedule: dict[str, Any]) -> None:
    splits = load_careers(data)
    pretrained = CareerProcessor.from_pretrained(before)
    # Resumes have other levels of education and region than surveys.
    new = ["education", "region", "race", "gender"]
    processor = pretrained.extend(splits["train"], covariates=new, unknown_occupation="unknown")

    def make_model(_: Any) -> CareerForOccupationPrediction:
        model = CareerForOccupationPrediction.from_pretrained(before)
        model.resize_vocabulary(pretrained, processor)
        return model

    settings = {**schedule, "learning_rate": 5e-4, "warmup_steps": 50}
    recipe = finetuning_recipe(processor, folder / "training", **settings)
    _train(make_model, processor, recipe, data, splits)


def add_wages(folder: Path, data: Path, before: Path, schedule: dict[str, Any]) -> None:
    splits, processor = load_careers(data), CareerProcessor.from_pretrained(before)
    encoded, _ = encode_wages(splits["train"], processor, unknown_levels="missing")
    log_wages = np.concatenate(encoded["log_wage"])

    def make_model(_: Any = None) -> CareerForWagePrediction:
        start = CareerForOccupationPrediction.from_pretrained(before)
        return CareerForWagePrediction.from_occupation_model(start, log_wages)

    settings = {**schedule, "learning_rate": 5e-4, "warmup_steps": 50}
    recipe = wage_recipe(processor, make_model().config, folder / "training", **settings)

    _train(make_model, processor, recipe, data, splits, encode=encode_wages, build=build_wage_trainer)


def _train(make_model: Any, processor: CareerProcessor, recipe: Any, data: Path, splits: Any, **task: Any) -> None:
    source = training_source(data, splits["train"])
    folder = Path(recipe.arguments.output_dir).parent
    fit_model(make_model, processor, recipe, splits["train"], splits["validation"], source=source, **task).save(folder)
    shutil.rmtree(folder / "training")


if __name__ == "__main__":
    main()
