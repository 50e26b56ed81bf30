"""How values are written for people, in tables of the console and in cards alike."""

from numbers import Real
from typing import Any


def format_value(value: Any, name: str = "", column: str = "") -> str:
    """A value as text: numbers with commas and three digits that tell, years and learning rates as they are, missing
    ones empty.

    Args:
        value: A number, a text, or None.
        name: Name of the value's row.
        column: Name of its column.
    """
    if value is None or value != value:
        return ""
    # A truth value is a number to Python.
    if not isinstance(value, Real) or isinstance(value, bool):
        return str(value)
    number = float(value)
    if column == "rate" or (abs(number) < 10_000 and (is_year(name) or is_year(column))):
        return f"{number:g}"
    if not number.is_integer():
        return f"{number:.3f}" if abs(number) < 100 else f"{number:,.1f}"
    return f"{value:,.0f}"


def is_year(name: str) -> bool:
    """Whether a row or column of this name holds calendar years, which have no thousands: year, birth_year, last year.

    Args:
        name: Name of a row or column.
    """
    return name.replace("_", " ").split()[-1:] == ["year"]


__all__ = ["format_value", "is_year"]
