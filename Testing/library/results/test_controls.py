"""Results: the cut and its controls, the way back to the scan's voxels, and files that come whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import Cancelled, InvDetectError, WrongUse
from InvDetectLib.common.progress import Event, Progress
from InvDetectLib.models.settings import Preparation
from InvDetectLib.results import result as results
from InvDetectLib.results.files import csv_text
from InvDetectLib.results.publishing import all_or_nothing
from InvDetectLib.results.result import Controls, Result
from InvDetectLib.scans.geometry import Geometry
from InvDetectLib.scans.slicing import SliceGrid
from Testing.support import REPOSITORY
from Testing.support.made_results import CALIBRATION, FLOOR, SAME, blob, make_result, noise


def about(value: float) -> Any:
    return pytest.approx(value)


def same(one: Result, other: Result) -> bool:
    arrays = ("anomaly_map", "mask", "foreground", "grid_map", "grid_scored", "grid_mask", "edges_down", "edges_right")
    values = ("name", "geometry", "preparation", "calibration", "controls", "findings", "provenance")
    return all(
        np.array_equal(getattr(one, a), getattr(other, a)) and getattr(one, a).dtype == getattr(other, a).dtype for a in arrays
    ) and all(getattr(one, v) == getattr(other, v) for v in values)


# --- the mask and its controls ---------------------------------------------------------------------------------------------------


def test_scr_keeps_the_block_and_drops_the_speck() -> None:
    # above t = 0.25 a pixel gains 1; with lambda 0.5 the block costs 12 edges * 0.5 = 6 < 9, the speck 4 * 0.5 = 2 > 1
    result = make_result(blob())
    expected = blob() > 0
    expected[0] = False
    assert np.array_equal(result.mask, expected)
    assert np.array_equal(result.grid_mask, expected)
    assert result.provenance["solver"] in ("maxflow", "scipy")


def test_without_scr_the_mask_is_the_map_above_the_threshold() -> None:
    result = make_result(blob(), scr=False)
    assert np.array_equal(result.mask, blob() > 0)
    assert result.provenance["solver"] is None
    assert not make_result(np.full((4, 8, 8), 0.25), scr=False).mask.any()


def test_contiguity_multiplies_the_models_lambda() -> None:
    # the block gains 9 and costs 12 * 0.5 * contiguity: worth it below 1.5. The speck: 1 against 2 * contiguity
    masks = {c: make_result(blob(), contiguity=c).mask for c in (0.4, 0.6, 1.4, 1.6)}
    assert [(int(m[0].sum()), int(m[2].sum())) for m in masks.values()] == [(1, 9), (0, 9), (0, 9), (0, 0)]


def test_edge_weights_let_the_cut_run_where_tissue_changes() -> None:
    weak = np.ones((4, 7, 8))
    weak[0] = 0.2  # the speck now costs 0.5 * (0.2 + 0.2 + 1 + 1) = 1.2, still too much; with weak sides 0.4
    sides = np.ones((4, 8, 7))
    assert not make_result(blob(), edges_down=weak, edges_right=sides).mask[0].any()
    sides[0] = 0.2
    assert make_result(blob(), edges_down=weak, edges_right=sides).mask[0].sum() == 1


def test_nothing_is_labelled_or_mapped_where_nothing_was_scored() -> None:
    scored = np.ones((4, 8, 8), bool)
    scored[2, 3] = False
    foreground = np.ones(SAME.shape, bool)
    foreground[2, 2, 3] = False
    values = blob(value=9.0)
    values[2, 3, 4] = np.nan
    result = make_result(values, grid_scored=scored, foreground=foreground)
    expected = (blob() > 0) & scored & foreground
    assert np.array_equal(result.mask, expected)
    assert (result.anomaly_map[~(scored & foreground)] == FLOOR).all()
    assert (result.anomaly_map[expected] == 9.0).all()


def test_the_cut_cannot_fill_a_hole_that_was_not_scored() -> None:
    values, scored = blob(value=9.0), np.ones((4, 8, 8), bool)
    values[2, 3, 4] = FLOOR
    hole = (2, 3, 4)  # with contiguity 4 its edges weigh 4 * 2 against 2.25 below the threshold
    assert make_result(values, grid_scored=scored, contiguity=4.0).mask[hole]
    scored[hole] = False
    result = make_result(values, grid_scored=scored, contiguity=4.0)
    assert not result.mask[hole] and result.mask[2, 3, 3]


def test_findings_are_measured_in_the_scan_and_p_counts_the_slices_that_were_scored() -> None:
    scored = np.ones((4, 8, 8), bool)
    scored[3] = False
    result = make_result(blob(value=2.5), grid_scored=scored)
    (large, small) = result.findings
    assert (large.volume, large.unit, large.peak, large.first_slice, large.last_slice) == (9 * 20.0, "mm3", 2.5, 2, 2)
    # of three normal slices one reaches 2.5: (1 + 1) / (1 + 3), times the 3 slices scored, at most 1
    assert (large.p_value, large.normals) == (1.0, 3)
    assert make_result(blob(value=3.5), grid_scored=scored).findings[0].p_value == pytest.approx(0.75)
    assert small.volume == 20.0


WEIGHED = replace(CALIBRATION, masses=(0.0, 10.0, 1000.0), mass_unit="mm3", peak_unit="scan")  # above 0.5


def test_findings_have_a_p_value_of_their_mass_where_the_unit_is_the_models() -> None:
    (large, small) = make_result(blob(value=2.5), calibration=WEIGHED).findings
    assert (large.mass, large.p_value_mass) == (9 * 20.0 * 2.0, 0.5)  # one of three normals is as heavy
    assert (small.mass, small.p_value_mass) == (20.0 * 2.0, 0.5)
    in_pixels = make_result(blob(value=2.5), replace(SAME, unit="pixel"), calibration=WEIGHED).findings
    assert [(finding.mass, finding.p_value_mass) for finding in in_pixels] == [(18.0, None), (2.0, None)]
    of_slices = replace(WEIGHED, peak_unit="slice", mass_unit="mm2", masses=(0.0,) * 10 + (5.0, 50.0))
    large, small = make_result(blob(value=2.5), calibration=of_slices).findings  # 9 * 4 * 2 and 4 * 2 mm2, against four slices
    assert (large.p_value_mass, small.p_value_mass) == (pytest.approx(4 / 13), pytest.approx(8 / 13))


def test_a_large_finding_comes_before_a_small_one_that_peaks_higher() -> None:
    values = blob(value=2.5)
    values[0, 6, 6] = 9.0
    assert [finding.peak for finding in make_result(values, calibration=WEIGHED).findings] == [2.5, 9.0]
    assert [finding.peak for finding in make_result(values).findings] == [9.0, 2.5]


def test_a_rate_sets_the_threshold_for_the_contiguity_at_hand() -> None:
    assert Controls.choose(CALIBRATION, rate=0.01) == Controls(1.0, 0.01, about(0.4), True)
    assert Controls.choose(CALIBRATION, rate=0.01, contiguity=2.0).threshold == pytest.approx(0.3)
    assert Controls.choose(CALIBRATION, rate=0.01, contiguity=2.0, scr=False).threshold == pytest.approx(0.5)
    assert Controls.choose(CALIBRATION) == Controls(1.0, None, 0.25, True)
    assert Controls.choose(CALIBRATION, threshold=-1) == Controls(1.0, None, -1.0, True)


def test_refining_moves_only_what_was_asked_for() -> None:
    first = make_result(blob(), rate=0.01)
    assert first.refine(contiguity=2.0).controls == Controls(2.0, 0.01, about(0.3), True)
    assert first.refine(scr=False).controls == Controls(1.0, 0.01, about(0.5), False)
    assert first.refine(rate=0.1).controls == Controls(1.0, 0.1, about(0.1), True)
    assert first.refine(threshold=0.7).controls == Controls(1.0, None, 0.7, True)
    assert first.refine(threshold=0.7).refine(contiguity=2.0).controls == Controls(2.0, None, 0.7, True)
    assert first.refine(threshold=0.7).refine(rate=0.01).controls == first.controls
    assert make_result(blob()).refine(contiguity=2.0).controls == Controls(2.0, None, 0.25, True)


def test_a_refined_result_is_the_one_that_detection_would_have_given() -> None:
    parts = noise((4, 8, 8))
    wishes: list[dict[str, Any]] = [{"contiguity": 3.0}, {"threshold": 0.8}, {"rate": 0.1, "contiguity": 0.3}, {"scr": False}]
    first = make_result(**parts)
    before = first.mask.copy()
    for wish in wishes:
        assert same(first.refine(**wish), make_result(**parts, **wish)), wish
        assert not np.array_equal(first.refine(**wish).mask, before), wish
    assert np.array_equal(first.mask, before)
    assert first.refine(contiguity=3.0).grid_map is first.grid_map


def test_p_values_do_not_move_with_the_controls() -> None:
    first = make_result(blob(value=2.5), threshold=0.25)
    assert first.findings[0].p_value == first.refine(threshold=1.0, contiguity=0.5).findings[0].p_value


@pytest.mark.parametrize("wish", [{"rate": 0.01, "threshold": 0.0}, {"contiguity": -1.0}, {"contiguity": np.nan}, {"threshold": np.inf}])
def test_impossible_controls_are_wrong_use(wish: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        make_result(blob()).refine(**wish)
    with pytest.raises(WrongUse):
        make_result(blob(), **wish)


def test_a_rate_outside_the_calibration_is_an_error() -> None:
    with pytest.raises(InvDetectError, match="rate of 0.5"):
        make_result(blob()).refine(rate=0.5)


def test_refining_reports_slices_and_can_be_cancelled() -> None:
    events: list[Event] = []
    result = make_result(blob())
    result.refine(contiguity=2.0, progress=Progress(events.append))
    assert [(event.stage, event.done, event.total) for event in events] == [("refining", k, 4) for k in range(5)]
    stopped = Progress()
    stopped.cancel()
    with pytest.raises(Cancelled):
        result.refine(contiguity=2.0, progress=stopped)


# --- back to the scan's own voxels -----------------------------------------------------------------------------------------------


def test_the_map_is_not_diluted_at_the_rim_of_what_was_scored() -> None:
    geometry = Geometry((2, 20, 20))
    scored = np.zeros((2, 8, 8), bool)
    scored[:, 2:6, 2:6] = True
    result = make_result(np.where(scored, 2.0, 0.0), geometry, grid_scored=scored)
    inside = result.anomaly_map != FLOOR
    assert 60 < inside[0].sum() < 140  # 4 x 4 of 8 x 8 pixels are a quarter of 400 voxels
    assert result.anomaly_map[inside] == pytest.approx(2.0, abs=1e-6)


def test_peaks_in_the_scan_never_exceed_those_on_the_grid_that_the_p_value_knows() -> None:
    parts = noise((3, 16, 16))
    result = make_result(geometry=Geometry((3, 21, 13)), preparation=Preparation(grid=16), **noise((3, 16, 10)))
    assert parts["grid_map"].max() > 0
    assert result.anomaly_map.max() <= result.grid_map.max()
    assert (result.mask <= (result.anomaly_map != FLOOR)).all()


OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("direction", [Geometry((1, 1, 1)).direction, OBLIQUE, FLIPPED])
def test_a_finding_lies_in_the_world_where_the_lesion_was(plane: str, direction: tuple[float, ...]) -> None:
    geometry = Geometry((14, 18, 22), (2.0, 2.0, 2.0), (-10.0, 5.0, 30.0), direction)
    preparation = Preparation(plane=plane, grid=22)
    lesion = np.zeros(geometry.shape, bool)
    lesion[4:8, 9:13, 14:18] = True
    grid = SliceGrid.for_scan(geometry, preparation)
    result = make_result(np.where(grid.mask_to_grid(lesion), 5.0, 0.0), geometry, preparation)
    (finding,) = result.findings
    assert finding.centroid_ras == pytest.approx(tuple(geometry.ras_from_index((5.5, 10.5, 15.5))), abs=0.5)
    along = np.nonzero(lesion)[grid.slice_axis]
    assert (finding.first_slice, finding.last_slice) == (along.min(), along.max())


# --- files -----------------------------------------------------------------------------------------------------------------------


def test_saving_and_loading_gives_the_same_result_and_the_same_refinements(tmp_path: Path) -> None:
    geometry = Geometry((3, 21, 13), (0.7, 0.9, 5.0), (-10.0, 5.0, 30.0), OBLIQUE)
    foreground = np.ones(geometry.shape, bool)
    foreground[:, :4] = False
    first = make_result(geometry=geometry, preparation=Preparation(grid=16), foreground=foreground, rate=0.03, **noise((3, 16, 8)))
    paths = first.save(tmp_path / "new" / "folder")
    again = Result.load(paths["result"])
    assert same(first, again)
    assert first.mask.any() and len(first.findings) > 1
    for wish in ({"contiguity": 0.2}, {"contiguity": 3.0}, {"threshold": 0.5}, {"scr": False}):
        assert same(first.refine(**wish), again.refine(**wish)), wish


def test_the_files_of_a_volume(tmp_path: Path) -> None:
    paths = make_result(blob()).save(tmp_path)
    names = {kind: path.name.removeprefix("jane-doe") for kind, path in paths.items()}
    assert names == {
        "map": ".anomaly.nii.gz",
        "mask": ".mask.seg.nrrd",
        "findings": ".findings.csv",
        "refine": ".refine.npz",
        "result": ".result.json",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths.values())


def test_the_map_file_has_the_scans_geometry_and_the_maps_values(tmp_path: Path) -> None:
    geometry = Geometry((4, 8, 8), (2.0, 2.0, 5.0), (-10.0, 5.0, 30.0), OBLIQUE)
    result = make_result(blob(), geometry)
    image = sitk.ReadImage(str(result.save(tmp_path)["map"]))
    assert image.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(sitk.GetArrayFromImage(image), result.anomaly_map)
    assert image.GetSpacing() == pytest.approx(geometry.spacing)
    assert image.GetOrigin() == pytest.approx(geometry.origin)
    assert image.GetDirection() == pytest.approx(geometry.direction, abs=1e-6)


def test_a_map_is_not_written_where_it_would_lie_in_another_place(tmp_path: Path) -> None:
    sheared = Geometry((4, 8, 8), direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.3, 0.0, 0.0, 0.954))
    with pytest.raises(InvDetectError, match="sheared"):
        make_result(blob(), sheared).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_mask_file_is_a_segmentation_with_a_named_and_coloured_segment(tmp_path: Path) -> None:
    geometry = Geometry((4, 8, 8), (2.0, 2.0, 5.0), (-10.0, 5.0, 30.0), OBLIQUE)
    result = make_result(blob(), geometry)
    path = result.save(tmp_path)["mask"]
    image = sitk.ReadImage(str(path))
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(image), result.mask)
    assert image.GetDirection() == pytest.approx(geometry.direction)
    header = path.read_bytes().split(b"\n\n")[0].decode().splitlines()
    for line in (
        "Segment0_ID:=Anomaly",
        "Segment0_Name:=Anomaly",
        "Segment0_Color:=1 0.3 0",
        "Segment0_LabelValue:=1",
        "Segment0_Layer:=0",
        "Segment0_Extent:=0 7 0 7 0 3",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
        "space: left-posterior-superior",
    ):
        assert line in header, line
    assert any(line.startswith("Segment0_Tags:=TerminologyEntry:") and "49755003" in line for line in header)


def test_the_findings_table_names_its_units(tmp_path: Path) -> None:
    path = make_result(blob(value=2.5)).save(tmp_path)["findings"]
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert [row["finding"] for row in rows] == ["1", "2"]
    assert (rows[0]["volume_mm3"], rows[0]["peak_score"], rows[0]["p_value"], rows[0]["held_out_normals"]) == ("180", "2.5", "1", "3")
    # centre (2, 3, 4) of the block: LPS (8, 6, 10)
    assert [rows[0][f"centroid_{axis}_mm"] for axis in ("right", "anterior", "superior")] == ["-8.000", "-6.000", "10.000"]
    assert (rows[0]["first_slice"], rows[0]["last_slice"]) == ("2", "2")
    assert (rows[0]["mass_score_mm3"], rows[0]["p_value_mass"]) == ("", "")
    weighed = make_result(blob(value=2.5), calibration=WEIGHED).save(tmp_path / "weighed")["findings"]
    rows = list(csv.DictReader(weighed.open(encoding="utf-8")))
    assert (rows[0]["mass_score_mm3"], rows[0]["p_value_mass"]) == ("360", "0.5")
    in_pixels = make_result(blob(), replace(SAME, spacing=(1.0, 1.0, 1.0), unit="pixel")).save(tmp_path / "pixels")["findings"]
    assert "volume_pixels" in in_pixels.read_text() and "mm" not in in_pixels.read_text()


def test_no_text_cell_starts_a_formula() -> None:
    text = csv_text(["scan"], [["=1+1"], ["@x"], ["+x"], ["-x"], ["-1.5"], ["plain"], [-2]])
    assert text.splitlines() == ["scan", "'=1+1", "'@x", "'+x", "'-x", "-1.5", "plain", "-2"]


def test_a_2d_image_gets_pictures_of_map_and_mask(tmp_path: Path) -> None:
    geometry = Geometry((1, 8, 8), dimension=2, unit="pixel")
    values = np.zeros((1, 8, 8), np.float32)
    values[0, 2:5, 3:6] = 1.25
    scored = np.ones((1, 8, 8), bool)
    scored[0, 0] = False
    paths = make_result(values, geometry, grid_scored=scored).save(tmp_path)
    grey = sitk.GetArrayFromImage(sitk.ReadImage(str(paths["map_picture"])))
    # black is the floor, -2; white is high = q90 + 3 (q99 - q50) = 3: 0 -> 255 * 2 / 5, 1.25 -> 255 * 3.25 / 5
    assert (grey.dtype, grey.shape) == (np.uint8, (8, 8))
    assert (grey[0] == 0).all() and grey[1, 0] == 102 and grey[3, 4] == 166
    display = json.loads(paths["result"].read_text())["display"]
    assert (display["png_black"], display["png_white"]) == (FLOOR, 3.0)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(paths["mask_picture"])))
    assert np.array_equal(mask, np.where(values[0] > 0, 255, 0))
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(paths["mask"]))).shape == (1, 8, 8)


def test_the_result_file_is_strict_json_with_its_version_and_all_that_made_it(tmp_path: Path) -> None:
    content = json.loads(make_result(blob(), rate=0.01).save(tmp_path)["result"].read_text())
    assert (content["format"], content["version"]) == ("invdetect-result", 1)
    assert content["provenance"]["model"] == "0f0f"
    assert content["controls"] == {"contiguity": 1.0, "rate": 0.01, "threshold": pytest.approx(0.4), "scr": True}
    assert content["geometry"] == SAME.as_dict()
    assert content["findings"][0]["volume"] == 180.0
    assert content["calibration"]["contiguity"] == 0.5


def test_no_file_holds_the_scans_name_or_a_path(tmp_path: Path) -> None:
    background = np.zeros((4, 8, 8), np.float32)
    paths = make_result(blob(), background=background).save(tmp_path)
    for path in paths.values():
        for word in (b"jane", b"doe", str(tmp_path).encode()):
            assert word not in path.read_bytes(), path.name


def test_existing_files_are_left_alone_unless_overwriting_was_asked_for(tmp_path: Path) -> None:
    first = make_result(blob())
    first.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InvDetectError, match=r"jane-doe\.result\.json exists already.*--overwrite"):
        first.refine(scr=False).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    first.refine(scr=False).save(tmp_path, overwrite=True)
    assert not Result.load(tmp_path / "jane-doe.result.json").controls.scr


def test_overwriting_removes_a_preview_that_is_not_drawn_anew(tmp_path: Path) -> None:
    drawn = make_result(blob(), background=np.zeros((4, 8, 8), np.float32)).save(tmp_path)
    assert drawn["preview"].exists()
    paths = Result.load(drawn["result"]).save(tmp_path, overwrite=True)
    assert "preview" not in paths and not drawn["preview"].exists()


def test_two_results_share_a_folder(tmp_path: Path) -> None:
    make_result(blob()).save(tmp_path)
    make_result(blob(), name="other").save(tmp_path)
    assert Result.load(tmp_path / "other.result.json").name == "other"


def test_a_failure_while_moving_brings_the_older_files_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_result(blob())
    first.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real = results.result_files.os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(source).parent.name.startswith(".invdetect-") and str(target).endswith(".refine.npz"):
            raise PermissionError(13, "in use by another program")
        real(source, target)

    monkeypatch.setattr(results.result_files.os, "replace", failing)
    with pytest.raises(InvDetectError, match="in use by another program"):
        first.refine(scr=False).save(tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), all_or_nothing(tmp_path, "x", False) as private:
        (private / "x.result.json").write_text("{}")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvDetectError, match=r"file: .*not a folder"):
        make_result(blob()).save(tmp_path / "file")
    with pytest.raises(InvDetectError, match=r"below: .*Not a directory"):
        make_result(blob()).save(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even the administrator can write to")
def test_a_read_only_folder_is_named_with_the_reason() -> None:
    with pytest.raises(InvDetectError, match=r"^/proc/none: .*cannot be written"):
        make_result(blob()).save("/proc/none")


FULL_DISK = """
import sys
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from Testing.support.made_results import SAME, make_result, noise
from InvDetectLib.common import InvDetectError
from InvDetectLib.results.files import write_map
result, folder = make_result(**noise((4, 8, 8))), Path(sys.argv[1])
for limit in map(int, sys.argv[2:]):
    setrlimit(RLIMIT_FSIZE, (limit, getrlimit(RLIMIT_FSIZE)[1]))
    try:
        result.save(folder, overwrite=True)
    except InvDetectError as error:
        print(error, sorted(path.name for path in folder.iterdir()), sep="|")
try:
    write_map(folder.parent / "alone.nii.gz", result.anomaly_map, SAME)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files stands for the full disk")
def test_a_full_disk_leaves_the_older_result_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sizes = sorted(path.stat().st_size for path in make_result(**noise((4, 8, 8))).save(tmp_path / "whole").values())
    make_result(blob()).save(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    limits = [sizes[-1] - 1, sizes[-2] - 1, sizes[0] - 1, 0, 500]
    command = [sys.executable, "-c", FULL_DISK, str(out), *map(str, limits)]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(limits) + 1
    for line in lines[:-1]:
        message, names = line.split("|")
        assert message.startswith(f"{out}: the result cannot be written there (") and "full" in message or "large" in message
        assert names == str(sorted(before))
    assert "incomplete" in lines[-1]  # the map alone at 500 bytes: a file that ITK takes for whole
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def damage(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def rewrite_arrays(folder: Path, **changes: Any) -> None:
    """The arrays changed, with a checksum that fits: what a hostile file would look like."""
    npz, result = folder / "jane-doe.refine.npz", folder / "jane-doe.result.json"
    with np.load(npz) as packed:
        arrays = {name: packed[name] for name in packed.files}
    packed_again = io.BytesIO()
    np.savez_compressed(packed_again, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})
    npz.write_bytes(packed_again.getvalue())
    import hashlib

    damage(result, arrays={"sha256": hashlib.sha256(npz.read_bytes()).hexdigest(), "grid_shape": [4, 8, 8]})


DAMAGES = {
    "no such file": (lambda d: (d / "jane-doe.result.json").unlink(), "cannot be read"),
    "half a file": (
        lambda d: (d / "jane-doe.result.json").write_text((d / "jane-doe.result.json").read_text()[:300]),
        "damaged or no result",
    ),
    "binary": (lambda d: (d / "jane-doe.result.json").write_bytes(b"\xff\xfe\x00"), "damaged or no result"),
    "foreign": (lambda d: (d / "jane-doe.result.json").write_text('{"format": "other"}'), "no result of InvDetect"),
    "a list": (lambda d: (d / "jane-doe.result.json").write_text("[]"), "no result of InvDetect"),
    "newer": (lambda d: damage(d / "jane-doe.result.json", version=2), "version 2.*Update"),
    "no geometry": (lambda d: damage(d / "jane-doe.result.json", geometry={}), "damaged"),
    "another geometry": (lambda d: damage(d / "jane-doe.result.json", geometry=replace(SAME, shape=(5, 8, 8)).as_dict()), "damaged"),
    "strange preparation": (lambda d: damage(d / "jane-doe.result.json", preparation={"tilt": 3}), "tilt"),
    "strange calibration": (lambda d: damage(d / "jane-doe.result.json", calibration=[1]), "damaged"),
    "strange controls": (lambda d: damage(d / "jane-doe.result.json", controls={"contiguity": "x"}), "damaged"),
    "no arrays": (lambda d: (d / "jane-doe.refine.npz").unlink(), "refine.npz cannot be read.*beside"),
    "half the arrays": (
        lambda d: (d / "jane-doe.refine.npz").write_bytes((d / "jane-doe.refine.npz").read_bytes()[:500]),
        "refine.npz is damaged",
    ),
    "another result's arrays": (lambda d: shutil.copy(d / "other.refine.npz", d / "jane-doe.refine.npz"), "belongs to another result"),
    "arrays of another shape": (lambda d: rewrite_arrays(d, map=np.zeros((4, 8, 9), np.float32)), r"map is float32 \(4, 8, 9\)"),
    "arrays of another type": (lambda d: rewrite_arrays(d, map=np.zeros((4, 8, 8))), "map is float64"),
    "an array missing": (lambda d: rewrite_arrays(d, scored=None), "does not hold"),
    "NaN in the map": (lambda d: rewrite_arrays(d, map=np.full((4, 8, 8), np.nan, np.float32)), "finite"),
    "something that runs": (lambda d: rewrite_arrays(d, map=np.array([print], object)), "does not hold"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_result_is_told_in_a_sentence(case: str, tmp_path: Path) -> None:
    make_result(blob()).save(tmp_path)
    make_result(blob(value=2.0), name="other").save(tmp_path)
    harm, message = DAMAGES[case]
    harm(tmp_path)
    with pytest.raises(InvDetectError, match=message) as caught:
        Result.load(tmp_path / "jane-doe.result.json")
    assert str(tmp_path) in str(caught.value)


def test_only_a_result_file_can_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=r"NAME\.result\.json"):
        Result.load(tmp_path)


@pytest.mark.parametrize("axes", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, -1, 0)])
def test_one_slice_is_refined_as_all_of_them_are(axes: tuple[float, ...]) -> None:
    geometry = Geometry((8, 8, 8), spacing=(2.0, 2.0, 2.0), direction=axes)
    result = make_result(geometry=geometry, **noise((8, 8, 8)))
    for wishes in ({"rate": 0.05}, {"contiguity": 2.0}, {"threshold": 0.1, "scr": False}):
        whole, controls = result.refine(**wishes), result.wished(**wishes)
        assert controls == whole.controls and whole.mask.any()
        for index in range(8):
            assert np.array_equal(result.refine_slice(index, controls), whole.mask.take(index, result.slice_axis))
