"""Sound as a model takes it: resampled to its rate, in hops of one length."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from fractions import Fraction

import av
import numpy as np

import streamrec.sources.health as report
from streamrec.errors import SourceError
from streamrec.sources.wrappers import Wrapper
from streamrec.types import Frame, Source

GAP = 1.0  # seconds: a longer one begins a segment, a shorter one is filled with silence
JITTER = 0.015  # seconds by which the time of a block may differ from that of the samples before it
LOST = "sound was lost, and silence took its place"  # a cause in ``Health.refused``


class Hops(Wrapper):
    """Another source of sound at ``rate`` samples a second, as hops of exactly ``hop`` samples.

    Blocks of any length and rate come in. The resampler is FFmpeg's: it does not alias, a sample keeps its time, and
    it waits for 1 to 3 ms of the sound behind it. The time of a hop is counted in samples from the start of its
    segment. Where a block is late by more than 15 ms, silence takes the place of what was lost and is counted; over
    more than ``max_gap`` seconds, or where the clock goes back as far, a segment begins. What is left of a segment and
    fills no hop is not given.

    >>> from streamrec.sources.sound import SoundSource
    >>> hops = Hops(SoundSource([np.zeros(300), np.ones(700)], rate=1000), 1000, 400)
    >>> [(frame.timestamp, frame.data.shape, float(frame.data.mean())) for frame in hops]
    [(0.0, (400,), 0.25), (0.4, (400,), 1.0)]
    """

    def __init__(self, source: Source, rate: int, hop: int, *, max_gap: float = GAP) -> None:
        super().__init__(source)
        self._rate = rate
        self.hop = hop
        self.max_gap = max_gap

    @property
    def rate(self) -> int:  # type: ignore[override]
        """Samples a second of the hops."""
        return self._rate

    def __iter__(self) -> Iterator[Frame]:
        # Started now: an interrupt may come before the first frame is asked for.
        return self._hops(iter(self.source))

    def _hops(self, blocks: Iterator[Frame]) -> Generator[Frame, None, None]:
        cutter: _Cutter | None = None
        last: Frame | None = None
        index = segment = 0
        with closing(blocks) if isinstance(blocks, Generator) else nullcontext():
            for block in blocks:
                native = self.source.rate
                if not native:
                    raise SourceError(f"{self.name} does not know how many samples a second it has")
                begins = cutter is None or last is None or block.segment != last.segment
                if cutter is not None and (begins or not cutter.continues(block, native, self.max_gap)):
                    for frame in self._given(cutter, cutter.rest(), last or block, index, segment):
                        yield frame
                        index += 1
                    cutter, segment = None, segment + 1
                if cutter is None:
                    cutter = _Cutter(block.timestamp, native, self.rate, self.hop)
                found = cutter.feed(block)
                if cutter.filled:
                    report.count_refused(_innermost(self.source), LOST, cutter.filled)
                    cutter.filled = 0
                for frame in self._given(cutter, found, block, index, segment):
                    yield frame
                    index += 1
                last = block
        if cutter is not None and last is not None:
            yield from self._given(cutter, cutter.rest(), last, index, segment)

    def _given(
        self, cutter: _Cutter, hops: list[np.ndarray], block: Frame, index: int, segment: int
    ) -> Iterator[Frame]:
        for number, samples in enumerate(hops):
            at = cutter.next_time()
            yield Frame(samples, index + number, at, segment, block.source, block.captured, block.truth)


class _Cutter:
    """One segment: samples at the source's rate in, whole hops out."""

    def __init__(self, begun: float, native: int, rate: int, hop: int) -> None:
        self.begun, self.native, self.filled = begun, native, 0
        self._rate, self._hop = rate, hop
        self._fed = self._given = 0  # samples at the source's rate; hops
        self._kept = np.zeros(0, np.float32)  # samples that fill no hop yet
        self._resampler = None
        if native != rate:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)

    def _late(self, block: Frame) -> float:
        """Seconds by which a block comes after the end of the samples before it."""
        return block.timestamp - self.begun - self._fed / self.native

    def continues(self, block: Frame, native: int, max_gap: float) -> bool:
        """Whether a block belongs to this segment."""
        return native == self.native and -max_gap <= self._late(block) <= max_gap

    def feed(self, block: Frame) -> list[np.ndarray]:
        """The hops (hop,) float32 that are whole with this block."""
        samples, late = block.data, self._late(block)
        if late > JITTER:
            missing = round(late * self.native)
            samples = np.concatenate([np.zeros(missing, np.float32), samples])
            self.filled = -(-missing * self._rate // (self.native * self._hop))
        elif late < -JITTER:  # it was there already
            samples = samples[round(-late * self.native) :]
        return self._cut(self._resampled(samples))

    def rest(self) -> list[np.ndarray]:
        """The hops that are whole when nothing follows."""
        if self._resampler is None or not self._fed:
            return []
        return self._cut(_joined(self._resampler.resample(None)))

    def next_time(self) -> float:
        """Seconds of the next hop that is given."""
        self._given += 1
        return self.begun + (self._given - 1) * self._hop / self._rate

    def _resampled(self, samples: np.ndarray) -> np.ndarray:
        if self._resampler is None or not len(samples):
            self._fed += len(samples)
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self.native, self._fed, Fraction(1, self.native)
        self._fed += len(samples)
        return _joined(self._resampler.resample(frame))

    def _cut(self, samples: np.ndarray) -> list[np.ndarray]:
        kept = np.concatenate([self._kept, samples]) if len(self._kept) else samples
        whole = len(kept) // self._hop * self._hop
        self._kept = kept[whole:].copy()
        return [hop.clip(-1.0, 1.0) for hop in kept[:whole].reshape(-1, self._hop)]


def _joined(frames: list[av.AudioFrame]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)])


def _innermost(source: Source) -> Source:
    """The source whose health a wrapper shows."""
    while isinstance(source, Wrapper):
        source = source.source
    return source
