"""Multi-frame DICOM: order, place and scale of each frame, several volumes in a file, and pictures that are no slices."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import Scan, find_scans, read_scan
from InvDetectLib.scans.geometry import Geometry
from Testing.support.made_dicom import CLASSES, ENHANCED_CT, ENHANCED_MR, NORMAL, place, write_frames, write_image

PIXELS = np.arange(8 * 4 * 6, dtype=np.int16).reshape(8, 4, 6) * 3 - 100
PLACES = [2.5 * k for k in range(8)]


def as_simpleitk_reads(path: Path) -> sitk.Image:
    """The second reader: right for frames in ascending order with one scale for all."""
    return sitk.ReadImage(str(path), imageIO="GDCMImageIO")


def refusal(path: Path, series: str | None = None) -> str:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path, series)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("storage", [ENHANCED_MR, ENHANCED_CT, CLASSES + "4.4", CLASSES + "2.2", CLASSES + "130"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [3, 0, 7, 1, 5, 2, 6, 4]])
def test_frames_lie_where_they_say_whatever_their_order(tmp_path: Path, storage: str, order: list[int]):
    ascending = as_simpleitk_reads(write_frames(tmp_path / "ascending.dcm", PIXELS, PLACES, storage=storage))
    scan = read_scan(write_frames(tmp_path / "a.dcm", PIXELS[order], [PLACES[k] for k in order], storage=storage))
    assert np.array_equal(scan.array, sitk.GetArrayFromImage(ascending)) and scan.array.dtype == np.int16
    assert scan.geometry.spacing == pytest.approx((0.8, 0.7, 2.5)) and scan.warnings == ()
    assert np.allclose(scan.geometry.direction, ascending.GetDirection(), atol=1e-7)
    for index in ((0, 0, 0), (7, 3, 5), (2, 1, 4)):
        lps = ascending.TransformIndexToPhysicalPoint(index[::-1])
        assert scan.geometry.ras_from_index(index) == pytest.approx((-lps[0], -lps[1], lps[2]), abs=1e-4)


def test_digests_of_frames_that_were_read_rightly_stay(tmp_path: Path):
    path = write_frames(tmp_path / "a.dcm", PIXELS, PLACES)
    image = as_simpleitk_reads(path)
    assert read_scan(path).digest == Scan.from_array(sitk.GetArrayFromImage(image), Geometry.of_image(image), "a").digest


def test_each_frame_has_its_own_scale(tmp_path: Path):
    scales = [{"PixelValueTransformationSequence": {"RescaleSlope": str(1 + k / 2), "RescaleIntercept": str(-k)}} for k in range(8)]
    scan = read_scan(write_frames(tmp_path / "a.dcm", PIXELS[::-1], PLACES[::-1], scales[::-1]))
    expected = PIXELS * (1 + np.arange(8) / 2)[:, None, None] - np.arange(8)[:, None, None]
    assert np.array_equal(scan.array, expected)


@pytest.mark.parametrize("kind", ["RLE", "JPEG 2000"])
def test_compressed_frames_have_their_own_scale_and_order_too(tmp_path: Path, kind: str):
    volume, order = np.random.default_rng(0).integers(0, 4000, (8, 64, 64)).astype(np.uint16), [3, 0, 7, 1, 5, 2, 6, 4]
    scales = [{"PixelValueTransformationSequence": {"RescaleSlope": str(1 + k / 2), "RescaleIntercept": str(-k)}} for k in order]
    path = write_frames(tmp_path / "a.dcm", volume[order], [PLACES[k] for k in order], scales)
    data = pydicom.dcmread(path)
    if kind == "RLE":
        data.compress(RLELossless)
    else:
        pillow = pytest.importorskip("PIL.Image", reason="Pillow, which writes JPEG 2000 here, is not installed")
        parts = [io.BytesIO() for _ in order]
        for k, part in zip(order, parts, strict=True):
            pillow.fromarray(volume[k]).save(part, format="JPEG2000", irreversible=False, no_jp2=True)
        data.PixelData = encapsulate([part.getvalue() for part in parts])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.save_as(path)
    assert np.array_equal(read_scan(path).array, volume * (1 + np.arange(8) / 2)[:, None, None] - np.arange(8)[:, None, None])


def test_spacing_comes_from_the_frames(tmp_path: Path):
    measures = [{"PixelMeasuresSequence": {"PixelSpacing": ["0.5", "0.25"], "SliceThickness": "9"}}] * 8
    path = write_frames(tmp_path / "a.dcm", PIXELS, [4.0 * k for k in range(8)], measures, PixelSpacing=["3", "3"])
    assert read_scan(path).geometry.spacing == pytest.approx((0.25, 0.5, 4.0))


def two(group: str, keyword: str, first: Any, second: Any) -> list[dict[str, dict[str, Any]]]:
    return [{group: {keyword: value}} for _ in range(4) for value in (first, second)]


KINDS = {
    "echo time 4.6": two("MREchoSequence", "EffectiveEchoTime", 4.6, 9.2),
    "b-value 0": two("MRDiffusionSequence", "DiffusionBValue", 0.0, 1000.0),
    "time 1": two("FrameContentSequence", "TemporalPositionIndex", 1, 2),
    "image type ORIGINAL/M": two("MRImageFrameTypeSequence", "FrameType", ["ORIGINAL", "M"], ["ORIGINAL", "P"]),
    "dimension 2 1": two("FrameContentSequence", "DimensionIndexValues", [1, 1], [1, 2]),
    "frame 1 of 2 at each place": [],
}


@pytest.mark.parametrize("words", KINDS)
def test_two_volumes_at_one_place_are_two_series_to_choose_from(tmp_path: Path, words: str):
    path = write_frames(tmp_path / "a.dcm", PIXELS, [2.5 * (k // 2) for k in range(8)], KINDS[words])
    text = refusal(path)
    assert f"holds 2 DICOM series: 1.2.3#1 (4 frames, 6x4 pixels, {words}); 1.2.3#2 (4 frames" in text and "--series UID#NUMBER" in text
    for number in (1, 2):
        scan = read_scan(path, f"1.2.3#{number}")
        assert np.array_equal(scan.array, PIXELS[number - 1 :: 2]) and scan.geometry.spacing[2] == pytest.approx(2.5)
    assert "1.2.3#3" in refusal(path, "1.2.3#3") and "Choose one of these" in refusal(path, "1.2.3")
    assert np.array_equal(read_scan(tmp_path, "1.2.3#2").array, PIXELS[1::2])  # the folder alike


def test_echoes_and_times_together_are_as_many_series(tmp_path: Path):
    each = [{"MREchoSequence": {"EffectiveEchoTime": 4.0 + echo}, "FrameContentSequence": {"TemporalPositionIndex": time}}
            for _ in range(2) for time in (1, 2) for echo in (0, 1)]  # fmt: skip
    path = write_frames(tmp_path / "a.dcm", PIXELS, [2.5 * (k // 4) for k in range(8)], each)
    assert "1.2.3#4 (2 frames, 6x4 pixels, echo time 5, time 2)" in refusal(path)
    assert np.array_equal(read_scan(path, "1.2.3#2").array, PIXELS[[2, 6]])  # echo time 4, time 2


def test_what_differs_from_slice_to_slice_parts_no_volume(tmp_path: Path):
    each = [{"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 10.0 + 7 * k}} for k in range(8)]
    assert read_scan(write_frames(tmp_path / "a.dcm", PIXELS, PLACES, each)).array.shape == (8, 4, 6)
    echoes = [one | {"MREchoSequence": {"EffectiveEchoTime": float(k % 2)}} for k, one in enumerate(each)]
    text = refusal(write_frames(tmp_path / "b.dcm", PIXELS, [2.5 * (k // 2) for k in range(8)], echoes))
    assert "holds 2 DICOM series" in text and "echo time 1" in text


def test_three_orientations_in_one_file_are_three_series(tmp_path: Path):
    axes = [["1", "0", "0", "0", "1", "0"], ["1", "0", "0", "0", "0", "-1"], ["0", "1", "0", "0", "0", "-1"]]
    each = [
        {"PlaneOrientationSequence": {"ImageOrientationPatient": axis}, "PlanePositionSequence": {"ImagePositionPatient": place}}
        for axis, along in zip(axes, (2, 1, 0), strict=True)
        for place in ([0, 0, 0], [3 * (one == along) for one in range(3)])
    ]
    text = refusal(write_frames(tmp_path / "a.dcm", PIXELS[:6], [0.0] * 6, each))
    assert all(f"1.2.3#{k} (2 frames, 6x4 pixels, {plane})" in text for k, plane in enumerate(("axial", "coronal", "sagittal"), 1))
    assert np.array_equal(read_scan(tmp_path / "a.dcm", "1.2.3#2").array, PIXELS[2:4])
    assert np.array_equal(read_scan(tmp_path / "a.dcm", "1.2.3#3").array, PIXELS[[5, 4]])  # this normal points to smaller x


def test_stacks_apart_are_series_and_stacks_in_a_row_are_one_volume(tmp_path: Path):
    each = [{"FrameContentSequence": {"StackID": str(1 + k // 4)}} for k in range(8)]
    assert read_scan(write_frames(tmp_path / "a.dcm", PIXELS, PLACES, each)).array.shape == (8, 4, 6)
    apart = [place + (31.3 if place >= 10 else 0) for place in PLACES]
    text = refusal(write_frames(tmp_path / "b.dcm", PIXELS, apart, each))
    assert "stack 1" in text and "stack 2" in text
    assert np.array_equal(read_scan(tmp_path / "b.dcm", "1.2.3#2").array, PIXELS[4:])


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([0, 2.5, 5, 12.5, 15, 17.5, 20, 22.5], "missing at 40.69, 43.19 mm"),
        ([0, 2.5, 5, 5, 7.5, 10, 12.5, 15], "same position"),
        ([0, 2.5, 5, 6, 8.5, 11, 13.5, 16], "not equally spaced: 2.50 mm"),
    ],
)
def test_missing_doubled_and_unequal_frames_are_told_like_slices(tmp_path: Path, places: list[float], words: str):
    order = [5, 1, 0, 2, 7, 3, 6, 4]
    text = refusal(write_frames(tmp_path / "a.dcm", PIXELS[order], [places[k] for k in order]))
    along = float(np.array(place(0), float) @ NORMAL)
    assert words.replace("40.69", f"{along + 7.5:.2f}").replace("43.19", f"{along + 10:.2f}") in text


def test_a_frame_missing_in_one_echo_is_told_when_that_echo_is_chosen(tmp_path: Path):
    keep = [k for k in range(10) if k != 5]
    each = [{"MREchoSequence": {"EffectiveEchoTime": 4.6 + k % 2}} for k in keep]
    path = write_frames(tmp_path / "a.dcm", np.zeros((9, 4, 6), np.int16), [2.5 * (k // 2) for k in keep], each)
    assert read_scan(path, "1.2.3#1").array.shape == (5, 4, 6)
    assert "missing at" in refusal(path, "1.2.3#2")


def test_multi_frame_files_of_one_series_are_read_together(tmp_path: Path):
    for k in (1, 0):
        write_frames(tmp_path / "scan" / f"{k}.dcm", PIXELS[4 * k : 4 * k + 4], PLACES[4 * k : 4 * k + 4])
    for k in range(8):  # some scanners write one frame a file
        write_frames(tmp_path / "single" / f"{k}.dcm", PIXELS[k : k + 1], PLACES[k : k + 1])
    for name in ("scan", "single"):
        assert np.array_equal(read_scan(tmp_path / name).array, PIXELS)
    for k in range(2):
        write_frames(tmp_path / "times" / f"{k}.dcm", PIXELS[4 * k : 4 * k + 4], PLACES[:4])
    assert "1.2.3#2 (4 frames, 6x4 pixels, 1.dcm)" in refusal(tmp_path / "times")


def test_a_multi_frame_file_cut_anywhere_is_refused(tmp_path: Path):
    data = write_frames(tmp_path / "whole.dcm", PIXELS, PLACES).read_bytes()
    for cut in (200, len(data) // 2, len(data) - 300, len(data) - 1):
        (tmp_path / "a.dcm").write_bytes(data[:cut])
        assert "cut off" in refusal(tmp_path / "a.dcm")


def test_a_map_of_parameters_is_read(tmp_path: Path):
    """Float values, which SimpleITK cannot read: the array that was written is the judge."""
    values = np.linspace(0, 3e-3, 4 * 24, dtype=np.float32).reshape(4, 4, 6)
    facts = {"PixelData": None, "FloatPixelData": values.tobytes(), "BitsStored": None, "HighBit": None, "PixelRepresentation": None}
    path = write_frames(tmp_path / "a.dcm", values, PLACES[:4], storage=CLASSES + "30", **facts)
    assert np.array_equal(read_scan(path).array, values)


def test_a_mosaic_is_refused_with_the_remedy(tmp_path: Path):
    tiles = np.zeros((12, 12), np.int16)
    text = refusal(write_image(tmp_path / "a.dcm", tiles, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]))
    assert "mosaic" in text and "dcm2niix" in text
    for k in range(3):
        write_image(tmp_path / "times" / f"{k}.dcm", tiles, ImagePositionPatient=place(k), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(InvDetectError, match="mosaic.*dcm2niix"):
        read_scan(tmp_path / "times")


def test_tiles_of_one_large_picture_are_no_slices(tmp_path: Path):
    path = write_frames(tmp_path / "a.dcm", PIXELS, PLACES, storage=CLASSES + "77.1.6", TotalPixelMatrixColumns=48, TotalPixelMatrixRows=4)
    assert "tiles of one large picture" in refusal(path)


OTHERS = {
    "88.22": "a report", "66.4": "a segmentation", "11.1": "a presentation state", "481.3": "a radiotherapy plan or structure set",
    "481.2": "a radiotherapy dose", "66.1": "a registration, surface or raw data", "104.1": "a document", "9.1.1": "a waveform",
}  # fmt: skip


@pytest.mark.parametrize("part", OTHERS)
def test_what_is_no_image_of_a_patient_is_no_scan(tmp_path: Path, part: str):
    for k in range(3):
        write_image(tmp_path / "p" / f"{k}.dcm", PIXELS[k], ImagePositionPatient=place(2 * k))
    pixels, facts = (PIXELS, {"NumberOfFrames": 8}) if part in ("66.4", "481.2") else (None, {})
    other = write_image(tmp_path / "p" / "other.dcm", pixels, CLASSES + part, SeriesInstanceUID="1.9", **facts)
    write_image(tmp_path / "alone" / "other.dcm", pixels, CLASSES + part, **facts)
    found, left_out = find_scans(tmp_path)
    assert [scan.relative.as_posix() for scan in found] == ["p"]
    reason = f"{OTHERS[part]} (DICOM), not a scan"
    assert [(left.path.parent.name, left.reason) for left in left_out] == [("alone", reason), ("p", reason)]
    assert np.array_equal(read_scan(tmp_path / "p").array, PIXELS[:3])
    assert f"no image of a patient but {OTHERS[part]}" in refusal(other)


@pytest.mark.parametrize(("case", "twin", "off"), [("02a-enhanced-frames-order", "asc", 0), ("02d-enhanced-slopes", "right", 2.25)])
def test_the_frames_that_went_wrong_agree_with_their_twins(shared_data: Path, case: str, twin: str, off: float):
    """`off`: half of the largest slope, to which the values were rounded when they were stored."""
    folder = shared_data.parent / "cases" / case
    if not folder.is_dir():
        pytest.skip("the cases (shared/cases beside the checkout) are not here")
    right, *scans = (read_scan(path) for path in sorted(folder.glob("*.dcm"), key=lambda path: path.stem != twin))
    assert np.array_equal(right.array, sitk.GetArrayFromImage(as_simpleitk_reads(folder / f"{twin}.dcm")))
    for scan in scans:
        assert np.abs(scan.array - right.array).max() <= off and scan.geometry == right.geometry
