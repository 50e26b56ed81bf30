"""The sampler step by step: against every trajectory by itself, for each reader, estimator and size of calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from forecast_examples import model_and_processor

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.forecasting.jackknife import log_correction
from career_hf.forecasting.shared_prefix import SHARED_PREFIX
from career_hf.forecasting.trajectories import Paths, SharedPast, TrajectorySampler, WholeHistories, draw, pieces


PEOPLE, TIME, STEPS, SAMPLES, VOCABULARY = 3, 4, 3, 40, 6
READERS = {WholeHistories: "sdpa", SharedPast: SHARED_PREFIX}


def made(reader, with_covariates=True, special_tokens_in_softmax=False):
    """A reader of random careers, and the model, histories and levels that it reads, in float64."""
    config = CareerConfig(
        vocab_size=VOCABULARY,
        covariate_names=["year", "gender"] if with_covariates else [],
        covariate_sizes=[9, 3] if with_covariates else [],
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        special_tokens_in_softmax=special_tokens_in_softmax,
        first_step_stay=special_tokens_in_softmax,
    )
    generator = torch.Generator().manual_seed(0)
    model = CareerForOccupationPrediction._from_config(config, attn_implementation=READERS[reader]).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7, generator=generator)
    histories = torch.randint(2, VOCABULARY, (PEOPLE, TIME), generator=generator)
    histories[:, 0] = 1
    levels = [torch.randint(size, (PEOPLE, TIME + STEPS - 1), generator=generator) for size in (9, 3)]
    return reader(model, histories, torch.stack(levels, -1) if with_covariates else None)


def random_numbers(seed=0, people=PEOPLE, samples=SAMPLES):
    return torch.from_numpy(np.random.default_rng(seed).random((people, STEPS, samples)))


def one_by_one(model, histories, levels, uniforms):
    """Each trajectory by itself: `(steps, people, trajectories, vocabulary)` probabilities, and what is drawn."""
    people, steps, samples = uniforms.shape
    paths = histories.repeat_interleave(samples, 0).numpy()
    of_all, drawn = [], np.zeros((people, samples, steps), dtype=int)
    for step in range(steps):
        covariates = None if levels is None else levels[:, : paths.shape[1]].repeat_interleave(samples, 0)
        with torch.no_grad():
            p = model(input_ids=torch.from_numpy(paths), covariates=covariates).logits[:, -1].double().exp().numpy()
        of_all.append(p.reshape(people, samples, -1))
        for i, own in enumerate(p):
            own = own * (np.arange(p.shape[1]) >= 2)
            own, u, last = own / own.sum(), uniforms[i // samples, step, i % samples].item(), paths[i, -1]
            moves = np.where(np.arange(len(own)) == last, 0, own)
            where = np.searchsorted(moves.cumsum() / moves.sum(), (u - own[last]) / (1 - own[last]), side="right")
            drawn[i // samples, i % samples, step] = last if u < own[last] else where
        paths = np.c_[paths, drawn[:, :, step].ravel()]
    return np.stack(of_all), drawn


def enumerated(model, histories, levels, steps):
    """Exact `(people, vocabulary)` probabilities at each step."""
    found = []
    for i, history in enumerate(histories):
        law = {tuple(history.tolist()): 1.0}
        for step in range(steps):
            after, p = {}, 0
            for path, share in law.items():
                covariates = None if levels is None else levels[i : i + 1, : len(path)]
                with torch.no_grad():
                    own = model(torch.tensor([path]), covariates).logits[0, -1].exp().numpy()
                p = p + share * own
                own = own[2:] / own[2:].sum()
                after |= {(*path, j + 2): share * own[j] for j in range(len(own))}
            found.append((step, i, p))
            law = after
    return {(step, i): p for step, i, p in found}


def run(reader, uniforms, wanted=(True,) * STEPS, estimator="conditional", exact=1, draw_last=True, tokens=10_000):
    with torch.inference_mode():
        return TrajectorySampler(reader, uniforms, list(wanted), estimator, exact, draw_last, tokens).run()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("with_covariates", "special", "estimator", "exact", "tokens"),
    [
        (True, False, "conditional", 0, 10_000),
        (True, True, "conditional", 1, 7),
        (False, False, "conditional", 2, 1),
        (True, False, "frequency", 0, 25),
        (False, True, "frequency", 1, 10_000),
        (True, False, "frequency", 2, 60),
    ],
)
def test_the_sampler_takes_the_steps_that_trajectories_take_alone(
    reader, with_covariates, special, estimator, exact, tokens
):
    reader = made(reader, with_covariates, special)
    model, uniforms = reader.model, random_numbers()
    # With another default device than that of the tensors, whatever is made without a device is of no use.
    with torch.device("meta"):
        found = run(reader, uniforms, estimator=estimator, exact=exact, tokens=tokens)
    plain = made(WholeHistories, with_covariates, special).model
    of_all, drawn = one_by_one(plain, reader.histories, reader.levels, uniforms)
    law = enumerated(plain, reader.histories, reader.levels, min(exact, 2))
    np.testing.assert_array_equal(found.drawn, drawn)
    group = np.arange(SAMPLES) * 10 // SAMPLES
    for step in range(STEPS):
        said = of_all[step] if estimator == "conditional" else np.eye(VOCABULARY)[drawn[..., step]]
        if step < exact:
            for i in range(PEOPLE):
                np.testing.assert_allclose(found.probability[i, step], law[step, i], atol=1e-7)
            assert all((x[:, step] == 0).all() for x in (found.standard_error, found.log_correction, found.log_error))
            continue
        mean, error = said.mean(1), np.sqrt(said.var(1, ddof=1) / SAMPLES)
        np.testing.assert_allclose(found.probability[:, step], mean, atol=1e-7)
        np.testing.assert_allclose(found.standard_error[:, step], error, atol=1e-6)
        sums = np.stack([said[:, group == g].sum(1) / SAMPLES for g in range(10)], axis=1)
        relative = np.divide(error, mean, out=np.zeros_like(mean), where=mean > 0)
        expected = log_correction(torch.from_numpy(sums), torch.from_numpy(relative), SAMPLES)
        if step > 0 or estimator == "frequency":
            np.testing.assert_allclose(found.log_correction[:, step], expected[0], atol=1e-5)
            np.testing.assert_allclose(found.log_error[:, step], expected[1], atol=1e-5)
    assert found.probability.dtype == torch.float64 and model is reader.model


@pytest.mark.parametrize("reader", READERS)
def test_only_what_is_wanted_is_kept_and_only_what_is_needed_is_drawn(reader):
    uniforms = random_numbers()
    everything = run(made(reader), uniforms)
    some = run(made(reader), uniforms, wanted=[False, True, False], draw_last=False)
    np.testing.assert_allclose(some.probability[:, 1], everything.probability[:, 1], atol=1e-12)
    assert (some.probability[:, [0, 2]] == 0).all() and (some.drawn[..., 2] == 0).all()
    assert (some.drawn[..., :2] == everything.drawn[..., :2]).all() and (everything.drawn >= 2).all()
    # Frequencies of the last step are counted, so that it is drawn anyway.
    counted = run(made(reader), uniforms, estimator="frequency", exact=0, draw_last=False)
    assert (counted.drawn == everything.drawn).all()
    two = run(made(reader), random_numbers(samples=2))
    assert (two.log_correction[:, 1:] > 0).any() and torch.isfinite(two.log_error).all()


@pytest.mark.parametrize("reader", READERS)
def test_calls_are_full_and_paths_that_agree_are_asked_once(reader):
    for exact in (1, 2):
        for tokens in (1, 30, 10_000):
            reads = made(reader)
            seen, forward = [], reads.model.forward

            def watched(input_ids, forward=forward, seen=seen, **options):
                seen.append(tuple(input_ids.shape))
                return forward(input_ids=input_ids, **options)

            reads.model.forward = watched
            found = run(reads, random_numbers(), exact=exact, draw_last=False, tokens=tokens)
            assert seen[0] == (PEOPLE, TIME)
            width = [1, 1] if reader is SharedPast else [TIME + 1, TIME + 2]
            assert [reads.tokens_per_path(step) for step in (1, 2)] == width
            paths = [len(np.unique(np.c_[np.arange(PEOPLE).repeat(SAMPLES), found.drawn[..., 0].ravel()], axis=0))]
            if exact == 2:
                paths = [PEOPLE * 4]
            limits = [max(1, tokens // w) for w in width]
            if reader is WholeHistories:
                first = [rows for rows, time in seen[1:] if time == TIME + 1]
                assert sum(first) == paths[0] and len(first) == -(-paths[0] // limits[0])
                assert max(first) - min(first) <= 1
            for rows, time in seen[1:]:
                assert rows <= limits[0 if time == width[0] else 1]


def test_a_chain_reads_no_more_than_it_remembers():
    model, processor = model_and_processor("markov-2")
    histories = torch.tensor([[1, 2, 3, 4], [1, 5, 5, 2]])
    reader = WholeHistories(model, histories, None)
    assert reader.memory == 2 and reader.tokens_per_path(1) == reader.tokens_per_path(5) == 2
    seen, forward = [], model.forward

    def watched(input_ids, **options):
        seen.append(input_ids.shape[1])
        assert input_ids.is_contiguous()
        return forward(input_ids=input_ids, **options)

    model.forward = watched
    try:
        found = run(reader, random_numbers(people=2))
    finally:
        del model.forward
    assert set(seen) == {2}
    of_all, drawn = one_by_one(model, histories, None, random_numbers(people=2))
    np.testing.assert_array_equal(found.drawn, drawn)
    np.testing.assert_allclose(found.probability[:, 2], of_all[2].mean(1), atol=1e-6)
    # A model with covariates reads everything.
    assert WholeHistories(model, histories, torch.zeros(2, 6, 1)).memory is None
    assert len(processor.occupations) == 6


def test_a_number_falls_into_staying_or_into_a_move_by_its_size():
    p = torch.tensor([[0, 0, 0.25, 0.5, 0.25], [0, 0, 0, 1, 0], [0, 0, 0.5, 0, 0.5]], dtype=torch.float64)
    rows = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    below = 1 - 2**-53
    numbers = [0, 0.49, 0.5, 0.74, below, 0, below, 0, 0.49, 0.5, below]
    uniforms, previous = torch.tensor(numbers, dtype=torch.float64), torch.tensor([3, 3, 3])
    with torch.device("meta"):
        found = draw(p, previous, rows, uniforms)
    assert found.tolist() == [3, 3, 2, 2, 4, 3, 3, 2, 2, 4, 4]
    assert draw(p, previous, rows[5:7], uniforms[5:7]).tolist() == [3, 3]


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 100])
def test_pieces_are_equal_and_have_the_trajectories_of_their_paths(limit):
    counts = torch.tensor([2, 1, 4, 1, 1, 3, 2, 1, 1, 1])
    paths = Paths(
        people=torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2]),
        previous=torch.arange(10) + 2,
        share=torch.arange(10) / 10,
        samples=torch.randperm(int(counts.sum()), generator=torch.Generator().manual_seed(0)),
        path_of_sample=torch.arange(10).repeat_interleave(counts),
    )
    with torch.device("meta"):
        found = list(pieces(paths, limit))
    sizes = [len(piece.people) for _, piece in found]
    assert len(found) == -(-10 // limit) and max(sizes) <= limit and max(sizes) - min(sizes) <= 1
    for name in ("people", "previous", "share", "samples"):
        assert torch.equal(torch.cat([getattr(piece, name) for _, piece in found]), getattr(paths, name))
    owner = dict(zip(paths.samples.tolist(), paths.path_of_sample.tolist(), strict=True))
    for places, piece in found:
        assert torch.equal(paths.people[places], piece.people)
        for sample, path in zip(piece.samples.tolist(), piece.path_of_sample.tolist(), strict=True):
            assert owner[sample] == places.start + path
