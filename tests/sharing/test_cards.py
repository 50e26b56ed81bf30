"""Model cards: what the Hub reads, what people read, and that numbers and code are those of the checkpoint."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import EvalResult, ModelCard
from transformers import AutoModelForCausalLM

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerForWagePrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.careers.provenance import SOURCES, years_of
from career_hf.evaluation.metrics import perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.sharing.card_results import RESULTS
from career_hf.sharing.card_snippet import as_literal, made_up_career
from career_hf.sharing.model_card import TEMPLATE, WATTS, redistribution_of, write_model_card
from career_hf.training.run_record import counted_run
from career_hf.wages.wage_head import encode_wages, predict_log_wages


MADE = ["career", "markov", "bag of jobs", "wages"]


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    rows = []
    for p in range(150):
        gender = "m" if p % 2 else "f" if p > 8 else None
        for t in range(4):
            occupation = rng.choice(["313", "22", "in_school"])
            wage = {"log_wage": rng.normal(2) if occupation != "in_school" and t else np.nan}
            rows.append({"person": f"p{p}", "year": 1990 + t, "occupation": occupation, "gender": gender} | wage)
    return split_careers(from_frame(pd.DataFrame(rows), static=["gender"], outcomes=["log_wage"]))


@pytest.fixture(scope="module")
def folders(splits, tmp_path_factory):
    """Untrained models of every kind, pretrained on one source and fine-tuned on another as their processor says."""
    folder = tmp_path_factory.mktemp("cards")
    save_careers(splits, folder / "data")
    for name in MADE:
        covariates = [] if name == "markov" else ["year", "gender"]
        processor = CareerProcessor.fit(splits["train"], covariates, unknown_occupation="unknown")
        encoded, _ = processor.encode(splits["train"])
        for stage, source in (("pretraining", "jobhop"), ("finetuning", "nlsy79")):
            record = SOURCES[source].record | years_of(splits["train"])
            processor.record_training(encoded, stage, record)
        processor.training_stages[1]["run"] = counted_run(7200.0, {"learning_rate": 0.01})
        torch.manual_seed(0)
        career = CareerForOccupationPrediction(
            CareerConfig(**processor.config_kwargs(), hidden_size=16, num_hidden_layers=1)
        )
        if name == "markov":
            model = MarkovForOccupationPrediction.fit(encoded, processor)
        elif name == "bag of jobs":
            model = BagOfJobsForOccupationPrediction(BagOfJobsConfig.from_processor(processor))
        elif name == "wages":
            log_wages = np.concatenate(encode_wages(splits["train"], processor)[0]["log_wage"])
            model = CareerForWagePrediction.from_occupation_model(career, log_wages)
        else:
            model = career
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize("name", MADE)
def test_the_metadata_parse_back_and_hold_the_exact_metrics(folders, splits, name):
    folder = folders / name
    written = write_model_card(folder, folders / "data", by=["gender"], draws=50)
    card = ModelCard.load(folder / "README.md")
    assert card.data.eval_results == written.data.eval_results and len(card.data.eval_results) >= 7
    model, processor = AutoModelForCausalLM.from_pretrained(folder), CareerProcessor.from_pretrained(folder)
    table = transition_table(model, splits["test"], processor, unknown_levels="missing")
    first = card.data.eval_results[0]
    assert isinstance(first, EvalResult) and first.metric_type == "perplexity" and first.dataset_split == "test"
    assert first.metric_value == pytest.approx(perplexity(table), rel=1e-12)
    assert first.metric_args["low"] < first.metric_value < first.metric_args["high"]
    assert first.metric_args["people"] == splits["test"].num_rows
    assert card.data.library_name == "career_hf" and card.data.license == "other"
    assert card.data.to_dict()["career_hf"] == {"sources": ["jobhop", "nlsy79"], "redistribution": "from the agency"}
    assert f"{first.metric_value:.2f} [" in card.text


def test_wages_of_people_who_were_not_trained_on_have_their_own_metrics(folders, splits):
    folder = folders / "wages"
    write_model_card(folder, folders / "data", by=["gender"], draws=50)
    metrics = {result.metric_type: result for result in ModelCard.load(folder / "README.md").data.eval_results}
    model, processor = CareerForWagePrediction.from_pretrained(folder), CareerProcessor.from_pretrained(folder)
    test = splits["test"]
    predicted = predict_log_wages(model, test, processor, unknown_levels="missing").astype(np.float64)
    wage = np.concatenate([np.asarray(person, dtype=np.float64) for person in test["log_wage"]])
    observed = np.isfinite(wage)
    error, centred = (wage - predicted)[observed], wage[observed] - wage[observed].mean()
    r2 = metrics["wage_r2"]
    assert r2.metric_value == pytest.approx(1 - (error**2).sum() / (centred**2).sum(), rel=1e-6)
    assert r2.metric_args["low"] < r2.metric_value < r2.metric_args["high"]
    assert metrics["wage_rmse"].metric_value == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
    steps = [len(years) for years in test["year"]]
    women = np.repeat([gender == "f" for gender in test["gender"]], steps)[observed]
    rows = json.loads((folder / RESULTS).read_text())["metrics"]
    (gap,) = [row["estimate"] for row in rows if (row["group"], row["metric"]) == ("f", "wage_gap")]
    assert gap == pytest.approx(-error[women].mean(), rel=1e-5)


@pytest.mark.parametrize("name", MADE)
def test_the_code_on_the_card_prints_what_the_card_says(folders, name, capsys, monkeypatch):
    folder = folders / name
    text = write_model_card(folder).text
    code, printed = re.findall(r"```(?:python)?\n(.*?)\n?```", text, flags=re.DOTALL)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out.strip() == printed.strip() != ""


def test_the_card_tells_of_every_stage_and_makes_up_no_cost(folders):
    text = write_model_card(folders / "career", folders / "data", by=["gender"], draws=20, note="Untrained.").text
    assert "**Untrained.**" in text and "2 of 330" in text and "in_school" in text
    for source in ("jobhop", "nlsy79"):
        assert SOURCES[source].terms in text and SOURCES[source].provenance in text
    assert f"{2 * torch.get_num_threads() * WATTS['cpu'] / 1000:.1g}" in text and "2.0 hours" in text
    assert "the cost is unknown" in text  # of the first stage
    assert "* pretraining: unknown." in text and "learning_rate 0.01" in text
    assert "| gender | 2 | f, m |" in text
    processor = CareerProcessor.from_pretrained(folders / "career")
    processor.training_stages = []
    processor.save_pretrained(folders / "career")
    nothing = write_model_card(folders / "career").text
    assert "no record of what it was trained on" in nothing and nothing.count("Unknown") >= 3


def test_groups_of_few_people_are_left_out_and_tables_are_rectangular(folders):
    folder = folders / "markov"
    text = write_model_card(folder, folders / "data", by=["gender"], draws=20).text
    results = json.loads((folder / RESULTS).read_text())
    assert {row["group"] for row in results["metrics"]} == {"all", "f", "m"} and results["groups_left_out"] == 1
    assert "fewer than 10 people are left out: 1" in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        if rows:
            assert len({row.replace("\\|", "").count("|") for row in rows}) == 1 and set(rows[1]) <= set("|- ")


def test_results_of_other_weights_are_not_taken(folders):
    folder = folders / "bag of jobs"
    write_model_card(folder, folders / "data", draws=20)
    assert write_model_card(folder).data.eval_results is not None  # kept without evaluating again
    results = json.loads((folder / RESULTS).read_text())
    (folder / RESULTS).write_text(json.dumps(results | {"weights": "0" * 64}))
    with pytest.raises(ValueError, match="other weights than those of the folder"):
        write_model_card(folder)
    (folder / RESULTS).unlink()
    assert "Not evaluated." in write_model_card(folder).text
    with pytest.raises(ValueError, match="none is 'holdout'"):
        write_model_card(folder, folders / "data", split="holdout")


def test_the_narrowest_licence_of_all_stages_counts():
    def of(*names):
        return redistribution_of([{"source": SOURCES[name].record} for name in names])

    assert of("simulated", "keane-wolpin") == "allowed"
    assert of("nlsy79", "jobhop") == "from the agency"
    assert of("psid", "spells") == "forbidden" == of("psid", "simulated")
    assert redistribution_of([]) == "unknown" == redistribution_of([{"stage": "training"}])


def test_a_made_up_career_is_one_the_model_can_read(splits):
    processor = CareerProcessor.fit(splits["train"], ["gender", "year"])
    processor.record_training(processor.encode(splits["train"])[0], "training")
    career = made_up_career(processor)
    assert career["year"] == [1991, 1992, 1993] and set(career["occupation"]) == {"313", "22"}
    processor(career)


@pytest.mark.parametrize(
    "label", ["cook", "cook's", '"chief"', 'it\'s "so"', "a\nb", "\\", '"); raise SystemExit(1) #']
)
def test_labels_of_others_are_text_and_never_code(label):
    assert ast.literal_eval(as_literal(label)) == label


EXAMPLES = sorted((Path(__file__).parents[2] / "model_cards").glob("*-*.md"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_cards_parse_and_say_what_they_are(path):
    card = ModelCard.load(path)
    assert "An example of a card, not a model to use" in card.text and "It printed:" in card.text
    assert card.data.eval_results[0].metric_type == "perplexity"
    headings = re.findall(r"^## .*", TEMPLATE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"^## .*", card.text, flags=re.MULTILINE) == headings
    wages = path.stem.startswith("wages")
    assert ("wage_r2" in {result.metric_type for result in card.data.eval_results}) == wages


def test_there_is_a_card_of_every_stage():
    assert len(EXAMPLES) == 3
