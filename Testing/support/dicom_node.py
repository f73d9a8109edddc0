"""What tests of the DICOM node share: series made of heads, a peer that sends them, and a node in this process or as one of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from pydicom import dcmread

from Testing.support.needs import need

need("pynetdicom")

from InvDetectLib.common import Progress  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.dicom.node import Door, Folder, Node, Queue, Receiver, Sink, Source, Watch, read_status  # noqa: E402
from InvDetectLib.scans import write_phantoms  # noqa: E402
from Testing.support import tiny_model  # noqa: E402
from Testing.support.made_dicom import MR, write_image  # noqa: E402
from Testing.support.tiny_model import shell, wait_for  # noqa: E402

QUIET = 0.5  # seconds
START = 180.0  # seconds that a process may take to start beside others that compute


def series(folder: Path, number: int = 1, storage: str = MR, slices: int = 3, **elements: Any) -> Path:
    """A head with a lesion as a DICOM series of one file a slice: 0.dcm, 1.dcm, ... in a study of its own, see `study_of`."""
    with tempfile.TemporaryDirectory() as drawn:
        image = sitk.ReadImage(str(write_phantoms(Path(drawn) / "heads", 1, 2000 + number, (slices, 64, 64), lesions=1)[0]))
    row, column, _ = (image.GetDirection()[k::3] for k in range(3))
    spacing, study = [f"{value:.6f}" for value in image.GetSpacing()], study_of(number)
    facts = {
        "PatientName": "Lopez^Maria", "PatientID": "0815", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "", "StudyTime": "",
        "StudyID": "", "AccessionNumber": "", "ReferringPhysicianName": "", "Manufacturer": "", "SeriesNumber": 1, "Modality": "MR",
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "FrameOfReferenceUID": f"{study}.2", "SliceThickness": spacing[2],
        "PixelSpacing": [spacing[1], spacing[0]], "ImageOrientationPatient": [f"{value:.9f}" for value in (*row, *column)],
    }  # fmt: skip
    for k, pixels in enumerate(sitk.GetArrayFromImage(image).clip(0).astype("uint16")):
        place = [f"{value:.6f}" for value in image.TransformIndexToPhysicalPoint((0, 0, k))]
        own = {"SOPInstanceUID": f"{study}.1.{k + 1}", "InstanceNumber": k + 1, "ImagePositionPatient": place}
        write_image(folder / f"{k}.dcm", pixels, storage, **(facts | own | elements))
    return folder


def study_of(number: int) -> str:
    """The StudyInstanceUID of the series of that number; that of the series is the same with ".1" behind it."""
    return f"1.2.826.{number}"


def send(port: int, paths: Sequence[Path], *, called: str = "INVDETECT", calling: str = "PEER", tls: Any = None) -> list[int]:
    """Send files, and of folders every file, by C-STORE to 127.0.0.1; the status of each, empty where there was no association."""
    from pynetdicom import AE

    sets = [dcmread(file) for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    own = AE(ae_title=calling)
    own.acse_timeout = own.dimse_timeout = own.network_timeout = 20
    for storage in {data.SOPClassUID for data in sets}:
        own.add_requested_context(storage)
    link = own.associate("127.0.0.1", port, ae_title=called, tls_args=tls)
    if not link.is_established:
        return []
    try:
        return [int(link.send_c_store(data).Status) for data in sets]
    finally:
        link.release()


@dataclass
class Served:
    """A node as a process of its own: see `serving`."""

    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    words: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """All that it has said."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    @property
    def port(self) -> int:
        """On which it receives."""
        return int(re.findall(r"receives at \S+, port (\d+)", self.told)[-1])

    def start(self) -> None:
        """Start it, and return as soon as it receives."""
        before = self.told.count(" receives at ")
        with self.log.open("ab") as log:
            command = [sys.executable, tiny_model.__file__, "serve", *self.words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PYTHONFAULTHANDLER": "1"})
        wait_for(lambda: self.told.count(" receives at ") > before or self.process.poll() is not None, START)
        assert self.process.poll() is None, self.told

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def counts(self) -> dict[str, int]:
        """Jobs by state, without those that have none."""
        return {state: count for state, count in read_status(self.folder).counts.items() if count}


@contextlib.contextmanager
def serving(folder: Path, model: Path, *words: str | Path) -> Iterator[Served]:
    """`invdetect serve` with its queue in `folder`, on any free port, with a short quiet time; killed at the end if it still runs."""
    node = Served(folder / "queue", folder / "node.log")
    node.words = ["-m", str(model), "--folder", str(node.folder), "--quiet-time", str(QUIET), "--device", "cpu", *map(str, words)]
    node.words += [] if "--port" in words or "--watch" in words else ["--port", "0"]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        node.start()
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.kill()


def status(node: Served) -> dict[str, Any]:
    """What `invdetect serve --status --json` prints."""
    return json.loads(shell("serve", "--status", "--json", "--folder", node.folder).out)


@dataclass
class Here:
    """A node in this process, in a thread: see `node_here`."""

    queue: Queue
    receiver: Receiver
    said: list[str]

    @property
    def port(self) -> int:
        """On which it receives."""
        return self.receiver.port

    def counts(self) -> dict[str, int]:
        """Jobs by state, without those that have none."""
        return {state: count for state, count in read_status(self.queue.folder).counts.items() if count}

    def wait(self, patience: float = 60.0, **counts: int) -> None:
        """Until so many jobs are in each of these states, and none in another."""
        try:
            wait_for(lambda: self.counts() == counts, patience)
        except AssertionError:
            raise AssertionError(f"{self.counts()} and not {counts}\n" + "\n".join(self.said)) from None


@contextlib.contextmanager
def node_here(folder: Path, detector: Detector, sink: Sink | None = None, watch: Path | None = None) -> Iterator[Here]:
    """A node whose queue is in `folder`; without a sink what it finds goes into `folder`/results."""
    said: list[str] = []
    queue = Queue(folder)
    receiver = Receiver(Door("INVDETECT", 0), queue, said.append)
    sources: list[Source] = [receiver, *([Watch(watch, queue, QUIET, said.append)] if watch is not None else [])]
    node = Node(queue, detector, sources, sink or Folder(folder / "results"), folder / "results", QUIET, said.append)
    progress = Progress()
    thread = threading.Thread(target=node.run, args=(progress,))
    thread.start()
    try:
        wait_for(lambda: any("receives at" in text for text in said))
        yield Here(queue, receiver, said)
    finally:
        progress.cancel()
        thread.join(60)
        queue.close()
