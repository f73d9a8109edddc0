"""What the DICOM objects say in words, codes and numbers: of the patient, of the findings, of who made them, and under which names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

hd = need("highdicom")

from pydicom import dcmread  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

from InvDetectLib.common import WrongUse, __version__  # noqa: E402
from InvDetectLib.dicom import Decision, Objects, dicom_objects  # noqa: E402
from InvDetectLib.results import SEGMENT_TERM, Result, write_findings  # noqa: E402
from InvDetectLib.scans import read_scan  # noqa: E402
from Testing.support.dicom_sources import PIXELS, oblique_with_gaps, radiograph  # noqa: E402
from Testing.support.made_dicom import WHOLE, write_series  # noqa: E402
from Testing.support.made_results import make_result, three_found_in  # noqa: E402

WHEN = ("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime", "ContributionDateTime")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return oblique_with_gaps(tmp_path / "scan")


@pytest.fixture
def result(series: Path) -> Result:
    """With everything that can be measured of a finding."""
    found = three_found_in(read_scan(series))
    findings = [
        replace(finding, mass=12.5 * finding.label, p_value_mass=0.25 / finding.label, stability=0.2 * finding.label)
        for finding in found.findings
    ]
    return replace(found, findings=findings)


def datasets(objects: Objects) -> list[Any]:
    return [objects.segmentation, objects.parametric_map, objects.report]


def all_of(data: Dataset) -> Iterator[Any]:
    """Every element at any depth."""
    for element in data:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from all_of(item)


def read_report(objects: Objects, folder: Path) -> Any:
    path = folder / "report.dcm"
    path.write_bytes(objects.files()["dicom_report"])
    return hd.sr.srread(str(path))


def measured(group: Any) -> dict[str, float]:
    """Name -> value, with how the value was taken."""
    taken = [(one.derivation.meaning + " " if one.derivation else "", one) for one in group.get_measurements()]
    return {how + one.name.meaning: one.value for how, one in taken}


# The findings


def test_the_report_says_of_each_finding_what_the_table_says(result: Result, series: Path, tmp_path: Path) -> None:
    write_findings(tmp_path / "findings.csv", result.findings, result.geometry)
    rows = list(csv.DictReader((tmp_path / "findings.csv").open()))
    objects = dicom_objects(result, series)
    groups = read_report(objects, tmp_path).content.get_volumetric_roi_measurement_groups()
    columns = {
        "Volume": "volume_mm3", "Maximum Anomaly score": "peak_score", "Mean Anomaly score": "mean_score",
        "Sum of the anomaly score above its forming level": "mass_score_mm3", "Share of held-out normals with such a peak": "p_value",
        "Share of held-out normals with such a mass": "p_value_mass", "Number of held-out normals": "held_out_normals",
        "Share of small changes of the scan that it stays under": "stability",
    }  # fmt: skip
    assert len(groups) == len(rows) == len(result.findings) > 2
    for group, row in zip(groups, rows, strict=True):
        found = measured(group)
        assert found.keys() == columns.keys()
        for name, column in columns.items():
            assert found[name] == pytest.approx(float(row[column]), rel=1e-3)
        assert group.finding_type.meaning == "Anomaly candidate"


def test_segment_and_report_know_a_finding_under_the_same_name(result: Result, series: Path, tmp_path: Path) -> None:
    objects = dicom_objects(result, series)
    segments = {one.SegmentNumber: one for one in objects.segmentation.SegmentSequence}
    groups = read_report(objects, tmp_path).content.get_volumetric_roi_measurement_groups()
    for group, finding in zip(groups, result.findings, strict=True):
        assert group.tracking_uid == segments[finding.label].TrackingUID
        assert group.tracking_identifier == segments[finding.label].TrackingID
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == objects.segmentation.SOPInstanceUID
        assert reference.referenced_segment_numbers == [finding.label]
        slices = np.flatnonzero(result.mask.any(axis=(1, 2)))
        assert 0 < len(reference.source_images_for_segmentation) <= len(slices)


def test_a_segment_is_called_as_in_slicer(result: Result, series: Path) -> None:
    segment = dicom_objects(result, series).segmentation.SegmentSequence[0]
    category, kind = segment.SegmentedPropertyCategoryCodeSequence[0], segment.SegmentedPropertyTypeCodeSequence[0]
    codes = [f"{one.CodingSchemeDesignator}^{one.CodeValue}^{one.CodeMeaning}" for one in (category, kind)]
    assert codes == SEGMENT_TERM.split("~")[1:3]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_without_findings_there_is_a_report_that_says_so_and_no_segmentation(series: Path, tmp_path: Path) -> None:
    scan = read_scan(series)
    objects = dicom_objects(make_result(None, scan.geometry, replace(three_found_in(scan).preparation)), series)
    assert objects.segmentation is None and "dicom_segmentation" not in objects.files()
    content = read_report(objects, tmp_path).content
    assert content.get_volumetric_roi_measurement_groups() == []
    (group,) = content.get_image_measurement_groups()
    assert measured(group)["Number of anomaly candidates"] == 0


def test_a_flat_image_is_measured_by_area(tmp_path: Path) -> None:
    path = radiograph(tmp_path / "scan")
    found = three_found_in(read_scan(path))
    (first, *_) = read_report(dicom_objects(found, path), tmp_path).content.get_volumetric_roi_measurement_groups()
    assert measured(first)["Area"] == pytest.approx(found.findings[0].volume)
    assert [one.unit.value for one in first.get_measurements()][0] == "mm2"


# A reviewer


def test_decisions_and_comments_stand_in_the_report(result: Result, series: Path, tmp_path: Path) -> None:
    said = {1: Decision("accepted", "Ödem?\nsee older scan"), 2: Decision("dismissed")}
    content = read_report(dicom_objects(result, series, decisions=said), tmp_path).content
    groups = content.get_volumetric_roi_measurement_groups()
    evaluations = [one for group in groups for one in group.get_qualitative_evaluations()]
    decided = [one.value.meaning for one in evaluations if one.name.meaning == "Decision of the reviewer"]
    assert decided == ["Accepted", "Dismissed", *["Not decided"] * (len(result.findings) - 2)]
    comments = [item.TextValue for group in groups for item in group[0].ContentSequence if item.name.meaning == "Comment"]
    assert [text.splitlines() for text in comments] == [["Ödem?", "see older scan"]]


def test_without_a_reviewer_the_report_says_nothing_of_decisions(result: Result, series: Path) -> None:
    assert "reviewer" not in str(dicom_objects(result, series).report)


def test_a_decision_that_is_none_is_refused() -> None:
    with pytest.raises(WrongUse, match="open, accepted, dismissed"):
        Decision("maybe")


# Names


def test_the_same_result_has_the_same_uids_and_says_the_same_but_when_it_was_written(result: Result, series: Path) -> None:
    for one, other in zip(*(datasets(dicom_objects(result, series)) for _ in range(2)), strict=True):
        for first, second in zip(all_of(one), all_of(other), strict=True):
            assert first.tag == second.tag and (first.VR == "SQ" or first.value == second.value or first.keyword in WHEN)


def test_uids_are_uuids_and_no_two_objects_share_one(result: Result, series: Path) -> None:
    found = datasets(dicom_objects(result, series))
    uids = [uid for data in found for uid in (data.SOPInstanceUID, data.SeriesInstanceUID)]
    assert len(set(uids)) == 6 and all(uid.startswith("2.25.") and uid.is_valid and len(uid) <= 64 for uid in uids)


def test_another_map_another_threshold_and_another_model_have_other_uids(result: Result, series: Path) -> None:
    higher = replace(result, anomaly_map=result.anomaly_map + np.float32(1e-3))
    stricter = replace(result, controls=replace(result.controls, threshold=0.51))
    other = replace(result, provenance=result.provenance | {"model": {"checksum": "cd" * 32}})
    found = [{data.SOPInstanceUID for data in datasets(dicom_objects(one, series))} for one in (result, higher, stricter, other)]
    assert len(set.union(*found)) == 12


def test_another_decision_makes_another_report_of_the_same_segmentation(result: Result, series: Path) -> None:
    one, other = (dicom_objects(result, series, decisions={1: Decision(state)}) for state in ("open", "accepted"))
    assert one.report.SOPInstanceUID != other.report.SOPInstanceUID
    assert one.segmentation.SOPInstanceUID == other.segmentation.SOPInstanceUID


# Patient, study and who made them


def test_patient_study_and_frame_of_reference_are_the_sources(result: Result, series: Path, tmp_path: Path) -> None:
    source = dcmread(next(series.iterdir()))
    for kind, content in dicom_objects(result, series).files().items():
        (tmp_path / kind).write_bytes(content)
        data = dcmread(tmp_path / kind)
        for keyword in (*WHOLE, "StudyInstanceUID"):
            if keyword != "FrameOfReferenceUID" or kind != "dicom_report":
                assert data[keyword].value == source[keyword].value, keyword
        assert data.SeriesInstanceUID != source.SeriesInstanceUID


def test_names_in_other_letters_stay_names_in_unicode(tmp_path: Path) -> None:
    series = write_series(tmp_path / "scan", PIXELS, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    for kind, content in dicom_objects(three_found_in(read_scan(series)), series).files().items():
        (tmp_path / kind).write_bytes(content)
        data = dcmread(tmp_path / kind)
        assert data.SpecificCharacterSet == "ISO_IR 192" and str(data.PatientName) == "Müller^Zoë"


def test_values_that_dicom_forbids_are_not_handed_on(tmp_path: Path) -> None:
    bad = {"PatientSex": "X", "PatientBirthDate": "1.2.3", "StudyTime": "noon", "PatientAge": "42"}
    series = write_series(tmp_path / "scan", PIXELS, **bad)
    for data in datasets(dicom_objects(three_found_in(read_scan(series)), series)):
        assert (data.PatientSex, data.PatientBirthDate, data.StudyTime) == ("", "", "")
        assert "PatientAge" not in data and data.PatientID == "made-1"


def test_values_that_are_longer_than_dicom_allows_are_left_out(tmp_path: Path) -> None:
    long = {"PatientName": "Lopez" * 40, "AccessionNumber": "7" * 17, "StudyDescription": "d" * 65, "PatientComments": "c" * 200}
    series = write_series(tmp_path / "scan", PIXELS, BodyPartExamined="B" * 17, **long)
    for data in datasets(dicom_objects(three_found_in(read_scan(series)), series)):
        assert (str(data.PatientName), data.AccessionNumber) == ("", "")
        assert "StudyDescription" not in data and "BodyPartExamined" not in data
        assert data.PatientID == "made-1" and data.get("PatientComments", "c" * 200) == "c" * 200
    groups = {"PatientName": "=".join(["M" * 60] * 3)}  # each of the ways of writing a name has its own length
    series = write_series(tmp_path / "other", PIXELS, **groups)
    assert str(dicom_objects(three_found_in(read_scan(series)), series).report.PatientName) == groups["PatientName"]


def test_each_says_who_made_it_with_which_model_and_that_it_is_research(result: Result, series: Path) -> None:
    objects = dicom_objects(result, series, model_name="made heads")
    for data in datasets(objects):
        assert data.ContentQualification == "RESEARCH"
        assert (data.Manufacturer, data.SoftwareVersions, data.DeviceSerialNumber) == ("InvDetect", __version__, "ab" * 32)
        assert data.SeriesDescription.endswith("made heads")
    algorithm = objects.segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("InvDetect", __version__)
    assert f"checksum={'ab' * 32}" in algorithm.AlgorithmParameters
    parameters = [element.value for element in all_of(objects.report) if element.keyword == "TextValue"]
    assert f"checksum={'ab' * 32}" in parameters


def test_no_object_names_a_file_or_a_folder(result: Result, tmp_path: Path) -> None:
    series = oblique_with_gaps(tmp_path / "Doe, Jane")
    for data in datasets(dicom_objects(result, series)):
        told = [str(element.value) for element in all_of(data) if element.VR not in ("SQ", "OF", "OB")]
        assert not [text for text in told for name in ("Doe", result.name, "i03", ".dcm") if name in text]
