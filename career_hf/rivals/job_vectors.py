"""What job representation learning and Job2Vec share: inner products of the last job's vector with those of all jobs.

    p(y_t = j | y_{t-1} = i, x_t) = softmax_j  e'_j . (e_i + sum_c e_c(x_tc))

They differ in e', the vectors of jobs that are entered.
"""

from __future__ import annotations

import torch
from huggingface_hub.dataclasses import strict
from torch import nn

from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict
class JobVectorsConfig(BaselineConfig):
    r"""Configuration of models of job vectors.

    Args:
        embedding_size (`int`): Dimensions of the vectors of jobs and covariates; 50 in the paper (Appendix G).

    The rest as in [`BaselineConfig`].
    """

    model_type = "career_job_vectors"

    embedding_size: int = 50

    def validate_embedding_size(self):
        """Part of `@strict` validation: the space has a dimension."""
        if self.embedding_size < 1:
            raise ValueError(f"embedding_size must be at least 1, and is {self.embedding_size}")


class JobVectorsForOccupationPrediction(BaselineForOccupationPrediction):
    """A first-order model of job vectors, given by its `products`: no job before the last one matters."""

    config: JobVectorsConfig
    config_class = JobVectorsConfig

    def __init__(self, config: JobVectorsConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.embed_covariates = CovariateEmbeddings(config, config.embedding_size)
        self.stay_head = nn.Linear(config.embedding_size, 1, bias=False) if config.two_stage else None

    def products(self, job: torch.Tensor) -> torch.Tensor:
        """`(..., vocabulary)`, e'_j . job for the vectors `(..., size)` of jobs with covariates."""
        raise NotImplementedError(f"{type(self).__name__} must say which vectors jobs have that are entered")

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        job = self.represent(input_ids, covariates)
        stay_logit = None if self.stay_head is None else self.stay_head(job).squeeze(-1)
        return self.products(job), stay_logit

    def represent(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, appended: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The vector of the last job and covariates, `(batch, time, size)`; with `appended` y_t is the last job."""
        last = input_ids if appended is None else appended
        return self.embed_tokens(last) + self.embed_covariates(covariates)


__all__ = ["JobVectorsConfig", "JobVectorsForOccupationPrediction"]
