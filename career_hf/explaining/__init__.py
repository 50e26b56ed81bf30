"""Why a model predicts what it does: rationales, what-if, transition matrices."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
