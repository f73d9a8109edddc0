"""A detector that is first asked about a scan and then examines it prepares the scan once, and finds what any other finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from InvDetectLib import detection
from InvDetectLib.detection import Detector
from InvDetectLib.remembering import Remembering
from InvDetectLib.scans import Scan, read_scan
from Testing.support.tiny_model import World

pytestmark = pytest.mark.usefixtures("no_stability")


@pytest.fixture(scope="module")
def scans(world: World) -> list[Scan]:
    return [read_scan(path) for path in sorted(world.scans.rglob("*.nii.gz"))]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the scans that were prepared, in order."""
    names: list[str] = []

    def prepare(scan: Scan, *rest: Any) -> Any:
        names.append(scan.name)
        return own(scan, *rest)

    own = detection.prepare
    monkeypatch.setattr(detection, "prepare", prepare)
    return names


def test_a_check_and_the_detection_after_it_share_one_preparation(world: World, scans: list[Scan], prepared: list[str]) -> None:
    detector = Remembering(world.model, "cpu")
    for scan in scans:
        assert detector.check(scan) == ""
        found = detector.detect(scan)
        assert found.anomaly_map.tobytes() == Detector(world.model, "cpu").detect(scan).anomaly_map.tobytes()
    first, second = (scan.name for scan in scans)
    assert prepared == [first, first, second, second]  # the second each time is the other detector's


def test_another_foreground_is_prepared_anew(world: World, scans: list[Scan], prepared: list[str]) -> None:
    detector, half = Remembering(world.model, "cpu"), np.zeros(scans[0].array.shape, bool)
    half[..., : half.shape[2] // 2] = True
    whole, left = detector.detect(scans[0]), detector.detect(scans[0], foreground=half)
    again = detector.detect(scans[0], foreground=half.copy())
    assert len(prepared) == 2 and left.anomaly_map.tobytes() == again.anomaly_map.tobytes() != whole.anomaly_map.tobytes()
