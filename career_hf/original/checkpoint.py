"""Checkpoints of the original CAREER program as models of this package, with the dictionaries as their processors.

A checkpoint (`checkpoint_best.pt`) is a pickle. It is read with PyTorch's weights-only unpickler, which executes no
code; besides tensors and plain values it may hold an `argparse.Namespace` with the original's settings. Dictionaries
are the files `job/dict.txt`, `year/dict.txt` and so on in the folder of the original's training data.

Occupations keep their ids. Levels of covariates get new numbers, without the dictionary's special and made-up words:
level 0 is "missing" and has the weights of the symbol with that name, or otherwise those of `<unk>`, which the
original uses for levels outside its dictionary. Covariates have the original's names, unless they are renamed here.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..careers.columns import RESERVED_NAMES
from ..encoding.processing_career import CareerProcessor
from ..encoding.vocabulary import MISSING
from ..models.modeling_career import CareerForOccupationPrediction
from ..number_ranges import within_ranges
from ..rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from ..rivals.regression import RegressionForOccupationPrediction
from .conversion import (
    AVERAGED,
    COVARIATES,
    REGRESSION_FLAGS,
    convert_bag_of_jobs,
    convert_regression,
    convert_state_dict,
    original_bag_of_jobs_config,
    original_config,
    original_regression_config,
)


# The first symbols of every dictionary of the original, in this order.
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
UNKNOWN = SPECIALS.index("<unk>")
MADE_UP = re.compile(r"madeupword\d{4}")
# For each model of the original a parameter that only this model has.
ARCHITECTURES = {
    "career": "decoder.layers.0.fc1.weight",
    "bag_of_jobs": "decoder.embed_context.weight",
    "regression": "decoder.embed_bias",
}


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads a checkpoint of the original program, without executing anything in it.

    Args:
        path: Path of the checkpoint.

    Returns:
        The weights in float32 (training in half precision saves halves), and the settings (command-line options with
        underscores), empty if the checkpoint has none.

    Raises:
        ValueError: If there is no such file, or it is damaged, is no checkpoint, or has more than weights and plain
            values.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give a checkpoint of the original program, checkpoint_best.pt say")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"{path} cannot be read as weights and plain values, and nothing else is read, because a pickle can "
            f"execute code: {error}"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), dict):
        raise ValueError(f"{path} has no entry 'model', so it is no checkpoint of the original program")
    weights = {name: value.float() for name, value in checkpoint["model"].items()}
    parts = checkpoint.get("cfg") or {}
    settings: dict[str, Any] = {}
    for part in (checkpoint.get("args"), parts.get("task"), parts.get("model")):
        settings |= vars(part) if isinstance(part, argparse.Namespace) else part or {}
    return weights, settings


def read_dictionary(path: Path) -> list[str]:
    """The symbols of a dictionary of the original program, in the order of their ids.

    Raises:
        ValueError: If the file is missing, a line is not a symbol and a count, or a symbol occurs twice.
    """
    if not path.is_file():
        raise ValueError(
            f"there is no dictionary {path}: give the folder of binary data that the original was trained on"
        )
    symbols = list(SPECIALS)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not count.isdigit():
            raise ValueError(f"{path}, line {number}: {line!r} is not a symbol and its count")
        if symbol in symbols:
            raise ValueError(f"{path}, line {number}: symbol {symbol!r} occurs twice, so its id is not known")
        symbols.append(symbol)
    return symbols


@within_ranges
def convert_checkpoint(
    checkpoint: str | Path,
    dictionaries: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
    output: str | Path | None = None,
) -> tuple[PreTrainedModel, CareerProcessor]:
    """Turns a checkpoint of the original program's CAREER, bag-of-jobs or regression into a model of this package.

    Log-probabilities are those of the original, over its dictionary: `<unk>` is an occupation, to which all
    occupations outside the dictionary are mapped, and `<s>`, `<pad>`, `</s>` and made-up words keep their (small)
    probabilities.

    Args:
        checkpoint: Path of the checkpoint.
        dictionaries: Folder with `job/dict.txt` and the dictionaries of the covariates.
        settings: Command-line options of the original's training, with underscores, which replace those in the
            checkpoint: `include_year` and so on, `decoder_attention_heads`, and those of the regression.
        rename: New names of covariates by their names in the original, for careers whose columns have other names:
            `{"location": "region", "ethnicity": "race"}`. Levels keep their names.
        output: Destination folder of the model and its processor; nothing is written if None.

    Returns:
        The model, in eval mode, and its processor.

    Raises:
        ValueError: If a file cannot be read, dictionaries and weights have different sizes, a setting is missing, the
            checkpoint is one of another model, or a covariate cannot be renamed.
    """
    weights, checkpoint_settings = read_checkpoint(checkpoint)
    options = {**checkpoint_settings, **(settings or {})}
    occupations = read_dictionary(Path(dictionaries) / "job" / "dict.txt")
    covariates = [name for name in COVARIATES if options.get(f"include_{name}")]
    new_names = _new_names(covariates, rename or {})
    levels = {name: read_dictionary(Path(dictionaries) / name / "dict.txt") for name in covariates}
    architecture = _architecture(weights, checkpoint)
    places = {name: _kept_levels(symbols) for name, symbols in levels.items()}
    if architecture == "bag_of_jobs":
        places |= {name: [*places[name], SPECIALS.index("<s>")] for name in places if name in AVERAGED}
    for name, symbols in levels.items():
        _keep_levels(weights, name, symbols, places[name])

    special = [i for i, symbol in enumerate(occupations) if symbol in SPECIALS[:UNKNOWN] or MADE_UP.fullmatch(symbol)]
    shared: dict[str, Any] = {"covariate_names": covariates, "special_token_ids": special}
    model = _build_model(weights, options, architecture, len(occupations), places, shared)
    if rename:
        model = _with_names(model, new_names)
    processor = CareerProcessor(
        occupations=occupations,
        covariate_names=list(new_names.values()),
        covariate_levels=[[MISSING, *(levels[name][i] for i in places[name][1:])] for name in covariates],
        unknown_occupation=SPECIALS[UNKNOWN],
        special_token_ids=special,
        pad_token_id=model.config.pad_token_id,
        bos_token_id=model.config.bos_token_id,
        time_covariate="year" if "year" in covariates else None,
    )
    model.config.id2label = processor.id2label
    model.config.label2id = {label: i for i, label in processor.id2label.items()}
    model.config.levels_sha256 = processor.config_kwargs()["levels_sha256"]
    processor.check(model.config)
    if output is not None:
        model.save_pretrained(output)
        processor.save_pretrained(output)
    return model.eval(), processor


def _new_names(covariates: list[str], rename: Mapping[str, str]) -> dict[str, str]:
    """The name of every covariate, by its name in the original."""
    for old, new in rename.items():
        if old not in covariates:
            raise ValueError(f"rename: '{old}' is none of the checkpoint's covariates, which are {covariates}")
        if old == "year" or new in RESERVED_NAMES:
            raise ValueError(
                f"rename: '{old}' cannot be '{new}', because {', '.join(RESERVED_NAMES)} are columns with a meaning "
                "of their own in all careers"
            )
        if not new.isidentifier():
            raise ValueError(f"rename: '{new}' for '{old}' is no name: use letters, digits and underscores")
    names = {name: rename.get(name, name) for name in covariates}
    twice = [new for new in names.values() if list(names.values()).count(new) > 1]
    if twice:
        raise ValueError(f"rename: two covariates would be '{twice[0]}', and each needs a name of its own")
    return names


def _with_names(model: PreTrainedModel, names: Mapping[str, str]) -> PreTrainedModel:
    """The same model with other names of covariates, which are in its config and in the names of its weights."""
    config = model.config.to_dict()
    for field in ("covariate_names", "history_covariates", "change_covariates"):
        if config.get(field):
            config[field] = [names[name] for name in config[field]]
    renamed = type(model)(type(model.config).from_dict(config))
    weights = model.state_dict()
    renamed.load_state_dict(
        {".".join(names.get(part, part) for part in key.split(".")): weights[key] for key in weights}
    )
    return renamed


def _architecture(weights: Mapping[str, torch.Tensor], checkpoint: str | Path) -> str:
    """The name of the original's model with these weights."""
    for name, parameter in ARCHITECTURES.items():
        if parameter in weights:
            return name
    raise ValueError(
        f"{checkpoint} is no checkpoint of {', '.join(ARCHITECTURES)}: it has none of the parameters "
        f"{list(ARCHITECTURES.values())}"
    )


def _build_model(
    weights: dict[str, torch.Tensor],
    options: Mapping[str, Any],
    architecture: str,
    occupations: int,
    places: Mapping[str, list[int]],
    shared: dict[str, Any],
) -> PreTrainedModel:
    """The model with its weights."""
    embedding = "decoder.embed_tokens.weight" if architecture == "career" else "decoder.embed_current_job.weight"
    if len(weights[embedding]) != occupations:
        raise ValueError(
            f"the dictionary of jobs has {occupations} symbols, but the checkpoint has {len(weights[embedding])}: it "
            "was trained with another dictionary"
        )
    model: PreTrainedModel
    if architecture == "career":
        if "decoder_attention_heads" not in options:
            raise ValueError(
                "settings have no decoder_attention_heads, which weights do not tell: pass it in settings"
            )
        shared |= {"two_stage": len(weights["decoder.output_projection.weight"]) > occupations}
        config = original_config(weights, num_attention_heads=options["decoder_attention_heads"], **shared)
        model, converted = CareerForOccupationPrediction(config), convert_state_dict(weights, config)
    elif architecture == "bag_of_jobs":
        shared |= {"two_stage": len(weights["decoder.current_job_output_projection.weight"]) > occupations}
        # Averages over earlier levels begin with an entry of <s>, which is no level, and is kept as the last row.
        starts = [len(places[name]) - 1 for name in shared["covariate_names"] if name in AVERAGED]
        bag = original_bag_of_jobs_config(weights, start_levels=starts, **shared)
        model, converted = BagOfJobsForOccupationPrediction(bag), convert_bag_of_jobs(weights, bag)
    else:
        flags = [flag for flag in REGRESSION_FLAGS if options.get(flag.replace("-", "_"))]
        shared |= {"two_stage": len(weights["decoder.embed_bias"]) > occupations}
        if "year" in places:
            # Gaps are differences between places in the original's dictionary.
            shared["year_of_level"] = [place if place > UNKNOWN else None for place in places["year"]]
        regression = original_regression_config(weights, flags=flags, **shared)
        model = RegressionForOccupationPrediction(regression)
        converted = convert_regression(weights, regression, flags)
    model.load_state_dict(converted)
    return model


def _kept_levels(symbols: list[str]) -> list[int]:
    """Places in the dictionary of the levels that this package keeps; "missing" comes first."""
    missing = symbols.index(MISSING) if MISSING in symbols else UNKNOWN
    later = [i for i, symbol in enumerate(symbols) if i >= UNKNOWN and not MADE_UP.fullmatch(symbol)]
    return [missing, *(i for i in later if symbols[i] != MISSING)]


def _keep_levels(weights: dict[str, torch.Tensor], name: str, symbols: list[str], places: list[int]) -> None:
    """Reduces a covariate's tables to the rows of the kept levels."""
    for part in ("", "current_", "context_"):
        parameter = f"decoder.embed_{part}{name}.weight"
        if parameter not in weights:
            continue
        if len(weights[parameter]) != len(symbols):
            raise ValueError(
                f"the dictionary of {name} has {len(symbols)} symbols, but the checkpoint has "
                f"{len(weights[parameter])}: it was trained with another dictionary"
            )
        weights[parameter] = weights[parameter][places]


__all__ = ["convert_checkpoint", "read_checkpoint", "read_dictionary"]
