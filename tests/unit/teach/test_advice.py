"""What is advised about examples: one sentence for each thing that would make them better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamrec.teach.advice import advise
from streamrec.teach.examples import NOTHING, Example
from streamrec.teach.fewshot import StatisticsCache, fit
from tests.unit.teach.test_fewshot import RATES, Drawn


def advice_of(examples: list[Example]) -> tuple[str, ...]:
    cache = StatisticsCache(RATES)
    _, report = fit(examples, cache)
    return advise(examples, report, cache)


def sized(example: Example, size: float) -> Example:
    """A person of this size in it."""
    return replace(example, sizes=np.full(len(example.times), size, np.float32))


def lesson(each: int = 3, nothing: float = 60.0, **options: float) -> list[Example]:
    return Drawn(**options).examples("wave", "clap", each=each, nothing=nothing)


def test_of_good_examples_nothing_is_said():
    assert advice_of(lesson()) == ()


def test_it_asks_for_three_examples_and_a_minute_of_nothing():
    drawn = Drawn()
    examples = [drawn.example("wave"), drawn.example("clap"), drawn.example("clap")]
    assert advice_of(examples)[:3] == (
        "show wave 2 times more",
        "show clap once more",
        "let the camera see a minute of nothing, as it mostly is, and say that it was nothing",
    )


def test_labels_that_look_alike_are_named_and_for_what_each_was_taken():
    drawn = Drawn(3)
    examples = [replace(drawn.example("same"), label=label) for label in ("wave", "clap") for _ in range(4)]
    found = advice_of([*examples, drawn.example(NOTHING, 60.0)])
    assert found[0].startswith("wave and clap are alike: ")
    assert any(
        "examples of wave, left out, were taken for clap: show wave more often" in one for one in found
    )


def test_one_showing_that_was_named_again_and_again_is_alike():
    drawn = Drawn()
    examples = drawn.examples("wave", "clap", nothing=60.0)
    shown = examples[0]
    again = [replace(shown, id=100 + n, start=shown.start + n / 10) for n in range(1, 4)]
    (sentence,) = advice_of(examples + again)
    assert sentence == "6 examples of wave, 4 of them alike: show it a little differently"


@pytest.mark.parametrize(("size", "where"), [(0.3, "further away"), (0.08, "closer")])
def test_who_was_always_as_far_away_is_asked_to_move(size, where):
    examples = [sized(one, size) for one in lesson()]
    assert advice_of(examples) == (
        f"all 3 examples of wave are from about the same distance: show it once from {where}",
        f"all 3 examples of clap are from about the same distance: show it once from {where}",
    )
    moved = [sized(one, size * (1 + 0.4 * (n % 3))) for n, one in enumerate(examples)]
    assert advice_of(moved) == ()


def test_where_the_size_is_not_known_nothing_is_said_of_the_distance():
    examples = [sized(one, 0.3) for one in lesson()]
    assert advice_of([replace(one, sizes=None) if n == 1 else one for n, one in enumerate(examples)]) == (
        "all 3 examples of clap are from about the same distance: show it once from further away",
    )
    assert advice_of([sized(one, 0.0) for one in examples]) == ()  # no person is seen


def test_false_alarms_in_the_time_of_nothing_ask_for_more_of_it():
    drawn = Drawn(1)
    examples = drawn.examples("wave", "clap", nothing=40.0)
    examples.append(replace(drawn.example("wave", 3.0), label=NOTHING))  # a wave that was called nothing
    assert any(
        "of nothing: let the camera see more" in one and "false alarm" in one for one in advice_of(examples)
    )


def test_the_size_of_an_example_is_the_median_of_where_a_person_is_seen():
    example = Drawn().example("wave")
    sizes = np.zeros(len(example.times), np.float32)
    sizes[example.within] = 0.2
    sizes[np.flatnonzero(example.within)[:3]] = 0.0
    assert replace(example, sizes=sizes).size == pytest.approx(0.2)
    sizes[np.flatnonzero(example.within)[:15]] = 0.0
    assert replace(example, sizes=sizes).size is None
