"""What the campaign damages: a small sound file of every kind that InvDetect reads, made anew each time or taken from `Testing/golden`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image
from pydicom.uid import UID

from Testing.campaign.mutations import (
    Generator,
    Mutation,
    anywhere,
    arrays_of_result,
    behind,
    chunks,
    fields,
    leaves,
    lines,
    one_of,
    packed,
    pick,
    tensors,
)
from Testing.support import REPOSITORY
from Testing.support.made_dicom import place, write_frames, write_image
from Testing.support.made_pictures import write_tiff

GOLDEN = REPOSITORY / "Testing" / "golden"
_END = b"\n\n"  # of an NRRD's header
_LOCAL = b"ElementDataFile = LOCAL\n"


@dataclass(frozen=True)
class Base:
    """A sound input.

    room    how it is tried: a name in the table of `files`
    files   its content by file name;  entry  the name that is opened, "" for the folder itself
    damage  by file name: how its format is damaged; files without one stay whole
    both    damages several files so that they fit each other again, instead of one
    """

    name: str
    room: str
    files: dict[str, bytes]
    entry: str
    damage: dict[str, Mutation]
    both: Callable[[dict[str, bytes], Generator], dict[str, bytes]] | None = None

    def damaged(self, rng: Generator) -> dict[str, bytes]:
        """The same files, one of them damaged."""
        if self.both is not None and rng.random() < 0.3:
            return self.both(self.files, rng)
        name = pick(rng, sorted(self.damage))
        mutation = self.damage[name] if rng.random() < 0.6 else anywhere
        return {**self.files, name: mutation(self.files[name], rng)}


def every_base() -> list[Base]:
    """All of them, always the same and in the same order."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_volumes(Path(folder)), *_pictures(Path(folder)), *_dicom(Path(folder)), *_own()]


def _volumes(folder: Path) -> list[Base]:
    rng = np.random.default_rng(0)
    array = (np.hypot(*np.ogrid[-1:1:24j, -1:1:20j]) < 0.8) * rng.integers(50, 90, (3, 24, 20)).astype(np.int16)
    image = sitk.GetImageFromArray(array.astype(np.int16))
    image.SetSpacing((1.5, 1.5, 4.0))
    nifti, nrrd, meta = fields(0, 348), lines(_END), lines(_LOCAL)
    plans: list[tuple[str, bool, dict[str, Mutation]]] = [
        ("a.nii", False, {"a.nii": nifti}),
        ("a.nii.gz", True, {"a.nii.gz": one_of(packed(nifti), packed(anywhere))}),
        ("a.hdr", False, {"a.hdr": nifti, "a.img": anywhere}),
        ("a.nrrd", False, {"a.nrrd": nrrd}),
        ("z.nrrd", True, {"z.nrrd": one_of(nrrd, behind(_END, packed(anywhere)), behind(_END, fields(0, 40)))}),
        ("a.nhdr", False, {"a.nhdr": lines(), "a.raw": anywhere}),
        ("z.nhdr", True, {"z.nhdr": lines(), "z.raw.gz": packed(anywhere)}),
        ("a.mha", False, {"a.mha": meta}),
        ("z.mha", True, {"z.mha": one_of(meta, behind(_LOCAL, fields(0, 40)))}),
        ("a.mhd", False, {"a.mhd": lines(), "a.raw": anywhere}),
        ("z.mhd", True, {"z.mhd": lines(), "z.zraw": fields(0, 40)}),
    ]
    found = [Base(entry, "scan", _written(folder, image, entry, small), entry, damage) for entry, small, damage in plans]
    mask = sitk.GetImageFromArray((array > 70).astype(np.uint8))
    mask.CopyInformation(image)
    sound = _written(folder, image, "scan.nii", False)
    for ending, damage in ((".seg.nrrd", nrrd), (".nii.gz", packed(nifti)), (".mha", meta)):
        name = f"mask{ending}"
        found.append(Base(f"a mask, {ending}", "mask", {**sound, **_written(folder, mask, name, True)}, name, {name: damage}))
    masks = {f"masks/{name}": _written(folder, mask, name, True)[name] for name in ("scan_mask.nii.gz", "other_mask.nii.gz")}
    found.append(Base("a folder of masks", "masks", {**sound, **masks}, "masks", {"masks/scan_mask.nii.gz": packed(nifti)}))
    return found


def _written(folder: Path, image: sitk.Image, name: str, small: bool) -> dict[str, bytes]:
    own = Path(tempfile.mkdtemp(dir=folder))
    sitk.WriteImage(image, str(own / name), useCompression=small)
    return {path.name: path.read_bytes() for path in own.iterdir()}


def _pictures(folder: Path) -> list[Base]:
    rng = np.random.default_rng(1)
    grey = rng.integers(40, 200, (24, 20), np.uint8)
    colour = rng.integers(40, 200, (24, 20, 3), np.uint8)
    for name, array in (("grey", grey), ("colour", colour)):
        for ending in (".png", ".jpg", ".bmp"):
            Image.fromarray(array).save(folder / (name + ending))
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "deep.png")
    Image.fromarray(grey).save(folder / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(colour).save(folder / "jpeg.tif", compression="jpeg")
    write_tiff(folder / "tiles.tif", grey, tile=16)
    write_tiff(folder / "pages.tif", grey, grey[::-1], order=">")
    formats: dict[str, Mutation] = {".png": chunks, ".jpg": fields(0, 700), ".bmp": fields(0, 60), ".tif": fields(0, 4000)}
    names = sorted(path.name for path in folder.iterdir() if path.suffix in formats)
    return [Base(name, "scan", {name: (folder / name).read_bytes()}, name, {name: formats[Path(name).suffix]}) for name in names]


def _written_dicom(path: Path) -> bytes:
    """The content of a file with an identifier that is always the same."""
    data = pydicom.dcmread(path)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID(f"1.2.3.{len(path.stem)}.{int(path.stem[-1], 36)}")
    data.save_as(path)
    return path.read_bytes()


def _dicom(folder: Path) -> list[Base]:
    rng = np.random.default_rng(2)
    pixels = rng.integers(40, 200, (3, 24, 20)).astype(np.uint16)
    elements = fields(128, 1400)
    one = _written_dicom(write_image(folder / "one.dcm", pixels[0]))
    frames = _written_dicom(write_frames(folder / "frames.dcm", pixels, (0.0, 2.5, 5.0)))
    series = {}
    for number, slice_ in enumerate(pixels):
        path = folder / f"slice{number}.dcm"
        write_image(path, slice_, ImagePositionPatient=place(2.5 * number), InstanceNumber=number + 1)
        series[path.name] = _written_dicom(path)
    return [
        Base("one.dcm", "scan", {"one.dcm": one}, "one.dcm", {"one.dcm": elements}),
        Base("frames.dcm", "scan", {"frames.dcm": frames}, "frames.dcm", {"frames.dcm": fields(128, 3000)}),
        Base("a DICOM folder", "scan", series, "", dict.fromkeys(series, elements)),
    ]


def _own() -> list[Base]:
    found = []
    scan = {"scan.nii.gz": (GOLDEN / "scan.nii.gz").read_bytes()}
    for method in ("invdetect", "matchgen"):
        name = f"{method}.invdetect"
        model = {name: (GOLDEN / name).read_bytes()}
        header = one_of(tensors(True), tensors(True), tensors(True), fields(0, 60))
        found.append(Base(f"a model, {method}", "model", {**scan, **model}, name, {name: header}))
        parts = [GOLDEN / f"result-{method}" / f"scan.{ending}" for ending in ("result.json", "refine.npz", "pseudo-normal.nii.gz")]
        files = {path.name: path.read_bytes() for path in parts if path.exists()}
        found.append(Base(f"a result, {method}", "result", files, "scan.result.json", {"scan.result.json": leaves}, _fitting))
    name = "invdetect.invdetect.checkpoint"
    found.append(Base("a checkpoint", "checkpoint", {name: (GOLDEN / name).read_bytes()}, name, {name: tensors(False)}))
    card = b'{"intended_use": "made heads", "limits": "no others",\n "licence": "CC0"}'
    found.append(Base("texts of a card", "card", {"card.json": card}, "card.json", {"card.json": leaves}))
    return found


def _fitting(files: dict[str, bytes], rng: Generator) -> dict[str, bytes]:
    told, arrays = arrays_of_result(files["scan.result.json"], files["scan.refine.npz"], rng)
    return {**files, "scan.result.json": told, "scan.refine.npz": arrays}
