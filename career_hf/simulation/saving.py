"""Saves simulations as folders that the rest of the package reads: careers, and the truth as a checkpoint."""

from __future__ import annotations

from pathlib import Path

from datasets import DatasetDict

from ..careers.atomic_files import complete, move_into
from ..careers.dataset_card import write_card
from ..careers.describing import describe
from ..careers.frames import save_careers
from ..careers.ledger import Ledger
from ..careers.provenance import SOURCES
from ..careers.saved_files import check_same_careers
from ..careers.splits import split_careers, split_manifest
from ..number_ranges import within_ranges
from .model import TrueOccupationModel, world_processor
from .resumes import load_resumes
from .survey import Simulation


@within_ranges
def save_simulation(
    simulation: Simulation, folder: str | Path, salt: str = "career_hf", overwrite: bool = False
) -> None:
    """Saves a simulation.

    `folder/careers` holds the careers in splits and their dataset card, for `career-hf train`; `folder/truth` the true
    model and its processor, for `career-hf evaluate truth=folder/truth`; `folder/types.parquet` each person's type.

    Args:
        simulation: Careers, types and world.
        folder: Destination folder; created if missing.
        salt: Salt of the split.
        overwrite: Whether other careers in the folder are replaced. The same ones may always be saved again.

    Raises:
        ValueError: The folder holds other careers.
    """
    folder = Path(folder).absolute()
    splits = split_careers(simulation.careers, salt=salt)
    manifest = split_manifest(splits, salt=salt)
    with complete(folder / "careers", move_into) as unfinished:
        save_careers(splits, unfinished, manifest=manifest)
        if not overwrite:
            check_same_careers(folder / "careers", unfinished)
        write_card(
            unfinished,
            SOURCES["simulated"],
            splits=splits,
            ledger=Ledger(),
            description=describe(simulation.careers),
            manifest=manifest,
        )
    TrueOccupationModel.of_world(simulation.world).save_pretrained(folder / "truth")
    world_processor(simulation.world).save_pretrained(folder / "truth")
    simulation.types.to_parquet(folder / "types.parquet")


@within_ranges
def write_resume_card(folder: str | Path, ledger: Ledger) -> None:
    """Writes the dataset card of a corpus that `write_resumes` finished.

    Args:
        folder: Folder of the corpus.
        ledger: What `write_resumes` returns.
    """
    resumes = load_resumes(folder)
    write_card(
        folder,
        SOURCES["simulated-resumes"],
        splits=DatasetDict({"all": resumes}),
        ledger=ledger,
        description=describe(resumes),
    )
