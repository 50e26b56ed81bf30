"""`python examples/replication NAME ...` runs a study of the paper; `--help` lists the studies."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Runs the command line, once everything that studies need is installed."""
    if find_spec("matplotlib") is None:
        # Before the hours of training, not after.
        sys.exit("studies draw with matplotlib: pip install 'career_hf[studies]'")
    from replication import studies

    studies()


if __name__ == "__main__":
    # Python puts this folder on the path, where its files would have no package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
