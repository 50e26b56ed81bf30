"""Spells for tests, and their years in plain Python."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa

from career_hf.sources.spell_rules import SpellRules


AS_OF = date(2012, 5, 20)
RULES = SpellRules(as_of=AS_OF, covariates=["firm"], carried=["degree"], static=["state"], first_year=1950, longest=30)
COLUMNS = ["person", "occupation", "start", "end", "firm", "degree", "state"]
UNREADABLE = ["19x0", "2001-02-30", "2001-13", "31/12/2001", "Q5 2001", "0000", "12"]


def period(text):
    """First day of the period that a date names and first day after it, in plain Python; None if it names none."""
    text = text.strip()
    if match := re.fullmatch(r"(?:Q(\d) ?(\d{4})|(\d{4})-?Q(\d))", text, re.IGNORECASE):
        quarter, year = int(match[1] or match[4]), int(match[2] or match[3])
        if not 1 <= quarter <= 4:
            return None
        return date(year, 3 * quarter - 2, 1), date(year + (quarter == 4), 3 * quarter % 12 + 1, 1)
    for form, length in {"%Y-%m-%d": 10, "%Y-%m": 7, "%Y": 4}.items():
        try:
            first = datetime.strptime(text, form).date()
        except ValueError:
            continue
        if len(text) != length or not 1000 <= first.year < 3000:
            return None
        after = {10: first + timedelta(1), 7: (first + timedelta(31)).replace(day=1), 4: date(first.year + 1, 1, 1)}
        return first, after[length]
    return None


def reference(rows, rules=RULES):
    """Rows of `spells_to_years`, a day at a time."""
    used, degrees, states = defaultdict(list), defaultdict(list), {}
    for person, occupation, start, end, firm, degree, state in rows:
        ongoing = end in (None, "present")
        first = period(start or "")
        last = (None, AS_OF + timedelta(1)) if ongoing else period(end)
        if person is None or first is None or last is None or first[0] > AS_OF:
            continue
        begin, stop = first[0], min(last[1], AS_OF + timedelta(1))
        years = (stop - timedelta(1)).year - begin.year + 1
        if stop <= begin or begin.year < rules.first_year or years > rules.longest:
            continue
        if degree is not None:
            degrees[person].append((begin, degree))
        states[person] = state or states.get(person)
        if occupation is not None:
            cut = not ongoing and stop < last[1]
            used[person].append((begin, -stop.toordinal(), ongoing, cut, firm is None, firm, occupation))
    found = {}
    for person, spells in used.items():
        days, begun, held, seen = defaultdict(int), {}, defaultdict(int), set()
        for begin, stop, *_, firm, occupation in sorted(spells, key=lambda spell: (*spell[:5], spell[5] or "")):
            for number in range(begin.toordinal(), -stop):
                year = date.fromordinal(number).year
                begun.setdefault((year, occupation), begin)
                if (occupation, number) not in seen:
                    seen.add((occupation, number))
                    days[year, occupation] += 1
                    held[year, occupation, begin, stop, firm] += 1
        years = sorted({year for year, _ in days})
        if years[-1] - years[0] + 1 > rules.longest:
            continue
        for year in range(years[0], years[-1] + 1):
            here = [job for when, job in days if when == year]
            if here:
                job = min(here, key=lambda job: (-days[year, job], begun[year, job], job))
                firms = [
                    (-n, key[2], key[4]) for key, n in held.items() if key[:2] == (year, job) and key[4] is not None
                ]
                firm = min(firms)[2] if firms else None
            elif rules.no_occupation is not None:
                job, firm = rules.no_occupation, None
            else:
                continue
            known = [entry for entry in degrees[person] if entry[0].year <= year]
            found[person, year] = (job, firm, max(known)[1] if known else None, states[person], len(here))
    return found


def table(rows):
    return pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
    )


def by_person_and_year(years):
    """Rows of a table of years in the form of `reference`; that no key is there twice is checked."""
    rows = years.to_pyarrow().to_pylist()
    found = {
        (row["person"], row["year"]): tuple(
            row[name] for name in ("occupation", "firm", "degree", "state", "occupations")
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def many_spells(people, seed):
    """Seeded rows of every kind, for what is too slow to try many examples on."""
    rng = np.random.default_rng(seed)

    def any_date():
        day = date(1990, 1, 1) + timedelta(int(rng.integers(9000)))
        forms = [str(day), str(day)[:7], str(day.year), f"Q{(day.month + 2) // 3} {day.year}", None, "nonsense"]
        return forms[rng.choice(6, p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.05])]

    def one_of(*values):
        return values[rng.integers(len(values))]

    return [
        (
            one_of(f"p{person}", f"p{person}", f"p{person}", None) if person % 10 == 0 else f"p{person}",
            one_of("cook", "waiter", "pilot", "nurse", None),
            any_date(),
            one_of("present", any_date(), any_date()),
            one_of("x", "y", None),
            one_of("ba", "ma", None),
            one_of(f"s{person}", None),
        )
        for person in range(people)
        for _ in range(rng.integers(1, 6))
    ]
