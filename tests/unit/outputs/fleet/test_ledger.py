"""The ledger: epochs grow, a batch is there whole or not at all, and what comes again is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from streamrec.outputs.fleet.records import Batch, CameraStatus, Superseded
from tests.helpers.fleet import Camera, Head, ended, started


@pytest.fixture
def head() -> Iterator[Head]:
    made = Head()
    yield made
    made.close()


NUMBERS = itertools.count(1)


def batch(epoch: int, *results, snapshots=None, number=None, **more) -> Batch:
    number = next(NUMBERS) if number is None else number
    return Batch(group="g1", epoch=epoch, number=number, results=results, snapshots=snapshots or {}, **more)


def test_each_claim_has_a_larger_epoch_than_the_one_before(head):
    epochs = [head.ledger.claim("g1", "a", ("door",)).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))


def test_an_epoch_is_larger_than_that_of_a_history_that_was_lost(head):
    first = head.ledger.claim("g1", "a", ()).epoch
    head.clock = lambda: 5001.0
    new = Head(clock=head.clock)
    assert new.ledger.claim("g1", "a", ()).epoch > first
    new.close()


def test_who_claims_gets_the_last_snapshots_of_its_cameras_and_of_no_others(head):
    epoch = head.ledger.claim("g1", "a", ("door", "yard")).epoch
    head.ledger.save(batch(epoch, snapshots={"door": b"1", "yard": b"2"}))
    head.ledger.save(batch(epoch, snapshots={"door": b"3"}))
    assert head.ledger.claim("g2", "b", ("door",)).snapshots == {"door": b"3"}


def test_events_and_snapshots_of_a_batch_are_there_when_save_returns(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(
        batch(epoch, door.at(1.0, started(0.5)), door.at(3.0, ended(0.5, 2.5)), snapshots={"door": b"x"})
    )
    assert head.events() == [("door", "wave", 999.5, 2.0)]
    assert head.announced == [("started", "wave"), ("ended", "wave")]


def test_a_smaller_epoch_is_refused_and_nothing_of_it_is_kept(head):
    door, old = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    new = head.ledger.claim("g1", "b", ("door",)).epoch
    with pytest.raises(Superseded, match="g1 runs elsewhere now"):
        head.ledger.save(batch(old, door.at(1.0, started(0.5)), snapshots={"door": b"old"}))
    assert head.events() == [] and head.ledger.refused == 1
    head.ledger.save(batch(new, snapshots={"door": b"new"}))
    assert head.ledger.claim("g1", "c", ("door",)).snapshots == {"door": b"new"}


def test_a_batch_that_arrives_after_a_later_one_takes_nothing_back(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    first = door.at(1.0, started(0.5))
    head.ledger.save(batch(epoch, first, door.at(3.0, ended(0.5, 2.5)), snapshots={"door": b"3"}, number=2))
    head.ledger.save(batch(epoch, first, snapshots={"door": b"1"}, number=1))
    claim = head.ledger.claim("g1", "b", ("door",))
    assert claim.snapshots == {"door": b"3"}
    assert head.announced == [("started", "wave"), ("ended", "wave")] and head.ledger.replayed == 0
    head.ledger.save(batch(claim.epoch, snapshots={"door": b"4"}, number=1))  # a new process counts anew
    assert head.ledger.claim("g1", "c", ("door",)).snapshots == {"door": b"4"}


def test_an_epoch_that_has_not_saved_is_no_previous_one(head):
    first = head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(batch(first, snapshots={"door": b"1"}))
    head.ledger.claim("g1", "b", ("door",))
    assert head.ledger.claim("g1", "c", ("door",)).previous == first


def test_a_stretch_that_is_recognized_again_adds_no_event_and_notifies_once(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    first = door.at(0.0)
    memory = door.memory
    head.ledger.save(batch(epoch, first, door.at(1.0, started(0.5))))
    again = Camera("door", memory)
    epoch = head.ledger.claim("g1", "b", ("door",)).epoch
    head.ledger.save(batch(epoch, again.at(1.0, started(0.5)), again.at(3.0, ended(0.5, 2.5))))
    assert head.events() == [("door", "wave", 1000.5, 2.0)]
    assert head.announced == [("started", "wave"), ("ended", "wave")]
    assert head.ledger.replayed == 1
    assert len(head.history.waiting("phone")) == 2


def test_events_from_before_a_takeover_are_taken_late_and_those_after_it_are_not(head):
    door, old = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.clock = lambda: 1010.0
    head.ledger.claim("g1", "b", ("door",))
    door.at(0.0)
    taken = head.ledger.late(
        batch(old, door.at(5.0, started(4.0)), door.at(8.0, ended(4.0, 7.0)), door.at(21.0, started(20.0)))
    )
    assert taken == 1
    assert head.events() == [("door", "wave", 1004.0, 3.0)]


def test_a_late_event_without_an_end_ends_as_interrupted_at_the_takeover(head):
    door, old = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.clock = lambda: 1010.0
    head.ledger.claim("g1", "b", ("door",))
    head.ledger.late(batch(old, door.at(0.0), door.at(5.0, started(4.0)), door.at(30.0)))
    (entry,) = head.history.query()
    assert (entry.started, entry.ended, entry.interrupted) == (1004.0, 1005.0, True)


def test_a_late_end_of_an_event_that_goes_on_elsewhere_is_left_out(head):
    door, old = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(batch(old, door.at(0.0), door.at(1.0, started(0.5)), snapshots={"door": b"1"}))
    head.ledger.claim("g1", "b", ("door",))
    assert head.ledger.late(batch(old, door.at(3.0, ended(0.5, 2.5)))) == 0
    assert head.events() == [("door", "wave", 1000.5, None)]


def test_a_camera_that_left_has_no_snapshot_and_nothing_of_it_runs(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(batch(epoch, door.at(1.0, started(0.5)), snapshots={"door": b"1"}))
    head.ledger.forget(["door"])
    head.history.drain(5.0)
    (entry,) = head.history.query()
    assert entry.interrupted and head.ledger.cameras() == []


def test_an_event_of_a_camera_that_left_ends_once(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(batch(epoch, door.at(1.0, started(0.5)), snapshots={"door": b"1"}))
    for _ in range(2):
        head.ledger.forget(["door"])
        head.history.drain(5.0)
    assert head.history.running == []
    assert head.announced == [("started", "wave"), ("ended", "wave")]


def test_events_of_which_nothing_is_remembered_are_ended(head):
    door, epoch = Camera("door"), head.ledger.claim("g1", "a", ("door",)).epoch
    head.ledger.save(batch(epoch, door.at(1.0, started(0.5))))
    (entry,) = head.history.query()
    head.ledger.save(batch(epoch, interrupted=(entry.id,)))
    assert head.history.query()[0].interrupted and head.announced[-1] == ("ended", "wave")


def test_the_status_has_each_group_with_its_cameras_and_the_share_of_frames_that_was_shed(head):
    epoch = head.ledger.claim("g1", "a", ("door",)).epoch
    for recognized, shed in ((100, 0), (190, 10)):
        camera = CameraStatus(name="door", state="live", recognized=recognized, dropped={"overload": shed})
        head.ledger.save(batch(epoch, cameras=(camera,), load=0.5, memory=100))
    (group,) = head.ledger.groups()
    assert (group.name, group.machine, group.state, group.cameras, group.shed) == (
        "g1",
        "a",
        "running",
        ("door",),
        0.1,
    )
    (camera,) = head.ledger.status_of_cameras()
    assert (camera.name, camera.group, camera.machine) == ("door", "g1", "a")


def test_who_claims_is_given_what_runs_of_its_cameras_but_not_of_rules(head):
    door, yard, epoch = Camera("door"), Camera("yard"), head.ledger.claim("g1", "a", ("door", "yard")).epoch
    began = door.at(1.0, started(0.5))
    rule = replace(began.entries[0][1], id="rule-1", rule="long wave")
    head.ledger.save(batch(epoch, began, yard.at(1.0, started(0.5)), yard.at(2.0, ended(0.5, 1.5))))
    with head.history._noted:
        head.history._builder.running["rule"] = rule
    claim = head.ledger.claim("g2", "b", ("door", "yard", "attic"))
    assert claim.running == {"door": (began.entries[0][1].id,), "yard": (), "attic": ()}
