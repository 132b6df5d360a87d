"""What a trial's numbers mean, on logs written by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.helpers.rtsp_server import Video, shade, stamp
from tests.system.faults.faults import Fault
from tests.system.faults.trial import Counts, Told, Trial
from tests.system.faults.truth import Seen

FPS = 10.0


def seen(at: float, *, age: float = 0.1, whole: bool = True, taken: float | None = None) -> Seen:
    taken = at - age if taken is None else taken
    return Seen(at, round(taken * FPS), taken, whole, (320, 240))


def steady(since: float, until: float, **more: float) -> list[Seen]:
    return [seen(at, **more) for at in np.arange(since, until, 1 / FPS)]


def a_trial(**more: object) -> Trial:
    """A fault from second 10 to 15, seen until 20."""
    return Trial("made up", "nobody", started=10.0, stopped=15.0, over=20.0, rates=(FPS, FPS), **more)  # type: ignore[arg-type]


def test_a_reader_that_goes_on_after_the_fault_has_recovered() -> None:
    trial = a_trial(seen=steady(5, 10) + steady(16, 20))
    assert trial.recovered == pytest.approx(1.0)
    assert trial.outcome == "recovered"
    assert trial.lag == pytest.approx(1.0)


def test_pictures_that_were_held_back_are_no_recovery() -> None:
    held_back = [seen(15.1, taken=at) for at in np.arange(10.1, 14.9, 0.1)]
    assert a_trial(seen=held_back).recovered is None
    assert a_trial(seen=held_back + steady(15.2, 20)).recovered == pytest.approx(0.3, abs=0.11)


def test_old_pictures_are_no_recovery() -> None:
    slow = [seen(at, age=1.5) for at in np.arange(17.0, 18.0, 0.1)]
    assert a_trial(seen=slow).recovered is None
    assert a_trial(seen=slow + steady(18.0, 20.0)).recovered == pytest.approx(3.0)


def test_torn_and_repeated_pictures_are_no_recovery() -> None:
    torn = [seen(at, whole=False) for at in np.arange(15.0, 17.0, 0.1)]
    same = [seen(at, taken=16.95) for at in np.arange(17.0, 18.0, 0.1)]
    trial = a_trial(seen=torn + same + steady(18.0, 20.0))
    assert trial.recovered == pytest.approx(3.0)
    assert trial.damaged == 20
    assert trial.repeated == 9


def test_two_pictures_of_the_same_millisecond_are_two() -> None:
    one, other = seen(16.0), seen(16.01, taken=15.9)
    other = replace(other, number=(one.number or 0) + 1)
    assert (len(a_trial(seen=[one, other]).good), a_trial(seen=[one, other, other]).repeated) == (2, 1)


def test_a_reader_that_never_comes_back_hangs_or_has_given_up() -> None:
    assert a_trial(seen=steady(5, 10)).outcome == "hang"
    assert a_trial(seen=steady(5, 10), end=(12.0, "it is gone", "SourceError")).outcome == "gave up"
    assert a_trial(seen=steady(5, 10), end=(12.0, "", "")).outcome == "ended"
    assert a_trial(seen=steady(5, 10)).lost is None


def test_notice_is_the_first_word_after_the_start() -> None:
    told = [Told(4.0, "connecting", ""), Told(5.0, "live", ""), Told(12.5, "stalled", "no picture for 2 s")]
    assert a_trial(told=told).noticed == pytest.approx(2.5)
    assert a_trial(told=told).sentence == "no picture for 2 s"
    assert a_trial(told=told[:2]).noticed is None
    assert a_trial(told=told[:2], end=(13.0, "gone", "SourceError")).noticed == pytest.approx(3.0)
    counts = [
        Counts(9.0, 40, {"torn": 1}, {}),
        Counts(11.0, 41, {"torn": 1}, {}),
        Counts(11.5, 41, {"torn": 2}, {}),
    ]
    assert a_trial(told=told, counts=counts).noticed == pytest.approx(1.5)
    assert a_trial(told=[Told(11.0, "connecting", "the camera refused")]).noticed == pytest.approx(1.0)


def test_live_is_wrong_when_no_good_picture_came_for_longer_than_the_grace() -> None:
    live = [Told(5.0, "live", "")]
    assert a_trial(told=live, seen=steady(5, 20)).wrong_live == 0.0
    gap = steady(5, 10) + steady(16, 20)
    assert a_trial(told=live, seen=gap).wrong_live == pytest.approx(6.1 - Fault.grace)
    told = [*live, Told(12.0, "stalled", "silence"), Told(16.0, "live", "")]
    assert a_trial(told=told, seen=gap).wrong_live == 0.0
    torn = [seen(at, whole=False) for at in np.arange(10.0, 16.0, 0.1)]
    assert a_trial(told=live, seen=[*steady(5, 10), *torn, *steady(16, 20)]).wrong_live > 2.0
    assert a_trial(told=live, seen=gap, end=(11.0, "", "")).wrong_live == 0.0
    assert a_trial().wrong_live == 0.0


def test_lost_are_the_pictures_that_could_have_come() -> None:
    gap = steady(5, 10) + steady(17, 20.0)
    assert a_trial(silent=True, seen=gap).lost == pytest.approx(19, abs=2)
    assert a_trial(silent=False, seen=gap).lost == pytest.approx(69, abs=2)
    assert a_trial(silent=False, seen=steady(5, 20.0)).lost == pytest.approx(0, abs=1)
    held_back = [seen(18.0, taken=at) for at in np.arange(15.1, 17.9, 0.1)]
    late = a_trial(seen=held_back + steady(18.1, 20.0))
    assert late.lost == pytest.approx(0, abs=2)
    assert late.late == pytest.approx(19, abs=2)


def test_skipped_are_the_pictures_of_the_cameras_count_that_never_came() -> None:
    all_of_them = steady(5, 20.0)
    assert a_trial(silent=False, seen=all_of_them).skipped == 0
    slow = [replace(one, number=number) for number, one in enumerate(all_of_them[::3])]  # a busy camera
    assert a_trial(silent=False, seen=slow).skipped == 0
    assert a_trial(silent=False, seen=[*steady(5, 12), *steady(13, 20.0)]).skipped == pytest.approx(9, abs=1)
    torn = [replace(one, whole=one.number != 120) for one in all_of_them]
    assert a_trial(silent=False, seen=torn).skipped == 1
    assert a_trial(silent=False, seen=steady(5, 9)).skipped == 0


def picture_of(number: int = 12, *, said: int | None = None) -> np.ndarray:
    """(240, 320, 3) as the bench's camera makes it; ``said``: the number in its stamp, where that is another."""
    pictures = Video(320, 240, Fraction(15), pattern="stripes").pictures()
    picture = next(pictures)
    shade(picture, 320, 240, number)
    stamp(picture, 320, 240, number if said is None else said, 5000)
    luma = np.frombuffer(bytes(picture[: 320 * 240]), np.uint8).reshape(240, 320)
    return np.repeat(luma[..., None], 3, axis=2)


def looks_whole(picture: np.ndarray) -> bool:
    return Seen.of(picture).whole


def test_the_cameras_picture_is_whole_and_tells_its_number() -> None:
    one = Seen.of(picture_of())
    assert (one.number, one.taken, one.whole, one.size) == (12, 5.0, True, (320, 240))


def test_a_picture_is_whole_in_the_ranges_of_all_codecs() -> None:
    full = (picture_of().astype(float) - 16.0) * 255.0 / 219.0
    assert looks_whole(full.round().clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("block", [(slice(100, 116), slice(48, 64)), (slice(224, 240), slice(0, 16))])
def test_one_damaged_block_is_seen(block: tuple[slice, slice]) -> None:
    picture = picture_of()
    picture[block] = 255 - picture[block]
    assert not looks_whole(picture)


def test_a_shifted_or_grey_part_is_seen() -> None:
    shifted, grey = picture_of(), picture_of()
    shifted[120:] = np.roll(shifted[120:], 9, axis=1)
    grey[150:] = 128
    for torn in (shifted, grey):
        assert not looks_whole(torn)
    assert Seen.of(np.full((240, 320, 3), 128, np.uint8)).taken is None


def test_what_a_decoder_fills_in_from_the_picture_before_is_seen() -> None:
    for rows in (slice(96, 112), slice(224, 240), slice(32, 240)):
        filled_in = picture_of(12)
        filled_in[rows] = picture_of(11)[rows]
        assert not looks_whole(filled_in)
    assert not looks_whole(picture_of(11, said=12))


def test_what_a_codec_does_to_a_good_picture_is_no_damage() -> None:
    picture = picture_of().astype(int)
    noisy = picture + np.random.default_rng(0).integers(-5, 6, picture.shape)
    assert looks_whole(noisy.clip(0, 255).astype(np.uint8))
