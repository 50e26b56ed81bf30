"""`train` and `finetune`: what a notebook calls, with careers in memory or in a folder, and what comes back."""

import numpy as np
import pytest
import torch
from datasets import DatasetDict

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.rivals.markov import MarkovForOccupationPrediction


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
    longer = career_hf.train(splits, fields=SMALL, output=tmp_path / "model", resume=True, **{**SHORT, "max_steps": 6})
    assert longer.processor.training_stages[-1]["run"]["resumed_at"] == 4


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
