"""Which DICOM files a volume was loaded from."""

from __future__ import annotations

from typing import Any

import slicer


def dicom_files(volume: Any) -> list[str]:
    """Paths of the files of a volume that Slicer loaded from its DICOM database; [] for others, and where a file is no longer there.

    Slicer notes their instances in the volume; a scene opened on another computer notes some that its database does not hold.
    """
    instances = ((volume.GetAttribute("DICOM.instanceUIDs") if volume is not None else None) or "").split()
    database = getattr(slicer, "dicomDatabase", None)  # the module DICOM may be switched off
    files = [] if database is None else [database.fileForInstance(instance) for instance in instances]
    return [str(path) for path in files] if all(files) else []
