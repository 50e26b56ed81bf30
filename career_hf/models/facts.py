"""Facts about a class of models, whatever the weights, for model cards, export, training and comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ModelFacts:
    """Class attributes of every occupation model, so that the facts about a new model are in its own file.

    Args:
        description: A description of the model, with which its card begins; None without one.
        is_counted: Whether the model is made of counts by its class method `from_careers`, without covariates, rather
            than trained by gradient descent.
        is_always_tuned: Whether `from_careers` always chooses settings on validation careers.
        named_fields: For names of the model in `career_hf.registration.MODELS`, arguments of `from_careers` or fields
            of the config that the name stands for.
        why_not_exported: Reason why `torch.export` cannot export the model; None if it can.
        why_not_onnx: Reason why ONNX cannot represent the exported model; None if it can.
        spare_steps: Number of padded steps that are added on the right for export and removed again. A model that
            shifts careers by a step or two needs them, because `torch.export` would treat careers of one and two steps
            as another case.
        trial_rates: Peak learning rates to try on validation careers, the most promising first.
        trial_fields: Fields of the config to try at each rate, the paper's first.
        finetuning_rates, finetuning_fields: Rates and fields to try for a pretrained model.
        paper_schedule: Peak learning rate and warmup of Appendix G. It does not give those of NEMO; CAREER's are used.
    """

    description: ClassVar[str | None] = None
    is_counted: ClassVar[bool] = False
    is_always_tuned: ClassVar[bool] = False
    named_fields: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    why_not_exported: ClassVar[str | None] = "it has not been tried"
    why_not_onnx: ClassVar[str | None] = None
    spare_steps: ClassVar[int] = 2
    trial_rates: ClassVar[Sequence[float]] = (1e-3, 4e-3, 2e-3, 5e-4, 8e-3, 3e-3, 1.6e-2, 2.5e-4)
    trial_fields: ClassVar[Sequence[dict[str, Any]]] = ({},)
    finetuning_rates: ClassVar[Sequence[float]] = ()
    finetuning_fields: ClassVar[Sequence[dict[str, Any]]] = ({},)
    paper_schedule: ClassVar[Mapping[str, float]] = {"learning_rate": 5e-4, "warmup_steps": 500}
