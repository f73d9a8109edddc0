"""BIDS datasets: which of their images are meant by a filter, and what is said where none is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.scans import BidsFolder, find_scans
from Testing.support.made_bids import make_dataset

IMAGES = (
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_acq-space_run-01_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz",
    "sub-01/ses-2/dwi/sub-01_ses-2_run-2_dwi.nii",
    "sub-02/anat/sub-02_T1w.nii.gz",
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = make_dataset(tmp_path / "sub-study" / "heads", dict.fromkeys(IMAGES))
    (root / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_FLAIR.json").write_text("{}")
    return root


def found(root: Path, filters: str) -> list[str]:
    """The paths below the root, as outputs mirror them."""
    return [entry.relative.as_posix() for entry in find_scans(BidsFolder(root, filters))[0]]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ("suffix=FLAIR", [0, 2]),
        ("suffix=FLAIR,session=1", [0]),
        ("suffix=FLAIR, ses=1", [0]),
        ("suffix=T1w,acquisition=space", [1]),
        ("suffix=T1w,acq=space,subject=01", [1]),
        ("suffix=T1w,acq=", [4]),
        ("suffix=T1w,run=1", [1]),
        ("datatype=dwi", [3]),
        ("run=02", [3]),
    ],
)
def test_entities_by_their_long_and_short_names_choose_images(dataset: Path, filters: str, numbers: list[int]) -> None:
    assert found(dataset, filters) == [IMAGES[number] for number in numbers]


def test_what_lies_outside_of_the_subjects_or_is_ignored_is_no_scan(dataset: Path) -> None:
    others = ["derivatives/other/sub-01/anat/sub-01_FLAIR.nii.gz", "sourcedata/sub-01/sub-01_FLAIR.nii.gz", "code/sub-01_FLAIR.nii"]
    more = {name: f"sub-0{name[0]}/anat/sub-0{name}_FLAIR.nii.gz" for name in ("3", "4", "5_run-1", "5_run-2", "6_acq-bad")}
    make_dataset(dataset, dict.fromkeys([*others, *more.values(), "sub-01/anat/flair.nii.gz", "sub-01/.git/sub-01_FLAIR.nii.gz"]))
    patterns = "# no consent\nsub-01_ses-1_FLAIR.nii.gz/\nsub-03/\n/sub-04/**\n*_run-*_FLAIR.nii.gz\n!*run-2_*\nsub-06/*/*acq-[bc]*\n"
    (dataset / ".bidsignore").write_text(patterns)
    assert found(dataset, "suffix=FLAIR") == [IMAGES[0], IMAGES[2], more["5_run-2"]]


def test_folders_of_several_datasets_are_one_set(dataset: Path, tmp_path: Path) -> None:
    second = make_dataset(tmp_path / "second", {"sub-01/anat/sub-01_FLAIR.nii.gz": None})
    paths = find_scans([BidsFolder(dataset, "suffix=FLAIR"), BidsFolder(second, "suffix=FLAIR")])[0]
    assert [entry.relative.parts[0] for entry in paths] == ["second", "sub-study", "sub-study"]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("suffix=T2w", "fits suffix=T2w. There are: suffix FLAIR (2), T1w (2), dwi (1). Choose among these."),
        ("suffix=FLAIR,session=01", "There are: suffix FLAIR (2), T1w (2), dwi (1); session 1 (2), 2 (2), none (1). Choose among these."),
        ("session=1", "FLAIR (1), T1w (1). A model knows one kind; add a suffix, such as suffix=FLAIR."),
        ("", "images of several kinds fit no filter at all: FLAIR (2), T1w (2), dwi (1)."),
    ],
)  # fmt: skip
def test_a_filter_that_chooses_nothing_or_too_much_is_told_what_there_is(dataset: Path, filters: str, said: str) -> None:
    with pytest.raises(InvDetectError) as error:
        find_scans(BidsFolder(dataset, filters))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("sesion=1", "'sesion' is no entity of BIDS; known are suffix, datatype, subject (sub), "),
        ("FLAIR", "'FLAIR' is no filter for BIDS; write them like \"suffix=T1w,session=1\"."),
        ("suffix=T1w,ses=1,session=2", "The entity session is in the filter 'suffix=T1w,ses=1,session=2' twice; give it once."),
        ("subject=sub-01", "'sub-01' cannot be the subject of a file in BIDS, which has letters and digits only."),
        ("suffix=../x", "'../x' cannot be the suffix of a file in BIDS"),
    ],
)
def test_a_filter_that_cannot_be_is_wrong_use(filters: str, said: str) -> None:
    with pytest.raises(WrongUse) as error:
        BidsFolder(Path("anywhere"), filters)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no BIDS dataset: it has no dataset_description.json. Give the folder that has one, or leave --bids away."),
        ("{", "dataset_description.json is damaged ("),
        ("[1]", "dataset_description.json does not hold a description"),
        ('{"GeneratedBy": [{"Name": "InvDetect"}]}', "holds what InvDetect wrote, not scans; give the dataset that was examined."),
    ],
)
def test_a_folder_without_a_description_is_no_dataset(dataset: Path, content: str | None, said: str) -> None:
    (dataset / "dataset_description.json").unlink()
    if content is not None:
        (dataset / "dataset_description.json").write_text(content)
    with pytest.raises(InvDetectError) as error:
        find_scans(BidsFolder(dataset, "suffix=FLAIR"))
    assert said in str(error.value) and "Errno" not in str(error.value)


def test_a_folder_that_is_none_and_one_without_images_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(InvDetectError, match=f"{name} is no folder; give that of a BIDS dataset"):
            find_scans(BidsFolder(tmp_path / name, "suffix=FLAIR"))
    with pytest.raises(InvDetectError, match="has no NIfTI image of any subject whose name is one of BIDS"):
        find_scans(BidsFolder(make_dataset(tmp_path / "empty", {}), "suffix=FLAIR"))


def test_images_that_are_not_here_are_left_out(dataset: Path) -> None:
    os.symlink("../.git/annex/gone", dataset / "sub-02" / "anat" / "sub-02_FLAIR.nii.gz")
    scans, left_out = find_scans(BidsFolder(dataset, "suffix=FLAIR"))
    assert len(scans) == 2 and [entry.reason for entry in left_out] == ["a link to nothing"]


def test_patterns_of_an_ignore_file_take_no_time_whatever_they_are(dataset: Path) -> None:
    (dataset / "sub-01" / Path(*"a" * 100)).mkdir(parents=True)
    os.rename(dataset / IMAGES[2], dataset / "sub-01" / Path(*"a" * 100) / Path(IMAGES[2]).name)
    (dataset / ".bidsignore").write_text("/".join(["**"] * 2000) + "/x\n" + "*a" * 200 + "b\n" + "**/a/" * 50 + "x\n")
    assert len(found(dataset, "suffix=FLAIR")) == 2


def test_patterns_with_folders_of_any_number_between_others_fit_as_those_of_git(dataset: Path) -> None:
    (dataset / ".bidsignore").write_text("sub-01/**/ses-2/**/*_FLAIR.nii.gz\n**/ses-2/**/anat/**/dwi/**\n")
    assert found(dataset, "suffix=FLAIR") == [IMAGES[0]]
    assert found(dataset, "suffix=dwi") == [IMAGES[3]]


def test_an_index_of_any_length_is_compared(dataset: Path) -> None:
    assert found(dataset, f"suffix=dwi,run={'0' * 5000}2") == [IMAGES[3]]
    with pytest.raises(InvDetectError, match="No image in .* fits"):
        found(dataset, f"suffix=dwi,run={'1' * 5000}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(dataset: Path) -> None:
    os.mkfifo(dataset / ".bidsignore")
    with pytest.raises(InvDetectError, match=r"\.bidsignore cannot be read \(it is no regular file\)"):
        found(dataset, "suffix=FLAIR")
    os.remove(dataset / "dataset_description.json")
    os.mkfifo(dataset / "dataset_description.json")
    with pytest.raises(InvDetectError, match=r"dataset_description\.json cannot be read \(it is no regular file\)"):
        found(dataset, "suffix=FLAIR")
