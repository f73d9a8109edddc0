"""A real archive for tests: Orthanc on free ports of the loopback, with its storage in a folder, ended by its own process id."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PATIENCE = 60.0  # seconds for a start that takes half of one
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows the way to this machine's loopback


def program() -> str:
    """The path of Orthanc; skips the test where it is missing."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/opt/orthanc/bin")
    if found is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    return found


def free_port() -> int:
    """A port of the loopback that nobody uses just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Orthanc:
    """An archive that was started; `orthanc` makes one. Stopped and started again it keeps its ports and what it stores.

    aet         its application entity title;  dicom_port, http_port  on 127.0.0.1
    modalities  the peers that it can send to: (title, port on 127.0.0.1) by name, see `know`
    options     further entries of its configuration, such as {"AuthenticationEnabled": True, "RegisteredUsers": {"name": "password"}}
    """

    folder: Path
    aet: str = "ORTHANC"
    dicomweb: bool = False
    modalities: dict[str, tuple[str, int]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    dicom_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        """The address of its DICOMweb. Over plain HTTP alone: Debian's Orthanc 1.10.1 ends when it is asked over TLS."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def credentials(self) -> str:
        """Of its first user, as HTTP says them: "Basic ..."; "" where it has none."""
        users = self.options.get("RegisteredUsers", {})
        return next((f"Basic {base64.b64encode(f'{name}:{word}'.encode()).decode()}" for name, word in users.items()), "")

    def start(self) -> None:
        """Start it, and return as soon as it answers."""
        assert self._process is None
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(self.folder / "storage"), "IndexDirectory": str(self.folder / "storage"),
            "DicomAet": self.aet, "DicomPort": self.dicom_port, "HttpPort": self.http_port,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "StableAge": 1, "SyncStorageArea": False,
            "DicomScuTimeout": 10, "JobsHistorySize": 1000, "UnknownSopClassAccepted": True, "DicomAlwaysAllowFind": True,
            "DicomModalities": {name: [title, "127.0.0.1", port] for name, (title, port) in self.modalities.items()},
            "Plugins": [str(PLUGIN)] if self.dicomweb else [], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        written = self.folder / "orthanc.json"
        written.write_text(json.dumps(settings | self.options))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program(), str(written)], stdout=log, stderr=log, cwd=self.folder)
        end = time.monotonic() + _PATIENCE
        while not (_listens(self.http_port) and _listens(self.dicom_port)):
            assert self._process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, kill: bool = False) -> None:
        """End it, with `kill` at once; what it stores stays. It may have been stopped before."""
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def ask(self, path: str, content: bytes | None = None, method: str | None = None) -> Any:
        """What its own interface answers, of JSON as values; `urllib.error.HTTPError` where it refuses."""
        headers = {"Authorization": self.credentials} if self.credentials else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", content, headers, method=method)
        with _DIRECT.open(request, timeout=_PATIENCE) as answer:
            text = answer.read()
            return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text

    def passed_on(self, path: str, accept: str) -> tuple[str, bytes]:
        """(content type, content) of a question on, as a server in front of it asks."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", headers={"Accept": accept})
        with _DIRECT.open(request, timeout=_PATIENCE) as answer:
            return answer.headers.get("Content-Type", ""), answer.read()

    def know(self, name: str, aet: str, port: int) -> None:
        """Let it send to a peer on 127.0.0.1, from now on and after a start."""
        self.modalities[name] = (aet, port)
        self.ask(f"/modalities/{name}", json.dumps({"AET": aet, "Host": "127.0.0.1", "Port": port}).encode(), "PUT")

    def upload(self, *paths: Path) -> None:
        """Store files, and of folders every file."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    self.ask("/instances", file.read_bytes())

    def series(self, study: str | None = None) -> list[dict[str, Any]]:
        """The series of a study, by its UID, or all of them: "ID" is Orthanc's own name, "MainDicomTags" has Modality and UIDs."""
        if study is None:
            return list(self.ask("/series?expand"))
        query = {"Level": "Study", "Query": {"StudyInstanceUID": study}}
        found = self.ask("/tools/find", json.dumps(query).encode())
        return [one for name in found for one in self.ask(f"/studies/{name}/series?expand")]

    def files(self, series: dict[str, Any]) -> list[bytes]:
        """The DICOM files of one of `series`, in no order."""
        return [self.ask(f"/instances/{name}/file") for name in series["Instances"]]

    def send(self, series: dict[str, Any], modality: str) -> None:
        """Send one of `series` to a modality that it knows by this name, and return when that has taken it all."""
        self.ask(f"/modalities/{modality}/store", json.dumps({"Resources": [series["ID"]], "Synchronous": True}).encode())


@contextlib.contextmanager
def orthanc(
    folder: Path,
    *,
    aet: str = "ORTHANC",
    dicomweb: bool = False,
    modalities: Mapping[str, tuple[str, int]] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """A running archive that keeps its things in `folder`; skips the test where Orthanc, or with `dicomweb` its plugin, is missing."""
    program()
    if dicomweb and not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed: apt-get install orthanc-dicomweb")
    archive = Orthanc(folder, aet, dicomweb, dict(modalities or {}), dict(options or {}))
    try:
        archive.start()
        yield archive
    finally:
        archive.stop(kill=True)  # nobody reads its storage any more, and asked to end it takes seconds


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
