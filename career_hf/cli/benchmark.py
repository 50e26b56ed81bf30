"""`career-hf benchmark`: writes what programs of any kind need to predict careers."""

from __future__ import annotations

import career_hf

from .console import say, show
from .options import Data, Output


def benchmark(data: Data, output: Output) -> None:
    """Write the rows to be predicted and the label set as CSV, and hashes of both, for programs in any language."""
    made = career_hf.benchmark(data)
    for path in made.save(output):
        say(f"wrote {path}")
    show(made.splits, f"{len(made.labels)} labels, SHA-256 {made.labels_sha256}")
