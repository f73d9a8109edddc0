"""Finding scans in folders, patterns and lists, each once and with a reason for what is left out; and the names they get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import find_masks, find_scans, stem
from Testing.support.dicom_bytes import write_series
from Testing.support.made_scans import voxels

# ---- finding -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as people have them: nested, mixed, with files that are no scans."""
    root = tmp_path / "in"
    names = ["b.nii.gz", "a.PNG", "p1/t1.nrrd", "p1/README", "p1/.hidden.nii", ".git/x.nii", "p2/c.hdr", "p2/c.img", "p2/lone.img"]
    names += ["p2/old.anomaly.nii.gz", "p2/old.mask.seg.nrrd", "p2/old.preview.png", "p2/old.mask.png", "p2/tumour.seg.nrrd", "p2/x.dcm"]
    names += ["p2/old.pseudo-normal.nii.gz", "p2/sub-01_desc-anomalyT1w_mask.nii.gz"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    sitk.WriteImage(sitk.GetImageFromArray(voxels(2, 3, 4)), str(root / "p2" / "d.mhd"))
    sitk.WriteImage(sitk.GetImageFromArray(voxels(2, 3, 4)), str(root / "p2" / "e.nhdr"), True)
    write_series(root / "p3" / "series 1", [0.0, 2.0])
    write_series(root / "p3" / "series 1", [0.0, 2.0], prefix="other", series="1.7")
    return root


def listed(found: list[Any]) -> list[str]:
    return [entry.relative.as_posix() for entry in found]


SCANS = ["a.PNG", "b.nii.gz", "p1/t1.nrrd", "p2/c.hdr", "p2/d.mhd", "p2/e.nhdr", "p3/series 1"]


def test_a_folder_is_searched_with_all_below(tree: Path):
    found, left_out = find_scans(tree)
    assert listed(found) == SCANS
    assert all(entry.path == tree / entry.relative for entry in found)
    assert {left.path.relative_to(tree).as_posix(): left.reason for left in left_out} == {
        "p1/README": "not a supported format",
        "p2/lone.img": "its header (.hdr) is missing",
        "p2/old.anomaly.nii.gz": "a result of InvDetect",
        "p2/old.mask.seg.nrrd": "a result of InvDetect",
        "p2/old.mask.png": "a result of InvDetect",
        "p2/old.preview.png": "a result of InvDetect",
        "p2/old.pseudo-normal.nii.gz": "a result of InvDetect",
        "p2/sub-01_desc-anomalyT1w_mask.nii.gz": "a result of InvDetect",
        "p2/tumour.seg.nrrd": "a segmentation, not a scan",
        "p2/x.dcm": "not a DICOM file",
    }


def test_masks_may_be_segmentations(tree: Path):
    names = listed(find_masks(tree / "p2")[0])
    assert "tumour.seg.nrrd" in names and "old.mask.png" in names


def test_a_dicom_folder_given_itself_is_one_scan_with_its_name(tree: Path, monkeypatch: pytest.MonkeyPatch):
    found, _ = find_scans(tree / "p3" / "series 1")
    assert listed(found) == ["series 1"] and found[0].path == tree / "p3" / "series 1"
    monkeypatch.chdir(tree / "p3" / "series 1")
    assert listed(find_scans(".")[0]) == ["series 1"]


def test_a_file_is_found_under_its_name_and_a_dicom_file_alone(tree: Path):
    assert listed(find_scans(str(tree / "p1" / "t1.nrrd"))[0]) == ["t1.nrrd"]
    assert listed(find_scans(tree / "p3" / "series 1" / "a00")[0]) == ["a00"]


def test_a_pattern_mirrors_the_folders_after_its_fixed_part(tree: Path):
    assert listed(find_scans(f"{tree}/p*/*.nrrd")[0]) == ["p1/t1.nrrd"]
    assert listed(find_scans(f"{tree}/**/*.n*")[0]) == ["b.nii.gz", "p1/t1.nrrd", "p2/e.nhdr"]
    assert listed(find_scans(f"{tree}/p[13]")[0]) == ["p1/t1.nrrd", "p3/series 1"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path):
    (tmp_path / "a[1].png").touch()
    assert listed(find_scans(tmp_path / "a[1].png")[0]) == ["a[1].png"]


def test_a_list_mirrors_below_its_common_folder_and_counts_nothing_twice(tree: Path):
    found, _ = find_scans([tree / "p1", tree / "p2", tree / "p1" / "t1.nrrd"])
    assert listed(found) == ["p1/t1.nrrd", "p2/c.hdr", "p2/d.mhd", "p2/e.nhdr"]


def test_a_missing_path_in_a_list_is_left_to_reading(tree: Path):
    found, _ = find_scans([tree / "b.nii.gz", tree / "gone.nii.gz"])
    assert listed(found) == ["b.nii.gz", "gone.nii.gz"]


def test_links_in_a_loop_end_and_no_scan_counts_twice(tree: Path):
    try:
        (tree / "p1" / "up").symlink_to(tree, target_is_directory=True)
        (tree / "a0").symlink_to(tree / "p1", target_is_directory=True)
        (tree / "again.nii.gz").symlink_to(tree / "b.nii.gz")
        (tree / "broken.nii.gz").symlink_to(tree / "gone.nii.gz")
    except OSError:
        pytest.skip("this file system has no links")
    found, left_out = find_scans(tree)
    reasons = {left.path.name: left.reason for left in left_out}
    names = listed(found)
    assert len(names) == len(SCANS) and "p1/t1.nrrd" in names
    assert reasons["broken.nii.gz"] == "a link to nothing"
    assert reasons.get("b.nii.gz", reasons.get("again.nii.gz", "")).startswith("the same file as")


def test_linked_folders_elsewhere_are_searched(tree: Path, tmp_path: Path):
    (tmp_path / "study").mkdir()
    try:
        (tmp_path / "study" / "p9").symlink_to(tree / "p1", target_is_directory=True)
    except OSError:
        pytest.skip("this file system has no links")
    assert listed(find_scans(tmp_path / "study")[0]) == ["p9/t1.nrrd"]


@pytest.mark.parametrize("given", ["", "nowhere", "*.xyz", "README", "nowhere.nii"])
def test_nothing_found_is_an_error(tmp_path: Path, given: str):
    (tmp_path / "README").write_text("read me")
    with pytest.raises(InvDetectError, match="README.*not a supported format" if given in ("", "README") else "does not exist|no scan"):
        find_scans(f"{tmp_path}/{given}")


def test_an_empty_list_is_an_error():
    with pytest.raises(InvDetectError, match="no scan"):
        find_scans([])


# ---- names -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("in/brain.nii.gz", "brain"),
        ("IN/Brain.NII.GZ", "Brain"),
        ("a.b.nrrd", "a.b"),
        ("mask.seg.nrrd", "mask"),
        ("slice.dcm", "slice"),
        ("1.2.840.10", "1.2.840.10"),
        ("a?b:c|d.png", "a_b_c_d"),
        ("tab\tand\nline\u202e.png", "tab_and_line_"),
        (".nii.gz", "nii.gz"),
        ("...png", "scan"),
        ("  .tif", "scan"),
        ("/", "scan"),
        ("\udcff.png", "_"),
    ],
)
def test_a_stem_is_a_safe_file_name(path: str, name: str):
    assert stem(path) == name


def test_the_stem_of_a_folder_is_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "case.png").mkdir()
    assert stem(tmp_path / "case.png") == "case.png"
    monkeypatch.chdir(tmp_path / "case.png")
    assert stem(".") == "case.png"
