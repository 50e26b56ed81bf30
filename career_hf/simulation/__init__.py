"""A simulated labor market whose true probabilities are known; `docs/explanation/simulated_market.md` describes it.

`__init__.pyi` lists the public names; each is imported when it is first used.
"""

import lazy_loader
import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
