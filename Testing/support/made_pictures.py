"""TIFF and PNG files written byte by byte, so that no library judges what another one wrote."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = {"b": 1, "u": 1, "i": 2, "f": 3, "c": 6}


def write_tiff(path: Path, *pages: np.ndarray, tile: int = 0, order: str = "<", bits: int = 0, **tags: Any) -> Path:
    """A TIFF of (row, column[, sample]) pages with one strip each, or in tiles. Tags by number ("t262"=0), None leaves one out."""
    file = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    link = 4
    for page in pages:
        page = page[..., None] if page.ndim == 2 else page
        rows, columns, samples = page.shape
        values = page.astype(page.dtype.newbyteorder(order))
        parts = [packed(values, bits)]
        facts: dict[int, Any] = {254: 0, 256: columns, 257: rows, 258: (bits or 8 * page.itemsize,) * samples, 259: 1}
        facts |= {262: 2 if samples >= 3 else 1, 277: samples, 339: (FORMAT[page.dtype.kind],) * samples}
        if samples in (2, 4):
            facts[338] = 2
        if tile:
            whole = np.pad(values, ((0, -rows % tile), (0, -columns % tile), (0, 0)))
            corners = [(r, c) for r in range(0, whole.shape[0], tile) for c in range(0, whole.shape[1], tile)]
            parts = [whole[r : r + tile, c : c + tile].tobytes() for r, c in corners]
            facts |= {322: tile, 323: tile}
        places = []
        for part in parts:
            places.append(len(file))
            file += part + bytes(len(part) % 2)
        facts |= {324 if tile else 273: tuple(places), 325 if tile else 279: tuple(map(len, parts))}
        facts |= {} if tile else {278: rows}
        facts |= {int(name[1:]): value for name, value in tags.items()}
        entries = []
        for number, value in sorted((number, value) for number, value in facts.items() if value is not None):
            several = value if isinstance(value, (bytes, tuple)) else (value,)
            code, kind = ("B", 2) if isinstance(value, bytes) else ("H", 3) if number == 320 else ("I", 4)
            data = struct.pack(f"{order}{len(several)}{code}", *several)
            if len(data) > 4:
                place = len(file)
                file += data + bytes(len(data) % 2)
                data = struct.pack(f"{order}I", place)
            entries.append(struct.pack(f"{order}HHI", number, kind, len(several)) + data.ljust(4, b"\0"))
        file[link : link + 4] = struct.pack(f"{order}I", len(file))
        file += struct.pack(f"{order}H", len(entries)) + b"".join(entries)
        link = len(file)
        file += bytes(4)
    path.write_bytes(file)
    return path


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of values with fewer than 8 bits are packed, each from a new byte on."""
    if bits not in (1, 2, 4):
        return values.tobytes()
    single = (values[..., 0, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(single.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def write_png(path: Path, array: np.ndarray, bits: int = 8, *chunks: bytes) -> Path:
    """A PNG of (row, column[, channel]) values without filters; `chunks` come before the pixels, each its name and content."""
    def chunk(data: bytes) -> bytes:
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    kept = array.astype(">u2" if bits == 16 else "u1")
    rows = b"".join(b"\0" + packed(row.reshape(1, len(row), -1), bits) for row in kept)
    head = b"IHDR" + struct.pack(">2I5B", array.shape[1], array.shape[0], bits, kind, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (head, *chunks, b"IDAT" + zlib.compress(rows), b"IEND"))))
    return path
