"""How a group saves: to the head, to its own disk while the head is away, and when it stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrec.outputs.fleet.outbox import Outbox
from streamrec.outputs.fleet.records import LedgerAway
from streamrec.outputs.fleet.saver import HeadClock, Offer, Saver, bring_abandoned
from tests.helpers.fleet import Camera, FlakyLedger, Head, ended, started


class Bench:
    """A head, and a group whose clocks are stepped."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 0.0
        self.head = Head(folder / "events.db", clock=lambda: 1000.0 + self.now)
        self.ledger = FlakyLedger(self.head.ledger)
        self.others_can_save = False
        self.log: list[str] = []

    def saver(self, machine: str = "a") -> Saver:
        made = Saver(
            self.ledger,
            Outbox(self.folder / f"{machine}.db"),
            "g1",
            clock=HeadClock(lambda: 1000.0 + self.now),
            witness=lambda: self.others_can_save,
            monotonic=lambda: self.now,
            log=self.log.append,
        )
        self.claim, self.snapshots = made.begin(machine, ("door",))
        return made

    def save(self, saver: Saver, *results, snapshot: bytes | None = None) -> bool:
        self.now += 1.0
        saver.offer(Offer(results=results, snapshots={} if snapshot is None else {"door": snapshot}))
        return saver.step()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.head.close()


def test_what_happens_while_the_head_is_away_arrives_in_order_when_it_is_back(bench):
    saver, door = bench.saver(), Camera("door")
    assert bench.save(saver, door.at(0.0), snapshot=b"0")
    bench.ledger.away = True
    for second in range(1, 300):
        began = second - 0.5
        assert not bench.save(saver, door.at(second, started(began)), snapshot=b"%d" % second)
        assert not bench.save(saver, door.at(second + 0.4, ended(began, second + 0.2)))
    bench.ledger.away = False
    assert bench.save(saver)
    events = bench.head.history.query(limit=1000)
    assert [entry.started for entry in reversed(events)] == [1000.0 + n - 0.5 for n in range(1, 300)]
    assert all(round(entry.duration, 3) == 0.7 for entry in events)
    kinds = [kind for kind, _ in bench.head.announced]
    assert kinds == ["started", "ended"] * 299
    assert bench.head.ledger.claim("g1", "b", ("door",)).snapshots == {"door": b"299"}


@pytest.mark.parametrize("trouble", ["away", "loses_answers"])
def test_an_event_of_which_nothing_is_remembered_ends_once_when_the_head_is_back(bench, trouble):
    saver, door = bench.saver(), Camera("door")
    bench.save(saver, door.at(0.0), door.at(1.0, started(0.5)))
    (entry,) = bench.head.history.query()
    setattr(bench.ledger, trouble, True)
    saver.offer(Offer(snapshots={"door": b"1"}, interrupted=(entry.id,)))
    assert not saver.step()
    setattr(bench.ledger, trouble, False)
    for _ in range(3):
        assert bench.save(saver)
    assert bench.head.history.query()[0].interrupted
    assert bench.head.announced == [("started", "wave"), ("ended", "wave")]


def test_an_answer_that_is_lost_makes_no_second_event(bench):
    saver, door = bench.saver(), Camera("door")
    bench.save(saver, door.at(0.0))
    bench.ledger.loses_answers = True
    assert not bench.save(saver, door.at(1.0, started(0.5)), snapshot=b"1")
    bench.ledger.loses_answers = False
    assert bench.save(saver, door.at(3.0, ended(0.5, 2.0)))
    assert bench.head.events() == [("door", "wave", 1000.5, 1.5)]
    assert [kind for kind, _ in bench.head.announced] == ["started", "ended"]


def test_a_save_that_was_given_up_and_arrives_after_later_ones_takes_nothing_back(bench, monkeypatch):
    saver, door = bench.saver(), Camera("door")
    bench.save(saver, door.at(0.0), snapshot=b"0")
    delayed = []

    def delay(batch):
        delayed.append(batch)
        raise LedgerAway("the head does not answer")

    with monkeypatch.context() as slow:
        slow.setattr(bench.ledger, "save", delay)
        assert not bench.save(saver, door.at(1.0, started(0.5)), snapshot=b"1")
    assert bench.save(saver, door.at(3.0, ended(0.5, 2.0)), snapshot=b"3")
    bench.head.ledger.save(delayed[0])
    assert bench.head.events() == [("door", "wave", 1000.5, 1.5)]
    assert [kind for kind, _ in bench.head.announced] == ["started", "ended"]
    assert bench.head.ledger.claim("g1", "b", ("door",)).snapshots == {"door": b"3"}


def test_a_process_that_was_killed_while_the_head_was_away_loses_nothing(bench):
    saver, door = bench.saver(), Camera("door")
    bench.save(saver, door.at(0.0), snapshot=b"0")
    bench.ledger.away = True
    bench.save(saver, door.at(1.0, started(0.5)), snapshot=b"1")
    bench.ledger.away = False
    bench.saver()  # the same machine
    assert bench.snapshots == {"door": b"1"}
    assert bench.head.events() == [("door", "wave", 1000.5, None)]


def test_what_a_dead_group_left_on_a_machine_that_never_runs_it_again_is_brought(tmp_path, bench):
    other = tmp_path / "outbox" / "g2.db"
    old, door = bench.saver("outbox/g1"), Camera("door")
    bench.save(old, door.at(0.0), snapshot=b"0")
    bench.ledger.away = True
    bench.save(old, door.at(1.0, started(0.5)), snapshot=b"1")
    bench.save(old, door.at(2.0, ended(0.5, 1.5)))
    bench.save(old, door.at(30.0, started(29.0)))  # the group will have been claimed elsewhere by then
    with pytest.raises(LedgerAway):
        bring_abandoned(bench.ledger, other)
    bench.ledger.away = False
    (other.parent / "g3.db").write_bytes(b"damaged" * 1000)
    assert bring_abandoned(bench.ledger, other.with_name("g1.db")) == 0  # one's own
    assert bring_abandoned(bench.ledger, other) == 0  # its own process may come back, and go on
    bench.now += 5.0
    bench.saver("b")
    assert bring_abandoned(bench.ledger, other) == 1
    assert bring_abandoned(bench.ledger, other) == 0
    assert bench.head.events() == [("door", "wave", 1000.5, 1.0)]
    assert bench.head.announced == [("started", "wave"), ("ended", "wave")]


def test_who_is_superseded_brings_what_began_before_and_ends(bench):
    old, door = bench.saver("a"), Camera("door")
    bench.save(old, door.at(0.0), snapshot=b"0")
    bench.ledger.away = True
    bench.save(old, door.at(1.0, started(0.5)))
    bench.save(old, door.at(2.0, ended(0.5, 1.5)))
    bench.ledger.away = False
    new = bench.saver("b")
    assert bench.snapshots == {"door": b"0"}
    bench.now += 10
    assert not bench.save(old, door.at(30.0, started(20.0)), snapshot=b"old")
    assert old.superseded is not None
    assert bench.head.events() == [("door", "wave", 1000.5, 1.0)]
    assert bench.save(new, snapshot=b"new")
    assert bench.head.ledger.claim("g1", "c", ("door",)).snapshots == {"door": b"new"}


def test_an_outbox_that_another_machine_has_overtaken_gives_its_events_and_not_its_snapshots(bench):
    old, door = bench.saver("a"), Camera("door")
    bench.save(old, door.at(0.0), snapshot=b"0")
    bench.ledger.away = True
    bench.save(old, door.at(1.0, started(0.5)), snapshot=b"1")
    bench.ledger.away = False
    new = bench.saver("b")
    bench.save(new, snapshot=b"new")
    bench.saver("a")
    assert bench.snapshots == {"door": b"new"}
    (entry,) = bench.head.history.query()
    assert entry.started == 1000.5 and entry.interrupted


def test_a_group_goes_on_while_no_other_can_save_and_stops_where_one_can(bench):
    saver = bench.saver()
    bench.ledger.away = True
    for _ in range(10):
        bench.save(saver)
    assert not saver.cut_off
    bench.others_can_save = True
    bench.save(saver)
    assert saver.cut_off
    bench.ledger.away = False
    bench.save(saver)
    assert not saver.cut_off


def test_no_group_stops_before_two_periods_without_a_save(bench):
    saver = bench.saver()
    bench.ledger.away = bench.others_can_save = True
    bench.save(saver)
    assert not saver.cut_off
    bench.save(saver)
    assert saver.cut_off


def test_what_no_disk_takes_waits_in_memory(bench, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    log: list[str] = []
    outbox, door = Outbox(nowhere / "a.outbox", log=log.append), Camera("door")
    outbox.put(1, [door.at(0.0)], {"door": b"0"})
    outbox.put(1, [door.at(1.0)], {"door": b"1"})
    assert [one.results[0].frame.timestamp for one in outbox.oldest(9)] == [0.0, 1.0]
    assert outbox.snapshots() == {"door": (1, b"1")}
    assert len(log) == 1 and "waits in memory" in log[0]


def test_an_outbox_is_readable_by_its_owner_alone(tmp_path):
    Outbox(tmp_path / "a.outbox").close()
    assert (tmp_path / "a.outbox").stat().st_mode & 0o077 == 0


def test_what_has_arrived_leaves_the_outbox_in_one_transaction(tmp_path):
    door, said = Camera("door"), []
    with Outbox(tmp_path / "a.outbox") as outbox:
        for second in range(4):
            outbox.put(1, (door.at(second),), {"door": b"%d" % second})
        outbox._connection.set_trace_callback(said.append)
        outbox.taken(outbox.oldest(3))
        assert said.count("COMMIT") == 1 and len(outbox) == 1
        outbox.clear()
        assert said.count("COMMIT") == 2 and len(outbox) == 0 and outbox.snapshots() == {}
