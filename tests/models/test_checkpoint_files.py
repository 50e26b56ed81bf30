"""What somebody else loads is what was saved: by every route, and never a damaged file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from forecast_examples import careers_of, model_and_processor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, Trainer, TrainingArguments

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.models import checksums
from career_hf.models.checksums import CHECKSUMS, check_checksums, record_checksums, sha256_of, verify_checksums
from career_hf.sharing.remote_code import save_with_code


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint, the batch that it is asked with, and its answer."""
    folder = tmp_path_factory.mktemp("saved")
    model, processor = model_and_processor("career")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    encoded, _ = processor.encode(careers_of(3))
    batch = {name: torch.tensor([encoded[0][name]]) for name in ("input_ids", "covariates")}
    torch.save(batch, folder / "batch.pt")
    with torch.no_grad():
        torch.save(model.eval()(**batch).logits, folder / "answer.pt")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoint")


# `blocked` stands for what is not installed. What must be fresh is what Transformers knows of career_hf: nothing. So
# one process loads Transformers for several routes, each in a fork.
FRESH = """
import os, sys
blocked, folder, *scripts = sys.argv[1:]
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, *where):
    return None if name.partition(".")[0] in blocked.split(",") else find(name, *where)
PathFinder.find_spec = staticmethod(find_spec)
import torch
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
torch.set_num_threads(1)
for number, script in enumerate(scripts):
    assert not any(name.startswith("career_hf") for name in sys.modules)
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, script
    else:
        exec(script)
        with torch.no_grad():
            torch.save(model.eval()(**torch.load(folder + "/batch.pt"))[0], f"{folder}/{number}.pt")
        break
"""
ROUTES = [
    "from career_hf import CareerForOccupationPrediction as Model; model = Model.from_pretrained(folder)",
    "import career_hf; model = AutoModelForCausalLM.from_pretrained(folder)",
    "import career_hf; from transformers import pipeline\n"
    "model = pipeline('occupation-prediction', model=folder, device='cpu').model",
]
EXTRAS = "matplotlib,ibis,duckdb,pyspark,polars,peft,pyfixest,statsmodels,svy,openpyxl,tabulate,doubleml,hypothesis"


def answers_of_a_fresh_process(scripts, blocked, folder, home):
    result = subprocess.run(
        [sys.executable, "-c", FRESH, blocked, str(folder), *scripts],
        capture_output=True,
        text=True,
        cwd=home,
        env={"HF_HOME": str(home), "PATH": ""},
    )
    assert result.returncode == 0, result.stderr
    return [torch.load(folder / f"{number}.pt") for number in range(len(scripts))]


def test_a_folder_loads_in_a_fresh_process_without_any_extra(folder, tmp_path):
    for answer in answers_of_a_fresh_process(ROUTES, EXTRAS, folder, tmp_path):
        torch.testing.assert_close(answer, torch.load(folder / "answer.pt"))  # two processes may have unlike threads


def test_a_folder_with_code_loads_where_the_package_is_not_installed(folder, tmp_path):
    model = CareerForOccupationPrediction.from_pretrained(folder)
    save_with_code(model, folder)
    assert not hasattr(model.config, "auto_map")
    autos = ("AutoModelForCausalLM", "AutoModel")
    scripts = [f"model = {auto}.from_pretrained(folder, trust_remote_code=True)" for auto in autos]
    # Neither the package nor what only its data readers need.
    blocked = f"career_hf,datasets,pandas,pyarrow,sklearn,scipy,{EXTRAS}"
    answers = answers_of_a_fresh_process(scripts, blocked, folder, tmp_path)
    with torch.no_grad():
        for answer, own in zip(answers, (model.eval(), model.eval().model), strict=True):
            torch.testing.assert_close(answer, own(**torch.load(folder / "batch.pt"))[0])


def test_installed_code_wins_over_code_in_a_folder(folder):
    save_with_code(CareerForOccupationPrediction.from_pretrained(folder), folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    assert type(loaded) is CareerForOccupationPrediction


def test_rivals_are_not_saved_with_code(tmp_path):
    with pytest.raises(ValueError, match="a NemoForOccupationPrediction is not saved with code"):
        save_with_code(model_and_processor("nemo")[0], tmp_path)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


def load(folder):
    return CareerForOccupationPrediction.from_pretrained(folder)


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("loads", [load, AutoModel.from_pretrained, AutoModelForCausalLM.from_pretrained])
def test_damaged_weights_are_an_error(damage, loads, folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .* Copy or download"):
        loads(folder)


@given(bit=st.integers(0))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_changes_the_weights_unseen(bit, folder):
    weights = folder / "model.safetensors"
    before, tensors = weights.read_bytes(), load_file(weights)
    data = bytearray(before)
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    weights.write_bytes(data)
    try:
        check_checksums(folder, ("model*.safetensors",))
    except ValueError as error:
        assert "model.safetensors is damaged" in str(error) and "\n" not in str(error)
    else:
        # The bit is in the name of the checksum, which is no checksum then.
        after = load_file(weights)
        assert after.keys() == tensors.keys() and all(torch.equal(after[name], tensors[name]) for name in tensors)
    finally:
        weights.write_bytes(before)


def test_without_the_checksum_a_flipped_bit_is_another_model(folder):
    # So the tests above are of the checksum, not of the format.
    weights = folder / "model.safetensors"
    save_file(load_file(weights), weights)
    weights.write_bytes(flip(weights.read_bytes()))
    with torch.no_grad():
        assert not torch.equal(
            load(folder)(**torch.load(folder / "batch.pt")).logits, torch.load(folder / "answer.pt")
        )


def test_weights_that_were_rewritten_by_safetensors_load_and_are_not_vouched_for(folder):
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    verify_checksums(folder)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    assert torch.equal(load(folder).stay_head.weight, tensors["stay_head.weight"] + 1)
    with pytest.raises(ValueError, match=r"model\.safetensors was changed since it was saved, .*record_checksums"):
        verify_checksums(folder)
    record_checksums(folder)
    verify_checksums(folder)
    assert torch.equal(load(folder).stay_head.weight, tensors["stay_head.weight"] + 1)


def test_the_checksum_keeps_the_rest_of_the_file(folder):
    weights = folder / "model.safetensors"
    with safe_open(weights, "pt") as opened:
        metadata = opened.metadata()
    assert metadata["format"] == "pt" and len(metadata["sha256"]) == 64
    header = int.from_bytes(weights.read_bytes()[:8], "little")
    assert header % 8 == 0 and not list(folder.glob("tmp*"))


def test_weights_of_a_folder_with_checksums_of_whole_files_are_still_checked(folder):
    weights = folder / "model.safetensors"
    save_file(load_file(weights), weights, metadata={"format": "pt"})
    recorded = json.loads((folder / CHECKSUMS).read_text())
    (folder / CHECKSUMS).write_text(json.dumps({**recorded, "model.safetensors": sha256_of(weights)}))
    load(folder).save_pretrained(folder / "again")
    verify_checksums(folder)
    weights.write_bytes(flip(weights.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load(folder)
    assert "model.safetensors" not in json.loads((folder / "again" / CHECKSUMS).read_text())


def edit(path, **fields):
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, **fields}))


@pytest.fixture
def warned(monkeypatch):
    """What was logged as a warning."""
    messages = []
    monkeypatch.setattr(checksums.logger, "warning_once", messages.append)
    return messages


@pytest.mark.parametrize("loads", [load, AutoModelForCausalLM.from_pretrained, CareerConfig.from_pretrained])
def test_an_edited_config_is_a_warning_until_it_is_saved(loads, folder, warned):
    edit(folder / "config.json", hidden_dropout=0.3)
    loaded = loads(folder)
    assert getattr(loaded, "config", loaded).hidden_dropout == 0.3
    assert "config.json of" in warned[0] and "save_pretrained" in warned[0]
    with pytest.raises(ValueError, match="config.json was changed"):
        verify_checksums(folder)
    CareerConfig.from_pretrained(folder).save_pretrained(folder)
    warned.clear()
    loads(folder)
    verify_checksums(folder)
    assert not warned


def test_an_edited_processor_is_a_warning(folder, warned):
    path = folder / "preprocessor_config.json"
    edit(path, training_stages=[])
    CareerProcessor.from_pretrained(folder).save_pretrained(folder)
    assert "preprocessor_config.json of" in warned[0]
    load(folder)
    verify_checksums(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", CHECKSUMS])
def test_a_text_that_cannot_be_read_is_an_error(name, folder):
    (folder / name).write_bytes(cut((folder / name).read_bytes()))
    loads = CareerProcessor.from_pretrained if name.startswith("pre") else load
    with pytest.raises(ValueError, match=f"{name} is damaged, because it is no JSON"):
        loads(folder)


def test_weights_of_another_shape_are_an_error(folder):
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "model.embed_tokens.weight": tensors["model.embed_tokens.weight"][1:]}, weights)
    with pytest.raises(
        ValueError, match=r"embed_tokens.weight' of shape \[5, 16\].* for \[6, 16\].*ignore_mismatched"
    ):
        load(folder)


def test_every_way_of_saving_records(folder, tmp_path):
    model, processor = load(folder), CareerProcessor.from_pretrained(folder)
    arguments = TrainingArguments(tmp_path / "run", max_steps=1, save_steps=1, report_to=[], use_cpu=True)
    encoded, _ = processor.encode(careers_of(3))
    trainer = Trainer(model, arguments, train_dataset=encoded.select([0]))
    trainer.train()
    verify_checksums(tmp_path / "run" / "checkpoint-1")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    verify_checksums(tmp_path / "shards")
    model.save_pretrained(tmp_path / "half", variant="fp16")
    assert load(tmp_path / "shards").config.vocab_size == model.config.vocab_size
    half = tmp_path / "half" / "model.fp16.safetensors"
    half.write_bytes(flip(half.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.fp16\.safetensors is damaged"):
        CareerForOccupationPrediction.from_pretrained(tmp_path / "half", variant="fp16")


def test_a_missing_shard_is_an_error(tmp_path):
    model, _ = model_and_processor("career")
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    load(tmp_path)
    shards[0].unlink()
    with pytest.raises(ValueError, match=f"{shards[0].name} of .* is missing"):
        load(tmp_path)


def test_saving_again_vouches_for_the_new_files(folder):
    model = load(folder)
    with torch.no_grad():
        model.stay_head.weight.add_(1)
    model.save_pretrained(folder)
    assert torch.equal(load(folder).stay_head.weight, model.stay_head.weight)
    CareerProcessor.from_pretrained(folder)
