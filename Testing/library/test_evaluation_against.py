"""`evaluate --against` with maps that no model made: their figures by hand, and what is refused or told of strange ones."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.detection import Detector
from InvDetectLib.scans import read_mask, read_scan
from Testing.support.tiny_model import Run, World, head, shell

LESIONS, NORMALS = ("head-1000", "head-1001"), ("normal4000", "normal4001")


@pytest.fixture(scope="module")
def flat(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scans, masks and normals, each in one folder."""
    folder = tmp_path_factory.mktemp("flat")
    shutil.copytree(world.masks, folder / "masks")
    for name in ("scans", "normals"):
        (folder / name).mkdir()
    for path in world.scans.rglob("*.nii.gz"):
        shutil.copy(path, folder / "scans")
    for name in NORMALS:
        head(folder / "normals" / f"{name}.nii.gz", int(name[-4:]))
    return folder


def score(name: str, shape: tuple[int, ...], lesion: np.ndarray | None) -> np.ndarray:
    """What the other tool gives: noise, and more in lesions."""
    noise = np.random.default_rng(int(name[-4:])).normal(size=shape)
    return noise if lesion is None else noise + 1.5 * lesion


def scores(flat: Path) -> dict[str, np.ndarray]:
    """By the name of the scan."""
    made = {}
    for path in [*sorted((flat / "scans").iterdir()), *sorted((flat / "normals").iterdir())]:
        geometry, mask = read_scan(path).geometry, flat / "masks" / path.name
        made[path.name[:-7]] = score(path.name[:-7], geometry.shape, read_mask(mask, geometry) if mask.exists() else None)
    return made


def maps(flat: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray] = lambda array: array, stored: Any = None) -> Path:
    """The scores in files called like the scans and "_map", in their place; stored  changes the image."""
    folder.mkdir()
    for name, array in scores(flat).items():
        geometry = read_scan(of(flat, name)).geometry
        image = geometry.to_image(change(array))
        sitk.WriteImage(image if stored is None else stored(image), str(folder / f"{name}_map.nii.gz"))
    return folder


def of(flat: Path, name: str) -> Path:
    return flat / ("normals" if name in NORMALS else "scans") / f"{name}.nii.gz"


def run(world: World, flat: Path, *words: str | Path, **places: Path) -> Run:
    where = {name: places.get(name, flat / name) for name in ("scans", "masks", "normals")}
    return shell("evaluate", where["scans"], where["masks"], "-m", world.model, "--normals", where["normals"], "--json", *words)


def theirs(done: Run) -> dict[str, Any]:
    assert done.status == 0, done.err
    return next(row for row in done.json["rows"] if row["name"] == "against")


def by_hand(world: World, flat: Path, values: dict[str, np.ndarray], rate: float) -> dict[str, float]:
    """The figures by their definitions, voxel by voxel."""
    detector = Detector(world.model, "cpu")
    inside = {name: detector.detect(of(flat, name), stability=False, reasons=False).foreground for name in values}
    normal = np.sort(np.concatenate([values[name][inside[name]] for name in NORMALS]))
    threshold = next(one for one in normal if (normal > one).mean() <= rate)
    dice, scored, known = list[float](), list[np.ndarray](), list[np.ndarray]()
    for name in LESIONS:
        truth = read_mask(flat / "masks" / f"{name}.nii.gz", read_scan(of(flat, name)).geometry) & inside[name]
        flagged = (values[name] > threshold) & inside[name]
        dice += [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(flagged, truth) if b.any()]
        scored.append(values[name][inside[name]])
        known.append(truth[inside[name]])
    every, lesion = np.concatenate(scored), np.concatenate(known)
    beside = np.sort(every[~lesion])
    below, upto = (np.searchsorted(beside, every[lesion], side) for side in ("left", "right"))
    return {
        "dice": float(np.mean(dice)),
        "normal_area": float((normal > threshold).mean()),
        "auroc": float((below + upto).mean() / 2 / len(beside)),
    }


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (lambda array: array, lambda image: sitk.PermuteAxes(sitk.Flip(image, (True, False, True)), (2, 0, 1))),
        (lambda array: np.clip(array * 30 + 90, 0, 255).astype(np.uint8), None),
    ],
    ids=["float64 in another order of axes", "uint8"],
)
def test_the_figures_of_another_tool_are_those_by_hand(world: World, flat: Path, tmp_path: Path, change: Any, stored: Any) -> None:
    done = run(world, flat, "--against", maps(flat, tmp_path / "maps", change, stored), "--rate", "0.05")
    values = {name: change(array).astype(np.float64) for name, array in scores(flat).items()}
    for metric, value in by_hand(world, flat, values, 0.05).items():
        assert theirs(done)[metric]["mean"] == pytest.approx(value, abs=1e-9), metric
    assert "flags 5.00% of the tissue" in done.json["against"] and "warning" not in done.err


def only(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / f"{name}_map.nii.gz"
        image = sitk.ReadImage(str(path))
        new = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
        new.CopyInformation(image)
        sitk.WriteImage(new, str(path))

    return changed


@pytest.mark.parametrize(
    ("change", "spoil", "told"),
    [
        (lambda array: (array > 1.5).astype(np.uint8), None, "flag only 0.00% of the tissue of these normal scans, because so much"),
        (lambda array: -array, None, "Turn their sign if low means less normal."),
        (lambda array: array, only("head-1001", lambda array: 0 * array + 3), "head-1001.nii.gz: the other tool's map is 3 everywhere"),
    ],
    ids=["cut at a threshold", "low is abnormal", "one map constant"],
)
def test_maps_that_can_hardly_be_meant_so_are_told(
    world: World, flat: Path, tmp_path: Path, change: Any, spoil: Any, told: str
) -> None:
    folder = maps(flat, tmp_path / "maps", change)
    if spoil is not None:
        spoil(folder)
    done = run(world, flat, "--against", folder)
    assert theirs(done) and [line for line in done.err.splitlines() if line.startswith("warning: ") and told in line]


def test_maps_that_lie_among_the_scans_are_neither_taken_for_scans_nor_scans_for_maps(world: World, flat: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in LESIONS:
        shutil.copy(of(flat, name), scans / f"{name}_flair.nii.gz")
    for path in maps(flat, tmp_path / "maps").glob("head*"):
        shutil.copy(path, scans / path.name.replace("_map", "_flair_map"))
    done = run(world, flat, "--against", scans, "--against-normals", tmp_path / "maps", scans=scans)
    assert done.status == 2 and "_flair_map.nii.gz lies both among the scans and among the maps" in done.err and "scoring" not in done.err
    apart = {"scans": Path(f"{scans}/*_flair.nii.gz")}
    assert theirs(run(world, flat, "--against", f"{scans}/*_map.nii.gz", "--against-normals", tmp_path / "maps", **apart))


def nested(flat: Path, folder: Path, source: Path, ending: str) -> Path:
    """What is in `source` of each scan, in a folder of its own, by the same name."""
    for number, name in enumerate(LESIONS):
        (folder / f"p{number}").mkdir(parents=True)
        shutil.copy(source / f"{name}{ending}.nii.gz", folder / f"p{number}" / f"flair{ending}.nii.gz")
    return folder


def test_folders_tell_scans_of_one_name_apart(world: World, flat: Path, tmp_path: Path) -> None:
    own = maps(flat, tmp_path / "maps")
    places = {"scans": nested(flat, tmp_path / "s", flat / "scans", ""), "masks": nested(flat, tmp_path / "m", flat / "masks", "")}
    deep = nested(flat, tmp_path / "a", own, "_map")
    done = run(world, flat, "--against", deep, "--against-normals", own, **places)
    assert theirs(done)["dice"] == theirs(run(world, flat, "--against", own))["dice"]
    (deep / "p1" / "flair_map.nii.gz").unlink()
    (places["masks"] / "p0" / "flair.nii.gz").rename(places["masks"] / "flair.nii.gz")
    done = run(world, flat, "--against", deep, "--against-normals", own, **places)
    assert done.status == 1 and "flair.nii.gz does not lie in the folder of this one. Name its mask p0/flair_mask in the" in done.err
    assert "flair_map.nii.gz does not lie in the folder of this one. Name its map p1/flair_map in the folder of maps" in done.err


def test_one_map_serves_one_scan(world: World, flat: Path, tmp_path: Path) -> None:
    folder, scans = maps(flat, tmp_path / "maps"), tmp_path / "scans"
    scans.mkdir()
    for name in ("head-1000_flair", "head-1000_t1"):
        shutil.copy(of(flat, "head-1000"), scans / f"{name}.nii.gz")
    done = run(world, flat, "--against", folder, scans=scans)
    assert done.status == 1 and "head-1000_map.nii.gz would be the map of several scans. Name each map like its scan." in done.err


def test_names_that_are_stored_with_other_signs_for_the_same_letters_are_the_same(world: World, flat: Path, tmp_path: Path) -> None:
    own = maps(flat, tmp_path / "maps")
    places = {name: nested(flat, tmp_path / name, flat / name, "") for name in ("scans", "masks")}
    theirs_in = nested(flat, tmp_path / "a", own, "_map")
    for folder, form in ((places["scans"], "NFC"), (places["masks"], "NFD"), (theirs_in, "NFD")):
        for path in sorted(folder.rglob("flair*")):
            path.rename(path.with_name(unicodedata.normalize(form, f"Zoë {path.name}")))
        for path in sorted(folder.iterdir()):
            path.rename(folder / unicodedata.normalize(form, f"Müller {path.name}"))
    done = run(world, flat, "--against", theirs_in, "--against-normals", own, **places)
    assert theirs(done)["dice"] == theirs(run(world, flat, "--against", own))["dice"]


def test_normal_scans_without_any_map_are_told_before_anything_is_computed(world: World, flat: Path, tmp_path: Path) -> None:
    folder = maps(flat, tmp_path / "maps")
    (folder / "normal4000_map.nii.gz").unlink()
    done = run(world, flat, "--against", folder)
    assert done.status == 1 and done.json["failed"][0][1].startswith("There is no map for normal4000.")
    (folder / "normal4001_map.nii.gz").unlink()
    done = run(world, flat, "--against", folder)
    assert done.status == 1 and "scoring" not in done.err
    assert done.json["error"].startswith("None of the normal scans has a map, so the other tool has no threshold (There is no map for nor")


def instead(folder: Path, name: str) -> Path:
    """The path of another file in the place of one map."""
    (folder / "head-1000_map.nii.gz").unlink()
    return folder / name


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder, flat: instead(folder, "head-1000.nrrd").symlink_to("nowhere"), "head-1000.nrrd (a link to nothing)."),
        (lambda folder, flat: instead(folder, "head-1000_map.png").touch(), "head-1000_map.png (a picture, and the scan is none)."),
        (lambda folder, flat: instead(folder, "head-1000_seg.nii.gz").touch(), "head-1000_seg.nii.gz (its name says that it is a mask)."),
        (lambda folder, flat: instead(folder, "head-1000.npy").touch(), "head-1000.npy (not a supported format)."),
        (
            lambda folder, flat: [instead(folder, "head-1000.npy").touch(), (folder / "head-1000.txt").touch()],
            "head-1000.npy (not a supported format), and 1 more.",
        ),
        (
            lambda folder, flat: instead(folder, "head-1000.nii.gz").symlink_to(flat / "masks" / "head-1000.nii.gz"),
            "head-1000.nii.gz is a mask of lesions, and no map of the other tool.",
        ),
    ],
    ids=["link to nothing", "picture", "mask by its name", "another format", "two others", "the very mask"],
)
def test_what_is_no_map_is_told_before_anything_is_computed(world: World, flat: Path, tmp_path: Path, spoil: Any, told: str) -> None:
    folder = maps(flat, tmp_path / "maps")
    spoil(folder, flat)
    done = run(world, flat, "--against", folder, scans=of(flat, "head-1000"))
    assert done.status == 1 and done.json["error"].startswith("None of the scans could be evaluated (") and told in done.json["error"]
    assert "scoring" not in done.err


def test_an_empty_folder_of_maps_is_not_called_one_of_scans(world: World, flat: Path, tmp_path: Path) -> None:
    done = run(world, flat, "--against", tmp_path)
    assert done.status == 1 and f"There is no image in {tmp_path}. " in done.err


def pictures(flat: Path, folder: Path) -> tuple[dict[str, Path], dict[str, np.ndarray]]:
    """Scans, masks and normals as pictures, with lesions that lie in a corner; and (row, column) scores of another tool by name."""
    places, values = {name: folder / name for name in ("scans", "masks", "normals")}, {}
    grey = sitk.RescaleIntensityImageFilter()
    for place in places.values():
        place.mkdir()
    for name, array in scores(flat).items():
        image = sitk.Cast(grey.Execute(sitk.ReadImage(str(of(flat, name)))[:, :, 1]), sitk.sitkUInt8)
        sitk.WriteImage(image, str((places["normals"] if name in NORMALS else places["scans"]) / f"{name}.png"))
        lesion = np.zeros(array.shape[1:], np.uint8)
        if name in LESIONS:
            lesion[20:30, 32:44] = 255
            sitk.WriteImage(sitk.GetImageFromArray(lesion), str(places["masks"] / f"{name}.png"))
        values[name] = score(name, lesion.shape, lesion > 0)
    return places, values


def test_maps_of_pictures_may_be_pictures(world: World, flat: Path, tmp_path: Path) -> None:
    places, values = pictures(flat, tmp_path)
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, array in values.items():
        sitk.WriteImage(sitk.GetImageFromArray((array * 30 + 90).clip(0, 255).astype(np.uint8)), str(folder / f"{name}_map.png"))
    assert theirs(run(world, flat, "--against", folder, **places))["auroc"]["mean"] > 0.8
    (folder / "head-1000_map.png").rename(folder / "head-1000_map.jpg")
    assert "head-1000_map.jpg (JPEG changes the scores)." in run(world, flat, "--against", folder, **places).err


def test_rows_and_columns_that_seem_to_be_exchanged_in_volumes_of_square_pictures_are_told(
    world: World, flat: Path, tmp_path: Path
) -> None:
    places, values = pictures(flat, tmp_path)
    for stored, told in ((np.transpose, False), (np.asarray, True)):  # NIfTI has columns first
        folder = tmp_path / stored.__name__
        folder.mkdir()
        for name, array in values.items():
            nib.save(nib.Nifti1Image(stored(array).astype(np.float32), np.eye(4)), folder / f"{name}_map.nii.gz")
        done = run(world, flat, "--against", folder, **places)
        assert (theirs(done)["auroc"]["mean"] < 0.7) == told
        assert ("warning: With rows and columns exchanged the other tool's maps would have an AUROC of 0.8" in done.err) == told


def test_maps_may_be_called_as_derivatives_by_bids_are(world: World, flat: Path, tmp_path: Path) -> None:
    own, scans, masks = maps(flat, tmp_path / "maps"), tmp_path / "scans", tmp_path / "masks"
    for place in (scans, masks):
        place.mkdir()
    for name in LESIONS:
        shutil.copy(of(flat, name), scans / f"sub-{name[-4:]}_FLAIR.nii.gz")
        shutil.copy(flat / "masks" / f"{name}.nii.gz", masks / f"sub-{name[-4:]}_FLAIR_mask.nii.gz")
        (own / f"{name}_map.nii.gz").rename(own / f"sub-{name[-4:]}_desc-anomaly_FLAIR.nii.gz")
        shutil.copy(masks / f"sub-{name[-4:]}_FLAIR_mask.nii.gz", own / f"sub-{name[-4:]}_desc-anomalyFLAIR_mask.nii.gz")
    assert theirs(run(world, flat, "--against", own, scans=scans, masks=masks))
