"""core/: small files read within limits, numbers within limits, and a program that ends when it is asked to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamrec.core import arguments
from streamrec.core.arguments import Limits
from streamrec.core.messages import shortened
from streamrec.core.reading import CannotRead, path_of, read_data, read_json, read_text
from streamrec.errors import SettingsError, StreamrecError
from streamrec.settings.cameras_file import read_after, read_settings, read_watchfile
from streamrec.settings.resolve import check
from streamrec.settings.toml import parse_toml, read_toml
from streamrec.settings.tuned_file import read_tuned
from streamrec.web.auth import Access
from tests.helpers.paths import ROOT

READERS = {
    "cameras": lambda path: read_watchfile(path, {}),
    "after": lambda path: read_after(path, {}),
    "history": lambda path: read_settings(path, "history", Limits, {}),
    "tuned": read_tuned,
    "access": lambda path: Access.read(path, {}),
    "toml": read_toml,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_of_settings_is_one_sentence_in_time(reader, tmp_path):
    read, path = READERS[reader], tmp_path / "file"
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with (tmp_path / "grown").open("wb") as out:
        out.truncate(2**40)
    for name, data in {
        "huge": b"#" * 500_001, "latin": "# café".encode("latin-1"), "zero": b"\0" * 50,
        "wide": "a".encode("utf-16"),
        "deep": b"a = " + b"[" * 50_000,
        "digits": b"a = " + b"9" * 50_000, "parts": b".".join([b"a"] * 9_000) + b" = 1",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    for name in sorted(child.name for child in tmp_path.iterdir()):
        with pytest.raises(StreamrecError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(tmp_path))
    for odd in (path, "~nobodyhere/x", "a\0b", "x" * 5_000, "/dev/zero", tmp_path / "latin" / "x"):
        with pytest.raises(StreamrecError):
            read(odd)


def test_a_pipe_is_read_as_a_shell_makes_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    kept = os.open(path, os.O_RDWR)  # so that neither end waits for the other
    os.write(kept, b"fps = 5\n")
    assert read_tuned(path).fps == 5.0
    os.close(kept)


def test_what_windows_writes_is_read(tmp_path):
    path = tmp_path / "tuned.toml"
    path.write_bytes(b'\xef\xbb\xbfmodel = "fight"\r\nfps = 5\r\n')
    assert read_tuned(path).model == "fight"
    assert read_text(path) == 'model = "fight"\nfps = 5\n'
    assert len(read_data(path)) == path.stat().st_size
    with pytest.raises(CannotRead, match="larger than 0 kB"):
        read_data(path, 10)


def test_paths_that_can_be_none():
    assert path_of("~/x") == Path.home() / "x"
    assert path_of("./~x") == Path("~x")  # a file of that name, and nobody's home
    for text in ("~nobodyhere/x", "a\0b"):
        with pytest.raises(SettingsError):
            path_of(text)


def test_json_that_is_none_is_a_value_error():
    for text in ("", "{", "[" * 90_000, '{"a": 1, "a": 2}', "NaN", "-Infinity", "1" * 9_000, b"\xff"):
        with pytest.raises(ValueError):
            read_json(text)
    assert read_json('{"a": [1.5, null]}') == {"a": [1.5, None]}
    assert read_json("NaN", strict=False) != 0


@pytest.mark.parametrize(
    "allowed", [value for value in vars(arguments).values() if isinstance(value, Limits)], ids=str
)
def test_nonsense_numbers_are_within_no_limits(allowed):
    for value in (
        float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 10**400, -(10**400), True, False, None, "1", [],
        1 + 0j,
    ):  # fmt: skip
        assert "give" in str(allowed.wrong(value)), value
    for value in (allowed.low, allowed.high, *((0,) if allowed.zero else ())):
        assert allowed.wrong(value) is None
    if allowed.low > 0:
        assert not allowed.holds(1e-300)
    assert len(shortened(10**4000)) < 100


def test_a_file_changed_at_random_is_a_file_or_a_sentence(tmp_path):
    """A small seeded fuzzer of cameras.toml."""
    good = ROOT.joinpath("deploy", "cameras.toml").read_text()
    good += '\n[[camera]]\nname = "x"\naddress = "rtsp://h/1"\nregion = [0.1, 0.2, 0.3, 0.4]\n'
    good += "[camera.by_label.fight]\nenter = 0.9\n"
    bits = [
        "[",
        "{",
        '"',
        "'",
        "\\",
        "\0",
        "\x1b",
        "é",
        "1e999",
        "nan",
        "true",
        "~a/",
        "${A}",
        "$",
        '"""',
        "\n",
        "=",
    ]
    bits += ["9" * 400, "a." * 20]
    chance = random.Random(5)
    path = tmp_path / "cameras.toml"
    for _ in range(400):
        text = good
        for _ in range(chance.randint(1, 4)):
            at, to = sorted((chance.randrange(len(text)), chance.randrange(len(text))))
            text = text[:at] + chance.choice(bits) + text[chance.choice((at, min(to, at + 12))) :]
        path.write_bytes(text.encode())
        try:
            check(read_watchfile(path, {"A": "x\ny"}))
        except StreamrecError as error:
            assert "\n" not in str(error) and len(str(error)) < 900


@pytest.mark.parametrize(
    "text", ["1.1, " * 40, "'1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18', ", "[[1], [2]], "]
)
def test_long_lists_are_not_deep(text):
    assert parse_toml(f"a = [{text}]", "x")["a"]


HANG = """
import hashlib, sys
from streamrec.commands import process
from streamrec.runtime import checkpoint
sys.argv = ["streamrec", "models"]
def hang():
    print("hangs", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # native, and for minutes
checkpoint.shipped_models = hang
process.main()
"""


def busy(process: int) -> int:
    """Hundredths of a second that it has calculated."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not tell what is calculated"
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_program_whose_main_thread_hangs(number):
    process = subprocess.Popen(
        [sys.executable, "-c", HANG],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        assert process.stdout.readline() == "hangs\n"
        before = busy(process.pid)
        while busy(process.pid) < before + 20:  # now it is in there: nothing else takes time
            time.sleep(0.05)
        for _ in range(3):  # three that nobody hears end it without more waiting
            process.send_signal(number)
            time.sleep(0.3)
        assert process.wait(60) == 128 + number
        assert "ended at once" in process.stderr.read()


def test_a_handler_that_runs_is_left_alone():
    code = (
        "import os, signal, time\nfrom streamrec.core import process_end as ending\n"
        "signal.signal(signal.SIGTERM, lambda *_: ending.handler_ran())\nending.watch_over(ending.handler_ran, 0.3)\n"
        "for _ in range(4):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(0.3)\n"
        "print('as it was')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stdout) == (0, "as it was\n"), done.stderr
