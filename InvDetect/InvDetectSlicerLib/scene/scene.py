"""A `Result` in the scene: map over the scan, findings as segments and as a table, in the scan's place and beside it in the hierarchy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Result, label_findings
from InvDetectLib.scans import SliceGrid, is_invertible

from . import display, mask
from .findings_table import DISMISSED, fill_table, findings_of, geometry_in, peak_ras, reviews_of, write_reviews
from .following import follow
from .nodes import ROLES, ResultNodes, nodes_of, write_facts
from .stored_result import keep, keep_controls
from .volumes import add_like, array_in, geometry_of, ijk_to_ras, place_like, same_place, set_voxels

FOLDER = "InvDetect results"
MOVED = "{} has another size or place than the scan of this result: it was changed while it was examined. Detect again."


def show_result(result: Result, volume: Any, into: ResultNodes | None = None, files: Path | None = None, show: bool = True) -> ResultNodes:
    """Everything of a result as nodes, in the place of the examined `volume`, which is not changed.

    into   nodes to be overwritten: its map, segmentation and table where they are given; everything else is made anew, under a new name
    files  see `stored_result.keep`
    show   lay the map over the scan in all slice views

    Raises InvDetectError when volume and result do not fit each other, or an output is the scan itself; new nodes are taken away then.
    """
    if not same_place(geometry_of(volume), result.geometry):  # findings and segments would lie where the scan was, and the map where it is
        raise InvDetectError(MOVED.format(f'"{volume.GetName()}"'))
    into = into or ResultNodes()
    if any(node is volume for node in into.made()):
        raise InvDetectError(f'"{volume.GetName()}" is the scan itself and cannot take up a result. Choose another output.')
    name, nodes = volume.GetName(), ResultNodes(volume)
    with _all_or_nothing() as made:
        if into.map is not None:
            nodes.map = into.map
            set_voxels(into.map, result.anomaly_map)
            place_like(volume, into.map)
        else:
            nodes.map = made(add_like(volume, result.anomaly_map, f"{name} anomaly map"))
        display.colour_map(nodes.map, result.calibration)
        display.show_legend(nodes.map)
        nodes.segmentation = into.segmentation or made(_add("vtkMRMLSegmentationNode", f"{name} anomalies"))
        display.outline_findings(nodes.segmentation)
        nodes.table = into.table or made(_add("vtkMRMLTableNode", f"{name} findings"))
        labels = _labels(result)
        nodes.labels = made(add_like(volume, labels, f"{name} finding numbers", "vtkMRMLLabelMapVolumeNode", hidden=True))
        nodes.stored = made(keep(result, files=files))
        if result.pseudo_normal is not None:
            nodes.pseudo_normal = made(_pseudo_normal(result, volume))
        _fill(nodes, result, labels)
        for node in nodes.made():
            write_facts(node, "Provenance", result.provenance)
        _let_go(into)
        nodes.connect()
        shown = (nodes.map, nodes.segmentation, nodes.table, nodes.pseudo_normal)
        file_under(volume, [node for node in shown if node is not None])
    if show:
        display.show_over(volume, nodes.map)
    return nodes


def show_mask(nodes: ResultNodes, result: Result) -> list[str]:
    """The mask, segments and findings of `result`, which is the same scan at other controls; map and colours stay.

    Reviews follow findings that overlap; returns sentences for the user on those that could not.
    """
    reviews, before = reviews_of(nodes.table), findings_of(nodes.table)
    old = array_in(nodes.labels, result.geometry)
    labels = _labels(result)
    followed = follow(nodes.table, before, reviews, old, result.findings, labels)
    set_voxels(nodes.labels, labels)
    nodes.labels.SetIJKToRASMatrix(ijk_to_ras(result.geometry))
    _fill(nodes, result, labels, followed.reviews)
    followed.remember(nodes.table)
    return followed.said


def show_mask_slice(nodes: ResultNodes, axis: int, index: int, values: np.ndarray) -> None:
    """Only the mask of one slice, quickly, while a slider moves: 2-D bool `values` at `index` along `axis` of the scan's array.

    Table and 3-D surface wait for `show_mask`.
    """
    reviews = reviews_of(nodes.table)
    shown = [number for number, review in reviews.items() if review.state != DISMISSED]
    geometry = geometry_in(nodes.table)
    labels = array_in(nodes.labels, geometry)
    mask.show_slice(nodes.segmentation, nodes.map, geometry, labels, shown, axis, index, np.asarray(values, bool))


def finding_place(table: Any, row: int) -> np.ndarray:
    """(3,) world RAS in mm of the highest voxel of the finding in a row of the table, the parent transform of the scan included."""
    local = peak_ras(table, findings_of(table)[row])
    nodes = nodes_of(table)
    volume = (nodes.map or nodes.segmentation or nodes.input) if nodes else None
    if volume is None:
        return local
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld(list(map(float, local)), world)
    return np.array(world)


def jump(table: Any, row: int) -> None:
    """All slice views go through the finding in a row of the table; a view that is zoomed in elsewhere is moved there as well."""
    place = finding_place(table, row)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *place, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        xyz = np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.GetXYToRAS())) @ [*place, 1.0]
        columns, rows, _ = view.GetDimensions()
        if not (0 <= xyz[0] < columns and 0 <= xyz[1] < rows):
            view.JumpSliceByCentering(*place)


def remove(nodes: Iterable[Any]) -> None:
    """Takes nodes out of the scene with what belongs to them alone: displays, legends, storage, and their folder when it gets empty."""
    scene = slicer.mrmlScene
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for node in [node for node in nodes if node is not None and node.GetScene() is scene]:
        item = hierarchy.GetItemByDataNode(node)
        folder = hierarchy.GetItemParent(item) if item else 0
        for one in [node, *owned_by(node)]:
            if one.GetScene() is scene:
                scene.RemoveNode(one)
        if item and hierarchy.GetItemName(item):  # the bare wheel leaves it there
            hierarchy.RemoveItem(item, False, True)
        if folder and hierarchy.GetItemName(folder) == FOLDER and not hierarchy.GetNumberOfItemChildren(folder):
            hierarchy.RemoveItem(folder, False, True)


def owned_by(node: Any) -> list[Any]:
    """Displays, legends and storage that only serve this node."""
    owned: list[Any] = []
    if node.IsA("vtkMRMLDisplayableNode"):
        owned += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]  # the legend is one of them
    if node.IsA("vtkMRMLStorableNode"):
        owned += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    return [one for one in owned if one is not None]


def file_under(volume: Any, nodes: Iterable[Any]) -> None:
    """Puts nodes into the folder of results beside `volume`, in the same study, made where there is none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume)
    parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
    folder = hierarchy.GetItemChildWithName(parent, FOLDER) or hierarchy.CreateFolderItem(parent, FOLDER)
    for node in nodes:
        own = hierarchy.GetItemByDataNode(node)  # in Slicer an item comes with the node, in the bare wheel it does not
        if own:
            hierarchy.SetItemParent(own, folder)
        else:
            hierarchy.CreateItem(folder, node)


def _pseudo_normal(result: Result, volume: Any) -> Any:
    """The pseudo-normal image as a volume in the place of the scan, in its grey window where both have the same unit."""
    assert result.pseudo_normal is not None
    kind = "vtkMRMLVectorVolumeNode" if result.pseudo_normal.ndim == 4 else "vtkMRMLScalarVolumeNode"
    node = add_like(volume, result.pseudo_normal, f"{volume.GetName()} pseudo-normal", kind)
    display.show_like(volume, node, same_window=is_invertible(result.preparation.intensity))
    return node


def _labels(result: Result) -> np.ndarray:
    labels = label_findings(result.mask, result.findings)
    return labels.astype(mask.smallest_type(len(result.findings)))


def _fill(nodes: ResultNodes, result: Result, labels: np.ndarray, reviews: dict | None = None) -> None:
    """Table, segments and stored controls of one operating point."""
    axis = SliceGrid.for_scan(result.geometry, result.preparation).slice_axis
    fill_table(nodes.table, result.findings, result.geometry, axis)
    if reviews:
        write_reviews(nodes.table, reviews)
    shown = [number for number, review in reviews_of(nodes.table).items() if review.state != DISMISSED]
    mask.fill_segments(nodes.segmentation, nodes.map, result.geometry, labels, shown)
    if nodes.stored is not None:
        keep_controls(nodes.stored, result.controls)


@contextmanager
def _all_or_nothing() -> Iterator[Any]:
    """Gives a function that notes a new node and returns it; when the block fails, what was noted is taken out of the scene."""
    noted: list[Any] = []

    def made(node: Any) -> Any:
        noted.append(node)
        return node

    try:
        yield made
    except BaseException:
        remove(noted)
        raise


def _let_go(chosen: ResultNodes) -> None:
    """Nodes that are overwritten leave the results they belonged to; with its table a result loses its hidden nodes and the pseudo-normal
    image, which would be of another model."""
    for role in ROLES:
        older = nodes_of(getattr(chosen, role))
        if older is None:
            continue
        lost = (older.labels, older.stored, older.pseudo_normal) if role == "table" else ()
        setattr(older, role, None)
        older.connect()
        remove(lost)


def _add(class_name: str, name: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(class_name, slicer.mrmlScene.GenerateUniqueName(name))
