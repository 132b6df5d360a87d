"""A room that listens: a model that has learned a door bell and a siren finds both in a noisy minute."""

import argparse
import wave
from pathlib import Path

import numpy as np

from streamrec import Recognizer, StreamrecError, results

RATE = 16_000  # samples a second


def bell(random):  # a stroke on metal
    t, pitch = np.arange(int(1.5 * RATE)) / RATE, random.uniform(550, 750)
    return sum(np.exp(-2 * k * t) * np.sin(2 * np.pi * k * pitch * t) / k for k in (1.0, 2.8, 5.4))


def siren(random):  # a tone that rises and falls twice a second
    t, pitch = np.arange(int(2.5 * RATE)) / RATE, random.uniform(900, 1_100)
    return np.sin(2 * np.pi * pitch * t - 40 * np.cos(4 * np.pi * t))


def write(path, sound):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((32_767 * sound).astype("<i2").tobytes())


def draw(folder):  # ten clips of each sound, and a minute with a bell at 10 and 40 s and a siren at 25 s
    random = np.random.default_rng(0)
    for n, sound in enumerate((bell, siren) * 10):
        write(folder / "sounds" / sound.__name__ / f"{n}.wav", 0.3 * sound(random))
    minute = 0.01 * random.normal(size=60 * RATE)
    for second, sound in ((10, bell), (25, siren), (40, bell)):
        drawn = 0.2 * sound(random)
        minute[second * RATE :][: len(drawn)] += drawn
    write(folder / "minute.wav", minute)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="mic:, a file, a camera's rtsp://...#sound; with --draw, a folder")
    parser.add_argument("--model", default="room.safetensors", help="a model of sounds that you trained")
    parser.add_argument("--draw", action="store_true", help="draw sounds to learn from, and a minute")
    given = parser.parse_args()
    try:
        if given.draw:
            return draw(Path(given.source))
        for result in results(given.source, Recognizer.load(given.model)):
            for event in result.events:
                print(f"{result.frame.timestamp:6.2f} s  {type(event).__name__} {event.label}", flush=True)
    except (StreamrecError, OSError) as error:
        parser.exit(1, f"sound: {error}\n")


if __name__ == "__main__":
    main()
