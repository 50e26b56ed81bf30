"""OccupationModel: the base of every occupation model but CAREER, with one forward signature, its checks and its loss.

A subclass defines the probability of every occupation at every step. Inputs and outputs are defined here once, for
rivals that are trained, chains that are counted and the truth of a simulated market.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.utils import can_return_tuple

from .checked_loading import CheckedWeights
from .configuration_occupation import OccupationConfig
from .facts import ModelFacts
from .generation import WithoutGenerate
from .input_checks import check_inputs, check_keywords, check_labels, check_levels, check_predictions
from .modeling_outputs import CareerOutput
from .positions import move_left, padding_on_the_left, restarts
from .two_stage import mean_nll


class OccupationModel(ModelFacts, WithoutGenerate, CheckedWeights, PreTrainedModel):
    """An occupation model without a cache; a subclass defines it by its `log_probs`.

    `takes_packed_careers` tells whether one row may have several careers, separated by `position_ids` that restart.
    """

    config: OccupationConfig
    config_class = OccupationConfig
    main_input_name = "input_ids"
    model_tags = ["career", "occupation-prediction"]
    takes_packed_careers = False

    def __init__(self, config: OccupationConfig):
        super().__init__(config)
        config.check_labels()

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Raises a ValueError: these models are small, and are trained or counted anew for another vocabulary."""
        raise ValueError(
            f"a {type(self).__name__} keeps its vocabulary: train it again with a processor that knows the "
            "occupations (resize_vocabulary gives CAREER another vocabulary)"
        )

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The model's predictions, which a subclass must define.

        Args:
            input_ids: `(batch, time)`, y_{t-1}; padded on the right.
            covariates: `(batch, time, covariates)`, levels of x_t.
            position_ids: `(batch, time)`, restarting at 0 where packed careers begin.

        Returns:
            `(batch, time, vocabulary)` log-probabilities of occupations, and `(batch, time)` log-odds of staying, or
            None if the model does not predict staying by itself. Step t may depend on steps up to t alone.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_probs")

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        covariates: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        cache: Cache | None = None,
        **kwargs,
    ) -> CareerOutput:
        """Log-probabilities of every occupation at every step.

        Args:
            input_ids: `(batch, time)`, y_{t-1}.
            covariates: `(batch, time, covariates)`, levels of x_t, exactly where the config names covariates.
            attention_mask: `(batch, time)`, 0 at padding. It is needed only for padding on the left.
            labels: `(batch, time)`, y_t; -100 is not scored.
            weight: `(batch,)` or `(batch, time)`, survey weights in the loss.
            position_ids: `(batch, time)`; needed only for packed careers.
            past_key_values, cache: Must be None; pass whole histories.
            use_cache: Ignored.
            num_items_in_batch: The divisor of the summed loss, instead of the weight of the scored steps.

        Raises:
            ValueError: If careers are packed and the model takes one per row, if there is a cache, if ids, covariates
                or labels do not fit the config, or if a weight is none.
        """
        if input_ids is None:
            raise ValueError(f"a {type(self).__name__} needs input_ids, the occupations of the steps before")
        check_keywords(self, kwargs)
        masks = {"attention_mask": attention_mask, "position_ids": position_ids}
        check_inputs(self.config, input_ids, covariates, labels=labels, weight=weight, **masks)
        check_levels(self.config, input_ids, covariates)
        check_labels(self.config, input_ids, labels, weight, num_items_in_batch)
        if past_key_values is not None or cache is not None:
            raise ValueError(f"{type(self).__name__} keeps no cache: pass whole histories")
        packed = position_ids is not None and restarts(position_ids, attention_mask)
        if packed and not self.takes_packed_careers:
            raise ValueError(f"{type(self).__name__} takes one career per row: use PaddingCollator, layout='padded'")
        padding = padding_on_the_left(attention_mask)
        if padding is None:
            log_probs, stay_logit = self.log_probs(input_ids, covariates, position_ids)
        else:
            # These models count steps from the left, so careers are moved there, and their predictions back.
            log_probs, stay_logit = self.log_probs(
                move_left(input_ids, padding),
                None if covariates is None else move_left(covariates, padding),
                None if position_ids is None else move_left(position_ids.expand_as(input_ids), padding),
            )
            log_probs = move_left(log_probs, -padding)
            stay_logit = None if stay_logit is None else move_left(stay_logit, -padding)
        if not self.training:
            check_predictions(log_probs)
        loss = None
        if labels is not None:
            nll = -log_probs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            loss = mean_nll(nll, labels, weight, num_items_in_batch)
        return CareerOutput(loss=loss, logits=log_probs, stay_logit=stay_logit)


__all__ = ["OccupationModel"]
