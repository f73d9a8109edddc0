"""The queue of the DICOM node: what is in it survives every kill, nothing is done twice, and it does not grow without end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.dicom.node import Full, Image, Job, Limits, Queue, read_status

MODEL = "model"
OBJECTS = {"dicom_map": b"map", "dicom_report": b"report"}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path / "queue")
    yield queue
    queue.close()


def image(series: str = "1.2.1", number: int = 1, size: int = 100) -> Image:
    return Image(bytes(size), series, f"{series}.{number}")


def taken(queue: Queue, state: str = "complete", then: str = "detecting") -> Job:
    job = queue.next(state, then)
    assert job is not None
    return job


def examined(queue: Queue, series: str = "1.2.1", count: int = 1) -> Job:
    """A series whose objects are there."""
    for number in range(count):
        queue.add(image(series, number))
    queue.settle(0)
    job = taken(queue)
    assert queue.detected(job, OBJECTS, MODEL)
    return job


def counts(queue: Queue) -> dict[str, int]:
    return {state: count for state, count in read_status(queue.folder).counts.items() if count}


def files(queue: Queue) -> set[str]:
    return {str(path.relative_to(queue.folder)) for path in queue.folder.rglob("*.dcm")}


# From state to state


def test_a_series_is_complete_once_nothing_came_for_the_quiet_time(queue: Queue) -> None:
    queue.add(image(number=1))
    assert queue.settle(60) == [] and queue.next("complete", "detecting") is None
    (job,) = queue.settle(0)
    assert (job.series, job.images) == ("1.2.1", 1) and counts(queue) == {"complete": 1}


def test_series_are_taken_in_the_order_in_which_they_came(queue: Queue) -> None:
    for series in ("1.2.9", "1.2.1", "1.2.5"):
        queue.add(image(series))
    queue.settle(0)
    assert [taken(queue).series for _ in range(3)] == ["1.2.9", "1.2.1", "1.2.5"]


def test_an_image_that_is_sent_twice_is_there_once(queue: Queue) -> None:
    assert queue.add(image()) and not queue.add(image())
    (job,) = queue.settle(0)
    assert job.images == 1 and len(list(job.path.iterdir())) == 1
    assert not queue.add(image()) and counts(queue) == {"complete": 1}


def test_names_of_files_are_the_node_s_own(queue: Queue) -> None:
    queue.add(Image(b"", "1.2.1", "../../1"))
    assert files(queue) == {"images/1/000001.dcm"}


@pytest.mark.parametrize("state", ["complete", "detecting", "detected", "sending"])
def test_an_image_that_comes_late_joins_its_series_as_long_as_that_one_is_there(queue: Queue, state: str) -> None:
    queue.add(image(number=1))
    queue.settle(0)
    job = taken(queue) if state != "complete" else None
    if job and state in ("detected", "sending"):
        queue.detected(job, OBJECTS, MODEL)
    if state == "sending":
        taken(queue, "detected", "sending")
    queue.add(image(number=2))
    assert counts(queue) == {"receiving": 1}
    if job is not None:  # what was going on does not count
        assert not queue.detected(job, OBJECTS, MODEL) and not queue.done(job)
    (again,) = queue.settle(0)
    assert again.images == 2
    assert queue.detected(taken(queue), OBJECTS, MODEL)
    assert list(queue.unsent(taken(queue, "detected", "sending"))) == list(OBJECTS)


def test_an_image_that_comes_after_its_series_was_done_begins_a_new_job_that_knows_of_the_old_one(queue: Queue) -> None:
    job = examined(queue, count=3)
    queue.next("detected", "sending")
    queue.done(job)
    queue.add(image(number=7))
    (late,) = queue.settle(0)
    earlier = queue.earlier(late)
    assert earlier is not None and (late.number, late.images) == (2, 1)
    assert (earlier.number, earlier.images, earlier.model) == (1, 3, MODEL) and late.digest != earlier.digest
    for number in range(3):
        queue.add(image("1.2.1", number))
    queue.next("complete", "detecting")
    (again,) = queue.settle(0)
    assert again.images == 4


def test_the_same_images_have_the_same_digest_whatever_their_order(queue: Queue) -> None:
    job = examined(queue, count=3)
    queue.next("detected", "sending")
    queue.done(job)
    for number in (2, 0, 1):
        queue.add(image("1.2.1", number))
    (again,) = queue.settle(0)
    earlier = queue.earlier(again)
    assert earlier is not None and earlier.digest == again.digest


def test_of_what_is_done_nothing_stays_on_the_disk(queue: Queue) -> None:
    job = examined(queue, count=3)
    assert len(files(queue)) == 5
    queue.next("detected", "sending")
    assert queue.done(job) and files(queue) == set() and read_status(queue.folder).bytes == 0


def test_a_series_that_was_left_for_lack_of_images_goes_on_with_them(queue: Queue) -> None:
    queue.add(image(number=1))
    queue.settle(0)
    queue.leave(taken(queue), "images are missing", wait=True)
    assert counts(queue) == {"left": 1}
    queue.add(image(number=2))
    (job,) = queue.settle(0)
    assert (job.number, job.images) == (1, 2)


def test_a_series_that_does_not_fit_goes_at_once(queue: Queue) -> None:
    queue.add(image())
    queue.settle(0)
    queue.leave(taken(queue), "of another modality", wait=False)
    assert files(queue) == set() and counts(queue) == {"left": 1}


def test_a_watched_scan_is_offered_once_as_long_as_it_stays_as_it_is(queue: Queue, tmp_path: Path) -> None:
    job = queue.offer(tmp_path / "a.nii.gz", Path("a.nii.gz"), "as it is")
    assert job is not None and (job.path, job.below) == (tmp_path / "a.nii.gz", Path("a.nii.gz"))
    assert queue.offer(tmp_path / "a.nii.gz", Path("a.nii.gz"), "as it is") is None
    assert queue.offer(tmp_path / "a.nii.gz", Path("a.nii.gz"), "changed") is not None


def test_a_watched_scan_whose_name_is_no_text_is_offered_like_any_other(queue: Queue, tmp_path: Path) -> None:
    below = Path(os.fsdecode(b"ward/gr\xfcn.nii.gz"))
    assert queue.offer(tmp_path / below, below, "as it is") is not None and queue.knows(below, "as it is")
    job = taken(queue)
    assert (job.path, job.below) == (tmp_path / below, below)
    queue.fail(job, f"{below} cannot be read.")
    failure = read_status(queue.folder).failure
    assert failure is not None and (failure["scan"], failure["reason"]) == ("ward/gr?n.nii.gz", "ward/gr?n.nii.gz cannot be read.")


# Kills


@pytest.mark.parametrize("state", ["receiving", "complete", "detecting", "detected", "sending", "half sent", "failed in sending", "failed"])
def test_whatever_the_state_a_killed_node_goes_on_with_what_it_had(tmp_path: Path, state: str) -> None:
    """Nothing is written when a queue is closed, so that closing it is what a kill is."""
    queue = Queue(tmp_path)
    queue.add(image(number=1))
    queue.add(image(number=2))
    job = None
    if state != "receiving":
        queue.settle(0)
    if state not in ("receiving", "complete"):
        job = taken(queue)
    if state in ("detected", "sending", "half sent", "failed in sending"):
        assert job is not None
        queue.detected(job, OBJECTS, MODEL)
    if state in ("sending", "half sent", "failed in sending"):
        taken(queue, "detected", "sending")
    if state == "half sent":
        queue.sent(job, "dicom_map")
    if state.startswith("failed"):
        queue.fail(job, "why")
    queue.close()
    queue = Queue(tmp_path)
    expected = {"receiving": "receiving", "complete": "complete", "detecting": "complete", "failed": "complete"}.get(state, "detected")
    assert counts(queue) == {expected: 1}
    assert len(list((tmp_path / "images" / "1").iterdir())) == 2
    if expected == "detected":
        left = {"dicom_report": b"report"} if state == "half sent" else OBJECTS
        assert queue.unsent(taken(queue, "detected", "sending")) == left
    queue.close()


def test_files_that_a_kill_left_before_the_database_knew_of_them_go(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(image(number=1))
    queue.close()
    for path in ("images/1/000002.dcm", "images/7/000001.dcm", "objects/1/dicom_map.dcm"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"half")
    queue = Queue(tmp_path)
    assert files(queue) == {"images/1/000001.dcm"}
    assert queue.add(image(number=2)) and files(queue) == {"images/1/000001.dcm", "images/1/000002.dcm"}
    queue.close()


def test_only_one_node_has_a_queue(queue: Queue) -> None:
    with pytest.raises(InvDetectError, match="Another node has the queue .* --folder of its own"):
        Queue(queue.folder)
    assert read_status(queue.folder).running is True


# Bounds


def test_no_more_series_wait_than_may(tmp_path: Path) -> None:
    queue = Queue(tmp_path, Limits(most=2))
    queue.add(image("1.2.1"))
    queue.add(image("1.2.2"))
    with pytest.raises(Full, match="The queue is full: 2 series wait in it"):
        queue.add(image("1.2.3"))
    assert queue.add(image("1.2.2", 2))  # what has begun can be brought to an end
    queue.settle(0)
    queue.leave(taken(queue), "does not fit", wait=False)
    assert queue.add(image("1.2.3"))
    queue.close()


def test_no_more_room_is_taken_than_may_be_also_after_a_start(tmp_path: Path) -> None:
    queue = Queue(tmp_path, Limits(room=250))
    queue.add(image(number=1))
    queue.add(image(number=2))
    for number in (3, 4, 4):
        with pytest.raises(Full, match="--room"):
            queue.add(image(number=number))
        queue.refused(image(number=number))
        queue.close()
        queue = Queue(tmp_path, Limits(room=250))
    (job,) = queue.settle(0)
    assert queue.lacks(job) == 2 and job.images == 2
    queue.close()


def test_a_series_of_which_images_were_refused_is_whole_again_once_they_have_come(tmp_path: Path) -> None:
    queue = Queue(tmp_path, Limits(room=150))
    queue.refused(image(number=2))  # also when it was the first to come
    queue.add(image(number=1))
    (job,) = queue.settle(0)
    assert queue.lacks(job) == 1
    taken(queue)
    queue.leave(job, "images were refused", wait=True)
    queue.close()
    queue = Queue(tmp_path, Limits(room=250))
    queue.add(image(number=2))
    (job,) = queue.settle(0)
    assert queue.lacks(job) == 0 and job.images == 2
    queue.close()


def test_series_that_were_left_make_room_oldest_first(tmp_path: Path) -> None:
    queue = Queue(tmp_path, Limits(room=250))
    for series in ("1.2.1", "1.2.2"):
        queue.add(image(series))
        queue.settle(0)
        queue.leave(taken(queue), "images are missing", wait=True)
    queue.add(image("1.2.3"))
    assert files(queue) == {"images/2/000001.dcm", "images/3/000001.dcm"}
    queue.close()


def test_a_full_disk_refuses_an_image_and_keeps_the_others(queue: Queue) -> None:
    from Testing.support.tiny_model import full_disk

    queue.add(image(number=1))
    with full_disk(1 << 18), pytest.raises(InvDetectError, match="image cannot be written"):
        queue.add(image(number=2, size=1 << 19))
    assert files(queue) == {"images/1/000001.dcm"} and queue.add(image(number=2))


def test_objects_that_a_full_disk_does_not_take_take_up_no_room_either(tmp_path: Path) -> None:
    from Testing.support.tiny_model import full_disk

    queue = Queue(tmp_path, Limits(room=150_000))
    queue.add(image(size=10))
    queue.settle(0)
    job = taken(queue)
    with full_disk(1 << 18), pytest.raises(InvDetectError, match="object cannot be written"):
        queue.detected(job, {"dicom_map": bytes(100_000), "dicom_report": bytes(1 << 19)}, MODEL)
    queue.fail(job, "The disk is full.")
    assert queue.add(image("1.2.2", size=100_000)) and counts(queue) == {"failed": 1, "receiving": 1}
    queue.close()


# What is told


def test_the_status_tells_counts_the_oldest_and_the_last_failure_without_stopping_the_node(queue: Queue) -> None:
    queue.add(image("1.2.1"))
    queue.settle(0)
    queue.leave(taken(queue), "It does not fit.", wait=False)
    queue.add(image("1.2.2"))
    found = read_status(queue.folder)
    assert {state: count for state, count in found.counts.items() if count} == {"receiving": 1, "left": 1}
    assert found.oldest is not None and (found.oldest["job"], found.oldest["state"]) == (2, "receiving")
    assert found.failure is not None and (found.failure["job"], found.failure["reason"]) == (1, "It does not fit.")
    assert "job 1" in "\n".join(found.words()) and queue.add(image("1.2.3"))


def test_what_is_no_queue_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="There is no queue in .*; give the --folder"):
        read_status(tmp_path)
    (tmp_path / "queue.sqlite").write_bytes(b"no database at all" * 100)
    for look in (Queue, read_status):
        with pytest.raises(InvDetectError, match="cannot be used: .*not a database.* move the folder away"):
            look(tmp_path)
    with pytest.raises(InvDetectError, match="cannot be written"):
        Queue(tmp_path / "queue.sqlite" / "inside")


@pytest.mark.parametrize("mine", ["images/case01/scan.dcm", "objects/mesh.obj", "results/table.csv", "scan.nii.gz"])
def test_a_folder_with_files_of_somebodys_own_is_no_queue_and_is_left(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("mine")
    modes = {path: path.stat().st_mode for path in (tmp_path, *tmp_path.rglob("*"))}
    with pytest.raises(InvDetectError, match="is no queue and holds .*, which is left as it is; give a new or an empty --folder"):
        Queue(tmp_path)
    assert {path: path.stat().st_mode for path in (tmp_path, *tmp_path.rglob("*"))} == modes


@pytest.mark.skipif(os.name == "nt", reason="there are no modes there")
def test_nobody_else_reads_what_waits_also_where_the_folder_was_there_before(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    (folder / "images").mkdir(parents=True)
    for place in (folder, folder / "images"):
        place.chmod(0o755)
    Queue(folder).close()
    assert {name: (folder / name).stat().st_mode & 0o777 for name in ("", "images", "objects", "results")} == dict.fromkeys(
        ("", "images", "objects", "results"), 0o700
    )
