"""Windows of endless streams of speech: each holds whole words, and begins and ends in a pause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamrec.data.decode_cache import Recording
from streamrec.errors import DataError
from streamrec.nn.sound import SoundTransform
from streamrec.train.speech_streams import (
    REPORTED,
    Scene,
    SpeechAugmentation,
    Spoken,
    Word,
    in_order,
    spoken,
    varied,
    words_of,
)
from streamrec.train.stream_windows import Batch, WindowSettings

_PAUSE_HOPS = 2  # the least before, between and behind words
SAME_SCENE = 3  # windows of a stream, one behind the other, with the same voice, room and noise
PAUSES = (0.1, 1.0)  # seconds between the words of streams that are measured on
STREAM_SECONDS = 30.0  # length of such a stream


class SpeechWindows:
    """N endless streams of speech, read a window at a time; as ``StreamWindows``, of recordings of single words.

    The state is carried from window to window. ``carry``: the probability that a new scene (another voice, room and
    noise) follows as a hard cut. All random draws follow from (seed, stream, window), so ``position`` is all that is
    needed to go on exactly.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        settings: WindowSettings,
        transform: SoundTransform,
        blank: int,
    ) -> None:
        how = settings.augmentation
        self._how = how if isinstance(how, SpeechAugmentation) else SpeechAugmentation().scaled(0.0)
        self.settings = settings
        self._transform, self._blank = transform, blank
        words = words_of(recordings, transform.rate, blank)
        self._check_fit(words)
        groups = sorted({word.group for word in words})
        self._voices = [[word for word in words if word.group == group] for group in groups]
        self.position = np.zeros((settings.streams, 2), np.int64)  # windows begun, and 0

    def _check_fit(self, words: Sequence[Word]) -> None:
        """Raise ``DataError`` for a label of whose words none fits into a window: it would never be played."""
        hop, rate = self._transform.hop, self._transform.rate
        pause = max(_PAUSE_HOPS * hop, round(self._how.pauses[0] * rate))
        behind = _PAUSE_HOPS * hop + math.ceil(REPORTED[1] * rate / hop) * hop
        room = self.settings.window * hop - pause - behind
        shortest: dict[int, int] = {}
        for word in words:
            shortest[word.target] = min(len(word.samples), shortest.get(word.target, len(word.samples)))
        if (longest := max(shortest.values())) > room:
            least = -(-(longest + self.settings.window * hop - room) // hop)
            raise DataError(
                f"words of {longest / rate:.1f} s do not fit into windows of {self.settings.window} hops "
                f"({self.settings.window * hop / rate:.1f} s): give --window {least} or more, or cut the recordings "
                "into single words"
            )

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        made = [self._window(stream) for stream in range(len(self.position))]
        self.position += (1, 0)
        count, steps = len(made), self.settings.window
        return Batch(
            np.stack([samples for samples, _, _ in made]),
            np.stack([elapsed for _, elapsed, _ in made]),
            np.stack([targets for _, _, targets in made]),
            np.ones((count, steps), np.float32),
            np.full((count, steps, 2), np.nan, np.float32),
            self.position.copy(),
        )

    def _window(self, stream: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hops of samples (T, H), seconds since the hop before (T,), labels (T,)."""
        number, how = int(self.position[stream, 0]), self._how
        steps, hop, rate = self.settings.window, self._transform.hop, self._transform.rate
        rng = np.random.default_rng((self.settings.seed, stream, number))
        shared = np.random.default_rng((self.settings.seed, stream, number // SAME_SCENE, 1))
        scene = Scene.drawn(shared, how, len(self._voices))
        words = () if rng.random() < how.empty else self._voices[scene.group]
        before, after = (math.ceil(seconds * rate / hop) for seconds in REPORTED)
        room = (steps - after) * hop
        made = spoken(rng, words, room, rate, how, pitch=scene.pitch, least_pause=_PAUSE_HOPS * hop)
        clean = Spoken(np.pad(made.samples, (0, after * hop)), made.words)
        noisy = varied(rng, clean, rate, how, scene)
        elapsed = np.full(steps, hop / rate, np.float32)
        if not number or (number % SAME_SCENE == 0 and rng.random() >= self.settings.carry):
            elapsed[0] = np.inf
        return noisy.samples.reshape(steps, hop), elapsed, noisy.endings(hop, self._blank, before, after)


def streams_of(recordings: Sequence[Recording], transform: SoundTransform, blank: int) -> list[Recording]:
    """Streams to measure on: the words of each group as they are, in a drawn order, with pauses between them."""
    rng = np.random.default_rng(0)
    words = words_of(recordings, transform.rate, blank)
    found = []
    for group in sorted({word.group for word in words}):
        own = [word for word in words if word.group == group]
        own = [own[n] for n in rng.permutation(len(own))]
        while own:
            seconds, count = 0.0, 0
            while count < len(own) and seconds < STREAM_SECONDS:
                seconds += len(own[count].samples) / transform.rate + sum(PAUSES) / 2
                count += 1
            stream = in_order(rng, own[:count], transform.rate, PAUSES, transform.hop)
            own = own[count:]
            hops = stream.samples.reshape(-1, transform.hop)
            times = np.arange(len(hops)) / transform.fps
            found.append(Recording(hops, times, stream.targets(transform.hop, blank), group))
    return found


def without_variation(how: SpeechAugmentation) -> SpeechAugmentation:
    """Words as they are, at one level, with the same pauses."""
    return replace(how.scaled(0.0), level=(-26.0, -26.0))
