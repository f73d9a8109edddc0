"""Series from a real DICOMweb server, and objects to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common import Event, InvDetectError, Progress
from InvDetectLib.dicom.web import DicomWeb, NoAnswer, WebSeries
from Testing.support.made_dicom import place, write_image
from Testing.support.needs import need
from Testing.support.orthanc import Orthanc, orthanc

need("dicomweb_client")
STUDY, HEAD, LARGE = "1.2.1", "1.2.1.1", "1.2.1.2"


def series(folder: Path, uid: str, size: int = 8, count: int = 4, **elements: str) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        facts = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": uid, "InstanceNumber": str(k), "PatientID": "4711", **elements}
        pixels = rng.integers(0, 1000, (size, size), dtype=np.uint16)
        write_image(folder / f"{k}.dcm", pixels, ImagePositionPatient=place(2.5 * k), PatientName="Lovelace^Ada", **facts)
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("archive")
    with orthanc(folder / "orthanc", dicomweb=True) as running:
        running.upload(series(folder / "head", HEAD, StudyDate="20261103"))
        running.upload(series(folder / "late", "1.2.2.1", StudyInstanceUID="1.2.2", StudyDate="20261105", Modality="CT"))
        yield running


def test_series_are_found_by_filters(archive: Orthanc) -> None:
    web = DicomWeb(archive.web)
    head, late = WebSeries(STUDY, HEAD, "MR", 4), WebSeries("1.2.2", "1.2.2.1", "CT", 4)
    assert web.find({}) == [head, late]
    assert web.find({"Modality": "MR"}) == web.find({"StudyInstanceUID": STUDY}) == web.find({"SeriesInstanceUID": HEAD}) == [head]
    assert web.find({"StudyDate": "20261104-"}) == web.find({"StudyInstanceUID": "1.2.2", "Modality": "CT"}) == [late]
    assert web.find({"StudyInstanceUID": STUDY, "Modality": "CT"}) == web.find({"StudyInstanceUID": "9.9"}) == []


def test_a_fetched_series_is_the_one_that_is_stored(archive: Orthanc, tmp_path: Path) -> None:
    events: list[Event] = []
    DicomWeb(archive.web + "/").fetch(WebSeries(STUDY, HEAD), tmp_path / "inbox" / "one", Progress(events.append))
    files = sorted((tmp_path / "inbox" / "one").iterdir())
    stored = next(one for one in archive.series(STUDY) if one["MainDicomTags"]["SeriesInstanceUID"] == HEAD)
    assert sorted(file.read_bytes() for file in files) == sorted(archive.files(stored))
    assert [file.name for file in files] == [f"0000{k}.dcm" for k in (1, 2, 3, 4)]
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["one"]
    assert (events[-1].stage, events[-1].done, events[-1].total) == ("fetching", 4, 4)


def test_compressed_images_come_as_they_are_stored(archive: Orthanc, tmp_path: Path) -> None:
    source = series(tmp_path / "plain", "1.2.3.1", StudyInstanceUID="1.2.3", size=32)
    if (compress := shutil.which("dcmcjpls")) is None:
        pytest.skip("dcmcjpls is not installed: apt-get install dcmtk")
    for file in source.iterdir():
        subprocess.run([compress, file, file], check=True)
    archive.upload(source)
    DicomWeb(archive.web).fetch(WebSeries("1.2.3", "1.2.3.1"), tmp_path / "one")
    assert sorted(file.read_bytes() for file in (tmp_path / "one").iterdir()) == sorted(file.read_bytes() for file in source.iterdir())


def test_objects_are_stored_in_their_study_and_once(archive: Orthanc, tmp_path: Path) -> None:
    path = series(tmp_path / "map", "1.2.1.9", count=1) / "0.dcm"
    for _ in range(2):
        DicomWeb(archive.web).store(path.read_bytes())
    stored = next(one for one in archive.series(STUDY) if one["MainDicomTags"]["SeriesInstanceUID"] == "1.2.1.9")
    assert archive.files(stored) == [path.read_bytes()]


def test_what_is_not_there_is_said_in_a_sentence(archive: Orthanc, tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=r"has no images of the series 1\.2\.8\. Check the UIDs"):
        DicomWeb(archive.web).fetch(WebSeries(STUDY, "1.2.8"), tmp_path / "inbox" / "one")
    with pytest.raises(InvDetectError, match=r"has no such thing \(404\)"):
        DicomWeb(archive.web + "-of-another").find({})
    with pytest.raises(InvDetectError, match="speaks no TLS"):
        DicomWeb(archive.web.replace("http", "https")).find({})
    with pytest.raises(InvDetectError, match=r"did not store|refuses the request \(400\)"):
        nameless = write_image(tmp_path / "nameless.dcm", np.zeros((8, 8), np.uint16), SeriesInstanceUID=None, SOPInstanceUID=None)
        DicomWeb(archive.web).store(nameless.read_bytes())
    assert not (tmp_path / "inbox").exists() or not any((tmp_path / "inbox").iterdir())


def test_an_archive_that_is_killed_while_it_sends_leaves_nothing_and_is_asked_again(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc", dicomweb=True) as archive:
        archive.upload(series(tmp_path / "large", LARGE, size=1024, count=24))
        web = DicomWeb(archive.web)

        def kill(event: Event) -> None:
            if event.done == 2:
                archive.stop(kill=True)

        with pytest.raises(NoAnswer):
            web.fetch(WebSeries(STUDY, LARGE), tmp_path / "inbox" / "one", Progress(kill))
        assert not any((tmp_path / "inbox").iterdir())
        with pytest.raises(NoAnswer, match="No server answers at"):
            web.find({})
        archive.start()
        web.fetch(WebSeries(STUDY, LARGE), tmp_path / "inbox" / "one")
        assert len(list((tmp_path / "inbox" / "one").iterdir())) == 24


def test_the_token_of_the_environment_opens_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {"AuthenticationEnabled": True, "RegisteredUsers": {"reader": "secret word"}}
    with orthanc(tmp_path / "orthanc", dicomweb=True, options=closed) as archive:
        monkeypatch.delenv("INVDETECT_DICOMWEB_TOKEN", raising=False)
        with pytest.raises(InvDetectError, match=r"refuses the access \(401\): it wants a token.* INVDETECT_DICOMWEB_TOKEN"):
            DicomWeb(archive.web).find({})
        monkeypatch.setenv("INVDETECT_DICOMWEB_TOKEN", "Basic cmVhZGVyOndyb25n")
        with pytest.raises(InvDetectError, match=r"refuses the access \(401\)") as error:
            DicomWeb(archive.web).find({})
        assert "cmVhZ" not in str(error.value)
        monkeypatch.setenv("INVDETECT_DICOMWEB_TOKEN", archive.credentials)
        assert DicomWeb(archive.web).find({}) == []
