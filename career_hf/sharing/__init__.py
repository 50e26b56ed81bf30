"""Sharing models: model cards, publishing on the Hub, reports on rare careers, export to ONNX."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
