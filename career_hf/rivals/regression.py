"""Markov regression: a multinomial logit of the next occupation (Hall, 1972; Eq. 10 and Appendix G of the paper).

    score_j = b_j + B1_j[y_{t-1}] + B2_j[y_{t-2}] + sum_c Bc_j[x_tc] + w_j . z_t

z_t has the features of Appendix G: years in the current occupation and in the data, a dummy for a gap of more than a
year, and a dummy for a change of education. In two stages a further score is that of staying. Everything is computed
from `input_ids` and `covariates`; the config has the meaning of their levels.

As in the original program, durations are numbers of observations and start at 0: the first year in an occupation is 0,
which the intercept makes equivalent to 1. Three choices differ. A gap is measured in years, while the original
compares places in its dictionary. It is longer than the survey's usual interval instead of a year, because in a
biennial survey every step would be a gap. And a first step is no change of education, while it is one in the original,
which is equivalent too: only at a first step is y_{t-1} the beginning of the career.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from ..encoding.processing_career import CareerProcessor
from ..models.strict_config import number, size, strict_config
from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict_config
class RegressionConfig(BaselineConfig):
    r"""Configuration of [`RegressionForOccupationPrediction`]; `from_processor` sets the meaning of covariates.

    Args:
        time_covariate (`str`, *optional*): The covariate that is the year. Without it there is no dummy for gaps.
        year_of_level (`list[int | None]`): The year, or the number of another period, of each of its levels; None is
            unknown, which counts as a gap.
        step_length (`int`): Number of years above which a step is a gap; 1 in the paper.
        change_covariates (`list[str]`): Covariates with a dummy for steps at which their level changes.

    All other fields are those of [`BaselineConfig`].

    Example:
        >>> config = RegressionConfig(covariate_names=["race", "education"], covariate_sizes=[4, 6])
        >>> config.history_features
        ['years_in_occupation', 'total_years']
    """

    model_type = "career_regression"

    time_covariate: str | None = None
    year_of_level: list[int | None] = number(list, at_least=-9999, at_most=35_999)
    step_length: int = size(1, 9999)
    change_covariates: list[str] = field(default_factory=list)

    def validate_features(self):
        """Part of `@strict` validation: features must name covariates, and every level of time needs a year."""
        sizes = dict(zip(self.covariate_names, self.covariate_sizes, strict=False))
        times = [] if self.time_covariate is None else [self.time_covariate]
        unknown = [name for name in [*times, *self.change_covariates] if name not in sizes]
        if unknown:
            raise ValueError(
                f"time_covariate and change_covariates name {unknown}, and the covariates are {self.covariate_names}"
            )
        levels = sizes[self.time_covariate] if self.time_covariate is not None else 0
        if len(self.year_of_level) != levels:
            raise ValueError(
                f"year_of_level has {len(self.year_of_level)} years for the {levels} levels of time_covariate "
                f"{self.time_covariate!r}; RegressionConfig.from_processor reads them off the labels"
            )

    @classmethod
    def from_processor(
        cls, processor: CareerProcessor, change_covariates: Sequence[str] = ("education",), **kwargs: Any
    ) -> Self:
        """The config of a regression for a processor's careers.

        Features of covariates that the processor does not have are left out; `history_features` lists the others.

        Args:
            processor: The processor, from which the year of each level and `step_length` are read.
            change_covariates: Covariates whose change is a feature.
            kwargs: Further fields, which take precedence.
        """
        time: dict[str, Any] = {}
        if processor.time_covariate is not None:
            labels = processor.covariate_levels[processor.covariate_names.index(processor.time_covariate)]
            time = {
                "time_covariate": processor.time_covariate,
                "year_of_level": [int(label) if label.lstrip("-").isdigit() else None for label in labels],
                "step_length": processor.step_length,
            }
        present = [name for name in change_covariates if name in processor.covariate_names]
        return super().from_processor(processor, change_covariates=present, **(time | kwargs))

    @property
    def history_features(self) -> list[str]:
        """The names of z_t's entries."""
        gap = [] if self.time_covariate is None else ["gap"]
        return ["years_in_occupation", "total_years", *gap, *(f"change_of_{name}" for name in self.change_covariates)]


class RegressionForOccupationPrediction(BaselineForOccupationPrediction):
    """Markov regression, Eq. 10 with the features of Appendix G.

    The paper trains it with `baseline_recipe(config, folder, warmup_steps=4_000, bf16=False)`; half precision was not
    stable.
    """

    config: RegressionConfig
    config_class = RegressionConfig
    description = "a multinomial regression on the last occupation and covariates"
    why_not_exported = None
    why_not_onnx = "which has no running maximum (it counts years in an occupation)"
    trial_rates = (4e-3, 1e-3, 2e-3, 8e-3, 3e-3, 1.6e-2, 5e-4, 6e-3)
    paper_schedule = {"learning_rate": 5e-4, "warmup_steps": 4_000}

    def __init__(self, config: RegressionConfig):
        super().__init__(config)
        self.last_occupation = nn.Embedding(config.vocab_size, config.num_scores)
        # The row of padding stands for "no occupation before the last one" and stays zero.
        self.second_last_occupation = nn.Embedding(
            config.vocab_size, config.num_scores, padding_idx=config.pad_token_id
        )
        self.covariates = CovariateEmbeddings(config, config.num_scores)
        self.history = nn.Linear(len(config.history_features), config.num_scores)  # its bias is the intercept
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.history:
            init.zeros_(module.weight)  # durations are large; the original starts at zero too

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        second_last = F.pad(input_ids[:, :-1], (1, 0), value=self.config.pad_token_id)
        features = history_features(self.config, input_ids, covariates).to(self.history.weight.dtype)
        scores = self.last_occupation(input_ids) + self.second_last_occupation(second_last)
        return self.split(scores + self.covariates(covariates) + self.history(features))


def history_features(
    config: RegressionConfig, input_ids: torch.Tensor, covariates: torch.Tensor | None
) -> torch.Tensor:
    """z_t, `(batch, time, features)` in float32, in the order of `config.history_features`.

    Args:
        config: Config with the meaning of covariate levels.
        input_ids: `(batch, time)`, y_{t-1}.
        covariates: `(batch, time, covariates)`, levels of x_t; None for a model without covariates.
    """
    position = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
    spell_start = position.masked_fill(~_changed(input_ids, first=True), 0).cummax(dim=1).values
    features = [position - spell_start, position]
    if covariates is not None:
        level = dict(zip(config.covariate_names, covariates.unbind(-1), strict=True))
        if config.time_covariate is not None:
            years = [float("nan") if year is None else float(year) for year in config.year_of_level]
            year = torch.tensor(years, device=input_ids.device)[level[config.time_covariate]]
            within = year.diff(dim=1) <= config.step_length  # false if a year is unknown
            features.append(F.pad(~within, (1, 0), value=False))
        features += [_changed(level[name], first=False) for name in config.change_covariates]
    return torch.stack([feature.float() for feature in features], dim=-1)


def _changed(values: torch.Tensor, first: bool) -> torch.Tensor:
    """Whether each value differs from the previous one in its row; `first` is the result for the first value."""
    return F.pad(values[:, 1:] != values[:, :-1], (1, 0), value=first)


__all__ = ["RegressionConfig", "RegressionForOccupationPrediction", "history_features"]
