"""Evaluation reports as text: aligned tables that are valid Markdown too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamrec.core.text import printable
from streamrec.evaluation.evaluate import CarriedReport, CarriedVideosReport, Report, RobustnessReport
from streamrec.evaluation.reports import ClipReport, RepetitionReport, StreamReport

PART = "part of the clip played"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of rows under a header; the first column is aligned left, the others right.

    >>> print(table(["label", "right"], [["idle", "97.5"], ["wave", "100.0"]]))
    | label | right |
    | ----- | ----: |
    | idle  |  97.5 |
    | wave  | 100.0 |
    """
    lines = [[*map(printable, row)] for row in (header, *rows)]
    widths = [max(3, *(len(line[n]) for line in lines)) for n in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    laid = [
        [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (laid[0], rule, *laid[1:]))


def percent(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A score with its interval, in per cent.

    >>> percent(0.5, (0.25, 0.75)), percent(None)
    ('50.0 (25.0 to 75.0)', '-')
    """
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + (
        f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    )


def text_of(report: Report | CarriedReport | CarriedVideosReport | RobustnessReport) -> str:
    """A report for people."""
    if isinstance(report, ClipReport):
        parts = _clips(report)
    elif isinstance(report, StreamReport):
        parts = _videos(report)
    elif isinstance(report, RepetitionReport):
        parts = _repetitions(report)
    elif isinstance(report, CarriedReport):
        parts = _carried(report)
    elif isinstance(report, CarriedVideosReport):
        parts = _carried_videos(report)
    else:
        parts = _robustness(report)
    return "\n\n".join(part for part in parts if part)


def _clips(report: ClipReport) -> list[str]:
    numbers = {
        "right at the end (95 %)": percent(report.at_end, report.at_end_interval),
        "the same, mean over labels": percent(report.balanced),
        "clip mean (95 %)": percent(report.clip_mean, report.clip_mean_interval),
        "right per frame (95 %)": percent(report.per_frame, report.per_frame_interval),
        "per-frame mAP": percent(report.map),
        "per-frame calibrated mAP": percent(report.cap),
        "calibration error at the end": percent(report.ece_at_end),
        "calibration error per frame": percent(report.ece_per_frame),
        **{name: percent(value) for name, value in report.further.items()},
        **_alarms(report),
    }
    heading = f"{report.clips} clips of one label, {report.groups} groups, {report.frames} frames"
    return [
        heading,
        _pairs("per cent", numbers),
        table([PART, *(f"{part} %" for part in report.at_part)], [["right", *map(percent, report.at_part.values())]])
        if report.at_part
        else "",
        _labels(report.by_label),
        _confusion(report.confusion),
        _unreadable(report.unreadable),
    ]  # fmt: skip


def _videos(report: StreamReport) -> list[str]:
    numbers = {
        "right per frame (95 %)": percent(report.per_frame, report.per_frame_interval),
        "the same, mean over labels": percent(report.balanced),
        "per-frame mAP": percent(report.map),
        "per-frame calibrated mAP": percent(report.cap),
        "calibration error per frame": percent(report.ece_per_frame),
        "edit score": percent(report.edit),
        **{f"F1@{overlap}": percent(value) for overlap, value in report.f1.items()},
        "events: recall": percent(report.recall),
        "events: precision": percent(report.precision),
        "delay of notification, median": _seconds(report.delay_told),
        "delay of notification, worst": _seconds(report.delay_worst),
        "error of the onset's timestamp, median": _seconds(report.delay_dated),
        **{name: percent(value) for name, value in report.further.items()},
        **_alarms(report),
    }
    source = "" if report.fps is None else f", source at {report.fps:g} frames a second"
    heading = f"{report.videos} videos, {report.seconds:.0f} s, {report.groups} groups, {report.frames} frames{source}"
    return [heading, _pairs("per cent", numbers), _labels(report.by_label), _unreadable(report.unreadable)]


def _repetitions(report: RepetitionReport) -> list[str]:
    off = report.error_interval
    numbers = {
        "mean error, repetitions": _number(report.error)
        + (f" ({off[0]:.2f} to {off[1]:.2f})" if off else ""),
        "mean error, part of the true": _number(report.relative_error),
        "at most one off (OBO), per cent": percent(report.off_by_one),
        "exact, per cent": percent(report.exact),
    }
    return [f"repetitions counted in {report.clips} clips", _pairs("", numbers)]


def _carried(report: CarriedReport) -> list[str]:
    numbers = {
        "right at the end, from zero": percent(report.from_zero),
        "right at the end, carried": percent(report.carried),
        "difference (95 %)": percent(report.difference, report.difference_interval),
        "same prediction": percent(report.agreement),
    }
    heading = f"{report.clips} clips as one stream of {report.seconds:.0f} s, against each from zero"
    return [heading, _pairs("per cent", numbers)]


def _carried_videos(report: CarriedVideosReport) -> list[str]:
    both = (report.from_zero, report.carried)
    rows = [
        ["right per frame, per cent", *(percent(one.per_frame) for one in both)],
        ["events: recall", *(percent(one.recall) for one in both)],
        ["events: precision", *(percent(one.precision) for one in both)],
        ["delay of notification, median", *(_seconds(one.delay_told) for one in both)],
        ["delay of notification, worst", *(_seconds(one.delay_worst) for one in both)],
        ["false alarms", *("-" if one.alarms is None else str(one.alarms.count) for one in both)],
    ]
    return [
        f"{report.videos} videos as one stream of {report.seconds:.0f} s, against each from zero",
        table(["", "from zero", "carried"], rows),
        f"difference per frame (95 %): {percent(report.difference, report.difference_interval)} per cent",
    ]


def _robustness(report: RobustnessReport) -> list[str]:
    rows = [
        [
            "as it is" if one.source_fps is None else f"{one.source_fps:g}",
            f"{100 * one.drop:g} %",
            f"{one.looked_at:.1f}",
            percent(one.at_end),
            percent(one.per_frame),
        ]
        for one in report.conditions
    ]
    return [
        "the same files at other frame rates",
        table(["source fps", "lost", "processed a second", "right at the end", "right per frame"], rows),
        f"worst loss against the best: {percent(report.worst_loss)} per cent",
        _unreadable(report.unreadable),
    ]


def _alarms(report: ClipReport | StreamReport) -> dict[str, str]:
    alarms = report.alarms
    if alarms is None:
        return {}
    low, high = alarms.interval
    return {
        "false alarms an hour (95 %)": f"{alarms.per_hour:.1f} ({low:.1f} to {high:.1f})",
        "false alarms, in hours of background": f"{alarms.count} in {alarms.hours:.3f}",
    }


def _pairs(title: str, numbers: Mapping[str, str]) -> str:
    return table(["", title], numbers.items())


def _labels(by_label: Mapping[str, Mapping[str, Any]]) -> str:
    if not by_label:
        return ""
    columns = list(next(iter(by_label.values())))
    rows = [
        [label, *(str(v) if isinstance(v, int) else percent(v) for v in values.values())]
        for label, values in by_label.items()
    ]
    return table(["label", *(name.replace("_", " ") for name in columns)], rows)


def _confusion(confusion: Mapping[str, Any]) -> str:
    labels, counts = confusion["labels"], confusion["counts"]
    return table(
        ["truth \\ predicted", *labels],
        [[label, *map(str, row)] for label, row in zip(labels, counts, strict=True)],
    )


def _unreadable(unreadable: Sequence[str]) -> str:
    return "\n".join(["could not be read:", *unreadable]) if unreadable else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} s"
