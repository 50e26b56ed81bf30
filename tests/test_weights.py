"""Survey weights of people and of person-years: one meaning in careers, training, counts and every number.

Three things say what a weight is, whatever the code that uses it: the same weight in every year is the person's
weight, a year of weight 0 is a year that nobody scores, and a whole weight is as many copies of what it belongs to.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

import career_hf
from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, load_careers, save_careers, to_frame, truncate, validate
from career_hf.careers.columns import career_table, weights_by_person, weights_by_step, with_weights
from career_hf.careers.raking import margins_of, rake
from career_hf.encoding.collating import EncodedCareers, FlatteningCollator, PackingCollator, PaddingCollator
from career_hf.evaluation.audit import audit
from career_hf.evaluation.calibration import calibration_error, recalibrate, reliability
from career_hf.evaluation.metrics import bootstrap_perplexity, perplexity, ranking, stay_auc, summarize
from career_hf.evaluation.report import report
from career_hf.evaluation.survey_design import SurveyDesign, survey_perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.explaining.edits import Edit
from career_hf.explaining.what_if import forecast_differences, next_step_differences
from career_hf.rivals.markov import MarkovForOccupationPrediction, tune_weight
from career_hf.rivals.mixture import MixtureOfMarkovChainsForOccupationPrediction
from career_hf.training.trainer import build_trainer, scratch_recipe


SEEDS = st.integers(0, 10_000)
LAYOUTS = [PaddingCollator(), PackingCollator(16), FlatteningCollator(8)]


def long_careers(seed: int, people: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02}", "year": 1980 + t, "occupation": rng.choice(list("abc")), "region": "ns"[p % 2]}
        for p in range(people)
        for t in range(rng.integers(1, 7))
    ]
    frame = pd.DataFrame(rows)
    stays = rng.random(len(frame)) < 0.6
    before = frame.groupby("person")["occupation"].shift()
    return frame.assign(occupation=before.where(stays & before.notna(), frame["occupation"]))


def careers_with(frame: pd.DataFrame, weight: np.ndarray) -> Dataset:
    """Careers with a weight for each year, whether or not it changes."""
    bare = from_frame(frame, covariates=["region"])
    ends = np.cumsum([len(years) for years in bare["year"]])[:-1]
    return bare.add_column("weight", [part.tolist() for part in np.split(np.asarray(weight, dtype=float), ends)])


def drawn_weights(seed: int, size: int, values=(0, 1, 2, 3)) -> np.ndarray:
    weight = np.random.default_rng(seed + 1).choice(np.array(values, dtype=float), size)
    weight[:2] = 1.0, 2.0
    return weight


def small_model(processor: CareerProcessor) -> CareerForOccupationPrediction:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).eval()


# Careers


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_weights_of_years_survive_frames_cuts_and_any_order_of_rows(seed):
    frame = long_careers(seed)
    frame["w"] = drawn_weights(seed, len(frame), (0, 0.5, 3))
    careers = from_frame(frame.sample(frac=1, random_state=seed), covariates=["region"], weight="w")
    validate(careers)
    long = to_frame(careers)
    assert long["weight"].tolist() == frame["w"].tolist()
    again = from_frame(long, covariates=["region"], weight="weight")
    assert again[:] == careers[:]
    cut = to_frame(truncate(careers, 1981)[0])
    assert cut["weight"].tolist() == frame.loc[frame["year"] <= 1981, "w"].tolist()
    table = career_table(careers)
    assert weights_by_step(table).tolist() == frame["w"].tolist()
    np.testing.assert_allclose(weights_by_person(table), frame.groupby("person")["w"].mean())


def test_one_weight_a_person_stays_one_number_and_folders_keep_both_forms(tmp_path):
    frame = long_careers(0)
    frame["w"] = frame["person"].str[1:].astype(int) % 3
    one = from_frame(frame, weight="w")
    assert str(one.features["weight"].dtype) == "float64" and set(one["weight"]) == {0.0, 1.0, 2.0}
    for name, careers in (("one", one), ("many", careers_with(frame, drawn_weights(0, len(frame))))):
        save_careers(careers, tmp_path / name)
        assert load_careers(tmp_path / name)["all"][:] == careers[:]


def test_the_switch_drops_weights_or_says_what_is_missing():
    frame = long_careers(0)
    careers = careers_with(frame, drawn_weights(0, len(frame)))
    assert with_weights(careers, True) is careers
    assert "weight" not in with_weights(careers, False).column_names
    with pytest.raises(ValueError, match="no column 'weight'"):
        with_weights(careers.remove_columns("weight"), True)
    with pytest.raises(ValueError, match="'weight' is 0 for everybody in every year"):
        with_weights(careers_with(frame, np.zeros(len(frame))), True)


# Encoding and the loss


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, constant=st.floats(0.01, 1e6))
def test_equal_weights_of_years_are_the_persons_weight_bit_for_bit(seed, constant):
    frame = long_careers(seed)
    of_person = constant * (1 + frame["person"].str[1:].astype(int).to_numpy() % 4)
    one = from_frame(frame.assign(w=of_person), covariates=["region"], weight="w")
    many = careers_with(frame, of_person)
    processors = [CareerProcessor.fit(careers, ["region"]) for careers in (one, many)]
    assert processors[0].weight_scale == processors[1].weight_scale
    model = small_model(processors[0])
    flat = [
        EncodedCareers(p.encode(c)[0]).gather(np.arange(len(one)))
        for p, c in zip(processors, (one, many), strict=True)
    ]
    for collate in LAYOUTS:
        losses = [model(**collate(careers)).loss.item() for careers in flat]
        assert losses[0] == losses[1]


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_the_loss_is_the_weighted_mean_and_a_year_without_weight_is_not_scored(seed):
    frame = long_careers(seed)
    weight = drawn_weights(seed, len(frame), (0, 0.5, 3))
    careers = careers_with(frame, weight)
    processor = CareerProcessor.fit(careers, ["region"])
    encoded = processor.encode(careers)[0]
    values = np.concatenate(encoded["weight"])
    assert values.mean() == pytest.approx(1, rel=1e-6) and np.allclose(values * weight.mean(), weight, rtol=1e-6)
    model, nll = small_model(processor), []
    for row in encoded:
        inputs = {name: torch.tensor(row[name])[None] for name in ("input_ids", "covariates")}
        log_probs = model(**inputs).logits[0].detach().double().numpy()
        nll.extend(-log_probs[np.arange(len(row["labels"])), row["labels"]])
    expected = np.average(nll, weights=weight)
    ignored = [
        {**row, "labels": [-100 if w == 0 else y for y, w in zip(row["labels"], row["weight"], strict=True)]}
        for row in encoded
    ]
    for collate in LAYOUTS:
        batch = collate(list(encoded))
        assert batch["weight"].shape == batch["labels"].shape
        assert model(**batch).loss.item() == pytest.approx(expected, rel=1e-5)
        assert model(**collate(ignored)).loss.item() == model(**batch).loss.item()
    padded = processor.pad(list(encoded), padding=True)
    assert model(**padded).loss.item() == pytest.approx(expected, rel=1e-5)


def test_training_stops_by_the_weighted_likelihood_of_years(tmp_path):
    """Evaluation against numpy, in batches of one person, of whom some have no weight at all."""
    frame = long_careers(3, people=40)
    weight = drawn_weights(3, len(frame))
    weight[frame["person"].isin(["p05", "p09"])] = 0
    careers = careers_with(frame, weight)
    processor = CareerProcessor.fit(careers, ["region"])
    encoded = processor.encode(careers)[0]
    recipe = scratch_recipe(
        processor,
        tmp_path,
        config_overrides={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"tokens_per_batch": 60, "gradient_accumulation_steps": 2, "warmup_steps": 1, "max_steps": 2},
        **{"eval_steps": 2, "save_steps": 2, "per_device_eval_batch_size": 1, "use_cpu": True, "disable_tqdm": True},
        metric_for_best_model="weighted_nll",
    )
    model = CareerForOccupationPrediction(recipe.config)
    trainer = build_trainer(model, processor, recipe, encoded, encoded)
    trainer.train()
    metrics = trainer.evaluate()
    table = transition_table(model.eval(), careers, processor)
    assert metrics["eval_weighted_nll"] == pytest.approx(np.average(-table["log_prob"], weights=weight), rel=1e-5)
    zeros = careers_with(frame, np.zeros(len(frame)))
    with pytest.raises(ValueError, match="the weights of the validation careers are all 0"):
        build_trainer(model, processor, recipe, encoded, processor.encode(zeros)[0])
    with pytest.raises(ValueError, match="'weight' is 0 for everybody in every year"):
        CareerProcessor.fit(zeros)


def test_a_batch_of_both_forms_is_refused():
    rows = [{"input_ids": [1], "labels": [2], "weight": 1.0}, {"input_ids": [1], "labels": [2], "weight": [1.0]}]
    with pytest.raises(ValueError, match="careers 0 and 1 of the batch have a weight for the person and weights for"):
        PaddingCollator()(rows)
    with pytest.raises(ValueError, match="2 steps in 'weight' and 1 in 'input_ids'"):
        PaddingCollator()([{"input_ids": [1], "labels": [2], "weight": [1.0, 1.0]}])


# Counted models


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, order=st.sampled_from([1, 2]))
def test_chains_count_every_year_with_its_weight(seed, order):
    frame = long_careers(seed)
    weight = drawn_weights(seed, len(frame))
    careers = careers_with(frame, weight)
    processor = CareerProcessor.fit(careers, [])
    encoded = processor.encode(careers)[0]
    chain = MarkovForOccupationPrediction.fit(encoded, processor, order=order, pseudo_count=0, weighted=True)
    ids = {label: i for i, label in enumerate(processor.occupations)}
    now = frame["occupation"].map(ids)
    before = now.groupby(frame["person"]).shift().fillna(processor.bos_token_id).astype(int)
    expected = np.zeros((len(ids), len(ids)))
    np.add.at(expected, (before, now), weight)  # every year as often as its weight says
    context = torch.arange(len(ids))
    shares = chain.first_order(context)[0].double().numpy()
    totals = expected.sum(1, keepdims=True)
    np.testing.assert_allclose(
        shares, np.divide(expected, totals, out=np.zeros_like(expected), where=totals > 0), atol=1e-6
    )
    np.testing.assert_allclose(chain.occupation_shares, expected.sum(0) / expected.sum(), atol=1e-6)
    tuned = tune_weight(encoded, encoded, processor, order=order, weighted=True)
    assert np.isfinite(transition_table(tuned, careers, processor)["log_prob"]).all()


@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_mixtures_know_weights_of_years_by_the_three_meanings(seed):
    frame = long_careers(seed)
    rng = np.random.default_rng(seed)
    of_person = rng.choice([1.0, 2.0], 20)[frame["person"].str[1:].astype(int)]
    processor = CareerProcessor.fit(from_frame(frame), [])

    def fitted(careers: Dataset, chains: int = 2) -> np.ndarray:
        scaled = CareerProcessor.fit(careers, [])
        encoded, settings = scaled.encode(careers)[0], {"num_chains": chains, "restarts": 1, "max_iterations": 3}
        mixture = MixtureOfMarkovChainsForOccupationPrediction.fit(encoded, scaled, weighted=True, **settings)
        # By label, because ids are ordered by how often an occupation occurs.
        order = [scaled.occupations.index(label) for label in processor.occupations]
        return mixture.transitions.numpy()[:, order][:, :, order]

    one = from_frame(frame.assign(w=of_person), weight="w")
    many = careers_with(frame, of_person)
    np.testing.assert_allclose(fitted(one), fitted(many), atol=1e-6)
    # The last year of everybody without weight, and the same careers without it.
    last = frame.groupby("person")["year"].transform("max") == frame["year"]
    seen = frame["person"].isin(frame.loc[~last, "person"])
    without, kept = frame[seen & ~last], frame[seen]
    zero = careers_with(kept, np.where(last[seen], 0.0, of_person[seen]))
    np.testing.assert_allclose(fitted(zero), fitted(careers_with(without, of_person[seen & ~last])), atol=1e-6)


# Numbers of transition tables


@pytest.fixture(scope="module")
def scored() -> pd.DataFrame:
    frame = long_careers(8, people=60)
    careers = careers_with(frame, drawn_weights(8, len(frame)))
    processor = CareerProcessor.fit(careers, ["region"])
    table = transition_table(small_model(processor), careers, processor, watch=["a"])
    assert table["weight"].tolist() == drawn_weights(8, len(frame)).tolist()
    return table


def test_a_step_without_weight_is_in_no_weighted_number(scored):
    counted = scored[scored["weight"] > 0]
    assert len(counted) < len(scored)
    mine, theirs = (
        report({"a": [t], "b": [t.assign(log_prob=t["log_prob"] * 0.9)]}, "a", by=["region"], draws=20, weighted=True)
        for t in (scored, counted)
    )
    assert mine.tables.keys() == theirs.tables.keys()
    for name, table in mine.tables.items():
        pd.testing.assert_frame_equal(table, theirs.tables[name])
    both = [audit(t, "region", weighted=True, draws=20).to_frame() for t in (scored, counted)]
    pd.testing.assert_frame_equal(*both)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, scale=st.floats(0.1, 100))
def test_whole_weights_are_as_many_steps(scored, seed, scale):
    times = np.random.default_rng(seed).integers(0, 4, len(scored))
    if not times.any():
        return
    with_weight, repeated = scored.assign(weight=times * scale), scored.iloc[np.repeat(np.arange(len(scored)), times)]
    assert perplexity(with_weight, True) == pytest.approx(perplexity(repeated))
    np.testing.assert_allclose(ranking(with_weight, weighted=True), ranking(repeated))
    assert stay_auc(with_weight, True) == pytest.approx(stay_auc(repeated))
    curves = [reliability(t, bins=1, draws=2, weighted=w) for t, w in ((with_weight, True), (repeated, False))]
    assert calibration_error(curves[0]) == pytest.approx(calibration_error(curves[1]))


def test_no_weight_at_all_is_an_error_and_never_a_nan(scored):
    zero, message = scored.assign(weight=0.0), "'weight' is 0 in every step"
    for number in (perplexity, stay_auc, ranking, bootstrap_perplexity, reliability):
        with pytest.raises(ValueError, match=message):
            number(zero, weighted=True)
    with pytest.raises(ValueError, match=message):
        summarize({"a": zero}, weighted=True)
    with pytest.raises(ValueError, match=message):
        audit(zero, "region", weighted=True)
    # A group without weight has no row, and the others have numbers.
    south = scored.assign(weight=np.where(scored["region"] == "s", 0.0, scored["weight"]))
    assert bootstrap_perplexity(south, 10, weighted=True, by="region").index.tolist() == ["n"]
    moves_only = scored.assign(weight=(scored["transition"] != "stay").astype(float))
    with pytest.raises(ValueError, match="needs stays and moves"):
        stay_auc(moves_only, weighted=True)


def test_designs_take_the_weight_of_each_step(scored):
    """The linearised error of a ratio of weighted totals over people, in numpy."""
    pytest.importorskip("svy")
    row = survey_perplexity(scored).loc["all"]
    w, loss = scored["weight"].to_numpy(), -scored["log_prob"].to_numpy()
    mean = np.average(loss, weights=w)
    sums = pd.Series(w * (loss - mean) / w.sum()).groupby(scored["person"].astype(str).to_numpy()).sum().to_numpy()
    error = np.sqrt(len(sums) / (len(sums) - 1) * ((sums - sums.mean()) ** 2).sum())
    assert row[["nll", "nll_standard_error"]].tolist() == pytest.approx([mean, error])
    assert row["n"] == (w > 0).sum()
    with pytest.raises(ValueError, match=r"person 'p00', year 1980, column 'weight', value -1.0"):
        survey_perplexity(scored.assign(weight=-1.0), SurveyDesign())


# Recalibration, edits, raking and the switch


@pytest.mark.parametrize("by_year", [False, True])
def test_recalibration_counts_people_and_years_as_often_as_their_weights_say(by_year):
    frame = long_careers(5, people=60)
    processor = CareerProcessor.fit(from_frame(frame, covariates=["region"]), ["region"], unknown_occupation="unknown")
    model = small_model(processor)
    if by_year:
        # The last years without weight, against careers that end before them.
        last = frame.groupby("person")["year"].transform("max") == frame["year"]
        kept = frame["person"].isin(frame.loc[~last, "person"])
        frame, last = frame[kept], last[kept]
        weighted = careers_with(frame, np.where(last, 0.0, 2.0))
        repeated = from_frame(frame[~last], covariates=["region"])
    else:
        times = frame["person"].str[1:].astype(int) % 3
        weighted = careers_with(frame, times)
        copies = [frame[times > k].assign(person=frame["person"] + f"-{k}") for k in range(2)]
        repeated = from_frame(pd.concat(copies), covariates=["region"])
    mine, theirs = recalibrate(model, weighted, processor, weighted=True), recalibrate(model, repeated, processor)
    for name in ("temperature", "stay_slope", "stay_intercept"):
        assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-2, abs=1e-3)
    plain = recalibrate(model, weighted, processor)
    assert plain != mine and plain == recalibrate(model, weighted.remove_columns("weight"), processor)


def test_edits_are_averaged_with_the_weights_of_their_years_and_forecasts_with_the_last():
    frame = long_careers(6)
    weight = drawn_weights(6, len(frame))
    careers = careers_with(frame, weight)
    processor = CareerProcessor.fit(careers, ["region"])
    model, edit = small_model(processor), Edit({"region": {"n": "s"}})
    options = {"training": careers, "draws": 5, "groups": "occupation"}
    found = next_step_differences(model, careers, processor, edit, **options).differences.set_index("outcome")
    changed = careers_with(frame.assign(region="s"), weight)
    north = frame["region"].to_numpy() == "n"
    for column, version in (("original", careers), ("edited", changed)):
        tables = transition_table(model, version, processor, watch=["a", "b", "c"])
        for label in "abc":
            expected = np.average(tables.loc[north, f"p({label})"], weights=weight[north])
            assert found.loc[label, column] == pytest.approx(expected, abs=1e-6)
    last = ~frame["person"].duplicated(keep="last").to_numpy()
    ahead = forecast_differences(model, careers, processor, edit, horizon=1, samples=5, **options).differences
    only = careers.remove_columns("weight").add_column("weight", weight[last])
    again = forecast_differences(model, only, processor, edit, horizon=1, samples=5, **options).differences
    pd.testing.assert_frame_equal(ahead, again)
    nothing = careers_with(frame, np.where(north, 0.0, 1.0))
    with pytest.raises(ValueError, match="reaches nobody: whatever it reaches has weight 0"):
        next_step_differences(model, nothing, processor, edit, **options)


def test_raking_multiplies_all_weights_of_a_person():
    pytest.importorskip("svy")
    frame = long_careers(7, people=30)
    weight = drawn_weights(7, len(frame))
    weight[frame["person"] == "p03"] = 0
    careers = careers_with(frame, weight)
    raked = rake(careers, {"region": {"n": 0.8, "s": 0.2}})
    validate(raked.careers)
    after = to_frame(raked.careers)["weight"].to_numpy()
    mean = pd.DataFrame({"after": after, "region": frame["region"]}).groupby(frame["person"])
    people = mean.agg({"after": "mean", "region": "first"})
    shares = people.groupby("region")["after"].sum() / people["after"].sum()
    assert shares["n"] == pytest.approx(0.8, rel=1e-5)
    factor = pd.Series(after[weight > 0] / weight[weight > 0]).groupby(frame.loc[weight > 0, "person"].to_numpy())
    assert factor.agg(np.ptp).max() < 1e-9 and (after[weight == 0] == 0).all()
    nobody = (weights_by_person(career_table(careers)) == 0).sum()
    assert f"{nobody} people have weight 0 in every year" in str(raked.ledger)
    with pytest.raises(ValueError, match="'weight' is 0 for everybody"):
        rake(careers_with(frame, np.zeros(len(frame))), {"region": {"n": 0.8, "s": 0.2}})
    assert margins_of(careers, ["region"])["region"]["n"] == pytest.approx(
        (weights_by_person(career_table(careers)) * [r[0] == "n" for r in careers["region"]]).sum()
        / weights_by_person(career_table(careers)).sum()
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_one_switch_weighs_training_and_tables_or_neither(weighted):
    frame = long_careers(9, people=60)
    careers = careers_with(frame, drawn_weights(9, len(frame)))
    parts = {"train": range(30), "validation": range(30, 45), "test": range(45, 60)}
    splits = DatasetDict({name: careers.select(rows) for name, rows in parts.items()})
    trained = career_hf.train(splits, model="markov-1", weighted=weighted)
    assert (trained.processor.weight_scale is not None) == weighted
    encoded = CareerProcessor.fit(splits["train"], [], "unknown").encode(splits["train"])[0]
    by_hand = MarkovForOccupationPrediction.fit(encoded, trained.processor, weighted=weighted)
    torch.testing.assert_close(trained.model.first_order.counts, by_hand.first_order.counts)
    compared = career_hf.compare(splits, models=["markov-1"], weighted=weighted, draws=5)
    (table,) = compared.tables["markov-1"]
    expected = np.average(-table["log_prob"], weights=table["weight"] if weighted else None)
    assert compared.to_frame().loc["markov-1", "perplexity"] == pytest.approx(np.exp(expected))
    scores = career_hf.evaluate({"chain": trained}, splits, weighted=weighted, draws=5).tables["summary"]
    assert scores.loc["chain", "n"] == ((table["weight"] > 0).sum() if weighted else len(table))
