"""Who is in which split of the study, and what is refused: `Testing/evidence/splits.json`, `splits.py` and `sets.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.common.progress import Progress
from Testing.evidence import __main__ as command
from Testing.evidence import matchgen_rows, sets, splits
from Testing.evidence.study import Study


def fake(root: Path, table: dict[str, list[str]]) -> Path:
    """The files that a table of FLAIR's splits names, empty: nobody reads them before a row runs."""
    for part, names in table.items():
        for name in names:
            for folder in ("normal",) if part in ("train", "calibration") else ("abnormal", "masks"):
                path = root / "brain_flair_lgg" / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return root


TABLE = {
    "train": ["TCGA_CS_1.nii.gz", "TCGA_DU_2.nii.gz"],
    "calibration": ["TCGA_CS_3.nii.gz", "TCGA_DU_4.nii.gz"],
    "choice": ["TCGA_CS_5.nii.gz"],
    "quoted": ["TCGA_CS_6.nii.gz", "TCGA_DU_7.nii.gz"],
}


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    table = {**TABLE, "calibration": ["TCGA_CS_1.nii.gz"]}
    with pytest.raises(InvDetectError, match=r"^Patient TCGA_CS_1 is in two splits, train and calibration, [^.]*\.json\.$"):
        sets.load(sets.SETTINGS["flair"], fake(tmp_path, table), tmp_path, chosen={"flair": table})


def test_patients_are_told_by_the_manifest_not_by_file_names(tmp_path: Path) -> None:
    root = fake(tmp_path, TABLE)
    rows = ["patient,image", "anna,normal/TCGA_CS_1.nii.gz", "anna,abnormal/TCGA_DU_7.nii.gz"]
    (root / "brain_flair_lgg" / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(InvDetectError, match="Patient anna is in two splits"):
        sets.load(sets.SETTINGS["flair"], root, tmp_path, chosen={"flair": TABLE})


def test_an_institution_is_left_out_of_everything_but_the_test(tmp_path: Path) -> None:
    flair = sets.SETTINGS["flair"]
    data = sets.load(flair, fake(tmp_path, TABLE), tmp_path, site="CS", chosen={"flair": TABLE})
    assert [case.name for case in data.train + data.calibration] == ["TCGA_DU_2", "TCGA_DU_4"]
    assert [case.name for case in data.abnormal["flair"]] == ["TCGA_CS_5", "TCGA_CS_6"]
    assert [case.name for case in data.normal] == ["TCGA_CS_1", "TCGA_CS_3"]
    with pytest.raises(WrongUse):
        sets.load(flair, tmp_path, tmp_path, site="XX", chosen={"flair": TABLE})


@pytest.mark.parametrize("setting", ["flair", "fundus", "t1", "stroke", "stroke-sagittal"])
def test_missing_data_are_told_in_a_sentence(setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([setting, "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "are missing" in said[0] and "--data" in said[0]


def test_a_missing_scan_is_named(tmp_path: Path) -> None:
    root = fake(tmp_path, TABLE)
    (root / "brain_flair_lgg" / "normal" / "TCGA_DU_2.nii.gz").unlink()
    with pytest.raises(InvDetectError, match=r"TCGA_DU_2\.nii\.gz is missing"):
        sets.load(sets.SETTINGS["flair"], root, tmp_path, chosen={"flair": TABLE})


def test_no_file_is_in_two_of_the_study_s_splits() -> None:
    for table in splits.read().values():
        names = [name for part in table.values() for name in part]
        assert len(names) == len(set(names))


def test_the_splits_are_those_of_the_rules_and_of_the_data(shared_data: Path, tmp_path: Path) -> None:
    assert splits.read() == splits.make(shared_data)
    sizes = {}
    for name in ("flair", "fundus", "stroke", "stroke-coronal", "stroke-sagittal"):
        data = sets.load(sets.SETTINGS[name], shared_data, tmp_path)
        sizes[name] = [len(data.train), len(data.calibration), len(data.abnormal[name]), len(data.normal)]
    assert sizes == {
        "flair": [48, 12, 8, 12],
        "fundus": [47, 12, 15, 12],
        "stroke": [110, 28, 265, 35],
        "stroke-coronal": [137, 34, 253, 39],
        "stroke-sagittal": [280, 70, 161, 78],
    }


# --- stroke: one set, three views ---------------------------------------------------------------------------------------------------------

VIEWS = {"stroke": "axial", "stroke-coronal": "coronal", "stroke-sagittal": "sagittal"}


def patients(setting: str, part: str) -> list[str]:
    """Of a part of the study's splits, in the order of the files."""
    return [name.split("_")[1] for name in splits.read()[setting][part]]


def test_every_other_axial_stroke_is_for_choice_and_a_patient_s_half_is_the_same_in_all_views() -> None:
    table = splits.read()["stroke"]
    assert table["choice"] == sorted(table["choice"] + table["quoted"])[::2]
    choice, quoted = ({patient for setting in VIEWS for patient in patients(setting, part)} for part in ("choice", "quoted"))
    assert not choice & quoted
    axial = set(patients("stroke", "choice") + patients("stroke", "quoted"))
    assert abs(len(choice - axial) - len(quoted - axial)) <= 1
    for setting in VIEWS:
        every = [patient for part in splits.read()[setting] for patient in patients(setting, part)]
        assert len(every) == len(set(every))


def stroke(root: Path, view: str) -> dict[str, list[str]]:
    """A set of one view with a patient in each part, empty files; returns its splits."""
    table = {}
    for number, part in enumerate(("train", "calibration", "test_normal", "choice", "quoted", "normal_bright")):
        name = f"soop_sub-{number}_{view}.png"
        kinds = {"train": ("normal",), "calibration": ("normal",), "choice": ("abnormal", "masks"), "quoted": ("abnormal", "masks")}
        for folder in kinds.get(part, (part,)):
            path = root / "brain_flair_stroke" / view / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        table[part] = [name]
    return table


def test_bright_scans_are_scored_and_belong_neither_to_the_normals_nor_to_the_lesions(tmp_path: Path) -> None:
    table = {"stroke": stroke(tmp_path, "axial")}
    data = sets.load(sets.SETTINGS["stroke"], tmp_path, tmp_path, chosen=table)
    assert [case.name for case in data.bright] == ["soop_sub-5_axial"] and data.bright[0].truth is None
    assert [case.name for case in data.tested] == ["soop_sub-4_axial", "soop_sub-2_axial", "soop_sub-5_axial"]
    assert not set(data.bright) & {*data.train, *data.calibration, *data.normal}


def test_patients_of_a_view_are_told_by_the_manifest_of_the_whole_set(tmp_path: Path) -> None:
    table = {"stroke-coronal": stroke(tmp_path, "coronal")}
    rows = ["image,patient", "coronal/normal/soop_sub-0_coronal.png,anna", "coronal/normal_bright/soop_sub-5_coronal.png,anna"]
    (tmp_path / "brain_flair_stroke" / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(InvDetectError, match="Patient anna is in two splits, train and normal_bright"):
        sets.load(sets.SETTINGS["stroke-coronal"], tmp_path, tmp_path, chosen=table)


@pytest.mark.parametrize(("setting", "mirrored"), [("stroke", True), ("stroke-coronal", True), ("stroke-sagittal", False)])
def test_slices_are_mirrored_in_training_only_where_left_and_right_are_alike(setting: str, mirrored: bool, tmp_path: Path) -> None:
    data = sets.Data([], [], {}, [], "none")
    study = Study(sets.SETTINGS[setting], data, "full", tmp_path, "cpu", Progress())
    settings = study.settings("standard", "standard")
    assert settings.invdetect.training.mirror is mirrored and settings.preparation.plane == VIEWS[setting]
    base = matchgen_rows.PAIRS["dae"][0].library_settings(study)
    assert base.matchgen.training.mirror is mirrored
    paper = study.settings("paper", "paper")
    assert not paper.invdetect.training.mirror and paper.preparation.foreground == settings.preparation.foreground
