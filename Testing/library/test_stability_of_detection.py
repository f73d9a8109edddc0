"""The stability of findings, measured with tiny models."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common.errors import Cancelled
from InvDetectLib.common.progress import Event, Progress
from InvDetectLib.detection import Detector
from InvDetectLib.results import stability_of
from InvDetectLib.scans import Scan, read_scan, small_changes
from InvDetectLib.training import train
from Testing.support.tiny_model import WHOLE, World, shell


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


@pytest.fixture(scope="module")
def scan(world: World) -> Scan:
    """A head with a lesion."""
    return read_scan(world.scans / "head-1000.nii.gz")


def test_a_quick_scan_tells_which_findings_stay_under_small_changes_and_the_rest_is_as_without(detector: Detector, scan: Scan) -> None:
    plain, stable = detector.detect(scan, stability=False), detector.detect(scan)
    assert all(finding.stability is None for finding in plain.findings) and "stability" not in plain.provenance
    assert all(finding.stability in {count / 5 for count in range(6)} for finding in stable.findings) and stable.findings
    assert [dataclasses.replace(finding, stability=None) for finding in stable.findings] == plain.findings
    assert np.array_equal(stable.anomaly_map, plain.anomaly_map) and np.array_equal(stable.mask, plain.mask)
    facts = stable.provenance["stability"]
    assert facts["changes"] == ["intensity x 1.05", "intensity x 0.95", "half a voxel along rows", "half a voxel along columns", "noise"]
    assert facts["seconds"] > 0 and stable.provenance["warnings"] == plain.provenance["warnings"]
    assert detector.detect(scan).findings == stable.findings  # always the same


def test_a_slow_scan_has_its_stability_measured_only_where_it_is_asked_for(detector: Detector, scan: Scan, no_stability: None) -> None:
    assert detector.detect(scan).stability is None and detector.detect(scan, stability=True).stability


@pytest.mark.parametrize("wish", [{"rate": 0.05}, {"rate": 0.05, "foreground": "box"}, {"rate": 0.05, "adapt": "scan"}])
def test_the_stability_is_what_detecting_in_each_changed_scan_gives(wish: dict, detector: Detector, scan: Scan) -> None:
    box = np.zeros(scan.geometry.shape, bool)
    box[:, 8:-8, 8:-8] = True
    wish = {**wish, "stability": False, **({"foreground": box} if "foreground" in wish else {})}
    plain, masks = detector.detect(scan, **wish), []
    for change in small_changes(plain.foreground, plain.slice_axis):
        given = {**wish, "foreground": change.there(box)} if "foreground" in wish else wish
        masks.append(change.back(detector.detect(change.of(scan), **given).mask))
    expected = stability_of(plain.mask, plain.findings, masks)
    assert detector.detect(scan, **{**wish, "stability": True}).stability == expected
    assert len(set(expected.values())) > 1  # or it would tell nothing


def test_small_changes_can_be_stopped_and_say_how_far_they_are(detector: Detector, scan: Scan) -> None:
    told: list[tuple[int, int]] = []

    def hear(event: Event) -> None:
        if event.stage == "trying small changes":
            told.append((event.done, event.total))
            if event.done == 3:
                progress.cancel()

    progress = Progress(hear)
    with pytest.raises(Cancelled):
        detector.detect(scan, progress=progress)
    assert told == [(0, 5), (1, 5), (2, 5), (3, 5)]


def test_where_the_network_is_asked_for_the_noise_it_sees_other_levels_are_tried_and_put_back(world: World, scan: Scan) -> None:
    detector = Detector(train(world.normals, settings=WHOLE, device="cpu"), "cpu")
    found = detector.detect(scan)
    assert found.provenance["stability"]["changes"][-2:] == ["level 0.6", "level 0.8"]
    assert np.array_equal(detector.detect(scan, stability=False).anomaly_map, found.anomaly_map)


def test_the_shell_measures_it_of_one_quick_scan_and_of_many_where_it_is_asked_for(world: World, tmp_path: Path, no_pictures: None) -> None:
    scan = world.scans / "head-1000.nii.gz"

    def cells(out: Path, *words: str | Path) -> set[bool]:
        run = shell("detect", *words, "-m", world.model, "-o", out)
        assert run.status == 0, run.err
        return {row["stability"] != "" for row in csv.DictReader((out / "findings.csv").open(encoding="utf-8"))}

    assert cells(tmp_path / "one", scan) == {True}
    assert cells(tmp_path / "none", scan, "--no-stability") == {False}
    assert cells(tmp_path / "many", world.scans) == {False}
    assert cells(tmp_path / "asked", world.scans, "--stability") == {True}
    assert cells(tmp_path / "one", scan, "--no-stability") == {True}  # skipped: what is there already is the same and more
    assert cells(tmp_path / "none", scan, "--stability") == {True}  # made anew: the same and more
