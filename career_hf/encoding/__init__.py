"""Encoding: the processor and its vocabulary, batches of model inputs, and loading checkpoints."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
