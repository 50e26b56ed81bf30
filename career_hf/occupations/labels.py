"""The labels that sources, simulation, docs and defaults all speak: states without work, levels of covariates."""

# States without an occupation, as the sources call them.
NOT_WORKING = ("unemployed", "out_of_labor_force", "in_school", "not_working")
# Levels of education as the sources of this package call them: from a bachelor's degree on, and below.
COLLEGE = frozenset({"college", "graduate", "advanced degree", "Bachelor", "Master"})
BELOW_COLLEGE = frozenset(
    {"no_high_school", "less than high school", "high_school", "high school", "some_college", "some college"}
    | {"certificate", "license", "diploma"}
)
