"""How well the recipe ``digits`` understands a voice that it did not learn from, in endless streams of spoken digits.

    python benchmarks/spoken_digits.py digits.zip digits/
    python benchmarks/speech.py digits/ --sounds sounds/ --out runs/speech

Each fold leaves one speaker out, and is trained with each seed (a model file each, so that a stopped run goes on). All
words of that speaker, as they were recorded, follow each other in a drawn order, with pauses of 0.1 to 1.5 seconds, in
one stream; once more with sounds that are no speech mixed in. The digit error rate is the edit distance between the
events and the words, over the words. The delay is from the end of a word to the end of the hop that gave its event. The
sounds alone have no word in them: each event is false. Intervals are of 95 %: by bootstrap over speakers, that of false
words exact for a Poisson process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamrec.data.clips import Clip, find_clips, labels_of
from streamrec.data.decode_cache import Recording, decode_clips
from streamrec.evaluation.intervals import bootstrap_interval, poisson_interval
from streamrec.evaluation.metrics import edit_distance
from streamrec.events.detector import EventDetector
from streamrec.nn.model import ActionModel
from streamrec.nn.sound import SoundTransform
from streamrec.runtime.checkpoint import Checkpoint, load_model, write_checkpoint
from streamrec.runtime.export import weights_of
from streamrec.train.ctc import blank_of
from streamrec.train.job import TrainJob
from streamrec.train.recipes import find_recipe, put_together
from streamrec.train.speech_streams import Spoken, decibels, in_order, rms, words_of
from streamrec.train.training_data import TrainData
from streamrec.types import ActionStarted

PAUSES = (0.1, 1.5)  # seconds
BELOW = (20.0, 10.0, 5.0)  # decibels that a mixed sound is below the voice
LATEST = 0.8  # seconds behind the end of a word in which its event may come
CHUNK = 500  # hops at once
ROUNDS = 1000


@dataclass(frozen=True)
class Streamed:
    """The numbers of one stream."""

    words: int
    wrong: int  # edit distance
    found: int  # events
    delays: tuple[float, ...]  # seconds, of the words whose event is right


@torch.inference_mode()
def events_of(model: ActionModel, samples: np.ndarray, enter: float | None = None) -> list[tuple[float, str]]:
    """(seconds, label): the words that are reported, each at the end of the hop that gave its event.

    ``enter``: in place of the model's own.
    """
    transform, config = model.config.transform, model.config
    assert isinstance(transform, SoundTransform)
    hops = torch.from_numpy(samples.reshape(1, -1, transform.hop))
    state, found = model.initial_state(), []
    elapsed = torch.full(hops.shape[:2], 1.0 / transform.fps)
    elapsed[:, 0] = torch.inf
    for start in range(0, hops.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        outputs, state = model(hops[:, part], elapsed[:, part], state)
        found.append(torch.softmax(model.split(outputs[0])[0], -1).numpy())
    times = (np.arange(hops.shape[1]) / transform.fps).tolist()
    events = config.events if enter is None else replace(config.events, enter=enter)
    detector = EventDetector(config.labels, events)
    return [
        ((number + 1) / transform.fps, event.label)
        for number, event in detector.replay(times, np.concatenate(found))
        if isinstance(event, ActionStarted)
    ]


def measured(model: ActionModel, stream: Spoken, enter: float | None = None) -> Streamed:
    """Of one stream of words."""
    transform = model.config.transform
    assert isinstance(transform, SoundTransform)
    found = events_of(model, stream.samples, enter)
    true = [(a / transform.rate, b / transform.rate, model.config.labels[n]) for a, b, n in stream.words]
    delays, left = [], list(found)
    for begun, end, label in true:
        match = next((one for one in left if one[1] == label and begun <= one[0] <= end + LATEST), None)
        if match is not None:
            left.remove(match)
            delays.append(match[0] - end)
    wrong = edit_distance([label for _, label in found], [label for _, _, label in true])
    return Streamed(len(true), wrong, len(found), tuple(delays))


def mixed(rng: np.random.Generator, stream: Spoken, sounds: Sequence[np.ndarray], below: float) -> Spoken:
    """The stream with sounds, one behind the other, each so many decibels below the words."""
    level = rms(np.concatenate([stream.samples[a:b] for a, b, _ in stream.words]))
    parts, length = [], 0
    while length < len(stream.samples):
        one = sounds[int(rng.integers(len(sounds)))]
        parts.append(one * np.float32(decibels(-below) * level / max(rms(one), 1e-5)))
        length += len(one)
    samples = stream.samples + np.concatenate(parts)[: len(stream.samples)]
    return replace(stream, samples=np.clip(samples, -1.0, 1.0).astype(np.float32))


def decoded_all(clips: Sequence[Clip], transform: SoundTransform, labels: tuple[str, ...]) -> list[Recording]:
    """The recordings of these files; raises the error of one that cannot be read."""
    found = []
    for _, one in decode_clips(clips, transform, labels):
        if not isinstance(one, Recording):
            raise one
        found.append(one)
    return found


def trained(job: TrainJob, data: TrainData, path: Path) -> ActionModel:
    """The model of these recordings, from its file where there is one."""
    if not path.exists():
        model = job.fit(data)
        write_checkpoint(path, Checkpoint(path.stem, model.config, weights_of(model), None))
        for resumed in job.resumes:
            resumed.unlink(missing_ok=True)
    return load_model(path)


def table_of(found: dict[str, list[tuple[str, Streamed]]]) -> dict[str, dict[str, object]]:
    """Condition -> its numbers, over all seeds and speakers."""
    table: dict[str, dict[str, object]] = {}
    for condition, pairs in found.items():
        groups = [speaker for speaker, _ in pairs]
        counts = np.array([(one.wrong, one.words) for _, one in pairs], float)

        def rate(drawn: np.ndarray) -> float:
            return float(100.0 * drawn[:, 0].sum() / drawn[:, 1].sum())

        delays = [delay for _, one in pairs for delay in one.delays]
        table[condition] = {
            "DER %": rate(counts),
            "interval": bootstrap_interval(counts, groups, rate, rounds=ROUNDS)
            if len(set(groups)) > 1
            else None,
            "by speaker": {g: rate(counts[[x == g for x in groups]]) for g in sorted(set(groups))},
            "found %": 100.0 * len(delays) / counts[:, 1].sum(),
            "delay s": {q: float(np.quantile(delays, q)) for q in (0.05, 0.5, 0.95)} if delays else None,
        }
    return table


def rate_of(false: Sequence[int], hours: float) -> dict[str, object]:
    """False words an hour, of models that were given so many hours each."""
    whole = len(false) * hours
    low, high = (bound / whole for bound in poisson_interval(sum(false)))
    return {
        "false words an hour": sum(false) / whole,
        "interval": (low, high),
        "hours": whole,
        "by model": list(false),
    }


def main() -> None:
    """Train what is missing, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder")
    parser.add_argument("--sounds", help="a folder of sounds that are no speech, a folder a label")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--speakers", nargs="+", help="to leave out, one after the other; by default each")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--enter", type=float, help="probability of a word, in place of the model's own")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = find_clips(arguments.folder)
    changes = {} if arguments.steps is None else {"steps": arguments.steps}
    config, settings, _ = put_together("digits", settings=changes)
    job = TrainJob(
        data=(arguments.folder,),
        out=arguments.out / "x.safetensors",
        config=config,
        settings=settings,
        score=find_recipe("digits").score,
    )
    transform = config.transform
    assert isinstance(transform, SoundTransform)
    labels = (*labels_of(clips), "background")
    config = replace(config, labels=labels, events=replace(config.events, background=("background",)))
    recordings = decoded_all(clips, transform, labels)
    sounds = []
    if arguments.sounds:
        other = find_clips(arguments.sounds)
        sounds = [one.pictures.reshape(-1) for one in decoded_all(other, transform, labels_of(other))]
    whole = np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
    found: dict[str, list[tuple[str, Streamed]]] = {}
    false: list[int] = []
    for seed in arguments.seeds:
        for speaker in arguments.speakers or sorted({clip.group for clip in clips}):
            path = arguments.out / f"seed{seed}-{speaker}.safetensors"
            one = replace(job, out=path, settings=replace(settings, seed=seed))
            model = trained(
                one, TrainData(config, [r for r in recordings if r.group != speaker], [], []), path
            )
            rng = np.random.default_rng(1)
            own = [r for r in recordings if r.group == speaker]
            words = words_of(own, transform.rate, blank_of(labels))
            words = [words[n] for n in rng.permutation(len(words))]
            stream = in_order(rng, words, transform.rate, PAUSES, transform.hop)
            streams = {"as recorded": stream}
            streams |= {f"{b:g} dB": mixed(rng, stream, sounds, b) for b in BELOW if sounds}
            for name, played in streams.items():
                found.setdefault(name, []).append((speaker, measured(model, played, arguments.enter)))
                wrong = 100.0 * found[name][-1][1].wrong / len(words)
                print(f"seed {seed}, {speaker}, {name}: {wrong:.1f} % wrong", flush=True)
            if sounds:
                false.append(len(events_of(model, whole, arguments.enter)))
                print(f"seed {seed}, {speaker}, sounds alone: {false[-1]} words", flush=True)
            table = table_of(found)
            if sounds:
                table["sounds alone"] = rate_of(false, len(whole) / transform.rate / 3600.0)
            rows = {name: [asdict(one) | {"speaker": s} for s, one in pairs] for name, pairs in found.items()}
            (arguments.out / "report.json").write_text(json.dumps({"table": table, "streams": rows}))
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
