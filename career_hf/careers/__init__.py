"""What a careers dataset is, and how one is made, split, checked, saved and described; `frames` has the columns."""

from .columns import RESERVED_NAMES
from .frames import as_careers, as_splits, covariate_names, from_frame, load_careers, save_careers, to_frame, truncate
from .splits import check_leaks, split_careers, split_manifest
from .validation import validate


__all__ = [
    "RESERVED_NAMES",
    "as_careers",
    "as_splits",
    "check_leaks",
    "covariate_names",
    "from_frame",
    "load_careers",
    "save_careers",
    "split_careers",
    "split_manifest",
    "to_frame",
    "truncate",
    "validate",
]
