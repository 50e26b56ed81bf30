"""`train` and `finetune`: what a notebook calls, with careers in memory or in a folder, and what comes back."""

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from mixture_examples import moves, survey
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.training.trainer import finetuning_defaults


SHORT = {"max_steps": 4, "eval_steps": 2, "tokens_per_batch": 200, "warmup_steps": 1}
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def careers():
    rng = np.random.default_rng(0)
    people = 150
    frame = {
        "person": np.repeat(np.arange(people), 4),
        "year": np.tile(np.arange(1990, 1994), people),
        "occupation": rng.choice(["cook", "waiter", "clerk"], 4 * people),
        "education": np.repeat(rng.choice(["school", "college"], people), 4),
    }
    return from_frame(frame, covariates=["education"])


@pytest.fixture(scope="module")
def trained(careers):
    return career_hf.train(careers, fields=SMALL, source="keane-wolpin", **SHORT)


def test_careers_in_memory_are_split_trained_on_and_recorded(careers, trained):
    stage = trained.processor.training_stages[-1]
    assert stage["source"]["source"] == "keane-wolpin" and stage["run"]["updates"] == 4
    assert (stage["source"]["first_year"], stage["source"]["last_year"]) == (1990, 1993)
    assert stage["people"] == len(split_careers(careers)["train"])
    assert trained.metrics["eval_perplexity"] == pytest.approx(np.exp(trained.metrics["eval_nll"]))


def test_the_log_is_a_frame_and_a_figure_has_its_curve(trained):
    log = trained.to_frame()
    assert list(log["eval_nll"].dropna().index) == [2, 4]
    pytest.importorskip("matplotlib")
    (axes,) = trained.figure().axes
    curves = {line.get_label(): line for line in axes.lines}
    assert list(curves["validation careers"].get_ydata()) == list(log["eval_nll"].dropna())


def test_a_saved_model_has_its_processor_and_its_card(trained, tmp_path):
    (tmp_path / "evaluation_results.json").write_text('{"weights": "of another model"}')
    trained.save(tmp_path)
    model, processor = load_checkpoint(tmp_path)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), trained.model.parameters(), strict=True))
    assert processor.training_stages == trained.processor.training_stages
    assert "Keane and Wolpin" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "evaluation_results.json").exists()


def test_a_folder_and_careers_by_split_give_the_same_model(careers, trained, tmp_path):
    splits = split_careers(careers)
    save_careers(splits, tmp_path / "careers")
    again = career_hf.train(tmp_path / "careers", fields=SMALL, output=tmp_path / "model", **SHORT)
    assert all(torch.equal(p, q) for p, q in zip(again.model.parameters(), trained.model.parameters(), strict=True))
    assert (tmp_path / "model" / "training" / "checkpoint-4").is_dir()
    with pytest.raises(ValueError, match="its max_steps is 4, and now it is 6"):
        career_hf.train(splits, fields=SMALL, output=tmp_path / "model", resume=True, **{**SHORT, "max_steps": 6})
    same = career_hf.train(splits, fields=SMALL, output=tmp_path / "model", resume=True, **SHORT)
    assert same.processor.training_stages[-1]["run"]["resumed_at"] == 4


def test_a_model_in_memory_is_finetuned_as_its_checkpoint_is(careers, trained, tmp_path):
    trained.save(tmp_path / "pretrained")
    settings = {"covariates": ["year", "education"], **SHORT}
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    tuned = [career_hf.finetune(given, careers, **settings) for given in (trained, tmp_path / "pretrained")]
    assert all(torch.equal(p, q) for p, q in zip(*(each.model.parameters() for each in tuned), strict=True))
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    assert tuned[0].processor.covariate_names == ["year", "education"]
    assert tuned[0].transfer.fresh["education"] == ["missing", "college", "school"]
    assert [stage["stage"] for stage in tuned[0].processor.training_stages] == ["training", "finetuning"]


def test_a_scratch_model_takes_the_occupations_of_another_so_that_both_can_be_compared(careers, trained):
    few = split_careers(careers)
    few["train"] = few["train"].filter(lambda person: "clerk" not in person["occupation"]).select(range(5))
    alone = career_hf.train(few, fields=SMALL, **SHORT)
    assert "clerk" not in alone.processor.occupations
    (note,) = alone.ledger.notes
    total = sum(map(len, few["validation"]["occupation"]))
    outside = sum(career.count("clerk") for career in few["validation"]["occupation"])
    assert f"{outside} of {total} person-years of validation careers are in 1 occupations" in note
    together = career_hf.train(few, fields=SMALL, occupations=trained, **SHORT)
    assert together.processor.occupations == trained.processor.occupations
    assert not together.ledger.notes
    listed = career_hf.train(few, fields=SMALL, occupations=["cook", "waiter", "clerk"], **SHORT)
    assert listed.processor.unknown_occupation is None
    with pytest.raises(ValueError, match="occupation 'clerk' is not among the 2 known ones.*occupations="):
        career_hf.train(few, fields=SMALL, occupations=["cook", "waiter"], **SHORT)


def test_fine_tuning_keeps_the_occupations_of_the_pretrained_model(careers):
    pretrained = career_hf.train(careers, fields=SMALL, occupations=["cook", "waiter", "clerk", "judge"], **SHORT)
    tuned = career_hf.finetune(pretrained, careers, l2_sp=1.0, layerwise_decay=0.7, frozen_layers=1, **SHORT)
    assert tuned.processor.occupations == pretrained.processor.occupations
    run = tuned.processor.training_stages[-1]["run"]["settings"]
    assert (run["l2_sp"], run["layerwise_decay"], run["frozen_layers"]) == (1.0, 0.7, 1)
    frozen = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(tuned.model.state_dict()[frozen], pretrained.model.state_dict()[frozen])


def test_settings_of_fine_tuning_follow_from_the_size_of_the_survey_unless_they_are_given(careers, trained):
    assert finetuning_defaults(400) != finetuning_defaults(100_000)
    tuned = career_hf.finetune(trained, careers, max_steps=3, patience=2)
    run = tuned.processor.training_stages[-1]["run"]["settings"]
    by_size = finetuning_defaults(tuned.processor.training_stages[-1]["person_years"])
    assert {name: run[name] for name in ("learning_rate", "lr_scheduler_type", "tokens_per_batch")} == {
        name: by_size[name] for name in ("learning_rate", "lr_scheduler_type", "tokens_per_batch")
    }
    assert (run["max_steps"], run["patience"]) == (3, 2)


def test_a_mixture_records_its_corpora_and_works_without_covariates(tmp_path):
    corpora = [survey(60), moves()]
    mixed = career_hf.train(
        corpora, covariates=["year", "region"], corpus_weights=[3, 1], covariate_dropout=0.5, fields=SMALL, **SHORT
    )
    stage = mixed.processor.training_stages[-1]
    assert stage["people"] == 55 and [corpus["share"] for corpus in stage["source"]["corpora"]] == [0.75, 0.25]
    assert "unemployed" in stage["source"]["corpora"][1]["lacks"] and stage["source"]["last_year"] == 1992
    _, processor = load_checkpoint(mixed.save(tmp_path) and tmp_path)
    batch = processor({"year": [2001, 2002], "occupation": ["a", "d"]})
    nearest = processor.covariate_levels[0].index("1992")
    assert batch["covariates"].tolist() == [[[nearest, 0], [nearest, 0]]]
    tuned = career_hf.finetune(mixed, survey(40, "q").remove_columns("region"), **SHORT)
    assert tuned.processor.optional_covariates == ["year", "region"]
    with pytest.raises(ValueError, match="a mixture of corpora is for CAREER"):
        career_hf.train(corpora, model="markov-1")
    with pytest.raises(ValueError, match="corpus_weights are for a mixture"):
        career_hf.train(corpora[0], corpus_weights=[1.0])


def test_a_chain_is_counted_and_has_no_curve(careers):
    counted = career_hf.train(careers, model="markov-2", tune_smoothing=True)
    assert counted.model.config.order == 2 and counted.to_frame().empty and not counted.metrics
    assert counted.processor.training_stages[-1]["run"]["settings"] == {"model": "markov-2", "tuned": True}
    encoded, _ = counted.processor.encode(split_careers(careers)["train"])
    plain = career_hf.train(careers, model="markov-1").model
    same = MarkovForOccupationPrediction.fit(encoded, counted.processor)
    assert torch.equal(plain.first_order.counts, same.first_order.counts)
    assert plain.config.first_order_weight == 0.99
    with pytest.raises(ValueError, match="is counted, so it has no learning curve"):
        counted.figure()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "nemo", "job_dropout": 0.5}, "rivals cannot hide a year"),
        ({"model": "nemo", "title_embeddings": {"cook": [1.0]}}, "rivals have no place for titles"),
        ({"model": "nemo", "recipe": "best"}, "recipe 'best' is for CAREER"),
        ({"model": "markov-1", "recipe": "best"}, "recipe 'best' is for CAREER"),
        ({"recipe": "fastest"}, "no recipe 'fastest'; recipes are paper, best"),
        ({"recipe": "best", "one_stage": True}, "return_pointer needs two_stage=True"),
        ({"source": "hearsay"}, "no source 'hearsay'"),
        ({"resume": True}, "needs the output folder"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(careers, options, message):
    with pytest.raises(ValueError, match=message):
        career_hf.train(careers, **SHORT, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "markov-1", "covariates": ["education"]},
            "covariates is not for markov-1, which is made of",
        ),
        ({"model": "mixture", "covariates": ["year", "education"]}, "and has no covariates: leave it out"),
        ({"model": "markov-2", "max_steps": 5}, "max_steps is not for markov-2, .* not trained step by step"),
        ({"model": "markov-1", "one_stage": True}, "one_stage is not for markov-1"),
        ({"model": "mixture", "resume": True}, "resume is not for mixture"),
        ({"model": "regression", "dropout": 0.3}, "dropout is for CAREER and not for regression"),
        ({"model": "bag-of-jobs", "tune_smoothing": True}, "tune_smoothing is for models that are made of counts"),
        (
            {"model": "career", "fields": {"hiden_size": 8}},
            "fields has 'hiden_size', which career does not have; it",
        ),
        (
            {"model": "markov-1", "fields": {"smooth": 1}},
            "fields has 'smooth', which markov-1 does not have; it",
        ),
    ],
)
def test_options_that_a_model_cannot_use_are_refused_and_not_ignored(careers, options, message):
    with pytest.raises(ValueError, match=message) as error:
        career_hf.train(careers, **options)
    assert "--" not in str(error.value)


def test_options_at_their_defaults_and_no_covariates_suit_every_model(careers):
    options = {"covariates": [], "max_steps": None, "one_stage": False, "learning_rate": None, "trials": 1, "seed": 3}
    assert career_hf.train(careers, model="markov-1", **options).processor.covariate_names == []


def test_nothing_to_resume_and_no_validation_careers_are_errors(careers, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in .*training to resume from"):
        career_hf.train(careers, output=tmp_path, resume=True, **SHORT)
    splits = split_careers(careers)
    splits.pop("validation")
    with pytest.raises(ValueError, match="needs the splits 'train' and 'validation'"):
        career_hf.train(splits, **SHORT)


def test_only_career_is_finetuned(careers, tmp_path):
    career_hf.train(careers, model="markov-1").save(tmp_path)
    with pytest.raises(ValueError, match="only CAREER is fine-tuned"):
        career_hf.finetune(tmp_path, careers, **SHORT)


def test_a_text_in_the_place_of_a_list_and_an_empty_split_are_refused(careers):
    with pytest.raises(ValueError, match=r"covariates='year' is a text: pass a list, covariates=\['year'\]"):
        career_hf.train(careers, covariates="year")
    splits = {"train": careers, "validation": careers.select([])}
    with pytest.raises(ValueError, match="the split 'validation' is empty"):
        career_hf.train(DatasetDict(splits))


def test_careers_of_another_coding_are_pointed_to_a_crosswalk(trained):
    codes = from_frame({"person": list("abcd"), "year": [1990] * 4, "occupation": ["2100", "3255", "9130", "cook"]})
    splits = {"train": codes, "validation": codes}
    with CaptureLogger(logging.get_logger("career_hf.trained_models")) as log:
        career_hf.finetune(trained, splits, **SHORT)
    assert "does not know 3 of 4 occupations of training careers, such as '2100'" in log.out
    assert "--crosswalk census2010" in log.out
