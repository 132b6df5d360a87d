"""Each kind of part is added by one file and one registration: a toy of each is added here, and used."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from streamrec import EventSettings, Recognizer, Sink, Source, open_source, results
from streamrec.commands.app import app
from streamrec.evaluation import reports
from streamrec.evaluation.text_tables import text_of
from streamrec.nn import encoders, model
from streamrec.nn.config import ModelConfig
from streamrec.nn.encoders.base import Encoder
from streamrec.nn.heads import Head
from streamrec.notify import receivers
from streamrec.notify.dispatch_settings import DispatchSettings
from streamrec.notify.dispatcher import Dispatcher
from streamrec.outputs.plugins import SinkSettings, load_sink
from streamrec.settings import cameras_file
from streamrec.sources import open as open_module
from streamrec.types import ActionStarted, Frame, Prediction, Result
from tests.helpers.checks import check_streaming


class Gray(Source):
    """A source: ``gray:N`` gives N gray frames."""

    live = False

    def __init__(self, text: str, *, retries: int | None) -> None:
        self.name, self._count = text, int(text.partition(":")[2])

    def __iter__(self):
        for index in range(self._count):
            yield Frame(np.full((48, 64, 3), 128, np.uint8), index, index / 10, 0, self.name, 0.0)


def test_a_source_is_a_file_and_a_line_in_sources(monkeypatch):
    monkeypatch.setitem(open_module.SOURCES, "gray", Gray)
    assert open_module.file_of("gray:3") is None
    seen = [result.frame.index for result in results(open_source("gray:3"), Recognizer.load("synthetic"))]
    assert seen == [0, 1, 2]


class Means(Encoder):
    """An encoder: the mean colour of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_size = 3
        self.scale = nn.Parameter(torch.ones(3))

    def last_maps(self, height: int, width: int) -> tuple[nn.Module, ...]:
        return ()

    def forward(self, pictures, pace, fresh, cache, *_, **__):
        return pictures.mean((-1, -2)) * self.scale, cache


def test_an_encoder_is_a_file_and_a_line_in_encoders(monkeypatch):
    monkeypatch.setitem(encoders.ENCODERS, "means", lambda imagenet, height, width: Means())
    made = model.ActionModel(ModelConfig(labels=("idle", "wave"), encoder="means", hidden_size=8))
    check_streaming(made.eval())


class Last(Head):
    """A head without memory: a linear layer on the features of the frame."""

    def __init__(self, feature_size: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, outputs)

    def initial_memory(self, streams: int = 1):
        return (torch.zeros(streams, 1),)

    def forward(self, features, pace, fresh, memory):
        return self.linear(features), memory

    def step(self, features, pace, fresh, memory):
        return self.linear(features), memory


def test_a_head_is_a_file_and_a_line_in_heads(monkeypatch):
    monkeypatch.setitem(model.HEADS, "last", lambda config, features: Last(features, config.outputs))
    made = model.ActionModel(ModelConfig(labels=("idle", "wave"), head="last"))
    check_streaming(made.eval())


def a_result(*events) -> Result:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 0, 0.0, 0, "door", 0.0)
    return Result(frame, Prediction.of(np.array([0.1, 0.9], np.float32), 0.0, ("idle", "wave")), events)


def test_an_output_is_a_file_and_its_name_in_a_sink_table(tmp_path):
    (tmp_path / "counting.py").write_text(
        "from pathlib import Path\nfrom streamrec import Sink\n\n\nclass Counting(Sink):\n"
        "    def __init__(self, path):\n        self.path, self.count = path, 0\n"
        "    def write(self, result):\n        self.count += 1\n"
        "    def close(self):\n        Path(self.path).write_text(str(self.count))\n"
    )
    settings = SinkSettings(
        use="counting.py:Counting",
        options=(("path", str(tmp_path / "count")),),
        folder=str(tmp_path),
    )
    sink = load_sink(settings)
    assert isinstance(sink, Sink)
    with sink:
        for _ in range(3):
            sink.write(a_result())
    assert (tmp_path / "count").read_text() == "3"


@dataclass(frozen=True, kw_only=True)
class PagerSettings:
    """A ``[[pager]]`` table of cameras.toml."""

    number: str

    @property
    def receiver(self) -> str:
        return f"pager {self.number}"


class Pager(receivers.Receiver):
    """A receiver: takes each message out of the queue."""

    sent: list[tuple[str, str]]
    came: threading.Event

    def __init__(self, settings: PagerSettings, history, log) -> None:
        self._settings, self._history = settings, history

    def notify(self, announcement) -> None:
        for message in self._history.waiting(self._settings.receiver, limit=10):
            self._history.arrived(message)
            type(self).sent.append((self._settings.number, announcement.entry.label))
        type(self).came.set()

    def close(self, patience: float = 1.0) -> None:
        pass


def test_a_receiver_is_a_file_and_a_call_of_register(monkeypatch, tmp_path):
    monkeypatch.setattr(receivers, "KINDS", dict(receivers.KINDS))
    monkeypatch.setattr(receivers, "TABLES", tables := [*cameras_file.TABLES])
    monkeypatch.setattr(cameras_file, "TABLES", tables)
    Pager.sent, Pager.came = [], threading.Event()
    receivers.register("pager", PagerSettings, Pager)
    (tmp_path / "cameras.toml").write_text(
        '[[pager]]\nnumber = "17"\n\n[[camera]]\nname = "door"\naddress = "0"\n'
    )
    settings = DispatchSettings.of(cameras_file.read_watchfile(tmp_path / "cameras.toml", {}))
    with Dispatcher(settings, lambda message: None) as dispatcher:
        dispatcher.camera("door", actions=("wave",))
        dispatcher.write(a_result(ActionStarted("wave", 0.0, 0.9, "door")))
        dispatcher.settle()
        assert Pager.came.wait(60.0)
    assert ("17", "wave") in Pager.sent


class LongestRun:
    """A metric: the longest run of right frames, as a part of the clip; the mean over clips."""

    def __init__(self) -> None:
        self._runs: list[float] = []

    def update(self, playback) -> None:
        best = run = 0
        for right in playback.hits(("idle", "wave")):
            run = run + 1 if right else 0
            best = max(best, run)
        self._runs.append(best / len(playback.truth))

    def get(self) -> float | None:
        return sum(self._runs) / len(self._runs) if self._runs else None


def test_a_metric_is_a_class_and_a_line_in_metrics(monkeypatch):
    monkeypatch.setitem(reports.METRICS, "longest run", LongestRun)
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]], np.float32)
    played = reports.Playback(
        name="a", group="g", label="wave", truth=("wave",) * 4, timestamps=np.arange(4) / 10, probabilities=scores
    )  # fmt: skip
    report = reports.clip_report([played], ("idle", "wave"), EventSettings().background)
    assert report.to_dict()["longest run"] == 0.5
    assert "longest run" in text_of(report) and "50.0" in text_of(report)


def test_a_command_is_a_function_and_a_line_in_app(monkeypatch):
    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])

    def greet(name: str) -> None:
        """Greet somebody."""
        typer.echo(f"hello {name}")

    app.command()(greet)
    assert "greet" in CliRunner().invoke(app, ["--help"]).output
    assert CliRunner().invoke(app, ["greet", "world"]).output == "hello world\n"
