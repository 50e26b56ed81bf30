"""Weights of the original program, renamed and reshaped for the models of this package.

For each of its models, CAREER, regression and bag-of-jobs, one function derives the config from the weights and
another converts the state dict (`decoder.*`). Log-probabilities are then those of the original.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch

from ..models.configuration_career import CareerConfig
from ..rivals.bag_of_jobs import BagOfJobsConfig
from ..rivals.regression import RegressionConfig


Weights = Mapping[str, torch.Tensor]

COVARIATES = ("year", "education", "location", "ethnicity", "gender")

# Flags of the original's regression, and the parameter that each flag adds.
REGRESSION_FLAGS = {
    "second-order-markov": "decoder.embed_previous_job.weight",
    "include-years-in-current-job": "decoder.embed_years_in_current_job",
    "include-total-years": "decoder.embed_total_years",
    "non-consecutive-year-effect": "decoder.embed_non_consecutive_year_effect",
    "education-difference": "decoder.embed_education_difference",
}

# Settings of the original that are options in this package's models.
_ORIGINAL = {
    "pad_token_id": 1,
    "bos_token_id": 2,  # careers begin with "</s>"
    "logit_clamp": 10.0,
    "special_tokens_in_softmax": True,
    "first_step_stay": True,
}

# Its dictionaries begin with <s>, <pad>, </s> and <unk>, none of which is a year.
_DICTIONARY_SPECIALS = 4

# Covariates whose past the original averages; the others never change there.
AVERAGED = ("year", "education")

# The original's parameter names after "decoder.layers.N." and ours after "model.layers.N.".
_LAYER_NAMES = {
    "self_attn.out_proj": "self_attn.out_proj",
    "self_attn_layer_norm": "attention_norm",
    "fc1": "mlp.up_proj",
    "fc2": "mlp.down_proj",
    "final_layer_norm": "mlp_norm",
}


def original_config(
    weights: dict[str, torch.Tensor],
    *,
    covariate_names: list[str],
    num_attention_heads: int,
    two_stage: bool,
    special_token_ids: list[int],
    **kwargs,
) -> CareerConfig:
    """The config that reproduces the original program exactly, with sizes from its weights.

    Args:
        weights: The original's state dict (`decoder.*`).
        covariate_names: The covariates that the checkpoint was trained with (its `--include-*` flags), in any order.
        num_attention_heads: Number of attention heads, which weights do not tell.
        two_stage: Whether the last row of the output matrix is the stage-one vector eta.
        special_token_ids: Ids of `<s>`, `<pad>`, `</s>` and made-up words. They stay in the softmax, as in the
            original.
        kwargs: Further config fields, such as dropout.
    """
    vocab_size, hidden_size = weights["decoder.embed_tokens.weight"].shape
    return CareerConfig(
        vocab_size=vocab_size,
        covariate_names=list(covariate_names),
        covariate_sizes=[weights[f"decoder.embed_{name}.weight"].shape[0] for name in covariate_names],
        hidden_size=hidden_size,
        num_hidden_layers=1 + max(int(m[1]) for m in (re.match(r"decoder\.layers\.(\d+)\.", k) for k in weights) if m),
        num_attention_heads=num_attention_heads,
        intermediate_size=weights["decoder.layers.0.fc1.weight"].shape[0],
        two_stage=two_stage,
        special_token_ids=special_token_ids,
        scale_occupation_embedding=True,
        **(_ORIGINAL | kwargs),
    )


def convert_state_dict(weights: dict[str, torch.Tensor], config: CareerConfig) -> dict[str, torch.Tensor]:
    """State dict of [`CareerForOccupationPrediction`] from the original program's.

    Tables of covariates that the config does not name are left out: the original always has all five, and ignores
    unused ones.

    Raises:
        ValueError: If a parameter is missing, or one is left over that the config has no place for.
    """
    remaining = {
        k: v for k, v in weights.items() if k not in ("decoder.version", "decoder.embed_positions._float_tensor")
    }

    def take(name: str) -> torch.Tensor:
        if name not in remaining:
            raise ValueError(f"the original checkpoint has no parameter '{name}'; is it an arch 'career' checkpoint?")
        return remaining.pop(name)

    converted = {"model.embed_tokens.weight": take("decoder.embed_tokens.weight")}
    for name in config.covariate_names:
        converted[f"model.embed_covariates.{name}.weight"] = take(f"decoder.embed_{name}.weight")
    for i in range(config.num_hidden_layers):
        source, target = f"decoder.layers.{i}.", f"model.layers.{i}."
        for part in ("weight", "bias"):
            qkv = [take(f"{source}self_attn.{projection}_proj.{part}") for projection in "qkv"]
            converted[f"{target}self_attn.qkv_proj.{part}"] = torch.cat(qkv)
            for theirs, ours in _LAYER_NAMES.items():
                converted[f"{target}{ours}.{part}"] = take(f"{source}{theirs}.{part}")
    for part in ("weight", "bias"):
        converted[f"model.norm.{part}"] = take(f"decoder.layer_norm.{part}")
    output = take("decoder.output_projection.weight")
    converted["lm_head.weight"] = output[: config.vocab_size].clone()
    if config.two_stage:
        converted["stay_head.weight"] = output[config.vocab_size :].clone()
    unused = [name for name in remaining if not re.fullmatch(r"decoder\.embed_\w+\.weight", name)]
    if unused:
        raise ValueError(f"the original checkpoint has parameters that this config has no place for: {sorted(unused)}")
    return converted


def original_regression_config(
    weights: Weights,
    *,
    covariate_names: Sequence[str],
    two_stage: bool,
    special_token_ids: Sequence[int],
    flags: Collection[str] = tuple(REGRESSION_FLAGS),
    **kwargs: Any,
) -> RegressionConfig:
    """The config that reproduces the original program's regression.

    Gaps in the original are differences between places in the year dictionary, so places are the years here;
    `year_of_level` can have the true years instead.

    Args:
        weights: The original's state dict.
        covariate_names: The covariates that the checkpoint was trained with (its `--include-*` flags), in any order.
        two_stage: Whether the last score is that of staying.
        special_token_ids: Ids of `<s>`, `<pad>`, `</s>` and made-up words. They stay in the softmax, as in the
            original.
        flags: Names from `REGRESSION_FLAGS` of the flags in training, which weights do not tell.
        kwargs: Further config fields.

    Raises:
        ValueError: If a flag is not known, or concerns a covariate that is not named.
    """
    unknown = sorted(set(flags) - set(REGRESSION_FLAGS))
    if unknown:
        raise ValueError(f"the original's regression has no flags {unknown}; it has {list(REGRESSION_FLAGS)}")
    features: dict[str, Any] = {}
    if "non-consecutive-year-effect" in flags:
        places = range(weights["decoder.embed_year.weight"].shape[0])
        years = [None if place < _DICTIONARY_SPECIALS else place for place in places]
        features = {"time_covariate": "year", "year_of_level": years}
    if "education-difference" in flags:
        features["change_covariates"] = ["education"]
    return RegressionConfig(
        vocab_size=weights["decoder.embed_current_job.weight"].shape[0],
        covariate_names=list(covariate_names),
        covariate_sizes=[weights[f"decoder.embed_{name}.weight"].shape[0] for name in covariate_names],
        two_stage=two_stage,
        special_token_ids=list(special_token_ids),
        **(_ORIGINAL | features | kwargs),
    )


def convert_regression(
    weights: Weights, config: RegressionConfig, flags: Collection[str] = tuple(REGRESSION_FLAGS)
) -> dict[str, torch.Tensor]:
    """State dict of [`RegressionForOccupationPrediction`] from the original program's.

    Args:
        weights: The original's state dict.
        config: What `original_regression_config` returns.
        flags: As in `original_regression_config`. Features without a flag get weight zero.

    Raises:
        ValueError: If a parameter is missing, or one is left over that the config has no place for.
    """
    tables = {f"covariates.{name}.weight": f"decoder.embed_{name}.weight" for name in config.covariate_names}
    tables |= {"last_occupation.weight": "decoder.embed_current_job.weight", "history.bias": "decoder.embed_bias"}
    trained = {flag: REGRESSION_FLAGS[flag] for flag in flags}
    unused = {f"decoder.embed_{name}.weight" for name in COVARIATES} | set(REGRESSION_FLAGS.values())
    converted = _renamed(weights, tables | trained, unused)

    last = converted["last_occupation.weight"]
    effects = {flag: converted.pop(flag, torch.zeros_like(last[0])) for flag in list(REGRESSION_FLAGS)[1:]}
    # In the original a first step is a change of education, and only first steps follow the beginning of the career.
    last[config.bos_token_id] += effects["education-difference"]
    columns = dict(
        zip(["years_in_occupation", "total_years", "gap", "change_of_education"], effects.values(), strict=True)
    )
    converted["history.weight"] = torch.stack([columns[name] for name in config.history_features], dim=1)
    converted["second_last_occupation.weight"] = converted.pop("second-order-markov", torch.zeros_like(last))
    return converted


def original_bag_of_jobs_config(
    weights: Weights,
    *,
    covariate_names: Sequence[str],
    two_stage: bool,
    special_token_ids: Sequence[int],
    **kwargs: Any,
) -> BagOfJobsConfig:
    """The config that reproduces the original program's bag-of-jobs; arguments as `original_regression_config`."""
    tables = {name: _bag_of_jobs_tables(name) for name in covariate_names}
    sizes = [weights[names[f"covariates.{name}.embedding.weight"]].shape[0] for name, names in tables.items()]
    vocab_size, embedding_size = weights["decoder.embed_current_job.weight"].shape
    return BagOfJobsConfig(
        vocab_size=vocab_size,
        covariate_names=list(covariate_names),
        covariate_sizes=sizes,
        embedding_size=embedding_size,
        history_covariates=[name for name in covariate_names if name in AVERAGED],
        start_in_history=True,
        two_stage=two_stage,
        special_token_ids=list(special_token_ids),
        **(_ORIGINAL | kwargs),
    )


def convert_bag_of_jobs(weights: Weights, config: BagOfJobsConfig) -> dict[str, torch.Tensor]:
    """State dict of [`BagOfJobsForOccupationPrediction`] from the original program's.

    Args:
        weights: The original's state dict.
        config: What `original_bag_of_jobs_config` returns.

    Raises:
        ValueError: If a parameter is missing, or one is left over that the config has no place for.
    """
    names = _factored("last_occupation", "current_job") | {
        "earlier_occupations.embedding.weight": "decoder.embed_context.weight",
        "earlier_occupations.output.weight": "decoder.context_output_projection.weight",
    }
    for name in config.covariate_names:
        names |= _bag_of_jobs_tables(name)
    unused = [theirs for name in COVARIATES for theirs in _bag_of_jobs_tables(name).values()]
    return _renamed(weights, names, unused)


def _bag_of_jobs_tables(covariate: str) -> dict[str, str]:
    """The original's names for the tables of one covariate, by this package's names."""
    if covariate not in AVERAGED:
        return _factored(f"covariates.{covariate}", covariate)
    return _factored(f"covariates.{covariate}", f"current_{covariate}") | _factored(
        f"earlier_covariates.{covariate}", f"context_{covariate}"
    )


def _factored(ours: str, theirs: str) -> dict[str, str]:
    return {
        f"{ours}.embedding.weight": f"decoder.embed_{theirs}.weight",
        f"{ours}.output.weight": f"decoder.{theirs}_output_projection.weight",
    }


def _renamed(weights: Weights, names: Mapping[str, str], unused: Iterable[str]) -> dict[str, torch.Tensor]:
    """Copies of the original's parameters under this package's `names`; all others must be among the `unused`."""
    missing = sorted(set(names.values()) - set(weights))
    if missing:
        raise ValueError(f"the original checkpoint has no parameters {missing}; is it a checkpoint of this model?")
    unexpected = set(weights) - set(names.values()) - set(unused) - {"decoder.version"}
    if unexpected:
        raise ValueError(
            f"the original checkpoint has parameters that this config has no place for: {sorted(unexpected)}"
        )
    return {ours: weights[theirs].clone() for ours, theirs in names.items()}


__all__ = [
    "REGRESSION_FLAGS",
    "convert_bag_of_jobs",
    "convert_regression",
    "convert_state_dict",
    "original_bag_of_jobs_config",
    "original_config",
    "original_regression_config",
]
