"""MatchGen as a method: trained, saved, loaded and used on the same way as InvDetect, with a radius chosen on held-out normal slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import InvDetectError, OutOfMemory
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.computing.tensors import to_array
from InvDetectLib.detection import Detector
from InvDetectLib.methods.choosing import make_method
from InvDetectLib.methods.contract import SliceMap, Slices
from InvDetectLib.methods.matchgen.base import Base, Code, make_base
from InvDetectLib.methods.matchgen.epsilon import elbow
from InvDetectLib.methods.scoring import score_slices
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Preparation
from InvDetectLib.refinement.cutting import cut
from InvDetectLib.refinement.edges import image_distances
from Testing.support.tiny_matchgen import TINY, TinyWorld, changed, tiny_world

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return tiny_world(tmp_path_factory.mktemp("world"), TINY, (6, 32, 32))


def some_slices(count: int = 5, rows: int = 32, columns: int = 24) -> Slices:
    values = np.random.default_rng(0).uniform(-1, 1, (count, rows, columns, 1)).astype(np.float32)
    return Slices(values, np.ones((count, rows, columns), bool))


def test_a_trained_model_is_saved_loaded_and_finds_the_same(world: TinyWorld) -> None:
    loaded = Model.load(world.model)
    assert loaded.settings == TINY and loaded.card["epsilon"] > 0 and not loaded.card["rebuilds_images"]
    radii, residuals = (loaded.card["epsilon_search"][name] for name in ("epsilon", "residual"))
    assert radii[0] == 0 and loaded.card["epsilon"] in radii and residuals == sorted(residuals, reverse=True)
    scan = sorted(world.heads.rglob("*.nii.gz"))[0]
    one, other = (Detector(world.model, "cpu").detect(scan) for _ in range(2))
    assert np.array_equal(one.anomaly_map, other.anomaly_map) and one.anomaly_map.shape == one.geometry.shape
    again = one.refine(contiguity=2.0)
    assert again.mask.shape == one.mask.shape and again.provenance["solver"]


def test_the_map_is_the_difference_from_the_pseudo_normal_image_of_each_slice(world: TinyWorld) -> None:
    method = make_method(TINY, CPU)
    method.load_arrays(Model.load(world.model).arrays)
    slices = some_slices()
    found = list(method.map_and_edges(slices, Progress()))
    assert [one.number for one in found] == list(range(5))
    for one in found:
        assert one.pseudo_normal is not None and one.pseudo_normal.shape == (32, 24, 1) and one.scores.shape == (32, 24)
        difference = np.abs(slices.values[one.number] - one.pseudo_normal)[..., 0] / 2
        assert np.allclose(one.scores, difference, atol=1e-5) and one.scored.all()
        assert all(np.array_equal(a, b) for a, b in zip(one.distances(), image_distances(one.pseudo_normal)))
    alone = next(method.map_and_edges(Slices(slices.values[4:], slices.foreground[4:]), Progress()))
    # Whatever else is in the batch: rounding is all that differs, which the signs of the 1-norm's gradient carry on from step to step.
    assert np.allclose(alone.scores, found[4].scores, atol=1e-3)


def test_a_pseudo_normal_image_stays_in_the_range_of_slices_whatever_its_base_makes() -> None:
    settings = dataclasses.replace(TINY, matchgen=dataclasses.replace(TINY.matchgen, base="dae"))
    base = make_base(settings.matchgen, 1, 32)  # the one whose images nothing holds between 0 and 1
    arrays = {f"base/{name}": to_array(values) for name, values in base.state_dict().items()}
    arrays["base/network.head.bias"] += np.float32(1.5)
    method = make_method(settings, CPU)
    method.load_arrays(arrays | {"epsilon": np.array([1e-3])})
    for one in method.map_and_edges(some_slices(), Progress()):
        assert one.pseudo_normal is not None and one.pseudo_normal.max() == 1 and one.scores.max() > 1


def test_a_lesion_that_the_pseudo_normal_image_lacks_is_cut_out_along_its_outline_in_the_slice() -> None:
    values = np.full((1, 32, 32, 1), -0.2, np.float32)
    values[0, 10:20, 10:20] = 0.6

    class Made:
        """A method that takes the lesion away, and leaves no edge where it was."""

        def look_over(self, slices: Slices) -> Slices:
            return slices

        def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
            normal = np.full(slices.values.shape[1:], -0.2, np.float32)
            scores = np.abs(slices.values[0] - normal)[..., 0] / 2
            yield SliceMap(0, scores, slices.foreground[0], lambda: image_distances(normal), normal)

    found = score_slices(Made(), Slices(values, np.ones((1, 32, 32), bool)), 1e-4, "image", Progress())  # type: ignore[arg-type]
    # 100 pixels that stand out by 0.2 against an outline of 40: along flat edges a lambda of 1 would sweep them away
    mask = cut(found.raw[0], found.down[0], found.right[0], 1.0, 0.2, found.scored[0])
    assert np.array_equal(mask, values[0, ..., 0] > 0)
    assert not cut(found.raw[0], np.ones((31, 32)), np.ones((32, 31)), 1.0, 0.2, found.scored[0]).any()


def test_matching_brings_the_pseudo_normal_image_nearer_than_the_base_alone(world: TinyWorld) -> None:
    arrays = Model.load(world.model).arrays
    means = {}
    for way in ("none", "projection", "penalty"):
        method = make_method(changed(way=way), CPU)
        method.load_arrays(arrays)
        means[way] = float(np.mean([one.scores.mean() for one in method.map_and_edges(some_slices(), Progress())]))
    assert means["projection"] < means["none"] and means["penalty"] < means["none"]


def test_the_elbow_is_where_the_curve_bends_and_never_the_base_alone() -> None:
    radii = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert elbow(radii, [1.0, 0.9, 0.2, 0.15, 0.12, 0.1]) == 2
    assert elbow([0.0, 0.1, 1.0, 10.0], [1.0, 0.99, 0.9, 0.0]) == 1  # no bend, so no reason for a large ball
    assert elbow(radii, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == 1
    assert elbow(radii, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == 1


def test_a_radius_that_was_given_is_kept(world: TinyWorld) -> None:
    settings = changed(epsilon=0.25)
    method = make_method(settings, CPU)
    slices = [some_slices(4, 32, 32)]
    facts = method.fit(slices, slices, 0, Checkpoint(None, ""), Progress())
    assert facts["epsilon"] == 0.25 and "epsilon_search" not in facts and method.arrays()["epsilon"] == [0.25]


def test_what_cannot_be_is_one_sentence(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvDetectError, match="must have one size; give a grid instead of a spacing"):
        make_method(dataclasses.replace(TINY, preparation=Preparation(grid=None, spacing_mm=1.0)), CPU)
    with pytest.raises(InvDetectError, match="multiple of 4 pixels a side, not 30"):
        make_method(dataclasses.replace(TINY, preparation=Preparation(grid=30)), CPU)
    method = make_method(TINY, CPU)
    arrays = Model.load(world.model).arrays
    with pytest.raises(InvDetectError, match="damaged, get it again"):
        method.load_arrays({name: value for name, value in arrays.items() if name != "epsilon"})
    method.load_arrays(arrays)
    with pytest.raises(InvDetectError, match="48 x 48 pixels does not fit a model of slices of 32 x 32"):
        list(method.map_and_edges(some_slices(1, 48, 48), Progress()))
    other = make_method(dataclasses.replace(TINY, matchgen=dataclasses.replace(TINY.matchgen, base="dae")), CPU)
    with pytest.raises(InvDetectError, match="do not fit its settings"):
        other.load_arrays(arrays)
    monkeypatch.setattr(type(method._base), "decode", lambda self, code: code.z[:, :1, None, None] * torch.nan)  # type: ignore[attr-defined]
    with pytest.raises(InvDetectError, match="no numbers.*train the model anew"):
        list(method.map_and_edges(some_slices(1), Progress()))


def test_fewer_slices_are_taken_at_once_where_memory_is_short_and_then_it_is_said_that_nothing_helps(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make_method(TINY, CPU)
    method.load_arrays(Model.load(world.model).arrays)
    own = [one.scores for one in method.map_and_edges(some_slices(9), Progress())]
    kind: type[Base] = type(method._base)  # type: ignore[attr-defined]
    decode, most = kind.decode, 1

    def limited(self: Base, code: Code) -> torch.Tensor:
        if len(code.z) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return decode(self, code)

    monkeypatch.setattr(kind, "decode", limited)
    told = Progress()
    found = [one.scores for one in method.map_and_edges(some_slices(9), told)]
    assert np.abs(np.subtract(found, own)).max() < 1e-3  # Adam makes much of rounding where gradients are small
    assert [text.split("only ")[1][:8] for text in told.warnings] == ["1 slices"]
    most = 0
    with pytest.raises(OutOfMemory):
        list(method.map_and_edges(some_slices(2), Progress()))
