"""Makes the models of this package known to Transformers' Auto classes and pipelines.

Transformers finds models outside it only where somebody registers their classes, which takes torch and seconds.
`import career_hf` takes neither: registration waits until Transformers itself is imported, so that preparing or
describing careers never pays for a model. Rooms that need Transformers import it in their `__init__`, before any file
of theirs, because registration imports the files of several rooms.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import wrapt


# Where the configuration and the class of each model are. A new rival has its own file and a line here.
MODELS = {
    "models.configuration_career.CareerConfig": "models.modeling_career.CareerForOccupationPrediction",
    "models.modeling_wage.CareerWageConfig": "models.modeling_wage.CareerForWagePrediction",
    "rivals.bag_of_jobs.BagOfJobsConfig": "rivals.bag_of_jobs.BagOfJobsForOccupationPrediction",
    "rivals.job2vec.Job2VecConfig": "rivals.job2vec.Job2VecForOccupationPrediction",
    "rivals.job_representation.JobRepresentationConfig": (
        "rivals.job_representation.JobRepresentationForOccupationPrediction"
    ),
    "rivals.markov.MarkovConfig": "rivals.markov.MarkovForOccupationPrediction",
    "rivals.mixture.MixtureOfMarkovChainsConfig": "rivals.mixture.MixtureOfMarkovChainsForOccupationPrediction",
    "rivals.nemo.NemoConfig": "rivals.nemo.NemoForOccupationPrediction",
    "rivals.regression.RegressionConfig": "rivals.regression.RegressionForOccupationPrediction",
    "simulation.model.TrueOccupationConfig": "simulation.model.TrueOccupationModel",
}


def register_with_transformers() -> None:
    """Registers models and processors when Transformers is imported, or at once if it is; pipelines with theirs."""
    wrapt.register_post_import_hook(_register_models, "transformers")
    wrapt.register_post_import_hook(_import_pipelines, "transformers.pipelines")


def _register_models(transformers: Any) -> None:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoProcessor

    processor = _load("encoding.processing_career.CareerProcessor")
    for config, model in ((_load(config), _load(model)) for config, model in MODELS.items()):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)
        AutoFeatureExtractor.register(config, processor, exist_ok=True)
        AutoProcessor.register(config, processor, exist_ok=True)
    career = _load("models.configuration_career.CareerConfig")
    AutoModel.register(career, _load("models.modeling_career.CareerModel"), exist_ok=True)


def _import_pipelines(pipelines: Any) -> None:
    # The file registers its pipelines, since it may be the one that imports Transformers' first.
    import_module(f"{__package__}.pipelines")


def _load(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), name)
