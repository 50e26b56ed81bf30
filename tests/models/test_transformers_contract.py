"""Transformers' own ModelTesterMixin and ConfigTester, run on both model classes."""

import dataclasses
import unittest

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.testing_utils import slow, torch_device
from transformers_suite import COMMON_KWARGS, NOT_APPLICABLE, EverySkipIsExplained, import_suite

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerModel


modeling_common, configuration_common = import_suite()
# Without this the suite's training tests would train the base model, which has no loss.
MODEL_MAPPING_NAMES["career"] = "CareerModel"

COVARIATES = {"year": 11, "education": 5, "gender": 3}  # not in alphabetical order, on purpose


class CareerModelTester:
    def __init__(self, parent):
        self.parent = parent
        self.batch_size = 13
        self.seq_length = 7
        self.is_training = True
        self.vocab_size = 99
        self.hidden_size = 32
        self.num_hidden_layers = 2
        self.num_attention_heads = 4

    def get_config(self):
        return CareerConfig(
            vocab_size=self.vocab_size,
            covariate_names=list(COVARIATES),
            covariate_sizes=list(COVARIATES.values()),
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
        )

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.seq_length)
        generator = torch.Generator().manual_seed(0)
        input_ids = torch.randint(2, self.vocab_size, shape, generator=generator)
        covariates = torch.stack(
            [torch.randint(0, size, shape, generator=generator) for size in COVARIATES.values()], dim=-1
        )
        inputs = {"input_ids": input_ids.to(torch_device), "covariates": covariates.to(torch_device)}
        return self.get_config(), inputs


class CareerModelTest(EverySkipIsExplained, modeling_common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (CareerModel, CareerForOccupationPrediction)
    additional_model_inputs = ["covariates"]
    not_applicable = NOT_APPLICABLE | {
        "test_keep_in_fp32_modules*": "every weight of CAREER may be in half precision",
        "test_inputs_embeds": "after CareerModel: heads also need input_ids, the occupations in which people can stay",
    }
    test_can_init_all_missing_weights_before_2023 = True
    # It starts a process that loads Transformers.
    test_can_load_with_global_device_set = slow(modeling_common.ModelTesterMixin.test_can_load_with_global_device_set)

    def setUp(self):
        self.model_tester = CareerModelTester(self)
        self.config_tester = configuration_common.ConfigTester(self, config_class=CareerConfig, hidden_size=32)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels and model_class is CareerForOccupationPrediction:
            # Stays and moves, so that both heads get a gradient.
            labels = inputs["input_ids"].clone()
            labels[:, ::2] = 2 + (labels[:, ::2] - 1) % (self.model_tester.vocab_size - 2)
            inputs["labels"] = labels
        return inputs

    def test_config(self):
        self.config_tester.run_common_tests()


def test_common_kwargs_are_complete():
    """The rule that Transformers keeps for its own: every field of every config, with a value that is no default."""
    default = transformers.PreTrainedConfig()
    fields = {field.name for field in dataclasses.fields(default)} - {"transformers_version", "is_encoder_decoder"}
    assert fields <= set(COMMON_KWARGS)
    assert [name for name, value in COMMON_KWARGS.items() if value == getattr(default, name)] == []
