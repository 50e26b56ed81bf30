"""A rival of one's own is one file and one registration: then train, compare, cards and export know it."""

import json

import pytest
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

import career_hf
from career_hf import registration
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.base import BaselineConfig, BaselineForOccupationPrediction
from career_hf.sharing.export import export_onnx, export_program


@strict
class ToyConfig(BaselineConfig):
    model_type = "career_toy"


class ToyForOccupationPrediction(BaselineForOccupationPrediction):
    """Occupations by how frequent they are, whatever came before."""

    config: ToyConfig
    config_class = ToyConfig
    description = "a toy: occupations by how frequent they are"

    def __init__(self, config):
        super().__init__(config)
        self.frequency = nn.Linear(1, config.num_scores)
        self.post_init()

    def scores(self, input_ids, covariates):
        return self.split(self.frequency(torch.ones(*input_ids.shape, 1, device=input_ids.device)))


@pytest.fixture(scope="module", autouse=True)
def registered():
    registration.register(ToyForOccupationPrediction, "toy")
    yield
    registration._named.pop("toy")
    registration._registered.remove(ToyForOccupationPrediction)


@pytest.fixture(scope="module")
def splits():
    jobs = ["cook", "cook", "waiter", "clerk"]
    people = [f"p{i}" for i in range(120) for _ in range(3)]
    occupation = [jobs[(i + t // 2) % 4] for i in range(120) for t in range(3)]
    return split_careers(from_frame({"person": people, "year": [1990, 1991, 1992] * 120, "occupation": occupation}))


@pytest.fixture(scope="module")
def checkpoint(splits, tmp_path_factory):
    """Trained by the command."""
    folder = tmp_path_factory.mktemp("toy")
    save_careers(splits, folder / "careers")
    short = ["--max-steps", "4", "--eval-steps", "2", "--tokens-per-batch", "200", "--model", "toy"]
    arguments = ["train", "--data", str(folder / "careers"), "--output", str(folder / "toy"), *short]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + str(result.exception)
    return folder / "toy"


def test_a_toy_rival_is_trained_loaded_and_scored(checkpoint, splits):
    model, processor = load_checkpoint(checkpoint)
    assert type(model) is ToyForOccupationPrediction is type(AutoModelForCausalLM.from_pretrained(checkpoint))
    table = transition_table(model, splits["test"], processor, unknown_levels="missing")
    assert len(table) == sum(map(len, splits["test"]["year"])) and table["log_prob"].max() < 0
    assert processor.training_stages[-1]["run"]["updates"] == 4


def test_its_card_says_what_it_is(checkpoint):
    text = (checkpoint / "README.md").read_text()
    assert "A toy: occupations by how frequent they are. It is a `ToyFor" in text and "It printed:" in text


def test_its_export_is_refused_until_it_was_tried(checkpoint, tmp_path, monkeypatch):
    model, processor = load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="ToyForOccupationPrediction cannot be exported: it has not been tried"):
        export_program(model)
    monkeypatch.setattr(ToyForOccupationPrediction, "why_not_exported", None)
    inputs = {"input_ids": torch.tensor([[1, 2, 3]]), "covariates": torch.ones(1, 3, 1, dtype=torch.long)}
    with torch.no_grad():
        torch.testing.assert_close(export_program(model).module()(**inputs), model(**inputs).logits)
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert export_onnx(checkpoint, tmp_path / "toy.onnx") < 1e-5


def test_it_is_compared(splits, tmp_path):
    short = {"max_steps": 4, "eval_steps": 2, "tokens_per_batch": 200, "draws": 20}
    comparison = career_hf.compare(
        splits, models=["markov-1", "toy"], trials=2, seeds=1, output=tmp_path / "comparison", **short
    )
    frame = comparison.to_frame()
    assert set(frame.index) == {"markov-1", "toy"} and frame.loc["toy", "trials"] == 2
    assert json.loads((tmp_path / "comparison" / "settings.json").read_text())["trials"] == 2


def test_a_model_that_is_not_there_is_an_error_that_lists_those_that_are(splits):
    with pytest.raises(ValueError, match="no model 'gpt'; models are career, markov-1, .* job2vec, toy"):
        career_hf.train(splits, model="gpt")
