"""Public names of before still work: module paths, functions and attributes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import streamrec
from streamrec.core.old_paths import OLD_PATHS
from streamrec.types import Frame, Prediction, Result

PACKAGE = Path(streamrec.__file__).parent
# Module, name of before, name of today.
RENAMED = [
    ("streamrec.core.threads", "settle", "limit_opencv_threads"),
    ("streamrec.threads", "settle", "limit_opencv_threads"),
]


@pytest.mark.parametrize("old", sorted(OLD_PATHS))
def test_a_former_module_path_leads_to_modules_that_exist(old):
    assert not (PACKAGE / old.replace(".", "/")).with_suffix(".py").exists()
    for module in OLD_PATHS[old]:
        path = PACKAGE / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize(("module", "old", "new"), RENAMED)
def test_a_renamed_function_keeps_its_former_name(module, old, new):
    assert getattr(import_module(module), old) is getattr(import_module(module), new)


@pytest.mark.parametrize(("unknown", "label"), [(False, "wave"), (True, "unknown")])
def test_the_label_of_a_result_keeps_its_former_name(unknown, label):
    prediction = Prediction.of(np.array([0.25, 0.75], np.float32), 0.0, ("idle", "wave"))
    result = Result(Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0), prediction, unknown=unknown)
    assert result.label == result.says == label
