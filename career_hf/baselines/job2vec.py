"""Job2Vec (Zhang et al., 2020) as Appendix G of the CAREER paper adapts it to surveys.

    p(y_t = j | y_{t-1} = i, x_t) = softmax_j  e'_j . (e_i + sum_c e_c(x_tc))

Zhang et al. learn job titles from four views of a graph of job transitions: its topology, the words of job
descriptions, and how balanced and how long transitions are. The CAREER paper keeps the log-likelihood of their Eq. 1,
now of occupation codes rather than titles or keywords, and adds embedded covariates to e_i before the probability of a
transition (their Eq. 2). As with job representation learning it takes every transition in the data and maximises the
log-likelihood itself. So nothing is learned in a phase of its own, and it is a first-order model: no job before the
last one matters.

Choices that Appendix G leaves open: a job that is entered has a vector e'_j of its own, beside the vector e_i of a job
that is left, as in word2vec (with one vector for both it would be job representation learning, and the paper reports
different perplexities for the two); no intercept, as none is named; covariates are those of the predicted step, as
every model here gets them; a first job is predicted from a vector e_i of the beginning of a career; the stay logit of
two stages is eta . (e_i + sum_c e_c), as in Eq. 1.

Zhang, Liu, Zhu, Liu, Wang, Wang and Xiong (2020), "Job2Vec: Job title benchmarking with collective multi-view
representation learning", arXiv:2009.07429 (CIKM 2019).
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn

from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict
class Job2VecConfig(BaselineConfig):
    r"""Configuration of [`Job2VecForOccupationPrediction`].

    Args:
        embedding_size (`int`): Dimensions of the vectors of jobs and covariates; 50 in the paper (Appendix G).

    The rest as in [`BaselineConfig`].
    """

    model_type = "career_job2vec"

    embedding_size: int = 50

    def validate_embedding_size(self):
        """Part of `@strict` validation: the space has a dimension."""
        if self.embedding_size < 1:
            raise ValueError(f"embedding_size must be at least 1, and is {self.embedding_size}")


class Job2VecForOccupationPrediction(BaselineForOccupationPrediction):
    """Inner products of job vectors, one vector for a job that is left and one for a job that is entered.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: Job2VecConfig
    config_class = Job2VecConfig

    def __init__(self, config: Job2VecConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.embed_covariates = CovariateEmbeddings(config, config.embedding_size)
        # The vectors e'_j. The name is Transformers' own, so that its tools find the output layer.
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.stay_head = nn.Linear(config.embedding_size, 1, bias=False) if config.two_stage else None
        self.post_init()

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        job = self.represent(input_ids, covariates)
        stay_logit = None if self.stay_head is None else self.stay_head(job).squeeze(-1)
        return self.lm_head(job), stay_logit

    def represent(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, appended: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The vector of the last job and covariates, `(batch, time, size)`; with `appended` y_t is the last job."""
        last = input_ids if appended is None else appended
        return self.embed_tokens(last) + self.embed_covariates(covariates)


__all__ = ["Job2VecConfig", "Job2VecForOccupationPrediction"]
