"""A simulation as folders that the rest of the package reads: careers, and the truth as a checkpoint."""

from __future__ import annotations

from pathlib import Path

from ..careers import save_careers, split_careers, split_manifest
from .model import TrueOccupationModel, world_processor
from .survey import Simulation


def save_simulation(simulation: Simulation, folder: str | Path, salt: str = "career_hf") -> None:
    """Saves a simulation.

    `folder/careers` holds the careers in splits, for `career-hf train`; `folder/truth` the true model and its
    processor, for `career-hf evaluate truth=folder/truth`; `folder/types.parquet` everybody's type.

    Args:
        simulation: Careers, types and world.
        folder: Where to save; made if it is not there.
        salt: Of the split.
    """
    folder = Path(folder)
    splits = split_careers(simulation.careers, salt=salt)
    save_careers(splits, folder / "careers", manifest=split_manifest(splits, salt=salt))
    TrueOccupationModel.of_world(simulation.world).save_pretrained(folder / "truth")
    world_processor(simulation.world).save_pretrained(folder / "truth")
    simulation.types.to_parquet(folder / "types.parquet")
