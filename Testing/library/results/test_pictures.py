"""The preview: which slices it shows, in which colours, and that it shows what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.calibration.calibration import Calibration
from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models.settings import Preparation
from InvDetectLib.results import Result, backgrounds, canvas, pictures
from InvDetectLib.scans import Scan, thumbnail
from InvDetectLib.scans.geometry import Geometry
from InvDetectLib.scans.slicing import SliceGrid
from Testing.support.made_results import assembled

CALIBRATION = Calibration(
    unit="calibrated",
    offset=10.0,
    scale=2.0,
    contiguity=0.0,
    default_threshold=0.5,
    contiguities=(0.0, 1.0),
    rates=(0.01, 0.1),
    thresholds=((0.5, 0.1), (0.4, 0.1)),
    peaks=(1.0,),
    peak_unit="scan",
    floor=-2.0,
    normal_area=0.01,
    raw_quantiles=(7.0, 9.0, 10.0, 11.0),
)
VOLUME = Geometry((5, 32, 32), spacing=(2.0, 2.0, 5.0), origin=(-32.0, -32.0, 40.0))
AXIAL = Preparation(grid=32)


def make_result(geometry: Geometry = VOLUME, colour: bool = False, **changes: Any) -> Result:
    """A bright quadrant (first rows, first columns) in a grey scan; one finding in slice 3."""
    slices, rows, columns = geometry.shape
    background = np.full(geometry.shape, 0.3, np.float32)
    background[:, : rows // 2, : columns // 2] = 0.9
    values = np.zeros(geometry.shape, np.float32)
    values[min(3, slices - 1), 20:26, 6:12] = 2.5
    parts: dict[str, Any] = {
        "name": "x",
        "geometry": geometry,
        "preparation": AXIAL,
        "calibration": CALIBRATION,
        "grid_map": values,
        "grid_scored": np.ones(geometry.shape, bool),
        "edges_down": np.ones((slices, rows - 1, columns), np.float16),
        "edges_right": np.ones((slices, rows, columns - 1), np.float16),
        "foreground": np.ones(geometry.shape, bool),
        "provenance": {},
        "background": np.stack([background, 0 * background, 0 * background], axis=-1) if colour else background,
    }
    return assembled(**{**parts, **changes})


def pixels(result: Result, path: Path) -> np.ndarray:
    """(row, column, 3) int of the picture."""
    result.picture(path)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - colour).max(axis=-1) < 12).sum())


CYAN = (0x33, 0xE0, 0xFF)


def test_the_colours_are_fixed_by_the_held_out_normals() -> None:
    # raw quantiles 9, 10, 11 in units of 2 from 10 on are -0.5, 0, 0.5: colours from 0 to 3 * 1
    assert backgrounds.display_range(CALIBRATION) == (0.0, pytest.approx(3.0))
    raw = replace(CALIBRATION, unit="raw", offset=0.0, scale=1.0)
    assert backgrounds.display_range(raw) == (10.0, pytest.approx(16.0))


def choose(marks: dict[int, list[int]], highest: list[float], count: int = 4) -> list[int]:
    grid_map = np.array(highest, np.float32)[:, None, None]
    labels = [np.array(marks.get(k, []), int) for k in range(len(highest))]
    return pictures.choose_slices(grid_map, np.isfinite(grid_map), labels, count)


def test_the_strongest_and_the_largest_findings_are_shown_where_they_are_largest() -> None:
    marks = {1: [1], 2: [1, 1], 4: [3] * 4, 5: [2] * 9, 6: [2] * 8, 8: [4] * 5}
    assert choose(marks, [0.0] * 10, count=4) == [2, 4, 5, 8]
    assert choose(marks, [0.0] * 10, count=3) == [2, 5, 8]
    assert choose(marks, [0.0] * 10, count=2) == [2, 5]


def test_further_places_go_to_slices_with_much_of_the_mask_then_to_high_values() -> None:
    assert choose({5: [1] * 9, 6: [1] * 8}, [0, 3, 0, 0, 0, 0, 0, 2.0, 0, 0], count=4) == [1, 5, 6, 7]


def test_without_findings_the_highest_slices_are_shown() -> None:
    assert choose({}, [0, 5, 0, 0, 4, 0, 3, 2]) == [1, 4, 6, 7]


def test_neighbouring_slices_of_a_large_stack_are_not_shown_together_unless_there_are_no_others() -> None:
    highest = list(np.arange(64.0))
    assert choose({}, highest) == [51, 55, 59, 63]
    assert choose({}, [-np.inf] * 60 + [1, 2, 3, 4]) == [60, 61, 62, 63]


def test_slices_where_nothing_was_scored_are_not_shown() -> None:
    assert choose({}, [-np.inf, 1, -np.inf, 2]) == [1, 3]


def test_the_picture_is_1200_pixels_wide_and_the_same_every_time(tmp_path: Path) -> None:
    result = make_result()
    assert pixels(result, tmp_path / "one.png").shape[1] == 1200
    result.picture(tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_findings_are_outlined_and_numbered_and_normal_scans_are_not(tmp_path: Path) -> None:
    assert count(pixels(make_result(), tmp_path / "a.png"), CYAN) > 100
    assert count(pixels(make_result(threshold=9.0), tmp_path / "b.png"), CYAN) == 0


def test_the_map_is_coloured_where_it_is_high_and_leaves_the_scan_grey_elsewhere(tmp_path: Path) -> None:
    def coloured(picture: np.ndarray) -> int:
        panels = picture[: -int(pictures.FOOT)]  # without the colour bar
        return int((panels.max(axis=-1) - panels.min(axis=-1) > 60).sum())

    high, low = make_result(threshold=9.0), make_result(threshold=9.0, grid_map=np.zeros(VOLUME.shape, np.float32))
    letters = coloured(pixels(low, tmp_path / "low.png"))
    assert coloured(pixels(high, tmp_path / "high.png")) > letters + 500


def test_the_first_row_and_column_of_a_slice_stand_at_the_upper_left(tmp_path: Path) -> None:
    geometry = Geometry((1, 32, 32), dimension=2, unit="pixel")
    picture = pixels(make_result(geometry), tmp_path / "a.png")
    # an image: three views side by side, each about 380 pixels wide; the first shows the scan alone
    corner = {place: picture[place[0], place[1]].mean() for place in ((120, 120), (120, 340), (320, 120), (320, 340))}
    assert corner[(120, 120)] > 200
    assert max(corner[(120, 340)], corner[(320, 120)], corner[(320, 340)]) < 100


def test_colour_scans_are_shown_in_colour(tmp_path: Path) -> None:
    geometry = Geometry((1, 32, 32), dimension=2, unit="pixel")
    red, green, blue = pixels(make_result(geometry, colour=True), tmp_path / "a.png")[120, 120]
    assert red > 200 and green < 20 and blue < 20


def test_slice_titles_count_in_the_scans_own_array_and_name_the_place() -> None:
    upside_down = Geometry((5, 32, 32), (2.0, 2.0, 5.0), (0.0, 0.0, 12.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    preview = pictures._Preview(make_result(upside_down))
    assert [preview._slice_title(k) for k in (0, 4)] == ["slice 4  (I 8 mm)", "slice 0  (S 12 mm)"]
    assert pictures._Preview(make_result(replace(VOLUME, unit="pixel")))._slice_title(2) == "slice 2"


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_numbers_on_the_grid_are_those_of_the_table(plane: str) -> None:
    geometry = Geometry((12, 20, 24), (2.0, 2.0, 2.0), direction=(-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0))
    values = np.zeros(geometry.shape, np.float32)
    values[2:5, 3:6, 4:8], values[7:10, 12:16, 15:19] = 2.0, 4.0
    preparation = Preparation(plane=plane, grid=24)
    grid = SliceGrid.for_scan(geometry, preparation)
    slices, rows, columns = grid.shape
    result = make_result(
        geometry,
        preparation=preparation,
        grid_map=grid.to_grid(values),
        grid_scored=np.ones(grid.shape, bool),
        edges_down=np.ones((slices, rows - 1, columns)),
        edges_right=np.ones((slices, rows, columns - 1)),
        background=None,
        threshold=1.0,
    )
    assert [round(finding.peak) for finding in result.findings] == [4, 2]
    labels = result.grid_labels
    assert (labels[grid.to_grid(values) > 2.5] == 1).all()
    lower = (grid.to_grid(values) > 1.2) & (grid.to_grid(values) < 2.1)
    assert np.isin(2, labels[lower]) and set(np.unique(labels[grid.mask_to_grid(values == 2.0)])) == {2}


def test_a_loaded_result_asks_for_the_scan_and_draws_with_it(tmp_path: Path) -> None:
    from InvDetectLib.scans import Scan

    loaded = Result.load(make_result().save(tmp_path)["result"])
    with pytest.raises(InvDetectError, match="Give the scan"):
        loaded.picture(tmp_path / "p.png")
    array = np.full(VOLUME.shape, 100, np.int16)
    array[:, 10:20] = 300
    with pytest.raises(InvDetectError, match="another geometry"):
        loaded.picture(tmp_path / "p.png", Scan(array, replace(VOLUME, spacing=(1.0, 1.0, 1.0)), "y", ""))
    loaded.picture(tmp_path / "p.png", Scan(array, VOLUME, "y", ""))
    assert (tmp_path / "p.png").exists()
    assert "preview" in loaded.save(tmp_path, overwrite=True)


def test_the_background_of_a_scan_stretches_its_foreground_over_the_greys() -> None:
    grid = SliceGrid.for_scan(VOLUME, AXIAL)
    array = np.zeros(VOLUME.shape, np.int16)
    array[:, :16], array[:, 16:], array[0, 0, 0] = 100, 300, 5000
    background = backgrounds.background_of(array, array > 0, grid)
    assert background[1, 3, 3] == 0 and background[1, 28, 3] == 1 and background[0, 0, 0] == 1
    colour = np.stack([np.full(VOLUME.shape, value, np.uint8) for value in (0, 51, 255)], axis=-1)
    assert backgrounds.background_of(colour, array > 0, grid)[0, 0, 0] == pytest.approx([0, 0.2, 1])
    torn = colour / np.float32(2)
    torn[0, 5, 5] = np.nan  # no number outside of what is of interest
    assert backgrounds.background_of(torn, array > 0, grid)[0, 0, 0] == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e9])  # diffusion in m2/s is some 1e-9
def test_pictures_of_a_scan_do_not_depend_on_its_unit(unit: float) -> None:
    values = np.random.default_rng(0).uniform(1, 300, VOLUME.shape)
    scan, scaled = (Scan.from_array(array, VOLUME, "x") for array in (values, unit * values))
    assert np.array_equal(thumbnail(scan), thumbnail(scaled)) and thumbnail(scan).max() == 255
    grid, inside = SliceGrid.for_scan(VOLUME, AXIAL), np.ones(VOLUME.shape, bool)
    one, other = (backgrounds.background_of(array.array, inside, grid) for array in (scan, scaled))
    assert np.allclose(one, other, atol=1e-5) and one.max() == 1


def test_a_picture_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=r"p\.png cannot be written \(No such file"):
        make_result().picture(tmp_path / "missing" / "p.png")


def test_without_matplotlib_a_result_saves_all_but_the_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "available", lambda: False)
    assert "preview" not in make_result().save(tmp_path)
    with pytest.raises(InvDetectError, match="pip install matplotlib"):
        make_result().picture(tmp_path / "p.png")
