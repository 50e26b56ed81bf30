"""How values are written for people, in tables of the console and in cards alike."""

from typing import Any


def format_value(value: Any, name: str = "", column: str = "") -> str:
    """A value as text: numbers with commas and three digits that tell, years and learning rates as they are, missing
    ones empty."""
    if value != value or value is None:
        return ""
    if (name.endswith(" year") or column == "rate") and isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)
