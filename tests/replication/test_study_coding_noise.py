"""The study of coding noise at a tiny size: its counts against plain Python, and that it goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
from replication import coding_noise as study

from career_hf import from_frame, recode_coding_noise, save_careers, split_careers, to_frame
from career_hf.simulation import preset


TINY = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}


def test_moves_are_counted_as_in_plain_python():
    rng = np.random.default_rng(0)
    rows = [(str(p), 2000 + t) for p in range(40) for t in range(7)]
    true, wrong, filtered = (rng.choice(list("AABu"), len(rows)) for _ in range(3))
    wrong, filtered = (np.where((true == "u") | (codes == "u"), true, codes) for codes in (wrong, filtered))

    def careers(codes):
        columns = {"person": [p for p, _ in rows], "year": [y for _, y in rows], "occupation": codes}
        columns["employer"] = [None if code == "u" else "x" for code in codes]
        return from_frame(columns, covariates=["employer"])

    # People are sorted as numbers, as they are here.
    found = study.moves_kept(*(careers(codes) for codes in (true, wrong, filtered)))
    pairs = [i for i in range(1, len(rows)) if rows[i][0] == rows[i - 1][0] and "u" not in true[i - 1 : i + 1]]
    noisy = [i for i in pairs if wrong[i] != wrong[i - 1]]
    true_moves = [i for i in noisy if true[i] != true[i - 1]]
    false_moves = [i for i in noisy if true[i] == true[i - 1]]
    assert found["true_moves"] == len(true_moves) > 5 and found["false_moves"] == len(false_moves) > 5
    assert found["true_kept"] == np.mean([filtered[i] != filtered[i - 1] for i in true_moves])
    assert found["false_removed"] == np.mean([filtered[i] == filtered[i - 1] for i in false_moves])
    assert found["mobility"] == np.mean([filtered[i] != filtered[i - 1] for i in pairs])
    assert found["right_codes"] == np.mean((true == filtered)[true != "u"])


def test_signals_change_at_moves_as_often_as_they_say():
    careers = preset("tiny").simulate(800).careers
    frame = to_frame(study.with_signals(careers, ("unemployed", "out_of_labor_force", "in_school"), 0))
    before = frame.groupby("person").shift()
    both = frame["employer"].notna() & before["employer"].notna()
    moved = both & (frame["occupation"] != before["occupation"])
    for name, (at_moves, elsewhere) in study.SIGNALS.items():
        changed = frame[name] != before[name]
        assert changed[moved].mean() == pytest.approx(at_moves, abs=0.05)
        assert changed[both & ~moved].mean() == pytest.approx(elsewhere, abs=0.03)


def test_the_market_says_what_filters_keep_and_remove(tmp_path):
    settings = study.NoiseSettings(levels=(0.1,), worlds=2, people=150, market="tiny")
    made = study.CodingNoiseWorlds(tmp_path, settings)
    table = made.run(workers=1)["market"]
    assert list(table["filter"]) == [study.RIGHT, study.CODED, *study.FILTERS]
    rows = table.set_index("filter")
    assert rows.loc[study.CODED, "true_kept"] == 1 and rows.loc[study.CODED, "false_removed"] == 0
    assert rows.loc["employer", "false_removed"] > 0.7 and rows.loc["employer", "true_kept"] > 0.6
    assert rows.loc[study.RIGHT, "right_codes"] == 1
    assert rows.loc[study.CODED, "mobility"] > rows.loc[study.RIGHT, "mobility"] > rows.loc["employer", "mobility"]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "worlds").iterdir()}
    made.run(workers=1)
    assert len(times) == 2 and times == {path: path.stat().st_mtime_ns for path in times}
    assert (tmp_path / "coding_noise_market.png").stat().st_size > 10_000


def test_a_survey_is_scored_by_every_model_in_every_version(tmp_path):
    simulation = preset("tiny").simulate(80)
    right = study.with_signals(simulation.careers, simulation.world.labels[24:], 0)
    save_careers(split_careers(right), tmp_path / "careers")
    settings = study.SurveyNoiseSettings(most_steps=10, tokens_per_batch=300, draws=20, fields=TINY)
    made = study.CodingNoiseSurvey(tmp_path / "study", settings, data=tmp_path / "careers", covariates=("year",))
    result = made.run(workers=1)
    scores, versions = result["survey_scores"], list(made.versions())
    assert len(scores) == 3 * 2 * 3 * 2 and len(versions) == 3
    # On the same outcomes a chain's perplexity is that of the table's rows.
    rows = scores[scores["rows"] == study.SAME_ROWS]
    assert rows["n"].nunique() == 1 and rows["n"].iloc[0] < scores["n"].max()
    one = rows[(rows["scored on"] == versions[1]) & (rows["trained on"] == versions[2])].set_index("model")
    marks = [
        to_frame(recode_coding_noise(split_careers(right)["test"], **made.versions()[version]).careers)["coding_noise"]
        for version in versions[1:]
    ]
    same = (marks[0] == "as coded") & (marks[1] == "as coded")
    (table,) = made.scored(versions[1], versions[2], study.CHAIN)
    known = same.to_numpy() & ~table["unknown"].to_numpy()
    assert one.loc[study.CHAIN, "perplexity"] == pytest.approx(np.exp(-table["log_prob"][known].mean()), rel=0.02)
    assert "Log-perplexity of CAREER minus" in (made.folder / "tables.md").read_text()
    assert (made.folder / "coding_noise_survey.png").stat().st_size > 10_000
