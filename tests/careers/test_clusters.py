"""The one rule of clusters, against what it must be by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from career_hf.careers.clusters import cluster_column, cluster_name, clusters


ROWS = pd.DataFrame({"person": ["a", "a", "b", "c"], "group": ["x", "x", "x", "y"], "psu": ["1", "1", "1", "1"]})


def test_the_largest_known_unit_is_the_cluster():
    assert clusters(ROWS[["person"]]).tolist() == [0, 0, 1, 2]
    assert clusters(ROWS[["person", "group"]]).tolist() == [0, 0, 0, 1]
    assert clusters(ROWS).tolist() == [0, 0, 0, 0]
    assert cluster_column(ROWS.columns) == "psu"
    assert [cluster_name(names) for names in (["person"], ["person", "group"], ROWS.columns)] == [
        "person",
        "household",
        "PSU",
    ]


def test_psus_that_start_again_in_every_stratum_are_told_apart():
    assert clusters(ROWS.assign(stratum=["s", "s", "s", "t"])).tolist() == [0, 0, 0, 1]


def test_mistakes_name_person_and_column():
    with pytest.raises(ValueError, match="person 'b', column 'group': the value is missing"):
        clusters(ROWS[["person"]].assign(group=["x", "x", None, "y"]))
    with pytest.raises(ValueError, match="column 'psu': household 'x' is in two of its units"):
        clusters(ROWS.assign(psu=["1", "1", "2", "2"]))
    with pytest.raises(ValueError, match="column 'group': person 'a' is in two of its units"):
        clusters(ROWS[["person"]].assign(group=["x", "z", "x", "y"]))
