"""What tests of the logic share: a head in an odd place, what the library finds in it, and whether nodes show that. Needs slicer-core."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from InvDetectSlicerLib.scene.findings_table import findings_of
from InvDetectSlicerLib.scene.nodes import ResultNodes
from InvDetectSlicerLib.scene.volumes import array_of, mask_of, write_exchange

from InvDetectLib.detection import Detector
from InvDetectLib.results.result import Result
from Testing.support.scene_examples import DIRECTIONS, add_volume, matrix


def add_head(array: np.ndarray, name: str = "Jane Doe") -> Any:
    """Oblique, flipped, anisotropic, under a parent transform."""
    volume = add_volume("oblique", array, moved=True, name=name)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix(DIRECTIONS["oblique"] @ np.diag([-1.0, 1.0, -1.0]))))
    return volume


def library_s(detector: Detector, volume: Any, **options: Any) -> Result:
    """What the library itself finds in the very scan, as a file: its spacing may differ in the sixteenth digit from the scene's."""
    with tempfile.TemporaryDirectory() as folder:
        return detector.detect(write_exchange(volume, Path(folder)), **options)


def assert_shows(nodes: ResultNodes, result: Result) -> None:
    """Map, segments, labels and table are those of the result."""
    assert np.array_equal(array_of(nodes.map), result.anomaly_map)
    assert np.array_equal(mask_of(nodes.segmentation, nodes.input) if result.mask.any() else result.mask, result.mask)
    assert np.array_equal(array_of(nodes.labels) > 0, result.mask)
    assert findings_of(nodes.table) == result.findings
