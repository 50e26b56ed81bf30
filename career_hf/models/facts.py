"""What is true of a model whatever its weights: read by model cards, export, training and the comparison of models."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ModelFacts:
    """Class attributes that every occupation model has, so that a new model says them in its own file.

    Args:
        description: What the model is, in the words that begin its card; None if not said.
        is_counted: Whether the model is made of counts by its class method `from_careers`, without covariates, rather
            than trained by gradient descent.
        is_always_tuned: Whether `from_careers` chooses settings on validation careers even when not asked to.
        named_fields: What a name of the model in `career_hf.registration.MODELS` stands for, as arguments of
            `from_careers` or fields of the config; nothing for names that are not here.
        why_not_exported: Why `torch.export` cannot export the model, None if it can.
        why_not_onnx: Why ONNX cannot hold what `torch.export` exports, None if it can.
        spare_steps: Padding that is added on the right for export and taken off again. A model that shifts careers by
            a step or two needs it, because `torch.export` would take careers of one and two steps for another case.
        trial_rates: Peak learning rates to try on validation careers, the most promising first.
        trial_fields: Fields of the config to try at each rate, the paper's first.
        finetuning_rates, finetuning_fields: The same for a pretrained model.
        paper_schedule: Peak learning rate and warmup of Appendix G. NEMO's are not given there; CAREER's are taken.
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
