"""cameras.toml, changed from the page: comments stay, a change by hand is never overwritten, a wrong one never written.

The only module that imports tomlkit (``pip install 'streamrec[web]'``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamrec.checkpoint import shipped_models
from streamrec.core.limits import FPS
from streamrec.core.reading import read_data, shortened
from streamrec.errors import SettingsError, StreamrecError, need
from streamrec.events import LIMITS, NUMBERS, EventSettings
from streamrec.resolve import InForce, check, config_of, events_of, model_config
from streamrec.serve.addresses import check_address, login_of, place_of, shown
from streamrec.tomlfile import check_shape, no_such_key
from streamrec.watchfile import CameraSettings

need("tomlkit", extra="web")

import tomlkit  # noqa: E402
from tomlkit.exceptions import TOMLKitError  # noqa: E402

THRESHOLDS = NUMBERS
LONGEST_NAME = 60


class ChangedMeanwhile(SettingsError):
    """The file is not the one that the page has read."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a camera is to be. ``address``, ``user`` and ``password`` are never sent to the page: ``login`` says
    whether those in the file stay ("keep"), are replaced ("new") or go ("none")."""

    name: str
    address: str
    login: str = "keep"
    user: str = ""
    password: str = ""
    model: str = ""  # "": as the defaults say
    fps: float | None = None
    enabled: bool = True
    region: tuple[float, float, float, float] | None = None
    thresholds: Mapping[str, float] | None = None  # those that differ from the model's own


class Editor:
    """One file of cameras."""

    def __init__(self, file: Path | InForce, environment: Mapping[str, str] | None = None) -> None:
        """``file``: the path alone, or by what its cameras are watched: then the page says just what is in force."""
        if isinstance(file, Path):
            file = InForce(path=file, environment=os.environ if environment is None else environment)
        self.path = file.path.expanduser().resolve()  # what a link points to is replaced, not the link
        self._in_force = replace(file, path=self.path)
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """What the file says, as the page shows it; no password is in it."""
        text, revision = self._text()
        document = _parsed(text)
        file = self._in_force.read(text)
        tables, defaults = _tables(document), document.get("defaults", {})
        cameras = [
            _camera(table, settings, defaults, _own_events(settings.model))
            for table, settings in zip(tables, file.cameras, strict=True)
        ]
        return {
            "revision": revision,
            "file": self.path.name,
            "models": self._models(document),
            "cameras": cameras,
        }

    def put(self, revision: str, name: str | None, change: Change) -> None:
        """Change a camera, or add one (None); raises ``SettingsError`` in words and leaves the file as it was."""

        def edit(document: Any) -> None:
            table = tomlkit.table() if name is None else _find(document, name)
            if change.model and change.model not in self._models(document):
                raise SettingsError(f"model: there is no {change.model!r} to choose")
            _fill(table, change, document.get("defaults", {}), new=name is None)
            if name is None:
                if "camera" not in document:
                    document.append("camera", tomlkit.aot())
                document["camera"].append(table)

        self._edit(revision, edit)

    def remove(self, revision: str, name: str) -> None:
        """Take a camera out of the file."""

        def edit(document: Any) -> None:
            tables = _tables(document)
            if len(tables) == 1:
                raise SettingsError("the last camera stays in the file: switch it off instead")
            document["camera"].remove(_find(document, name))

        self._edit(revision, edit)

    def address_to_try(self, name: str | None, change: Change) -> str:
        """The address with its login, to look whether a picture comes; raises ``SettingsError``."""
        trial = _parsed(self._text()[0])
        table = tomlkit.table() if name is None else _find(trial, name)
        if (
            name is not None
            and change.login == "keep"
            and change.address == shown(str(table.get("address", "")))
        ):
            found = next(one for one in self._in_force.read().cameras if one.name == name)
            return found.address
        _fill(table, change, trial.get("defaults", {}), new=name is None)
        tables = tomlkit.aot()
        tables.append(table)
        trial["camera"] = tables
        with self._part(tomlkit.dumps(trial)) as part:
            return self._checked(part)[0].address

    def tried(self, name: str, thresholds: Mapping[str, float]) -> EventSettings:
        """What would be in force with these thresholds; raises ``SettingsError`` as a change to them does."""
        document = _parsed(self._text()[0])
        _fill_thresholds(_find(document, name), thresholds)
        file = self._in_force.read(tomlkit.dumps(document))
        camera = next(one for one in file.cameras if one.name == name)
        return events_of(camera, config_of(camera, file), file)

    # -- the file

    def _text(self) -> tuple[str, str]:
        data = read_data(self.path)
        try:
            return data.decode("utf-8"), hashlib.sha256(data).hexdigest()[:32]
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.path.name} is not written in UTF-8") from error

    def _edit(self, revision: str, edit: Callable[[Any], None]) -> None:
        with self._lock:
            text, now = self._text()
            if now != revision:
                raise ChangedMeanwhile(
                    f"{self.path.name} was changed meanwhile: look at it again, and repeat the change"
                )
            document = _parsed(text)
            edit(document)
            with self._part(tomlkit.dumps(document)) as part:
                self._checked(part)
                if self._text()[1] != revision:
                    raise ChangedMeanwhile(f"{self.path.name} was changed meanwhile: look at it again")
                try:
                    part.replace(self.path)
                except OSError as error:
                    raise self._cannot_write(error) from error

    @contextlib.contextmanager
    def _part(self, text: str) -> Any:
        """The text in a file beside the true one, with its rights; gone afterwards, unless it took its place."""
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            try:
                kept = self.path.stat()
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                    out.write(text)
                    out.flush()
                    os.fsync(out.fileno())
                part.chmod(kept.st_mode & 0o7777)
                if hasattr(os, "chown"):
                    with contextlib.suppress(OSError):  # another user's file
                        os.chown(part, kept.st_uid, kept.st_gid)
            except OSError as error:
                raise self._cannot_write(error) from error
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _checked(self, part: Path) -> tuple[CameraSettings, ...]:
        try:
            file = self._in_force.read(path=part)
            check(file)
            return file.cameras
        except SettingsError as error:
            said = str(error).replace(f"{part.name}: ", "").replace(part.name, self.path.name)
            raise SettingsError(said) from error

    def _cannot_write(self, error: OSError) -> SettingsError:
        why = (error.strerror or str(error)).lower()
        return SettingsError(f"{self.path.name} cannot be written here: {why}")

    def _models(self, document: Any) -> list[str]:
        """What ships, and what the file names already."""
        shipped = shipped_models()
        named = [
            document.get("defaults", {}).get("model"),
            *(table.get("model") for table in _tables(document)),
        ]
        return [*shipped, *sorted({str(name) for name in named if name} - set(shipped))]


def _parsed(text: str) -> Any:
    check_shape(text, "the file")
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise SettingsError("the file is not TOML at the moment: mend it by hand first") from error


def _tables(document: Any) -> list[Any]:
    return list(document.get("camera", []))


def _find(document: Any, name: str) -> Any:
    for table in document.get("camera", []):
        if table.get("name") == name:
            return table
    raise SettingsError(f"there is no camera {name!r} in the file")


def _camera(table: Any, settings: CameraSettings, defaults: Any, own: EventSettings) -> dict[str, Any]:
    said = dict(settings.events)
    given = str(table.get("address", ""))
    has_login = bool(login_of(settings.address))
    return {
        "name": settings.name,
        "address": shown(given),
        "login": has_login,
        "model": str(table.get("model", "")),
        "watched_by": Path(settings.model).stem,
        "fps": table.get("fps"),
        "enabled": settings.enabled,
        "region": None if settings.region is None else list(settings.region),
        "thresholds": {name: float(said.get(name, getattr(own, name))) for name in THRESHOLDS},
        "model_thresholds": {name: float(getattr(own, name)) for name in THRESHOLDS},
    }


def _own_events(model: str) -> EventSettings:
    """A model's own thresholds; where it cannot be read, the camera is still shown, so that it can be changed."""
    try:
        return model_config(model).events
    except StreamrecError:
        return EventSettings()


def _fill(table: Any, change: Change, defaults: Any, *, new: bool) -> None:
    name = change.name.strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise SettingsError(f"name: write one of at most {LONGEST_NAME} letters")
    before = str(table.get("address", ""))
    table["name"] = name
    if new or change.address.strip() != shown(before) or change.login != "keep":
        _fill_address(table, change, before, defaults)
    _set(table, "model", change.model or None)
    if change.fps is not None and (wrong := FPS.wrong(change.fps)) is not None:
        raise SettingsError(f"fps: {wrong}")
    _set(table, "fps", change.fps)
    _set(table, "enabled", None if change.enabled and "enabled" not in defaults else change.enabled)
    _set(table, "region", None if change.region is None else [round(part, 4) for part in change.region])
    _fill_thresholds(table, change.thresholds or {})


def _fill_thresholds(table: Any, thresholds: Mapping[str, float]) -> None:
    for key in thresholds:
        if key not in THRESHOLDS:
            raise SettingsError(f"thresholds: {shortened(key)[1:-1]}: {no_such_key(key, THRESHOLDS)}")
    for key in THRESHOLDS:
        if key in thresholds and (wrong := LIMITS[key].wrong(thresholds[key])) is not None:
            raise SettingsError(f"{key}: {wrong}")
        _set(table, key, None if key not in thresholds else float(thresholds[key]))


def _fill_address(table: Any, change: Change, before: str, defaults: Any) -> None:
    address = change.address.strip()
    unchanged = bool(before) and address == shown(before)
    if not unchanged:
        if "***" in address:
            raise SettingsError("address: a part of it is hidden: write the whole address anew")
        check_address(address)
    if login_of(address) and change.login == "new":
        raise SettingsError("address: it names a user already; say it once")
    written = before if unchanged else address.replace("$", "$$")  # nothing of the environment
    if change.login == "keep":
        if before and not unchanged and place_of(before) != place_of(address):
            own = login_of(before) or "user" in table or "user" in defaults
            if own and not login_of(address):
                raise SettingsError(
                    "address: another host gets no password that was meant for the one before: "
                    "give user and password anew"
                )
        elif not unchanged and login_of(before) and not login_of(address):
            scheme, _, rest = written.partition("://")
            written = f"{scheme}://{login_of(before)}{rest}"
        if not before and "user" in defaults and not login_of(address):
            table["user"] = ""  # the defaults' are not for whoever is named here
        table["address"] = written
        return
    if unchanged and login_of(before):
        written = before.replace(login_of(before), "", 1)
    table["address"] = written
    for key in ("user", "password", "password_file"):
        if key in table:
            del table[key]
    if change.login == "new":
        if not change.user:
            raise SettingsError("user: it is missing; a password belongs to a user")
        table["user"] = change.user.replace("$", "$$")
        if change.password:
            table["password"] = change.password.replace("$", "$$")
        elif "password" in defaults or "password_file" in defaults:
            raise SettingsError("password: it is missing; the defaults' belongs to another user")
    elif "user" in defaults:
        table["user"] = ""


def _set(table: Any, key: str, value: Any) -> None:
    if value is None:
        if key in table:
            del table[key]
    elif key not in table or table[key] != value:
        table[key] = value
