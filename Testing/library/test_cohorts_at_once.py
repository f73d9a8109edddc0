"""Two runs that do the same at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from InvDetectLib.cohort import detect_cohort
from InvDetectLib.detection import Detector
from InvDetectLib.results import Result
from Testing.support.tiny_model import World

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_what_another_run_has_done_in_the_meantime_is_skipped(world: World, tmp_path: Path) -> None:
    class Slower(Detector):
        """While it is at its first scan, another run does all."""

        def detect(self, *scan: Any, **options: Any) -> Result:
            if not (tmp_path / "findings.csv").exists():
                faster = detect_cohort(world.scans, Detector(world.model, "cpu"), tmp_path)
                assert {outcome.status for outcome in faster} == {"done"}
            return super().detect(*scan, **options)

    outcomes = detect_cohort(world.scans, Slower(world.model, "cpu"), tmp_path)
    assert [outcome.status for outcome in outcomes] == ["skipped"] * len(outcomes) and len(outcomes) == 2
