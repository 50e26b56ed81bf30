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

from .job_vectors import JobVectorsConfig, JobVectorsForOccupationPrediction


@strict
class Job2VecConfig(JobVectorsConfig):
    r"""Configuration of [`Job2VecForOccupationPrediction`], as in [`JobVectorsConfig`]."""

    model_type = "career_job2vec"


class Job2VecForOccupationPrediction(JobVectorsForOccupationPrediction):
    """Inner products of job vectors, one vector for a job that is left and one for a job that is entered.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: Job2VecConfig
    config_class = Job2VecConfig

    def __init__(self, config: Job2VecConfig):
        super().__init__(config)
        # The name is Transformers' own, so that its tools find the output layer.
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.post_init()

    def products(self, job: torch.Tensor) -> torch.Tensor:
        return self.lm_head(job)


__all__ = ["Job2VecConfig", "Job2VecForOccupationPrediction"]
