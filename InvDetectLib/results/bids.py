"""Results as a BIDS derivative: what makes a folder one, and the files of a result under the names that BIDS gives them.

Images are made where the results are (see `files` for their names); what only InvDetect reads lies beside them, named in .bidsignore.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..common import InvDetectError, __version__, write_whole
from ..scans import DESCRIPTION, WRITER, BidsFolder, Scan, is_written_here, read_description, within_dataset
from .files import SUFFIXES, findings_header, findings_row, write_volume
from .findings import label_findings
from .result import Result

_BIDS_VERSION = "1.10.0"
_RAW = "raw"  # what links call the dataset that was examined
_NO_DIAGNOSIS = "Research use only; not a medical device."
_COLUMNS = {  # by the beginning of a column's name
    "volume": "Volume",
    "area": "Area",
    "peak_score": "Highest value of the anomaly map",
    "mean_score": "Mean of the anomaly map",
    "p_value": "How often a normal scan has such a peak",
    "held_out_normals": "Held-out normal scans or slices behind the p-values",
    "centroid": "Centroid in RAS coordinates",
    "peak": "Voxel of the highest value, counted from 0",
    "first_slice": "First slice, counted from 0 along the plane of the model",
    "last_slice": "Last slice, counted from 0 along the plane of the model",
    "mass": "Integral of the anomaly map above the 99th percentile of normal tissue",
    "p_value_mass": "How often a normal scan has such a mass",
    "stability": "Share of small changes of the scan after which it is still found",
    "looks": "What it looks like beside its surroundings",
    "main_view": "The view of the score that gives most of it",
}
_README = f"""# Anomaly candidates

Written by InvDetect {__version__}. {_NO_DIAGNOSIS}

For each image that was examined there are, in that image's own voxels,

- `desc-anomaly`: the anomaly map; higher is less normal,
- `mask`: 1 inside findings,
- `dseg`: the label of each finding; the table of the same name has one row each.

What `.bidsignore` names besides is for 3D Slicer and for InvDetect itself: `findings.csv` is one table over all images, and a
`.result.json` opens in Slicer.
"""


def begin_derivative(dataset: BidsFolder, out: Path, table: str) -> None:
    """Make `out` a BIDS derivative of `dataset`: its description, .bidsignore and README.

    table  name of the one table over all results
    Raises `InvDetectError` when `out` is a dataset of somebody else or a derivative of another dataset, and when it cannot be written.
    """
    source = dataset.description()
    link = _link(dataset.root, out)
    if (out / DESCRIPTION).exists():
        earlier = read_description(out)
        if not is_written_here(earlier):
            raise InvDetectError(f"{out} is a dataset that InvDetect did not write, and is left as it is; choose another folder.")
        if earlier.get("DatasetLinks") != {_RAW: link}:
            raise InvDetectError(f"{out} holds results of another dataset than {dataset.root}; choose another folder.")
    doi = {"DOI": source["DatasetDOI"]} if isinstance(source.get("DatasetDOI"), str) else {}
    description = {
        "Name": "Anomaly candidates by InvDetect",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": WRITER, "Version": __version__, "Description": "Anomaly maps of models that saw only normal scans"}],
        "SourceDatasets": [{"URL": link, **doi}],
        "DatasetLinks": {_RAW: link},
    }
    ignored = "".join(f"{pattern}\n" for pattern in (f"/{table}", *(f"*{ending}" for ending in SUFFIXES.values())))
    for name, content in ((".bidsignore", ignored), ("README.md", _README), (DESCRIPTION, _json(description))):
        write_whole(out / name, content.encode(), "description of the derivative")


def derivative_files(result: Result, scan: Scan, path: Path) -> Mapping[str, bytes]:
    """The files of a result that BIDS knows, by kind; path  of the scan, in its dataset. Raises as `write_volume` does."""
    source = f"bids:{_RAW}:{within_dataset(path)}"
    facts = {"Sources": [source], "SpatialReference": source}
    rule = result.provenance["request"]["foreground"] or result.preparation.foreground
    of_map = {
        "Description": f"Anomaly map: higher is less normal, {result.calibration.floor:g} where nothing was scored. {_NO_DIAGNOSIS}",
        "SkullStripped": rule == "brain",
        "Threshold": result.controls.threshold,
        "Model": result.provenance["model"],
    }
    _, *columns = findings_header(result.geometry)
    return {
        "bids_map": _volume(result.anomaly_map, result),
        "bids_map_facts": _json({**of_map, **facts}).encode(),
        "bids_mask": _volume(result.mask.astype(np.uint8), result),
        "bids_mask_facts": _json({"Description": f"Anomaly candidates. {_NO_DIAGNOSIS}", "Type": "ROI", **facts}).encode(),
        "bids_labels": _volume(label_findings(result.mask, result.findings), result),
        "bids_labels_facts": _json(
            {"Description": f"Anomaly candidates, by their labels. {_NO_DIAGNOSIS}", **facts, **{name: _column(name) for name in columns}}
        ).encode(),
        "bids_findings": _tsv(["index", "name", *columns], [_row(findings_row(finding)) for finding in result.findings]).encode(),
    }


def _row(cells: Sequence[Any]) -> list[str]:
    label, *others = cells
    return [str(label), f"Finding {label}", *(str(cell) if cell not in ("", None) else "n/a" for cell in others)]


def _column(name: str) -> dict[str, str]:
    known = max((start for start in _COLUMNS if name.startswith(start)), key=len)
    units = {"mm3": "mm^3", "mm2": "mm^2", "mm": "mm", "pixels": "pixel"}
    unit = units.get(name.rpartition("_")[2]) if known != "mass" else None  # which is a volume times a score
    return {"Description": _COLUMNS[known], **({"Units": unit} if unit else {})}


def _tsv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in (header, *rows))


def _volume(values: np.ndarray, result: Result) -> bytes:
    """Values in the scan's own voxels, as compressed NIfTI in its place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "volume.nii.gz")
        write_volume(path, values, result.geometry)
        return path.read_bytes()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _link(dataset: Path, out: Path) -> str:
    """The way from one folder to the other, as descriptions have it; the whole path where they lie on two drives of Windows."""
    try:
        return quote(Path(os.path.relpath(dataset.resolve(), out.resolve())).as_posix())
    except ValueError:
        return dataset.resolve().as_uri()
