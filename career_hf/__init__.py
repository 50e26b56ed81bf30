"""CAREER, a foundation model for labor sequence data, as a Hugging Face Transformers-compatible package."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoProcessor

from .baselines.markov import MarkovConfig, MarkovForOccupationPrediction
from .configuration_career import CareerConfig
from .modeling_career import CareerForOccupationPrediction, CareerModel, CareerPreTrainedModel
from .processing_career import CareerProcessor
from .simulation.model import TrueOccupationConfig, TrueOccupationModel


__version__ = "0.1.0"

__all__ = [
    "CareerConfig",
    "CareerForOccupationPrediction",
    "CareerModel",
    "CareerPreTrainedModel",
    "CareerProcessor",
    "MarkovConfig",
    "MarkovForOccupationPrediction",
    "TrueOccupationConfig",
    "TrueOccupationModel",
]

# The one place that registers. Transformers finds these only after `import career_hf`.
AutoConfig.register(CareerConfig.model_type, CareerConfig, exist_ok=True)
AutoModel.register(CareerConfig, CareerModel, exist_ok=True)
AutoModelForCausalLM.register(CareerConfig, CareerForOccupationPrediction, exist_ok=True)
AutoFeatureExtractor.register(CareerConfig, CareerProcessor, exist_ok=True)
AutoProcessor.register(CareerConfig, CareerProcessor, exist_ok=True)
AutoConfig.register(MarkovConfig.model_type, MarkovConfig, exist_ok=True)
AutoModelForCausalLM.register(MarkovConfig, MarkovForOccupationPrediction, exist_ok=True)
AutoFeatureExtractor.register(MarkovConfig, CareerProcessor, exist_ok=True)
AutoProcessor.register(MarkovConfig, CareerProcessor, exist_ok=True)
AutoConfig.register(TrueOccupationConfig.model_type, TrueOccupationConfig, exist_ok=True)
AutoModelForCausalLM.register(TrueOccupationConfig, TrueOccupationModel, exist_ok=True)
AutoFeatureExtractor.register(TrueOccupationConfig, CareerProcessor, exist_ok=True)
AutoProcessor.register(TrueOccupationConfig, CareerProcessor, exist_ok=True)
