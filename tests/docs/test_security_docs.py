"""Every claim of the page on security names tests, and these tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
CLAIMS = [line for line in PAGE.split("\n") if line.count("|") == 4 and "shown by" not in line and "---" not in line]


def missing_tests(text: str) -> list[str]:
    """Tests that a text names, in backticks, and that are not there."""
    missing = []
    for name in re.findall(r"`(tests/[^`]*\.py(?:::\w+)?)`", text):
        path, _, function = name.partition("::")
        functions = {""}
        if (ROOT / path).is_file():
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        else:
            functions.clear()
        missing += [] if function in functions else [name]
    return missing


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.split("|")[1].strip())
def test_a_claim_is_shown_by_tests_that_exist(claim):
    assert "`tests/" in claim.split("|")[3] and missing_tests(claim) == []


def test_there_are_claims_and_missing_tests_are_found():
    assert len(CLAIMS) > 15
    assert missing_tests("`tests/docs/test_security_docs.py::test_no_such`, `tests/none.py`") == [
        "tests/docs/test_security_docs.py::test_no_such",
        "tests/none.py",
    ]


def test_programs_that_the_page_names_are_there():
    for path in re.findall(r"(?:python |^)((?:tests|examples|\.ci)/[\w./]+)", PAGE, flags=re.MULTILINE):
        assert (ROOT / path).exists(), path
