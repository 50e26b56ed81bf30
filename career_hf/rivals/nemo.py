"""NEMO (Li et al., 2017) as Appendix G of the paper adapts it to surveys: an LSTM over occupations with covariates.

    h_t = LSTM(e_y(y_{t-1}) + sum_c e_c(x_tc), h_{t-1}),   score_j = beta_j . h_t + b_j

Covariates are embedded and added at the input, there is no company to predict, and the size is the smaller one of the
original paper, which is better on surveys according to the CAREER paper: 2 layers, 200 hidden units. In two stages a
further score is that of staying. Choices that the paper leaves open are those of fairseq's LSTM language model, with
which its models were trained: embeddings as wide as the hidden state, dropout of 0.1 on the input and on each layer's
output, an intercept, and initial weights about as large as its uniform ones of up to 0.1. With Transformers' usual
0.02 the model learns far more slowly.
"""

import torch
from torch import nn

from ..models.strict_config import DEEPEST, dropout, number, size, strict_config
from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict_config
class NemoConfig(BaselineConfig):
    r"""Configuration of [`NemoForOccupationPrediction`].

    Args:
        hidden_size (`int`): Number of hidden units in each layer, and size of the embeddings.
        num_hidden_layers (`int`): Number of LSTM layers.
        hidden_dropout (`float`): Dropout on the input and on each layer's output.
        initializer_range (`float`): Standard deviation of initial embeddings and output weights; initial weights of
            the LSTM are Xavier's.

    All other fields are those of [`BaselineConfig`].
    """

    model_type = "career_nemo"

    hidden_size: int = size(200)
    num_hidden_layers: int = size(2, DEEPEST)
    hidden_dropout: float | int = dropout(0.1)
    initializer_range: float | int = number(0.07, at_least=0)


class NemoForOccupationPrediction(BaselineForOccupationPrediction):
    """NEMO for yearly occupations with covariates."""

    config: NemoConfig
    config_class = NemoConfig
    description = "NEMO: an LSTM over occupations with covariates"
    why_not_exported = "an LSTM is unrolled for the number of steps that it is exported with"
    trial_rates = (3e-3, 6e-3)
    trial_fields = (
        {},
        {"hidden_dropout": 0.3},
        {"hidden_size": 100},
        {"hidden_size": 100, "hidden_dropout": 0.3},
    )

    def __init__(self, config: NemoConfig):
        super().__init__(config)
        size, layers = config.hidden_size, config.num_hidden_layers
        self.embed_tokens = nn.Embedding(config.vocab_size, size)
        self.embed_covariates = CovariateEmbeddings(config, size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        # With one layer torch would warn about dropout between layers.
        between = config.hidden_dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(size, size, num_layers=layers, dropout=between, batch_first=True)
        self.output = nn.Linear(size, config.num_scores)
        self.post_init()

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.split(self.output(self.dropout(self.represent(input_ids, covariates))))

    def represent(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, appended: torch.Tensor | None = None
    ) -> torch.Tensor:
        """h_t of every step, `(batch, time, hidden)`; with `appended` the state after y_t, as in CAREER."""
        levels = self.embed_covariates(covariates)
        career = self.dropout(self.embed_tokens(input_ids) + levels)
        if appended is None:
            return self.lstm(career)[0]
        continued = self.dropout(self.embed_tokens(appended) + levels)
        state, after = None, []
        for step, one_more in zip(career.split(1, dim=1), continued.split(1, dim=1), strict=True):
            _, state = self.lstm(step, state)
            after.append(self.lstm(one_more, state)[0])
        return torch.cat(after, dim=1)


__all__ = ["NemoConfig", "NemoForOccupationPrediction"]
