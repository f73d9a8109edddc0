"""Damaged and foreign files: each is refused in one sentence that names it and says what is wrong."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import read_scan
from Testing.support.dicom_bytes import write_dicom
from Testing.support.made_scans import PLACE, voxels, write_nifti


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    text = str(caught.value)
    assert str(path.name) in text and all(word in text for word in words), text
    assert "\n" not in text and "0x" not in text and text.endswith(".")


# ---- files that are cut off or changed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["nii", "nii.gz", "nrrd", "mha", "tif", "bmp", "png", "jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, end: str, share: float):
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64)).astype(np.uint8)
    image = sitk.GetImageFromArray(noise if end in ("nii", "nii.gz", "nrrd", "mha", "tif") else noise[0])
    whole, part = tmp_path / f"whole.{end}", tmp_path / f"part.{end}"
    sitk.WriteImage(image, str(whole))
    assert read_scan(whole).array.shape[1:] == (64, 64)
    part.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    refused(part)


def test_a_nifti_short_of_a_single_byte_is_refused(tmp_path: Path):
    data = write_nifti(tmp_path / "a.nii", voxels(3, 4, 5)).read_bytes()
    (tmp_path / "a.nii").write_bytes(data[:-1])
    refused(tmp_path / "a.nii", f"{len(data) - 1} of {len(data)} bytes")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:-1]))
    refused(tmp_path / "b.nii.gz", f"{len(data) - 1} of {len(data)} bytes")


def test_a_nifti_with_a_flipped_bit_in_its_compressed_data_is_refused(tmp_path: Path):
    data = bytearray(gzip.compress(write_nifti(tmp_path / "a.nii", voxels(30, 40, 50)).read_bytes()))
    data[len(data) // 2] ^= 0x10
    (tmp_path / "b.nii.gz").write_bytes(data)
    refused(tmp_path / "b.nii.gz", "compressed data are cut off or damaged", "again")


def test_zlib_damage_in_the_header_is_told(tmp_path: Path):
    packed = bytearray(gzip.compress(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5)).read_bytes()))
    packed[20] ^= 0xFF
    (tmp_path / "b.nii.gz").write_bytes(packed)
    with pytest.raises((InvDetectError, zlib.error)) as caught:
        read_scan(tmp_path / "b.nii.gz")
    assert isinstance(caught.value, InvDetectError)


def test_a_truncated_data_file_of_a_pair_is_refused(tmp_path: Path):
    nib.save(nib.Nifti1Pair(voxels(3, 4, 5), PLACE), str(tmp_path / "a.hdr"))
    assert read_scan(tmp_path / "a.img").array.shape == (5, 4, 3)
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:-2])
    refused(tmp_path / "a.img", "cut off")


@pytest.mark.parametrize("end", ["hdr", "mhd", "nhdr"])
def test_a_missing_data_file_is_told(tmp_path: Path, end: str):
    sitk.WriteImage(sitk.GetImageFromArray(voxels(3, 4, 5)), str(tmp_path / f"a.{end}"))
    for path in tmp_path.iterdir():
        if path.suffix != f".{end}":
            path.unlink()
    refused(tmp_path / f"a.{end}", "data file", "missing")


@pytest.mark.parametrize("end", ["nii.gz", "nrrd", "png", "dcm"])
def test_an_empty_file_is_refused(tmp_path: Path, end: str):
    (tmp_path / f"a.{end}").touch()
    refused(tmp_path / f"a.{end}", "it is empty")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"])
def test_compressed_pixels_that_cannot_be_decoded_are_told(tmp_path: Path, syntax: str):
    """MPEG-2, high-throughput JPEG 2000, and damaged JPEG and RLE."""
    refused(write_dicom(tmp_path / "a.dcm", voxels(4, 6, dtype=np.uint16), syntax=syntax, fragment=bytes(range(64))), "compressed")


# ---- what is no scan ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["nii.gz", "nii", "hdr", "nrrd", "mha", "mhd", "png", "jpg", "tif", "bmp", "dcm", "txt"])
def test_a_text_file_is_refused_whatever_its_ending(tmp_path: Path, end: str):
    path = tmp_path / f"a.{end}"
    path.write_text("patient had a headache\n" * 40)
    (tmp_path / "a.img").write_text("so")
    refused(path)


def test_a_missing_path_is_refused(tmp_path: Path):
    refused(tmp_path / "nowhere.nii.gz", "does not exist")


def test_a_folder_without_dicom_is_refused(tmp_path: Path):
    refused(tmp_path, "no DICOM image")


def test_an_unsupported_ending_is_refused_with_the_supported_ones(tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(b"0123")
    refused(tmp_path / "a.npy", "not supported", ".nii.gz", ".png", "DICOM")


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.nrrd"))
    try:
        path.write_bytes(b"NRRD0004\n")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with pytest.raises(InvDetectError, match="Rename"):
        read_scan(path)


# ---- scans that cannot be used -----------------------------------------------------------------------------------------------------


def test_complex_voxels_are_refused(tmp_path: Path):
    refused(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5, dtype=np.complex64)), "complex", "magnitude")


def test_sheared_axes_are_refused(tmp_path: Path):
    sheared = PLACE.copy()
    sheared[0, 0] = 1.0
    refused(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5), sheared), "sheared", "Resample")
    for end in ("nrrd", "mha"):
        image = sitk.GetImageFromArray(voxels(3, 4, 5))
        image.SetDirection((1.0, 0.01, 0, 0, 1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(tmp_path / f"a.{end}"))
        refused(tmp_path / f"a.{end}", "sheared", "Resample")


def test_pages_of_different_size_are_refused(tmp_path: Path):
    def page(width: int, height: int, at: int, following: int) -> bytes:
        tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, at + 200), (277, 1), (278, height), (279, width * height)]
        table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return (struct.pack("<H", len(tags)) + table + struct.pack("<I", following)).ljust(200, b"\0") + bytes(width * height)

    first = page(8, 8, 8, 8 + 264)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + first + page(8, 8, 8 + 264, 0))
    assert read_scan(path).array.shape == (2, 8, 8)
    path.write_bytes(b"II*\0\x08\0\0\0" + first + page(8, 6, 8 + 264, 0))
    refused(path, "pages differ in size", "8x8", "8x6")
