"""Who carries out a cohort, and what is written beside its results, can be left to others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from InvDetectLib.cohort import Asked, Outcome, detect_cohort, examine
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.results.result import Result
from InvDetectLib.scans import Found, Scan
from Testing.support.tiny_model import World

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


def a_report(result: Result, scan: Scan, path: Path) -> Mapping[str, bytes]:
    return {"dicom_report": f"{len(result.findings)} findings in {scan.geometry.shape}".encode()}


def no_report(result: Result, scan: Scan, path: Path) -> Mapping[str, bytes]:
    raise ValueError("no report today")


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_an_engine_examines_the_scans_and_outcomes_come_in_their_order(world: World, detector: Detector, tmp_path: Path) -> None:
    def backwards(found: Sequence[Found], asked: Asked, progress: Progress) -> Iterator[Outcome]:
        asked = pickle.loads(pickle.dumps(asked))  # as it would travel to another machine
        for entry in reversed(found):
            yield examine(entry, asked, detector, progress)

    elsewhere = detect_cohort(world.scans, detector, tmp_path / "elsewhere", engine=backwards)
    here = detect_cohort(world.scans, detector, tmp_path / "here")
    assert [outcome.found.relative for outcome in elsewhere] == [outcome.found.relative for outcome in here]
    assert statuses(elsewhere) == ["done", "done"] and [one.findings for one in elsewhere] == [one.findings for one in here]
    assert (tmp_path / "elsewhere/findings.csv").read_bytes() == (tmp_path / "here/findings.csv").read_bytes()


def test_further_files_are_published_with_their_result_and_looked_for_by_the_next_run(
    world: World, detector: Detector, tmp_path: Path
) -> None:
    scan = world.scans / "head-1000.nii.gz"
    assert statuses(detect_cohort(scan, detector, tmp_path)) == ["done"]
    for expected in (["done"], ["skipped"]):
        assert statuses(detect_cohort(scan, detector, tmp_path, more=a_report)) == expected
    assert (tmp_path / "head-1000.sr.dcm").read_bytes().endswith(b"findings in (3, 64, 64)")
    (tmp_path / "head-1000.sr.dcm").write_bytes(b"cut")
    assert statuses(detect_cohort(scan, detector, tmp_path, more=a_report)) == ["done"]
    assert statuses(detect_cohort(scan, detector, tmp_path)) == ["skipped"]


def test_a_result_whose_further_files_fail_is_not_written(world: World, detector: Detector, tmp_path: Path) -> None:
    (outcome,) = detect_cohort(world.scans / "head-1000.nii.gz", detector, tmp_path, more=no_report)
    assert outcome.status == "failed" and "no report today" in outcome.reason
    assert [path.name for path in tmp_path.iterdir()] == ["findings.csv"]
