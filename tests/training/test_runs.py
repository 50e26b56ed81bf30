"""The folder of a run: what it may be resumed as, by whom, and from which checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_training import one_thread, some_careers  # noqa: F401  # a fixture

import career_hf
from career_hf.careers import save_careers, split_careers
from career_hf.training.runs import claimed_run, is_complete, last_checkpoint


SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
# The paper's rate does not depend on `max_steps`, so that a run may go on for longer.
RUN = {"max_steps": 6, "eval_steps": 2, "tokens_per_batch": 200, "warmup_steps": 1, "fields": SMALL, "recipe": "paper"}


@pytest.fixture(scope="module")
def careers():
    return split_careers(some_careers(150))


@pytest.fixture(scope="module")
def finished(careers, tmp_path_factory):
    """A run that was never stopped, in its folder."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, career_hf.train(careers, output=folder, **RUN)


def same(model, other) -> bool:
    return all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_another_run_is_neither_resumed_nor_replaced_without_a_word(careers, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    for options, message in [
        ({"seed": 1}, "its seed is 0, and now it is 1"),
        ({"learning_rate": 1e-3}, "its learning_rate is 0.0005, and now it is 0.001"),
        ({"fields": SMALL | {"intermediate_size": 8}}, "its config.intermediate_size is 16, and now it is 8"),
    ]:
        with pytest.raises(ValueError, match=f"cannot be resumed: {message}"):
            career_hf.train(careers, output=tmp_path / "run", resume=True, **RUN | options)
        with pytest.raises(ValueError, match=f"holds another run: {message}.*overwrite"):
            career_hf.train(careers, output=tmp_path / "run", **RUN | options)
    fewer = {**careers, "train": careers["train"].select(range(100))}
    with pytest.raises(ValueError, match="training careers"):
        career_hf.train(fewer, output=tmp_path / "run", resume=True, **RUN)
    with pytest.raises(ValueError, match="give one of them"):
        career_hf.train(careers, output=tmp_path / "run", resume=True, overwrite=True, **RUN)
    replaced = career_hf.train(careers, output=tmp_path / "run", overwrite=True, seed=1, **RUN)
    assert same(replaced.model, career_hf.train(careers, seed=1, **RUN).model)
    assert not same(replaced.model, finished[1].model)


def test_a_run_goes_on_from_the_newest_whole_checkpoint_whatever_is_broken(careers, finished, tmp_path):
    folder, uninterrupted = finished
    newest = Path(last_checkpoint(folder / "training"))
    files = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for file in files:
        for damage in ("deleted", "cut"):
            shutil.copytree(folder, tmp_path / "run")
            broken = tmp_path / "run" / "training" / newest.name / file
            if damage == "deleted":
                broken.unlink()
            else:
                os.truncate(broken, broken.stat().st_size // 2)
            assert not is_complete(broken.parent)
            assert int(last_checkpoint(tmp_path / "run" / "training").split("-")[-1]) < 6
            if file.name in ("model.safetensors", "trainer_state.json"):
                resumed = career_hf.train(careers, output=tmp_path / "run", resume=True, **RUN)
                assert same(resumed.model, uninterrupted.model)
                assert resumed.processor.training_stages[-1]["run"]["resumed_at"] < 6
            shutil.rmtree(tmp_path / "run")


def test_a_second_run_is_refused_while_the_first_lives(tmp_path):
    with claimed_run(tmp_path, {}, resume=False, overwrite=False):
        with pytest.raises(ValueError, match="another run is writing to"):
            with claimed_run(tmp_path, {}, resume=False, overwrite=True):
                pass
    with claimed_run(tmp_path, {}, resume=False, overwrite=False) as checkpoint:
        assert checkpoint is None


def test_a_short_run_goes_on_for_longer_with_the_numbers_that_followed_from_its_length(careers, tmp_path):
    run = {name: value for name, value in RUN.items() if name not in ("warmup_steps", "eval_steps")}
    career_hf.train(careers, output=tmp_path, **run | {"max_steps": 10})
    longer = {**run, "max_steps": 20, "resume": True, "output": tmp_path}
    with pytest.raises(ValueError, match=r"so give what the run had, warmup_steps=1, eval_steps=10, or take another"):
        career_hf.train(careers, **longer)
    resumed = career_hf.train(careers, **longer, warmup_steps=1, eval_steps=10)
    assert resumed.state.global_step == 20


def test_a_killed_run_resumes_to_the_same_model(careers, tmp_path):
    save_careers(careers, tmp_path / "careers")
    run = RUN | {"max_steps": 400, "patience": 1_000, "eval_steps": 2}
    program = (
        f"import career_hf; career_hf.train({str(tmp_path / 'careers')!r}, output={str(tmp_path / 'run')!r}, **{run})"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while last_checkpoint(tmp_path / "run" / "training") is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped_at = int(last_checkpoint(tmp_path / "run" / "training").split("-")[-1])
    until = {**run, "max_steps": stopped_at + 6}
    resumed = career_hf.train(tmp_path / "careers", output=tmp_path / "run", resume=True, **until)
    assert resumed.state.global_step == stopped_at + 6
    assert same(resumed.model, career_hf.train(careers, **until).model)
