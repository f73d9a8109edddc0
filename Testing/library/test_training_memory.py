"""Where a training keeps its prepared slices: on a disk that has room for them, and not beyond its end."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from InvDetectLib.common import Event, InvDetectError
from InvDetectLib.training import train
from Testing.support.tiny_model import TINY, World

Usage = namedtuple("Usage", "total used free")


def test_a_disk_too_small_is_told_before_a_scan_is_prepared(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6 scans of 3 slices of 64 x 64 take 64 KB each: 37 KB, from where on a map may begin on to where the next may."""
    stages: list[str] = []

    def hear(event: Event) -> None:
        stages.append(event.stage)

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 200_000))
    with pytest.raises(InvDetectError, match=r"The prepared slices need 0.000\d+ GB in .* and 0.0002 GB are free there; make room") as told:
        train(world.normals, settings=TINY, device="cpu", checkpoint=tmp_path / "x.checkpoint", rehearse=False, on_progress=hear)
    assert str(tmp_path) in str(told.value) and set(stages) == {"looking at scans", "warning"}
    assert list(tmp_path.iterdir()) == []


def test_slices_lie_beside_the_checkpoint_without_a_name(world: World, tmp_path: Path) -> None:
    """So that a kill leaves nothing, however large they are."""
    seen: dict[str, list[Path]] = {}

    def hear(event: Event) -> None:
        seen.setdefault(event.stage, sorted(path for path in tmp_path.iterdir() if path.name != "x.checkpoint"))

    train(world.normals, settings=TINY, device="cpu", checkpoint=tmp_path / "x.checkpoint", rehearse=False, on_progress=hear)
    assert seen["preparing scans"] == seen["training"] == seen["done"] == []
    (tmp_path / "x.checkpoint").unlink()
    assert list(tmp_path.iterdir()) == []
