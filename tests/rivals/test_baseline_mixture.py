"""The mixture of Markov chains against plain numpy: EM, Bayes' rule, smoothing, and a mixture that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from career_hf.careers import from_frame
from career_hf.encoding.collating import PackingCollator, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.rivals.markov import MarkovForOccupationPrediction, tune_weight
from career_hf.rivals.mixture import (
    MixtureOfMarkovChainsConfig,
    MixtureOfMarkovChainsForOccupationPrediction,
    run_em,
    tune_mixture,
)


OCCUPATIONS = ["cook", "waiter", "driver", "teacher"]
PROCESSOR = CareerProcessor(occupations=["<pad>", "<start>", *OCCUPATIONS])
SIZE, START, SPECIAL = 6, 1, [0, 1]
CAREERS = st.lists(st.lists(st.integers(2, 5), min_size=1, max_size=7), min_size=1, max_size=8)

fit = MixtureOfMarkovChainsForOccupationPrediction.fit


def encode(careers: list[list[int]], weight: list[float] | None = None) -> Dataset:
    rows = [{"input_ids": [START, *career[:-1]], "labels": career} for career in careers]
    encoded = Dataset.from_list(rows)
    return encoded if weight is None else encoded.add_column("weight", weight)


def batch_of(careers):
    return PaddingCollator()(encode(careers).to_list())


def transitions_of(career):
    return list(zip([START, *career[:-1]], career, strict=True))


def random_careers(people, seed=0, longest=9):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, SIZE, rng.integers(1, longest + 1)).tolist() for _ in range(people)]


def drawn_model(chains=3, seed=0):
    """Chains and shares drawn by lot, as a model."""
    rng = np.random.default_rng(seed)
    model = MixtureOfMarkovChainsForOccupationPrediction(
        MixtureOfMarkovChainsConfig(**PROCESSOR.config_kwargs(), num_chains=chains)
    )
    transitions = np.zeros((chains, SIZE, SIZE))
    transitions[..., 2:] = rng.dirichlet(np.full(SIZE - 2, 0.5), (chains, SIZE))
    model.transitions[:] = torch.from_numpy(transitions)
    model.chain_shares[:] = torch.from_numpy(rng.dirichlet(np.ones(chains)))
    return model.eval()


def bayes(model, history):
    """Posterior over chains after a history that starts with the beginning-of-career id, by Bayes' rule."""
    joint = model.chain_shares.double().numpy().copy()
    for k, chain in enumerate(model.transitions.double().numpy()):
        for i, j in zip(history, history[1:], strict=False):
            joint[k] *= chain[i, j]
    return joint / joint.sum()


@settings(deadline=None, max_examples=12)
@given(careers=CAREERS, seed=st.integers(0, 1000))
def test_the_posterior_is_bayes_rule_and_predictions_average_over_it(careers, seed):
    model = drawn_model(seed=seed)
    batch = batch_of(careers)
    posteriors, logits = model.chain_posteriors(batch["input_ids"]), model(**batch).logits
    chains = model.transitions.double().numpy()
    for row, career in enumerate(careers):
        history = [START, *career]
        for t in range(len(career)):
            expected = bayes(model, history[: t + 1])
            np.testing.assert_allclose(posteriors[row, t], expected, atol=1e-9)
            np.testing.assert_allclose(logits[row, t].exp(), expected @ chains[:, history[t]], atol=1e-6)


def test_predictions_multiply_to_the_mixtures_likelihood_of_a_career():
    model, careers = drawn_model(), random_careers(10)
    logits = model(**batch_of(careers)).logits
    for row, career in enumerate(careers):
        product = sum(logits[row, t, y].item() for t, y in enumerate(career))
        steps = tuple(np.array(transitions_of(career)).T)
        likelihood = sum(
            share * chain[steps].prod()
            for share, chain in zip(model.chain_shares.numpy(), model.transitions.double().numpy(), strict=True)
        )
        assert product == pytest.approx(np.log(likelihood), rel=1e-5)


@settings(deadline=None, max_examples=15)
@given(train=CAREERS, test=CAREERS, chains=st.integers(1, 3), strength=st.floats(0.01, 100))
def test_probabilities_sum_to_one_over_occupations_and_special_ids_get_none(train, test, chains, strength):
    logits = fit(encode(train), PROCESSOR, num_chains=chains, strength=strength)(**batch_of(test)).logits
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.logsumexp(-1), torch.zeros(logits.shape[:2]), atol=1e-5)
    assert (logits[..., SPECIAL] == IMPOSSIBLE).all()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), step=st.integers(0, 10))
def test_no_step_knows_what_comes_after_it_and_later_steps_remember(seed, step):
    rng, model = np.random.default_rng(seed), drawn_model()
    one = torch.from_numpy(np.c_[np.ones(3, dtype=int), rng.integers(2, SIZE, (3, 11))])
    other = one.clone()
    other[:, step + 1] = 2 + (one[:, step + 1] - 1) % 4  # another occupation
    before, after = model(one).logits, model(other).logits
    assert torch.equal(before[:, : step + 1], after[:, : step + 1])
    # The changed occupation matters as long as the chains are still in doubt, and first of all as the last one.
    assert not torch.allclose(before[:, step + 1], after[:, step + 1], atol=1e-6)


def test_a_job_before_the_last_one_matters():
    model = drawn_model()
    logits = model(torch.tensor([[1, 2, 3], [1, 4, 3]])).logits
    assert not torch.allclose(logits[0, 2], logits[1, 2], atol=1e-3)


def test_padding_and_company_do_not_matter():
    model, careers = drawn_model(), random_careers(8)
    together = model(**batch_of(careers)).logits
    for row, career in enumerate(careers):
        alone = model(**batch_of([career])).logits[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-6, rtol=1e-6)


def test_save_and_load_change_no_bit_in_bfloat16_either(tmp_path):
    model = fit(encode(random_careers(20)), PROCESSOR, num_chains=3, strength=2.5, first_order_weight=0.9)
    model.save_pretrained(tmp_path)
    batch = batch_of(random_careers(5, seed=1))
    for dtype in (torch.float32, torch.bfloat16):
        loaded = MixtureOfMarkovChainsForOccupationPrediction.from_pretrained(tmp_path, dtype=dtype)
        PROCESSOR.check(loaded.config)
        assert torch.equal(loaded.transitions, model.transitions)
        assert torch.equal(loaded.chain_shares, model.chain_shares)
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    saved = MixtureOfMarkovChainsForOccupationPrediction.from_pretrained(tmp_path).config.to_dict()
    assert saved == model.config.to_dict() | {"_name_or_path": str(tmp_path)}


def test_loss_is_the_weighted_mean_negative_log_probability_of_scored_steps():
    model, careers, weight = drawn_model(), [[2, 3, 4], [4], [5, 5]], [0.5, 2.0, 1.25]
    batch = batch_of(careers)
    logits = model(**batch).logits
    nll = [-logits[i, t, y].item() for i, career in enumerate(careers) for t, y in enumerate(career)]
    assert model(**batch).loss.item() == pytest.approx(np.mean(nll), rel=1e-5)
    weighted = model(**batch, weight=torch.tensor(weight)).loss.item()
    assert weighted == pytest.approx(np.average(nll, weights=np.repeat(weight, [3, 1, 2])), rel=1e-5)
    assert model(**batch, num_items_in_batch=8).loss.item() == pytest.approx(np.sum(nll) / 8, rel=1e-5)


def pooled_chain(careers, weight, w1):
    """The smoothed chain of all careers, (previous, next); a context that nobody was in has the occupation shares."""
    counts, shares = np.zeros((SIZE, SIZE)), shares_of(careers, weight)
    for career, amount in zip(careers, weight, strict=True):
        for i, j in transitions_of(career):
            counts[i, j] += amount
    totals = counts.sum(1, keepdims=True)
    return np.where(totals > 0, w1 * counts / np.where(totals > 0, totals, 1) + (1 - w1) * shares, shares)


def shares_of(careers, weight):
    """Occupation shares of all careers, every occupation counted once more."""
    shares = np.zeros(SIZE)
    shares[2:] = 1.0
    for career, amount in zip(careers, weight, strict=True):
        np.add.at(shares, career, amount)
    return shares / shares.sum()


@settings(deadline=None, max_examples=12)
@given(careers=CAREERS, w1=st.floats(0.0, 1.0), weighted=st.booleans(), chains=st.integers(1, 3))
def test_strong_priors_make_every_chain_the_first_order_chain_smoothed_twice(careers, w1, weighted, chains):
    weight = np.random.default_rng(len(careers)).gamma(2.0, size=len(careers)).tolist() if weighted else None
    encoded, settings_ = encode(careers, weight), {"first_order_weight": w1, "weighted": weighted}
    model = fit(encoded, PROCESSOR, num_chains=chains, strength=1e9, **settings_)
    settings_["first_order_weight"] = w1**2
    expected = MarkovForOccupationPrediction.fit(encoded, PROCESSOR, **settings_)
    batch = batch_of(careers)
    scored = batch["labels"] != -100
    torch.testing.assert_close(model(**batch).logits[scored], expected(**batch).logits[scored], atol=1e-4, rtol=1e-4)


@settings(deadline=None, max_examples=12)
@given(careers=CAREERS, strength=st.floats(0.1, 100), weighted=st.booleans())
def test_a_single_chain_without_occupation_shares_is_the_first_order_chain(careers, strength, weighted):
    weight = np.random.default_rng(len(careers)).gamma(2.0, size=len(careers)).tolist() if weighted else None
    encoded, settings_ = encode(careers, weight), {"first_order_weight": 1.0, "weighted": weighted}
    model = fit(encoded, PROCESSOR, num_chains=1, strength=strength, **settings_)
    expected = MarkovForOccupationPrediction.fit(encoded, PROCESSOR, **settings_)
    every = torch.arange(SIZE).unsqueeze(0)
    np.testing.assert_allclose(model.transitions[0], expected(every).logits[0].exp(), atol=1e-6)
    assert model.chain_shares.tolist() == [1.0]


def plain_em(careers, weight, pooled, shares, config, posterior, iterations):
    """EM written out in loops over people and steps: log posterior density (up to a constant), pi and A."""
    chains, strength, w1 = config.num_chains, config.strength, config.first_order_weight
    pairs = sorted({pair for career in careers for pair in transitions_of(career)})
    density = []
    rows, chain_shares = np.stack([pooled] * chains), np.stack([shares] * chains)
    for _ in range(iterations):
        by_chain, by_shares = np.zeros((chains, SIZE, SIZE)), np.zeros((chains, SIZE))
        for n, career in enumerate(careers):
            for i, j in transitions_of(career):
                mixed = w1 * rows[:, i, j] + (1 - w1) * chain_shares[:, j]
                by_chain[:, i, j] += weight[n] * posterior[n] * w1 * rows[:, i, j] / mixed
                by_shares[:, j] += weight[n] * posterior[n] * (1 - w1) * chain_shares[:, j] / mixed
        rows = (by_chain + strength * pooled) / (by_chain + strength * pooled).sum(-1, keepdims=True)
        chain_shares = (by_shares + strength * shares) / (by_shares + strength * shares).sum(-1, keepdims=True)
        pi = (weight @ posterior + 1) / (weight.sum() + chains)
        transitions = w1 * rows + (1 - w1) * chain_shares[:, None]
        joint = np.tile(pi, (len(careers), 1))
        for n, career in enumerate(careers):
            for i, j in transitions_of(career):
                joint[n] *= transitions[:, i, j]
        log_prior = np.log(pi).sum() + strength * (shares[2:] * np.log(chain_shares[:, 2:])).sum()
        for i in {i for i, _ in pairs}:
            for j in range(2, SIZE):
                log_prior += strength * pooled[i, j] * np.log(rows[:, i, j]).sum()
                # A pair that nobody made has B = prior / total; run_em leaves out its constant, prior * log(prior).
                if (i, j) not in pairs:
                    log_prior -= chains * strength * pooled[i, j] * np.log(strength * pooled[i, j])
        density.append(weight @ np.log(joint.sum(1)) + log_prior)
        posterior = joint / joint.sum(1, keepdims=True)
    return density, pi, transitions


def counts_of(careers):
    dense = np.zeros((len(careers), SIZE, SIZE))
    for n, career in enumerate(careers):
        for i, j in transitions_of(career):
            dense[n, i, j] += 1
    return csr_array(dense.reshape(len(careers), -1))


def mixture_config(chains, strength, w1):
    return MixtureOfMarkovChainsConfig(vocab_size=SIZE, num_chains=chains, strength=strength, first_order_weight=w1)


@pytest.mark.parametrize("chains", [1, 2, 4])
@pytest.mark.parametrize("w1", [0.0, 0.6, 1.0])
def test_em_equals_em_written_out(chains, w1):
    careers, rng = random_careers(12), np.random.default_rng(3)
    weight, config = rng.gamma(2.0, size=12), mixture_config(chains, 0.7, w1)
    prior = pooled_chain(careers, np.ones(12), 0.9), shares_of(careers, np.ones(12))
    run = run_em(counts_of(careers), weight, *prior, config, np.random.default_rng(5), 6, -np.inf)
    start = np.eye(chains)[np.random.default_rng(5).integers(chains, size=12)]
    density, shares, transitions = plain_em(careers, weight, *prior, config, start, 6)
    np.testing.assert_allclose(run.log_density, density, rtol=1e-10)
    np.testing.assert_allclose(run.chain_shares, shares, rtol=1e-8)
    np.testing.assert_allclose(run.transitions, transitions, rtol=1e-8, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(
    careers=CAREERS,
    chains=st.integers(1, 4),
    strength=st.floats(0.01, 50),
    w1=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_the_posterior_density_never_falls(careers, chains, strength, w1, seed):
    weight, config = np.random.default_rng(seed).gamma(2.0, size=len(careers)), mixture_config(chains, strength, w1)
    prior = pooled_chain(careers, weight, 0.9), shares_of(careers, weight)
    run = run_em(counts_of(careers), weight, *prior, config, np.random.default_rng(seed), 30, -np.inf)
    assert len(run.log_density) == 30
    assert (np.diff(run.log_density) > -1e-9 * (1 + np.abs(run.log_density[:-1]))).all()


def test_with_hardly_any_prior_the_likelihood_itself_never_falls():
    careers = random_careers(40)
    prior = pooled_chain(careers, np.ones(40), 0.9), shares_of(careers, np.ones(40))
    likelihood = []
    for iterations in range(1, 25):
        config = mixture_config(3, 1e-8, 0.9)
        run = run_em(counts_of(careers), np.ones(40), *prior, config, np.random.default_rng(0), iterations, -np.inf)
        joint = np.tile(run.chain_shares, (40, 1))
        for n, career in enumerate(careers):
            for i, j in transitions_of(career):
                joint[n] *= run.transitions[:, i, j]
        likelihood.append(np.log(joint.sum(1)).sum())
    # The prior of the shares of chains is what is left: it is worth three people.
    assert (np.diff(likelihood) > -1e-2).all() and likelihood[-1] > likelihood[0] + 10


def known_mixture(people, steps, seed):
    """People of two chains: 70% mostly stay, 30% mostly move on to the next occupation. Careers and chains."""
    rng = np.random.default_rng(seed)
    stayers, movers = np.full((SIZE, SIZE), 0.05), np.full((SIZE, SIZE), 0.05)
    for i in range(2, SIZE):
        stayers[i, i] = movers[i, 2 + (i - 1) % 4] = 0.85
    stayers[:, :2] = movers[:, :2] = 0
    stayers[START, 2:], movers[START, 2:] = [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]
    stayers[0] = movers[0] = stayers[START]
    chains, careers = (rng.random(people) < 0.3).astype(int), []
    for k in chains:
        history = [START]
        for _ in range(steps):
            history.append(int(rng.choice(SIZE, p=(stayers, movers)[k][history[-1]])))
        careers.append(history[1:])
    return careers, chains, np.stack([stayers, movers])


def test_two_clearly_different_chains_are_recovered():
    careers, chains, transitions = known_mixture(600, 12, seed=0)
    model = fit(encode(careers), PROCESSOR, num_chains=2, strength=1.0)
    # Chains come from the most to the least common. Standard errors: .019 of a share, under .02 of a probability.
    np.testing.assert_allclose(model.chain_shares, [0.7, 0.3], atol=0.06)
    np.testing.assert_allclose(model.transitions[:, 1:], transitions[:, 1:], atol=0.08)
    ends = torch.tensor([[START, *career] for career in careers])
    likeliest = model.chain_posteriors(ends)[:, -1].argmax(-1).numpy()
    assert (likeliest == chains).mean() > 0.98


def test_validation_careers_choose_two_chains_of_a_known_mixture_and_the_likeliest_candidate():
    train, validation = known_mixture(300, 10, seed=1)[0], known_mixture(200, 10, seed=2)[0]
    grid = {"num_chains": (1, 2), "strengths": (2.0, 500.0)}
    tuned = tune_mixture(encode(train), encode(validation), PROCESSOR, **grid)
    w1 = tune_weight(encode(train), encode(validation), PROCESSOR).config.first_order_weight
    losses = {
        (k, strength): fit(encode(train), PROCESSOR, num_chains=k, strength=strength, first_order_weight=w1)(
            **batch_of(validation)
        ).loss.item()
        for k in grid["num_chains"]
        for strength in grid["strengths"]
    }
    assert (tuned.config.num_chains, tuned.config.strength) == min(losses, key=losses.get)
    assert tuned.config.num_chains == 2
    assert tuned(**batch_of(validation)).loss.item() == min(losses.values())


def test_survey_weights_choose_among_candidates():
    train = encode(known_mixture(200, 10, seed=3)[0], [1.0] * 200)
    # Who always moves is of one chain. Who stays and moves in turn is of neither, and likes the pooled chain better.
    movers, neither = [[5, 2, 3, 4, 5, 2, 3, 4]] * 3, [[2, 2, 3, 3, 4, 4, 5, 5]] * 3
    for weight, strength in ([1.0, 1e-6], 2.0), ([1e-6, 1.0], 1e5):
        validation = encode(movers + neither, np.repeat(weight, 3).tolist())
        tuned = tune_mixture(train, validation, PROCESSOR, num_chains=(2,), strengths=(2.0, 1e5), weighted=True)
        assert tuned.config.strength == strength


def test_weights_count_people_and_not_their_scale():
    careers, weight = random_careers(10), np.arange(1.0, 11.0)
    one = fit(encode(careers, weight.tolist()), PROCESSOR, num_chains=2, weighted=True)
    scaled = fit(encode(careers, (64 * weight).tolist()), PROCESSOR, num_chains=2, weighted=True, pseudo_count=64.0)
    even = fit(encode(careers), PROCESSOR, num_chains=2)
    torch.testing.assert_close(one.transitions, scaled.transitions)
    assert not torch.allclose(one.transitions, even.transitions, atol=1e-3)


def test_the_same_seed_gives_the_same_model_and_more_restarts_nothing_worse():
    careers = random_careers(40)
    one, same = (fit(encode(careers), PROCESSOR, num_chains=3, strength=1.0, seed=4) for _ in range(2))
    assert torch.equal(one.transitions, same.transitions)
    prior = pooled_chain(careers, np.ones(40), 0.99), shares_of(careers, np.ones(40))
    rng, enough = np.random.default_rng(4), 1e-5 * sum(map(len, careers))
    config = mixture_config(3, 1.0, 0.99)
    runs = [run_em(counts_of(careers), np.ones(40), *prior, config, rng, 500, enough) for _ in range(3)]
    best = max(runs, key=lambda run: run.log_density[-1])
    order = np.argsort(-best.chain_shares)
    np.testing.assert_allclose(one.chain_shares, best.chain_shares[order], atol=1e-5)
    np.testing.assert_allclose(one.transitions, best.transitions[order], atol=1e-5)


def test_transition_table_scores_a_mixture_like_any_other_model():
    labels = [[OCCUPATIONS[i - 2] for i in career] for career in random_careers(15)]
    people = [
        {"person": f"p{n}", "year": 1990 + t, "occupation": y} for n, c in enumerate(labels) for t, y in enumerate(c)
    ]
    careers = from_frame({name: [row[name] for row in people] for name in people[0]})
    processor = CareerProcessor.fit(careers, covariates=())
    encoded, _ = processor.encode(careers)
    model = fit(encoded, processor, num_chains=2, strength=1.0)
    table = transition_table(model, careers, processor)
    loss = model(**PaddingCollator()(encoded.to_list())).loss.item()
    assert len(table) == len(people)
    assert -table["log_prob"].mean() == pytest.approx(loss, rel=1e-5)
    assert table["p_stay"].isna().equals(table["step"] == 0)


def test_an_em_that_is_cut_short_says_so(caplog):
    fit(encode(random_careers(30)), PROCESSOR, num_chains=3, strength=0.1, max_iterations=2, restarts=1)
    assert "EM stopped at max_iterations=2" in caplog.text


def test_a_model_that_was_not_fitted_predicts_nothing():
    model = MixtureOfMarkovChainsForOccupationPrediction(MixtureOfMarkovChainsConfig(vocab_size=SIZE, num_chains=2))
    assert model(torch.tensor([[1, 2]])).logits.isnan().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_chains": 0}, "num_chains must be at least 1, and is 0"),
        ({"strength": 0.0}, "strength must be finite and above 0, and is 0.0"),
        ({"first_order_weight": 1.5}, "first_order_weight must be at most 1, and is 1.5"),
        ({"covariate_names": ["year"], "covariate_sizes": [3]}, r"no covariates, and was given \['year'\]"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(Exception, match=message):
        MixtureOfMarkovChainsConfig(vocab_size=SIZE, **change)


def test_inputs_that_a_mixture_cannot_use_are_refused():
    model, rows = drawn_model(), encode(random_careers(6)).to_list()
    with pytest.raises(ValueError, match="no covariates"):
        model(torch.tensor([[1]]), covariates=torch.zeros(1, 1, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="keeps no cache"):
        model(torch.tensor([[1]]), past_key_values=object())
    with pytest.raises(ValueError, match="one career per row"):
        model(**PackingCollator(row_length=16)(rows))
    model(torch.tensor([[1, 2]]), position_ids=torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="no column 'weight'"):
        fit(encode([[2, 3]]), PROCESSOR, num_chains=2, weighted=True)
    with pytest.raises(ValueError, match="no careers to count"):
        fit(encode([[2, 3]]).select([]), PROCESSOR, num_chains=2)
    with pytest.raises(ValueError, match="restarts must be at least 1, and is 0"):
        fit(encode([[2, 3]]), PROCESSOR, num_chains=2, restarts=0)
