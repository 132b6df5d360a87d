"""Odd requests get an answer in the 400s or a close, never 500, a traceback or silence: seeded, on a real server."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import time
import urllib.parse
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamrec.outputs.history.store import History
from tests.integration.web.attacks import raw, status_of
from tests.integration.web.test_routes import fall_at

SEED = 20_261_129
ODD_TEXTS = [
    "", " ", "\0", "%", "%00", "../../etc/passwd", "a" * 300, "a" * 9_000, "\u00fc", "\U0001f3a5", "\u202e",
    "'", '"', ";--",
    "' OR 1=1", "{}", "[]", "null", "NaN", "inf", "-inf", "1e400", "9" * 400, "9" * 5_000, "-1", "0", "1.5",
    "0x10", "1_000",
    "true", "\ufeff", "\n", "\r\nX: y", "$ne", "__proto__", "constructor", "door", "fall", "*", "\\",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z",
    "-99999-01-01",
    "1e20", "-62135596801", "253402300800", "2026-11-26T00:00:00.123456789123Z", "24:00", "\u0661\u0662",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), -float("inf"), 10**400, -(10**30), 1e-320, "",
    "a" * 3_000,
    "\0", "\ud800", "\udfff\ud800", "\u2028", "\n", [], {}, [[]], [None] * 100, {"": None}, {"__proto__": {}},
    "NaN", "1e999",
    [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0], [1, 1, 1, 1], [-1, 2, 3, 4], ["0", "0", "1", "1"], [float("nan")] * 4,
    {"enter": 1e308},
    {"enter": float("nan")}, {"nothing": 1}, {"enter": "0.5"}, "rtsp://", "rtsp://[", "rtsp://[::1",
    "rtsp://a:99999/",
    "rtsp://\u00fc\u202e/", "http://%00/", "rtsp://" + "a" * 1_900, "rtsp://" + "a." * 500, "rtsp://a b/",
    "rtsp://xn--/",
    "rtsp://\ud83c/", "door", "yard",
]  # fmt: skip
HEADERS = {
    "Range": ["bytes=", "bytes=-", "bytes=9-1", "bytes=0-0,1-1,2-2", "bytes=-0", "bytes=a-b", "lines=1-2",
    "bytes=" + "9" * 5_000 + "-",
              "bytes=" + "0-0," * 300, "bytes=0-\u00b2", ",", "bytes=99999999999999999999-"],
    "If-Range": ["", '"', "W/\"x\"", "Thu, 99 Foo 9999 99:99:99 GMT"],
    "If-None-Match": ["", "*", '"', "W/", ",,,,", '"a"' * 1_000, "\u00fc"],
    "If-Modified-Since": ["never", "-1", ""],
    "Content-Type": ["", "application/json; charset=utf-7", "application/json; charset=nothing",
    "multipart/form-data", "text/html", ";", "a/b/c"],
    "Accept-Encoding": ["*", "gzip;q=nan"],
    "Authorization": ["Bearer", "Bearer ", "Bearer \u00fc", "Basic eDp5", "Basic !!!!", "bearer " + "a" * 8_000],
    "Cookie": ["=", ";;;", "streamrec", 'streamrec="', "a=\u00fc; streamrec=\u00fc", "streamrec=" + "a" * 8_000],
    "Origin": ["null", "", "http://", "http://[::1", "\u00fc"],
    "X-CSRF-Token": ["", "\u00fc"],
    "Content-Length": ["-1", "1e3", "99999999999999999999999", "0x10", ""],
    "Transfer-Encoding": ["gzip", "chunked, chunked", "identity"],
    "Expect": ["100-continue", "200-ok"],
    "Upgrade": ["h2c", "websocket"],
    "Connection": ["upgrade", "close", "keep-alive, upgrade"],
    "Host": ["", "[", "[::1", "a:b:c", ":", "localhost:99999999", "\u00fc", "127.0.0.1:0", "evil.example",
    "localhost:" + "9" * 5_000],
}  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]


@pytest.fixture
def fuzzed(open_page, tmp_path):
    """A page with all its routes, who is let in, and what was told on the log."""
    file, clip = tmp_path / "cameras.toml", tmp_path / "a.mp4"
    file.write_text('[[camera]]\nname = "door"\naddress = "rtsp://127.0.0.1:9/live"\nenabled = false\n')
    clip.write_bytes(b"video" * 1000)
    with History(tmp_path / "events.db") as history:
        fall = fall_at(1e9)
        history.add(fall)
        history.attach(fall.id, clip=clip, thumbnail=clip.with_suffix(".jpg"))
        page = open_page("door", guarded=True, file=file, history=history)
        page.actors["door"].show()
        page.event = fall.id
        told: list[str] = []
        page.server._limited_log._log = told.append
        yield page, told
        assert told == []
        with page.client(headers={"Authorization": f"Bearer {page.token}"}) as client:
            assert client.get("/api/v1/cameras").status_code == 200


def value_for(chance: random.Random, schema: dict[str, Any], every: dict[str, Any], depth: int = 0) -> Any:
    """A value as a schema describes it, or a few things of it odd."""
    if chance.random() < 0.15:
        return chance.choice(ODD_VALUES)
    if "$ref" in schema:
        return value_for(chance, every[schema["$ref"].rpartition("/")[2]], every, depth + 1)
    if "anyOf" in schema:
        return value_for(chance, chance.choice(schema["anyOf"]), every, depth + 1)
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return {
            key: value_for(chance, one, every, depth + 1)
            for key, one in schema["properties"].items()
            if chance.random() < 0.9
        }
    if kind == "object":
        return {
            chance.choice(["enter", "leave", "x", ""]): chance.choice([0.5, *ODD_VALUES]) for _ in range(2)
        }
    if kind == "array":
        return [chance.random() for _ in range(chance.choice([0, 1, 4, 4, 5]))]
    if kind in ("number", "integer"):
        return chance.choice([0, 1, 0.5, 10, 1e9, -1])
    if kind == "boolean":
        return chance.random() < 0.5
    return chance.choice(["door", "yard", "keep", "new", "rtsp://127.0.0.1:9/x", chance.choice(ODD_TEXTS)])


def is_right(status: int) -> bool:
    return 200 <= status < 500 or status == 503


def test_every_route_with_odd_queries_paths_bodies_and_methods(fuzzed):
    page, told = fuzzed
    chance = random.Random(SEED)
    with page.logged_in() as client:
        revision = client.get("/api/v1/settings").json()["revision"]
        spec = client.get("/api/v1/openapi.json").json()
        schemas = spec["components"]["schemas"]
        routes = [(path, method, one) for path, all_ in spec["paths"].items() for method, one in all_.items()]
        routes += [
            ("/static/{name}", "get", {}),
            ("/", "get", {}),
            ("/login", "get", {}),
            ("/api", "get", {}),
        ]
        asked = 0
        for path, method, one in routes:
            if path.endswith(("/logout", "/login")) and method == "post":
                continue  # they have tests of their own; a wrong password makes the next one wait
            for _ in range(30):
                at = path.replace(
                    "{id}", chance.choice([page.event, urllib.parse.quote(chance.choice(ODD_TEXTS), safe="")])
                )
                at = at.replace("{name}", urllib.parse.quote(chance.choice(ODD_TEXTS)[:2_000], safe=""))
                names = [found["name"] for found in one.get("parameters", []) if found["in"] == "query"]
                query = [
                    (name, chance.choice(ODD_TEXTS))
                    for name in names
                    for _ in range(chance.choice([0, 1, 1, 1, 3]))
                ]
                query += [(chance.choice(["x", "", "limit[]"]), "1")] * (chance.random() < 0.1)
                options: dict[str, Any] = {}
                body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                if body is not None:
                    said = value_for(chance, body, schemas)
                    if isinstance(said, dict) and "revision" in said and chance.random() < 0.7:
                        said["revision"] = revision
                    options = {"content": json.dumps(said), "headers": {"Content-Type": "application/json"}}
                verb = method.upper() if chance.random() < 0.9 else chance.choice(METHODS)
                with contextlib.suppress(httpx.InvalidURL):  # it is httpx that refuses
                    answer = client.request(verb, at, params=query, **options)
                    asked += 1
                    assert is_right(answer.status_code), (verb, answer.request.url, options, answer.text)
                    if answer.status_code >= 400 and verb != "HEAD":
                        assert set(answer.json()["error"]) == {"code", "message"}
                assert told == [], (verb, at, query, options)
        assert asked > 500


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_every_parameter_with_every_odd_text(fuzzed, monkeypatch, zone):
    page, told = fuzzed
    if not hasattr(time, "tzset"):
        pytest.skip("this system has one zone")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with page.logged_in() as client:
            spec = client.get("/api/v1/openapi.json").json()
            for path, all_ in spec["paths"].items():
                for found in all_.get("get", {}).get("parameters", []):
                    for text in ODD_TEXTS:
                        at = path.replace("{id}", page.event)
                        if found["in"] == "path":
                            at = path.replace("{id}", urllib.parse.quote(text, safe=""))
                        answer = client.get(at, params={found["name"]: text})
                        assert is_right(answer.status_code), (path, found["name"], text)
                        assert told == [], (path, found["name"], text)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_odd_bodies(fuzzed):
    page, told = fuzzed
    bodies = [
        b"", b"[", b"[" * 50_000, b'{"a":' * 10_000, b"\xff\xfe", b"\xc3\x28", b"NaN", b"Infinity", b"9" * 400,
        b"9" * 60_000,
        b'{"password": "\\ud800"}', b'{"password": "a\\u0000b"}', b'"\\', b"null", b"true", b"\0", b"{}{}",
        b'{"a":1,"a":2}',
        b'{"revision": ' + b"9" * 400 + b"}", b'{"change": {"thresholds": {"enter": 1e400}}}',
        json.dumps("a" * 60_000).encode(),
    ]  # fmt: skip
    with page.logged_in() as client:
        for path, verb in [("/api/v1/settings/camera", "PUT"), ("/api/v1/settings/camera", "DELETE"),
        ("/api/v1/settings/preview", "POST"),
                           ("/api/v1/settings/try", "POST"), ("/api/v1/login", "POST")]:  # fmt: skip
            for body in bodies:
                answer = client.request(
                    verb, path, content=body, headers={"Content-Type": "application/json"}
                )
                assert 400 <= answer.status_code < 500, (path, body[:50], answer.text)
                assert answer.json()["error"]["message"]
                assert told == []


def test_odd_heads(fuzzed):
    page, told = fuzzed
    token = f"Authorization: Bearer {page.token}".encode()
    chance = random.Random(SEED)
    paths = [
        f"/api/v1/events/{page.event}/clip", "/static/app.js", "/api/v1/cameras", "/", "*", "//", "/%", "/%zz",
        "/\u00fc", "/%ff%fe",
        "http://HOST/api/v1/cameras", "/a?b#c", "?", "/" + "a/" * 5_000, "/api/v1/../v1/cameras", "HOST:80",
        "/;a=b", "/%2e%2e/%2e%2e/",
        "/api/v1/picture?camera=" + "%ff" * 100, "/api/v1/events?" + "camera=x&" * 500,
        "/api/v1/events?" + "&" * 5_000,
    ]  # fmt: skip
    lines = [(name, value) for name, values in HEADERS.items() for value in values]
    tried = [(path, "GET", []) for path in paths]
    tried += [
        (paths[n % 4], METHODS[n % len(METHODS)] if n % 3 else "GET", [line]) for n, line in enumerate(lines)
    ]
    tried += [(chance.choice(paths[:4]), chance.choice(METHODS), chance.sample(lines, 4)) for _ in range(150)]
    for path, verb, more in tried:
        head = f"{verb} {path.replace('HOST', page.host)} HTTP/1.1\r\n".encode()
        if not any(name == "Host" for name, _ in more):
            head += f"Host: {page.host}\r\n".encode()
        if not any(name == "Authorization" for name, _ in more):
            head += token + b"\r\n"
        head += b"".join(f"{name}: {value}\r\n".encode() for name, value in more)
        got = status_of(raw(page, head + b"Connection: close\r\n\r\n", seconds=0.5))
        assert got == "closed" or is_right(int(got)), (verb, path, more, got)
        assert told == [], (verb, path, more)
    for line in (b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n", b"\0" * 1000,
    b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"GET /\r\n\r\n", bytes(chance.randrange(256) for _ in range(4_000)),
                 b"GET / HTTP/1.1\nHost: x\n\n"):  # fmt: skip
        got = status_of(raw(page, line, seconds=0.5))
        assert got == "closed" or 300 <= int(got) < 500, line[:40]


def test_odd_frames(fuzzed):
    page, told = fuzzed
    chance = random.Random(SEED)
    headers = {"Authorization": f"Bearer {page.token}"}
    messages: list[Any] = [
        b"", b"\0" * 1000, "", "null", "1", '"x"', "NaN", "[]", "{", '{"want": null}',
        '{"want": {"door": 1e400}}', '{"want": {"door": true}}',
        '{"want": {"door": NaN}}', '{"want": {"": 1}}', '{"want": {"\\ud800": 1}}',
        '{"want": {"__proto__": 640}}', '{"got": ' + "9" * 400 + "}",
        '{"got": ' + "9" * 5_000 + "}", '{"got": null}', '{"want": {"door": ' + "9" * 30 + "}}", "[" * 10_000,
        '{"a":' * 5_000,
        json.dumps({"want": {str(n): 1 for n in range(300)}}), "a" * 70_000, "\u2028",
        '{"want": {"door": 640}, "got": 1}',
    ]  # fmt: skip
    frames = [
        bytes([chance.randrange(256) for _ in range(chance.randrange(1, 200))]) for _ in range(40)
    ] + [
        struct.pack(">BB", 0x81, 0xFF) + struct.pack(">Q", size) + b"\0\0\0\0" for size in (0, 1, 2**31, 2**62,
        2**64 - 1)
    ]  # fmt: skip
    for message in [*messages, *frames]:
        with contextlib.suppress(ConnectionClosed, OSError), connect(
            f"ws://{page.host}/api/v1/live", additional_headers=headers, close_timeout=0.2
        ) as looking:  # fmt: skip
            looking.recv(timeout=5)
            if message in frames:
                looking.socket.sendall(message)
            else:
                looking.send(message)
            looking.recv(timeout=0.3)
        assert told == [], message[:50]
    host, _, port = page.host.rpartition(":")
    upgrade = (
        f"GET /api/v1/live HTTP/1.1\r\nHost: {page.host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    )
    upgrade += f"Authorization: Bearer {page.token}\r\n"
    right = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    for more in (
        "",
        "Sec-WebSocket-Version: 99\r\n",
        "Sec-WebSocket-Key: x\r\n",
        "Sec-WebSocket-Key: \u00fc\r\nSec-WebSocket-Version: 13\r\n",
        right + "Sec-WebSocket-Protocol: ,,\u00fc\r\n",
        right + "Sec-WebSocket-Extensions: ;=;\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=1) as one:
            one.sendall((upgrade + more + "\r\n").encode())
            with contextlib.suppress(OSError):
                got = one.recv(1000)
                assert got == b"" or got.split()[1] in (b"101", b"400", b"403", b"426"), (more, got)
        assert told == [], more
