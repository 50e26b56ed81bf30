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

from .base import BaselineConfig, BaselineForOccupationPrediction, CovariateEmbeddings


@strict
class JobRepresentationConfig(BaselineConfig):
    r"""Configuration of [`JobRepresentationForOccupationPrediction`].

    Args:
        embedding_size (`int`): Dimensions of the space of jobs and covariates; 50 in the paper (Appendix G).

    The rest as in [`BaselineConfig`].
    """

    model_type = "career_job_representation"

    embedding_size: int = 50

    def validate_embedding_size(self):
        """Part of `@strict` validation: the space has a dimension."""
        if self.embedding_size < 1:
            raise ValueError(f"embedding_size must be at least 1, and is {self.embedding_size}")


class JobRepresentationForOccupationPrediction(BaselineForOccupationPrediction):
    """Inner products of job vectors, one vector per job.

    The paper trains it with `baseline_recipe(config, folder, learning_rate=5e-3, warmup_steps=5_000)`.
    """

    config: JobRepresentationConfig
    config_class = JobRepresentationConfig

    def __init__(self, config: JobRepresentationConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.embed_covariates = CovariateEmbeddings(config, config.embedding_size)
        self.stay_head = nn.Linear(config.embedding_size, 1, bias=False) if config.two_stage else None
        self.post_init()

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        job = self.represent(input_ids, covariates)
        stay_logit = None if self.stay_head is None else self.stay_head(job).squeeze(-1)
        return nn.functional.linear(job, self.embed_tokens.weight), stay_logit

    def represent(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, appended: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The vector of the last job and covariates, `(batch, time, size)`; with `appended` y_t is the last job."""
        last = input_ids if appended is None else appended
        return self.embed_tokens(last) + self.embed_covariates(covariates)


__all__ = ["JobRepresentationConfig", "JobRepresentationForOccupationPrediction"]
