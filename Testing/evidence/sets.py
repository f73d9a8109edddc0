"""The settings of the study, and the scans of each: who trains, who calibrates, on whom it is tested."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.scans import find_masks, match_mask, stem
from InvDetectLib.scans.phantoms import write_phantoms

from . import made_lesions, splits, volumes

HALVES = ("quoted", "choice")
SITES = ("CS", "DU", "FG", "HT")


@dataclass(frozen=True)
class Setting:
    """One kind of scan.

    folder    of its normals below the data folder;  abnormal  of its scans with lesions; `manifest.csv` lies there or in the first part
    preset    of the row `standard`: the best that is known for such scans
    plane     of the slices, as `choose_settings` takes it (None: the preset's, axial): sagittal ones must not be mirrored in training
    colour, grid, fields  colour scans; pixels of the model's grid (None: the preset's); foreground from the masks in `field/`
    direction what counts as abnormal, where radiologists know it
    private   pictures must not leave the machine (licence)
    """

    name: str
    modality: str
    folder: str
    abnormal: str
    licence: str
    preset: str = "standard"
    plane: str | None = None
    colour: bool = False
    grid: int | None = None
    fields: bool = False
    private: bool = False
    direction: str | None = None


def _stroke(name: str, plane: str) -> Setting:
    folder, licence = f"brain_flair_stroke/{plane}", "CC0 1.0 as far as known (OpenNeuro ds004889), BSD-2-Clause (its demonstration)"
    return Setting(name, "MRI FLAIR, brain only", folder, folder, licence, plane=plane, direction="bright")


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("flair", "MRI FLAIR", "brain_flair_lgg", "brain_flair_lgg", "CC BY-NC-SA 4.0", private=True, direction="bright"),
        Setting("fundus", "colour fundus", "fundus_idrid", "fundus_idrid", "CC BY 4.0", "fundus", colour=True, grid=256, fields=True),
        Setting("t1", "MRI T1, brain only", "brain_t1_adults", "brain_ms", "CC0 1.0 (normals), CC BY (MS)", "fine"),
        _stroke("stroke", "axial"),
        _stroke("stroke-coronal", "coronal"),
        _stroke("stroke-sagittal", "sagittal"),
        Setting("phantoms", "made heads", "phantoms", "phantoms", "nobody's data", grid=64),
    )
}


@dataclass(frozen=True)
class Case:
    """One scan. `truth` None: no lesion; `field` the file of its foreground, where the setting has such."""

    patient: str
    scan: Path
    truth: Path | None = None
    field: Path | None = None

    @property
    def name(self) -> str:
        """Unique within a setting."""
        return stem(self.scan)


@dataclass(frozen=True)
class Data:
    """All scans of one run.

    abnormal     by part of the results' table;  normal  for the false-positive area, which `normal_kind` describes
    bright       scans without the lesions sought that are no normal ones either: the area flagged in them is reported, and no more
    """

    train: list[Case]
    calibration: list[Case]
    abnormal: dict[str, list[Case]]
    normal: list[Case]
    normal_kind: str
    notes: list[str] = field(default_factory=list)
    bright: list[Case] = field(default_factory=list)

    @property
    def tested(self) -> list[Case]:
        """Every scan that each row scores, once."""
        cases = [case for part in self.abnormal.values() for case in part] + self.normal + self.bright
        return list({case.name: case for case in cases}.values())


def load(
    setting: Setting,
    root: Path,
    work: Path,
    half: str = "quoted",
    site: str | None = None,
    every: int = 1,
    chosen: splits.Splits | None = None,
) -> Data:
    """The scans of one run, checked.

    root   the data folder;  work  where phantoms and made lesions are written
    half   "quoted" or "choice" of the abnormal scans;  site  institution of FLAIR left out of the normals and tested alone, or None
    every  of T1 volumes that are scored every so many-th slice is kept (see `sizes`)
    chosen another table of splits than the study's own, for tests
    Raises `InvDetectError` when data are missing or a patient is in two splits.
    """
    if setting.name == "phantoms":
        root, table = work, _phantoms(work / setting.folder)
    else:
        table = (chosen or splits.read())[setting.name]
    for folder in {setting.folder, setting.abnormal}:
        if not (root / folder).is_dir():
            raise InvDetectError(
                f"The data of the setting {setting.name} are missing: {root / folder} is no folder. Name the folder that holds {folder} "
                "with --data."
            )
    find = _Finder(setting, root)
    train, calibration = (find.normals("normal", table[part]) for part in ("train", "calibration"))
    unseen, bright = (find.normals(part, table.get(part, [])) for part in ("test_normal", "normal_bright"))
    both = {part: find.normals("normal", table[part]) if _carries(setting, part) else find.abnormal(table[part]) for part in HALVES}
    check_apart({"train": train, "calibration": calibration, "test_normal": unseen, "normal_bright": bright, **both})
    if site is not None:
        return _leave_out(site, train, calibration, both)
    if setting.name == "t1":
        return _thinned(_with_made_lesions(train, calibration, unseen, both[half], half, work), work, every)
    kind = "unseen normal scans" if unseen else "the calibration normals themselves, since there are no others: 1 % by construction"
    return Data(train, calibration, {setting.name: both[half]}, unseen or calibration, kind, bright=bright)


def check_apart(parts: Mapping[str, list[Case]]) -> None:
    """Raise `InvDetectError` when one patient is in two of the named parts."""
    seen: dict[str, str] = {}
    for part, cases in parts.items():
        for case in cases:
            if seen.setdefault(case.patient, part) != part:
                raise InvDetectError(
                    f"Patient {case.patient} is in two splits, {seen[case.patient]} and {part}, which would flatter every figure; "
                    f"take the patient out of one of them in {splits.FILE.name}."
                )


class _Finder:
    """From file names to cases."""

    def __init__(self, setting: Setting, root: Path) -> None:
        self._setting, self._root = setting, root
        self._patients: dict[Path, str] = {}
        for folder in {setting.folder, setting.abnormal}:
            for place in {root / folder, root / Path(folder).parts[0]}:
                if (place / "manifest.csv").exists():
                    with open(place / "manifest.csv", newline="", encoding="utf-8") as file:
                        self._patients |= {place / row["image"]: row["patient"] for row in csv.DictReader(file)}

    def normals(self, part: str, names: list[str]) -> list[Case]:
        return [self._case(self._root / self._setting.folder / part / name, None) for name in sorted(names)]

    def abnormal(self, names: list[str]) -> list[Case]:
        folder = self._root / self._setting.abnormal
        masks = {stem(found.path): found.path for found in find_masks(folder / "masks")[0]}
        paths = [folder / "abnormal" / name for name in sorted(names)]
        # The mask of the very name, where there is one: hundreds of scans need not be held against hundreds of masks.
        return [self._case(path, masks.get(stem(path)) or match_mask(stem(path), list(masks.values()))) for path in paths]

    def _case(self, path: Path, truth: Path | None) -> Case:
        if not path.exists():
            raise InvDetectError(f"{path} is missing, which {splits.FILE.name} names; get the data, or name its folder with --data.")
        fields = self._root / self._setting.folder / "field" / f"{stem(path)}.png" if self._setting.fields else None
        # T1 of the MS patients is not in the manifest, whose FLAIR has the patient's name; masks carry it too.
        patient = self._patients.get(path, stem(truth) if truth else stem(path))
        return Case(patient, path, truth, fields)


def _carries(setting: Setting, part: str) -> bool:
    """Whether a half consists of normal scans that will carry made lesions."""
    return setting.name == "t1" and part == "choice"


def _with_made_lesions(
    train: list[Case], calibration: list[Case], unseen: list[Case], chosen: list[Case], half: str, work: Path
) -> Data:
    carriers = chosen if half == "choice" else unseen
    made = []
    for case in carriers:
        scan, truth = made_lesions.write(case.scan, work / "made", f"{case.name}-made")
        made.append(Case(case.patient, scan, truth))
    abnormal = {"t1-made": made} if half == "choice" else {"t1": chosen, "t1-made": made}
    notes = ["t1: two MS patients of another scanner; no choice was made on them, and two patients bear no claim about accuracy."]
    return Data(train, calibration, abnormal, carriers, "the adults that carry the made lesions, without them", notes)


def _leave_out(site: str, train: list[Case], calibration: list[Case], both: dict[str, list[Case]]) -> Data:
    """Without one institution's normals, tested on all its patients; its own normals, never seen, tell the false-positive area."""
    if site not in SITES:
        raise WrongUse(f"There is no institution {site!r} with abnormal patients; choose one of {', '.join(SITES)}.")

    def is_of(case: Case) -> bool:
        return case.name.split("_")[1] == site

    tested = sorted((case for part in both.values() for case in part if is_of(case)), key=lambda case: case.name)
    normal = [case for case in train + calibration if is_of(case)]
    rest = [[case for case in part if not is_of(case)] for part in (train, calibration)]
    notes = [f"institution {site} left out of training and calibration; its {len(tested)} patients of both halves tested"]
    return Data(*rest, {"flair": tested}, normal, f"all normals of {site}, which nobody has seen", notes)


def _thinned(data: Data, work: Path, every: int) -> Data:
    """Every so many-th slice of all volumes that are scored; training keeps whole volumes."""

    def thin(case: Case) -> Case:
        if every == 1:
            return case
        name = f"{case.name}-every-{every}.nii.gz"
        truth = None if case.truth is None else volumes.thin(case.truth, work / "thin" / "masks" / name, every)
        return Case(case.patient, volumes.thin(case.scan, work / "thin" / "scans" / name, every), truth)

    abnormal = {part: [thin(case) for case in cases] for part, cases in data.abnormal.items()}
    notes = [*data.notes, f"one slice in {every} of the volumes scored"] if every > 1 else data.notes
    calibration, normal = ([thin(case) for case in cases] for cases in (data.calibration, data.normal))
    return Data(data.train, calibration, abnormal, normal, data.normal_kind, notes)


def _phantoms(folder: Path) -> dict[str, list[str]]:
    """Made heads in the layout of the real sets, written once; the splits."""
    if not (folder / "normal_bright").is_dir():
        draft = folder.with_name(folder.name + ".part")
        shutil.rmtree(draft, ignore_errors=True)
        made = (("normal", 11, 0, 0), ("test_normal", 2, 500, 0), ("normal_bright", 1, 700, 1), ("abnormal", 4, 1000, 1))
        for part, count, first, lesions in made:
            write_phantoms(draft / part, count, first, (3, 64, 64), lesions)
        (draft / "abnormal-masks").rename(draft / "masks")  # of "normal_bright" nobody asks for the masks
        shutil.rmtree(folder, ignore_errors=True)  # of an older study, with fewer parts
        draft.rename(folder)
    parts = ("normal", "test_normal", "normal_bright", "abnormal")
    normal, unseen, bright, abnormal = (sorted(path.name for path in (folder / part).iterdir()) for part in parts)
    halves = {"choice": abnormal[::2], "quoted": abnormal[1::2]}
    return {"train": normal[:8], "calibration": normal[8:], "test_normal": unseen, **halves, "normal_bright": bright}
