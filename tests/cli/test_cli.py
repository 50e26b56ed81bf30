"""The command line from raw careers to a scored checkpoint, and what a user of the package meets first."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
import torch
from command_output import words
from datasets import DatasetDict
from huggingface_hub import ModelCard, constants
from typer.main import get_command
from typer.testing import CliRunner

import career_hf
from career_hf.careers import load_careers, save_careers
from career_hf.cli.app import app
from career_hf.cli.console import show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import bootstrap_perplexity
from career_hf.evaluation.metrics import perplexity as perplexity_of
from career_hf.first_steps import MAX_STEPS, quickstart
from career_hf.rivals.markov import MarkovForOccupationPrediction


README = Path(__file__).parents[2] / "README.md"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def test_import_is_light_and_registers_with_the_auto_classes():
    code = (
        "import sys, career_hf; heavy = {'pandas', 'matplotlib', 'datasets', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy; from transformers import AutoConfig; AutoConfig.for_model('career')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data(folder):
    run("prepare", "keane-wolpin", "--output", folder / "careers")
    return folder / "careers"


def test_prepare_writes_careers_with_their_ledger_and_split(data):
    assert json.loads((data / "split.json").read_text())["splits"]["train"]["people"] == 957
    entries = json.loads((data / "ledger.json").read_text())["entries"]
    assert entries[0]["rows_in"] == 39_675


def test_train_evaluate_and_finetune(folder, data):
    short = ["--covariates", "year,schooling", "--max-steps", "20", "--eval-steps", "10", "--tokens-per-batch", "2000"]
    short += ["--warmup-steps", "5", "--learning-rate", "2e-3"]
    # The paper's rate does not depend on the number of updates, so that there may be more of them.
    two = ["--data", data, "--output", folder / "two", "--recipe", "paper", *short]
    assert "at most 20 updates of" in run("train", *two)
    run("train", *two, "--max-steps", "30", "--resume")
    run("train", "--data", data, "--output", folder / "one", "--one-stage", *short)
    run("train", "--data", data, "--output", folder / "markov", "--model", "markov-2", "--tune-smoothing")
    run("train", "--data", data, "--output", folder / "jobs", "--model", "bag-of-jobs", *short)
    run("finetune", folder / "two", "--data", data, "--output", folder / "tuned", *short[2:])
    tuned = CareerProcessor.from_pretrained(folder / "tuned").training_stages
    assert [stage["stage"] for stage in tuned] == ["training", "finetuning"]
    assert [stage["source"]["source"] for stage in tuned] == ["keane-wolpin"] * 2
    assert [stage["run"]["updates"] for stage in tuned] == [30, 20] and tuned[0]["run"]["resumed_at"] == 20
    for trained in ("two", "one", "markov", "jobs", "tuned"):
        card = ModelCard.load(folder / trained / "README.md")
        assert card.data.license == "mit" and "Keane and Wolpin" in card.text and "It printed:" in card.text
    models = [f"two-stage={folder / 'two'}", f"two-stage={folder / 'tuned'}", f"one-stage={folder / 'one'}"]
    models += [f"bag of jobs={folder / 'jobs'}"]
    run("evaluate", folder / "markov", *models, "--data", data, "--split", "validation", "--output", folder / "scores")
    summary = pd.read_csv(folder / "scores" / "summary.csv", index_col="model")
    assert list(summary.index) == [str(folder / "markov"), "two-stage", "one-stage", "bag of jobs"]
    assert summary.loc["two-stage", "seeds"] == 2
    level = bootstrap_perplexity(pd.read_parquet(folder / "scores" / "one-stage_0.parquet")).iloc[0]
    numbers = ["perplexity", "low", "high"]
    assert summary.loc["one-stage", numbers].tolist() == pytest.approx(level[numbers].tolist())
    assert (summary["perplexity"] < 5).all()  # five states: a model that knows nothing has 5
    assert all((folder / "scores" / f"differences.{kind}").exists() for kind in ("csv", "tex", "html"))
    table = pd.read_parquet(folder / "scores" / "two-stage_1.parquet")
    assert len(table) == summary["n"].iloc[0]


def test_survey_weights_are_used_in_counting_and_in_stopping(folder, data, tmp_path):
    splits = load_careers(data)
    weighted = DatasetDict(
        {name: own.add_column("weight", np.linspace(0.2, 5, len(own)).tolist()) for name, own in splits.items()}
    )
    save_careers(weighted, tmp_path / "careers", manifest=json.loads((data / "split.json").read_text()))
    given = ["train", "--data", tmp_path / "careers", "--model", "markov-1"]
    run(*given, "--output", tmp_path / "chain", "--weighted")
    # Without the switch nothing is weighted, as if there were no weights.
    run(*given, "--output", tmp_path / "plain")
    plain = MarkovForOccupationPrediction.from_pretrained(tmp_path / "plain")
    without = MarkovForOccupationPrediction.fit(
        CareerProcessor.from_pretrained(tmp_path / "plain").encode(splits["train"])[0],
        CareerProcessor.from_pretrained(tmp_path / "plain"),
    )
    assert torch.equal(plain.first_order.counts, without.first_order.counts)
    chain = MarkovForOccupationPrediction.from_pretrained(tmp_path / "chain")
    processor = CareerProcessor.from_pretrained(tmp_path / "chain")
    encoded, _ = processor.encode(weighted["train"])
    for use, same in ((True, True), (False, False)):
        counted = MarkovForOccupationPrediction.fit(encoded, processor, weighted=use)
        assert torch.allclose(counted.first_order.counts, chain.first_order.counts) is same
    short = ["--max-steps", "2", "--eval-steps", "1", "--tokens-per-batch", "2000"]
    run("train", "--data", tmp_path / "careers", "--output", tmp_path / "career", "--weighted", *short)
    states = sorted((tmp_path / "career" / "training").glob("checkpoint-*/trainer_state.json"))
    history = json.loads(states[-1].read_text())
    seen = [entry for entry in history["log_history"] if "eval_nll" in entry]
    best = [min(entry[name] for entry in seen) for name in ("eval_weighted_nll", "eval_nll")]
    assert history["best_metric"] == best[0] != best[1]


def test_simulated_careers_are_scored_against_the_truth(folder):
    market = folder / "market"
    run("simulate", "--preset", "tiny", "--output", market)
    run("train", "--data", market / "careers", "--output", folder / "chain", "--model", "markov-1", "--tune-smoothing")
    run("train", "--data", market / "careers", "--output", folder / "mixture", "--model", "mixture")
    models = [f"truth={market / 'truth'}", f"chain={folder / 'chain'}", f"mixture={folder / 'mixture'}"]
    options = ["--baseline", "chain", "--by", "gender,race", "--watch", "unemployed", "--recalibrate", "--draws", 100]
    printed = run("evaluate", *models, "--data", market / "careers", "--output", folder / "vs", *options)
    perplexity = pd.read_csv(folder / "vs" / "summary.csv", index_col="model")["perplexity"]
    assert perplexity["truth"] < perplexity[["chain", "mixture"]].min()
    names = ["differences", "accuracy", "calibration", "reliability", "recalibrations"]
    names += [f"by_{column}" for column in ("transition", "step", "year", "gender", "race")]
    assert all((folder / "vs" / f"{name}.{kind}").exists() for name in names for kind in ("csv", "tex", "html"))
    assert {path.stem for path in (folder / "vs").glob("*.png")} == {
        "levels",
        "by_transition",
        "by_step",
        "reliability",
    }
    table = pd.read_parquet(folder / "vs" / "chain_0.parquet")
    women = pd.read_csv(folder / "vs" / "by_gender.csv").set_index(["gender", "model"]).loc[("female", "chain")]
    assert women["perplexity"] == pytest.approx(perplexity_of(table[table["gender"] == "female"]))
    assert f"{women['perplexity']:.2f}" in printed and "entering unemployed" in printed
    changed = pd.read_parquet(folder / "vs" / "chain_0_recalibrated.parquet")
    recalibrated = pd.read_csv(folder / "vs" / "calibration.csv", index_col="model")["perplexity_recalibrated"]
    assert recalibrated["chain"] == pytest.approx(perplexity_of(changed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "shoe_size"], "columns to audit by are"),
        (["--baseline", "career"], "is none of"),
        (["--split", "all"], "none is 'all'"),
        (["--split", "validation", "--recalibrate"], "others have to be scored"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_models_are_loaded(data, options, message):
    result = CliRunner().invoke(app, ["evaluate", "chain=nowhere", "--data", str(data), *options])
    assert result.exit_code == 2 and message in words(result)


@pytest.mark.parametrize("command", ["evaluate", "forecast", "finetune", "transitions"])
def test_a_checkpoint_that_is_not_there_is_named_without_a_traceback(folder, data, monkeypatch, command):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    options = {"forecast": ["--cutoff", "24"], "finetune": ["--output", folder / "none"]}
    (folder / "empty").mkdir(exist_ok=True)
    for checkpoint, message in [("nowhere", "no folder 'nowhere'"), (folder / "empty", "empty' holds no checkpoint")]:
        arguments = [command, checkpoint, "--data", data, *options.get(command, [])]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 2 and message in words(result), words(result)


def test_evaluate_names_a_model_that_is_not_there_before_it_scores_the_others(folder, data, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    models = [f"good={folder / 'markov'}", "bad=nowhere"]
    result = CliRunner().invoke(app, ["evaluate", *models, "--data", str(data), "--output", str(folder / "never")])
    assert result.exit_code == 2 and "model 'bad': there is no folder 'nowhere'" in words(result)
    assert not (folder / "never").exists()


def test_no_card_is_written_of_a_folder_without_a_checkpoint(data, tmp_path):
    refused = CliRunner().invoke(app, ["card", str(tmp_path), "--data", str(data)])
    assert refused.exit_code == 2 and "holds no checkpoint" in words(refused)
    assert not list(tmp_path.iterdir())


def test_a_mistyped_folder_and_a_hub_that_is_away_are_said_at_once(data, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").write_text("no checkpoint")
    monkeypatch.chdir(tmp_path)
    # Nobody listens at this port.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = perf_counter()
    for checkpoint, message in {
        "runs/carer": "no folder 'runs/carer': give",
        "./carer": "no folder './carer': give",
        "/no/such/place": "no folder '/no/such/place': give",
        "file": "'file' is a file",
        "someone/career": "cannot be loaded from the Hub",
    }.items():
        result = CliRunner().invoke(app, ["transitions", checkpoint, "--data", str(data)])
        assert result.exit_code == 2 and message in result.output, result.output
        assert result.stderr.count("Error: ") == 1
    assert perf_counter() - started < 10


def test_resumes_are_drawn_and_can_be_drawn_on(folder):
    for _ in range(2):
        printed = run("simulate", "--preset", "resume", "--people", 60, "--departure", 0.5, "--output", folder / "cvs")
        assert "60 people in" in printed
    assert (folder / "cvs" / "part-00000.parquet").exists()


def test_numbers_that_a_command_has_by_default_are_those_of_its_function():
    differing = []
    for name, command in get_command(app).commands.items():
        function = getattr(career_hf, name.replace("-", "_"), None)
        if hasattr(command, "commands") or not callable(function):
            continue
        parameters = inspect.signature(function).parameters
        for option in command.params:
            of_function = parameters[option.name].default if option.name in parameters else None
            if isinstance(of_function, int | float) and option.default not in (None, of_function):
                differing.append((name, option.name, option.default, of_function))
    assert not differing
    assert f"{MAX_STEPS} if left out" in words(CliRunner().invoke(app, ["quickstart", "--help"]))


def test_quickstart_beats_both_markov_chains(tmp_path):
    result = quickstart(tmp_path, max_steps=150)
    perplexity = result.summary["perplexity"]
    assert perplexity["CAREER"] < perplexity.drop("CAREER").min()
    assert (result.checkpoint / "model.safetensors").exists()
    totals = result.forecasts.groupby(["person", "year"], observed=True)["probability"].sum()
    assert len(totals) == 15 and totals.sub(1).abs().max() < 1e-5
    # The tutorial's first lines of Python load this checkpoint.
    tutorial = README.parent / "docs" / "tutorials" / "quickstart.md"
    snippet = re.search(r"```python\n(.+?)\n```", tutorial.read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(snippet.replace("runs/quickstart/career", str(result.checkpoint)), names)
    probabilities = names["log_probabilities"].exp()
    assert probabilities.shape[:2] == (1, 3) and (probabilities.sum(-1) - 1).abs().max() < 1e-5


def test_learning_rates_are_printed_as_they_were_given(capsys):
    show(pd.DataFrame({"rate": [5e-4, 1.6e-2, np.nan], "hours": [0.0205, 1.5, 2.0]}, index=["a", "b", "c"]), "Cost")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()[4:7]]
    assert rows == [["a", "0.0005", "0.021"], ["b", "0.016", "1.500"], ["c", "", "2"]]


@pytest.mark.parametrize("marker", ["quickstart command", "test command"])
def test_readme_has_the_two_commands(marker):
    block = re.search(rf"<!-- {marker} -->\n```bash\n(.+?)\n```", README.read_text(), re.DOTALL)
    assert block and "-c constraints.txt" in block[1]
