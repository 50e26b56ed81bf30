"""The study of better models, at a size at which nothing is learned but everything runs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_points import points_of
from replication import better as study

from career_hf.careers import load_careers
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.simulation import ResumeConfig, preset, save_simulation, write_resume_card, write_resumes


NEW = "the recipe"
SMALL = study.BetterSettings(
    seeds=1, most_steps=2, new_steps=2, resume_steps=2, tokens_per_batch=400, new_tokens=400, resume_tokens=400,
    draws=20, models=(study.BASELINE, NEW, study.WITH_RESUMES),
)  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    market = preset("tiny").simulate(120)
    save_simulation(market, folder)
    resumes = folder / "resumes"
    write_resume_card(resumes, write_resumes(market.world, ResumeConfig(people=100), resumes))
    made = study.BetterStudy(
        tmp_path_factory.mktemp("better"),
        SMALL,
        data=folder / "careers",
        covariates=("year", "education"),
        truth=folder / "truth",
        resumes=resumes,
    )
    return made, made.run(workers=1)


def test_what_is_finished_is_not_run_again_and_more_seeds_may_follow(done):
    made, found = done
    weights = {path: path.stat().st_mtime_ns for path in made.folder.rglob("model.safetensors")}
    assert len(weights) == 3
    again = made.run(workers=1)
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    pd.testing.assert_frame_equal(found["parts"], again["parts"])
    assert replace(made, settings=replace(SMALL, seeds=2)).described() == made.described()
    with pytest.raises(ValueError, match="other settings"):
        replace(made, covariates=("year",)).run()


def test_parts_sum_to_the_log_probability_and_are_those_of_one_career(done):
    made, found = done
    (table,) = made.tables()[NEW]
    np.testing.assert_allclose(table[list(study.PARTS)].sum(axis=1), -table["log_prob"], atol=1e-9)
    totals = found["parts"].groupby("model")["nats"].sum()
    levels = found["levels"]
    np.testing.assert_allclose(np.exp(totals[levels.index]), levels["perplexity"], rtol=1e-9)
    assert found["levels"].loc[study.TRUTH, "excess"] == 0
    assert set(found["levels"].index) == {*SMALL.models, study.COUNTED, study.TRUTH}
    steps = found["cuts"].query("cut == 'from the second step on'").set_index("model")
    own = [
        tables[0].query("step > 0")["log_prob"].mean() for tables in (made.tables()[n] for n in (NEW, study.BASELINE))
    ]
    assert steps.loc[NEW, "difference"] == pytest.approx(own[1] - own[0])
    # One career by hand, from what the model itself says of its three stages.
    model, processor = load_checkpoint(made.place(study.Trial(NEW, study.VARIANTS[NEW].rate).folder))
    career = load_careers(made.data)["test"].select([0])
    output = model.eval()(**{k: v for k, v in processor.pad(processor.encode(career)[0]).items() if k != "weight"})
    rows = table[table["person"] == career[0]["person"]]
    p_stay, p_return = (logit[0].sigmoid().detach().numpy() for logit in (output.stay_logit, output.return_logit))
    for step, row in enumerate(rows.itertuples()):
        if step == 0:
            continue
        kind = row.transition
        assert rows["stay or move"].iloc[step] == pytest.approx(
            -np.log(p_stay[step] if kind == "stay" else 1 - p_stay[step]), abs=1e-4
        )
        expected = 0 if kind == "stay" else -np.log(p_return[step] if kind == "return" else 1 - p_return[step])
        assert rows["return or new"].iloc[step] == pytest.approx(expected, abs=1e-4)


def test_the_recipe_with_resumes_was_trained_on_both(done):
    made, _ = done
    trial = next(trial for trial in made.trials() if trial.model == study.WITH_RESUMES)
    model, processor = load_checkpoint(made.place(trial.folder))
    (stage,) = processor.training_stages
    assert stage["people"] > len(load_careers(made.data)["train"])
    assert model.config.return_pointer
    # Whoever has no resumes does without this model alone.
    assert {trial.model for trial in replace(made, resumes=None).trials()} == {study.BASELINE, NEW}


def test_averages_are_those_of_probabilities(done):
    made, _ = done
    (table,) = made.tables()[NEW]
    other = table.assign(log_prob=table["log_prob"] - 1)
    (averaged,) = study.averages({NEW: [table, other]})[NEW]
    expected = (np.exp(table["log_prob"]) + np.exp(other["log_prob"])) / 2
    np.testing.assert_allclose(np.exp(averaged["log_prob"]), expected)


def test_the_figure_has_every_gain(done):
    _, found = done
    for axes, part in zip(found.figures["better"].axes, study.PARTS, strict=True):
        rows = found["parts"]
        rows = rows[(rows["part"] == part) & (rows["model"] != study.BASELINE)]
        assert sorted(points_of(axes)[:, 0]) == pytest.approx(sorted(rows["difference"]))
