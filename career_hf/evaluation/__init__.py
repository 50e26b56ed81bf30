"""Evaluation: the transition table, and everything that is computed from it."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
