"""The labels that sources, simulation, defaults and docs share.

Models are transferred by the names of levels, so a level with two spellings would be lost in transfer. `LEVELS` has
every label of education, region, race and gender that the package writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


# States without an occupation.
NOT_WORKING = ("unemployed", "out_of_labor_force", "in_school", "not_working")

EDUCATION = ("no_high_school", "high_school", "some_college", "college", "graduate")
# Degrees on resumes that do not belong to one of these levels.
OTHER_DEGREES = ("certificate", "license", "diploma")
COLLEGE = frozenset({"college", "graduate"})
BELOW_COLLEGE = frozenset({"no_high_school", "high_school", "some_college", *OTHER_DEGREES})

REGIONS = ("northeast", "northcentral", "south", "west")
# Region of resumes from Puerto Rico, or with an unknown or missing state.
OTHER_REGION = "other"

GENDERS = ("male", "female")

# The three groups of the NLSY79's public file, which the simulated market has too.
RACES = ("non_black_non_hispanic", "black", "hispanic")
# The groups of the NLSY97 and of the PSID, which tell white people from others; the PSID has no "hispanic".
RACES_WITH_OTHER = ("white", "black", "hispanic", "other")

# Every level that a part of the package may write, by covariate.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "education": (*EDUCATION, *OTHER_DEGREES),
    "region": (*REGIONS, OTHER_REGION),
    "race": (*RACES, "white", "other"),
    "gender": GENDERS,
}


def check_states(states: Mapping[str, str], labels: Collection[str]) -> None:
    """Checks what a caller says of the states in a table.

    Args:
        states: State by the table's label for it, such as {"nilf": "out_of_labor_force"}.
        labels: Labels of the table.

    Raises:
        ValueError: A label is none of the table, or what it becomes is none of `NOT_WORKING`.
    """
    for label, state in states.items():
        if label not in labels:
            raise ValueError(f"states= names {label!r}, which no row of the table has: correct it, or leave it out")
        if state not in NOT_WORKING:
            raise ValueError(
                f"states= makes {label!r} the state {state!r}, which does not exist: states without an occupation are "
                f"{', '.join(NOT_WORKING)}"
            )
