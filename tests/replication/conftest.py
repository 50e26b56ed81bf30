"""Studies at small sizes take minutes together: those that train most are run with RUN_SLOW=1."""

import pytest
from transformers.testing_utils import parse_flag_from_env


SLOW = {
    f"test_study_{name}"
    for name in ("ablations", "coding_noise", "figure5", "findings", "membership", "rationales", "rivals", "table1")
    + ("table3", "titles", "volume")
}


def pytest_collection_modifyitems(items):
    skipped = pytest.mark.skipif(not parse_flag_from_env("RUN_SLOW"), reason="test is slow")
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(skipped)
