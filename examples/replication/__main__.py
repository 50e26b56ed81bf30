"""`python examples/replication NAME ...` runs a study of the paper; `--help` lists the studies."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


# Files that register commands, in the order of `--help`.
STUDIES = (
    "findings",
    "markets",
    "rivals",
    "better",
    "table1",
    "ablations",
    "titles",
    "volume",
    "wage_gap",
    "table3",
    "gap_worlds",
    "coverage_wages",
    "coverage_evaluation",
    "coverage_forecasts",
    "coverage_transitions",
    "coverage_displacement",
    "coverage_shares",
    "rationales",
    "likeness",
    "market_fit",
    "figure5",
    "market_figures",
    "membership",
    "coding_noise",
    "foundation",
    "settings_by_size",
    "foundation_forecasts",
    "foundation_wages",
)


def main() -> None:
    """Runs the command line, once everything that studies need is installed."""
    if find_spec("matplotlib") is None:
        # Before the hours of training, not after.
        sys.exit("studies draw with matplotlib: pip install 'career_hf[studies]'")
    for name in STUDIES:
        import_module(f"replication.{name}")
    import_module("replication.study").studies()


if __name__ == "__main__":
    # Python puts this folder on the path, where its files would have no package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
