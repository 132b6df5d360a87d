"""`streamrec webpage`: a folder of static files that recognizes in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from streamrec.commands.options import OUTPUT, ModelArgument, option
from streamrec.commands.printing import print_text


def webpage(
    model: ModelArgument,
    out: Annotated[Path, option(OUTPUT, "The folder to write.", "--out", "-o")],
    runtime: Annotated[
        Path | None,
        option(OUTPUT, "The npm tarball of ONNX Runtime Web; by default npm fetches it."),
    ] = None,
) -> None:
    """Write a page that recognizes in the browser.

    The folder holds the page, the model and ONNX Runtime Web. Any static server serves it; frames stay in the browser,
    and nothing is loaded from elsewhere.

    \b
    Examples:
      streamrec webpage webcam --out site/
      python -m http.server --directory site --bind 127.0.0.1
    """
    from streamrec.core.files import keep_inputs
    from streamrec.errors import ModelError
    from streamrec.runtime.browser_page import write_page
    from streamrec.runtime.checkpoint import model_file

    keep_inputs({"--out": out}, [model_file(model), runtime])
    if out.exists() and not out.is_dir():
        raise ModelError(f"--out {out}: it is a file; name a folder")
    size = write_page(model, out, runtime)
    print_text(f"{out}: {size / 1e6:.1f} MB; serve it with: python -m http.server --directory {out}")
