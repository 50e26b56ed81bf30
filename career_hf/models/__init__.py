"""CAREER, and the code of all occupation models; closed under relative imports, as `trust_remote_code` needs."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`
