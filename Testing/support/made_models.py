"""A made model with arrays of every kind, and its file taken apart and put together as the safetensors format says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import PRESETS

CARD = {"modality": "MRI T1", "trained_on": {"scans": 3, "digests": ["ab", "cd"]}, "tau": 6.6, "rebuilds_images": False, "note": "Größe ✓"}


def make_model() -> Model:
    """A new one at each call, always the same: numbers that are hard to keep, and every dtype that a file can hold."""
    arrays = {
        "network/weight": np.random.default_rng(1).standard_normal((3, 4, 5)).astype(np.float32),
        "normality/rho": np.array(0.1 + 0.2),
        "normality/half": np.array([1.5, -0.0, 65504], np.float16),
        "normality/strange": np.array([np.nan, np.inf, 5e-324]),
        "intensity/table": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "intensity/used": np.array([True, False]),
        "network/steps": np.array([2**62], np.int64),
        "network/order": np.array([-7, 7], np.int32),
        "network/none": np.zeros((0, 3), np.float32),
    }
    return Model(PRESETS["standard"], arrays, {"contiguity": 0.5, "peaks": [1.0, 0.1 + 0.2]}, dict(CARD))


def split(path: Path) -> tuple[dict, bytes]:
    """The header and the bytes of the arrays, read as the safetensors format says and not by our code."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(path: Path, header: object, rest: bytes) -> None:
    """Write a file of such a header, which may be anything (bytes as they are), and such bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def rewrite(path: Path, **metadata: str) -> None:
    """Change entries of the metadata in the header; all else stays as it is, also a checksum that no longer fits."""
    header, rest = split(path)
    header["__metadata__"].update(metadata)
    join(path, header, rest)
