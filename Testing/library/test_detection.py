"""Detection end to end: where the map lands, which slices are scored, what the controls do, and what a scan unlike the others is told."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import InvDetectLib as invdetect
from InvDetectLib.common.errors import Cancelled, InvDetectError, WrongUse
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.models.model import Model
from InvDetectLib.results.result import Result
from InvDetectLib.scans import Scan, read_scan
from InvDetectLib.scans.geometry import Geometry
from InvDetectLib.training import train
from Testing.support.tiny_model import TINY, World, head, rewrite

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


@pytest.fixture(scope="module")
def scan(world: World) -> Scan:
    """A head with a lesion."""
    return read_scan(world.scans / "head-1000.nii.gz")


@pytest.fixture(scope="module")
def result(detector: Detector, scan: Scan) -> Result:
    """What detection finds in `scan`; it does find something."""
    found = detector.detect(scan, stability=False)
    assert found.findings
    return found


# Where the map lands


def at_same_place(result: Result, like: Result) -> tuple[np.ndarray, ...]:
    """Index into `result`'s arrays of every voxel of `like`, by its place in the world."""
    indices = np.moveaxis(np.indices(like.geometry.shape), 0, -1)
    exact = result.geometry.index_from_ras(like.geometry.ras_from_index(indices))
    assert np.abs(exact - np.rint(exact)).max() < 0.01
    return tuple(np.moveaxis(np.rint(exact).astype(int), -1, 0))


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SAL", "PSR", "ILA"])
def test_the_map_lands_on_the_same_place_however_the_axes_run(
    detector: Detector, scan: Scan, result: Result, tmp_path: Path, orientation: str
) -> None:
    image = sitk.DICOMOrient(scan.geometry.to_image(scan.array), orientation)
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    other = detector.detect(tmp_path / "scan.nrrd")
    place = at_same_place(other, result)
    assert np.corrcoef(other.anomaly_map[place].ravel(), result.anomaly_map.ravel())[0, 1] > 0.99
    assert np.allclose(other.findings[0].centroid_ras, result.findings[0].centroid_ras, atol=1.75)
    assert np.array_equal(other.foreground[place], result.foreground)
    assert np.allclose(other.anomaly_map[place], result.anomaly_map, atol=1e-3)
    whole, others = detector.detect(scan, foreground="none"), detector.detect(tmp_path / "scan.nrrd", foreground="none")
    assert np.allclose(others.anomaly_map[place], whole.anomaly_map, atol=1e-3)
    assert (others.mask[place] != whole.mask).sum() <= 2


@pytest.mark.parametrize("axis", [1, 2])
def test_the_map_lands_on_the_same_place_when_pixels_are_not_square(detector: Detector, scan: Scan, result: Result, axis: int) -> None:
    old, along = scan.geometry, 2 - axis
    array = np.repeat(scan.array, 2, axis)
    spacing = tuple(length / 2 if number == along else length for number, length in enumerate(old.spacing))
    step = np.reshape(old.direction, (3, 3))[:, along] * old.spacing[along]
    geometry = dataclasses.replace(old, shape=array.shape, spacing=spacing, origin=tuple(np.array(old.origin) - step / 4))
    other = detector.detect(Scan.from_array(array, geometry, "flat"))
    assert other.geometry == geometry and other.findings
    pairs = np.moveaxis(other.anomaly_map, axis, 0)
    coarse = np.moveaxis((pairs[::2] + pairs[1::2]) / 2, 0, axis)

    def agreement(shift: int, along: int) -> float:
        return float(np.corrcoef(np.roll(coarse, shift, along)[result.foreground], result.anomaly_map[result.foreground])[0, 1])

    # Resampling smooths the texture a little, so the map is not the same; but it lies nowhere else.
    assert agreement(0, 1) > 0.9
    assert all(agreement(0, 1) > agreement(shift, along) + 0.01 for shift in (-1, 1) for along in (1, 2))


def test_an_oblique_scan_has_its_findings_where_it_lies(detector: Detector, scan: Scan, result: Result) -> None:
    sine, cosine = np.sin(np.deg2rad(25)), np.cos(np.deg2rad(25))
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    direction, origin = rotation @ np.reshape(scan.geometry.direction, (3, 3)), rotation @ scan.geometry.origin
    geometry = dataclasses.replace(scan.geometry, direction=tuple(direction.ravel()), origin=tuple(origin))
    other = detector.detect(Scan.from_array(scan.array, geometry, "turned"))
    assert np.array_equal(other.anomaly_map, result.anomaly_map) and np.array_equal(other.mask, result.mask)
    place, before = (np.array(found.findings[0].centroid_ras) for found in (other, result))
    assert np.hypot(*place[:2]) == pytest.approx(np.hypot(*before[:2])) and place[2] == pytest.approx(before[2])
    angle = np.rad2deg(np.arctan2(place[1], place[0]) - np.arctan2(before[1], before[0])) % 360
    assert angle == pytest.approx(25)


def test_map_and_mask_have_the_scans_own_voxels(result: Result, scan: Scan) -> None:
    assert result.geometry == scan.geometry
    assert result.anomaly_map.shape == result.mask.shape == scan.array.shape and result.anomaly_map.dtype == np.float32
    assert not (result.mask & ~result.foreground).any()
    assert (result.anomaly_map[~result.foreground] == result.calibration.floor).all()
    assert all(0 < finding.p_value <= 1 and finding.normals == 2 for finding in result.findings)


# Slices and controls


def test_only_the_chosen_slices_are_scored(detector: Detector, scan: Scan, result: Result) -> None:
    one = detector.detect(scan, slices=(1, 2))
    assert one.grid_scored.any(axis=(1, 2)).tolist() == [False, True, False]
    assert np.allclose(one.grid_map[1], result.grid_map[1], atol=1e-3)
    assert (one.anomaly_map[[0, 2]] == one.calibration.floor).all() and not one.mask[[0, 2]].any()
    assert one.provenance["scan"]["slices_scored"] == 1 and one.provenance["scan"]["first_slice"] == 1
    with pytest.raises(WrongUse, match="Slices 2:4 are not in this scan, which has slices 0:3 along the model's plane"):
        detector.detect(scan, slices=(2, 4))


def test_slices_count_along_the_models_plane_whichever_way_the_file_runs(detector: Detector, scan: Scan, tmp_path: Path) -> None:
    upside_down = sitk.DICOMOrient(scan.geometry.to_image(scan.array), "LPI")
    sitk.WriteImage(upside_down, str(tmp_path / "scan.nrrd"))
    lowest, same = detector.detect(scan, slices=(0, 1)), detector.detect(tmp_path / "scan.nrrd", slices=(0, 1))
    assert np.allclose(lowest.grid_map, same.grid_map, atol=1e-3)
    assert [found.anomaly_map.max(axis=(1, 2)).argmax() for found in (lowest, same)] == [0, 2]


WISHES: list[dict[str, Any]] = [
    *({"contiguity": 3.0}, {"contiguity": 0.0}, {"rate": 0.05}, {"threshold": -0.2}, {"scr": False}),
    {"rate": 0.05, "contiguity": 2.0, "scr": False},
]


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_detecting_with_a_control_is_refining_a_loaded_result_with_it(
    detector: Detector, scan: Scan, result: Result, tmp_path: Path, wish: dict[str, Any]
) -> None:
    paths = result.save(tmp_path)
    detected, refined = detector.detect(scan, **wish), Result.load(paths["result"]).refine(**wish)
    assert detected.controls == refined.controls != result.controls
    # reasons need the network: refining has them for the findings that were there before
    unexplained = [[dataclasses.replace(finding, reasons=None) for finding in one.findings] for one in (detected, refined)]
    assert np.array_equal(detected.mask, refined.mask) and unexplained[0] == unexplained[1]
    assert np.array_equal(detected.anomaly_map, refined.anomaly_map)
    assert {name: getattr(detected.controls, name) for name in wish} == wish


def test_a_higher_rate_flags_more_and_more_contiguity_leaves_fewer_pieces(result: Result) -> None:
    flagged = [int(result.refine(rate=rate).mask.sum()) for rate in (0.001, 0.01, 0.1)]
    pieces = [len(result.refine(threshold=0.0, contiguity=contiguity).findings) for contiguity in (0.0, 1.0, 4.0)]
    assert 0 < flagged[0] < flagged[1] < flagged[2] and pieces[0] > pieces[1] >= pieces[2]


@pytest.mark.parametrize("wish", [{"contiguity": -1.0}, {"rate": 0.01, "threshold": 0.0}, {"threshold": float("nan")}, {"rate": 0.9}])
def test_impossible_controls_are_told_before_the_scan_is_read(detector: Detector, wish: dict[str, Any]) -> None:
    with pytest.raises(InvDetectError, match="(?i)contiguity|rate|threshold"):
        detector.detect("no such scan.nii.gz", **wish)


def test_detection_from_python_is_one_call(world: World, result: Result) -> None:
    events: list[str] = []
    found = invdetect.detect(world.scans / "head-1000.nii.gz", world.model, on_progress=lambda event: events.append(event.stage))
    assert np.array_equal(found.anomaly_map, result.anomaly_map) and {"scoring slices", "refining"} <= set(events)


def test_detection_can_be_cancelled_and_the_detector_used_again(detector: Detector, scan: Scan, result: Result) -> None:
    progress = Progress(lambda event: progress.cancel())
    with pytest.raises(Cancelled):
        detector.detect(scan, progress=progress)
    assert np.array_equal(detector.detect(scan).anomaly_map, result.anomaly_map)


# Foreground given by the user


@pytest.fixture(scope="module")
def masks(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Foreground masks of four of the normal heads and of a scan: the rows from 16 to 47."""
    folder = tmp_path_factory.mktemp("foreground")
    for path in (*sorted((world.normals / "mueller").iterdir()), world.scans / "head-1000.nii.gz"):
        rewrite(path, folder / path.name, lambda array: np.broadcast_to((np.arange(64) // 16 % 3 > 0)[:, None], array.shape))
    return folder


def test_a_model_whose_rule_is_masks_wants_one_for_each_scan(world: World, masks: Path, scan: Scan) -> None:
    settings = dataclasses.replace(TINY, preparation=dataclasses.replace(TINY.preparation, foreground="masks"))
    model = train(world.normals / "mueller", settings=settings, masks=masks, device="cpu", rehearse=False)
    detector = Detector(model, "cpu")
    with pytest.raises(InvDetectError, match="wants a foreground mask for each scan, and head-1000 has none; give a folder of masks"):
        detector.detect(scan)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(masks / "head-1000.nii.gz"))) > 0
    found = detector.detect(scan, foreground=mask)
    assert np.array_equal(found.foreground, mask) and found.grid_scored.any(axis=(0, 2)).tolist() == [16 <= row < 48 for row in range(64)]


def test_any_model_takes_another_foreground(detector: Detector, scan: Scan, result: Result) -> None:
    everything = detector.detect(scan, foreground="none")
    assert everything.foreground.all() and not result.foreground.all()
    brain = detector.detect(scan, foreground="brain").foreground
    assert 0.5 < brain.sum() / result.foreground.sum() < 0.8 and result.foreground[brain].all()
    box = np.zeros(scan.array.shape, bool)
    box[:, 20:44, 20:44] = True
    assert np.array_equal(detector.detect(scan, foreground=box).foreground, box)


# A scan unlike the others


def test_check_is_silent_for_normal_scans(detector: Detector, tmp_path: Path) -> None:
    for seed in (3000, 3001, 3002):
        assert detector.check(head(tmp_path / f"{seed}.nii.gz", seed)) == ""


UNLIKE: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "negative": (lambda array: array - 300, "negative intensities"),
    "inverted": (lambda array: array.max() - array, "scores higher than 90 % of normal tissue"),
    "noise": (lambda array: np.random.default_rng(0).uniform(0, 500, array.shape), "scores higher than 90 % of normal tissue"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_a_scan_unlike_the_training_scans_is_told_once_and_without_its_name(
    detector: Detector, world: World, tmp_path: Path, case: str
) -> None:
    change, reason = UNLIKE[case]
    path = rewrite(world.scans / "head-1000.nii.gz", tmp_path / "hans meier" / "hans-meier.nii.gz", change)
    progress = Progress()
    found = detector.detect(path, progress=progress)
    told = [text for text in progress.warnings if "unlike those the model was trained on" in text]
    assert len(told) == 1 and reason in told[0] and reason in detector.check(path)
    assert told[0] in found.provenance["warnings"]
    text = found.save(tmp_path / "out")["result"].read_text()
    assert reason in text and "hans" not in text and "meier" not in text and str(tmp_path) not in text


def test_another_pixel_size_and_another_plane_are_told(detector: Detector, scan: Scan) -> None:
    half = dataclasses.replace(scan.geometry, spacing=(1.75, 1.75, 24.0))
    told = detector.check(Scan.from_array(scan.array, half, "half"))
    assert "on the model's grid a pixel is 1.8 mm, in training 3.5 to 3.5 mm" in told
    coarse = Geometry((3, 64, 64), (3.5, 10.5, 24.0))
    told = detector.check(Scan.from_array(scan.array, coarse, "coarse"))
    assert "coarse in one direction, as if it was acquired in another plane" in told


def test_no_number_outside_the_foreground_is_background_with_a_warning(detector: Detector, scan: Scan, result: Result) -> None:
    array = scan.array.astype(np.float32)
    array[:, :3, :3] = np.nan
    found = detector.detect(Scan.from_array(array, scan.geometry, "scan"))
    assert found.provenance["warnings"] == ["27 voxels outside the foreground hold no number (NaN) and count as background."]
    assert np.allclose(found.anomaly_map, result.anomaly_map, atol=1e-3)


# Memory and provenance


class LargestTensor(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation made."""

    bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return made


def test_memory_grows_only_by_the_arrays_of_the_result(detector: Detector, scan: Scan) -> None:
    peaks, largest = [], []
    for times in (1, 10):
        array = np.tile(scan.array, (times, 1, 1))
        long = Scan.from_array(array, dataclasses.replace(scan.geometry, shape=array.shape), "long")
        tracemalloc.start()
        with LargestTensor() as tensors:
            detector.detect(long)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        largest.append(tensors.bytes)
    assert largest[0] == largest[1]
    a_voxel = (peaks[1] - peaks[0]) / (9 * scan.array.size)
    assert a_voxel < 80, "bytes a voxel; the arrays of scan and result have some 30"


def test_the_result_says_what_made_it(result: Result, world: World, scan: Scan, tmp_path: Path) -> None:
    facts, model = result.provenance, Model.load(world.model)
    assert facts["model"] == {"checksum": model.checksum, "preset": "tiny", "modality": "made heads"}
    assert facts["scan"]["digest"] == scan.digest and facts["settings"] == model.settings.as_dict()
    assert (facts["device"], facts["seed"], facts["warnings"]) == ("cpu", 0, []) and facts["seconds"] > 0
    assert {"torch", "numpy", "python"} <= facts["versions"].keys() and facts["solver"] in ("maxflow", "scipy")
    assert Result.load(result.save(tmp_path)["result"]).provenance == facts


# Left against right


def test_a_result_says_where_left_was_held_against_right(directed: Path, detector: Detector, scan: Scan) -> None:
    """A head that is the mean of itself and its reflection at the middle of its columns has its midplane there."""
    symmetric = dataclasses.replace(scan, array=(0.5 * (scan.array + scan.array[..., ::-1])).astype(np.float32))
    found = Detector(directed, "cpu").detect(symmetric).provenance["midline"]
    origin, normal = np.array(found["origin"]), np.array(found["normal"])
    slices, rows, columns = scan.array.shape
    for slice_, row in ((0, 0), (0, rows - 1), (slices - 1, rows // 2)):
        point = scan.geometry.ras_from_index([slice_, row, (columns - 1) / 2]) * (-1, -1, 1)
        assert abs((point - origin) @ normal) < 1.5 * scan.geometry.spacing[0]
    assert normal[0] > 0.9, "towards the patient's left"
    assert "midline" not in detector.detect(scan, slices=(1, 2)).provenance
