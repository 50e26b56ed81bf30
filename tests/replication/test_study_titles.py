"""The study of titles runs at a size at which nothing is learned, and its parts are what they claim to be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_points import points_of
from replication import titles as study
from replication.titles import count_bins, unseen_table

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers, split_manifest
from career_hf.evaluation.metrics import perplexity
from career_hf.models.title_embeddings import save_title_embeddings
from career_hf.occupations.crosswalks import titles
from career_hf.simulation import preset, save_simulation


SMALL = study.TitlesSettings(rates=(1e-3,), seeds=1, most_steps=1, tokens_per_batch=400, size=4, hidden=0.2, draws=20)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    drawn = preset("tiny").simulate(60)
    save_simulation(drawn, folder)
    splits = split_careers(drawn.careers)
    save_careers(splits, folder / "mine", manifest=split_manifest(splits))
    return folder, drawn.world


@pytest.fixture(scope="module")
def done(market, tmp_path_factory):
    folder, names = tmp_path_factory.mktemp("titles"), ("year", "education")
    made = study.TitlesStudy(folder, SMALL, data=market[0] / "mine", covariates=names)
    found = made.run(workers=1)
    files = [*folder.rglob("*.parquet"), *folder.rglob("model.safetensors")]
    times = {path: path.stat().st_mtime_ns for path in files}
    lost = folder / "unseen" / study.TITLES / "0.parquet"
    lost.unlink()
    again = made.run(workers=1)
    return made, found, again, (lost, times)


def test_what_is_finished_is_not_run_again(done):
    made, found, again, (lost, times) = done
    assert len(times) == SMALL.cost()[0] + 2 * len(study.VARIANTS) * SMALL.seeds
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} == {lost}
    for name in ("overall", "by_count", "unseen"):
        pd.testing.assert_frame_equal(found[name], again[name])
        assert len(pd.read_csv(made.folder / f"{name}.csv")) == len(found[name])
    with pytest.raises(ValueError, match="other settings"):
        replace(made, covariates=("year",)).run()


def test_the_figure_shows_moves_and_choices_among_the_unseen(done):
    _, found, *_ = done
    left, right = found.figures["titles"].axes
    moves = found["by_count"].query("steps == 'moves' and against == @study.CAREER")
    # The figure draws one model after the other.
    assert sorted(points_of(left)[:, 1]) == pytest.approx(sorted(moves["difference"]))
    assert [gain for _, gain in sorted(map(tuple, points_of(right)))] == pytest.approx(
        found["unseen"]["gain"].tolist()
    )


def test_variants_differ_in_titles_alone(done):
    made, *_ = done
    train = made.splits()["train"]
    models = {
        name: CareerForOccupationPrediction.from_pretrained(made.folder / "models" / f"{name}, 0.001, 0")
        for name in study.VARIANTS
    }
    processor = CareerProcessor.from_pretrained(made.folder / "models" / f"{study.CAREER}, 0.001, 0")
    assert models[study.CAREER].config.title_embedding_size is None
    given = made.vectors(study.vocabulary(train))
    rows = {n: models[n].lm_head.title_projection.title_embeddings for n in (study.TITLES, study.SHUFFLED)}
    for label, vector in given.items():
        np.testing.assert_allclose(rows[study.TITLES][processor.occupations.index(label)], vector)
    assert not torch.equal(rows[study.TITLES], rows[study.SHUFFLED])
    for column in range(4):
        torch.testing.assert_close(*(rows[name][:, column].sort().values for name in rows))
    unknown = processor.occupations.index("unknown")
    assert (rows[study.TITLES][[0, 1, unknown]] == 0).all()


def test_the_tables_hold_what_transition_tables_say(done):
    made, found, *_ = done
    tables = made.tables()
    nll = {name: np.mean([np.log(perplexity(table)) for table in seeds]) for name, seeds in tables.items()}
    for name in study.VARIANTS:
        assert found["overall"].loc[name, "difference_from_career"] == pytest.approx(nll[name] - nll[study.CAREER])
        assert found["overall"].loc[name, "difference_from_shuffled"] == pytest.approx(nll[name] - nll[study.SHUFFLED])
    bins = count_bins(study.counts_of(made.splits()["train"]))["bin"]
    for _, row in found["by_count"].iterrows():
        means = []
        for name in (row["model"], row["against"]):
            table = pd.concat(tables[name])
            chosen = table["occupation"].astype(str).map(bins) == row["bin"]
            if row["steps"] == "moves":
                chosen &= table["transition"].isin(["return", "new"])
            means.append(-table.loc[chosen, "log_prob"].mean())
            assert row["n"] == chosen.sum()
        assert row["difference"] == pytest.approx(means[0] - means[1], abs=1e-7)
    assert len(found["by_count"]) == 2 * 4 * 3
    everything, moves = (found["by_count"].query("steps == @kind")["n"].sum() for kind in ("all", "moves"))
    assert everything > moves


def test_bins_hold_every_occupation_once():
    counts = {label: count for label, count in zip("abcdefg", [5, 1, 9, 2, 2, 100, 3], strict=True)}
    bins = count_bins(counts, 3)
    assert bins["bin"].to_dict() == {"b": 1, "d": 1, "e": 1, "g": 2, "a": 2, "c": 3, "f": 3}
    assert bins.loc["g", ["occupations", "smallest", "largest"]].tolist() == [2, 3, 5]


def test_hidden_occupations_are_unknown_to_training_and_come_back(done):
    made, found, *_ = done
    splits = made.splits()
    hidden = study.hidden_occupations(splits["train"], SMALL.hidden)
    assert hidden and all(label.isdigit() for label in hidden)
    processor = CareerProcessor.from_pretrained(made.folder / "models" / f"{study.TITLES}, some hidden, 0.001, 0")
    assert not set(hidden) & set(processor.occupations)
    (table,) = made.tables("unseen")[study.TITLES]
    assert set(table["occupation"]) <= set(hidden)
    moves = 0
    for labels in splits["test"]["occupation"]:
        moves += sum(y in hidden and y != before for before, y in zip([None, *labels], labels, strict=False))
    assert found["unseen"].loc[study.TITLES, "n"] == len(table) == moves


def test_choices_among_some_occupations_are_conditional_probabilities():
    careers = from_frame({"person": [1, 1, 1, 2, 2], "year": [0, 1, 2, 0, 1], "occupation": ["a", "b", "b", "c", "a"]})
    processor = CareerProcessor.fit(careers, [], occupations=["a", "b", "c", "d"])
    torch.manual_seed(0)
    config = CareerConfig(**processor.config_kwargs(), hidden_size=8, num_hidden_layers=1, initializer_range=0.5)
    model = CareerForOccupationPrediction(config).eval()
    table = study.choices_among(model, processor, careers, ["a", "b"])
    # Person 1 starts in a and moves to b, and stays; person 2 moves to a.
    assert table[["person", "step", "occupation"]].to_numpy().tolist() == [["1", 0, "a"], ["1", 1, "b"], ["2", 1, "a"]]
    with torch.no_grad():
        p = model(**{k: v for k, v in processor(careers).items() if k != "labels"}).logits.exp()
    a, b = (processor.occupations.index(label) for label in "ab")
    expected = [p[0, 0, a] / (p[0, 0, a] + p[0, 0, b]), 1, p[1, 1, a] / (p[1, 1, a] + p[1, 1, b])]
    np.testing.assert_allclose(np.exp(table["log_prob"]), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(table["chance"]), [0.5, 1, 0.5], rtol=1e-6)
    assert table["rank"].tolist() == [1 + (expected[0] < 0.5), 1, 1 + (expected[2] < 0.5)]


def test_gains_over_chance():
    # Six times the same two people, because two have no interval.
    names = [f"{copy} {person}" for copy in range(6) for person in (1, 1, 2)]
    rows = {"person": names, "step": [0, 1, 0] * 6, "occupation": ["a", "b", "a"] * 6, "chance": np.log([0.5] * 18)}
    good = pd.DataFrame({**rows, "log_prob": np.log([0.8] * 18), "rank": 1})
    blind = pd.DataFrame({**rows, "log_prob": np.log([0.5] * 18), "rank": [1, 2, 2] * 6})
    table = unseen_table({study.CAREER: [blind], study.TITLES: [good, good], study.SHUFFLED: [blind]}, draws=20)
    assert table.loc[study.TITLES, ["n", "gain", "low", "high"]].tolist() == pytest.approx([18, *[np.log(1.6)] * 3])
    assert table.loc[study.TITLES, "difference_from_shuffled"] == pytest.approx(-np.log(1.6))
    assert table.loc[study.CAREER, ["gain", "reciprocal_rank", "chance_reciprocal_rank"]].tolist() == pytest.approx(
        [0, 2 / 3, 0.75]
    )


def test_text_vectors_put_like_titles_near_each_other():
    texts = titles()
    vectors = study.text_vectors(texts, 32)
    assert {len(vector) for vector in vectors.values()} == {32}
    rows = np.stack(list(vectors.values()))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    engineers = [label for label, text in texts.items() if "engineer" in text.lower()]
    within = np.stack([vectors[label] for label in engineers])
    assert len(engineers) > 5 and (within @ within.T).mean() > (within @ rows.T).mean() + 0.2


def test_market_vectors_are_skills_with_noise(market):
    world = market[1]
    exact, noisy = (study.market_vectors(world, noise) for noise in (0.0, 0.5))
    assert list(exact) == world.labels
    places = [label for label in world.labels if label.isdigit()]
    skill = (world.skill - world.skill.mean(0)) / world.skill.std(0)
    for vectors, least in ((exact, 0.999), (noisy, 0.7)):
        rows = np.stack([vectors[label][: skill.shape[1]] for label in places])
        correlations = [np.corrcoef(rows[:, d], skill[:, d])[0, 1] for d in range(skill.shape[1])]
        assert min(correlations) > least
    assert not np.allclose(noisy[places[0]], exact[places[0]])
    states = np.stack([exact[label] for label in world.labels if label not in places])
    assert (states[:, : skill.shape[1]] == 0).all() and np.linalg.matrix_rank(states) == len(states)


def test_vectors_come_from_where_they_are_said_to(market, tmp_path):
    folder, world = market
    plain = study.TitlesStudy(tmp_path, SMALL, data=folder / "mine", covariates=())
    labels = study.vocabulary(plain.splits()["train"])
    of_truth = replace(plain, truth=folder / "truth").vectors(labels)
    np.testing.assert_allclose(of_truth[labels[0]], study.market_vectors(world, SMALL.noise)[labels[0]])
    save_title_embeddings(tmp_path / "titles.safetensors", {label: np.ones(3) for label in labels[1:]})
    with pytest.raises(ValueError, match=f"occupation '{labels[0]}' has no vector"):
        replace(plain, titles=tmp_path / "titles.safetensors").vectors(labels)
    with pytest.raises(ValueError, match="not codes of occ1990dd"):
        plain.vectors(["cook", "waiter"])
