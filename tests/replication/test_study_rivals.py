"""The study of rivals, at a size at which nothing is learned but everything runs."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from replication import rivals as study
from replication.rivals_page import page
from replication.rivals_tables import load, rivals

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity, stay_auc
from career_hf.sharing.publishing import licence_problems
from career_hf.simulation import ResumeConfig, preset, save_simulation, write_resume_card, write_resumes


BUDGET = study.Budget(
    trials=2,
    seeds=2,
    tokens_per_batch=400,
    most_steps=2,
    warmup_steps=1,
    eval_steps=1,
    draws=20,
    pretraining_steps=10,
)
COVARIATES = ("year", "education", "gender")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    market = preset("tiny").simulate(120)
    save_simulation(market, folder)
    resumes = folder / "resumes"
    write_resume_card(resumes, write_resumes(market.world, ResumeConfig(people=100), resumes))
    return folder


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rivals")
    made = study.Study(folder, data / "careers", COVARIATES, BUDGET, data / "truth", data / "resumes")
    return made, rivals(made, workers=1)


def test_every_rival_is_tuned_alike_and_has_every_seed(done):
    made, found = done
    # As many trials for each, whether in rates alone or in rates and sizes.
    assert set(found.costs["trials"]) == {BUDGET.trials}
    tables = load(made.folder / "tables")
    names = {trial.name for trial in study.trials(made)}
    counted = {"Markov chain, order 1", "Markov chain, order 2", "mixture of Markov chains"}
    assert set(tables) == names | counted | {study.TREES, study.FLOOR}
    assert all(len(tables[name]) == BUDGET.seeds for name in names)
    for name in ("figure_2a", "table_4", "table_5", "table_8", "figure_4", "costs"):
        assert len(pd.read_csv(made.folder / f"{name}.csv")) > 0
    assert (made.folder / "rivals.png").stat().st_size > 10_000


def test_checkpoints_say_what_they_were_trained_on(done):
    made, _ = done
    folder = next(path for path in (made.folder / "models").iterdir() if path.name.startswith("CAREER, pretrained"))
    resumes, survey = CareerProcessor.from_pretrained(folder).training_stages
    assert (resumes["source"]["source"], survey["source"]["source"]) == ("simulated-resumes", "simulated")
    years = [year for years in made.splits()["train"]["year"] for year in years]
    assert (survey["source"]["first_year"], survey["source"]["last_year"]) == (min(years), max(years))
    assert not licence_problems([resumes, survey])[0]


def test_the_best_trial_is_the_one_that_validation_likes_best(done):
    made, _ = done
    for chosen in study.best(made):
        states = {
            trial.folder: json.loads((made.folder / "models" / trial.folder / "trainer_state.json").read_text())
            for trial in study.trials(made)
            if trial.name == chosen.name
        }
        assert min(states, key=lambda name: states[name]["best_metric"]) == chosen.folder


def test_tables_hold_what_transition_tables_say(done):
    made, found = done
    tables, groups = load(made.folder / "tables"), load(made.folder / "groups")
    name = "NEMO, two stages"
    mean = np.mean([np.log(perplexity(table)) for table in tables[name]])
    assert found.figure_2a.loc[name, "perplexity"] == pytest.approx(np.exp(mean))
    assert found.table_5.loc[name, "moving"] == pytest.approx(np.mean([stay_auc(table) for table in tables[name]]))
    one = np.mean([np.log(perplexity(table)) for table in tables["NEMO, one stage"]])
    assert found.table_8.loc["NEMO", "difference"] == pytest.approx(mean - one)
    kinds = found.table_4.set_index(["cut", "model"])
    # What an occupation that training never saw was, nobody can say.
    known = tables[name][0][~tables[name][0]["unknown"]]
    counts = ["n_stay", "n_return", "n_new"]
    assert kinds.loc[("as in the paper", name), counts].sum() == len(known)
    later = kinds.loc[("from the second step on", name), counts].sum()
    assert later == (known["step"] > 0).sum()
    without = kinds.loc[("without A-B-A", name)]
    assert (
        without["n_return"] == kinds.loc[("from the second step on", name), "n_return"] - tables[name][0]["aba"].sum()
    )
    # To move within a group is to stay in it.
    assert kinds.loc[("broad groups", name), "n_stay"] > kinds.loc[("from the second step on", name), "n_stay"]
    assert len(groups[name][0]) == len(tables[name][0])
    alone = kinds.loc[("A-B-A alone", name)]
    assert alone["n_return"] == tables[name][0]["aba"].sum() and alone["n_stay"] == alone["n_new"] == 0
    aucs = [stay_auc(table) for table in groups[name]]
    assert found.table_5.loc[name, "moving, broad groups"] == pytest.approx(np.mean(aucs))
    aucs = [stay_auc(table[~table["aba"]]) for table in tables[name]]
    assert found.table_5.loc[name, "moving, without A-B-A"] == pytest.approx(np.mean(aucs))
    floor, chain = (np.log(perplexity(tables[other][0])) for other in (study.FLOOR, "Markov chain, order 1"))
    row = found.figure_2a.loc[name]
    for column, how in (("per_person", {"per_person": True}), ("weighted", {"weighted": True})):
        assert row[column] == pytest.approx(np.exp(np.mean([np.log(perplexity(t, **how)) for t in tables[name]])))
    assert row["over_floor"] == pytest.approx(np.exp(mean - floor))
    assert row["gap_closed"] == pytest.approx((chain - mean) / (chain - floor))


def test_the_page_has_every_model_in_every_table(done):
    made, found = done
    text = (made.folder / "tables.md").read_text()
    assert text.count("\n| CAREER, two stages ") == 4  # of Figure 2a, Tables 4 and 5, and costs
    level = found.figure_2a.loc["CAREER, two stages"]
    assert f"{level['perplexity']:.2f} [{level['low']:.2f}, {level['high']:.2f}]" in text
    assert "nan" not in text


def test_the_papers_numbers_stand_beside_careers_that_were_not_simulated(done):
    _, found = done
    assert not any(name in page(found) for name in ("paper's NLSY79", "paper's PSID"))
    real = page(replace(found, figure_2a=found.figure_2a.drop(columns=["over_floor", "gap_closed"])))
    _, table_4, table_5, _ = (line for line in real.splitlines() if line.startswith("| NEMO, two stages "))
    assert "| 1.99 / 30.8 / 105.0 |" in table_4 and table_5.split("|")[3].strip() == "0.731"
    assert real.count("paper's NLSY79") == 2 and real.count("paper's PSID") == 1


def test_what_is_finished_is_not_run_again(done):
    made, _ = done
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.parquet")}
    models = {path: path.stat().st_mtime_ns for path in made.folder.rglob("model.safetensors")}
    lost = made.folder / "tables" / study.TREES / "0.parquet"
    kept = pd.read_parquet(lost)
    lost.unlink()
    study.run(made, workers=1)
    written = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert written == {lost, made.folder / "groups" / study.TREES / "0.parquet"}
    pd.testing.assert_frame_equal(pd.read_parquet(lost), kept)
    assert models == {path: path.stat().st_mtime_ns for path in made.folder.rglob("model.safetensors")}


def test_pretraining_has_its_rows_with_one_stage_beside_two(done):
    _, found = done
    pretrained = found.figure_2a.index[found.figure_2a.index.str.startswith("CAREER, pretrained")]
    assert len(pretrained) == 2
    assert found.table_8.loc["CAREER, pretrained", ["difference", "low", "high"]].notna().all()


def test_every_model_may_have_eight_trials_and_warms_up_within_a_tenth():
    plan = study.Study(Path("study"), Path("careers"), COVARIATES, resumes=Path("resumes"))
    budget, planned = plan.budget, study.trials(plan)
    assert {sum(trial.name == name for trial in planned) for name in {trial.name for trial in planned}} == {8}
    assert len({trial.folder for trial in planned}) == len(planned)
    assert budget.warmup_steps <= budget.most_steps / 10


def test_few_trials_vary_the_rate_and_the_fields():
    fields = [{}, {"size": 1}, {"size": 2}, {"size": 3}]
    pairs = study.diagonal((3e-3, 6e-3), fields)
    assert sorted(pairs, key=str) == sorted(itertools.product((3e-3, 6e-3), fields), key=str)
    assert pairs[0] == (3e-3, {})
    for few in (3, 4):
        rates, sizes = zip(*((rate, str(what)) for rate, what in pairs[:few]), strict=True)
        assert len(set(rates)) > 1 and len(set(sizes)) > 1


def test_the_papers_recipe_is_appendix_gs():
    """Rates and warmups of Appendix G, with its batches, and its schedule and patience."""
    budget = study.Budget(paper=True, stages=(2,))
    plan = study.Study(Path("study"), Path("careers"), COVARIATES, budget, resumes=Path("resumes"))
    planned = study.trials(plan)
    assert len(planned) == len(plan.rivals) and not any(trial.fields for trial in planned)
    found = {trial.rival: trial.settings(plan) for trial in planned}
    warmups = {rival: (settings["learning_rate"], settings["warmup_steps"]) for rival, settings in found.items()}
    assert warmups == {
        "Markov regression": (5e-4, 4_000),
        "NEMO": (5e-4, 500),
        "job representation": (5e-3, 5_000),
        "Job2Vec": (5e-3, 5_000),
        "bag of jobs": (5e-4, 5_000),
        "CAREER": (5e-4, 500),
        "CAREER, pretrained": (1e-4, 500),
    }
    given = {"learning_rate", "seed", "warmup_steps", "max_steps"}
    assert all(set(settings) == given for settings in found.values())


def test_with_the_papers_recipe_nothing_is_tuned_and_the_same_tables_come_out(data, tmp_path):
    budget = replace(BUDGET, paper=True, stages=(2,), most_steps=1)
    made = study.Study(tmp_path, data / "careers", COVARIATES, budget)
    found = rivals(made, workers=1)
    trained = found.costs[~found.costs.index.str.startswith(study.TREES)]
    assert set(trained.index) == {trial.name for trial in study.trials(made)}
    assert set(trained["trials"]) == {1} and set(trained["updates"]) == {BUDGET.seeds}
    assert trained.loc["NEMO, two stages", "rate"] == 5e-4
    assert found.figure_2a.loc["NEMO, two stages", "seeds"] == BUDGET.seeds


def test_a_folder_belongs_to_one_study(done):
    made, _ = done
    with pytest.raises(ValueError, match="other settings"):
        rivals(replace(made, covariates=("year",)))
