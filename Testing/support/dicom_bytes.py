"""DICOM files written byte by byte, so that the library that reads them has not written them too."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from Testing.support.made_scans import voxels


def write_dicom(path: Path, pixels: np.ndarray, **values: Any) -> Path:
    """A minimal DICOM file (explicit little endian); values by name below, None leaves an element out. Grey uint16 or RGB uint8."""
    colour = pixels.ndim == 3 and "frames" not in values
    facts: dict[str, Any] = {
        "position": (0.0, 0.0, 0.0), "axes": (1.0, 0, 0, 0, 1, 0), "spacing": (0.5, 0.25), "thickness": 2.0, "series": "1.2.3",
        "storage": "1.2.840.10008.5.1.4.1.1.4", "slope": 1, "offset": 0, "photometric": "RGB" if colour else "MONOCHROME2", "frames": None,
        "syntax": "1.2.840.10008.1.2.1", "fragment": None,
    } | values  # fmt: skip
    name = path.name.encode().hex()

    def element(group: int, number: int, kind: str, value: Any) -> bytes:
        if value is None:
            return b""
        if kind == "US":
            data = struct.pack("<H", value)
        elif isinstance(value, bytes):
            data = value
        else:
            data = ("\\".join(f"{v}" for v in value) if isinstance(value, tuple) else str(value)).encode()
        data += (b"\0" if kind in ("UI", "OW", "OB") else b" ") * (len(data) % 2)
        length = struct.pack("<HI", 0, len(data)) if kind in ("OW", "OB") else struct.pack("<H", len(data))
        return struct.pack("<HH", group, number) + kind.encode() + length + data

    instance = f"1.2.{int(name[-12:], 16)}.{abs(hash(name)) % 10**6}"
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", facts["storage"]) + element(2, 3, "UI", instance)
    meta += element(2, 0x10, "UI", facts["syntax"])
    body = element(8, 0x16, "UI", facts["storage"]) + element(8, 0x18, "UI", instance) + element(8, 0x60, "CS", "MR")
    body += element(0x18, 0x50, "DS", facts["thickness"]) + element(0x20, 0xD, "UI", "1.2.1") + element(0x20, 0xE, "UI", facts["series"])
    body += element(0x20, 0x32, "DS", facts["position"]) + element(0x20, 0x37, "DS", facts["axes"])
    if pixels.size:
        body += element(0x28, 2, "US", 3 if colour else 1) + element(0x28, 4, "CS", facts["photometric"])
        body += element(0x28, 6, "US", 0 if colour else None) + element(0x28, 8, "IS", facts["frames"])
        rows, columns = pixels.shape[:2] if colour or not facts["frames"] else pixels.shape[1:]
        body += element(0x28, 0x10, "US", rows) + element(0x28, 0x11, "US", columns) + element(0x28, 0x30, "DS", facts["spacing"])
        bits = 8 if colour else 16
        body += element(0x28, 0x100, "US", bits) + element(0x28, 0x101, "US", bits) + element(0x28, 0x102, "US", bits - 1)
        body += element(0x28, 0x103, "US", 0)
        body += element(0x28, 0x1052, "DS", facts["offset"]) + element(0x28, 0x1053, "DS", facts["slope"])
        if facts["fragment"] is None:
            body += element(0x7FE0, 0x10, "OB" if colour else "OW", pixels.tobytes())
        else:
            body += struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
            body += struct.pack("<HHI", 0xFFFE, 0xE000, len(facts["fragment"])) + facts["fragment"] + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body)
    return path


def write_series(folder: Path, places: list[float], prefix: str = "a", **values: Any) -> np.ndarray:
    """Slices at `places` mm along z, named so that the order of names is not the order in space; returns the volume in space."""
    folder.mkdir(parents=True, exist_ok=True)
    volume = voxels(len(places), 4, 6, dtype=np.uint16)
    for k, z in enumerate(places):
        write_dicom(folder / f"{prefix}{k * 7 % 10}{k}", volume[k], position=(10.0, 20.0, z), **values)
    return volume
