"""CAREER: a transformer over yearly occupations with covariates (Section 2.3 and Appendix C of the paper).

    h_t^(1)  = e_y(y_{t-1}) + sum_c e_c(x_tc) + e_t(t)                         Eq. 4, 12   CareerModel
    h_t^(l+1) = pre-LayerNorm causal attention, then a feedforward network     Eq. 13-17   CareerLayer
    p(y_t | y_{t-1}, ..., x_t, ...) = two stages, from h_t = h_t^(L)           Eq. 1-3, 18
    CareerForOccupationPrediction

Choices that the paper leaves open or the original program makes differently: `input_ids[:, t]` is y_{t-1},
`covariates[:, t]` is x_t and `labels[:, t]` is y_t, aligned, so nothing is shifted; positions are the original's
sinusoids with its offset of 2 and nothing is stored; queries, keys and values are one linear layer, because three
small ones are slower; LayerNorms stand before attention, before the feedforward network and at the end, and linear
layers have biases, as in the original.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask, packed_sequence_mask_function
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention import SDPA_BY_LENGTH
from .checked_loading import CheckedWeights
from .configuration_career import CareerConfig
from .cpu_layers import Dropout, Linear
from .facts import ModelFacts
from .generation import WithoutGenerate
from .input_checks import check_inputs, check_keywords, check_labels, check_levels, check_predictions
from .modeling_outputs import CACHE, CareerOutput, one_cache
from .own_history import CAREER_FEATURES, OwnHistory, own_history
from .positions import count_steps, has_values, restarts, sinusoidal_positions
from .strict_config import MOST_IDS
from .three_way import ReturnPointer, init_pointer, move_log_probs, never_held, return_logits
from .title_embeddings import init_titles, occupation_embedding, occupation_output, set_title_embeddings
from .transfer import resize_vocabulary
from .two_stage import mean_nll, nothing_to_stay_in, occupation_log_probs, stay_nll, with_stays, without_excluded


# Fields that trials of training try.
MORE_DROPOUT = {"hidden_dropout": 0.2, "attention_dropout": 0.2}


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out (Eq. 13, 14); query, key and value are `(batch, heads, time, head size)`."""
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights_dtype = torch.promote_types(query.dtype, torch.float32)
    weights = nn.functional.softmax(weights, dim=-1, dtype=weights_dtype).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class CareerAttention(nn.Module):
    """Multi-headed causal attention, Eq. 13-16."""

    def __init__(self, config: CareerConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = 1
        self.scaling = self.head_dim**-0.5
        self.is_causal = True
        self.qkv_proj = Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        cache: Cache | None = kwargs.pop(CACHE, None)  # type: ignore[misc]
        batch_and_time = hidden_states.shape[:-1]
        query, key, value = (
            states.view(*batch_and_time, -1, self.head_dim).transpose(1, 2)
            for states in self.qkv_proj(hidden_states).chunk(3, dim=-1)
        )
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attended, weights = attention_interface(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.out_proj(attended.reshape(*batch_and_time, -1)), weights


class CareerMLP(nn.Module):
    """The feedforward network of Eq. 17."""

    def __init__(self, config: CareerConfig):
        super().__init__()
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.act_fn = ACT2FN[config.hidden_act]
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.up_proj(hidden_states)))


class CareerLayer(GradientCheckpointingLayer):
    """One layer: attention, then the feedforward network, each after a LayerNorm and added to its input (Eq. 16,
    17)."""

    def __init__(self, config: CareerConfig, layer_idx: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = CareerAttention(config, layer_idx)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = CareerMLP(config)
        self.dropout = Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        attended, _ = self.self_attn(self.attention_norm(hidden_states), attention_mask=attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        return hidden_states + self.dropout(self.mlp(self.mlp_norm(hidden_states)))


@auto_docstring
class CareerPreTrainedModel(ModelFacts, WithoutGenerate, CheckedWeights, PreTrainedModel):
    config: CareerConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    model_tags = ["career", "occupation-prediction"]
    _no_split_modules = ["CareerLayer"]
    _skip_keys_device_placement = ["past_key_values", "cache"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": CareerLayer, "attentions": CareerAttention}

    def __init__(self, config: CareerConfig):
        super().__init__(config)
        config.check_labels()

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Gives the model another number of occupation ids, as in any model of Transformers.

        New ids are labelled "new occupation ID". `resize_vocabulary` does better: it moves weights by the names of
        occupations, and the processor and covariates with them.

        Args:
            new_num_tokens: Number of ids; None returns the embeddings as they are.
            args, kwargs: Those of Transformers.

        Raises:
            ValueError: Special ids would be left out, the vocabulary is too large or too small, or the model has
                titles.
        """
        if new_num_tokens is None and not kwargs.get("pad_to_multiple_of"):
            return self.get_input_embeddings()  # type: ignore[return-value]
        if self.config.title_embedding_size is not None:
            raise ValueError(
                "new ids of a model with title_embedding_size need titles, which resize_token_embeddings does not "
                "take: call model.resize_vocabulary(old_processor, new_processor, titles)"
            )
        fewest = max(2 + len(set(self.config.special_token_ids)), 1 + max(self.config.special_token_ids))
        if new_num_tokens is not None and not fewest <= new_num_tokens <= MOST_IDS:
            raise ValueError(
                f"resize_token_embeddings to {new_num_tokens} ids: this model needs {fewest} to {MOST_IDS:,}, special "
                "ids and two occupations included; resize_vocabulary moves weights by names instead"
            )
        embeddings: Any = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        before: Any = self.config.id2label
        count = embeddings.num_embeddings
        self.config.id2label = {i: before.get(i, f"new occupation {i}") for i in range(count)}
        self.config.label2id = {label: i for i, label in self.config.id2label.items()}
        return embeddings

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_titles(module)
        init_pointer(module)

    def _own_history(
        self,
        input_ids: torch.Tensor,
        covariates: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        cache: Cache | None,
        continuations: Any = None,
    ) -> OwnHistory | None:
        """What every step knows of its own past; None for a model that does not ask. A cache is told of the steps."""
        if not (self.config.career_features or self.config.return_pointer):
            return None
        check_levels(self.config, input_ids, covariates)
        past = cache.get_seq_length() if cache is not None else 0
        counted = position_ids is None
        if position_ids is None:
            position_ids = count_steps(input_ids, attention_mask, past)
        return own_history(
            self.config, input_ids, covariates, position_ids, attention_mask, cache, continuations, counted
        )

    def represent(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, appended: torch.Tensor | None = None
    ) -> torch.Tensor:
        """h_t of every step, `(batch, time, hidden)`, for `representing/representations.py`.

        Args:
            input_ids: `(batch, time)`, y_{t-1}; one career per row, padded on the right.
            covariates: `(batch, time, covariates)`, levels of x_t.
            appended: `(batch, time)`, y_t. With it the career up to t has y_t appended, and h is that of the step
                after t, whose covariates are x_t once more.
        """
        if appended is None:
            return self.base_model(input_ids=input_ids, covariates=covariates).last_hidden_state
        if any(kernel in self.config._attn_implementation for kernel in ("flash", "flex")):
            raise ValueError("appended occupations need a mask of their own: model.set_attn_implementation('sdpa')")
        # One row has the career, followed by all its continuations by one step, none of which sees another.
        time = input_ids.shape[1]
        steps = torch.arange(time, device=input_ids.device)
        past, same_step = steps[:, None] >= steps, steps[:, None] == steps
        seen = torch.cat([past.repeat(2, 1), torch.cat([torch.zeros_like(same_step), same_step])], dim=1)
        mask = torch.zeros_like(seen, dtype=self.dtype).masked_fill(~seen, torch.finfo(self.dtype).min)
        outputs = self.base_model(
            input_ids=torch.cat([input_ids, appended], dim=1),
            covariates=None if covariates is None else torch.cat([covariates, covariates], dim=1),
            attention_mask=mask[None, None],
            position_ids=torch.cat([steps, steps + 1])[None],
        )
        return outputs.last_hidden_state[:, time:]


@auto_docstring
class CareerModel(CareerPreTrainedModel):
    """The transformer that turns a career into representations h_t."""

    def __init__(self, config: CareerConfig):
        super().__init__(config)
        self.embed_tokens = occupation_embedding(config.vocab_size, config.hidden_size, config.title_embedding_size)
        self.embed_covariates = nn.ModuleDict(
            {
                name: nn.Embedding(size, config.hidden_size)
                for name, size in zip(config.covariate_names, config.covariate_sizes, strict=True)
            }
        )
        self.embed_features = (
            nn.Linear(len(CAREER_FEATURES), config.hidden_size, bias=False) if config.career_features else None
        )
        self.dropout = Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList([CareerLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    @auto_docstring
    def forward(  # type: ignore[misc]
        self,
        input_ids: torch.Tensor | None = None,
        covariates: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Cache | None = None,
        history: OwnHistory | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPast:
        r"""
        covariates (`torch.LongTensor` of shape `(batch, time, covariates)`, *optional*):
            Levels of x_t, in the order of `config.covariate_names`. Required exactly where that list is not empty.
        attention_mask (`torch.LongTensor` of shape `(batch, past + time)`, *optional*):
            0 at padding, on either side of the careers, and 1 elsewhere. It is not needed for padding on the right.
        position_ids (`torch.LongTensor` of shape `(batch, time)`, *optional*):
            Steps since the beginning of each career; a row in which they restart holds several careers, none of which
            sees another. By default they are counted, from the first step that `attention_mask` does not mask.
        past_key_values (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers had for it up to 5.23.
        inputs_embeds (`torch.FloatTensor` of shape `(batch, time, hidden)`, *optional*):
            e_y(y_{t-1}), instead of `input_ids`.
        cache (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers has for it from 5.24.
        history (`OwnHistory`, *optional*):
            What every step knows of its own past, for a model with `career_features`; computed from `input_ids` by
            default.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, and not both")
        inputs: Any = input_ids if inputs_embeds is None else inputs_embeds
        check_keywords(self, kwargs)
        masks = {"attention_mask": attention_mask, "position_ids": position_ids}
        check_inputs(self.config, input_ids, covariates, inputs_embeds, **masks)
        check_levels(self.config, input_ids, covariates)
        cache = one_cache(past_key_values, cache)
        if use_cache and cache is None:
            cache = DynamicCache(config=self.config)
        past = cache.get_seq_length() if cache is not None else 0
        if self.embed_features is not None and history is None:
            if input_ids is None:
                raise ValueError("a model with career_features needs input_ids, from which they are computed")
            history = self._own_history(
                input_ids, covariates, attention_mask, position_ids, cache, kwargs.get("continuations")
            )

        separate = None
        if position_ids is None:
            position_ids = count_steps(inputs, attention_mask, past)
        elif cache is not None:
            if restarts(position_ids, attention_mask):
                raise ValueError(
                    "packed careers (position_ids that restart) cannot be cached, because the cache would join them "
                    "into one; pass use_cache=False or one career per row"
                )
        elif attention_mask is not None and attention_mask.dim() == 2:
            # Transformers itself separates packed careers only where there is no mask. With a mask, a jump forward is
            # a step left out, and only positions that do not rise begin another career.
            packed = position_ids.diff(dim=-1, prepend=position_ids[:, :1] - 1) < 1
            if not has_values(packed) or packed.any():
                separate = packed_sequence_mask_function(packed.cumsum(-1).expand(inputs.shape[0], -1))
            if separate is not None and "flash" in self.config._attn_implementation and has_values(packed):
                raise ValueError(
                    "flash attention separates packed careers (position_ids that restart) only without an "
                    "attention_mask: leave out attention_mask, or use model.set_attn_implementation('sdpa')"
                )

        # Eq. 12, e_y(y_{t-1})
        hidden_states = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if self.config.scale_occupation_embedding:
            hidden_states = hidden_states * math.sqrt(self.config.hidden_size)
        levels = () if covariates is None else covariates.unbind(-1)
        for embed, level in zip(self.embed_covariates.values(), levels, strict=True):
            hidden_states = hidden_states + embed(level)  # Eq. 12, e_c(x_tc)
        if self.embed_features is not None and history is not None:
            hidden_states = hidden_states + self.embed_features(history.features.to(hidden_states.dtype))
        positions = sinusoidal_positions(position_ids, self.config.hidden_size)
        hidden_states = self.dropout(hidden_states + positions.to(hidden_states.dtype))  # Eq. 12, e_t(t)

        if kwargs.get("cu_seq_lens_q") is not None and self.config._attn_implementation == SDPA_BY_LENGTH:
            mask = None  # this attention is told where careers end
        else:
            named_cache: Any = {CACHE: cache}
            mask = create_causal_mask(
                config=self.config,
                inputs_embeds=hidden_states,
                attention_mask=attention_mask,
                position_ids=position_ids,
                and_mask_function=separate,
                **named_cache,
            )
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=mask,
                position_ids=position_ids,
                use_cache=use_cache,
                **{CACHE: cache},
                **kwargs,
            )
        return BaseModelOutputWithPast(self.norm(hidden_states), cache)


@auto_docstring(custom_intro="CAREER with its two-stage (or one-stage) prediction of the next occupation.")
class CareerForOccupationPrediction(CareerPreTrainedModel):
    description = (
        "CAREER ([Vafa et al., 2024](https://openreview.net/forum?id=4i1MXH8Sle)): a transformer over yearly "
        "occupations with covariates"
    )
    why_not_exported: ClassVar[str | None] = None
    spare_steps = 0
    trial_rates = (3e-3, 6e-3)
    trial_fields = ({}, MORE_DROPOUT, {"num_hidden_layers": 2}, {"num_hidden_layers": 2, **MORE_DROPOUT})
    finetuning_rates = (1e-3, 2.5e-4, 5e-4, 2e-3)
    finetuning_fields = ({}, MORE_DROPOUT)

    def __init__(self, config: CareerConfig):
        super().__init__(config)
        self.model = CareerModel(config)
        # beta of Eq. 2. The name is Transformers' own, so that its tools find the output layer.
        self.lm_head = occupation_output(config.hidden_size, config.vocab_size, config.title_embedding_size)
        # eta of Eq. 1.
        self.stay_head = nn.Linear(config.hidden_size, 1, bias=False) if config.two_stage else None
        self.stay_features = None
        if config.two_stage and config.career_features:
            self.stay_features = nn.Linear(len(CAREER_FEATURES), 1, bias=False)
        self.return_pointer = None
        if config.return_pointer:
            self.return_pointer = ReturnPointer(config.hidden_size, config.career_features)
        self.post_init()

    # Fine-tuning on a survey with occupations, levels or covariates that pretraining never saw.
    resize_vocabulary = resize_vocabulary
    set_title_embeddings = set_title_embeddings

    @can_return_tuple
    @auto_docstring
    def forward(  # type: ignore[misc]
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
        excluded: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> CareerOutput:
        r"""
        covariates (`torch.LongTensor` of shape `(batch, time, covariates)`, *optional*):
            Levels of x_t, in the order of `config.covariate_names`. Required exactly where that list is not empty.
        labels (`torch.LongTensor` of shape `(batch, time)`, *optional*):
            y_t, aligned with `input_ids` (y_{t-1}), not shifted. -100 is not scored.
        weight (`torch.FloatTensor` of shape `(batch,)` or `(batch, time)`, *optional*):
            Survey weight of each person, or of each step when careers are packed. With it the loss is sum(w * nll) /
            `num_items_in_batch`, or / sum(w) without that.
        num_items_in_batch (`torch.Tensor` or `int`, *optional*):
            Number of scored steps in the whole batch, as Trainer gives it when gradients are accumulated.
        past_key_values (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers had for it up to 5.23.
        cache (`Cache`, *optional*):
            The cache of an earlier call, by the name that Transformers has for it from 5.24.
        excluded (`torch.LongTensor` of shape `(batch, time, most)`, *optional*):
            Ids that y_t cannot be in the corpus of the career, such as unemployment where only people at work are
            seen; -100 is none. Loss and logits are those given that y_t is none of them.
        kwargs:
            Further arguments of [`CareerModel`]; others are an error. `inputs_embeds` are read instead of the
            embeddings of `input_ids`, which are needed all the same: they are the occupations in which people can
            stay.
        """
        # No argument by its name, because Transformers leaves out `input_ids` of a model that has one.
        inputs_embeds: Any = kwargs.pop("inputs_embeds", None)  # type: ignore[typeddict-item]
        if input_ids is None:
            raise ValueError(
                f"a {type(self).__name__} needs input_ids, beside inputs_embeds too: they are the occupations in "
                "which people can stay (its base model, model.base_model, takes embeddings alone)"
            )
        check_keywords(self, kwargs)
        check_inputs(self.config, input_ids, covariates, labels=labels, weight=weight, excluded=excluded)
        check_labels(self.config, input_ids, labels, weight, num_items_in_batch)
        if inputs_embeds is not None:
            if inputs_embeds.shape[:2] != input_ids.shape:
                raise ValueError(
                    f"inputs_embeds have shape {tuple(inputs_embeds.shape)}, and input_ids {tuple(input_ids.shape)}: "
                    "give an embedding for every id"
                )
            check_levels(self.config, input_ids, None)
        cache = one_cache(past_key_values, cache)
        keeps = self.config.use_cache and not self.training if use_cache is None else use_cache
        if keeps and cache is None and (self.config.career_features or self.config.return_pointer):
            # The base model would make it too late to be told of the steps.
            cache = DynamicCache(config=self.config)
        history = self._own_history(
            input_ids, covariates, attention_mask, position_ids, cache, kwargs.get("continuations")
        )
        outputs = self.model(
            input_ids=input_ids if inputs_embeds is None else None,
            covariates=covariates,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            inputs_embeds=inputs_embeds,
            cache=cache,
            history=history,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state
        stay_logit = self._stay_logit(hidden_states, input_ids, history)

        loss = logits = return_logit = None
        # A compiled graph cannot select movers by position, and computes the same loss from all logits.
        if labels is None or not self.training or torch.compiler.is_compiling() or excluded is not None:
            logits, return_logit = self._moves(hidden_states, stay_logit, input_ids, history)
            if stay_logit is not None:
                logits = with_stays(logits, stay_logit, input_ids)
            if excluded is not None:
                logits = without_excluded(logits, excluded)
            if not self.training:
                check_predictions(logits)
        if labels is not None:
            if logits is None:
                nll = self._nll(hidden_states, stay_logit, input_ids, labels, history)
            else:
                nll = -logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            loss = mean_nll(nll, labels, weight, num_items_in_batch)

        return CareerOutput(
            loss,
            logits,
            getattr(outputs, CACHE),
            outputs.hidden_states,
            outputs.attentions,
            stay_logit=stay_logit,
            last_hidden_state=hidden_states,
            return_logit=return_logit,
        )

    def _occupation_logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        logits = self.lm_head(hidden_states)
        clamp = self.config.logit_clamp
        return logits if clamp is None else logits.clamp(-clamp, clamp)

    def _excluded_ids(self) -> list[int]:
        return [] if self.config.special_tokens_in_softmax else self.config.special_token_ids

    def _stay_logit(
        self, hidden_states: torch.Tensor, previous: torch.Tensor, history: OwnHistory | None
    ) -> torch.Tensor | None:
        if self.stay_head is None:
            return None
        logit = self.stay_head(hidden_states)
        if self.stay_features is not None and history is not None:
            logit = logit + self.stay_features(history.features.to(logit.dtype))
        logit = logit.squeeze(-1)
        logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
        if self.config.logit_clamp is not None:
            logit = logit.clamp(-self.config.logit_clamp, self.config.logit_clamp)
        if self.config.first_step_stay:
            return logit
        return nothing_to_stay_in(logit, previous, self.config.special_token_ids)

    def _moves(
        self,
        hidden_states: torch.Tensor,
        stay_logit: torch.Tensor | None,
        previous: torch.Tensor,
        history: OwnHistory | None,
        rows: tuple[torch.Tensor, ...] = (),
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities given a move (of everything, in one stage), and the log-odds of a return given a move.

        Args:
            hidden_states, stay_logit, previous, history: Of all steps.
            rows: Places of the steps to predict; all steps if empty.
        """
        hidden_states, previous = (hidden_states[rows], previous[rows]) if rows else (hidden_states, previous)
        logits = self._occupation_logits(hidden_states)
        if self.return_pointer is None or history is None:
            return occupation_log_probs(logits, self._excluded_ids(), None if stay_logit is None else previous), None
        features, slots, slot_features = history.features, history.slots, history.slot_features
        if rows:
            features, slots, slot_features = features[rows], slots[rows], slot_features[rows]
        is_slot = slots != self.config.pad_token_id
        is_new = never_held(slots, previous, self.config.vocab_size, self.config.special_token_ids)
        scores, log_odds = self.return_pointer(hidden_states, logits, slots, slot_features, features, is_slot)
        return_logit = return_logits(log_odds, is_slot, is_new)
        return move_log_probs(logits, scores, return_logit, slots, is_new), return_logit

    def _nll(
        self,
        hidden_states: torch.Tensor,
        stay_logit: torch.Tensor | None,
        previous: torch.Tensor,
        labels: torch.Tensor,
        history: OwnHistory | None,
    ) -> torch.Tensor:
        """-log p(y_t) of each step; the softmax over occupations is computed for movers only."""
        needs_softmax = labels != -100
        if stay_logit is not None:
            needs_softmax = needs_softmax & (labels != previous)
        rows = needs_softmax.nonzero(as_tuple=True)
        log_probs, _ = self._moves(hidden_states, stay_logit, previous, history, rows)
        move_nll = -log_probs.gather(-1, labels[rows].unsqueeze(-1)).squeeze(-1)
        nll = torch.zeros_like(labels, dtype=move_nll.dtype)
        if stay_logit is not None:
            nll = nll + stay_nll(stay_logit, previous, labels)
        return nll.index_put(rows, move_nll, accumulate=True)


__all__ = ["CareerForOccupationPrediction", "CareerModel", "CareerPreTrainedModel"]
