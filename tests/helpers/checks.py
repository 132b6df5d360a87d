"""The streaming contract, for every head, encoder and engine: frames and clips agree, wherever clips are cut."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from streamrec import ActionModel, Frame, ModelConfig, Recognizer, SoundTransform, Transform
from streamrec.nn.transforms import InputTransform
from streamrec.runtime.engine import Engine


def check_streaming(model: ActionModel, *, steps: int = 12, tolerance: float = 1e-5) -> None:
    """``forward`` over clips, over clips cut anywhere, and ``step`` over frames give the same logits."""
    torch.manual_seed(1)
    pictures = some_frames(model.config.transform, 3, steps)
    elapsed = torch.rand(3, steps) * 0.2 + 0.03
    elapsed[:, 0] = math.inf
    elapsed[1, steps // 2] = model.config.max_gap + 1.0  # one stream begins anew in the middle
    elapsed[2, steps // 3] = -5.0  # one jumps back
    model.eval()
    with torch.inference_mode():
        whole, after_whole = model(pictures, elapsed)
        state, stepped = model.initial_state(3), []
        for t in range(steps):
            logits, state = model.step(pictures[:, t], elapsed[:, t], state)
            stepped.append(logits)
        assert_close(torch.stack(stepped, dim=1), whole, tolerance)
        check_states_agree(state, after_whole, tolerance)
        for cut in range(1, steps):
            first, between = model(pictures[:, :cut], elapsed[:, :cut])
            second, after = model(pictures[:, cut:], elapsed[:, cut:], between)
            assert_close(torch.cat([first, second], dim=1), whole, tolerance)
            check_states_agree(after, after_whole, tolerance)


def some_frames(transform: InputTransform, streams: int, steps: int) -> torch.Tensor:
    """(N, T, *frame) of noise, as the transform gives them."""
    shape = (streams, steps, *transform.shape)
    if transform.dtype is np.uint8:
        return torch.randint(0, 256, shape, dtype=torch.uint8)
    mean, std = map(torch.from_numpy, transform.normalization())
    return torch.randn(shape) * std + mean


def check_states_agree(one, other, tolerance: float) -> None:
    for a, b in zip(
        (*one.head, *one.cache, one.clock), (*other.head, *other.cache, other.clock), strict=True
    ):
        assert_close(a, b, tolerance)


def assert_close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    assert one.shape == other.shape
    worst = float((one - other).abs().max())
    assert worst <= tolerance, f"they differ by {worst:g}"


def check_engines_agree(
    one: Recognizer, other: Recognizer, frames: list[Frame], tolerance: float = 1e-4
) -> None:
    """Both engines say the same of a stream, probabilities and phase, each with its own state."""
    states = one.initial_state(), other.initial_state()
    worst = 0.0
    for frame in frames:
        (a, state_a), (b, state_b) = one.step(frame, states[0]), other.step(frame, states[1])
        states = state_a, state_b
        worst = max(worst, float(np.abs(a.probabilities - b.probabilities).max()))
        assert (a.phase is None) == (b.phase is None) == (not one.config.counted)
        if a.phase is not None and b.phase is not None:
            worst = max(worst, float(np.abs(np.subtract(a.phase, b.phase)).max()))
    assert worst <= tolerance, f"the engines differ by {worst:g}"


def hops(count: int, transform: SoundTransform, *, seed: int = 0) -> list[Frame]:
    """A stream of sound, noise that swells, with lost hops, a gap, a jump back and a new segment in it."""
    rng = np.random.default_rng(seed)
    swell = 0.2 * np.abs(np.sin(np.arange(count)[:, None] / 5))
    samples = (swell * rng.normal(size=(count, transform.hop))).astype(np.float32)
    times = np.arange(count) / transform.fps
    times[count // 4 :] += 3 / transform.fps
    times[count // 2 :] += 10.0
    times[3 * count // 4 :] -= 5.0
    return [
        Frame(hop, n, float(time), int(n >= 7 * count // 8), source="microphone")
        for n, (hop, time) in enumerate(zip(samples, times, strict=True))
    ]


def readings(count: int, *, fps: float = 10.0, seed: int = 0, channels: int = 3) -> list[Frame]:
    """A stream of sensors that swing, with a gap, a jump back and a new segment in it."""
    rng = np.random.default_rng(seed)
    swing = np.sin(np.arange(count)[:, None] * rng.uniform(0.2, 1.5, channels)) + 0.1 * rng.normal(
        size=(count, channels)
    )
    times = np.arange(count) / fps + rng.uniform(0, 0.02, count)
    times[count // 2 :] += 10.0
    times[3 * count // 4 :] -= 5.0
    rows = swing.astype(np.float32)
    return [
        Frame(row, n, float(time), int(n >= 7 * count // 8), source="sensor")
        for n, (row, time) in enumerate(zip(rows, times, strict=True))
    ]


def moving(count: int, *, fps: float = 10.0, seed: int = 0, height: int = 60, width: int = 80) -> list[Frame]:
    """A stream in which something moves: noise that drifts."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return [Frame(np.roll(noise, 2 * n, axis=1), n, n / fps, source="moving") for n in range(count)]


def shifted(frame: Frame, **changes) -> Frame:
    return replace(frame, **changes)


class Squats(Engine):
    """Says that one squat takes two seconds, from the first frame of a stream on."""

    name, device = "scripted", "cpu"
    config = ModelConfig(labels=("idle", "squat"), transform=Transform(height=8, width=8), counted=("squat",))
    head_shapes = ((1,),)
    cache_shapes = ()

    def step(self, pictures, elapsed, head, cache, encoded=None):
        seconds = np.where(np.isfinite(elapsed), head[0][:, 0] + elapsed, 0.0).astype(np.float32)
        phase = np.stack([np.cos(np.pi * seconds), np.sin(np.pi * seconds)], axis=1)
        shares = np.tile(np.array([0.1, 0.9], np.float32), (len(pictures), 1))
        return shares, phase, (seconds[:, None],), ()
