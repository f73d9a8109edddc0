"""The node's door: who may send, what is taken, and what a full queue answers; the peers are real, through sockets of the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

need("pynetdicom")

from InvDetectLib.common import InvDetectError, WrongUse  # noqa: E402
from InvDetectLib.dicom.node import Archive, Door, Limits, Peer, Queue, Receiver, Unreachable, image_of, tls_contexts  # noqa: E402
from Testing.support.certificates import certificates  # noqa: E402
from Testing.support.dicom_node import send, series, study_of  # noqa: E402
from Testing.support.made_dicom import CLASSES, MR, write_image  # noqa: E402
from Testing.support.orthanc import free_port  # noqa: E402
from Testing.support.tiny_model import wait_for  # noqa: E402

DONE, NO_ROOM = 0x0000, 0xA700


class Place:
    """A queue behind a door, and what was said."""

    def __init__(self, queue: Queue, door: Door) -> None:
        self.said: list[str] = []
        self.queue, self.receiver = queue, Receiver(door, queue, self.said.append)

    @property
    def port(self) -> int:
        return self.receiver.port


Open = Callable[..., Place]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        @contextmanager
        def place(limits: Limits, door: Door) -> Iterator[Place]:
            queue = Queue(tmp_path / "queue", limits)
            place = Place(queue, door)
            place.receiver.start()
            try:
                yield place
            finally:
                place.receiver.stop()
                queue.close()

        yield lambda limits=None, **facts: stack.enter_context(place(limits or Limits(), Door("INVDETECT", 0, **facts)))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return series(tmp_path_factory.mktemp("scan"))


# What is taken


def test_it_answers_an_echo_and_takes_a_series(opened: Open, scan: Path) -> None:
    from pynetdicom import AE

    place = opened()
    own = AE(ae_title="PEER")
    own.add_requested_context("1.2.840.10008.1.1")
    link = own.associate("127.0.0.1", place.port, ae_title="INVDETECT")
    assert link.is_established and link.send_c_echo().Status == DONE
    link.release()
    assert send(place.port, [scan]) == [DONE] * 3
    (job,) = place.queue.settle(0)
    assert (job.series, job.images) == (f"{study_of(1)}.1", 3)
    for path, original in zip(sorted(job.path.iterdir()), sorted(scan.iterdir())):
        from pydicom import dcmread

        assert dcmread(path).PixelData == dcmread(original).PixelData


def test_it_takes_what_storescu_of_dcmtk_sends(opened: Open, scan: Path) -> None:
    import shutil

    if shutil.which("storescu") is None:
        pytest.skip("storescu is not installed: apt-get install dcmtk")
    place = opened()
    command = ["storescu", "-aec", "INVDETECT", "-aet", "OTHER", "+sd", "127.0.0.1", str(place.port), str(scan)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert [job.images for job in place.queue.settle(0)] == [3]


def test_the_same_image_sent_twice_is_answered_and_kept_once(opened: Open, scan: Path) -> None:
    place = opened()
    assert send(place.port, [scan, scan]) == [DONE] * 6
    assert [job.images for job in place.queue.settle(0)] == [3]


def test_other_pixels_under_the_same_uid_are_refused_and_said_to_be_so_once(opened: Open, tmp_path: Path) -> None:
    place = opened()
    first, second, third, renamed = (
        write_image(tmp_path / f"{name}.dcm", np.full((8, 8), value, np.uint16), SOPInstanceUID="1.2.3.4", PatientName=patient)
        for name, value, patient in (("a", 1, "Lopez^Mria"), ("b", 2, "Lopez^Mria"), ("c", 3, "Lopez^Mria"), ("d", 1, "Lopez^Maria"))
    )
    statuses = send(place.port, [first, second, third, renamed, first])
    assert statuses == [DONE, 0xC001, 0xC001, DONE, DONE]  # a name that was put right is no other image
    assert [job.images for job in place.queue.settle(0)] == [1]
    (told,) = [text for text in place.said if "other pixels" in text]
    assert "Lopez" not in told and "1.2.3.4" not in told


@pytest.mark.parametrize("storage", ["66.4", "30", "88.34", "104.1"])  # SEG, PM, SR, PDF
def test_objects_that_are_no_images_are_refused_before_they_are_sent(opened: Open, tmp_path: Path, scan: Path, storage: str) -> None:
    place = opened()
    path = write_image(tmp_path / "object.dcm", None, CLASSES + storage)
    assert send(place.port, [path]) == []
    with pytest.raises(ValueError, match="(?i)no presentation context"):
        send(place.port, [scan, path])
    assert [job.images for job in place.queue.settle(0)] == [3]


def test_what_says_one_thing_and_is_another_is_refused(opened: Open, tmp_path: Path, scan: Path) -> None:
    """A segmentation sent as if it were an image, and UIDs that would lead out of a folder."""
    place = opened()
    liar = write_image(tmp_path / "liar.dcm", None, CLASSES + "66.4", SOPInstanceUID="1.2.3.4")
    content = bytearray(liar.read_bytes())
    with pytest.raises(InvDetectError, match="no image of a kind that is examined"):
        image_of(bytes(content))
    path = write_image(tmp_path / "path.dcm", None, SeriesInstanceUID="../../../tmp/x")
    (status,) = send(place.port, [path])
    assert status == 0xC000 and place.queue.settle(0) == [] and "whose UIDs are none" in place.said[-1]
    for damaged in (b"", b"x" * 300, scan.joinpath("0.dcm").read_bytes()[:200]):
        with pytest.raises(InvDetectError, match="is not taken"):
            image_of(damaged)


def test_what_is_deflated_is_refused_before_it_is_inflated(opened: Open, tmp_path: Path, scan: Path) -> None:
    """A megabyte of it can be a gigabyte."""
    import tracemalloc

    from pydicom.uid import DeflatedExplicitVRLittleEndian
    from pynetdicom import AE

    place = opened()
    own = AE(ae_title="PEER")
    own.add_requested_context(MR, DeflatedExplicitVRLittleEndian)
    own.add_requested_context(MR)  # an honest sender falls back on this one
    link = own.associate("127.0.0.1", place.port, ae_title="INVDETECT")
    offered = [syntax for context in link.accepted_contexts for syntax in context.transfer_syntax]
    assert offered and DeflatedExplicitVRLittleEndian not in offered
    link.release()
    packed = write_image(tmp_path / "deflated.dcm", np.zeros((5000, 10_000), np.uint16), syntax=DeflatedExplicitVRLittleEndian).read_bytes()
    tracemalloc.start()
    with pytest.raises(InvDetectError, match="is deflated.* another transfer syntax"):
        image_of(packed)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(packed) < 200_000 and most < 30_000_000


def test_no_name_of_a_patient_is_said(opened: Open, scan: Path) -> None:
    place = opened()
    send(place.port, [scan])
    assert not [text for text in place.said if "Lopez" in text or "0815" in text]


# Who may send


def test_other_titles_than_those_allowed_are_rejected(opened: Open, scan: Path) -> None:
    place = opened(allowed=["SCANNER"])
    assert send(place.port, [scan], calling="STRANGER") == []
    wait_for(lambda: any("'STRANGER' from 127.0.0.1 was rejected: its title is not allowed (--allow)" in text for text in place.said))
    assert send(place.port, [scan], calling="SCANNER") == [DONE] * 3


def test_who_calls_another_title_is_rejected(opened: Open, scan: Path) -> None:
    place = opened()
    assert send(place.port, [scan], called="SOMEBODY") == []


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.4", "::", "pacs.example.org"])
def test_whoever_can_be_reached_by_others_says_who_may_send(address: str) -> None:
    with pytest.raises(WrongUse, match="name with --allow"):
        Door("INVDETECT", 11112, address).check()
    Door("INVDETECT", 11112, address, ["SCANNER"]).check()


@pytest.mark.parametrize("title", ["", " ", "A" * 17, "A\\B", "Ü", "A\n"])
def test_titles_are_those_that_dicom_knows(title: str) -> None:
    with pytest.raises(WrongUse, match="no title of a DICOM application"):
        Door(title, 11112).check()


def test_a_port_that_is_taken_is_told_in_a_sentence(opened: Open, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        queue = Queue(tmp_path / "other")
        receiver = Receiver(Door("INVDETECT", taken.getsockname()[1]), queue, print)
        with pytest.raises(InvDetectError, match="Nothing can be received at 127.0.0.1, port .*in use.* Choose another --port"):
            receiver.start()
        queue.close()


def test_whoever_talks_nonsense_keeps_nobody_else_from_sending(opened: Open, scan: Path) -> None:
    place = opened()
    for number in range(8):
        with socket.create_connection(("127.0.0.1", place.port)) as stranger:
            stranger.sendall(bytes([number]) * 400)
    assert send(place.port, [scan]) == [DONE] * 3


def test_whoever_says_that_gigabytes_follow_is_not_listened_to(opened: Open, scan: Path) -> None:
    place = opened()
    with socket.create_connection(("127.0.0.1", place.port), 20) as stranger:
        stranger.sendall(b"\x01\0\xff\xff\xff\xff")  # a request for an association, before it is known who asks
        with suppress(OSError):  # the other end closes, sooner or later
            for _ in range(50):
                stranger.sendall(bytes(1 << 20))
    assert [text for text in place.said if "sent more than an object may have" in text]
    assert send(place.port, [scan]) == [DONE] * 3


def test_an_object_that_no_machine_could_examine_ends_its_association(
    opened: Open, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = opened()
    monkeypatch.setattr(os, "sysconf", lambda name: 1024)  # a machine with a megabyte
    assert send(place.port, [scan]) == [DONE] * 3
    large = write_image(tmp_path / "large" / "1.dcm", np.zeros((6000, 6000), np.uint16)).parent
    with pytest.raises(AttributeError, match="Status"):  # there is no answer
        send(place.port, [large])
    assert [text for text in place.said if "sent more than an object may have" in text]
    assert send(place.port, [scan]) == [DONE] * 3


# A full queue


def test_a_full_queue_answers_that_it_has_no_room_and_says_so_once(opened: Open, scan: Path, tmp_path: Path) -> None:
    place = opened(Limits(most=1))
    others = [series(tmp_path / str(number), number) for number in (2, 3)]
    assert send(place.port, [scan, *others]) == [DONE] * 3 + [NO_ROOM] * 6
    assert len([text for text in place.said if "The queue is full: 1 series" in text]) == 1
    (job,) = place.queue.settle(0)
    place.queue.next("complete", "detecting")
    place.queue.leave(job, "does not fit", wait=False)
    assert send(place.port, [others[0]]) == [DONE] * 3
    assert send(place.port, [others[1]]) == [NO_ROOM] * 3
    assert len([text for text in place.said if "The queue is full" in text]) == 2


# TLS


def test_with_tls_only_those_with_a_certificate_of_the_authority_come_in(opened: Open, tmp_path: Path, scan: Path) -> None:
    ours = certificates(tmp_path / "ours", "node", "peer")
    theirs = certificates(tmp_path / "theirs", "stranger")["stranger"]
    receiving, _ = _contexts(ours["node"])
    place = opened(tls=receiving)
    peer, stranger = (_contexts(one)[1] for one in (ours["peer"], theirs))
    stranger.load_verify_locations(ours["node"].authority)
    with socket.create_connection(("127.0.0.1", place.port)):  # who shows nothing keeps nobody else waiting
        started = time.monotonic()
        assert send(place.port, [scan], tls=(peer, "localhost")) == [DONE] * 3
        assert time.monotonic() - started < 8
    assert send(place.port, [scan]) == [] == send(place.port, [scan], tls=(stranger, "localhost"))
    wait_for(lambda: len([text for text in place.said if "no certificate that fits was shown" in text]) >= 2)


def test_an_archive_whose_certificate_does_not_fit_is_not_sent_to(opened: Open, tmp_path: Path, scan: Path) -> None:
    ours = certificates(tmp_path / "ours", "node")["node"]
    theirs = certificates(tmp_path / "theirs", "node")["node"]
    place = opened(tls=_contexts(ours)[0])
    content = {"dicom_map": (scan / "0.dcm").read_bytes()}
    taken: list[str] = []
    with pytest.raises(Unreachable, match="its certificate does not fit"):
        Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE", _contexts(theirs)[1]).send(_job(), content, taken.append)
    Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE", _contexts(ours)[1]).send(_job(), content, taken.append)
    assert taken == ["dicom_map"]


def test_files_that_are_no_certificates_or_do_not_belong_together_are_told(tmp_path: Path) -> None:
    made = certificates(tmp_path, "one", "other")
    one, other = made["one"], made["other"]
    with pytest.raises(InvDetectError, match="The certificate .* and the key .* do not fit"):
        tls_contexts(one.certificate, other.key, one.authority)
    with pytest.raises(InvDetectError, match="holds no certificate of an authority"):
        tls_contexts(one.certificate, one.key, one.key)
    with pytest.raises(InvDetectError, match=r"The key \(--tls-key\) .* cannot be read"):
        tls_contexts(one.certificate, tmp_path / "none", one.authority)


# Sending


def test_an_archive_that_is_not_there_is_worth_another_try(scan: Path) -> None:
    with pytest.raises(Unreachable, match="refused"):
        Archive(Peer("ARCHIVE", "127.0.0.1", free_port()), "NODE").send(_job(), {"dicom_map": (scan / "0.dcm").read_bytes()}, print)


def test_an_archive_that_does_not_know_us_refuses_in_a_sentence(opened: Open, scan: Path) -> None:
    place = opened(allowed=["SCANNER"])
    with pytest.raises(InvDetectError, match="rejects the association .* Make NODE known to it"):
        Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE").send(_job(), {"dicom_map": (scan / "0.dcm").read_bytes()}, print)


def test_of_objects_of_which_one_is_refused_the_others_are_sent(opened: Open, scan: Path, tmp_path: Path) -> None:
    place = opened()
    segmentation = write_image(tmp_path / "seg.dcm", None, CLASSES + "66.4").read_bytes()
    taken: list[str] = []
    objects = {"dicom_segmentation": segmentation, "dicom_map": (scan / "0.dcm").read_bytes()}
    with pytest.raises(InvDetectError, match="refused the segmentation: it takes no such objects"):
        Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE").send(_job(), objects, taken.append)
    assert taken == ["dicom_map"]


def test_an_archive_that_takes_nothing_of_all_refuses(opened: Open, tmp_path: Path) -> None:
    place = opened()
    objects = {"dicom_segmentation": write_image(tmp_path / "seg.dcm", None, CLASSES + "66.4").read_bytes()}
    with pytest.raises(InvDetectError, match="refused the segmentation: it takes no such objects"):
        Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE").send(_job(), objects, print)


def test_an_archive_without_room_is_worth_another_try(opened: Open, scan: Path, tmp_path: Path) -> None:
    place = opened(Limits(room=10))
    with pytest.raises(Unreachable, match="out of resources"):
        Archive(Peer("INVDETECT", "127.0.0.1", place.port), "NODE").send(_job(), {"dicom_map": (scan / "0.dcm").read_bytes()}, print)


@pytest.mark.parametrize("text", ["", "ARCHIVE", "ARCHIVE@host", "@host:104", "ARCHIVE@host:0", "ARCHIVE@host:70000", "A\\B@host:104"])
def test_addresses_of_archives_are_checked(text: str) -> None:
    with pytest.raises(WrongUse):
        Peer.parse(text)


def test_an_address_of_an_archive_is_its_title_host_and_port() -> None:
    assert Peer.parse("AR@CHIVE@10.0.0.5:104") == Peer("AR@CHIVE", "10.0.0.5", 104)
    assert Peer.parse("ARCHIVE@[::1]:104") == Peer("ARCHIVE", "::1", 104)


def _contexts(one: Any) -> Any:
    return tls_contexts(one.certificate, one.key, one.authority)


def _job() -> Any:
    from InvDetectLib.dicom.node import Job

    return Job(1, "1.2", Path(), None, 1, "")
