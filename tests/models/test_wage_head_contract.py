"""Transformers' own ModelTesterMixin and ConfigTester, run on the wage model."""

import unittest

import torch
from test_transformers_contract import CareerModelTest as _CareerModelTest
from test_transformers_contract import CareerModelTester, configuration_common, modeling_common
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.testing_utils import slow
from transformers_suite import EverySkipIsExplained

from career_hf import CareerForWagePrediction, CareerWageConfig
from career_hf.models.modeling_wage import NOT_INHERITED


# Imported to be read, not to be run here once more.
career_not_applicable = _CareerModelTest.not_applicable
del _CareerModelTest
MODEL_MAPPING_NAMES["career_wage"] = "CareerModel"


class CareerWageTester(CareerModelTester):
    def get_config(self):
        fields = super().get_config().to_dict()
        return CareerWageConfig(**{name: value for name, value in fields.items() if name not in NOT_INHERITED})


class CareerForWagePredictionTest(EverySkipIsExplained, modeling_common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (CareerForWagePrediction,)
    additional_model_inputs = ["covariates"]
    not_applicable = career_not_applicable | {
        "test_torch_save_load": "AutoModel has no wage head: AutoModelForCausalLM loads the whole model",
    }
    test_can_load_with_global_device_set = slow(modeling_common.ModelTesterMixin.test_can_load_with_global_device_set)
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = CareerWageTester(self)
        self.config_tester = configuration_common.ConfigTester(self, config_class=CareerWageConfig, hidden_size=32)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels:
            # Stays and moves, and wages of some, so that all three heads get a gradient.
            labels = inputs["input_ids"].clone()
            labels[:, ::2] = 2 + (labels[:, ::2] - 1) % (self.model_tester.vocab_size - 2)
            inputs |= {"labels": labels, "log_wage": (labels % 7).float().masked_fill(labels % 3 == 0, torch.nan)}
        return inputs

    def test_config(self):
        self.config_tester.run_common_tests()
