"""Strangers' files are read in a process of their own: a reader that crashes, hangs or takes too much costs one file and one sentence."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError, Progress
from InvDetectLib.models import Preparation
from InvDetectLib.scans import read_scan, survey, write_phantoms
from InvDetectLib.scans.reader import Reader

FAULTS = Path(__file__).resolve().parents[4] / "shared" / "faults"
_GROUPS = ("headers", "metaimage-crashes", "data-elsewhere")
KNOWN = [str(path.relative_to(FAULTS)) for group in _GROUPS for path in sorted((FAULTS / group).rglob("*.*"))]
KNOWN = [name for name in KNOWN if not name.endswith((".raw", "t_ok.nrrd"))]  # voxels, and what is sound
VOXELS = np.arange(64 * 64, dtype=np.uint8).reshape(1, 64, 64)


def nrrd(path: Path, data: bytes, encoding: str = "raw", sizes: str = "64 64 1", *lines: str) -> Path:
    head = ["NRRD0004", "type: uint8", "dimension: 3", f"sizes: {sizes}", f"encoding: {encoding}", *lines, "", ""]
    path.write_bytes("\n".join(head).encode() + data)
    return path


def crashing(folder: Path) -> Path:
    """A file on which ITK's reader of voxels as text dies; made, nobody's data."""
    return nrrd(folder / "crash.nrrd", b"0 " * 2000 + b"\0" * 100_000, "text")


def sentence(path: Path) -> str:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path)) and text.endswith("."), text
    return text


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return nrrd(tmp_path / "good.nrrd", VOXELS.tobytes())


def test_a_reading_process_that_is_killed_costs_one_file(good: Path):
    reader = Reader()
    reader.read(good, None)
    first = reader.process
    assert first is not None and first != os.getpid()
    os.kill(first, signal.SIGKILL)
    array, _, _ = reader.read(good, None)
    assert np.array_equal(array, VOXELS) and reader.process != first
    reader.end()


def test_a_reading_process_that_hangs_is_ended_and_the_next_file_is_read(good: Path):
    reader = Reader(patience=1.0)
    reader.read(good, None)
    assert reader.process is not None
    os.kill(reader.process, signal.SIGSTOP)  # as one that waits for a device that never answers
    started = time.monotonic()
    with pytest.raises(InvDetectError, match=r"good\.nrrd cannot be read: reading it does not end \(1 s were allowed\)"):
        reader.read(good, None)
    assert time.monotonic() - started < 10
    assert np.array_equal(reader.read(good, None)[0], VOXELS)
    reader.end()


def test_the_reading_process_ends_with_whoever_started_it(tmp_path: Path, good: Path):
    from subprocess import PIPE, Popen

    program = (
        "import sys, time; from pathlib import Path; from InvDetectLib.scans.reader import Reader\n"
        f"reader = Reader(); reader.read(Path({str(good)!r}), None); print(reader.process, flush=True); time.sleep(60)"
    )
    with Popen([sys.executable, "-c", program], stdout=PIPE, text=True) as parent:
        assert parent.stdout is not None
        reading = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{reading}/status").exists() and "Z (zombie)" not in Path(f"/proc/{reading}/status").read_text():
        assert time.monotonic() < deadline, "the reading process outlives the one that started it"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_where_no_file_can_be_opened_any_more_that_is_said(good: Path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader = Reader()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(InvDetectError, match="cannot be started: Too many files are open at once"):
            reader.read(good, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert np.array_equal(reader.read(good, None)[0], VOXELS)
    reader.end()


def test_many_threads_may_ask_at_once(good: Path, tmp_path: Path):
    other = nrrd(tmp_path / "other.nrrd", VOXELS[:, ::-1].tobytes())
    wrong: list[Path] = []

    def ask(path: Path, values: np.ndarray) -> None:
        for _ in range(20):
            if not np.array_equal(read_scan(path).array, values):
                wrong.append(path)

    threads = [threading.Thread(target=ask, args=pair) for pair in ((good, VOXELS), (other, VOXELS[:, ::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_process_forked_while_a_file_is_being_read_reads_by_itself(good: Path):
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            read_scan(good)

    read_scan(good)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(3):
            time.sleep(0.05)
            if (forked := os.fork()) == 0:
                signal.alarm(20)  # ends it when it waits for an answer that never comes
                os._exit(0 if np.array_equal(read_scan(good).array, VOXELS) else 1)
            assert os.waitpid(forked, 0)[1] == 0
    finally:
        ended.set()
        thread.join()
    assert np.array_equal(read_scan(good).array, VOXELS)


def test_modules_in_the_working_folder_are_not_executed(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    (tmp_path / "numpy.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    reader = Reader()
    reader.read(good, None)
    reader.end()
    assert not (tmp_path / "executed").exists()


def test_a_reader_of_an_isolated_python_is_isolated(tmp_path: Path, good: Path):
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\nfrom pathlib import Path; from InvDetectLib.scans import read_scan\n"
        f"print(read_scan(Path({str(good)!r})).array.sum())"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert ran.stdout == f"{VOXELS.sum(dtype=int)}\n", ran.stderr
    assert not (tmp_path / "executed").exists()


def test_headers_name_only_files_beside_them(tmp_path: Path):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(VOXELS.tobytes())
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("../secret.raw", str(secret), "-", "sub/../../secret.raw"):
        nhdr = folder / "a.nhdr"
        nhdr.write_text(f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 64 64 1\nencoding: raw\ndata file: {name}\n")
        listed = folder / "l.nhdr"
        listed.write_text(f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 64 64 1\nencoding: raw\ndata file: LIST\n{name}\n")
        mhd = folder / "a.mhd"
        mhd.write_text(f"NDims = 3\nDimSize = 64 64 1\nElementType = MET_UCHAR\nElementDataFile = {name}\n")
        for path in (nhdr, listed, mhd):
            assert "only files beside a header are opened" in sentence(path)
    (folder / "own.raw").write_bytes(VOXELS.tobytes())
    mhd.write_text("NDims = 3\nDimSize = 64 64 1\nElementType = MET_UCHAR\nElementDataFile = own.raw\n")
    assert np.array_equal(read_scan(mhd).array, VOXELS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_as_voxels_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a.nhdr").write_text("NRRD0004\ntype: uint8\ndimension: 3\nsizes: 64 64 1\nencoding: raw\ndata file: fifo\n")
    (tmp_path / "a.mhd").write_text("NDims = 3\nDimSize = 64 64 1\nElementType = MET_UCHAR\nElementDataFile = fifo\n")
    for name in ("a.nhdr", "a.mhd"):
        assert "no regular file" in sentence(tmp_path / name)


def test_headers_that_promise_gigabytes_are_refused_before_anything_is_taken(tmp_path: Path):
    for path in (
        nrrd(tmp_path / "raw.nrrd", b"\0" * 4000, sizes="100000 100000 100"),
        nrrd(tmp_path / "gz.nrrd", gzip.compress(b"\0" * 4000), "gzip", "100000 100000 100"),
    ):
        assert "931 GiB of voxels" in sentence(path)


@pytest.mark.parametrize("place", ["CRC", "length", "voxels"])
def test_damaged_gzip_in_nrrd_is_noticed(tmp_path: Path, place: str):
    packed = bytearray(gzip.compress(np.random.default_rng(0).integers(0, 60, VOXELS.shape, np.uint8).tobytes()))
    read_scan(nrrd(tmp_path / "whole.nrrd", bytes(packed), "gzip"))
    packed[{"CRC": -8, "length": -4, "voxels": len(packed) // 2}[place]] ^= 1
    assert "damaged" in sentence(nrrd(tmp_path / "damaged.nrrd", bytes(packed), "gzip"))


def test_numbers_that_no_scan_has_are_refused(tmp_path: Path):
    for line in ("space directions: (1e308,0,0) (0,1,0) (0,0,1)", "space origin: (0,1e30,0)"):
        assert "impossible place" in sentence(nrrd(tmp_path / "far.nrrd", VOXELS.tobytes(), "raw", "64 64 1", "space dimension: 3", line))


def test_a_survey_goes_on_behind_a_file_that_breaks_its_reader(tmp_path: Path):
    write_phantoms(tmp_path, 3, 1, (3, 64, 64), 0)
    bad = crashing(tmp_path)
    found = survey(tmp_path, Preparation(), 8, None, Progress())
    assert len(found.candidates) == 3
    assert [entry.path for entry in found.left_out] == [bad]
    assert "its reader breaks on" in found.left_out[0].reason


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the faults (shared/faults beside the checkout) are not here")
@pytest.mark.parametrize("name", KNOWN)
def test_every_known_fault_is_a_sentence(name: str):
    sentence(FAULTS / name)


@pytest.mark.parametrize("name", ["a\0b.nii", "\ud800.nii", "\0"], ids=["NUL", "half a letter", "NUL alone"])
def test_a_name_that_no_file_can_have_is_one_of_none(name: str, tmp_path: Path):
    assert sentence(tmp_path / name).endswith("does not exist. Check the path.")
