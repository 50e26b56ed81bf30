"""What must hold of CareerModel and CareerForOccupationPrediction whatever their weights."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerModel
from career_hf.models.modeling_outputs import CACHE


VOCABULARY = 23
COVARIATES = {"year": 11, "education": 5, "gender": 3}  # not in alphabetical order, on purpose


def small_model(attn_implementation="sdpa", model_class=CareerForOccupationPrediction, **kwargs):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "initializer_range": 0.5}
    config = CareerConfig(
        vocab_size=VOCABULARY,
        covariate_names=list(COVARIATES),
        covariate_sizes=list(COVARIATES.values()),
        **(sizes | kwargs),
    )
    torch.manual_seed(0)
    return model_class._from_config(config, attn_implementation=attn_implementation).eval()


def random_careers(lengths, seed=0):
    """One dictionary of (1, length) tensors per career; about half of the steps are stays."""
    generator = torch.Generator().manual_seed(seed)
    careers = []
    for length in lengths:
        labels = torch.randint(2, VOCABULARY, (1, length), generator=generator)
        for t in range(1, length):
            if torch.rand((), generator=generator) < 0.5:
                labels[0, t] = labels[0, t - 1]
        input_ids = torch.cat([torch.ones(1, 1, dtype=torch.long), labels[:, :-1]], dim=1)
        covariates = [torch.randint(size, (1, length), generator=generator) for size in COVARIATES.values()]
        careers.append({"input_ids": input_ids, "labels": labels, "covariates": torch.stack(covariates, -1)})
    return careers


def join(careers, dim=1):
    return {key: torch.cat([career[key] for career in careers], dim=dim) for key in careers[0]}


def pad(careers):
    longest = max(career["labels"].shape[1] for career in careers)
    padded = []
    for career in careers:
        short = longest - career["labels"].shape[1]
        padded.append(
            {
                "input_ids": torch.nn.functional.pad(career["input_ids"], (0, short)),
                "labels": torch.nn.functional.pad(career["labels"], (0, short), value=-100),
                "covariates": torch.nn.functional.pad(career["covariates"], (0, 0, 0, short)),
            }
        )
    return join(padded, dim=0)


def packed(careers):
    lengths = [career["labels"].shape[1] for career in careers]
    return join(careers) | {"position_ids": torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)}


def flat(careers):
    lengths = torch.tensor([career["labels"].shape[1] for career in careers], dtype=torch.int32)
    boundaries = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    return packed(careers) | {
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": int(lengths.max()),
        "max_length_k": int(lengths.max()),
    }


@pytest.mark.parametrize("two_stage", [True, False])
def test_probabilities_sum_to_one_and_special_ids_get_none(two_stage):
    model = small_model(two_stage=two_stage)
    with torch.no_grad():
        logits = model(**pad(random_careers([9, 4, 1]))).logits
    assert logits.dtype == torch.float32 and torch.isfinite(logits).all()
    torch.testing.assert_close(logits.softmax(-1), logits.exp())
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(logits.shape[:-1]))
    assert (logits[..., model.config.special_token_ids] == -1e4).all()


def test_probability_of_the_previous_occupation_is_that_of_staying():
    model, inputs = small_model(), pad(random_careers([12, 12]))
    with torch.no_grad():
        output = model(**inputs)
    stay = output.logits.gather(-1, inputs["input_ids"][..., None])[..., 0].exp()
    torch.testing.assert_close(stay[:, 1:], output.stay_logit.sigmoid()[:, 1:])
    assert (output.stay_logit[:, 0] == -1e4).all() and (stay[:, 0] == 0).all()


def test_first_step_is_a_plain_softmax_over_occupations():
    model, inputs = small_model(), pad(random_careers([3]))
    with torch.no_grad():
        output = model(**inputs)
        expected = model.lm_head(output.last_hidden_state[:, 0])[:, 2:].log_softmax(-1)
    torch.testing.assert_close(output.logits[:, 0, 2:], expected)


def test_one_stage_is_a_plain_softmax_everywhere():
    model, inputs = small_model(two_stage=False), pad(random_careers([5, 5]))
    with torch.no_grad():
        output = model(**inputs)
        expected = model.lm_head(output.last_hidden_state)[..., 2:].log_softmax(-1)
    torch.testing.assert_close(output.logits[..., 2:], expected)
    assert output.stay_logit is None


@given(length=st.integers(2, 12), step=st.integers(0, 11), seed=st.integers(0, 1000), two_stage=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_future_never_leaks_into_the_past(length, step, seed, two_stage):
    step = step % (length - 1)
    model = small_model(two_stage=two_stage)
    before, other = random_careers([length], seed)[0], random_careers([length], seed + 1)[0]
    changed = {key: torch.cat([before[key][:, : step + 1], other[key][:, step + 1 :]], dim=1) for key in before}
    with torch.no_grad():
        first, second = model(**before), model(**changed)
    for name in ("logits", "last_hidden_state"):
        assert torch.equal(first[name][:, : step + 1], second[name][:, : step + 1])


@given(step=st.integers(0, 8), covariate=st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_every_covariate_of_a_step_reaches_its_prediction(step, covariate):
    model, career = small_model(), random_careers([9])[0]
    changed = dict(career, covariates=career["covariates"].clone())
    sizes = list(COVARIATES.values())
    changed["covariates"][0, step, covariate] = (career["covariates"][0, step, covariate] + 1) % sizes[covariate]
    with torch.no_grad():
        difference = (model(**career).logits - model(**changed).logits).abs().amax(-1)[0]
    assert difference[step] > 1e-4 and (difference[:step] == 0).all()


LAYOUTS = [("sdpa", packed), ("eager", packed), ("sdpa", flat), ("sdpa_by_length", flat), ("sdpa_by_length", packed)]


@pytest.mark.parametrize(("attention", "layout"), LAYOUTS)
def test_packed_careers_equal_separate_careers(attention, layout):
    careers = random_careers([3, 3, 7, 1, 12, 12, 5])
    reference, model = small_model(), small_model(attention)
    with torch.no_grad():
        separate = torch.cat([reference(**career).logits for career in careers], dim=1)
        together = model(**layout(careers))
    torch.testing.assert_close(together.logits, separate, rtol=0, atol=5e-6)


@pytest.mark.parametrize("layout", [pad, packed, flat])
def test_layouts_give_the_same_loss_and_gradients(layout):
    careers = random_careers([3, 3, 7, 1, 12, 12, 5])
    gradients = []
    for make, attention in ((pad, "eager"), (layout, "sdpa_by_length" if layout is flat else "sdpa")):
        model = small_model(attention, hidden_dropout=0, attention_dropout=0).double().train()
        loss = model(**make(careers)).loss
        loss.backward()
        gradients.append([loss.detach(), *(p.grad for p in model.parameters())])
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_padding_changes_nothing_with_or_without_an_attention_mask():
    careers = random_careers([10, 6])
    model, batch = small_model(), pad(careers)
    with torch.no_grad():
        alone = model(**careers[1]).logits
        unmasked = model(**batch).logits[1:, :6]
        masked = model(**batch, attention_mask=(batch["labels"] != -100).long()).logits[1:, :6]
    torch.testing.assert_close(unmasked, alone, rtol=0, atol=2e-6)
    torch.testing.assert_close(masked, alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "flex_attention"])
def test_attention_implementations_agree(attention):
    batch = pad(random_careers([10, 6, 3]))
    with torch.no_grad():
        expected, logits = small_model()(**batch).logits, small_model(attention)(**batch).logits
    scored = batch["labels"] != -100
    torch.testing.assert_close(logits[scored], expected[scored], rtol=0, atol=5e-6)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "sdpa_by_length"])
def test_cached_steps_equal_the_full_pass(attention):
    model, career = small_model(attention), random_careers([11])[0]
    cache, logits = None, []
    with torch.no_grad():
        full = model(**career).logits
        for start, stop in [(0, 5), (5, 6), (6, 11)]:
            part = {key: career[key][:, start:stop] for key in ("input_ids", "covariates")}
            output = model(**part, **{CACHE: cache}, use_cache=True)
            cache = output[CACHE]
            logits.append(output.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), full, rtol=0, atol=5e-6)


def test_packed_careers_cannot_be_cached():
    with pytest.raises(ValueError, match="packed careers .* cannot be cached"):
        small_model()(**packed(random_careers([3, 4])), use_cache=True)


@pytest.mark.parametrize("two_stage", [True, False])
def test_training_loss_on_movers_only_equals_the_full_likelihood(two_stage):
    batch = pad(random_careers([10, 6, 3]))
    batch["weight"] = torch.tensor([1.0, 3.0, 0.5])
    model = small_model(two_stage=two_stage, hidden_dropout=0, attention_dropout=0)
    full = model(**batch)
    model.train()
    movers = model(**batch)
    assert full.logits is not None and movers.logits is None
    torch.testing.assert_close(movers.loss, full.loss, rtol=0, atol=1e-5)
    for parameter, by_movers, by_full in zip(
        model.parameters(),
        torch.autograd.grad(movers.loss, model.parameters()),
        torch.autograd.grad(full.loss, model.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(by_movers, by_full, rtol=1e-4, atol=1e-6, msg=str(parameter.shape))


def test_a_batch_without_moves_has_a_finite_loss():
    career = random_careers([4])[0]
    career["labels"] = career["input_ids"].clone()
    career["labels"][0, 0] = -100
    loss = small_model().train()(**career).loss
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPU")
@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.8"), reason="an older torch finds Transformers' decorators no whole graph"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [False, True])
def test_compiled_equals_eager(training):
    batch = pad(random_careers([10, 6]))
    model = small_model(hidden_dropout=0, attention_dropout=0).train(training)
    expected = model(**batch)
    compiled = torch.compile(model, fullgraph=True)(**batch)
    torch.testing.assert_close(compiled.loss, expected.loss, rtol=0, atol=1e-5)
    if not training:
        torch.testing.assert_close(compiled.logits, expected.logits, rtol=0, atol=1e-5)


def test_bfloat16_is_close_and_normalised_in_float32():
    batch = pad(random_careers([10, 6]))
    model = small_model(initializer_range=0.1)
    with torch.no_grad():
        expected = model(**batch).logits
        logits = model.to(torch.bfloat16)(**batch).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(logits.shape[:-1]))
    scored = batch["labels"] != -100
    assert (logits[scored][:, 2:] - expected[scored][:, 2:]).abs().max() < 0.1


def test_gradient_checkpointing_changes_nothing():
    batch = pad(random_careers([10, 6]))
    gradients = []
    for checkpointing in (False, True):
        model = small_model(hidden_dropout=0, attention_dropout=0).train()
        if checkpointing:
            model.gradient_checkpointing_enable()  # its name in every release up to 6
        model(**batch).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_save_and_load_is_exact_although_covariates_are_not_in_alphabetical_order(tmp_path):
    model, batch = small_model(), pad(random_careers([10, 6]))
    model.save_pretrained(tmp_path)
    for load in (CareerForOccupationPrediction, AutoModelForCausalLM):
        loaded = load.from_pretrained(tmp_path)
        assert isinstance(loaded, CareerForOccupationPrediction)
        assert loaded.config.covariate_names == list(COVARIATES)
        with torch.no_grad():
            assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    base = AutoModel.from_pretrained(tmp_path)
    assert isinstance(base, CareerModel) and isinstance(AutoConfig.from_pretrained(tmp_path), CareerConfig)
    with torch.no_grad():
        batch.pop("labels")
        assert torch.equal(base(**batch).last_hidden_state, model(**batch).last_hidden_state)


def test_attentions_and_hidden_states_are_returned_on_request():
    output = small_model("eager")(**pad(random_careers([5])), output_attentions=True, output_hidden_states=True)
    assert [tuple(a.shape) for a in output.attentions] == [(1, 2, 5, 5)] * 2
    assert len(output.hidden_states) == 3
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(1, 2, 5))


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (
            None,
            r"covariates \['year', 'education', 'gender'\], and none were given; pass covariates of shape \(1, 4, 3\)",
        ),
        (torch.zeros(1, 4, 2, dtype=torch.long), r"shape \(1, 4, 2\), expected \(1, 4, 3\)"),
        (torch.zeros(1, 4, dtype=torch.long), r"shape \(1, 4\), expected \(1, 4, 3\)"),
        (torch.zeros(1, 3, 3, dtype=torch.long), r"shape \(1, 3, 3\), expected \(1, 4, 3\)"),
    ],
)
def test_wrong_or_missing_covariates_are_an_error(covariates, message):
    with pytest.raises(ValueError, match=message):
        small_model()(torch.ones(1, 4, dtype=torch.long), covariates)


def test_covariates_for_a_model_without_any_are_an_error():
    model = CareerForOccupationPrediction(CareerConfig(vocab_size=VOCABULARY))
    with pytest.raises(ValueError, match="has no covariates"):
        model(torch.ones(1, 4, dtype=torch.long), torch.zeros(1, 4, 1, dtype=torch.long))


def test_positions_have_no_limit():
    career = random_careers([700])[0]
    with torch.no_grad():
        assert torch.isfinite(small_model()(**career).logits).all()


def test_the_paper_sized_model_has_the_paper_s_number_of_parameters():
    config = CareerConfig(
        vocab_size=336,
        covariate_names=["year", "education", "region", "race", "gender"],
        covariate_sizes=[48, 8, 5, 7, 3],
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
    )
    model = CareerForOccupationPrediction(config)
    assert sum(parameter.numel() for parameter in model.model.layers.parameters()) == 5_338_368
    assert round(model.num_parameters() / 1e6, 1) == 5.5  # 5.6 million with the original program's made-up words
