"""The rivals of CAREER, one file each, behind the same forward signature and the same output.

Public names are those of the files in `registration.MODELS`, so that a rival is listed once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`

from ..registration import MODELS


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__: list[str] = []
for _file in sorted({place.split(".")[1] for place in MODELS if place.startswith("rivals.")}):
    _module = import_module(f"{__name__}.{_file}")
    __all__ += _module.__all__
    globals().update({name: getattr(_module, name) for name in _module.__all__})
