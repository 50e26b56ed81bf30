"""CareerConfig: order survives JSON, and what does not fit together is refused."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from career_hf import CareerConfig


def test_order_of_covariates_and_labels_survive_a_round_trip(tmp_path):
    config = CareerConfig(
        vocab_size=12,
        covariate_names=["year", "education", "gender"],
        covariate_sizes=[11, 5, 3],
        id2label={i: f"occupation {i}" for i in range(12)},
    )
    config.save_pretrained(tmp_path)
    loaded = CareerConfig.from_pretrained(tmp_path)
    assert (loaded.covariate_names, loaded.covariate_sizes) == (["year", "education", "gender"], [11, 5, 3])
    assert loaded.id2label == config.id2label and loaded.num_labels == 12
    assert loaded.label2id["occupation 3"] == 3


def test_labels_are_complete_without_being_given():
    assert CareerConfig(vocab_size=7).id2label == {i: str(i) for i in range(7)}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, "multiple of num_attention_heads"),
        ({"hidden_size": 9, "num_attention_heads": 3}, "must be even"),
        ({"vocab_size": 3}, "fewer than two occupations"),
        ({"bos_token_id": 400}, "outside the vocabulary"),
        ({"special_token_ids": [0]}, r"must contain pad_token_id and bos_token_id; add \[1\]"),
        ({"covariate_names": ["year"], "covariate_sizes": []}, "1 entries and covariate_sizes 0"),
        ({"covariate_names": ["year", "year"], "covariate_sizes": [2, 2]}, r"duplicates: \['year'\]"),
        ({"covariate_names": ["a.b"], "covariate_sizes": [2]}, "contain a dot"),
        ({"covariate_names": ["type"], "covariate_sizes": [2]}, "rename them, 'type_' for example"),
        ({"covariate_names": ["year"], "covariate_sizes": [0]}, "covariate_sizes must be at least 1"),
        ({"tie_word_embeddings": True}, "not supported"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(kwargs, message):
    with pytest.raises(StrictDataclassError, match=message):
        CareerConfig(**kwargs)
