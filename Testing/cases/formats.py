"""Files of every format: read as another reader has them, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from InvDetectLib.common import InvDetectError
from InvDetectLib.scans import Scan, read_scan
from Testing.cases.trying import Check, Wrong, detected, in_the_world, invdetect


def refusal(path: Path, *words: str, series: str | None = None) -> str:
    """The sentence with which reading is refused; it must hold these words."""
    try:
        read_scan(path, series)
    except InvDetectError as error:
        if missing := [word for word in words if word not in str(error)]:
            raise Wrong(f"refused, but {missing} is not said: {error}") from None
        return str(error)
    raise Wrong(f"{path.name} is read")


def same(scan: Scan, values: np.ndarray, tolerance: float = 0.0) -> None:
    """The voxels are these."""
    if scan.array.shape != values.shape or np.abs(scan.array.astype(float) - values).max() > tolerance:
        raise Wrong(f"{scan.name}: other voxels ({scan.array.shape} instead of {values.shape})")


def as_sitk(path: Path) -> np.ndarray:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array[None] if array.ndim == 2 else array


def metaimage(case: Path, work: Path) -> str:
    good = as_sitk(case / "good.mha")
    same(read_scan(case / "good.mha"), good)
    same(read_scan(case / "no-size.mha"), good)
    return f"right: no-size.mha as good.mha; refused: {refusal(case / 'cut.mhd', 'cut off')}"


def shuffled_frames(case: Path, work: Path) -> str:
    one, other = read_scan(case / "asc.dcm"), read_scan(case / "shuffled.dcm")
    same(other, one.array)
    same(one, as_sitk(case / "asc.dcm"))
    assert one.geometry == other.geometry
    return "right: the frames lie in the order of their places"


def two_echoes(case: Path, work: Path) -> str:
    told = refusal(case / "twoecho.dcm", "holds 2 DICOM series", "#1", "#2", "--series")
    uid = told.partition("series: ")[2].partition("#")[0]
    sizes = {read_scan(case / "twoecho.dcm", f"{uid}#{number}").array.shape for number in (1, 2)}
    if sizes != {(4, 64, 64)}:
        raise Wrong(f"the echoes have {sizes}")
    return f"refused: {told}; right: each of the two can be chosen"


def slopes(case: Path, work: Path) -> str:
    same(read_scan(case / "slopes.dcm"), read_scan(case / "right.dcm").array, 0.01 * 788)  # the slopes were stored rounded
    return "right: each frame has its own slope"


def as_reference(name: str, scale: float = 1.0) -> Check:
    def check(case: Path, work: Path) -> str:
        same(read_scan(case / name), as_sitk(case / "ref8.png") / scale, 1e-3)
        return f"right: {name} shows what ref8.png shows"

    return check


def stack(case: Path, work: Path) -> str:
    shape = read_scan(case / "ijstack.tif").array.shape
    assert shape[0] == 3, shape
    return "right: all 3 slices"


def in_place(*names: str) -> Check:
    """Map and scan lie where nibabel says, in both forms, and something was said about the header."""

    def check(case: Path, work: Path) -> str:
        said = []
        for name in names:
            scan, stored = read_scan(case / name), nib.load(case / name)
            corners = np.array([(0, 0, 0), *(np.array(scan.geometry.shape) - 1)[None]])
            expected = corners[:, ::-1] @ stored.affine[:3, :3].T + stored.affine[:3, 3]
            if np.abs(scan.geometry.ras_from_index(corners) - expected).max() > 0.01 or not scan.warnings:
                raise Wrong(f"{name} lies elsewhere, or nothing is said: {scan.warnings}")
            found = nib.load(detected(case / name, work / name) / f"{scan.name}.anomaly.nii.gz")
            for form in (lambda image: image.get_sform(coded=True), lambda image: image.get_qform(coded=True)):
                (one, code), (other, its) = form(stored), form(found)
                if code != its or (code and np.abs(one - other).max() > 1e-3):
                    raise Wrong(f"the map of {name} has another form than its scan")
            assert np.allclose(in_the_world(case / name)[1], in_the_world(work / name / f"{scan.name}.anomaly.nii.gz")[1], atol=1e-3)
            said.append(scan.warnings[0])
        return f"right: {'; '.join(said)}"

    return check


def upright(case: Path, work: Path) -> str:
    plain = read_scan(case / "exif1.jpg").array
    for name in ("exif6.jpg", "exif6.png", "orientation6.tif"):
        turned = read_scan(case / name)
        if turned.array.shape[1:3] != (plain.shape[2], plain.shape[1]) or not turned.warnings:
            raise Wrong(f"{name} lies on its side")
    same(read_scan(case / "orientation6.tif"), read_scan(case / "exif6.png").array)
    return f"right: {turned.warnings[0]}"


def refused_as(name: str, *words: str) -> Check:
    return lambda case, work: f"refused: {refusal(case / name, *words)}"


def whole_series(count: int) -> Check:
    def check(case: Path, work: Path) -> str:
        scan = read_scan(case / "series")
        assert scan.array.shape[0] == count, scan.array.shape
        return f"right: {count} slices; {'; '.join(scan.warnings)}"

    return check


def mixed_greys(case: Path, work: Path) -> str:
    run = invdetect("train", case, "-o", work / "m.invdetect", "--dry-run", "--preset", "quick", "--json")
    assert run.status == 0, run.err
    channels: set[int] = {read_scan(path).channels for path in case.glob("*.*") if path.suffix in (".png", ".jpg")}
    assert channels == {1}, channels
    if "left out" in run.err and "colour" in run.err:
        raise Wrong(run.err)
    return "right: all nine are grey"


CASES: dict[str, Callable[[Path, Path], str]] = {
    "01-compressed-metaimage-garbage": metaimage,
    "02a-enhanced-frames-order": shuffled_frames,
    "02b-enhanced-two-echoes": two_echoes,
    "02d-enhanced-slopes": slopes,
    "03a-tiff-grey-alpha": as_reference("greyalpha.tif"),
    "03c-tiff-min-is-white": as_reference("miniswhite.tif"),
    "03d-tiff-half": as_reference("half.tif", 255.0),
    "03e-tiff-imagej-stack": stack,
    "04-nifti-negative-pixdim": in_place("negative-pixdim.nii.gz"),
    "05-exif-orientation": upright,
    "06a-qform-sform-differ": in_place("rotated.nii.gz", "shifted-mni.nii.gz"),
    "07-pixdim-against-sform": in_place("pixdim-zero.nii.gz", "pixdim-other.nii.gz"),
    "11-siemens-mosaic": refused_as("mosaic.dcm", "mosaic", "dcm2niix"),
    "12-last-slice-unread": whole_series(8),
    "13-nrrd-bzip2": refused_as("bzip2.nrrd", "bzip2"),
    "26-no-preamble": whole_series(4),
    "28-grey-stored-as-rgb": mixed_greys,
}
