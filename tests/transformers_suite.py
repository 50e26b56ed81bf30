"""Fetches Transformers' own model tests: they are in its source distribution, not in its wheel, and are never
committed here. Offline the suite cannot be fetched; tests that need it then skip, unless CAREER_HF_REQUIRE_SUITE is
set, as it is where the project is checked before it is merged.

The source distribution holds `tests/test_*_common.py` and `tests/models`, and no other folder of tests. The suite
imports three names from those folders. `config_common_kwargs` is written here anew and checked against the fields of
the installed `PreTrainedConfig`. `GenerationTesterMixin` is only looked up as a parent of a tester that generates by
`generate`, which no model here does: `forecast` draws careers whose covariates are known ahead. `ExportTesterMixin`
adds tests of the exporters, which cannot be run without it; tests/sharing exports every model that can be exported.
"""

import functools
import importlib
import os
import subprocess
import sys
import tarfile
import types
import unittest
from pathlib import Path

import pytest
import transformers
from filelock import FileLock


CACHE = Path(__file__).parent / ".cache"
CONSTRAINTS = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = f"transformers=={transformers.__version__}" in CONSTRAINTS
PACKAGE = "transformers_own_tests"

# A value for every field of every config, none of them its default.
COMMON_KWARGS = {
    "architectures": ["CareerModel"],
    "chunk_size_feed_forward": 7,
    "dtype": "float16",
    "id2label": {0: "label"},
    "label2id": {"label": "0"},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "regression",
    "return_dict": False,
}
NOT_DISTRIBUTED = {
    "utils.test_configuration_utils": {"config_common_kwargs": COMMON_KWARGS},
    "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
}

# Tests that a machine or a setting can do without; they run wherever it has what they need.
NEEDS = {
    "test requires accelerator": "a GPU",
    "test requires multiple accelerators": "two GPUs",
    "test requires MPS": "an Apple GPU",
    "test requires CUDA": "a CUDA GPU",
    "test requires Flash Attention": "the package flash-attn, on a GPU",
    "test requires Flash Attention 3": "the package flash-attn-3, on a GPU",
    "test requires Flash Attention 4": "the package flash-attn-4, on a GPU",
    "test requires the kernels library": "the package kernels, which downloads kernels for a GPU",
    "test requires deepspeed": "the package deepspeed, on a GPU",
    "test is slow": "RUN_SLOW=1",
    "Not a prioritized model for now.": "a later Transformers, whose models say themselves that they pass it",
}


def fetch() -> Path:
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / ".lock"):  # tests run in several processes
        return _fetch()


def _fetch() -> Path:
    folder = CACHE / f"transformers-{transformers.__version__}" / "tests"
    if not folder.is_dir():
        requirement = f"transformers=={transformers.__version__}"
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", requirement]
        result = subprocess.run(download, cwd=CACHE, capture_output=True, text=True)
        if result.returncode != 0:
            if os.environ.get("CAREER_HF_REQUIRE_SUITE"):
                raise RuntimeError(f"{' '.join(download)} failed:\n{result.stderr}")
            pytest.skip(f"the source distribution of {requirement} could not be fetched", allow_module_level=True)
        with tarfile.open(CACHE / f"transformers-{transformers.__version__}.tar.gz") as archive:
            members = [m for m in archive.getmembers() if "/tests/" in m.name and m.name.endswith(".py")]
            archive.extractall(CACHE, members, filter="data")
        (folder / "__init__.py").touch()  # test_configuration_common imports "the package it lies in"
    return folder


def import_suite() -> tuple[types.ModuleType, types.ModuleType]:
    """Returns Transformers' `test_modeling_common` and `test_configuration_common`."""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(fetch())]
    sys.modules[PACKAGE] = package
    for name, members in NOT_DISTRIBUTED.items():
        if (fetch() / f"{name.replace('.', '/')}.py").exists():
            raise RuntimeError(f"the source distribution now holds {name}; take it from there")
        parent = types.ModuleType(f"{PACKAGE}.{name.split('.')[0]}")
        parent.__path__ = []
        module = types.ModuleType(f"{PACKAGE}.{name}")
        vars(module).update(members)
        sys.modules.update({parent.__name__: parent, module.__name__: module})
    return tuple(importlib.import_module(f"{PACKAGE}.test_{kind}_common") for kind in ("modeling", "configuration"))


# Tests that no model here can run, and why; "*" stands for any ending. With another Transformers than that of
# constraints.txt, whose suite they are written for, some of them run without a check.
NOT_APPLICABLE = {
    "test_attn_implementation_composite_models": "no model has parts with configs of their own",
    "test_can_set_attention_dynamically_composite_model": "no model has parts with configs of their own",
    "test_internal_model_config_and_subconfig_are_same": "no model has parts with configs of their own",
    "test_sdpa_can_dispatch_composite_models": "no model has parts with configs of their own",
    "test_can_load_from_already_mapped_keys": "weights have the same names in files and in models",
    "test_reverse_loading_mapping": "weights have the same names in files and in models",
    "test_causal_lm_loss_honors_shift_labels": "labels stand at the step that predicts them, and are not shifted",
    "test_encoder_decoder_loss_no_double_shift": "no model is an encoder-decoder",
    "test_multimodal_outputs_are_returned": "the only inputs are careers",
    "test_eager_matches_batched_and_grouped_inference_*": "no model is a mixture of experts",
    "test_moe_models_record_router_logits": "no model is a mixture of experts",
    "test_output_router_logits_from_config": "no model is a mixture of experts",
    "test_model_rope_*": "positions are sinusoids, or there are none",
    "test_vision_axial_rope": "positions are sinusoids, or there are none",
    "test_resize_position_vector_embeddings": "positions are sinusoids of any length, without weights",
    "test_sliding_window_mask": "attention is to the whole career",
    "test_tied_head_has_a_tp_plan_entry": "models are too small to split one over GPUs",
    "test_tied_weights_are_sharded_together": "models are too small to split one over GPUs",
    "test_tp_plan_matches_params": "models are too small to split one over GPUs",
}


class EverySkipIsExplained:
    """A parent, before the suite's mixins, of tests of which each runs, or is skipped for a reason given here.

    `not_applicable` gives the reasons by names of tests, or by their beginnings if they end with "*". A test fails if
    the suite skips it without a reason and, with the Transformers of constraints.txt, if it runs although a reason
    says that it cannot.
    """

    not_applicable: dict[str, str] = NOT_APPLICABLE

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("test_") and callable(getattr(cls, name)):
                setattr(cls, name, _explained(name, getattr(cls, name)))

    def test_model_weights_reload_no_missing_tied_weights(self):
        # The suite's test loads a file without the weights that its config calls for, to see which are reported. No
        # model has tied weights, and such a file is refused.
        with self.assertRaisesRegex(ValueError, r"model\.safetensors of .* lacks '.*' and \d+ other weights"):
            super().test_model_weights_reload_no_missing_tied_weights()

    def skipTest(self, reason):
        # A skip inside of a `subTest` does not end the test.
        self._skips.append(reason)
        super().skipTest(reason)


def _explained(name, test):
    if hasattr(test, "explained"):
        return test

    @functools.wraps(test)
    def run(self, *args, **kwargs):
        table = self.not_applicable
        reason = next((why for n, why in table.items() if n == name or n[-1] == "*" and name.startswith(n[:-1])), None)
        self._skips = []
        try:
            test(self, *args, **kwargs)
        except (unittest.SkipTest, pytest.skip.Exception) as skip:
            self._skips.append(str(skip))
        if not self._skips:
            if reason is not None and PINNED:
                raise AssertionError(f"{name} runs, and not_applicable says that it cannot: {reason}")
            return
        lacking = NEEDS.get(self._skips[0])
        if reason is None and lacking is None:
            raise AssertionError(f"{name} is skipped ({self._skips[0]}), and not_applicable does not say why")
        raise unittest.SkipTest(reason or f"it needs {lacking}")

    run.explained = True
    # unittest's mark of a skipped test would skip it before it is looked up here.
    vars(run).pop("__unittest_skip__", None)
    return run
