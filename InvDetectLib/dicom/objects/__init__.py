"""The three DICOM objects of a result, by highdicom, which loads when the first is made.

In: a `Result` and the path of the series that was examined. Out: `Objects`, or their files' contents for a cohort.
"""

from .decisions import Decision
from .making import Objects, check_available, dicom_objects, lacking, more_files

__all__ = ["Decision", "Objects", "check_available", "dicom_objects", "lacking", "more_files"]
