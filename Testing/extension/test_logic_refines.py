"""Results refined from scripts and by the panel's sliders: what the library gives, also after a reload and without a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.logic import InvDetectLogic  # noqa: E402
from InvDetectSlicerLib.review.review import Reviewing  # noqa: E402
from InvDetectSlicerLib.scene.nodes import nodes_of, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import mask_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from Testing.support.logic_examples import add_head, assert_shows, library_s  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import until  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


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
    until(lambda: np.array_equal(mask_of(nodes.segmentation, nodes.input)[1], expected[1]), logic)
    assert logic.prepareRefining(nodes)


def test_the_newest_wish_wins_and_older_ones_keep_quiet(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    nodes = logic.detect(add_head(head), world.model)
    heard: list[str] = []

    def wish(rate: float) -> Any:
        return logic.refine(nodes, rate=rate, onFinished=lambda said: heard.append(str(rate)), onFailed=lambda e: heard.append(str(e)))

    wishes = [wish(rate) for rate in (0.01, 0.02, 0.05, 0.1)]
    until(lambda: not any(wish.running for wish in wishes), logic)
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
    until(lambda: not gone_soon.running, logic)
    assert gone_soon.error.kind == "scene"
    slicer.mrmlScene.RemoveNode(nodes.stored)
    for call in (logic.prepareRefining, logic.refine):
        with pytest.raises(InvDetectError, match="Detect again"):
            call(nodes_of(nodes.table))
