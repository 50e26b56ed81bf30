"""CareerConfig: the sizes, the vocabulary and the options of a CAREER model."""

from dataclasses import field

from .configuration_occupation import OccupationConfig
from .strict_config import DEEPEST, activation, dropout, number, size, strict_config


@strict_config
class CareerConfig(OccupationConfig):
    r"""Configuration of [`CareerModel`] and [`CareerForOccupationPrediction`].

    The defaults are the paper's model without pretraining (Appendix G: 4 layers, D = 64, 2 heads, 256 hidden units,
    dropout 0.1); its pretrained model has 12 layers, D = 192, 3 heads and 768 hidden units.

    Args:
        vocab_size (`int`): Number of occupation ids, special ids included. Ids index `id2label`.
        covariate_names (`list[str]`): Covariates in the order of the last axis of the `covariates` input. Two ordered
            lists rather than a mapping, because `config.json` is written with sorted keys.
        covariate_sizes (`list[int]`): Number of levels of each covariate, in the same order.
        levels_sha256 (`dict[str, str]`): SHA-256 of the levels of each covariate; see [`OccupationConfig`].
        hidden_size (`int`): D, the size of a career's representation h_t.
        num_hidden_layers (`int`): L.
        num_attention_heads (`int`): A of Eq. 13.
        intermediate_size (`int`): N, hidden units of the feedforward network of Eq. 17.
        hidden_act (`str`): Nonlinearity of that network.
        hidden_dropout (`float`): Dropout after the embeddings, the attention output and the feedforward output.
        attention_dropout (`float`): Dropout of the attention weights.
        layer_norm_eps (`float`): Epsilon of every LayerNorm.
        initializer_range (`float`): Standard deviation of freshly drawn weights.
        two_stage (`bool`): Whether prediction is in two stages (Eq. 18), or one softmax ("vanilla", Section 4).
        max_position_embeddings (`int`): A number for tools that read it. It is no limit: positions are sinusoids of
            any length.
        use_cache (`bool`): Whether to return the key/value cache. Off by default: packed careers cannot have one.
        pad_token_id (`int`): Id of padding.
        bos_token_id (`int`): Id of the beginning of a career, the "previous occupation" of the first step.
        special_token_ids (`list[int]`): Ids that are not occupations and have no probability; if empty, padding and
            the beginning of a career.
        tie_word_embeddings (`bool`): Not supported; e_y of Eq. 4 and beta of Eq. 2 are separate parameters.
        scale_occupation_embedding (`bool`): Multiply occupation embeddings by sqrt(D), as the original program does
            and Eq. 4 does not.
        logit_clamp (`float`, *optional*): Clamp logits to +- this value, as the original program does (10).
        special_tokens_in_softmax (`bool`): Leave special ids in the softmax, as the original program does.
        first_step_stay (`bool`): Apply stage one to the first step too, as the original program does, although there
            is no occupation to stay in. The stay probability then goes to the beginning-of-career id.
        title_embedding_size (`int`, *optional*): Length of the vectors of occupations' titles whose projections are
            added to the occupations' weights (`title_embeddings.py`); `model.set_title_embeddings` sets the vectors.
            None is the paper's model.
        return_pointer (`bool`): Give returns a stage of their own: the probability that a mover returns, a pointer
            over the person's own earlier occupations, and a softmax over the others (`three_way.py`). Off in the
            paper's model.
        career_features (`bool`): Add what is known without learning, such as years in the occupation and the number
            of moves so far (`own_history.py`), to the input of every step and to the stages before the softmax. Off in
            the paper's model.
        level_years (`dict[str, list[int]]`): Of the covariate that is the year, the year of every level, 0 where it is
            missing; `own_history.years_of_levels(processor)`. Without it these two count time in steps.

    Example:
        >>> from career_hf import CareerConfig
        >>> config = CareerConfig(vocab_size=40, covariate_names=["year", "education"], covariate_sizes=[20, 6])
        >>> config.special_token_ids
        [0, 1]
    """

    model_type = "career"
    keys_to_ignore_at_inference = [
        "past_key_values",
        "cache",
        "hidden_states",
        "attentions",
        "last_hidden_state",
        "stay_logit",
        "return_logit",
    ]

    hidden_size: int = size(64)
    num_hidden_layers: int = size(4, DEEPEST)
    num_attention_heads: int = size(2)
    intermediate_size: int = size(256)
    hidden_act: str = activation("gelu")
    hidden_dropout: float | int = dropout(0.1)
    attention_dropout: float | int = dropout(0.1)
    layer_norm_eps: float | int = number(1e-5, above=0)
    initializer_range: float | int = number(0.02, at_least=0)
    two_stage: bool = True
    max_position_embeddings: int = size(512, 10**9)
    scale_occupation_embedding: bool = False
    logit_clamp: float | int | None = number(None, above=0)
    special_tokens_in_softmax: bool = False
    first_step_stay: bool = False
    title_embedding_size: int | None = size(None)
    return_pointer: bool = False
    career_features: bool = False
    level_years: dict[str, list[int]] = field(default_factory=dict)

    def validate_architecture(self):
        """Part of `@strict` validation: raises a ValueError for sizes that do not fit together."""
        if self.hidden_size % self.num_attention_heads != 0:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})"
            )
        if self.hidden_size % 2 != 0 or self.hidden_size < 4:
            raise ValueError(
                f"hidden_size must be even and at least 4 (half sines, half cosines), not {self.hidden_size}"
            )
        if self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings=True is not supported: e_y (Eq. 4) and beta (Eq. 2) are separate")

    def validate_own_history(self):
        """Part of `@strict` validation: raises a ValueError for stages and years that do not fit together."""
        if self.return_pointer and not self.two_stage:
            raise ValueError("return_pointer needs two_stage=True: a return is a kind of move, and one stage has none")
        if self.return_pointer and (self.special_tokens_in_softmax or self.first_step_stay):
            raise ValueError(
                "return_pointer goes with neither special_tokens_in_softmax nor first_step_stay, which are the "
                "original program's, whose special ids have a probability"
            )
        sizes = dict(zip(self.covariate_names, self.covariate_sizes, strict=False))
        for name, years in self.level_years.items():
            if (levels := sizes.get(name, 0)) != len(years):
                raise ValueError(
                    f"level_years has {len(years)} years for the covariate '{name}', which has {levels} levels: give "
                    "the year of every level, with own_history.years_of_levels(processor)"
                )


__all__ = ["CareerConfig"]
