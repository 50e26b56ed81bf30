"""The rivals of CAREER, one file each, behind the same forward signature and the same output."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`

from .bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from .job2vec import Job2VecConfig, Job2VecForOccupationPrediction
from .job_representation import JobRepresentationConfig, JobRepresentationForOccupationPrediction
from .markov import MarkovConfig, MarkovForOccupationPrediction, tune_weight
from .mixture import MixtureOfMarkovChainsConfig, MixtureOfMarkovChainsForOccupationPrediction, tune_mixture
from .nemo import NemoConfig, NemoForOccupationPrediction
from .regression import RegressionConfig, RegressionForOccupationPrediction


__all__ = [
    "BagOfJobsConfig",
    "BagOfJobsForOccupationPrediction",
    "Job2VecConfig",
    "Job2VecForOccupationPrediction",
    "JobRepresentationConfig",
    "JobRepresentationForOccupationPrediction",
    "MarkovConfig",
    "MarkovForOccupationPrediction",
    "MixtureOfMarkovChainsConfig",
    "MixtureOfMarkovChainsForOccupationPrediction",
    "NemoConfig",
    "NemoForOccupationPrediction",
    "RegressionConfig",
    "RegressionForOccupationPrediction",
    "tune_mixture",
    "tune_weight",
]
