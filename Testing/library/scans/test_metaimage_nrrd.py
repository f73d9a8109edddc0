"""MetaImage and NRRD: however voxels are stored, they are those that were written, or the file is refused; units of length."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import read_mask, read_scan

VOXELS = np.random.default_rng(3).integers(-30000, 30000, (4, 5, 6)).astype("<i2")
RAW = VOXELS.tobytes()
PACKED = zlib.compress(RAW)


def meta(path: Path, data: bytes = b"", where: str = "LOCAL", **fields: Any) -> Path:
    """A MetaImage file; a field of None is left out."""
    values = {"ObjectType": "Image", "NDims": 3, "BinaryData": True, "ElementByteOrderMSB": False, "ElementSpacing": "1 2 3"}
    values |= {"DimSize": "6 5 4", "ElementType": "MET_SHORT"} | fields | {"ElementDataFile": where}
    path.write_bytes("".join(f"{name} = {value}\n" for name, value in values.items() if value is not None).encode() + data)
    return path


def nrrd(path: Path, data: bytes = b"", encoding: str = "raw", *lines: str) -> Path:
    """A NRRD file; `lines` stand in its header, and data files are named there."""
    given = {line.partition(":")[0] for line in lines}
    space = [] if "spacings" in given else ["space: left-posterior-superior", "space origin: (1,2,3)"]
    space += [] if {"spacings", "space directions"} & given else ["space directions: (1,0,0) (0,2,0) (0,0,3)"]
    head = ["NRRD0004", "type: short", "dimension: 3", "sizes: 6 5 4", "endian: little", f"encoding: {encoding}", *space, *lines]
    path.write_bytes("\n".join(head).encode() + b"\n" + (b"" if "data file" in given else b"\n") + data)
    return path


def right(path: Path) -> None:
    assert np.array_equal(read_scan(path).array, VOXELS)


def refused(path: Path, *words: str) -> None:
    for read in (read_scan, lambda path: read_mask(path, read_scan(path).geometry)):
        with pytest.raises(InvDetectError) as caught:
            read(path)
        text = str(caught.value)
        assert path.name in text and all(word in text for word in words) and "\n" not in text and text.endswith("."), text


# ---- MetaImage ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, len(PACKED), len(PACKED) - 3, 5])
@pytest.mark.parametrize("said", ["True", "true", "1"])
def test_compressed_metaimage_is_what_was_written(tmp_path: Path, size: int | None, said: str):
    right(meta(tmp_path / "a.mha", PACKED, CompressedData=said, CompressedDataSize=size))
    right(meta(tmp_path / "b.mha", gzip.compress(RAW), CompressedData=said, CompressedDataSize=size))
    (tmp_path / "c.zraw").write_bytes(PACKED)
    right(meta(tmp_path / "c.mhd", where="c.zraw", CompressedData=said, CompressedDataSize=size))


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("kept", [0, 10, len(PACKED) // 2, len(PACKED) - 5, len(PACKED) - 1])
def test_compressed_metaimage_that_is_cut_is_refused(tmp_path: Path, size: bool, kept: int):
    fields = {"CompressedData": True, "CompressedDataSize": len(PACKED) if size else None}
    refused(meta(tmp_path / "a.mha", PACKED[:kept], **fields), "compressed data are cut off")
    (tmp_path / "b.zraw").write_bytes(PACKED[:kept])
    refused(meta(tmp_path / "b.mhd", where="b.zraw", **fields), "compressed data are cut off")


def test_compressed_metaimage_with_wrong_content_is_refused(tmp_path: Path):
    refused(meta(tmp_path / "a.mha", zlib.compress(RAW[:-2]), CompressedData=True), "238 of 240 bytes")
    flipped = bytearray(PACKED)
    flipped[60] ^= 0x10
    refused(meta(tmp_path / "b.mha", bytes(flipped), CompressedData=True), "compressed data are damaged")
    refused(meta(tmp_path / "c.mha", RAW, CompressedData=True), "compressed data are damaged")
    refused(meta(tmp_path / "d.mhd", where="gone.zraw", CompressedData=True), "gone.zraw is missing")


def test_metaimage_that_simpleitk_compresses_is_read_back(tmp_path: Path):
    for array in (VOXELS, VOXELS.astype(np.float32), np.abs(VOXELS[..., None] // (1, 2, 3)).astype(np.uint8)):
        for name in ("a.mha", "a.mhd"):
            sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 4), str(tmp_path / name), True)
            scan = read_scan(tmp_path / name)
            assert np.array_equal(scan.array, array) and scan.array.dtype == array.dtype


KINDS = {"CHAR": "i1", "UCHAR": "u1", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG_LONG": "i8", "FLOAT": "f4", "DOUBLE": "f8"}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
@pytest.mark.parametrize("order", "<>")
def test_every_type_and_order_of_bytes(tmp_path: Path, name: str, kind: str, order: str):
    array = VOXELS.astype(kind)
    fields = {"ElementType": f"MET_{name}", "ElementByteOrderMSB": order == ">"}
    for packed in (False, True):
        data = array.astype(order + kind).tobytes()
        scan = read_scan(meta(tmp_path / "a.mha", zlib.compress(data) if packed else data, CompressedData=packed, **fields))
        assert np.array_equal(scan.array, array) and scan.array.dtype == array.dtype


def test_a_header_that_promises_more_than_any_memory_is_refused(tmp_path: Path):
    refused(meta(tmp_path / "a.mha", RAW, DimSize="9000 9000 9000"), "GiB", "can be read here")
    refused(meta(tmp_path / "b.mha", PACKED, DimSize="9000 9000 9000", CompressedData=True), "can be read here")


def test_plain_metaimage_must_be_whole(tmp_path: Path):
    right(meta(tmp_path / "a.mha", RAW))
    for kept in (0, 1, 120, 239):
        refused(meta(tmp_path / "b.mha", RAW[:kept]), f"{kept} of 240 bytes")
    (tmp_path / "c.raw").write_bytes(b"12345" + RAW)
    for skip in (5, -1):
        right(meta(tmp_path / "c.mhd", where="c.raw", HeaderSize=skip))
    (tmp_path / "c.raw").write_bytes(b"12345" + RAW[:-6])
    for skip in (5, -1):
        refused(meta(tmp_path / "c.mhd", where="c.raw", HeaderSize=skip), "cut off")
    refused(meta(tmp_path / "d.mha", " ".join(map(str, VOXELS.ravel())).encode(), BinaryData=False), "stored as text")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("named", ["LIST\n{0}\n{1}\n{2}\n{3}", "LIST 2D\n{0}\n{1}\n{2}\n{3}", "s%d.raw 0 3 1"])
def test_metaimage_in_several_files(tmp_path: Path, packed: bool, named: str):
    names = [f"s{k}.raw" for k in range(4)]
    for name, plane in zip(names, VOXELS, strict=True):
        (tmp_path / name).write_bytes(zlib.compress(plane.tobytes()) if packed else plane.tobytes())
    right(meta(tmp_path / "a.mhd", where=named.format(*names), CompressedData=packed))
    (tmp_path / "s3.raw").write_bytes((tmp_path / "s3.raw").read_bytes()[:-1])
    refused(meta(tmp_path / "a.mhd", where=named.format(*names), CompressedData=packed), "cut off")
    (tmp_path / "s3.raw").unlink()
    refused(meta(tmp_path / "a.mhd", where=named.format(*names), CompressedData=packed), "s3.raw is missing")
    few = named.replace("\n{3}", "").replace("0 3 1", "0 2 1")
    refused(meta(tmp_path / "a.mhd", where=few.format(*names), CompressedData=packed), "names 3 data files, and needs 4")


def test_voxels_are_never_what_another_scan_left_in_memory(tmp_path: Path):
    """Other arrays of the same size are read first: a reader that fills nothing would hand them out again."""
    path = meta(tmp_path / "a.mha", PACKED[:-40], CompressedData=True)
    for _ in range(3):
        right(meta(tmp_path / "b.mha", RAW))
        refused(path)


# ---- NRRD --------------------------------------------------------------------------------------------------------------------------

TEXT = " ".join(map(str, VOXELS.ravel())).encode()
STORED = {"raw": RAW, "gzip": gzip.compress(RAW), "gz": gzip.compress(RAW), "ascii": TEXT, "text": TEXT, "hex": RAW.hex().encode()}


@pytest.mark.parametrize("encoding", STORED)
@pytest.mark.parametrize("lines", [(), ("line skip: 1",), ("byte skip: -1",)])
def test_nrrd_is_whole_or_refused(tmp_path: Path, encoding: str, lines: tuple[str, ...]):
    if lines == ("byte skip: -1",) and encoding != "raw":
        lines = ()
    data = (b"a line\n" if lines == ("line skip: 1",) else b"") + STORED[encoding]
    right(nrrd(tmp_path / "a.nrrd", data, encoding, *lines))
    (tmp_path / "a.dat").write_bytes(data)
    right(nrrd(tmp_path / "a.nhdr", b"", encoding, *lines, "data file: a.dat"))
    for cut in (len(STORED[encoding]) - 1, 100, 24, 10):
        refused(nrrd(tmp_path / "b.nrrd", data[:-cut], encoding, *lines), "cut off")
        (tmp_path / "b.dat").write_bytes(data[:-cut])
        refused(nrrd(tmp_path / "b.nhdr", b"", encoding, *lines, "data file: b.dat"), "cut off")


@pytest.mark.parametrize("named", ["data file: LIST\ns0.raw\ns1.raw\ns2.raw\ns3.raw", "data file: s%d.raw 0 3 1"])
def test_nrrd_in_several_files(tmp_path: Path, named: str):
    for k, plane in enumerate(VOXELS):
        (tmp_path / f"s{k}.raw").write_bytes(plane.tobytes())
    right(nrrd(tmp_path / "a.nhdr", b"", "raw", named))
    few = named.replace("\ns3.raw", "").replace("0 3 1", "0 2 1")
    refused(nrrd(tmp_path / "b.nhdr", b"", "raw", few), "another number of data files")
    (tmp_path / "s3.raw").write_bytes(VOXELS[3].tobytes()[:-1])
    refused(nrrd(tmp_path / "a.nhdr", b"", "raw", named), "cut off")


@pytest.mark.parametrize("name", ["bzip2", "bz2"])
def test_bzip2_is_refused_by_its_name(tmp_path: Path, name: str):
    refused(nrrd(tmp_path / "a.nrrd", bz2.compress(RAW), name), "bzip2", "gzip")
    (tmp_path / "b.bz2").write_bytes(bz2.compress(RAW))
    refused(nrrd(tmp_path / "b.nhdr", b"", name, "data file: b.bz2"), "bzip2", "gzip")


def test_what_is_not_compressed_as_said_is_refused(tmp_path: Path):
    for data in (PACKED, RAW, bz2.compress(RAW)):
        refused(nrrd(tmp_path / "a.nrrd", data, "gzip"), "said to be compressed with gzip")


# ---- units -------------------------------------------------------------------------------------------------------------------------

MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "\u00b5m": 0.001, "in": 25.4, "millimeters": 1.0, "Micrometer": 0.001}


@pytest.mark.parametrize("unit", MM)
def test_units_of_nrrd_become_mm(tmp_path: Path, unit: str):
    named = " ".join([f'"{unit}"'] * 3)
    placed = read_scan(nrrd(tmp_path / "a.nrrd", RAW, "raw", f"space units: {named}"))
    assert placed.geometry.spacing == pytest.approx(np.array((1, 2, 3)) * MM[unit]) and placed.geometry.unit == "mm"
    assert placed.geometry.ras_from_index((1, 1, 1)) == pytest.approx(np.array((-2, -4, 6)) * MM[unit]) and placed.warnings == ()
    plain = read_scan(nrrd(tmp_path / "b.nrrd", RAW, "raw", "spacings: 1 2 3", f"units: {named}"))
    assert plain.geometry.spacing == pytest.approx(np.array((1, 2, 3)) * MM[unit])


def test_each_axis_of_the_world_has_its_unit(tmp_path: Path):
    turned = "space directions: (0,2,0) (1,0,0) (0,0,3)"
    geometry = read_scan(nrrd(tmp_path / "a.nrrd", RAW, "raw", turned, 'space units: "cm" "mm" "m"')).geometry
    assert geometry.spacing == pytest.approx((2.0, 10.0, 3000.0))
    assert geometry.ras_from_index((1, 1, 1)) == pytest.approx((-20.0, -4.0, 6000.0))


def test_a_file_in_mm_or_without_a_unit_has_the_digest_it_had(tmp_path: Path):
    digests = {read_scan(nrrd(tmp_path / "a.nrrd", RAW, "raw", *lines)).digest for lines in ((), ('space units: "mm" "mm" "mm"',))}
    assert len(digests) == 1


def test_an_unknown_unit_is_warned_of(tmp_path: Path):
    scan = read_scan(nrrd(tmp_path / "a.nrrd", RAW, "raw", 'space units: "ell" "ell" "ell"'))
    assert "ell" in scan.warnings[0] and "taken for mm" in scan.warnings[0] and scan.geometry.spacing == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(("unit", "factor"), [("cm", 10.0), ("um", 0.001), ("mm", 1.0), ("?", 1.0)])
def test_units_of_metaimage_become_mm(tmp_path: Path, unit: str, factor: float):
    scan = read_scan(meta(tmp_path / "a.mha", RAW, DistanceUnits=unit, Offset="1 2 3"))
    assert scan.geometry.spacing == pytest.approx(np.array((1, 2, 3)) * factor) and scan.warnings == ()
    assert scan.geometry.origin == pytest.approx(np.array((1, 2, 3)) * factor)


def test_the_cases_that_went_wrong(shared_data: Path):
    cases = shared_data.parent / "cases"
    if not cases.is_dir():
        pytest.skip("the cases (shared/cases beside the checkout) are not here")
    good, no_size = (read_scan(cases / "01-compressed-metaimage-garbage" / name) for name in ("good.mha", "no-size.mha"))
    assert np.array_equal(good.array, no_size.array) and good.geometry == no_size.geometry
    assert np.array_equal(good.array, sitk.GetArrayFromImage(sitk.ReadImage(str(cases / "01-compressed-metaimage-garbage" / "good.mha"))))
    refused(cases / "01-compressed-metaimage-garbage" / "cut.mhd", "cut off")
    refused(cases / "13-nrrd-bzip2" / "bzip2.nrrd", "bzip2")
