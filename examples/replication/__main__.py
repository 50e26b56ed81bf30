"""`python examples/replication NAME ...` runs a study of the paper; `--help` lists the studies."""

import sys
from pathlib import Path


# Python puts this folder on the path, where its files would have no package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from replication.commands import study  # noqa: E402


if __name__ == "__main__":
    study()
