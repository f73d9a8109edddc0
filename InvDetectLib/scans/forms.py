"""How a NIfTI header says where its voxels lie, kept word for word, so that what is written of a scan lies where the scan does."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError

_VECTOR = 1007  # intent code of several values a voxel


@dataclass(frozen=True)
class NiftiForms:
    """The fields of a NIfTI header that any viewer may take the place from: which of them it takes is the viewer's own choice.

    unit        code of the unit of length: 0 not named, 1 m, 2 mm, 3 micrometre
    pixdim      qfac (the sense of the third axis), then the voxel's sides along x, y, z
    qform_code  what space the qform leads to, 0: it says nothing;  quaternion its b, c, d;  offset its x, y, z
    sform_code  the same of the sform;  sform  its three rows
    """

    unit: int
    pixdim: tuple[float, ...]
    qform_code: int
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    sform_code: int
    sform: tuple[float, ...]

    @classmethod
    def of(cls, header: Any) -> NiftiForms | None:
        """The forms in a nibabel header; None when one of the numbers is none, which nobody could place anything by."""
        forms = cls(
            unit=int(header["xyzt_units"]) & 7,
            pixdim=_numbers(header["pixdim"][:4]),
            qform_code=int(header["qform_code"]),
            quaternion=_numbers(header[f"quatern_{axis}"] for axis in "bcd"),
            offset=_numbers(header[f"qoffset_{axis}"] for axis in "xyz"),
            sform_code=int(header["sform_code"]),
            sform=_numbers(number for axis in "xyz" for number in header[f"srow_{axis}"]),
        )
        numbers = (*forms.pixdim, *forms.quaternion, *forms.offset, *forms.sform)
        return forms if all(map(math.isfinite, numbers)) else None

    def put_into(self, header: Any) -> None:
        """Write them into a nibabel header."""
        header["xyzt_units"] = self.unit
        header["pixdim"][:4] = self.pixdim
        header["qform_code"], header["sform_code"] = self.qform_code, self.sform_code
        for place, axis in enumerate("bcd"):
            header[f"quatern_{axis}"] = self.quaternion[place]
        for place, axis in enumerate("xyz"):
            header[f"qoffset_{axis}"] = self.offset[place]
            header[f"srow_{axis}"] = self.sform[4 * place : 4 * place + 4]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NiftiForms:
        """The inverse of `as_dict`. Missing or impossible entries raise InvDetectError."""
        lengths = {"pixdim": 4, "quaternion": 3, "offset": 3, "sform": 12}
        try:
            rows = {name: _numbers(values[name]) for name in lengths}
            codes = {name: int(values[name]) for name in ("unit", "qform_code", "sform_code")}
        except (KeyError, TypeError, ValueError) as error:
            raise InvDetectError("The NIfTI forms are not a complete table of numbers; the file is damaged or foreign.") from error
        if any(len(rows[name]) != length or not all(map(math.isfinite, rows[name])) for name, length in lengths.items()):
            raise InvDetectError("The NIfTI forms hold impossible numbers; the file is damaged or foreign.")
        return cls(**rows, **codes)  # type: ignore[arg-type]  # rows are the tuples, codes the whole numbers


def write_nifti(path: Path, values: np.ndarray, forms: NiftiForms) -> None:
    """(slice, row, column[, channel]) values as compressed NIfTI-1 in the place that `forms` say, word for word. Raises OSError."""
    import imagecodecs  # these two here, because Slicer, which loads this module, has none
    import nibabel as nib

    stored = values.transpose(2, 1, 0) if values.ndim == 3 else values.transpose(2, 1, 0, 3)[:, :, :, None]
    image = nib.Nifti1Image(stored, None, dtype=values.dtype)
    forms.put_into(image.header)
    if values.ndim == 4:
        image.header["intent_code"] = _VECTOR
    path.write_bytes(imagecodecs.gzip_encode(image.to_bytes(), level=1))  # a third of the time of Python's own, for the same size


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
