"""CAREER, a foundation model for labor sequence data, as a Hugging Face Transformers-compatible package."""

from typing import Any

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .baselines.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from .baselines.job2vec import Job2VecConfig, Job2VecForOccupationPrediction
from .baselines.job_representation import JobRepresentationConfig, JobRepresentationForOccupationPrediction
from .baselines.markov import MarkovConfig, MarkovForOccupationPrediction
from .baselines.mixture import MixtureOfMarkovChainsConfig, MixtureOfMarkovChainsForOccupationPrediction
from .baselines.nemo import NemoConfig, NemoForOccupationPrediction
from .baselines.regression import RegressionConfig, RegressionForOccupationPrediction
from .configuration_career import CareerConfig
from .modeling_career import CareerForOccupationPrediction, CareerModel, CareerPreTrainedModel
from .pipelines import CareerForecastPipeline, OccupationPredictionPipeline
from .processing_career import CareerProcessor
from .simulation.model import TrueOccupationConfig, TrueOccupationModel
from .wages.modeling_wage import CareerForWagePrediction, CareerWageConfig


__version__ = "0.1.0"

# The one place that registers. Transformers finds these only after `import career_hf`.
_MODELS: dict[type[PreTrainedConfig], type[PreTrainedModel]] = {
    BagOfJobsConfig: BagOfJobsForOccupationPrediction,
    CareerConfig: CareerForOccupationPrediction,
    CareerWageConfig: CareerForWagePrediction,
    Job2VecConfig: Job2VecForOccupationPrediction,
    JobRepresentationConfig: JobRepresentationForOccupationPrediction,
    MarkovConfig: MarkovForOccupationPrediction,
    MixtureOfMarkovChainsConfig: MixtureOfMarkovChainsForOccupationPrediction,
    NemoConfig: NemoForOccupationPrediction,
    RegressionConfig: RegressionForOccupationPrediction,
    TrueOccupationConfig: TrueOccupationModel,
}
AutoModel.register(CareerConfig, CareerModel, exist_ok=True)
for _config, _model in _MODELS.items():
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForCausalLM.register(_config, _model, exist_ok=True)
    AutoFeatureExtractor.register(_config, CareerProcessor, exist_ok=True)
    AutoProcessor.register(_config, CareerProcessor, exist_ok=True)
for _task, _pipeline in {
    "career-forecast": CareerForecastPipeline,
    "occupation-prediction": OccupationPredictionPipeline,
}.items():
    PIPELINE_REGISTRY.register_pipeline(_task, _pipeline, pt_model=AutoModelForCausalLM, type="text")


def __getattr__(name: str) -> Any:
    # Publishing needs pandas and datasets, which `import career_hf` leaves alone.
    if name == "publish":
        from .publishing import publish

        return publish
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


__all__ = [
    "CareerConfig",
    "CareerForOccupationPrediction",
    "CareerForecastPipeline",
    "CareerForWagePrediction",
    "CareerModel",
    "CareerPreTrainedModel",
    "CareerProcessor",
    "CareerWageConfig",
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
    "OccupationPredictionPipeline",
    "RegressionConfig",
    "RegressionForOccupationPrediction",
    "TrueOccupationConfig",
    "TrueOccupationModel",
]
