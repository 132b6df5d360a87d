"""What listening costs: CPU time of a video alone, of the same video with its sound, and of each part of the sound.

``python -m benchmarks.listening [--seconds 40] [--rounds 4] [--model fight]``. The runs take turns in one process, so
that the ratio means something on a busy machine. The model of sound has the default size and is not trained, which
costs the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch

from streamrec import ActionModel, ModelConfig, Recognizer, SoundTransform, results, save_model
from streamrec.pipeline.listening import Listener
from streamrec.pipeline.result_builder import ResultBuilder
from streamrec.sources.open import open_source
from streamrec.sources.sound_hops import Hops
from tests.helpers.sounds import write_media


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--model", default="fight")
    given = parser.parse_args()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        clip, file = Path(name) / "clip.mp4", Path(name) / "sound.safetensors"
        still = [draw.integers(0, 255, (360, 640, 3), np.uint8) for _ in range(10)]
        pictures = [still[n % 10] for n in range(25 * given.seconds)]
        noise = draw.normal(0, 0.1, 48_000 * given.seconds).astype(np.float32)
        write_media(clip, noise, 48_000, codec="aac", pictures=pictures)
        torch.manual_seed(0)
        transform = SoundTransform()
        config = ModelConfig(
            labels=("quiet", "glass"), encoder="sound-cnn", transform=transform, fps=transform.fps
        )
        save_model(file, ActionModel(config).eval())
        video, sound = Recognizer.load(given.model, threads=1), Recognizer.load(file, threads=1)

        def watched(listens: bool) -> None:
            builder = ResultBuilder(video, "clip")
            if listens:
                listener = Listener(open_source(f"{clip}#sound"), sound, name="sound")
                builder.listening(listener, given.model)
            deque(results(open_source(clip), video, builder=builder), maxlen=0)

        parts = {
            "pictures alone": lambda: watched(False),
            "pictures and sound": lambda: watched(True),
            "decoding the sound": lambda: deque(open_source(f"{clip}#sound"), maxlen=0),
            "decoding, resampling, hops": lambda: deque(
                Hops(open_source(f"{clip}#sound"), 16_000, 1_280), maxlen=0
            ),
            "the model of sound and all before it": lambda: deque(results(f"{clip}#sound", sound), maxlen=0),
        }
        took: dict[str, list[float]] = {part: [] for part in parts}
        for _ in range(given.rounds):
            for part, run in parts.items():
                begun = time.process_time()
                run()
                took[part].append((time.process_time() - begun) / given.seconds)
        for part, times in took.items():
            print(f"{part:38} {1000 * statistics.median(times):7.2f} ms CPU a second of stream")
        pairs = zip(took["pictures and sound"], took["pictures alone"], strict=True)
        ratios = sorted(both / alone for both, alone in pairs)
        print(f"with sound / without: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
