"""Fetches Transformers' own model tests: they are in its source distribution, not in its wheel, and are never
committed here.

Three of their imports are not even in the source distribution and get empty stand-ins. Offline the suite cannot be
fetched; tests that need it then skip, unless CAREER_HF_REQUIRE_SUITE is set, as it is where the project is checked
before it is merged.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import pytest
import transformers
from filelock import FileLock


CACHE = Path(__file__).parent / ".cache"
PACKAGE = "transformers_own_tests"


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
    stand_ins = {
        "utils.test_configuration_utils": {"config_common_kwargs": {}},
        "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
        "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    }
    for name, members in stand_ins.items():
        parent = types.ModuleType(f"{PACKAGE}.{name.split('.')[0]}")
        parent.__path__ = []
        module = types.ModuleType(f"{PACKAGE}.{name}")
        vars(module).update(members)
        sys.modules.update({parent.__name__: parent, module.__name__: module})
    return tuple(importlib.import_module(f"{PACKAGE}.test_{kind}_common") for kind in ("modeling", "configuration"))
