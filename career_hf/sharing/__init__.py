"""Model cards, the Hub, rare careers, ONNX."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
