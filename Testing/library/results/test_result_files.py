"""The files of a result: map, mask, table, pictures and what is needed to refine it, for other programs and for loading it again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models.settings import Preparation
from InvDetectLib.results.files import csv_text
from InvDetectLib.results.result import Result
from InvDetectLib.scans.geometry import Geometry
from Testing.support.made_results import FLOOR, OBLIQUE, SAME, WEIGHED, agree, blob, make_result, noise


def test_saving_and_loading_gives_the_same_result_and_the_same_refinements(tmp_path: Path) -> None:
    geometry = Geometry((3, 21, 13), (0.7, 0.9, 5.0), (-10.0, 5.0, 30.0), OBLIQUE)
    foreground = np.ones(geometry.shape, bool)
    foreground[:, :4] = False
    first = make_result(geometry=geometry, preparation=Preparation(grid=16), foreground=foreground, rate=0.03, **noise((3, 16, 8)))
    paths = first.save(tmp_path / "new" / "folder")
    again = Result.load(paths["result"])
    assert agree(first, again)
    assert first.mask.any() and len(first.findings) > 1
    for wish in ({"contiguity": 0.2}, {"contiguity": 3.0}, {"threshold": 0.5}, {"scr": False}):
        assert agree(first.refine(**wish), again.refine(**wish)), wish


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


def test_two_results_share_a_folder(tmp_path: Path) -> None:
    make_result(blob()).save(tmp_path)
    make_result(blob(), name="other").save(tmp_path)
    assert Result.load(tmp_path / "other.result.json").name == "other"
