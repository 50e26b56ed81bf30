"""Wages given careers: regressions, a fine-tuned wage head, and wage gaps."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
