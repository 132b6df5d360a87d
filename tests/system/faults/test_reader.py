"""What streamrec must do when things go wrong between a camera and it.

Each fault happens once, to a reader in a process of its own; the tests look at what was seen and told.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.helpers.cameras import need_rtsp
from tests.system.faults.faults import FAULTS, RIGHT, WRONG, Fault
from tests.system.faults.trial import Trial, run_trial

AT_ONCE = 8  # trials: they mostly wait
RECOVERY_SECONDS = 15.0  # generous, for a busy machine; the goal is 5, and the table shows what it is
NOTICE_SECONDS = 8.0
LEAVE_SECONDS = 5.0
FREEZE_SECONDS = float(os.environ.get("FREEZE_SECONDS", "45"))  # 300 where there is time
# The others are slow to run, or much like one of these.
FAST = {
    "dead before open", "half-open", "wrong password", "audio only", "freeze", "off", "close", "reset",
    "reboot, other size and rate", "garbage bytes", "corrupted pictures", "packet loss, UDP",
    "timestamps jump back",
}  # fmt: skip


# The first test waits for all trials.
pytestmark = pytest.mark.timeout(FREEZE_SECONDS + 300.0)


class OffWithPassword(FAULTS["off"]):  # type: ignore[name-defined, misc]
    name = "off, with a password"
    camera = FAULTS["wrong password"].camera


class FreezeWithPassword(FAULTS["freeze"]):  # type: ignore[name-defined, misc]
    name = "freeze, with a password"
    camera = FAULTS["wrong password"].camera


class FreezeOfMinutes(FAULTS["long freeze"]):  # type: ignore[name-defined, misc]
    name, seconds = "freeze of five minutes", FREEZE_SECONDS


TRIED: dict[str, type[Fault]] = {
    **FAULTS,
    **{fault.name: fault for fault in (OffWithPassword, FreezeWithPassword, FreezeOfMinutes)},
}


class Trials:
    """What became of each trial: the trial, or the error that it could not be made for."""

    def __init__(self, made: dict[str, Trial | Exception]) -> None:
        self._made = made

    def of(self, name: str) -> Trial:
        made = self._made[name]
        if isinstance(made, Exception):
            raise made
        return made


def run_trials(names: Iterable[str]) -> dict[str, Trial | Exception]:
    """Each once, several at once, the longest first."""

    def run(name: str) -> Trial | Exception:
        try:
            return run_trial(TRIED[name], "streamrec", noticed=NOTICE_SECONDS)
        except Exception as error:
            return RuntimeError(f"{name}: {error!r}")

    longest = sorted(names, key=lambda name: -TRIED[name].seconds)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="trial") as pool:
        return dict(zip(longest, pool.map(run, longest), strict=True))


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest, once_a_run: Callable[[str, Callable[[], Any]], Any]) -> Trials:
    need_rtsp()
    wanted = [
        item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")
    ]
    names = dict.fromkeys(name for name in wanted if name in TRIED)
    return Trials(once_a_run("trials", partial(run_trials, names)))


def faults_where(**wanted: object) -> pytest.MarkDecorator:
    """The faults that are so, as a parameter of a test."""
    cases = []
    for name, fault in FAULTS.items():
        if all(getattr(fault, what) is is_so for what, is_so in wanted.items()):
            cases.append(pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]))
    assert cases
    return pytest.mark.parametrize("fault", cases)


@faults_where(ends=True)
def test_it_comes_back_when_the_fault_is_over(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.recovered is not None, f"{trial.outcome}: {trial.sentence}"
    assert trial.recovered < RECOVERY_SECONDS


@faults_where(ends=True)
def test_pictures_are_fresh_again_after_the_fault(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.lag is not None, trial.outcome
    assert trial.lag < 5.0  # pictures; the goal is 2, and the table shows what it is


@faults_where(silent=True)
def test_a_fault_is_told_while_it_lasts(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.noticed is not None
    assert trial.noticed < max(NOTICE_SECONDS, trial.grace)
    assert trial.sentence


@faults_where()
def test_it_is_called_live_only_while_pictures_come(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    states = [told.state for told in trial.told]
    assert ("live" in states) is FAULTS[fault].ends, states
    assert trial.wrong_live < 1.0


@faults_where()
def test_every_state_but_live_has_its_reason_in_words(trials: Trials, fault: str) -> None:
    told = trials.of(fault).told
    assert told
    for one in told:
        if one.state in ("stalled", "reconnecting", "failed"):
            assert len(one.reason.split()) >= 2, one
        assert one.state in ("connecting", "live", "stalled", "reconnecting", "ended", "failed")


@faults_where(breaks=True, first=False)
def test_a_reconnect_starts_a_new_segment_and_is_counted(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    before = {seen.segment for seen in trial.seen if seen.at < trial.started}
    assert len(before) == 1
    assert trial.seen[-1].segment > max(before)
    assert sum(trial.counts[-1].reconnects.values()) >= 1
    assert "reconnecting" in [told.state for told in trial.told]


@faults_where()
def test_segments_never_go_back_and_time_does_not_within_one(trials: Trials, fault: str) -> None:
    seen = trials.of(fault).seen
    assert bool(seen) is FAULTS[fault].ends
    for one, other in itertools.pairwise(seen):
        assert other.segment >= one.segment
        if other.segment == one.segment:
            assert other.timestamp > one.timestamp


@faults_where(torn=True)
def test_torn_pictures_are_counted_and_not_passed_on(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    refused = sum(trial.counts[-1].refused.values())
    # No decoder knows of every damage: what stays right by its grammar may look wrong.
    assert trial.damaged <= 0.1 * (trial.damaged + refused), f"{trial.damaged} passed, {refused} refused"
    if "reordering" not in fault:  # there, a reader can put packets in order
        assert refused + sum(trial.counts[-1].reconnects.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["picture stands still"])
def test_a_picture_that_stands_still_is_counted_and_not_passed_on(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert sum(trial.counts[-1].refused.values()) > 0
    still = trial.repeated / (trial.stopped - trial.started) / trial.rates[0]
    assert still < 0.8  # half a minute may pass until it is sure


@faults_where(silent=False, breaks=False)
def test_a_camera_of_whatever_kind_is_read_without_a_reconnect(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert {seen.segment for seen in trial.seen} == {0}
    assert trial.damaged <= 2  # before the codec has found its feet
    if not FAULTS[fault].work:
        assert trial.recovered is not None
        dropped = trial.counts[-1].frames - len(trial.seen)  # by the ring buffer of a busy machine
        assert trial.skipped - dropped <= 0.1 * len(trial.good) + 2


@faults_where()
def test_every_picture_that_was_passed_on_is_counted(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    # The ring buffer may have dropped some after that.
    assert trial.counts[-1].frames >= len(trial.seen)


@faults_where()
def test_leaving_takes_no_longer_than_promised_and_leaves_nothing_behind(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    if trial.end is None:
        assert trial.left is not None, "it was asked to leave and did not"
        assert trial.left < LEAVE_SECONDS
    assert trial.threads == []
    assert not trial.orphans


@faults_where(ends=False)
def test_what_no_reader_can_mend_is_told_in_a_sentence(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.noticed is not None
    assert trial.noticed < NOTICE_SECONDS
    assert "no video" in trial.sentence


@pytest.mark.parametrize("fault", ["wrong password"])
def test_a_refused_password_is_told_and_no_password_is(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert any("password" in told.reason for told in trial.told) or "password" in trial.sentence
    for secret in (RIGHT, WRONG):
        assert secret not in trial.output


@pytest.mark.slow
@pytest.mark.parametrize("fault", [OffWithPassword.name, FreezeWithPassword.name])
def test_a_password_is_in_no_message_whatever_happens(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.recovered is not None
    assert RIGHT not in trial.output


@pytest.mark.slow
@pytest.mark.parametrize("fault", [FreezeOfMinutes.name])
def test_a_freeze_of_five_minutes_is_survived(trials: Trials, fault: str) -> None:
    trial = trials.of(fault)
    assert trial.recovered is not None
    assert trial.recovered < 45.0  # it may have waited up to 30 s, as it does after many tries
    assert trial.wrong_live < 1.0
