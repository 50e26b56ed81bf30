"""Representations: what a model knows about a career, as vectors."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
