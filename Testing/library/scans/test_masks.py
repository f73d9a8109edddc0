"""Masks: which file belongs to which scan, what counts as labelled, where it lies in the scan, and maps of labels among normal scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common import InvDetectError
from InvDetectLib.scans import Geometry, match_mask, read_mask, read_scan, read_truth
from InvDetectLib.scans.labels import as_label_map
from Testing.support.made_scans import scan_of

# Names


@pytest.mark.parametrize(
    "mask", ["case01", "case01_mask", "mask_case01", "case01-Seg", "case01_dseg", "seg_case01", "case01.mask", "label case01"]
)
def test_a_mask_has_the_name_of_its_scan_with_or_without_a_word(mask: str):
    masks = [Path(f"m/{mask}.nii.gz"), Path("m/case010_mask.nii.gz"), Path("m/case1_mask.nii.gz"), Path("m/case0.nii.gz")]
    assert match_mask("case01", masks) == masks[0]


@pytest.mark.parametrize(
    ("scan", "mask"),
    [("case01_flair", "case01"), ("case01_flair", "case01_mask"), ("flair_case01", "mask_case01"), ("case01", "case01_reader2")],
)
def test_the_name_of_scan_or_mask_may_say_more_than_the_other(scan: str, mask: str):
    assert match_mask(scan, [Path(f"m/{mask}.nii.gz"), Path("m/case02_mask.nii.gz")]).name == f"{mask}.nii.gz"


def test_case_1_is_not_case_10():
    masks = [Path("m/case10_mask.nii.gz"), Path("m/case10.png")]
    with pytest.raises(InvDetectError, match="^There is no mask for case1. Name it case1 or case1_mask, or leave the scan out.$"):
        match_mask("case1", masks)


def test_the_mask_of_another_scan_is_not_taken():
    masks = [Path("m/p1_mask.nii.gz"), Path("m/p1_b_mask.nii.gz")]
    assert match_mask("p1", masks) == masks[0] and match_mask("p1_b", masks) == masks[1]
    with pytest.raises(InvDetectError, match="no mask for p1. "):
        match_mask("p1", masks[1:], ["p1", "p1_b"])


def test_a_word_for_masks_may_be_the_scans_own():
    masks = [Path("m/lesion_01_mask.nii.gz"), Path("m/lesion_02_mask.nii.gz")]
    assert match_mask("lesion_01", masks, ["lesion_01", "01"]) == masks[0]
    assert match_mask("lesion_01_flair", masks) == masks[0]
    with pytest.raises(InvDetectError, match="no mask for normal_01. "):
        match_mask("normal_01", masks, ["lesion_01", "normal_01"])


def test_letters_may_be_stored_as_one_sign_or_as_two():
    masks = [Path("m/Zoe\u0308_mask.nii.gz"), Path("m/Zoe_mask.nii.gz")]
    assert match_mask("Zo\u00eb", masks) == masks[0] and match_mask("Zo\u00eb_b", masks) == masks[0]
    with pytest.raises(InvDetectError, match="no mask for Zo\u00eb_b. "):
        match_mask("Zo\u00eb_b", masks, ["Zo\u00eb", "Zo\u00eb_b"])


def test_two_masks_of_one_scan_are_told_in_one_sentence():
    masks = [Path("m/case01.nii.gz"), Path("m/case01_mask.nii.gz")]
    with pytest.raises(InvDetectError, match="^Several masks fit case01: case01.nii.gz, case01_mask.nii.gz. Keep one"):
        match_mask("case01", masks)


def test_a_mask_belongs_to_the_scan_that_begins_with_its_name():
    masks = [Path("m/patient07.nii.gz"), Path("m/patient0.png"), Path("m/case.seg.nrrd")]
    assert match_mask("patient07_FLAIR", masks) == masks[0]
    assert match_mask("case", masks) == masks[2]
    with pytest.raises(InvDetectError, match="no mask for patient08"):
        match_mask("patient08", masks)
    with pytest.raises(InvDetectError, match="Several.*case.png, case.seg.nrrd"):
        match_mask("case", [*masks, Path("m/case.png")])


def test_a_mask_is_what_lies_above_zero(tmp_path: Path):
    labels = np.array([[0, 1, 2], [255, 0, 0]], np.uint8)
    flat = Geometry((1, 2, 3), dimension=2, unit="pixel")
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[..., 1] = labels
    alpha = np.concatenate([colour, np.full((2, 3, 1), 255, np.uint8)], axis=-1)
    for name, image in {"grey.png": labels, "grey.tif": labels, "grey.bmp": labels, "colour.png": colour, "alpha.png": alpha}.items():
        sitk.WriteImage(sitk.GetImageFromArray(image, isVector=image.ndim == 3), str(tmp_path / name))
        mask = read_mask(tmp_path / name, flat)
        assert mask.dtype == bool and np.array_equal(mask, labels[None] > 0), name


def write_mask(path: Path, geometry: Geometry, **changes: Any) -> Path:
    values = geometry.as_dict() | changes
    sitk.WriteImage(Geometry.from_dict(values).to_image(np.ones(values["shape"], np.uint8)), str(path))
    return path


PLACED = Geometry((3, 4, 5), (2.0, 2.0, 3.0), (10.0, -20.0, 30.0), (0.0, 1, 0, 1, 0, 0, 0, 0, -1))


@pytest.mark.parametrize("end", ["nii.gz", "seg.nrrd", "nrrd", "mha"])
def test_a_mask_in_the_place_of_its_scan_is_taken(tmp_path: Path, end: str):
    assert read_mask(write_mask(tmp_path / f"m.{end}", PLACED, origin=[10.15, -20.0, 30.0]), PLACED).all()


@pytest.mark.parametrize(
    "changes", [{"origin": [10.3, -20.0, 30.0]}, {"spacing": [2.0, 2.0, 3.2]}, {"direction": [0.0, -1, 0, 1, 0, 0, 0, 0, 1]}]
)
def test_a_mask_in_another_place_is_refused(tmp_path: Path, changes: dict[str, Any]):
    with pytest.raises(InvDetectError, match="elsewhere.*voxels.*Resample"):
        read_mask(write_mask(tmp_path / "m.nrrd", PLACED, **changes), PLACED)


def test_a_mask_or_scan_without_a_place_is_taken(tmp_path: Path):
    plain = Geometry(PLACED.shape)
    assert read_mask(write_mask(tmp_path / "m.nrrd", plain), PLACED).all()
    assert read_mask(write_mask(tmp_path / "n.nrrd", PLACED), plain).all()


def test_a_mask_of_another_size_is_refused(tmp_path: Path):
    for place in (PLACED, Geometry((3, 4, 5))):
        with pytest.raises(InvDetectError, match="mask has 4 x 4 x 3 voxels, the scan 5 x 4 x 3"):
            read_mask(write_mask(tmp_path / "m.nrrd", place, shape=[3, 4, 4]), PLACED)
    with pytest.raises(InvDetectError, match="mask has 4 x 4 x 3 voxels, the scan 5 x 4 x 3"):
        read_mask(write_mask(tmp_path / "m.seg.nrrd", Geometry((3, 4, 4))), PLACED)


def test_a_mask_as_jpeg_is_refused(tmp_path: Path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 8), np.uint8)), str(tmp_path / "m.jpg"))
    with pytest.raises(InvDetectError, match="JPEG.*png"):
        read_mask(tmp_path / "m.jpg", Geometry((1, 8, 8), dimension=2, unit="pixel"))


def test_a_layered_segmentation_counts_every_layer(tmp_path: Path):
    layers = np.zeros((3, 4, 5, 2), np.uint8)
    layers[0, 0, 0, 0] = layers[2, 3, 4, 1] = 1
    sitk.WriteImage(PLACED.to_image(layers), str(tmp_path / "m.seg.nrrd"))
    assert np.argwhere(read_mask(tmp_path / "m.seg.nrrd", PLACED)).tolist() == [[0, 0, 0], [2, 3, 4]]


# The same place, stored otherwise: written by nibabel or by hand, and compared in world coordinates


AFFINE = np.array([[-1.7, 0.3, 0, 80], [0.3, 1.7, 0.2, -90], [0, -0.2, 5.0, 12], [0, 0, 0, 1]])
AFFINE[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] * [1.5, 1.25, 4.0]
INSIDE = np.s_[4:9, 3:11, 1:3]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 900, (14, 17, 5), np.int16)
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "case01.nii.gz")
    return tmp_path / "case01.nii.gz"


def labels() -> np.ndarray:
    """(x, y, z), an uneven lump that no turning maps to itself."""
    whole = np.zeros((14, 17, 5), np.uint8)
    whole[INSIDE] = np.random.default_rng(1).integers(0, 3, whole[INSIDE].shape)
    whole[4, 3, 1] = whole[8, 10, 2] = 1
    return whole


def expected() -> np.ndarray:
    return labels().transpose(2, 1, 0) > 0


def stored(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def in_order(order: str) -> tuple[np.ndarray, np.ndarray]:
    """The labels and their affine with axes that run as the letters say."""
    image = nib.Nifti1Image(labels(), AFFINE)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(order)))
    return np.asarray(turned.dataobj), turned.affine


@pytest.mark.parametrize("order", ["LAS", "RPI", "ASL", "IRP", "SAR", "PLS", "AIR"])
@pytest.mark.parametrize("end", [".nii.gz", ".nrrd", ".mha"])
def test_a_mask_in_another_order_of_axes_is_brought_over_voxel_by_voxel(scan: Path, order: str, end: str):
    path = stored(scan.with_name("mask.nii.gz"), *in_order(order))
    if end != ".nii.gz":
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path.with_name(f"mask{end}")))
    assert np.array_equal(read_truth(path.with_name(f"mask{end}"), read_scan(scan).geometry), expected())


def shifted(affine: np.ndarray, *start: float) -> np.ndarray:
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ start
    return moved


def segmentation(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    sitk.WriteImage(sitk.ReadImage(str(stored(path.with_name("whole.nii.gz"), values, affine))), str(path.with_name("case01.seg.nrrd")))
    return path.with_name("case01.seg.nrrd")


@pytest.mark.parametrize("flip", [False, True])
def test_a_cropped_segmentation_is_brought_over(scan: Path, flip: bool):
    values, affine = labels()[INSIDE], shifted(AFFINE, 4, 3, 1)
    if flip:
        values, affine = values[:, ::-1], shifted(affine, 0, 7, 0) @ np.diag([1, -1, 1, 1])
    path = segmentation(scan, values, affine)
    assert np.array_equal(read_truth(path, read_scan(scan).geometry), expected())


def test_a_segmentation_that_is_larger_than_its_scan_is_brought_over_when_nothing_is_lost(scan: Path):
    larger = np.zeros((20, 17, 9), np.uint8)
    larger[3:17, :, 2:7] = labels()
    path = segmentation(scan, larger, shifted(AFFINE, -3, 0, -2))
    assert np.array_equal(read_truth(path, read_scan(scan).geometry), expected())
    larger[0, 0, 0] = 1
    segmentation(scan, larger, shifted(AFFINE, -3, 0, -2))
    with pytest.raises(InvDetectError, match="elsewhere in space: 1 of its .* labelled voxels are outside, up to 3.0 voxels, 9.2 mm"):
        read_truth(path, read_scan(scan).geometry)


def test_a_segmentation_of_several_segments_and_layers_as_slicer_writes_it_counts_them_all(scan: Path):
    """Cropped, two segments in one layer and one in another; the file is written out here, as no library writes what Slicer does."""
    whole = labels()
    layers = np.zeros((2, *whole.shape), np.uint8)
    layers[0], layers[1] = np.where(whole == 2, 7, 0), whole == 1
    (cropped,) = (layers[(slice(None), *INSIDE)],)
    lps = np.diag([-1, -1, 1, 1]) @ shifted(AFFINE, 4, 3, 1)
    axes = " ".join(f"({','.join(f'{v:.17g}' for v in lps[:3, i])})" for i in range(3))
    header = f"""NRRD0004
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: 2 {" ".join(map(str, cropped.shape[1:]))}
space directions: none {axes}
kinds: list domain domain domain
encoding: raw
space origin: ({",".join(f"{v:.17g}" for v in lps[:3, 3])})
Segment0_LabelValue:=7
Segment0_Layer:=0
Segment1_LabelValue:=1
Segment1_Layer:=1
Segmentation_ReferenceImageExtentOffset:=4 3 1

"""
    path = scan.with_name("case01.seg.nrrd")
    path.write_bytes(header.encode() + cropped.tobytes(order="F"))
    assert np.array_equal(read_truth(path, read_scan(scan).geometry), expected())


@pytest.mark.parametrize(
    ("affine", "far"),
    [
        (shifted(AFFINE, 2, 0, 0), "up to 2.0 voxels, 3.0 mm"),
        (shifted(AFFINE, 0, 0.5, 0), "up to 0.5 voxels, 0.6 mm"),
        (AFFINE @ np.diag([1, 1, 1.1, 1]), "up to 0.4 voxels, 1.6 mm"),
    ],
)
def test_what_lies_elsewhere_says_by_how_much_whichever_way_it_is_stored(scan: Path, affine: np.ndarray, far: str):
    geometry = read_scan(scan).geometry
    for values, place in ((labels(), affine), (labels()[::-1], shifted(affine, 13, 0, 0) @ np.diag([-1, 1, 1, 1]))):
        with pytest.raises(InvDetectError, match=rf"does not fit its scan: it lies elsewhere in space \({far}\). Resample"):
            read_truth(stored(scan.with_name("mask.nii.gz"), values, place), geometry)


def test_a_place_that_was_not_saved_is_told_apart_from_another_place(scan: Path):
    sizes = np.diag([*np.linalg.norm(AFFINE[:3, :3], axis=0), 1])
    told = r"elsewhere in space \(up to .*\), at the origin and unturned, as if its place had not been saved. If .* with the scan's header"
    for affine in (sizes, sizes @ np.diag([-1, -1, 1, 1])):
        with pytest.raises(InvDetectError, match=told):
            read_truth(stored(scan.with_name("mask.nii.gz"), labels(), affine), read_scan(scan).geometry)


# Numbers


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lumps: np.where(lumps, 0.9, 0.001), "holds numbers such as 0.001, and labels are whole.*--truth-at 0.5"),
        (lambda lumps: np.where(lumps, np.nan, 0), "holds NaN"),
        (lambda lumps: np.where(lumps, np.inf, 0), "numbers such as inf"),
        (lambda lumps: -1.0 * lumps, "numbers below 0, down to -1"),
        (lambda lumps: lumps + 1.0, "calls every voxel of its scan a lesion"),
    ],
)
def test_what_is_no_mask_of_lesions_is_refused(scan: Path, change: Any, reason: str):
    path = stored(scan.with_name("mask.nii.gz"), change(labels() > 0).astype(np.float32), AFFINE)
    with pytest.raises(InvDetectError, match=rf"mask.nii.gz .*{reason}"):
        read_truth(path, read_scan(scan).geometry)


def test_fractions_can_be_cut(scan: Path):
    path = stored(scan.with_name("mask.nii.gz"), (labels() * 0.3).astype(np.float32), AFFINE)
    for at, lumps in ((0.25, labels() >= 1), (0.5, labels() >= 2)):
        assert np.array_equal(read_truth(path, read_scan(scan).geometry, at), lumps.transpose(2, 1, 0))


def test_labels_that_went_through_a_stored_slope_are_whole(scan: Path):
    image = nib.Nifti1Image(labels() * np.float64(1.00003), AFFINE)
    image.header.set_data_dtype(np.int16)
    nib.save(image, scan.with_name("mask.nii.gz"))
    assert np.array_equal(read_truth(scan.with_name("mask.nii.gz"), read_scan(scan).geometry), expected())


# Maps of labels among normal scans


def blocks(*values: int, dtype: Any = np.uint8) -> np.ndarray:
    """Flat pieces of these values around a large piece of the first."""
    array = np.full((4, 40, 40), values[0], dtype)
    for number, value in enumerate(values[1:]):
        array[1:3, 2 + 2 * number : 20, 3 + number : 30] = value
    return array


GREYS = np.random.default_rng(0).integers(0, 21, (4, 40, 40)).astype(np.uint8)
COLOURS = np.repeat(255 * blocks(0, 1)[..., None], 3, axis=3)


@pytest.mark.parametrize(
    ("name", "array", "sure"),
    [
        ("case", blocks(0, 1), True),
        ("case", blocks(0, 255), True),
        ("case", COLOURS, True),
        ("case", blocks(0, 1, 2, 4), True),
        ("case", blocks(0, 1, 2, 4).astype(np.float32), True),
        ("case_seg", blocks(0, 10, 205, 1004, dtype=np.int16), True),
        ("case_dseg", blocks(*range(0, 200, 25)), True),
        ("case.seg", blocks(0, 3), True),
        ("case", blocks(-1000, 0, 40, 1000, dtype=np.int16), False),
        ("case", blocks(0, 51, 102, 255), False),
        ("case_mask", GREYS, False),
        ("case_label", GREYS / 7.0, False),
        ("case", GREYS, None),
        ("masked", GREYS, None),
        ("case", blocks(0, 1) * 0.5 + GREYS / 100, None),
    ],
)
def test_a_map_of_labels_is_told_from_a_scan(name: str, array: np.ndarray, sure: bool | None):
    looks = as_label_map(scan_of(array, name))
    assert (looks and looks.sure) == sure
