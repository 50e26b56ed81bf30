"""Every damaged checkpoint is refused in one line, or is the model that was saved: with checksums and without."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from damaged_files import damage_file
from forecast_examples import MODELS, careers_of, model_and_processor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, pipeline

import career_hf
from career_hf import CareerForOccupationPrediction, CareerProcessor, load_checkpoint
from career_hf.models.checksums import CHECKSUMS
from career_hf.models.modeling_career import CareerModel
from career_hf.wages.wage_head import CareerForWagePrediction


CAREERS = careers_of(4)
WEIGHTS = "model.safetensors"


def log_probs(model, processor):
    with torch.no_grad():
        return model(**processor(CAREERS)).logits


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint and its answer, of every kind of model."""
    folders = {}
    for name in MODELS:
        model, processor = model_and_processor(name)
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        folders[name] = folder, log_probs(model, processor)
    return folders


@pytest.fixture
def folder(saved, tmp_path):
    """A checkpoint of CAREER without checksums, as after somebody edited and deleted them."""
    copy = shutil.copytree(saved["career"][0], tmp_path / "checkpoint")
    (copy / CHECKSUMS).unlink()
    return copy


def rewrite(folder, **tensors):
    """Writes weights anew, without a checksum; None leaves one out."""
    weights = {**load_file(folder / WEIGHTS), **tensors}
    save_file({name: values for name, values in weights.items() if values is not None}, folder / WEIGHTS)


def refusal(load, *args, **kwargs):
    """The message with which something is refused, in one line."""
    with pytest.raises(ValueError) as error:
        load(*args, **kwargs)
    assert "\n" not in str(error.value) and str(error.value)
    return str(error.value)


NAN, INF = torch.full((1, 16), torch.nan), torch.full((1, 16), -torch.inf)
WRONG_WEIGHTS = {
    "missing": ({"stay_head.weight": None}, "lacks 'stay_head.weight', which its config.json calls for"),
    "left over": ({"other_head.weight": INF}, "has 'other_head.weight', for which its config.json has no place"),
    "not a number": ({"stay_head.weight": NAN}, "'stay_head.weight' .* NaN or infinite"),
    "infinite": ({"stay_head.weight": INF}, "'stay_head.weight' .* NaN or infinite"),
    "whole numbers": (
        {"stay_head.weight": torch.ones(1, 16, dtype=torch.int32)},
        "'stay_head.weight' of the type I32",
    ),
    "yes or no": ({"stay_head.weight": torch.ones(1, 16, dtype=torch.bool)}, "'stay_head.weight' of the type BOOL"),
    "another shape": ({"stay_head.weight": torch.ones(1, 8)}, r"'stay_head.weight' of shape \[1, 8\].* \[1, 16\]"),
    "another dimension": ({"stay_head.weight": torch.ones(16)}, r"'stay_head.weight' of shape \[16\].* \[1, 16\]"),
}
DOORS = {
    "load_checkpoint": load_checkpoint,
    "its class": CareerForOccupationPrediction.from_pretrained,
    "an Auto class": AutoModelForCausalLM.from_pretrained,
    "a pipeline": lambda folder: pipeline("occupation-prediction", model=str(folder), device="cpu"),
    "a verb": lambda folder: career_hf.evaluate({"model": folder}, CAREERS),
    "fine-tuning": lambda folder: career_hf.finetune(str(folder), careers_of(), source="simulated"),
}


@pytest.mark.parametrize("damage", WRONG_WEIGHTS)
@pytest.mark.parametrize("door", DOORS)
def test_wrong_weights_are_refused_by_every_door(door, damage, folder):
    tensors, message = WRONG_WEIGHTS[damage]
    rewrite(folder, **tensors)
    with pytest.raises(ValueError, match=message):
        DOORS[door](folder)


@pytest.mark.parametrize("name", MODELS)
def test_no_model_is_used_without_all_its_weights(name, saved, tmp_path):
    folder = shutil.copytree(saved[name][0], tmp_path / "checkpoint")
    torch.testing.assert_close(log_probs(*load_checkpoint(folder)), saved[name][1])
    save_file({}, folder / WEIGHTS)
    assert "lacks" in refusal(load_checkpoint, folder)


@pytest.mark.parametrize("kind", ["gpt2", "no-such-kind", "career_nemo", "career_wage"])
def test_a_config_of_another_kind_is_refused(kind, folder):
    state = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**state, "model_type": kind}))
    named = "CareerForWagePrediction" if kind == "career_wage" else f"'{kind}'"
    assert named in refusal(load_checkpoint, folder)
    if kind == "gpt2":  # which Transformers would build, with this vocabulary and new weights
        with pytest.raises(ValueError, match="of the kind 'gpt2', which is none of this package"):
            pipeline("occupation-prediction", model=str(folder), device="cpu")


def test_what_stock_users_do_still_works(folder, saved, tmp_path):
    career, answer = CareerForOccupationPrediction.from_pretrained(folder), saved["career"][1]
    processor = CareerProcessor.from_pretrained(folder)
    # A new head on a base model, which no verb scores with.
    career.model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    headed, info = CareerForOccupationPrediction.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert info["missing_keys"] == {"lm_head.weight", "stay_head.weight"}
    torch.testing.assert_close(headed.model.norm.weight, career.model.norm.weight)
    assert "'missing_keys': ['lm_head.weight', 'stay_head.weight']" in refusal(load_checkpoint, tmp_path / "base")
    # The base model, or the occupation model, within a larger one.
    torch.testing.assert_close(CareerModel.from_pretrained(folder).norm.weight, career.model.norm.weight)
    wages = CareerForWagePrediction.from_occupation_model(career, [1.0, 2.0])
    wages.save_pretrained(tmp_path / "wages")
    within = CareerForOccupationPrediction.from_pretrained(tmp_path / "wages")
    torch.testing.assert_close(log_probs(within, processor), answer)
    # Fields that the caller changes, and other number types.
    assert CareerForOccupationPrediction.from_pretrained(folder, two_stage=False).stay_head is None
    titled = CareerForOccupationPrediction.from_pretrained(folder, title_embedding_size=3)
    assert titled.model.norm.weight.equal(career.model.norm.weight)
    half = CareerForOccupationPrediction.from_pretrained(folder, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    processor.save_pretrained(tmp_path / "half")
    assert load_checkpoint(tmp_path / "half")[0].dtype == torch.bfloat16
    other = CareerForOccupationPrediction.from_pretrained(
        folder, vocab_size=9, id2label={i: str(i) for i in range(9)}, ignore_mismatched_sizes=True
    )
    assert other.lm_head.weight.shape[0] == 9
    # Weights that are given, and ids that are added.
    weights = {name: values + 1 for name, values in career.state_dict().items()}
    given = CareerForOccupationPrediction.from_pretrained(None, config=career.config, state_dict=weights)
    assert given.stay_head.weight.equal(weights["stay_head.weight"])
    career.resize_token_embeddings(8)
    career.save_pretrained(tmp_path / "larger")
    assert CareerForOccupationPrediction.from_pretrained(tmp_path / "larger").config.vocab_size == 8


def exchange(levels):
    return [levels[0], levels[2], levels[1], *levels[3:]]


def edit(path, **changes):
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, **{name: change(state[name]) for name, change in changes.items()}}))


@pytest.mark.parametrize("name", ["career", "nemo", "regression"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_levels_in_another_order_are_refused(name, place, saved, tmp_path):
    folder = shutil.copytree(saved[name][0], tmp_path / "checkpoint")
    covariate = CareerProcessor.from_pretrained(folder).covariate_names[place]

    def exchange_one(levels):
        return [exchange(one) if i == place else one for i, one in enumerate(levels)]

    edit(folder / "preprocessor_config.json", covariate_levels=exchange_one)
    message = refusal(load_checkpoint, folder)
    assert f"covariate '{covariate}'" in message and "another order" in message
    # Configs of older versions tell how many levels there are, and nothing else.
    edit(folder / "config.json", levels_sha256=lambda _: {})
    load_checkpoint(folder)
    edit(
        folder / "preprocessor_config.json",
        covariate_levels=lambda all: [one[:-1] for one in all],
        training_stages=lambda _: [],
    )
    assert "covariate_sizes" in refusal(load_checkpoint, folder)


def test_levels_that_change_by_the_means_of_the_package_are_recorded_anew(saved, tmp_path):
    model, processor = load_checkpoint(saved["career"][0])
    later = careers_of(6, seed=1, first_year=1990)
    extended = processor.extend(later)
    model.resize_vocabulary(processor, extended)
    model.save_pretrained(tmp_path)
    extended.save_pretrained(tmp_path)
    assert load_checkpoint(tmp_path)[1].covariate_levels == extended.covariate_levels
    renamed = CareerProcessor.from_pretrained(tmp_path)
    renamed.covariate_levels[2][1] = "another name"
    model.config.update(renamed.config_kwargs())
    model.save_pretrained(tmp_path)
    renamed.save_pretrained(tmp_path)
    assert load_checkpoint(tmp_path)[1].covariate_levels[2][1] == "another name"


FILES = ("config.json", "preprocessor_config.json", WEIGHTS, CHECKSUMS)
JSON = st.sampled_from([None, True, -1, 3, 10**12, 1.5, "x", [], [1], ["x"], [None], [[1]], {}, {"a": 1}, {"1": "x"}])
DAMAGE = st.one_of(
    st.tuples(st.sampled_from(FILES), st.just("remove")),
    st.tuples(st.sampled_from(FILES), st.just("empty")),
    st.tuples(st.sampled_from(FILES), st.just("cut"), st.floats(0, 1)),
    st.tuples(st.sampled_from(FILES), st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
    st.tuples(st.sampled_from(FILES[:2] + FILES[3:]), st.just("replace"), JSON),
    st.tuples(st.sampled_from(FILES[:2]), st.just("field"), st.integers(0, 40), JSON),
    st.tuples(st.sampled_from(FILES[:2]), st.just("no field"), st.integers(0, 40)),
)


@given(damage=DAMAGE)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_checkpoint_is_refused_in_one_line_or_loads_as_it_was(damage, saved, tmp_path):
    original, answer = saved["career"]
    folder = shutil.copytree(original, tmp_path / "checkpoint", dirs_exist_ok=True)
    file, *how = damage
    damage_file(folder / file, *how)
    try:
        model, processor = load_checkpoint(folder)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
    else:
        # A text that was edited is another model only by a field that is itself valid, as dropout is.
        assert log_probs(model, processor).shape == answer.shape
        if damage[0] in (WEIGHTS, CHECKSUMS):
            assert torch.equal(log_probs(model, processor), answer)
