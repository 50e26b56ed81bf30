"""From careers to what models read: the processor, its vocabulary, batches, and loading checkpoints."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
