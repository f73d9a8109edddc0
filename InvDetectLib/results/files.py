"""The files of a result. How they come into a folder, all of them or none, is the business of `publishing`.

NAME.anomaly.nii.gz   float32, the anomaly map in the scan's own geometry; a 2-D image as a volume of one slice
NAME.pseudo-normal.nii.gz   what the scan would look like if it were normal, in its own intensities and geometry (MatchGen only)
NAME.mask.seg.nrrd    uint8, 1 inside findings, with the header fields by which 3D Slicer makes it a segmentation
NAME.findings.csv     one row a finding, units in the header
NAME.preview.png      the picture (where the scan itself is at hand)
NAME.anomaly.png, NAME.mask.png   8-bit grey, only of 2-D images
NAME.seg.dcm, NAME.map.dcm, NAME.sr.dcm   findings, map and report for an archive (of DICOM series, where it was asked for)
NAME.refine.npz       map, mask and edge weights on the model's grid, for refining without the network
NAME.result.json      everything else; it comes last, so that a folder without it holds no finished result

Of a scan named by BIDS, where a derivative was asked for (see `bids`), with A the entities of NAME and S its suffix:
A_desc-anomaly_S.nii.gz       the map, in place of NAME.anomaly.nii.gz
A_desc-anomalyS_mask.nii.gz   uint8, 1 inside findings
A_desc-anomalyS_dseg.nii.gz   the label of each finding;  A_desc-anomalyS_dseg.tsv  one row each
and a .json beside each image. A desc that NAME has itself comes behind "anomaly".

Nothing inside the files names the scan, a file or a folder: such names carry patients' names. Those of BIDS name the image they come from.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError, parse_json, read_regular, shown
from ..scans import Geometry, read_voxels, write_nifti
from .findings import Finding, volume_unit

SUFFIXES = {
    "map": ".anomaly.nii.gz",
    "pseudo_normal": ".pseudo-normal.nii.gz",
    "mask": ".mask.seg.nrrd",
    "findings": ".findings.csv",
    "preview": ".preview.png",
    "map_picture": ".anomaly.png",
    "mask_picture": ".mask.png",
    "dicom_segmentation": ".seg.dcm",
    "dicom_map": ".map.dcm",
    "dicom_report": ".sr.dcm",
    "refine": ".refine.npz",
    "result": ".result.json",
}
BIDS_ENDINGS = {  # behind A_desc-anomaly: of what is called by the suffix of the scan itself, and of what has one of its own
    "bids_map": "{own}_{suffix}.nii.gz",
    "bids_map_facts": "{own}_{suffix}.json",
    "bids_mask": "{own}{suffix}_mask.nii.gz",
    "bids_mask_facts": "{own}{suffix}_mask.json",
    "bids_labels": "{own}{suffix}_dseg.nii.gz",
    "bids_labels_facts": "{own}{suffix}_dseg.json",
    "bids_findings": "{own}{suffix}_dseg.tsv",
}
IN_PLACE_OF = {"bids_map": "map"}  # a file that is not written where there is the other
FORMAT, VERSION = "invdetect-result", 1
# What reading a damaged zip in memory raises, or one that is encrypted (RuntimeError) or packed in a way that is not known here.
BAD_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, KeyError, EOFError, ValueError)
_LARGEST_JSON = 256 << 20  # bytes: some hundred thousand findings
_ZIP = 1 << 20  # bytes that an .npz may have besides its arrays
_NPY_HEADER = 4096  # bytes before an array's values, at most
SEGMENT_COLOUR = (1.0, 0.3, 0.0)
# The terminology of the extension: category and type by code, so that Slicer and DICOM exports say "anomaly candidate", not "tissue".
SEGMENT_TERM = "InvDetect anomalies~SCT^49755003^Morphologically Altered Structure~99INVDETECT^ANOM^Anomaly candidate~^^~~^^~^^"


def file_names(name: str) -> dict[str, str]:
    """What the files of the result NAME are called, by kind; the result.json comes last. Only a name by BIDS gives names by BIDS."""
    own = {kind: name + ending for kind, ending in SUFFIXES.items()}
    if not name.startswith("sub-"):
        return own
    entities, _, suffix = name.rpartition("_")
    entities, _, description = entities.partition("_desc-")
    ends = {kind: ending.format(own=description, suffix=suffix) for kind, ending in BIDS_ENDINGS.items()}
    return {**{kind: f"{entities}_desc-anomaly{end}" for kind, end in ends.items()}, **own}


def write_map(path: Path, anomaly_map: np.ndarray, geometry: Geometry) -> None:
    """A (slice, row, column) map as compressed NIfTI of float32; errors as of `write_volume`."""
    write_volume(path, np.asarray(anomaly_map, np.float32), geometry)


def write_volume(path: Path, values: np.ndarray, geometry: Geometry) -> None:
    """(slice, row, column[, channel]) values as compressed NIfTI; of a NIfTI scan with both its forms and their codes.

    Raises OSError, also for a full disk; InvDetectError for sheared axes.
    """
    axes = np.reshape(geometry.direction, (3, 3))
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):  # the writer would turn them silently, and the map would lie elsewhere
        raise InvDetectError("The axes of the scan are sheared, which a NIfTI map cannot say. Resample the scan to axes at right angles.")
    if geometry.forms is not None:
        write_nifti(path, values, geometry.forms)
        return
    _write_image(replace(geometry, dimension=3).to_image(values), path)
    # ITK's NIfTI writer does not notice a full disk, and its reader does not notice the missing end: only gzip's own check does
    try:
        with gzip.open(path) as packed:
            while packed.read(1 << 22):
                pass
    except (EOFError, zlib.error) as error:
        raise OSError("the file came out incomplete; the disk may be full") from error


def read_volume(path: Path, geometry: Geometry) -> np.ndarray | None:
    """What `write_volume` wrote; None where there is no such file. Raises InvDetectError for one that is damaged or of another scan.

    It may be a stranger's, and is read as scans are: in a process of its own, within limits of time and memory.
    """
    if not os.path.exists(path):  # of a name that is too long `Path` would raise
        return None
    try:
        values, _, _ = read_voxels(path, None, vectors=True)
    except InvDetectError as error:
        raise InvDetectError(f"{error} Or delete it, or detect again.") from error
    if values.shape[:3] != geometry.shape:
        raise InvDetectError(f"{path} has shape {values.shape}, the scan of this result {geometry.shape}. Delete it, or detect again.")
    return values


def write_segmentation(path: Path, mask: np.ndarray, geometry: Geometry) -> None:
    """A (slice, row, column) bool mask as a NRRD that 3D Slicer opens as a segmentation with one segment, "Anomaly". Raises OSError."""
    image = replace(geometry, dimension=3).to_image(np.asarray(mask, np.uint8))
    slices, rows, columns = geometry.shape
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segment0_ID": "Anomaly",
        "Segment0_Name": "Anomaly",
        "Segment0_NameAutoGenerated": "0",
        "Segment0_Color": " ".join(f"{part:g}" for part in SEGMENT_COLOUR),
        "Segment0_ColorAutoGenerated": "0",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Extent": f"0 {columns - 1} 0 {rows - 1} 0 {slices - 1}",
        "Segment0_Tags": f"TerminologyEntry:{SEGMENT_TERM}|",
    }
    for key, value in fields.items():
        image.SetMetaData(key, value)
    _write_image(image, path)


def write_grey(path: Path, values: np.ndarray, black: float, white: float) -> None:
    """A (row, column) array as an 8-bit grey PNG: `black` and below is 0, `white` and above 255, linear between. Raises OSError."""
    share = (np.asarray(values, np.float64) - black) / (white - black)
    _write_image(sitk.GetImageFromArray(np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)), path)


def write_findings(path: Path, findings: Sequence[Finding], geometry: Geometry, more: Mapping[str, Sequence[Any]] | None = None) -> None:
    """One row a finding. The header names the units: volume_mm3, volume_pixels, or area_mm2 of a 2-D image. Raises OSError.

    more  further columns: their names, and for each finding a cell
    """
    more = more or {}
    rows = [[*findings_row(finding), *(cells[i] for cells in more.values())] for i, finding in enumerate(findings)]
    path.write_text(csv_text([*findings_header(geometry), *more], rows), encoding="utf-8", newline="")


def findings_header(geometry: Geometry) -> list[str]:
    """The columns of a findings table for scans of this geometry; `findings_row` gives the cells in this order."""
    volume = {"mm3": "volume_mm3", "mm2": "area_mm2", "pixels": "volume_pixels"}[volume_unit(geometry)]
    length = "pixels" if geometry.unit == "pixel" else "mm"
    centroid = [f"centroid_{axis}_{length}" for axis in ("right", "anterior", "superior")]
    return [
        *("finding", volume, "peak_score", "mean_score", "p_value", "held_out_normals", *centroid),
        *("peak_slice", "peak_row", "peak_column", "first_slice", "last_slice", f"mass_score_{volume_unit(geometry)}"),
        *("p_value_mass", "stability", "looks", "main_view"),
    ]


def findings_row(finding: Finding) -> list[Any]:
    """The cells of one finding; what is not known is an empty cell."""
    p, mass, p_mass = ("" if one is None else f"{one:.4g}" for one in (finding.p_value, finding.mass, finding.p_value_mass))
    stability = "" if finding.stability is None else f"{finding.stability:.2g}"
    return [
        *(finding.label, f"{finding.volume:.10g}", f"{finding.peak:.6g}", f"{finding.mean:.6g}", p, finding.normals),
        *(f"{position:.3f}" for position in finding.centroid_ras),
        *(*finding.peak_index, finding.first_slice, finding.last_slice, mass, p_mass, stability),
        *(("", "") if finding.reasons is None else (finding.reasons.looks, finding.reasons.main_view)),
    ]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Plain CSV. A text cell that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([_harmless(cell) for cell in header])
    table.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Arrays as a compressed .npz; returns its sha256 (hex). Raises OSError."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    path.write_bytes(packed.getbuffer())
    return hashlib.sha256(packed.getbuffer()).hexdigest()


def read_arrays(path: Path, digest: str, shapes: dict[str, tuple[np.dtype, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote. InvDetectError when the file is missing, has another sha256, dtype or shape, or holds NaN."""
    most = _ZIP + 2 * sum(math.prod(shape) * dtype.itemsize for dtype, shape in shapes.values())
    try:
        content = read_regular(path, most)
    except OSError as error:
        raise InvDetectError(
            f"{path} cannot be read ({error.strerror}); a result needs it beside its result.json. Copy both together, or detect again."
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise InvDetectError(
            f"{path} is damaged, or belongs to another result than the result.json beside it. Copy both together, or detect again."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            arrays = {name: _unpacked(packed, name, *layout) for name, layout in shapes.items()}
    except (*BAD_ZIP, OSError) as error:
        raise InvDetectError(f"{path} does not hold what a result needs ({shown(error)}). Detect again.") from error
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InvDetectError(f"{path}: {name} is not finite; the file is damaged. Detect again.")
    return arrays


def _unpacked(packed: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """One array of an .npz. What its directory and its own header say is compared before anything is inflated: a file of 13 MB can hold
    gigabytes. ValueError, which is one of `BAD_ZIP`, for another array."""
    member, size = packed.getinfo(f"{name}.npy"), math.prod(shape) * dtype.itemsize
    if not size < member.file_size <= size + _NPY_HEADER:
        raise ValueError(f"{name} would take {member.file_size} bytes where {size} belong")
    with packed.open(member) as file:
        start = io.BytesIO(file.read(_NPY_HEADER))
    try:
        if np.lib.format.read_magic(start) != (1, 0):
            raise ValueError(f"{name} is of a kind that results do not hold")
        found, _, kind = np.lib.format.read_array_header_1_0(start)
    except Exception as error:  # numpy takes it for Python's source, and whatever Python's parser raises for a damaged one comes through
        raise ValueError(f"the header of {name} cannot be read") from error
    if found != shape or kind != dtype:
        raise ValueError(f"{name} is {kind} {found} where {dtype} {shape} belongs")
    with packed.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """UTF-8 JSON under the format's name and version. Raises OSError."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote. InvDetectError when the file is missing, no result of ours, or of a newer version."""
    try:
        content = parse_json(read_regular(path, _LARGEST_JSON).decode("utf-8"))
    except OSError as error:
        raise InvDetectError(f"{path} cannot be read ({error.strerror}). Give the path of a NAME.result.json.") from error
    except (ValueError, RecursionError) as error:
        why = f"is damaged or no result of InvDetect ({shown(error)})"
        raise InvDetectError(f"{path} {why}. Give the path of a NAME.result.json.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvDetectError(f"{path} is JSON, but no result of InvDetect. Give the path of a NAME.result.json.")
    version = content.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise InvDetectError(
            f"{path} is a result of version {shown(version)}; this InvDetect reads up to version {VERSION}. Update InvDetect, or detect "
            "again."
        )
    return content


def _write_image(image: sitk.Image, path: Path) -> None:
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:  # ITK's own text is a stack of C++ sources, without the reason more often than not
        raise OSError("an image could not be written; the disk may be full") from error
