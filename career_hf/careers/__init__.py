"""What a careers dataset is, and how one is made, split, checked, saved and described; `frames` lists the columns."""

from .coding_noise import RecodedCareers, recode_coding_noise
from .columns import RESERVED_NAMES
from .describing import describe
from .frames import as_careers, as_splits, covariate_names, from_frame, load_careers, save_careers, to_frame, truncate
from .ledger import Ledger
from .moves import from_moves
from .prepared import PreparedCareers
from .provenance import SOURCES, Limits, Source, limits_of, source_of
from .raking import RakedCareers, margins_of, rake
from .shards import CareerShards, save_shards
from .splits import check_leaks, split_careers, split_manifest
from .validation import validate


__all__ = [
    "RESERVED_NAMES",
    "SOURCES",
    "CareerShards",
    "Ledger",
    "Limits",
    "PreparedCareers",
    "RakedCareers",
    "RecodedCareers",
    "Source",
    "as_careers",
    "as_splits",
    "check_leaks",
    "covariate_names",
    "describe",
    "from_frame",
    "from_moves",
    "limits_of",
    "load_careers",
    "margins_of",
    "rake",
    "recode_coding_noise",
    "save_careers",
    "save_shards",
    "source_of",
    "split_careers",
    "split_manifest",
    "to_frame",
    "truncate",
    "validate",
]
