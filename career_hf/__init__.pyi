from . import careers as careers
from . import figures as figures
from . import occupations as occupations
from . import rivals as rivals
from . import simulation as simulation
from . import sources as sources
from . import wages as wages
from .careers.describing import describe as describe
from .careers.frames import from_frame as from_frame
from .careers.frames import load_careers as load_careers
from .careers.frames import save_careers as save_careers
from .careers.frames import to_frame as to_frame
from .careers.splits import split_careers as split_careers
from .comparing import compare as compare
from .encoding.checkpoints import load_checkpoint as load_checkpoint
from .encoding.processing_career import CareerProcessor as CareerProcessor
from .evaluation.transition_table import transition_table as transition_table
from .explaining.rationales import rationales as rationales
from .first_steps import quickstart as quickstart
from .forecasting.forecast import forecast as forecast
from .models.configuration_career import CareerConfig as CareerConfig
from .models.modeling_career import CareerForOccupationPrediction as CareerForOccupationPrediction
from .models.modeling_career import CareerModel as CareerModel
from .models.modeling_career import CareerPreTrainedModel as CareerPreTrainedModel
from .models.modeling_wage import CareerForWagePrediction as CareerForWagePrediction
from .models.modeling_wage import CareerWageConfig as CareerWageConfig
from .original.checkpoint import convert_checkpoint as convert_checkpoint
from .pipelines import CareerForecastPipeline as CareerForecastPipeline
from .pipelines import OccupationPredictionPipeline as OccupationPredictionPipeline
from .representing.featurizer import CareerFeaturizer as CareerFeaturizer
from .representing.representations import representations as representations
from .rivals.bag_of_jobs import BagOfJobsConfig as BagOfJobsConfig
from .rivals.bag_of_jobs import BagOfJobsForOccupationPrediction as BagOfJobsForOccupationPrediction
from .rivals.job_vectors import Job2VecConfig as Job2VecConfig
from .rivals.job_vectors import Job2VecForOccupationPrediction as Job2VecForOccupationPrediction
from .rivals.job_vectors import JobRepresentationConfig as JobRepresentationConfig
from .rivals.job_vectors import (
    JobRepresentationForOccupationPrediction as JobRepresentationForOccupationPrediction,
)
from .rivals.markov import MarkovConfig as MarkovConfig
from .rivals.markov import MarkovForOccupationPrediction as MarkovForOccupationPrediction
from .rivals.mixture import MixtureOfMarkovChainsConfig as MixtureOfMarkovChainsConfig
from .rivals.mixture import (
    MixtureOfMarkovChainsForOccupationPrediction as MixtureOfMarkovChainsForOccupationPrediction,
)
from .rivals.nemo import NemoConfig as NemoConfig
from .rivals.nemo import NemoForOccupationPrediction as NemoForOccupationPrediction
from .rivals.regression import RegressionConfig as RegressionConfig
from .rivals.regression import RegressionForOccupationPrediction as RegressionForOccupationPrediction
from .sharing.export import export_onnx as export_onnx
from .sharing.model_card import write_model_card as write_model_card
from .sharing.publishing import publish as publish
from .simulation.model import TrueOccupationConfig as TrueOccupationConfig
from .simulation.model import TrueOccupationModel as TrueOccupationModel
from .trained_models import finetune as finetune
from .trained_models import train as train
from .training.fitting import fit_model as fit_model
from .version import __version__ as __version__
