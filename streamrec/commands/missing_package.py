"""The message about a package that is not installed: it names what to install."""

from __future__ import annotations

import re

# Names to install by, where they differ from those to import by.
_PACKAGES = {"cv2": "opencv-python", "onnx_ir": "onnx-ir", "PIL": "pillow", "paho": "paho-mqtt"}


def what_is_missing(error: ImportError) -> str:
    """What to install after this error: an extra, a Python package, or a system library of OpenCV.

    >>> what_is_missing(ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    'cv2 is not installed; pip install opencv-python'
    """
    from streamrec.errors import missing_extra

    if (missing := missing_extra(error)) is not None:
        return str(missing)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("streamrec."):
        package = error.name.partition(".")[0]
        return f"{package} is not installed; pip install {_PACKAGES.get(package, package)}"
    if re.search(r"lib(GL|gthread|glib)\b", str(error)):
        return f"{error}; on Debian: apt-get install libgl1 libglib2.0-0"
    return f"{error}; `streamrec doctor` says what works here and what to install"
