"""Attributes of likely destinations: by hand for a chain, and for the truth as observed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_examples import LABELS, careers_of, cut, model_and_processor

from career_hf import exposure, forecast
from career_hf.careers import from_frame, to_frame
from career_hf.occupations import attributes
from career_hf.simulation import TrueOccupationModel, preset, world_processor


TABLE = pd.DataFrame(
    {"ai": [1.0, 4.0, np.nan, 9.0], "kind": ["food", "food", "road", None]}, index=LABELS
)  # cook, waiter, driver, nurse


@pytest.fixture(scope="module")
def chain():
    return model_and_processor("markov-1")


def law_of(chain):
    """The chain's matrix, previous occupations in rows."""
    model, processor = chain
    ids = torch.tensor(processor.occupation_ids(LABELS))
    with torch.inference_mode():
        return model(ids[:, None]).logits[:, 0].double().exp()[:, ids].numpy()


@pytest.mark.parametrize("destinations", ["movers", "all"])
def test_next_steps_are_averaged_as_by_hand(chain, destinations):
    careers = careers_of(people=30, seed=3)
    found = exposure(chain, TABLE, careers, by="race", destinations=destinations, draws=50)
    law, long = law_of(chain), to_frame(careers)
    long["previous"] = long.groupby("person")["occupation"].shift()
    steps = long.dropna(subset="previous")
    for name in "ab":
        part = steps[steps["race"] == name]
        sums = {key: 0.0 for key in ("value", "known", "food", "kind", "total", "origin", "origin known")}
        for previous in part["previous"]:
            for occupation, p in zip(LABELS, law[LABELS.index(previous)], strict=True):
                if occupation == previous and destinations == "movers":
                    continue
                ai, kind = TABLE.loc[occupation]
                sums["total"] += p
                sums["value"] += 0 if np.isnan(ai) else p * ai
                sums["known"] += 0 if np.isnan(ai) else p
                sums["food"] += p * (kind == "food")
                sums["kind"] += p * isinstance(kind, str)
                before = TABLE.loc[previous, "ai"]
                sums["origin"] += 0 if np.isnan(before) else p * before
                sums["origin known"] += 0 if np.isnan(before) else p
        rows = found.to_frame().query("race == @name").set_index(["attribute", "level"])
        ai = rows.loc["ai"].iloc[0]
        assert ai["implied"] == pytest.approx(sums["value"] / sums["known"])
        assert ai["without"] == pytest.approx(1 - sums["known"] / sums["total"])
        assert ai["origin"] == pytest.approx(sums["origin"] / sums["origin known"])
        assert ai["change"] == pytest.approx(ai["implied"] - ai["origin"])
        assert rows.loc[("kind", "food"), "implied"] == pytest.approx(sums["food"] / sums["kind"])
        gone = part if destinations == "all" else part[part["occupation"] != part["previous"]]
        assert ai["observed"] == pytest.approx(gone["occupation"].map(TABLE["ai"]).mean())
        lacking = found.without.query("race == @name and attribute == 'ai'")
        assert lacking["occupation"].tolist() == ["driver"] and lacking["share"].item() == pytest.approx(ai["without"])
        assert ai["n"] == len(part) and ai["people"] == part["person"].nunique()
    assert found.ledger.dropped()["first step, which has no step before"] == 30


def test_a_text_attribute_groups_people_by_where_they_come_from(chain):
    found = exposure(chain, TABLE, careers_of(people=40), by="kind", draws=20).to_frame()
    assert found["kind"].tolist() == ["food", "road", None] and found["attribute"].unique().tolist() == ["ai"]
    law = law_of(chain)
    # Drivers: to cook 1, waiter 4, nurse 9.
    p = law[2, [0, 1, 3]]
    assert found.loc[1, "implied"] == pytest.approx(p @ [1, 4, 9] / p.sum())


def test_years_of_a_forecast_have_numbers_of_their_own(chain):
    past = cut(careers_of(), people=8)
    result = forecast(chain, past, years=[1983, 1984])
    found = exposure(result, TABLE[["ai"]], draws=20).to_frame()
    last = [result.occupations.index(career["occupation"][-1]) for career in past]
    order = [result.occupations.index(label) for label in ("cook", "waiter", "nurse")]
    for step, year in enumerate((1983, 1984)):
        p = result.probability[:, step].astype(float)
        p[np.arange(len(last)), last] = 0
        known = p[:, order]
        row = found[found["year"] == year].iloc[0]
        assert row["implied"] == pytest.approx((known @ [1, 4, 9]).sum() / known.sum(), rel=1e-5)
    assert "observed" not in found and found["implied_low"].isna().all()  # fewer than ten people


def test_the_truth_implies_what_is_observed_and_weights_count():
    simulation = preset("tiny").simulate(1200, seed=4)
    truth = TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)
    table = pd.DataFrame({"skill": simulation.world.requirement * 1.0}, index=simulation.world.labels[:-3])
    found = exposure(truth, table, simulation.careers, by="gender", weighted=True, draws=200)
    rows = found.to_frame()
    error = (rows["difference_high"] - rows["difference_low"]) / 3.92
    assert (rows["difference"].abs() < 4 * error).all() and (error < 0.1).all()
    assert rows.attrs["clusters"] == "PSU" and rows.attrs["weighted"]
    long = to_frame(simulation.careers).query("gender == 'female'")
    long["previous"] = long.groupby("person")["occupation"].shift()
    long = long[long["previous"].notna() & (long["previous"] != long["occupation"])]
    skill = long["occupation"].map(table["skill"])
    known = skill.notna()
    assert rows.loc[0, "observed"] == pytest.approx(np.average(skill[known], weights=long["weight"][known]))


def test_intervals_are_those_of_households(chain):
    frame = to_frame(careers_of(people=40))
    frame["home"] = frame["person"].str[-1]  # ten households of four
    careers = from_frame(frame, covariates=["education"], static=["race"], group="home")
    row = exposure(chain, TABLE[["ai"]], careers, draws=2000).to_frame().iloc[0]
    assert (row["people"], row["clusters"]) == (40, 10)
    # By hand: the linearised error of a ratio of sums over households, with Student's t of nine degrees of freedom.
    frame["previous"] = frame.groupby("person")["occupation"].shift()
    steps = frame[frame["previous"].notna() & (frame["previous"] != frame["occupation"])]
    ai = steps["occupation"].map(TABLE["ai"])
    residual = (ai - ai.mean()).fillna(0).groupby(steps["home"]).sum()
    error = np.sqrt((residual**2).sum() * 10 / 9) / ai.notna().sum()
    assert (row["observed_high"] - row["observed_low"]) / 2 == pytest.approx(2.26 * error, rel=0.15)


def test_results_are_saved_and_drawn(chain, tmp_path):
    pytest.importorskip("matplotlib")
    found = exposure(chain, TABLE, careers_of(), by="race", draws=20)
    found.save(tmp_path, figures=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "exposure.csv",
        "exposure.png",
        "ledger.json",
        "without.csv",
    }
    axes = found.figure().axes
    assert [panel.get_title() for panel in axes] == ["ai", "kind: food", "kind: road"]
    drawn = axes[0].containers[0].lines[0].get_xdata()
    assert list(drawn) == found.to_frame().query("attribute == 'ai'")["implied"].tolist()
    assert "[" in found.with_intervals()["implied"].iloc[0] and "exposure" in repr(found).lower()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"careers": None}, "pass careers="),
        ({"by": "kindness"}, r"by 'kindness' is no covariate of the careers and no text attribute, .*\['kind'\]"),
        ({"by": "ai"}, "by 'ai' is a number"),
        ({"destinations": "stayers"}, "destinations must be one of"),
        (
            {"attributes": attributes()},
            "no occupation of the model, such as '[a-z]+', is in the table of attributes, which has '4'",
        ),
        ({"attributes": TABLE[["kind"]], "by": "kind"}, "attributes have nothing but 'kind', which groups people"),
        ({"weighted": True}, "weighted: the careers have no column 'weight'"),
    ],
)
def test_what_cannot_be_averaged_is_refused(chain, options, message):
    given = {"predictions": chain, "attributes": TABLE, "careers": careers_of(), **options}
    with pytest.raises(ValueError, match=message):
        exposure(**given)
