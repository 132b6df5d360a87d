"""Certificates that only their maker vouches for, as cameras, brokers and receivers at home have them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def make_certificate(
    folder: Path, name: str = "localhost", *, also: str = "", env: Mapping[str, str] | None = None
) -> tuple[Path, Path]:
    """The files of a certificate and of its key, made by openssl; ``also``: other names, as subjectAltName has them."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    if also:
        command += ["-addext", f"subjectAltName={also}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, env=env)
    return certificate, key
