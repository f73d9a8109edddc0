"""Checkpoints with the right fingerprint and a wrong content: one sentence, and the file stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from InvDetectLib.common import InvDetectError, Progress
from InvDetectLib.computing import Checkpoint, Trainer
from InvDetectLib.models import Training
from Testing.support.mutations import frugal, mutants, text_of

STEPS = 200


class Line(Trainer[nn.Linear]):
    """Learns a line through two points."""

    def _portions(self, pool: Any, part: int) -> Iterator[tuple[torch.Tensor, int]]:
        yield (self.raw(torch.tensor([[0.0], [1.0]])) - torch.tensor([[1.0], [3.0]])).square().mean(), 2

    def loss(self, pool: Any) -> float:
        return 0.0


def train(path: Path, steps: int = STEPS) -> dict[str, Any]:
    """The facts of a training that goes on from the checkpoint, if there is one."""
    torch.manual_seed(0)
    trainer = Line(nn.Linear(1, 1), Training(steps=steps, batch=2, learning_rate=0.01), 0, torch.device("cpu"), "points")
    return trainer.train(None, None, Checkpoint(path, "the same run"), Progress())


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The checkpoint of a training half way, with what it needs to go on."""
    path = tmp_path / "line.checkpoint"
    train(path, STEPS // 2)
    return path


def content(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(str(path), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def test_a_sound_checkpoint_is_gone_on_from(begun: Path, tmp_path: Path) -> None:
    assert train(begun) == train(tmp_path / "unbroken.checkpoint")


def test_facts_that_are_not_those_of_a_training_are_told_and_the_file_stays(begun: Path) -> None:
    arrays, metadata = content(begun)
    refused = 0
    for what, odd in mutants(json.loads(metadata["facts"]), 100, seed=6):
        save_file(arrays, begun, {**metadata, "facts": text_of(odd)})
        before = begun.read_bytes()
        try:
            with frugal(what):
                train(begun)
        except InvDetectError as error:
            assert str(begun) in str(error) and len(str(error)) < 1000, what
            assert begun.read_bytes() == before, what
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("facts", ["{}", "[]", "null", '{"step": 100}', '{"losses": []}', "[" * 100_000, '{"step": 10000, "losses": []}'])
def test_facts_that_are_missing_are_told(begun: Path, facts: str) -> None:
    arrays, metadata = content(begun)
    save_file(arrays, begun, {**metadata, "facts": facts})
    with pytest.raises(InvDetectError, match="cannot be read .* delete it and start again"):
        train(begun)


def test_arrays_that_are_missing_of_another_shape_or_no_numbers_are_told_and_the_file_stays(begun: Path) -> None:
    arrays, metadata = content(begun)
    assert len(arrays) == 8
    for name, array in arrays.items():
        odd = [np.full_like(array, np.nan), np.zeros((3, *array.shape), np.float32), np.zeros(array.shape, bool)]
        for changed in ({**arrays, name: one} for one in odd):
            save_file(changed, begun, metadata)
            before = begun.read_bytes()
            with pytest.raises(InvDetectError, match=f"cannot be read .{name} .*; delete it and start again"):
                train(begun)
            assert begun.read_bytes() == before
        save_file({other: kept for other, kept in arrays.items() if other != name}, begun, metadata)
        with pytest.raises(InvDetectError, match=f"{name} is missing"):
            train(begun)
