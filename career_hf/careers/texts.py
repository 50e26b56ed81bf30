"""Careers as texts, from which language models learn and which they score (LABOR-LLM: Athey, Brunborg, Du, Kanodia
and Vafa, 2024, "LABOR-LLM: Language-Based Occupational Representations with Large Language Models", arXiv:2406.17972).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from string import Formatter

import pyarrow as pa
from datasets import Dataset

from ..number_ranges import within_ranges
from ..occupations.crosswalks import titles_of
from .columns import RESERVED_NAMES, career_pieces, is_list, is_text, list_values, make_dataset
from .periods import period_label, time_unit


# The word for a covariate that is missing.
MISSING_WORD = "unknown"


@within_ranges
def to_text(careers: Dataset, template: str | None = None, titles: Mapping[str, str] | None = None) -> Dataset:
    """Writes every career as a text, and says where in the text each occupation is.

    Args:
        careers: Careers, one row per person.
        template: Lines with names of columns in braces. The one that ends with {occupation} is written for every year,
            with that year's values (months and quarters as in 1993-07); lines before and after it are written once,
            with the values of a person's first year. For instance "A {gender} worker.\\n{year} ({education}):
            {occupation}\\n". If None, a line for every covariate that does not change, and for every year "{year}
            ({education}, {region}): {occupation}" with all that do.
        titles: The words for each occupation; by default the titles of the `occupations` room where all numbers are
            occ1990dd codes, and the labels themselves, with blanks for underscores, where they are not. Pass those of
            all splits (`Benchmark.labels`) where one split may lack a code that another has.

    Returns:
        One row per person: person; text; start and end, lists with the places in the text, counted in characters,
        where the occupation of each year starts and ends. What precedes `start` is what a model may know of it.

    Raises:
        ValueError: The template names no column or is malformed, no line or several have {occupation}, its line does
            not end with it, an occupation has no title, or two have the same, which no reader could tell apart.
    """
    occupations = [list_values(piece, "occupation").unique() for piece in career_pieces(careers)]
    title = words_of_labels(pa.concat_arrays(occupations).unique().to_pylist(), titles)
    check_distinct(title)
    schema = careers.data.schema
    head, line, foot = _lines(_default_template(schema) if template is None else template, schema.names)
    texts, starts, ends = [], [], []
    unit = time_unit(careers)
    for career in (career for piece in career_pieces(careers) for career in piece.to_pylist()):
        career["year"] = [period_label(number, unit) for number in career["year"]]
        once = {name: _words(value[0] if isinstance(value, list) else value) for name, value in career.items()}
        yearly = {name: list(map(_words, value)) for name, value in career.items() if isinstance(value, list)}
        text, spans = head.format_map(once), []
        for step, occupation in enumerate(career["occupation"]):
            text += line.format_map(once | {name: values[step] for name, values in yearly.items()})
            spans.append((len(text), len(text) + len(title[occupation])))
            text += f"{title[occupation]}\n"
        texts.append(text + foot.format_map(once))
        starts.append([start for start, _ in spans])
        ends.append([end for _, end in spans])
    places = pa.list_(pa.int32())
    columns = {"person": pa.array(careers["person"][:], pa.string()), "text": pa.array(texts, pa.string())}
    return make_dataset(columns | {"start": pa.array(starts, places), "end": pa.array(ends, places)})


def words_of_labels(labels: Collection[str], titles: Mapping[str, str] | None = None) -> dict[str, str]:
    """The title of every label in words, on one line.

    Args:
        labels: Occupations.
        titles: As in `to_text`.

    Raises:
        ValueError: An occupation has no title.
    """
    given = {**dict(zip(labels, labels, strict=True)), **titles_of(labels)} if titles is None else titles
    words = {label: _words(given.get(label, "")) for label in labels}
    if absent := [label for label, text in words.items() if not text]:
        raise ValueError(f"titles has no words for occupation '{absent[0]}' ({len(absent)} in all): add them")
    return words


def check_distinct(words: Mapping[str, str]) -> None:
    """Refuses titles of which two occupations have the same, so that no reader could tell the two apart.

    Args:
        words: Title by occupation.

    Raises:
        ValueError: Two occupations have the same title; the message names them.
    """
    label_of_words: dict[str, str] = {}
    for label, text in words.items():
        if (other := label_of_words.setdefault(text, label)) != label:
            raise ValueError(
                f"occupations '{other}' and '{label}' have one title, '{text}': give them different ones in titles="
            )


def _words(value: object) -> str:
    """A value as words on one line."""
    return MISSING_WORD if value is None else " ".join(str(value).replace("_", " ").split())


def _default_template(schema: pa.Schema) -> str:
    """Every covariate, in the order of the columns."""
    fields = [field for field in schema if field.name not in RESERVED_NAMES]
    static = [field.name for field in fields if is_text(field.type)]
    varying = [field.name for field in fields if is_list(field.type) and is_text(field.type.value_type)]
    beside = f" ({', '.join(f'{{{name}}}' for name in varying)})" if varying else ""
    return "".join(f"{_words(name)}: {{{name}}}\n" for name in static) + f"{{year}}{beside}: {{occupation}}\n"


def _lines(template: str, columns: Sequence[str]) -> tuple[str, str, str]:
    """What is written once before, for every year up to the occupation, and once after."""
    lines = template.splitlines(keepends=True)
    fields = [_fields(line, template, columns) for line in lines]
    yearly = [number for number, names in enumerate(fields) for name in names if name == "occupation"]
    if len(yearly) != 1 or not lines[yearly[0]].rstrip("\r\n").endswith("{occupation}"):
        raise ValueError(
            f"template {template!r} must have one line that ends with {{occupation}}, such as '{{year}}: "
            "{occupation}', which is written for every year"
        )
    head, line, foot = "".join(lines[: yearly[0]]), lines[yearly[0]], "".join(lines[yearly[0] + 1 :])
    return head, line.rstrip("\r\n").removesuffix("{occupation}"), foot


def _fields(line: str, template: str, columns: Sequence[str]) -> list[str]:
    """The names in braces of a line of the template."""
    try:
        parts = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(line) if name is not None]
    except ValueError as error:
        raise ValueError(
            f"template {template!r} is malformed: {error}; braces that stay are doubled, {{{{ }}}}"
        ) from error
    for name, form, conversion in parts:
        if name not in columns:
            raise ValueError(f"template {template!r} names {{{name}}}, and the careers have columns {columns}")
        if form or conversion:
            raise ValueError(f"template {template!r} must have the name {{{name}}} alone, without a format")
    return [name for name, _, _ in parts]


__all__ = ["check_distinct", "to_text", "words_of_labels"]
