"""From the numbers that a DICOM file stores to values; and the short way to both, for pixels that stand in the file as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from .dicom_elements import numbers, text, whole
from .itk import unreadable

Scale = tuple[float, float]  # slope, offset
_BYTES = (8, 16, 32)


@dataclass(frozen=True)
class Rule:
    """How stored numbers become values: all of `bits` bits, inverted or not, times a slope plus an offset."""

    stored: np.dtype
    bits: int
    is_inverted: bool
    scale: Scale

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest number that can be stored."""
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.stored.kind == "i" else (0, (1 << self.bits) - 1)

    @property
    def dtype(self) -> np.dtype:
        """The smallest that holds all values that stored numbers could become; float64 for a slope or offset that is no whole number."""
        slope, offset = self.scale
        if (slope, offset) == (1.0, 0.0):
            return self.stored
        low, high = sorted(slope * limit + offset for limit in self.limits)
        for size in (size for size in (1, 2, 4) if size >= self.stored.itemsize and slope.is_integer() and offset.is_integer()):
            fitting = np.dtype(f"{'u' if low >= 0 else 'i'}{size}")
            if np.iinfo(fitting).min <= low and high <= np.iinfo(fitting).max:
                return fitting
        return np.dtype(np.float64)

    def values(self, stored: np.ndarray) -> np.ndarray:
        """The values of stored numbers, in `dtype`."""
        if self.stored.kind not in "iu":
            return stored
        unused = self.stored.itemsize * 8 - self.bits
        if unused > 0:  # other things may stand there, such as old overlays
            stored = (stored << unused) >> unused
        if self.is_inverted:
            stored = (sum(self.limits) - stored.astype(np.int64)).astype(self.stored)
        slope, offset = self.scale
        if self.scale == (1.0, 0.0):
            return stored
        values = stored.astype(self.dtype)
        if self.dtype.kind == "f":
            return values * slope + offset
        # What is too large in between wraps around and comes back, because the sum fits.
        values *= np.int64(slope).astype(self.dtype)
        values += np.int64(offset).astype(self.dtype)
        return values


@dataclass(frozen=True)
class Plain:
    """Pixels of one grey image that stand in the file as they are, from byte `at` on."""

    at: int
    shape: tuple[int, int]  # rows, columns
    rule: Rule

    @classmethod
    def of(cls, data: Dataset, at: int, length: int) -> Plain | None:
        """Pixels of the data set `data`, whose element of pixels begins at byte `at`; None when they need a decoder."""
        syntax = text(data.file_meta, "TransferSyntaxUID")
        photometric = text(data, "PhotometricInterpretation")
        bits = whole(data, "BitsAllocated")
        if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian) or bits not in _BYTES:
            return None
        if whole(data, "SamplesPerPixel") != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2") or "FloatPixelData" in data:
            return None
        dtype = np.dtype(f"<{'i' if whole(data, 'PixelRepresentation') else 'u'}{bits // 8}")
        rule = Rule(dtype, whole(data, "BitsStored") or bits, photometric == "MONOCHROME1", scale_in(None, data))
        shape = (whole(data, "Rows"), whole(data, "Columns"))
        needed = shape[0] * shape[1] * dtype.itemsize
        return cls(at + (8 if syntax == ImplicitVRLittleEndian else 12), shape, rule) if needed <= length < 1 << 32 - 1 else None

    def read(self, path: Path) -> np.ndarray:
        """(row, column) values. Raises InvDetectError when the file ends before them."""
        count = self.shape[0] * self.shape[1]
        stored = np.fromfile(path, self.rule.stored, count, offset=self.at)
        if stored.size < count:
            size, needed = path.stat().st_size, self.at + count * self.rule.stored.itemsize
            raise unreadable(path, f"it is cut off ({size} of {needed} bytes)", "Copy or download it again")
        return self.rule.values(stored.reshape(self.shape))


def scale_in(own: Dataset | None, data: Dataset) -> Scale:
    """Slope and offset, from a frame's own group or else from the file; a slope of 0 is none."""
    slope, offset = ((numbers(own, name, 1) or numbers(data, name, 1) or (0.0,))[0] for name in ("RescaleSlope", "RescaleIntercept"))
    return slope or 1.0, offset
