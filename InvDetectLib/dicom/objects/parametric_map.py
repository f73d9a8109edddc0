"""The anomaly map as a Parametric Map of float32: what is stored is the score, and the real-world value is the same."""

from __future__ import annotations

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset

from ...results import Result, display_range
from .identity import Identity
from .referenced import Referenced
from .terms import ONE, SCORE

NUMBER = 9002
_UNITS = {"calibrated": "0 = q90 of held-out normals, 1 = their q99 - q50 above it", "raw": "score of the model, in its own unit"}


def parametric_map(result: Result, values: np.ndarray, referenced: Referenced, identity: Identity) -> Dataset:
    """values  (slice, row, column) float32 in the order of the source's slices"""
    low, high = display_range(result.calibration)
    mapping = RealWorldValueMapping(
        lut_label="SCORE",
        lut_explanation=_UNITS[result.calibration.unit],
        unit=ONE,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=SCORE,
    )
    data = ParametricMap(
        source_images=referenced.stand_ins,
        pixel_array=values.astype(np.float32),
        series_instance_uid=identity.uid("map series"),
        series_number=NUMBER,
        sop_instance_uid=identity.uid("map"),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        content_label="ANOMALY_MAP",
        content_description="Anomaly score, higher is less normal",
        series_description=identity.described("anomaly map"),
        voi_lut_transformations=[VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)],
        **identity.equipment(),
    )
    referenced.complete(data)
    data.Laterality = referenced.laterality  # which no rule wants of the other two
    return data
