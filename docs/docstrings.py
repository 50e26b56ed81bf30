"""An extension of Griffe, which reads docstrings: what Transformers writes its own way in them, as Griffe reads it."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class AsInTransformers(Extension):
    """[`name`] is a link, (`int`, *optional*) a type, and what follows "Example:" is Python with its results."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = re.sub(r"\[(`[\w.]+`)\](?![\[(])", r"[\1][]", obj.docstring.value)
            text = re.sub(r"^( +\w+ )\((`.+)\):", _plain_type, text, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)


def _plain_type(argument: re.Match[str]) -> str:
    return f"{argument[1]}({argument[2].replace('`', '').replace('*', '')}):"
