"""CareerConfig: order survives JSON, and what does not fit together is refused."""

from inspect import get_annotations
from typing import get_args

import pytest
from huggingface_hub.dataclasses import type_validator
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

import career_hf.simulation.model  # noqa: F401  # registers its config
from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.models.configuration_occupation import OccupationConfig
from career_hf.models.strict_config import ConfigError, strict_config


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


def test_a_model_refuses_labels_that_leave_an_occupation_without_one():
    config = CareerConfig(id2label={0: "<pad>", 1: "<start>", 2: "cook"})
    with pytest.raises(ValueError, match="3 labels for vocab_size=335"):
        CareerForOccupationPrediction(config)


def config_classes(base=OccupationConfig):
    """All configs of the package, found by themselves."""
    own = [base] if base.__module__.startswith("career_hf.") else []
    return own + [found for derived in base.__subclasses__() for found in config_classes(derived)]


def fields_of(config_class):
    """Types of the fields that the package declares, by name."""
    declared = [c for c in config_class.__mro__ if issubclass(c, OccupationConfig)]
    return {name: kind for c in reversed(declared) for name, kind in get_annotations(c).items()}


FIELDS = [(found, name, kind) for found in config_classes() for name, kind in fields_of(found).items()]
VALUES = [None, True, 2, 2.5, "no", [2.5], ["x"], [None], {"a": 1}, (1, 2), b"x"]
NUMBERS = [float("nan"), float("inf"), float("-inf"), 10**30, -(10**30)]


def is_of(kind, value):
    try:
        type_validator("field", value, kind)
    except TypeError:
        return False
    return True


def test_the_configs_are_found():
    names = {found.__name__ for found in config_classes()}
    assert {"CareerConfig", "CareerWageConfig", "NemoConfig", "MarkovConfig", "TrueOccupationConfig"} <= names


@pytest.mark.parametrize(("config_class", "name", "kind"), FIELDS, ids=lambda value: getattr(value, "__name__", None))
def test_no_field_takes_a_value_of_another_type_or_out_of_range(config_class, name, kind):
    config = config_class()
    kinds = {kind, *get_args(kind)}
    wrong = [value for value in VALUES if not is_of(kind, value)]
    assert len(wrong) > 4
    if float in kinds:
        wrong += NUMBERS[:3]
    elif int in kinds:
        wrong += NUMBERS
    elif list in {getattr(k, "__origin__", None) for k in kinds} and not is_of(kind, ["x"]):
        wrong += [[number] for number in NUMBERS]
    for value in wrong:
        with pytest.raises(ConfigError, match=f"^{config_class.__name__}: {name} must be .*, and is ") as assigned:
            setattr(config, name, value)
        with pytest.raises(ConfigError, match=f"{name} must be|^{config_class.__name__}: ") as made:
            config_class(**{name: value})
        for error in (assigned.value, made.value):
            assert isinstance(error, ValueError) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_dropout", 1, "hidden_dropout must be below 1|finite and below 1, and is 1"),
        ("attention_dropout", -0.1, "must be at least 0, and is -0.1"),
        ("hidden_act", "gelou", "hidden_act must be an activation function of Transformers, such as 'gelu'"),
        ("layer_norm_eps", float("nan"), "layer_norm_eps must be a number, and is nan"),
        ("hidden_dropout", float("nan"), "hidden_dropout must be a number, and is nan"),
        ("num_hidden_layers", 0, "num_hidden_layers must be at least 1, and is 0"),
        ("layer_norm_eps", 0.0, "must be finite and above 0, and is 0.0"),
        ("vocab_size", 10**12, "vocab_size must be at most 10,000,000, and is 1000000000000"),
        ("logit_clamp", -10, "logit_clamp must be finite and above 0"),
    ],
)
def test_ranges_of_career(field, value, message):
    with pytest.raises(ConfigError, match=message):
        CareerConfig(**{field: value})
    with pytest.raises(ConfigError, match=message):
        setattr(CareerConfig(), field, value)


def test_a_config_whose_types_are_texts_is_refused():
    class TextualConfig(PreTrainedConfig):
        size: "int" = 3

    with pytest.raises(TypeError, match="the type of TextualConfig.size is a text"):
        strict_config(TextualConfig)
