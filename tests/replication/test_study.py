"""The framework of studies: what is tuned, frozen and trained, going on after a stop, results on disk, the command."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from replication import __main__ as program
from replication.study import Study, StudyResult, StudySettings, Trial, page_of, studies, whiskers, with_interval
from replication.survey import SurveySettings, keep_survey, split_survey, train_from_scratch
from transformers import Trainer
from transformers.utils import logging
from typer.testing import CliRunner

from career_hf import CareerProcessor
from career_hf.training.cells import run_jobs


@dataclass(frozen=True)
class ToyStudy(Study):
    """Two models and two rates; a model's validation NLL is known beforehand, and its test score is its rate."""

    settings: StudySettings = StudySettings(seeds=2)

    def trials(self):
        return [
            Trial(model, rate, fields=fields) for model in "ab" for rate in (0.1, 0.2) for fields in ({}, {"n": 2})
        ]

    def train(self, trial):
        self.place(trial.folder).mkdir(parents=True)
        best = abs(trial.rate - (0.2 if trial.model == "b" else 0.1)) + 0.5 * (not trial.fields)
        state = {"global_step": 7, "best_metric": best, "log_history": [{"train_runtime": 36.0}]}
        (self.place(trial.folder) / "trainer_state.json").write_text(json.dumps(state))

    def score(self, trial):
        if not self.place(trial.folder).exists():
            self.train(trial)
        path = self.folder / "tables" / trial.model / f"{trial.seed}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"rate": [trial.rate]}).to_parquet(path)

    def report(self):
        rates = {name: tables[0]["rate"].item() for name, tables in self.tables().items()}
        figure = Figure()
        figure.subplots().plot([0, 1])
        table = pd.DataFrame({"rate": rates}).rename_axis("model")
        return StudyResult({"rates": table, "numbered": table.reset_index()}, {"rates": figure}, "### Rates")


def test_the_best_trial_of_each_model_is_frozen_and_trained_with_every_seed(tmp_path):
    study = ToyStudy(tmp_path)
    result = study.run(workers=1)
    assert {name: (trial.rate, trial.fields) for name, trial in study.best().items()} == {
        "a": (0.1, {"n": 2}),
        "b": (0.2, {"n": 2}),
    }
    assert {path.name for path in (tmp_path / "models").iterdir()} == {trial.folder for trial in study.trials()} | {
        "a, 0.1, n=2, 1",
        "b, 0.2, n=2, 1",
    }
    assert {name: len(tables) for name, tables in study.tables().items()} == {"a": 2, "b": 2}
    log = study.training_of("a")
    assert len(log) == 5 and log["updates"].sum() == 35 and log["hours"].sum() == pytest.approx(0.05)
    assert result["rates"]["rate"].to_dict() == {"a": 0.1, "b": 0.2}
    assert (tmp_path / "rates.csv").read_text() == "model,rate\na,0.1\nb,0.2\n"
    assert (tmp_path / "numbered.csv").read_text() == "model,rate\na,0.1\nb,0.2\n"
    assert (tmp_path / "tables.md").read_text() == "### Rates\n"
    assert (tmp_path / "rates.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_there_is_not_trained_again_and_a_folder_belongs_to_one_study(tmp_path):
    study = ToyStudy(tmp_path)
    study.run(workers=1)
    study.run(workers=1)  # a folder that is there cannot be made again
    with pytest.raises(ValueError, match="holds a study with other settings"):
        replace(study, settings=StudySettings(seeds=3)).run(workers=1)


def test_numbers_are_written_as_each_table_says(tmp_path):
    table = pd.DataFrame({"x": [1 / 3]})
    StudyResult({"one": table, "other": table}).save(tmp_path, {"one": "%.2f"})
    assert (tmp_path / "one.csv").read_text() == "x\n0.33\n"
    assert pd.read_csv(tmp_path / "other.csv")["x"].item() == 1 / 3


def test_intervals_as_text_and_as_whiskers():
    table = pd.DataFrame({"value": [1.5, np.nan], "low": [1.0, np.nan], "high": [1.75, np.nan]}, index=["a", "b"])
    assert with_interval(table, "value", "low", "high", 2, "+").tolist() == ["+1.50 [+1.00, +1.75]", ""]
    np.testing.assert_allclose(whiskers(table.iloc[:1], "value"), [[0.5], [0.25]])
    page = page_of({"A table": table[["value"]].rename_axis("name"), "Nothing": table.iloc[:0]})
    assert page.startswith("### A table\n\n| name") and "nan" not in page and "Nothing" not in page


SMALL = SurveySettings(
    occupations=24,
    families=6,
    types=3,
    recipes=2,
    train_people=40,
    validation_people=20,
    test_people=2,
    layers=1,
    hidden_size=8,
    heads=1,
    most_steps=6,
    eval_steps=2,
    warmup_steps=1,
    tokens_per_batch=500,
)


def test_a_cell_that_was_stopped_goes_on_from_its_last_checkpoint_to_the_same_model(tmp_path, monkeypatch):
    world = keep_survey(tmp_path / "survey", SMALL, SMALL.market())
    splits = split_survey(tmp_path / "survey", SMALL)
    careers = splits["train"], splits["validation"], world.labels
    whole, _ = train_from_scratch(tmp_path / "whole", SMALL, *careers, rate=1e-2, seed=0)
    step, steps = Trainer.training_step, []

    def stop_at_the_sixth(*arguments, **options):
        steps.append(None)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            train_from_scratch(tmp_path / "stopped", SMALL, *careers, rate=1e-2, seed=0)
    assert not (tmp_path / "stopped").exists()
    model, processor = train_from_scratch(tmp_path / "stopped", SMALL, *careers, rate=1e-2, seed=0)
    assert processor.training_stages[-1]["run"]["resumed_at"] == 4
    for name, weight in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert {path.name for path in tmp_path.iterdir()} == {"survey", "whole", "stopped"}
    assert isinstance(processor, CareerProcessor)


def test_one_worker_shows_progress_of_every_stage(capsys):
    shown = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        for what in ("Trials", "Further seeds"):
            run_jobs(what, [lambda: None], workers=1)
    finally:
        if not shown:
            logging.disable_progress_bar()
    printed = capsys.readouterr().err
    assert "Trials: 100%" in printed and "Further seeds: 100%" in printed


def test_every_study_is_a_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["replication", "--help"])
    with pytest.raises(SystemExit):
        program.main()
    help_text = CliRunner().invoke(studies, ["--help"]).output
    names = (
        "ablations figure5 findings gap-worlds likeness market-figures market-fit markets rationales rivals table1 "
        "table2 table3 titles"
    )
    for name in (*names.split(), "volume", "wage-gap"):
        assert re.search(rf"\b{name}\b", help_text), name


def test_a_study_says_what_to_install_before_it_starts(monkeypatch):
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install 'career_hf\[studies\]'"):
        program.main()


def test_what_a_study_says_is_wrong_has_no_traceback(tmp_path):
    import replication.volume  # noqa: F401  # registers its command

    result = CliRunner().invoke(studies, ["volume", "--output", str(tmp_path), "--volumes", "0,1"])
    assert result.exit_code == 2 and "four different positive numbers" in re.sub(r"[│\s]+", " ", result.output)
