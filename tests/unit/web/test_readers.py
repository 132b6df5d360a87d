"""Places of answers that are read at their client's pace."""

from __future__ import annotations

import asyncio

import pytest

from streamrec.web.access_control import Refused
from streamrec.web.readers import LEAST_RATE, Readers

_PIECE = {"type": "http.response.body", "body": b"x" * LEAST_RATE, "more_body": True}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _answer(reader, pieces, send):
    """Send so many pieces through a reader's place; whether all were sent."""
    sent = []

    async def respond(paced):
        for _ in range(pieces):
            await paced(_PIECE)
        sent.append(True)

    await reader.answer(respond, send)
    return bool(sent)


def test_a_reader_that_takes_nothing_loses_its_place():
    places = Readers(1, "busy", stall_seconds=0.001)

    async def never(message):
        await asyncio.Event().wait()

    assert not asyncio.run(_answer(places.enter(), 1, never))
    assert not places


def test_a_newcomer_gets_the_place_of_one_that_does_not_read():
    clock = _Clock()
    places = Readers(2, "busy", clock=clock)

    async def scenario():
        stuck = asyncio.Event()

        async def never(message):
            stuck.set()
            await asyncio.Event().wait()

        slow = asyncio.create_task(_answer(places.enter(), 1, never))
        await stuck.wait()
        quick = places.enter()
        clock.now = 12.0
        quick._count(100 * LEAST_RATE)
        assert places.enter() is not quick  # in place of the slow one
        assert not await slow
        with pytest.raises(Refused):
            places.enter()  # the newcomer has had no time to read yet, and the other is quick

    asyncio.run(scenario())
    assert len(places) == 2


def test_one_that_reads_drop_by_drop_gives_way_too():
    clock = _Clock()
    places = Readers(1, "busy", clock=clock)
    dripping = places.enter()
    for clock.now in range(1, 60):
        dripping._count(1000)
    places.enter()

    async def take(message):
        raise AssertionError("nothing more is sent to it")

    assert not asyncio.run(_answer(dripping, 1, take))
    assert len(places) == 1


def test_a_quick_reader_keeps_its_place_and_gives_it_back_at_its_end():
    clock = _Clock()
    places = Readers(1, "others read: try again", clock=clock)
    reader = places.enter()
    refused = []

    async def take(message):
        clock.now += 0.5
        try:
            places.enter()
        except Refused as error:
            refused.append(error.message)

    assert asyncio.run(_answer(reader, 100, take))
    assert refused == ["others read: try again"] * 100
    places.enter()


def test_a_failure_gives_the_place_back():
    places = Readers(1, "busy")

    async def broken(message):
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        asyncio.run(_answer(places.enter(), 1, broken))
    assert not places
