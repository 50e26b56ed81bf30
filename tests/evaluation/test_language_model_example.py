"""examples/score_language_model.py against every title read by itself, by a tiny GPT-2 and a tokenizer made here."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import score_language_model
import torch
from datasets import DatasetDict
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import career_hf
from career_hf.careers import save_careers


END = "<|endoftext|>"


@pytest.fixture(scope="module")
def writer():
    """Careers, their titles, and a language model of random weights that are large enough to have opinions."""
    rows = [(p, 1990 + t, o) for p in "ab" for t, o in enumerate(["405", "in_school", "18", "18"][: 3 + (p == "a")])]
    careers = career_hf.from_frame(pd.DataFrame(rows, columns=["person", "year", "occupation"]))
    labels = career_hf.benchmark({"test": careers}).labels
    titles = dict(zip(labels["label"], labels["title"], strict=True))
    byte_pairs = ByteLevelBPETokenizer()
    texts = career_hf.to_text(careers, None, titles)["text"]
    byte_pairs.train_from_iterator(texts, vocab_size=300, min_frequency=1, special_tokens=[END])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_pairs._tokenizer, bos_token=END, eos_token=END)
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 200, "initializer_range": 0.3}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **sizes))
    return careers, titles, model.eval(), tokenizer


@pytest.mark.parametrize("template", [None, "{occupation}", "Person {person}\nIn {year}, as\t {occupation}\n"])
def test_probabilities_are_those_of_every_title_read_by_itself(writer, template):
    careers, titles, model, tokenizer = writer
    table = score_language_model.score(model, tokenizer, careers, titles, template, titles_per_batch=2)
    texts = career_hf.to_text(careers, template, titles)
    row = 0
    for text, career in zip(texts, careers, strict=True):
        for step, start in enumerate(text["start"]):
            logs = []
            for title in titles.values():
                before = text["text"][:start].rstrip()
                whole = text["text"][:start] + title + "\n"
                ids = tokenizer(END + whole)["input_ids"]
                count = len(ids) - len(tokenizer(END + before)["input_ids"])
                with torch.inference_mode():
                    log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
                logs.append(sum(float(log_probs[i - 1, ids[i]]) for i in range(len(ids) - count, len(ids))))
            p = np.exp(logs) / np.exp(logs).sum()
            found = table.iloc[row]
            assert (found["person"], found["year"]) == (career["person"], career["year"][step])
            assert found[[f"p({label})" for label in titles]].to_numpy(dtype=float) == pytest.approx(p, rel=1e-4)
            truth = list(titles).index(career["occupation"][step])
            assert found["log_prob"] == pytest.approx(np.log(p[truth]), rel=1e-4)
            row += 1
    assert row == len(table) and np.log(table.filter(like="p(")).std().max() > 0.01
    scores = career_hf.evaluate({"model": table}, careers, draws=2).to_frame()
    assert scores["n"].item() == 7 and scores["perplexity"].item() == pytest.approx(np.exp(-table["log_prob"].mean()))


def test_what_a_language_model_cannot_read_is_said(writer):
    careers, titles, model, tokenizer = writer
    with pytest.raises(ValueError, match="person 'a', 199[0-9]: the text has more than the 200 tokens"):
        score_language_model.score(model, tokenizer, careers, titles, f"{'long ' * 180}\n{{occupation}}")
    with pytest.raises(ValueError, match="have one title"):
        score_language_model.score(model, tokenizer, careers, titles | {"18": titles["405"]})


def test_the_script_scores_a_saved_model(writer, tmp_path, monkeypatch):
    careers, titles, model, tokenizer = writer
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    save_careers(DatasetDict({"test": careers}), tmp_path / "careers")
    line = [str(tmp_path / "model"), "--data", str(tmp_path / "careers"), "--output", str(tmp_path / "lm.parquet")]
    monkeypatch.setattr(sys, "argv", ["score_language_model.py", *line, "--template", r"{year}: {occupation}\n"])
    score_language_model.main()
    expected = score_language_model.score(model, tokenizer, careers, titles, "{year}: {occupation}\n")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "lm.parquet"), expected, check_dtype=False)
