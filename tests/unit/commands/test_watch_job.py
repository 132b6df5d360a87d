"""What a watch does about people, by its options, its cameras and their models."""

from __future__ import annotations

from pathlib import Path

from streamrec.commands.watch_job import WatchJob
from streamrec.settings.resolve import Following

BOTH, SEEN, NEITHER = Following(people=True, per_person=True), Following(people=True), Following()


def test_an_option_counts_for_cameras_whose_models_can_and_a_camera_goes_before_it():
    def follows(models: list[str], camera: bool | None = None, **options: bool) -> Following:
        return WatchJob(path=Path("cameras.toml"), **options).follows(models, camera)

    assert follows(["fall"]) == BOTH and follows(["fight"]) == NEITHER
    assert follows(["fight"], people=True, per_person=True) == SEEN  # it judges whole pictures
    assert follows(["synthetic"], people=True, per_person=True) == NEITHER
    assert follows(["fall"], per_person=False) == SEEN == follows(["fall"], False, per_person=True)
    assert follows(["workout"], per_person=True) == BOTH == follows(["workout"], True)
    assert follows(["fall"], people=False) == NEITHER
