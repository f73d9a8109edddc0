"""The foreground rule brain: made heads of known anatomy, real ones, and what is no head."""

from __future__ import annotations

import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.models import Preparation, choose_settings
from InvDetectLib.scans import Geometry, Scan, prepare, read_mask, read_scan
from InvDetectLib.scans.brain import find_brain
from InvDetectLib.scans.foreground import find_foreground
from InvDetectLib.scans.patient import foreground_of
from InvDetectLib.scans.phantom_anatomy import Body, grid_points, spacing_mm
from InvDetectLib.scans.phantoms import make_head

# scalp, skull, fluid, brain, eye
CONTRASTS = {"T1": (170, 15, 30, 100, 35), "FLAIR": (220, 8, 10, 90, 15), "T2": (120, 10, 260, 90, 300)}


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * float((found & true).sum()) / float(found.sum() + true.sum())


def drawn(contrast: str, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A head of ellipsoids with folds, eyes and a neck in noisy air, (slice, row, column) int16, from the feet up; and its brain.

    Axial where slices run up, rows back and columns to the left; about 150 x 190 mm. In T2 the bright fluid around the brain
    counts as brain.
    """
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing)), indexing="ij", sparse=True)
    z = z - 15.0  # the skull's middle lies somewhat high in the field of view
    scalp, skull, fluid, brain, eye = CONTRASTS[contrast]

    def ball(a: float, b: float, c: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
        return np.sqrt(((z - at[0]) / a) ** 2 + ((y - at[1]) / b) ** 2 + ((x - at[2]) / c) ** 2)

    inside, folds = ball(62, 82, 64), 0.05 * np.sin(x / 5) * np.sin(y / 5) * np.sin(z / 6)
    neck = (z < -20) & (np.hypot(x / 50, (y - 15) / 55) < 1)
    values = np.zeros(shape, np.float32)
    values[(ball(76, 96, 78) < 1) | neck] = scalp
    values[neck & (np.hypot(x / 44, (y - 15) / 49) < 1)] = 0.55 * brain  # muscles
    values[ball(70, 90, 72) < 1] = skull
    values[inside < 1] = fluid
    values[inside + np.abs(folds) < 0.96] = brain
    for side in (-1, 1):
        values[ball(14, 14, 14, (-30, -84, 32 * side)) < 1] = scalp
        values[ball(12, 12, 12, (-30, -84, 32 * side)) < 1] = eye
    rng = np.random.default_rng(0)
    noisy = np.hypot(values + rng.normal(0, 4, shape), rng.normal(0, 4, shape))
    return noisy.astype(np.int16), inside < (1 if contrast == "T2" else 0.95)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_brain_of_a_drawn_head_is_found_without_scalp_skull_eyes_and_neck(contrast: str) -> None:
    for shape, spacing in (((100, 120, 110), (2.0, 2.0, 2.0)), ((24, 200, 180), (6.0, 1.1, 1.1))):
        scan, true = drawn(contrast, shape, spacing)
        found = find_brain(scan, spacing)
        assert dice(found, true) > 0.95 and found[true].mean() > 0.93 and found[~true].mean() < 0.01, shape


@pytest.mark.parametrize("seed", range(4))
def test_the_brain_of_a_made_head_is_found_with_its_lesions(seed: int) -> None:
    scan, lesions = make_head(seed, lesions=2)
    across, along = spacing_mm(scan.shape)
    body = Body.draw(np.random.default_rng([seed, 0]))
    true = body.distances(body.in_head_frame(grid_points(scan.shape, (across, along)))).brain > 0
    found = find_brain(scan, (across, along, along))
    assert dice(found, true) > 0.96
    assert found[lesions > 0].mean() > 0.9  # dark ones at the skull look like skull, and are cut a little


def test_single_slices_of_a_head_are_enough() -> None:
    scan, true = drawn("FLAIR", (24, 200, 180), (6.0, 1.1, 1.1))
    for k in (12, 14, 16):
        assert dice(find_brain(scan[k : k + 1], (1.0, 1.1, 1.1)), true[k : k + 1]) > 0.95


def test_slices_picked_from_here_and_there_are_looked_at_one_by_one() -> None:
    scan, true = drawn("FLAIR", (24, 200, 180), (6.0, 1.1, 1.1))
    picked = [14, 23, 19]
    found = find_brain(scan[picked], (1.0, 1.1, 1.1))
    assert min(dice(one, known) for one, known in zip(found, true[picked])) > 0.95


def test_without_a_spacing_the_heads_own_size_is_the_measure() -> None:
    scan, _ = drawn("FLAIR", (24, 200, 180), (6.0, 1.1, 1.1))
    known = find_brain(scan, (6.0, 1.1, 1.1))
    assert dice(find_brain(scan, None), known) > 0.97
    assert dice(find_brain(scan, (0.06, 0.011, 0.011)), known) > 0.97  # metres taken for decimetres: no head is so small


def test_nan_in_the_air_is_background_and_in_the_brain_is_brain() -> None:
    scan, true = drawn("FLAIR", (24, 200, 180), (6.0, 1.1, 1.1))
    holed = scan.astype(np.float32)
    holed[:, :6] = holed[14, 100, 90] = np.nan
    found = find_brain(holed, (6.0, 1.1, 1.1))
    assert not found[:, :6].any() and found[14, 100, 90] and dice(found, true) > 0.95


def test_the_brain_is_the_same_voxels_however_the_axes_are_stored(tmp_path: Path) -> None:
    for shape, spacing in (((90, 100, 90), (2.0, 2.2, 2.2)), ((20, 110, 100), (7.0, 2.0, 2.0))):
        scan, _ = drawn("T1", shape, spacing)
        affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
        image = nib.Nifti1Image(np.ascontiguousarray(scan.transpose(2, 1, 0)), affine)
        image.header.set_xyzt_units("mm")
        found = {}
        for order in ("LPS", "RAS", "SAR", "PIR", "ASL"):
            codes = nib.orientations.axcodes2ornt(order)
            stored = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), codes))
            nib.save(stored, tmp_path / f"{order}.nii")
            read = read_scan(tmp_path / f"{order}.nii")
            inside = foreground_of(read.array, read.geometry, "brain")
            back = nib.Nifti1Image(inside.transpose(2, 1, 0).astype(np.uint8), stored.affine)
            way = nib.orientations.ornt_transform(nib.io_orientation(stored.affine), nib.io_orientation(affine))
            found[order] = np.asarray(back.as_reoriented(way).dataobj)
        assert 0.05 < found["LPS"].mean() < 0.5
        assert {order: int((inside != found["LPS"]).sum()) for order, inside in found.items()} == dict.fromkeys(found, 0)


def test_a_brain_that_was_extracted_before_is_left_alone() -> None:
    scan, true = drawn("T1", (100, 120, 110), (2.0, 2.0, 2.0))
    brain = np.where(true, scan, 0).astype(np.uint8)
    np.testing.assert_array_equal(find_brain(brain, (2.0, 2.0, 2.0)), find_foreground(brain, "auto"))


def disc() -> np.ndarray:
    row, column = np.ogrid[-1:1:200j, -1:1:200j]
    return np.where(row**2 + column**2 < 0.9, 120 + 60 * np.cos(5 * row) * np.cos(4 * column), 0)[None].astype(np.uint8)


def ct() -> np.ndarray:
    scan, true = drawn("T1", (24, 100, 90), (6.0, 2.2, 2.2))
    return np.where(true, 35, np.where(scan > 60, 40, -1000)).astype(np.int16)


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (np.zeros((1, 40, 40, 3), np.uint8), "this is a colour image"),
        (ct(), "this is a CT"),
        (disc(), "cut out as a disc"),
        (np.random.default_rng(0).normal(100, 20, (8, 128, 128)), "No brain is found"),
        (np.random.default_rng(0).random((1, 200, 300)), "No brain is found"),
        (np.add.outer(np.arange(100.0), np.arange(100.0))[None], "No brain is found"),
        (np.full((2, 40, 40), 7, np.int16), "constant"),
        (np.full((2, 40, 40), np.nan, np.float32), "no finite value"),
    ],
    ids=["colour", "CT", "photograph of an eye", "noise", "even noise", "ramp", "constant", "no number"],
)
def test_what_is_no_head_is_refused_in_a_sentence(scan: np.ndarray, reason: str) -> None:
    with pytest.raises(InvDetectError, match=reason) as refused:
        find_brain(scan, None)
    assert "auto" in str(refused.value) or "Check the file" in str(refused.value) or "check the file" in str(refused.value)


def test_a_model_keeps_the_rule_and_its_scans_are_prepared_by_it() -> None:
    assert choose_settings("quick", foreground="brain").preparation.foreground == "brain"
    with pytest.raises(WrongUse, match="no foreground rule 'brains'; use auto, brain, none, or give masks"):
        choose_settings("quick", foreground="brains")
    array, true = drawn("FLAIR", (24, 200, 180), (6.0, 1.1, 1.1))
    scan = Scan.from_array(array, Geometry(array.shape, (1.1, 1.1, 6.0)), "head")
    prepared = prepare(scan, Preparation(intensity="median", foreground="brain", grid=96), {})
    assert dice(prepared.native_foreground, true) > 0.95
    noise = Scan.from_array(np.random.default_rng(0).normal(100, 20, (8, 64, 64)), Geometry((8, 64, 64)), "noise")
    with pytest.raises(InvDetectError, match="^noise: No brain is found"):
        prepare(noise, Preparation(intensity="median", foreground="brain", grid=64), {})


def test_a_volume_takes_seconds() -> None:
    """Less than 2 s on two idle cores; measured as computing time, since the machine may be busy."""
    scan, true = drawn("T1", (155, 240, 240), (1.1, 1.0, 1.0))
    began = time.process_time()
    found = find_brain(scan, (1.1, 1.0, 1.0))
    assert time.process_time() - began < 5
    assert dice(found, true) > 0.95


def test_real_heads_have_brains_of_a_real_size_and_none_in_the_neck(shared_data: Path) -> None:
    """Of these no mask is known: looked at as pictures, and held here to size and place."""
    for name in ("chris", "studyforrest02"):
        scan = read_scan(shared_data / "brain_t1_healthy" / "normal" / f"{name}.nii.gz")
        found = foreground_of(scan.array, scan.geometry, "brain")
        assert 1.4e6 < found.sum() * scan.geometry.voxel_volume < 1.75e6, name
        assert np.ptp(scan.geometry.ras_from_index(np.argwhere(found))[:, 2]) < 150, name


def test_real_lesions_stay_in_the_brain(shared_data: Path) -> None:
    """On the half of the patients by which the rule was chosen."""
    table = json.loads((Path(__file__).parents[2] / "evidence" / "splits.json").read_text())["flair"]["choice"]
    kept, of = 0, 0
    for name in table[2:6]:
        scan = read_scan(shared_data / "brain_flair_lgg" / "abnormal" / name)
        lesion = read_mask(shared_data / "brain_flair_lgg" / "masks" / name, scan.geometry)
        found, head = (foreground_of(scan.array, scan.geometry, rule) for rule in ("brain", "auto"))
        kept, of = kept + int((found & lesion).sum()), of + int(lesion.sum())
        assert 0.4 < found.sum() / head.sum() < 0.75, name
    assert kept > 0.99 * of


def test_real_extracted_brains_are_left_alone(shared_data: Path) -> None:
    names = ["brain_t1_adults/normal/sub-10.nii.gz", "brain_ms/abnormal/patient19_FLAIR.nii.gz"]
    names += sorted(
        str(path) for view in ("axial", "coronal") for path in (shared_data / "brain_flair_stroke" / view / "abnormal").glob("*")
    )[::60]
    for name in names:
        scan = read_scan(shared_data / name)
        same = foreground_of(scan.array, scan.geometry, "brain") == foreground_of(scan.array, scan.geometry, "auto")
        assert same.all(), name
