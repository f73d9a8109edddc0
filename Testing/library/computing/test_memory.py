"""Too little memory, in detection and training: smaller portions, then the CPU, each said; and a sentence when nothing helps.

The network is made to fail as a device does that has no memory left. What is no such failure stays what it is.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.common.errors import OutOfMemory
from InvDetectLib.common.progress import Event, Progress
from InvDetectLib.computing.memory import affordable
from InvDetectLib.detection import Detector
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.settings import Settings
from InvDetectLib.training import train
from Testing.support import REPOSITORY
from Testing.support.tiny_model import TINY, World, shell
from Testing.support.worker_clients import ask

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")
FAILURES = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("could not create a primitive"),
    RuntimeError("can't start new thread"),
    MemoryError(),
]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the network fail with an error for more than so many patches, or on another device than the CPU."""
    forward = UNet.forward

    def limit(patches: int, error: Exception = FAILURES[0]) -> None:
        def limited(network: UNet, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            if len(z) > patches or z.device.type != "cpu":
                raise error
            return forward(network, z, t)

        monkeypatch.setattr(UNet, "forward", limited)

    return limit


def short(steps: int = 12) -> Settings:
    training = dataclasses.replace(TINY.invdetect.training, steps=steps)
    return dataclasses.replace(TINY, invdetect=dataclasses.replace(TINY.invdetect, training=training))


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Up to rounding, which depends on how many patches go together: in bfloat16, where the processor has units for it, half a percent."""
    return bool(np.abs(one - other).max() < 0.02 * other.std())


# The first portion


@pytest.mark.parametrize(("free", "taken"), [(80 * 2**30, 1024), (4 * 2**30, 1024), (2**30, 256), (2**20, 1)])
def test_a_card_is_asked_for_its_free_memory_before_patches_are_taken(monkeypatch: pytest.MonkeyPatch, free: int, taken: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
    assert affordable(torch.device("cuda"), 1024, 1536 * 1024) == taken  # a patch of `standard` takes 1.5 MB
    assert affordable(torch.device("cpu"), 64, 1536 * 1024) == 64


# Detection


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: str(error)[:20])
def test_fewer_patches_are_taken_at_once_and_the_result_is_the_same(world: World, only: Callable[..., None], error: Exception) -> None:
    scan = world.scans / "head-1000.nii.gz"
    own = Detector(world.model, "cpu").detect(scan)
    only(20, error)
    detector, told = Detector(world.model, "cpu"), Progress()
    found = detector.detect(scan, progress=told)
    text = "The memory of cpu was not enough, so only {} patches are taken at once from here on."
    assert told.warnings == found.provenance["warnings"] == [text.format(32), text.format(16)]
    assert alike(found.anomaly_map, own.anomaly_map) and found.provenance["device"] == "cpu"
    assert detector.detect(scan).provenance["warnings"] == []  # it has learned


def test_after_the_smallest_portion_the_cpu_goes_on(world: World, only: Callable[..., None]) -> None:
    scan = world.scans / "head-1000.nii.gz"
    own = Detector(world.model, "cpu").detect(scan)
    only(64)
    detector, told, slices = Detector(world.model, "cpu"), Progress(), list[int]()
    detector._method._place(torch.device("meta"))  # type: ignore[attr-defined]  # stands for a GPU: its network fails, the rest works
    found = detector.detect(scan, progress=told, on_slice=lambda one: slices.append(one.index))
    assert told.warnings[-1] == "The memory of meta was not enough even for few patches; the CPU goes on, which takes longer."
    assert len(told.warnings) == 8 and "only 8 patches" in told.warnings[-2]  # 1024 to 8
    assert alike(found.anomaly_map, own.anomaly_map) and slices == [0, 1, 2]
    assert found.provenance["device"] == detector.device.type == "cpu"


def test_no_memory_at_all_is_told_in_a_sentence(world: World, only: Callable[..., None], tmp_path: Path) -> None:
    only(0)
    with pytest.raises(OutOfMemory, match="not enough memory here, in however small portions; close other programs"):
        Detector(world.model, "cpu").detect(world.scans / "head-1000.nii.gz")
    told = shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path / "out", "--device", "cpu")
    assert told.status == 1 and "however small portions" in told.err and "only 8 patches are taken at once" in told.err


def test_another_failure_is_no_lack_of_memory(world: World, only: Callable[..., None]) -> None:
    only(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Detector(world.model, "cpu").detect(world.scans / "head-1000.nii.gz")


# Training


def test_a_training_takes_its_batches_in_portions(world: World, only: Callable[..., None]) -> None:
    def run() -> tuple[list[float], float, list[str]]:
        events: list[Event] = []
        card = train(world.normals, settings=short(), device="cpu", on_progress=events.append, rehearse=False).card
        portions = [event.text.partition("only ")[2].partition(" ")[0] for event in events if "at once from here on" in event.text]
        return [event.facts["loss"] for event in events if event.stage == "training"], card["validation_loss"], portions

    losses, validation, none = run()
    only(8)
    assert run() == (pytest.approx(losses, rel=0.01), pytest.approx(validation, rel=0.01), ["8", "32", "16"]) and none == []


def test_a_training_without_memory_ends_in_a_sentence_and_keeps_its_checkpoint(
    world: World, only: Callable[..., None], tmp_path: Path
) -> None:
    only(1)
    with pytest.raises(OutOfMemory, match="however small portions"):
        train(world.normals, settings=short(), device="cpu", checkpoint=tmp_path / "x.checkpoint", rehearse=False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.checkpoint"]


def test_a_training_moves_to_the_cpu(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from InvDetectLib.computing import ranks
    from InvDetectLib.methods.invdetect import method

    class Pool(method.PatchPool):
        def __init__(self, slices: Any, patches: Any, device: torch.device) -> None:
            if device.type != "cpu":
                raise FAILURES[0]
            super().__init__(slices, patches, device)

    monkeypatch.setattr(method, "PatchPool", Pool)
    monkeypatch.setattr(ranks, "find_device", lambda name: torch.device("meta"))
    told = Progress()
    model = train(world.normals, settings=short(), progress=told, rehearse=False)
    assert model.card["device"] == "cpu" and any("the CPU goes on" in text for text in told.warnings)


# The worker

WITHOUT_MEMORY = """
import sys
sys.path.insert(0, {repository!r})
import torch
from InvDetectLib.methods.invdetect import unet
def forward(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
unet.UNet.forward = forward
"""


def test_the_worker_tells_each_try_and_the_kind_of_the_failure(world: World, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_MEMORY.format(repository=str(REPOSITORY)))
    client = WorkerClient(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)}, answer=60)
    reply = ask(client, "detect", model=str(world.model), device="cpu", scan=str(world.scans / "head-1000.nii.gz"))
    client.stop()
    assert reply["kind"] == "memory" and "close other programs" in reply["text"]
    assert [message["message"] for message in reply["messages"] if "only" in message.get("text", "")] == ["warning"] * 3
