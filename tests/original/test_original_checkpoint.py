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
from career_hf.forecasting.forecast import forecast
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


def converted(oracle, dictionaries, tmp_path, case, **kwargs):
    weights = load_file(oracle / case / "weights.safetensors")
    return convert_checkpoint(
        write_checkpoint(tmp_path / "checkpoint_best.pt", weights, CASES[case]), dictionaries, **kwargs
    )


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_of_a_forecast_is_what_evaluate_scores(oracle, dictionaries, tmp_path, case):
    model, processor = converted(oracle, dictionaries, tmp_path, case)
    model = model.double()
    careers = sequences(oracle).filter(lambda career: len(career["year"]) > 1)
    # An occupation that is not in the dictionary is <unk>, which the original predicts like any other.
    careers = careers.map(
        lambda career, i: {"occupation": [*career["occupation"][:-1], "judge"]} if i % 8 == 0 else {},
        with_indices=True,
    )
    histories = careers.map(
        lambda career: {name: career[name][:-1] for name in ("year", "occupation", "education")},
        features=careers.features,
    )
    scores = transition_table(model, careers, processor).groupby("person", observed=True).last()
    assert scores["unknown"].sum() == 4
    for year in sorted({career["year"][-1] for career in careers}):
        people = [i for i, career in enumerate(careers) if career["year"][-1] == year]
        result = forecast(
            model, histories.select(people), processor, years=[year], covariates=careers.select(people), samples=10
        )
        for person, career in enumerate(careers.select(people)):
            label = career["occupation"][-1]
            label = label if label in result.occupations else "<unk>"
            log_prob = np.log(result.probability[person, 0, result.occupations.index(label)].astype(np.float64))
            assert log_prob == pytest.approx(scores.loc[career["person"], "log_prob"], abs=1e-6)
        # The rest is at ids that are no occupations.
        np.testing.assert_allclose(result.probability.sum(-1) + result.special, 1, atol=1e-6)
        assert (result.special > 1e-3).all()


def test_a_forecast_goes_through_occupations_only(oracle, dictionaries, tmp_path):
    model, processor = converted(oracle, dictionaries, tmp_path, "a_career_two_stage_cov")
    careers = sequences(oracle).filter(lambda career: 1990 <= career["year"][-1] <= 2010)
    result = forecast(model, careers, processor, horizon=3, samples=500, trajectories=True)
    special = {processor.occupations[i] for i in processor.special_token_ids}
    assert not special & set(result.occupations)
    assert {result.occupations[i] for i in np.unique(result.trajectories.occupation)} <= set(result.occupations)
    assert (result.trajectories.count.reshape(-1).sum()) == 500 * len(careers)
    np.testing.assert_allclose(result.probability.sum(-1) + result.special, 1, atol=1e-5)
    # Among the levels of the year are "missing" and <unk>, which are no years.
    row = {"person": ["a"], "year": [1970], "occupation": ["15-1252"], "education": ["masters"]}
    early = from_frame(row | {name: ["<unk>"] for name in STATIC}, covariates=["education"], static=STATIC)
    with pytest.raises(ValueError, match="'1970' of covariate 'year' is not among the trained years, 1980 to 2019"):
        forecast(model, early, processor, years=[1971])
    with pytest.raises(ValueError, match="year 1971 lies before 1980, the first year that was trained on"):
        forecast(model, early, processor, years=[1971], unknown_levels="missing")


@pytest.mark.parametrize("case", CASES)
def test_covariates_are_renamed_and_the_model_is_the_same(oracle, dictionaries, tmp_path, case):
    new_names = {"location": "region", "ethnicity": "race", "education": "schooling"} if "nocov" not in case else {}
    model, processor = converted(oracle, dictionaries, tmp_path, case)
    renamed, other = converted(oracle, dictionaries, tmp_path, case, rename=new_names, output=tmp_path / "renamed")
    assert other.covariate_names == [new_names.get(name, name) for name in processor.covariate_names]
    careers = sequences(oracle)
    expected = transition_table(model, careers, processor)["log_prob"]
    named = careers.rename_columns(new_names) if new_names else careers
    assert transition_table(renamed, named, other)["log_prob"].equals(expected)
    assert transition_table(tmp_path / "renamed", named)["log_prob"].equals(expected)
    if new_names:
        with pytest.raises(
            ValueError, match=r"no covariate 'schooling'.*rename_column\(COLUMN, 'schooling'\).*--rename"
        ):
            transition_table(renamed, careers, other)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"region": "location"}, "'region' is none of the checkpoint's covariates, which are \\['education'\\]"),
        ({"education": "occupation"}, "'education' cannot be 'occupation', because"),
        ({"education": "my school"}, "'my school' for 'education' is no name"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, rename, message):
    path, dictionaries, _ = small(tmp_path)
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(path, dictionaries, rename=rename)


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
    renaming = ["--rename", "location=region", "--rename", "ethnicity=race", "--output", str(tmp_path / "renamed")]
    done = CliRunner().invoke(app, ["convert", str(path), "--dictionaries", str(dictionaries), *renaming])
    assert done.exit_code == 0 and "'region', 'race', 'gender'" in done.output, done.output
    done = CliRunner().invoke(
        app, ["convert", str(path), "--dictionaries", str(dictionaries), *renaming, "--rename", "a"]
    )
    assert done.exit_code == 2 and "OLD=NEW" in done.output
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
