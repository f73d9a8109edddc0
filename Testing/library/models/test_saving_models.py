"""Saving a model whole or not at all, and what is refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.models.model import output_path, read_card
from Testing.support.made_models import make_model


def test_saving_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "brain.invdetect"
    model = make_model()
    model.save(target)
    model.card["modality"] = "CT"
    model.save(target)
    assert read_card(target)["modality"] == "CT" and os.listdir(target.parent) == ["brain.invdetect"]


def test_a_saved_model_can_be_read_by_those_who_may_read_files_made_here(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    old = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    model = make_model()
    model.card["modality"] = "CT"
    with pytest.raises(InvDetectError, match=r"brain\.invdetect: No space left on device\. Choose a folder"):
        model.save(saved)
    assert saved.read_bytes() == old and os.listdir(saved.parent) == ["brain.invdetect"]


def test_a_stop_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        make_model().save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_is_an_error(saved: Path) -> None:
    with pytest.raises(InvDetectError, match="cannot be written"):
        make_model().save(saved / "below" / "a-file.invdetect")


@pytest.mark.parametrize("name", ["brain", "brain.safetensors", "brain.invdetect.gz"])
def test_a_model_with_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUse, match="must end in .invdetect"):
        make_model().save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_folder_is_no_place_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "brain.invdetect").mkdir()
    with pytest.raises(WrongUse, match="is a folder"):
        output_path(tmp_path / "brain.invdetect")


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([{}], object), np.array([1j])], ids=["text", "object", "complex"])
def test_an_array_that_a_model_cannot_hold_is_a_bug_told_by_name(tmp_path: Path, array: np.ndarray) -> None:
    model = make_model()
    model.arrays["network/odd"] = array
    with pytest.raises(ValueError, match="network/odd"):
        model.save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    model = make_model()
    model.card["losses"] = [float("nan")]
    with pytest.raises(ValueError):
        model.save(tmp_path / "brain.invdetect")
    model.card["losses"] = [0.123456789] * 1_000_000
    with pytest.raises(ValueError, match="too large"):
        model.save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []
