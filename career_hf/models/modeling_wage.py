"""CareerForWagePrediction: CAREER with a head for log wages, trained on wages and occupations together.

    log wage of year t  =  mean + scale MLP([h_t(y_{t-1}, x_t), e_y(y_t)])

h_t of the paper excludes the occupation of year t; the embedding of that occupation beside it makes the career
complete ("including"). Fixed representations (Eq. 9), which were never trained on wages, are compared with this model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring, can_return_tuple

from .configuration_career import CareerConfig
from .modeling_career import CareerForOccupationPrediction
from .modeling_outputs import CareerOutput
from .strict_config import number, one_of, size, strict_config
from .two_stage import mean_nll


@strict_config
class CareerWageConfig(CareerConfig):
    r"""Configuration of [`CareerForWagePrediction`].

    Args:
        wage_timing (`str`): "including" the occupation of year t, or "before" it, as in `representations`.
        wage_mean (`float`): Mean log wage of the training careers, where predictions start.
        wage_scale (`float`): Standard deviation of these log wages, the unit of wage errors in the loss.
        wage_hidden_size (`int`): Number of hidden units in the wage head.
        occupation_weight (`float`): Weight of the occupations' likelihood in the loss; 0 trains on wages alone.
        exclude_covariates (`list[str]`): Covariates that the model must never see, such as gender where gaps between
            women and men are estimated. A config with one of them among `covariate_names` is a ValueError.

    All other fields are those of [`CareerConfig`].
    """

    model_type = "career_wage"

    wage_timing: str = one_of("including", "before", "including")
    wage_mean: float | int = number(0.0)
    wage_scale: float | int = number(1.0, above=0)
    wage_hidden_size: int = size(64)
    occupation_weight: float | int = number(1.0, at_least=0)
    exclude_covariates: list[str] = field(default_factory=list)

    def validate_wages(self):
        """Validates the fields that concern wages, as part of `@strict` validation."""
        check_excluded(self.covariate_names, self.exclude_covariates)


def check_excluded(covariate_names: Sequence[str], excluded: Sequence[str]) -> None:
    """Raises a ValueError if a model has covariates that it must never see, or these are no list."""
    if isinstance(excluded, str):
        raise ValueError(f"exclude_covariates={excluded!r} is a text: pass a list, exclude_covariates=[{excluded!r}]")
    if seen := [name for name in covariate_names if name in excluded]:
        raise ValueError(
            f"the model has the covariates {seen}, which it must never see: train it without them from the start, "
            "pretraining included (CareerProcessor.fit and extend take the covariates of the model)"
        )


@dataclass
class WageOutput(CareerOutput):
    """Output of [`CareerForWagePrediction`]: the output of an occupation model, and wages.

    Args:
        predicted_log_wage (`torch.FloatTensor` of shape `(batch, time)`, *optional*):
            Expected log wages in float32. None if the model reads the occupation of year t and `labels` is None.
    """

    predicted_log_wage: torch.Tensor | None = None


class CareerWageHead(nn.Module):
    """A network with one hidden layer from a career to a standardised log wage."""

    def __init__(self, config: CareerWageConfig):
        super().__init__()
        size = config.hidden_size * (2 if config.wage_timing == "including" else 1)
        self.up_proj = nn.Linear(size, config.wage_hidden_size)
        self.act_fn = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.down_proj = nn.Linear(config.wage_hidden_size, 1)

    def forward(self, career: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.dropout(self.act_fn(self.up_proj(career)))).squeeze(-1)


@auto_docstring(custom_intro="CAREER with a wage head, which predicts occupations too.")
class CareerForWagePrediction(CareerForOccupationPrediction):
    config: CareerWageConfig
    config_class = CareerWageConfig
    description = (
        "CAREER ([Vafa et al., 2024](https://openreview.net/forum?id=4i1MXH8Sle)) with a wage head: it predicts log "
        "wages, and occupations too"
    )
    why_not_exported = "it has not been tried"

    def __init__(self, config: CareerWageConfig):
        super().__init__(config)
        self.wage_head = CareerWageHead(config)
        self.post_init()

    @classmethod
    def from_occupation_model(
        cls,
        model: CareerForOccupationPrediction,
        log_wages: np.ndarray | Sequence[float],
        *,
        exclude_covariates: Sequence[str] = (),
        **fields: Any,
    ) -> Self:
        """A wage model that starts from a trained model of occupations, with a new head.

        Args:
            model: A CAREER model that was trained on occupations; it is copied.
            log_wages: Log wages of the training careers, NaN where not observed.
            exclude_covariates: Covariates that `model` must never have seen.
            fields: Further fields of `CareerWageConfig`.

        Raises:
            ValueError: The model has seen an excluded covariate, or fewer than two wages are observed.
        """
        check_excluded(model.config.covariate_names, exclude_covariates)
        observed = np.asarray(log_wages, dtype=np.float64)
        observed = observed[np.isfinite(observed)]
        if len(observed) < 2 or observed.std() == 0:
            raise ValueError(f"{len(observed)} observed wages have no variance: train on careers with wages")
        inherited = {name: value for name, value in model.config.to_dict().items() if name not in NOT_INHERITED}
        config = CareerWageConfig(
            **inherited,
            **{"wage_mean": float(observed.mean()), "wage_scale": float(observed.std()), **fields},
            exclude_covariates=list(exclude_covariates),
        )
        wages = cls(config)
        head = {name: values for name, values in wages.state_dict().items() if name.startswith("wage_head.")}
        wages.load_state_dict(model.state_dict() | head)
        return wages.to(device=model.device, dtype=model.dtype)  # type: ignore[arg-type, call-arg]

    @can_return_tuple
    @auto_docstring
    def forward(  # type: ignore[misc, override]
        self,
        input_ids: torch.Tensor | None = None,
        covariates: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        log_wage: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        cache: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> WageOutput:
        r"""
        covariates (`torch.LongTensor` of shape `(batch, time, covariates)`, *optional*):
            Levels of x_t, in the order of `config.covariate_names`. Required exactly where that list is not empty.
        labels (`torch.LongTensor` of shape `(batch, time)`, *optional*):
            y_t, aligned with `input_ids` (y_{t-1}). -100 is not scored.
        log_wage (`torch.FloatTensor` of shape `(batch, time)`, *optional*):
            Log wage of year t, NaN where it is not observed. With it the loss is the squared error of observed wages,
            in units of `config.wage_scale`, plus `config.occupation_weight` times -log p(y_t), both summed over steps
            and divided by the number of scored steps, whether they have a wage or not. It needs `labels`.
        weight (`torch.FloatTensor` of shape `(batch,)` or `(batch, time)`, *optional*):
            Survey weight of each person, or of each step when careers are packed; as in
            [`CareerForOccupationPrediction`].
        num_items_in_batch (`torch.Tensor` or `int`, *optional*):
            Number of scored steps in the whole batch, as Trainer gives it when gradients are accumulated.
        past_key_values (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers had for it up to 5.23.
        cache (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers has for it from 5.24.
        """
        if log_wage is not None and labels is None:
            raise ValueError(
                "log_wage without labels: the loss needs the occupations too, because they tell which steps are scored"
            )
        if log_wage is not None and input_ids is not None and log_wage.shape != input_ids.shape:
            raise ValueError(
                f"log_wage has shape {tuple(log_wage.shape)}, and input_ids {tuple(input_ids.shape)}: give a log wage "
                "for every step, NaN where it is not observed"
            )
        outputs = super().forward(
            input_ids=input_ids,
            covariates=covariates,
            attention_mask=attention_mask,
            labels=labels,
            weight=weight,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            num_items_in_batch=num_items_in_batch,
            cache=cache,
            return_dict=True,
            **kwargs,
        )
        predicted = self._predict(outputs.last_hidden_state, labels)
        loss = outputs.loss
        if labels is not None and log_wage is not None and predicted is not None:
            observed = torch.isfinite(log_wage)
            error = (torch.where(observed, log_wage, 0).to(predicted.dtype) - predicted) / self.config.wage_scale
            squared = torch.where(observed, error, 0) ** 2
            loss = mean_nll(squared, labels, weight, num_items_in_batch) + self.config.occupation_weight * loss
        return WageOutput(**{**outputs, "loss": loss}, predicted_log_wage=predicted)

    def _predict(self, hidden_states: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor | None:
        """`(batch, time)`, log wages in float32."""
        if self.config.wage_timing == "including":
            if labels is None:
                return None
            occupation = self.model.embed_tokens(labels.clamp(min=0))
            hidden_states = torch.cat([hidden_states, occupation], dim=-1)
        standardised = self.wage_head(hidden_states)
        standardised = standardised.to(torch.promote_types(standardised.dtype, torch.float32))
        return self.config.wage_mean + self.config.wage_scale * standardised


# Fields of a config that its own class and file determine.
NOT_INHERITED = ("model_type", "architectures", "transformers_version", "dtype", "_name_or_path")


__all__ = ["CareerForWagePrediction", "CareerWageConfig", "WageOutput", "check_excluded"]
