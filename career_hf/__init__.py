"""CAREER, a foundation model for labor sequence data, as a Hugging Face Transformers-compatible package."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from .configuration_career import CareerConfig
from .modeling_career import CareerForOccupationPrediction, CareerModel, CareerPreTrainedModel


__version__ = "0.1.0"

AutoConfig.register(CareerConfig.model_type, CareerConfig, exist_ok=True)
AutoModel.register(CareerConfig, CareerModel, exist_ok=True)
AutoModelForCausalLM.register(CareerConfig, CareerForOccupationPrediction, exist_ok=True)
