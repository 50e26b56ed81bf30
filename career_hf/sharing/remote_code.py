"""CAREER's own source in its checkpoint, for programs that have Transformers and not this package.

`AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)` then runs the copied files. Where career_hf is
imported, the code of career_hf is used instead.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from transformers.dynamic_module_utils import custom_object_save

from ..models.configuration_career import CareerConfig
from ..models.modeling_career import CareerForOccupationPrediction, CareerModel


# Folder of the source files that are copied.
SOURCE_FILES = Path(inspect.getfile(CareerConfig)).parent
AUTO_CLASSES = {
    "AutoConfig": CareerConfig,
    "AutoModel": CareerModel,
    "AutoModelForCausalLM": CareerForOccupationPrediction,
}


def save_with_code(model: CareerForOccupationPrediction, folder: str | Path) -> list[Path]:
    """Saves a model with the source files that it needs, and records in its config which class is in which file.

    Args:
        model: A CAREER model, not one of its subclasses or a rival, whose code is spread over subfolders.
        folder: Destination folder.

    Returns:
        Paths of the source files.

    Raises:
        ValueError: The model is of another class.
    """
    if type(model) is not CareerForOccupationPrediction:
        raise ValueError(f"a {type(model).__name__} is not saved with code: only CareerForOccupationPrediction is")
    earlier_map = getattr(model.config, "auto_map", None)
    model.config.auto_map = {
        auto: f"{auto_class.__module__.rpartition('.')[2]}.{auto_class.__name__}"
        for auto, auto_class in AUTO_CLASSES.items()
    }
    try:
        model.save_pretrained(folder)
    finally:
        # A checkpoint saved later without code must not point to it.
        model.config.auto_map = earlier_map
        if earlier_map is None:
            del model.config.auto_map
    return [Path(file) for file in custom_object_save(model, folder)]


__all__ = ["AUTO_CLASSES", "SOURCE_FILES", "save_with_code"]
