"""The one dialect of labels that sources, simulation, defaults and docs speak.

Models are transferred by the names of levels, so a level that two parts of the package spell differently is lost
between them. Every label of education, region, race and gender that the package writes is in `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping


# States without an occupation.
NOT_WORKING = ("unemployed", "out_of_labor_force", "in_school", "not_working")

EDUCATION = ("no_high_school", "high_school", "some_college", "college", "graduate")
# Degrees on resumes that are none of these levels.
OTHER_DEGREES = ("certificate", "license", "diploma")
COLLEGE = frozenset({"college", "graduate"})
BELOW_COLLEGE = frozenset({"no_high_school", "high_school", "some_college", *OTHER_DEGREES})

REGIONS = ("northeast", "northcentral", "south", "west")
# The region of resumes from Puerto Rico, an unknown state or none.
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
