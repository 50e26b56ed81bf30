"""Ensembles: members that differ as samples of people do, forecasts that are their average, and their intervals."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers, truncate
from career_hf.cli.app import app
from career_hf.ensembles import member_seed
from career_hf.forecasting.metrics import share_forecasts
from career_hf.forecasting.result import Forecast, Trajectories
from career_hf.forecasting.shocks import Shocks


LABELS = ["cook", "driver", "nurse", "unemployed"]


@pytest.fixture(scope="module")
def careers():
    rng = np.random.default_rng(0)
    stays = 0.7 * np.eye(4) + 0.3 * rng.dirichlet(np.ones(4), size=4)
    rows = []
    for person in range(240):
        state = rng.integers(4)
        for year in range(1980, 1989):
            rows.append(
                {"person": f"p{person:03d}", "year": year, "occupation": LABELS[state], "sex": "fm"[person % 2]}
            )
            state = rng.choice(4, p=stays[state])
    return split_careers(from_frame(pd.DataFrame(rows), static=["sex"]))


@pytest.fixture(scope="module")
def chains(careers, tmp_path_factory):
    """The folder of an ensemble of chains up to 1984."""
    folder = tmp_path_factory.mktemp("ensemble")
    career_hf.train_ensemble(careers, members=3, model="markov-1", cutoff=1984, output=folder, seed=5)
    return folder


@pytest.fixture(scope="module")
def small(careers):
    """An ensemble of small CAREERs, which are hardly trained."""
    options = {"max_steps": 4, "eval_steps": 2, "warmup_steps": 1, "learning_rate": 0.02, "tokens_per_batch": 500}
    fields = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    options |= {"covariates": ["year", "sex"], "cutoff": 1984, "fields": fields, "bootstrap": True}
    return [career_hf.train(careers, seed=seed, **options) for seed in (0, 1)]


def test_members_are_refits_to_resamples_that_load_alone(careers, chains, tmp_path):
    models = [career_hf.load_checkpoint(chains / f"member-{i}") for i in range(3)]
    counts = [model.state_dict() for model, _ in models]
    assert all(
        (a["first_order.counts"] != b["first_order.counts"]).any() for a, b in zip(counts, counts[1:], strict=False)
    )
    assert {tuple(processor.occupations) for _, processor in models} == {tuple(models[0][1].occupations)}
    stage = models[1][1].training_stages[-1]
    own = member_seed(5, 1)
    assert stage["bootstrap"] == {"seed": own, "survey_weights": False} and stage["last_year"] == 1984
    card = (chains / "member-1" / "README.md").read_text()
    assert "survey weights of training careers | none" in card and f"bootstrap, seed {own}" in card
    alone = career_hf.train(careers, model="markov-1", cutoff=1984, bootstrap=True, seed=own)
    assert all((alone.model.state_dict()[name] == value).all() for name, value in counts[1].items())
    # Counts know no seed, so without resamples members are one model.
    same = career_hf.train_ensemble(careers, members=2, model="markov-1", bootstrap=False)
    assert (same[0].model.state_dict()["first_order.counts"] == same[1].model.state_dict()["first_order.counts"]).all()
    with pytest.raises(ValueError, match="is an ensemble of 3 models, and one is needed here: give '.*member-0'"):
        career_hf.load_checkpoint(chains)
    with pytest.raises(ValueError, match="holds an ensemble of 3 models, more than 2"):
        career_hf.train_ensemble(careers, members=2, output=chains, resume=True)
    with pytest.raises(ValueError, match="holds a model, and an ensemble needs a folder of its own"):
        career_hf.train_ensemble(careers, members=2, output=chains / "member-0")
    with pytest.raises(ValueError, match="resuming needs the output folder of the ensemble"):
        career_hf.train_ensemble(careers, members=2, resume=True)
    with pytest.raises(ValueError, match="bootstrap is for one set of careers"):
        career_hf.train([careers, careers], bootstrap=True)


def counts_of(folder):
    return [
        career_hf.load_checkpoint(path)[0].state_dict()["first_order.counts"] for path in sorted(folder.glob("mem*"))
    ]


def test_an_ensemble_is_only_replaced_when_asked_and_only_resumed_as_it_was(careers, tmp_path):
    options = {"members": 2, "model": "markov-1", "output": tmp_path}
    career_hf.train_ensemble(careers, cutoff=1982, **options)
    before = counts_of(tmp_path)
    with pytest.raises(ValueError, match="holds an ensemble of 2 models: go on with it with resume=True"):
        career_hf.train_ensemble(careers, cutoff=1984, **options)
    fewer = {name: part.select(range(len(part) - 1)) for name, part in careers.items()}
    for people, other, message in (
        (careers, {"cutoff": 1984}, "its cutoff is 1982, and now it is 1984"),
        (careers, {"cutoff": 1982, "seed": 1}, "its seed is 0, and now it is 1"),
        (careers, {"cutoff": 1982, "model": "markov-2"}, "its model is 'markov-1', and now it is 'markov-2'"),
        (fewer, {"cutoff": 1982}, "its careers is other people or years than these"),
    ):
        with pytest.raises(ValueError, match=f"cannot be resumed: {message}: choose another folder, or replace"):
            career_hf.train_ensemble(people, **{**options, **other}, resume=True)
    with pytest.raises(ValueError, match="holds an ensemble of 2 models: choose another folder for one model"):
        career_hf.train(careers, model="markov-1", output=tmp_path)
    with pytest.raises(ValueError, match="holds an ensemble of 2 models: choose another folder for one model"):
        career_hf.finetune("unread", careers, output=tmp_path)
    assert all((a == b).all() for a, b in zip(before, counts_of(tmp_path), strict=True))
    # More members are added to those that there are, which are not made again.
    saved = (tmp_path / "member-1" / "model.safetensors").stat().st_mtime_ns
    grown = career_hf.train_ensemble(careers, cutoff=1982, **{**options, "members": 4}, resume=True)
    assert len(grown) == 4 and (tmp_path / "member-1" / "model.safetensors").stat().st_mtime_ns == saved
    assert all((a == b).all() for a, b in zip(before, counts_of(tmp_path), strict=False))
    # Wrong options destroy nothing, and folders of somebody else are not deleted for their names.
    with pytest.raises(ValueError, match="smoothing"):
        career_hf.train_ensemble(careers, **options, cutoff=1984, fields={"smoothing_": 1}, overwrite=True)
    (tmp_path / "member-9").mkdir()
    with pytest.raises(ValueError, match="member-9 would be deleted and holds no model of an ensemble: move it away"):
        career_hf.train_ensemble(careers, **options, cutoff=1984, overwrite=True)
    with pytest.raises(ValueError, match="has member-9, and its ensemble.json is of 4 models"):
        career_hf.forecast(tmp_path, careers["test"], horizon=1, samples=8)
    (tmp_path / "member-9").rmdir()
    career_hf.train_ensemble(careers, **options, cutoff=1984, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ensemble.json", "member-0", "member-1"]
    assert career_hf.load_checkpoint(tmp_path / "member-1")[1].training_stages[-1]["last_year"] == 1984


def test_an_ensemble_that_was_stopped_is_not_taken_for_a_smaller_one(careers, chains, tmp_path):
    past = truncate(careers["test"], 1984)[0]
    folder = tmp_path / "stopped"
    shutil.copytree(chains, folder)
    whole = counts_of(folder)

    def refused(state):
        message = (
            f"of 3 models is incomplete, because member-{state}: go on with `career-hf train --ensemble N --resume`"
        )
        with pytest.raises(ValueError, match=message):
            career_hf.forecast(folder, past, horizon=1, samples=6)

    shutil.rmtree(folder / "member-2")
    refused("2 is missing")
    (folder / "member-2" / "training").mkdir(parents=True)
    refused("2 was not trained to its end")
    with pytest.raises(ValueError, match="member-2' was not trained to its end: go on with"):
        career_hf.load_checkpoint(folder / "member-2")
    (folder / "member-1" / "model.safetensors").unlink()
    refused("1 was not trained to its end")
    options = {"members": 3, "model": "markov-1", "cutoff": 1984, "seed": 5, "output": folder}
    career_hf.train_ensemble(careers, **options, resume=True)
    assert all((a == b).all() for a, b in zip(whole, counts_of(folder), strict=True))
    # Members that were copied by hand are an ensemble if none is missing among them.
    (folder / "ensemble.json").unlink()
    shutil.rmtree(folder / "member-2")
    assert len(career_hf.forecast(folder, past, horizon=1, samples=6).members) == 2
    with pytest.raises(ValueError, match="has no record of its members' settings and cannot be resumed"):
        career_hf.train_ensemble(careers, **options, resume=True)
    shutil.rmtree(folder / "member-0")
    with pytest.raises(ValueError, match="of 2 models is incomplete, because member-0 is missing"):
        career_hf.forecast(folder, past, horizon=1, samples=6)


def test_ensembles_of_neighbouring_seeds_share_no_member():
    seeds = [member_seed(seed, number) for seed in range(20) for number in range(20)]
    assert len(set(seeds)) == 400 and all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[21] == np.random.SeedSequence((1, 1)).generate_state(1)[0] // 2


def test_finetuned_members_start_from_one_model(careers, small):
    options = {"max_steps": 2, "eval_steps": 2, "warmup_steps": 1}
    tuned = career_hf.train_ensemble(careers, members=2, pretrained=small[0], cutoff=1984, **options)
    assert [one.processor.training_stages[-1]["stage"] for one in tuned] == ["finetuning"] * 2
    assert tuned[0].metrics != tuned[1].metrics
    first, last = [replace(one.plan, seconds=100) for one in tuned]
    assert str(first).startswith("member 0 of an ensemble of 2: training on ")
    assert str(first).endswith("at most about 2 minutes, and with the 1 after it at most about 3 minutes")
    assert str(last).startswith("member 1 of an ensemble of 2: ") and str(last).endswith("at most about 2 minutes")
    assert small[0].plan.member is None


def test_the_forecast_is_the_average_of_the_members(careers, chains, small, tmp_path):
    past = truncate(careers["test"], 1984)[0]
    for ensemble, members in ((chains, [chains / f"member-{i}" for i in range(3)]), (small, small)):
        options = {"years": [1985, 1986, 1987], "trajectories": True, "exact_steps": None}
        pooled = career_hf.forecast(ensemble, past, samples=30, **options)
        parts = [
            career_hf.forecast(one, past, samples=30 // len(members), seed=own.attrs["seed"], **options)
            for one, own in zip(members, pooled.members, strict=True)
        ]
        np.testing.assert_allclose(pooled.probability, np.mean([p.probability for p in parts], axis=0), atol=1e-7)
        assert len({own.attrs["seed"] for own in pooled.members}) == len(members)
        error = np.sqrt(sum(p.standard_error.astype(float) ** 2 for p in parts)) / len(parts)
        np.testing.assert_allclose(pooled.standard_error, error, rtol=1e-4)
        assert pooled.attrs["samples"] == 30 and pooled.attrs["members"] == len(members)
        assert np.bincount(pooled.trajectories.person, pooled.trajectories.count).tolist() == [30] * len(past)
        pooled.save(tmp_path / "saved")
        loaded = Forecast.load(tmp_path / "saved")
        assert len(loaded.members) == len(members)
        np.testing.assert_array_equal(loaded.members[1].probability, parts[1].probability)
    with pytest.raises(ValueError, match="samples must be at least 6, two trajectories for each of 3 models"):
        career_hf.forecast(chains, past, horizon=1, samples=5)
    with pytest.raises(ValueError, match="an ensemble is a list of models, and this one is empty"):
        career_hf.forecast([], past, horizon=1)
    other = career_hf.train(careers, model="markov-1", occupations=[*LABELS, "pilot"])
    with pytest.raises(
        ValueError, match="models 1 and 2 of the ensemble have other occupations, 'pilot' is known to one"
    ):
        career_hf.forecast([chains / "member-0", other], past, horizon=1)


def test_a_model_with_the_occupations_of_another_has_their_order_and_joins_its_ensemble(careers, tmp_path):
    first = career_hf.train(careers, model="markov-1", cutoff=1984, output=tmp_path / "first")
    # The most frequent occupation of the others is the rarest here.
    rare = next(label for label in first.processor.occupation_labels if label in LABELS)
    few = {name: part.filter(lambda person: rare not in person["occupation"]) for name, part in careers.items()}
    alone, *others = (
        career_hf.train(few, model="markov-1", cutoff=1984, occupations=given)
        for given in ([*LABELS, "unknown"], first, tmp_path / "first", (first.model, first.processor))
    )
    assert all(one.processor.occupations == first.processor.occupations for one in others)
    past = truncate(careers["test"], 1984)[0]
    assert career_hf.forecast([first, others[0]], past, horizon=1).attrs["members"] == 2
    with pytest.raises(
        ValueError, match=r"their order differs: train model 2 anew with train\(\.\.\., occupations=MODEL_1"
    ):
        career_hf.forecast([first, alone], past, horizon=1)


def test_sampling_errors_of_logs_are_those_of_the_average():
    """Of members with known errors: the bias and the error of the log of an average, against draws."""
    from career_hf.forecasting.pooling import pool

    rng = np.random.default_rng(0)
    p, error = np.array([0.2, 0.4]), np.array([0.04, 0.06])
    drawn = np.log((p + error * rng.standard_normal((200_000, 2))).mean(axis=1))
    one = [
        Forecast(
            ["a"],
            np.array([[1]]),
            ["x"],
            np.full((1, 1, 1), q),
            np.full((1, 1, 1), e),
            attrs={"samples": 9, "exact_steps": 0},
        )
        for q, e in zip(p, error, strict=True)
    ]
    pooled = pool(one, 0)
    assert pooled.log_correction.item() == pytest.approx(np.log(0.3) - drawn.mean(), abs=5e-4)
    assert pooled.log_error.item() == pytest.approx(drawn.std(), rel=0.03)


def toy(rng, people, members, between, shock=0.0):
    """A forecast of an ensemble of members, and what happened under a law that they are refits of."""
    logit = rng.normal(-1.5, 0.3)
    fitted = logit + between * rng.standard_normal()
    refits = fitted + between * rng.standard_normal(members)
    happened = rng.random(people) < 1 / (1 + np.exp(-(logit + shock * rng.standard_normal())))
    parts = []
    for own in 1 / (1 + np.exp(-refits)):
        paths = (rng.random((people, 60)) < own).astype(int)
        probability = np.tile([1 - own, own], (people, 1, 1)).astype(np.float32)
        drawn = Trajectories(np.repeat(np.arange(people), 60), np.ones(people * 60, int), paths.reshape(-1, 1))
        parts.append(
            Forecast(
                [f"p{i}" for i in range(people)],
                np.full((people, 1), 2001),
                ["rest", "cook"],
                probability,
                np.zeros_like(probability),
                drawn,
                attrs={"samples": 60, "exact_steps": 1},
            )
        )
    rows = pd.DataFrame({"person": parts[0].people, "year": 2001, "gap_years": 1, "weight": 1.0})
    return parts, rows.assign(occupation=np.where(happened, "cook", "rest"))


def test_fans_of_an_ensemble_hold_what_happens_and_those_of_one_member_do_not():
    from career_hf.forecasting.pooling import pool

    rng, held = np.random.default_rng(1), []
    for world in range(120):
        parts, rows = toy(rng, 60, 4, between=0.4, shock=0.3)
        pooled, shocks = pool(parts, 0), Shocks(0.3**2, {}, 1, 1)
        fans = [share_forecasts(parts[0], rows, ["cook"]), share_forecasts(pooled, rows, ["cook"], seed=world)]
        fans.append(share_forecasts(pooled, rows, {"those who cook": ["cook"]}, seed=world, shocks=shocks))
        held.append([row["0.05"] <= row["realised"] <= row["0.95"] for fan in fans for _, row in fan.iterrows()])
        assert [fan.attrs["holds"] for fan in fans] == [["chance"], ["chance", "model"], ["chance", "model", "years"]]
    one, ensemble, years = np.mean(held, axis=0)
    # A standard error is .03; shares of 60 people are in steps, which widens fans a little.
    assert one < 0.75 and one < ensemble < years and 0.83 < years < 0.98


def test_fans_name_the_deviation_of_each_thing_that_they_hold():
    from career_hf.forecasting.pooling import pool

    parts, rows = toy(np.random.default_rng(2), 400, 5, between=0.2)
    row = share_forecasts(pool(parts, 0), rows, ["cook"], shocks=Shocks(0.1**2, {}, 1, 1)).iloc[0]
    means = np.array([part.probability[0, 0, 1] for part in parts], dtype=float)
    p = means.mean()
    assert row["expected"] == pytest.approx(p) and row["ahead"] == 1
    assert row["chance"] == pytest.approx(np.sqrt(p * (1 - p) / 400), rel=0.15)
    assert row["model"] == pytest.approx(np.sqrt(1.2) * np.std(means, ddof=1), rel=0.1)
    assert row["years"] == pytest.approx(0.1 * p * (1 - p))


def test_copies_of_one_model_have_hardly_any_uncertainty_of_the_model(careers, chains):
    """What members differ by is sampling, whose known variance is no uncertainty of the model."""
    from career_hf.forecasting.table import forecast_table, realised_years

    real = realised_years(careers["test"], 1984, [1986, 1987])
    one, other = chains / "member-0", chains / "member-1"
    options = {
        "cutoff": 1984,
        "years": [1986, 1987],
        "samples": 1000,
        "trajectories": True,
        "exact_steps": 0,
        "estimator": "frequency",
    }
    of_copies, apart = [], []
    for seed in range(4):
        for found, members in ((of_copies, [one, one]), (apart, [one, other])):
            made = career_hf.forecast(members, real.careers, seed=seed, **options)
            found.append(share_forecasts(made, forecast_table(made, real.rows), LABELS)["model"].to_numpy())
    people = len(real.careers)
    # Two samples of 500 give an error of the mean of about .5 / sqrt(500 people), and most of the variance goes.
    error = np.sqrt(0.25 * 0.75 / (500 * people) * 1.5)
    assert np.median(of_copies) < error / 10 and np.max(of_copies) < 3 * error
    assert np.mean(of_copies) < np.mean(apart) / 3


def test_scored_forecasts_learn_from_earlier_ones_what_was_known_by_then(careers, chains, tmp_path):
    early = career_hf.train_ensemble(careers, members=3, model="markov-1", cutoff=1982)
    options = {"split": "test", "samples": 30, "draws": 5}
    before = career_hf.evaluate_forecast(early, careers, cutoff=1982, years=[1983, 1984, 1985], **options)
    before.save(tmp_path)
    shares = before.tables["shares"]
    for earlier in (before, tmp_path):
        report = career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[earlier], **options)
        # Of the four labels only the shares of 1983 and 1984 were known.
        assert "from 8 shares after 1 earlier cutoff" in str(report.ledger)
        assert report.tables["shares"].attrs["holds"] == ["chance", "model", "years"]
    from career_hf.forecasting.shocks import estimate_shocks

    size = estimate_shocks([shares[shares["year"] <= 1984]])
    row = report.tables["shares"].iloc[-1]
    slope = row["expected"] * (1 - row["expected"])
    assert row["years"] == pytest.approx(slope * size.deviation(row["occupation"], row["ahead"]), rel=1e-6)
    with pytest.raises(ValueError, match="is of nothing up to 1982, the cutoff: what came after it must not be known"):
        career_hf.evaluate_forecast(early, careers, cutoff=1982, earlier=[tmp_path], **options)
    with pytest.raises(ValueError, match="earlier is 'scored', and must be a list of scored forecasts"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier="scored", **options)
    assert "4 of 4 labels whose shares are forecast have earlier shares" in str(report.ledger)
    with pytest.raises(ValueError, match="are both from the cutoff 1982, whose errors would count twice"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[before, tmp_path], **options)
    for column, value, said in (
        ("realised", "", "''.* from 0 to 1"),
        ("realised", 2, "'2.* from 0 to 1"),
        ("expected", "most", "'most'.* from 0 to 1"),
        ("ahead", 0, "'0.* of at least 1"),
        ("n", 0, "'0.* of at least 1"),
        ("model", np.inf, "'inf'.* of at least 0"),
    ):
        damaged = shares.astype(object)
        damaged.iloc[2, damaged.columns.get_loc(column)] = value
        damaged.to_csv(tmp_path / "shares.csv", index=False)
        with pytest.raises(ValueError, match=f"shares.csv', row 3, column '{column}', value {said}"):
            career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[tmp_path], **options)
    damaged = shares.assign(year=["never", *shares["year"].iloc[1:]])
    damaged.to_csv(tmp_path / "shares.csv", index=False)
    with pytest.raises(ValueError, match="shares.csv', row 1, column 'year' is 'never', and must be a year"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[tmp_path], **options)
    shares.assign(occupation="judge").to_csv(tmp_path / "shares.csv", index=False)
    with pytest.raises(ValueError, match="shares no label with this one, and is of 'judge', for example"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[tmp_path], **options)
    (tmp_path / "shares.csv").write_text("")
    with pytest.raises(ValueError, match="shares.csv cannot be read as shares of a scored forecast: No columns"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[tmp_path], **options)
    with pytest.raises(ValueError, match="has no shares.csv: give a folder of a scored forecast"):
        career_hf.evaluate_forecast(chains, careers, cutoff=1984, earlier=[chains], **options)


def test_the_size_of_shocks_is_that_at_which_earlier_fans_would_have_held():
    from career_hf.forecasting.shocks import estimate_shocks

    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {"ahead": np.tile([1, 2, 3], 600), "expected": 0.1, "chance": 0.01, "model": 0.005, "n": 10**6}
    )
    rows["occupation"] = np.repeat(["calm", "cyclical"], 900)
    truth, slope = {"calm": 0.1, "cyclical": 0.3}, 0.1 * 0.9
    deviation = np.sqrt((0.01**2 + 0.005**2) / slope**2 + rows["occupation"].map(truth) ** 2 * rows["ahead"])
    odds = np.exp(deviation * rng.standard_normal(len(rows))) / 9
    shocks = estimate_shocks([rows.assign(realised=odds / (1 + odds))])
    # The error of a variance from 900 squares is some 5%, and the calm ones hold much of chance.
    assert shocks.deviation("cyclical", 1) == pytest.approx(0.3, rel=0.1)
    assert shocks.deviation("calm", 4) == pytest.approx(0.2, rel=0.25) and shocks.shares == 1_800
    assert shocks.deviation("calm", 1) < shocks.deviation("never seen", 1) < shocks.deviation("cyclical", 1)
    # Errors that chance explains leave nothing for shocks.
    quiet = estimate_shocks([rows.assign(realised=0.1 + 0.5 * rows["chance"] * rng.standard_normal(len(rows)))])
    assert quiet.variance == 0 and not any(quiet.of_labels.values())
    with pytest.raises(ValueError, match="no shares between 0 and 1"):
        estimate_shocks([rows.assign(expected=0.0, realised=0.0)])


def test_one_wild_label_is_drawn_towards_the_others():
    """By hand: two labels, one error each, with and without its share in the mean of nine."""
    from career_hf.forecasting.shocks import PRIOR, estimate_shocks

    rows = pd.DataFrame(
        {"occupation": ["a", "b"], "ahead": [1, 2], "expected": 0.5, "chance": 0.0, "model": 0.0, "n": 99}
    )
    shocks = estimate_shocks([rows.assign(realised=[0.6, 0.5])])
    square = np.log(59.9 / 40.1) ** 2  # half a person of a hundred on each side
    sizes = {"a": (PRIOR * square / 2 + square) / (PRIOR + 1), "b": PRIOR * square / 2 / (PRIOR + 1)}
    factor = square / 1.6448536**2 / sizes["a"]
    assert dict(shocks.of_labels) == pytest.approx({name: factor * size for name, size in sizes.items()})
    assert shocks.variance == pytest.approx(factor * square / 2)


def test_what_if_and_transitions_average_members_and_hold_their_differences(careers, small):
    change, options = {"sex": "f"}, {"split": "test", "draws": 200, "groups": "occupation"}
    more = {"horizon": 2, "samples": 8, "cutoff": 1984}
    both = career_hf.what_if(small, careers, change, **options, **more)
    singles = [career_hf.what_if(one, careers, change, **options, **more) for one in small]
    for name in ("next_step", "forecast"):
        found, *parts = [one.comparisons[name].differences for one in (both, *singles)]
        if name == "next_step":
            for column in ("original", "edited", "difference"):
                np.testing.assert_allclose(found[column], np.mean([part[column] for part in parts], axis=0), atol=1e-7)
            between = np.sqrt(1.5 * np.var([part["difference"] for part in parts], axis=0, ddof=1))
            assert (found["standard_error"] > between).all()
        assert found.attrs["members"] == 2 and parts[0].attrs["members"] == 1
        assert (found["high"] - found["low"] > parts[0]["high"] - parts[0]["low"]).all()
    found, *parts = [career_hf.transitions(one, careers, **options).to_frame() for one in (small, *small)]
    np.testing.assert_allclose(found["implied"], np.mean([part["implied"] for part in parts], axis=0), atol=1e-7)
    np.testing.assert_array_equal(found["observed"], parts[0]["observed"])
    assert (found["implied_high"] - found["implied_low"] > parts[0]["implied_high"] - parts[0]["implied_low"]).all()
    assert found[["implied_low", "implied_high"]].stack().between(0, 1).all() and found.attrs["members"] == 2


def test_commands_train_an_ensemble_and_forecast_with_it(careers, tmp_path):
    save_careers(careers, tmp_path / "careers")
    data, run = ["--data", str(tmp_path / "careers")], CliRunner().invoke
    for cutoff in ("1982", "1984"):
        folder = str(tmp_path / cutoff)
        options = [
            "--output",
            folder,
            "--model",
            "markov-1",
            "--covariates",
            "",
            "--cutoff",
            cutoff,
            "--ensemble",
            "2",
        ]
        trained = run(app, ["train", *data, *options])
        assert trained.exit_code == 0 and "an ensemble of 2" in trained.output
        scored = ["forecast", folder, *data, "--cutoff", cutoff, "--split", "test", "--samples", "20", "--draws", "5"]
        earlier = ["--earlier", str(tmp_path / "scored-1982")] if cutoff == "1984" else []
        result = run(app, [*scored, *earlier, "--output", str(tmp_path / f"scored-{cutoff}")])
        assert result.exit_code == 0, result.output
        words = " ".join(result.output.split())
        assert "that hold chance, the model's uncertainty" in words
        assert ("shocks as large as after earlier cutoffs" in words) == bool(earlier)


def test_exposure_averages_members_and_holds_their_differences(careers, chains):
    wage = pd.DataFrame({"wage": [1.0, 2.0, 4.0]}, index=LABELS[:3])

    def row(predictions, *more):
        return career_hf.exposure(predictions, wage, *more, draws=200).to_frame().iloc[0]

    found, *parts = [row(one, careers) for one in (chains, *(chains / f"member-{i}" for i in range(3)))]
    for column in ("implied", "origin", "change", "observed", "difference"):
        assert found[column] == pytest.approx(np.mean([part[column] for part in parts]))
    assert found["implied_high"] - found["implied_low"] > parts[0]["implied_high"] - parts[0]["implied_low"]
    assert found["observed_low"] == pytest.approx(parts[0]["observed_low"])
    ahead = career_hf.forecast(chains, careers, cutoff=1984, years=[1985, 1986], split="test", samples=30)
    of_members = [row(replace(member, histories=ahead.histories))["implied"] for member in ahead.members]
    assert row(ahead)["implied"] == pytest.approx(np.mean(of_members))


def test_intervals_of_an_ensemble_hold_no_impossible_values(careers):
    """Two models that differ as much as they can: by the t distribution of one degree of freedom all is possible."""
    tables = ({"cook": 9, "nurse": 1}, {"cook": 1, "nurse": 9})
    ensemble = []
    for number, counts in enumerate(tables):
        moves = [(origin, label) for origin in LABELS for label, count in counts.items() for _ in range(count)]
        rows = [
            {"person": f"{number}-{place}", "year": 1980 + step, "occupation": label}
            for place, pair in enumerate(moves)
            for step, label in enumerate(pair)
        ]
        ensemble.append(
            career_hf.train(
                split_careers(from_frame(pd.DataFrame(rows))),
                model="markov-1",
                occupations=LABELS if not ensemble else ensemble[0],
            )
        )
    attributes = pd.DataFrame({"exposed": [0.1, 0.9, 0.5], "kind": ["a", "a", "b"]}, index=LABELS[:3])
    found = career_hf.exposure(ensemble, attributes, careers, draws=200).to_frame()
    low, high = (
        np.where(found["attribute"] == "exposed", 0.1, 0.0),
        np.where(found["attribute"] == "exposed", 0.9, 1.0),
    )
    for name in ("implied", "observed"):
        assert (found[f"{name}_low"] >= low - 1e-9).all() and (found[f"{name}_high"] <= high + 1e-9).all(), name
    for name in ("change", "difference"):
        assert (found[f"{name}_low"] >= low - high - 1e-9).all() and (found[f"{name}_high"] <= high - low + 1e-9).all()
    assert (found["implied_high"] - found["implied_low"] > 0.5 * (high - low)).all()
    rows = career_hf.transitions(ensemble, careers, groups="occupation", draws=200).to_frame()
    assert rows["implied_low"].min() >= 0 and rows["implied_high"].max() <= 1
    change = {"occupation": {label: "nurse" for label in LABELS}}
    differences = career_hf.what_if(ensemble, careers, change, groups="occupation", draws=200).to_frame()
    assert differences["low"].min() >= -1 and differences["high"].max() <= 1
