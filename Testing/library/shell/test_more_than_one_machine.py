"""What the README says under "More than one machine, and hospital archives" is run, line by line, with its names put in place."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.support import REPOSITORY
from Testing.support.needs import need

need("distributed")
need("pynetdicom", "highdicom", "dicomweb_client")

from InvDetectLib.cluster.slurm import parse_slurm  # noqa: E402
from Testing.support.dask_processes import Scheduler  # noqa: E402
from Testing.support.dicom_node import send, series, serving, study_of  # noqa: E402
from Testing.support.made_bids import make_dataset  # noqa: E402
from Testing.support.orthanc import Orthanc, free_port, orthanc  # noqa: E402
from Testing.support.tiny_model import World, head, shell, wait_for  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


def told(*parts: str) -> list[str]:
    """The words of the one command of that section which holds all these parts, without its remark."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.split(r"^## ", text.partition("## More than one machine, and hospital archives")[2], flags=re.MULTILINE)[0].split("```")[1]
    (line,) = (line for line in block.strip().splitlines() if all(part in line for part in parts))
    return shlex.split(re.split(r"\s{2,}#", line)[0])


def put(words: list[str], places: dict[str, object]) -> list[str]:
    """The words with what they stand for here; each of `places` is among them."""
    assert places.keys() <= set(words), words
    return [str(places.get(word, word)) for word in words]


@pytest.fixture
def places(world: World, tmp_path: Path) -> dict[str, object]:
    """What most commands name."""
    return {"scans/": world.scans, "brain.invdetect": world.model, "results/": tmp_path / "results"}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc", aet="ARCHIVE", dicomweb=True) as running:
        yield running


def results(folder: Path) -> int:
    return len([*folder.rglob("*.result.json")])


def test_scans_are_detected_by_processes_of_this_computer(places: dict[str, object], tmp_path: Path) -> None:
    program, *words = put(told("--workers 2"), places)
    assert program == "invdetect" and shell(*words).status == 0
    assert results(tmp_path / "results") == 2


def test_scans_are_detected_by_the_workers_of_a_scheduler(places: dict[str, object], tmp_path: Path) -> None:
    with Scheduler(tmp_path) as scheduler:
        scheduler.ensure(1)
        assert shell(*put(told("--scheduler"), {**places, "tcp://host:8786": scheduler.address})[1:]).status == 0
    assert results(tmp_path / "results") == 2


def test_words_for_slurm_are_those_that_it_is_asked_with() -> None:
    """Jobs themselves are tried beside the other workers, with stand-ins for Slurm's commands."""
    words = told("--slurm")
    options, jobs = parse_slurm(words[words.index("--slurm") + 1])
    assert (options["queue"], options["cores"], options["memory"], jobs) == ("gpu", 8, "32GB", 4)


def test_one_training_runs_in_two_processes(world: World, tmp_path: Path) -> None:
    program, *words = put(told("torchrun"), {"normals/": world.normals, "brain.invdetect": tmp_path / "two.invdetect"})
    module = words.index("-m")
    assert program == "torchrun" and words[module + 1] == "InvDetectLib"
    tiny = str(REPOSITORY / "Testing/support/tiny_model.py")  # the same command, which knows a tiny preset
    started = [sys.executable, "-m", "torch.distributed.run", *words[:module], tiny, *words[module + 2 :]]
    more = ["--preset", "tiny", "--device", "cpu", "--no-rehearsal"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([*started, *more], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert shell("info", tmp_path / "two.invdetect").status == 0


def test_a_dicom_series_gets_its_objects(places: dict[str, object], tmp_path: Path) -> None:
    del places["scans/"]
    words = put(told("--dicom "), {**places, "series/": series(tmp_path / "series")})
    assert shell(*words[1:]).status == 0
    assert sorted(path.suffixes[-2] for path in (tmp_path / "results").glob("*.dcm")) == [".map", ".seg", ".sr"]


def test_the_node_sends_back_what_it_found(world: World, archive: Orthanc, tmp_path: Path) -> None:
    port = free_port()
    own = {"ARCHIVE@127.0.0.1:4242": f"ARCHIVE@127.0.0.1:{archive.dicom_port}", "11112": port, "brain-flair": world.model}
    words = put(told("serve", "--send-to"), own)
    with serving(tmp_path / "node", world.model, *words[2:]) as node:
        assert send(port, [series(tmp_path / "scan")]) == [0, 0, 0]
        wait_for(lambda: len(archive.series(study_of(1))) == 3, 120)
        wait_for(lambda: "done" in shell(*told("serve --status")[1:], "--folder", node.folder).out, 20)


def test_a_study_of_a_dicomweb_server_is_examined_and_what_was_found_stored(
    places: dict[str, object], archive: Orthanc, tmp_path: Path
) -> None:
    del places["scans/"]
    archive.upload(series(tmp_path / "scan"))
    words = put(told("--dicomweb"), {**places, "https://host/dicom-web": archive.web, "UID": study_of(1)})
    assert shell(*words[1:]).status == 0
    assert len(archive.series(study_of(1))) == 4


def test_a_bids_dataset_gets_a_derivative(world: World, tmp_path: Path) -> None:
    image = "sub-01/anat/sub-01_FLAIR.nii.gz"
    dataset = make_dataset(tmp_path / "dataset", {image: world.scans / "head-1000.nii.gz"})
    assert shell(*put(told("--bids"), {"dataset/": dataset, "brain.invdetect": world.model})[1:]).status == 0
    assert (dataset / "derivatives/invdetect/sub-01/anat/sub-01_desc-anomaly_FLAIR.nii.gz").exists()


def test_the_maps_of_another_tool_get_a_row(world: World, tmp_path: Path) -> None:
    normals, theirs = tmp_path / "normals2", tmp_path / "theirs"
    normals.mkdir()
    theirs.mkdir()
    head(normals / "normal.nii.gz", 77)
    for scan in (*world.scans.rglob("*.nii.gz"), *normals.iterdir()):
        shutil.copy(scan, theirs / scan.name)  # a tool that takes what is bright for abnormal
    known = {"scans/": world.scans, "masks/": world.masks, "brain.invdetect": world.model, "normals2/": normals, "theirs/": theirs}
    done = shell(*put(told("--against"), known)[1:])
    assert done.status == 0 and re.search(r"^against +0\.\d", done.out, re.MULTILINE)
