"""From careers to what models read: processor, vocabulary, batches, checkpoints."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
