"""What pydicom 2 and pydicom 3 name differently: 3D Slicer 5.10 bundles 2.4, later ones 3, and what Slicer bundles is never replaced.

Nothing here warns of names that go: each version is asked for what it has itself. What pydicom 3 refuses, pydicom 2 must not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

__all__ = ["apply_color_lut", "decode", "encoding_of", "frames_of", "write"]

if int(pydicom.__version__.split(".")[0]) >= 3:
    from pydicom.encaps import generate_frames
    from pydicom.pixels import apply_color_lut, get_decoder

    def decode(data: Dataset) -> np.ndarray:
        """The pixels that stand plainly or in runs (RLE) in `data`, with its transfer syntax; colours as red, green and blue."""
        return get_decoder(data.file_meta.TransferSyntaxUID).as_array(data)[0]

    def encoding_of(data: Dataset) -> tuple[bool | None, bool | None]:
        """Whether a data set that was read is implicit, and little-endian."""
        return data.original_encoding

    def frames_of(data: Dataset) -> list[bytes]:
        """The compressed frames of `data`."""
        return list(generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames)))

    def write(data: Dataset, path: Path) -> None:
        """A DICOM file with all that the standard wants of its beginning."""
        data.save_as(path, enforce_file_format=True)

else:
    from pydicom.encaps import generate_pixel_data_frame
    from pydicom.pixel_data_handlers.util import (  # type: ignore[no-redef]
        apply_color_lut,
        convert_color_space,
        get_expected_length,
    )

    _COLOURS = {"MONOCHROME1", "MONOCHROME2", "RGB", "ARGB", "CMYK", "HSV"}
    _COLOURS |= {"YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422"}

    def decode(data: Dataset) -> np.ndarray:
        _say_order(data)
        photometric = data.PhotometricInterpretation
        if data.SamplesPerPixel not in (1, 3) or photometric not in _COLOURS:
            raise ValueError(f"{data.SamplesPerPixel} values a pixel: {photometric}")
        is_plain = not data.file_meta.TransferSyntaxUID.is_encapsulated
        if is_plain and "PixelData" in data:
            needed = get_expected_length(data)
            spare = needed / (2 if photometric == "YBR_FULL_422" else int(data.NumberOfFrames))
            if len(data.PixelData) >= needed + max(spare, 2):  # not padding, but frames or colours of which the header does not tell
                raise ValueError("more pixels than the header tells of")
        data.convert_pixel_data("numpy" if is_plain else "rle")  # by name: other decoders may be installed
        array = data.pixel_array
        if photometric not in ("YBR_FULL", "YBR_FULL_422"):
            return array
        if array.dtype != np.uint8:
            raise ValueError("colours of other than 8 bits")
        return convert_color_space(array, "YBR_FULL", "RGB")

    def encoding_of(data: Dataset) -> tuple[bool | None, bool | None]:
        return data.read_implicit_vr, data.read_little_endian

    def frames_of(data: Dataset) -> list[bytes]:
        return list(generate_pixel_data_frame(data.PixelData, int(data.NumberOfFrames)))

    def write(data: Dataset, path: Path) -> None:
        _say_order(data)
        data.save_as(path, write_like_original=False)

    def _say_order(data: Dataset) -> None:
        # pydicom 2 takes it from here, pydicom 3 from the transfer syntax.
        syntax = data.file_meta.TransferSyntaxUID
        data.is_little_endian, data.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
