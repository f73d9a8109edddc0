"""`explain`: the words and the picture of a stored result, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import InvDetectLib as invdetect
from InvDetectLib.common import InvDetectError
from InvDetectLib.detection import Detector
from InvDetectLib.explanation import choose_gallery
from InvDetectLib.methods import Slices
from InvDetectLib.models import Model
from InvDetectLib.results import Result
from InvDetectLib.scans import Scan, read_scan
from Testing.support.tiny_model import World, process, shell

TILE = 198  # pixels from one tile to the next


@pytest.fixture(scope="module")
def examined(world: World, directed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with findings of the model that compares left with right."""
    out = tmp_path_factory.mktemp("examined")
    invdetect.detect(world.scans / "head-1000.nii.gz", directed, device="cpu").save(out)
    return out / "head-1000.result.json"


@pytest.fixture(scope="module")
def scan(world: World) -> Path:
    return world.scans / "head-1000.nii.gz"


def picture(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_the_words_are_those_that_detection_left_in_the_result(examined: Path, scan: Path, directed: Path) -> None:
    found = invdetect.explain(examined, scan, directed, device="cpu")
    stored = Result.load(examined).findings
    assert found.findings == stored
    assert found.words()[0] == f"Finding 1: {stored[0].reasons.words()}"  # type: ignore[union-attr]


def test_findings_without_reasons_are_looked_at_again(examined: Path, scan: Path, directed: Path) -> None:
    result = Result.load(examined)
    wanted = result.findings
    result.findings = [dataclasses.replace(finding, reasons=None) for finding in wanted]
    found = invdetect.explain(result, scan, directed, device="cpu").findings
    assert [finding.reasons for finding in found] == [finding.reasons for finding in wanted]


def test_each_row_shows_the_finding_where_it_is_with_the_other_side_and_every_view(examined: Path, scan: Path, directed: Path) -> None:
    found = invdetect.explain(examined, scan, directed, device="cpu")
    assert len(found.rows) == min(8, len(found.findings))
    row = found.rows[0]
    assert [tile.title for tile in row.tiles] == ["scan", "the other side", "predicted noise", "intensity", "left against right"]
    here, other = row.tiles[0].image, row.tiles[1].image
    assert row.inside.any() and here.shape == other.shape == row.inside.shape and not np.array_equal(here, other)
    views = [tile.view for tile in row.tiles if tile.view is not None]
    assert max(float(view[row.inside].max()) for view in views) == pytest.approx(1)


def test_a_model_whose_score_is_no_sum_shows_its_map(world: World, scan: Path) -> None:
    row = invdetect.explain(invdetect.detect(scan, world.model, device="cpu"), scan, world.model, device="cpu").rows[0]
    assert [tile.title for tile in row.tiles] == ["scan", "anomaly map"]
    view = row.tiles[1].view
    assert view is not None and float(view[row.inside].max()) == pytest.approx(1)


def test_a_gallery_adds_the_nearest_normal_patches(world: World, directed: Path, scan: Path, tmp_path: Path) -> None:
    model = Model.load(directed)
    normal = Detector(model, "cpu").prepare(read_scan(directed.parent / "normals" / "head-0000.nii.gz"))
    model.arrays["gallery/patches"] = choose_gallery([Slices(normal.slices, normal.foreground)], 0)["patches"]
    found = invdetect.explain(invdetect.detect(scan, model, device="cpu"), scan, model, device="cpu", gallery=True)
    assert [len(row.nearest) for row in found.rows] == [4] * len(found.rows)
    found.picture(tmp_path / "with.png")
    assert picture(tmp_path / "with.png").shape[1] > (len(found.rows[0].tiles) + 4) * TILE


def test_the_command_prints_the_words_and_writes_the_picture_with_no_name_in_it(
    examined: Path, scan: Path, directed: Path, tmp_path: Path
) -> None:
    words = ("explain", examined, "--scan", scan, "-m", directed, "--device", "cpu", "-o", tmp_path / "why.png")
    done = process(*words)
    assert done.status == 0, done.err
    assert done.out.startswith("Finding 1: ") and "held-out normal" in done.out
    drawn = picture(tmp_path / "why.png")
    assert drawn.shape[1] >= 5 * TILE and len(np.unique(drawn.reshape(-1, drawn.shape[2]), axis=0)) > 100
    assert b"head-1000" not in (tmp_path / "why.png").read_bytes()
    again = shell(*words)
    assert again.status == 2 and "exists already" in again.err
    hopeless = shell(*words[:-1], tmp_path / "why.png" / "why.png")
    assert hopeless.status == 1 and "The picture cannot be written to" in hopeless.err and "\n" not in hopeless.err.strip()
    as_json = shell(*words[:-2], "--json").json
    assert as_json["picture"] is None and as_json["findings"][0]["words"] in done.out


def test_what_does_not_fit_is_refused_in_one_sentence(world: World, examined: Path, scan: Path, directed: Path, tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="no gallery"):
        invdetect.explain(examined, scan, directed, device="cpu", gallery=True)
    with pytest.raises(InvDetectError, match="found by another model"):
        invdetect.explain(examined, scan, world.model, device="cpu")
    with pytest.raises(InvDetectError, match="is not the scan of the result"):
        invdetect.explain(examined, world.scans / "ward" / "night" / "head-1001.nii.gz", directed, device="cpu")
    for name in (examined.name, examined.name.replace("result.json", "refine.npz")):
        shutil.copy(examined.parent / name, tmp_path / name)
    content = json.loads((tmp_path / examined.name).read_text())
    content["findings"][0]["reasons"] = {"views": 3}
    (tmp_path / examined.name).write_text(json.dumps(content))
    with pytest.raises(InvDetectError, match="is damaged"):
        invdetect.explain(tmp_path / examined.name, scan, directed, device="cpu")


def test_a_result_in_another_direction_of_the_model_is_explained_in_that_direction(scan: Path, directed: Path) -> None:
    dark = Detector(directed, "cpu", "dark").detect(scan)
    found = invdetect.explain(dark, scan, directed, device="cpu")
    assert [one.reasons for one in found.findings] == [one.reasons for one in dark.findings]
    with pytest.raises(InvDetectError, match="in another direction"):
        Detector(directed, "cpu", "bright").explain(dark, scan)


def test_a_scan_that_moved_by_a_rounding_is_the_same_one_and_one_that_moved_by_more_is_not(scan: Path, directed: Path) -> None:
    detector = Detector(directed, "cpu")
    result, voxels = detector.detect(scan), read_scan(scan)

    def moved(by: float) -> Scan:
        right, *others = voxels.geometry.origin
        return Scan.from_array(voxels.array, dataclasses.replace(voxels.geometry, origin=(right + by, *others)), "moved")

    assert detector.explain(result, moved(1e-9)).words() == detector.explain(result, voxels).words()
    others = Scan.from_array(voxels.array[::-1].copy(), voxels.geometry, "other voxels in the same place")
    for another in (moved(1.0), others):
        with pytest.raises(InvDetectError, match="is not the scan of the result"):
            detector.explain(result, another)
