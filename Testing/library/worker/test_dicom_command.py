"""The worker's command `dicom`, as the panel gives it: objects of a result that another program's volume led to, with a review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from InvDetectSlicerLib.worker.client import WorkerClient

from Testing.support.needs import need

hd = need("highdicom")

from InvDetectLib.results import Result, label_findings  # noqa: E402
from InvDetectLib.scans import read_scan  # noqa: E402
from Testing.support.dicom_sources import as_series  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import ask, done  # noqa: E402


@pytest.fixture(scope="module")
def series(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of a head with a lesion."""
    folder = as_series(world.scans / "head-1000.nii.gz", tmp_path_factory.mktemp("series") / "Doe^Jane")
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def found(client: WorkerClient, world: World, series: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answer to a detection in the volume that Slicer made of the series, whose slices it keeps the other way round."""
    scan = read_scan(Path(series[0]).parent)
    turned = scan.geometry.to_image(scan.array)[:, :, ::-1]
    path = tmp_path_factory.mktemp("volume") / "volume.nrrd"
    sitk.WriteImage(turned, str(path))
    return done(client, "detect", model=str(world.model), device="cpu", scan=str(path), rate=0.1)


def test_the_objects_of_a_reviewed_result_come_into_the_chosen_folder(
    client: WorkerClient, found: dict[str, Any], series: list[str], tmp_path: Path
) -> None:
    said = {"1": ["dismissed", "a vessel"]}
    reply = done(client, "dicom", result=found["result"], source=series, out=str(tmp_path), name="head", decisions=said)
    assert [Path(path).name for path in reply["files"]] == ["head.seg.dcm", "head.map.dcm", "head.sr.dcm"] and reply["warning"] == ""
    result = Result.load(client.folder / f"{found['result']}.result.json")
    read = hd.seg.segread(reply["files"][0]).get_volume(combine_segments=True)
    inside = np.argwhere(read.array)
    lps = inside @ read.affine[:3, :3].T + read.affine[:3, 3]
    places = np.round(result.geometry.index_from_ras(lps * [-1, -1, 1])).astype(int)
    labels = label_findings(result.mask, result.findings)
    assert len(inside) == np.count_nonzero(labels) > 0
    assert (labels[tuple(places.T)] == read.array[tuple(inside.T)]).all()
    assert "a vessel" in str(hd.sr.srread(reply["files"][2])) and "Dismissed" in str(hd.sr.srread(reply["files"][2]))


def test_a_refined_result_is_written_as_it_stands(
    client: WorkerClient, found: dict[str, Any], series: list[str], tmp_path: Path
) -> None:
    files = {}
    for rate in (0.1, 0.02):
        reply = done(client, "dicom", result=found["result"], source=series, out=str(tmp_path / str(rate)), name="head", rate=rate)
        files[rate] = hd.seg.segread(reply["files"][0])
    assert files[0.1].SOPInstanceUID != files[0.02].SOPInstanceUID


def test_files_that_are_there_stay_and_wrong_wishes_are_told_in_words(
    client: WorkerClient, found: dict[str, Any], series: list[str], tmp_path: Path
) -> None:
    (tmp_path / "head.sr.dcm").write_text("mine")
    wish: dict[str, Any] = {"result": found["result"], "source": series, "out": str(tmp_path), "name": "head"}
    for change, why in (
        ({}, "exists already and is left"),
        ({"name": "../head"}, "no plain file name"),
        ({"source": []}, "no DICOM"),
        ({"source": series[:-1]}, "no volume of slices"),
        ({"source": [1]}, "list of paths"),
        ({"decisions": {"1": ["maybe", ""]}}, "There is no decision"),
        ({"decisions": {"x": 1}}, "no table"),
    ):
        refused = ask(client, "dicom", **(wish | change))
        assert refused["message"] == "failed" and refused["kind"] == "error" and why in refused["text"], refused
    assert (tmp_path / "head.sr.dcm").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
