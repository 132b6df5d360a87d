"""``cameras.toml``: which cameras are watched, and how. Secrets come from the environment or from files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from streamrec.core.address import split_address
from streamrec.core.arguments import ANY, FPS, STILL, WEBCAM, Limits
from streamrec.core.files import too_open
from streamrec.core.hosts import host_problem
from streamrec.core.messages import explain_errors, shortened
from streamrec.core.model_names import check_names, is_anomaly, names_of
from streamrec.core.reading import MOST_SECRET, CannotRead, path_of, read_text
from streamrec.core.redact import is_known, is_random, redact, secrets_of
from streamrec.core.text import printable
from streamrec.core.zones import Line, Zone
from streamrec.errors import ModelError, SettingsError, StreamrecError
from streamrec.events.arming import ArmingRules
from streamrec.events.detector import LIMITS, NUMBERS, EventSettings
from streamrec.events.rules import Rule
from streamrec.settings.arming_table import arming_of
from streamrec.settings.evidence import PRIVACIES, Privacy
from streamrec.settings.listening import ListenSettings, listen_of
from streamrec.settings.places import lines_of, zones_of
from streamrec.settings.rules_table import rules_of
from streamrec.settings.toml import no_such_key, parse_toml, read_toml
from streamrec.settings.tuned_file import DEFAULT_MODEL, Tuned

_EVENT_KEYS = tuple(setting.name for setting in fields(EventSettings))
_LOGIN_KEYS = ("user", "password", "password_file")
_PRIVACY = tuple(Privacy)
_DEFAULT_KEYS = (
    "model",
    "models",
    "by_model",
    "fps",
    "still",
    "count",
    "per_person",
    "enabled",
    "privacy",
    *_LOGIN_KEYS,
    *_EVENT_KEYS,
)
_CAMERA_KEYS = (
    "name", "address", *_DEFAULT_KEYS, "region", "zone", "only", "line", "address_file", "listen",
)  # fmt: skip
_SECRET_KEYS = ("password", "secret", "token")
_OPEN_HEADERS = ("accept", "user-agent")  # their values are shown
_SECRET_LISTS = ("urls",)  # each of their texts is a secret, and may name variables; in a file, one a line
# Their values are shown, however random they are.
_SHOWN_KEYS = ("name", "file", "folder", "host", "model", "question", "content_type", "sub_label")
# Tables about what happens after an event; their keys are fields of the dataclasses that they become.
TABLES: list[str] = [
    "history", "evidence", "notify", "webhook", "mqtt", "ntfy", "apprise", "frigate", "http", "opinion", "sink",
    "stream", "recording",
]  # fmt: skip
_NO_WEBCAM = f"webcams have numbers from 0 to {WEBCAM.high:g}"
# Limits of numbers in those tables, where the usual ones do not fit.
_LIMITS = {
    "keep_days": Limits(0.001, 36_500, zero=True),
    "before": Limits(0, 600, unit="seconds"),
    "after": Limits(0, 600, unit="seconds"),
    "longest": Limits(1, 3_600, unit="seconds"),
    "side": Limits(64, 8_192, whole=True),
    "timeout": Limits(0.1, 600, unit="seconds"),
    "give_up_hours": Limits(0.001, 87_600, zero=True),
    "port": Limits(0, 65_535, whole=True),
    "most_per_day": Limits(0, 1_000_000, whole=True),
    "most_per_hour": Limits(0, 100_000, whole=True),
    "most_per_hour_camera": Limits(0, 100_000, whole=True),
    "fps": FPS,
    "segment": Limits(10, 86_400, unit="seconds"),
    "kbit": Limits(50, 100_000, whole=True),
}
_PLACEHOLDER = re.compile(r"\{\w+\}")  # of an address, filled in by each event
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}")
_SHORTEST_SECRET = 4  # letters: masking a shorter one would garble messages
_MOST_CAMERAS = 1_000
_SHARE = Limits(0, 1)  # of the frame
_LONGEST_NAME = 200  # letters
_LONGEST_ADDRESS = 4_096
_LONGEST_PATH = 300  # letters of a quoted path
_S = TypeVar("_S")


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """One ``[[camera]]`` table, with the defaults and the secrets filled in."""

    name: str
    address: str = field(repr=False)  # with user and password
    model: str = DEFAULT_MODEL
    further: tuple[str, ...] = ()  # models that watch it too
    fps: float | None = None  # None: the sampling rate that the model learned, or the fastest of several
    still: float | None = None  # seconds between two steps on a still frame; None: as on any other
    count: bool = False  # any motion that repeats
    # Whether each person is judged; None: as the option is set, or where the model is good at it.
    per_person: bool | None = None
    enabled: bool = True
    privacy: str = ""  # how much of its frames is kept, a ``Privacy``; "": as [evidence] has it
    # Left, top, width and height of the part that is watched, as parts of the frame; None: all of it.
    region: tuple[float, float, float, float] | None = None
    # Those that count: the named ones of ``only``, or all, and all that exclude or only name a place.
    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    # A model of sound beside its pictures; None: its sound is not opened.
    listen: ListenSettings | None = None
    events: tuple[tuple[str, Any], ...] = ()  # settings that replace the models' own
    by_model: tuple[
        tuple[str, tuple[tuple[str, Any], ...]], ...
    ] = ()  # and those of one model alone, by its name
    inherited: tuple[
        str, ...
    ] = ()  # which of them come from the defaults: their labels may be another model's

    @property
    def models(self) -> tuple[str, ...]:
        """All that watch it, as they were named: shipped models, or files."""
        return (self.model, *self.further)

    @property
    def names(self) -> list[str]:
        """The names under which they report."""
        return names_of(self.models)

    @property
    def place_labels(self) -> tuple[str, ...]:
        """The labels of the events that its zones and lines report."""
        zones = tuple(label for zone in self.zones for label in zone.labels)
        return (*zones, *(label for line in self.lines for label in line.labels))

    def event_settings(self, own: EventSettings, model: str = "") -> EventSettings:
        """The model's own settings, overridden by this camera's; raises ``StreamrecError``.

        ``model``: its name, for what this camera has of it alone.
        """
        values = {name: getattr(own, name) for name in _EVENT_KEYS} | dict(self.events)
        return EventSettings(**values | dict(dict(self.by_model).get(model, ())))


@dataclass(frozen=True, kw_only=True)
class WatchFile:
    """The content of a file of cameras at one moment."""

    path: Path
    cameras: tuple[CameraSettings, ...]
    secrets: tuple[str, ...] = field(repr=False)  # never shown
    read: tuple[Path, ...]  # the file itself and those that hold passwords
    private: tuple[Path, ...] = ()  # of these, those with secrets in clear text
    all_rules: tuple[Rule, ...] = ()
    rules: tuple[Rule, ...] = ()  # those that are enabled
    arming: ArmingRules | None = None  # None: there is no [arming]
    tables: tuple[tuple[str, dict[str, Any]], ...] = field(
        default=(), repr=False
    )  # the others, secrets filled in

    def settings(self, name: str, kind: type[_S]) -> list[_S]:
        """The tables of this name as frozen dataclasses of this kind; raises ``SettingsError``.

        A field with ``metadata={"path": True}`` is relative to the folder of the file.
        """
        with explain_errors(f"{self.path.name}: [{name}]"):
            return [_settings(self, name, table, kind) for key, table in self.tables if key == name]

    def too_open(self) -> list[str]:
        """A sentence for each file with secrets that others than its owner can read or change."""
        return [warning for warning in map(too_open, self.private) if warning is not None]

    def error(self, camera: str, key: str, what: object) -> SettingsError:
        """The error about a key of a camera."""
        return SettingsError(redact(f"{self.path.name}: camera {camera!r}: {key}: {what}", self.secrets))


def read_watchfile(
    path: str | os.PathLike[str],
    environment: Mapping[str, str],
    tuned: Tuned | None = None,
    text: str | None = None,
) -> WatchFile:
    """Read and check a file of cameras; ``SettingsError`` names the file, the camera and the key.

    ``environment`` holds the values of ``${NAME}``. Paths are relative to the folder of the file. ``tuned``: the
    model of cameras that name none, and the fps of those that have that model and name no fps. ``text``: read this in
    place of the file.
    """
    path = path_of(os.fspath(path))
    data = read_toml(path) if text is None else parse_toml(text, path.name)
    return watchfile_of(data, path, environment, tuned)


def part_of(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, Any]:
    """What a file holds of these cameras, as it stands there: nothing is filled in, and no other file is read.

    ``watchfile_of`` makes the settings of it, on any machine.
    """
    wanted = set(names)
    data = read_toml(path_of(os.fspath(path)))
    cameras = [table for table in _listed(data.get("camera", [])) if table.get("name") in wanted]
    return {"camera": cameras} | {key: data[key] for key in ("defaults",) if key in data}


def watchfile_of(
    data: dict[str, Any],
    path: str | os.PathLike[str],
    environment: Mapping[str, str],
    tuned: Tuned | None = None,
) -> WatchFile:
    """The settings of ``part_of`` a file, with the variables and the password files of this machine.

    Raises ``SettingsError``. Paths are relative to the folder of ``path``, which need not exist.
    """
    path = path_of(os.fspath(path))
    with explain_errors(path.name):
        return _watchfile(data, _Reader(path, environment, tuned or Tuned()))


def without_addresses(path: str | os.PathLike[str], tuned: Tuned | None = None) -> WatchFile:
    """A file of cameras without addresses and logins, which only the machines that watch them need to know.

    The variables and password files of cameras need not be there; those of other tables do. Raises ``SettingsError``.
    """
    path = path_of(os.fspath(path))
    data = read_toml(path)
    tables = [data.get("defaults", {}), *_listed(data.get("camera", []))]
    for table in tables:
        if isinstance(table, dict):
            for key in (*_LOGIN_KEYS, "address_file"):
                if table.pop(key, None) is not None and key == "address_file":
                    table["address"] = ""
            if isinstance(table.get("address"), str):
                table["address"] = "synthetic"
            if isinstance(table.get("listen"), dict):
                table["listen"].pop("address", None)
    return watchfile_of(data, path, os.environ, tuned)


def _watchfile(data: dict[str, Any], reader: _Reader) -> WatchFile:
    path = reader.path
    reader.check_keys(data, ("defaults", "camera", "rule", "arming", *TABLES), "")
    defaults, tables = data.get("defaults", {}), data.get("camera", [])
    if not isinstance(defaults, dict):
        raise SettingsError(f"{path.name}: defaults is no table; write [defaults]")
    reader.check_keys(defaults, _DEFAULT_KEYS, "[defaults]: ")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{path.name}: camera is no list of tables; write [[camera]] before each camera")
    if not tables:
        raise SettingsError(f"{path.name} names no camera; add a [[camera]] table with name and address")
    if len(tables) > _MOST_CAMERAS:
        raise SettingsError(
            f"{path.name} names {len(tables)} cameras; one streamrec watches {_MOST_CAMERAS:,} at most"
        )
    cameras = [reader.camera(number, table, defaults) for number, table in enumerate(tables, 1)]
    names: set[str] = set()
    for camera in cameras:
        if camera.name in names:
            raise SettingsError(
                f"{path.name}: camera {camera.name!r}: name: it stands there twice; name each camera once"
            )
        names.add(camera.name)
    rules, enabled = rules_of(data, cameras, reader)
    file = reader.file(data, tuple(TABLES), tuple(cameras))
    return replace(file, all_rules=rules, rules=enabled, arming=arming_of(data, cameras, reader))


def read_settings(
    path: str | os.PathLike[str], name: str, kind: type[_S], environment: Mapping[str, str]
) -> list[_S]:
    """The tables of one name, as ``WatchFile.settings`` gives them: the rest of the file is not checked."""
    path = path_of(os.fspath(path))
    data = read_toml(path)
    with explain_errors(path.name):
        return _Reader(path, environment, Tuned()).file(data, (name,)).settings(name, kind)


def read_after(path: str | os.PathLike[str], environment: Mapping[str, str]) -> WatchFile:
    """The tables about what happens after an event alone: cameras in the file are not read."""
    path = path_of(os.fspath(path))
    reader, data = _Reader(path, environment, Tuned()), read_toml(path)
    with explain_errors(path.name):
        reader.check_keys(data, ("defaults", "camera", "rule", "arming", *TABLES), "")
        return replace(reader.file(data, tuple(TABLES)), arming=arming_of(data, None, reader))


def names_variable(text: str) -> bool:
    """Whether the text names a variable of the environment.

    >>> names_variable("me:${DOOR}"), names_variable("cheap$${X}")
    (True, False)
    """
    return any(found[1] for found in _VARIABLE.finditer(text))


def fill_variables(text: str, environment: Mapping[str, str]) -> str:
    """The text with the environment's values in place of ``${NAME}``; "" for a missing one."""
    return _VARIABLE.sub(lambda found: environment.get(found[1], "") if found[1] else "$", text)


def _listed(tables: Any) -> list[Any]:
    return tables if isinstance(tables, list) else [tables]


def _settings(file: WatchFile, name: str, table: dict[str, Any], kind: type[_S]) -> _S:
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}

    def wrong(key: str, what: object) -> SettingsError:
        return SettingsError(redact(f"{file.path.name}: [{name}]: {key}: {what}", file.secrets))

    for key, value in table.items():
        if key not in known:
            raise wrong(key, no_such_key(key, tuple(known)))
        wanted = str(known[key].type)
        if wanted.startswith("tuple[tuple"):
            of = int if wanted.startswith("tuple[tuple[str, int]") else str
            fits = isinstance(value, dict) and all(type(one) is of for one in value.values())
            what = "a table of texts" if of is str else "a table of whole numbers, like {fight = 5}"
            value = tuple(value.items()) if fits else value
        elif wanted.startswith("tuple"):
            fits, what = (
                isinstance(value, list) and all(isinstance(one, str) for one in value),
                "a list of texts",
            )
            value = tuple(value) if fits else value
        elif wanted.startswith("str"):
            fits, what = isinstance(value, str) and bool(value), "a text"
            if fits and known[key].metadata.get("path"):
                try:
                    value = str(file.path.absolute().parent / path_of(value))
                except SettingsError as error:
                    raise wrong(key, error) from error
        elif wanted.startswith("bool"):
            fits, what = isinstance(value, bool), "true or false"
        else:
            allowed = _LIMITS.get(key, ANY)
            if wanted.startswith("int"):
                allowed = replace(allowed, whole=True)
            fits, what = allowed.holds(value), str(allowed)
        if not fits:
            is_secret = known[key].metadata.get("secret")
            raise wrong(key, f"give {what}" + ("" if is_secret else f", not {shortened(value)}"))
        values[key] = value
    for key, one in known.items():
        if key not in values and one.metadata.get("needed"):
            raise wrong(key, "it is missing")
        if key not in values and one.metadata.get("path") and one.default:
            values[key] = str(file.path.absolute().parent / str(one.default))
    try:
        return kind(**values)
    except StreamrecError as error:
        raise SettingsError(redact(f"{file.path.name}: [{name}]: {error}", file.secrets)) from error


class _Reader:
    """Makes settings of tables, and collects their secrets and the files that were read."""

    def __init__(self, path: Path, environment: Mapping[str, str], tuned: Tuned) -> None:
        self.path = path
        self.environment = environment
        self.tuned = tuned
        self.secrets: set[str] = set()
        self.read: list[Path] = []
        self.private: dict[Path, None] = {}  # files that hold secrets; a dict keeps the order

    def file(
        self, data: dict[str, Any], names: tuple[str, ...], cameras: tuple[CameraSettings, ...] = ()
    ) -> WatchFile:
        tables = tuple(
            (name, self.table(name, table)) for name in names for table in _listed(data.get(name, []))
        )
        secrets, read = tuple(sorted(self.secrets)), (self.path, *self.read)
        private = tuple(self.private)
        return WatchFile(
            path=self.path, cameras=cameras, secrets=secrets, read=read, private=private, tables=tables
        )

    def camera(self, number: int, table: dict[str, Any], defaults: dict[str, Any]) -> CameraSettings:
        name = table.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            problem = "it is missing" if name is None else f"{shortened(name)} is no name"
            raise SettingsError(
                f'{self.path.name}: camera {number}: name: {problem}; write one, like name = "door"'
            )
        if len(name) > _LONGEST_NAME:
            raise SettingsError(
                f"{self.path.name}: camera {number}: name: {len(name)} letters; give at most {_LONGEST_NAME}"
            )
        where = f"camera {name!r}: "
        self.check_keys(table, _CAMERA_KEYS, where)
        if (
            "password" in table or "password_file" in table
        ):  # its own password replaces the default's, however either is given
            defaults = {key: value for key, value in defaults.items() if not key.startswith("password")}
        values = {**defaults, **table}
        if "address" not in table and "address_file" not in table:
            raise self.wrong(where, "address", "it is missing; write rtsp://..., a webcam number or a file")
        model, *further = models = self.models(table, defaults, where)
        fps = values.get("fps", self.tuned.fps if models == [self.tuned.default_model] else None)
        if fps is not None:
            self.check_number(fps, where, "fps", FPS)
        still = values.get("still")
        if still is not None:
            self.check_number(still, where, "still", STILL)
        enabled = self.switch(values, "enabled", where, True)
        count = self.switch(values, "count", where, False)
        per_person = self.switch(values, "per_person", where, False) if "per_person" in values else None
        privacy = values.get("privacy", "")
        if privacy not in ("", *_PRIVACY):
            raise self.wrong(where, "privacy", f"it is {shortened(privacy)}: {PRIVACIES}")
        events = self.events({key: values[key] for key in _EVENT_KEYS if key in values}, where)
        by_model = self.by_model(values.get("by_model", {}), where)
        return CameraSettings(
            name=name,
            address=self.address(table, defaults, where),
            model=model,
            further=tuple(further),
            fps=None if fps is None else float(fps),
            still=None if still is None else float(still),
            count=count,
            per_person=per_person,
            enabled=enabled,
            region=self.region(table.get("region"), where),
            zones=zones_of(table, where, self),
            lines=lines_of(table, where, self),
            listen=listen_of(table, models, where, self),
            privacy=privacy,
            events=tuple(events.items()),
            by_model=by_model,
            inherited=tuple(key for key in (*events, "by_model") if key not in table),
        )

    def models(self, table: dict[str, Any], defaults: dict[str, Any], where: str) -> list[str]:
        """The models of a camera: its own ``model`` or ``models``, or else the defaults'."""
        for given, of in ((table, where), (defaults, "[defaults]: ")):
            if "models" in given:
                if "model" in given:
                    raise self.wrong(of, "models", "there is a model too; give one of them")
                return self.several_models(given["models"], of)
            if "model" in given:
                return [self.one_model(self.text(given, "model", where, ""), where, "model")]
        return [self.one_model(self.tuned.default_model, where, "model")]

    def several_models(self, given: Any, where: str) -> list[str]:
        if not isinstance(given, list) or not given or not all(isinstance(one, str) and one for one in given):
            raise self.wrong(where, "models", f'give a list like ["fight", "fall"], not {shortened(given)}')
        texts = [self.filled(one, where, "models", lambda at: False) for one in given]
        found = [self.one_model(text, where, "models") for text in texts]
        try:
            check_names(found)
        except ModelError as error:
            raise self.wrong(where, "models", str(error)) from error
        return found

    def one_model(self, model: str, where: str, key: str) -> str:
        """A shipped model's name, or the path of a file: relative to the folder of this one."""
        if is_anomaly(model):
            return model
        if os.sep in model or model.endswith((".safetensors", ".onnx")):
            return self.located(model, where, key)
        return model

    def events(self, values: dict[str, Any], where: str) -> dict[str, Any]:
        """Event settings, checked; ``values`` hold no other keys."""
        events = dict(values)
        for key, value in events.items():
            if key == "background":
                if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
                    raise self.wrong(
                        where, key, f'give a list of labels like ["idle"], not {shortened(value)}'
                    )
                events[key] = tuple(value)
            elif key == "by_label":
                events[key] = self.by_label(value, where)
            else:
                self.check_number(value, where, key, LIMITS[key])
        return events

    def by_model(self, tables: object, where: str) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
        """The event settings of single models, by their names."""
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self.wrong(where, "by_model", "it is no table of tables; write [camera.by_model.fight]")
        found = []
        for name, table in tables.items():
            own = f"{where}by_model: {shortened(name)[1:-1]}: "
            self.check_keys(table, _EVENT_KEYS, own)
            found.append((name, tuple(self.events(table, own).items())))
        return tuple(found)

    def by_label(self, tables: object, where: str) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
        """The numbers of single labels, as pairs: frozen dataclasses hold no dict."""
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self.wrong(where, "by_label", "it is no table of tables; write [camera.by_label.fight]")
        for label, table in tables.items():
            own = f"{where}by_label: {shortened(label)[1:-1]}: "
            self.check_keys(table, NUMBERS, own)
            for key, value in table.items():
                self.check_number(value, own, key, LIMITS[key])
        return tuple((label, tuple(table.items())) for label, table in tables.items())

    def switch(self, values: dict[str, Any], key: str, where: str, default: bool) -> bool:
        value = values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(where, key, f"write true or false, not {shortened(value)}")
        return value

    def check_number(self, value: object, where: str, key: str, allowed: Limits) -> None:
        if (wrong := allowed.wrong(value)) is not None:
            raise self.wrong(where, key, wrong)

    def region(self, given: Any, where: str) -> tuple[float, float, float, float] | None:
        """The part that is watched."""
        if given is None:
            return None
        if isinstance(given, list) and len(given) == 4 and all(_SHARE.holds(part) for part in given):
            left, top, width, height = (float(part) for part in given)
            inside = left >= 0 and top >= 0 and left + width <= 1.001 and top + height <= 1.001
            if inside and width >= 0.02 and height >= 0.02:
                return left, top, width, height
        example = "[0.25, 0.5, 0.5, 0.5] for the middle of the lower half"
        raise self.wrong(
            where,
            "region",
            f"give left, top, width and height as parts of the picture, like {example}, not {shortened(given)}",
        )

    def address(self, table: dict[str, Any], defaults: dict[str, Any], where: str) -> str:
        """The address with user and password in it; the defaults' where it may have a login and has none."""
        if "address_file" in table:
            return self.address_of_file(table, defaults, where)
        given = table["address"]
        if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
            given = str(given)
        if not isinstance(given, str) or not given.strip():
            raise self.wrong(
                where, "address", f"write rtsp://..., a webcam number or a file, not {shortened(given)}"
            )
        if not all(map(names_variable, secrets_of(given))):
            self.private[self.path] = None
        return self.with_login(self.filled_address(given, where), table, defaults, where)

    def address_of_file(self, table: dict[str, Any], defaults: dict[str, Any], where: str) -> str:
        """The address from a file of its own, unchanged: a key in its path is a secret too."""
        if "address" in table:
            raise self.wrong(where, "address_file", "there is an address too; give one of them")
        given = self.text_of_file(self.text(table, "address_file", where, ""), "address_file", where).strip()
        if not given:
            raise self.wrong(where, "address_file", "there is no address in it")
        self.keep_secret(given)
        return self.with_login(given, table, defaults, where)

    def with_login(self, address: str, table: dict[str, Any], defaults: dict[str, Any], where: str) -> str:
        if len(address) > _LONGEST_ADDRESS:
            raise self.wrong(where, "address", f"{len(address)} letters; give at most {_LONGEST_ADDRESS}")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in address):
            raise self.wrong(where, "address", "it holds a control character, like the end of a line")
        if address.isdecimal() and (len(address) > 9 or not WEBCAM.holds(int(address))):
            raise self.wrong(where, "address", f"{shortened(address)[1:-1]}: {_NO_WEBCAM}")
        own = [key for key in _LOGIN_KEYS if key in table]
        parts = split_address(address)
        if parts is None or parts.scheme.lower() == "file://":
            if own:
                raise self.wrong(where, own[0], "only an address like rtsp://192.168.1.20/stream1 takes one")
            return self.place(address, where)
        for secret in secrets_of(address):
            self.keep_secret(secret)
        if parts.place.endswith(":") and parts.rest.startswith("//"):
            raise self.wrong(
                where, "address", "it has two schemes; write one, like rtsp://192.168.1.20/stream1"
            )
        if parts.host and (problem := host_problem(parts.host)):
            raise self.wrong(where, "address", f"its host is none; {problem}")
        if parts.login is not None:
            if own:
                raise self.wrong(where, own[0], "the address names a user already; say it once")
            return address
        if table.get("user") == "":  # no login, whatever the defaults are
            return address
        values = {**defaults, **table}
        user, password = self.text(values, "user", where, ""), self.password(values, where)
        if password and not user:
            raise self.wrong(where, "user", "it is missing; a password belongs to a user")
        if not user:
            return address
        self.keep_secret(password)
        if password and "password" in values and not names_variable(values["password"]):
            self.private[self.path] = None
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        # An @ in the path must not extend the login: the password would be sent to the host named after it.
        return f"{parts.scheme}{login}@{parts.place}{parts.rest.replace('@', '%40')}"

    def table(self, name: str, table: Any) -> dict[str, Any]:
        """A table about what happens after an event: ``${NAME}`` filled in, ``secret_file`` read as ``secret``."""
        where = f"[{name}]: "
        if not isinstance(table, dict):
            raise SettingsError(f"{self.path.name}: {name} is no table; write [{name}]")
        values: dict[str, Any] = {}
        for key, value in table.items():
            plain = key.removesuffix("_file")
            if plain != key:
                if plain in table:
                    raise self.wrong(where, key, f"there is a {plain} too; give one of them")
                value = self.text_of_file(self.text(table, key, where, ""), key, where)
                if plain in _SECRET_LISTS:
                    value = [line.strip() for line in value.splitlines() if line.strip()]
            elif plain in _SECRET_LISTS and isinstance(value, list):
                value = [self.secret_text(one, where, key) for one in value]
            elif isinstance(value, str):
                value = self.filled(value, where, key, lambda at: False)
            elif key == "headers" and isinstance(value, dict):
                value = self.headers(value, where)
            if plain in _SECRET_LISTS and isinstance(value, list):
                for one in filter(lambda one: isinstance(one, str), value):
                    self.keep_secrets_of(one, "url", secret=True)
            if isinstance(value, str):
                self.keep_secrets_of(value, plain, secret=plain != key)
                in_clear = plain == key and not names_variable(table[key])
                if in_clear and (plain in _SECRET_KEYS or secrets_of(value)):
                    self.private[self.path] = None
            values[plain] = value
        return values

    def secret_text(self, value: Any, where: str, key: str) -> Any:
        """A secret of a list, ``${NAME}`` filled in; what is no text is left for ``_settings`` to refuse."""
        if not isinstance(value, str):
            return value
        if not names_variable(value):
            self.private[self.path] = None
        return self.filled(value, where, key, lambda at: False)

    def headers(self, given: dict[str, Any], where: str) -> dict[str, Any]:
        """The headers of requests: ``${NAME}`` filled in, and all values kept secret but those of harmless names."""
        headers: dict[str, Any] = {}
        for name, value in given.items():
            headers[name] = value
            if isinstance(value, str):
                headers[name] = self.filled(value, where, name, lambda at: False)
                if name.lower() not in _OPEN_HEADERS and "{" not in headers[name]:
                    self.keep_secret(headers[name])
                    self.keep_secret(headers[name].rpartition(" ")[2])  # without "Bearer"
                    if not names_variable(value):
                        self.private[self.path] = None
        return headers

    def keep_secrets_of(self, value: str, key: str, *, secret: bool) -> None:
        """Collect what must not be shown of a value: all of it, or the secrets of an address in it."""
        if key.endswith("url"):
            value = _PLACEHOLDER.sub("", value)
        random = key not in _SHOWN_KEYS and is_random(value) and "://" not in value
        if secret or key in _SECRET_KEYS or random:
            self.keep_secret(value)
        if "://" in value:
            for one in secrets_of(value):
                self.keep_secret(one)
            parts = split_address(value)
            rest = "" if parts is None else parts.rest.strip("/")
            if key.endswith("url") and not is_known(rest):  # the whole path of a webhook is often the secret
                self.keep_secret(rest)

    def keep_secret(self, secret: str) -> None:
        """Collect a secret as it is, quoted and unquoted; a very short one would garble messages."""
        forms = {secret, quote(secret, safe=""), unquote(secret)}
        self.secrets |= {form for form in forms if len(form) >= _SHORTEST_SECRET}

    def place(self, address: str, where: str) -> str:
        """A path relative to the TOML file; webcams, addresses and drawn worlds unchanged."""
        if address.isdecimal() or address.startswith("/dev/") or "://" in address:
            return address
        from streamrec.sources.open import SOURCES  # it brings OpenCV

        if address.partition(":")[0] in SOURCES:
            return address
        return self.located(address, where, "address")

    def filled_address(self, text: str, where: str) -> str:
        """``${NAME}`` filled in; quoted in user, password and query, where its letters could be delimiters."""
        if re.fullmatch(r"\$\{\w+\}", text):
            return self.filled(text, where, "address", lambda at: False)
        scheme = text.partition("://")[0]  # it may be a variable too
        parts = split_address("rtsp" + text[len(scheme) :])
        if parts is None:
            return self.filled(text, where, "address", lambda at: False)
        # A login that is not quoted in the file is quoted as a whole when the camera is opened.
        user_end = len(scheme) + len("://") + len(parts.login or "")
        query = text.find("?", user_end)
        return self.filled(
            text, where, "address", lambda at: (at < user_end and not parts.raw) or 0 <= query < at
        )

    def password(self, values: dict[str, Any], where: str) -> str:
        file = self.text(values, "password_file", where, "")
        if not file:
            return self.text(values, "password", where, "")
        if "password" in values:
            raise self.wrong(where, "password_file", "there is a password too; give one of them")
        return self.text_of_file(file, "password_file", where)

    def text_of_file(self, file: str, key: str, where: str) -> str:
        try:
            path = self.beside(file)
            self.read.append(path)
            self.private[path] = None
            return read_text(path, MOST_SECRET).rstrip("\r\n")
        except CannotRead as error:
            shown = printable(str(path))
            shown = shown if len(shown) <= _LONGEST_PATH else f"{shown[:_LONGEST_PATH]}..."
            raise self.wrong(where, key, f"{shown} cannot be read: {error.why}") from error
        except SettingsError as error:
            raise self.wrong(where, key, str(error)) from error

    def text(self, values: dict[str, Any], key: str, where: str, default: str) -> str:
        value = values.get(key, default)
        if not isinstance(value, str) or (key in values and not value):
            # The value may be a password.
            shown = "" if key.startswith("password") else f", not {shortened(value)}"
            raise self.wrong(where, key, f"give a text{shown}")
        return self.filled(value, where, key, lambda at: False)

    def filled(self, text: str, where: str, key: str, is_quoted: Callable[[int], bool]) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "$"
            if name not in self.environment:
                raise self.wrong(where, key, f"the environment has no {name}; set it before streamrec starts")
            found = self.environment[name]
            if is_quoted(match.start()):
                self.keep_secret(found)
                return quote(found, safe="")
            return found

        return _VARIABLE.sub(value, text)

    def located(self, path: str, where: str, key: str) -> str:
        """A path relative to the folder of the file; an error names its key."""
        try:
            return str(self.beside(path))
        except SettingsError as error:
            raise self.wrong(where, key, str(error)) from error

    def beside(self, path: str) -> Path:
        return self.path.absolute().parent / path_of(path)

    def check_keys(self, table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                raise self.wrong(where, shortened(key)[1:-1], no_such_key(key, known))

    def wrong(self, where: str, key: str, what: str) -> SettingsError:
        return SettingsError(redact(f"{self.path.name}: {where}{key}: {what}", tuple(self.secrets)))
