"""Coding schemes of occupations, crosswalks between them, titles, groups, and the labels that all rooms use.

`__init__.pyi` lists the public names; each is imported when it is first used.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
