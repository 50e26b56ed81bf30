"""The Python of docs/how_to/for_transformers_users.md runs as it stands, and what the page promises holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, Trainer

from career_hf import CareerForOccupationPrediction, evaluate, forecast
from career_hf.careers import from_frame, save_careers, split_careers


PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "for_transformers_users.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the names of the page stand for after its blocks, and its model's weights before and after resuming."""
    pytest.importorskip("peft", reason="the extra 'peft' is not installed")
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    rows = [
        {"person": f"p{p:03d}", "year": 1988 + t, "occupation": rng.choice(["313", "22", "95"])}
        | {"education": rng.choice(["college", "school"])}
        for p in range(150)
        for t in range(rng.integers(2, 6))
    ]
    save_careers(split_careers(from_frame(pd.DataFrame(rows), covariates=["education"])), folder / "careers/mine")
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
            exec(block, names)
            if "log_probabilities" in block:
                names["trained"] = {name: value.clone() for name, value in names["model"].state_dict().items()}
            if "resume_from_checkpoint" in block:
                names["resumed"] = {name: value.clone() for name, value in names["model"].state_dict().items()}
        names["folder"] = folder
        yield names


def logits(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits


def close(one, other, tolerance):
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_resuming_is_bit_for_bit(names):
    for name, value in names["trained"].items():
        assert torch.equal(value, names["resumed"][name]), name


def test_accumulated_gradients_are_those_of_one_batch(names):
    # Dropout draws other masks in other batches, so this compares updates without it.
    still = names["dataclasses"].replace(names["accumulated"].config, hidden_dropout=0.0, attention_dropout=0.0)
    logged = []
    for arguments in (names["arguments"], names["accumulating"]):
        names["set_seed"](0)
        model = CareerForOccupationPrediction(still)
        arguments = names["dataclasses"].replace(arguments, logging_steps=1, max_steps=2, save_strategy="no")
        trainer = Trainer(model, arguments, train_dataset=names["train"], processing_class=names["processor"])
        trainer.train()
        logged.append([entry[key] for entry in trainer.state.log_history[:2] for key in ("loss", "grad_norm")])
    assert logged[0] == pytest.approx(logged[1], abs=1e-6)


def test_predictions_need_no_labels(names):
    with_labels = names["trainer"].predict(names["test"]).predictions
    assert names["log_probabilities"].shape == with_labels.shape
    assert names["log_probabilities"].shape[::2] == (len(names["test"]), len(names["processor"].occupations))
    state = {name: value.clone() for name, value in names["model"].state_dict().items()}
    assert all(torch.equal(state[name], value) for name, value in names["trained"].items())
    np.testing.assert_allclose(names["log_probabilities"], with_labels, atol=1e-6)


def test_adapters_merge(names):
    batch = names["processor"].pad(names["test"].select(range(10)))
    adapted = logits(names["adapted"], batch)
    base = CareerForOccupationPrediction.from_pretrained(names["folder"] / "runs/base")
    assert (adapted - logits(base, batch)).abs().max() > 1e-4
    close(logits(names["merged"], batch), adapted, 1e-5)
    pair = (names["merged"], names["processor"])
    report = evaluate({"merged": pair}, names["splits"]["test"]).to_frame()
    assert np.isfinite(report["perplexity"].iloc[0])
    ahead = forecast(*pair[:1], names["splits"]["test"], pair[1], horizon=1, unknown_levels="missing")
    np.testing.assert_allclose(ahead.probability.sum(-1), 1, atol=1e-5)


def test_pipelines_agree_on_all_inputs(names):
    for other in ("by_list", "by_generator", "by_key"):
        for one, same in zip(names["by_table"], names[other], strict=True):
            assert (one["person"], one["year"]) == (same["person"], same["year"])
            assert one["stay_probability"] == pytest.approx(same["stay_probability"], abs=1e-6)
    assert names["same"](names["rows"][0])["stay_probability"] == pytest.approx(
        names["by_table"][0]["stay_probability"], abs=1e-6
    )


def test_auto_classes_and_edited_and_resized_models_predict_the_same(names):
    batch = names["processor"].pad(names["test"].select(range(10)))
    expected = logits(names["model"], batch)
    assert type(names["auto"]) is CareerForOccupationPrediction
    close(logits(names["auto"], batch), expected, 1e-6)
    with_code = AutoModelForCausalLM.from_pretrained(names["folder"] / "runs/with_code", trust_remote_code=True)
    close(logits(with_code, batch), expected, 1e-6)
    assert names["edited"].config.hidden_dropout == 0.2
    for model, further in ((names["edited"], 3), (names["resized"], 1)):
        wider = logits(model, batch)
        size = expected.shape[-1]
        assert wider.shape[-1] == size + further
        known = [i for i in range(size) if i not in names["processor"].special_token_ids]
        # Occupations that were known keep their odds.
        odds = [
            values[:, :, known].diff(dim=-1)[batch["input_ids"] == names["processor"].bos_token_id]
            for values in (wider, expected)
        ]
        close(*odds, 1e-5)


def test_padding_on_either_side_and_compiling_change_nothing(names):
    real = names["right"]["attention_mask"].bool()
    moved = names["left"]["attention_mask"].bool()
    assert not torch.equal(real, moved)
    close(names["eager"][real], names["moved"][moved], 1e-6)
    close(names["fast"][real], names["eager"][real], 1e-5)
