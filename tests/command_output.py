"""What a command printed, for tests."""

from __future__ import annotations

import re


def words(result):
    """A result's output on one line, without the frame around errors."""
    return " ".join(re.sub("[│╭╮╰╯─]", "", result.output).split())
