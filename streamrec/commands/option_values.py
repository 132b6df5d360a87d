"""Parsing the values of options: lists of names, sizes, numbers, renamed labels."""

from __future__ import annotations

from streamrec.errors import StreamrecError

_LARGEST = 1e9


def parse_names(text: str) -> list[str]:
    """Names with commas between.

    >>> parse_names("wave, clap")
    ['wave', 'clap']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of ``--size``; raises ``StreamrecError``.

    >>> parse_size("80x64")
    (80, 64)
    """
    width, _, height = text.lower().partition("x")
    sides = [int(side) if side.isdecimal() and len(side) < 6 else 0 for side in (width, height)]
    if not all(16 <= side <= 8192 for side in sides):
        raise StreamrecError(
            f"--size {text[:40]}: give WIDTHxHEIGHT of at least 16 and at most 8192, like 80x64"
        )
    return int(width), int(height)


def parse_numbers(text: str, option: str, what: str, example: str) -> list[float]:
    """Positive numbers with commas between; raises ``StreamrecError`` that names ``what`` and an ``example``.

    >>> parse_numbers("30,7.5", "--fps", "frame rates", "30,15,10")
    [30.0, 7.5]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(
        part.replace(".", "", 1).isdecimal() and 1e-6 <= float(part) <= _LARGEST for part in parts
    ):
        raise StreamrecError(f"{option} {text}: give {what} with commas between, like {example}")
    return [float(part) for part in parts]


def parse_relabel(text: str) -> dict[str, str]:
    """The pairs of ``--relabel``; raises ``StreamrecError``.

    >>> parse_relabel("sit=idle,stand=idle")
    {'sit': 'idle', 'stand': 'idle'}
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(old.strip() and new.strip() for old, _, new in pairs):
        raise StreamrecError(f"--relabel {text}: give OLD=NEW with commas between, like sit=idle,stand=idle")
    return {old.strip(): new.strip() for old, _, new in pairs}
