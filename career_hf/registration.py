"""Makes the models of this package known to Transformers' Auto classes and pipelines, and finds them by name.

Transformers finds models outside it only where somebody registers their classes, which takes torch and seconds.
`import career_hf` takes neither: registration waits until Transformers itself is imported, so that preparing or
describing careers never pays for a model. Rooms that need Transformers import it in their `__init__`, before any file
of theirs, because registration imports the files of several rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import wrapt


# Where the class of each model is, and the names under which `train` and `compare` know it. A new rival has its own
# file and a line here.
MODELS: dict[str, tuple[str, ...]] = {
    "models.modeling_career.CareerForOccupationPrediction": ("career",),
    "models.modeling_wage.CareerForWagePrediction": (),
    "rivals.markov.MarkovForOccupationPrediction": ("markov-1", "markov-2"),
    "rivals.mixture.MixtureOfMarkovChainsForOccupationPrediction": ("mixture",),
    "rivals.regression.RegressionForOccupationPrediction": ("regression",),
    "rivals.bag_of_jobs.BagOfJobsForOccupationPrediction": ("bag-of-jobs",),
    "rivals.nemo.NemoForOccupationPrediction": ("nemo",),
    "rivals.job_vectors.JobRepresentationForOccupationPrediction": ("job-representation",),
    "rivals.job_vectors.Job2VecForOccupationPrediction": ("job2vec",),
    "simulation.model.TrueOccupationModel": (),
}

# Classes of models by name, and all of them, once they are registered.
_named: dict[str, Any] = {}
_registered: list[Any] = []


def register_with_transformers() -> None:
    """Registers models and processors when Transformers is imported, or at once if it is; pipelines with theirs."""
    wrapt.register_post_import_hook(_register_models, "transformers")
    wrapt.register_post_import_hook(_import_pipelines, "transformers.pipelines")


def register(model_class: Any, *names: str) -> None:
    """Registers one model, which may stand outside this package, with Transformers and with `train` and `compare`.

    Args:
        model_class: Class of the model; its `config_class` has a `model_type` of its own.
        names: Names of the model for `train` and `compare`.
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCausalLM, AutoProcessor

    config, processor = model_class.config_class, _load("encoding.processing_career.CareerProcessor")
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModelForCausalLM.register(config, model_class, exist_ok=True)
    AutoFeatureExtractor.register(config, processor, exist_ok=True)
    AutoProcessor.register(config, processor, exist_ok=True)
    _named.update(dict.fromkeys(names, model_class))
    if model_class not in _registered:
        _registered.append(model_class)


def model_names() -> list[str]:
    """Names of the models that `train` and `compare` know; without loading any of them."""
    return list(dict.fromkeys([*(name for names in MODELS.values() for name in names), *_named]))


def model_classes() -> list[Any]:
    """Classes of all registered models. Transformers has to be imported."""
    return list(_registered)


def model_named(name: str) -> tuple[Any, Mapping[str, Any]]:
    """The class that a name stands for, and what the name says of the model, such as a chain's order.

    Raises:
        ValueError: There is no model of that name; the message lists those that there are.
    """
    if name not in model_names():
        raise ValueError(f"there is no model '{name}'; models are {', '.join(model_names())}")
    import transformers  # noqa: F401  # registers the models

    return _named[name], _named[name].named_fields.get(name, {})


def _register_models(transformers: Any) -> None:
    for place, names in MODELS.items():
        register(_load(place), *names)
    from transformers import AutoModel

    career = _load("models.modeling_career.CareerModel")
    AutoModel.register(career.config_class, career, exist_ok=True)


def _import_pipelines(pipelines: Any) -> None:
    # The file registers its pipelines, since it may be the one that imports Transformers' first.
    import_module(f"{__package__}.pipelines")


def _load(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), name)
