"""What the public function does with its arguments, by independent means, a few people and steps at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_examples import careers_of, cut, enumerated_forecast, model_and_processor, naive_forecast

from career_hf.careers import from_frame, truncate
from career_hf.forecasting import forecast as module
from career_hf.forecasting.forecast import check_not_trained_after, forecast, years_after
from career_hf.forecasting.shared_prefix import SHARED_PREFIX
from career_hf.forecasting.trajectories import SharedPast, WholeHistories


@pytest.fixture(scope="module")
def career():
    return model_and_processor("career")


@pytest.fixture(scope="module")
def chain():
    return model_and_processor("markov-2")


@pytest.fixture(scope="module")
def original():
    return model_and_processor("career-original")


@pytest.mark.parametrize("batch_tokens", [3, 40, 4000])
def test_arrays_are_those_of_each_person_alone_whatever_the_lengths(career, batch_tokens):
    model, processor = career
    careers = cut(careers_of(), 6)
    years = [1983, 1984, 1986]
    assert len({len(own["year"]) for own in careers}) > 1
    found = forecast(
        model, careers, processor, years=years, samples=40, exact_steps=1, trajectories=True, batch_tokens=batch_tokens
    )
    assert found.people == careers["person"] and found.years.tolist() == [years] * 6
    for arrays in (found.probability, found.standard_error, found.log_correction, found.log_error):
        assert arrays.shape == (6, 3, 4) and arrays.dtype == np.float32
    assert found.occupations == processor.occupations[2:] and found.special.shape == (6, 3)
    np.testing.assert_allclose(found.special, 0, atol=1e-12)
    assert (np.diff(found.trajectories.person) >= 0).all()
    for person, own in enumerate(careers):
        mean, drawn = naive_forecast(model, processor, own, years, samples=40)
        np.testing.assert_allclose(found.probability[person], mean[:, 2:], atol=1e-5)
        mine = found.trajectories.person == person
        paths, count = np.unique(drawn - 2, axis=0, return_counts=True)
        assert found.trajectories.occupation[mine].tolist() == paths.tolist()
        assert found.trajectories.count[mine].tolist() == count.tolist()
    assert (found.standard_error[:, 1:] > 0).any() and (found.log_error[:, 1:] > 0).any()
    assert found.histories["occupation"] == careers["occupation"]
    kinds = (found.trajectories.person, found.trajectories.count, found.trajectories.occupation, found.years)
    assert {kind.dtype for kind in kinds} == {np.dtype(np.int32)}


def test_what_special_ids_get_is_reported_apart(original):
    model, processor = original
    careers = cut(careers_of(), 3)
    exact = forecast(model, careers, processor, years=[1983, 1984], samples=10, exact_steps=2)
    for person, own in enumerate(careers):
        marginal, _, _ = enumerated_forecast(model, processor, own, [1983, 1984])
        np.testing.assert_allclose(exact.special[person], marginal[:, :2].sum(1), atol=1e-6)
        np.testing.assert_allclose(exact.probability[person], marginal[:, 2:], atol=1e-6)
    assert (exact.special > 1e-4).all()


@pytest.mark.parametrize("trajectories", [False, True])
def test_a_chain_has_its_law_at_every_step_and_paths_on_request(chain, trajectories):
    model, processor = chain
    careers = cut(careers_of(), 4)
    options = {"samples": 30, "trajectories": trajectories, "step": "interval"}
    found = forecast(model, careers, processor, years=[1984, 1985], **options)
    lengths = [1985 - own["year"][-1] for own in careers]
    assert found.attrs["exact_steps"] == max(lengths)
    assert (found.trajectories is not None) == trajectories
    for person, own in enumerate(careers):
        years = list(range(own["year"][-1] + 1, 1986))
        marginal, _, _ = enumerated_forecast(model, processor, own, years)
        np.testing.assert_allclose(found.probability[person], marginal[-2:, 2:], atol=1e-6)
        if trajectories:
            _, drawn = naive_forecast(model, processor, own, years, samples=30)
            mine = found.trajectories.person == person
            paths, count = np.unique(drawn[:, -2:] - 2, axis=0, return_counts=True)
            assert found.trajectories.occupation[mine].tolist() == paths.tolist()
            assert found.trajectories.count[mine].tolist() == count.tolist()
    assert (found.standard_error == 0).all() and (found.log_correction == 0).all() and (found.special == 0).all()
    # Other estimators and given steps are sampled.
    for asked, steps in [({"estimator": "frequency"}, 1), ({"exact_steps": 1}, 1), ({"exact_steps": 2}, 2)]:
        sampled = forecast(model, careers, processor, years=[1983, 1984, 1985], samples=30, **asked)
        assert sampled.attrs["exact_steps"] == steps and (sampled.standard_error[:, -1] > 0).any()


def test_steps_are_enumerated_where_that_costs_no_more_than_sampling(career):
    model, processor = career
    careers = cut(careers_of(), 1)
    for samples, horizon, steps in [(3, 3, 1), (4, 3, 2), (15, 3, 2), (16, 3, 3), (1000, 2, 2), (1000, 1, 1)]:
        found = forecast(model, careers, processor, horizon=horizon, samples=samples)
        assert found.attrs["exact_steps"] == steps, (samples, horizon)
    found = forecast(model, careers, processor, horizon=2, samples=16, estimator="frequency")
    assert found.attrs["exact_steps"] == 1 and found.attrs["samples"] == 16
    assert forecast(model, careers, processor, horizon=1, samples=2).attrs["exact_steps"] == 1


def test_paths_are_enumerated_up_to_a_limit(chain, monkeypatch):
    model, processor = chain
    careers = cut(careers_of(), 1)
    monkeypatch.setattr(module, "MOST_BRANCHES", 16)
    forecast(model, careers, processor, horizon=3, exact_steps=3, samples=2)
    with pytest.raises(ValueError, match=r"4 occupations have 64 paths to step 4, too many"):
        forecast(model, careers, processor, horizon=4, exact_steps=4, samples=2)
    monkeypatch.setattr(module, "MOST_BRANCHES", 1)
    for steps in (0, 1):
        forecast(model, careers, processor, horizon=1, exact_steps=steps, samples=2)


def test_defaults_are_a_thousand_trajectories_from_seed_zero_in_calls_of_a_size_for_the_device(career, monkeypatch):
    model, processor = career
    careers = cut(careers_of(), 2)
    given = forecast(
        model,
        careers,
        processor,
        horizon=2,
        samples=1000,
        seed=0,
        exact_steps=1,
        covariates="last",
        step="observation",
    )
    found = forecast(model, careers, processor, horizon=2, exact_steps=1)
    assert found.attrs == given.attrs and (found.probability == given.probability).all()
    assert found.trajectories is None and found.attrs["estimator"] == "conditional"
    assert list(found.attrs) == [
        *("samples", "seed", "estimator", "exact_steps", "step", "step_length", "gap_covariate", "years_placed_at"),
        *("covariates", "carried_forward", "advanced", "unknown_occupation"),
    ]
    assert module.BATCH_TOKENS["cpu"] < module.BATCH_TOKENS["cuda"]
    sizes = []

    def groups(lengths, steps, samples, batch_tokens, split=module._groups):
        sizes.append(batch_tokens)
        return split(lengths, steps, samples, batch_tokens)

    monkeypatch.setattr(module, "_groups", groups)
    monkeypatch.setattr(module, "BATCH_TOKENS", {"cpu": 12, "cuda": 13})
    forecast(model, careers, processor, horizon=1)
    monkeypatch.setattr(module, "BATCH_TOKENS", {"cpu": 12, "cuda": 13, model.device.type: 14})
    forecast(model, careers, processor, horizon=1)
    forecast(model, careers, processor, horizon=1, batch_tokens=15)
    assert sizes == [12, 14, 15]


def test_a_model_on_an_unlisted_device_reads_as_much_as_on_a_cpu(career, monkeypatch):
    model, processor = career
    sizes = []
    monkeypatch.setattr(module, "BATCH_TOKENS", {"cpu": 12, "cuda": 13})
    monkeypatch.setattr(type(model), "device", property(lambda self: torch.device("cpu")))
    split = module._groups
    monkeypatch.setattr(module, "_groups", lambda *arguments: sizes.append(arguments[-1]) or split(*arguments))
    forecast(model, cut(careers_of(), 1), processor, horizon=1)
    assert sizes == [12]


@pytest.mark.parametrize("batch_tokens", [1, 12, 100, 10_000])
def test_groups_are_of_people_with_equal_lengths_and_no_larger_than_a_call(batch_tokens):
    draw = np.random.default_rng(0)
    lengths, steps = draw.integers(1, 5, 200), draw.integers(1, 3, 200)
    for samples in (2, 80):
        groups = list(module._groups(lengths, steps, samples, batch_tokens))
        assert sorted(np.concatenate(groups).tolist()) == list(range(200))
        of_kind = {}
        for people in groups:
            kinds = {(lengths[i], steps[i]) for i in people}
            assert len(kinds) == 1
            of_kind.setdefault(kinds.pop(), []).append(len(people))
        for (length, _), sizes in of_kind.items():
            most = max(1, batch_tokens // max(length + 1, samples // 8))
            assert max(sizes) <= most and max(sizes) - min(sizes) <= 1
            assert len(sizes) == -(-sum(sizes) // most)


def test_a_forecast_begins_at_the_cutoff_and_knows_later_covariates_only_if_asked(career):
    model, processor = career
    with pytest.raises(ValueError, match="trained on years up to"):
        forecast(model, careers_of(8), processor, cutoff=1982, samples=5)
    late = careers_of(8, first_year=1983)
    cutoff = 1984
    options = {"samples": 5, "exact_steps": 1}
    found = forecast(model, late, processor, cutoff=cutoff, **options)
    observed = sorted({year for own in late for year in own["year"] if year > cutoff})
    assert found.years[0].tolist() == observed[:3]
    before = truncate(late, cutoff)[0]
    by_hand = forecast(model, before, processor, years=observed[:3], **options)
    assert found.people == before["person"] and (found.probability == by_hand.probability).all()
    assert found.attrs["covariates"] == by_hand.attrs["covariates"] == "last"
    assert found.histories["year"] == before["year"]
    realised = forecast(model, late, processor, cutoff=cutoff, covariates="realised", **options)
    given = forecast(model, before, processor, years=observed[:3], covariates=late, **options)
    assert (realised.probability == given.probability).all() and (realised.probability != found.probability).any()
    assert (realised.attrs["covariates"], given.attrs["covariates"]) == ("realised", "given")
    assert forecast(model, before, processor, horizon=1, covariates=None, **options).attrs["covariates"] == "last"
    horizon = forecast(model, late, processor, cutoff=cutoff, horizon=2, **options)
    assert horizon.years.tolist() == [[own["year"][-1] + 1, own["year"][-1] + 2] for own in before]
    chosen = forecast(model, late, processor, cutoff=cutoff, years=[1990], **options)
    assert (chosen.years == 1990).all()


def test_a_model_that_does_not_say_what_it_was_trained_on_is_warned_of(monkeypatch):
    model, processor = model_and_processor("markov-1")
    notes = []
    monkeypatch.setattr(module.logger, "warning_once", notes.append)
    careers = cut(careers_of(), 2)
    processor.training_stages = []
    forecast(model, careers, processor, cutoff=1982, horizon=1, samples=2)
    assert len(notes) == 1 and "does not record which years" in notes[0]


def test_years_after_a_cutoff_are_the_first_three():
    careers = from_frame({"person": list("aabbbc"), "year": [1, 5, 2, 4, 9, 7], "occupation": list("xyxyxy")})
    assert years_after(careers, 1) == [2, 4, 5] and years_after(careers, 4) == [5, 7, 9]
    assert years_after(careers, 8) == [9]
    with pytest.raises(ValueError, match="nobody is observed after 9"):
        years_after(careers, 9)


def test_a_model_that_saw_later_years_is_refused_or_its_stages_are_named(career):
    _, processor = career
    stages = processor.training_stages

    def notes(*last_years, cutoff=1984):
        processor.training_stages = [{"stage": f"stage {i}", "last_year": year} for i, year in enumerate(last_years)]
        return check_not_trained_after(processor, cutoff)

    try:
        assert notes(1980, 1984) is None and notes(1984) is None
        assert notes(1985, 1984) == "earlier stages of training saw years after 1984: 'stage 0' up to 1985"
        assert notes(1986, None, 1984, 1983).endswith("'stage 0' up to 1986")
        with pytest.raises(ValueError, match="trained on years up to 1985, so nothing after 1984"):
            notes(1980, 1985)
        assert "does not record which years" in notes()
        # The counts of the year covariate's levels say it for a stage that does not; training saw 1980 to 1984.
        processor.training_stages = [stage | {"last_year": None} for stage in stages]
        assert check_not_trained_after(processor, 1984) is None
        with pytest.raises(ValueError, match="up to 1984, so"):
            check_not_trained_after(processor, 1983)
    finally:
        processor.training_stages = stages


@pytest.mark.parametrize(("name", "reader"), [("career", SharedPast), ("nemo", WholeHistories)])
def test_a_model_is_asked_in_eval_mode_and_left_as_it_was(name, reader):
    model, _ = model_and_processor(name)
    before = model.config._attn_implementation
    for training in (True, False):
        model.train(training)
        with pytest.raises(RuntimeError, match="stop"), module._reader(model) as found:
            assert found is reader and not model.training and torch.is_inference_mode_enabled()
            if reader is SharedPast:
                assert model.config._attn_implementation == SHARED_PREFIX
            raise RuntimeError("stop")
        assert model.training == training and model.config._attn_implementation == before


def test_requests_are_checked_at_their_borders(career):
    model, processor = career
    careers = cut(careers_of(), 1)
    assert forecast(model, careers, processor, horizon=1, samples=2).attrs["samples"] == 2
    for options, message in [
        ({"samples": 1}, "at least 2"),
        ({"estimator": "mean"}, "estimator must be"),
        ({"step": "month"}, "estimator must be"),
        ({"covariates": "next"}, "covariates must be"),
        ({"covariates": "realised"}, "give cutoff="),
    ]:
        with pytest.raises(ValueError, match=message):
            forecast(model, careers, processor, horizon=1, **options)
    with pytest.raises(ValueError):
        forecast(model, careers, model_and_processor("markov-1")[1], horizon=1)


def test_options_of_covariates_are_passed_on(career):
    model, processor = career
    careers = cut(careers_of(), 2)
    with pytest.raises(ValueError, match="there is no value for"):
        forecast(model, careers, processor, horizon=1, carry_forward=False)
    strange = pd.DataFrame({"person": careers["person"], "year": [1983] * 2, "education": ["99"] * 2})
    with pytest.raises(ValueError, match="level '99'"):
        forecast(model, careers, processor, years=[1983], covariates=strange)
    found = forecast(model, careers, processor, years=[1983], covariates=strange, unknown_levels="missing")
    assert found.attrs["covariates"] == "given" and found.attrs["carried_forward"] == {}
    with pytest.raises(ValueError, match="gap_covariate"):
        forecast(model, careers, processor, horizon=1, gap_covariate="gap")
