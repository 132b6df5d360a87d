"""The lesson as the page sees it: its state as JSON, and what a person does there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamrec.commands.lesson import ENOUGH, NOTHING, Lesson
from streamrec.core.text import printable


class LessonDesk:
    """A ``web.teach_routes.TeachDesk`` over a lesson."""

    def __init__(self, lesson: Lesson, *, camera: str, out: Path) -> None:
        self._lesson = lesson
        self._camera, self._out = camera, printable(str(out))

    def state(self) -> dict[str, Any]:
        """Everything that the page shows of the lesson."""
        lesson = self._lesson
        examples = lesson.examples
        cue, report = lesson.cue, lesson.report
        return {
            "camera": self._camera,
            "out": self._out,
            "version": lesson.version,
            "seconds": lesson.seconds,
            "countdown": lesson.countdown,
            "nothing_seconds": lesson.nothing_seconds,
            "enough": ENOUGH,
            "labels": [{"label": label, "examples": lesson.count(label)} for label in lesson.labels],
            "nothing": round(lesson.nothing_taught, 1),
            "wants_nothing": lesson.wants_nothing,
            "examples": [
                {
                    "id": one.id,
                    "label": one.label,
                    "seconds": round(one.end - one.start, 1),
                    "pictures": len(one.pictures),
                }
                for one in reversed(examples)
            ],
            "cue": None
            if cue is None
            else {
                "kind": cue.kind,
                "label": cue.label,
                "left": round(cue.left, 2),
                "lasts": round(cue.lasts, 2),
            },
            "fitting": lesson.fitting,
            "message": lesson.message,
            "undoes": lesson.undoes,
            "report": None
            if report is None
            else {
                "right": report.right,
                "judged": report.judged,
                "seconds": round(report.seconds, 2),
                "advice": list(report.advice),
                "false_events": report.false_events,
                "nothing_seconds": round(report.nothing_seconds, 1),
                "false_per_hour": report.false_per_hour,
                "false_interval": None if report.false_interval is None else list(report.false_interval),
            },
        }

    def picture(self, id: int, number: int) -> bytes | None:
        """A JPEG of an example; None: there is none."""
        for example in self._lesson.examples:
            if example.id == id and 0 <= number < len(example.pictures):
                return example.pictures[number]
        return None

    def name(self, label: str) -> None:
        """Name a label."""
        self._lesson.name(label)

    def example(self, label: str, seconds: float) -> None:
        """The last seconds were the label, or nothing."""
        if label.casefold() == NOTHING:
            self._lesson.nothing(seconds)
        else:
            self._lesson.example(label, seconds)

    def begin(self, label: str) -> None:
        """Count down: the label, or nothing."""
        if label.casefold() == NOTHING:
            self._lesson.begin_nothing()
        else:
            self._lesson.begin_countdown(label)

    def stop(self) -> None:
        """End what is counted down."""
        self._lesson.stop()

    def remove(self, id: int) -> None:
        """Remove an example."""
        self._lesson.remove(id)

    def relabel(self, id: int, label: str) -> None:
        """Give an example another label."""
        self._lesson.relabel(id, label)

    def undo(self) -> None:
        """Take back the last change."""
        self._lesson.undo()

    def fit(self) -> None:
        """Learn now."""
        self._lesson.fit()
