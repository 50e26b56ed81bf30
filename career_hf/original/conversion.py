"""Weights of the original CAREER program, renamed and reshaped for this package."""

from __future__ import annotations

import re

import torch

from ..models.configuration_career import CareerConfig


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
    """The config that reproduces the original program exactly, with sizes read off its weights.

    Args:
        weights: The original's state dict (`decoder.*`).
        covariate_names: The covariates that the checkpoint was trained with (its `--include-*` flags), in any order.
        num_attention_heads: Heads; weights do not tell.
        two_stage: Whether the last row of the output matrix is the stage-one vector eta.
        special_token_ids: Ids of `<s>`, `<pad>`, `</s>` and made-up words. They stay in the softmax, as they did
            there.
        kwargs: Further config fields, dropout for example.
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
        pad_token_id=1,
        bos_token_id=2,  # the original begins careers with "</s>"
        special_token_ids=special_token_ids,
        scale_occupation_embedding=True,
        logit_clamp=10.0,
        special_tokens_in_softmax=True,
        first_step_stay=True,
        **kwargs,
    )


def convert_state_dict(weights: dict[str, torch.Tensor], config: CareerConfig) -> dict[str, torch.Tensor]:
    """State dict of [`CareerForOccupationPrediction`] from the original program's.

    Tables of covariates that the config does not name are left out: the original always has all five and ignores the
        unused.

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
