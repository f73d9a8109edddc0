"""Of which sources objects are written, of which not and why, and that objects are no scans themselves."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

need("highdicom")

from InvDetectLib.common import InvDetectError  # noqa: E402
from InvDetectLib.dicom import dicom_objects, lacking, more_files  # noqa: E402
from InvDetectLib.results import SUFFIXES  # noqa: E402
from InvDetectLib.scans import Scan, find_scans, origin_of, read_scan  # noqa: E402
from Testing.support.dicom_sources import PIXELS, as_series, enhanced_shuffled, oblique_with_gaps  # noqa: E402
from Testing.support.made_dicom import CLASSES, WHOLE, write_frames, write_image, write_series  # noqa: E402
from Testing.support.made_results import three_found_in  # noqa: E402
from Testing.support.tiny_model import World, shell  # noqa: E402


def refusal(path: Path, scan: Scan | None = None) -> str:
    with pytest.raises(InvDetectError) as caught:
        dicom_objects(three_found_in(scan or read_scan(path)), path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Refused


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"FrameOfReferenceUID": None}, "name no frame of reference"),
        ({"FrameOfReferenceUID": lambda k: f"1.2.{k}"}, "lie in several frames of reference"),
        ({"PixelSpacing": None}, "how large their pixels are"),
        ({"StudyInstanceUID": None}, "say their StudyInstanceUID"),
        ({"SOPInstanceUID": "1.2.3.4"}, "several of its files have one SOPInstanceUID"),
    ],
)
def test_a_series_that_does_not_say_what_objects_must_say_is_refused(elements: dict[str, Any], why: str, tmp_path: Path) -> None:
    assert why in refusal(write_series(tmp_path / "scan", PIXELS, **elements))


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "NumberOfFrames": len(PIXELS)}
    path = write_image(tmp_path / "cine.dcm", PIXELS, CLASSES + "3.1", **(WHOLE | nowhere))
    assert "no volume of slices with places" in refusal(path)


def test_another_scan_than_the_one_examined_is_refused(tmp_path: Path) -> None:
    scan = read_scan(oblique_with_gaps(tmp_path / "scan"))
    other = write_series(tmp_path / "other", PIXELS, step=3.5)
    assert "no volume of slices with places that is the scan" in refusal(other, scan)


def test_what_is_no_dicom_is_refused(tmp_path: Path) -> None:
    scan = read_scan(oblique_with_gaps(tmp_path / "scan"))
    (tmp_path / "scan.nii.gz").write_bytes(b"no")
    assert "it is no DICOM file" in refusal(tmp_path / "scan.nii.gz", scan)


def test_without_highdicom_one_sentence_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = oblique_with_gaps(tmp_path / "scan")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "highdicom" else find(name, *more))
    assert "pip install 'invdetect[dicom]'" in refusal(path)


# Found


def test_of_several_volumes_on_one_grid_the_one_that_was_examined_is_referred_to(tmp_path: Path) -> None:
    frames = np.concatenate([PIXELS, PIXELS[:, ::-1]])
    echoes = [{"MREchoSequence": {"EffectiveEchoTime": time}} for time in (10.0, 20.0) for _ in PIXELS]
    path = write_frames(tmp_path / "echoes.dcm", frames, [3.0 * k for k in range(6)] * 2, echoes, **WHOLE)
    for number, first in ((1, 0), (2, 6)):
        scan = read_scan(path, f"1.2.3#{number}")
        found = origin_of(path, scan.geometry, scan.digest)
        assert [one.frame for one in found.slices] == list(range(first, first + 6))
        data = dicom_objects(three_found_in(scan), path).parametric_map
        sources = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in data.PerFrameFunctionalGroupsSequence]
        named = {source.ReferencedFrameNumber for source in sources}
        assert named == set(range(first + 1, first + 7))


def test_a_scan_whose_axes_another_reader_turned_comes_back_to_the_slices_of_its_series(tmp_path: Path) -> None:
    path = oblique_with_gaps(tmp_path / "scan")
    scan = read_scan(path)
    image = scan.geometry.to_image(scan.array)[::-1, :, ::-1]
    turned = Scan.from_array(np.ascontiguousarray(np.asarray(scan.array)[::-1, :, ::-1]), type(scan.geometry).of_image(image), "turned")
    origin = origin_of(path, turned.geometry, turned.digest)
    assert (origin.from_scan(turned.array, turned.geometry) == scan.array).all()
    assert (origin.from_scan(scan.array, scan.geometry) == scan.array).all()


# Of a cohort


def test_a_detection_writes_the_objects_of_series_and_says_why_others_have_none(world: World, tmp_path: Path) -> None:
    folder, out = tmp_path / "scans", tmp_path / "out"
    as_series(world.scans / "head-1000.nii.gz", folder / "head")
    (folder / "plain.nii.gz").write_bytes((world.scans / "head-1000.nii.gz").read_bytes())
    run = shell("detect", folder, "-m", world.model, "-o", out, "--dicom", "--no-stability", "--json")
    rows = {Path(row["scan"]).name: row for row in json.loads(run.out)["scans"]}
    assert run.status == 0 and "warning" not in rows["head"] and "no DICOM series" in rows["plain.nii.gz"]["warning"]
    kinds = ("dicom_segmentation", "dicom_map", "dicom_report")
    assert [(out / f"head{SUFFIXES[kind]}").exists() for kind in kinds] == [True] * 3
    assert not [path for path in out.iterdir() if path.name.startswith("plain") and path.suffix == ".dcm"]
    assert "plain" not in lacking(out / "plain.result.json") and (out / "plain.mask.seg.nrrd").exists()
    again = json.loads(shell("detect", folder, "-m", world.model, "-o", out, "--dicom", "--no-stability", "--json").out)["scans"]
    assert {row["status"] for row in again} == {"skipped"} and "warning" in again[1]


def test_a_series_is_read_without_the_results_that_lie_beside_its_files(world: World, tmp_path: Path) -> None:
    folder = as_series(world.scans / "head-1000.nii.gz", tmp_path / "head")
    before = read_scan(folder).digest
    for path, content in more_files(three_found_in(read_scan(folder)), read_scan(folder), folder).items():
        (folder / f"another-name-{path}").write_bytes(content)
    assert read_scan(folder).digest == before
    assert [found.path for found in find_scans(folder)[0]] == [folder]


def test_a_folder_of_objects_is_no_scan(tmp_path: Path) -> None:
    path = enhanced_shuffled(tmp_path / "scan")
    (tmp_path / "out").mkdir()
    for kind, content in dicom_objects(three_found_in(read_scan(path)), path).files().items():
        (tmp_path / "out" / f"{kind}.dcm").write_bytes(content)
    with pytest.raises(InvDetectError, match="no scan"):
        find_scans(tmp_path / "out")


def test_why_there_is_no_object_names_no_file(tmp_path: Path) -> None:
    path = write_series(tmp_path / "Jane Doe", PIXELS, FrameOfReferenceUID=None)
    for source in (path, tmp_path / "Jane Doe" / "i03.dcm"):
        result = replace(three_found_in(read_scan(path)))
        assert more_files(result, read_scan(path), source) == {}
        assert result.provenance["dicom"] and "Jane" not in result.provenance["dicom"] and ".dcm" not in result.provenance["dicom"]
