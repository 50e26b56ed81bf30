"""What the study of rivals tries for every model: learning rates and sizes, and what Appendix G says of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.base import BaselineConfig
from career_hf.rivals.job_vectors import (
    Job2VecConfig,
    Job2VecForOccupationPrediction,
    JobRepresentationConfig,
    JobRepresentationForOccupationPrediction,
)
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.rivals.regression import RegressionConfig, RegressionForOccupationPrediction


if TYPE_CHECKING:
    from transformers import PreTrainedModel

CAREER = "CAREER"


@dataclass(frozen=True)
class Rival:
    """A model that is trained by gradient descent.

    Args:
        model: Its class.
        config: Class of its config; None for CAREER, whose recipe makes it.
        rates: Peak learning rates to try.
        fields: Fields of the config to try at each rate; the paper's first.
        paper_rate, paper_warmup: Of Appendix G. NEMO's are not given there; CAREER's are taken.
    """

    model: type[PreTrainedModel]
    config: type[BaselineConfig] | None
    rates: tuple[float, ...]
    fields: tuple[dict[str, Any], ...]
    paper_rate: float
    paper_warmup: int


_MORE_DROPOUT = {"hidden_dropout": 0.2, "attention_dropout": 0.2}
RIVALS = {
    "Markov regression": Rival(
        RegressionForOccupationPrediction,
        RegressionConfig,
        (4e-3, 1e-3, 2e-3, 8e-3, 3e-3, 1.6e-2, 5e-4, 6e-3),
        ({},),
        5e-4,
        4_000,
    ),
    "NEMO": Rival(
        NemoForOccupationPrediction,
        NemoConfig,
        (3e-3, 6e-3),
        ({}, {"hidden_dropout": 0.3}, {"hidden_size": 100}, {"hidden_size": 100, "hidden_dropout": 0.3}),
        5e-4,
        500,
    ),
    "job representation": Rival(
        JobRepresentationForOccupationPrediction,
        JobRepresentationConfig,
        (5e-3, 2e-2, 1e-2, 2.5e-3),
        ({}, {"embedding_size": 100}),
        5e-3,
        5_000,
    ),
    "Job2Vec": Rival(
        Job2VecForOccupationPrediction,
        Job2VecConfig,
        (5e-3, 2e-2, 1e-2, 2.5e-3),
        ({}, {"embedding_size": 100}),
        5e-3,
        5_000,
    ),
    "bag of jobs": Rival(
        BagOfJobsForOccupationPrediction,
        BagOfJobsConfig,
        (1e-3, 2.5e-4, 5e-4, 2e-3),
        ({}, {"embedding_size": 256}),
        5e-4,
        5_000,
    ),
    CAREER: Rival(
        CareerForOccupationPrediction,
        None,
        (3e-3, 6e-3),
        ({}, _MORE_DROPOUT, {"num_hidden_layers": 2}, {"num_hidden_layers": 2, **_MORE_DROPOUT}),
        5e-4,
        500,
    ),
}
# Fine-tuned on the survey; where there are resumes.
PRETRAINED = Rival(CareerForOccupationPrediction, None, (1e-3, 2.5e-4, 5e-4, 2e-3), ({}, _MORE_DROPOUT), 1e-4, 500)
