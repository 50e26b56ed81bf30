"""Displaced people against their forecast: by hand for a chain, and the known effect of a simulated market."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from career_hf import CareerProcessor, displacement, train
from career_hf.careers import from_frame, to_frame
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, World, preset, simulate_displacement, world_processor


LABELS = ["cook", "waiter", "nurse", "unemployed"]
TABLE = pd.DataFrame({"ai": [1.0, 4.0, np.nan]}, index=LABELS[:3])


def careers_of(people=60, seed=0, years=range(1990, 1997)):
    """Annual careers, a few years of them missing; two people to a home."""
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02d}", "year": year, "occupation": rng.choice(LABELS, p=[0.4, 0.3, 0.2, 0.1])}
        | {"sex": "fm"[p % 2], "home": f"h{p // 2}"}
        for p in range(people)
        for year in years
        if rng.random() < 0.95
    ]
    return from_frame(pd.DataFrame(rows), static=["sex"], group="home")


@pytest.fixture(scope="module")
def chain():
    training = careers_of(seed=9)
    processor = CareerProcessor.fit(training, covariates=(), occupations=LABELS)
    return MarkovForOccupationPrediction.fit(processor.encode(training)[0], processor), processor


def law_of(chain):
    model, processor = chain
    ids = torch.tensor(processor.occupation_ids(LABELS))
    with torch.inference_mode():
        return model(ids[:, None]).logits[:, 0].double().exp()[:, ids].numpy()


EVENTS = pd.DataFrame({"person": [f"p{p:02d}" for p in range(0, 40)], "year": [1993, 1994] * 20})


@pytest.mark.parametrize("lead", [1, 2])
@pytest.mark.parametrize("match", [(), ("sex", "occupation")])
def test_differences_are_those_by_hand(chain, lead, match):
    careers = careers_of()
    found = displacement(chain, careers, EVENTS, horizon=2, lead=lead, attributes=TABLE, match=match, draws=20, seed=1)
    law, long = law_of(chain), to_frame(careers)
    state = long.set_index(["person", "year"])["occupation"].to_dict()
    sex = long.drop_duplicates("person").set_index("person")["sex"]
    event = EVENTS.set_index("person")["year"].to_dict()

    def at_risk(person, year):
        return state.get((person, year - 1), "unemployed") != "unemployed" and (person, year - lead) in state

    def cell(person, year):
        return (year, sex[person], state[person, year - lead]) if match else (year,)

    pairs = [(p, y) for p in sex.index for y in (1993, 1994) if at_risk(p, y)]
    displaced = [(p, y) for p, y in pairs if event.get(p) == y]
    others = [(p, y) for p, y in pairs if p not in event or event[p] > y]
    counts = [pd.Series([cell(*pair) for pair in group]).value_counts() for group in (displaced, others)]
    displaced = [pair for pair in displaced if cell(*pair) in counts[1]]
    weights = [counts[0].get(cell(*pair), 0) / counts[1][cell(*pair)] for pair in others]

    def difference(group, weight, time):
        """Realised less forecast: employed, the same occupation, and the attribute of those who have it."""
        sums = np.zeros(8)
        for (person, year), w in zip(group, weight, strict=True):
            if (person, year + time) not in state:
                continue
            p = np.linalg.matrix_power(law, time + lead)[LABELS.index(state[person, year - lead])]
            now, before = state[person, year + time], state[person, year - 1]
            ai = TABLE["ai"].get(now, np.nan)
            sums += w * np.array(
                [1, (now != "unemployed") - p[:3].sum(), (now == before) - p[LABELS.index(before)]]
                + [0 if np.isnan(ai) else ai, not np.isnan(ai), p[:2] @ [1, 4], p[:2].sum(), 0]
            )
        return sums[1] / sums[0], sums[2] / sums[0], sums[3] / sums[4] - sums[5] / sums[6]

    rows = found.to_frame().set_index(["event_time", "outcome"])
    assert sorted(set(rows.index.get_level_values(0))) == list(range(1 - lead, 3))
    for time in range(1 - lead, 3):
        own, of_others = difference(displaced, np.ones(len(displaced)), time), difference(others, weights, time)
        for place, outcome in enumerate(("employed", "same occupation", "ai")):
            row = rows.loc[(time, outcome)]
            assert row["difference"] == pytest.approx(own[place], abs=1e-5)
            assert row["comparison"] == pytest.approx(of_others[place], abs=1e-5)
            assert row["net"] == pytest.approx(own[place] - of_others[place], abs=1e-5)
            assert row["net_low"] < row["net"] < row["net_high"]
    assert set(map(tuple, found.events.to_numpy())) == set(displaced)
    assert rows.attrs == {} or rows.attrs["clusters"] == "household"


def test_without_a_table_the_event_is_the_first_loss_of_work(chain):
    careers = careers_of()
    found = displacement(chain, careers, horizon=1, comparison="never_displaced", people=5, draws=20)
    first = {}
    for career in careers:
        for place in range(1, len(career["year"])):
            is_next = career["year"][place] == career["year"][place - 1] + 1
            if is_next and career["occupation"][place] == "unemployed" != career["occupation"][place - 1]:
                first[career["person"]] = career["year"][place]
                break
    assert dict(found.events.to_numpy()) == first
    rows = found.to_frame()
    assert (rows.query("event_time == 0 and outcome == 'employed'")["realised"] == 0).all()
    assert rows["compared"].max() <= 5 * len(set(first.values()))


def test_the_true_law_finds_the_known_effect():
    world = World.build(preset("tiny").world)
    drawn = simulate_displacement(world, year=1985, people=250, seed=1)
    truth = TrueOccupationModel.of_world(world), world_processor(world)
    found = displacement(truth, drawn.careers, drawn.events, horizon=1, people=40, samples=4, draws=200)
    known = simulate_displacement(world, year=1985, people=4000, seed=2).effects(1).set_index("outcome")["effect"]
    row = found.to_frame().query("event_time == 1").set_index("outcome")
    for outcome in ("employed", "same occupation"):
        effect = known[outcome].iloc[1]
        # Four standard errors of the estimate, so that another seed of the world would pass as well.
        for name in ("difference", "net"):
            error = (row.loc[outcome, f"{name}_high"] - row.loc[outcome, f"{name}_low"]) / 3.92
            assert abs(row.loc[outcome, name] - effect) < 4 * error < 0.5


def test_no_comparison_has_no_net_and_results_are_saved_and_drawn(chain, tmp_path):
    pytest.importorskip("matplotlib")
    found = displacement(chain, careers_of(), EVENTS, comparison="none", draws=20)
    assert "net" not in found.to_frame() and "+" in "".join(found.with_intervals()["difference"])
    found.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"displacement.csv", "events.csv", "ledger.json"}
    figure = found.figure(["employed"])
    left, right = figure.axes
    assert left.get_title() == "employed" and len(left.containers) == 2 and len(right.containers) == 1
    with pytest.raises(ValueError, match="there is no outcome 'wage'"):
        found.figure(["wage"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": pd.DataFrame({"person": ["p00"]})}, "has no column 'year'"),
        ({"events": pd.DataFrame({"person": ["p00"], "year": [None]})}, "events, row 0: person 'p00', year None"),
        (
            {"events": pd.DataFrame({"person": ["zoe"], "year": [1993]})},
            "such as person 'zoe', is among these careers",
        ),
        ({"events": pd.DataFrame({"person": [], "year": []})}, "the table of events has no rows: give a row"),
        ({"events": pd.DataFrame({"person": ["p00"], "year": [2050]})}, "nobody who had the event worked"),
        ({"attributes": "nope.csv"}, "there is no file nope.csv: pass a table of attributes"),
        ({"events": None, "state": "retired"}, "nobody is ever in the state 'retired'"),
        ({"not_working": ["retired"]}, r"nobody is ever in one of the states not_working=\['retired'\]"),
        ({"match": ["home"]}, "match: 'home' is neither 'occupation' nor a covariate"),
        ({"comparison": "twins"}, "comparison must be one of"),
        ({"attributes": pd.DataFrame({"ai": [1.0]}, index=["judge"])}, "no occupation of the model"),
        ({"attributes": TABLE.assign(employed=1.0)}, "attributes have a column 'employed', which is a column of the"),
        ({"attributes": TABLE.assign(year=1.0)}, "attributes have a column 'year', which is a column of the"),
        ({"lead": 0}, "lead is 0, and must be a whole number between 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(chain, options, message):
    with pytest.raises(ValueError, match=message):
        displacement(chain, careers_of(), **{"events": EVENTS, "draws": 5, **options})


def test_a_model_that_was_trained_on_these_people_is_refused():
    careers = careers_of()
    trained = train({"train": careers, "validation": careers}, model="markov-1")
    with pytest.raises(ValueError, match="the model was trained on .* of these .* people, in years after 1992"):
        displacement(trained, careers, EVENTS, draws=5)
    assert displacement(trained, careers_of(seed=5), EVENTS, draws=5).ledger.notes == []
