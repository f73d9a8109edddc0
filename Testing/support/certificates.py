"""Certificates for tests, made by openssl when they are needed: nobody's key lies in the project."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """PEM files: a certificate for "localhost" and 127.0.0.1, its key, and the authority that signed it."""

    certificate: Path
    key: Path
    authority: Path


def certificates(folder: Path, *names: str) -> dict[str, Certificate]:
    """A certificate of each name, all signed by one authority; skips the test where openssl is missing."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder.mkdir(parents=True, exist_ok=True)
    authority, its_key = folder / "authority.pem", folder / "authority.key"
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", its_key, "-out", authority)
    (folder / "facts").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    made = {}
    for name in names:
        key, wish, path = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        _openssl(*new, "-subj", f"/CN={name}", "-keyout", key, "-out", wish)
        signed = ("-CA", authority, "-CAkey", its_key, "-CAcreateserial", "-days", "2", "-extfile", folder / "facts")
        _openssl("x509", "-req", "-in", wish, *signed, "-out", path)
        made[name] = Certificate(path, key, authority)
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
