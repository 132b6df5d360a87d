"""A profile of arming that was chosen by hand and has another name now."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from streamrec.events.arming import ArmingRules, Profile
from streamrec.notify.arming import Arming

HOME, NIGHT = Profile(name="home"), Profile(name="night")


class Database:
    """A history's file in memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")

    def transact(self, run):
        with self._connection:
            return run(self._connection)

    def select(self, statement, values=()):
        return self._connection.execute(statement, tuple(values)).fetchall()


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def arming(database):
    arming = Arming(database, ArmingRules(own=(HOME, NIGHT)), clock=lambda: 1000.0)
    arming.choose("home", by="page")
    return arming


def test_a_choice_by_hand_follows_the_new_name_of_its_profile_and_is_kept(arming, database):
    rules = ArmingRules(own=(replace(HOME, name="at home"), NIGHT))
    arming.use(rules)
    assert (arming.profile, arming.status()["chosen_by"]) == ("at home", "page")
    arming.poll()
    assert Arming(database, rules, clock=lambda: 1001.0).profile == "at home"


@pytest.mark.parametrize(
    "own",
    [(NIGHT,), (HOME, replace(NIGHT, name="late")), (replace(HOME, name="a"), replace(NIGHT, name="b"))],
)
def test_another_change_of_the_profiles_moves_no_choice(arming, own):
    arming.use(ArmingRules(own=own))
    assert arming.profile == ("home" if HOME in own else "armed")
