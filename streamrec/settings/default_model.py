"""The model of a source for which none is named."""

from __future__ import annotations

from streamrec.core.redact import redact_address
from streamrec.errors import SettingsError
from streamrec.runtime.checkpoint import find_model, read_checkpoint, shipped_models
from streamrec.settings.tuned_file import DEFAULT_MODEL
from streamrec.sources.microphone import PREFIX
from streamrec.sources.open import is_camera_address, is_webcam, without_sound
from streamrec.sources.sound_files import is_sound_file
from streamrec.sources.tables import is_table

WEBCAM_MODEL = "webcam"
SIGNAL_MODEL = "motion"  # of a table of readings
SOUND_MODEL = "digits"  # of a microphone, and of sound


def default_model(source: str) -> str:
    """The model for a source: a webcam's own, that of a table of readings, that of sound, else the general one.

    Raises ``SettingsError`` for the address of a camera: what it is to watch for has to be given, since a camera over
    a street and one in a bedroom want different models.

    >>> default_model("0"), default_model("party.mp4"), default_model("readings.csv"), default_model("mic:")
    ('webcam', 'fight', 'motion', 'digits')
    """
    if is_webcam(source):
        return WEBCAM_MODEL
    if is_table(source):
        return SIGNAL_MODEL
    named, text = without_sound(source)
    if named or source.strip().partition(":")[0] == PREFIX or is_sound_file(text):
        return SOUND_MODEL
    if not is_camera_address(source):
        return DEFAULT_MODEL
    offers = (
        f"{name} ({read_checkpoint(find_model(name)).config.about.rstrip('.')})" for name in shipped_models()
    )
    raise SettingsError(
        f"{redact_address(source)}: say with --model what is to be watched for: {', '.join(offers)}, or a model file "
        "of your own"
    )
