"""OccupationConfig: the vocabulary and covariates of any occupation model: CAREER, a rival or a simulated truth."""

from dataclasses import field
from typing import Any, Self

import torch
from torch import nn
from transformers import PreTrainedConfig

from .checksums import Checksummed
from .json_fields import check_types
from .strict_config import MOST_IDS, number, size, strict_config


# Fields that Transformers reads and does not check, by the types that they have in a file.
TYPES = {
    "architectures": list[str] | None,
    "dtype": str | torch.dtype | None,
    "id2label": dict[str, str] | dict[int, str] | None,
    "label2id": dict[str, int] | dict[str, str] | None,
    "model_type": str,
    "transformers_version": str | None,
}


@strict_config
class OccupationConfig(Checksummed, PreTrainedConfig):
    r"""The vocabulary and covariates of a model, as `CareerProcessor.config_kwargs` gives them.

    Args:
        vocab_size (`int`): Number of occupation ids, special ids included. Ids index `id2label`.
        covariate_names (`list[str]`): Covariates x_t of Eq. 12, in the order of the last axis of `covariates`.
        covariate_sizes (`list[int]`): Number of levels of each covariate, "missing" included.
        levels_sha256 (`dict[str, str]`): SHA-256 of the levels of each covariate, in the order of their ids, by which
            the processor of other levels, or of the same in another order, is refused. Occupations need none, because
            `id2label` has them. Empty in a config that was made by hand or by an older version: then only the numbers
            of levels are compared.
        use_cache (`bool`): Whether to return a key/value cache, for models that have one.
        pad_token_id (`int`): Id of padding.
        bos_token_id (`int`): Id of the beginning of a career, the "previous occupation" of the first step.
        special_token_ids (`list[int]`): Ids that are not occupations and have no probability; if empty, padding and
            the beginning of a career.
        tie_word_embeddings (`bool`): Not supported by any model here.
    """

    model_type = "occupation_model"
    checksummed_files = ("config.json",)
    # The cache has had its second name since Transformers 5.24.
    keys_to_ignore_at_inference = ["past_key_values", "cache", "stay_logit"]

    vocab_size: int = size(335, MOST_IDS)
    covariate_names: list[str] = field(default_factory=list)
    covariate_sizes: list[int] = size(list, MOST_IDS)  # type: ignore[arg-type]  # a factory
    levels_sha256: dict[str, str] = field(default_factory=dict)
    use_cache: bool = False
    pad_token_id: int = number(0, at_least=0, below=MOST_IDS)
    bos_token_id: int = number(1, at_least=0, below=MOST_IDS)
    eos_token_id: int | None = number(None, at_least=0, below=MOST_IDS)
    special_token_ids: list[int] = number(list, at_least=0, below=MOST_IDS)
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if not self.special_token_ids:
            self.special_token_ids = sorted({self.pad_token_id, self.bos_token_id})
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = {i: str(i) for i in range(self.vocab_size)}
        super().__post_init__(**kwargs)
        # Labels that were given with it are kept as they were written, unless they say something else.
        ids = {label: i for i, label in self.id2label.items()}
        if {label: str(i) for label, i in (self.label2id or {}).items()} != {k: str(i) for k, i in ids.items()}:
            self.label2id = ids

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """A config from the fields of its file; raises a ValueError that names a field of a wrong type."""
        check_types("config.json", config_dict, TYPES)
        if wrong := [i for i in config_dict.get("id2label") or {} if not str(i).isdecimal()]:
            raise ValueError(f"config.json is damaged: 'id2label' has the id {wrong[0]!r}, which is no number")
        dtype = config_dict.get("dtype")
        if isinstance(dtype, str) and not isinstance(getattr(torch, dtype.removeprefix("torch."), None), torch.dtype):
            raise ValueError(f"config.json is damaged: 'dtype' is {dtype!r}, and no number type such as 'float32'")
        return super().from_dict(config_dict, **kwargs)

    def validate_vocabulary(self):
        """Part of `@strict` validation: raises a ValueError for impossible special ids or too few occupations."""
        special = self.special_token_ids
        outside = [i for i in (*special, self.pad_token_id, self.bos_token_id) if not 0 <= i < self.vocab_size]
        if outside:
            raise ValueError(f"special ids {outside} are outside the vocabulary (vocab_size={self.vocab_size})")
        missing = {self.pad_token_id, self.bos_token_id} - set(special)
        if missing:
            raise ValueError(
                f"special_token_ids {special} must contain pad_token_id and bos_token_id; add {sorted(missing)}"
            )
        if self.vocab_size - len(set(special)) < 2:
            raise ValueError(
                f"vocab_size={self.vocab_size} leaves fewer than two occupations beside the special ids {special}; "
                "with one occupation nobody can move"
            )

    def validate_covariates(self):
        """Part of `@strict` validation: raises a ValueError for covariate lists that do not fit together."""
        names, sizes = self.covariate_names, self.covariate_sizes
        if len(names) != len(sizes):
            raise ValueError(
                f"covariate_names has {len(names)} entries and covariate_sizes {len(sizes)}: {names}, {sizes}"
            )
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"covariate_names has duplicates: {duplicates}")
        dotted = [name for name in names if "." in name or not name]
        if dotted:
            raise ValueError(f"covariate names become parameter names and cannot be empty or contain a dot: {dotted}")
        taken = [name for name in names if hasattr(nn.ModuleDict(), name)]
        if taken:
            raise ValueError(
                f"covariate names {taken} are taken by torch's nn.ModuleDict; rename them, '{taken[0]}_' for example"
            )

    def check_labels(self) -> None:
        """Raises a ValueError unless every id has a label, and so every prediction.

        Models call it. A config alone may have other labels, as any config of Transformers.
        """
        # "LABEL_0" of Transformers and "0" of this config are allowed to be too few, because they name nothing.
        labels = self.id2label or {}
        has_names = any(label not in (f"LABEL_{i}", str(i)) for i, label in labels.items())
        if has_names and set(labels) != set(range(self.vocab_size)):
            raise ValueError(
                f"id2label has {len(labels)} labels for vocab_size={self.vocab_size}; it needs one for each. "
                "To change a trained model's vocabulary use model.resize_vocabulary(old_processor, new_processor)"
            )

    def check_covariates(self, inputs: torch.Tensor, covariates: torch.Tensor | None) -> None:
        """Raises a ValueError unless covariates are `(batch, time, covariates)`, or None for a model without any.

        Args:
            inputs: `(batch, time, ...)`, the ids or embeddings of the steps.
            covariates: Levels of the covariates.
        """
        names, steps = self.covariate_names, inputs.shape[:2]
        if covariates is None:
            if names:
                raise ValueError(
                    f"this model was trained with the covariates {names}, and none were given; pass covariates of "
                    f"shape {(*steps, len(names))}"
                )
        elif not names:
            raise ValueError("this model has no covariates (config.covariate_names is empty); pass covariates=None")
        elif covariates.shape != (*steps, len(names)):
            raise ValueError(
                f"covariates have shape {tuple(covariates.shape)}, expected {(*steps, len(names))}: "
                f"(batch, time) of input_ids and one column for each of {names}"
            )


__all__ = ["OccupationConfig"]
