"""Spoken words from files to a model: composed streams in training, and streams to measure on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrec import Recognizer, results
from streamrec.train.job import TrainJob
from streamrec.train.recipes import put_together
from tests.helpers.sounds import tone, write_media


def test_words_are_learned_from_files_and_measured_in_streams_of_voices_left_out(tmp_path, capsys):
    folder = tmp_path / "words"
    for label in ("yes", "no"):
        (folder / label).mkdir(parents=True)
    rows = ["clip,label,group"]
    for speaker, higher in (("anna", 0.0), ("ben", 5.0)):
        for label, hertz in (("yes", 300.0), ("no", 900.0)):
            for take in range(2):
                path = folder / label / f"{speaker}{take}.wav"
                write_media(path, tone(8000, 0.3, hertz + higher + 20 * take), 8000)
                rows.append(f"{label}/{path.name},{label},{speaker}")
    (folder / "index.csv").write_text("\n".join(rows))
    config, settings, _ = put_together("speech", settings={"steps": 2, "streams": 2})
    out = tmp_path / "words.safetensors"
    job = TrainJob(data=(str(folder),), out=out, config=config, settings=settings, hold_out=0.5, score="none")
    replace(job, threads=1).run()
    printed = capsys.readouterr().err
    assert "on 1 held-out streams of 4 words: label error rate" in printed
    recognizer = Recognizer.load(out)
    assert recognizer.labels == ("no", "yes", "background")
    write_media(tmp_path / "call.wav", np.concatenate([tone(8000, 0.3), np.zeros(8000, np.float32)]), 8000)
    found = list(results(str(tmp_path / "call.wav"), recognizer))
    assert len(found) == 32
    assert all(result.prediction.probabilities.shape == (3,) for result in found)
