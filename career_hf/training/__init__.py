"""Training and fine-tuning of any model, through the stock Trainer."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
