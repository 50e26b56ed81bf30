"""What somebody else loads is what was saved: by every route, and never a damaged file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from forecast_examples import careers_of, model_and_processor
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from career_hf import CareerForOccupationPrediction, CareerProcessor
from career_hf.models.checksums import CHECKSUMS
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


# `blocked` stands for what is not installed.
FRESH = """
import sys
blocked, folder = sys.argv[1].split(","), sys.argv[2]
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, *where):
    return None if name.partition(".")[0] in blocked else find(name, *where)
PathFinder.find_spec = staticmethod(find_spec)
import torch
batch = torch.load(folder + "/batch.pt")
"""
ROUTES = {
    "its class": "from career_hf import CareerForOccupationPrediction as Model; model = Model.from_pretrained(folder)",
    "Auto classes": "import career_hf\nfrom transformers import AutoModelForCausalLM\n"
    "model = AutoModelForCausalLM.from_pretrained(folder)",
    "a pipeline": "import career_hf\nfrom transformers import pipeline\n"
    "model = pipeline('occupation-prediction', model=folder, device='cpu').model",
}
EXTRAS = "matplotlib,ibis,duckdb,pyspark,polars,peft,pyfixest,statsmodels,svy,openpyxl,tabulate,doubleml,hypothesis"


def answer_of_a_fresh_process(script, blocked, folder, home):
    script = f"{FRESH}{script}\nwith torch.no_grad(): torch.save(model.eval()(**batch)[0], folder + '/own.pt')"
    result = subprocess.run(
        [sys.executable, "-c", script, blocked, str(folder)],
        capture_output=True,
        text=True,
        cwd=home,
        env={"HF_HOME": str(home), "PATH": ""},
    )
    assert result.returncode == 0, result.stderr
    return torch.load(folder / "own.pt")


@pytest.mark.parametrize("route", ROUTES)
def test_a_folder_loads_in_a_fresh_process_without_any_extra(route, folder, tmp_path):
    answer = answer_of_a_fresh_process(ROUTES[route], EXTRAS, folder, tmp_path)
    torch.testing.assert_close(answer, torch.load(folder / "answer.pt"))  # two processes may have unlike threads


@pytest.mark.parametrize("auto", ["AutoModelForCausalLM", "AutoModel"])
def test_a_folder_with_code_loads_where_the_package_is_not_installed(auto, folder, tmp_path):
    model = CareerForOccupationPrediction.from_pretrained(folder)
    save_with_code(model, folder)
    assert not hasattr(model.config, "auto_map")
    script = f"from transformers import {auto}\nmodel = {auto}.from_pretrained(folder, trust_remote_code=True)"
    # Neither the package nor what only its data readers need.
    blocked = f"career_hf,datasets,pandas,pyarrow,sklearn,scipy,{EXTRAS}"
    answer = answer_of_a_fresh_process(script, blocked, folder, tmp_path)
    with torch.no_grad():
        original_model = model.eval() if auto == "AutoModelForCausalLM" else model.eval().model
        torch.testing.assert_close(answer, original_model(**torch.load(folder / "batch.pt"))[0])


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
    with pytest.raises(ValueError, match="model.safetensors of .* is not the file that was saved.*Copy or download"):
        loads(folder)


def test_without_the_checksum_a_flipped_bit_is_another_model(folder):
    # So the test above is of the checksum, not of the format.
    weights = folder / "model.safetensors"
    weights.write_bytes(flip(weights.read_bytes()))
    (folder / CHECKSUMS).unlink()
    with torch.no_grad():
        assert not torch.equal(
            load(folder)(**torch.load(folder / "batch.pt")).logits, torch.load(folder / "answer.pt")
        )


def edit(path, **fields):
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, **fields}))


def test_an_edited_config_is_an_error_and_can_be_meant(folder):
    edit(folder / "config.json", two_stage=False)
    for loads in (load, AutoModelForCausalLM.from_pretrained):
        with pytest.raises(ValueError, match=r"config\.json of .* is not the file .* delete checksums\.json"):
            loads(folder)
    edit(folder / "config.json", two_stage=True, hidden_dropout=0.3)
    (folder / CHECKSUMS).unlink()
    assert load(folder).config.hidden_dropout == 0.3


def test_an_edited_processor_is_an_error(folder):
    path = folder / "preprocessor_config.json"
    labels = json.loads(path.read_text())["occupations"]
    edit(path, occupations=[*labels[:-2], labels[-1], labels[-2]])
    with pytest.raises(ValueError, match=r"preprocessor_config\.json of .* is not the file that was saved"):
        CareerProcessor.from_pretrained(folder)
    # The two are vouched for apart.
    load(folder)


def test_weights_of_another_shape_or_missing_are_an_error(folder):
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    (folder / CHECKSUMS).unlink()
    save_file({**tensors, "model.embed_tokens.weight": tensors["model.embed_tokens.weight"][1:]}, weights)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        load(folder)
    weights.write_bytes(cut(weights.read_bytes()))
    with pytest.raises(SafetensorError, match="(?i)incomplete ?metadata"):
        load(folder)


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
