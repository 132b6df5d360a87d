"""Attacks on the page, each tried on a real server: what it is, and what it got.

``test_attacks.py`` beside this file runs them all; ``python -m tests.integration.web.attacks`` prints the table that
docs/web.md shows.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.helpers.http_server import QuietHandler
from tests.helpers.pages import PASSWORD, Page

EVIL = "http://evil.example"


@dataclass(frozen=True)
class Attack:
    """What is tried, what it has to get, and how it is tried: a function of a page with a password."""

    what: str
    gets: str
    try_it: Callable[[Page], str]


ATTACKS: list[Attack] = []


def attack(what: str, gets: str) -> Callable[[Callable[[Page], str]], Callable[[Page], str]]:
    def keep(function: Callable[[Page], str]) -> Callable[[Page], str]:
        ATTACKS.append(Attack(what, gets, function))
        return function

    return keep


def said(answer: httpx.Response) -> str:
    """Status and code of an answer."""
    try:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


def cookie_in(client: httpx.Client) -> str:
    """The cookie of who is logged in, as a browser sends it."""
    (cookie,) = client.cookies.jar
    return f"{cookie.name}={cookie.value}"


def raw(page: Page, request: bytes, seconds: float = 5.0) -> bytes:
    """What a server answers to bytes that no client would send."""
    host, port = page.host.split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(request)
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
                head, _, body = got.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                if length and len(body) >= int(length[1]):  # it may come in a packet of its own
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def status_of(got: bytes) -> str:
    found = re.match(rb"HTTP/1.1 (\d+)", got)
    return found[1].decode() if found else "closed"


def closed_with(page: Page, *, frames: bytes = b"", messages: tuple[Any, ...] = (), **options: Any) -> str:
    """How a WebSocket of somebody who is logged in ends."""
    with page.logged_in() as client:
        cookie = cookie_in(client)
    options = {"origin": page.url, "additional_headers": {"Cookie": cookie}} | options
    try:
        with connect(f"ws://{page.host}/api/v1/live", **options) as looking:
            looking.recv(timeout=5)
            if frames:
                looking.socket.sendall(frames)
            for message in messages:
                looking.send(message)
            while True:
                looking.recv(timeout=5)
    except InvalidStatus as refused:
        return f"{refused.response.status_code} before it is opened"
    except ConnectionClosed as end:
        return f"closed with {end.rcvd.code if end.rcvd else 'no word'}"


# -- getting in


@attack(
    "No token, no cookie: cameras, events, images, metrics, the API's description",
    "401 not_logged_in, each",
)
def nobody(page: Page) -> str:
    paths = [
        "cameras",
        "events",
        "picture?camera=door",
        "events/1/clip",
        "session",
        "openapi.json",
        "settings",
    ]
    with page.client() as client:
        got = {said(client.get(f"/api/v1/{path}")) for path in paths} | {said(client.get("/metrics"))}
    return ", ".join(got) + ", each"


@attack("No token: the live WebSocket", "403 before it is opened")
def nobody_looks(page: Page) -> str:
    return closed_with(page, additional_headers={})


@attack("A wrong token", "401 wrong_token")
def wrong_token(page: Page) -> str:
    with page.client(headers={"Authorization": "Bearer " + "A" * 43}) as client:
        return said(client.get("/api/v1/cameras"))


@attack("The password in place of a token, and the hash itself", "401 wrong_token, 401 wrong_token")
def hash_as_token(page: Page) -> str:
    digest = page.server.settings.access.accounts[-1].secret.partition(":")[2]
    got = []
    for word in (PASSWORD, digest):
        with page.client(headers={"Authorization": f"Bearer {word}"}) as client:
            got.append(said(client.get("/api/v1/cameras")))
    return ", ".join(got)


@attack("A made-up cookie, an empty one, one of 60 KB", "401 not_logged_in, 401 not_logged_in, 4xx")
def made_up_cookie(page: Page) -> str:
    got = []
    for value in ("A" * 43, "", "A" * 60_000):
        with page.client(headers={"Cookie": f"streamrec={value}"}) as client:
            try:
                got.append(said(client.get("/api/v1/cameras")))
            except httpx.HTTPError:
                got.append("closed")
    if got[2] == "closed" or got[2].startswith("4"):
        got[2] = "4xx"
    return ", ".join(got)


@attack(
    "Brute force: 40 passwords one after the other",
    "5 or 6 of them tried, then 429 too_often with Retry-After",
)
def brute_force(page: Page) -> str:
    with page.client(headers={"Origin": page.url}) as client:
        got = [client.post("/api/v1/login", json={"password": f"guess number {n}"}) for n in range(40)]
    tried = sum(answer.status_code == 401 for answer in got)
    assert got[-1].headers["retry-after"].isdecimal()
    return f"{'5 or 6' if tried in (5, 6) else tried} of them tried, then {said(got[-1])} with Retry-After"


@attack("Brute force: 30 at the same time", "at most 6 of them tried")
def brute_force_at_once(page: Page) -> str:
    from concurrent.futures import ThreadPoolExecutor

    def guess(n: int) -> int:
        with page.client(headers={"Origin": page.url}) as client:
            return client.post("/api/v1/login", json={"password": f"guess number {n}"}).status_code

    with ThreadPoolExecutor(30) as pool:
        got = list(pool.map(guess, range(30)))
    tried = got.count(401)
    assert set(got) <= {401, 429}
    return "at most 6 of them tried" if tried <= 6 else f"{tried} tried"


@attack("Brute force behind a made-up X-Forwarded-For", "5 or 6 of them tried: the header is not believed")
def brute_force_forwarded(page: Page) -> str:
    with page.client(headers={"Origin": page.url}) as client:
        got = [
            client.post(
                "/api/v1/login", json={"password": "guess it now"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}
            )
            for n in range(20)
        ]
    tried = sum(answer.status_code == 401 for answer in got)
    return f"{'5 or 6' if tried in (5, 6) else tried} of them tried: the header is not believed"


@attack("A session after its log-out", "401 not_logged_in")
def after_logout(page: Page) -> str:
    with page.logged_in() as client:
        cookie = cookie_in(client)
        assert client.post("/api/v1/logout", json={}).status_code == 204
    with page.client(headers={"Cookie": cookie}) as client:
        return said(client.get("/api/v1/cameras"))


@attack("A session cookie that another site has set before the log-in", "another cookie is given")
def fixed_session(page: Page) -> str:
    name = f"streamrec-{page.host.rpartition(':')[2]}"
    with page.client(headers={"Origin": page.url}, cookies={name: "chosen-by-evil"}) as client:
        client.post("/api/v1/login", json={"password": PASSWORD})
        values = {cookie.value for cookie in client.cookies.jar}
    with page.client(headers={"Cookie": f"{name}=chosen-by-evil"}) as client:
        assert client.get("/api/v1/cameras").status_code == 401
    return (
        "another cookie is given" if len(values) >= 1 and values != {"chosen-by-evil"} else "the same cookie"
    )


# -- from another site


@attack("Cross-site post with the victim's cookie: log-out", "403 wrong_origin")
def cross_site_post(page: Page) -> str:
    with page.logged_in() as client:
        return said(client.post("/api/v1/logout", json={}, headers={"Origin": EVIL}))


@attack("The same without an Origin, and from Origin: null", "403 wrong_origin, 403 wrong_origin")
def no_origin(page: Page) -> str:
    with page.logged_in() as client:
        null = said(client.post("/api/v1/logout", json={}, headers={"Origin": "null"}))
        del client.headers["Origin"]
        return f"{said(client.post('/api/v1/logout', json={}))}, {null}"


@attack("A form of the same origin without the CSRF token", "403 wrong_csrf_token")
def no_csrf(page: Page) -> str:
    with page.logged_in() as client:
        del client.headers["X-CSRF-Token"]
        return said(client.post("/api/v1/logout", json={}))


@attack("A post that a plain form can make (text/plain)", "415 no_json")
def plain_form(page: Page) -> str:
    with page.logged_in() as client:
        return said(client.post("/api/v1/logout", content=b"{}", headers={"Content-Type": "text/plain"}))


@attack("Log-in forged by another site", "403 wrong_origin")
def forged_login(page: Page) -> str:
    with page.client(headers={"Origin": EVIL}) as client:
        return said(client.post("/api/v1/login", json={"password": PASSWORD}))


@attack("The live WebSocket opened by another site with the victim's cookie", "403 before it is opened")
def cross_site_socket(page: Page) -> str:
    return closed_with(page, origin=EVIL)


@attack(
    "Another site reads the API (CORS, with a preflight)", "no Access-Control header, so that browsers refuse"
)
def cors(page: Page) -> str:
    with page.logged_in() as client:
        answers = [
            client.get("/api/v1/cameras", headers={"Origin": EVIL}),
            client.request(
                "OPTIONS", "/api/v1/logout", headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"}
            ),
        ]
    allowed = [name for answer in answers for name in answer.headers if name.startswith("access-control")]
    return f"{allowed or 'no Access-Control header'}, so that browsers refuse"


@attack("DNS rebinding: a name of evil.example that leads here", "421 wrong_host")
def rebinding(page: Page) -> str:
    with page.client(headers={"Host": "evil.example:80"}) as client:
        return said(client.get("/"))


@attack("Two Host headers; no Host header", "421 and 400 or 421")
def two_hosts(page: Page) -> str:
    first = status_of(
        raw(page, f"GET / HTTP/1.1\r\nHost: {page.host}\r\nHost: evil.example\r\n\r\n".encode())
    )
    second = status_of(raw(page, b"GET /api/v1/cameras HTTP/1.1\r\n\r\n"))
    refused = first in ("421", "400") and second in ("421", "400")
    return "421 and 400 or 421" if refused else f"{first} and {second}"


@attack("The page in a frame of another site (clickjacking)", "frame-ancestors 'none', X-Frame-Options DENY")
def frame(page: Page) -> str:
    with page.logged_in() as client:
        headers = client.get("/").headers
    policy = (
        "frame-ancestors 'none'" if "frame-ancestors 'none'" in headers["content-security-policy"] else "none"
    )
    return f"{policy}, X-Frame-Options {headers['x-frame-options']}"


@attack("A camera named as a script", "shown as text; the policy forbids inline scripts")
def script_name(page: Page) -> str:
    with page.logged_in() as client:
        answer = client.get("/api/v1/cameras")
        policy = client.get("/").headers["content-security-policy"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    strict = (
        "script-src 'self'" in policy and "unsafe" not in policy and "require-trusted-types-for" in policy
    )
    return "shown as text; the policy forbids inline scripts" if strict else policy


# -- files


@attack(
    "Traversal: /static/../web.py, %2e%2e%2f, ..%5c, //etc/passwd, a NUL; clips by path",
    "404 or 422, 20 of 20",
)
def traversal(page: Page) -> str:
    tried = [
        "/static/../web.py", "/static/..%2fweb.py", "/static/%2e%2e/web.py", "/static/%2e%2e%2fweb.py",
        "/static/..%5cweb.py", "/static/....//web.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
        "/static/app.js%00.css", "/static/%252e%252e%252fweb.py", "/static/web.py", "/static/.", "/static/",
        "/api/v1/events/..%2f..%2fetc%2fpasswd/clip", "/api/v1/events/../../../etc/passwd/clip",
        "/api/v1/events/%2e%2e/clip", "/api/v1/events/a%00b/clip", "/api/v1/events/%2fetc%2fpasswd/thumbnail",
        "/../../etc/passwd", "//etc/passwd",
    ]  # fmt: skip
    with page.logged_in() as client:
        cookie = cookie_in(client)
    refused = 0
    for path in tried:  # raw, for a client would tidy them up
        request = f"GET {path} HTTP/1.1\r\nHost: {page.host}\r\nCookie: {cookie}\r\n\r\n"
        got = raw(page, request.encode())
        assert b"root:" not in got and b"import uvicorn" not in got
        refused += status_of(got) in ("404", "422", "400")
    return f"404 or 422, {refused} of {len(tried)}"


# -- sizes and shapes


@attack("A body of 1 MB that says so", "413 too_large, unread")
def large_body(page: Page) -> str:
    got = raw(  # the body never comes: a server that waits for it answers 408
        page,
        f"POST /api/v1/login HTTP/1.1\r\nHost: {page.host}\r\nOrigin: {page.url}\r\n"
        f"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n".encode(),
        seconds=30.0,
    )
    return f"{status_of(got)} {'too_large' if b'too_large' in got else ''}, unread"


@attack("A body of 10 MB in chunks that does not say so", "413 after 64 KB")
def chunked_body(page: Page) -> str:
    host, port = page.host.split(":")
    head = (
        f"POST /api/v1/login HTTP/1.1\r\nHost: {page.host}\r\nOrigin: {page.url}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    sent, got = 0, b""
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.02)
        while sent < 10_000_000 and not got:
            try:
                connection.settimeout(2)
                connection.sendall(b"2000\r\n" + b"a" * 0x2000 + b"\r\n")
                sent += 0x2000
                connection.settimeout(0.02)
                got = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:  # closed while this was being sent: the answer came before
                with suppress(OSError):
                    got = connection.recv(65536)
                break
    return f"{status_of(got)} after {'64 KB' if sent < 400_000 else sent}"


@attack("JSON nested 20,000 deep; a list; no JSON at all; a password of 60 KB", "422 or 400, each")
def bad_json(page: Page) -> str:
    bodies = [
        b"[" * 20_000,
        b"[]",
        b"password=x",
        json.dumps({"password": "a" * 60_000}).encode(),
        b'{"password": 1}',
    ]
    with page.client(headers={"Origin": page.url, "Content-Type": "application/json"}) as client:
        got = {client.post("/api/v1/login", content=body).status_code for body in bodies}
    return "422 or 400, each" if got <= {400, 422} else str(got)


@attack("A header line of 200 KB; 100,000 letters of address", "400, 414, 431 or closed")
def large_headers(page: Page) -> str:
    got = [
        status_of(
            raw(page, f"GET / HTTP/1.1\r\nHost: {page.host}\r\nX: ".encode() + b"a" * 200_000 + b"\r\n\r\n")
        ),
        status_of(raw(page, b"GET /" + b"a" * 100_000 + f" HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode())),
    ]
    # An address that is merely long leads nowhere.
    return (
        "400, 414, 431 or closed"
        if set(got) <= {"400", "414", "431", "401", "404", "303", "closed"}
        else str(got)
    )


@attack("Request smuggling: Content-Length and Transfer-Encoding together", "400, or one request answered")
def smuggling(page: Page) -> str:
    got = raw(
        page,
        f"POST /api/v1/login HTTP/1.1\r\nHost: {page.host}\r\nOrigin: {page.url}\r\nContent-Length: 4\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode(),
    )
    leaked = b"streamrec_up" in got
    return "the second one answered" if leaked else "400, or one request answered"


@attack(
    "A header that begins and never ends, for 25 s (slow loris)",
    "closed before that; others are answered meanwhile",
)
def slow_loris(page: Page) -> str:
    host, port = page.host.split(":")
    connections = [socket.create_connection((host, int(port)), timeout=30) for _ in range(50)]
    try:
        for connection in connections:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {page.host}\r\n".encode())
        with page.client() as client:
            assert client.get("/healthz").status_code == 200
        ends = time.monotonic() + 25
        left = list(connections)
        while left and time.monotonic() < ends:
            for connection in tuple(left):
                connection.settimeout(0.01)
                try:
                    if connection.recv(1000) == b"":
                        left.remove(connection)
                except TimeoutError:
                    continue
                except OSError:
                    left.remove(connection)
        return f"{'closed before that' if not left else f'{len(left)} still open'}; others are answered meanwhile"
    finally:
        for connection in connections:
            connection.close()


# -- the WebSocket


@attack("WebSocket: no JSON; a list; a request of a wrong kind; a binary message", "closed with 1008, each")
def bad_messages(page: Page) -> str:
    tried = [
        "hello",
        "[]",
        '{"want": [1]}',
        '{"want": {"door": "wide"}}',
        '{"want": {"door": -1}}',
        "[" * 5_000,
        b"\x00",
    ]
    got = {closed_with(page, messages=(message,)) for message in tried}
    return ", ".join(sorted(got)) + ", each"


@attack("WebSocket: a message of 100 KB", "closed with 1009")
def large_message(page: Page) -> str:
    return closed_with(page, messages=('{"x": "' + "a" * 100_000 + '"}',))


@attack("WebSocket: a frame without a mask; a reserved opcode; half a letter of UTF-8; a frame of 2^63 bytes",
        "closed with 1002, 1002, 1007, 1009 or 1002")  # fmt: skip
def bad_frames(page: Page) -> str:
    mask = b"\x00\x00\x00\x00"
    frames = [
        b"\x81\x02hi",
        b"\x83\x80" + mask,
        b"\x81\x82" + mask + b"\xc3\x28",
        b"\x81\xff" + struct.pack(">Q", 2**63) + mask,
    ]
    got = [closed_with(page, frames=frame).removeprefix("closed with ") for frame in frames]
    if got[3] in ("1009", "1002"):
        got[3] = "1009 or 1002"
    return "closed with " + ", ".join(got)


@attack(
    "WebSocket: 300 viewers at once",
    "200 are served, the others closed with 1013 or refused; the API answers",
)
def many_viewers(page: Page) -> str:
    import asyncio
    from contextlib import AsyncExitStack

    from websockets.asyncio.client import connect as connect_here

    with page.logged_in() as client:
        cookie = {"Cookie": cookie_in(client)}

    async def crowd() -> int:
        served = 0
        async with AsyncExitStack() as stack:
            for _ in range(300):
                try:
                    one = connect_here(
                        f"ws://{page.host}/api/v1/live", origin=page.url, additional_headers=cookie
                    )
                    looking = await stack.enter_async_context(one)
                    served += isinstance(await asyncio.wait_for(looking.recv(), 10), str)
                except (ConnectionClosed, InvalidStatus, OSError):
                    continue
            with page.client() as client:
                assert (await asyncio.to_thread(client.get, "/healthz")).status_code == 200
        return served

    return f"{asyncio.run(crowd())} are served, the others closed with 1013 or refused; the API answers"


@attack("The live WebSocket, after its session's log-out", "closed with 4401, and no image after that")
def looks_after_logout(page: Page) -> str:
    with page.logged_in() as client:
        headers = {"Cookie": cookie_in(client)}
        with connect(f"ws://{page.host}/api/v1/live", origin=page.url, additional_headers=headers) as looking:
            looking.recv(timeout=5)
            looking.send('{"want": {"door": 640}}')
            client.post("/api/v1/logout", json={})
            began, late = time.monotonic(), 0
            try:
                while True:
                    page.actors["door"].show()
                    message = looking.recv(timeout=5)
                    late += isinstance(message, bytes) and time.monotonic() - began > 1.0
            except ConnectionClosed as end:
                code = end.rcvd.code if end.rcvd else "no word"
    return f"closed with {code}, and {late if late else 'no image'} after that"


# -- many connections


@attack(
    "400 connections without a session that send nothing, half a request, half a body",
    "at most 256 are held; a logged-in client is answered; the log has one sentence",
)
def idle_crowd(page: Page) -> str:
    told: list[str] = []
    page.server._limited_log._log = told.append
    host, port = page.host.split(":")
    head = f"POST /api/v1/login HTTP/1.1\r\nHost: {page.host}\r\nOrigin: {page.url}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    kinds = [b"", b"GET / HTTP/1.1\r\nHost:", head.encode()]
    with page.logged_in() as client, ExitStack() as stack:
        for n in range(400):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            with suppress(OSError):
                one.sendall(kinds[n % 3])
        answered = client.get("/api/v1/cameras").status_code == 200
        held = len(page.server._server._connections)  # type: ignore[union-attr]
    return (
        f"at most {256 if held <= 256 else held} are held; a logged-in client is "
        f"{'answered' if answered else 'kept out'}; the log has {'one sentence' if len(told) == 1 else told}"
    )


@attack("5,000 requests in one go (pipelining)", "a few are answered, then it is closed")
def pipelined(page: Page) -> str:
    got, asked = b"", f"GET /healthz HTTP/1.1\r\nHost: {page.host}\r\n\r\n".encode()
    host, port = page.host.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as one, suppress(OSError):
        with suppress(OSError):
            one.sendall(5_000 * asked)
        while part := one.recv(65536):
            got += part
    few = got.count(b"HTTP/1.1 200") < 1_000
    return f"{'a few' if few else 'many'} are answered, then it is closed"


@attack("A header line that never ends, as quick as it can be sent", "431 or closed, within 20 MB")
def endless_header(page: Page) -> str:
    host, port = page.host.split(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=5) as one:
        one.sendall(f"GET / HTTP/1.1\r\nHost: {page.host}\r\nX: ".encode())
        with suppress(OSError):
            while sent < 50_000_000:
                one.sendall(b"a" * 65536)
                sent += 65536
    return f"431 or closed, within {20 if sent < 20_000_000 else sent // 1_000_000} MB"


@attack(
    "Cookies of other pages of the same host before ours: JSON, a flag, brackets, ü, nothing", "200, each"
)
def cookies_of_others(page: Page) -> str:
    others = ['prefs={"a":1}', "flag", "a[b]=c", "name=\u00fc", "", "streamrec-1=x; streamrec=old"]
    with page.logged_in() as client:
        ours = cookie_in(client)
    got = {
        status_of(
            raw(
                page,
                f"GET /api/v1/cameras HTTP/1.1\r\nHost: {page.host}\r\nCookie: {one}; {ours}\r\n\r\n".encode(),
            )
        )
        for one in others
    }
    return f"{', '.join(sorted(got))}, each"


@attack(
    "A clip replaced by a link to /etc/passwd, a folder of them by a link, a clip by a device, by a pipe",
    "404 not_found, each",
)
def linked_clips(page: Page) -> str:
    import os
    import tempfile
    from pathlib import Path

    from streamrec.outputs.history.records import Entry, new_id
    from streamrec.outputs.history.store import History

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "evidence" / "2026-01-01"
        folder.mkdir(parents=True)
        (Path(place) / "elsewhere").mkdir()
        (Path(place) / "elsewhere" / "d.mp4").write_text("secret words")
        (Path(place) / "evidence" / "2026-01-02").symlink_to(Path(place) / "elsewhere")
        (folder / "a.mp4").symlink_to("/etc/passwd")
        (folder / "b.mp4").symlink_to("/dev/zero")
        os.mkfifo(folder / "c.mp4")
        got = set()
        with History(Path(place) / "events.db") as history, page.logged_in() as client:
            before, page.live.history = page.live.history, history
            for clip in (
                *(folder / f"{name}.mp4" for name in "abc"),
                folder.with_name("2026-01-02") / "d.mp4",
            ):
                entry = Entry(
                    id=new_id(1e9), camera="door", model="", label="fall", started=1e9, confidence=1.0
                )
                history.add(entry)
                history.attach(entry.id, clip=clip)
                answer = client.get(f"/api/v1/events/{entry.id}/clip")
                assert "root:" not in answer.text and "secret" not in answer.text
                got.add(said(answer))
            page.live.history = before
    return f"{', '.join(sorted(got))}, each"


# -- cameras


def camera_tried(page: Page, address: str, **more: str) -> httpx.Response:
    """What somebody who is logged in gets for a new camera of this address."""
    with page.logged_in() as client:
        given = {"name": "mine", "address": address} | more
        tried = client.post("/api/v1/settings/try", json={"change": given})
        revision = client.get("/api/v1/settings").json()["revision"]
        put = client.put("/api/v1/settings/camera", json={"revision": revision, "change": given})
        assert (tried.status_code == 422) == (put.status_code == 422) or "://" in address
        return tried


@attack("A camera whose address is a local file: file:, a path, concat:, pipe:, subfile:, data:, a device, a webcam",
        "422 not_possible, 12 of 12")  # fmt: skip
def local_file(page: Page) -> str:
    tried = [
        "file:///etc/passwd", "/etc/passwd", "../cameras.toml", "concat:/etc/passwd|/etc/hosts", "pipe:0",
        "subfile,,start,0,end,9,,:/etc/passwd", "data:text/plain,x", "async:file:///etc/passwd",
        "unix:///run/docker.sock", "/dev/video0", "0", "FILE:/etc/passwd",
    ]  # fmt: skip
    got = [said(camera_tried(page, address)) for address in tried]
    return f"422 not_possible, {got.count('422 not_possible')} of {len(tried)}"


@attack(
    "A camera whose address is an internal service: a cloud's metadata, web services of this machine, "
    "written in ten ways",
    "422 not_possible, 10 of 10",
)
def internal_service(page: Page) -> str:
    tried = [
        "http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://[::ffff:169.254.169.254]/",
        "rtsp://169.254.169.254/", f"{page.url}/metrics", "http://localhost:6379/", "http://127.1/",
        "http://0x7f000001/", "http://[::1]/", "http://0.0.0.0/",
    ]  # fmt: skip
    got = [said(camera_tried(page, address)) for address in tried]
    return f"422 not_possible, {got.count('422 not_possible')} of {len(tried)}"


@attack(
    "An address that asks for a secret of the environment: rtsp://evil/${HOME}",
    "written as it is, not filled in",
)
def environment(page: Page) -> str:
    import os

    assert page.server.file is not None
    with page.logged_in() as client:
        revision = client.get("/api/v1/settings").json()["revision"]
        given = {"name": "mine", "address": "rtsp://127.0.0.1:9/${HOME}"}
        client.put("/api/v1/settings/camera", json={"revision": revision, "change": given})
    from streamrec.settings.cameras_file import read_watchfile

    address = read_watchfile(page.server.file, os.environ).cameras[-1].address
    return "written as it is, not filled in" if address.endswith("/${HOME}") else address


@attack("A camera's password by sending it to another host: only the address is changed", "422 not_possible")
def password_elsewhere(page: Page) -> str:
    with page.logged_in() as client:
        settings = client.get("/api/v1/settings").json()
        assert "s3cret-pw" not in json.dumps(settings)
        given = {"name": "door", "address": "rtsp://127.0.0.1:9/live"}
        body = {"revision": settings["revision"], "camera": "door", "change": given}
        return said(client.put("/api/v1/settings/camera", json=body))


@attack("A web camera whose playlist names a local file (HLS)", "422 not_possible, nothing of the file")
def playlist(page: Page) -> str:
    with web_service(
        {"/a.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"}
    ) as at:
        answer = camera_tried(page, f"{at}/a.m3u8")
    assert "root:" not in answer.text
    return f"{said(answer)}, nothing of the file"


@attack(
    "A web camera that leads on (302) to a web service of this machine",
    "followed: the service is asked (GET), and its answer is not shown",
)
def redirect(page: Page) -> str:
    asked: list[str] = []
    with web_service({"/secret": b"secret words"}, asked) as inner:
        port = inner.rpartition(":")[2]
        with web_service({"/a.mjpg": f"http://127.0.0.1:{port}/secret"}) as at:
            answer = camera_tried(page, f"{at}/a.mjpg")
    assert answer.status_code == 422 and "secret words" not in answer.text
    return (
        f"{'followed: the service is asked (GET)' if asked else 'not followed'}, and its answer is not shown"
    )


@contextmanager
def web_service(answers: dict[str, bytes | str], asked: list[str] | None = None) -> Iterator[str]:
    """A web server on this machine's address in the network; a text is where it leads on to."""
    import threading
    from http.server import ThreadingHTTPServer

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            if asked is not None:
                asked.append(self.path)
            self.send_response(404 if answer is None else 302 if isinstance(answer, str) else 200)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            body = answer if isinstance(answer, bytes) else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            host = probe.getsockname()[0]
        except OSError:
            host = "127.0.0.1"
    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{host}:{server.server_port}"
        server.shutdown()


def main() -> None:
    """Try them all, and print the table of what they got."""
    import pytest

    failed = pytest.main(["-q", "tests/integration/web/test_attacks.py", "-k", "attack_gets"])
    print("| what was tried | what it got |\n| --- | --- |")
    for one in ATTACKS:
        print(f"| {one.what} | {one.gets} |")
    sys.exit(failed)


if __name__ == "__main__":
    main()
