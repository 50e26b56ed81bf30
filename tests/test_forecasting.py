from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.baselines.markov import MarkovForOccupationPrediction
from career_hf.careers import from_frame
from career_hf.forecasting import forecast
from career_hf.processing_career import CareerProcessor


LABELS = ["cook", "waiter", "driver"]


def careers_of(people=40, seed=0, first_year=1980, gap=1):
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02d}", "year": first_year + gap * t, "occupation": rng.choice(LABELS, p=[0.6, 0.3, 0.1])}
        | {"age": str(20 + t), "race": "ab"[p % 2]}
        for p in range(people)
        for t in range(rng.integers(2, 6))
    ]
    return from_frame(pd.DataFrame(rows), covariates=["age"], static=["race"])


def markov(order):
    careers = careers_of()
    processor = CareerProcessor.fit(careers, covariates=())
    encoded, _ = processor.encode(careers)
    weights = {"first_order_weight": 0.7, "second_order_weight": 0.6}
    return MarkovForOccupationPrediction.fit(encoded, processor, order=order, **weights), careers, processor


class CovariateModel(PreTrainedModel):
    """p(occupation k) grows with the sum of covariate ids of the step, so forecasts show which levels were used."""

    config_class = CareerConfig

    def __init__(self, config):
        super().__init__(config)
        self.slope = nn.Parameter(torch.tensor(0.1))
        self.post_init()

    def forward(self, input_ids, covariates, **kwargs):
        logits = self.slope * covariates.sum(-1, keepdim=True) * torch.arange(self.config.vocab_size)
        logits[..., self.config.special_token_ids] = -torch.inf
        return SimpleNamespace(logits=logits.log_softmax(-1).clamp(min=-1e4))


def expected_probabilities(levels):
    logits = 0.1 * sum(levels) * np.arange(5.0)
    logits[:2] = -np.inf
    return np.exp(logits - np.logaddexp.reduce(logits))[2:]


def wide(frame, person, labels):
    rows = frame[frame["person"] == person].pivot(index="year", columns="occupation", values="probability")
    return rows[labels]


def test_one_step_ahead_is_the_models_own_probability():
    careers = careers_of(6)
    processor = CareerProcessor.fit(careers, covariates=())
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).eval()
    frame = forecast(model, careers, processor, horizon=1, samples=10)
    assert (frame["standard_error"] == 0).all()
    for career in careers:
        history = torch.tensor([[1, *processor.occupation_ids(career["occupation"])]])
        with torch.no_grad():
            expected = model(history).logits[0, -1, 2:].double().exp()
        rows = frame[frame["person"] == career["person"]]
        assert rows["occupation"].tolist() == processor.occupations[2:]
        assert (rows["year"] == career["year"][-1] + 1).all()
        np.testing.assert_allclose(rows["probability"], expected, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_a_markov_chain_ahead_is_its_matrix_power(order):
    model, careers, processor = markov(order)
    size = len(processor.occupations)
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    # The chain on pairs (before previous, previous): a first-order chain just ignores the first of the two.
    with torch.no_grad():
        following = model(pairs).logits[:, 1].double().exp().numpy().reshape(size, size, size)
    frame = forecast(model, careers.select(range(5)), processor, horizon=3, samples=2000, seed=1)
    z = []
    for career in careers.select(range(5)):
        ids = [1, *processor.occupation_ids(career["occupation"])]
        state = np.zeros((size, size))
        state[ids[-2], ids[-1]] = 1
        for k in range(3):
            state = np.einsum("hi,hij->ij", state, following)
            year = career["year"][-1] + 1 + k
            rows = frame[(frame["person"] == career["person"]) & (frame["year"] == year)]
            error = np.abs(rows["probability"].to_numpy() - state.sum(0)[2:])
            if k == 0:
                np.testing.assert_allclose(error, 0, atol=1e-6)
            else:
                z.append(error / rows["standard_error"].to_numpy())
    assert np.max(z) < 4
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 1.5


def test_probabilities_of_a_year_sum_to_one():
    model, careers, processor = markov(2)
    frame = forecast(model, careers, processor, horizon=3, samples=50)
    sums = frame.groupby(["person", "year"], observed=True)["probability"].sum()
    assert len(sums) == 3 * len(careers)
    np.testing.assert_allclose(sums, 1, atol=1e-9)


def test_a_forecast_depends_on_the_seed_and_not_on_who_else_is_forecast():
    model, careers, processor = markov(1)
    everyone = forecast(model, careers, processor, horizon=2, samples=50, seed=3)
    alone = forecast(model, careers.select([7]), processor, horizon=2, samples=50, seed=3, batch_tokens=1)
    same = everyone[everyone["person"] == careers["person"][7]]
    assert same["probability"].tolist() == alone["probability"].tolist()
    other = forecast(model, careers.select([7]), processor, horizon=2, samples=50, seed=4)
    assert other["probability"].tolist() != alone["probability"].tolist()


def test_covariates_are_carried_forward_unless_given():
    careers = careers_of(4)
    processor = CareerProcessor.fit(careers, covariates=("age", "race"), occupations=LABELS)
    model = CovariateModel(CareerConfig(**processor.config_kwargs()))
    labels = processor.occupations[2:]
    last = [career["year"][-1] for career in careers]
    given = pd.DataFrame({"person": ["p01", "p01"], "year": [last[1] + 1, last[1] + 3], "age": ["24", "20"]})
    frame = forecast(model, careers, processor, horizon=4, samples=5, covariates=given)
    for i, career in enumerate(careers):
        ages = ["24", "24", "20", "20"] if i == 1 else [career["age"][-1]] * 4
        race = processor.level_ids("race", [career["race"]])[0]
        levels = [(processor.level_ids("age", [age])[0], race) for age in ages]
        found = wide(frame, career["person"], labels)
        assert found.index.tolist() == [last[i] + k for k in (1, 2, 3, 4)]
        np.testing.assert_allclose(found, [expected_probabilities(x) for x in levels], atol=1e-6)


def test_every_year_without_training_uses_the_latest_trained_one_and_the_frame_says_so():
    careers = careers_of(40, gap=2)
    processor = CareerProcessor.fit(careers, covariates=("year",), occupations=LABELS)
    trained = careers.filter(lambda career: career["year"][-1] <= 1984)
    processor.record_training(processor.encode(trained)[0], "training")
    model = CovariateModel(CareerConfig(**processor.config_kwargs()))
    someone = trained.filter(lambda career: career["year"][-1] == 1982).select([0])
    frame = forecast(model, someone, processor, horizon=4, samples=5)
    found = wide(frame, someone["person"][0], processor.occupations[2:])
    assert found.index.tolist() == [1984, 1986, 1988, 1990]
    level = processor.level_ids("year", ["1984"])
    np.testing.assert_allclose(found, [expected_probabilities(level)] * 4, atol=1e-6)
    assert frame.attrs["years_placed_at"] == {1986: 1984, 1988: 1984, 1990: 1984}


def test_a_year_before_every_trained_one_cannot_be_placed():
    late = careers_of(20, first_year=1990)
    processor = CareerProcessor.fit(careers_of(20), covariates=("year",), occupations=LABELS).extend(late)
    processor.record_training(processor.encode(late)[0], "finetuning")
    model = CovariateModel(CareerConfig(**processor.config_kwargs()))
    with pytest.raises(ValueError, match="lies before 1990, the first year that was trained on"):
        forecast(model, careers_of(1), processor, horizon=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"person": ["p00", "nobody"], "year": [1986, 1986], "age": ["21", "21"]}, "row 1: person 'nobody' is not in"),
        ({"person": ["p00", "p00"], "year": [1986, 1986], "age": ["21", "22"]}, "person 'p00' has year 1986 twice"),
        ({"person": ["p00"], "year": [1981], "age": ["99"]}, "level '99' of covariate 'age' is not known"),
        ({"person": ["p00"], "age": ["21"]}, "column 'year' is not in the table"),
    ],
)
def test_future_covariates_that_cannot_be_used_are_errors(given, message):
    careers = careers_of(3)
    processor = CareerProcessor.fit(careers, covariates=("age",))
    model = CovariateModel(CareerConfig(**processor.config_kwargs()))
    with pytest.raises(ValueError, match=message):
        forecast(model, careers, processor, horizon=6, covariates=pd.DataFrame(given))


def test_a_horizon_of_no_steps_is_an_error():
    model, careers, processor = markov(1)
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        forecast(model, careers, processor, horizon=0)
