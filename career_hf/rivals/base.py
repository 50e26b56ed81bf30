"""The base of rivals that are trained by gradient descent: they share inputs, outputs and likelihood with CAREER.

A rival defines the scores of occupations and of staying; `two_stage.py` turns scores into probabilities for all
models. So a comparison of models only compares how they use the past.
"""

from typing import Any, Self

import torch
from torch import nn

from ..encoding.processing_career import CareerProcessor
from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.strict_config import number, strict_config
from ..models.two_stage import nothing_to_stay_in, occupation_log_probs, two_stage_log_probs


@strict_config
class BaselineConfig(OccupationConfig):
    r"""Configuration that all rivals share.

    Args:
        two_stage (`bool`): Whether prediction is in two stages (Eq. 18), or one softmax.
        initializer_range (`float`): Standard deviation of initial weights.
        logit_clamp (`float`, *optional*): Clamp all scores to +- this value, as the original program does (10).
        special_tokens_in_softmax (`bool`): Leave special ids in the softmax, as the original program does.
        first_step_stay (`bool`): Apply stage one to the first step too, as the original program does.

    All other fields are those of [`OccupationConfig`].
    """

    model_type = "career_baseline"

    two_stage: bool = True
    initializer_range: float | int = number(0.02, at_least=0)
    logit_clamp: float | int | None = number(None, above=0)
    special_tokens_in_softmax: bool = False
    first_step_stay: bool = False

    @classmethod
    def from_processor(cls, processor: CareerProcessor, **kwargs: Any) -> Self:
        """The config of a model for a processor's careers; `kwargs` are further fields."""
        return cls(**processor.config_kwargs(), **kwargs)

    @property
    def num_scores(self) -> int:
        """Number of scores of a step: one for each occupation id and, in two stages, a last one for staying."""
        return self.vocab_size + self.two_stage


class BaselineForOccupationPrediction(OccupationModel):
    """An occupation model that is defined by its `scores`; it takes one career per row and has no cache."""

    config: BaselineConfig
    config_class = BaselineConfig

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The scores from which occupations and staying are predicted.

        Args:
            input_ids: `(batch, time)`, y_{t-1}; padded on the right.
            covariates: `(batch, time, covariates)`, levels of x_t.

        Returns:
            `(batch, time, vocabulary)` logits of occupations, and `(batch, time)` logits of staying, or None in one
            stage. Step t may depend on steps up to t alone.
        """
        raise NotImplementedError(f"{type(self).__name__} must define scores")

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, stay_logit = self.scores(input_ids, covariates)
        clamp, special = self.config.logit_clamp, self.config.special_token_ids
        excluded = [] if self.config.special_tokens_in_softmax else special
        if clamp is not None:
            logits = logits.clamp(-clamp, clamp)
        if stay_logit is None:
            return occupation_log_probs(logits, excluded), None
        stay_logit = stay_logit.to(torch.promote_types(stay_logit.dtype, torch.float32))
        if clamp is not None:
            stay_logit = stay_logit.clamp(-clamp, clamp)
        if not self.config.first_step_stay:
            stay_logit = nothing_to_stay_in(stay_logit, input_ids, special)
        return two_stage_log_probs(logits, stay_logit, input_ids, excluded), stay_logit

    def split(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Splits `(..., config.num_scores)` into logits of occupations, and logits of staying or None."""
        return scores[..., : self.config.vocab_size], scores[..., -1] if self.config.two_stage else None


class CovariateEmbeddings(nn.ModuleDict):
    """The sum of covariate embeddings, sum_c e_c(x_tc) of Eq. 12, `(batch, time, size)`; 0 without covariates."""

    def __init__(self, config: OccupationConfig, size: int):
        super().__init__(
            {
                name: nn.Embedding(levels, size)
                for name, levels in zip(config.covariate_names, config.covariate_sizes, strict=True)
            }
        )

    def forward(self, covariates: torch.Tensor | None) -> torch.Tensor | float:
        if covariates is None:
            return 0.0
        return sum(embed(level) for embed, level in zip(self.values(), covariates.unbind(-1), strict=True))


__all__ = ["BaselineConfig", "BaselineForOccupationPrediction", "CovariateEmbeddings"]
