"""What a row found in one scan, kept on disk: paired comparisons and a restart need it again."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from InvDetectLib.common.files import write_whole
from InvDetectLib.metrics.agreement import ScoredScan


@dataclass(frozen=True)
class Mapped:
    """One scan, scored; arrays (slice, row, column) in its own voxels.

    anomaly     float32, higher is less normal;  mask, foreground  bool
    axis        which array axis the slices follow
    seconds     of scoring;  slices  how many
    """

    anomaly: np.ndarray
    mask: np.ndarray
    foreground: np.ndarray
    axis: int
    seconds: float
    slices: int

    def scored(self, patient: str, truth: np.ndarray | None) -> ScoredScan:
        """For the metrics, with the lesions (None: there are none)."""
        truth = np.zeros(self.mask.shape, bool) if truth is None else truth
        return ScoredScan(patient, self.anomaly, self.mask, truth, self.foreground, self.axis)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; of the map only what lies in the foreground."""
        content = io.BytesIO()
        np.savez(
            content,
            values=self.anomaly[self.foreground],
            mask=np.packbits(self.mask),
            foreground=np.packbits(self.foreground),
            shape=np.array(self.mask.shape),
            facts=np.array([self.axis, self.seconds, self.slices], np.float64),
        )
        write_whole(path, content.getvalue(), "map")

    @classmethod
    def load(cls, path: Path) -> Mapped | None:
        """The inverse of `save`; the lowest value stands outside the foreground. None for a file that is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                values, shape, facts = file["values"], tuple(int(n) for n in file["shape"]), file["facts"]
                count = int(np.prod(shape))
                mask, foreground = (np.unpackbits(file[name], count=count).reshape(shape).astype(bool) for name in ("mask", "foreground"))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None
        anomaly = np.full(shape, values.min() if values.size else 0, np.float32)
        anomaly[foreground] = values
        return cls(anomaly, mask, foreground, int(facts[0]), float(facts[1]), int(facts[2]))
