"""Rationales against the original program, against plain searches with a masked model, and against all sets."""

from __future__ import annotations

import functools
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from career_hf import BagOfJobsConfig, BagOfJobsForOccupationPrediction, CareerConfig, CareerForOccupationPrediction
from career_hf.careers import from_frame, to_frame
from career_hf.encoding.job_dropout import job_dropout_mask
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.explaining.rationales import (
    ORIGINAL,
    PAPER,
    ExplainedPredictions,
    Rule,
    rationales,
    smallest_rationales,
)
from career_hf.original.conversion import convert_state_dict, original_config


TRUE = Rule(target="true")
RULES = [PAPER, ORIGINAL, TRUE, Rule(moves=False, top=1), Rule(target="true", moves=False, top=3, start="added")]


def some_careers(people=12, longest=7, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for t in range(int(rng.integers(2, longest + 1))):
            rows.append(
                {
                    "person": f"p{person}",
                    "year": 1990 + 2 * t,
                    "occupation": str(rng.choice(["clerk", "cook", "farmer", "nurse", "teacher", "welder"])),
                    "region": rng.choice(["north", "south", None]),
                }
            )
    return from_frame(pd.DataFrame(rows), covariates=["region"])


@pytest.fixture(scope="module")
def careers():
    return some_careers()


@pytest.fixture(scope="module")
def processor(careers):
    processor = CareerProcessor.fit(careers, covariates=["year", "region"])
    processor.record_training(processor.encode(careers)[0], "training")
    return processor


@pytest.fixture(scope="module")
def model(processor):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).double().eval()
    for name, parameter in model.named_parameters():  # so that predictions hang on several earlier steps
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.1 if "embed" in name or "stay_head" in name else 0.7)
    return model


@functools.cache
def inputs_of(processor, careers, person):
    return processor(careers.select([careers["person"][:].index(person)]))


def masked(model, processor, careers, rule, person, step, kept_slots):
    """(probability of every occupation, previous id, true id) at a step when only some inputs before it are seen."""
    batch = inputs_of(processor, careers, person)
    mask = job_dropout_mask(
        torch.tensor([slot in kept_slots for slot in range(batch["input_ids"].shape[1])]), torch.float64
    )
    with torch.no_grad():
        log_probs = model(batch["input_ids"], batch["covariates"], attention_mask=mask).logits[0]
    p = log_probs[step].exp().numpy()
    previous, true = int(batch["input_ids"][0, step]), int(batch["labels"][0, step])
    if rule.moves:
        p = np.where(np.arange(len(p)) == previous, 0, p)
        p = p / p.sum()
    return p, previous, true


def target_of(model, processor, careers, rule, person, step):
    p, _, true = masked(model, processor, careers, rule, person, step, range(step + 1))
    return true if rule.target == "true" else int(p.argmax())


def plainly(model, processor, careers, rule, person, step):
    """The greedy search in plain Python, one set at a time, on the whole career with steps hidden."""
    target = target_of(model, processor, careers, rule, person, step)
    always = [0] if rule.start == "kept" else []
    chosen, log = [step], []
    free = set(range(step)) - set(always)
    while True:
        p, _, _ = masked(model, processor, careers, rule, person, step, always + chosen)
        log.append((chosen[-1] - 1, p[target], 1 + int((p > p[target]).sum())))
        if log[-1][2] <= rule.top or not free:
            return target, log
        gains = {
            slot: masked(model, processor, careers, rule, person, step, [*always, *chosen, slot])[0][target]
            for slot in sorted(free)
        }
        best = max(gains, key=gains.get)
        chosen.append(best)
        free.remove(best)


@pytest.mark.parametrize("rule", RULES)
def test_the_search_is_the_one_in_plain_python(model, processor, careers, rule):
    table = rationales(model, careers, processor, rule, batch_tokens=50).to_frame()
    groups = table.groupby(["person", "step"], sort=False)
    lengths = dict(zip(careers["person"], map(len, careers["year"]), strict=True))
    if not rule.moves:
        assert len(groups) == sum(lengths.values()) - len(lengths)
    assert table["order"].max() > 1
    for (person, step), rows in list(groups)[:25]:
        target, log = plainly(model, processor, careers, rule, person, step)
        assert set(rows["target"]) == {processor.occupations[target]}
        assert rows["order"].tolist() == list(range(len(log)))
        assert rows["rationale_step"].tolist() == [slot for slot, _, _ in log]
        np.testing.assert_allclose(rows["probability"], [p for _, p, _ in log], rtol=1e-9)
        assert rows["rank"].tolist() == [rank for _, _, rank in log]
        assert set(rows["complete"]) == {log[-1][2] <= rule.top}


def test_columns_say_what_happened(model, processor, careers):
    explained = rationales(model, careers, processor, ORIGINAL).to_frame()
    table = transition_table(model, careers, processor)
    scored = explained.merge(table, on=["person", "step"], suffixes=("", "_table"), validate="many_to_one")
    assert len(scored) == len(explained)
    np.testing.assert_allclose(scored["whole_probability"], np.exp(scored["log_prob"]), rtol=1e-9)
    for name in ("year", "previous", "occupation"):
        assert (scored[name] == scored[f"{name}_table"].astype(scored[name].dtype)).all()
    assert (scored["whole_rank"] == scored["rank_table"]).all()
    assert (explained["target"] == explained["occupation"]).all()
    steps = table.set_index([table["person"].astype(str), "step"])
    added = explained[explained["rationale_step"] >= 0]
    at = steps.loc[list(zip(added["person"], added["rationale_step"], strict=True))]
    assert (at["occupation"].astype(str).to_numpy() == added["rationale_occupation"].astype(str)).all()
    assert (at["year"].to_numpy() == added["rationale_year"].astype(int)).all()
    start = explained[explained["rationale_step"] < 0]
    assert len(start) and start["rationale_year"].isna().all() and start["rationale_occupation"].isna().all()
    assert (
        explained.loc[explained["order"] == 0, "rationale_step"] == explained.loc[explained["order"] == 0, "step"] - 1
    ).all()

    moves = rationales(model, careers, processor, TRUE).to_frame()
    moved = table[(table["step"] > 0) & (table["transition"] != "stay")]
    assert set(zip(moves["person"], moves["step"], strict=True)) == set(
        zip(moved["person"].astype(str), moved["step"], strict=True)
    )
    scored = moves.merge(table, on=["person", "step"], suffixes=("", "_table"))
    given_move = np.exp(scored["log_prob"]) / (1 - scored["p_stay"])
    np.testing.assert_allclose(scored["whole_probability"], given_move, rtol=1e-9)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "sdpa_by_length"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_removing_steps_is_hiding_them(model, processor, careers, attention, data):
    explained = ExplainedPredictions(model, careers, processor, ORIGINAL, None, None, "error", 1_000)
    which = data.draw(st.integers(0, len(explained.row) - 1))
    step = int(explained.step[which])
    kept_slots = sorted(data.draw(st.sets(st.integers(0, step - 1))) | {step})
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(attention)
        log_prob, rank = explained.score(np.array([which]), np.array([kept_slots]))[:, 0]
    finally:
        model.set_attn_implementation(before)
    person = explained.people[explained.row[which]]
    p, _, true = masked(model, processor, careers, ORIGINAL, person, step, kept_slots)
    assert log_prob == pytest.approx(np.log(p[true]), abs=1e-9) and rank == 1 + (p > p[true]).sum()


@pytest.mark.parametrize("rule", [PAPER, Rule(target="true", top=2), Rule(moves=False, start="added")])
def test_smallest_rationales_are_the_smallest_of_all_sets_and_greedy_ones_meet_the_rule(
    model, processor, careers, rule
):
    greedy = rationales(model, careers, processor, rule).to_frame()
    smallest = smallest_rationales(model, careers, processor, rule)
    last = greedy.groupby(["person", "step"], sort=False).last().reset_index()
    assert (last[["person", "step", "target"]] == smallest[["person", "step", "target"]]).all(axis=None)
    assert (last["rank"] <= rule.top).equals(last["complete"])
    # Where greedy finds a set there is one, and not a larger one; both give up with the whole career.
    assert (smallest["complete"] | ~last["complete"]).all()
    assert (smallest["size"] <= last["order"] + 1).all()
    assert last["complete"].any() and (smallest["size"] > 1).any()
    if rule.target == "true":  # greedy is not always best
        assert (smallest["size"] < last["order"] + 1).any()
    for row in smallest.head(15).itertuples():
        target = target_of(model, processor, careers, rule, row.person, row.step)
        always = {0} if rule.start == "kept" else set()
        free = [slot for slot in range(row.step) if slot not in always]
        sizes = {}
        for size in range(len(free) + 1):
            for others in combinations(free, size):
                kept_slots = {*always, *others, row.step}
                p, _, _ = masked(model, processor, careers, rule, row.person, row.step, kept_slots)
                if 1 + (p > p[target]).sum() <= rule.top:
                    sizes.setdefault(size + 1, []).append((p[target], [slot - 1 for slot in (*others, row.step)]))
        assert row.complete == bool(sizes)
        if sizes:
            assert row.size == min(sizes)
            probability, steps = max(sizes[row.size])
            assert row.rationale_steps == steps and row.probability == pytest.approx(probability, rel=1e-9)
        else:
            assert row.size == len(free) + 1


def test_the_likeliest_move_always_has_a_rationale(model, processor, careers):
    """The whole career gives the prediction that is explained, so at the latest that set meets the rule."""
    rows = rationales(model, careers, processor, PAPER).to_frame()
    assert rows["complete"].all() and (rows["whole_rank"] == 1).all()
    assert (rows["target"] != rows["previous"]).all()
    cut = rationales(model, careers, processor, PAPER, max_size=2).to_frame()
    assert cut["order"].max() == 1 and not cut["complete"].all()
    same = cut.merge(rows, on=["person", "step", "order"], suffixes=("", "_whole"))
    assert len(same) == len(cut) and (same["rationale_step"] == same["rationale_step_whole"]).all()


def test_a_rule_without_an_end_orders_all_steps_and_others_stop_on_the_way(model, processor, careers):
    endless = rationales(model, careers, processor, Rule(target="true", top=0)).to_frame()
    assert not endless["complete"].any()
    sizes = endless.groupby(["person", "step"]).size()
    assert (sizes == sizes.index.get_level_values("step")).all()
    stopped = rationales(model, careers, processor, TRUE).to_frame()
    merged = stopped.merge(endless, on=["person", "step", "order"], suffixes=("", "_endless"))
    assert len(merged) == len(stopped) < len(endless)
    assert (merged["rationale_step"] == merged["rationale_step_endless"]).all()


def test_named_steps_only_and_in_their_order(model, processor, careers):
    everything = rationales(model, careers, processor, TRUE).to_frame()
    heads = everything.drop_duplicates(["person", "year"])[["person", "year"]]
    steps = heads.iloc[[7, 2, 11]]
    rows = rationales(model, careers, processor, TRUE, steps=steps).to_frame()
    assert rows.drop_duplicates(["person", "year"])[["person", "year"]].to_numpy().tolist() == (
        steps.to_numpy().tolist()
    )
    expected = everything.merge(steps, on=["person", "year"])
    pd.testing.assert_frame_equal(
        rows.sort_values(["person", "year", "order"], ignore_index=True),
        expected.sort_values(["person", "year", "order"], ignore_index=True),
        rtol=1e-9,
    )


def test_some_covariates_are_missing_everywhere(model, processor, careers):
    """As if the careers had been without them."""
    table = to_frame(careers)
    without = from_frame(table.assign(region=pd.Series([None] * len(table), dtype="str")), covariates=["region"])
    hidden = rationales(model, careers, processor, TRUE, covariates=["year"]).to_frame()
    pd.testing.assert_frame_equal(hidden, rationales(model, without, processor, TRUE).to_frame(), rtol=1e-9)
    assert not np.allclose(
        hidden["whole_probability"].iloc[:5],
        rationales(model, careers, processor, TRUE).to_frame()["whole_probability"].iloc[:5],
    )
    with pytest.raises(ValueError, match="'year' was never missing"):
        rationales(model, careers, processor, TRUE, covariates=["region"])
    with pytest.raises(ValueError, match="'income' is none of"):
        rationales(model, careers, processor, TRUE, covariates=["income"])


def test_what_cannot_be_explained_is_said(model, processor, careers):
    first = careers[0]
    for year, message in [(first["year"][0], "nothing comes before"), (1971, "'p0' in year 1971 is not in")]:
        with pytest.raises(ValueError, match=message):
            rationales(model, careers, processor, steps={"person": [first["person"]], "year": [year]})
    twice = {"person": ["p0", "p0"], "year": [first["year"][1]] * 2}
    with pytest.raises(ValueError, match="row 1.*twice"):
        rationales(model, careers, processor, steps=twice)
    stay = from_frame(
        {"person": ["a", "a"], "year": [1990, 1992], "occupation": ["cook", "cook"], "region": ["north"] * 2},
        covariates=["region"],
    )
    with pytest.raises(ValueError, match="nobody moves"):
        rationales(model, stay, processor)
    with pytest.raises(ValueError, match="person 'a', year 1992 cannot be explained: the step is a stay"):
        rationales(model, stay, processor, TRUE, steps={"person": ["a"], "year": [1992]})
    # Where somebody who stayed would have gone can be explained.
    assert (
        rationales(model, stay, processor, PAPER, steps={"person": ["a"], "year": [1992]}).to_frame()["complete"].all()
    )
    with pytest.raises(ValueError, match="max_size is 0"):
        rationales(model, careers, processor, max_size=0)
    with pytest.raises(ValueError, match="more than 3 steps"):
        smallest_rationales(model, careers, processor, longest=3)
    rival = BagOfJobsForOccupationPrediction(BagOfJobsConfig(**processor.config_kwargs()))
    with pytest.raises(ValueError, match="BagOfJobsForOccupationPrediction takes no positions"):
        rationales(rival, careers, processor)
    for wrong in ({"target": "next"}, {"start": "left out"}, {"top": -1}):
        with pytest.raises(ValueError, match="of a rule is"):
            Rule(**wrong)


def test_the_model_is_left_as_it_was(model, processor, careers):
    model.train()
    rationales(model, careers, processor, steps={"person": ["p0"], "year": [careers[0]["year"][1]]})
    assert model.training
    model.eval()


def test_rationales_are_those_of_the_original_program(shared):
    folder = shared / "oracle"
    names = ["year", "education", "location", "ethnicity", "gender"]
    symbols = {name: d["symbols"] for name, d in json.loads((folder / "dictionaries.json").read_text()).items()}
    sequences = json.loads((folder / "sequences.json").read_text())
    case = json.loads((folder / "r_rationales" / "rationales.json").read_text())
    processor = CareerProcessor(
        occupations=symbols["job"],
        covariate_names=names,
        covariate_levels=[["missing", *(symbol.upper() for symbol in symbols[name][1:])] for name in names],
        special_token_ids=[0, 1, 2],
        pad_token_id=1,
        bos_token_id=2,
        time_covariate="year",
    )
    weights = load_file(folder / "a_career_two_stage_cov" / "weights.safetensors")
    config = original_config(
        weights,
        covariate_names=names,
        num_attention_heads=2,
        two_stage=True,
        special_token_ids=[0, 1, 2],
        id2label=processor.id2label,
    )
    model = CareerForOccupationPrediction(config)
    model.load_state_dict(convert_state_dict(weights, config))

    rows = []
    for log in case["logs"]:
        career = sequences[log["row"]]
        for t, occupation in enumerate(career["job"]):
            static = {name: career[name].upper() for name in ("location", "ethnicity", "gender")}
            when = {"year": int(career["year"][t]), "education": career["education"][t].upper()}
            rows.append({"person": str(log["row"]), "occupation": occupation, **when, **static})
    careers = from_frame(pd.DataFrame(rows), covariates=["education"], static=["location", "ethnicity", "gender"])
    table = rationales(model, careers, processor, ORIGINAL).to_frame().set_index(["person", "step"])
    compared = 0
    for log in case["logs"]:
        for theirs in log["rationalization"]:
            step = theirs["target_position"] - 1
            if step == 0:  # nothing comes before a first occupation, and nothing is explained here
                continue
            ours = table.loc[[(str(log["row"]), step)]]
            # Their position 0 is the beginning of the career, ours is the occupation of step 0.
            assert (ours["rationale_step"] + 1).tolist() == theirs["rationale"]
            assert set(ours["complete"]) == {theirs["reached_argmax"]}
            assert set(ours["target"]) == {theirs["goal_job"]}
            probabilities = [added["true_token_prob"] for added in theirs["log"]]
            np.testing.assert_allclose(ours["probability"], probabilities, rtol=1e-5)
            for added, rank in zip(theirs["log"], ours["rank"], strict=True):
                assert (rank == 1) == (added["prediction"] == theirs["goal_job"])
            compared += 1
    assert compared == 31


def test_predictions_are_named_by_person_and_shown(model, processor, careers, tmp_path):
    splits = DatasetDict({"train": careers.select(range(2)), "test": careers.select(range(2, len(careers)))})
    everything = rationales(model, careers, processor, "true").to_frame()
    person = everything["person"].iloc[-1]
    moves = rationales((model, processor), splits, rule="true", person=person)
    expected = everything[everything["person"] == person].reset_index(drop=True)
    pd.testing.assert_frame_equal(moves.to_frame(), expected, rtol=1e-6)
    year = int(expected["year"].iloc[-1])
    one = rationales((model, processor), splits, rule="true", person=person, year=year).to_frame()
    assert one["rationale_year"].tolist() == expected.loc[expected["year"] == year, "rationale_year"].tolist()
    tables = moves.by_prediction()
    assert len(tables) == expected["step"].nunique() and sum(map(len, tables.values())) == len(expected)
    assert all("from the whole career" in heading for heading in tables)
    moves.save(tmp_path)
    assert len(pd.read_csv(tmp_path / "rationales.csv")) == len(expected)
    with pytest.raises(ValueError, match="person 'nobody' has no rationales"):
        moves.figure("nobody")
    with pytest.raises(ValueError, match="there is no person 'nobody'"):
        rationales((model, processor), splits, person="nobody")
    with pytest.raises(ValueError, match="name the predictions"):
        rationales((model, processor), splits, year=year)
    with pytest.raises(ValueError, match="rule 'best' is none of 'paper'"):
        rationales((model, processor), splits, rule="best", person="p0")
