"""Cameras that are watched for long: what the process holds, and what becomes of every picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.helpers.cameras import need_rtsp
from tests.system.faults.faults import Close
from tests.system.faults.soak import LEAVE_SECONDS, SHORT, Look, Soak, Watched, run_soak

SECONDS = 30.0  # some five faults of each camera
MODEL = "synthetic"  # a small one: what it predicts does not matter here
MEMORY_MB = 60.0  # an allocator that warms up; a picture kept for each frame would be hundreds


@pytest.fixture(scope="module")
def soak(once_a_run: Callable[[str, Callable[[], Any]], Any]) -> Soak:
    need_rtsp()
    run = partial(
        run_soak, seconds=SECONDS, cameras=3, seed=1, model=MODEL, kinds=SHORT, quiet=(0.5, 2.0), every=1.0,
        rest=4.0,
    )  # fmt: skip
    return once_a_run("soak", run)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_threads_and_descriptors_do_not_grow(soak: Soak) -> None:
    for what in ("threads", "files"):
        before, after = soak.rest(what)
        assert 0 < after <= before, (what, [sample[what] for sample in soak.before + soak.after])


@pytest.mark.slow
def test_memory_stays_within_its_bound(soak: Soak) -> None:
    before, after = soak.rest("memory")
    assert 0 < after < before + MEMORY_MB


@pytest.mark.slow
def test_every_picture_of_every_camera_is_accounted_for(soak: Soak) -> None:
    assert {watched.place for watched in soak.watched.values()} == {"camera1", "camera2", "camera3"}
    for name, watched in soak.watched.items():
        assert soak.account(watched) == "", name
    assert sum(len(watched.looks) for watched in soak.watched.values()) > 6 * SECONDS


@pytest.mark.slow
def test_no_more_frames_wait_than_the_watcher_may_hold(soak: Soak) -> None:
    (check,) = [check for check in soak.checks() if check.name == "accounting"]
    assert check.met, check.text


@pytest.mark.slow
def test_every_camera_is_live_again_when_the_faults_are_over(soak: Soak) -> None:
    assert len(soak.thrown) >= 9
    assert [t.as_dict(soak.begun) for t in soak.thrown if t.recovered is None] == []
    assert set(soak.live_in_the_end.values()) == {"live"}, soak.live_in_the_end
    for place, lag in soak.final_lag.items():
        assert lag is not None and lag < 5.0, place  # pictures


@pytest.mark.slow
def test_the_watch_is_seldom_called_live_when_it_is_not(soak: Soak) -> None:
    assert sum(watched.wrong_live for watched in soak.watched.values()) < 2.0


@pytest.mark.slow
def test_it_stops_in_time_and_leaves_no_thread(soak: Soak) -> None:
    assert soak.left is not None
    assert soak.left["seconds"] < LEAVE_SECONDS
    assert soak.left["stuck"] == soak.left["threads"] == []


def test_one_lost_connection_is_survived_and_counted() -> None:
    need_rtsp()
    soak = run_soak(
        seconds=4.0, cameras=1, seed=0, model=MODEL, kinds=(Close,), quiet=(1.0, 1.0), rest=0.5, settle=0.5
    )
    watched = soak.watched["camera1"]
    assert soak.thrown and all(thrown.recovered is not None for thrown in soak.thrown)
    assert soak.account(watched) == ""
    assert watched.final is not None and sum(watched.final["reconnects"].values()) >= 1
    assert soak.left is not None and soak.left["seconds"] < LEAVE_SECONDS


# -- the soak's own sums


def counts(**changes: Any) -> dict[str, Any]:
    return {"read": 5, "recognized": 3, "dropped": {"rhythm": 2}, "waiting": 0, "frames": 5, **changes}


def watched(*indices: int, **changes: Any) -> Watched:
    looks = [Look(float(n), float(n), True, n) for n in indices]
    return Watched("a", "a", 0.0, 10.0, looks, [], counts(**changes))


def test_an_account_that_does_not_add_up_is_told() -> None:
    soak = Soak(1.0, 0)
    assert soak.account(watched(0, 2, 4)) == ""
    assert "not 3 + 1" in soak.account(watched(0, 2, 4, dropped={"rhythm": 1}, waiting=1))
    assert "the source gave 6" in soak.account(watched(0, 2, 4, frames=6))
    assert "results 2" in soak.account(watched(0, 2))
    assert "order" in soak.account(watched(0, 4, 2))
    lost = watched(0, 2, 4)
    lost.final = None
    assert "never came" in soak.account(lost)


def test_growth_is_told() -> None:
    soak = Soak(100.0, 0, from_=0.0, to=100.0)
    for at in range(100):
        soak.samples.append({"at": float(at), "memory": 100.0 + at, "threads": 9, "files": 9, "cameras": {}})
    soak.before, soak.after = soak.samples[:5], soak.samples[-5:]
    met = {check.name: check.met for check in soak.checks()}
    assert met["memory"] is False
    assert met["threads"] is met["file descriptors"] is True
    assert soak.slope("memory") == pytest.approx(3600.0)
    for sample in soak.samples[-5:]:
        sample["files"] = 10
    assert {check.name: check.met for check in soak.checks()}["file descriptors"] is False


def test_live_without_pictures_is_wrong_after_its_grace() -> None:
    seen = Watched("a", "a", 0.0, 20.0, [Look(1.0, 1.0, True, 0), Look(9.0, 9.0, True, 1)])
    seen.told = [(1.0, "live", ""), (6.0, "stalled", "no picture"), (9.0, "live", "")]
    assert seen.wrong_live == pytest.approx(5.0 - 3.0 + 11.0 - 3.0)


def test_a_picture_from_before_is_no_recovery() -> None:
    seen = watched(*range(6))
    late = 2.0
    seen.looks = [Look(look.at + late, look.taken, True, look.index) for look in seen.looks]
    assert seen.back_since(3.0) == 5.0
    assert seen.back_since(4.0) is None
