"""A server of RTSP that says what it is told to say: for answers that no real one can be made to give."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[
    [str, str, int], tuple[str, dict[str, str], str] | None
]  # method, address, port -> status, fields, body


class Talker:
    """What was asked so far."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"


@contextmanager
def talking(answer: Answer) -> Iterator[Talker]:
    """``answer`` gets the method, the address and the port; None: nothing is said."""
    over, talker = threading.Event(), Talker()

    def talk(line: socket.socket) -> None:
        held = b""
        with line, suppress(OSError):
            while not over.is_set():
                data = line.recv(4096)
                if not data:
                    return
                held += data
                while b"\r\n\r\n" in held:
                    head, _, held = held.partition(b"\r\n\r\n")
                    text = head.decode("utf-8", "replace")
                    method, _, rest = text.partition(" ")
                    talker.asked.append(method)
                    said = answer(method, rest.split(" ")[0], talker.port)
                    if said is None:
                        over.wait(30)
                        return
                    status, fields, body = said
                    number = re.search(r"(?i)cseq: *(\d+)", text)
                    lines = [f"RTSP/1.0 {status}", f"CSeq: {number[1] if number else 1}"]
                    lines += [f"{name}: {value}" for name, value in fields.items()]
                    lines += [f"Content-Length: {len(body)}"] if body else []
                    line.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        talker.port = server.getsockname()[1]

        def listen() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    line, _ = server.accept()
                    talker.connections += 1
                    threading.Thread(target=talk, args=(line,), daemon=True).start()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield talker
        finally:
            over.set()
            thread.join(60.0)
