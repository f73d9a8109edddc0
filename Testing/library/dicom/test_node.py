"""The DICOM node as a whole, with a real archive: a series goes in, what was found comes back into its study, whatever happens between."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from Testing.support.needs import need

need("pynetdicom", "highdicom")

from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.dicom.node import Archive, Peer  # noqa: E402
from InvDetectLib.models import Model  # noqa: E402
from Testing.support.dicom_node import Here, node_here, send, series, serving, status, study_of  # noqa: E402
from Testing.support.orthanc import Orthanc, orthanc  # noqa: E402
from Testing.support.tiny_model import World, head, shell, wait_for  # noqa: E402

OBJECTS = ["MR", "OT", "SEG", "SR"]


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("archive"), aet="ARCHIVE") as archive:
        yield archive


@pytest.fixture
def node(tmp_path: Path, detector: Detector, archive: Orthanc) -> Iterator[Here]:
    """A node that sends to the archive, which knows it as "node"."""
    with node_here(tmp_path / "queue", detector, sink(archive)) as node:
        archive.know("node", "INVDETECT", node.port)
        yield node


def sink(archive: Orthanc) -> Archive:
    return Archive(Peer(archive.aet, "127.0.0.1", archive.dicom_port), "INVDETECT")


def kinds(archive: Orthanc, number: int) -> list[str]:
    """The modalities in a study, sorted; one for each object that is no image."""
    found = []
    for one in archive.series(study_of(number)):
        modality = one["MainDicomTags"]["Modality"]
        found += [modality] * (1 if modality == "MR" else len(one["Instances"]))
    return sorted(found)


def there(archive: Orthanc, number: int) -> list[str]:
    """Those once all are there: a map, a segmentation, a report, and the images where they came from the archive."""
    wait_for(lambda: len(kinds(archive, number)) >= 3)
    return kinds(archive, number)


# There and back


def test_a_series_sent_from_the_archive_comes_back_as_three_objects_in_its_study(node: Here, archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(series(tmp_path / "scan", 1))
    (images,) = archive.series(study_of(1))
    archive.send(images, "node")
    node.wait(done=1)
    assert there(archive, 1) == OBJECTS
    for one in archive.series(study_of(1)):
        (content, *_) = archive.files(one)
        data = dcmread(io.BytesIO(content))
        assert (data.PatientID, data.PatientName, data.StudyInstanceUID) == ("0815", "Lopez^Maria", study_of(1))
    told = "\n".join(node.said)
    assert "job 1: 3 images of a series (..." in told
    assert "job 1 is done: sent to the archive ARCHIVE@127.0.0.1" in told and "Lopez" not in told and "0815" not in told
    assert not [*(node.queue.folder / "images").glob("*")] and not [*(node.queue.folder / "objects").glob("*")]


def test_the_same_images_are_not_examined_again_so_that_an_archive_that_routes_by_rule_ends(
    node: Here, archive: Orthanc, tmp_path: Path
) -> None:
    scan = series(tmp_path / "scan", 2)
    send(node.port, [scan])
    node.wait(done=1)
    before = there(archive, 2)
    send(node.port, [scan])
    node.wait(done=1, left=1)
    assert "job 2 is left: The same images were examined by the same model as job 1" in node.said[-1]
    assert kinds(archive, 2) == before


def test_ten_series_in_a_row_are_examined_in_the_order_in_which_they_came(node: Here, archive: Orthanc, tmp_path: Path) -> None:
    numbers = range(20, 30)
    for number in numbers:
        assert send(node.port, [series(tmp_path / str(number), number)]) == [0] * 3
    node.wait(120, done=10)
    assert [text for text in node.said if text.endswith("findings") or text.endswith("finding")] == [
        text for k in range(1, 11) for text in node.said if text.startswith(f"job {k} is examined")
    ]
    for number in numbers:
        found = there(archive, number)
        assert {"OT", "SR"} <= set(found) and len(found) == len(set(found))


def test_without_an_archive_objects_go_into_a_folder(tmp_path: Path, detector: Detector) -> None:
    with node_here(tmp_path / "queue", detector) as node:
        send(node.port, [series(tmp_path / "scan", 3)])
        node.wait(done=1)
    names = {path.name for path in (tmp_path / "queue" / "results").iterdir()}
    assert names == {f"{study_of(3)}.1{end}" for end in (".seg.dcm", ".map.dcm", ".sr.dcm")}


# What does not fit, or is not whole


def test_a_series_of_another_modality_is_left_with_the_reason_and_the_rest_goes_on(tmp_path: Path, world: World) -> None:
    model = Model.load(world.model)
    preparation = dataclasses.replace(model.settings.preparation, modality="MRI FLAIR")
    model.settings = dataclasses.replace(model.settings, preparation=preparation)
    with node_here(tmp_path / "queue", Detector(model, "cpu")) as node:
        send(node.port, [series(tmp_path / "ct", 4, Modality="CT"), series(tmp_path / "mr", 5)])
        node.wait(done=1, left=1)
    assert "job 1 is left: Its modality is 'CT', and the model was made for MRI FLAIR." in node.said


def test_a_series_of_other_pixels_is_left(tmp_path: Path, detector: Detector) -> None:
    with node_here(tmp_path / "queue", detector) as node:
        send(node.port, [series(tmp_path / "scan", 6, PixelSpacing=["0.1", "0.1"])])
        node.wait(left=1)
    assert any("job 1 is left: This scan is unlike those the model was trained on" in text for text in node.said)


def test_a_half_sent_series_is_left_until_the_rest_comes(tmp_path: Path, detector: Detector) -> None:
    scan = series(tmp_path / "scan", 7, slices=6)
    with node_here(tmp_path / "queue", detector) as node:
        cut_off(node.port, [scan / f"{k}.dcm" for k in (0, 1, 2, 4)])
        node.wait(left=1)
        (told,) = [text for text in node.said if "is left" in text]
        assert "DICOM slices are missing at" in told and str(tmp_path) not in told
        assert any("was aborted; what it had sent is kept" in text for text in node.said)
        send(node.port, [scan / f"{k}.dcm" for k in (3, 5)])
        node.wait(done=1)
    assert any("job 1: 6 images" in text for text in node.said)


def test_images_that_come_after_their_series_was_done_wait_for_the_whole(tmp_path: Path, detector: Detector) -> None:
    scan = series(tmp_path / "scan", 8, slices=6)
    with node_here(tmp_path / "queue", detector) as node:
        send(node.port, [scan / f"{k}.dcm" for k in range(5)])
        node.wait(done=1)
        send(node.port, [scan / "5.dcm"])
        node.wait(done=1, left=1)
        assert any("It is a part of a series that was examined as job 1" in text for text in node.said)
        send(node.port, [scan])
        node.wait(done=2)
    assert any("job 2: 6 images" in text for text in node.said)


# Trouble


def test_while_the_archive_is_down_all_is_kept_and_then_sent(node: Here, archive: Orthanc, tmp_path: Path) -> None:
    archive.stop()
    try:
        for number in (9, 10):
            send(node.port, [series(tmp_path / str(number), number)])
        node.wait(detected=2)
        wait_for(lambda: any("job 1 waits: the archive" in text for text in node.said))
    finally:
        archive.start()
    node.wait(done=2)
    assert len([text for text in node.said if "waits" in text]) == 1
    for number in (9, 10):
        assert {"OT", "SR"} <= set(there(archive, number))


def test_an_archive_that_refuses_costs_nothing_and_gets_all_once_it_knows_the_node(tmp_path: Path, detector: Detector) -> None:
    strict = {"DicomAlwaysAllowStore": False, "DicomAlwaysAllowEcho": False}
    with orthanc(tmp_path / "archive", aet="STRICT", options=strict) as archive:
        with node_here(tmp_path / "queue", detector, sink(archive)) as node:
            send(node.port, [series(tmp_path / "scan", 11)])
            node.wait(failed=1)
            (told,) = [text for text in node.said if "job 1 has failed" in text]
            assert "The archive STRICT@127.0.0.1" in told and "start the node again: it sends what is left" in told
        archive.know("node", "INVDETECT", 4242)
        with node_here(tmp_path / "queue", detector, sink(archive)) as node:
            node.wait(done=1)
        assert len(there(archive, 11)) == 3


def test_a_node_that_is_killed_goes_on_where_it_was_and_nothing_is_lost_or_there_twice(
    tmp_path: Path, world: World, archive: Orthanc
) -> None:
    """A real process, killed between receiving and examining, and between examining and sending."""
    archive.stop()
    try:
        with serving(tmp_path / "node", world.model, "--send-to", f"ARCHIVE@127.0.0.1:{archive.dicom_port}") as node:
            assert send(node.port, [series(tmp_path / "one", 12)]) == [0] * 3
            wait_for(lambda: node.counts() == {"detected": 1})
            assert send(node.port, [series(tmp_path / "two", 13)]) == [0] * 3
            node.kill()
            assert node.counts() in ({"detected": 1, "receiving": 1}, {"sending": 1, "receiving": 1})
            assert status(node)["running"] is False
            archive.start()
            node.start()
            assert status(node)["running"] is True
            wait_for(lambda: node.counts() == {"done": 2})
            assert node.stop() == 0
            told = node.told
    finally:
        if archive._process is None:
            archive.start()
    for number in (12, 13):
        found = there(archive, number)
        assert {"OT", "SR"} <= set(found) and len(found) == len(set(found))
    assert "Traceback" not in told and "Lopez" not in told


# A watched folder


def test_scans_that_come_into_a_watched_folder_are_examined_whatever_their_format(
    tmp_path: Path, detector: Detector, no_pictures: None
) -> None:
    ward = tmp_path / "watched" / "maria lopez"
    ward.mkdir(parents=True)
    with node_here(tmp_path / "queue", detector, watch=tmp_path / "watched") as node:
        head(ward / "lopez.nii.gz", 2050, lesions=1)
        series(tmp_path / "watched" / "dicom", 14)
        (ward / "broken.nii.gz").write_bytes(b"no scan")
        node.wait(done=2, left=1)
        head(ward / "lopez.nii.gz", 2051, lesions=1)
        node.wait(done=3, left=1)
        head(ward / "lopez.nrrd", 2052)  # would write the same files
        wait_for(lambda: any("called the same but for their endings, and are left: 2" in text for text in node.said))
        assert node.counts() == {"done": 3, "left": 1}
    results = tmp_path / "queue" / "results"
    assert (results / "maria lopez" / "lopez.result.json").is_file()
    assert {".seg.dcm", ".map.dcm", ".sr.dcm", ".result.json"} <= {path.name.removeprefix("dicom") for path in results.glob("dicom.*")}
    assert not [text for text in node.said if "lopez" in text.lower() or "broken" in text]
    failure = json.loads(shell("serve", "--status", "--json", "--folder", tmp_path / "queue").out)["failure"]
    assert failure["scan"] == "maria lopez/broken.nii.gz"


def test_what_is_said_of_a_watched_folder_keeps_its_words_and_names_no_option_of_another_command(
    tmp_path: Path, detector: Detector, no_pictures: None
) -> None:
    scan = tmp_path / "watched" / "series"  # a word of the sentence, too
    series(scan, 15)
    for path in series(tmp_path / "other", 16).iterdir():
        path.rename(scan / f"other {path.name}")
    with node_here(tmp_path / "queue", detector, watch=tmp_path / "watched") as node:
        node.wait(left=1)
        (told,) = [text for text in node.said if "is left" in text]
    assert told.startswith("job 1 is left: The series holds 2 DICOM series: ") and told.endswith(". Give each a folder of its own.")


def test_a_series_without_a_place_is_left_in_words_that_fit_a_node(tmp_path: Path, detector: Detector) -> None:
    with node_here(tmp_path / "queue", detector) as node:
        send(node.port, [series(tmp_path / "scan", 17, FrameOfReferenceUID=None)])
        node.wait(left=1)
        (told,) = [text for text in node.said if "is left" in text]
    assert "frame of reference" in told and "other results" not in told and told.endswith("from where it was made.")


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names of files are text there")
def test_a_file_whose_name_is_no_text_does_not_end_the_watch(tmp_path: Path, detector: Detector, no_pictures: None) -> None:
    ward = tmp_path / "watched"
    ward.mkdir()
    (ward / os.fsdecode(b"gr\xfcn.nii.gz")).write_bytes(b"no scan")
    with node_here(tmp_path / "queue", detector, watch=ward) as node:
        node.wait(left=1)
        head(ward / "later.nii.gz", 2053, lesions=1)
        node.wait(done=1, left=1)


# The command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "0"], "A node needs a model"),
        (["-m", "made-heads", "--ae", "A" * 20], "no title of a DICOM application"),
        (["-m", "made-heads", "--address", "0.0.0.0"], "name with --allow"),
        (["-m", "made-heads", "--send-to", "ARCHIVE"], "write it as TITLE@host:port"),
        (["-m", "made-heads", "--tls-cert", "a.pem"], "TLS needs three files"),
        (["-m", "made-heads", "--watch", "nowhere"], "it is no folder"),
        (["-m", "made-heads", "--watch", "."], "lies in the watched folder"),
        (["-m", "made-heads", "--json"], "--json belongs to --status"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell("serve", *words)
    assert done.status == 2 and told in done.err and "Traceback" not in done.err


def test_a_certificate_that_is_not_there_is_told_before_anything_else(tmp_path: Path) -> None:
    files = [word for name in ("cert", "key", "ca") for word in (f"--tls-{name}", str(tmp_path / name))]
    done = shell("serve", "-m", "made-heads", "--folder", tmp_path / "queue", *files)
    assert done.status == 1 and "The certificate (--tls-cert)" in done.err and not (tmp_path / "queue").exists()


def test_the_status_of_what_is_no_queue_is_an_error(tmp_path: Path) -> None:
    done = shell("serve", "--status", "--folder", tmp_path)
    assert done.status == 1 and "There is no queue" in done.err


def test_a_node_without_its_packages_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    done = shell("serve", "-m", "made-heads", "--folder", tmp_path / "queue")
    assert done.status == 1 and "invdetect[dicom]" in done.err and not (tmp_path / "queue").exists()


def cut_off(port: int, paths: list[Path]) -> None:
    """Send files and then abort the association, as a line that breaks does."""
    from pynetdicom import AE

    own = AE(ae_title="PEER")
    sets = [dcmread(path) for path in paths]
    own.add_requested_context(sets[0].SOPClassUID)
    link = own.associate("127.0.0.1", port, ae_title="INVDETECT")
    for data in sets:
        assert link.send_c_store(data).Status == 0
    link.abort()
