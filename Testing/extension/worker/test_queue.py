"""Several scans of the scene in a queue, as scripts drive it: real MRML, the real worker, a tiny model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.logic import Examined, InvDetectLogic  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from Testing.support.scene_examples import add_volume  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import until  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture(scope="module")
def logic() -> Iterator[InvDetectLogic]:
    logic = InvDetectLogic()
    yield logic
    logic.close()


def kinds(outcomes: list[Examined]) -> list[str]:
    return ["done" if one.error is None else one.error.kind for one in outcomes]


def test_each_scan_gets_a_result_of_its_own_as_if_it_were_alone(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volumes = [add_volume("straight", head * scale, name=name) for name, scale in (("One", 1), ("Two", 2))]
    seen: list[tuple[int, int, str]] = []
    outcomes = logic.detectScans(volumes, world.model, rate=0.05, onScan=lambda number, of, one: seen.append((number, of, one.name)))
    assert seen == [(1, 2, "One"), (2, 2, "Two")] and kinds(outcomes) == ["done", "done"] and not logic.busy
    assert [one.nodes.input for one in outcomes] == volumes and len(list(results_in_scene())) == 2
    alone = logic.detect(volumes[1], world.model, rate=0.05)
    assert np.array_equal(array_of(alone.map), array_of(outcomes[1].nodes.map))
    assert outcomes[0].nodes.map.GetName() == "One anomaly map"


def test_a_fault_of_ours_costs_its_scan_and_the_log_does_not_say_whose(
    logic: InvDetectLogic, world: World, head: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = "/scans/Maier/t1.nii.gz"

    def fails(volume: Any, *_: Any, **__: Any) -> None:
        raise LookupError(f"nothing of {volume.GetName()} in {place}")

    monkeypatch.setattr(logic, "detect", fails)
    outcomes = logic.detectScans([add_volume("straight", head, name="Maier")], world.model)
    assert kinds(outcomes) == ["bug"] and "Maier" in str(outcomes[0].error)  # whoever looks at the panel knows
    assert "LookupError" in caplog.text and "Maier" not in caplog.text


def test_a_scan_that_fails_costs_only_itself_and_says_why(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    arrays = {"Small": head[:, :8, :8], "Good": head, "Gone": head}
    small, good, gone = (add_volume("straight", array, name=name) for name, array in arrays.items())
    told: list[str] = []
    slicer.mrmlScene.RemoveNode(gone)
    outcomes = logic.detectScans([empty, small, gone, good], world.model, onResult=lambda one: told.append(one.name))
    assert kinds(outcomes) == ["error", "error", "error", "done"] and told == ["Empty", "Small", "Gone", "Good"]
    reasons = [str(one.error) for one in outcomes[:3]]
    assert "holds no image data" in reasons[0] and "patches" in reasons[1] and "taken out of the scene" in reasons[2]
    assert len(list(results_in_scene())) == 1


def test_what_invdetect_made_is_refused_like_any_scan_that_fails(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    nodes = logic.detect(add_volume("straight", head, name="One"), world.model)
    (one,) = logic.detectScans([nodes.map], world.model)
    assert "is no scan" in str(one.error)


def test_warnings_name_their_scan(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(500, 300, head.shape).astype(np.float32)
    said: list[str] = []
    logic.detectScans([add_volume("straight", noise, name="Noise")], world.model, onWarning=said.append)
    assert said and all(text.startswith("Noise: ") for text in said)


def test_one_that_waits_and_one_that_runs_are_taken_out_alone(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    long = np.repeat(head, 40, axis=0)
    volumes = [add_volume("straight", array, name=name) for name, array in (("One", long), ("Two", head), ("Three", head))]
    ended: list[list[Examined]] = []
    stages: list[str] = []
    queue = logic.detectScans(volumes, world.model, onFinished=ended.append, onProgress=lambda event: stages.append(event.stage))
    queue.skip(volumes[1])
    until(lambda: "scoring slices" in stages, logic)
    assert queue.current.volume is volumes[0]
    queue.skip(volumes[0])
    start = time.monotonic()
    until(lambda: queue.current is not None and queue.current.volume is volumes[2], logic)
    assert time.monotonic() - start < 5
    until(lambda: ended, logic)
    assert kinds(ended[0]) == ["cancelled", "cancelled", "done"] and len(list(results_in_scene())) == 1


def test_cancel_keeps_what_is_done_and_leaves_nothing_of_the_rest(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    long = np.repeat(head, 40, axis=0)
    volumes = [add_volume("straight", array, name=name) for name, array in (("One", head), ("Two", long), ("Three", head))]
    ended: list[list[Examined]] = []
    queue = logic.detectScans(volumes, world.model, onFinished=ended.append)
    until(lambda: queue.current is not None and queue.current.volume is volumes[1], logic)
    queue.cancel()
    until(lambda: ended, logic)
    assert kinds(queue.outcomes) == ["done", "cancelled", "cancelled"] and not queue.running
    maps = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "anomaly map" in node.GetName()]
    assert maps == [queue.outcomes[0].nodes.map]


def test_closing_the_logic_ends_the_queue_once(world: World, head: np.ndarray) -> None:
    logic = InvDetectLogic()
    volumes = [add_volume("straight", np.repeat(head, 40, axis=0), name=name) for name in ("One", "Two")]
    ended: list[list[Examined]] = []
    queue = logic.detectScans(volumes, world.model, onFinished=ended.append)
    until(lambda: queue.current is not None, logic)
    logic.close()
    assert len(ended) == 1 and kinds(ended[0]) == ["cancelled", "cancelled"] and not logic.busy and not list(results_in_scene())


def test_no_scan_at_all_is_told(logic: InvDetectLogic, world: World) -> None:
    with pytest.raises(InvDetectError, match="no scan"):
        logic.detectScans([], world.model)
    with pytest.raises(InvDetectError, match="no scan"):
        logic.detectScans([None], world.model)
