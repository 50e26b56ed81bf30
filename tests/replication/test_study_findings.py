"""The study of the paper's findings, at a size at which nothing is found but everything runs."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load_from_disk
from drawn_points import points_of
from replication import findings as study
from replication.findings import break_even, contrasts, findings_table, models_table, worth_in_people

from career_hf.careers import to_frame
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.evaluation.metrics import perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, preset, world_processor
from career_hf.simulation.world import NOT_WORKING


SMALL = study.FindingsSettings(
    occupations=24,
    families=6,
    types=3,
    recipes=2,
    train_people=40,
    more_people=(60, 80),
    validation_people=20,
    test_people=40,
    resumes=60,
    layers=1,
    hidden_size=8,
    heads=1,
    pretraining_steps=4,
    most_steps=4,
    eval_steps=2,
    tokens_per_batch=500,
    seeds=1,
    draws=20,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study in the market alone: a model from scratch in each number of stages, and one that is pretrained."""
    made = study.FindingsStudy(tmp_path_factory.mktemp("findings"), SMALL)
    with pytest.MonkeyPatch.context() as patch:
        for name in set(study.WORLDS) - {"market"}:
            patch.delitem(study.WORLDS, name)
        for name in set(study.CORPORA) - {"resumes"}:
            patch.delitem(study.CORPORA, name)
        made.prepare(workers=1)
        for cell in FEW:
            made.train_cell(cell)
    return made


@pytest.fixture(scope="module")
def tables(done):
    """Transition tables of every world, model and seed: those of the market's truth and chain, and of models that are
    as good as they are called by chance."""
    (of_world,) = done.world_tables().values()
    rng, made = np.random.default_rng(0), {}
    for cell in study.cells(replace(SMALL, seeds=2)):
        world = made.setdefault(cell.world, {name: of_world[name] for name in ("floor", "Markov-1", "Markov-2")})
        names = [cell.model, *([] if cell.corpus is None else [f"{cell.model}, zero-shot"])]
        for name in names:
            floor, chain = of_world["floor"][0], of_world["Markov-1"][0]
            share = rng.uniform(0.1, 0.5) + rng.uniform(0, 0.2, len(floor))
            mixed = floor.assign(log_prob=(1 - share) * floor["log_prob"] + share * chain["log_prob"])
            world.setdefault(name, []).append(mixed)
    return made


FEW = [
    study.FindingsCell("market", SMALL.train_people, 0),
    study.FindingsCell("market", SMALL.train_people, 0, two_stage=False),
    study.FindingsCell("market", SMALL.train_people, 0, "resumes"),
]


def test_every_model_is_scored_and_a_pretrained_one_before_fine_tuning_too(done):
    scored = done.world_tables()["market"]
    names = {cell.model for cell in FEW} | {"floor", "Markov-1", "Markov-2", "pretrained on resumes, zero-shot"}
    assert set(scored) == names
    for (table,) in scored.values():
        assert len(table) == len(scored["floor"][0]) and table["log_prob_given_work"].notna().all()


def test_every_cell_has_every_seed():
    cells = study.cells(replace(SMALL, seeds=2))
    assert len(set(cells)) == len(cells)
    seeds = pd.DataFrame([(cell.world, cell.model, cell.seed) for cell in cells]).groupby([0, 1])[2].agg(set)
    assert all(of_model == {0, 1} for of_model in seeds)


@pytest.fixture(scope="module")
def found(tables):
    return findings_table(tables, SMALL)


def test_every_contrast_is_measured_and_drawn(tables, found):
    models = models_table(tables, SMALL)
    assert len(found) == len(contrasts(SMALL))
    assert (found["low"] <= found["nats"]).all() and (found["nats"] <= found["high"]).all()
    # Every finding has a control.
    assert set(found.loc[found["control"], "finding"]) == set(found["finding"])
    figure = study.findings_figure(found, models, SMALL)
    drawn = next(axes for axes in figure.axes if "Findings in the market" in axes.get_title())
    assert len(drawn.get_yticklabels()) == len(found)
    assert sorted(points_of(drawn)[:, 0]) == pytest.approx(sorted(found["nats"]))
    assert (models["ratio"] >= 1).all() and set(models["world"]) == set(study.WORLDS)


def test_what_is_finished_is_not_run_again(done):
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.parquet")}
    models = {path: path.stat().st_mtime_ns for path in done.folder.rglob("model.safetensors")}
    lost = done.table_path("market", "two-stage, 40 people", 0)
    kept = pd.read_parquet(lost)
    lost.unlink()
    for cell in FEW:
        done.train_cell(cell)
    after = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.parquet")}
    assert {path for path in before if before[path] != after[path]} == {lost}
    assert models == {path: path.stat().st_mtime_ns for path in done.folder.rglob("model.safetensors")}
    pd.testing.assert_frame_equal(pd.read_parquet(lost), kept)


def test_a_contrast_is_the_difference_of_mean_log_probabilities_over_seeds(tables, found):
    of_world = tables["market"]
    row = found[(found["finding"] == "two stages beat one") & ~found["control"]].iloc[0]
    two, one = (of_world[f"{name}-stage, 40 people"] for name in ("two", "one"))
    by_seed = [np.log(perplexity(b)) - np.log(perplexity(a)) for a, b in zip(two, one, strict=True)]
    assert row["nats"] == pytest.approx(np.mean(by_seed))
    assert row["seed_sd"] == pytest.approx(np.std(by_seed, ddof=1))
    gap = np.log(perplexity(of_world["Markov-1"][0]) / perplexity(of_world["floor"][0]))
    assert row["share_of_gap"] == pytest.approx(np.mean(by_seed) / gap)

    row = found[found["finding"].str.contains("than at new")].iloc[0]
    pretrained = of_world["pretrained on resumes"]

    def gain(kind):
        means = [t.loc[t["transition"] == kind, "log_prob"].mean() for t in [*pretrained, *two]]
        return np.mean(means[:2]) - np.mean(means[2:])

    assert row["nats"] == pytest.approx(gain("return") - gain("new"))


def test_relabelled_resumes_move_alike_and_shuffled_ones_only_have_the_same_shares(done):
    plain, relabelled, shuffled = (
        to_frame(done.corpus(name)) for name in ("resumes", "relabelled resumes", "shuffled resumes")
    )
    for frame in (relabelled, shuffled):
        pd.testing.assert_frame_equal(frame.drop(columns="occupation"), plain.drop(columns="occupation"))
        assert (frame["occupation"].astype(str) != plain["occupation"].astype(str)).mean() > 0.5
    pairs = pd.DataFrame({"a": plain["occupation"].astype(str), "b": relabelled["occupation"].astype(str)})
    assert len(pairs.drop_duplicates()) == pairs["a"].nunique() == pairs["b"].nunique()
    counts = [frame["occupation"].astype(str).value_counts().to_dict() for frame in (plain, shuffled)]
    assert counts[0] == counts[1]


def test_probabilities_given_work_are_those_of_occupations_over_their_sum():
    market = SMALL.preset("market").simulate(30, seed=5)
    truth, processor = TrueOccupationModel.of_world(market.world), world_processor(market.world)
    plain = transition_table(truth, market.careers, processor)
    encoded = EncodedCareers(processor.encode(market.careers)[0])
    batch = PaddingCollator(processor.pad_token_id)(encoded.gather(np.arange(30)))
    logits = truth(**{name: batch[name] for name in ("input_ids", "covariates")}).logits.double()
    working = processor.occupation_ids([label for label in market.world.labels if label not in NOT_WORKING])
    share = torch.logsumexp(logits[..., working], dim=-1)[batch["labels"] != -100].numpy()
    with study.given_work(truth, processor):
        given = transition_table(truth, market.careers, processor)
    at_work = ~plain["occupation"].isin(NOT_WORKING).to_numpy()
    np.testing.assert_allclose(given["log_prob"][at_work], (plain["log_prob"] - share)[at_work], atol=1e-5)
    assert (given["log_prob"][~at_work] < -1e3).all()
    # Outside of it the model is as before.
    pd.testing.assert_frame_equal(transition_table(truth, market.careers, processor), plain)


def test_a_survey_of_more_people_holds_the_smaller_one(done):
    splits = done.survey("market")
    everyone = load_from_disk(str(done.folder / "surveys" / "market"))
    assert sum(map(len, splits.values())) == len(everyone) == len(set(everyone["person"]))


def test_break_even_and_worth_interpolate():
    found = pd.DataFrame(
        {
            "finding": "pretraining beats training from scratch",
            "case": ["market", "resumes half way to another market", "resumes of another market"],
            "nats": [0.06, 0.02, -0.02],
        }
    )
    assert break_even(found) == pytest.approx(0.75)
    assert np.isnan(break_even(found.assign(nats=0.1)))
    settings = study.FindingsSettings(train_people=100, more_people=(400,))
    models = pd.DataFrame(
        {
            "world": "market",
            "model": ["two-stage, 100 people", "two-stage, 400 people", "pretrained on resumes"],
            "difference": [0.3, 0.1, 0.2],
        }
    )
    assert worth_in_people(models, settings) == pytest.approx(200)
    models.loc[2, "difference"] = 0.05
    assert np.isnan(worth_in_people(models, settings))


def test_settings_name_worlds_that_are_there():
    assert preset("survey").with_world(**study.WORLDS["no stays"]).world.stay_out < -20
    assert all(world in study.WORLDS for world, _, _ in study.CORPORA.values())


def test_every_finding_is_of_the_market_and_nothing_is_compared_twice():
    planned = pd.DataFrame([asdict(contrast) for contrast in contrasts(SMALL)])
    found = planned[~planned["control"]]
    assert sorted(found["finding"]) == sorted(planned["finding"].unique())
    assert set(found["world"]) == {"market"}
    assert not planned.drop(columns=["finding", "case", "control"]).astype(str).duplicated().any()
    assert (planned["better"] != planned["worse"]).all()
