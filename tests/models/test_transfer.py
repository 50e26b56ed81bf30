"""Vocabulary transfer moves weights by name: what both processors know keeps its weights, the rest is fresh."""

import pytest
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame


RESUMES = {
    "person": [1, 1, 2, 2, 3],
    "year": [1990, 1991, 1990, 1991, 1991],
    "occupation": ["cook", "waiter", "waiter", "waiter", "clerk"],
    "education": ["college", "college", "high_school", None, "college"],
}
SURVEY = {
    "person": ["a", "a", "b"],
    "year": [1991, 1993, 1993],
    "occupation": ["unemployed", "cook", "baker"],
    "education": ["college", "graduate", "high_school"],
    "gender": ["f", "f", "m"],
}


@pytest.fixture
def pretrained():
    processor = CareerProcessor.fit(from_frame(RESUMES, covariates=["education"]), covariates=["year", "education"])
    torch.manual_seed(0)
    config = CareerConfig(**processor.config_kwargs(), hidden_size=8, num_hidden_layers=1, intermediate_size=16)
    return processor, CareerForOccupationPrediction(config).eval()


def survey():
    return from_frame(SURVEY, covariates=["education"], static=["gender"])


def rows(model, processor):
    """Every row of the tables that are keyed by a label, by table and label."""
    tables = {
        "input": (model.model.embed_tokens, processor.occupations),
        "output": (model.lm_head, processor.occupations),
    }
    for name, levels in zip(processor.covariate_names, processor.covariate_levels, strict=True):
        tables[name] = (model.model.embed_covariates[name], levels)
    for _, (table, labels) in tables.items():
        assert table.weight.shape[0] == len(labels)
    return {
        (name, label): table.weight[i].detach().clone()
        for name, (table, labels) in tables.items()
        for i, label in enumerate(labels)
    }


def test_known_labels_keep_their_rows_and_new_ones_are_fresh(pretrained):
    old, model = pretrained
    before, body = rows(model, old), model.model.layers[0].mlp.up_proj.weight.clone()
    new = old.extend(survey(), covariates=["gender"])
    report = model.resize_vocabulary(old, new)
    after = rows(model, new)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert report.fresh["occupation"] == ["baker", "unemployed"] and report.dropped["occupation"] == []
    assert report.fresh["year"] == ["1993"] and report.fresh["education"] == ["graduate"]
    assert set(report.fresh["gender"]) == {"missing", "f", "m"} and report.kept["gender"] == []
    assert "occupation: 5 kept, 2 fresh, 0 dropped" in str(report)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, body)
    new.check(model.config)


def test_ids_may_differ_between_processors(pretrained):
    old, model = pretrained
    before = rows(model, old)
    refitted = CareerProcessor.fit(survey(), covariates=["gender", "education"])
    assert refitted.occupations.index("cook") != old.occupations.index("cook")
    report = model.resize_vocabulary(old, refitted)
    after = rows(model, refitted)
    kept_keys = [key for key in after if key in before]
    assert ("input", "cook") in kept_keys and ("education", "college") in kept_keys
    assert all(torch.equal(after[key], before[key]) for key in kept_keys)
    assert report.dropped["occupation"] == ["waiter", "clerk"] and set(report.dropped["year"]) == {
        "missing",
        "1990",
        "1991",
    }


def test_predictions_among_known_labels_do_not_change(pretrained):
    old, model = pretrained
    career = from_frame(RESUMES, covariates=["education"])
    with torch.no_grad():
        before = model(**old(career)).logits
        stay = model(**old(career)).stay_logit
        new = old.extend(survey())
        model.resize_vocabulary(old, new)
        after = model(**new(career)).logits
        stay_after = model(**new(career)).stay_logit
    # The new occupations take their share of stage two; odds among the old ones stay, and so does staying.
    known_ids = slice(2, len(old.occupations))
    odds_before, odds_after = before[..., 2:3] - before[..., known_ids], after[..., 2:3] - after[..., known_ids]
    torch.testing.assert_close(stay_after, stay)
    first = old(career)["attention_mask"].bool() & (old(career)["input_ids"] == 1)
    torch.testing.assert_close(odds_after[first], odds_before[first])


def test_a_transferred_model_survives_saving(pretrained, tmp_path):
    old, model = pretrained
    new = old.extend(survey(), covariates=["gender"])
    model.resize_vocabulary(old, new)
    model.save_pretrained(tmp_path)
    loaded = CareerForOccupationPrediction.from_pretrained(tmp_path)
    inputs = new(survey())
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_the_wrong_processor_is_refused(pretrained):
    old, model = pretrained
    with pytest.raises(ValueError, match="occupation 'baker' at id 5"):
        model.resize_vocabulary(old.extend(survey()), old)
