"""Who made the objects, of what, and under which UIDs: the same result of the same series always gets the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.uid import UID

from ...common import __version__
from ...results import Result
from .terms import SCHEME

NAME = "InvDetect"  # by which `scans` knows maps of its own, too
_OURS = UUID("2f9f4b1c-7b0e-4a57-9d4b-63f1c0a4d9e2")
_LONG = 64  # letters of a short text


def uid(*words: str) -> UID:
    """A UID below 2.25 (a UUID as a number), the same for the same words."""
    return UID(f"2.25.{uuid5(_OURS, json.dumps(words)).int}")


class Identity:
    """What the objects of one result say of the program, the model and themselves.

    checksum  of the model, 64 digits; "unknown" where the result does not tell
    """

    def __init__(self, result: Result, series: str, model_name: str) -> None:
        """series  UID of the series that was examined;  model_name  for people, may be empty"""
        self.checksum = line(_told(result, "model", "checksum")) or "unknown"
        self.model_name = line(model_name)
        controls = asdict(result.controls)
        self.parameters = {
            **({"model": self.model_name} if self.model_name else {}),
            "checksum": self.checksum,
            "threshold": f"{controls['threshold']:.6g}",
            "contiguity": f"{controls['contiguity']:g}",
            "refined": "yes" if controls["scr"] else "no",
        }
        parts = [self.checksum, str(_told(result, "scan", "digest")), series, json.dumps(controls, sort_keys=True)]
        content = sha256("\n".join(parts).encode())
        content.update(np.ascontiguousarray(result.anomaly_map, "<f4").tobytes())
        content.update(np.packbits(result.mask).tobytes())
        self._result = content.hexdigest()

    def uid(self, *words: str) -> UID:
        """One that belongs to this result; `words` say what of it."""
        return uid(self._result, *words)

    def equipment(self) -> dict[str, Any]:
        """The arguments by which highdicom is told who made an object, and for what."""
        return {
            "manufacturer": NAME,
            "manufacturer_model_name": NAME,
            "software_versions": __version__,
            "device_serial_number": self.checksum,
            "content_qualification": "RESEARCH",
            "coding_schemes": [CodingSchemeIdentificationItem(SCHEME, name=NAME, responsible_organization=NAME)],
        }

    def described(self, what: str) -> str:
        """A series' description."""
        return line(f"{NAME}: {what}, {self.model_name}" if self.model_name else f"{NAME}: {what}")


def _told(result: Result, part: str, fact: str) -> Any:
    """What the provenance says, which may come from anywhere."""
    facts = result.provenance.get(part)
    return facts.get(fact, "") if isinstance(facts, Mapping) else ""


def line(text: Any) -> str:
    """A text as DICOM's short ones may be: one line of at most 64 letters, without the sign that parts values."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(text)).replace("\\", "/")
    return " ".join(printable.split())[:_LONG].strip()
