"""Who is in which split: the rules, written out once into `splits.json`, from which the study reads.

Run `python -m Testing.evidence.splits DATA` to print what the rules give for a data folder; a test compares it with the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("splits.json")

Splits = dict[str, dict[str, list[str]]]
"""setting -> part -> file names, sorted; parts: train, calibration, test_normal, choice, quoted, normal_bright (for reporting only)."""

# Fixed lists: half of the abnormal patients of FLAIR, and three whole runs of neighbouring numbers among the normal eyes.
_FLAIR_CHOICE = ("DU_7294", "DU_A5TS", "FG_5964", "HT_7473", "HT_7680", "HT_7856", "HT_7882", "HT_8114")
_VIEWS = {"stroke": "axial", "stroke-coronal": "coronal", "stroke-sagittal": "sagittal"}
_EYES = ("006", "007", "008", "009", "032", "033", "034", "035", "051", "052", "053", "054")


def make(data: Path) -> Splits:
    """The splits by rule, from the names of the files in `data`.

    flair   calibration: every fifth of the sorted normals from the fourth on. Names begin with the institution, so that each gives a fifth.
    fundus  calibration: three runs of neighbouring numbers, whole ones, since two neighbouring numbers may be two eyes of one patient.
            Choice: every other of the sorted abnormal eyes from the first on.
    t1      calibration: every fifth of the sorted normals from the third on; choice: every eighth from the sixth on, kept out of training
            to carry made lesions. The two MS patients are quoted only.
    stroke  and its other views: see `_stroke`.
    """
    flair, fundus, t1 = (_names(data / folder) for folder in ("brain_flair_lgg", "fundus_idrid", "brain_t1_adults"))
    held = set(flair["normal"][3::5])
    chosen = [name for name in flair["abnormal"] if name.removeprefix("TCGA_").removesuffix(".nii.gz") in _FLAIR_CHOICE]
    eyes = {name for name in fundus["normal"] if name.removeprefix("IDRiD_NAR_").removesuffix(".jpg") in _EYES}
    adults, carriers = set(t1["normal"][2::5]), set(t1["normal"][5::8])
    return {
        "flair": {
            "train": _without(flair["normal"], held),
            "calibration": sorted(held),
            "choice": chosen,
            "quoted": _without(flair["abnormal"], set(chosen)),
        },
        "fundus": {
            "train": _without(fundus["normal"], eyes),
            "calibration": sorted(eyes),
            "test_normal": fundus["test_normal"],
            "choice": fundus["abnormal"][::2],
            "quoted": fundus["abnormal"][1::2],
        },
        "t1": {
            "train": _without(t1["normal"], adults | carriers),
            "calibration": sorted(adults),
            "test_normal": t1["test_normal"],
            "choice": sorted(carriers),
            "quoted": [name for name in _names(data / "brain_ms")["abnormal"] if name.endswith("_T1.nii.gz")],
        },
        **_stroke(data / "brain_flair_stroke"),
    }


def read() -> Splits:
    """The splits of the study."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def _stroke(folder: Path) -> Splits:
    """A setting for each view, the axial one called `stroke`.

    Calibration: every fifth of the view's sorted normals from the third on. Choice: every other of the sorted abnormal axial slices from
    the first on, and every other of the patients whose stroke is in other views only; the half goes with the patient through all views.
    """
    views = {view: _names(folder / view) for view in _VIEWS.values()}
    axial, *others = ([_patient(name) for name in names["abnormal"]] for names in views.values())
    elsewhere = sorted({patient for patients in others for patient in patients} - set(axial))
    chosen = {*axial[::2], *elsewhere[::2]}
    table = {}
    for setting, view in _VIEWS.items():
        names = views[view]
        held, choice = set(names["normal"][2::5]), {name for name in names["abnormal"] if _patient(name) in chosen}
        table[setting] = {
            "train": _without(names["normal"], held),
            "calibration": sorted(held),
            "test_normal": names["test_normal"],
            "choice": sorted(choice),
            "quoted": _without(names["abnormal"], choice),
            "normal_bright": names["normal_bright"],
        }
    return table


def _patient(name: str) -> str:
    """Of a slice: soop_PATIENT_VIEW.png."""
    return name.split("_")[1]


def _names(folder: Path) -> dict[str, list[str]]:
    return {part.name: sorted(path.name for path in part.iterdir()) for part in folder.iterdir() if part.is_dir()}


def _without(names: list[str], taken: set[str]) -> list[str]:
    return [name for name in names if name not in taken]


if __name__ == "__main__":
    print(json.dumps(make(Path(sys.argv[1])), indent=1))
