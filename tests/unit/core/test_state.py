from dataclasses import replace

import numpy as np
import pytest

from streamrec.core.state import State, stack, unstack
from streamrec.errors import StateError


def state_of(value: float) -> State:
    return State(
        head=(np.full((1, 1, 4), value, np.float32), np.full((1, 1, 4), -value, np.float32)),
        cache=(np.full((1, 3, 2, 2), value, np.float32),),
        clock=np.array([value]),
        segment=np.array([int(value)]),
        probabilities=np.full((1, 2), 0.5, np.float32),
    )


def test_streams_are_stacked_along_axis_0_and_come_apart_again():
    joined = stack([state_of(1.0), state_of(2.0), state_of(3.0)])
    assert len(joined) == 3
    assert joined.h.shape == (3, 1, 4)
    parts = unstack(joined)
    assert [float(part.clock[0]) for part in parts] == [1.0, 2.0, 3.0]
    assert (parts[1].cache[0] == 2.0).all()
    assert parts[2].c.shape == (1, 1, 4)


def test_a_saved_state_comes_back_bit_for_bit():
    state = state_of(1 / 3)
    again = State.from_bytes(state.to_bytes())
    for one, other in zip((*state.head, *state.cache), (*again.head, *again.cache), strict=True):
        assert one.tobytes() == other.tobytes()
    assert again.clock.tobytes() == state.clock.tobytes()
    assert again.segment.dtype == np.int64


def test_a_clock_that_has_not_begun_survives_saving():
    state = State((), (), np.array([-np.inf]), np.zeros(1, np.int64), np.zeros((1, 2)))
    assert State.from_bytes(state.to_bytes()).clock[0] == -np.inf


@pytest.mark.parametrize("data", [b"", b"hello", state_of(1.0).to_bytes()[:60]])
def test_bytes_that_are_no_state_are_refused_in_words(data):
    with pytest.raises(StateError, match="no saved state"):
        State.from_bytes(data)


def test_the_phase_of_models_that_count_goes_along():
    states = [replace(state_of(float(n)), phase=np.full((1, 2), n, np.float32)) for n in range(3)]
    parts = unstack(stack(states))
    assert [part.phase.tolist() for part in parts] == [[[0.0, 0.0]], [[1.0, 1.0]], [[2.0, 2.0]]]
    assert State.from_bytes(states[2].to_bytes()).phase.tobytes() == states[2].phase.tobytes()
    assert State.from_bytes(state_of(1.0).to_bytes()).phase is None
    assert stack([state_of(1.0), state_of(2.0)]).phase is None
