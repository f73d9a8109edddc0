"""The findings' measurements, and what a reviewer said of them, as a Comprehensive 3D SR by template TID 1500.

One group of measurements a finding, which refers to its segment, and before them one of the whole scan: it says how many there are, also
when there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from ...common import __version__
from ...results import Finding, Result
from . import terms
from .decisions import Decision
from .identity import NAME, Identity, uid
from .referenced import UNICODE, Referenced
from .segmentation import tracking

NUMBER = 9003


def report(
    result: Result,
    labels: np.ndarray,
    referenced: Referenced,
    identity: Identity,
    segmentation: Dataset | None,
    decisions: Mapping[int, Decision] | None,
) -> Dataset:
    """labels, segmentation  as of `segmentation.segmentation`, None without findings;  decisions  by label, None without a reviewer"""
    algorithm = AlgorithmIdentification(NAME, __version__, [f"{key}={value}" for key, value in identity.parameters.items()])
    groups: list[Any] = [_of_scan(result, referenced, identity, algorithm)]
    if segmentation is not None:
        names = segmentation.SOPClassUID, segmentation.SOPInstanceUID
        slices = _slices(labels, len(result.findings))
        for finding in result.findings:
            said = None if decisions is None else decisions.get(finding.label, Decision())
            images = [SourceImageForSegmentation(*one) for one in referenced.images_of(slices[finding.label - 1])]
            region = ReferencedSegment(*names, finding.label, source_images=images)
            groups.append(_of_finding(finding, not referenced.is_placed, region, identity, algorithm, said))
    device = DeviceObserverIdentifyingAttributes(
        uid=uid("device"), name=NAME, manufacturer_name=NAME, model_name=NAME, serial_number=identity.checksum
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=ObserverContext(CodedConcept.from_code(terms.DEVICE), device)),
        procedure_reported=terms.IMAGING,
        imaging_measurements=groups,
    )
    content_of_it = [asdict(finding) for finding in result.findings], {label: asdict(one) for label, one in (decisions or {}).items()}
    data = Comprehensive3DSR(
        evidence=[*referenced.files, *([] if segmentation is None else [segmentation])],
        content=content,
        series_instance_uid=identity.uid("report series"),
        series_number=NUMBER,
        sop_instance_uid=identity.uid("report", json.dumps(content_of_it, sort_keys=True)),
        instance_number=1,
        is_complete=True,
        series_description=identity.described("report"),
        **identity.equipment(),
    )
    data.SpecificCharacterSet = UNICODE
    return data


def _of_scan(result: Result, referenced: Referenced, identity: Identity, algorithm: AlgorithmIdentification) -> Any:
    images = [SourceImageForMeasurementGroup(*one) for one in referenced.images_of(range(len(referenced.references)))]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identity.uid("scan"), f"{NAME} scan"),
        algorithm_id=algorithm,
        measurements=[
            Measurement(terms.CANDIDATES, len(result.findings), terms.ONE),
            Measurement(terms.THRESHOLD, result.controls.threshold, terms.ONE),
        ],
        source_images=images,
    )


def _of_finding(
    finding: Finding,
    is_flat: bool,
    region: ReferencedSegment,
    identity: Identity,
    algorithm: AlgorithmIdentification,
    said: Decision | None,
) -> Any:
    number, words = tracking(identity, finding.label)
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(number, words),
        referenced_segment=region,
        finding_type=terms.ANOMALY,
        finding_category=terms.CATEGORY,
        algorithm_id=algorithm,
        measurements=_measurements(finding, is_flat),
        qualitative_evaluations=None if said is None else [QualitativeEvaluation(terms.DECISION, terms.DECISIONS[said.state])],
    )
    if said is not None and said.comment.strip():
        comment = TextContentItem(terms.COMMENT, _text(said.comment), relationship_type="CONTAINS")
        group[0].ContentSequence.append(comment)
    return group


def _measurements(finding: Finding, is_flat: bool) -> list[Measurement]:
    size = terms.AREA if is_flat else terms.VOLUME
    unit = terms.SIZES.get(finding.unit, terms.PIXELS)
    found: list[tuple[Any, float | None, Any, Any]] = [
        (size, finding.volume, unit, None),
        (terms.SCORE, finding.peak, terms.ONE, terms.MAXIMUM),
        (terms.SCORE, finding.mean, terms.ONE, terms.MEAN),
        (terms.MASS, finding.mass, unit, None),
        (terms.P_PEAK, finding.p_value, terms.ONE, None),
        (terms.P_MASS, finding.p_value_mass, terms.ONE, None),
        (terms.NORMALS, finding.normals, terms.ONE, None),
        (terms.STABILITY, finding.stability, terms.ONE, None),
    ]
    return [Measurement(name, value, unit, derivation=how) for name, value, unit, how in found if value is not None]


def _slices(labels: np.ndarray, count: int) -> list[list[int]]:
    """For each of the labels 1 to `count` the slices that it lies in."""
    found: list[list[int]] = [[] for _ in range(count)]
    for k, values in enumerate(labels):
        for label in np.unique(values):
            if label:
                found[label - 1].append(k)
    return found


def _text(words: str) -> str:
    """A comment with its lines, without what no text may hold."""
    return "".join(letter for letter in words.strip() if letter.isprintable() or letter == "\n").replace("\n", "\r\n")
