"""Detection that is stopped, cannot start or loses its worker, scan or scene: it is told, nothing is left, and the next run works."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.logic import InvDetectLogic, ResultNodes, RunFailed  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from Testing.support.logic_examples import add_head, assert_shows, library_s  # noqa: E402
from Testing.support.scene_examples import everything  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import gone, launcher, until  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


def tall(head: np.ndarray) -> np.ndarray:
    """A scan that takes long enough to be stopped."""
    return np.repeat(head, 40, axis=0)


def begin(logic: InvDetectLogic, volume: Any, model: Path) -> tuple[Any, list[RunFailed]]:
    """A long run of which the first slice has been shown."""
    failures: list[RunFailed] = []
    seen: list[int] = []
    run = logic.detect(
        volume,
        model,
        interactive=True,
        onSlice=lambda number, *_: seen.append(number),
        onFinished=lambda nodes: pytest.fail("it has a result"),
        onFailed=failures.append,
    )
    until(lambda: seen or failures, logic)
    assert run.running and not failures
    return run, failures


def test_cancelling_leaves_nothing_behind_within_a_second(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(tall(head))
    before, view = everything(), host.slice_logics["Red"].GetSliceCompositeNode()
    run, failures = begin(logic, volume, world.model)
    run.cancel()
    started = time.monotonic()
    until(lambda: failures, logic)
    assert time.monotonic() - started < 2 and failures[0].kind == "cancelled" and not run.running
    assert {node for node in everything() - before if "ColorTable" not in node} == set() and view.GetForegroundVolumeID() is None


def test_a_killed_worker_is_told_and_the_next_run_gets_another(world: World, head: np.ndarray) -> None:
    volume = add_head(tall(head))
    before, logic = everything(), InvDetectLogic()
    try:
        _, failures = begin(logic, volume, world.model)
        pid = logic.client._link.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
        until(lambda: failures, logic)
        assert failures[0].kind == "gone" and "Try again" in str(failures[0]) and failures[0].log
        assert "Exit code: -9" in logic.report() and "Jane" not in logic.report()
        assert {node for node in everything() - before if "ColorTable" not in node} == set()
        small = add_head(head)
        assert logic.detect(small, world.model).map is not None
        pid = logic.client._link.pid  # type: ignore[union-attr]
    finally:
        logic.close()
    assert gone(pid)


def test_a_scan_that_is_deleted_during_the_run_ends_it(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    before = everything()
    volume = add_head(tall(head))
    transform = volume.GetParentTransformNode().GetID()
    run, failures = begin(logic, volume, world.model)
    display = volume.GetDisplayNodeID()
    slicer.mrmlScene.RemoveNode(volume)
    logic.poll()
    assert failures[0].kind == "scene" and '"Jane Doe" or its anomaly map was taken out of the scene' in str(failures[0])
    assert {node for node in everything() - before if "ColorTable" not in node} <= {transform, display}
    started = time.monotonic()
    until(lambda: not logic.client.busy, logic)
    assert time.monotonic() - started < 2, "the worker goes on"


def test_a_scene_that_is_closed_during_the_run_ends_it(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    run, failures = begin(logic, add_head(tall(head)), world.model)
    host.clear()
    before = everything()
    while logic.client._link.messages.empty():  # type: ignore[union-attr]  # the next slice comes into a scene that is gone
        time.sleep(0.002)
    logic.poll()
    assert failures[0].kind == "scene" and everything() == before
    volume = add_head(head)
    assert logic.detect(volume, world.model).input is volume


def test_a_scene_that_is_closed_while_the_result_comes_ends_it(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    run = logic.detect(add_head(head), world.model, onFinished=lambda nodes: pytest.fail("it has a result"))
    while not run.facts:
        logic.client.poll()
    assert run.running
    host.clear()
    before = everything()
    until(lambda: not run.running, logic)
    assert run.error.kind == "scene" and everything() == before


def test_what_cannot_start_is_said_at_once(logic: InvDetectLogic, world: World, head: np.ndarray, tmp_path: Path) -> None:
    volume = add_head(head)
    before = everything()
    (tmp_path / "no.invdetect").write_bytes(b"nonsense")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    before = everything()
    for scan, model, text in (
        (None, world.model, "There is no scan"),
        (empty, world.model, "holds no image data"),
        (volume, tmp_path / "no.invdetect", "no.invdetect"),
        (volume, tmp_path / "missing.invdetect", "missing.invdetect"),
    ):
        for finished in (None, lambda nodes: None):
            with pytest.raises(InvDetectError, match=text):
                logic.detect(scan, model, onFinished=finished)
    with pytest.raises(RunFailed, match="patches"):
        logic.detect(add_head(head[:, :12, :12]), world.model)
    with pytest.raises(InvDetectError, match="is the scan itself"):
        logic.detect(volume, world.model, nodes=ResultNodes(map=volume))
    assert len({node for node in everything() - before if "ColorTable" not in node}) == 3  # the small head, its display, its transform


def test_a_python_that_cannot_compute_is_told(world: World, head: np.ndarray) -> None:
    logic = InvDetectLogic(executable="/nonexistent/python")
    with pytest.raises(RunFailed, match="cannot be started"):
        logic.detect(add_head(head), world.model)
    assert slicer.mrmlScene.GetFirstNodeByName("Jane Doe anomaly map") is None
    logic.close()


def test_a_launcher_in_a_folder_of_odd_name_that_keeps_input_to_itself_works(
    world: World, detector: Detector, head: np.ndarray, tmp_path: Path
) -> None:
    volume = add_head(head)
    logic = InvDetectLogic(executable=launcher(tmp_path / "mit Leerzeichen 工" / "PythonSlicer", reads_input=False))
    try:
        assert_shows(logic.detect(volume, world.model), library_s(detector, volume))
    finally:
        logic.close()


def test_names_of_scans_reach_neither_log_nor_attributes(world: World, head: np.ndarray) -> None:
    logic = InvDetectLogic()
    try:
        nodes = logic.detect(add_head(head, "Zaphod"), world.model)
        with pytest.raises(RunFailed):
            logic.detect(add_head(head * 0, "Zaphod"), world.model)
        told = "".join(path.read_text(errors="replace") for path in logic.client.folder.glob("*.log"))
        for node in nodes.made():
            told += "".join(node.GetAttribute(name) or "" for name in node.GetAttributeNames())
        assert "Zaphod" not in told
    finally:
        logic.close()


def test_closing_while_something_runs_leaves_nothing(world: World, head: np.ndarray) -> None:
    volume = add_head(tall(head))
    before, logic = everything(), InvDetectLogic()
    run, failures = begin(logic, volume, world.model)
    pid, folder = logic.client._link.pid, logic.client.folder  # type: ignore[union-attr]
    logic.close()
    assert failures[0].kind == "cancelled" and gone(pid) and not folder.exists()
    assert "cpu" in logic.devices(), "the next worker was not left alone"
    logic.close()
    assert {node for node in everything() - before if "ColorTable" not in node} == set()
