"""Checkpoints of every format that was ever written load, and say what they said.

`golden` has a folder for each format, of which `0.1-beta` was written by commit d87835b^ of the repository (its
checksums are of whole files, and configs have no hashes of levels). Each has small models, and what they answer. A
folder is never written again; a new format gets a new one, in the root of the repository with

    python tests/encoding/test_golden_checkpoints.py tests/encoding/golden/FORMAT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch


GOLDEN = Path(__file__).with_name("golden")
CAREERS = {
    "person": ["ann", "ann", "ann", "bob", "bob", "cy", "cy", "cy", "cy"],
    "year": [1990, 1991, 1992, 1991, 1992, 1990, 1991, 1992, 1993],
    "occupation": ["cook", "waiter", "cook", "nurse", "nurse", "waiter", "waiter", "nurse", "cook"],
    "education": ["10", "11", "11", "12", "12", None, "9", "9", "10"],
}
CHECKPOINTS = sorted(path.parent for path in GOLDEN.glob("*/*/config.json"))


def answer(model, processor) -> dict[str, list]:
    """Log-probabilities of every occupation at every step of every career, and log wages."""
    from career_hf.careers import from_frame

    batch = processor(from_frame(CAREERS, covariates=["education"]))
    with torch.no_grad():
        outputs = model.eval()(**batch)
    steps, wages = batch["attention_mask"].bool(), getattr(outputs, "predicted_log_wage", None)
    log_wages = {} if wages is None else {"log_wages": wages[steps].tolist()}
    return {"log_probs": outputs.logits[steps].tolist(), **log_wages}


def make(folder: Path) -> None:
    """Writes the checkpoints of the present format."""
    import career_hf  # noqa: F401  # registers the models
    from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
    from career_hf.careers import from_frame

    careers = from_frame(CAREERS, covariates=["education"])
    processor = CareerProcessor.fit(careers, ["year", "education"], unknown_occupation="unknown")
    encoded, _ = processor.encode(careers)
    processor.record_training(encoded, "training")
    alone = CareerProcessor.fit(careers, [], unknown_occupation="unknown")
    alone.record_training(alone.encode(careers)[0], "training")
    size = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    fields = {**processor.config_kwargs(), **size}
    models = {"career": CareerForOccupationPrediction(CareerConfig(**fields))}
    models["career-one-stage"] = CareerForOccupationPrediction(CareerConfig(**fields, two_stage=False))
    try:
        from career_hf.models.modeling_wage import CareerForWagePrediction
        from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
        from career_hf.rivals.markov import MarkovForOccupationPrediction
    except ModuleNotFoundError:  # these modules had other names
        from career_hf.baselines.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
        from career_hf.baselines.markov import MarkovForOccupationPrediction
        from career_hf.wages.modeling_wage import CareerForWagePrediction
    models["career-wage"] = CareerForWagePrediction.from_occupation_model(models["career"], [1.0, 2.0, 2.5])
    config = BagOfJobsConfig(**processor.config_kwargs(), embedding_size=2)
    models["bag-of-jobs"] = BagOfJobsForOccupationPrediction(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for model in models.values():
            for values in model.parameters():
                values.normal_(std=0.5, generator=generator)
    models["markov"] = MarkovForOccupationPrediction.fit(alone.encode(careers)[0], alone, order=2)
    for name, model in models.items():
        of_model = alone if name == "markov" else processor
        model.save_pretrained(folder / name)
        of_model.save_pretrained(folder / name)
        text = json.dumps(answer(model, of_model))
        (folder / name / "answer.json").write_text(text + "\n", encoding="utf-8")


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda path: path.relative_to(GOLDEN).as_posix())
def test_a_checkpoint_says_what_it_said(folder, tmp_path):
    from career_hf import load_checkpoint

    model, processor = load_checkpoint(folder)
    expected, found = json.loads((folder / "answer.json").read_text()), answer(model, processor)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    # And again in the present format.
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = answer(*load_checkpoint(tmp_path))
    np.testing.assert_allclose(again["log_probs"], expected["log_probs"], atol=1e-5)


def test_there_are_checkpoints_of_every_kind_and_format():
    kinds = {json.loads((folder / "config.json").read_text())["model_type"] for folder in CHECKPOINTS}
    assert kinds >= {"career", "career_wage", "career_markov", "career_bag_of_jobs"}
    assert {folder.parent.name for folder in CHECKPOINTS} >= {"0.1-beta", "0.1"}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
