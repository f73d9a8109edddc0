"""A whole `Result` inside the scene, so that its mask can be refined after the scene was saved and loaded, with no network.

It is kept as the very files that `Result.load` reads, in one hidden volume of bytes: an uncompressed zip of result.json and refine.npz,
4096 bytes a row. Measured beside it (18 MB, 155 slices of 128 x 128; and 117 MB, 256 slices of 256 x 256), saving and loading the .mrb:
this one 0.1 s and 0.7 s; a text node with base64 0.2 s and 2 to 3 s, and a third larger; a compressed volume 2.2 s and 16 s.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import BAD_ZIP, SUFFIXES, Controls, Result

from .nodes import ResultNodes, read_facts, write_facts
from .volumes import array_of, hidden_node

MISSING = (
    "This result was saved without what the sliders need, so its mask stays as it is. Detect again to refine it, and save the scene "
    "with all its files."
)
_DAMAGED = "What the scene keeps for refining is damaged, so the mask stays as it is. Detect again."
_ROW = 4096
_NAME = "result"  # of the files inside: a scan's name has no place in them


def keep(result: Result, node: Any = None, files: Path | None = None) -> Any:
    """The node that keeps `result`; a new one, or the given one with new content.

    files  the NAME.result.json of this very result if it was written already (by the worker), its NAME.refine.npz beside it: saves the
           time of packing again
    """
    if files is not None:
        content = _zipped(files, files.with_name(files.name.replace(SUFFIXES["result"], SUFFIXES["refine"])))
    else:
        with tempfile.TemporaryDirectory(prefix="invdetect-") as folder:
            path = replace(result, name=_NAME).save_for_loading(Path(folder))
            content = _zipped(path, path.with_name(_NAME + SUFFIXES["refine"]))
    if node is None:
        node = slicer.mrmlScene.AddNode(hidden_node("vtkMRMLScalarVolumeNode", "InvDetect refinement data"))
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetUseCompression(False)  # it is compressed already
    image = vtk.vtkImageData()
    image.SetDimensions(_ROW, -(-len(content) // _ROW), 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    values[: len(content)] = np.frombuffer(content, np.uint8)
    values[len(content) :] = 0
    node.SetAndObserveImageData(image)
    write_facts(node, "Bytes", len(content))
    return node


def keep_controls(node: Any, controls: Controls) -> None:
    """Remembers where the sliders stand, at `node`: cheap, and enough for `restore` to give the same mask."""
    write_facts(node, "Controls", asdict(controls))


def restore(nodes: ResultNodes) -> Result | None:
    """The result that `keep` kept, at the controls that `keep_controls` kept last; None when it is not in the scene (see `MISSING`).

    Raises InvDetectError when it is there but damaged. Takes seconds for a large volume: the map is brought back to the scan's voxels.
    """
    content = content_of(nodes)
    if content is None:
        return None
    result, controls = unpack(content), controls_of(nodes)
    if nodes.input is not None:
        result = replace(result, name=nodes.input.GetName())
    if controls == result.controls:
        return result
    threshold = controls.threshold if controls.rate is None else None
    return result.refine(controls.contiguity, controls.rate, threshold, controls.scr)


def is_kept(nodes: ResultNodes) -> bool:
    """Whether what `keep` kept is in the scene."""
    return nodes.stored is not None and nodes.stored.GetImageData() is not None


def content_of(nodes: ResultNodes) -> bytes | None:
    """What `keep` kept, for `unpack`, as a copy; None when it is not in the scene."""
    if not is_kept(nodes):
        return None
    size = read_facts(nodes.stored, "Bytes")
    return array_of(nodes.stored).reshape(-1)[: size if isinstance(size, int) else 0].tobytes()


def controls_of(nodes: ResultNodes) -> Controls:
    """The controls that `keep_controls` kept last. Raises InvDetectError when they are damaged."""
    try:
        return Controls.from_dict(read_facts(nodes.stored, "Controls"))
    except InvDetectError as error:
        raise InvDetectError(_DAMAGED) from error


def unpack(content: bytes, anomaly_map: np.ndarray | None = None, mask: np.ndarray | None = None) -> Result:
    """The result as it was when `keep` kept it. Touches no scene, so that it can be done in the background.

    anomaly_map, mask  see `Result.load`. Raises InvDetectError for damaged content.
    """
    with tempfile.TemporaryDirectory(prefix="invdetect-") as folder:
        return Result.load(_unzipped(content, Path(folder), _NAME)[0], anomaly_map, mask)


def write_kept(nodes: ResultNodes, folder: Path, name: str) -> list[Path]:
    """Write what `keep` kept as NAME.result.json, whose path comes first, and NAME.refine.npz into a folder, for `Result.load`.

    Raises InvDetectError when it is not in the scene or damaged, or there is no room for it.
    """
    content = content_of(nodes)
    if content is None:
        raise InvDetectError(MISSING)
    try:
        return _unzipped(content, folder, name)
    except OSError as error:
        raise InvDetectError(f"The result cannot be handed over ({error.strerror or error}); free some space on the disk.") from error


def _unzipped(content: bytes, folder: Path, name: str) -> list[Path]:
    suffixes = (SUFFIXES["result"], SUFFIXES["refine"])
    for suffix in suffixes:
        (folder / (name + suffix)).write_bytes(_member(content, _NAME + suffix))
    return [folder / (name + suffix) for suffix in suffixes]


def _member(content: bytes, name: str) -> bytes:
    """One file of the zip. Raises InvDetectError for a zip that `keep` did not write: damaged, encrypted, or compressed, which could
    inflate to anything."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if packed.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile("it is compressed")
            return packed.read(name)
    except BAD_ZIP as error:
        raise InvDetectError(_DAMAGED) from error


def _zipped(json_file: Path, arrays_file: Path) -> memoryview:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.write(json_file, _NAME + SUFFIXES["result"])
        archive.write(arrays_file, _NAME + SUFFIXES["refine"])
    return packed.getbuffer()
