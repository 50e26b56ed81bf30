"""The study of membership runs at a size at which nothing is learned, and its attacks find what is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from replication import membership as study

from career_hf.careers import save_careers, split_careers
from career_hf.simulation import preset


TINY = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
SMALL = study.MembershipSettings(references=2, most_steps=10, tokens_per_batch=400, longer=1, draws=20, fields=TINY)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("membership")
    save_careers(split_careers(preset("tiny").simulate(80, seed=1).careers), folder / "careers")
    made = study.MembershipStudy(folder / "study", SMALL, data=folder / "careers", covariates=("year",))
    return made, made.run(workers=1)


def test_the_table_counts_everybody_of_whom_a_reference_knows_nothing(done):
    made, result = done
    table = result["membership"]
    assert len(table) == 2 * 2 * 5
    never = ~np.all([made.half(seed) for seed in (1, 2)], axis=0)
    splits = made.splits()
    for _, rows in table.groupby(["model", "attack"]):
        rows = rows.set_index("paths")
        assert rows.loc["all", ["members", "others"]].sum() == never.sum() > 20
        assert rows.loc[list(study.QUARTERS), "members"].sum() == rows.loc["all", "members"]
        assert rows.loc["all", "others"] == never[len(splits["train"]) :].sum()
    assert "Membership inference" in (made.folder / "tables.md").read_text()


def test_what_is_finished_is_not_run_again(done):
    made, result = done
    times = {path: path.stat().st_mtime_ns for path in (made.folder / "scores").iterdir()}
    assert len(times) == 4
    pd.testing.assert_frame_equal(made.run(workers=1)["membership"], result["membership"])
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_an_attack_that_knows_and_one_that_does_not():
    draw = np.random.default_rng(0)
    member, rarity = draw.random(800) < 0.5, draw.random(800)
    knows = study.attack_table(member + draw.normal(size=800) / 9, member, rarity, draws=50).set_index("paths")
    assert (knows["auc"] > 0.99).all()
    guesses = study.attack_table(draw.random(800), member, rarity, draws=200).set_index("paths").loc["all"]
    assert guesses["low"] < 0.5 < guesses["high"]
    # Only rare paths are remembered.
    rare = member * (rarity > np.quantile(rarity, 0.75)) + draw.normal(size=800) / 9
    by_rarity = study.attack_table(rare, member, rarity, draws=50).set_index("paths")["auc"]
    assert by_rarity["rarest quarter"] > 0.99 and (by_rarity[list(study.QUARTERS[:3])] < 0.65).all()
    # The interval's width is that of Hanley and McNeil (1982), about sqrt(1 / (6 n)) for n members and n others.
    width = (guesses["high"] - guesses["low"]) / 2 / 1.96
    assert width == pytest.approx(np.sqrt((800 + 1) / (12 * member.sum() * (~member).sum())), rel=0.25)
