"""The coming years of careers, and scores of forecasts."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
