"""Series that come into a node's queue from a DICOMweb server: once, whole, and again when they have grown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.dicom.node import Full, Image, Limits, Queue
from InvDetectLib.dicom.web import DicomWeb, Poll
from Testing.support.made_dicom import MR, place, write_image
from Testing.support.needs import need
from Testing.support.orthanc import Orthanc, orthanc
from Testing.support.tiny_model import wait_for

need("dicomweb_client", "pynetdicom")
QUIET = 0.2
RAW = "1.2.840.10008.5.1.4.1.1.66"  # raw data, which is no image


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), dicomweb=True) as archive:
        yield archive


@pytest.fixture
def archive(running: Orthanc) -> Orthanc:
    for one in running.series():
        running.ask(f"/series/{one['ID']}", method="DELETE")
    return running


def images(folder: Path, series: str, numbers: range, storage: str = MR) -> list[Path]:
    facts = {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": series, "PatientID": "4711", "PatientName": "Lovelace^Ada"}
    pixels = np.zeros((8, 8), np.uint16)
    return [
        write_image(
            folder / series / f"{k}.dcm", pixels, storage, ImagePositionPatient=place(2.5 * k), SOPInstanceUID=f"{series}.{k}", **facts
        )
        for k in numbers
    ]


class Told(list[str]):
    """What a source has said."""

    def count_of(self, words: str) -> int:
        return sum(words in line for line in self)


@contextmanager
def polling(archive: Orthanc, queue: Queue, quiet: float = QUIET) -> Iterator[Told]:
    told = Told()
    poll = Poll(DicomWeb(archive.web), {"Modality": "MR"}, queue, quiet, told.append)
    poll.start()
    try:
        yield told
    finally:
        poll.stop()


@contextmanager
def queue_in(folder: Path, limits: Limits | None = None) -> Iterator[Queue]:
    queue = Queue(folder / "queue", limits)
    try:
        yield queue
    finally:
        queue.close()


def finish(queue: Queue) -> tuple[str, int]:
    """Take the one series that waits through to its end: its UID, and how many images it had."""
    wait_for(lambda: queue.settle(0))
    job = queue.next("complete", "detecting")
    assert job is not None
    files = sorted(path.name for path in job.path.iterdir())
    assert files == [f"{k + 1:06}.dcm" for k in range(job.images)]
    assert queue.done(job)
    return job.series, job.images


def test_a_series_comes_once_and_again_when_it_has_grown(archive: Orthanc, tmp_path: Path) -> None:
    with queue_in(tmp_path) as queue, polling(archive, queue):
        archive.upload(*images(tmp_path, "1.2.3", range(3)))
        assert finish(queue) == ("1.2.3", 3)
        time.sleep(6 * QUIET)
        assert queue.settle(0) == []
        archive.upload(*images(tmp_path, "1.2.3", range(3, 5)))
        assert finish(queue) == ("1.2.3", 5)


def test_a_series_that_still_grows_is_waited_for(archive: Orthanc, tmp_path: Path) -> None:
    with queue_in(tmp_path) as queue, polling(archive, queue, quiet=0.6):
        for k in range(6):
            archive.upload(*images(tmp_path, "1.2.3", range(k, k + 1)))
            time.sleep(0.3)
            assert queue.images_of("1.2.3") is None
        wait_for(lambda: queue.images_of("1.2.3") == 6)


def test_what_the_queue_knows_is_not_fetched_by_the_next_node(archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(*images(tmp_path, "1.2.3", range(3)))
    with queue_in(tmp_path) as queue:
        with polling(archive, queue):
            finish(queue)
    with queue_in(tmp_path) as queue, polling(archive, queue):
        archive.upload(*images(tmp_path, "1.2.4", range(1)))
        assert finish(queue) == ("1.2.4", 1)
        assert queue.settle(0) == []


def test_a_full_queue_is_told_once_and_filled_when_there_is_room(archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(*images(tmp_path, "1.2.3", range(2)), *images(tmp_path, "1.2.4", range(2)))
    with queue_in(tmp_path, Limits(most=1)) as queue, polling(archive, queue) as told:
        wait_for(lambda: told.count_of("The queue is full: 1 series wait in it") == 1)
        time.sleep(4 * QUIET)
        assert told.count_of("The queue is full") == 1
        assert {finish(queue), finish(queue)} == {("1.2.3", 2), ("1.2.4", 2)}


def test_what_is_no_image_is_told_once_and_the_rest_goes_on(archive: Orthanc, tmp_path: Path) -> None:
    archive.upload(*images(tmp_path, "1.2.2", range(2), RAW), *images(tmp_path, "1.2.3", range(2)))
    with queue_in(tmp_path) as queue, polling(archive, queue) as told:
        assert finish(queue) == ("1.2.3", 2)
        time.sleep(4 * QUIET)
        assert told.count_of("is not taken: An object that is no image") == 1
        assert not any(name in line for line in told for name in ("Lovelace", "4711"))
        assert queue.settle(0) == []
    assert sorted(path.name for path in (tmp_path / "queue").iterdir() if path.name.startswith(".")) == []


def test_an_archive_that_is_away_is_told_once_and_asked_again(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc", dicomweb=True) as archive, queue_in(tmp_path) as queue:
        archive.upload(*images(tmp_path, "1.2.3", range(2)))
        archive.stop()
        with polling(archive, queue) as told:
            wait_for(lambda: told.count_of("No server answers at") == 1)
            time.sleep(4 * QUIET)
            assert told.count_of("No server answers at") == 1
            archive.start()
            assert finish(queue) == ("1.2.3", 2)


# The queue's side


def test_images_come_into_the_queue_together_or_not_at_all(tmp_path: Path) -> None:
    def some(series: str, count: int, fails: bool = False) -> Iterator[Image]:
        for k in range(count):
            yield Image(b"image", series, f"{series}.{k}")
        if fails:
            raise InvDetectError("It is cut.")

    with queue_in(tmp_path, Limits(room=20)) as queue:
        with pytest.raises(InvDetectError, match="It is cut"):
            queue.add_all(some("1.2", 3, fails=True))
        assert queue.images_of("1.2") is None and queue.settle(0) == []
        with pytest.raises(Full):
            queue.add_all(some("1.3", 5))
        queue.add_all(some("1.4", 2))
        queue.add_all(some("1.4", 2))
        assert queue.images_of("1.4") == 2
        assert finish(queue) == ("1.4", 2)
        assert queue.images_of("1.4") == 2
