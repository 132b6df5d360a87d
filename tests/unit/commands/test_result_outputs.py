"""One loop writes results to the dispatcher and to each view."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamrec.commands.outputs import Outputs, TerminalView, View
from streamrec.errors import SinkError


class Page(View):
    """Keeps what it is given; raises ``error`` in place of taking a result."""

    def __init__(self, error: SinkError | None = None) -> None:
        self.error, self.results, self.events, self.states = error, [], [], []

    def write(self, result: Any, shown: Any) -> None:
        if self.error is not None:
            raise self.error
        self.results.append((result, shown))

    def write_event(self, event: Any) -> None:
        self.events.append(event)

    def write_opinion(self, entry: Any) -> None:
        self.events.append(f"opinion on {entry}")

    def write_health(self, name: str, health: Any) -> None:
        self.states.append((name, health))


class Terminal(Page, TerminalView):
    gone = False  # type: ignore[assignment]


class Keeper:
    """A dispatcher: it shows results without their events, which come later."""

    def __init__(self, wanted: bool = False) -> None:
        self.wanted, self.ticks = wanted, 0

    def on_event(self, listener: Any) -> None:
        self.listener = listener

    def on_opinion(self, listener: Any) -> None:
        self.opinion_listener = listener

    def write(self, result: str) -> str:
        return f"{result} without events"

    def tick(self) -> None:
        self.ticks += 1


def broken_pipe() -> SinkError:
    error = SinkError("nobody reads standard output any more")
    error.__cause__ = BrokenPipeError()
    return error


def opened(*views: View, wanted: bool = False, gone: bool = False) -> SimpleNamespace:
    terminal, dispatcher, log = Terminal(), Keeper(wanted), []
    terminal.gone = gone
    made = Outputs(dispatcher, [*views, terminal], terminal=terminal, log=log.append)  # type: ignore[arg-type]
    return SimpleNamespace(outputs=made, terminal=terminal, dispatcher=dispatcher, log=log)


def test_each_view_gets_the_result_and_what_the_dispatcher_lets_show():
    page = Page()
    run = opened(page)
    run.outputs.write("a")
    assert page.results == run.terminal.results == [("a", "a without events")]


def test_events_and_states_go_to_all_views():
    page = Page()
    run = opened(page)
    run.dispatcher.listener("wave")
    run.dispatcher.opinion_listener("wave")
    run.outputs.write_health("door", "live")
    assert page.events == run.terminal.events == ["wave", "opinion on wave"]
    assert page.states == run.terminal.states == [("door", "live")]


def test_a_view_that_fails_is_reported_once_and_the_others_go_on():
    full, page = Page(SinkError("the disk is full")), Page()
    run = opened(full, page)
    for result in "ab":
        run.outputs.write(result)
        run.outputs.tick()
    assert run.log == ["the disk is full; the rest goes on"]
    assert [str(failure) for failure in run.outputs.failures] == ["the disk is full"]
    assert len(page.results) == 2


def test_the_last_reader_that_leaves_ends_the_command():
    run = opened(Page(broken_pipe()))
    with pytest.raises(BrokenPipeError):
        run.outputs.write("a")
    assert run.log == []


@pytest.mark.parametrize("wanted", [True, False])
def test_a_terminal_that_is_gone_ends_a_command_that_nothing_else_needs(wanted):
    run = opened(wanted=wanted, gone=True)
    run.outputs.write("a")
    if wanted:
        run.outputs.tick()
    else:
        with pytest.raises(BrokenPipeError):
            run.outputs.tick()
    assert run.dispatcher.ticks == 1


def test_a_view_keeps_a_command_running_without_a_terminal():
    run = opened(Page(), gone=True)
    run.outputs.write("a")
    run.outputs.tick()
