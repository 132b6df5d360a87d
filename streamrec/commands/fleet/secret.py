"""The one secret of a fleet: from it come the token of its cluster, and the key that seals what is sent to groups."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from streamrec.core.files import open_private, too_open
from streamrec.core.messages import why
from streamrec.errors import SettingsError, need

need("cryptography", extra="fleet")

from cryptography.fernet import Fernet, InvalidToken  # noqa: E402

_BYTES = 32
_HEAD = "streamrec fleet "  # how the file begins


class FleetKey:
    """The secret. Only its token travels, in every call of the cluster; the key that seals never does.

    >>> key = FleetKey(b"0" * 32)
    >>> key.unseal(key.seal(b"rtsp://me:secret@10.0.0.7"))
    b'rtsp://me:secret@10.0.0.7'
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "<FleetKey>"

    @property
    def token(self) -> str:
        """What a process must have to speak to the cluster."""
        return self._derived("token").hex()

    def seal(self, data: bytes) -> bytes:
        """Encrypt, and make changes detectable."""
        return self._fernet.encrypt(data)

    def unseal(self, data: bytes) -> bytes:
        """Raises ``SettingsError`` for what was sealed with another key, or changed on the way."""
        try:
            return self._fernet.decrypt(data)
        except InvalidToken as error:
            raise SettingsError("the settings were sealed with another key of a fleet") from error

    @property
    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self._derived("seal")))

    def _derived(self, purpose: str) -> bytes:
        return hmac.new(self._secret, f"streamrec fleet: {purpose}".encode(), hashlib.sha256).digest()

    @classmethod
    def create(cls, path: Path) -> FleetKey:
        """A new secret in a file that its owner alone can read; raises ``SettingsError``."""
        secret = secrets.token_bytes(_BYTES)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_private(path, "x") as file:
                file.write(f"{_HEAD}{secret.hex()}\n")
        except OSError as error:
            raise SettingsError(f"the key of the fleet cannot be written to {path}: {why(error)}") from error
        return cls(secret)

    @classmethod
    def read(cls, path: Path) -> FleetKey:
        """The secret of a file; raises ``SettingsError``, which quotes nothing of it."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SettingsError(
                f"there is no key at {path}: `streamrec fleet` writes one on the head; copy it to this machine"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the key at {path} cannot be read: {why(error)}") from error
        try:
            secret = bytes.fromhex(text.strip().removeprefix(_HEAD))
        except ValueError:
            secret = b""
        if not text.startswith(_HEAD) or len(secret) != _BYTES:
            raise SettingsError(f"{path} is no key of a fleet: copy the file that `streamrec fleet` wrote")
        if warning := too_open(path):
            raise SettingsError(f"{warning}; a key of a fleet must be readable by its owner alone")
        return cls(secret)
