"""The pseudo-normal image on its way to the user: in the scan's own voxels and intensities, in its file, in the preview, in the shell."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.detection import Detector
from InvDetectLib.estimates import cost_of_detection, cost_of_training
from InvDetectLib.methods import patches_of
from InvDetectLib.methods.matchgen.base import BASES
from InvDetectLib.models.card_words import describe
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import all_presets, choose_settings, preset
from InvDetectLib.models.settings import Preparation, Settings
from InvDetectLib.results.canvas import available
from InvDetectLib.results.result import Result
from InvDetectLib.scans import Geometry, Scan, learn_intensity, measure_intensity, prepare, read_scan
from InvDetectLib.scans.native import pseudo_normal_from_grid
from InvDetectLib.scans.previews import preview
from Testing.support.tiny_matchgen import TinyWorld, changed, tiny_world

TINY = changed(steps=40, intensity="median", epsilon=0.5, learning_rate=1e-3, most_steps=20)
# sagittal storage, two axes flipped, a slanted stack, anisotropic
TURNED = Geometry((20, 24, 16), (1.0, 1.0, 3.0), (5.0, -7.0, 2.0), (0.0, 0.0, -1.0, -0.96, 0.28, 0.0, 0.28, 0.96, 0.0))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return tiny_world(tmp_path_factory.mktemp("world"), TINY, (6, 48, 40))


def scan_of(array: np.ndarray, geometry: Geometry = TURNED) -> Scan:
    return Scan(array, geometry, "one", "digest")


def brought_back(scan: Scan, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """A scan on the model's grid and back again, and its foreground."""
    preparation = Preparation(grid=None, spacing_mm=1.0, intensity=rule, foreground="auto", channels=scan.channels)
    learned = learn_intensity(preparation, [measure_intensity(scan, preparation)])
    found = prepare(scan, preparation, learned)
    inside = found.native_foreground
    return pseudo_normal_from_grid(found.grid, found.slices, found.foreground, scan.array, inside, found.to_scan), inside


def made_array(shape: tuple[int, ...]) -> np.ndarray:
    """A block of tissue, from 60 to 140, in air."""
    array = np.zeros(shape, np.float32)
    ramp = np.linspace(60, 140, shape[0] - 8, dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
    array[4:-4, 4:-4, 3:-3] = ramp
    return array


@pytest.mark.parametrize("rule", ["median", "landmarks", "percentile", "window:0,200", "full"])
def test_what_is_taken_for_normal_comes_back_in_the_intensities_and_the_place_of_the_scan(rule: str) -> None:
    array = made_array(TURNED.shape)
    back, inside = brought_back(scan_of(array), rule)
    well_inside = np.zeros(array.shape, bool)
    well_inside[7:-7, 7:-7, 5:-5] = True  # away from the smoothing of the grid
    assert inside[well_inside].all() and back.dtype == np.float32
    assert np.abs(back - array)[well_inside].max() < 3
    assert np.array_equal(back[~inside], array[~inside])


def test_a_colour_photograph_comes_back_in_its_own_eight_bits_and_with_its_colours() -> None:
    rows, columns = np.mgrid[:40, :40]
    array = np.stack([120 + rows, 60 + columns, 30 + rows // 2], axis=-1).astype(np.uint8)[None]
    scan = scan_of(array, Geometry((1, 40, 40), dimension=2, unit="pixel"))
    preparation = Preparation(grid=40, intensity="channels", foreground="none", channels=3)
    found = prepare(scan, preparation, {})
    back = pseudo_normal_from_grid(found.grid, found.slices, found.foreground, array, found.native_foreground, found.to_scan)
    assert back.dtype == np.uint8 and back.shape == array.shape
    assert np.abs(back.astype(int) - array).max() <= 1


def test_where_a_rule_has_no_way_back_the_image_stays_in_the_models_own_scale() -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(60, 200, (1, 40, 40, 3)).astype(np.uint8)
    scan = scan_of(array, Geometry((1, 40, 40), dimension=2, unit="pixel"))
    found = prepare(scan, Preparation(grid=40, intensity="local", foreground="none", channels=3), {})
    assert found.to_scan is None
    back = pseudo_normal_from_grid(found.grid, found.slices, found.foreground, array, found.native_foreground, None)
    assert back.dtype == np.float32 and np.allclose(back, found.slices, atol=1e-5)


def test_the_pseudo_normal_image_is_saved_beside_the_map_loaded_again_and_outlives_refinement(
    world: TinyWorld, tmp_path: Path
) -> None:
    scan = read_scan(sorted(world.heads.rglob("*.nii.gz"))[0])
    result = Detector(world.model, "cpu").detect(scan)
    normal = result.pseudo_normal
    assert normal is not None and normal.shape == scan.array.shape
    assert np.array_equal(normal[~result.foreground], scan.array[~result.foreground])
    inside = normal[result.foreground]
    assert scan.array.min() <= inside.min() < inside.max() <= scan.array.max() and not np.array_equal(normal, scan.array)
    assert result.refine(contiguity=2.0).pseudo_normal is normal
    written = result.save(tmp_path)
    assert written["pseudo_normal"].name == f"{scan.name}.pseudo-normal.nii.gz"
    stored = sitk.ReadImage(str(written["pseudo_normal"]))
    assert np.array_equal(sitk.GetArrayFromImage(stored), normal)
    assert np.allclose(stored.GetDirection(), scan.geometry.direction, atol=1e-5)
    loaded = Result.load(written["result"])
    assert np.array_equal(loaded.pseudo_normal, normal)
    if available():
        loaded.picture(tmp_path / "again.png", scan=scan)
        assert (tmp_path / "again.png").read_bytes() == written["preview"].read_bytes()
        written["pseudo_normal"].unlink()
        Result.load(written["result"]).picture(tmp_path / "without.png", scan=scan)
        heights = [sitk.ReadImage(str(tmp_path / name)).GetHeight() for name in ("again.png", "without.png")]
        assert heights[0] > heights[1]  # one row more


def test_a_pseudo_normal_file_that_is_broken_or_of_another_scan_is_said_to_be(world: TinyWorld, tmp_path: Path) -> None:
    written = Detector(world.model, "cpu").detect(sorted(world.heads.rglob("*.nii.gz"))[0]).save(tmp_path)
    sitk.WriteImage(sitk.Image(3, 3, 3, sitk.sitkFloat32), str(written["pseudo_normal"]))
    with pytest.raises(InvDetectError, match=r"pseudo-normal\.nii\.gz has shape \(3, 3, 3\).*detect again"):
        Result.load(written["result"])
    written["pseudo_normal"].write_bytes(b"nonsense")
    with pytest.raises(InvDetectError, match="cannot be read.*delete it, or detect again"):
        Result.load(written["result"])


def test_the_presets_of_matchgen_are_there_for_every_base() -> None:
    named = all_presets()
    assert {name.split()[1] for name in named if name.startswith("matchgen")} == set(BASES)
    for base in BASES:
        for name in ("paper", "standard", "quick"):
            settings = named[f"matchgen {base} {name}"]
            assert settings == preset(name, "matchgen", base) and settings.preset == name and settings.matchgen.base == base
            assert Settings.from_dict(settings.as_dict()) == settings
            assert settings.preparation.grid is not None and settings.preparation.grid % settings.least_side == 0
    assert preset("paper", "matchgen").matchgen.matching.way == "penalty"


def test_a_users_choices_hold_for_matchgen_too() -> None:
    chosen = choose_settings("quick", method="matchgen", base="vae", plane="sagittal", grid=64, modality="CT")
    assert (chosen.preparation.plane, chosen.preparation.grid, chosen.preparation.modality) == ("sagittal", 64, "CT")
    assert chosen.matchgen.base == "vae" and not chosen.training.mirror  # front and back are not alike
    assert choose_settings("quick", method="matchgen").training.mirror


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"method": "thor"}, "no method 'thor'; choose one of invdetect, matchgen"),
        ({"method": "matchgen", "base": "gan"}, "no base 'gan'; choose one of ae, ceae"),
        ({"base": "dae"}, "belongs to the method matchgen"),
        ({"name": "fine", "method": "matchgen"}, "no preset 'fine' of matchgen; choose one of paper, standard, quick"),
        ({"method": "matchgen", "spacing_mm": 1.0}, "give a grid instead of a spacing"),
        ({"method": "matchgen", "grid": 100}, "give a multiple of 16"),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence(wish: dict, sentence: str) -> None:
    with pytest.raises(WrongUse, match=sentence):
        choose_settings(**wish)


def test_a_card_tells_method_base_and_radius(world: TinyWorld) -> None:
    loaded = Model.load(world.model)
    assert "MatchGen, base model ae, epsilon 0.5" in "\n".join(describe(loaded.card, loaded.calibration))


def test_costs_are_told_in_slices(world: TinyWorld) -> None:
    scan = read_scan(sorted(world.heads.rglob("*.nii.gz"))[0])
    cost = cost_of_detection(Detector(world.model, "cpu"), scan, slices=(0, 3))
    assert (cost.slices, cost.patches) == (3, 0) and cost.seconds > 0
    few, many = (cost_of_training(dataclasses.replace(TINY), "cpu", slices) for slices in (10, 1000))
    assert 0 < few.memory_bytes < many.memory_bytes and few.patches == 0


def test_a_preview_for_matchgen_shows_the_whole_slice_without_patches(world: TinyWorld) -> None:
    shown = preview(read_scan(sorted(world.heads.rglob("*.nii.gz"))[0]), TINY)
    places, side = patches_of(TINY, shown.foreground)
    assert side == 0 and places.shape == (0, 2) and shown.image.shape == (32, 27)


def test_a_result_without_a_pseudo_normal_image_leaves_no_such_file(world: TinyWorld, tmp_path: Path) -> None:
    result = Detector(world.model, "cpu").detect(sorted(world.heads.rglob("*.nii.gz"))[0])
    result.save(tmp_path)
    plain = dataclasses.replace(result, pseudo_normal=None, pseudo_background=None)
    plain.save(tmp_path, overwrite=True)
    assert not list(tmp_path.glob("*.pseudo-normal.nii.gz"))
    shutil.rmtree(tmp_path)
