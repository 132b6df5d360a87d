import json
import subprocess
import sys

import pytest

import streamrec

HEAVY = ("torch", "torchvision", "timm", "cv2", "av", "onnxruntime", "onnx", "typer", "rich", "numpy")


def fresh(code: str) -> str:
    """What a new interpreter prints: in this one everything is imported already."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def isort_style(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_names_stand_in_the_order_that_ruff_asks_for():
    assert streamrec.__all__ == sorted(streamrec.__all__, key=isort_style)
    assert len(set(streamrec.__all__)) == len(streamrec.__all__)


@pytest.mark.parametrize("name", streamrec.__all__)
def test_every_name_can_be_imported(name):
    thing = getattr(streamrec, name)
    assert thing is getattr(streamrec, name)
    module = getattr(thing, "__module__", None)  # Event is a union: it has none of its own
    assert module is None or module.startswith(("streamrec.", "types", "typing"))


def test_nothing_else_is_shown():
    assert dir(streamrec) == sorted(streamrec.__all__)
    shown = fresh(
        "import json; from streamrec import *; print(json.dumps([n for n in dir() if n[0] != '_']))"
    )
    assert sorted(set(json.loads(shown)) - {"json"}) == sorted(streamrec.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'streamrec' has no attribute 'Recogniser'"):
        streamrec.Recogniser  # noqa: B018
    with pytest.raises(ImportError, match="Recogniser"):
        from streamrec import Recogniser  # noqa: F401


def test_the_door_alone_brings_nothing_heavy():
    loaded = fresh("import sys, json, streamrec; print(json.dumps(list(sys.modules)))")
    assert not set(HEAVY) & set(json.loads(loaded))


def test_what_needs_no_torch_never_imports_it():
    of_torch = ("ActionModel", "CNNLSTM", "Explainer", "SignalExplainer", "Translator")
    names = [name for name in streamrec.__all__ if name not in of_torch]
    code = f"import sys, streamrec\nfor name in {names}: getattr(streamrec, name)\n"
    loaded = fresh(code + "import json; print(json.dumps(list(sys.modules)))")
    assert not {"torch", "torchvision", "timm", "typer"} & set(json.loads(loaded))
