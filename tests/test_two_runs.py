"""Two runs into one folder: the second is refused while the first lives, whatever the work is, and nothing stays."""

from __future__ import annotations

import numpy as np
import pytest

import career_hf
from career_hf.careers.atomic_files import LOCK, locked
from career_hf.sources import spells


@pytest.fixture(scope="module")
def careers():
    draw = np.random.default_rng(0)
    frame = {"person": np.repeat(np.arange(60), 3), "year": np.tile([2000, 2001, 2002], 60)}
    return career_hf.from_frame(frame | {"occupation": draw.choice(["cook", "waiter"], 180)})


TINY = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
SHORT = {"max_steps": 1, "eval_steps": 1, "tokens_per_batch": 500}


@pytest.fixture(scope="module")
def trained(careers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "career"
    career_hf.train(careers, output=folder, fields=TINY, **SHORT)
    return folder


def in_folder(work, careers, trained, output):
    """Does one kind of long work."""
    if work == "compare":
        options = {"trials": 1, "seeds": 1, "draws": 5}
        return career_hf.compare(careers, models=["markov-1"], output=output, **options)
    if work == "representations":
        return career_hf.save_representations(trained, careers, None, output)
    return spells({"person": [1], "occupation": ["cook"], "start": ["2010"], "end": ["2011"]}, output=output)


@pytest.mark.parametrize("work", ["compare", "representations", "spells"])
def test_the_second_run_is_refused_while_the_first_lives(careers, trained, tmp_path, work):
    if work == "spells":
        pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
    output = tmp_path / "output"
    lock = tmp_path / ".output.lock" if work == "spells" else None
    with locked(output, lock):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(ValueError, match=f"another run is writing to {output}: wait until it has ended"):
            in_folder(work, careers, trained, output)
        assert sorted(tmp_path.rglob("*")) == before
    in_folder(work, careers, trained, output)
    assert output.is_dir() and not [path for path in tmp_path.rglob("*") if path.name.endswith("lock")]


def test_a_model_of_counts_replaces_no_run_without_a_word(careers, trained):
    with locked(trained / "training", keep=True):
        with pytest.raises(ValueError, match="another run is writing to"):
            career_hf.train(careers, output=trained, model="markov-1")
    with pytest.raises(ValueError, match=r"holds another run: .*take another folder, or replace .*overwrite=True"):
        career_hf.train(careers, output=trained, model="markov-1")
    assert career_hf.load_checkpoint(trained)[0].config.model_type == "career"
    career_hf.train(careers, output=trained, model="markov-1", overwrite=True)
    assert career_hf.load_checkpoint(trained)[0].config.model_type == "career_markov"
    assert (trained / "training" / LOCK).exists()
