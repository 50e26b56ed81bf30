"""Transformers' own tests, run on one simple and one large rival of CAREER; ConfigTester is run on every config."""

import unittest

import pytest
import torch
from transformers.testing_utils import slow, torch_device
from transformers_suite import NOT_APPLICABLE, EverySkipIsExplained, import_suite

from career_hf import registration
from career_hf.rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from career_hf.rivals.nemo import NemoForOccupationPrediction


modeling_common, configuration_common = import_suite()
COVARIATES = {"year": 11, "education": 5}


NO_EMBEDDING = "occupations have no single embedding"
NO_ATTENTION = "it has no attention"
NO_HIDDEN_STATES = "its output is probabilities alone, without hidden states"
KEEPS_VOCABULARY = "it is trained anew for another vocabulary, and refuses to be resized"
HALF = "all of its weights may be in half precision"
NOT_APPLICABLE_TO_RIVALS = NOT_APPLICABLE | {
    "test_attention_outputs": NO_ATTENTION,
    "test_bc_cache_name_forward": "it keeps no cache",
    "test_can_set_attention_dynamically": NO_ATTENTION,
    "test_eager_matches_sdpa_inference_*": NO_ATTENTION,
    "test_sdpa_can_dispatch_non_composite_models": NO_ATTENTION,
    "test_can_capture_specific_layers_hidden_states": NO_HIDDEN_STATES,
    "test_capture_outputs_decorator": NO_HIDDEN_STATES,
    "test_hidden_states_output": NO_HIDDEN_STATES,
    "test_retain_grad_hidden_states_attentions": NO_HIDDEN_STATES,
    "test_enable_input_require_grads_with_gradient_checkpointing": "it is too small to recompute its layers",
    "test_inputs_embeds": NO_EMBEDDING,
    "test_keep_in_fp32_modules*": HALF,
    "test_resize_embeddings_untied*": KEEPS_VOCABULARY,
    "test_resize_tokens_embeddings": KEEPS_VOCABULARY,
    "test_torch_save_load": "it has no base model, and so no AutoModel",
}


class RivalTester:
    def __init__(self, parent, model_class, fields):
        self.parent = parent
        self.model_class = model_class
        self.fields = fields
        self.batch_size = 5
        self.seq_length = 7
        self.is_training = True
        self.vocab_size = 20

    def get_config(self):
        covariates = {"covariate_names": list(COVARIATES), "covariate_sizes": list(COVARIATES.values())}
        return self.model_class.config_class(vocab_size=self.vocab_size, **covariates, **self.fields)

    def prepare_config_and_inputs_for_common(self):
        shape = (self.batch_size, self.seq_length)
        generator = torch.Generator().manual_seed(0)
        covariates = [torch.randint(0, size, shape, generator=generator) for size in COVARIATES.values()]
        inputs = {
            "input_ids": torch.randint(2, self.vocab_size, shape, generator=generator).to(torch_device),
            "covariates": torch.stack(covariates, dim=-1).to(torch_device),
        }
        return self.get_config(), inputs


class RivalTests(EverySkipIsExplained, modeling_common.ModelTesterMixin):
    additional_model_inputs = ["covariates"]
    test_can_init_all_missing_weights_before_2023 = True
    has_attentions = False
    test_resize_embeddings = False
    fields = {}
    not_applicable = NOT_APPLICABLE_TO_RIVALS
    test_can_load_with_global_device_set = slow(modeling_common.ModelTesterMixin.test_can_load_with_global_device_set)

    # The suite has no flag for models without hidden states.
    test_hidden_states_output = unittest.skip(NO_HIDDEN_STATES)(
        modeling_common.ModelTesterMixin.test_hidden_states_output
    )
    test_retain_grad_hidden_states_attentions = unittest.skip(NO_HIDDEN_STATES)(
        modeling_common.ModelTesterMixin.test_retain_grad_hidden_states_attentions
    )

    def setUp(self):
        self.model_tester = RivalTester(self, self.all_model_classes[0], self.fields)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels:
            # Stays and moves, so that both stages get a gradient.
            labels = inputs["input_ids"].clone()
            labels[:, ::2] = 2 + (labels[:, ::2] - 1) % (self.model_tester.vocab_size - 2)
            inputs["labels"] = labels
        return inputs


class BagOfJobsTest(RivalTests, unittest.TestCase):
    all_model_classes = (BagOfJobsForOccupationPrediction,)
    fields = {"embedding_size": 8}
    not_applicable = NOT_APPLICABLE_TO_RIVALS | {"test_model_get_set_embeddings": NO_EMBEDDING}
    test_model_get_set_embeddings = unittest.skip(NO_EMBEDDING)(
        modeling_common.ModelTesterMixin.test_model_get_set_embeddings
    )


class NemoTest(RivalTests, unittest.TestCase):
    all_model_classes = (NemoForOccupationPrediction,)
    fields = {"hidden_size": 8, "num_hidden_layers": 2}


@pytest.mark.parametrize(
    "model_class",
    [c for c in registration.model_classes() if c.__module__.startswith("career_hf.")],
    ids=lambda c: c.config_class.model_type,
)
def test_config(model_class):
    tester = configuration_common.ConfigTester(
        unittest.TestCase(), config_class=model_class.config_class, common_properties=["vocab_size"]
    )
    tester.run_common_tests()
