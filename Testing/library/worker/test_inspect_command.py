"""The worker's commands `inspect` and `preview`: what lies in a folder of normal scans, and what a model will see of one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.scans import read_scan
from Testing.support.tiny_model import TINY, World, of_one_name
from Testing.support.worker_clients import ask, done


def test_a_folder_is_shown_with_all_that_was_found_in_it(client: WorkerClient, world: World) -> None:
    reply = done(client, "inspect", folder=str(world.normals), settings=TINY.as_dict())
    usable = [row for row in reply["scans"] if not row["problem"]]
    assert len(usable) == 8 and reply["problem"] == "" and reply["preparation"]["channels"] == 1
    row = next(row for row in usable if row["file"] == "2019/maria lopez/head-0003.nrrd")
    assert (row["size"], row["spacing"], row["kind"], row["orientation"]) == ([64, 64, 3], [3.5, 3.5, 24.0], "grey", "LPS")
    assert row["range"][0] < row["range"][1] and Path(row["path"]).is_file()
    others = {Path(row["file"]).name: row["problem"] for row in [*reply["scans"], *reply["left_out"]] if row["problem"]}
    assert others.keys() == world.left_out.keys() and all(words in others[name] for name, words in world.left_out.items())
    pictures = [client.take(row["thumbnail"]) for row in reply["scans"]]
    assert {picture.dtype.name for picture in pictures} == {"uint8"} and max(max(picture.shape) for picture in pictures) == 96
    assert {picture.ndim for picture in pictures} == {2, 3}


def test_a_folder_that_cannot_be_trained_on_is_shown_with_the_reason(client: WorkerClient, world: World, tmp_path: Path) -> None:
    shutil.copy(world.normals / "mueller" / "head-0001.nii.gz", tmp_path)
    reply = done(client, "inspect", folder=str(tmp_path), preset="quick", grid=64)
    assert len(reply["scans"]) == 1 and "at least 3 are needed" in reply["problem"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "There is no scan in" in done(client, "inspect", folder=str(empty))["problem"]
    assert "no preset 'best'" in ask(client, "inspect", folder=str(tmp_path), preset="best")["text"]


def test_thumbnails_are_upright_whatever_way_the_file_runs(client: WorkerClient, scan: Path, tmp_path: Path) -> None:
    for orientation in ("LPS", "RAI", "SAR"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(scan)), orientation), str(tmp_path / f"{orientation}.nrrd"))
    rows = done(client, "inspect", folder=str(tmp_path), settings=TINY.as_dict())["scans"]
    first, *others = [client.take(row["thumbnail"]).astype(int) for row in rows]
    assert len(others) == 2 and first.shape == (96, 96)
    assert all(np.abs(first - other).max() <= 1 for other in others)
    assert first.std() > 20 and np.abs(first - first[::-1]).max() > 20


def test_a_preview_shows_what_the_model_will_see(client: WorkerClient, scan: Path) -> None:
    reply = done(client, "preview", scan=str(scan), settings=TINY.as_dict(), slice=1)
    image, inside = client.take(reply["image"]), client.take(reply["foreground"]) > 0
    assert (image.dtype, image.shape, inside.shape) == (np.uint8, (64, 64), (64, 64))
    assert (reply["patch_size"], reply["slice"], reply["slices"], reply["unit"]) == (16, 1, 3, "mm")
    corners = np.array(reply["patches"])
    assert len(corners) > 20 and corners.max() <= 48 and all(inside[r : r + 16, c : c + 16].mean() >= 0.05 for r, c in corners)
    assert np.corrcoef(image[inside], read_scan(scan).array[1][inside])[0, 1] > 0.9
    assert "There is no slice 7" in ask(client, "preview", scan=str(scan), settings=TINY.as_dict(), slice=7)["text"]


def test_a_preview_shows_the_foreground_mask_of_the_scans_own_folder(client: WorkerClient, tmp_path: Path) -> None:
    scans, masks = of_one_name(tmp_path)
    settings = dataclasses.replace(TINY, preparation=dataclasses.replace(TINY.preparation, foreground="masks")).as_dict()
    words = {"settings": settings, "masks": str(masks), "slice": 1}
    for patient, columns in (("p1", slice(0, 32)), ("p2", slice(32, 64))):
        reply = done(client, "preview", scan=str(scans / patient / "flair.nii.gz"), folder=str(scans), **words)
        inside = client.take(reply["foreground"]) > 0
        assert inside[:, columns].all() and inside.sum() == 64 * 32
    told = ask(client, "preview", scan=str(scans / "p1" / "flair.nii.gz"), **words)["text"]
    assert told.startswith("Several masks fit flair")
