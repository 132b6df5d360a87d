"""Edits cameras.toml for the page: keeps comments, never overwrites a change by hand, never writes a wrong file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamrec.core.address import login_in
from streamrec.core.arguments import FPS
from streamrec.core.files import make_private_folder, open_private
from streamrec.core.messages import shortened, why
from streamrec.core.model_names import names_of
from streamrec.core.reading import read_data
from streamrec.core.redact import redact_address
from streamrec.errors import SettingsError, StreamrecError
from streamrec.events.arming import ArmingRules
from streamrec.events.detector import LIMITS, NUMBERS, EventSettings
from streamrec.events.rules import Rule
from streamrec.runtime.checkpoint import shipped_models
from streamrec.runtime.joint import open_models
from streamrec.settings.cameras_file import CameraSettings, WatchFile, fill_variables, names_variable
from streamrec.settings.resolve import (
    InForce,
    check,
    configs_of,
    events_by_model,
    model_config,
    source_of,
)
from streamrec.settings.rules_table import RULE_KEYS, sentence, table_of
from streamrec.settings.toml import no_such_key
from streamrec.web import toml_document as toml
from streamrec.web.address_policy import check_address, login_of, place_of, shown, without_login
from streamrec.web.arming_tables import arming_shown, pattern_value, rename_camera, rename_in_pattern

THRESHOLDS = NUMBERS
PER_PERSON: dict[str, bool | None] = {"default": None, "yes": True, "no": False}
LONGEST_NAME = 60
_OWN_NAME = re.compile(r"-[0-9a-f]{8}$")  # the end of the names of secret files written here


class ChangedMeanwhile(SettingsError):
    """The file has changed since the page read it."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """New settings of a camera. Addresses and logins of the file are never sent to the page: ``login`` says whether the
    login in the file is kept ("keep"), replaced ("new") or removed ("none")."""

    name: str
    address: str = field(repr=False)
    login: str = "keep"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    model: str = ""  # "": the default, or those of several that the file has
    # Several that watch together, or one; "" among them is the default, and none at all too. None: as ``model`` says.
    models: Sequence[str] | None = None
    fps: float | None = None
    enabled: bool = True
    count: bool | None = None  # of any motion that repeats; None: as in the file
    per_person: str | None = None  # one of ``PER_PERSON``; None: as in the file
    privacy: str | None = None  # a ``Privacy``, "" for what [evidence] has; None: as in the file
    region: tuple[float, float, float, float] | None = None
    thresholds: Mapping[str, float] | None = (
        None  # those that differ from the model's own; of one model alone
    )
    # Zones and lines as tables of the file, and the names of the zones that are watched; None: as in the file.
    zones: Sequence[Mapping[str, Any]] | None = None
    only: Sequence[str] | None = None  # of ``zones``; None: all
    lines: Sequence[Mapping[str, Any]] | None = None
    # Of each of several models those that differ from the camera's; None: as in the file.
    by_model: Mapping[str, Mapping[str, float]] | None = None


class CamerasEditor:
    """Reads and changes one cameras.toml."""

    def __init__(
        self, file: Path | InForce, environment: Mapping[str, str] | None = None, local: Path | None = None
    ) -> None:
        """``file``: the path, or the path with the settings over it, so that the page shows what is in force.

        ``local``: a folder whose videos may be added, and webcams with it; None: neither.
        """
        self._local = local
        if isinstance(file, Path):
            file = InForce(path=file, environment=os.environ if environment is None else environment)
        self.path = file.path.expanduser().resolve()  # the target of a link is replaced, not the link
        self._in_force = replace(file, path=self.path)
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """The cameras of the file as JSON, without passwords."""
        text, revision = self._text()
        document = toml.parsed(text)
        file = self._in_force.read(text)
        tables = _tables(document)
        cameras = [
            _camera(table, settings, self._given(table))
            for table, settings in zip(tables, file.cameras, strict=True)
        ]
        return {
            "revision": revision,
            "file": self.path.name,
            "models": self._models(document),
            "cameras": cameras,
            "rules": _rules(document, file),
            "arming": arming_shown(file.arming),
        }

    def put(self, revision: str, name: str | None, change: Change) -> None:
        """Change a camera, or add one (None); raises ``SettingsError``, and leaves the file as it was."""

        def edit(document: Any, keep: Keep) -> None:
            table = toml.table() if name is None else toml.find(document, name)
            for model in filter(None, (change.model, *(change.models or ()))):
                if model not in self._models(document):
                    raise SettingsError(f"model: there is no {model!r} to choose")
            before = None if name is None else self._given(table)
            defaults = document.get("defaults", {})
            self._fill_models(table, change, defaults)
            _fill(table, change, defaults, before, keep, self._local)
            if name is None:
                toml.append(document, "camera", table)
            else:
                _rename_in_rules(document, name, str(table["name"]))

        self._edit(revision, edit)

    def remove(self, revision: str, name: str) -> None:
        """Remove a camera from the file."""

        def edit(document: Any, keep: Keep) -> None:
            tables = _tables(document)
            if len(tables) == 1:
                raise SettingsError("the last camera stays in the file: switch it off instead")
            document["camera"].remove(toml.find(document, name))

        self._edit(revision, edit)

    def put_rule(self, revision: str, name: str | None, rule: Mapping[str, Any]) -> None:
        """Change a rule, or add one (None); raises ``SettingsError``, and leaves the file as it was."""

        def edit(document: Any, keep: Keep) -> None:
            table = toml.table() if name is None else toml.find(document, name, "rule")
            _fill_rule(table, rule)
            if name is None:
                toml.append(document, "rule", table)

        self._edit(revision, edit)

    def remove_rule(self, revision: str, name: str) -> None:
        """Remove a rule from the file."""

        def edit(document: Any, keep: Keep) -> None:
            table = toml.find(document, name, "rule")
            document["rule"].remove(table)
            if not document["rule"]:
                del document["rule"]

        self._edit(revision, edit)

    def change(self, revision: str, edit: Callable[[Any, ArmingRules | None], None]) -> None:
        """Let ``edit`` change the document, given its ``[arming]``; raises ``SettingsError``, and leaves the file."""

        def run(document: Any, keep: Keep) -> None:
            arming = None
            with contextlib.suppress(SettingsError):  # it may be wrong now, and mended by this change
                arming = self._in_force.read(toml.dumps(document)).arming
            edit(document, arming)

        self._edit(revision, run)

    def rule_to_try(self, rule: Mapping[str, Any]) -> tuple[Rule, tuple[str, ...]]:
        """A rule as the file would have it, and the cameras that are watched; raises ``SettingsError``."""
        document = toml.parsed(self._text()[0])
        table = toml.table()
        _fill_rule(table, {**rule, "enabled": True})
        tables = toml.tables()
        tables.append(table)
        document["rule"] = tables  # alone: it may stand in the file already
        file = self._in_force.read(toml.dumps(document))
        return file.rules[0], tuple(camera.name for camera in file.cameras if camera.enabled)

    def address_to_try(self, name: str | None, change: Change) -> str:
        """The address with its login, to be tested; raises ``SettingsError``."""
        trial = toml.parsed(self._text()[0])
        table = toml.table() if name is None else toml.find(trial, name)
        before = None if name is None else self._given(table)
        if before is not None and change.login == "keep" and change.address == shown(before):
            found = next(one for one in self._in_force.read().cameras if one.name == name)
            return found.address
        with self._secrets() as kept:
            self._fill_models(table, change, trial.get("defaults", {}))
            _fill(table, change, trial.get("defaults", {}), before, kept.keep, self._local)
            tables = toml.tables()
            tables.append(table)
            trial["camera"] = tables
            with self._part(toml.dumps(trial)) as part:
                return self._checked(part)[0].address

    def tried(self, name: str, thresholds: Mapping[str, float], model: str = "") -> EventSettings:
        """The event settings that these thresholds would give; raises ``SettingsError`` as a change to them does.

        ``model``: the one of several that they are for.
        """
        document = toml.parsed(self._text()[0])
        table = toml.find(document, name)
        if model:
            _fill_by_model(table, {model: thresholds})
        else:
            _fill_thresholds(table, thresholds)
        file = self._in_force.read(toml.dumps(document))
        camera = next(one for one in file.cameras if one.name == name)
        return events_by_model(camera, configs_of(camera, file), file)[model or camera.names[0]]

    # -- the file

    def _given(self, table: Any) -> str:
        """The address in the file, without the ``user`` and ``password`` beside it."""
        named = table.get("address_file")
        if named is None:
            return str(table.get("address", ""))
        try:
            path = Path(fill_variables(str(named), self._in_force.environment)).expanduser()
            return (self.path.parent / path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError, RuntimeError):  # reading the file reports that
            return ""

    @contextlib.contextmanager
    def _secrets(self) -> Iterator[_Secrets]:
        """The store of secrets; what is written there is deleted again unless ``done`` is called."""
        kept = _Secrets(self.path)
        try:
            yield kept
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            kept.discard()

    def _text(self) -> tuple[str, str]:
        data = read_data(self.path)
        try:
            return data.decode("utf-8"), hashlib.sha256(data).hexdigest()[:32]
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.path.name} is not written in UTF-8") from error

    def _edit(self, revision: str, edit: Callable[[Any, Keep], None]) -> None:
        with self._lock:
            text, now = self._text()
            if now != revision:
                raise ChangedMeanwhile(
                    f"{self.path.name} was changed meanwhile: load it again, and repeat the change"
                )
            document = toml.parsed(text)
            with (
                self._secrets() as kept
            ):  # first the secrets are written, then the file that names them, then old secrets are deleted
                edit(document, kept.keep)
                with self._part(toml.dumps(document)) as part:
                    self._check_start(part, text)
                    if self._text()[1] != revision:
                        raise ChangedMeanwhile(f"{self.path.name} was changed meanwhile: load it again")
                    try:
                        part.replace(self.path)
                    except OSError as error:
                        raise self._cannot_write(error) from error
                kept.done(named_before=toml.texts(toml.parsed(text)), named=toml.texts(document))

    @contextlib.contextmanager
    def _part(self, text: str) -> Any:
        """A temporary file with the text beside the real one, with the same mode; deleted unless it was renamed."""
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            try:
                kept = self.path.stat()
                with open_private(part, "x", encoding="utf-8", newline="") as out:
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

    def _check_start(self, part: Path, before: str) -> None:
        """Raise ``SettingsError`` for new or changed cameras that a start would refuse."""
        watched: set[CameraSettings] = set()
        with contextlib.suppress(SettingsError):  # it may be wrong now, and repaired by this change
            watched = {camera for camera in self._in_force.read(before).cameras if camera.enabled}
        loaded = {(camera.models, bool(camera.per_person)) for camera in watched}
        with self._in_words(part):
            file = self._in_force.read(path=part)
            check(file)
            for camera in file.cameras:
                if not camera.enabled or camera in watched:
                    continue
                key = "models" if camera.further else "model"
                try:
                    wanted = camera.models, bool(camera.per_person)
                    if wanted not in loaded:  # a readable config does not show that the weights are
                        running = self._in_force.running(camera.model)
                        open_models(
                            camera.models,
                            engine=running.engine,
                            device=running.device,
                            threads=running.threads,
                            per_person=bool(camera.per_person),
                        )
                        loaded.add(wanted)
                    key = "address"
                    source_of(camera, None)
                except Exception as error:  # no error in a file may end the running program
                    raise file.error(camera.name, key, why(error)) from error

    def _checked(self, part: Path) -> tuple[CameraSettings, ...]:
        with self._in_words(part):
            file = self._in_force.read(path=part)
            check(file)
            return file.cameras

    @contextlib.contextmanager
    def _in_words(self, part: Path) -> Iterator[None]:
        """Errors of the temporary file, under the name of the real one."""
        try:
            yield
        except SettingsError as error:
            message = str(error).replace(f"{part.name}: ", "").replace(part.name, self.path.name)
            raise SettingsError(message) from error

    def _cannot_write(self, error: OSError) -> SettingsError:
        return SettingsError(f"{self.path.name} cannot be written here: {why(error)}")

    def _models(self, document: Any) -> list[str]:
        """The shipped models, and those that the file names."""
        shipped = shipped_models()
        tables = [document.get("defaults", {}), *_tables(document)]
        named = [name for table in tables for name in (table.get("model"), *table.get("models", ()))]
        return [*shipped, *sorted({str(name) for name in named if name} - set(shipped))]

    def _fill_models(self, table: Any, change: Change, defaults: Any) -> None:
        """Write the model or the models of a change into a camera's table."""
        if change.models is None and not change.model and "models" in table:
            return
        models = [change.model] if change.models is None else list(change.models)
        if len(models) > 1:
            usual = str(defaults.get("model", self._in_force.default_model))
            models = [model or usual for model in models]
            toml.set_value(table, "model", None)
            if list(table.get("models", [])) != models:
                table["models"] = models
        else:
            toml.set_value(table, "models", None)
            toml.set_value(table, "model", (models or [""])[0] or None)
        own = table.get("by_model", {})
        for name in [str(name) for name in own]:
            if models != [""] and models and name not in names_of(models):
                del own[name]
        if "by_model" in table and not own:
            del table["by_model"]


Keep = Callable[[str, str], str]  # (camera, secret) -> the path that cameras.toml names


class _Secrets:
    """Private files in a folder beside cameras.toml: each holds one password or one address."""

    def __init__(self, path: Path) -> None:
        self._owner = path
        self._folder = path.with_name(f"{path.stem}.secrets")
        self._written: list[Path] = []

    def keep(self, name: str, secret: str) -> str:
        """Write a secret; the path for cameras.toml."""
        make_private_folder(self._folder)
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:LONGEST_NAME]
        path = self._folder / f"{plain}-{secrets.token_hex(4)}"
        self._written.append(path)
        with open_private(path, "x", encoding="utf-8", newline="") as out:
            out.write(secret)
            out.flush()
            os.fsync(out.fileno())
        if hasattr(os, "chown"):
            owner = self._owner.stat()
            with contextlib.suppress(OSError):  # another user's file
                for one in (path, self._folder):
                    os.chown(one, owner.st_uid, owner.st_gid)
        return f"{self._folder.name}/{path.name}"

    def done(self, *, named_before: set[str], named: set[str]) -> None:
        """Keep what was written; delete the files that cameras.toml no longer names."""
        self._written.clear()
        for name in named_before - named:
            path = self._owner.parent / name
            if path.parent == self._folder and _OWN_NAME.search(name):
                with contextlib.suppress(OSError):
                    path.unlink()
        self._remove_if_empty()

    def discard(self) -> None:
        """Delete what was written."""
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink()
        if self._written:
            self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # it is not empty, or missing
            self._folder.rmdir()


def _tables(document: Any) -> list[Any]:
    return list(document.get("camera", []))


def _camera(table: Any, settings: CameraSettings, given: str) -> dict[str, Any]:
    own = _own_events(settings.model)
    own_values = dict(settings.events)
    has_login = bool(login_of(settings.address))
    camera = {
        "name": settings.name,
        "address": shown(given),
        "login": has_login,
        "model": str(table.get("model", "")),
        "watched_by": " + ".join(Path(model).stem for model in settings.models),
        "fps": table.get("fps"),
        "enabled": settings.enabled,
        "count": settings.count,
        "listens": "" if settings.listen is None else settings.listen.name,
        "per_person": next(name for name, value in PER_PERSON.items() if value is table.get("per_person")),
        "privacy": str(table.get("privacy", "")),
        "region": None if settings.region is None else list(settings.region),
        "zones": _zones(table),
        "only": None if "only" not in table else [str(name) for name in table["only"]],
        "lines": _lines(table),
        "thresholds": {name: float(own_values.get(name, getattr(own, name))) for name in THRESHOLDS},
        "model_thresholds": {name: float(getattr(own, name)) for name in THRESHOLDS},
    }
    if settings.further:
        camera["models"] = [str(model) for model in table.get("models", [])]
        camera["by_model"] = [
            _of_model(settings, name, model)
            for name, model in zip(settings.names, settings.models, strict=True)
        ]
    return camera


def _points(given: Any) -> list[list[float]]:
    return [[float(part) for part in point] for point in given]


def _zones(table: Any) -> list[dict[str, Any]]:
    """The zones of a camera's table, those too that are not watched now."""
    return [
        {
            "name": str(zone["name"]),
            "corners": _points(zone["corners"]),
            "exclude": bool(zone.get("exclude", False)),
            "mask": bool(zone.get("mask", True)),
            "report": [str(what) for what in zone.get("report", [])],
        }
        for zone in table.get("zone", [])
    ]


def _lines(table: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": str(line["name"]),
            "ends": _points(line["ends"]),
            "forward": str(line.get("forward", "in")),
            "back": str(line.get("back", "out")),
        }
        for line in table.get("line", [])
    ]


def _rules(document: Any, file: WatchFile) -> list[dict[str, Any]]:
    """The rules of the file, those too that are switched off."""
    found = []
    for table, rule in zip(document.get("rule", []), file.all_rules, strict=True):
        enabled = bool(table.get("enabled", True))
        found.append({**table_of(rule), "enabled": enabled, "text": sentence(rule)})
    return found


def _of_model(settings: CameraSettings, name: str, model: str) -> dict[str, Any]:
    """The thresholds of one of several models, and what they would be without its own."""
    own = _own_events(model)
    usual = {key: dict(settings.events).get(key, getattr(own, key)) for key in THRESHOLDS}
    in_force = usual | dict(dict(settings.by_model).get(name, ()))
    return {
        "model": name,
        "thresholds": {key: float(in_force[key]) for key in THRESHOLDS},
        "model_thresholds": {key: float(usual[key]) for key in THRESHOLDS},
    }


def _own_events(model: str) -> EventSettings:
    """A model's own thresholds; the defaults where it cannot be read, so that the camera can still be changed."""
    try:
        return model_config(model).events
    except StreamrecError:
        return EventSettings()


def _fill(
    table: Any, change: Change, defaults: Any, before: str | None, keep: Keep, local: Path | None
) -> None:
    """Write a change into a camera's table; ``before``: its current address, None for a new camera."""
    name = change.name.strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise SettingsError(f"name: write one of at most {LONGEST_NAME} letters")
    table["name"] = name
    if before is None or change.address.strip() != shown(before) or change.login != "keep":
        _fill_address(table, change, before or "", defaults, keep, local)
    if change.fps is not None and (wrong := FPS.wrong(change.fps)) is not None:
        raise SettingsError(f"fps: {wrong}")
    toml.set_value(table, "fps", change.fps)
    toml.set_value(table, "enabled", None if change.enabled and "enabled" not in defaults else change.enabled)
    _fill_people(table, change, defaults)
    toml.set_value(
        table, "region", None if change.region is None else [round(part, 4) for part in change.region]
    )
    _fill_places(table, change)
    if len(table.get("models", ())) > 1 or change.by_model is not None:
        _fill_by_model(table, change.by_model or {})
    else:
        _fill_thresholds(table, change.thresholds or {})


def _fill_people(table: Any, change: Change, defaults: Any) -> None:
    """Write whether any motion is counted, whether each person is judged, and what is kept of the frames."""
    usual = bool(defaults.get("count", False))
    if change.count is not None and change.count != bool(table.get("count", usual)):
        toml.set_value(table, "count", change.count if change.count != usual else None)
    if change.per_person is not None:
        if change.per_person not in PER_PERSON:
            why_not = no_such_key(change.per_person, tuple(PER_PERSON), what="choice")
            raise SettingsError(f"per_person: {why_not}")
        toml.set_value(table, "per_person", PER_PERSON[change.per_person])
    if change.privacy is not None:
        toml.set_value(table, "privacy", change.privacy or None)


def _fill_places(table: Any, change: Change) -> None:
    """Write zones and lines; those of the same name keep their comments, and the usual values are left out."""
    if change.zones is not None:
        zones = []
        for zone in change.zones:
            usual: dict[str, Any] = {"exclude": False, "mask": True, "report": []}
            zones.append({key: value for key, value in zone.items() if value != usual.get(key)})
        _fill_tables(table, "zone", zones)
        included = [one["name"] for one in zones if not one.get("exclude") and one.get("mask", True)]
        only = None if change.only is None else [name for name in included if name in change.only]
        toml.set_value(table, "only", only if only and len(only) < len(included) else None)
    if change.lines is not None:
        _fill_tables(table, "line", change.lines)


def _fill_tables(table: Any, key: str, wanted: Sequence[Mapping[str, Any]]) -> None:
    before = {str(one.get("name")): one for one in table.get(key, [])}
    if [dict(one) for one in table.get(key, [])] == [dict(one) for one in wanted]:
        return
    tables = toml.tables()
    for one in wanted:
        own = before.get(str(one.get("name")), toml.table())
        for name in [name for name in own if name not in one]:
            del own[name]
        for name, value in one.items():
            toml.set_value(
                own, name, [list(point) for point in value] if name in ("corners", "ends") else value
            )
        tables.append(own)
    if key in table:
        del table[key]
    if wanted:
        table[key] = tables


def _fill_rule(table: Any, rule: Mapping[str, Any]) -> None:
    """Write a rule into its table; raises ``SettingsError`` for a key that no rule has."""
    for key in rule:
        if key not in RULE_KEYS:
            raise SettingsError(f"rule: {shortened(key)[1:-1]}: {no_such_key(key, RULE_KEYS)}")
    for key in RULE_KEYS:
        value = rule.get(key)
        if key == "enabled" and value is not False:
            value = None
        if isinstance(value, Mapping):
            value = pattern_value(value)
        toml.set_value(table, key, value or None if key == "timezone" else value)


def _rename_in_rules(document: Any, before: str, now: str) -> None:
    """Let the rules and profiles about a camera follow its new name."""
    if before == now:
        return
    for rule in document.get("rule", []):
        for pattern in (rule.get("when"), rule.get("then"), rule.get("also")):
            rename_in_pattern(pattern, before, now)
    rename_camera(document, before, now)


def _fill_by_model(table: Any, thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Write the thresholds of single models; the camera's own stay as they are."""
    for model, values in thresholds.items():
        if "by_model" not in table:
            if not values:
                continue
            table["by_model"] = toml.table(header=False)
        own = table["by_model"]
        if model not in own:
            if not values:
                continue
            own[model] = toml.table()
        _fill_thresholds(own[model], values)
        if not own[model]:
            del own[model]
        if not own:
            del table["by_model"]


def _fill_thresholds(table: Any, thresholds: Mapping[str, float]) -> None:
    for key in thresholds:
        if key not in THRESHOLDS:
            raise SettingsError(f"thresholds: {shortened(key)[1:-1]}: {no_such_key(key, THRESHOLDS)}")
    for key in THRESHOLDS:
        if key in thresholds and (wrong := LIMITS[key].wrong(thresholds[key])) is not None:
            raise SettingsError(f"{key}: {wrong}")
        toml.set_value(table, key, None if key not in thresholds else float(thresholds[key]))


def _fill_address(
    table: Any, change: Change, before: str, defaults: Any, keep: Keep, local: Path | None
) -> None:
    """Write address and login; their secrets go into private files."""
    address = change.address.strip()
    unchanged = bool(before) and address == shown(before)
    if not unchanged:
        if "***" in address:
            raise SettingsError("address: a part of it is hidden: write the whole address anew")
        check_address(address, local)
    typed = login_of(address)
    if typed and change.login == "new":
        raise SettingsError("address: it names a user already; say it once")
    if not unchanged and "address_file" not in table:
        address = address.replace("$", "$$")  # so that no environment variable is filled in
    moved = bool(before) and not unchanged and place_of(before) != place_of(address)
    if change.login == "keep" and not typed:
        if moved and (login_of(before) or "user" in table or "user" in defaults):
            raise SettingsError(
                "address: another host gets no password that was meant for the one before: "
                "give user and password anew"
            )
        if not unchanged and login_of(before):
            if "address_file" not in table and names_variable(
                login_of(before)
            ):  # its login is an environment variable
                scheme, _, rest = address.partition("://")
                table["address"] = f"{scheme}://{login_of(before)}{rest}"
                return
            _fill_login(table, *_login_before(table, before), keep)
        elif not before and "user" in defaults:
            table["user"] = ""  # the defaults' login is not for a new host
        _write_address(table, address, keep)
        return
    for key in ("user", "password", "password_file"):
        if key in table:
            del table[key]
    if typed:
        _fill_login(table, *login_in(change.address.strip()), keep)
    elif change.login == "new":
        if not change.user:
            raise SettingsError("user: it is missing; a password belongs to a user")
        if not change.password and ("password" in defaults or "password_file" in defaults):
            raise SettingsError("password: it is missing; the defaults' belongs to another user")
        _fill_login(table, change.user, change.password, keep)
    elif "user" in defaults:
        table["user"] = ""
    _write_address(table, without_login(before if unchanged else address), keep)


def _login_before(table: Any, before: str) -> tuple[str, str]:
    """User and password in an address of the file."""
    user, password = login_in(before)
    return (user, password) if "address_file" in table else (_unescaped(user), _unescaped(password))


def _fill_login(table: Any, user: str, password: str, keep: Keep) -> None:
    table["user"] = user.replace("$", "$$")
    if password:
        table["password_file"] = keep(str(table["name"]), password)


def _write_address(table: Any, address: str, keep: Keep) -> None:
    """Write an address; one with a token, or a key in its path, goes into a private file."""
    in_file = "address_file" in table
    address = without_login(address)
    if redact_address(address) == address or (not in_file and names_variable(address)):
        if in_file:
            del table["address_file"]
            address = address.replace("$", "$$")
        table["address"] = address
        return
    plain = address if in_file else _unescaped(address)
    if "address" in table:
        del table["address"]
    table["address_file"] = keep(str(table["name"]), plain)


def _unescaped(text: str) -> str:
    """A string of the file: ``$$`` is a dollar."""
    return text.replace("$$", "$")
