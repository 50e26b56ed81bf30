"""CAREER, a foundation model for labor sequence data, as a Hugging Face Transformers-compatible package.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that a step that needs no model loads
no torch. `registration` makes the models known to Transformers' Auto classes and pipelines.
"""

import lazy_loader

from . import registration
from .version import __version__


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

registration.register_with_transformers()
