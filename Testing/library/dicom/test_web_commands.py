"""`detect --dicomweb` and `serve --dicomweb` with a real archive, from a study to the objects in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from Testing.support.dicom_node import series, serving, study_of
from Testing.support.needs import need
from Testing.support.odd_server import Answer, Question, odd_server
from Testing.support.orthanc import Orthanc, free_port, orthanc
from Testing.support.tiny_model import World, shell, wait_for

need("highdicom", "dicomweb_client", "pynetdicom")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc", dicomweb=True) as running:
        yield running


def modalities(archive: Orthanc, number: int) -> list[str]:
    """What lies in a study: modality by modality, with the number of images or objects."""
    return sorted(f"{one['MainDicomTags']['Modality']} {len(one['Instances'])}" for one in archive.series(study_of(number)))


def own(archive: Orthanc, number: int) -> int:
    """How many series there are in a study besides the scan."""
    return len(archive.series(study_of(number))) - 1


# detect


def test_a_study_is_fetched_examined_and_what_was_found_is_stored_in_it(world: World, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "scan"))
    words = ("detect", "--dicomweb", archive.web, "--study", study_of(1), "-m", world.model, "-o", tmp_path / "out", "--device", "cpu")
    done = shell(*words, "--json")
    assert done.status == 0, done.err
    name = f"{study_of(1)}.1"
    assert [(row["scan"], row["status"]) for row in done.json["scans"]] == [(f"{study_of(1)}/{name}", "done")]
    assert done.json["scans"][0]["findings"] > 0
    files = {path.name for path in (tmp_path / "out" / study_of(1)).iterdir()}
    assert {f"{name}.result.json", f"{name}.anomaly.nii.gz", f"{name}.mask.seg.nrrd"} <= files
    assert own(archive, 1) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {study_of(1), "findings.csv"}  # the images are gone

    stored = shell(*words, "--store", "--json")
    assert stored.status == 0, stored.err
    assert own(archive, 1) == 3
    again = shell(*words, "--store")
    assert again.status == 0 and again.out.startswith("skipped ") and own(archive, 1) == 3
    from_disk = shell("detect", tmp_path / "scan", "-m", world.model, "-o", tmp_path / "disk", "--device", "cpu", "--json")
    assert from_disk.json["scans"][0]["strongest"] == done.json["scans"][0]["strongest"]


def test_a_series_that_is_cut_costs_one_row(world: World, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "scan"))
    for file in series(tmp_path / "twin", SeriesInstanceUID=f"{study_of(1)}.2").iterdir():
        data = dcmread(file)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{data.SOPInstanceUID}.2"
        data.save_as(file)
    archive.upload(tmp_path / "twin")

    def cutting(question: Question) -> Answer:
        kind, content = archive.passed_on(question.path, question.headers["accept"])
        return Answer(content[: len(content) // 2] if question.path.endswith(".1") else content, kind)

    with odd_server(cutting) as server:
        words = ("detect", "--dicomweb", server.url, "--study", study_of(1), "-m", world.model, "-o", tmp_path / "out", "--device", "cpu")
        done = shell(*words, "--json")
        assert done.status == 1
        first, second = done.json["scans"]
        assert (first["scan"], first["status"]) == (f"{study_of(1)}/{study_of(1)}.1", "failed") and "Try again." in first["reason"]
        assert (second["scan"], second["status"]) == (f"{study_of(1)}/{study_of(1)}.2", "done")
        alone = shell(*words, "--series", f"{study_of(1)}.1")
        assert alone.status == 1 and "Try again." in alone.err
    done = shell(*words[:2], archive.web, *words[3:], "--json")
    assert [row["status"] for row in done.json["scans"]] == ["done", "skipped"]


@pytest.mark.parametrize(
    "words, status, sentence",
    [
        ((), 2, "There is nothing to examine; give scans (files, folders or patterns), or a server with --dicomweb."),
        (("scan.nii.gz", "--study", "1.2"), 2, "--study, --store and --ca belong to a server; give its address with --dicomweb."),
        (("--dicomweb", "http://127.0.0.1:1/rs"), 2, "From a server the series of a study are examined: give its UID with --study"),
        (("--dicomweb", "http://127.0.0.1:1/rs", "--study", "../x"), 2, "'../x' is no DICOM UID. UIDs are numbers with dots between them."),
        (("--dicomweb", "127.0.0.1", "--study", "1.2"), 2, "'127.0.0.1' is no address of a DICOMweb server."),
        (("--dicomweb", "http://127.0.0.1:1/rs", "--study", "1.2"), 1, "No server answers at http://127.0.0.1:1/rs."),
    ],
)
def test_what_cannot_be_examined_is_one_sentence(world: World, tmp_path: Path, words: tuple[str, ...], status: int, sentence: str) -> None:
    done = shell("detect", *words, "-m", world.model, "-o", tmp_path / "out")
    assert done.status == status and sentence in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_study_that_is_not_there_is_said_to_be_so(world: World, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "scan"))
    for words, what in ((("9.9",), "the study 9.9"), ((study_of(1), "--series", "9.9"), f"the series 9.9 in the study {study_of(1)}")):
        done = shell("detect", "--dicomweb", archive.web, "--study", *words, "-m", world.model, "-o", tmp_path / "out")
        assert done.status == 1 and f"{archive.web} has no images of {what}. Check the UIDs." in done.err


# serve


def test_a_node_examines_what_comes_into_the_archive_and_stores_what_it_finds_once(world: World, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "one", 1))
    archive.upload(series(tmp_path / "other", 2, Modality="CT"))
    words = ("--dicomweb", archive.web, "--query", "Modality=MR", "--port", "0")
    with serving(tmp_path, world.model, *words) as node:
        wait_for(lambda: own(archive, 1) == 3)
        wait_for(lambda: node.counts() == {"done": 1})
        archive.upload(series(tmp_path / "two", 3))
        wait_for(lambda: own(archive, 3) == 3)
        archive.stop()
        wait_for(lambda: "No server answers at" in node.told)
        archive.start()
        archive.upload(series(tmp_path / "three", 4))
        wait_for(lambda: own(archive, 4) == 3)
        wait_for(lambda: node.counts() == {"done": 3})
        node.kill()
        node.start()
        archive.upload(series(tmp_path / "four", 5))
        wait_for(lambda: own(archive, 5) == 3)
        wait_for(lambda: node.counts() == {"done": 4})
    assert own(archive, 2) == 0
    assert not any(name in node.told for name in ("Lopez", "0815"))


def test_a_node_that_receives_by_dicom_may_store_on_the_web(world: World, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "one"))
    port = free_port()
    with serving(tmp_path, world.model, "--dicomweb", archive.web, "--port", str(port)) as node:
        archive.know("node", "INVDETECT", port)
        archive.send(archive.series(study_of(1))[0], "node")
        wait_for(lambda: own(archive, 1) == 3)
        wait_for(lambda: node.counts() == {"done": 1})
