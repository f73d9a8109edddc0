"""The gallery of normal patches: what is chosen, what is nearest, and what a model that holds one says of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import InvDetectLib as invdetect
from InvDetectLib.adaptation import adapt
from InvDetectLib.common import InvDetectError
from InvDetectLib.explanation import Gallery, choose_gallery
from InvDetectLib.methods import Slices
from InvDetectLib.models import Model, describe
from Testing.support.tiny_model import World, process, write_phantoms


def slices(values: np.ndarray, foreground: np.ndarray | None = None) -> Slices:
    return Slices(values[..., None].astype(np.float32), np.ones(values.shape, bool) if foreground is None else foreground)


def test_patches_are_of_all_kinds_that_there_are() -> None:
    """A thousand slices of plain grey, and one of stripes: a draw by chance would hardly have any of those."""
    grey = np.random.default_rng(0).normal(0, 0.02, (1000, 64, 64))
    stripes = np.sign(np.sin(np.arange(64) / 3))[None, None].repeat(64, 1) * 0.8
    patches = choose_gallery([slices(grey), slices(stripes)], 0)["patches"]
    assert patches.shape == (300, 32, 32, 1) and patches.dtype == np.uint8
    striped = (patches.astype(float).std(axis=(1, 2, 3)) > 50).sum()
    assert 1 <= striped < 50
    assert np.array_equal(patches, choose_gallery([slices(grey), slices(stripes)], 0)["patches"])


def test_patches_are_at_least_half_foreground_and_without_one_it_is_told() -> None:
    values = np.full((1, 64, 64), -1.0)
    values[:, :40, :40] = 0.5
    patches = choose_gallery([slices(values, values > 0)], 0)["patches"]
    assert len(patches) and ((patches > 128).mean(axis=(1, 2, 3)) >= 0.5).all()
    with pytest.raises(InvDetectError, match="No patch of the normal scans is half foreground"):
        choose_gallery([slices(values, values > 2)], 0)


def test_small_slices_give_small_patches() -> None:
    values = np.random.default_rng(0).normal(size=(2, 20, 24))
    assert choose_gallery([slices(values)], 0)["patches"].shape[1:] == (20, 20, 1)


def test_the_nearest_patches_are_those_that_look_alike_whatever_the_noise() -> None:
    rng = np.random.default_rng(0)
    levels = np.linspace(-0.9, 0.9, 10)
    patches = np.rint(127.5 * (1 + levels[:, None, None, None] + rng.normal(0, 0.03, (10, 32, 32, 1)))).clip(0, 255).astype(np.uint8)
    nearest = Gallery(patches).nearest(np.full((32, 32, 1), levels[6], np.float32) + rng.normal(0, 0.1, (32, 32, 1)).astype(np.float32))
    assert nearest.shape == (3, 32, 32, 1)
    assert nearest[0].mean() == pytest.approx(levels[6], abs=0.02) and abs(nearest[1:].mean(axis=(1, 2, 3)) - levels[6]).max() < 0.22


def test_a_model_with_a_gallery_warns_that_it_holds_images_and_keeps_it_when_adapted(world: World, tmp_path: Path) -> None:
    path = tmp_path / "with.invdetect"
    done = process("train", world.normals / "mueller", "-o", path, "--preset", "tiny", "--gallery")
    assert done.status == 0, done.err
    model = Model.load(path)
    count = len(model.part("gallery")["patches"])
    assert 0 < count <= 300 and model.card["rebuilds_images"] is True
    privacy = f"WARNING: this file holds {count} patches of training images"
    assert privacy in "\n".join(describe(model.card, model.calibration, 200))
    others = write_phantoms(tmp_path / "others", 3, first_seed=50, size=(3, 64, 64))
    adapted = adapt(model, others)
    assert np.array_equal(adapted.part("gallery")["patches"], model.part("gallery")["patches"])
    assert invdetect.load_model(world.model).part("gallery") == {} and "gallery" not in world.card


@pytest.mark.parametrize("patches", [np.zeros((3, 32, 32), np.uint8), np.zeros((3, 32, 16, 1), np.uint8), np.zeros((0, 8, 8, 1), np.uint8)])
def test_a_damaged_gallery_is_told(world: World, patches: np.ndarray) -> None:
    model = Model.load(world.model)
    model.arrays["gallery/patches"] = patches
    with pytest.raises(InvDetectError, match="gallery in the model is damaged"):
        Gallery.of(model)
