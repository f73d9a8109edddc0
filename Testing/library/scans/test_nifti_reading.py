"""NIfTI: which of its forms counts, what is warned of and what refused, and maps that lie where the scan lies in every viewer.

The files are written here byte by byte, and judged by the affine that was written, by SimpleITK, and, of maps, by nibabel.
"""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Result
from InvDetectLib.scans import Geometry, Scan, SliceGrid, read_scan
from Testing.support.made_results import AXIAL, make_result

CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
SIZES = np.array((1.75, 1.5, 6.0))
TURN = np.array(((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)))  # 2 acos(sqrt(0.9)) about the third axis
HALF_TURN = (0.0, 0.0, np.sqrt(0.1))  # the quaternion of the same
OFFSET = np.array((-40.0, 50.5, 12.0))
FORM = np.column_stack([TURN * SIZES, OFFSET])
VOXELS = np.random.default_rng(3).integers(0, 900, (5, 6, 7)).astype(np.int16)  # slice, row, column


def write(path: Path, array: np.ndarray = VOXELS, *, order: str = "<", **facts: Any) -> Path:
    """A NIfTI-1 file of a (slice, row, column) or (row, column) array, with the fields of its header as they are given."""
    said: dict[str, Any] = {
        "pixdim": SIZES, "sform": FORM, "sform_code": 2, "quaternion": HALF_TURN, "offset": OFFSET, "qform_code": 1, "unit": 2,
        "slope": 1.0, "inter": 0.0, "qfac": 1.0,
    } | facts  # fmt: skip
    head = bytearray(352)
    sizes = array.shape[::-1]
    kind = array.dtype.str[1:]
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, len(sizes), *sizes, *(1,) * (7 - len(sizes)))
    struct.pack_into(f"{order}2h", head, 70, CODES[kind], 8 * array.dtype.itemsize)
    struct.pack_into(f"{order}8f", head, 76, said["qfac"], *said["pixdim"], 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", head, 108, 352, said["slope"], said["inter"])
    head[123] = said["unit"]
    struct.pack_into(f"{order}2h", head, 252, said["qform_code"], said["sform_code"])
    struct.pack_into(f"{order}6f", head, 256, *said["quaternion"], *said["offset"])
    struct.pack_into(f"{order}12f", head, 280, *np.ravel(said["sform"]))
    head[344:348] = b"n+1\0"
    data = bytes(head) + array.astype(array.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def assert_lies(scan: Scan, form: np.ndarray) -> None:
    """Every corner voxel lies where `form` (3 rows of an affine in mm) puts it."""
    for index in np.ndindex(2, 2, 2):
        voxel = np.array(index) * (np.array(scan.geometry.shape) - 1)
        assert scan.geometry.ras_from_index(voxel) == pytest.approx(form @ (*voxel[::-1], 1), abs=2e-3)


def moved(mm: float) -> np.ndarray:
    return FORM + np.array((0, 0, 0, mm))


# ---- which form counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_the_sform_counts_wherever_its_code_says_that_it_is_one(tmp_path: Path, code: int) -> None:
    scan = read_scan(write(tmp_path / "a.nii.gz", sform=moved(12.0), sform_code=code))
    assert_lies(scan, moved(12.0))
    assert np.array_equal(scan.array, VOXELS)


def test_without_an_sform_the_qform_counts(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "a.nii", sform=moved(12.0), sform_code=0))
    assert_lies(scan, FORM)
    assert scan.warnings == ()


def test_a_qform_may_turn_its_third_axis_round(tmp_path: Path) -> None:
    assert_lies(read_scan(write(tmp_path / "a.nii", sform_code=0, qfac=-1.0)), FORM * (1, 1, -1, 1))


def test_forms_that_differ_are_named_with_their_distance(tmp_path: Path) -> None:
    (warning,) = read_scan(write(tmp_path / "a.nii", sform=moved(12.0), sform_code=4)).warnings
    assert "sform (code 4)" in warning and "qform (code 1)" in warning and "20.8 mm" in warning and "voxels" in warning
    quarter = np.column_stack([FORM[:, 1], FORM[:, 0], FORM[:, 2:]])
    (warning,) = read_scan(write(tmp_path / "b.nii", sform=quarter, pixdim=(1.5, 1.5, 6.0))).warnings[:1]
    assert "apart" in warning


def test_forms_that_differ_by_less_than_a_tenth_of_a_voxel_are_the_same(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "a.nii", sform=moved(0.1)))
    assert scan.warnings == ()
    assert_lies(scan, moved(0.1))


def test_a_form_that_is_not_in_use_may_say_anything(tmp_path: Path) -> None:
    assert read_scan(write(tmp_path / "a.nii", quaternion=(9.0, 9.0, 9.0), qform_code=0)).warnings == ()
    (warning,) = read_scan(write(tmp_path / "b.nii", quaternion=(9.0, 9.0, 9.0))).warnings
    assert "qform (code 1)" in warning and "impossible" in warning


@pytest.mark.parametrize("sizes", [-SIZES, (0.0, 0.0, 0.0), (1.75, 1.5, 0.0), (0.865, 0.865, 0.796), (1.75, 1.5, 6.1)])
def test_odd_voxel_sizes_change_nothing_and_are_warned_of(tmp_path: Path, sizes: Any, capfd: pytest.CaptureFixture[str]) -> None:
    scan = read_scan(write(tmp_path / "a.nii.gz", pixdim=sizes, qform_code=0))
    assert_lies(scan, FORM)
    assert scan.geometry.spacing == pytest.approx(tuple(SIZES), abs=1e-5)
    (warning,) = scan.warnings
    assert "pixdim" in warning and "sform" in warning and "1.75 x 1.5 x 6" in warning
    assert capfd.readouterr() == ("", "")


def test_a_file_without_a_place_says_so(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "a.nii", sform_code=0, qform_code=0))
    assert scan.geometry.spacing == pytest.approx(tuple(SIZES)) and scan.geometry.origin == (0, 0, 0)
    assert "does not say where it lies" in scan.warnings[0]


@pytest.mark.parametrize(("unit", "mm"), [(1, 1000.0), (2, 1.0), (3, 0.001)])
def test_metres_and_micrometres_become_millimetres(tmp_path: Path, unit: int, mm: float) -> None:
    path = write(tmp_path / "a.nii", pixdim=SIZES / mm, sform=FORM / mm, offset=OFFSET / mm, unit=unit)
    scan = read_scan(path)
    assert_lies(scan, FORM)
    assert scan.geometry.unit == "mm" and scan.warnings == ()


# ---- what no map could be saved of ------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    return str(caught.value)


@pytest.mark.parametrize("qform_code", [0, 1])
def test_shear_is_refused_in_the_same_words_whatever_the_other_form_says(tmp_path: Path, qform_code: int) -> None:
    sheared = FORM.copy()
    sheared[0, 1] += 0.3
    path = write(tmp_path / "a.nii", sform=sheared, qform_code=qform_code)
    assert refused(path) == f"{path} cannot be read: its axes are sheared. Resample it to axes at right angles."
    assert read_scan(write(tmp_path / "b.nii", sform=sheared, sform_code=0)).warnings == ()


@pytest.mark.parametrize("bad", ["zero", "flat", "nan"])
def test_a_form_that_counts_and_says_an_impossible_place_is_refused(tmp_path: Path, bad: str) -> None:
    form = FORM.copy()
    form[:, 2] = {"zero": 0.0, "flat": FORM[:, 1], "nan": np.nan}[bad]
    words = refused(write(tmp_path / "a.nii", sform=form))
    assert "sform (code 2)" in words and "impossible" in words and "header" in words
    words = refused(write(tmp_path / "b.nii", sform_code=0, quaternion=(9.0, 9.0, 9.0)))
    assert "qform (code 1)" in words and "impossible" in words


# ---- flat images ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [{"sform_code": 2, "qform_code": 0}, {"sform_code": 0, "qform_code": 1}, {}])
def test_a_flat_image_is_a_volume_of_one_slice_in_its_place(tmp_path: Path, codes: dict[str, int]) -> None:
    tilt = np.array(((1, 0, 0), (0, 0.8, -0.6), (0, 0.6, 0.8)))
    form = np.column_stack([tilt * SIZES, OFFSET])
    scan = read_scan(write(tmp_path / "a.nii", VOXELS[0], sform=form, quaternion=(np.sqrt(0.1), 0, 0), **codes))
    assert np.array_equal(scan.array, VOXELS[:1]) and scan.geometry.dimension == 3
    assert scan.geometry.spacing == pytest.approx((1.75, 1.5, 6.0)) and scan.warnings == ()
    assert_lies(scan, form)


def test_a_flat_image_whose_third_axis_was_left_out_has_it_at_right_angles(tmp_path: Path) -> None:
    form = FORM.copy()
    form[:, 2] = 0
    scan = read_scan(write(tmp_path / "a.nii", VOXELS[0], sform=form, qform_code=0))
    assert scan.geometry.spacing == pytest.approx((1.75, 1.5, 6.0))
    assert_lies(scan, FORM)


# ---- values -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", list(CODES))
def test_values_are_those_that_simpleitk_reads(tmp_path: Path, kind: str, order: str) -> None:
    array = (VOXELS % 120).astype(kind)
    for slope, inter in ((1.0, 0.0), (0.37, -12.5), (-2.0, 3.0)):
        path = write(tmp_path / "a.nii.gz", array, order=order, slope=slope, inter=inter)
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        ours = read_scan(path).array
        assert ours.dtype == theirs.dtype and ours.dtype.isnative and np.array_equal(ours, theirs)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_of_nothing_means_that_values_are_stored_as_they_are(tmp_path: Path, slope: float) -> None:
    scan = read_scan(write(tmp_path / "a.nii", slope=slope, inter=5.0))
    assert scan.array.dtype == np.int16 and np.array_equal(scan.array, VOXELS)


def test_an_offset_that_is_no_number_is_refused(tmp_path: Path) -> None:
    assert "header is damaged" in refused(write(tmp_path / "a.nii", slope=2.0, inter=np.nan))


@pytest.mark.parametrize("code", [0, 1, 3, 1536, 9999])
def test_a_type_that_no_voxel_has_is_refused(tmp_path: Path, code: int) -> None:
    data = bytearray(write(tmp_path / "a.nii").read_bytes())
    struct.pack_into("<h", data, 70, code)
    (tmp_path / "a.nii").write_bytes(data)
    assert f"code {code}" in refused(tmp_path / "a.nii")


def test_analyze_has_all_the_types_that_programs_put_into_it(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "b.nii", VOXELS.astype(np.uint16), sform_code=0, qform_code=0).read_bytes())
    (tmp_path / "a.img").write_bytes(data[352:])
    data[344:348], data[108:112] = bytes(4), bytes(4)
    (tmp_path / "a.hdr").write_bytes(data[:348])
    scan = read_scan(tmp_path / "a.hdr")
    assert np.array_equal(scan.array, VOXELS) and "Analyze" in scan.warnings[0]


def test_nifti_2_is_read_like_nifti_1(tmp_path: Path) -> None:
    image = nib.Nifti2Image(VOXELS.T, np.vstack([FORM, (0, 0, 0, 1)]))
    image.header.set_slope_inter(0.5, -3.0)
    for name in ("a.nii", "a.nii.gz"):
        nib.save(image, str(tmp_path / name))
        scan = read_scan(tmp_path / name)
        assert np.array_equal(scan.array, VOXELS * 0.5 - 3)
        assert_lies(scan, FORM)
        data = (tmp_path / name).read_bytes()
        cut = data[:-9] if name.endswith("nii") else gzip.compress(gzip.decompress(data)[:-9])
        (tmp_path / name).write_bytes(cut)
        assert "cut off" in refused(tmp_path / name)


def test_a_file_is_read_itself_and_not_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", VOXELS + np.int16(1))
    assert np.array_equal(read_scan(write(tmp_path / "a.nii.gz")).array, VOXELS)


def test_a_gzip_file_of_several_pieces_or_with_something_behind_is_whole(tmp_path: Path) -> None:
    data = write(tmp_path / "a.nii").read_bytes()
    half = len(data) // 2
    for content in (gzip.compress(data[:half]) + gzip.compress(data[half:]), gzip.compress(data + b"more"), gzip.compress(data) + bytes(8)):
        (tmp_path / "b.nii.gz").write_bytes(content)
        assert np.array_equal(read_scan(tmp_path / "b.nii.gz").array, VOXELS)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:-1]))
    assert f"{len(data) - 1} of {len(data)} bytes" in refused(tmp_path / "b.nii.gz")


def test_a_header_whose_voxels_begin_inside_it_is_refused(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.nii").read_bytes())
    struct.pack_into("<f", data, 108, 64.0)
    (tmp_path / "a.nii").write_bytes(data)
    assert "header" in refused(tmp_path / "a.nii")


# ---- what was read rightly before stays what it was -------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [(2, 0), (1, 1), (2, 2), (4, 1), (0, 1)])
def test_models_and_results_know_a_scan_again_that_simpleitk_read_for_them(tmp_path: Path, codes: tuple[int, int]) -> None:
    """Its digest is what it was when SimpleITK read it: the same numbers to the last bit."""
    random = np.random.default_rng(codes)
    for number in range(8):
        turn = np.linalg.qr(random.normal(size=(3, 3)))[0] if number % 2 else np.eye(3)[random.permutation(3)] * random.choice((-1, 1), 3)
        steps = turn * random.choice((0.5, 1, 1.2, 0.69998783, 3.3), 3)
        affine = np.vstack([np.column_stack([steps, random.normal(size=3) * 100]), (0, 0, 0, 1)])
        image = nib.Nifti1Image(VOXELS.T, affine)
        image.set_qform(affine, codes[1])
        image.set_sform(affine if codes[0] else None, codes[0])
        image.header.set_xyzt_units("mm")
        nib.save(image, str(tmp_path / "a.nii.gz"))
        theirs = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
        before = Scan.from_array(sitk.GetArrayFromImage(theirs), Geometry.of_image(theirs), "a")
        scan = read_scan(tmp_path / "a.nii.gz")
        assert scan.digest == before.digest and scan.geometry == before.geometry and scan.warnings == ()


# ---- maps -------------------------------------------------------------------------------------------------------------------------


def saved(scan: Scan, folder: Path, colour: bool = False) -> dict[str, Path]:
    """The files of a result of `scan`, saved, loaded and saved again."""
    shape = scan.geometry.shape
    values = np.random.default_rng(0).normal(size=SliceGrid.for_scan(scan.geometry, AXIAL).shape)
    result = make_result(values, scan.geometry, name="scan", pseudo_normal=np.zeros((*shape, 3) if colour else shape, np.float32))
    first = result.save(folder / "first")
    again = Result.load(first["result"]).save(folder / "again")
    assert again["map"].read_bytes()[10:] == first["map"].read_bytes()[10:]
    return again


FORMS: dict[str, dict[str, Any]] = {
    "both": {},
    "apart": {"sform": moved(12.0), "sform_code": 4},
    "sform only": {"qform_code": 0},
    "qform only": {"sform_code": 0, "sform": np.zeros((3, 4)), "qfac": -1.0},
    "neither": {"sform_code": 0, "qform_code": 0},
    "odd sizes": {"pixdim": (0.865, 0.865, 0.796)},
    "negative sizes": {"pixdim": -SIZES},
    "micrometres": {"pixdim": SIZES * 1000, "sform": FORM * 1000, "offset": OFFSET * 1000, "unit": 3},
    "no unit": {"unit": 0},
}


@pytest.mark.parametrize("case", FORMS)
def test_a_map_has_both_forms_and_both_codes_of_its_scan(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "scan.nii.gz", **FORMS[case])
    files = saved(read_scan(path), tmp_path)
    before = nib.load(path).header
    for kind in ("map", "pseudo_normal"):
        image = nib.load(files[kind])
        after = image.header
        assert image.shape == VOXELS.T.shape and image.get_data_dtype() == np.float32
        for name in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"):
            assert np.array_equal(before[name], after[name]), name
        assert [float(after[f"qoffset_{axis}"]) for axis in "xyz"] == [float(before[f"qoffset_{axis}"]) for axis in "xyz"]
        assert np.array_equal(before["pixdim"][:4], after["pixdim"][:4]) and before["xyzt_units"] == after["xyzt_units"]
        assert np.array_equal(nib.load(path).affine, image.affine)
        theirs, ours = (sitk.ReadImage(str(file)) for file in (path, files[kind]))
        assert theirs.GetOrigin() == ours.GetOrigin() and theirs.GetDirection() == ours.GetDirection()
        assert theirs.GetSpacing() == ours.GetSpacing()


def test_the_values_of_a_map_come_back_and_the_mask_lies_where_the_scan_lies(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "scan.nii.gz", sform=moved(12.0)))
    files = saved(scan, tmp_path)
    kept = Result.load(files["result"])
    assert nib.load(files["map"]).get_fdata().T == pytest.approx(kept.anomaly_map, abs=1e-6)
    assert_lies(read_scan(files["map"]), moved(12.0))
    mask = Geometry.of_image(sitk.ReadImage(str(files["mask"])))
    assert np.allclose(mask.ras_from_index((4, 5, 6)), scan.geometry.ras_from_index((4, 5, 6)), atol=1e-4)


def test_a_colour_image_of_what_is_normal_has_the_forms_too(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.nii.gz", sform=moved(12.0))
    files = saved(read_scan(path), tmp_path, colour=True)
    assert np.array_equal(nib.load(files["pseudo_normal"]).affine, nib.load(path).affine)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(files["pseudo_normal"]))).shape == (*VOXELS.shape, 3)


def test_the_map_of_a_flat_image_lies_where_the_image_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.nii.gz", VOXELS[0], sform=moved(12.0), qform_code=0)
    image = nib.load(saved(read_scan(path), tmp_path)["map"])
    assert image.shape == (7, 6, 1) and np.array_equal(image.affine, nib.load(path).affine)


def test_the_map_of_another_format_is_written_as_ever(tmp_path: Path) -> None:
    sitk.WriteImage(Geometry(VOXELS.shape, (2.0, 2.0, 3.0), (1.0, 2.0, 3.0)).to_image(VOXELS), str(tmp_path / "scan.nrrd"))  # type: ignore[arg-type]
    scan = read_scan(tmp_path / "scan.nrrd")
    assert scan.geometry.forms is None and "forms" not in scan.geometry.as_dict()
    header = nib.load(saved(scan, tmp_path)["map"]).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


@pytest.mark.parametrize("damage", [{"pixdim": [1, 1, 1]}, {"sform": "x"}, {"offset": [1, 2, None]}, "nothing"])
def test_forms_that_are_damaged_in_a_result_are_told(tmp_path: Path, damage: Any) -> None:
    values = read_scan(write(tmp_path / "a.nii")).geometry.as_dict()
    values["forms"] = values["forms"] | damage if isinstance(damage, dict) else damage
    with pytest.raises(InvDetectError, match="damaged"):
        Geometry.from_dict(values)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
@pytest.mark.parametrize("name", ["scan.hdr", "scan.img"])
def test_a_pipe_in_the_place_of_one_of_a_pair_is_not_waited_for(name: str, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "scan.hdr")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    other = {"scan.hdr": "scan.img", "scan.img": "scan.hdr"}[name]
    with pytest.raises(InvDetectError, match=f"{name} cannot be read: it is no regular file"):
        read_scan(tmp_path / other)
