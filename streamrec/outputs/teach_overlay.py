"""What a person who teaches sees in the window: a large countdown over the image, and below it labels and keys."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamrec.outputs.overlay import (
    AMBER,
    INK,
    QUIET,
    SOFT,
    WHITE,
    Color,
    _bar,
    _fit,
    _panel,
    _width_of,
    _write,
    color_of,
)

_GROUND: Color = (30, 26, 24)
_SMALLEST = 640  # pixels: an image that is not so wide is enlarged, or its letters could not be read


@dataclass(frozen=True, slots=True)
class LabelChip:
    """A label that is taught."""

    key: str
    name: str
    count: str  # of its examples
    chosen: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class BigCue:
    """What is to be done now, to be read from across the room."""

    number: str  # seconds left
    title: str
    detail: str
    share: float  # that has passed, 0 to 1
    color: Color = AMBER


@dataclass(frozen=True, slots=True)
class ListedExamples:
    """The list of examples over the image."""

    title: str
    rows: tuple[tuple[str, str], ...]  # what stands at the left and at the right
    chosen: int
    keys: str


@dataclass(frozen=True, slots=True)
class LessonPicture:
    """Everything about a lesson that is drawn."""

    chips: tuple[LabelChip, ...] = ()
    message: str = ""
    asks: str = ""  # what is wanted next
    keys: str = ""
    typed: str | None = None  # the letters of a new label; None: none is typed
    cue: BigCue | None = None
    examples: ListedExamples | None = None


def enlarged(image: np.ndarray) -> np.ndarray:
    """The image (H, W, 3), enlarged where letters on it could not be read."""
    height, width = image.shape[:2]
    if width >= _SMALLEST:
        return image
    scale = _SMALLEST / width
    return cv2.resize(image, (_SMALLEST, max(1, round(height * scale))), interpolation=cv2.INTER_LINEAR)


def draw_lesson(image: np.ndarray, shown: LessonPicture) -> np.ndarray:
    """(H, W, 3) uint8 -> a new, higher image: what is counted down over it, labels and keys below it."""
    height, width = image.shape[:2]
    unit = max(0.6, min(width / 640, 2.5))
    strip = round(112 * unit)
    out = np.full((height + strip, width, 3), _GROUND, np.uint8)
    out[:height] = image
    view = out[:height]
    if shown.typed is not None:
        _draw_big(view, BigCue("", f"{shown.typed}_", "name it, then Enter; Esc leaves", 0.0, WHITE), unit)
    elif shown.examples is not None:
        _draw_list(view, shown.examples, unit)
    elif shown.cue is not None:
        _draw_big(view, shown.cue, unit)
    _draw_strip(out, height, shown, unit)
    return out


def _draw_big(view: np.ndarray, cue: BigCue, unit: float) -> None:
    """A panel in the middle: the number as large as it fits, the title, the detail, a bar."""
    height, width = view.shape[:2]
    pad = round(18 * unit)
    panel_width = min(width - 2 * pad, round(420 * unit))
    number = min(round(110 * unit), height // 4) if cue.number else 0
    title, small, bar = round(26 * unit), round(9.5 * unit), max(3, round(7 * unit))
    panel_height = number + title + small + bar + (5 if number else 4) * pad
    x0, y0 = (width - panel_width) // 2, max(0, (height - panel_height) // 2)
    room = panel_width - 2 * pad
    _dark_panel(view, x0, y0, panel_width, min(panel_height, height - y0), unit)
    base = y0 + pad
    if number:
        base += number
        wide = _width_of(cue.number, number, True)
        _write(view, cue.number, (width - wide) // 2, base, number, cue.color, bold=True)
        base += pad
    text, cap = _fit(cue.title, room, title, True)
    base += title
    _write(view, text, (width - _width_of(text, cap, True)) // 2, base, cap, WHITE, bold=True)
    base += pad
    _bar(view, x0 + pad, base, room, bar, cue.share, cue.color)
    text, cap = _fit(cue.detail, room, small, False)
    base += bar + pad + small
    _write(view, text, (width - _width_of(text, cap, False)) // 2, base, cap, SOFT)


def _dark_panel(view: np.ndarray, x: int, y: int, width: int, height: int, unit: float) -> None:
    """A panel over others: twice as dark."""
    for _ in range(2):
        _panel(view, x, y, width, height, unit)


def _draw_list(view: np.ndarray, listed: ListedExamples, unit: float) -> None:
    """The examples, the chosen one lit."""
    height, width = view.shape[:2]
    pad, small = round(14 * unit), round(9.5 * unit)
    row = small + round(13 * unit)
    panel_width = min(width - 2 * pad, round(430 * unit))
    most = max(1, (height - 4 * pad - 2 * row) // row)
    first = max(0, min(listed.chosen - most // 2, len(listed.rows) - most))
    rows = listed.rows[first : first + most]
    panel_height = 2 * pad + (2 + max(1, len(rows))) * row
    x0, y0 = (width - panel_width) // 2, max(0, (height - panel_height) // 2)
    _dark_panel(view, x0, y0, panel_width, min(panel_height, height - y0), unit)
    left, right, room = x0 + pad, x0 + panel_width - pad, panel_width - 2 * pad
    base = y0 + pad + small
    text, cap = _fit(listed.title, room, small, True)
    _write(view, text, left, base, cap, WHITE, bold=True)
    for number, (name, more) in enumerate(rows):
        base += row
        chosen = first + number == listed.chosen
        ink = INK if chosen else SOFT
        if chosen:
            _panel(view, x0 + pad // 2, base - small - pad // 2, panel_width - pad, row, unit, fill=AMBER)
        wide = _width_of(more, small, False)
        text, cap = _fit(name, room - wide - pad, small, chosen)
        _write(view, text, left, base, cap, ink, bold=chosen)
        _write(view, more, right - wide, base, small, ink)
    if not rows:
        base += row
        _write(view, "no example yet", left, base, small, QUIET)
    text, cap = _fit(listed.keys, room, small, False)
    _write(view, text, left, base + row, cap, SOFT)


def _draw_strip(out: np.ndarray, top: int, shown: LessonPicture, unit: float) -> None:
    """Labels with their keys, what is wanted or was answered, and the keys, below the image."""
    width = out.shape[1]
    pad, small = round(10 * unit), round(9 * unit)
    y = top + pad
    _draw_chips(out, y, shown, unit)
    y += round(34 * unit)
    base = y + small + round(4 * unit)
    for text, ink, bold in ((shown.asks, AMBER, True), (shown.message, WHITE, False)):
        fitted, cap = _fit(text, width - 2 * pad, small, bold)
        _write(out, fitted, pad, base, cap, ink, bold=bold)
        base += round(21 * unit)
    fitted, cap = _fit(shown.keys, width - 2 * pad, round(7.4 * unit), False)
    _write(out, fitted, pad, base, cap, QUIET)


def _draw_chips(out: np.ndarray, y: int, shown: LessonPicture, unit: float) -> None:
    width = out.shape[1]
    pad, small, height = round(10 * unit), round(9 * unit), round(26 * unit)
    x = pad
    for number, chip in enumerate(shown.chips):
        name, cap = _fit(chip.name, round(150 * unit), small, True)
        inner = round(8 * unit)
        key_width, name_width = _width_of(chip.key, small, True), _width_of(name, cap, True)
        count_width = _width_of(chip.count, small, False)
        chip_width = 4 * inner + key_width + name_width + count_width
        if x + chip_width > width - pad:
            _write(out, "...", x, y + (height + small) // 2, small, SOFT)
            return
        color = color_of(number + 1, chip.name)  # of a taught model the first is nothing
        lit = chip.held or chip.chosen
        cv2.rectangle(
            out,
            (x, y),
            (x + chip_width, y + height),
            color if lit else (62, 56, 52),
            cv2.FILLED if chip.held or not lit else max(1, round(2 * unit)),
        )
        base = y + (height + small) // 2
        ink = INK if chip.held else WHITE
        _write(out, chip.key, x + inner, base, small, ink if chip.held else color, bold=True)
        _write(out, name, x + 2 * inner + key_width, base, cap, ink, bold=True)
        _write(
            out, chip.count, x + 3 * inner + key_width + name_width, base, small, ink if chip.held else SOFT
        )
        x += chip_width + round(8 * unit)
