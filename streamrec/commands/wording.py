"""Events, times and states of health as text for a person."""

from __future__ import annotations

from streamrec.core.text import printable
from streamrec.types import ActionEnded, Event, Health, ModelResult


def describe(event: Event) -> str:
    """An event as a clause; of an anomaly with the reading and its forecast.

    >>> describe(ActionEnded("wave", 12.5, 10.0, 0.9))
    'wave ended after 2.5 s'
    >>> from streamrec.types import ActionStarted
    >>> describe(ActionStarted("fall", 12.5, 0.9, model="night"))
    'night: fall started (90 %)'
    >>> describe(ActionStarted("fall", 12.5, 0.9, person=2))
    'fall, person 2, started (90 %)'
    """
    label = printable(event.label if event.model in ("", event.label) else f"{event.model}: {event.label}")
    label += "" if event.person is None else f", person {event.person},"
    if isinstance(event, ActionEnded):
        counted = "" if event.repetitions is None else f", {event.repetitions} repetitions"
        return f"{label} ended after {event.duration:.1f} s{counted}"
    if event.rule:  # it is not a guess
        return f"{label} started"
    found = event.forecast
    against = "" if found is None else f": {found.reading:.4g}, forecast {found.expected:.4g}"
    return f"{label} started ({100 * event.confidence:.0f} %){against}"


def describe_label(result: ModelResult) -> str:
    """A model's prediction: its label, its probability, and its name where it is one of several.

    >>> from streamrec.types import Prediction
    >>> describe_label(ModelResult("fall", Prediction("normal", 0.75, None, 0.0)))
    'fall: normal 75 %'
    """
    name = f"{result.model}: " if result.model else ""
    sure = "" if result.unknown else f" {100 * result.prediction.confidence:.0f} %"
    return printable(f"{name}{result.label}{sure}")


def describe_health(health: Health) -> str:
    """The state, with its reason where there is one."""
    return f"{health.state}: {printable(health.reason)}" if health.reason else str(health.state)


def clock(seconds: float) -> str:
    """A time of a stream as minutes and seconds.

    >>> clock(125.3)
    '  2:05.3'
    """
    minutes, seconds = divmod(round(seconds, 1), 60)
    return f"{int(minutes):3d}:{seconds:04.1f}"
