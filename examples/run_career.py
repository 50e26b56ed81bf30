"""Pretrains CAREER, trains it from scratch, or fine-tunes a pretrained one, with the paper's recipe for each.

    python examples/run_career.py --task scratch --data careers/nlsy79 --output_dir runs/scratch
    python examples/run_career.py --task pretrain --data careers/resumes --output_dir runs/pretrained
    python examples/run_career.py --task finetune --data careers/nlsy79 --model_name_or_path runs/pretrained \
        --output_dir runs/finetuned

`--data` is a folder written by `career_hf.careers.save_careers` with the splits "train" and "validation". The best
checkpoint by exact validation NLL and its processor end in `--output_dir`, with `eval_results.json`. Several GPUs:
`accelerate launch --multi_gpu examples/run_career.py ...`; the same, with `--num_processes`, starts several CPU
processes where there is no GPU (`--cpu` would start one). A run that was interrupted continues from its last
checkpoint.
"""

from __future__ import annotations

import gc
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import HfArgumentParser

from career_hf import CareerForOccupationPrediction
from career_hf.careers import CareerShards, covariate_names, load_careers
from career_hf.careers.provenance import training_source
from career_hf.careers.shards import split_shards
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.training.fitting import fit_model
from career_hf.training.trainer import finetuning_recipe, pretraining_recipe, scratch_recipe


logger = logging.getLogger(__name__)

RECIPES = {"pretrain": pretraining_recipe, "scratch": scratch_recipe, "finetune": finetuning_recipe}


@dataclass
class CareerArguments:
    """What to train, and on what."""

    data: str = field(metadata={"help": "Folder of careers with the splits train and validation."})
    output_dir: str = field(metadata={"help": "Folder for checkpoints, the trained model and eval_results.json."})
    task: str = field(default="scratch", metadata={"help": "The recipe.", "choices": list(RECIPES)})
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Pretrained checkpoint with its processor, for --task finetune."}
    )
    covariates: list[str] | None = field(
        default=None,
        metadata={"help": "Covariates, in order. By default year and every covariate of the training careers."},
    )
    unknown_occupation: str | None = field(
        default=None,
        metadata={"help": "Occupation that stands for those outside the vocabulary; errors if not given."},
    )
    unknown_levels: str = field(
        default="error",
        metadata={"help": "Covariate levels that only validation careers have.", "choices": ["error", "missing"]},
    )
    one_stage: bool = field(default=False, metadata={"help": "One softmax instead of two-stage prediction."})


@dataclass
class RecipeArguments:
    """Changes to the recipe; whatever is not given is the paper's."""

    max_steps: int | None = None
    learning_rate: float | None = None
    warmup_steps: int | None = None
    tokens_per_batch: int | None = field(default=None, metadata={"help": "Person-years of one update."})
    patience: int | None = field(default=None, metadata={"help": "Evaluations without progress before stopping."})
    eval_steps: int | None = field(default=None, metadata={"help": "Updates between evaluations (and checkpoints)."})
    gradient_accumulation_steps: int | None = None
    seed: int | None = None
    bf16: bool | None = field(default=None, metadata={"help": "bfloat16 autocast; the default on GPUs only."})

    def overrides(self) -> dict:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return given | ({"save_steps": self.eval_steps} if self.eval_steps is not None else {})


def make_processor(arguments: CareerArguments, train) -> tuple[CareerProcessor, CareerProcessor | None]:
    """The processor to train with, and for fine-tuning the pretrained one that it extends."""
    varying, static = covariate_names(train.read(train.groups[:1]) if isinstance(train, CareerShards) else train)
    covariates = ["year", *varying, *static] if arguments.covariates is None else arguments.covariates
    if arguments.task != "finetune":
        return CareerProcessor.fit(train, covariates, unknown_occupation=arguments.unknown_occupation), None
    if arguments.model_name_or_path is None:
        raise ValueError("--task finetune needs --model_name_or_path, the pretrained checkpoint")
    pretrained = CareerProcessor.from_pretrained(arguments.model_name_or_path)
    extended = pretrained.extend(train, covariates=covariates, unknown_occupation=arguments.unknown_occupation)
    return extended, pretrained


def main() -> None:
    parser = HfArgumentParser([CareerArguments, RecipeArguments])  # type: ignore[list-item]
    career, changes = parser.parse_args_into_dataclasses()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    # accelerate launch starts one where neither a GPU nor --multi_gpu asks for more, and does not say so.
    logger.info("processes: %s", PartialState().num_processes)
    splits = split_shards(career.data) or load_careers(career.data)
    processor, pretrained = make_processor(career, splits["train"])
    recipe = RECIPES[career.task](
        processor, career.output_dir, config_overrides={"two_stage": not career.one_stage}, **changes.overrides()
    )

    def make_model(config) -> CareerForOccupationPrediction:
        if pretrained is None:
            return CareerForOccupationPrediction(config)
        model = CareerForOccupationPrediction.from_pretrained(career.model_name_or_path)
        logger.info("%s", model.resize_vocabulary(pretrained, processor))
        return model

    fitted = fit_model(
        make_model,
        processor,
        recipe,
        splits["train"],
        splits["validation"],
        source=training_source(career.data, splits["train"]),
        resume=True,
        unknown_levels=career.unknown_levels,
    )
    logger.info("validation careers\n%s", fitted.ledger)
    folder = Path(career.output_dir)
    fitted.save(folder)
    if PartialState().is_main_process:
        (folder / "eval_results.json").write_text(json.dumps(fitted.metrics, indent=4), encoding="utf-8")
        logger.info("validation perplexity %.3f, in %s", fitted.metrics["eval_perplexity"], folder.resolve())


if __name__ == "__main__":
    main()
    if torch.distributed.is_initialized():
        # Only once the model's distributed wrapper is gone: before, processes on CPU can wait for each other forever.
        gc.collect()
        torch.distributed.destroy_process_group()
