"""Checkpoints of the original CAREER program."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
