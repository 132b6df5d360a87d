"""The report of a run: curves, confusion, timelines and the worst mistakes, as images and one page."""

from __future__ import annotations

import html
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamrec.core.files import make_private_folder, replacing
from streamrec.core.text import printable, spelled
from streamrec.data.clips import NO_LABEL
from streamrec.errors import need
from streamrec.evaluation.metrics import ConfusionMatrix
from streamrec.outputs.plot import level_of, plot_of
from streamrec.train.joints.movenet_noise import PEOPLE
from streamrec.train.joints.sheet import draw as draw_people
from streamrec.train.quick_eval import Played
from streamrec.train.run_log import Line

INK, FAINT, RED, BLUE = "#22303c", "#aab4bd", "#c8443c", "#2b6ca3"
# Distinguishable with colour blindness (Okabe and Ito, 2008), then lighter ones for many labels; black is for text.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#b5a900", "#7f6bb3",
           "#8c564b", "#17becf", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#9edae5", "#dbdb8d")  # fmt: skip
TIMELINES = 8
MISTAKES = 8
PICTURES = ("curves", "confusion", "timelines", "mistakes")


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """Frames of a recording, one after the other, with the same wrong prediction."""

    played: Played
    name: str
    start: int  # first frame, index in ``played``
    end: int  # last frame, included
    truth: int  # label
    predicted: int  # label

    @property
    def confidence(self) -> float:
        """Mean probability of the predicted label."""
        return float(self.played.probabilities[self.start : self.end + 1, self.predicted].mean())

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end, in seconds from the start of the recording."""
        return float(self.played.times[self.start]), float(self.played.times[self.end])


def draw_report(
    folder: Path,
    *,
    title: str,
    summary: str,
    labels: Sequence[str],
    lines: Sequence[Line],
    played: Sequence[Played],
    names: Sequence[str],
) -> list[Path]:
    """Write curves.png, for held-out recordings confusion.png, timelines.png and mistakes.png, and report.html.

    ``summary`` is a sentence for the page; ``names`` are those of the ``played`` recordings. Raises ``MissingExtra``,
    and ``OSError`` where the folder cannot be written to.
    """
    need("matplotlib", extra="train")
    make_private_folder(folder)
    labels, names = [*map(printable, labels)], [*map(printable, names)]
    with _letters_for([*labels, *names]) as shown:
        labels, names = [*map(shown, labels)], [*map(shown, names)]
        figures = {"curves.png": draw_curves(lines)}
        if played:
            figures |= {
                "confusion.png": draw_confusion(labels, played),
                "timelines.png": draw_timelines(labels, played, names),
                "mistakes.png": draw_mistakes(labels, worst_mistakes(played, names), len(played)),
            }
        for name, figure in figures.items():
            with replacing(folder / name, private=True) as file:
                figure.savefig(file, dpi=110, facecolor="white", format="png")
    page = folder / "report.html"
    with replacing(page, "w", private=True, encoding="utf-8") as file:
        file.write(_page(title, summary, list(figures)))
    return [*(folder / name for name in figures), page]


def draw_curves(lines: Sequence[Line]) -> Any:
    """Loss, accuracy and learning rate over the steps; a matplotlib figure."""
    figure = _figure(9.0, 6.4)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(5, 5, 1.6))
    steps = [line.step for line in lines]
    loss.plot(steps, [line.loss for line in lines], color=BLUE, linewidth=1.8, clip_on=False)
    loss.set_ylim(bottom=0.0)
    _named(loss, "Loss")
    accuracy.plot(steps, [100 * line.accuracy for line in lines], color=BLUE, linewidth=1.8, label="learned")
    held_out = [(line.step, 100 * line.held_out) for line in lines if line.held_out is not None]
    if held_out:
        accuracy.plot(*zip(*held_out, strict=True), color=RED, linewidth=1.8, marker="o", markersize=4,
                      label="held out", clip_on=False)  # fmt: skip
        best = max(held_out, key=lambda point: point[1])
        accuracy.annotate(
            f"best {best[1]:.1f} % at step {best[0]}",
            best,
            xytext=(0, 8),
            textcoords="offset points",
            ha="right" if best[0] > steps[-1] / 2 else "left",
            color=RED,
            fontsize=9,
        )
    accuracy.set_ylim(0, 109)
    accuracy.set_yticks(range(0, 101, 20))
    accuracy.legend(loc="lower right", frameon=False, ncols=2)
    _named(accuracy, "Frames right, %")
    rate.fill_between(steps, [line.learning_rate for line in lines], color=FAINT, alpha=0.6, linewidth=0)
    rate.set_ylim(bottom=0.0)
    rate.yaxis.set_major_formatter("{x:g}")
    _named(rate, "Learning rate")
    rate.set_xlabel("step" + (f"    ({_clock(lines[-1].seconds)} of learning)" if lines else ""))
    for axes in (loss, accuracy, rate):
        axes.grid(axis="y", color="#e6eaed", linewidth=0.8)
        axes.set_xlim(0, 1.01 * steps[-1] if steps else 1)
    return figure


def draw_confusion(labels: Sequence[str], played: Sequence[Played]) -> Any:
    """Predictions for the frames of each label; a matplotlib figure."""
    matrix = ConfusionMatrix(labels)
    for each in played:
        known = each.truth != NO_LABEL
        matrix.update([labels[i] for i in each.truth[known]], [labels[i] for i in each.predicted[known]])
    counts = matrix.get().astype(float)
    totals = counts.sum(1)
    parts = counts / np.maximum(totals, 1)[:, None]
    size = min(14.0, 1.6 + 0.75 * len(labels))
    figure = _figure(size + 2.0, size + 0.8)
    axes = figure.subplots()
    axes.imshow(parts, cmap="Blues", vmin=0.0, vmax=1.15)
    axes.set_xticks(range(len(labels)), labels, rotation=40 if len(labels) > 3 else 0,
                    ha="right" if len(labels) > 3 else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(
        range(len(labels)), [f"{label}  ({int(n)})" for label, n in zip(labels, totals, strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (frames)")
    for row, column in np.argwhere(parts >= 0.005):
        value = parts[row, column]
        axes.text(
            column,
            row,
            f"{100 * value:.0f} %" if len(labels) <= 12 else f"{100 * value:.0f}",
            ha="center",
            va="center",
            fontsize=10 if len(labels) <= 12 else 7,
            color="white" if value > 0.6 else INK,
            fontweight="bold" if row == column else "normal",
        )
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    right = 100 * counts.trace() / max(counts.sum(), 1)
    axes.set_title(f"{right:.1f} % of {int(counts.sum())} held-out frames right", loc="left", fontsize=12)
    return figure


def draw_timelines(labels: Sequence[str], played: Sequence[Played], names: Sequence[str]) -> Any:
    """Truth above and prediction below, over time, from the worst recording to the best; a matplotlib figure."""
    patch = need("matplotlib.patches", extra="train").Patch
    order = sorted(range(len(played)), key=lambda i: played[i].right.mean() if len(played[i].right) else 1.0)
    chosen = [
        order[i] for i in np.unique(np.linspace(0, len(order) - 1, min(TIMELINES, len(order))).astype(int))
    ]
    used = sorted({int(i) for n in chosen for i in (*played[n].truth, *played[n].predicted) if i != NO_LABEL})
    legend_rows = -(-len(used) // 6)
    figure = _figure(10.0, 0.9 + 0.25 * legend_rows + 0.95 * len(chosen))
    rows = figure.subplots(len(chosen), 1, squeeze=False)[:, 0]
    for axes, number in zip(rows, chosen, strict=True):
        each = played[number]
        right = 100 * each.right.mean() if len(each.right) else 0.0
        ends = np.append(
            each.times[1:], each.times[-1] + (np.diff(each.times).mean() if len(each.times) > 1 else 0.1)
        )
        for values, bottom, height in ((each.truth, 1.08, 0.8), (each.predicted, 0.0, 1.0)):
            for start, end in stretches(values):
                if values[start] != NO_LABEL:
                    span = (each.times[start], ends[end] - each.times[start])
                    axes.broken_barh([span], (bottom, height), color=_colour(values[start]), linewidth=0)
        sure = each.probabilities.max(-1)
        # White over the prediction: the height of the band is its probability.
        axes.fill_between(
            np.append(each.times, ends[-1]), np.append(sure, sure[-1]), 1.0, step="post", color="white",
            alpha=0.8, linewidth=0,
        )  # fmt: skip
        axes.set_ylim(0, 1.9)
        axes.set_xlim(0, ends[-1])
        axes.set_yticks([0.5, 1.48], ["predicted", "true"], fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8, length=2, color=FAINT)
        axes.locator_params(axis="x", nbins=8)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.spines[:].set_visible(False)
        axes.set_title(f"{names[number]}   {right:.0f} % right", loc="left", fontsize=9, pad=2)
    rows[-1].set_xlabel("seconds")
    figure.legend(
        handles=[patch(color=_colour(i), label=labels[i]) for i in used],
        loc="outside upper left",
        ncols=min(6, len(used)),
        frameon=False,
        fontsize=9,
        title="Held-out recordings, from the worst to the best; the height of a band is the probability",
        title_fontsize=10,
        alignment="left",
    )
    return figure


def draw_mistakes(labels: Sequence[str], mistakes: Sequence[Mistake], count: int) -> Any:
    """A contact sheet: the first, middle and last frame of each mistake, two mistakes a row; a matplotlib figure."""
    if not mistakes:
        figure = _figure(6.0, 1.2)
        figure.text(
            0.5, 0.5, f"No mistake on {count} held-out recordings", ha="center", va="center", fontsize=13
        )
        return figure
    shape = _picture(mistakes[0].played, 0).shape
    rows = -(-len(mistakes) // 2)
    height = 1.78 * shape[0] / shape[1] + 0.56
    figure = _figure(11.4, 0.45 + rows * height)
    figure.suptitle("The worst mistakes: long, and with a high probability", x=0.01, ha="left", fontsize=12)
    grid = figure.subfigures(rows, 2, squeeze=False, wspace=0.03)
    for place, mistake in zip(grid.flat, mistakes, strict=False):
        first, last = mistake.seconds
        place.text(
            0.015, 0.97, f"{labels[mistake.truth]}", ha="left", va="top", fontsize=10, fontweight="bold"
        )
        place.text(
            0.985, 0.97, f"predicted {labels[mistake.predicted]}, {100 * mistake.confidence:.0f} %", ha="right",
            va="top", fontsize=10, color=RED, fontweight="bold",
        )  # fmt: skip
        name = mistake.name if len(mistake.name) <= 60 else "..." + mistake.name[-57:]
        place.text(
            0.015, 0.02, f"{name}   {first:.1f} to {last:.1f} s", ha="left", va="bottom", fontsize=7.5,
            color="#67747f",
        )  # fmt: skip
        top, bottom = 1 - 0.26 / height, 0.22 / height
        for n, at in enumerate(np.linspace(mistake.start, mistake.end, 3).round().astype(int)):
            axes = place.add_axes((0.015 + n * 0.327, bottom, 0.316, top - bottom))
            axes.imshow(_picture(mistake.played, at)[..., ::-1], interpolation="lanczos")
            axes.set_axis_off()
    return figure


def _picture(played: Played, at: int) -> np.ndarray:
    """(H, W, 3) uint8 BGR of a processed frame: its image, a plot of readings or of a level, or keypoints."""
    recording, number = played.recording, played.frames[at]
    if recording.is_signal:
        rows = recording.pictures
        if recording.rate:
            rows = np.stack([level_of(hop) for hop in rows])
        return plot_of(rows, recording.timestamps, float(recording.timestamps[number]))
    if recording.backbone is None:
        return recording.pictures[number]
    return draw_people(recording.backbone[number].reshape(PEOPLE, -1), "")


def worst_mistakes(played: Sequence[Played], names: Sequence[str], most: int = MISTAKES) -> list[Mistake]:
    """The longest wrong predictions with the highest probabilities, at most two of one recording."""
    found: list[list[tuple[float, Mistake]]] = []
    for each, name in zip(played, names, strict=True):
        wrong = (each.truth != NO_LABEL) & (each.predicted != each.truth)
        kinds = np.where(wrong, each.truth * each.probabilities.shape[1] + each.predicted, -1)
        here = []
        for start, end in stretches(kinds):
            if kinds[start] >= 0:
                mistake = Mistake(each, name, start, end, int(each.truth[start]), int(each.predicted[start]))
                here.append((mistake.confidence * (end - start + 1), mistake))
        found.append(sorted(here, key=lambda pair: -pair[0])[:2])
    ranked = sorted((pair for here in found for pair in here), key=lambda pair: -pair[0])
    return [mistake for _, mistake in ranked[:most]]


def stretches(values: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of equal values.

    >>> stretches(np.array([1, 1, 0, 2, 2, 2]))
    [(0, 1), (2, 2), (3, 5)]
    """
    cuts = np.flatnonzero(np.diff(values)) + 1
    starts = [0, *cuts.tolist()]
    return list(zip(starts, [*(cut - 1 for cut in starts[1:]), len(values) - 1], strict=True))


@contextmanager
def _letters_for(texts: Iterable[str]) -> Iterator[Callable[[str], str]]:
    """Fonts of this machine that have the letters of these texts; gives what writes out those that none has.

    A dollar sign is one here, and no mathematics; what matplotlib still misses in a font it keeps to itself.
    """
    matplotlib = need("matplotlib", extra="train")
    manager = need("matplotlib.font_manager", extra="train")
    texts = [*map(printable, texts)]
    first = manager.FontProperties().get_family()
    missing = {letter for text in texts for letter in text if not letter.isspace()}
    families = []
    ordinary = manager.findfont(manager.FontProperties(family=first))
    for path, family in [(ordinary, ""), *((font.fname, font.name) for font in manager.fontManager.ttflist)]:
        if not missing:
            break
        try:
            here = {letter for letter in missing if manager.get_font(path).get_char_index(ord(letter))}
        except (OSError, RuntimeError):  # a font that is damaged, or no longer there
            continue
        if here and "lastresort" not in family.lower().replace(" ", ""):
            missing -= here
            families += [family] if family else []

    def shown(text: str) -> str:
        text = spelled(printable(text), lambda letter: letter not in missing)
        return f" {text}" if text.startswith("_") else text  # a legend leaves out what begins so

    logger = logging.getLogger("matplotlib")
    level = logger.level
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"font.family": [*first, *dict.fromkeys(families)], "text.parse_math": False}),
    ):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield shown
        finally:
            logger.setLevel(level)


def _figure(width: float, height: float) -> Any:
    """A figure of inches, drawn by Agg: no window, and no state that others share."""
    need("matplotlib", extra="train")
    figure = need("matplotlib.figure", extra="train").Figure(figsize=(width, height), layout="constrained")
    need("matplotlib.backends.backend_agg", extra="train").FigureCanvasAgg(figure)
    return figure


def _named(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=0, labelsize=9, colors="#67747f")


def _colour(label: int) -> str:
    return COLOURS[int(label) % len(COLOURS)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _page(title: str, summary: str, images: Sequence[str]) -> str:
    shown = "\n".join(f'<img src="{name}" alt="{name.removesuffix(".png")}">' for name in images)
    return f"""<!doctype html>
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: {INK}; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }}
img {{ max-width: 100%; display: block; margin: 2rem 0 }}
</style>
<h1>{html.escape(title)}</h1>
<p>{html.escape(summary)}.</p>
<p>Settings and versions: <a href="config.json">config.json</a>; numbers: <a href="metrics.csv">metrics.csv</a>.</p>
{shown}
"""
