from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score
from torch import nn
from transformers import PreTrainedModel

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.careers import from_frame
from career_hf.encoding.collating import PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import (
    bootstrap_perplexity,
    perplexity,
    perplexity_by,
    perplexity_differences,
    stay_auc,
    summarize,
)
from career_hf.evaluation.transition_table import transition_classes, transition_table
from career_hf.rivals.markov import MarkovConfig
from career_hf.training.trainer import build_trainer, scratch_recipe


class UniformModel(PreTrainedModel):
    """The simplest occupation model: every occupation is equally likely at every step."""

    config_class = MarkovConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(()))
        self.post_init()

    def forward(self, input_ids, covariates=None, **kwargs):
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        logits[..., self.config.special_token_ids] = -torch.inf
        return SimpleNamespace(logits=logits.log_softmax(-1).clamp(min=-1e4))


def random_careers(people=30, seed=0, weight=False, labels=("cook", "waiter", "driver", "teacher", "unknown")):
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        education, race = "low", rng.choice(["a", "b"])
        year, amount = 1979, rng.gamma(2.0)
        for t in range(rng.integers(1, 9)):
            year += rng.integers(1, 3)
            education = "high" if t > 2 and rng.random() < 0.5 else education
            occupation = rng.choice(labels) if t == 0 or rng.random() < 0.6 else rows[-1]["occupation"]
            rows.append(
                {
                    "person": f"p{person:02d}",
                    "year": year,
                    "occupation": occupation,
                    "education": education,
                    "race": race,
                }
                | {"w": amount}
            )
    return from_frame(pd.DataFrame(rows), covariates=["education"], static=["race"], weight="w" if weight else None)


def career_model(processor, **config):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes, **config))
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def scored():
    careers = random_careers(weight=True)
    processor = CareerProcessor.fit(careers, covariates=("year", "race", "education"), unknown_occupation="unknown")
    model = career_model(processor)
    return careers, processor, model, transition_table(model, careers, processor, split="test", batch_tokens=40)


def test_any_model_is_scored_and_a_uniform_one_has_a_perplexity_of_the_number_of_occupations():
    careers = random_careers()
    processor = CareerProcessor.fit(careers, covariates=())
    model = UniformModel(MarkovConfig(**processor.config_kwargs()))
    table = transition_table(model, careers, processor)
    assert perplexity(table) == pytest.approx(5, rel=1e-6)
    assert table["p_stay"].dropna().to_numpy() == pytest.approx(0.2)


def test_rows_are_the_careers_steps_in_order(scored):
    careers, _, _, table = scored
    expected = []
    for career in careers:
        for t, (year, occupation) in enumerate(zip(career["year"], career["occupation"], strict=True)):
            previous = career["occupation"][t - 1] if t else None
            gap = year - career["year"][t - 1] if t else None
            labels = (career["education"][t], career["race"])
            expected.append((career["person"], t, year, gap, previous, occupation, career["weight"], *labels))
    columns = ["person", "step", "year", "gap_years", "previous", "occupation", "weight", "education", "race"]
    rows = table[columns].astype(object).where(table[columns].notna(), None)
    assert list(rows.itertuples(index=False, name=None)) == expected
    assert (table["split"] == "test").all()


@pytest.mark.parametrize("two_stage", [True, False])
def test_log_prob_and_p_stay_are_the_models_own_one_career_at_a_time(two_stage):
    careers = random_careers(12)
    processor = CareerProcessor.fit(careers, covariates=("year", "education"))
    model = career_model(processor, two_stage=two_stage).train()
    table = transition_table(model, careers, processor, batch_tokens=25)
    assert model.training
    model.eval()
    for i, person in enumerate(careers["person"]):
        with torch.no_grad():
            batch = processor(careers.select([i]))
            log_probs = model(**batch).logits[0]
        rows = table[table["person"] == person]
        log_prob = log_probs.gather(-1, batch["labels"][0][:, None])[:, 0]
        stay = log_probs.gather(-1, batch["input_ids"][0][:, None])[1:, 0].exp()
        np.testing.assert_allclose(rows["log_prob"], log_prob, atol=1e-5)
        np.testing.assert_allclose(rows["p_stay"].iloc[1:], stay, atol=1e-5)
        assert rows["p_stay"].isna().tolist() == [True] + [False] * (len(rows) - 1)


def test_table_nll_equals_the_models_loss(scored):
    careers, processor, model, table = scored
    encoded, _ = processor.encode(careers)
    with torch.no_grad():
        batch = PaddingCollator()(encoded.to_list())
        weighted = model(**batch).loss
        del batch["weight"]
        plain = model(**batch).loss
    assert np.log(perplexity(table)) == pytest.approx(plain.item(), abs=1e-6)
    assert np.log(perplexity(table, weighted=True)) == pytest.approx(weighted.item(), abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6), st.sampled_from([None, 3])
)
def test_transitions_equal_a_plain_loop(careers, unknown):
    expected = []
    for career in careers:
        for t, occupation in enumerate(career):
            if unknown is not None and unknown in career[max(t - 1, 0) : t + 1]:
                expected.append(None)
            elif t == 0:
                expected.append("first")
            elif occupation == career[t - 1]:
                expected.append("stay")
            else:
                expected.append("return" if occupation in career[:t] else "new")
    person = np.repeat(np.arange(len(careers)), [len(career) for career in careers])
    occupation = np.concatenate(careers)
    first = np.r_[True, person[1:] != person[:-1]]
    hidden = (occupation == unknown) | (~first & np.r_[False, occupation[:-1] == unknown])
    classes = transition_classes(person, occupation, hidden)
    assert [None if pd.isna(label) else label for label in classes] == expected


def test_steps_from_and_to_the_unknown_occupation_are_flagged_and_have_no_transition(scored):
    table = scored[3]
    expected = (table["occupation"] == "unknown") | (table["previous"] == "unknown")
    assert expected.any()
    assert (table["unknown"] == expected).all()
    assert (table["transition"].isna() == expected).all()


def test_an_occupation_outside_the_vocabulary_is_scored_as_the_unknown_one():
    processor = CareerProcessor.fit(random_careers(), covariates=(), unknown_occupation="unknown")
    careers = random_careers(5, seed=1, labels=("cook", "astronaut"))
    table = transition_table(UniformModel(MarkovConfig(**processor.config_kwargs())), careers, processor)
    truth = [occupation for career in careers["occupation"] for occupation in career]
    # The careers' own labels stay.
    assert table["occupation"].tolist() == truth
    previous = [occupation for career in careers["occupation"] for occupation in [None, *career[:-1]]]
    assert table["previous"].astype(object).where(table["previous"].notna(), None).tolist() == previous
    flags = ["astronaut" in pair for pair in zip(truth, previous, strict=True)]
    assert table["unknown"].tolist() == flags and table["transition"].isna().tolist() == flags
    assert np.allclose(table["log_prob"], -np.log(len(processor.occupations) - 2))


def test_perplexities_equal_plain_numpy(scored):
    table = scored[3]
    weight, log_prob = table["weight"].to_numpy(), table["log_prob"].to_numpy()
    assert perplexity(table) == pytest.approx(np.exp(-log_prob.mean()))
    assert perplexity(table, weighted=True) == pytest.approx(np.exp(-(weight * log_prob).sum() / weight.sum()))
    for weighted in (False, True):
        by = perplexity_by(table, "transition", weighted)
        assert by["n"].sum() == len(table)
        for label in ["first", "stay", "return", "new"]:
            rows = (table["transition"] == label).to_numpy()
            expected = np.exp(-np.average(log_prob[rows], weights=weight[rows] if weighted else None))
            assert by.loc[label, "perplexity"] == pytest.approx(expected)
            assert by.loc[label, "n"] == rows.sum()
    by_race_and_education = perplexity_by(table, ["race", "education"])
    rows = (table["race"] == "a") & (table["education"] == "high")
    assert by_race_and_education.loc[("a", "high"), "nll"] == pytest.approx(-log_prob[rows].mean())


def test_stay_auc_is_the_auc_of_moving_from_the_second_step_on(scored):
    table = scored[3]
    rows = table[(table["step"] > 0) & ~table["unknown"]]
    moved = rows["occupation"].astype(str) != rows["previous"].astype(str)
    assert stay_auc(table) == pytest.approx(roc_auc_score(moved, -rows["p_stay"]))
    weighted = roc_auc_score(moved, -rows["p_stay"], sample_weight=rows["weight"])
    assert stay_auc(table, weighted=True) == pytest.approx(weighted)
    with pytest.raises(ValueError, match="needs stays and moves: 0 of"):
        stay_auc(table[table["transition"] == "stay"])


def synthetic_table(people, steps, seed, between=0.3, within=0.5):
    """A table of log-probabilities with a person effect: person means are what varies from sample to sample."""
    rng = np.random.default_rng(seed)
    log_prob = -2 + between * rng.normal(size=(people, 1)) + within * rng.normal(size=(people, steps))
    person, step = np.divmod(np.arange(people * steps), steps)
    table = pd.DataFrame({"person": pd.Categorical(person.astype(str)), "step": step, "log_prob": log_prob.ravel()})
    return table.assign(occupation="cook", weight=np.nan, unknown=False, transition="stay", p_stay=0.5)


def test_standard_error_is_the_analytic_one_for_a_mean_of_person_means():
    table = synthetic_table(people=400, steps=5, seed=0)
    level = bootstrap_perplexity(table, draws=4000).iloc[0]
    by_person = table.groupby("person", observed=True)["log_prob"].mean()
    analytic = level["perplexity"] * by_person.std() / np.sqrt(len(by_person))
    ignoring_people = level["perplexity"] * table["log_prob"].std() / np.sqrt(len(table))
    assert level["standard_error"] == pytest.approx(analytic, rel=0.05)
    assert level["standard_error"] > 1.15 * ignoring_people
    assert level["people"] == 400 and level["n"] == 2000


def test_intervals_cover_the_truth_about_95_times_in_100():
    covered = []
    for seed in range(200):
        level = bootstrap_perplexity(synthetic_table(people=80, steps=4, seed=seed), draws=300, seed=seed).iloc[0]
        covered.append(level["low"] <= np.exp(2) <= level["high"])
    assert 0.89 <= np.mean(covered) <= 0.99


def one_by_one(table, draws, seed):
    """Quantiles of perplexity over resamples of people, drawn one resample at a time."""
    rng = np.random.default_rng(seed)
    weight = table["weight"].fillna(1)
    sums = (
        table.assign(weight=weight, total=weight * table["log_prob"])
        .groupby("person", observed=True)[["total", "weight"]]
        .sum()
        .to_numpy()
    )
    drawn = [sums[rng.choice(len(sums), len(sums))].sum(axis=0) for _ in range(draws)]
    # Student's t is wider than the normal distribution by these levels.
    levels = norm.cdf(student.ppf([0.025, 0.975], len(sums) - 1) * np.sqrt(len(sums) / (len(sums) - 1)))
    return np.quantile([np.exp(-total / weight) for total, weight in drawn], levels)


def test_intervals_are_those_of_resamples_drawn_one_by_one():
    table = synthetic_table(people=60, steps=4, seed=5)
    rng = np.random.default_rng(0)
    table["weight"] = np.repeat(rng.uniform(0.2, 3, 60), 4)
    level = bootstrap_perplexity(table, draws=8000, weighted=True, seed=1).iloc[0]
    spread = level["high"] - level["low"]
    expected = one_by_one(table, 8000, seed=2)
    np.testing.assert_allclose(level[["low", "high"]].tolist(), expected, atol=0.03 * spread)


def test_bootstrap_by_group_has_each_groups_estimate_and_size(scored):
    table = scored[3]
    by = bootstrap_perplexity(table, draws=2000, weighted=True, by="race")
    for label in ("a", "b"):
        rows = table[table["race"] == label]
        assert by.loc[label, "perplexity"] == pytest.approx(perplexity(rows, weighted=True))
        assert by.loc[label, ["n", "people"]].tolist() == [len(rows), rows["person"].nunique()]
        # Resamples are of everybody, so that a group's size varies too, which makes little difference to its mean.
        low, high = one_by_one(rows, 2000, seed=1)
        assert by.loc[label, ["low", "high"]].tolist() == pytest.approx([low, high], abs=0.15 * (high - low))


def test_paired_differences_remove_what_models_share():
    base = synthetic_table(people=300, steps=4, seed=0, between=1.0)
    rng = np.random.default_rng(1)
    better = base.assign(log_prob=base["log_prob"] + 0.1 + 0.05 * rng.normal(size=len(base)))
    result = perplexity_differences({"chain": base, "career": better}, baseline="chain")
    row = result.loc["career"]
    gain = (better["log_prob"] - base["log_prob"]).groupby(base["person"], observed=True).mean()
    assert row["difference"] == pytest.approx(-gain.mean())
    assert row["standard_error"] == pytest.approx(gain.std() / np.sqrt(300), rel=0.1)
    # A mean of 300 independent people is normal, and its quantiles are known.
    ends = row["difference"] + norm.ppf([0.025, 0.975]) * gain.std() / np.sqrt(300)
    assert row[["low", "high"]].tolist() == pytest.approx(ends.tolist(), abs=0.1 * (ends[1] - ends[0]))
    assert row["ratio"] == pytest.approx(row["perplexity"] / result.loc["chain", "perplexity"])
    assert result.loc["chain", ["difference", "standard_error", "low", "high"]].tolist() == [0, 0, 0, 0]


def test_seeds_are_averaged_and_their_spread_stands_apart():
    base = synthetic_table(people=50, steps=3, seed=0)
    seeds = [base.assign(log_prob=base["log_prob"] + shift) for shift in (0.1, 0.2, 0.6)]
    row = perplexity_differences({"chain": base, "career": seeds}, baseline="chain").loc["career"]
    assert row["difference"] == pytest.approx(-0.3)
    assert row["seeds"] == 3
    assert row["seed_sd"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert row["standard_error"] == pytest.approx(0, abs=1e-9)


def test_tables_of_other_rows_are_not_compared():
    table = synthetic_table(people=4, steps=2, seed=0)
    with pytest.raises(ValueError, match="'a' and 'b' have 8 and 7 rows"):
        perplexity_differences({"a": table, "b": table.iloc[1:]}, baseline="a")
    other = table.assign(occupation=["cook"] * 5 + ["waiter"] + ["cook"] * 2)
    with pytest.raises(ValueError, match="differ in row 5, person '2', column 'occupation': 'cook' and 'waiter'"):
        perplexity_differences({"a": table, "b": [table, other]}, baseline="a")
    with pytest.raises(ValueError, match="baseline 'c' is not among the tables"):
        perplexity_differences({"a": table}, baseline="c")


def test_summary_gathers_the_metrics(scored):
    table = scored[3]
    other = table.assign(log_prob=table["log_prob"] - 0.2)
    result = summarize({"career": [table, other], "other": other}, draws=50)
    by = perplexity_by(table.assign(log_prob=table["log_prob"] - 0.1), "transition")["perplexity"]
    row = result.loc["career"]
    assert row["perplexity"] == pytest.approx(perplexity(table) * np.exp(0.1))
    mean = table.assign(log_prob=table["log_prob"] - 0.1)
    assert row[["low", "high"]].tolist() == pytest.approx(
        bootstrap_perplexity(mean, draws=50).iloc[0][["low", "high"]].tolist()
    )
    for label in ["first", "stay", "return", "new"]:
        assert row[label] == pytest.approx(by[label])
    assert row["stay_auc"] == pytest.approx(stay_auc(table))
    assert row["seed_sd"] == pytest.approx(np.std([perplexity(table), perplexity(other)], ddof=1))
    assert np.isnan(result.loc["other", "seed_sd"])
    assert result[["n", "people", "seeds"]].to_numpy().tolist() == [[len(table), 30, 2], [len(table), 30, 1]]


@pytest.mark.parametrize("split", ["test", None])
def test_the_table_survives_parquet(scored, tmp_path, split):
    careers, processor, model, _ = scored
    table = transition_table(model, careers, processor, split=split)
    table.to_parquet(tmp_path / "table.parquet")
    # Parquet does not record the type of categories that are not there.
    read = pd.read_parquet(tmp_path / "table.parquet").astype({"split": table["split"].dtype})
    pd.testing.assert_frame_equal(read, table, check_categorical=split is not None)


def test_weights_that_are_not_there_are_an_error():
    careers = random_careers(4)
    processor = CareerProcessor.fit(careers, covariates=())
    table = transition_table(UniformModel(MarkovConfig(**processor.config_kwargs())), careers, processor)
    with pytest.raises(ValueError, match="column 'weight' has nulls"):
        perplexity(table, weighted=True)


def test_a_processor_of_another_model_is_an_error():
    careers = random_careers(4)
    processor = CareerProcessor.fit(careers, covariates=())
    other = CareerProcessor.fit(careers, covariates=("education",))
    with pytest.raises(ValueError, match="covariate_names"):
        transition_table(UniformModel(MarkovConfig(**processor.config_kwargs())), careers, other)


def test_a_covariate_named_like_a_column_of_the_table_is_an_error():
    careers = random_careers(4).rename_column("education", "transition")
    processor = CareerProcessor.fit(careers, covariates=())
    with pytest.raises(ValueError, match=r"columns \['transition'\]"):
        transition_table(UniformModel(MarkovConfig(**processor.config_kwargs())), careers, processor)


@pytest.mark.parametrize("weight", [False, True])
def test_trainer_and_table_report_the_same_likelihood(tmp_path, weight):
    """Trainer's evaluation and the transition table go different ways to one number."""
    careers = random_careers(60, weight=weight)
    processor = CareerProcessor.fit(careers, covariates=("year", "education"))
    model, (encoded, _) = career_model(processor), processor.encode(careers)
    recipe = scratch_recipe(processor, tmp_path, use_cpu=True, disable_tqdm=True, gradient_accumulation_steps=1)
    metrics = build_trainer(model, processor, recipe, encoded, encoded).evaluate()
    table = transition_table(model, careers, processor)
    assert metrics["eval_nll"] == pytest.approx(np.log(perplexity(table)), abs=1e-6)
    if weight:
        assert metrics["eval_weighted_nll"] == pytest.approx(np.log(perplexity(table, weighted=True)), abs=1e-6)
