"""The model against its equations, written out career by career and head by head, and what tools ask of its class."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerModel
from career_hf.models import modeling_career
from career_hf.models.modeling_career import eager_attention_forward
from career_hf.models.modeling_outputs import CACHE
from career_hf.models.title_embeddings import TitleProjection


SIZES = {"year": 7, "gender": 3}
ORIGINAL = {
    "special_tokens_in_softmax": True,
    "first_step_stay": True,
    "logit_clamp": 0.7,
    "scale_occupation_embedding": True,
}


def made_model(model_class=CareerForOccupationPrediction, attention="eager", **fields):
    """A small model in float64, all of whose weights are random; two layers of three heads."""
    sizes = {"hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 3}
    fields = {"vocab_size": 9, "covariate_names": list(SIZES), "covariate_sizes": list(SIZES.values())} | fields
    config = CareerConfig(**(sizes | {"layer_norm_eps": 0.3} | fields))
    model = model_class._from_config(config, attn_implementation=attention).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.6, generator=generator)
        model.base_model.norm.bias.zero_()  # so that logits have both signs
    return model


def made_batch(rows=3, time=6, seed=0, vocabulary=9):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, vocabulary, (rows, time), generator=generator)
    labels[:, 2] = labels[:, 1]  # everybody stays once
    input_ids = torch.cat([torch.ones(rows, 1, dtype=torch.long), labels[:, :-1]], dim=1)
    levels = [torch.randint(size, (rows, time), generator=generator) for size in SIZES.values()]
    return {"input_ids": input_ids, "covariates": torch.stack(levels, -1), "labels": labels}


def normed(x, norm, eps):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return x * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x, layer):
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()
    return x @ layer.weight.detach().numpy().T + bias


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def representations(model, ids, levels, positions=None, sees=None):
    """h_t of one career, Eq. 12-17, `(time, hidden)`, and attention of each layer, `(heads, time, time)`."""
    config, time = model.config, len(ids)
    positions = np.arange(time) if positions is None else positions
    sees = np.tril(np.ones((time, time), dtype=bool)) if sees is None else sees
    h = model.embed_tokens.weight.detach().numpy()[ids]
    if config.scale_occupation_embedding:
        h = h * config.hidden_size**0.5
    for c, embed in enumerate(model.embed_covariates.values()):
        h = h + embed.weight.detach().numpy()[levels[:, c]]
    half = config.hidden_size // 2
    angles = (positions[:, None] + 2) * 10_000 ** (-np.arange(half) / (half - 1))
    h = h + np.c_[np.sin(angles), np.cos(angles)]
    attentions = []
    for layer in model.layers:
        queries, keys, values = np.split(
            linear(normed(h, layer.attention_norm, config.layer_norm_eps), layer.self_attn.qkv_proj), 3, axis=-1
        )
        size, heads, weights = config.hidden_size // config.num_attention_heads, [], []
        for a in range(config.num_attention_heads):
            q, k, v = (x[:, a * size : (a + 1) * size] for x in (queries, keys, values))
            weights.append(softmax(np.where(sees, q @ k.T / math.sqrt(size), -np.inf)))
            heads.append(weights[-1] @ v)
        attentions.append(np.stack(weights))
        h = h + linear(np.concatenate(heads, axis=-1), layer.self_attn.out_proj)
        hidden = linear(normed(h, layer.mlp_norm, config.layer_norm_eps), layer.mlp.up_proj)
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        h = h + linear(hidden, layer.mlp.down_proj)
    return normed(h, model.norm, config.layer_norm_eps), attentions


def probabilities(model, h, ids):
    """p(y_t), Eq. 1-3 and 18, `(time, vocabulary)`."""
    config = model.config
    clamp = np.inf if config.logit_clamp is None else config.logit_clamp
    excluded = [] if config.special_tokens_in_softmax else config.special_token_ids
    p = np.exp(linear(h, model.lm_head).clip(-clamp, clamp))
    p[:, excluded] = 0
    if not config.two_stage:
        return p / p.sum(-1, keepdims=True)
    for t, previous in enumerate(ids):
        stay = 1 / (1 + np.exp(-linear(h[t], model.stay_head).clip(-clamp, clamp)[0]))
        if previous in config.special_token_ids and not config.first_step_stay:
            stay = 0
        p[t, previous] = 0
        p[t] *= (1 - stay) / p[t].sum()
        p[t, previous] = stay
    return p


@pytest.mark.parametrize("fields", [{}, {"two_stage": False}, ORIGINAL, ORIGINAL | {"two_stage": False}])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_probabilities_and_losses_are_those_of_the_equations(fields, attention):
    model, batch = made_model(attention=attention, **fields), made_batch()
    batch["labels"][1, 3:] = -100
    weight = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    output = model(**batch, weight=weight, output_attentions=attention == "eager", output_hidden_states=True)
    total = divisor = 0.0
    for i in range(3):
        ids, labels = batch["input_ids"][i].numpy(), batch["labels"][i].numpy()
        h, attentions = representations(model.model, ids, batch["covariates"][i].numpy())
        p = probabilities(model, h, ids)
        np.testing.assert_allclose(output.last_hidden_state[i].detach(), h, atol=1e-6)
        np.testing.assert_allclose(output.logits[i].exp().detach(), p, atol=1e-6)
        if attention == "eager":
            for found, expected in zip(output.attentions, attentions, strict=True):
                np.testing.assert_allclose(found[i].detach(), expected, atol=1e-6)
        scored = labels != -100
        total += weight[i].item() * -np.log(p[scored, labels[scored]]).sum()
        divisor += weight[i].item() * scored.sum()
    assert output.loss.item() == pytest.approx(total / divisor, abs=1e-6)
    assert model(**batch, weight=weight, num_items_in_batch=4).loss.item() == pytest.approx(total / 4, abs=1e-6)
    assert len(output.hidden_states) == 3 and (output.stay_logit is None) == (not model.config.two_stage)
    # In training the softmax is computed for movers only.
    model.config.attention_dropout = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    training = model.train()(**batch, weight=weight)
    assert training.logits is None and training.loss.item() == pytest.approx(total / divisor, abs=1e-6)
    without_labels = model(**{name: values for name, values in batch.items() if name != "labels"})
    assert without_labels.loss is None and without_labels.logits.shape == output.logits.shape


@pytest.mark.parametrize("attention", ["eager", "sdpa", "sdpa_by_length"])
def test_positions_and_masks_say_who_sees_whom(attention):
    """With a mask, positions that jump forward leave a step out, and others that do not rise begin a career."""
    model, batch = made_model(CareerModel, attention), made_batch()
    del batch["labels"]
    ones = torch.ones_like(batch["input_ids"])
    before = np.tril(np.ones((6, 6), dtype=bool))
    cases = [
        # Positions of a row, and the career of each of its steps.
        ([0, 1, 3, 4, 7, 8], [0] * 6),
        ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]),
        ([0, 0, 1, 0, 4, 5], [0, 1, 1, 2, 2, 2]),
        ([3, 4, 2, 3, 3, 4], [0, 0, 1, 1, 2, 2]),
    ]
    for positions, careers in cases:
        careers = np.array(careers)
        sees = before & (careers[:, None] == careers)
        for rows in (1, 3):
            given = torch.tensor(positions).expand(rows, -1)
            found = model(**batch, position_ids=given, attention_mask=ones).last_hidden_state
            for i in range(3):
                ids, levels = batch["input_ids"][i].numpy(), batch["covariates"][i].numpy()
                expected, _ = representations(model, ids, levels, np.array(positions), sees)
                np.testing.assert_allclose(found[i].detach(), expected, atol=1e-6)
    # A mask of another form is taken as it is.
    mask = torch.zeros(1, 1, 6, 6, dtype=torch.float64).masked_fill(~torch.eye(6, dtype=torch.bool), -torch.inf)
    found = model(**batch, position_ids=torch.arange(6)[None], attention_mask=mask).last_hidden_state
    ids, levels = batch["input_ids"][0].numpy(), batch["covariates"][0].numpy()
    expected, _ = representations(model, ids, levels, sees=np.eye(6, dtype=bool))
    np.testing.assert_allclose(found[0].detach(), expected, atol=1e-6)


def test_flash_attention_cannot_separate_packed_careers_by_a_mask():
    model, batch = made_model(CareerModel), made_batch()
    del batch["labels"]
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="only without an attention_mask"):
        model(
            **batch,
            attention_mask=torch.ones_like(batch["input_ids"]),
            position_ids=torch.tensor([[0, 1, 0, 1, 2, 3]] * 3),
        )


@pytest.mark.parametrize("with_covariates", [True, False])
def test_a_career_with_an_occupation_appended_is_represented_as_a_longer_career(with_covariates):
    fields = {} if with_covariates else {"covariate_names": [], "covariate_sizes": []}
    model, batch = made_model(attention="sdpa", **fields), made_batch()
    ids, appended, covariates = batch["input_ids"], batch["labels"], batch["covariates"] if with_covariates else None
    levels = batch["covariates"].numpy()
    with torch.no_grad():
        plain, found = model.represent(ids, covariates), model.represent(ids, covariates, appended)
    for i in range(3):
        np.testing.assert_allclose(plain[i], representations(model.model, ids[i].numpy(), levels[i])[0], atol=1e-6)
        for t in range(6):
            longer = np.r_[ids[i, : t + 1].numpy(), appended[i, t]]
            expected, _ = representations(model.model, longer, levels[i][[*range(t + 1), t]])
            np.testing.assert_allclose(found[i, t], expected[-1], atol=1e-6)
    for attention in ("flash_attention_2", "flex_attention"):
        model.config._attn_implementation = attention
        with pytest.raises(ValueError, match="need a mask of their own"):
            model.represent(ids, covariates, appended)


def test_attention_is_dropped_in_training_alone_and_small_floats_are_normalised_in_float32():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4, generator=generator) for _ in range(3))
    module = torch.nn.Module()
    mask = torch.randn(2, 1, 5, 5, generator=generator)
    plain, weights = eager_attention_forward(module.train(), query, key, value, mask, 0.7)
    expected = (torch.einsum("bhik,bhjk->bhij", query, key) * 0.7 + mask).softmax(-1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(plain, torch.einsum("bhij,bhjk->bihk", expected, value))
    assert plain.is_contiguous()
    torch.manual_seed(0)
    _, dropped = eager_attention_forward(module, query, key, value, mask, 0.7, dropout=0.5)
    assert 0.3 < (dropped == 0).double().mean() < 0.7
    torch.testing.assert_close(dropped[dropped > 0], 2 * expected[dropped > 0])
    _, kept = eager_attention_forward(module.eval(), query, key, value, mask, 0.7, dropout=0.5)
    torch.testing.assert_close(kept, expected)
    small = [x.bfloat16() for x in (query, key, value)]
    _, weights = eager_attention_forward(module, *small, None, 0.7)
    scores = torch.matmul(small[0], small[1].transpose(2, 3)) * 0.7
    assert torch.equal(weights, scores.float().softmax(-1).bfloat16())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dropouts_change_what_training_sees_and_nothing_else(attention):
    batch = made_batch()
    for fields in ({"hidden_dropout": 0, "attention_dropout": 0.5}, {"hidden_dropout": 0.5, "attention_dropout": 0}):
        model = made_model(attention=attention, **fields)
        expected = made_model(attention=attention, hidden_dropout=0, attention_dropout=0)(**batch).loss
        assert torch.equal(model(**batch).loss, expected)
        losses = [model.train()(**batch).loss for _ in range(2)]
        assert losses[0] != losses[1] and losses[0] != expected
    model = made_model(attention=attention, hidden_dropout=0, attention_dropout=0).train()
    torch.testing.assert_close(model(**batch).loss, expected)


def test_the_stay_logit_of_small_floats_is_in_float32():
    model, batch = made_model().bfloat16(), made_batch()
    output = model(**batch)
    assert output.stay_logit.dtype == output.logits.dtype == torch.float32
    assert model.train()(**batch).loss.dtype == torch.float32


def test_predictions_that_are_no_numbers_are_refused_outside_of_training():
    model, batch = made_model(), made_batch()
    with torch.no_grad():
        model.lm_head.weight[3, 0] = torch.nan
    for given in (batch, {name: values for name, values in batch.items() if name != "labels"}):
        with pytest.raises(ValueError, match="not finite"):
            model(**given)
    assert model.train()(**given).logits.isnan().any()


def test_caches_are_made_on_request_alone():
    model, batch = made_model(), made_batch()
    assert getattr(model(**batch), CACHE) is None and getattr(model(**batch, use_cache=False), CACHE) is None
    cache = model(**batch, use_cache=True)[CACHE]
    assert cache.get_seq_length() == 6
    # What is given is used, and continued.
    more = made_batch(seed=1)
    output = model(**more, **{CACHE: cache})
    assert output[CACHE] is cache and cache.get_seq_length() == 12
    both = [torch.cat([batch[name], more[name]], dim=1) for name in ("input_ids", "covariates")]
    torch.testing.assert_close(output.logits, model(*both).logits[:, 6:])
    for name, value in (("input_ids", 9), ("covariates", 7)):
        wrong = {part: batch[part].clone() for part in ("input_ids", "covariates")}
        wrong[name][1, 3] = value
        with pytest.raises(ValueError, match=f"{name} has {value} in row 1, step 3"):
            model.model(**wrong)
    embeddings = model.get_input_embeddings()(batch["input_ids"])
    assert torch.equal(model(**batch, inputs_embeds=embeddings).logits, model(**batch).logits)
    with pytest.raises(ValueError, match="not both"):
        model.model(batch["input_ids"], batch["covariates"], inputs_embeds=torch.zeros(3, 6, 12))
    for position, message in [((0, 0), "input_ids has 9"), ((2, 5), "input_ids has 9")]:
        wrong = dict(batch, input_ids=batch["input_ids"].clone())
        wrong["input_ids"][position] = 9
        with pytest.raises(ValueError, match=message):
            model(**wrong, inputs_embeds=torch.zeros(3, 6, 12, dtype=torch.float64))


def test_weights_begin_as_the_config_says():
    config = CareerConfig(vocab_size=300, hidden_size=60, num_hidden_layers=1, initializer_range=0.3)
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(0.3, rel=0.1), name
    assert [name for name, _ in model.named_parameters() if "head" in name] == ["lm_head.weight", "stay_head.weight"]
    assert model.stay_head.weight.shape == (1, 60)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    torch.manual_seed(0)
    base = CareerModel(config)
    assert base.norm.eps == config.layer_norm_eps
    assert base.embed_tokens.weight.std().item() == pytest.approx(0.3, rel=0.1)
    assert set(base.state_dict()) == {
        name.removeprefix("model.") for name in model.state_dict() if name.startswith("model.")
    }


def test_titles_begin_by_adding_nothing():
    config = CareerConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, title_embedding_size=5)
    weights = CareerForOccupationPrediction(config).state_dict()
    titles = [name for name in weights if "title" in name]
    assert titles and all((weights[name] == 0).all() for name in titles)
    # And so does what is made without values, as loading makes it.
    model = CareerForOccupationPrediction(config)
    for module in model.modules():
        if isinstance(module, TitleProjection):
            module.weight = torch.nn.Parameter(torch.ones_like(module.weight))
            model._init_weights(module)
            assert not module.weight.any()


def test_embeddings_are_resized_within_their_limits(monkeypatch):
    monkeypatch.setattr(modeling_career, "MOST_IDS", 20)
    model = made_model()
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    assert model.config.vocab_size == 9
    assert model.resize_token_embeddings(pad_to_multiple_of=8) is model.get_input_embeddings()
    assert model.config.vocab_size == len(model.config.id2label) == 16
    assert model.resize_token_embeddings(20).num_embeddings == 20
    assert model.config.label2id["new occupation 19"] == 19
    # Two special ids and two occupations.
    assert model.resize_token_embeddings(4) is model.get_input_embeddings()
    assert model.lm_head.weight.shape[0] == len(model.config.label2id) == 4
    for count in (3, 21):
        with pytest.raises(ValueError, match=f"to {count} ids: this model needs 4 to 20"):
            model.resize_token_embeddings(count)
    late = made_model(special_token_ids=[0, 1, 6])
    late.resize_token_embeddings(7)
    with pytest.raises(ValueError, match="this model needs 7 to 20"):
        late.resize_token_embeddings(6)
    with pytest.raises(ValueError, match="need titles"):
        made_model(title_embedding_size=3).resize_token_embeddings(12)


def test_models_with_labels_that_are_no_labels_are_refused():
    config = CareerConfig(vocab_size=9)
    config.id2label = {0: "a"}
    with pytest.raises(ValueError):
        CareerForOccupationPrediction(config)


def test_tools_of_transformers_find_what_they_ask_of_the_class():
    model = made_model()
    assert model.base_model is model.model and model.main_input_name == "input_ids"
    assert {"career", "occupation-prediction"} == set(model.model_tags)
    assert set(model._no_split_modules) <= {type(module).__name__ for module in model.modules()}
    assert set(model._skip_keys_device_placement) == {"past_key_values", "cache"}
    assert set(model._can_record_outputs) == {"hidden_states", "attentions"}
    for name in ("sdpa", "flash_attn", "flex_attn", "attention_backend"):
        assert getattr(model, f"_supports_{name}"), name
    assert model.supports_gradient_checkpointing and model._can_compile_fullgraph
    assert all(module.is_causal for module in model.modules() if hasattr(module, "is_causal"))


def test_trials_of_training_are_configs_and_small_rates():
    model_class = CareerForOccupationPrediction
    default = CareerConfig(vocab_size=9)
    for fields in (*model_class.trial_fields, *model_class.finetuning_fields):
        CareerConfig(vocab_size=9, **fields)
        assert all(hasattr(default, name) for name in fields)
    assert all(0 < rate < 0.1 for rate in (*model_class.trial_rates, *model_class.finetuning_rates))
    # The paper's own come first; what is tried besides has more dropout, or fewer layers.
    assert model_class.trial_fields[0] == model_class.finetuning_fields[0] == {}
    assert model_class.spare_steps == 0 and model_class.why_not_exported is None
