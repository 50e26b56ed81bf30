"""Checkpoints of the original program, read from files laid out as it writes them, score as it did."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from career_hf import CareerProcessor
from career_hf.careers import from_frame
from career_hf.cli.app import app
from career_hf.evaluation.transition_table import transition_table
from career_hf.original.checkpoint import SPECIALS, convert_checkpoint, read_checkpoint, read_dictionary


VARYING, STATIC = ["year", "education"], ["location", "ethnicity", "gender"]
EVERY_COVARIATE = {f"include_{name}": True for name in [*VARYING, *STATIC]}
CASES = {
    "a_career_two_stage_cov": EVERY_COVARIATE | {"decoder_attention_heads": 2},
    "c_career_two_stage_nocov": {"decoder_attention_heads": 2},
    "d_bag_of_jobs_two_stage_cov": EVERY_COVARIATE,
    "e_regression_two_stage_all": EVERY_COVARIATE
    | {
        "second_order_markov": True,
        "include_years_in_current_job": True,
        "include_total_years": True,
        "non_consecutive_year_effect": True,
        "education_difference": True,
    },
}


def write_dictionary(folder, symbols, counts=None):
    """As fairseq does: without the specials, a symbol and its count a line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{symbol} {1 if counts is None else counts[i]}" for i, symbol in enumerate(symbols)]
    (folder / "dict.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_checkpoint(path, weights, settings):
    """As fairseq 1.0 does: options in two namespaces of `cfg`, buffers among the weights, and a training state."""
    options = argparse.Namespace(**settings)
    checkpoint = {
        "args": None,
        "cfg": {"_name": None, "task": argparse.Namespace(data="data-bin/nlsy"), "model": options},
        "model": {**weights, "decoder.version": torch.tensor([3.0])},
        "optimizer_history": [{"num_updates": 5000, "lr_scheduler_state": {"best": 2.5}}],
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(2)}}},
        "extra_state": {"epoch": 3, "best": 2.5},
    }
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def oracle(shared):
    return shared / "oracle"


@pytest.fixture
def dictionaries(oracle, tmp_path):
    for name, symbols in json.loads((oracle / "dictionaries.json").read_text()).items():
        assert tuple(symbols["symbols"][:4]) == SPECIALS
        write_dictionary(tmp_path / "data-bin" / name, symbols["symbols"][4:], symbols["count"][4:])
    return tmp_path / "data-bin"


def sequences(oracle):
    """The oracle's people but the last, whose years are no years, as careers."""
    rows = json.loads((oracle / "sequences.json").read_text())[:-1]
    frame: dict[str, list] = {name: [] for name in ["person", "year", "occupation", "education", *STATIC]}
    for person, row in enumerate(rows):
        steps = len(row["job"])
        frame["person"] += [f"{person:03d}"] * steps
        frame["year"] += [int(year) for year in row["year"]]
        frame["occupation"] += row["job"]
        frame["education"] += row["education"]
        for name in STATIC:
            frame[name] += [row[name]] * steps
    return from_frame(frame, covariates=["education"], static=STATIC)


@pytest.mark.parametrize("case", CASES)
def test_the_oracles_careers_score_as_in_the_original_program(oracle, dictionaries, tmp_path, case):
    arrays = np.load(oracle / case / "oracle.npz")
    path = write_checkpoint(
        tmp_path / "checkpoint_best.pt", load_file(oracle / case / "weights.safetensors"), CASES[case]
    )
    model, processor = convert_checkpoint(path, dictionaries)
    careers = sequences(oracle)
    table = transition_table(model, careers, processor, split="test")
    scored = arrays["mask"][: len(careers)]
    expected = arrays["token_logprob_f64"][: len(careers)][scored]
    assert len(table) == len(expected)
    np.testing.assert_allclose(table["log_prob"], expected, atol=2e-5, rtol=0)


def test_the_command_saves_a_folder_that_loads_and_scores_alike(oracle, dictionaries, tmp_path):
    case = "a_career_two_stage_cov"
    path = write_checkpoint(
        tmp_path / "checkpoint_best.pt", load_file(oracle / case / "weights.safetensors"), CASES[case]
    )
    done = CliRunner().invoke(
        app, ["convert", str(path), "--dictionaries", str(dictionaries), "--output", str(tmp_path / "converted")]
    )
    assert done.exit_code == 0, done.output
    model, processor = convert_checkpoint(path, dictionaries)
    careers = sequences(oracle).select(range(4))
    batch = processor(careers)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "converted")
    saved = CareerProcessor.from_pretrained(tmp_path / "converted")
    assert saved.to_dict() == processor.to_dict()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**saved(careers)).logits, model(**batch).logits, rtol=0, atol=0)


def small(tmp_path, missing=False):
    """A tiny regression of the original's, with one covariate, as files."""
    generator = torch.Generator().manual_seed(0)
    jobs, levels = ["cook", "waiter", "madeupword0000"], ["missing" if missing else "ba", "ma"]
    write_dictionary(tmp_path / "data-bin" / "job", jobs)
    write_dictionary(tmp_path / "data-bin" / "education", levels)
    shapes = {"current_job.weight": (7, 7), "education.weight": (6, 7), "bias": (7,)}
    weights = {f"decoder.embed_{name}": torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    return (
        write_checkpoint(tmp_path / "small.pt", weights, {"include_education": True}),
        tmp_path / "data-bin",
        weights,
    )


@pytest.mark.parametrize("missing", [False, True])
def test_missing_levels_read_the_row_that_the_original_reads(tmp_path, missing):
    path, dictionaries, weights = small(tmp_path, missing)
    model, processor = convert_checkpoint(path, dictionaries)
    levels = processor.covariate_levels[0]
    assert levels == (["missing", "<unk>", "ma"] if missing else ["missing", "<unk>", "ba", "ma"])
    tables = model.state_dict()["covariates.education.weight"]
    original = weights["decoder.embed_education.weight"]
    torch.testing.assert_close(tables[0], original[4 if missing else 3])
    torch.testing.assert_close(tables[levels.index("ma")], original[5])


def test_occupations_outside_the_dictionary_are_unknown_and_specials_are_none(tmp_path):
    path, dictionaries, _ = small(tmp_path)
    _, processor = convert_checkpoint(path, dictionaries)
    assert processor.occupations == [*SPECIALS, "cook", "waiter", "madeupword0000"]
    assert processor.special_token_ids == [0, 1, 2, 6]
    assert processor.occupation_ids(["cook", "judge"]).tolist() == [4, 3]


class Code:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"model": {}, "extra_state": Code(tmp_path / "executed")}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="weights and plain values"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "executed").exists()


def test_bad_files_are_named(tmp_path):
    path, dictionaries, _ = small(tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        read_checkpoint(tmp_path / "nowhere.pt")
    whole = path.read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.pt cannot be read"):
        read_checkpoint(tmp_path / "half.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="no entry 'model'"):
        read_checkpoint(tmp_path / "list.pt")
    with pytest.raises(ValueError, match="none of"):
        convert_checkpoint(write_checkpoint(tmp_path / "other.pt", {}, {"include_year": False}), dictionaries)
    write_dictionary(dictionaries / "education", ["ba", "ma", "phd"])
    with pytest.raises(ValueError, match="dictionary of education has 7 symbols, but the checkpoint has 6"):
        convert_checkpoint(path, dictionaries)
    (dictionaries / "education" / "dict.txt").write_text("ba 3\nma\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: 'ma' is not a symbol and its count"):
        convert_checkpoint(path, dictionaries)
    (dictionaries / "education" / "dict.txt").write_text("ba 3\nba 2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="twice"):
        read_dictionary(dictionaries / "education" / "dict.txt")
    (dictionaries / "education" / "dict.txt").unlink()
    with pytest.raises(ValueError, match="there is no dictionary"):
        convert_checkpoint(path, dictionaries)


def test_settings_that_the_checkpoint_lacks_are_asked_for(oracle, dictionaries, tmp_path):
    weights = load_file(oracle / "c_career_two_stage_nocov" / "weights.safetensors")
    path = write_checkpoint(tmp_path / "bare.pt", weights, {})
    with pytest.raises(ValueError, match="decoder_attention_heads"):
        convert_checkpoint(path, dictionaries)
    model, _ = convert_checkpoint(path, dictionaries, settings={"decoder_attention_heads": 2})
    assert model.config.num_attention_heads == 2
