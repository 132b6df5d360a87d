"""Python runs this first in each process that a test starts: exports there use the graphs that the tests keep too."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

EXPORT = "streamrec.runtime.export"
HELPER = Path(__file__).parents[1] / "graphs.py"


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != EXPORT:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(name, spec.origin)
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        spec = importlib.util.spec_from_file_location("graphs_of_the_tests", HELPER)
        helper = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(helper)
        module._traced = helper.kept_graphs(module._traced, Path(os.environ[helper.FOLDER]))


if os.environ.get("STREAMREC_TEST_GRAPHS"):
    sys.meta_path.insert(0, Finder())
