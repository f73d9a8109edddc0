"""What the worker keeps between commands: nothing is done twice for a scan that it knows, or taken from another's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import InvDetectLib as invdetect
from InvDetectLib.detection import Detector
from InvDetectLib.methods.invdetect import method
from InvDetectLib.models.method_settings import View, Views
from InvDetectLib.scans.phantoms import write_phantoms
from InvDetectLib.worker import commands
from InvDetectLib.worker.jobs import Job, Outlet
from Testing.support.tiny_model import SIZE, WHOLE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that compares left with right, and so has to find the midplane of a scan."""
    folder = tmp_path_factory.mktemp("model")
    write_phantoms(folder / "normals", 6, size=SIZE)
    views = Views(sum=(View("intensity", sigma=2.0), View("intensity", mirror=True, sigma=2.0)), mirror="yes")
    training = dataclasses.replace(WHOLE.invdetect.training, steps=1)
    settings = dataclasses.replace(WHOLE, invdetect=dataclasses.replace(WHOLE.invdetect, views=views, training=training))
    invdetect.train(folder / "normals", settings=settings, device="cpu", rehearse=False).save(folder / "model.invdetect")
    return folder / "model.invdetect"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_phantoms(tmp_path_factory.mktemp("scans") / "heads", 2, 1000, SIZE, 1)


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    yield Outlet(nowhere)
    os.close(nowhere)


def test_the_midplane_of_a_scan_is_looked_for_once(
    model: Path, scans: list[Path], outlet: Outlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    find = method.find_midlines

    def watched(values: np.ndarray, foreground: np.ndarray, volume: bool) -> Any:
        looked.append(volume)
        return find(values, foreground, volume)

    monkeypatch.setattr(method, "find_midlines", watched)
    wanted = Detector(model, "cpu").detect(scans[1]).anomaly_map
    looked.clear()
    for number, scan in enumerate(scans):
        asked = {"model": str(model), "device": "cpu", "scan": str(scan), "stability": False}
        commands.check(Job(2 * number, {**asked, "command": "check"}, tmp_path, outlet))
        found = commands.detect(Job(2 * number + 1, {**asked, "command": "detect"}, tmp_path, outlet))
        assert looked.count(True) == number + 1
    assert np.array_equal(np.load(tmp_path / found["map"]), wanted)


def test_small_changes_do_not_take_the_place_of_the_scan_that_is_remembered(
    model: Path, scans: list[Path], outlet: Outlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"model": str(model), "device": "cpu", "scan": str(scans[0])}
    commands.detect(Job(20, {**asked, "command": "detect", "stability": True}, tmp_path, outlet))
    monkeypatch.setattr(method, "find_midlines", lambda *_: pytest.fail("it was forgotten"))
    assert isinstance(commands.check(Job(21, {**asked, "command": "check"}, tmp_path, outlet))["warning"], str)
