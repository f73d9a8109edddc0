"""What tests of the DICOM node share: series made of heads, a peer that sends them, and a node in this process or as one of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from pydicom import dcmread

from Testing.support.made_dicom import MR, write_image
from Testing.support.tiny_model import head, wait_for
from Testing.support.tiny_model import __file__ as PROGRAM

QUIET = 0.5  # seconds


def series(folder: Path, number: int = 1, storage: str = MR, lesions: int = 1, **elements: Any) -> Path:
    """A head as a DICOM series of one file a slice, in a study of its own: 1.2.NUMBER, series 1.2.NUMBER.1."""
    image = sitk.ReadImage(str(head(folder / "head.nii.gz", 2000 + number, lesions)))
    (folder / "head.nii.gz").unlink()
    array, axes = sitk.GetArrayFromImage(image).clip(0).astype("uint16"), [image.GetDirection()[k::3] for k in range(3)]
    for k, pixels in enumerate(array):
        place = image.TransformIndexToPhysicalPoint((0, 0, k))
        facts = {
            "PatientName": "Lopez^Maria", "PatientID": "0815", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "", "StudyTime": "",
            "StudyID": "", "AccessionNumber": "", "ReferringPhysicianName": "", "Manufacturer": "", "SeriesNumber": 1, "Modality": "MR", "InstanceNumber": k + 1,
            "StudyInstanceUID": study_of(number), "SeriesInstanceUID": f"{study_of(number)}.1", "FrameOfReferenceUID": f"1.2.{number}.3",
            "SOPInstanceUID": f"{study_of(number)}.1.{k + 1}", "PixelSpacing": [f"{image.GetSpacing()[1]:.6f}", f"{image.GetSpacing()[0]:.6f}"],
            "SliceThickness": f"{image.GetSpacing()[2]:.6f}", "ImagePositionPatient": [f"{value:.6f}" for value in place],
            "ImageOrientationPatient": [f"{value:.9f}" for value in (*axes[0], *axes[1])],
        }  # fmt: skip
        write_image(folder / f"{k}.dcm", pixels, storage, **(facts | elements))
    return folder


def study_of(number: int) -> str:
    """The StudyInstanceUID of the series of that number."""
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
            command = [sys.executable, PROGRAM, "serve", *self.words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PYTHONFAULTHANDLER": "1"})
        wait_for(lambda: self.told.count(" receives at ") > before or self.process.poll() is not None)
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
        from InvDetectLib.dicom.node import read_status

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
    from Testing.support.tiny_model import shell

    return json.loads(shell("serve", "--status", "--json", "--folder", node.folder).out)
