"""A sample of kills and full disks: what was stopped and is run again ends as if nobody had stopped it.

`python tests/attack/kills.py` tries every stage of every write, of every kind of run.
"""

from __future__ import annotations

import random

import pytest
from kills import Trials, may_mount
from scene import make_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


# Not the jobs with DuckDB: its threads may wait for ever in a child of a process that has threads, as this one has.
@pytest.mark.parametrize("job", ["train", "prepare", "forecast"])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(job, scene, tmp_path):
    trials, draw = Trials(job, scene, tmp_path), random.Random(job)
    whole = trials.undisturbed
    assert whole.changes > 2 and len(whole.files) > 1
    assert trials.killed_before_change(draw.randint(2, whole.changes)) == ""
    assert trials.full_after(max(whole.sizes) // 2) == ""


def test_a_full_disk_and_a_read_only_folder_lose_nothing(scene, tmp_path):
    if not may_mount():
        pytest.skip("this process may not mount a disk of its own")
    trials = Trials("prepare", scene, tmp_path)
    assert trials.full_disk(8192) == "" and trials.read_only() == ""


def test_what_is_left_over_missing_or_different_is_noticed(scene, tmp_path):
    trials = Trials("forecast", scene, tmp_path)
    file = trials.output / "forecast.parquet"
    for damage, said in [
        (lambda: (trials.output / "more").write_text(""), "out/more is left over"),
        (file.unlink, "out/forecast.parquet is missing"),
        (lambda: file.write_bytes(file.read_bytes()[:-1]), "out/forecast.parquet differs"),
    ]:
        trials.clear()
        trials.run()
        damage()
        with pytest.raises(RuntimeError, match=said):
            trials._check(0, "nothing")
