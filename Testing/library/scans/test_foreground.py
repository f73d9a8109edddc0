"""What of a scan is patient: made heads, brains, eyes and bodies of known outline, and real ones."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.scans import read_mask, read_scan
from InvDetectLib.scans.foreground import find_foreground
from InvDetectLib.scans.patient import foreground_of


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    """Distance from the middle over `radius`, in (slice, row, column); below 1 is inside."""
    axes = np.ogrid[tuple(slice(-(n - 1) / 2, (n - 1) / 2, n * 1j) for n in shape)]
    return np.sqrt(sum(axis**2 for axis in axes)) / radius


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * float((found & true).sum()) / float(found.sum() + true.sum())


def head(shape=(24, 96, 96), noise: float = 6.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright scalp, dark skull, grey brain with a dark ventricle, in air with Rician noise; and the true outline."""
    rng = np.random.default_rng(seed)
    r = ball((1, *shape[1:]), 40)
    tissue = np.select([r < 0.15, r < 0.8, r < 0.9, r < 1.0], [8.0, 100.0, 4.0, 200.0], 0.0)
    tissue = np.broadcast_to(tissue, shape)
    noisy = np.hypot(tissue + rng.normal(0, noise, shape), rng.normal(0, noise, shape))
    return noisy.astype(np.float32), np.broadcast_to(r < 1, shape)


def body() -> tuple[np.ndarray, np.ndarray]:
    """CT: soft tissue with two lungs and a spine in noisy air, and nothing (-2000) outside the scanner's circle."""
    rng = np.random.default_rng(0)
    shape = (20, 96, 96)
    row, column = np.ogrid[:96, :96]
    inside = ((row - 48) / 26) ** 2 + ((column - 48) / 38) ** 2 < 1
    lung = (((row - 46) / 14) ** 2 + ((np.abs(column - 48) - 18) / 11) ** 2) < 1
    spine = (row - 64) ** 2 + (column - 48) ** 2 < 25
    values = np.select([spine, lung, inside], [700.0, -850.0, 40.0], -1000.0) + rng.normal(0, 12, shape)
    values[:, (row - 48) ** 2 + (column - 48) ** 2 > 47**2] = -2000
    return values.round().astype(np.int16), np.broadcast_to(inside, shape)


@pytest.mark.parametrize("noise", [2.0, 6.0, 12.0])
def test_a_head_in_noisy_air_is_found_with_its_dark_skull_and_ventricle(noise: float) -> None:
    scan, true = head(noise=noise)
    assert dice(find_foreground(scan, "auto"), true) > 0.98


def test_the_dark_skull_belongs_to_the_head_although_a_gap_opens_it_to_the_air() -> None:
    scan, true = head()
    scan[:, 47:49, 84:] = 4  # an ear canal of two pixels
    found = find_foreground(scan, "auto")
    skull = (ball((1, 96, 96), 40) > 0.82) & (ball((1, 96, 96), 40) < 0.88)
    away = np.broadcast_to(skull, scan.shape).copy()
    away[:, 40:56, 70:] = False
    assert found[away].mean() > 0.99 and dice(found, true) > 0.97


def test_a_wide_notch_in_the_outline_stays_outside() -> None:
    scan, true = head()
    notch = np.zeros((96, 96), bool)
    notch[40:56, 70:] = True
    scan[:, notch] = np.abs(np.random.default_rng(1).normal(0, 6, (24, int(notch.sum()))))
    found = find_foreground(scan, "auto")
    assert found[:, 42:54, 80:88].mean() < 0.05


def test_an_extracted_brain_is_what_is_not_zero() -> None:
    r = ball((20, 64, 64), 30)
    brain = np.where(r < 1, 60 + 40 * np.cos(9 * r), 0).astype(np.uint8)
    brain[8:12, 30:34, 30:34] = 0
    found = find_foreground(brain, "auto")
    assert dice(found, r < 1) > 0.99
    assert found[8:12, 30:34, 30:34].all()


def test_a_standardised_brain_with_values_on_both_sides_of_zero_is_found() -> None:
    r = ball((20, 64, 64), 30)
    values = np.where(r < 1, 1.5 * np.cos(9 * r) + 0.2, 0).astype(np.float32)
    assert dice(find_foreground(values, "auto"), r < 1) > 0.98
    assert dice(find_foreground(values[..., 8:-8], "auto"), (r < 1)[..., 8:-8]) > 0.96  # the brain touches the rim


def test_dim_tissue_far_from_the_coil_belongs_to_the_patient() -> None:
    """A neck with an eighth of the head's signal, as in a head coil."""
    scan, true = head(noise=1.0)
    scan[:4] = np.where(true[:4], np.maximum(scan[:4], 90) / 8, scan[:4])
    assert dice(find_foreground(scan, "auto"), true) > 0.98


def test_ct_is_the_body_with_its_lungs_but_not_the_air() -> None:
    scan, true = body()
    assert dice(find_foreground(scan, "auto"), true) > 0.99


def test_a_few_broken_voxels_do_not_make_a_head_a_ct() -> None:
    scan, true = head()
    scan[0, 0, :5] = -1200
    assert dice(find_foreground(scan, "auto"), true) > 0.98


def test_ct_without_the_circle_and_with_a_clipped_floor_is_the_same() -> None:
    scan, true = body()
    assert dice(find_foreground(np.maximum(scan, -1024), "auto"), true) > 0.99


def test_a_photograph_is_its_field_of_view_not_the_speckles_of_its_compression(tmp_path) -> None:
    true = ball((1, 256, 256), 110) < 1
    colours = np.zeros((1, 256, 256, 3), np.uint8)
    colours[true] = (180, 150, 120)
    sitk.WriteImage(sitk.GetImageFromArray(colours[0], isVector=True), str(tmp_path / "eye.jpg"), useCompression=True, compressionLevel=60)
    scan = read_scan(tmp_path / "eye.jpg")
    assert ((scan.array.max(axis=3) > 0) & ~true).sum() > 100
    assert dice(find_foreground(scan.array, "auto"), true) > 0.985


@pytest.mark.parametrize("turn", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_an_enclosed_dark_place_is_filled_whichever_way_the_scan_is_stored(turn: tuple[int, int, int]) -> None:
    """A tunnel that runs to both ends of the scan is enclosed only when seen from its end."""
    block = np.zeros((40, 44, 48), np.uint8)
    block[:, 6:38, 6:42] = 150
    block[:, 20:24, 20:24] = 0
    found = find_foreground(block.transpose(turn), "auto").transpose(np.argsort(turn))
    assert found[:, 20:24, 20:24].mean() == 1


def test_specks_are_dropped_and_second_large_pieces_kept() -> None:
    scan = np.zeros((1, 100, 100), np.uint8)
    scan[0, 10:50, 10:50] = 200
    scan[0, 60:90, 60:90] = 180
    scan[0, 5:8, 90:93] = 250
    found = find_foreground(scan, "auto")
    assert found[0, 20, 20] and found[0, 70, 70] and not found[0, :10].any()


def test_the_unit_of_the_values_does_not_matter() -> None:
    scan, _ = head()
    found = find_foreground(scan, "auto")
    for factor in (1e-3, 3.7, 250.0):
        assert dice(find_foreground(scan * factor, "auto"), found) > 0.9999


def test_nan_outside_is_background_and_nan_inside_lies_within_the_outline() -> None:
    scan, true = head()
    scan[:, :6] = np.nan
    scan[10, 48, 60] = np.nan
    found = find_foreground(scan, "auto")
    assert not found[:, :6].any() and found[10, 48, 60] and dice(found, true) > 0.98


def test_the_rule_none_takes_all_that_is_finite() -> None:
    scan = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    scan[0, 0, 0], scan[2, 2, 2] = np.nan, np.inf
    found = find_foreground(scan, "none")
    assert found.sum() == 25 and not found[0, 0, 0] and not found[2, 2, 2]


def test_the_scan_itself_is_left_alone() -> None:
    scan, _ = head()
    before = scan.copy()
    find_foreground(scan, "auto")
    np.testing.assert_array_equal(scan, before)


@pytest.mark.parametrize("rule", ["auto", "none"])
def test_a_constant_scan_is_refused(rule: str) -> None:
    with pytest.raises(InvDetectError, match="constant.*7"):
        find_foreground(np.full((2, 40, 40), 7, np.int16), rule)


def test_a_scan_without_a_number_is_refused() -> None:
    with pytest.raises(InvDetectError, match="no finite value"):
        find_foreground(np.full((2, 40, 40), np.nan, np.float32), "auto")


def test_single_bright_pixels_are_no_foreground() -> None:
    scan = np.zeros((1, 40, 40), np.uint8)
    scan[0, 5, 5] = 200
    with pytest.raises(InvDetectError, match="No foreground.*none"):
        find_foreground(scan, "auto")


def test_a_rule_that_finds_nothing_itself_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="masks"):
        find_foreground(np.eye(40)[None], "masks")


def test_ten_million_voxels_take_seconds() -> None:
    """About 2 s on two idle cores; a way that goes slice by slice through connected pieces takes much longer on a busy machine too."""
    scan, _ = head((155, 256, 256))
    began = time.process_time()
    find_foreground(scan, "auto")
    assert time.process_time() - began < 6


def test_real_eyes_agree_with_their_field_of_view(shared_data) -> None:
    folder = shared_data / "fundus_idrid"
    names = ["normal/IDRiD_NAR_001", "normal/IDRiD_NAR_042", "normal/IDRiD_NAR_088", "abnormal/IDRiD_04", "abnormal/IDRiD_22"]
    for name in names:
        scan = read_scan(folder / f"{name}.jpg")
        field = read_mask(folder / "field" / f"{name.split('/')[1]}.png", scan.geometry)
        assert dice(find_foreground(scan.array, "auto"), field) > 0.98, name


def test_real_extracted_brains_agree_with_what_is_not_zero(shared_data) -> None:
    for name in ("brain_t1_adults/normal/sub-10.nii.gz", "brain_ms/abnormal/patient19_FLAIR.nii.gz"):
        array = read_scan(shared_data / name).array
        assert dice(find_foreground(array, "auto"), array > 0) > 0.99, name


def test_real_heads_are_single_pieces_without_holes(shared_data) -> None:
    """Slices at the level of the brain; noise, scalp and skull differ from one hospital to the next."""
    for name in ("CS_4941", "DU_5851", "DU_6400", "HT_8107"):
        found = find_foreground(read_scan(shared_data / "brain_flair_lgg" / "normal" / f"TCGA_{name}.nii.gz").array, "auto")
        for image in found[len(found) // 2 :]:
            assert ndimage.binary_fill_holes(image).sum() == image.sum()
            sizes = np.bincount(ndimage.label(image)[0].ravel())[1:]
            assert sizes.max() > 0.98 * sizes.sum() and 0.15 < image.mean() < 0.75, name


# The same voxels however the axes are stored


def lumpy(size: tuple[int, int, int]) -> np.ndarray:
    """(x, y, z) int16: a noisy, uneven body in noisy air that is open to one side, as ears and neck are."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    shell = (x**2 + 1.3 * y**2 + 0.8 * z**2 < 0.8) & ~((x**2 + y**2 < 0.3) | ((np.abs(y) < 0.06) & (x > 0)))
    return np.rint(np.abs(rng.normal(0, 6, size)) + shell * (60 + 40 * np.sin(5 * x + 3 * z))).astype(np.int16)


@pytest.mark.parametrize(
    ("size", "spacing"),
    [((40, 52, 6), (1.0, 1.2, 5.0)), ((40, 8, 44), (1.0, 6.0, 1.0)), ((36, 40, 44), (1.0, 1.0, 1.0)), ((120, 110, 100), (1.0, 1.0, 1.2))],
    ids=["few thick axial slices", "few thick coronal slices", "even", "more than a million voxels"],
)
def test_the_foreground_is_the_same_voxels_however_the_axes_are_stored(
    tmp_path: Path, size: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    turn = Rotation.from_euler("xyz", (8, -5, 12), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    image = nib.Nifti1Image(lumpy(size), affine)
    found = {}
    for order in ("RAS", "LPS", "SAR", "AIL", "PRS", "ASL"):
        codes = nib.orientations.axcodes2ornt(order)
        stored = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), codes))
        nib.save(stored, tmp_path / f"{order}.nii")
        scan = read_scan(tmp_path / f"{order}.nii")
        inside = foreground_of(scan.array, scan.geometry, "auto")
        back = nib.Nifti1Image(inside.transpose(2, 1, 0).astype(np.uint8), stored.affine)
        way = nib.orientations.ornt_transform(nib.io_orientation(stored.affine), nib.io_orientation(affine))
        found[order] = np.asarray(back.as_reoriented(way).dataobj)
    assert 0.1 < found["RAS"].mean() < 0.9
    assert {order: int((inside != found["RAS"]).sum()) for order, inside in found.items()} == dict.fromkeys(found, 0)
