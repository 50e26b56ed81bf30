"""Models whose returns have a stage of their own, and inputs that are computed from a career's own past."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_modeling_career import COVARIATES, VOCABULARY, flat, packed, pad, random_careers, small_model

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.encoding.job_dropout import job_dropout_mask
from career_hf.models.modeling_outputs import CACHE
from career_hf.models.modeling_wage import CareerForWagePrediction
from career_hf.models.own_history import CAREER_FEATURES, SLOT_FEATURES, own_history


YEARS = [0, *range(1980, 1990)]
BOTH = {"return_pointer": True, "career_features": True, "level_years": {"year": YEARS}}
KINDS = [BOTH, {"return_pointer": True}, {"career_features": True}, {"career_features": True, "two_stage": False}]
FEW = settings(max_examples=15, deadline=None)


def careers_of(lengths, seed=0, occupations=6):
    """Careers among few occupations, so that people return, in years that rise by one or two."""
    careers, generator = random_careers(lengths, seed), torch.Generator().manual_seed(seed)
    for career in careers:
        career["labels"] = 2 + career["labels"] % occupations
        career["input_ids"][:, 1:] = career["labels"][:, :-1]
        steps = torch.randint(1, 3, career["labels"].shape, generator=generator).cumsum(-1)
        career["covariates"][..., 0] = steps.clamp(max=len(YEARS) - 1)
    return careers


def history_of(career):
    config = small_model(**BOTH).config
    positions = torch.arange(career["input_ids"].shape[1])[None]
    return own_history(config, career["input_ids"], career["covariates"], positions)


def counted_by_hand(ids, years):
    """Some facts of the last step of one career, from loops over its occupations; ids begin with the start."""
    past, present = ids[1:], ids[-1]
    spells = [i for i, one in enumerate(past) if i == 0 or past[i - 1] != one]
    moves = [i for i in spells if i > 0]
    returns = [i for i in moves if past[i] in past[:i]]
    features = {
        "log of years in the occupation": math.log1p(years[-1] - years[1 + spells[-1]]) if past else 0,
        "log of steps in the occupation": math.log1p(len(past) - spells[-1]) if past else 0,
        "log of years since the last observation": math.log1p(years[-1] - years[-2]) if past else 0,
        "log of years since the beginning": math.log1p(years[-1] - years[0]),
        "log of the number of occupations so far": math.log1p(len(set(past))),
        "moves per step": len(moves) / len(ids),
        "log of the number of returns": math.log1p(len(returns)),
        "log of steps ever in the occupation": math.log1p(past.count(present)) if past else 0,
        "log of the number of spells in the occupation": math.log1p(sum(past[i] == present for i in spells)),
        "log of steps in the spell before": math.log1p(spells[-1] - spells[-2]) if len(spells) > 1 else 0,
    }
    slots = {}
    for one in set(past) - {present}:
        last = len(past) - 1 - past[::-1].index(one)
        first_of_spell = max(i for i in spells if i <= last)
        slots[one] = {
            "log of steps in it": math.log1p(past.count(one)),
            "log of the number of its spells": math.log1p(sum(past[i] == one for i in spells)),
            "log of steps in its last spell": math.log1p(last - first_of_spell + 1),
            "log of years since it was left": math.log1p(years[-1] - years[1 + last]),
            "log of the number of occupations since it was left": math.log1p(len(set(past[last + 1 :]) - {one})),
            "its last spell was entered from the present occupation": float(
                first_of_spell > 0 and past[first_of_spell - 1] == present
            ),
            "its last spell ended in the present occupation": float(past[last + 1] == present),
        }
    return features, slots


@given(length=st.integers(1, 14), seed=st.integers(0, 10_000), occupations=st.integers(1, 5))
@FEW
def test_facts_of_a_career_are_those_counted_by_hand(length, seed, occupations):
    (career,) = careers_of([length], seed, occupations)
    history = history_of(career)
    ids = career["input_ids"][0].tolist()
    years = [YEARS[level] for level in career["covariates"][0, :, 0].tolist()]
    for step in range(length):
        features, slots = counted_by_hand(ids[: step + 1], years[: step + 1])
        found = dict(zip(CAREER_FEATURES, history.features[0, step].tolist(), strict=True))
        assert {name: found[name] for name in features} == pytest.approx(features, abs=1e-6)
        held = history.slots[0, step]
        assert sorted(held[held != 0].tolist()) == sorted(slots)
        for place, one in enumerate(held.tolist()):
            if one:
                facts = dict(zip(SLOT_FEATURES, history.slot_features[0, step, place].tolist(), strict=True))
                assert {name: facts[name] for name in slots[one]} == pytest.approx(slots[one], abs=1e-6)


@pytest.mark.parametrize("fields", KINDS)
def test_probabilities_sum_to_one_and_the_loss_is_theirs(fields):
    careers = careers_of([9, 1, 5, 2, 7])
    model, batch = small_model(**fields, hidden_dropout=0, attention_dropout=0), pad(careers)
    output, scored = model(**batch), batch["labels"] != -100
    assert output.logits[scored].double().logsumexp(-1).abs().max() < 4e-7
    assert (output.logits[..., :2] <= -1e4).all()
    expected = -output.logits.gather(-1, batch["labels"].clamp(min=0).unsqueeze(-1))[..., 0][scored].mean()
    torch.testing.assert_close(output.loss, expected)
    for layout in (pad, packed, flat):
        if layout is flat:
            model.set_attn_implementation("sdpa_by_length")
        torch.testing.assert_close(model.train()(**layout(careers)).loss, expected)
        torch.testing.assert_close(model.eval()(**layout(careers)).loss, expected)


def test_stay_return_and_new_are_the_mass_of_their_occupations():
    (career,) = careers_of([12], seed=3)
    output = small_model(**BOTH)(**career)
    p, move, back = output.logits[0].exp(), torch.sigmoid(-output.stay_logit[0]), output.return_logit[0].sigmoid()
    ids = career["input_ids"][0]
    for step in range(1, 12):
        earlier = sorted(set(ids[1 : step + 1].tolist()) - {int(ids[step])})
        torch.testing.assert_close(p[step, earlier].sum(), move[step] * back[step], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(p[step, ids[step]], 1 - move[step], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fields", [BOTH, {"return_pointer": True}])
def test_where_everything_was_held_movers_return(fields):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "initializer_range": 0.5}
    fields = {name: value for name, value in fields.items() if name != "level_years"}
    model = CareerForOccupationPrediction(CareerConfig(vocab_size=5, **sizes, **fields)).eval()
    ids = torch.tensor([[1, 2, 3, 4, 3]])
    output = model(input_ids=ids, labels=torch.tensor([[2, 3, 4, 3, 2]]))
    assert output.logits.double().logsumexp(-1).abs().max() < 4e-7
    assert output.return_logit.tolist()[0][:2] == [-1e4, -1e4] and output.return_logit[0, 3:].tolist() == [1e4, 1e4]
    output.loss.backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), cut=st.integers(1, 8), seed=st.integers(0, 1000))
@FEW
def test_padding_packing_and_caches_change_nothing(lengths, cut, seed):
    model, careers = small_model(**BOTH), careers_of(lengths, seed)
    alone = [model(**career).logits[0] for career in careers]
    longest = max(lengths)
    left = {
        "input_ids": torch.zeros(len(lengths), longest, dtype=torch.long),
        "covariates": torch.zeros(len(lengths), longest, len(COVARIATES), dtype=torch.long),
        "attention_mask": torch.zeros(len(lengths), longest, dtype=torch.long),
    }
    for row, career in enumerate(careers):
        steps = slice(longest - lengths[row], None)
        left["input_ids"][row, steps], left["covariates"][row, steps] = career["input_ids"], career["covariates"]
        left["attention_mask"][row, steps] = 1
    everywhere = {"padded": model(**pad(careers)).logits, "left": model(**left).logits}
    row = model(**packed(careers)).logits[0]
    cut = min(cut, longest)
    before = {name: values[:, :cut] for name, values in left.items()}
    state = model(**before, use_cache=True)
    parts = [state.logits]
    if cut < longest:
        after = {name: values[:, cut:] for name, values in left.items()} | {"attention_mask": left["attention_mask"]}
        parts.append(model(**after, cache=state[CACHE]).logits)
    everywhere["cached"] = torch.cat(parts, dim=1)
    for i, (length, expected) in enumerate(zip(lengths, alone, strict=True)):
        torch.testing.assert_close(everywhere["padded"][i, :length], expected, atol=1e-4, rtol=1e-4)
        for how in ("left", "cached"):
            torch.testing.assert_close(everywhere[how][i, longest - length :], expected, atol=1e-4, rtol=1e-4)
        start = sum(lengths[:i])
        torch.testing.assert_close(row[start : start + length], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fields", KINDS[:3])
def test_caches_that_the_config_asks_for_know_earlier_steps(fields):
    (career,) = careers_of([6])
    del career["labels"]
    model = small_model(**fields, use_cache=True)
    first = model(**{name: values[:, :4] for name, values in career.items()})
    rest = {name: values[:, 4:] for name, values in career.items()}
    torch.testing.assert_close(model(**rest, cache=first[CACHE]).logits, model(**career).logits[:, 4:])
    other = small_model()(**career, use_cache=True)[CACHE]
    with pytest.raises(ValueError, match="this cache knows nothing of the occupations of earlier steps"):
        model(**rest, cache=other)


@given(length=st.integers(2, 10), step=st.integers(0, 9), seed=st.integers(0, 1000))
@FEW
def test_the_future_never_leaks_into_the_past(length, step, seed):
    step = min(step, length - 1)
    (career,) = careers_of([length], seed)
    model, changed = small_model(**BOTH), {name: values.clone() for name, values in career.items()}
    changed["input_ids"][0, step:] = 2 + (career["input_ids"][0, step:] - 1) % (VOCABULARY - 2)
    changed["covariates"][0, step:, 0] = 0
    before, after = model(**career).logits[0, :step], model(**changed).logits[0, :step]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


def test_hidden_steps_are_not_in_the_own_history():
    (career,) = careers_of([8], seed=5)
    model = small_model(**BOTH)
    kept = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1], dtype=torch.bool)
    seen = model(**career, attention_mask=job_dropout_mask(kept[None])).logits[0, -1]
    rest = {name: values[:, kept] for name, values in career.items()}
    where = torch.arange(8)[kept][None]
    expected = model(**rest, position_ids=where, attention_mask=torch.ones_like(where)).logits[0, -1]
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


def test_an_appended_occupation_has_its_own_history():
    (career,) = careers_of([7], seed=2)
    model = small_model(**BOTH)
    found = model.represent(career["input_ids"], career["covariates"], career["labels"])
    for step in range(7):
        ids = torch.cat([career["input_ids"][:, : step + 1], career["labels"][:, step : step + 1]], dim=1)
        covariates = career["covariates"][:, [*range(step + 1), step]]
        expected = model.represent(ids, covariates)[:, -1]
        torch.testing.assert_close(found[:, step], expected, atol=1e-5, rtol=1e-5)


def test_a_wage_model_keeps_the_stages_of_its_occupation_model():
    (career,) = careers_of([6])
    model = small_model(**BOTH)
    wages = CareerForWagePrediction.from_occupation_model(model, [1.0, 2.0, 3.0]).eval()
    output = wages(**career, log_wage=torch.full((1, 6), 2.0))
    torch.testing.assert_close(output.logits, model(**career).logits)
    assert output.predicted_log_wage.isfinite().all() and output.loss.isfinite()


def test_gradients_reach_every_parameter():
    model = small_model(**BOTH).train()
    model(**pad(careers_of([9, 9, 9]))).loss.backward()
    assert not [name for name, values in model.named_parameters() if values.grad is None or not values.grad.any()]


def test_the_paper_s_model_has_no_new_weight_and_old_configs_load(tmp_path):
    model = small_model()
    assert not [name for name in model.state_dict() if "feature" in name or "pointer" in name]
    old = model.config.to_dict()
    for name in ("return_pointer", "career_features", "level_years"):
        del old[name]
    assert CareerConfig.from_dict(old).to_diff_dict() == model.config.to_diff_dict()
    for fields in KINDS:
        saved = small_model(**fields)
        saved.save_pretrained(tmp_path)
        loaded = CareerForOccupationPrediction.from_pretrained(tmp_path)
        weights = loaded.state_dict()
        assert list(weights) == list(saved.state_dict())
        assert all(torch.equal(weights[name], values) for name, values in saved.state_dict().items())
        (career,) = careers_of([6])
        torch.testing.assert_close(loaded(**career).logits, saved(**career).logits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"return_pointer": True, "two_stage": False}, "needs two_stage=True"),
        ({"return_pointer": True, "first_step_stay": True}, "goes with neither"),
        ({"return_pointer": True, "special_tokens_in_softmax": True}, "goes with neither"),
        ({"level_years": {"year": [1980]}}, "1 years for the covariate 'year', which has 11 levels"),
        ({"level_years": {"age": [1980]}}, "1 years for the covariate 'age', which has 0 levels"),
    ],
)
def test_fields_that_do_not_fit_together_are_an_error(fields, message):
    with pytest.raises(ValueError, match=message):
        small_model(**fields)
