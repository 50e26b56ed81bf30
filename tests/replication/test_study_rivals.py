"""The study of rivals, at a size at which nothing is learned but everything runs."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_points import points_of
from replication import rivals as study
from replication.rivals import figure_2a, figure_4, rivals_page, table_4, table_5, table_8

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity, stay_auc
from career_hf.rivals.mixture import tune_mixture
from career_hf.sharing.publishing import licence_problems
from career_hf.simulation import ResumeConfig, preset, save_simulation, write_resume_card, write_resumes


SMALL = study.RivalsSettings(
    trials=1,
    seeds=1,
    tokens_per_batch=400,
    most_steps=2,
    warmup_steps=1,
    eval_steps=1,
    draws=20,
    pretraining_steps=10,
)
COVARIATES = ("year", "education", "gender")


NAME = "Job2Vec, two stages"
EVERY_RIVAL = dict(study.RIVALS)


@pytest.fixture(scope="module", autouse=True)
def few_rivals():
    """All rivals take the same way through the study; two are enough to show it, and a small mixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "RIVALS", {name: study.RIVALS[name] for name in ("Job2Vec", study.CAREER)})
        small = partial(tune_mixture, num_chains=[2], strengths=[1.0], restarts=1)
        patch.setitem(study.COUNTED, "mixture of Markov chains", small)
        yield


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
    made = study.RivalsStudy(
        tmp_path_factory.mktemp("rivals"),
        SMALL,
        data=data / "careers",
        covariates=COVARIATES,
        truth=data / "truth",
        resumes=data / "resumes",
    )
    return made, made.run(workers=1)


@pytest.fixture(scope="module")
def tables(done):
    """Transition tables and those of groups of a few models. The rival has two seeds: the second is one that is
    likelier by a tenth of a nat."""

    def few(by_model):
        (table,) = by_model[NAME]
        two = [table, table.assign(log_prob=table["log_prob"] + 0.1)]
        others = ("Job2Vec, one stage", study.BASELINE, study.MARKOV, study.FLOOR)
        return {NAME: two} | {name: by_model[name] for name in others if name in by_model}

    return few(done[0].tables()), few(done[0].tables("groups"))


def test_every_rival_is_tuned_alike_and_has_its_tables(done):
    made, found = done
    # As many trials for each, whether in rates alone or in rates and sizes.
    assert set(found["costs"]["trials"]) == {SMALL.trials}
    assert set(made.tables()) == {*made.models, *study.COUNTED, study.TREES, study.FLOOR}
    for name in ("figure_2a", "table_4", "table_5", "table_8", "figure_4", "costs"):
        assert len(pd.read_csv(made.folder / f"{name}.csv")) == len(found[name]) > 0
    levels, kinds, steps = found.figures["rivals"].axes
    assert len(levels.get_yticklabels()) == len(found["figure_2a"])
    drawn = sorted(float(point) for point in points_of(levels)[:, 0])
    assert drawn == pytest.approx(sorted(found["figure_2a"]["perplexity"]))
    assert [label.get_text() for label in kinds.get_xticklabels()] and len(steps.lines) >= 3


def test_checkpoints_say_what_they_were_trained_on(done):
    made, _ = done
    folder = next(path for path in (made.folder / "models").iterdir() if path.name.startswith("CAREER, pretrained"))
    resumes, survey = CareerProcessor.from_pretrained(folder).training_stages
    assert (resumes["source"]["source"], survey["source"]["source"]) == ("simulated-resumes", "simulated")
    years = [year for years in made.splits()["train"]["year"] for year in years]
    assert (survey["source"]["first_year"], survey["source"]["last_year"]) == (min(years), max(years))
    assert not licence_problems([resumes, survey])[0]


def test_tables_hold_what_transition_tables_say(tables):
    (tables, groups), name = tables, NAME
    mean = np.mean([np.log(perplexity(table)) for table in tables[name]])
    assert figure_2a(tables, 20).loc[name, "perplexity"] == pytest.approx(np.exp(mean))
    accuracies = table_5(tables, groups)
    assert accuracies.loc[name, "moving"] == pytest.approx(np.mean([stay_auc(table) for table in tables[name]]))
    one = np.mean([np.log(perplexity(table)) for table in tables["Job2Vec, one stage"]])
    assert table_8(tables, 20).loc["Job2Vec", "difference"] == pytest.approx(mean - one)
    steps = figure_4(tables).query("model == @name").set_index("step")["perplexity"]
    first = pd.concat(tables[name]).query("step == 0")["log_prob"].mean()
    assert steps[0] == pytest.approx(np.exp(-first))
    kinds = table_4(tables, groups).set_index(["cut", "model"])
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
    assert accuracies.loc[name, "moving, broad groups"] == pytest.approx(np.mean(aucs))
    aucs = [stay_auc(table[~table["aba"]]) for table in tables[name]]
    assert accuracies.loc[name, "moving, without A-B-A"] == pytest.approx(np.mean(aucs))
    floor, chain = (np.log(perplexity(tables[other][0])) for other in (study.FLOOR, "Markov chain, order 1"))
    row = figure_2a(tables, 20).loc[name]
    for column, how in (("per_person", {"per_person": True}), ("weighted", {"weighted": True})):
        assert row[column] == pytest.approx(np.exp(np.mean([np.log(perplexity(t, **how)) for t in tables[name]])))
    assert row["over_floor"] == pytest.approx(np.exp(mean - floor))
    assert row["gap_closed"] == pytest.approx((chain - mean) / (chain - floor))


def test_the_page_has_every_model_in_every_table(done):
    made, found = done
    text = (made.folder / "tables.md").read_text()
    assert text.count("\n| CAREER, two stages ") == 4  # of Figure 2a, Tables 4 and 5, and costs
    level = found["figure_2a"].loc["CAREER, two stages"]
    assert f"{level['perplexity']:.2f} [{level['low']:.2f}, {level['high']:.2f}]" in text
    assert "nan" not in text


def test_the_papers_numbers_stand_beside_careers_that_were_not_simulated(done):
    _, found = done
    assert not any(name in rivals_page(found.tables) for name in ("paper's NLSY79", "paper's PSID"))
    levels = found["figure_2a"].drop(columns=["over_floor", "gap_closed"])
    real = rivals_page({**found.tables, "figure_2a": levels})
    _, kinds, accuracies, _ = (line for line in real.splitlines() if line.startswith(f"| {NAME} "))
    assert "| 1.88 / 45.4 / 115.1 |" in kinds and accuracies.split("|")[3].strip() == "0.705"
    assert real.count("paper's NLSY79") == 2 and real.count("paper's PSID") == 1


def test_what_is_finished_is_not_run_again(done):
    made, _ = done
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.parquet")}
    models = {path: path.stat().st_mtime_ns for path in made.folder.rglob("model.safetensors")}
    lost = made.folder / "tables" / study.TREES / "0.parquet"
    kept = pd.read_parquet(lost)
    lost.unlink()
    made.compute(workers=1)
    written = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert written == {lost, made.folder / "groups" / study.TREES / "0.parquet"}
    pd.testing.assert_frame_equal(pd.read_parquet(lost), kept)
    assert models == {path: path.stat().st_mtime_ns for path in made.folder.rglob("model.safetensors")}


def test_pretraining_has_its_rows_with_one_stage_beside_two(done):
    _, found = done
    levels = found["figure_2a"]
    assert levels.index.str.startswith("CAREER, pretrained").sum() == 2
    assert found["table_8"].loc["CAREER, pretrained", ["difference", "low", "high"]].notna().all()


def test_every_model_may_have_eight_trials_and_warms_up_within_a_tenth(monkeypatch):
    monkeypatch.setattr(study, "RIVALS", EVERY_RIVAL)
    plan = study.RivalsStudy(Path("study"), data=Path("careers"), covariates=COVARIATES, resumes=Path("resumes"))
    settings, planned = plan.settings, plan.trials()
    assert {sum(trial.model == name for trial in planned) for name in plan.models} == {8}
    assert len({trial.folder for trial in planned}) == len(planned) and len(plan.models) == 2 * 7
    assert settings.warmup_steps <= settings.most_steps / 10


def test_the_papers_recipe_is_appendix_gs(monkeypatch):
    """Rates and warmups of Appendix G, with its batches, and its schedule and patience."""
    monkeypatch.setattr(study, "RIVALS", EVERY_RIVAL)
    settings = study.RivalsSettings(paper=True, stages=(2,))
    careers = {"data": Path("careers"), "covariates": COVARIATES, "resumes": Path("resumes")}
    plan = study.RivalsStudy(Path("study"), settings, **careers)
    planned = plan.trials()
    assert len(planned) == len(plan.models) and not any(trial.fields for trial in planned)
    found = {trial.model.removesuffix(", two stages"): plan.schedule(trial) for trial in planned}
    warmups = {rival: (schedule["learning_rate"], schedule["warmup_steps"]) for rival, schedule in found.items()}
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
    assert all(set(schedule) == given for schedule in found.values())


def test_with_the_papers_recipe_nothing_is_tuned_and_the_same_tables_come_out(data, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RIVALS", {name: study.RIVALS[name] for name in (study.CAREER,)})
    monkeypatch.setattr(study, "COUNTED", {study.MARKOV: study.COUNTED[study.MARKOV]})
    settings = replace(SMALL, paper=True, stages=(2,), most_steps=1, seeds=2)
    made = study.RivalsStudy(tmp_path, settings, data=data / "careers", covariates=COVARIATES)
    found = made.run(workers=1)
    trained = found["costs"][~found["costs"].index.str.startswith(study.TREES)]
    assert set(trained.index) == set(made.models)
    assert set(trained["trials"]) == {1} and set(trained["updates"]) == {settings.seeds}
    assert trained.loc["CAREER, two stages", "rate"] == 5e-4
    assert found["figure_2a"].loc["CAREER, two stages", "seeds"] == settings.seeds


def test_a_folder_belongs_to_one_study(done):
    made, _ = done
    with pytest.raises(ValueError, match="other settings"):
        replace(made, covariates=("year",)).run()
