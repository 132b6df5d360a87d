"""The synthetic worlds: a schedule of actions, the figures that do them, and the frames."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

import streamrec.sources.health as report
from streamrec.core.arguments import number as a_number
from streamrec.core.arguments import whole_number
from streamrec.core.messages import described
from streamrec.errors import SourceError
from streamrec.sources.synthetic import air_drawing as finger
from streamrec.sources.synthetic import falls, figure, poses, workout
from streamrec.sources.synthetic import fights as scuffle
from streamrec.sources.synthetic import places as scene
from streamrec.sources.synthetic.camera import Camera, draw_camera
from streamrec.sources.synthetic.poses import ACTIONS, Style
from streamrec.sources.synthetic.scenario import Script
from streamrec.types import Frame, Source

_KINDS = {
    "finger": finger.KIND,
    "scuffle": scuffle.KIND,
    "falls": falls.KIND,
    "workout": workout.KIND,
}
LABELS: dict[str, tuple[str, ...]] = {"figures": ACTIONS, **{name: k.labels for name, k in _KINDS.items()}}
"""What each kind of world shows, in label order."""

_SCENE, _ACT, _NOISE, _JITTER, _CUT, _SCRIPT = range(6)  # streams of random numbers
_RISE_SECONDS = 0.6  # to get up from the floor
_GRAIN_SPARE = 61  # pixels by which the noise is larger than the image, so that it can be shifted


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """What to show. The same settings give the same frames, to the bit.

    The scenario is a function of seed and time alone: another ``fps`` or ``jitter`` samples the same
    scenario at other times.

    ``kind`` is one of ``LABELS``. In ``"figures"`` one figure acts endlessly; a scene of another kind
    shows one label and has a length of its own, so that ``action_seconds``, ``transition_seconds``,
    ``scene_seconds``, ``bystanders`` and ``distractors`` are for figures alone.
    """

    kind: str = "figures"
    width: int = 320  # pixels
    height: int = 240  # pixels
    fps: float = 30.0
    seconds: float | None = None  # None: endless
    seed: int = 0
    jitter: float = 0.0  # relative jitter of the time between frames, 0 to 0.9
    actions: tuple[str, ...] | None = None  # labels to show; None: all of the kind
    action_seconds: tuple[float, float] = (4.0, 9.0)  # range of an action's length
    transition_seconds: float = 0.25  # from one action to the next; the truth changes in its middle
    scene_seconds: float | None = (
        None  # length of a scene; then a hard cut: new place, person, camera, segment
    )
    lying_seconds: float = 2.0  # kind "falls": how long lying still after a fall is part of the fall
    bystanders: bool = True  # a small figure may idle or walk in the background of some scenes
    distractors: bool = True  # things may move in some scenes
    live: bool = False  # deliver the frames in real time, as a camera does

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in LABELS:
            raise SourceError(f"unknown kind of world {described(self.kind)}; there are {', '.join(LABELS)}")
        if self.actions is not None and not isinstance(self.actions, tuple | list):
            raise SourceError(
                f"actions are {described(self.actions)}: give a tuple of labels, like ('wave',)"
            )
        unknown = [a for a in self.labels if a not in LABELS[self.kind]]
        if unknown or not self.labels:
            raise SourceError(
                f"unknown actions {described(unknown)}; the synthetic world knows {', '.join(LABELS[self.kind])}"
            )
        for name in ("width", "height", "seed"):
            whole_number(getattr(self, name), name, least=0, error=SourceError)
        for name in ("fps", "jitter", "transition_seconds"):
            a_number(getattr(self, name), name, error=SourceError)
        for name in ("seconds", "scene_seconds"):
            if getattr(self, name) is not None:
                a_number(getattr(self, name), name, above=0.0, error=SourceError)
        if min(self.width, self.height) < 32 or self.fps <= 0:
            raise SourceError("the synthetic world needs a picture of at least 32x32 and fps above 0")
        if not isinstance(self.action_seconds, tuple | list) or len(self.action_seconds) != 2:
            raise SourceError(
                f"action_seconds is {described(self.action_seconds)}: give the shortest and the longest, "
                "like (4.0, 9.0)"
            )
        low, high = (a_number(one, "action_seconds", error=SourceError) for one in self.action_seconds)
        if not max(0.8, 2 * self.transition_seconds) <= low <= high:
            raise SourceError(
                f"action_seconds {self.action_seconds}: lowest first, at least 0.8 and two transitions"
            )
        if self.scene_seconds is not None and self.scene_seconds < low:
            raise SourceError(f"scene_seconds {self.scene_seconds} is below the shortest action, {low}")
        if not 0 <= self.jitter <= 0.9:
            raise SourceError(f"jitter {self.jitter} is not from 0 to 0.9")

    @property
    def labels(self) -> tuple[str, ...]:
        """What is shown: ``actions``, or all of the kind."""
        return LABELS[self.kind] if self.actions is None else self.actions


@dataclass(frozen=True, eq=False)
class _Act:
    """One action of the schedule."""

    label: str
    start: float  # seconds: from here on the label is the truth
    end: float
    scene: int
    style: Style
    blend_in: float  # seconds of transition around the start; 0 after a cut

    @property
    def begins(self) -> float:
        """When its motion starts: half a transition before its truth."""
        return self.start - 0.5 * self.blend_in


class World(Source):
    """A figure that acts before a camera, with the truth for every frame. Each iteration starts anew.

    >>> world = World(WorldSettings(seconds=2.0, fps=10, width=64, height=48, seed=1))
    >>> frames = list(world)
    >>> len(frames), frames[0].image.shape, frames[-1].timestamp
    (20, (48, 64, 3), 1.9)
    >>> frames[0].truth == world.schedule()[0][2]
    True
    """

    def __init__(self, settings: WorldSettings | None = None) -> None:
        if settings is not None and not isinstance(settings, WorldSettings):
            raise SourceError(f"a World is made of WorldSettings(...), not of {described(settings)}")
        self.settings = settings or WorldSettings()
        self.name = "synthetic"
        self.live = self.settings.live
        self.duration = self.settings.seconds

    def __iter__(self) -> Iterator[Frame]:
        return report.with_health(self, self._frames())

    def _frames(self) -> Generator[Frame, None, None]:
        settings = self.settings
        began = time.monotonic()
        stage = _Stage(settings) if settings.kind == "figures" else _Plays(settings)
        for index in itertools.count():
            if settings.seconds is not None and index / settings.fps >= settings.seconds - 1e-9:
                return
            timestamp = self._timestamp(index)
            image, scene_number, label = stage.show(timestamp)
            if settings.live and (wait := began + timestamp - time.monotonic()) > 0:
                time.sleep(wait)
            yield Frame(image, index, timestamp, scene_number, self.name, time.monotonic(), label)

    def schedule(self, until: float | None = None) -> list[tuple[float, float, str]]:
        """The truth up to a time, by default to the end: (start, end, label) without gaps.

        >>> World(WorldSettings(actions=("wave", "idle"), seconds=3.0)).schedule()[-1][1]
        3.0
        """
        until = self.settings.seconds if until is None else until
        if until is None:
            raise SourceError("this world is endless; pass the time up to which you want its schedule")
        if self.settings.kind == "figures":
            acts = itertools.takewhile(lambda act: act.start < until, _acts(self.settings))
            return [(act.start, min(act.end, until), act.label) for act in acts]
        spans = (
            (start + a, min(start + b, until), label)
            for start, script in _scripts(self.settings, until)
            for a, b, label in script.spans
        )
        return [span for span in spans if span[0] < until]

    def repetitions(self, until: float | None = None) -> list[float]:
        """When each repetition of an exercise starts (kind ``"workout"``), in seconds, by default to the end.

        A repetition starts where the arms or legs are straight: at the top of push-ups, squats and dips,
        hanging for pull-ups. Other kinds have none.
        """
        until = self.settings.seconds if until is None else until
        if until is None:
            raise SourceError("this world is endless; pass the time up to which you want its repetitions")
        if self.settings.kind == "figures":
            return []
        starts = (start + r for start, s in _scripts(self.settings, until) for r in s.repetitions)
        return [start for start in starts if start < until]

    def _timestamp(self, index: int) -> float:
        settings = self.settings
        if settings.jitter == 0 or index == 0:
            return index / settings.fps
        shift = _random(settings.seed, _JITTER, index).uniform(-0.5, 0.5)
        return (index + settings.jitter * shift) / settings.fps


def clip(
    label: str, *, seed: int, seconds: float = 2.0, fps: float = 15.0, width: int = 160, height: int = 120
) -> list[Frame]:
    """One action alone, from its first moment.

    >>> {frame.truth for frame in clip("wave", seed=3, seconds=0.4, width=64, height=48)}
    {'wave'}
    """
    settings = WorldSettings(
        actions=(label,), seed=seed, seconds=seconds, fps=fps, width=width, height=height
    )
    return list(World(settings))


def clips(
    kind: str,
    count: int,
    seed: int,
    *,
    actions: tuple[str, ...] | None = None,
    fps: tuple[float, float] = (8.0, 30.0),
    width: int = 128,
    height: int = 96,
) -> Iterator[World]:
    """Worlds of one scene each, as long as the scene takes, of random frame rates within ``fps``.

    Labels take turns, so that they occur equally often. The n-th clip depends on ``seed`` and n alone; clips
    for measuring have seeds from ``UNSEEN`` on. ``seed`` may be as large as a 32 bit number.

    >>> labels = [next(iter(world)).truth for world in clips("finger", 3, seed=1)]
    >>> labels
    ['caret', 'circle', 'cross']
    """
    labels = WorldSettings(kind=kind, actions=actions).labels
    for number in range(count):
        # Clip n of one seed is another world than that of any other seed.
        settings = WorldSettings(
            kind=kind,
            actions=(labels[number % len(labels)],),
            seed=(seed << 32) + number,
            fps=float(_random(seed, _JITTER, number).uniform(*fps)),
            width=width,
            height=height,
        )
        if kind == "figures":
            seconds = float(_random(seed, _CUT, number).uniform(2.0, 5.0))
        else:
            seconds = next(_scripts(settings, 1.0))[1].seconds
        yield World(replace(settings, seconds=seconds))


def _random(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key))


def _acts(settings: WorldSettings) -> Iterator[_Act]:
    """The endless schedule."""
    start, label, place = 0.0, "", 0
    blend_in = 0.0
    for number in itertools.count():
        rng = _random(settings.seed, _ACT, number)
        others = [a for a in settings.labels if a != label] or list(settings.labels)
        before, label = label, others[rng.integers(len(others))]
        if number and blend_in:
            blend_in = _RISE_SECONDS if before == "fall" else settings.transition_seconds
        end = start + rng.uniform(*settings.action_seconds)
        if len(settings.labels) == 1:
            end = math.inf
        cut = math.inf if settings.scene_seconds is None else (place + 1) * settings.scene_seconds
        if end > cut - settings.action_seconds[0]:  # too little left for another action
            end = cut
        yield _Act(label, start, end, place, poses.draw_style(label, rng), blend_in)
        start = end
        blend_in = settings.transition_seconds
        if end == cut:
            place, blend_in = place + 1, 0.0


def _scripts(settings: WorldSettings, until: float) -> Iterator[tuple[float, Script]]:
    """The scenes of kinds other than figures that start before a time, each with its start."""
    kind = _KINDS[settings.kind]
    number = list(LABELS).index(settings.kind)
    start = 0.0
    for scene_number in itertools.count():
        if start >= until:
            return
        rng = _random(settings.seed, _SCRIPT, number, scene_number)
        script = kind.write(rng, settings.labels[rng.integers(len(settings.labels))])
        if script.lies_from is not None:
            script = _calmed(script, script.lies_from + settings.lying_seconds)
        yield start, script
        start += script.seconds


def _calmed(script: Script, until: float) -> Script:
    """The script with its fall labelled up to a time; lying still is normal from there on."""
    start, end, label = script.spans[-1]
    if end <= until:
        return script
    return replace(script, spans=(*script.spans[:-1], (start, until, label), (until, end, "normal")))


class _Plays:
    """Renders scenes in the order of time; holds the current scene only."""

    def __init__(self, settings: WorldSettings) -> None:
        self._size = (settings.width, settings.height)
        self._scripts = _scripts(settings, math.inf)
        self._scene = -1
        self._next_scene()

    def show(self, t: float) -> tuple[np.ndarray, int, str]:
        """The image (H, W, 3) at a time, the number of its scene, and the label."""
        while t >= self._start + self._script.seconds:
            self._next_scene()
        seconds = t - self._start
        label = next(label for start, _, label in reversed(self._script.spans) if start <= seconds)
        return self._stage.render(seconds), self._scene, label

    def _next_scene(self) -> None:
        self._start, self._script = next(self._scripts)
        self._stage = self._script.stage(*self._size)
        self._scene += 1


@dataclass(frozen=True, eq=False)
class _Walk:
    """The place of a figure that walks to and fro between two edges, as a function of time."""

    edge: float  # metres from the middle
    rate: float  # radians a second
    start: float  # radians

    def at(self, seconds: float) -> tuple[float, float]:
        """Metres right of the middle, and the direction from -1 (left) to 1 (right)."""
        angle = self.start + self.rate * seconds
        x = math.asin(_CORNER * math.sin(angle)) / _CORNER_TOP
        heading = math.cos(angle) * _CORNER / math.sqrt(1 - (_CORNER * math.sin(angle)) ** 2)
        return self.edge * x, heading


_CORNER = 0.985  # how sharply a walker turns around: 1 is at once
_CORNER_TOP = math.asin(_CORNER)


@dataclass(frozen=True, eq=False)
class _Staged:
    """An action and its place."""

    act: _Act
    style: Style
    x: float  # metres
    walk: _Walk | None

    def pose(self, t: float) -> tuple[np.ndarray, float]:
        """Pose (25,) and metres right of the middle."""
        seconds = t - self.act.begins
        pose = poses.pose_at(self.act.label, seconds, self.style)
        if self.walk is None:
            return pose, self.x
        x, heading = self.walk.at(max(seconds, 0.0))
        pose[poses.YAW] = math.radians(80) * heading + 0.3 * self.style.yaw
        return pose, x


class _Stage:
    """Renders in the order of time; holds the current scene and three actions only."""

    def __init__(self, settings: WorldSettings) -> None:
        self._settings = settings
        self._acts = _acts(settings)
        self._set = _Set(settings, 0)
        self._before: _Staged | None = None
        self._now = self._staged(next(self._acts), None)
        self._next = next(self._acts)

    def show(self, t: float) -> tuple[np.ndarray, int, str]:
        """The image (H, W, 3) at a time, the number of its scene, and the label."""
        while t >= self._now.act.end:
            self._advance()
        pose, x = self._figure(t)
        return self._set.render(t, pose, x), self._now.act.scene, self._now.act.label

    def _advance(self) -> None:
        act = self._next
        if act.scene != self._now.act.scene:
            self._set = _Set(self._settings, act.scene)
        self._before, self._now = self._now, self._staged(act, self._now)
        self._next = next(self._acts)

    def _staged(self, act: _Act, before: _Staged | None) -> _Staged:
        stage = self._set
        if before is None or before.act.scene != act.scene:
            x = stage.reach * float(_random(self._settings.seed, _CUT, act.scene).uniform(-0.7, 0.7))
        else:
            x = before.pose(act.start)[1]
        style = act.style
        if act.label == "fall":  # towards the middle, to stay in the image
            style = replace(style, mirrored=x > 0)
        walk = _walk(style, x, stage.reach, stage.body.leg) if act.label == "walk" else None
        return _Staged(act, style, x, walk)

    def _figure(self, t: float) -> tuple[np.ndarray, float]:
        now = self._now
        first, second, share = now, now, 1.0
        if self._before is not None and now.act.blend_in and t < now.act.start + 0.5 * now.act.blend_in:
            first, share = self._before, 0.5 + (t - now.act.start) / now.act.blend_in
        elif self._next.blend_in and t > self._next.begins:
            second = self._staged(self._next, now)
            share = (t - self._next.begins) / self._next.blend_in
        pose, x = second.pose(t)
        if first is second:
            return pose, x
        before, x_before = first.pose(t)
        return poses.blend(before, pose, share), x_before + (x - x_before) * share


def _walk(style: Style, x: float, edge: float, leg: float) -> _Walk:
    """A walk from x, first towards the side with more room, as fast as the steps are long."""
    speed = 4 * poses.stride(style) * leg / style.period
    edge = max(edge, 0.15)
    angle = math.asin(min(max(math.sin(_CORNER_TOP * min(max(x / edge, -1.0), 1.0)) / _CORNER, -1.0), 1.0))
    rate = speed * _CORNER_TOP / (edge * _CORNER)
    if x > 0 or (x == 0 and style.mirrored):
        angle = math.pi - angle
    return _Walk(edge, rate, angle)


class _Set:
    """One scene: place, people, camera and light. What does not move is painted once."""

    def __init__(self, settings: WorldSettings, number: int) -> None:
        rng = _random(settings.seed, _SCENE, number)
        width, height = settings.width, settings.height
        self._seed, self._size = settings.seed, (width, height)
        self.body = figure.draw_body(rng)
        self._camera = draw_camera(rng, width, height, self.body.height)
        metre = self._camera.focal / self._camera.distance
        side = min(self._camera.centre[0], width - self._camera.centre[0]) / metre
        self.reach = max(0.05, side - 0.42 * self.body.height)
        self._follow = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.35 else 0.0  # the camera pans along
        self.reach /= 1 - self._follow
        self._shake = float(rng.uniform(0.002, 0.008)) * width if rng.random() < 0.25 else 0.0
        self._phases = rng.uniform(0, 2 * math.pi, 8)
        margin_x = math.ceil(self._follow * self.reach * metre + 2.2 * self._shake)
        margin_y = math.ceil(2.2 * self._shake)
        self._margin = (margin_x, margin_y)
        self._metre = metre
        clearance = 1.1 + 0.5 * self.reach
        bystander = settings.bystanders and rng.random() < 0.3
        if bystander:  # room for a figure far enough away to be small
            clearance += rng.uniform(0.7, 1.0) * self._camera.distance
        self._canvas = scene.paint(
            width + 2 * margin_x,
            height + 2 * margin_y,
            self._camera.zoomed(1.0, self._margin),
            rng,
            clearance=clearance,
        )
        light = rng.uniform(-0.8, 0.8)
        self._slant = (-0.5 * light, rng.uniform(-0.1, 0.3))
        self._shadow = rng.uniform(0.2, 0.5)
        self._painter = figure.Painter(self.body, (light, -math.sqrt(1 - light * light)))
        self._appearance = scene.draw_appearance(rng, width, height)
        self._grain = scene.draw_grain(rng, width + _GRAIN_SPARE, height + _GRAIN_SPARE)
        self._bystander = _Bystander(rng, self.reach, 0.4 - clearance) if bystander else None
        self._things = _Things(rng, self.reach) if rng.random() < 0.4 and settings.distractors else None

    def render(self, t: float, pose: np.ndarray, x: float) -> np.ndarray:
        """The image (H, W, 3) at a time, with the figure in this pose, x metres right of the middle."""
        dx, dy = self._view(t, x)
        camera = self._camera.zoomed(1.0, (-dx, -dy))
        image = self._background(dx, dy)
        if self._bystander is not None:
            self._bystander.draw(image, camera, t, self._slant, self._shadow)
        if self._things is not None:
            self._things.draw(image, camera, t)
        points = figure.joints(self.body, pose, x)
        figure.cast_shadow(image, camera, points, self.body, self._slant, self._shadow)
        self._painter.draw(image, camera, points)
        rng = _random(self._seed, _NOISE, round(t * 1e6))
        left, top = (int(n) for n in rng.integers(0, _GRAIN_SPARE + 1, 2))
        width, height = self._size
        return self._appearance.apply(image, self._grain[top : top + height, left : left + width], t)

    def _view(self, t: float, x: float) -> tuple[float, float]:
        """How far the camera has turned from the middle, pixels."""
        p = self._phases
        dx = self._follow * x * self._metre
        dx += self._shake * (math.sin(2.1 * t + p[0]) + 0.6 * math.sin(5.3 * t + p[1]))
        dy = self._shake * (math.sin(1.7 * t + p[2]) + 0.6 * math.sin(6.1 * t + p[3]))
        return dx, dy

    def _background(self, dx: float, dy: float) -> np.ndarray:
        width, height = self._size
        if not any(self._margin):
            return self._canvas.copy()
        move = np.array(((1.0, 0.0, -self._margin[0] - dx), (0.0, 1.0, -self._margin[1] - dy)))
        return cv2.warpAffine(self._canvas, move, (width, height), borderMode=cv2.BORDER_REPLICATE)


class _Bystander:
    """A figure far in the background that idles or walks."""

    def __init__(self, rng: np.random.Generator, reach: float, z: float) -> None:
        self._body = figure.draw_body(rng)
        self._painter = figure.Painter(self._body, (0.3, -0.9))
        self._z = z
        label = "walk" if rng.random() < 0.5 else "idle"
        self._label, self._style = label, poses.draw_style(label, rng)
        self._x = float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.2) * reach)
        self._walk = _walk(self._style, self._x, reach * 1.5, self._body.leg) if label == "walk" else None

    def draw(
        self, image: np.ndarray, camera: Camera, t: float, slant: tuple[float, float], shadow: float
    ) -> None:
        pose, x = poses.pose_at(self._label, t, self._style), self._x
        if self._walk is not None:
            x, heading = self._walk.at(t)
            pose[poses.YAW] = math.radians(80) * heading
        points = figure.joints(self._body, pose, x, self._z)
        figure.cast_shadow(image, camera, points, self._body, slant, shadow)
        self._painter.draw(image, camera, points)


class _Things:
    """A ball that rolls to and fro, or a balloon that sways."""

    def __init__(self, rng: np.random.Generator, reach: float) -> None:
        self._balloon = rng.random() < 0.5
        self._colour = figure.hsv(rng.uniform(), rng.uniform(0.3, 0.9), rng.uniform(0.4, 0.95))
        self._x, self._swing = rng.uniform(-1, 1) * (reach + 0.6), rng.uniform(0.1, 0.4)
        self._rate, self._phase = rng.uniform(0.4, 1.3), rng.uniform(0, 6)
        self._radius, self._z = rng.uniform(0.09, 0.17), -rng.uniform(0.6, 1.0)

    def draw(self, image: np.ndarray, camera: Camera, t: float) -> None:
        swing = math.sin(self._rate * t + self._phase)
        if self._balloon:
            point = (self._x + 0.3 * self._swing * swing, 1.6 + 0.05 * math.sin(1.7 * t), self._z)
        else:
            point = (self._x + 2.5 * self._swing * swing, self._radius, self._z)
        flat, depth = camera.project(np.array((point, (self._x, 0.0, self._z))))
        size = self._radius * camera.focal / depth[0]
        if self._balloon:
            cv2.line(image, _sixteenths(flat[0]), _sixteenths(flat[1]), (90, 90, 90), 1, cv2.LINE_AA, 4)
        for share, tone in ((1.0, 0.7), (0.85, 1.0), (0.3, 1.3)):
            centre = flat[0] - (1 - share) * 0.5 * size
            colour = tuple(min(255.0, c * tone) for c in self._colour)
            radius = max(1, round(size * share * 16))
            cv2.circle(image, _sixteenths(centre), radius, colour, -1, cv2.LINE_AA, 4)


def _sixteenths(point: np.ndarray) -> tuple[int, int]:
    return (round(float(point[0]) * 16), round(float(point[1]) * 16))
