"""A ledger records what every step of a data build dropped or altered, and why: rows in = rows out + dropped.

Nothing in this package loses a row silently. Each step that drops or alters rows writes one entry, and entries that do
not add up raise an error, so a build that prints its ledger has been checked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal


# Which facts a rule reads: static ones, the person's past, or (as some of the paper's rules do) later years.
DependsOn = Literal["static", "past", "future"]


@dataclass(frozen=True)
class LedgerEntry:
    """One step of a build.

    Args:
        step: Description of the step ("drop years before grade 9").
        unit: Unit that is counted ("people", "person-years", "rows").
        rows_in: Count before the step.
        rows_out: Count after the step.
        dropped: Rows dropped, by reason. Reasons are exclusive: they sum to `rows_in - rows_out`.
        altered: Rows kept but changed, by reason (such as an unknown occupation mapped to a named level); these need
            not add up.
        depends_on: Whether the rule reads static facts, the person's past, or later years too.
    """

    step: str
    unit: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    altered: dict[str, int] = field(default_factory=dict)
    depends_on: DependsOn = "static"

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_out + sum(self.dropped.values()):
            raise ValueError(
                f"ledger step '{self.step}' does not add up: {self.rows_in} {self.unit} in, {self.rows_out} out, but "
                f"{sum(self.dropped.values())} dropped ({self.dropped}); every dropped row needs exactly one reason"
            )


class Ledger:
    """The entries of one build, in order, with notes (warnings that a reader should see).

    Example:
        >>> ledger = Ledger()
        >>> entry = ledger.record("drop invalid codes", "rows", rows_in=10, rows_out=8, dropped={"code 0": 2})
        >>> ledger.dropped()
        {'code 0': 2}
    """

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.notes: list[str] = []

    def record(
        self,
        step: str,
        unit: str,
        rows_in: int,
        rows_out: int,
        dropped: dict[str, int] | None = None,
        altered: dict[str, int] | None = None,
        depends_on: DependsOn = "static",
    ) -> LedgerEntry:
        """Appends one entry; a ValueError if it does not add up or does not start where its unit last ended."""
        entry = LedgerEntry(step, unit, rows_in, rows_out, dict(dropped or {}), dict(altered or {}), depends_on)
        previous = next((earlier for earlier in reversed(self.entries) if earlier.unit == unit), None)
        if previous is not None and previous.rows_out != rows_in:
            raise ValueError(
                f"ledger step '{step}' starts with {rows_in} {unit}, but '{previous.step}' ended with "
                f"{previous.rows_out}: a step in between lost or added rows without an entry"
            )
        self.entries.append(entry)
        return entry

    def note(self, text: str) -> None:
        """Appends a remark that is printed and saved with the entries."""
        self.notes.append(text)

    def dropped(self) -> dict[str, int]:
        """Rows dropped by reason, summed over all entries."""
        totals: dict[str, int] = {}
        for entry in self.entries:
            for reason, count in entry.dropped.items():
                totals[reason] = totals.get(reason, 0) + count
        return totals

    def to_dict(self) -> dict[str, Any]:
        return {"entries": [asdict(entry) for entry in self.entries], "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Ledger:
        ledger = cls()
        for entry in state["entries"]:
            ledger.record(**entry)
        ledger.notes = list(state["notes"])
        return ledger

    def save(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Ledger:
        """Loads what `save` wrote.

        Raises:
            ValueError: If the file is damaged, or an entry does not add up; the message names the file.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a ledger, or is damaged: {type(error).__name__}: {error}") from error

    def __str__(self) -> str:
        lines = []
        for entry in self.entries:
            lines.append(
                f"{entry.step} [{entry.depends_on}]: {entry.rows_in:,} {entry.unit} in, {entry.rows_out:,} out"
            )
            lines += [f"    dropped {count:>10,}  {reason}" for reason, count in entry.dropped.items()]
            lines += [f"    altered {count:>10,}  {reason}" for reason, count in entry.altered.items()]
        lines += [f"note: {text}" for text in self.notes]
        return "\n".join(lines)
