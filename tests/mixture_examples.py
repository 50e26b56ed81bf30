"""Small corpora for tests of mixtures."""

from __future__ import annotations

from datasets import DatasetDict

from career_hf.careers import from_frame
from career_hf.careers.moves import from_moves
from career_hf.careers.prepared import PreparedCareers


def survey(people: int = 30, name: str = "p") -> DatasetDict:
    """People of three years each, of whom the first are trained on and the others validate."""
    rows = [
        {"person": f"{name}{i}", "year": 1990 + t, "occupation": "abc"[(i * (t + 1)) % 3], "region": "ns"[i % 2]}
        for i in range(people)
        for t in range(3)
    ]
    frame = {column: [row[column] for row in rows] for column in rows[0]}
    careers = from_frame(frame, static=["region"])
    return DatasetDict(train=careers.select(range(people - 5)), validation=careers.select(range(people - 5, people)))


def moves(counts: list[float] | None = None) -> PreparedCareers:
    """Counts of moves among three occupations, without stays."""
    counts = counts or [5, 1, 4]
    return from_moves({"origin": ["a", "b", "c"], "destination": ["b", "a", "d"], "count": counts}, source="gss-moves")
