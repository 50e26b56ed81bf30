"""Models of job vectors: inner products of the last job's vector with those of all jobs.

    p(y_t = j | y_{t-1} = i, x_t) = softmax_j  e'_j . (e_i + sum_c e_c(x_tc))

Job representation learning (Dave et al., 2018) and Job2Vec (Zhang et al., 2020), as Appendix G of the CAREER paper
adapts them to surveys, differ in e', the vectors of jobs that are entered. Both are first-order models: only the last
job matters.

**Job representation learning.** Dave et al. embed the jobs of a transition graph and the skills of two more graphs in
one space, by a contrastive objective (their Eq. 4). The CAREER paper keeps the terms of job transitions alone, takes
every transition in the data rather than sampled triples, replaces the contrastive objective by the log-likelihood, and
adds embedded covariates to e_i. So nothing is learned in a phase of its own: the embeddings are estimated with
everything else, by maximum likelihood. One vector per job serves whether the job is left or entered, e' = e, because
the jobs lie in one space.

**Job2Vec.** Zhang et al. learn job titles from four views of a graph of job transitions: its topology, the words of
job descriptions, and how balanced and how long transitions are. The CAREER paper keeps the log-likelihood of their
Eq. 1, now of occupation codes rather than titles or keywords, and adds embedded covariates to e_i before the
probability of a transition (their Eq. 2). As with job representation learning it takes every transition in the data
and maximises the log-likelihood itself. A job that is entered has a vector e'_j of its own, beside the vector e_i of a
job that is left, as in word2vec: with one vector for both it would be job representation learning, and the paper
reports different perplexities for the two.

Choices that Appendix G leaves open, besides these vectors: no intercept, as none is named; covariates are those of the
predicted step, as every model here gets them ("the covariate of each most recent job" could also mean those of the
step before); a first job is predicted from a vector e_i of the beginning of a career; the stay logit of two stages is
eta . (e_i + sum_c e_c), as in Eq. 1.

Dave, Zhang, Al Hasan, AlJadda and Korayem (2018), "A combined representation learning approach for better job and
skill recommendation", CIKM. Zhang, Liu, Zhu, Liu, Wang, Wang and Xiong (2020), "Job2Vec: Job title benchmarking with
collective multi-view representation learning", arXiv:2009.07429 (CIKM 2019).
"""

import torch
from torch import nn

from ..models.strict_config import size, strict_config
from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict_config
class JobVectorsConfig(BaselineConfig):
    r"""Configuration of models of job vectors.

    Args:
        embedding_size (`int`): Dimensions of the vectors of jobs and covariates; 50 in the paper (Appendix G).

    All other fields are those of [`BaselineConfig`].
    """

    model_type = "career_job_vectors"

    embedding_size: int = size(50)


class JobVectorsForOccupationPrediction(BaselineForOccupationPrediction):
    """A first-order model of job vectors, defined by its `products`: only the last job matters."""

    config: JobVectorsConfig
    config_class = JobVectorsConfig
    why_not_exported = None
    trial_rates = (5e-3, 2e-2, 1e-2, 2.5e-3)
    trial_fields = ({}, {"embedding_size": 100})
    paper_schedule = {"learning_rate": 5e-3, "warmup_steps": 5_000}

    def __init__(self, config: JobVectorsConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.embed_covariates = CovariateEmbeddings(config, config.embedding_size)
        self.stay_head = nn.Linear(config.embedding_size, 1, bias=False) if config.two_stage else None

    def products(self, job: torch.Tensor) -> torch.Tensor:
        """`(..., vocabulary)`, e'_j . job for the vectors `(..., size)` of jobs with covariates."""
        raise NotImplementedError(f"{type(self).__name__} must define products")

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


@strict_config
class JobRepresentationConfig(JobVectorsConfig):
    r"""Configuration of [`JobRepresentationForOccupationPrediction`], as in [`JobVectorsConfig`]."""

    model_type = "career_job_representation"


class JobRepresentationForOccupationPrediction(JobVectorsForOccupationPrediction):
    """Inner products of job vectors, one vector per job.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: JobRepresentationConfig
    config_class = JobRepresentationConfig
    description = "job representation learning: inner products of the last job's vector with those of all jobs"

    def __init__(self, config: JobRepresentationConfig):
        super().__init__(config)
        self.post_init()

    def products(self, job: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(job, self.embed_tokens.weight)


@strict_config
class Job2VecConfig(JobVectorsConfig):
    r"""Configuration of [`Job2VecForOccupationPrediction`], as in [`JobVectorsConfig`]."""

    model_type = "career_job2vec"


class Job2VecForOccupationPrediction(JobVectorsForOccupationPrediction):
    """Inner products of job vectors, one vector for a job that is left and one for a job that is entered.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: Job2VecConfig
    config_class = Job2VecConfig
    description = "Job2Vec: inner products of vectors of jobs that are left and of jobs that are entered"

    def __init__(self, config: Job2VecConfig):
        super().__init__(config)
        # The name is Transformers' own, so that its tools find the output layer.
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.post_init()

    def products(self, job: torch.Tensor) -> torch.Tensor:
        return self.lm_head(job)


__all__ = [
    "Job2VecConfig",
    "Job2VecForOccupationPrediction",
    "JobRepresentationConfig",
    "JobRepresentationForOccupationPrediction",
    "JobVectorsConfig",
    "JobVectorsForOccupationPrediction",
]
