"""Job representation learning (Dave et al., 2018) as Appendix G of the CAREER paper adapts it to surveys.

    p(y_t = j | y_{t-1} = x, x_t) = softmax_j  w_j . (w_x + sum_c e_c(x_tc))

Dave et al. embed the jobs of a transition graph and the skills of two more graphs in one space, by a contrastive
objective (their Eq. 4). The CAREER paper keeps the terms of job transitions alone, takes every transition in the data
rather than sampled triples, replaces the contrastive objective by the log-likelihood, and adds embedded covariates to
w_x. So nothing is learned in a phase of its own: the embeddings are estimated with everything else, by maximum
likelihood. It is a first-order model: no job before the last one matters.

Choices that Appendix G leaves open: one vector per job, w_j, whether the job is left or entered, because the jobs lie
in one space; no intercept, as none is named; covariates are those of the predicted step, as every model here gets
them ("the covariate of each most recent job" could also mean those of the step before); a first job is predicted from
a vector w_x of the beginning of a career; the stay logit of two stages is eta . (w_x + sum_c e_c), as in Eq. 1.

Dave, Zhang, Al Hasan, AlJadda and Korayem (2018), "A combined representation learning approach for better job and
skill recommendation", CIKM.
"""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn

from .job_vectors import JobVectorsConfig, JobVectorsForOccupationPrediction


@strict
class JobRepresentationConfig(JobVectorsConfig):
    r"""Configuration of [`JobRepresentationForOccupationPrediction`], as in [`JobVectorsConfig`]."""

    model_type = "career_job_representation"


class JobRepresentationForOccupationPrediction(JobVectorsForOccupationPrediction):
    """Inner products of job vectors, one vector per job.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: JobRepresentationConfig
    config_class = JobRepresentationConfig

    def __init__(self, config: JobRepresentationConfig):
        super().__init__(config)
        self.post_init()

    def products(self, job: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(job, self.embed_tokens.weight)


__all__ = ["JobRepresentationConfig", "JobRepresentationForOccupationPrediction"]
