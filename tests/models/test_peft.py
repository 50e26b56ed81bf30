"""Low-rank adapters through PEFT: the stock recipe trains them, and they save, load and merge."""

from __future__ import annotations

import pytest
import torch
from forecast_examples import careers_of, model_and_processor

from career_hf import CareerForOccupationPrediction
from career_hf.training.trainer import build_trainer, finetuning_recipe


peft = pytest.importorskip("peft", reason="the extra 'peft' is not installed")

TARGETS = ["qkv_proj", "out_proj", "up_proj", "down_proj"]


@pytest.fixture
def pretrained(tmp_path):
    model, processor = model_and_processor("career")
    model.save_pretrained(tmp_path / "pretrained")
    return tmp_path / "pretrained", processor


def logits(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits


def test_adapters_are_trained_by_the_recipe_and_save_load_and_merge(pretrained, tmp_path):
    folder, processor = pretrained
    # task_type stays None: PEFT's wrapper for causal language models expects `generate`.
    adapters = peft.LoraConfig(r=4, target_modules=TARGETS, modules_to_save=["stay_head"])
    model = peft.get_peft_model(CareerForOccupationPrediction.from_pretrained(folder), adapters)
    before = {name: value.clone() for name, value in model.named_parameters()}
    careers = careers_of(30)
    encoded, _ = processor.encode(careers)
    recipe = finetuning_recipe(
        processor, tmp_path / "run", max_steps=4, eval_steps=2, save_steps=2, warmup_steps=1, learning_rate=0.05
    )
    trainer = build_trainer(model, processor, recipe, encoded, encoded)
    trainer.train()

    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    assert changed == trainable
    assert all("lora_" in name or "stay_head" in name for name in trainable)

    batch = processor(careers.select(range(5)))
    expected = logits(model, batch)
    assert not torch.allclose(
        expected, logits(CareerForOccupationPrediction.from_pretrained(folder), batch), atol=1e-3
    )
    model.save_pretrained(tmp_path / "adapters")
    base = CareerForOccupationPrediction.from_pretrained(folder)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapters")
    torch.testing.assert_close(logits(loaded, batch), expected, rtol=0, atol=1e-6)

    # Merged, it is a CAREER like any other, also after saving.
    loaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = CareerForOccupationPrediction.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged, batch), expected, rtol=0, atol=1e-5)
