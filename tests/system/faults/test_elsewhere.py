"""What streamrec says of what is no camera at all: each end is a clear sentence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.faults.elsewhere import ELSEWHERE, NO_WEBCAM, cut_file, whole_file
from tests.system.faults.trial import Trial, run_elsewhere

NOTICE_SECONDS = 10.0


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("elsewhere")
    addresses = {name: make(folder) for name, make in ELSEWHERE.items()}
    with ThreadPoolExecutor(3) as pool:
        done = pool.map(lambda item: run_elsewhere(*item, "streamrec"), addresses.items())
        return dict(zip(ELSEWHERE, done, strict=True))


@pytest.mark.parametrize("what", ELSEWHERE)
def test_it_comes_to_an_end_with_a_sentence(trials: dict[str, Trial], what: str) -> None:
    trial = trials[what]
    assert trial.end is not None, "it still tries"
    assert trial.end[0] - trial.started < NOTICE_SECONDS
    assert len(trial.sentence.split()) >= 4
    assert "Traceback" not in trial.output


@pytest.mark.parametrize("what", [what for what in ELSEWHERE if what != "file cut in half"])
def test_what_gives_no_picture_is_an_error_of_the_source(trials: dict[str, Trial], what: str) -> None:
    trial = trials[what]
    assert trial.seen == []
    assert trial.end is not None
    assert trial.end[2] == "SourceError"
    assert "live" not in [told.state for told in trial.told]


def test_the_sentence_names_what_was_meant(trials: dict[str, Trial]) -> None:
    names = {"webcam that is not there": NO_WEBCAM, "empty file": "empty", "text file named .mp4": "text.mp4"}
    for what, name in names.items():
        assert name in trials[what].sentence


def test_of_a_file_cut_in_half_the_half_that_is_there_is_read(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    assert Path(cut_file(tmp_path)).stat().st_size * 2 <= whole_file(tmp_path).stat().st_size + 1
    assert 10 <= len(trials["file cut in half"].seen) <= 30


def test_a_file_cut_in_half_is_not_said_to_have_come_to_its_end(trials: dict[str, Trial]) -> None:
    said = trials["file cut in half"].sentence
    assert any(word in said for word in ("cut", "damaged", "missing", "early", "incomplete")), said
