"""How values and results are written for people: in tables of the console, in cards and in notebooks."""

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
    if value is None or is_missing(value):
        return ""
    # A truth value is a number to Python.
    if not isinstance(value, Real) or isinstance(value, bool):
        return str(value)
    number = float(value)
    if column == "rate" or (100 <= abs(number) < 10_000 and (is_year(name) or is_year(column))):
        return f"{number:g}"
    if not number.is_integer():
        return f"{number:.3f}" if abs(number) < 100 else f"{number:,.1f}"
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 update" and "2,000 updates"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_missing(value: Any) -> bool:
    """Whether a value is NaN, or the missing value of pandas, which is neither equal to itself nor different."""
    return type(value).__name__ == "NAType" or bool(value != value)


def is_year(name: str) -> bool:
    """Whether a row or column of this name holds calendar years, which have no thousands: year, birth_year, last year.

    Args:
        name: Name of a row or column.
    """
    return name.replace("_", " ").split()[-1:] == ["year"]


class ReadableResult:
    """A result that shows itself as the first rows of its `to_frame`, in a terminal and in a notebook.

    A dataclass that inherits it says `repr=False`.
    """

    _rows_shown = 20

    def to_frame(self) -> Any:
        """The result as a frame."""
        raise NotImplementedError

    def __repr__(self) -> str:
        frame = self.to_frame()
        shown = frame.head(self._rows_shown)
        cells = {name: [format_value(value, column=str(name)) for value in column] for name, column in shown.items()}
        more = f"\n... and {len(frame) - len(shown):,} more rows: see to_frame()" if len(shown) < len(frame) else ""
        return f"{type(self).__name__}\n{type(frame)(cells, index=shown.index).to_string(line_width=80)}{more}"

    def _repr_html_(self) -> str:
        return self.to_frame().head(self._rows_shown).to_html()


__all__ = ["ReadableResult", "counted", "format_value", "is_year"]
