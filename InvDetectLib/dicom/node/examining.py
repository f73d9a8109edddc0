"""From a job to its objects: whether the series fits the model, what is found in it, and what is written of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ...common import Cancelled, InvDetectError, OutOfMemory, Progress
from ...detection import Detector
from ...results import Result
from ...scans import Scan, read_scan, stem
from ..objects import dicom_objects, more_files
from .fitting import other_modality
from .images import modality_in
from .jobs import Earlier, Job

_CHOICE = re.compile(r" Choose one with -{2}series .*", re.DOTALL)  # said to whoever gave the command


class Unfit(InvDetectError):
    """A series that is left as it is; the text says why.

    wait  whether further images of the series could make it fit
    """

    def __init__(self, why: str, wait: bool = False) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class Examined:
    """What was found, and the DICOM objects of it by the kinds of `results.SUFFIXES`; a watched scan that is no DICOM has none."""

    result: Result
    objects: Mapping[str, bytes]


def examine(job: Job, detector: Detector, lacks: int, earlier: Earlier | None, progress: Progress) -> Examined:
    """Examine the series or scan of a job.

    lacks    how many images of the series were refused
    earlier  the last job of the series that was done
    Raises `Unfit` for what is not to be examined; all else that is raised is a failure.
    """
    _check_whole(job, lacks, earlier, detector.model.checksum)
    if why := other_modality(_modality(job), detector.model.settings.preparation.modality):
        raise Unfit(why)
    try:
        scan = read_scan(job.path)
    except InvDetectError as error:
        raise Unfit(nameless(str(error), job), wait=True) from error
    try:
        if why := detector.check(scan, progress=progress.silent()):
            raise Unfit(why)
        result = detector.detect(scan, stability=False, progress=progress)
        return Examined(result, _objects(job, result, scan, detector.model.name))
    except (Unfit, OutOfMemory, Cancelled):
        raise
    except InvDetectError as error:
        raise Unfit(nameless(str(error), job)) from error


def nameless(text: str, job: Job) -> str:
    """A sentence about the scan of a job without names of files and folders, which for watched scans may be a patient's, and without
    words of the command line that a node does not have."""
    text = _CHOICE.sub("" if job.below is None else " Give each a folder of its own.", text).replace(str(job.path), "The series")
    if job.below is not None:
        names = [*job.below.parts, stem(job.path), *(os.listdir(job.path) if job.path.is_dir() else ())]
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(_named(re.escape(name), name.isalpha() or name.isdigit()), "...", text)
    return text


def _named(name: str, is_word: bool) -> str:
    """The pattern of a name; one that is a word or a number, such as "slices", may stand in a sentence and mean nobody."""
    if not is_word:
        return rf"(?<!\w){name}(?!\w)"
    return rf"(?<=[/\\'\"]){name}(?!\w)|(?<!\w){name}(?=[/\\]|\.\w)"


def _check_whole(job: Job, lacks: int, earlier: Earlier | None, model: str) -> None:
    if lacks:
        raise Unfit(f"{lacks} of its images were refused because the queue was full. Send the series again.", wait=True)
    if earlier is None:
        return
    if (earlier.digest, earlier.model) == (job.digest, model):
        raise Unfit(f"The same images were examined by the same model as job {earlier.number}, so that nothing is done again.")
    if earlier.digest != job.digest and job.images < earlier.images:
        raise Unfit(
            f"It is a part of a series that was examined as job {earlier.number}: {job.images} images have come after it, and it had "
            f"{earlier.images}. Send the whole series again, and it is examined anew.",
            wait=True,
        )


def _modality(job: Job) -> str:
    """What the first header says that says it; "" for a watched scan that is no DICOM."""
    files = sorted(job.path.iterdir()) if job.path.is_dir() else [job.path]
    return next((told for path in files if path.is_file() and (told := modality_in(path))), "")


def _objects(job: Job, result: Result, scan: Scan, model_name: str) -> Mapping[str, bytes]:
    if job.below is None:
        return dicom_objects(result, job.path, model_name=model_name).files()
    return more_files(result, scan, job.path)
