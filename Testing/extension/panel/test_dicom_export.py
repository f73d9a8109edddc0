"""DICOM objects from the panel: of scans that came from DICOM alone, with the review, by the real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)
hd = need("highdicom")

from Testing.support.panels import add_scan, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import FileDialog, process_events, start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.install import dependencies  # noqa: E402
from InvDetectSlicerLib.scene import findings_of  # noqa: E402
from pydicom import dcmread  # noqa: E402

from InvDetectLib.common import InvDetectError  # noqa: E402
from Testing.support.dicom_sources import as_series  # noqa: E402


@pytest.fixture(scope="module")
def series(world: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a head with a lesion, by their instance."""
    folder = as_series(world.scans / "head-1000.nii.gz", tmp_path_factory.mktemp("series") / "head")
    return {str(dcmread(path).SOPInstanceUID): str(path) for path in folder.iterdir()}


@pytest.fixture
def database(series: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Slicer's DICOM database knows; like it, it has "" for what it does not."""
    known = dict(series)
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=lambda uid: known.get(uid, "")), raising=False)
    return known


@pytest.fixture
def scan(panel: Any, series: dict[str, str], database: dict[str, str]) -> Any:
    """The series as Slicer loads it."""
    volume = add_scan(Path(next(iter(series.values()))).parent)
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(series))
    panel.ui.scanSelector.setCurrentNode(volume)
    return volume


@pytest.fixture
def written(panel: Any, result: Any, tmp_path: Path) -> Iterator[dict[str, Path]]:
    """The objects, once the button was pressed."""
    panel.findings.choose(1)
    panel.ui.dismissButton.click()
    panel.findings.choose(2)
    panel.ui.commentEdit.text = "Gefäß?"
    panel.ui.commentEdit.editingFinished.emit()
    FileDialog.answer = str(tmp_path)
    panel.ui.exportDicomButton.click()
    assert not panel.ui.exportDicomButton.enabled
    wait_for(lambda: panel.ui.exportDicomButton.enabled)
    yield {path.name: path for path in tmp_path.iterdir()}
    FileDialog.answer = ""


def test_the_objects_hold_the_findings_of_the_scene_and_what_was_decided(panel: Any, result: Any, written: dict[str, Path]) -> None:
    assert set(written) == {"invdetect.seg.dcm", "invdetect.map.dcm", "invdetect.sr.dcm"}, panel.ui.statusLabel.text
    assert "invdetect.sr.dcm" in panel.ui.statusLabel.text
    findings = findings_of(result.table)
    groups = hd.sr.srread(str(written["invdetect.sr.dcm"])).content.get_volumetric_roi_measurement_groups()
    for group, finding in zip(groups, findings, strict=True):
        values = [one.value for one in group.get_measurements()]
        assert values[:2] == [pytest.approx(finding.volume), pytest.approx(finding.peak)]
    report = str(dcmread(written["invdetect.sr.dcm"]))
    assert "Dismissed" in report and "Gefäß?" in report
    volume = hd.seg.segread(str(written["invdetect.seg.dcm"])).get_volume(combine_segments=True)
    place = (volume.affine @ [*np.argwhere(volume.array == 1).mean(axis=0), 1])[:3] * [-1, -1, 1]
    assert place == pytest.approx(findings[0].centroid_ras, abs=0.01)


def test_nothing_is_left_behind_and_files_that_are_there_stay(panel: Any, result: Any, written: dict[str, Path]) -> None:
    assert not [path.name for path in panel._logic.client.folder.iterdir() if "exported" in path.name]
    before = {path: path.read_bytes() for path in written.values()}
    panel.ui.exportDicomButton.click()
    wait_for(lambda: panel.ui.exportDicomButton.enabled)
    assert "exists already" in panel.ui.statusLabel.text
    assert {path: path.read_bytes() for path in written.values()} == before


def test_a_scan_that_is_not_from_dicom_or_whose_files_are_gone_offers_no_objects(
    panel: Any, result: Any, database: dict[str, str]
) -> None:
    assert panel.ui.exportDicomButton.enabled
    database.popitem()
    panel.dicomExport.show(result)
    assert not panel.ui.exportDicomButton.enabled
    with pytest.raises(InvDetectError, match="not loaded from DICOM"):
        panel._logic.writeDicom(result, "anywhere")
    result.input.SetAttribute("DICOM.instanceUIDs", None)
    panel.dicomExport.show(result)
    assert not panel.ui.exportDicomButton.enabled
    panel.dicomExport.show(None)
    process_events()
    assert not panel.ui.exportDicomButton.enabled


def test_without_highdicom_slicer_is_asked_for_it_and_a_no_writes_nothing(
    panel: Any, result: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(dependencies, "is_there", lambda package, *_: package != dependencies.HIGHDICOM)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: asked.append(text) or False)
    FileDialog.answer = str(tmp_path)
    panel.ui.exportDicomButton.click()
    FileDialog.answer = ""
    assert len(asked) == 1 and "highdicom" in asked[0] and not list(tmp_path.iterdir())
    assert "Nothing was installed" in panel.ui.statusLabel.text and panel.ui.exportDicomButton.enabled
