"""CAREER with one thing done otherwise, for the study of ablations only (Appendices C and G of the paper).

Each is the model itself up to what its docstring says, with the same likelihood, recipe and attention. What the paper
tried is said in words there, so what exactly was added where is our reading. What stays teach is a question of ours.
"""

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast

from career_hf.models.configuration_career import CareerConfig
from career_hf.models.modeling_career import CareerForOccupationPrediction, CareerModel
from career_hf.models.positions import sinusoidal_positions
from career_hf.models.two_stage import occupation_log_probs


@strict
class LateCovariatesConfig(CareerConfig):
    r"""Configuration of [`LateCovariatesForOccupationPrediction`].

    Args:
        layers_before_covariates (`int`): Layers that come before covariates are added; as many as there are adds them
            to what the last layer returns, and 0 is CAREER.

    The rest as in [`CareerConfig`].
    """

    model_type = "career_late_covariates"

    layers_before_covariates: int = 4

    def validate_place(self):
        """Part of `@strict` validation: covariates, and a layer for them."""
        if not 0 <= self.layers_before_covariates <= self.num_hidden_layers:
            raise ValueError(
                f"layers_before_covariates is {self.layers_before_covariates}, and there are {self.num_hidden_layers} "
                "layers: give a number from 0 to that"
            )


@strict
class LearnedPositionsConfig(CareerConfig):
    r"""Configuration of [`LearnedPositionsForOccupationPrediction`].

    Args:
        max_position_embeddings (`int`): Positions that are learned; a longer career is an error.

    The rest as in [`CareerConfig`].
    """

    model_type = "career_learned_positions"


@strict
class CovariateOutputConfig(CareerConfig):
    r"""Configuration of [`CovariateOutputForOccupationPrediction`], that of [`CareerConfig`]."""

    model_type = "career_covariate_output"


@strict
class TaughtByStaysConfig(CareerConfig):
    r"""Configuration of [`TaughtByStaysForOccupationPrediction`], that of [`CareerConfig`]."""

    model_type = "career_taught_by_stays"

    def validate_stages(self):
        """Part of `@strict` validation: two stages, since stays train a single softmax anyway."""
        if not self.two_stage:
            raise ValueError("two_stage is False, and a single softmax is trained at stays already: use CareerConfig")


class Nothing(nn.Module):
    """Stands where Eq. 12 adds a covariate's embedding, and adds nothing."""

    def forward(self, level: torch.Tensor) -> float:
        return 0.0


class BlindCareerModel(CareerModel):
    """A transformer whose first layer does not see covariates."""

    def __init__(self, config: CareerConfig):
        super().__init__(config)
        self.embed_covariates = nn.ModuleDict({name: Nothing() for name in config.covariate_names})


class LateCovariatesModel(BlindCareerModel):
    """Covariates are added between two layers, or after the last, instead of in Eq. 12."""

    config: LateCovariatesConfig

    def __init__(self, config: LateCovariatesConfig):
        super().__init__(config)
        tables = zip(config.covariate_names, config.covariate_sizes, strict=True)
        self.late_covariates = nn.ModuleDict({name: nn.Embedding(size, config.hidden_size) for name, size in tables})
        self.post_init()

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPast:
        self.config.check_covariates(input_ids, covariates)
        if covariates is None:
            return super().forward(input_ids, covariates, **kwargs)
        levels = zip(self.late_covariates.values(), covariates.unbind(-1), strict=True)
        late = self.dropout(torch.stack([embed(level) for embed, level in levels]).sum(dim=0))
        # What comes next, a layer or the last LayerNorm, gets the sum.
        place = [*self.layers, self.norm][self.config.layers_before_covariates]
        added = place.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + late, *inputs[1:]))
        try:
            return super().forward(input_ids, covariates, **kwargs)
        finally:
            added.remove()


class LearnedPositionsModel(CareerModel):
    """The position embeddings e_t of Eq. 12 are parameters, drawn like all others."""

    def __init__(self, config: LearnedPositionsConfig):
        super().__init__(config)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.post_init()

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        covariates: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        if position_ids is None:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(input_ids.shape[1], device=input_ids.device) + past).unsqueeze(0)
        learned, longest = self.embed_positions, int(position_ids.max()) + 1
        if longest > learned.num_embeddings:
            raise ValueError(
                f"a career has {longest} steps, and positions were learned for {learned.num_embeddings}: train with a "
                "larger max_position_embeddings"
            )
        # The model adds sinusoids, which are taken out again where dropout gets the sum of Eq. 12.
        instead = learned(position_ids) - sinusoidal_positions(position_ids, self.config.hidden_size)
        swapped = self.dropout.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + instead,))
        try:
            return super().forward(
                input_ids, covariates, attention_mask, position_ids, past_key_values=past_key_values, **kwargs
            )
        finally:
            swapped.remove()


class CovariateOutputModel(BlindCareerModel):
    """Covariates do not enter; the representation is repeated for each of their levels.

    What is returned is `(batch, time, (1 + levels) D)`: h_t, then h_t once more at the place of every level that x_t
    has, and zeros at the other levels' places. A linear layer of it has weights of its own for each level.
    """

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPast:
        outputs = super().forward(input_ids, covariates, **kwargs)
        hidden_states = outputs.last_hidden_state
        given = [torch.ones_like(input_ids).unsqueeze(-1)]
        if covariates is not None:
            sizes = zip(covariates.unbind(-1), self.config.covariate_sizes, strict=True)
            given += [nn.functional.one_hot(level, size) for level, size in sizes]
        places = torch.cat(given, dim=-1).to(hidden_states.dtype)
        outputs.last_hidden_state = (places.unsqueeze(-1) * hidden_states.unsqueeze(-2)).flatten(-2)
        return outputs


class LateCovariatesForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER with covariates that enter late: "introducing them later in the transformer architecture"."""

    config: LateCovariatesConfig
    config_class = LateCovariatesConfig

    def __init__(self, config: LateCovariatesConfig):
        super().__init__(config)
        self.model = LateCovariatesModel(config)
        self.post_init()


class LearnedPositionsForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER with learned positions: "these embeddings could also be parameterized"."""

    config: LearnedPositionsConfig
    config_class = LearnedPositionsConfig

    def __init__(self, config: LearnedPositionsConfig):
        super().__init__(config)
        self.model = LearnedPositionsModel(config)
        self.post_init()


class CovariateOutputForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER whose covariates choose the output weights: "different final-layer weights for each covariate".

        beta_j(x_t) = beta_j + sum_c beta_{j, c, x_tc},    eta(x_t) = eta + sum_c eta_{c, x_tc}

    in place of beta_j in Eq. 2 and eta in Eq. 1.
    """

    config: CovariateOutputConfig
    config_class = CovariateOutputConfig

    def __init__(self, config: CovariateOutputConfig):
        super().__init__(config)
        self.model = CovariateOutputModel(config)
        size = (1 + sum(config.covariate_sizes)) * config.hidden_size
        self.lm_head = nn.Linear(size, config.vocab_size, bias=False)
        self.stay_head = nn.Linear(size, 1, bias=False) if config.two_stage else None
        self.post_init()


class TaughtByStaysForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER in two stages, whose second is trained at stays too, as one stage is.

    What it predicts is Eq. 18. In training, at y_t = y_{t-1}, the loss also has -log softmax(beta h_t)_{y_t} over all
    occupations: does a model learn to copy occupations from the past where they are kept? A compiled model
    skips this.
    """

    config: TaughtByStaysConfig
    config_class = TaughtByStaysConfig

    def _nll(
        self,
        hidden_states: torch.Tensor,
        stay_logit: torch.Tensor | None,
        previous: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        nll = super()._nll(hidden_states, stay_logit, previous, labels)
        stays = (labels == previous).nonzero(as_tuple=True)
        log_probs = occupation_log_probs(self._occupation_logits(hidden_states[stays]), self._excluded_ids())
        copied = -log_probs.gather(-1, labels[stays].unsqueeze(-1)).squeeze(-1)
        return nll.index_put(stays, copied, accumulate=True)


for _config, _model in (
    (LateCovariatesConfig, LateCovariatesForOccupationPrediction),
    (LearnedPositionsConfig, LearnedPositionsForOccupationPrediction),
    (CovariateOutputConfig, CovariateOutputForOccupationPrediction),
    (TaughtByStaysConfig, TaughtByStaysForOccupationPrediction),
):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForCausalLM.register(_config, _model, exist_ok=True)
