"""Detection as scripts and the panel drive it: real MRML, the real worker process, a tiny model, the very results of the library."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.logic import InvDetectLogic, ResultNodes, RunFailed  # noqa: E402
from InvDetectSlicerLib.review.review import Reviewing  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import nodes_of, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of, mask_of, write_exchange  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.results.result import Result  # noqa: E402
from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.scene_examples import DIRECTIONS, add_volume, everything, fingerprint, matrix  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import PATIENCE, gone, launcher  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture(scope="module")
def shared_logic() -> Iterator[InvDetectLogic]:
    """One worker for all tests that do not harm it."""
    logic = InvDetectLogic()
    yield logic
    logic.close()


@pytest.fixture
def logic(shared_logic: InvDetectLogic) -> Iterator[InvDetectLogic]:
    yield shared_logic
    poll_until(shared_logic, lambda: not shared_logic.client.busy)
    poll_until(shared_logic, lambda: not left_behind(shared_logic))  # a result that nobody wants any more may still be read to its end


def left_behind(logic: InvDetectLogic) -> list[str]:
    """Files of runs that are over; a region of interest stays for the next one."""
    names = [path.name for path in logic.client.folder.iterdir() if path.suffix in (".npy", ".npz", ".json")]
    return [name for name in names if not name.startswith("region")]


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model)


@pytest.fixture(scope="module")
def head(world: World) -> np.ndarray:
    """(slice, row, column) of a head with a lesion."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(world.scans / "head-1000.nii.gz")))


def add_head(array: np.ndarray, name: str = "Jane Doe") -> Any:
    """Oblique, flipped, anisotropic, under a parent transform."""
    volume = add_volume("oblique", array, moved=True, name=name)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix(DIRECTIONS["oblique"] @ np.diag([-1.0, 1.0, -1.0]))))
    return volume


def tall(head: np.ndarray) -> np.ndarray:
    """A scan that takes long enough to be stopped."""
    return np.repeat(head, 40, axis=0)


def poll_until(logic: InvDetectLogic, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        logic.poll()
        time.sleep(0.005)
    return found


def library_s(detector: Detector, volume: Any, **options: Any) -> Result:
    """What the library itself finds in the very scan, as a file: its spacing may differ in the sixteenth digit from the scene's."""
    with tempfile.TemporaryDirectory() as folder:
        return detector.detect(write_exchange(volume, Path(folder)), **options)


def assert_shows(nodes: ResultNodes, result: Result) -> None:
    assert np.array_equal(array_of(nodes.map), result.anomaly_map)
    assert np.array_equal(mask_of(nodes.segmentation, nodes.input) if result.mask.any() else result.mask, result.mask)
    assert np.array_equal(array_of(nodes.labels) > 0, result.mask)
    assert findings_of(nodes.table) == result.findings


# A whole run


def test_a_result_is_the_library_s_voxel_by_voxel(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    volume = add_head(head)
    before = fingerprint(volume)
    nodes = logic.detect(volume, world.model)
    expected = library_s(detector, volume)
    assert expected.findings and nodes.input is volume
    assert_shows(nodes, expected)
    assert fingerprint(volume) == before


def test_the_operating_point_a_range_and_a_region_reach_the_library(
    logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray
) -> None:
    volume = add_head(head)
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "region")
    region.CreateDefaultDisplayNodes()
    region.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    region.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    inside = np.zeros(head.shape, np.uint8)
    inside[:, 10:50, 20:60] = 1
    region.GetSegmentation().AddEmptySegment("look here")
    slicer.util.updateSegmentBinaryLabelmapFromArray(inside, region, "look here", volume)
    nodes = logic.detect(volume, world.model, slices=(1, 3), foregroundNode=region, rate=0.02, contiguity=2.0, scr=False)
    expected = library_s(detector, volume, slices=(1, 3), foreground=inside > 0, rate=0.02, contiguity=2.0, scr=False)
    assert expected.mask.any() and not expected.mask[~(inside > 0)].any()
    assert_shows(nodes, expected)


def test_with_callbacks_slices_appear_before_the_end(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    volume = add_head(head)
    expected = library_s(detector, volume)
    slices: list[tuple[int, int]] = []
    ended: list[ResultNodes] = []
    stages: set[str] = set()

    def look(number: int, of: int, axis: int, index: int) -> None:
        assert not ended
        shown = slicer.mrmlScene.GetFirstNodeByName("Jane Doe anomaly map")
        np.testing.assert_allclose(np.take(array_of(shown), index, axis), np.take(expected.anomaly_map, index, axis), atol=1e-6)
        slices.append((number, of))

    run = logic.detect(
        volume, world.model, onSlice=look, onProgress=lambda event: stages.add(event.stage), onFinished=ended.append, interactive=True
    )
    assert run.running and not ended
    poll_until(logic, lambda: not run.running)
    assert slices == [(1, 3), (2, 3), (3, 3)] and stages
    assert_shows(ended[0], expected)
    assert run.facts["findings"] == len(expected.findings) and run.facts["device"]


def test_chosen_outputs_are_overwritten_and_others_made_anew(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    first = logic.detect(volume, world.model)
    second = logic.detect(volume, world.model, contiguity=0.0)
    assert second.map is not first.map and second.table is not first.table
    count = len(everything())
    third = logic.detect(volume, world.model, nodes=second)
    assert (third.map, third.segmentation, third.table) == (second.map, second.segmentation, second.table)
    assert len(everything()) == count and len(list(results_in_scene())) == 2


def test_an_output_that_is_deleted_meanwhile_is_made_anew(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    first = logic.detect(volume, world.model)
    run = logic.detect(volume, world.model, nodes=ResultNodes(table=first.table), onFinished=lambda nodes: None)
    slicer.mrmlScene.RemoveNode(first.table)
    poll_until(logic, lambda: not run.running)
    assert run.error is None and run.outcome.table.GetScene() is slicer.mrmlScene


def test_slice_views_are_left_alone_unless_it_is_interactive(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(head)
    view = host.slice_logics["Red"].GetSliceCompositeNode()
    logic.detect(volume, world.model)
    assert view.GetForegroundVolumeID() is None
    nodes = logic.detect(volume, world.model, interactive=True)
    assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (volume.GetID(), nodes.map.GetID())


# Questions before a run


def test_check_estimate_and_devices_answer_in_both_forms(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    answers: list[Any] = []
    run = logic.check(volume, world.model, modality="CT", onFinished=answers.append)
    poll_until(logic, lambda: not run.running)
    assert answers == [logic.check(volume, world.model, modality="CT")] and "said to be CT" in answers[0]
    cost = logic.estimate(volume, world.model, "cpu", (0, 2))
    assert cost["slices"] == 2 and cost["seconds"] > 0 and cost["memory_bytes"] > 0
    assert "cpu" in logic.devices()


def test_a_scan_is_written_once_for_check_estimate_and_run(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    logic.check(volume, world.model)
    files = {path.name: path.stat().st_mtime_ns for path in logic.client.folder.glob("scan-*")}
    logic.estimate(volume, world.model)
    assert {path.name: path.stat().st_mtime_ns for path in logic.client.folder.glob("scan-*")} == files and len(files) == 1
    array_of(volume)[:] = 0
    volume.GetImageData().Modified()
    with pytest.raises(RunFailed):
        logic.detect(volume, world.model)
    assert not files.keys() & {path.name for path in logic.client.folder.glob("scan-*")}


def test_the_grid_tells_which_slice_of_the_model_a_view_shows(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(head)
    grid = logic.grid(volume, world.model)
    assert (grid.slice_axis, grid.shape[0]) == (0, 3)
    place = np.array(volume.GetImageData().GetCenter())
    node = host.slice_logics["Red"].GetSliceNode()
    for index in range(3):
        to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
        volume.GetIJKToRASMatrix(to_ras)
        local = to_ras.MultiplyPoint((place[0], place[1], index, 1.0))[:3]
        centre = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(local, centre)
        node.JumpSliceByCentering(*centre)
        assert logic.shownIndex(volume, 0, node) == index
    node.JumpSliceByCentering(5000, 5000, 5000)
    assert logic.shownIndex(volume, 0, node) is None


# Stopped, or nothing to be had


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
    poll_until(logic, lambda: seen or failures)
    assert run.running and not failures
    return run, failures


def test_cancelling_leaves_nothing_behind_within_a_second(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(tall(head))
    before, view = everything(), host.slice_logics["Red"].GetSliceCompositeNode()
    run, failures = begin(logic, volume, world.model)
    run.cancel()
    started = time.monotonic()
    poll_until(logic, lambda: failures)
    assert time.monotonic() - started < 2 and failures[0].kind == "cancelled" and not run.running
    assert {node for node in everything() - before if "ColorTable" not in node} == set() and view.GetForegroundVolumeID() is None


def test_a_killed_worker_is_told_and_the_next_run_gets_another(world: World, head: np.ndarray) -> None:
    volume = add_head(tall(head))
    before, logic = everything(), InvDetectLogic()
    try:
        _, failures = begin(logic, volume, world.model)
        pid = logic.client._link.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
        poll_until(logic, lambda: failures)
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
    poll_until(logic, lambda: not logic.client.busy)
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
    poll_until(logic, lambda: not run.running)
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


# Refining


def test_refining_gives_what_the_library_gives(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    volume = add_head(head)
    nodes = logic.detect(volume, world.model)
    result = library_s(detector, volume)
    for wishes in ({"rate": 0.05}, {"contiguity": 0.0}, {"threshold": 0.4, "scr": False}):
        logic.refine(nodes, **wishes)
        result = result.refine(**wishes)
        assert result.mask.any()
        assert_shows(nodes, result)


def test_after_save_and_reload_refining_goes_on_without_a_worker(
    logic: InvDetectLogic, world: World, detector: Detector, host: Host, head: np.ndarray, tmp_path: Path
) -> None:
    volume = add_head(head)
    nodes = logic.detect(volume, world.model)
    logic.refine(nodes, contiguity=2.0, rate=0.02)
    Reviewing(nodes).set_state(1, "accepted")
    expected = library_s(detector, volume).refine(contiguity=2.0, rate=0.02)
    host.load(host.save(tmp_path / "scene.mrb"))
    (nodes,) = results_in_scene()
    assert_shows(nodes, expected)
    fresh = InvDetectLogic(executable="/nonexistent/python")
    fresh.refine(nodes, contiguity=0.5)  # the rate goes on to hold
    assert_shows(nodes, expected.refine(contiguity=0.5))
    assert Reviewing(nodes).reviews()[1].state == "accepted"


def test_a_slice_follows_the_slider_at_once_and_after_a_reload_when_it_is_loaded(
    logic: InvDetectLogic, world: World, detector: Detector, host: Host, head: np.ndarray, tmp_path: Path
) -> None:
    nodes = logic.detect(add_head(head), world.model)
    result = library_s(detector, nodes.input)
    assert logic.refineSlice(nodes, 0, 1, rate=0.1, contiguity=0.0)
    shown, expected = mask_of(nodes.segmentation, nodes.input), result.refine(rate=0.1, contiguity=0.0).mask
    assert np.array_equal(shown[1], expected[1]) and np.array_equal(shown[[0, 2]], result.mask[[0, 2]])
    assert (expected[1] != result.mask[1]).any()
    assert not logic.refineSlice(nodes, 1, 30, rate=0.1) and not logic.refineSlice(nodes, 0, 99, rate=0.1)
    logic.refine(nodes)
    host.load(host.save(tmp_path / "scene.mrb"))
    (nodes,) = results_in_scene()
    assert not logic.refineSlice(nodes, 0, 1, rate=0.1, contiguity=0.0)
    poll_until(logic, lambda: np.array_equal(mask_of(nodes.segmentation, nodes.input)[1], expected[1]))
    assert logic.prepareRefining(nodes)


def test_the_newest_wish_wins_and_older_ones_keep_quiet(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    nodes = logic.detect(add_head(head), world.model)
    heard: list[str] = []

    def wish(rate: float) -> Any:
        return logic.refine(nodes, rate=rate, onFinished=lambda said: heard.append(str(rate)), onFailed=lambda e: heard.append(str(e)))

    wishes = [wish(rate) for rate in (0.01, 0.02, 0.05, 0.1)]
    poll_until(logic, lambda: not any(wish.running for wish in wishes))
    assert heard == ["0.1"] and [wish.error is None for wish in wishes] == [False, False, False, True]
    assert_shows(nodes, library_s(detector, nodes.input).refine(rate=0.1))


def test_a_result_that_cannot_be_refined_says_why(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    nodes = logic.detect(add_head(head), world.model)
    with pytest.raises(InvDetectError, match="calibrated for"):
        logic.refine(nodes, rate=0.9)
    with pytest.raises(InvDetectError, match="calibrated for"):
        logic.refineSlice(nodes, 0, 1, rate=0.9)
    gone_soon = logic.refine(nodes, rate=0.1, onFinished=lambda said: pytest.fail("refined"))
    slicer.mrmlScene.RemoveNode(nodes.segmentation)
    poll_until(logic, lambda: not gone_soon.running)
    assert gone_soon.error.kind == "scene"
    slicer.mrmlScene.RemoveNode(nodes.stored)
    for call in (logic.prepareRefining, logic.refine):
        with pytest.raises(InvDetectError, match="Detect again"):
            call(nodes_of(nodes.table))


# A folder


def test_a_folder_is_scored_as_the_library_does_and_done_ones_are_skipped(
    logic: InvDetectLogic, world: World, detector: Detector, tmp_path: Path, no_pictures: None
) -> None:
    out, counted = tmp_path / "out", []
    (tmp_path / "scans").mkdir()
    for path in world.scans.rglob("*.nii.gz"):
        (tmp_path / "scans" / path.name).symlink_to(path)
    (tmp_path / "scans" / "broken.nii.gz").write_text("nonsense")
    told: list[str] = []

    def note(event: Any) -> None:
        if event.stage == "scans":
            counted.append((event.done, event.total))

    facts = logic.detectFolder(tmp_path / "scans", world.model, out, onProgress=note, onWarning=told.append, rate=0.02)
    states = {row["scan"]: row["status"] for row in facts["scans"]}
    assert states == {"broken.nii.gz": "failed", "head-1000.nii.gz": "done", "head-1001.nii.gz": "done"}
    assert counted[0] == (0, 3) and counted[-1] == (3, 3) and Path(facts["table"]) == out / "findings.csv"
    assert (out / "findings.csv").exists()
    assert any("broken" in text for text in told)
    expected = detector.detect(world.scans / "head-1000.nii.gz", rate=0.02, stability=False)
    assert Result.load(out / "head-1000.result.json").findings == expected.findings
    again: list[Any] = []
    run = logic.detectFolder(tmp_path / "scans", world.model, out, onFinished=again.append, rate=0.02)
    poll_until(logic, lambda: not run.running)
    assert [row["status"] for row in again[0]["scans"]].count("skipped") == 2
    log = "".join(path.read_text(errors="replace") for path in logic.client.folder.glob("*.log"))
    assert "broken" not in log and "head-1000" not in log


# The house


def test_importing_the_logic_loads_neither_torch_nor_sklearn_nor_qt() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'InvDetect')!r}]; import InvDetectSlicerLib.logic;"
        "bad = [n for n in ('torch', 'sklearn', 'safetensors', 'qt', 'PySide6', 'matplotlib') if n in sys.modules]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_main_thread_is_never_held_up_for_long(world: World, head: np.ndarray) -> None:
    """Between the scan handed over and the last slice; and a slice of 256 x 256 follows a slider within a tenth of a second."""
    big = np.repeat(np.kron(head, np.ones((1, 4, 4), head.dtype)), 4, axis=0)
    logic = InvDetectLogic()
    try:
        volume = add_head(big)
        logic.load(world.model)
        run = logic.detect(volume, world.model, onFinished=lambda nodes: None)
        worst = 0.0
        while not run.facts:
            started = time.perf_counter()
            logic.poll()
            worst = max(worst, time.perf_counter() - started)
            time.sleep(0.005)
        poll_until(logic, lambda: not run.running)
        assert worst < 0.15, f"{worst:.3f} s"  # 0.05 where nothing else runs
        logic.refineSlice(run.outcome, 0, 5, rate=0.05)
        started = time.perf_counter()
        assert logic.refineSlice(run.outcome, 0, 5, rate=0.1, contiguity=2.0)
        assert time.perf_counter() - started < 0.3  # 0.1 where nothing else runs
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


