"""A worker as a panel has it, and the tiny model and scans for it in folders and under names of many languages."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from InvDetectSlicerLib.worker.client import WorkerClient

from Testing.support.tiny_model import World, rewrite


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    """One worker for all tests of a file that need no other, as a panel has it; it leaves nothing behind."""
    temporary = tmp_path_factory.mktemp("Größe 测试 with spaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        client = WorkerClient(sys.executable)
        _ = client.folder
    yield client
    client.stop()
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modèles avec espaces")
    return Path(shutil.copy(world.model, folder / "mein Gerät 模型.invdetect"))


@pytest.fixture(scope="module")
def scan(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with a lesion."""
    folder = tmp_path_factory.mktemp("Größe 测试 with spaces") / ("lang" * 30)
    folder.mkdir()
    return Path(shutil.copy(world.scans / "head-1000.nii.gz", folder / "Schädel 头.nii.gz"))


@pytest.fixture(scope="module")
def tall(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan that takes long enough to be stopped."""
    path = tmp_path_factory.mktemp("tall") / "tall.nrrd"
    return rewrite(world.scans / "head-1000.nii.gz", path, lambda array: np.repeat(array, 40, axis=0))
