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
from .encoding.checkpoints import load_checkpoint as load_checkpoint
from .encoding.processing_career import CareerProcessor as CareerProcessor
from .evaluation.transition_table import transition_table as transition_table
from .explaining.rationales import Rationales as Rationales
from .explaining.rationales import Rule as Rule
from .explaining.rationales import rationales as rationales
from .explaining.transitions import Transitions as Transitions
from .explaining.transitions import transitions as transitions
from .explaining.what_if import WhatIf as WhatIf
from .explaining.what_if import what_if as what_if
from .forecasting.forecast import forecast as forecast
from .forecasting.report import ForecastReport as ForecastReport
from .forecasting.report import evaluate_forecast as evaluate_forecast
from .forecasting.result import Forecast as Forecast
from .models.configuration_career import CareerConfig as CareerConfig
from .models.modeling_career import CareerForOccupationPrediction as CareerForOccupationPrediction
from .models.modeling_career import CareerModel as CareerModel
from .models.modeling_career import CareerPreTrainedModel as CareerPreTrainedModel
from .models.modeling_wage import CareerForWagePrediction as CareerForWagePrediction
from .models.modeling_wage import CareerWageConfig as CareerWageConfig
from .pipelines import CareerForecastPipeline as CareerForecastPipeline
from .pipelines import OccupationPredictionPipeline as OccupationPredictionPipeline
from .representing.featurizer import CareerFeaturizer as CareerFeaturizer
from .representing.representations import representations as representations
from .rivals.bag_of_jobs import BagOfJobsConfig as BagOfJobsConfig
from .rivals.bag_of_jobs import BagOfJobsForOccupationPrediction as BagOfJobsForOccupationPrediction
from .rivals.job2vec import Job2VecConfig as Job2VecConfig
from .rivals.job2vec import Job2VecForOccupationPrediction as Job2VecForOccupationPrediction
from .rivals.job_representation import JobRepresentationConfig as JobRepresentationConfig
from .rivals.job_representation import (
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
from .sharing.publishing import publish as publish
from .simulation.model import TrueOccupationConfig as TrueOccupationConfig
from .simulation.model import TrueOccupationModel as TrueOccupationModel
from .version import __version__ as __version__
