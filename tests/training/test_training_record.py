"""How a stage was trained is kept with the checkpoint, by the Trainer that trained it."""

from __future__ import annotations

import torch
from test_training import tiny_trainer

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.training.run_record import hardware


def test_a_run_is_recorded_when_it_is_over_and_resuming_is_said(tmp_path):
    trainer = tiny_trainer(tmp_path)
    assert "run" not in trainer.processing_class.training_stages[0]
    trainer.train()
    run = trainer.processing_class.training_stages[0]["run"]
    assert run["updates"] == 8 and run["best"] == {"metric": "nll", "value": trainer.state.best_metric}
    assert run["settings"]["learning_rate"] == 1e-2 and run["settings"]["tokens_per_batch"] == 160
    assert 0 < run["seconds"] < 600 and run["resumed_at"] is None
    assert run["hardware"]["kind"] == "cpu" and run["hardware"]["count"] == torch.get_num_threads()
    trainer.processing_class.save_pretrained(tmp_path / "kept")
    assert CareerProcessor.from_pretrained(tmp_path / "kept").training_stages[0]["run"] == run

    longer = tiny_trainer(tmp_path, max_steps=12)
    longer.train(resume_from_checkpoint=True)
    run = longer.processing_class.training_stages[0]["run"]
    assert run["updates"] == 12 and run["resumed_at"] == 8


def test_hardware_names_no_machine():
    import platform

    record = hardware(torch.device("cpu"), processes=2)
    assert record["count"] == 2 * torch.get_num_threads() and platform.node() not in str(record)
