"""Pages of the site beside docs/: generated from the code and from files of the repository, with their links.

MkDocs calls the functions that begin with ``on_``. A link that leaves docs/ is right in the repository;
in the site it leads to the page that shows the same file.
"""

from __future__ import annotations

import html
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
LANGUAGES = {".py": "python", ".toml": "toml", ".service": "ini", ".env": "ini", ".md": "markdown"}
PYTHON: dict[str, tuple[str, tuple[str, ...]]] = {
    "reading": (
        "Sources: where frames come from",
        ("open_source", "RowSource", "Source", "Frame", "RingBuffer"),
    ),
    "recognizing": (
        "Recognizing",
        (
            "Recognizer",
            "open_models",
            "StreamRecognizer",
            "Prediction",
            "State",
            "Transform",
            "SignalTransform",
            "SoundTransform",
        ),
    ),
    "flow": (
        "From sources to results",
        ("results", "results_of", "async_results", "pace", "Watcher", "Result"),
    ),
    "events": (
        "Events and their history",
        (
            "Event",
            "ActionStarted",
            "ActionEnded",
            "EventDetector",
            "EventSettings",
            "RecurrenceSettings",
            "History",
            "Corrections",
        ),
    ),
    "sinks": (
        "Sinks: where results go",
        ("Sink", "Window", "VideoFile", "JsonLines", "Latest", "Callback", "Background", "draw"),
    ),
    "explaining": (
        "Which part of the frame, or which readings, spoke for a label",
        ("Explainer", "Followed", "draw_heat", "SignalExplainer", "Recent", "Relevance"),
    ),
    "teaching": ("Teaching own actions", ("Teacher",)),
    "models": ("Models", ("ModelConfig", "ActionModel", "CNNLSTM", "Translator", "save_model")),
    "synthetic": ("The synthetic world", ("World", "WorldSettings")),
    "errors": ("Errors", ("StreamrecError",)),
}

FENCE = re.compile(r"(^ *````?.*?^ *````?$)", re.DOTALL | re.MULTILINE)
IMAGE = re.compile(r"(<img\s[^>]*?\bsrc=\")([^\":]+)(\")")
SECTIONS = re.compile(r"<!-- README: (.*) -->")
LINK = re.compile(r"(\])\(([^)#:\s]+)(#[^)\s]*)?\)")

_shown: dict[str, str] = {}  # a file of the repository -> the page that shows it
_origin: dict[str, str] = {}  # a page that is the text of a file -> that file


def on_config(config: Any) -> Any:
    """Forget an earlier build: ``mkdocs serve`` makes many."""
    _shown.clear()
    _origin.clear()
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and record which file each page shows."""
    for file in files.documentation_pages():
        _show(f"docs/{file.src_uri}", file.src_uri)
    _show("README.md", "index.md")
    _stand_for("streamrec/commands/app.py", "reference/cli.md")
    _stand_for("streamrec/__init__.py", "reference/python/index.md")
    made = {
        "reference/cli.md": cli_page(),
        **python_pages(),
        "decisions/index.md": _list_page(
            "Decisions", "Choices, with their measurements, and what was refused.", "decisions"
        ),
        "model-cards/index.md": _list_page("Models that ship", "A card each.", "model-cards"),
        "deploy.md": deploy_page(),
    }
    for name in ("CHANGELOG", "CONTRIBUTING"):
        made[f"{name.lower()}.md"] = _text(ROOT / f"{name}.md")
        _show(f"{name}.md", f"{name.lower()}.md")
    _stand_for("deploy", "deploy.md")
    for folder in ("decisions", "model-cards"):
        _stand_for(f"docs/{folder}", f"{folder}/index.md")
    for readme in sorted(ROOT.glob("demos/*/README.md")):
        demo = readme.parent.name
        script = readme.parent / f"{demo}.py"  # a notebook has none
        made[f"demos/{demo}.md"] = _text(readme) + ("\n" + _listing(script) if script.is_file() else "")
        _show(f"demos/{demo}/README.md", f"demos/{demo}.md")
        _show(f"demos/{demo}", f"demos/{demo}.md")
    for target in _left_over(files, made):
        made[f"source/{target}.md"] = f"# {target}\n\n" + _listing(ROOT / target, heading=False)
        _stand_for(target, f"source/{target}.md")
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    config.nav = _spread(config.nav, [file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the repository to the pages that show them."""
    uri = page.file.src_uri
    if uri == "index.md":
        page.meta["hide"] = ["navigation"]
    origin = _origin.get(uri)
    markdown = markdown if origin is None else _relinked(markdown, origin, uri)
    markdown = SECTIONS.sub(
        lambda mark: _relinked(_readme_sections(mark[1].split("; ")), "README.md", uri), markdown
    )
    folder, at = posixpath.dirname(uri), page.url or "."

    def lead(image: re.Match[str]) -> str:  # MkDocs leads what is Markdown; HTML is left as it stands
        where = posixpath.relpath(posixpath.normpath(posixpath.join(folder, image[2])), at)
        return f"{image[1]}{where}{image[3]}"

    return IMAGE.sub(lead, markdown)


def cli_page() -> str:
    """The command line, from the same data as ``--help``."""
    import typer.main

    sys.path.insert(0, str(ROOT))
    from streamrec.commands.app import app

    group: Any = typer.main.get_command(app)
    parts = [
        "# Command line\n",
        "`streamrec COMMAND --help` prints the same in a terminal. A user's mistake ends with 2 and a message "
        "that says what to do, Ctrl-C with 130.\n",
    ]
    root = group.make_context("streamrec", [], resilient_parsing=True)
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        context = command.make_context(name, [], parent=root, resilient_parsing=True)
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts.append(
            f"## streamrec {name}\n\n{_prose(command.help or '')}\n\n```text\n{' '.join(usage.split())}\n```\n"
        )
        panels: dict[str, list[str]] = {}
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and parameter.name != "help":
                panel = getattr(parameter, "rich_help_panel", None)
                panels.setdefault(panel or f"{parameter.param_type_name}s", []).append(
                    f"| `{_cell(record[0])}` | {_cell(_linked(html.escape(record[1], quote=False)))} |"
                )
        for panel, rows in panels.items():
            parts.append(f"| {panel.lower()} | |\n| --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def python_pages() -> dict[str, str]:
    """A page for each group of public names of ``streamrec/__init__.py``; every name is on one of them."""
    sys.path.insert(0, str(ROOT))
    import streamrec

    named = [name for _, names in PYTHON.values() for name in names]
    if sorted(named) != sorted(streamrec.__all__):
        wrong = sorted(set(named) ^ set(streamrec.__all__))
        raise PluginError(f"docs/site/hooks.py: these are on no page, on two, or gone: {wrong}")
    first = ["# Python\n", "All of these are imported from `streamrec` itself.\n"]
    pages = {}
    for page, (title, names) in PYTHON.items():
        uri = f"reference/python/{page}.md"
        pages[uri] = f"# {title}\n\n" + "\n\n".join(f"::: streamrec.{name}" for name in names) + "\n"
        links = ", ".join(f"[`{name}`]({page}.md#streamrec.{name})" for name in names)
        first.append(f"**[{title}]({page}.md)**: {links}\n")
    return {"reference/python/index.md": "\n".join(first), **pages}


def deploy_page() -> str:
    """The files of deploy/, as they are."""
    files = [path for path in sorted((ROOT / "deploy").iterdir()) if path.is_file()]
    about = "`streamrec watch` as a service: [how to](watch.md), and the files of the folder `deploy/`.\n"
    return "\n".join(["# Run it as a service\n", about, *(_listing(path) for path in files)])


def _readme_sections(titles: list[str]) -> str:
    """Sections of the README, so that a page can show them without a copy."""
    sections = re.split(r"(?m)^(?=## )", _text(ROOT / "README.md"))
    return "\n".join(part for title in titles for part in sections if part.startswith(f"## {title}\n"))


def _list_page(title: str, about: str, folder: str) -> str:
    pages = sorted((ROOT / "docs" / folder).glob("*.md"))
    rows = [f"- [{_text(path).partition(chr(10))[0].lstrip('# ')}]({path.name})" for path in pages]
    return f"# {title}\n\n{about}\n\n" + "\n".join(rows) + "\n"


def _listing(path: Path, *, heading: bool = True) -> str:
    head = f"## {path.name}\n\n" if heading else ""
    language = "docker" if path.name == "Containerfile" else LANGUAGES.get(path.suffix, "text")
    return f"{head}````{language}\n{_text(path).rstrip()}\n````\n"


def _left_over(files: Files, made: dict[str, str]) -> list[str]:
    """Files of the repository that pages link to and that no page shows yet."""
    texts = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    texts += [(_origin[uri], text) for uri, text in made.items() if uri in _origin]
    found = {
        _meant(link[2], origin)
        for origin, text in texts
        for part in FENCE.split(text)[::2]
        for link in LINK.finditer(part)
    }
    return sorted(
        path
        for path in found
        if path not in _shown and not path.startswith("docs/") and (ROOT / path).is_file()
    )


def _relinked(text: str, origin: str, uri: str) -> str:
    """The text of a file of the repository as the page of that name, its links led anew."""

    def lead(link: re.Match[str]) -> str:
        target = _meant(link[2], origin)
        page = _shown.get(target, target.removeprefix("docs/"))  # a picture of docs/ has its place
        where = posixpath.relpath(page, posixpath.dirname(uri) or ".")
        return f"{link[1]}({where}{link[3] or ''})"

    parts = FENCE.split(text)
    return "".join(part if n % 2 else LINK.sub(lead, part) for n, part in enumerate(parts))


def _meant(target: str, origin: str) -> str:
    """The file of the repository that a link in another one means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))


def _show(path: str, uri: str) -> None:
    """A page is the text of a file of the repository: links to the file lead there, and its own are led anew."""
    _stand_for(path, uri)
    _origin.setdefault(uri, path)


def _stand_for(path: str, uri: str) -> None:
    """Links to this file or folder lead to a page that was written for the site: its own links are right already."""
    _shown[path] = uri


def _spread(items: list[Any], uris: list[str]) -> list[Any]:
    """The navigation with each folder in it replaced by its pages, its index first."""
    spread: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            ((title, value),) = item.items()
            if isinstance(value, list):
                item = {title: _spread(value, uris)}
            elif value.endswith("/"):
                pages = [uri for uri in uris if posixpath.dirname(uri) == value.rstrip("/")]
                item = {title: sorted(pages, key=lambda uri: not uri.endswith("/index.md"))}
        spread.append(item)
    return spread


def _prose(text: str) -> str:
    """A command's help as Markdown; what it marks as written line by line becomes code."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            lines = [line.strip() for line in paragraph.splitlines()[1:]]
            parts.append("```sh\n" + "\n".join(line for line in lines if line != "Examples:") + "\n```")
        else:
            parts.append(_linked(" ".join(paragraph.split())))
    return "\n\n".join(parts)


def _linked(text: str) -> str:
    """Names of pages become links to them."""
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](../\1)", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
