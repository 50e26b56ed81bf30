"""What must hold of CareerModel and CareerForOccupationPrediction whatever their weights."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    Trainer,
    TrainingArguments,
)
from transformers.masking_utils import sdpa_mask
from transformers.testing_utils import slow

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerModel
from career_hf.models.modeling_career import eager_attention_forward
from career_hf.models.modeling_outputs import CACHE
from career_hf.rivals import NemoConfig, NemoForOccupationPrediction


in_one_graph = pytest.mark.skipif(
    shutil.which("g++") is None or Version(torch.__version__) < Version("2.8"),
    reason="torch.compile needs a C++ compiler on CPU, and a torch that finds Transformers' decorators one graph",
)

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


@in_one_graph
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


def pad_left(careers):
    """Careers padded on the left, with their attention mask."""
    longest = max(career["labels"].shape[1] for career in careers)
    rows = []
    for career in careers:
        short = longest - career["labels"].shape[1]
        rows.append(
            {
                "input_ids": torch.nn.functional.pad(career["input_ids"], (short, 0)),
                "labels": torch.nn.functional.pad(career["labels"], (short, 0), value=-100),
                "covariates": torch.nn.functional.pad(career["covariates"], (0, 0, short, 0)),
            }
        )
    batch = join(rows, dim=0)
    return batch | {"attention_mask": (batch["labels"] != -100).long()}


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(lengths=LENGTHS, seed=st.integers(0, 1000), two_stage=st.booleans())
@settings(max_examples=30, deadline=None)
def test_padding_on_the_left_equals_padding_on_the_right(lengths, seed, two_stage):
    careers = random_careers(lengths, seed)
    model, right, left = small_model(two_stage=two_stage).double(), pad(careers), pad_left(careers)
    with torch.no_grad():
        expected, moved = model(**right), model(**left)
    torch.testing.assert_close(
        moved.logits[left["labels"] != -100], expected.logits[right["labels"] != -100], rtol=0, atol=1e-9
    )
    torch.testing.assert_close(moved.loss, expected.loss, rtol=0, atol=1e-9)


@given(lengths=LENGTHS, cut=st.integers(1, 8), seed=st.integers(0, 1000), positions=st.booleans())
@settings(max_examples=30, deadline=None)
def test_cached_steps_after_padding_on_the_left_equal_the_full_pass(lengths, cut, seed, positions):
    model, batch = small_model().double(), pad_left(random_careers([*lengths, 10], seed))
    mask = batch.pop("attention_mask")
    # As `generate` of Transformers counts positions, with padding at 1.
    counted = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)
    labels, cache, logits = batch.pop("labels"), None, []
    with torch.no_grad():
        full = model(**batch, attention_mask=mask).logits
        for start, stop in [(0, cut), *((t, t + 1) for t in range(cut, 10))]:
            part = {name: values[:, start:stop] for name, values in batch.items()}
            if positions:
                part["position_ids"] = counted[:, start:stop]
            output = model(**part, attention_mask=mask[:, :stop], use_cache=True, **{CACHE: cache})
            cache = output[CACHE]
            logits.append(output.logits)
    scored = labels != -100
    torch.testing.assert_close(torch.cat(logits, dim=1)[scored], full[scored], rtol=0, atol=1e-9)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "sdpa_by_length"])
@given(lengths=LENGTHS, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_packed_careers_with_a_mask_of_ones_equal_separate_careers(attention, lengths, seed):
    careers = random_careers(lengths, seed)
    model, batch = small_model(attention).double(), packed(careers)
    with torch.no_grad():
        separate = torch.cat([model(**career).logits for career in careers], dim=1)
        for mask in (None, torch.ones_like(batch["input_ids"])):
            together = model(**batch, attention_mask=mask).logits
            torch.testing.assert_close(together, separate, rtol=0, atol=1e-9)


def test_rivals_take_padding_on_the_left():
    sizes = {"covariate_names": list(COVARIATES), "covariate_sizes": list(COVARIATES.values())}
    model = NemoForOccupationPrediction(NemoConfig(vocab_size=VOCABULARY, hidden_size=8, **sizes)).eval()
    careers = random_careers([3, 7, 1])
    right, left = pad(careers), pad_left(careers)
    with torch.no_grad():
        expected, moved = model(**right), model(**left)
    torch.testing.assert_close(moved.logits[left["labels"] != -100], expected.logits[right["labels"] != -100])
    torch.testing.assert_close(moved.loss, expected.loss)


def test_the_cache_has_both_names_of_transformers():
    model, career = small_model(), random_careers([4])[0]
    del career["labels"]
    first = {name: values[:, :3] for name, values in career.items()}
    last = {name: values[:, 3:] for name, values in career.items()}
    answers = []
    for name in ("past_key_values", "cache"):
        with torch.no_grad():
            cache = model(**first, use_cache=True)[CACHE]
            answers.append(model(**last, **{name: cache}).logits)
    assert torch.equal(*answers)
    with pytest.raises(ValueError, match="two names of one argument"):
        model(**last, past_key_values=cache, cache=cache)
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 1\), expected \(1, 5\)"):
        model(**last, cache=cache, attention_mask=torch.ones(1, 1))


def test_embeddings_of_occupations_can_be_given():
    model, batch = small_model(), pad(random_careers([5, 3]))
    embeddings = model.get_input_embeddings()(batch["input_ids"])
    base = {"covariates": batch["covariates"]}
    with torch.no_grad():
        assert torch.equal(
            model.model(inputs_embeds=embeddings, **base)[0], model.model(batch["input_ids"], **base)[0]
        )
        assert torch.equal(model(**batch, inputs_embeds=embeddings).logits, model(**batch).logits)
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model.model(**base)
    with pytest.raises(ValueError, match="give an embedding for every id"):
        model(**batch, inputs_embeds=embeddings[:, 1:])
    with pytest.raises(ValueError, match="needs input_ids, beside inputs_embeds too: they are the occupations in"):
        model(inputs_embeds=embeddings, **base)
    with pytest.raises(ValueError, match="needs input_ids, the occupations"):
        nemo()(**base)


def nemo():
    names, sizes = list(COVARIATES), list(COVARIATES.values())
    return NemoForOccupationPrediction(
        NemoConfig(vocab_size=VOCABULARY, covariate_names=names, covariate_sizes=sizes, hidden_size=4)
    ).eval()


@pytest.mark.parametrize("build", [small_model, lambda: small_model(model_class=CareerModel), nemo])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": lambda x: x.float()}, "input_ids is torch.float32, and holds ids"),
        ({"input_ids": lambda x: x.numpy()}, "input_ids is a ndarray, and must be a tensor"),
        ({"input_ids": lambda x: x.tolist()}, "input_ids is a list, and must be a tensor"),
        ({"input_ids": lambda x: x[0]}, r"input_ids has shape \(5,\), expected \(batch, time\)"),
        ({"covariates": lambda x: x / 40}, "covariates is torch.float32, and holds ids"),
        ({"covariates": lambda x: x * torch.nan}, "covariates is torch.float32"),
        ({"covariates": lambda x: x.numpy()}, "covariates is a ndarray"),
        ({name: lambda x: x[:0] for name in ("input_ids", "covariates")}, "no step, because its shape is .0, 5"),
        ({name: lambda x: x[:, :0] for name in ("input_ids", "covariates")}, "no step, because its shape is .2, 0"),
        ({"attention_mask": lambda x: [1, 1]}, "attention_mask is a list"),
        ({"position_ids": lambda x: torch.arange(4)[None]}, r"position_ids have shape \(1, 4\), expected \(2, 5\)"),
        ({"position_ids": lambda x: torch.arange(5)}, r"position_ids have shape \(5,\), expected \(2, 5\)"),
        ({"weights": lambda x: torch.ones(2)}, "has no argument 'weights', but input_ids, covariates"),
        ({"covariate": lambda x: torch.ones(2)}, "has no argument 'covariate'"),
    ],
)
def test_what_is_no_input_is_an_error(build, changes, message):
    batch = pad(random_careers([5, 3]))
    del batch["labels"]
    batch |= {name: change(batch.get(name)) for name, change in changes.items()}
    with pytest.raises(ValueError, match=message) as error:
        build()(**batch)
    assert "\n" not in str(error.value)


def test_keywords_of_transformers_and_of_somebody_s_attention_pass():
    model, batch = small_model("eager"), pad(random_careers([5, 3]))
    outputs = model(**batch, num_items_in_batch=8, output_attentions=True, output_hidden_states=True, return_dict=True)
    assert outputs.attentions is not None and outputs.hidden_states is not None

    def sharper(*args, sharpness=1.0, **kwargs):
        return eager_attention_forward(*args, **{**kwargs, "scaling": kwargs["scaling"] * sharpness})

    AttentionInterface.register("sharper", sharper)
    AttentionMaskInterface.register("sharper", sdpa_mask)
    model = small_model("sharper")
    assert not torch.equal(model(**batch, sharpness=9.0).logits, model(**batch).logits)


def changed(name, place, value):
    batch = pad(random_careers([5, 3])) | {"weight": torch.ones(2)}
    batch[name] = batch[name].clone()
    batch[name][place] = value
    return batch


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (changed("labels", (0, 2), 0), "labels has 0 in row 0, step 2, which is a special id"),
        (changed("labels", (1, 1), 23), "labels has 23 in row 1, step 1, which is outside the vocabulary of 23"),
        (changed("labels", (1, 1), -1), "labels has -1 in row 1, step 1"),
        (changed("input_ids", (1, 1), 23), "input_ids has 23 in row 1, step 1: ids of this model go from 0 to 22"),
        (changed("covariates", (0, 1, 1), 5), "covariates has 5 in row 0, step 1 for 'education', whose levels"),
        (changed("covariates", (0, 1, 2), -1), "covariates has -1 in row 0, step 1 for 'gender'"),
        (changed("weight", 1, -1), "weight has -1.0 in row 1"),
        (changed("weight", 0, torch.nan), "weight has nan in row 0"),
        (changed("weight", 0, torch.inf), "weight has inf in row 0"),
        (changed("weight", slice(None), 0), "nothing in this batch is scored"),
        (changed("labels", slice(None), -100), "nothing in this batch is scored"),
        (changed("weight", 0, 1) | {"weight": torch.ones(1, 5)}, r"weight has shape \(1, 5\), expected \(2,\)"),
        (changed("weight", 0, 1) | {"weight": torch.ones(2, 1)}, r"weight has shape \(2, 1\), expected \(2,\)"),
        (changed("weight", 0, 1) | {"labels": torch.full((2, 1), 3)}, r"labels have shape \(2, 1\)"),
        (changed("weight", 0, 1) | {"labels": torch.full((2, 5), 3.0)}, "labels are torch.float32"),
    ],
)
def test_what_cannot_be_scored_is_an_error(batch, message, training):
    model = small_model().train(training)
    with pytest.raises(ValueError, match=message) as error:
        model(**batch)
    assert "\n" not in str(error.value)


def test_a_batch_of_no_weight_adds_nothing_to_a_larger_one():
    batch = changed("weight", slice(None), 0)
    assert small_model()(**batch, num_items_in_batch=7).loss == 0


def test_predictions_that_are_not_finite_are_an_error():
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight[5, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        model(**pad(random_careers([5])))


@pytest.mark.filterwarnings("ignore")
def test_label_smoothing_is_an_error(tmp_path):
    rows = [{name: values[0] for name, values in career.items()} for career in random_careers([4, 4])]
    arguments = TrainingArguments(tmp_path, label_smoothing_factor=0.1, max_steps=1, report_to=[], use_cpu=True)
    with pytest.raises(ValueError, match="set label_smoothing_factor=0; or as it does with a compute_loss_func"):
        Trainer(small_model(), arguments, train_dataset=rows).train()


@pytest.mark.parametrize("count", [30, 12])
def test_resized_embeddings_are_a_valid_model(count, tmp_path):
    model = small_model()
    kept = min(count, VOCABULARY)
    before = model.lm_head.weight[:kept].clone()
    model.resize_token_embeddings(count)
    assert model.config.id2label == {i: str(i) if i < VOCABULARY else f"new occupation {i}" for i in range(count)}
    model.save_pretrained(tmp_path)
    loaded = CareerForOccupationPrediction.from_pretrained(tmp_path)
    assert torch.equal(loaded.lm_head.weight[:kept], before) and loaded.config.num_labels == count
    batch = pad(random_careers([5]))
    batch |= {name: batch[name].clamp(max=11) for name in ("input_ids", "labels")}
    assert loaded(**batch).logits.shape[-1] == count
    with pytest.raises(ValueError, match="resize_vocabulary"):
        model.resize_token_embeddings(3)


@slow  # its kernels are compiled for half a minute
@in_one_graph
@pytest.mark.filterwarnings("ignore")
def test_compiled_with_free_sizes_equals_eager_also_padded_and_packed():
    model = small_model()
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    for lengths in ([7, 5], [9, 4, 3]):
        careers = random_careers(lengths)
        left, together = pad_left(careers), packed(careers)
        together["attention_mask"] = torch.ones_like(together["input_ids"])
        for batch in (left, together):
            with torch.no_grad():
                expected, got = model(**batch), compiled(**batch)
            scored = batch["labels"] != -100
            torch.testing.assert_close(got.logits[scored], expected.logits[scored], rtol=0, atol=1e-5)
            torch.testing.assert_close(got.loss, expected.loss, rtol=0, atol=1e-5)
