"""No code that comes with a checkpoint is run, and nobody is asked whether it may be.

Where an Auto class or `pipeline` is not told `trust_remote_code=False`, Transformers asks at a terminal whether to run
the code of a checkpoint whose kind it does not know, and one key runs it.
"""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import numpy as np
import pytest
from forecast_examples import careers_of, model_and_processor
from transformers import AutoModelForCausalLM, pipeline
from typer.main import get_command

import career_hf
from career_hf.careers import save_careers, split_careers
from career_hf.cli.app import app
from career_hf.models.checksums import record_checksums
from career_hf.sharing.card_snippet import snippet


ROOT = Path(__file__).parents[1]
SOURCES = [path for at in ("career_hf", "examples", "benchmarks", "model_cards") for path in (ROOT / at).rglob("*.py")]


def loads_that_may_run_code(source: str) -> list[int]:
    """Lines that load something by a class of others without `trust_remote_code=False`."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in ("from_pretrained", "from_config") and isinstance(node.func, ast.Attribute):
            of = ast.unparse(node.func.value)
            # Classes of this package name their code, and `super()` is Transformers' own part of one.
            if of in career_hf.__all__ or of == "super()":
                continue
        elif called != "pipeline":
            continue
        refused = any(
            word.arg == "trust_remote_code" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in node.keywords
        )
        if not refused:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("AutoModel.from_pretrained(folder)", [1]),
        ("AutoModel.from_pretrained(folder, trust_remote_code=trusted)", [1]),
        ("transformers.pipeline('career-forecast', model=folder)", [1]),
        ("pipeline('career-forecast', model=folder, trust_remote_code=False)", []),
        ("some_class.from_pretrained(folder)", [1]),
        ("CareerProcessor.from_pretrained(folder)", []),
    ],
)
def test_loads_are_found(line, found):
    assert loads_that_may_run_code(line) == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_load_refuses_code_of_others(path):
    assert loads_that_may_run_code(path.read_text(encoding="utf-8")) == []


def test_the_code_of_cards_refuses_code_of_others(tmp_path):
    model, processor = model_and_processor("career")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert loads_that_may_run_code(snippet(tmp_path, model, processor)[0]) == []


EVIL = """
from pathlib import Path
from transformers import PreTrainedConfig, PreTrainedModel
Path({marker!r}).write_text("this ran")
class EvilConfig(PreTrainedConfig):
    model_type = "evil"
class EvilModel(PreTrainedModel):
    config_class = EvilConfig
"""


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A checkpoint of a kind that nobody knows, whose code leaves a file; somebody at the keyboard says yes."""
    model, processor = model_and_processor("career")
    folder = tmp_path / "evil"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    auto_map = {
        "AutoConfig": "evil.EvilConfig",
        "AutoModel": "evil.EvilModel",
        "AutoModelForCausalLM": "evil.EvilModel",
    }
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto_map}))
    record_checksums(folder)
    (folder / "evil.py").write_text(EVIL.format(marker=str(tmp_path / "ran")))
    save_careers(split_careers(careers_of(60)), tmp_path / "careers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 50))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return folder


def test_without_the_argument_one_key_runs_the_code(evil, tmp_path):
    # So the tests below are of the argument.
    with pytest.raises(Exception):  # noqa: B017  # the model itself is a stub of Transformers
        AutoModelForCausalLM.from_pretrained(evil)
    assert (tmp_path / "ran").exists()


CAREERS = careers_of(60)
VERBS = {
    "load_checkpoint": career_hf.load_checkpoint,
    "evaluate": lambda folder: career_hf.evaluate({"evil": folder}, CAREERS),
    "forecast": lambda folder: career_hf.forecast(folder, CAREERS, horizon=1),
    "evaluate_forecast": lambda folder: career_hf.evaluate_forecast(folder, CAREERS, cutoff=1981),
    "finetune": lambda folder: career_hf.finetune(folder, CAREERS),
    "transition_table": lambda folder: career_hf.transition_table(folder, CAREERS),
    "representations": lambda folder: career_hf.representations(folder, CAREERS),
    "similar": lambda folder: career_hf.similar(folder, CAREERS, "p01"),
    "what_if": lambda folder: career_hf.what_if(folder, CAREERS, {"race": "a"}),
    "transitions": lambda folder: career_hf.transitions(folder, CAREERS),
    "rationales": lambda folder: career_hf.rationales(folder, CAREERS),
    "CareerFeaturizer": lambda folder: career_hf.CareerFeaturizer(folder).fit(CAREERS, np.zeros(len(CAREERS))),
    "export_onnx": lambda folder: career_hf.export_onnx(folder, "model.onnx"),
    "write_model_card": lambda folder: career_hf.write_model_card(folder),
    "publish": lambda folder: career_hf.publish(folder, "me/evil", dry_run=True),
    "pipeline": lambda folder: pipeline("career-forecast", model=str(folder), trust_remote_code=False),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_the_code(verb, evil, tmp_path):
    with pytest.raises(ValueError) as error:
        VERBS[verb](evil)
    assert not (tmp_path / "ran").exists()
    if verb != "pipeline":  # which is Transformers' own, and so are its words
        assert "brings code of its own, which is not run" in str(error.value) and "\n" not in str(error.value)


COMMANDS = [
    "evaluate evil --data careers",
    "forecast evil --data careers --cutoff 1982",
    "finetune evil --data careers --output run",
    "export evil --output model.onnx",
    "card evil --data careers",
    "push evil me/evil --data careers --dry-run",
    "gap evil --data careers --output gap",
    "rationale evil --data careers --person p01",
    "similar evil --data careers --person p01 --split all",
    "transitions evil --data careers",
    "what-if evil --data careers --set race=a",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_runs_the_code(line, evil, tmp_path):
    with pytest.raises(ValueError) as error:
        get_command(app)(line.split(), standalone_mode=False)
    assert "brings code of its own, which is not run" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_adapters_do_not_bring_the_code_of_their_base(evil, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra 'peft' is not installed")
    model, processor = model_and_processor("career")
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["qkv_proj"], task_type="CAUSAL_LM"))
    adapted.peft_config["default"].base_model_name_or_path = str(evil)
    adapted.save_pretrained(tmp_path / "adapters")
    processor.save_pretrained(tmp_path / "adapters")
    with pytest.raises(ValueError, match="brings code of its own, which is not run"):
        career_hf.load_checkpoint(tmp_path / "adapters")
    assert not (tmp_path / "ran").exists()
