"""The one place that calls SimpleITK's file readers: quietly, and with errors a user can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from ..common import InvDetectError

_RESAVE = "Save it again with the program that made it, or convert it to another format"
COPY = "Copy or download it again"
SQUARE = 3e-4  # cosine between two axes, up to which rounding explains it: about 0.1 voxels over a volume
SHEARED = ("its axes are sheared", "Resample it to axes at right angles")
# What ITK says, and what it means for the user (reason, remedy); everything else is passed on in ITK's last line.
_MEANINGS = {
    "Unable to determine ImageIO": ("its content is damaged or not what its ending says", _RESAVE),
    "File cannot be read": ("it is incomplete, or its data file is missing", f"{COPY}, with the data file beside it"),
    "open the first datafile": ("its data file is missing", "Copy the data file beside it"),
    "nifti_image_load failed": ("its data file is missing or incomplete", f"{COPY}, with the data file beside it"),
    "_nrrdDataFNCheck": ("it names another number of data files than it has slices", f"{COPY}, or save it as one file"),
    "nrrdByteSkip": ("it is cut off or damaged", COPY),
    "_nrrdEncoding": ("it is cut off or damaged", COPY),
    "PNGImageIO": ("it is cut off or damaged", COPY),
    "Problem reading the row": ("it is cut off or damaged", COPY),
    "orthonormal direction": SHEARED,
    "unsupported image dimension": ("it has too few or too many dimensions", "Use an image or a volume"),
    "Unknown PixelType": ("it is grey with transparency, or has another unsupported kind of pixel", "Save it as grey or RGB"),
    "Cannot read requested file": (
        "it is damaged, holds no image, or is compressed in a way that SimpleITK cannot decode",
        "Save it uncompressed, for example with the program that exported it",
    ),
}


def unreadable(path: Path, reason: str, remedy: str = _RESAVE) -> InvDetectError:
    """The error for a file that exists but cannot be read: file, reason, remedy, in this order."""
    return InvDetectError(f"{path} cannot be read: {reason}. {remedy}.")


def more_than_a_volume(path: Path, sizes: list[int]) -> InvDetectError:
    """The error for 4-D files; `sizes` in the file's own order (x, y, z, t, ...)."""
    while len(sizes) > 4 and sizes[-1] == 1:
        sizes = sizes[:-1]
    shape = " x ".join(str(n) for n in sizes)
    return unreadable(path, f"it has {len(sizes)} dimensions ({shape}), not one volume", "Save one of its volumes as a 3-D file")


def check_name(path: Path) -> None:
    """Raise InvDetectError for a name that is no Unicode: SimpleITK would abort the whole process."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise InvDetectError(f"{ascii(str(path))} cannot be read: its name is not valid Unicode. Rename it.") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """ITK prints warnings on standard error for every header it finds odd; what matters is checked here and said in our words."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def open_image(path: Path, io: str = "") -> sitk.ImageFileReader:
    """A reader that has read the header of `path` (with ITK's `io` only, when given). Raises InvDetectError when it cannot."""
    check_name(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(io)
    reader.SetFileName(str(path))
    with _quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise unreadable(path, *_meaning(error, path)) from error
    return reader


def load_image(reader: sitk.ImageFileReader) -> sitk.Image:
    """The image of a reader from `open_image`. Raises InvDetectError when it cannot be read."""
    with _quiet():
        try:
            return reader.Execute()
        except RuntimeError as error:
            path = Path(reader.GetFileName())
            raise unreadable(path, *_meaning(error, path)) from error


def _meaning(error: RuntimeError, path: Path) -> tuple[str, str]:
    text = str(error)
    for sign, meaning in _MEANINGS.items():
        if sign in text:
            return meaning
    line = text.strip().splitlines()[-1].rsplit("ERROR: ", 1)[-1].split("): ", 1)[-1]
    return line.replace(str(path), "the file").strip(" .:")[:200], _RESAVE
