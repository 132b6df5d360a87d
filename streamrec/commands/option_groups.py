"""Groups of options as settings: those of the page, of what happens after an event, and of the tuned file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamrec.commands.printing import log

if TYPE_CHECKING:
    from streamrec.notify.dispatch_settings import DispatchSettings
    from streamrec.settings.tuned_file import Tuned
    from streamrec.web.server import WebSettings


def page_settings(
    address: str | None,
    access: Path | None,
    names: list[str] | None,
    certificate: Path | None,
    local: Path | None = None,
) -> WebSettings | None:
    """The page's settings; None: no page. Raises ``SettingsError``."""
    from streamrec.errors import SettingsError

    if address is None:
        if access or names or certificate or local:
            raise SettingsError(
                "--web-access, --web-name, --web-certificate and --web-local belong to --web; give that too"
            )
        return None
    from streamrec.core.files import too_open
    from streamrec.core.reading import path_of
    from streamrec.web.auth import Access
    from streamrec.web.server import WebSettings, parse_address

    for file in (access, certificate):  # the second holds a key
        if file is not None and (warning := too_open(path_of(str(file)))):
            log(warning)
    host, port = parse_address(address)
    return WebSettings(
        host=host,
        port=port,
        access=Access.read(access, os.environ),
        access_file=access,
        public=tuple(name.rstrip("/") for name in names or ()),
        certificate=certificate,
        local=local,
    )


def after_options(
    history: Path | None,
    evidence: Path | None,
    privacy: str | None,
    sinks: list[str] | None,
    stream: str | None,
    record: Path | None,
    record_pictures: str,
    record_gb: float,
) -> dict[str, Any]:
    """The options about what happens after an event, for ``DispatchSettings.with_options``."""
    return {
        "history": history,
        "evidence": evidence,
        "privacy": privacy,
        "sinks": sinks or (),
        "stream": stream,
        "record": record,
        "record_pictures": record_pictures,
        "record_gb": record_gb,
    }


def recording_options(
    folder: Path | None, segment: str | None, keep: str | None, keep_gb: float | None
) -> dict[str, Any]:
    """The options of continuous recording, as fields of ``RecordingSettings``; raises ``SettingsError``."""
    from streamrec.core.durations import seconds_of
    from streamrec.errors import SettingsError

    if segment is None and keep is None and keep_gb is None:
        return {}
    if folder is None:
        raise SettingsError(
            "--segment, --keep and --keep-gb are about a recording: give its folder, --save FOLDER"
        )
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--save {folder} is a file; a recording in segments needs a folder")
    lengths: dict[str, float | None] = {}
    for option, text, least, most in (("--segment", segment, 10.0, 86_400.0), ("--keep", keep, 60.0, 3.2e9)):
        lengths[option] = seconds = None if text is None else seconds_of(text)
        if text is not None and (seconds is None or not least <= seconds <= most):
            raise SettingsError(f"{option} {text}: write a length like 10m, 12h or 7d")
    given = {"folder": str(folder.absolute()), "segment": lengths["--segment"], "max_gb": keep_gb}
    if (seconds := lengths["--keep"]) is not None:
        given["keep_days"] = seconds / 86_400
    return {key: value for key, value in given.items() if value is not None}


def after_events(file: Path | None, options: Mapping[str, Any]) -> DispatchSettings:
    """What happens after an event: as the options say, or else the file."""
    from streamrec.notify.dispatch_settings import DispatchSettings
    from streamrec.settings.cameras_file import read_after

    settings = DispatchSettings()
    if file is not None:
        read = read_after(file, os.environ)
        for warning in read.too_open():
            log(warning)
        settings = DispatchSettings.of(read)
    return settings.with_options(**options)


def tuned_settings(context: typer.Context, config: Path | None) -> Tuned:
    """What the tuned file says, without what an option gives."""
    from streamrec.settings.tuned_file import KEYS, Tuned, read_tuned

    if config is None:
        return Tuned()
    sources = {key: context.get_parameter_source(key) for key in KEYS}
    given = [key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return replace(read_tuned(config), **dict.fromkeys(given))


def files_of_sinks(sinks: list[str] | None) -> list[Path]:
    """The Python files that --sink names."""
    return [Path(use.rpartition(":")[0]) for use in sinks or () if use.rpartition(":")[0].endswith(".py")]
