"""The made heads: repeatable, head-like, alike on every grid, with lesions of known place that brightness alone does not find."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.metrics.agreement import ScoredScan, intensity_score, slice_dice, threshold_at_rate
from InvDetectLib.scans import match_mask, read_mask, read_scan
from InvDetectLib.scans.phantoms import KINDS, make_head, write_phantoms

SMALL = (6, 64, 64)
BRIGHT, ROUGH, DARK, MASS = 0, 1, 2, 4  # seeds whose first lesion is of this kind


@cache
def head(seed: int, lesions: int = 0, size: tuple[int, int, int] = (12, 128, 128)) -> tuple[np.ndarray, np.ndarray]:
    scan, mask = make_head(seed, size, lesions)
    return scan, mask.astype(bool)


def body_of(scan: np.ndarray) -> np.ndarray:
    """The head without the air, slice by slice."""
    light = ndimage.gaussian_filter(scan, (0, 1, 1)) > 0.3 * np.percentile(scan, 99)
    return np.stack([ndimage.binary_fill_holes(one) for one in light])


def around(mask: np.ndarray, inner: int, outer: int) -> np.ndarray:
    """The ring in the plane from `inner` to `outer` pixels outside the mask."""
    grown = [ndimage.binary_dilation(mask, np.ones((1, 3, 3)), iterations=by) for by in (inner, outer)]
    return grown[1] & ~grown[0]


def test_the_kinds_are_where_these_tests_expect_them():
    assert [KINDS[seed] for seed in (BRIGHT, ROUGH, DARK, MASS)] == ["bright", "rough", "dark", "mass"]


def test_a_seed_gives_the_same_head_and_another_seed_another():
    state = np.random.get_state()[1].copy()
    scan, mask = make_head(7, SMALL, 2)
    again, same = make_head(7, SMALL, 2)
    assert np.array_equal(scan, again) and np.array_equal(mask, same)
    assert np.array_equal(np.random.get_state()[1], state)  # no generator but its own
    assert scan.dtype == np.float32 and mask.dtype == np.uint8 and scan.shape == mask.shape == SMALL and set(np.unique(mask)) == {0, 1}
    assert np.isfinite(scan).all() and scan.min() >= 0
    assert np.corrcoef(scan.ravel(), make_head(8, SMALL)[0].ravel())[0, 1] < 0.95


def test_a_normal_head_has_no_lesion_and_air_around_it():
    scan, mask = head(20)
    assert not mask.any()
    body = body_of(scan)
    assert 0.25 < body.mean() < 0.6
    assert not body[:, [0, -1]].any() and not body[:, :, [0, -1]].any()
    assert scan[body].mean() > 8 * scan[:, :4, :4].mean()


def test_a_head_has_a_bright_rim_a_dark_ring_and_tissue_between_them_in_brightness():
    scan, _ = head(20)
    depth = ndimage.distance_transform_edt(np.pad(body_of(scan), ((0, 0), (1, 1), (1, 1))), sampling=(1e6, 1.75, 1.75))[:, 1:-1, 1:-1]
    scalp, skull, brain = (np.median(scan[(depth > low) & (depth < high)]) for low, high in ((2, 4), (8, 10), (28, 80)))
    assert skull < 0.4 * brain and brain < 0.7 * scalp


def test_heads_get_smaller_towards_the_top_and_change_smoothly_from_slice_to_slice():
    for seed in range(20, 24):
        scan, _ = head(seed)
        areas = body_of(scan).sum(axis=(1, 2))
        assert areas[-1] < 0.9 * areas.max() and areas[0] < areas.max()
        assert (np.abs(np.diff(areas)) < 0.12 * areas.max()).all()


def test_the_same_head_comes_out_on_every_grid():
    fine, coarse = make_head(3, (6, 128, 128))[0], make_head(3, SMALL)[0]
    shrunk = fine.reshape(6, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.corrcoef(shrunk.ravel(), coarse.ravel())[0, 1] > 0.97
    assert make_head(3, (1, 40, 32), 1)[1].any() and make_head(3, (3, 32, 40), 1)[1].any()


def test_scanner_units_differ_by_a_factor_of_a_few():
    levels = [np.percentile(make_head(seed, SMALL)[0], 95) for seed in range(12)]
    assert 2 < max(levels) / min(levels) < 12


def test_as_many_lesions_as_asked_for_inside_the_brain_and_of_the_stated_size():
    for seed in range(30, 36):
        scan, mask = head(seed, 2)
        labels, number = ndimage.label(mask, np.ones((3, 3, 3)))
        assert number == 2
        depth = ndimage.distance_transform_edt(body_of(scan), sampling=(1e6, 1.75, 1.75))  # mm
        assert depth[mask].min() > 12.5  # never in scalp, skull or the fluid under it
        for label in (1, 2):
            widest = max((labels == label).sum(axis=(1, 2)))
            assert 6 < np.sqrt(widest * 4 / np.pi) < 24  # pixels across


def test_a_lesion_changes_only_its_own_surroundings():
    for seed in (BRIGHT, ROUGH, DARK):
        scan, mask = head(seed, 1)
        near = ndimage.binary_dilation(mask, np.ones((3, 3, 3)), iterations=4)
        assert np.array_equal(scan[~near], head(seed)[0][~near])
        assert not np.array_equal(scan[near], head(seed)[0][near])


def test_bright_lesions_are_as_bright_as_scalp_and_dark_ones_as_dark_as_fluid():
    for seed in (BRIGHT, BRIGHT + 5):
        scan, mask = head(seed, 1)
        assert 1.4 < np.median(scan[mask]) / np.median(scan[around(mask, 4, 8)]) < 2.6
        assert np.median(scan[mask]) < np.percentile(scan, 99.5)
    for seed in (DARK, DARK + 5):
        scan, mask = head(seed, 1)
        assert np.median(scan[mask]) < 0.5 * np.median(scan[around(mask, 4, 8)])


def test_texture_lesions_keep_the_mean_and_raise_the_roughness():
    def roughness(scan: np.ndarray, where: np.ndarray) -> float:
        return float((scan - ndimage.gaussian_filter(scan, (0, 2, 2)))[where].std())

    ratios = []
    for seed in range(ROUGH, ROUGH + 75, 5):
        scan, mask = head(seed, 1, SMALL)
        normal = head(seed, 0, SMALL)[0]
        assert scan[mask].mean() == pytest.approx(normal[mask].mean(), rel=0.06)
        ratios.append(roughness(scan, mask) / roughness(normal, mask))
    assert min(ratios) > 1.4


def test_a_mass_is_as_grey_as_cortex_and_pushes_its_neighbours_aside():
    scan, mask = head(MASS, 1)
    normal = head(MASS)[0]
    assert 1.15 < np.median(scan[mask]) / np.median(normal[around(mask, 3, 8)]) < 1.7
    moved = np.abs(scan - normal) / np.median(normal[mask])
    assert moved[around(mask, 3, 6)].mean() > 0.05 > 0.02 > moved[around(mask, 40, 50)].mean()


def test_a_smoothed_intensity_threshold_finds_some_lesions_and_misses_most():
    def relative(scan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        body = body_of(scan)
        return intensity_score(2 * scan / np.percentile(scan[body], 99.5) - 1, body), body

    normals = [relative(head(seed)[0]) for seed in range(40, 44)]
    threshold = threshold_at_rate(*zip(*normals), 0.01)
    scored = []
    for seed in range(50, 55):  # one of each in KINDS
        scan, truth = head(seed, 1)
        score, body = relative(scan)
        scored.append(ScoredScan(str(seed), score, score > threshold, truth, body))
    assert 0.05 < slice_dice(scored).value < 0.4


def test_too_many_lesions_are_refused():
    with pytest.raises(InvDetectError, match="no room"):
        make_head(0, SMALL, 60)


def test_phantoms_are_written_with_their_masks_in_oblique_geometry(tmp_path):
    paths = write_phantoms(tmp_path / "scans", 2, 5, SMALL, lesions=1)
    assert [path.name for path in paths] == ["head-0005.nii.gz", "head-0006.nii.gz"]
    masks = sorted((tmp_path / "scans-masks").iterdir())
    for path, seed in zip(paths, (5, 6)):
        scan, (voxels, truth) = read_scan(path), make_head(seed, SMALL, 1)
        assert np.abs(scan.array - voxels).max() <= 0.5 + 1e-3
        assert scan.geometry.spacing == pytest.approx((3.5, 3.5, 12.0)) and scan.geometry.unit == "mm"
        axes = np.array(scan.geometry.direction).reshape(3, 3)
        assert (np.diag(axes) > 0.93).all() and not np.allclose(axes, np.eye(3), atol=0.01)  # LPS, a few degrees turned
        assert np.linalg.norm(scan.geometry.ras_from_index((2.5, 31.5, 31.5))) < 60  # mm
        mask = read_mask(match_mask(scan.name, masks), scan.geometry)
        assert np.array_equal(mask, truth.astype(bool))


def test_normal_phantoms_have_no_masks_on_disk(tmp_path):
    write_phantoms(tmp_path / "normals", 1, 0, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["normals"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvDetectError, match="file.*cannot be written.*Choose a folder"):
        write_phantoms(tmp_path / "file" / "scans", 1, 0, SMALL)
