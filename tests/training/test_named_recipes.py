"""Recipes by name change what is left at its default, and a model of the best one goes through the whole package."""

from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.testing_utils import slow

import career_hf
from career_hf import CareerForOccupationPrediction
from career_hf.careers import from_frame
from career_hf.occupations import group_vectors
from career_hf.sharing.export import ONNX_LIBRARIES, export_program
from career_hf.training.named_recipes import PAPER, RECIPES, check_recipe, recipe_settings
from career_hf.training.trainer import TRAINING_BY_SIZE


def test_every_option_of_a_recipe_is_none_in_train_and_a_given_one_takes_precedence():
    defaults = signature(career_hf.train).parameters
    assert {defaults[name].default for name in PAPER} == {None} and defaults["recipe"].default is None
    nothing = dict.fromkeys(PAPER)
    assert recipe_settings("paper", nothing, 400) == PAPER
    settings = recipe_settings("best", nothing | {"max_steps": 50, "tokens_per_batch": 16_000}, 400)
    assert (settings["max_steps"], settings["tokens_per_batch"]) == (50, 16_000)  # the paper's number, but given
    assert settings["dropout"] == PAPER["dropout"] and settings["lr_scheduler_type"] == "linear"
    assert settings["learning_rate"] == RECIPES["best"].options["learning_rate"]
    assert RECIPES["best"].fields["return_pointer"] and RECIPES["best"].fields["career_features"]
    check_recipe(None, False)
    for name, is_career, message in [("beste", True, "recipes are paper, best"), ("best", False, "is for CAREER")]:
        with pytest.raises(ValueError, match=message):
            check_recipe(name, is_career)


def test_without_a_recipe_settings_follow_from_the_number_of_person_years():
    nothing = dict.fromkeys(PAPER)
    for fewest, settings in TRAINING_BY_SIZE:
        found = recipe_settings(None, nothing, fewest)
        assert settings.items() <= found.items() and found["lr_scheduler_type"] == "linear"
        assert recipe_settings(None, nothing, fewest, rate=0.02)["learning_rate"] == 0.02  # a rival's
        given = recipe_settings(None, nothing | {"max_steps": 40, "learning_rate": 0.1}, fewest, rate=0.02)
        assert (given["max_steps"], given["eval_steps"], given["learning_rate"]) == (40, 2, 0.1)
    sizes = [fewest for fewest, _ in TRAINING_BY_SIZE]
    assert sizes[0] == 0 and sizes == sorted(set(sizes))
    # Larger careers have no smaller batches and no fewer updates.
    for name in ("tokens_per_batch", "max_steps"):
        values = [settings[name] for _, settings in TRAINING_BY_SIZE]
        assert values == sorted(values)


def test_the_page_has_the_rule():
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "training.md").read_text(encoding="utf-8")
    table = page.split("| training person-years | peak rate |")[1].split("\n\n")[0]
    lines = [[cell.strip().replace(",", "") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    columns = ("learning_rate", "max_steps", "tokens_per_batch")
    shown = [[float(cell) for cell in cells[1:]] for cells in lines]
    assert shown == [[settings[name] for name in columns] for _, settings in TRAINING_BY_SIZE]
    starts = [0, *(int(cells[0].split()[0]) for cells in lines[1:])]
    assert starts == [fewest for fewest, _ in TRAINING_BY_SIZE]
    assert all(str(start) in cells[0].split() for start, cells in zip(starts[1:], lines, strict=False))


@pytest.fixture(scope="module")
def careers():
    rng = np.random.default_rng(0)
    people, years = 120, 6
    frame = {
        "person": np.repeat(np.arange(people), years),
        "year": np.tile(np.arange(1990, 1990 + 2 * years, 2), people),
        "occupation": rng.choice(["cook", "waiter", "clerk", "nurse"], years * people),
    }
    return from_frame(frame)


@pytest.fixture(scope="module")
def trained(careers, tmp_path_factory):
    short = {"max_steps": 4, "eval_steps": 2, "tokens_per_batch": 200}
    small = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16}
    folder = tmp_path_factory.mktemp("best")
    return career_hf.train(careers, recipe="best", output=folder, fields=small, **short), folder


def test_occupations_of_one_group_share_weights_in_the_best_recipe(trained, tmp_path):
    assert trained[0].model.config.title_embedding_size is None  # labels that are words have no groups
    frame = {
        "person": np.repeat(np.arange(60), 2),
        "year": np.tile([1990, 1991], 60),
        "occupation": ["95", "97", "436", "95", "in_school", "97"] * 20,
    }
    careers = from_frame(frame)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16}
    splits = {"train": careers, "validation": careers}
    coded = career_hf.train(splits, recipe="best", fields=small, max_steps=2, eval_steps=1, output=tmp_path)
    vectors = group_vectors(["95", "97", "436", "in_school"])
    titles = CareerForOccupationPrediction.from_pretrained(tmp_path).lm_head.title_projection.title_embeddings
    for label, vector in vectors.items():
        assert titles[coded.processor.occupations.index(label)].tolist() == vector
    assert vectors["95"] == vectors["97"] != vectors["436"]
    assert not any(vectors["in_school"]) and not titles[coded.processor.occupations.index("unknown")].any()
    others = [{"95": "104", "97": "unemployed"}.get(label, label) for label in frame["occupation"]]
    other = from_frame(frame | {"occupation": others})
    tuned = career_hf.finetune(coded, {"train": other, "validation": other}, max_steps=2, eval_steps=1)
    titles = tuned.model.lm_head.title_projection.title_embeddings
    assert titles[tuned.processor.occupations.index("104")].tolist() == group_vectors(["104"])["104"]
    assert not titles[tuned.processor.occupations.index("unemployed")].any()
    plain = career_hf.train(splits, fields=small, max_steps=2, eval_steps=1)
    assert plain.model.config.title_embedding_size is None


def test_a_model_of_the_best_recipe_is_saved_loaded_and_scored(trained, careers):
    model, folder = trained[0].model, trained[1]
    assert model.config.return_pointer and model.config.career_features
    assert model.config.level_years == {"year": [0, *range(1990, 2002, 2)]}
    table = career_hf.transition_table(folder, careers)
    same = career_hf.transition_table(trained[0], careers)
    np.testing.assert_allclose(table["log_prob"], same["log_prob"], atol=1e-5)


def test_it_forecasts_as_the_model_does_with_whole_histories(trained, careers):
    histories = careers.select(range(3))
    exact = career_hf.forecast(trained[0], histories, horizon=2, samples=8, exact_steps=2)
    model, processor = trained[0].model.eval(), trained[0].processor
    year = processor.covariate_levels[0].index("2000")  # the latest trained year takes the place of later ones
    for person in range(3):
        encoded = processor.encode(histories.select([person]))[0][0]
        ids = torch.tensor([[*encoded["input_ids"], encoded["labels"][-1]]])
        levels = torch.tensor([[*encoded["covariates"], [year]]])
        first = model(input_ids=ids, covariates=levels).logits[0, -1].exp()
        second = torch.zeros_like(first)
        for one in range(2, len(first)):
            path, longer = torch.cat([ids, torch.tensor([[one]])], dim=1), torch.cat([levels, levels[:, -1:]], dim=1)
            second += first[one] * model(input_ids=path, covariates=longer).logits[0, -1].exp()
        expected = torch.stack([first, second])[:, 2:].detach().numpy()
        np.testing.assert_allclose(exact.probability[person], expected, atol=1e-5)


@slow  # a program is exported for half a minute
def test_it_is_exported(trained, careers, tmp_path):
    few, (model, processor) = careers.select(range(5)), (trained[0].model, trained[0].processor)
    program = export_program(model).module()
    if all(find_spec(library) for library in ONNX_LIBRARIES):
        assert career_hf.export_onnx(trained[0], tmp_path / "model.onnx") < 1e-4
    batch = processor.pad(processor.encode(few)[0])
    given = {name: batch[name] for name in ("input_ids", "covariates")}
    expected = model.eval().to("cpu")(**given).logits
    torch.testing.assert_close(program(**given), expected, atol=1e-4, rtol=1e-4)


def test_it_is_explained_represented_and_given_another_vocabulary(trained, careers):
    few = careers.select(range(5))
    assert len(career_hf.rationales(trained[0], few).to_frame())
    assert np.isfinite(career_hf.representations(trained[0], few)).all()
    assert np.isfinite(career_hf.representations(trained[0], few, timing="including")).all()
    model, processor = trained[0].model, trained[0].processor
    later = from_frame({"person": [1, 1, 1], "year": [2002, 2003, 2004], "occupation": ["cook", "judge", "cook"]})
    extended = processor.extend(later, unknown_occupation="unknown")
    model.resize_vocabulary(processor, extended)
    assert model.config.level_years["year"][-3:] == [2002, 2003, 2004]
    scored = career_hf.transition_table(model, later, extended)
    assert np.isfinite(scored["log_prob"]).all()
