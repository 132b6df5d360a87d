import itertools
import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamrec.errors import SourceError
from streamrec.sources.synthetic import ACTIONS, LABELS, World, WorldSettings, clip, clips, figure, workout
from streamrec.sources.synthetic import air_strokes as strokes
from streamrec.sources.synthetic import crowd as doll
from streamrec.sources.synthetic import crowd_moves as moves
from streamrec.sources.synthetic import fights as scuffle
from streamrec.sources.synthetic import world as world_module
from streamrec.sources.synthetic.camera import draw_camera
from streamrec.sources.synthetic.figure import draw_body, joints
from streamrec.sources.synthetic.poses import draw_style, pose_at
from streamrec.types import Frame, Source

SMALL = {"width": 64, "height": 48}


def frames_of(**settings) -> list[Frame]:
    return list(World(WorldSettings(**{**SMALL, **settings})))


def motion(frames: list[Frame]) -> float:
    """Mean change from frame to frame, without the fine grain."""
    soft = [cv2.blur(f.image, (3, 3)).astype(np.float32) for f in frames]
    return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(soft)]))


def test_the_same_settings_give_the_same_pictures_to_the_bit():
    settings = {"seconds": 3.0, "fps": 8.0, "seed": 5, "scene_seconds": 1.0, "action_seconds": (0.8, 1.0)}
    first, second = frames_of(**settings), frames_of(**settings)
    assert len(first) == 24
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.image, b.image)
        assert (a.index, a.timestamp, a.segment, a.truth) == (b.index, b.timestamp, b.segment, b.truth)


def test_a_world_can_be_watched_twice_and_in_two_places_at_once():
    world = World(WorldSettings(**SMALL, seconds=1.0, fps=5.0))
    pairs = list(zip(world, world, strict=True))
    assert len(pairs) == 5
    assert all(np.array_equal(a.image, b.image) for a, b in pairs)


def test_another_seed_is_another_world():
    a, b = frames_of(seed=1, seconds=0.1, fps=10), frames_of(seed=2, seconds=0.1, fps=10)
    assert not np.array_equal(a[0].image, b[0].image)


@pytest.mark.parametrize("fps", [15.0, 10.0, 5.0])
def test_fewer_frames_a_second_show_the_same_scenario(fps):
    settings = {"seconds": 4.0, "seed": 11, "action_seconds": (0.8, 1.5), "scene_seconds": 2.0}
    fine, coarse = frames_of(fps=30.0, **settings), frames_of(fps=fps, **settings)
    for a, b in zip(fine[:: round(30 / fps)], coarse, strict=True):
        assert a.timestamp == b.timestamp
        assert (a.truth, a.segment) == (b.truth, b.segment)
        assert np.array_equal(a.image, b.image)


def test_the_truth_of_every_frame_equals_the_schedule():
    world = World(WorldSettings(**SMALL, seconds=12.0, fps=10.0, seed=3, action_seconds=(0.8, 2.0)))
    schedule = world.schedule()
    assert schedule[0][0] == 0.0
    assert schedule[-1][1] == 12.0
    for (_, end, label), (start, _, following) in itertools.pairwise(schedule):
        assert end == start
        assert label != following
    for frame in world:
        assert [label for start, end, label in schedule if start <= frame.timestamp < end] == [frame.truth]


def test_the_schedule_of_an_endless_world_needs_an_end():
    world = World()
    with pytest.raises(SourceError, match="endless"):
        world.schedule()
    assert world.schedule(until=600.0)[-1][1] == 600.0


def test_the_schedule_does_not_depend_on_how_it_is_looked_at():
    a = World(WorldSettings(seed=4, fps=30.0)).schedule(100.0)
    assert a == World(WorldSettings(seed=4, fps=7.0, width=64, height=48, jitter=0.4)).schedule(100.0)


def test_every_action_occurs_about_equally_often():
    labels = [label for _, _, label in World(WorldSettings(seed=1)).schedule(6000.0)]
    counts = [labels.count(action) for action in ACTIONS]
    assert sum(counts) == len(labels)
    assert min(counts) > 0.5 * len(labels) / len(ACTIONS)


def test_actions_last_as_long_as_asked():
    schedule = World(WorldSettings(action_seconds=(1.0, 2.0), scene_seconds=9.0)).schedule(900.0)
    lengths = [end - start for start, end, _ in schedule]
    assert min(lengths) > 0.99
    assert max(lengths) < 3.01  # the last one before a cut may take what is left


def test_only_the_chosen_actions_are_shown():
    frames = frames_of(actions=("wave", "fall"), action_seconds=(0.8, 1.0), seconds=5.0, fps=5.0)
    assert {frame.truth for frame in frames} == {"wave", "fall"}


def test_a_cut_raises_the_segment_and_changes_the_picture():
    frames = frames_of(scene_seconds=1.0, action_seconds=(0.8, 1.0), seconds=3.0, fps=10.0, seed=2)
    assert [frame.segment for frame in frames] == [0] * 10 + [1] * 10 + [2] * 10
    within = motion(frames[:10])
    assert motion(frames[9:11]) > 3 * within
    assert motion(frames[19:21]) > 3 * within


def test_indexes_count_and_timestamps_are_media_time():
    frames = frames_of(seconds=1.0, fps=20.0)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.timestamp for frame in frames] == [k / 20 for k in range(20)]
    assert {frame.source for frame in frames} == {"synthetic"}


def test_jitter_moves_the_moments_but_keeps_their_order_and_rate():
    stamps = np.array([frame.timestamp for frame in frames_of(seconds=6.0, fps=20.0, jitter=0.8, seed=9)])
    steps = np.diff(stamps)
    assert steps.min() > 0
    assert steps.std() > 0.1 / 20
    assert abs(stamps[-1] - 119 / 20) < 0.5 / 20


def test_pictures_are_bgr_bytes_of_the_size_asked_for_and_belong_to_the_reader():
    settings = WorldSettings(width=80, height=60, seconds=0.4, fps=10.0)
    frames = list(World(settings))
    for frame in frames:
        assert frame.image.shape == (60, 80, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert frame.image.std() > 5
    kept = frames[1].image.copy()
    for frame in World(settings):
        frame.image[:] = 0
    assert np.array_equal(frames[1].image, kept)


def test_an_endless_world_keeps_its_memory_bounded():
    stream = iter(
        World(WorldSettings(width=32, height=32, fps=2.0, scene_seconds=4.0, action_seconds=(1.0, 2.0)))
    )
    next(stream)
    tracemalloc.start()
    try:
        for _ in itertools.islice(stream, 30):
            pass
        early, _ = tracemalloc.get_traced_memory()
        last = list(itertools.islice(stream, 100))[-1]
        late, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last.timestamp > 60
    assert late - early < 500_000


def test_idling_moves_less_than_every_other_action():
    # The seed makes the place and the person, whatever the label: only the motion differs.
    seeds = range(40, 48)
    idle = [motion(clip("idle", seed=seed, seconds=1.0, fps=10.0, **SMALL)) for seed in seeds]
    for label in ACTIONS[1:]:
        moved = [motion(clip(label, seed=seed, seconds=1.0, fps=10.0, **SMALL)) for seed in seeds]
        assert np.median(np.divide(moved, idle)) > 1.15, label


def test_the_body_moves_at_once_unless_it_idles():
    for label in ACTIONS:
        speeds = []
        for seed in range(20):
            style = draw_style(label, np.random.default_rng(seed))
            parts = np.array([pose_at(label, 0.05 * k, style)[:22] for k in range(8)])
            speeds.append(np.abs(np.diff(parts, axis=0)).max() / 0.05)
        if label == "idle":
            assert max(speeds) < 0.25
        else:
            assert min(speeds) > 0.5, label


def test_who_has_fallen_stays_down():
    for seed in range(30, 36):
        style = draw_style("fall", np.random.default_rng(seed))
        body = draw_body(np.random.default_rng(seed))
        for k in range(20):
            points = joints(body, pose_at("fall", style.period + 0.5 * k, style))
            assert points[:, 1].max() < 0.5 * body.height
            assert points[:, 1].min() > 0.0


def test_limbs_keep_their_lengths_in_every_pose():
    body = draw_body(np.random.default_rng(1))
    for label in ACTIONS:
        style = draw_style(label, np.random.default_rng(2))
        for k in range(30):
            points = joints(body, pose_at(label, 0.1 * k, style))
            for side in (0, 1):
                for root, bend, tip, whole in (
                    (figure.SHOULDER, figure.ELBOW, figure.HAND, body.arm),
                    (figure.HIP, figure.KNEE, figure.ANKLE, body.leg),
                ):
                    upper = np.linalg.norm(points[bend + side] - points[root + side])
                    lower = np.linalg.norm(points[tip + side] - points[bend + side])
                    assert upper == pytest.approx(whole / 2)
                    assert lower == pytest.approx(whole / 2)


def test_the_figure_stays_in_the_picture_at_a_fair_size():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        body = draw_body(rng)
        camera = draw_camera(rng, 320, 240, body.height)
        feet, crown = camera.project(np.array(((0.0, 0.0, 0.0), (0.0, body.height, 0.0))))[0]
        assert 0.45 < (feet[1] - crown[1]) / 240 < 0.85
        for label in ACTIONS:
            style = draw_style(label, rng)
            for k in range(8):
                pixels, _ = camera.project(joints(body, pose_at(label, 0.2 * k, style)))
                assert pixels.min() > -16
                assert (pixels.max(0) < (336, 250)).all()


def test_a_clip_is_one_action_as_long_as_asked():
    for label in ACTIONS:
        frames = clip(label, seed=1, seconds=0.4, fps=15.0, **SMALL)
        assert len(frames) == 6
        assert {frame.truth for frame in frames} == {label}


def test_a_world_is_a_source_that_waits_for_its_reader():
    world = World(WorldSettings(seconds=2.0))
    assert isinstance(world, Source)
    assert (world.live, world.duration, world.name) == (False, 2.0, "synthetic")


def test_a_live_world_gives_its_frames_in_real_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(world_module, "time", SimpleNamespace(monotonic=clock, sleep=clock.sleep))
    world = World(WorldSettings(**SMALL, live=True, fps=20.0, seconds=0.25))
    assert world.live
    given = [(frame.timestamp, clock.now - 100.0) for frame in world]
    assert given == [pytest.approx((index / 20, index / 20)) for index in range(5)]


class Clock:
    """It goes on when somebody sleeps."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"actions": ("dance",)},
        {"actions": ()},
        {"fps": 0.0},
        {"width": 8},
        {"action_seconds": (3.0, 2.0)},
        {"action_seconds": (0.1, 2.0)},
        {"scene_seconds": 1.0},
        {"jitter": 1.5},
        {"kind": "dream"},
        {"kind": "finger", "actions": ("wave",)},
    ],
)
def test_impossible_wishes_are_refused_in_words(wrong):
    with pytest.raises(SourceError):
        WorldSettings(**wrong)


KINDS = [kind for kind in LABELS if kind != "figures"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_pictures_to_the_bit(kind):
    settings = {"kind": kind, "seconds": 1.0, "fps": 4.0, "seed": 5}
    first, second = frames_of(**settings), frames_of(**settings)
    assert len(first) == 4
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.image, b.image)
        assert a.truth == b.truth
        assert (a.image.shape, a.image.dtype) == ((48, 64, 3), np.uint8)
    other = frames_of(**{**settings, "seed": 6})
    assert not np.array_equal(first[0].image, other[0].image)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_frames_a_second_show_the_same_scene_of_every_kind(kind):
    settings = {"kind": kind, "seconds": 1.0, "seed": 8}
    for a, b in zip(frames_of(fps=8.0, **settings)[::4], frames_of(fps=2.0, **settings), strict=True):
        assert np.array_equal(a.image, b.image)


@pytest.mark.parametrize("kind", KINDS)
def test_every_label_of_a_kind_occurs_and_the_schedule_has_no_gaps(kind):
    schedule = World(WorldSettings(kind=kind, seed=1, **SMALL)).schedule(400.0)
    assert {label for _, _, label in schedule} == set(LABELS[kind])
    assert (schedule[0][0], schedule[-1][1]) == (0.0, 400.0)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(schedule))


def test_the_truth_of_a_fall_equals_the_schedule():
    world = World(WorldSettings(kind="falls", seed=2, seconds=12.0, fps=2.0, **SMALL))
    schedule = world.schedule()
    for frame in world:
        assert [label for start, end, label in schedule if start <= frame.timestamp < end] == [frame.truth]


def test_lying_still_is_part_of_the_fall_for_as_long_as_set():
    def falling(lying: float) -> float:
        settings = WorldSettings(kind="falls", actions=("fall",), lying_seconds=lying)
        return sum(end - start for start, end, label in World(settings).schedule(200.0) if label == "fall")

    assert falling(0.0) < falling(1.0) < falling(9.0)


def test_who_falls_back_onto_a_bed_comes_to_lie_at_its_height():
    t, high = np.arange(0.0, 5.0, 0.05), 0.3
    pose = doll.stand(len(t))
    down = moves.drop_back(np.random.default_rng(0), pose, t, 1.0, 0.8, high)
    assert down[t < 1.0].max() == 0.0
    assert down[t > 1.9].min() == 1.0
    assert pose[-1, doll.PELVIS][1] == pytest.approx(high + 0.07)  # as thick as one who lies
    assert pose[-1, doll.PITCH] == pytest.approx(-1.5)  # on the back


def test_clips_are_one_scene_each_of_labels_in_turn():
    worlds = list(clips("finger", 12, seed=3, width=64, height=48))
    assert [world.schedule()[0][2] for world in worlds] == [*LABELS["finger"], "caret"]
    for world in worlds:
        assert len(world.schedule()) == 1
        assert 8.0 <= world.settings.fps <= 30.0
    assert {frame.segment for frame in worlds[0]} == {0}


def test_clips_of_two_seeds_differ_and_do_not_depend_on_their_count():
    few, many = list(clips("scuffle", 2, seed=1)), list(clips("scuffle", 3, seed=1))
    assert [w.settings for w in few] == [w.settings for w in many[:2]]
    assert few[0].settings.seed != next(clips("scuffle", 1, seed=2)).settings.seed


def test_a_finger_goes_the_way_its_label_says():
    ways = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    for seed in range(10):
        for label, way in ways.items():
            rng = np.random.default_rng(seed)
            track = strokes.timed(strokes.draw_strokes(label, rng), 1.0, rng)
            moved = track.at(1.0) - track.at(0.0)
            assert moved @ way > 1.0
            assert abs(moved @ way) > 2 * abs(moved @ way[::-1])


def test_closed_shapes_end_where_they_began():
    for seed in range(10):
        for label in ("circle", "square", "star"):
            lines = strokes.draw_strokes(label, np.random.default_rng(seed))
            assert np.hypot(*(lines[0][0] - lines[-1][-1])) < 0.9, label


def test_a_finger_is_where_the_hand_is_drawn():
    frames = frames_of(kind="finger", actions=("right",), seconds=1.0, fps=5.0, seed=4)
    assert motion(frames) > 0.5


def test_fights_and_busy_days_overlap_in_motion():
    energies = {
        label: [
            motion(list(itertools.islice(world, 5)))
            for world in clips("scuffle", 14, seed=5, actions=(label,), fps=(10.0, 10.0), width=64, height=48)
        ]
        for label in LABELS["scuffle"]
    }
    normal, fight = np.array(energies["normal"]), np.array(energies["fight"])
    above = (fight[:, None] > normal).mean()  # how well motion alone would tell them apart; 0.5 is not at all
    assert 0.15 < above < 0.85


def test_a_doll_keeps_the_lengths_of_its_limbs():
    rng = np.random.default_rng(3)
    t = np.arange(0, 2, 1 / doll.RATE)
    pose, place = doll.stand(len(t)), np.zeros((len(t), 3))
    moves.flail(rng, pose, t, np.ones(len(t)))
    moves.go_down(rng, pose, t, 0.8, 0.7)
    points = doll.joints(doll.Motion(pose, place), 1.7)
    up = points[t < 0.8]
    for root, bend, tip, whole in ((4, 6, 8, doll.ARM), (10, 12, 14, doll.LEG)):
        for side in (0, 1):
            upper = np.linalg.norm(up[:, bend + side] - up[:, root + side], axis=1)
            lower = np.linalg.norm(up[:, tip + side] - up[:, bend + side], axis=1)
            assert upper == pytest.approx(np.full(len(up), 0.5 * whole * 1.7), rel=1e-4)
            assert lower == pytest.approx(np.full(len(up), 0.5 * whole * 1.7), rel=1e-4)
    assert points[:, :, 1].min() > 0.0
    assert points[-1, doll.HEAD, 1] < 0.3 < 1.4 < points[0, doll.HEAD, 1]


@pytest.mark.parametrize("label", ["push_ups", "pull_ups", "squats", "dips"])
def test_a_repetition_starts_where_arms_or_legs_are_straight(label):
    world = World(WorldSettings(kind="workout", actions=(label,), seed=4, seconds=20.0, **SMALL))
    starts = world.repetitions()
    assert len(starts) >= 4
    assert starts == sorted(starts)
    for start in starts:
        assert [name for a, b, name in world.schedule() if a <= start < b] == [label]
    rng = np.random.default_rng(1)
    t = np.arange(0, 2, 1 / doll.RATE)
    pose = doll.stand(len(t))
    workout._EXERCISES[label](rng, pose, t, 0.5 - 0.5 * np.cos(np.pi * t))
    points = doll.joints(doll.Motion(pose, np.zeros((len(t), 3))), 1.7)
    root, tip, whole = (10, 14, doll.LEG) if label == "squats" else (4, 8, doll.ARM)
    spans = np.linalg.norm(points[:, tip] - points[:, root], axis=1) / (1.7 * whole)
    assert spans[0] > 0.9
    assert spans[len(t) // 2] < spans[0] - 0.1


def test_worlds_without_exercise_have_no_repetitions():
    assert World(WorldSettings(seconds=5.0)).repetitions() == []
    assert World(WorldSettings(kind="falls", seconds=5.0)).repetitions() == []
    with pytest.raises(SourceError, match="endless"):
        World(WorldSettings(kind="workout")).repetitions()


def test_a_fight_has_at_least_two_people():
    for seed in range(20):
        yard = scuffle._Yard(np.random.default_rng(seed), (3.0, 2.0), 2.0)
        scuffle._fight(yard)
        assert 2 <= len(yard.motions) <= 9
