"""Low-rank adapters through PEFT: the stock recipe trains them, and they save, load and merge."""

from __future__ import annotations

import pytest
import torch
from forecast_examples import careers_of, model_and_processor
from transformers import Trainer, TrainingArguments, pipeline

import career_hf
from career_hf import CareerForOccupationPrediction
from career_hf.encoding.collating import PaddingCollator
from career_hf.training.trainer import build_trainer, finetuning_recipe


peft = pytest.importorskip("peft", reason="the extra 'peft' is not installed")

TARGETS = ["qkv_proj", "out_proj", "up_proj", "down_proj"]


@pytest.fixture
def pretrained(tmp_path):
    model, processor = model_and_processor("career")
    model.save_pretrained(tmp_path / "pretrained")
    processor.save_pretrained(tmp_path / "pretrained")
    return tmp_path / "pretrained", processor


def logits(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits


def test_adapters_are_trained_by_the_recipe_and_save_load_and_merge(pretrained, tmp_path):
    folder, processor = pretrained
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


TASKS = {"without a task": None, "as a causal language model": "CAUSAL_LM"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_plain_trainer_trains_adapters_and_every_way_to_load_them_agrees(pretrained, tmp_path, task):
    folder, processor = pretrained
    adapters = peft.LoraConfig(task_type=task, r=4, target_modules=TARGETS, modules_to_save=["stay_head"])
    model = peft.get_peft_model(CareerForOccupationPrediction.from_pretrained(folder), adapters)
    careers = careers_of(30)
    encoded, _ = processor.encode(careers)
    arguments = TrainingArguments(
        tmp_path / "run", max_steps=3, learning_rate=0.05, use_cpu=True, report_to="none", save_steps=2
    )
    collator = PaddingCollator(processor.pad_token_id)
    trainer = Trainer(model, arguments, train_dataset=encoded, eval_dataset=encoded, data_collator=collator)
    trainer.train()
    batch = processor(careers)
    expected, before = logits(model, batch), logits(CareerForOccupationPrediction.from_pretrained(folder), batch)
    assert not torch.allclose(expected, before, atol=1e-3)

    saved = tmp_path / "adapters"
    model.save_pretrained(saved)
    processor.save_pretrained(saved)
    loads = {
        "PeftModel": lambda: peft.PeftModel.from_pretrained(
            CareerForOccupationPrediction.from_pretrained(folder), saved
        ),
        "AutoPeft": lambda: (
            peft.AutoPeftModelForCausalLM.from_pretrained(saved)
            if task
            else peft.AutoPeftModel.from_pretrained(saved, import_allowlist=["career_hf"])
        ),
        "the package": lambda: career_hf.load_checkpoint(saved)[0],
        "a pipeline": lambda: pipeline("occupation-prediction", model=str(saved), device="cpu").model,
    }
    for name, load in loads.items():
        torch.testing.assert_close(logits(load(), batch), expected, rtol=0, atol=1e-6, msg=name)

    merged = loads["PeftModel"]().merge_and_unload()
    assert type(merged) is CareerForOccupationPrediction
    torch.testing.assert_close(logits(merged, batch), expected, rtol=0, atol=1e-5)
    merged.save_pretrained(tmp_path / "merged")
    processor.save_pretrained(tmp_path / "merged")

    # The verbs say of the merged checkpoint what they say of the model with its adapters.
    report = career_hf.evaluate({"adapted": (model, processor), "merged": tmp_path / "merged"}, careers)
    perplexities = report.to_frame()["perplexity"].to_numpy()
    assert perplexities[0] == pytest.approx(perplexities[1], rel=1e-5)
    ahead = [
        career_hf.forecast(one, careers, horizon=2, samples=20).probability
        for one in ((model, processor), tmp_path / "merged")
    ]
    assert abs(ahead[0][:, 0] - ahead[1][:, 0]).max() < 1e-5  # later steps are drawn


@pytest.mark.parametrize("name", ["career", "nemo", "regression"])
def test_generate_says_what_to_use_instead(name):
    model, processor = model_and_processor(name)
    batch = processor(careers_of(2))
    with pytest.raises(ValueError, match=f"a {type(model).__name__} has no generate.*use career_hf.forecast"):
        model.generate(batch["input_ids"])
    assert not model.can_generate()
    target = next(name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    adapters = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=[target])
    with pytest.raises(ValueError, match="has no generate.*use career_hf.forecast"):
        peft.get_peft_model(model, adapters).generate(input_ids=batch["input_ids"])
