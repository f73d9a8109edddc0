"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import InvDetectError


def check_writable(folder: Path, what: str) -> None:
    """Make `folder` and try to write in it: better now than after hours of work. Raises `InvDetectError`; `what` as in `write_whole`."""
    probe = folder / f".invdetect-{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InvDetectError(f"The {what} cannot be written to {folder}: {reason}. Choose a folder that is writable.") from error


def write_whole(target: Path, content: bytes, what: str) -> None:
    """Write `content` to `target` through a temporary file beside it, so that no reader ever meets half of it.

    what  names the thing in the `InvDetectError` that a full disk or a read-only folder raises ("model", "checkpoint").
    Missing folders are made; nothing is left behind on failure, and an older file stays as it was.
    """
    temporary = target.with_name(f".invdetect-{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        remedy = "Choose a folder that is writable and has room."
        raise InvDetectError(f"The {what} cannot be written to {target}: {reason}. {remedy}") from error
