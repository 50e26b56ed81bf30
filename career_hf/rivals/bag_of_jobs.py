"""Bag-of-jobs: the last occupation and the average of all earlier ones (Eq. 11; after SHOPPER, Ruiz et al., 2020).

    score_j = beta1_j . alpha[y_{t-1}] + beta2_j . mean(rho[y_1], ..., rho[y_{t-2}])
              + for each covariate c, analogously, x_tc and the mean over x_1c, ..., x_{t-1,c}

An empty mean is zero, and the beginning of a career has an alpha, as the last "occupation" of the first step. In two
stages a further score is that of staying.

The product of an embedding and an output matrix is a table of scores of rank D, and the mean of its rows is the
product of the mean of embeddings. So each table is computed once for all steps, and averages are cumulative sums of
its rows: at D = 1024 several times less work than a product for every step.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..models.strict_config import MOST_IDS, number, size, strict_config
from ..models.two_stage import among
from .base import BaselineConfig, BaselineForOccupationPrediction


@strict_config
class BagOfJobsConfig(BaselineConfig):
    r"""Configuration of [`BagOfJobsForOccupationPrediction`].

    Args:
        embedding_size (`int`): D of Eq. 11; 1024 in Appendix G.
        history_covariates (`list[str]`): Covariates whose earlier levels are averaged too; all covariates if None, as
            in the paper. The original program has no averages of covariates that never change.
        start_in_history (`bool`): Whether, as in the original program, every average also counts two entries from
            before the first step, and so has t entries at step t: id 0 and the beginning of the career for
            occupations, and one of `start_levels` for covariates.
        start_levels (`list[int]`): For each of `history_covariates` the level before the first step; 0 if None.

    All other fields are those of [`BaselineConfig`].
    """

    model_type = "career_bag_of_jobs"

    embedding_size: int = size(1024)
    history_covariates: list[str] | None = None
    start_in_history: bool = False
    start_levels: list[int] | None = number(None, at_least=0, below=MOST_IDS)

    def __post_init__(self, **kwargs: Any):
        if self.history_covariates is None:
            self.history_covariates = list(self.covariate_names)
        if self.start_levels is None:
            self.start_levels = [0] * len(self.history_covariates)
        super().__post_init__(**kwargs)

    def validate_history_covariates(self):
        """Part of `@strict` validation: averaged covariates must be covariates."""
        unknown = [name for name in self.history_covariates or [] if name not in self.covariate_names]
        if unknown:
            raise ValueError(f"history_covariates names {unknown}, and the covariates are {self.covariate_names}")
        if len(self.start_levels or []) != len(self.history_covariates or []):
            raise ValueError(f"start_levels {self.start_levels} must be one for each of {self.history_covariates}")


class FactoredTable(nn.Module):
    """Scores for each of some ids, `(ids, scores)`, as the product of an embedding and an output matrix."""

    def __init__(self, ids: int, embedding_size: int, scores: int):
        super().__init__()
        self.embedding = nn.Embedding(ids, embedding_size)
        self.output = nn.Linear(embedding_size, scores, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return F.embedding(ids, self.output(self.embedding.weight))


class BagOfJobsForOccupationPrediction(BaselineForOccupationPrediction):
    """Bag-of-jobs, Eq. 11 with covariates.

    The paper trains it with `baseline_recipe(config, folder, warmup_steps=5_000)`.
    """

    config: BagOfJobsConfig
    config_class = BagOfJobsConfig
    description = "a bag of jobs: a regression on all earlier occupations, in no order, and covariates"
    why_not_exported = None
    trial_rates = (1e-3, 2.5e-4, 5e-4, 2e-3)
    trial_fields = ({}, {"embedding_size": 256})
    paper_schedule = {"learning_rate": 5e-4, "warmup_steps": 5_000}

    def __init__(self, config: BagOfJobsConfig):
        super().__init__(config)
        size, scores = config.embedding_size, config.num_scores
        levels = dict(zip(config.covariate_names, config.covariate_sizes, strict=True))
        self.last_occupation = FactoredTable(config.vocab_size, size, scores)
        self.earlier_occupations = FactoredTable(config.vocab_size, size, scores)
        self.covariates = nn.ModuleDict({name: FactoredTable(n, size, scores) for name, n in levels.items()})
        self.earlier_covariates = nn.ModuleDict(
            {name: FactoredTable(levels[name], size, scores) for name in config.history_covariates or []}
        )
        self.post_init()

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        config = self.config
        # The entry before the last occupation of each step; before the first step it has id 0 in the original.
        earlier = F.pad(input_ids[:, :-1], (1, 0), value=0 if config.start_in_history else config.pad_token_id)
        scores = self.last_occupation(input_ids)
        scores = scores + self._mean(self.earlier_occupations(earlier), ~among(earlier, config.special_token_ids))
        if covariates is not None:
            level = dict(zip(config.covariate_names, covariates.unbind(-1), strict=True))
            scores = scores + sum(table(level[name]) for name, table in self.covariates.items())
            if self.earlier_covariates:
                starts = zip(self.earlier_covariates.items(), config.start_levels or [], strict=True)
                rows = sum(table(F.pad(level[name][:, :-1], (1, 0), value=start)) for (name, table), start in starts)
                counts = torch.ones_like(input_ids, dtype=torch.bool)
                counts[:, 0] = False
                scores = scores + self._mean(rows, counts)
        return self.split(scores)

    def _mean(self, rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Averages of rows up to each step.

        Args:
            rows: `(batch, time, scores)`: scores of the entry before each step's last one.
            counts: `(batch, time)`: whether the paper counts the entry; the original counts all entries.
        """
        counts = counts | self.config.start_in_history
        # In float32 at least: a sum over a whole career in bfloat16 would stop growing.
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32)).masked_fill(~counts.unsqueeze(-1), 0)
        return rows.cumsum(dim=1) / counts.cumsum(dim=1).clamp(min=1).unsqueeze(-1)


__all__ = ["BagOfJobsConfig", "BagOfJobsForOccupationPrediction"]
