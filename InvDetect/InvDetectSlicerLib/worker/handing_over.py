"""Scans and regions on their way to the worker: files in the folder that both share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import FOREGROUNDS

from ..scene import mask_of, write_exchange
from .client import WorkerClient


class HandingOver:
    """Knows which scan lies in the folder of `client` already, so that check, estimate and detection of it share one file."""

    def __init__(self, client: WorkerClient) -> None:
        self._client = client
        self._count = 0
        self._written: tuple[Any, ...] = ()
        self._file: Path | None = None
        self._regions: list[Path] = []

    def scan(self, volume: Any) -> str:
        """The name of the volume's file there. Raises InvDetectError for a volume that holds no scan, and when there is no room."""
        if volume is None or volume.GetScene() is not slicer.mrmlScene:
            raise InvDetectError("There is no scan to examine; load one, and choose it.")
        place = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(place)
        image = volume.GetImageData()
        key = (volume, image, image.GetMTime() if image else 0, slicer.util.arrayFromVTKMatrix(place).tobytes(), self._client.folder)
        if key == self._written and self._file is not None and self._file.exists():
            return self._file.name
        self.forget()
        self._count += 1
        self._file = write_exchange(volume, self._client.folder, f"scan-{self._count}")
        self._written = key
        return self._file.name

    def region(self, region: Any, volume: Any) -> str | None:
        """A foreground for the worker: None and rules ("auto", "brain", "none") as they are, a segmentation as the name of its file."""
        if region is None or region in FOREGROUNDS:
            return region
        if not self._client.busy:
            for older in self._regions:
                older.unlink(missing_ok=True)
            self._regions = []
        self._count += 1
        path = self._client.folder / f"region-{self._count}.npy"
        self._regions.append(path)
        try:
            np.save(path, mask_of(region, volume), allow_pickle=False)
        except OSError as error:
            raise InvDetectError(f"The region cannot be handed over ({error.strerror or error}); free some space on the disk.") from error
        return path.name

    def forget(self) -> None:
        """Delete the scan's file, unless the worker may still have to read it."""
        if self._file is not None and not self._client.busy:
            self._file.unlink(missing_ok=True)
        self._written, self._file = (), None
