"""What was found in a DICOM series as DICOM objects for an archive, by highdicom, which loads on first use.

In: a `Result` and the path of the series that was examined. Out: a Segmentation, a Parametric Map and a structured report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common import on_first_use

if TYPE_CHECKING:
    from .objects import Decision as Decision
    from .objects import Objects as Objects
    from .objects import check_available as check_available
    from .objects import dicom_objects as dicom_objects
    from .objects import lacking as lacking
    from .objects import more_files as more_files

_ROOMS = {
    "Decision": "objects",
    "Objects": "objects",
    "check_available": "objects",
    "dicom_objects": "objects",
    "lacking": "objects",
    "more_files": "objects",
}
__getattr__ = on_first_use(__name__, _ROOMS)
__all__ = [*_ROOMS]
