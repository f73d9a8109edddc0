"""Datasets in the Brain Imaging Data Structure: which of their images are meant, by the entities in file names.

A reader of its own, because pybids needs a database, pandas and a parser of formulas to look names up; names, one JSON file and
`.bidsignore` are all that detection and training need of a dataset. Nothing is read of the images themselves.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import InvDetectError, WrongUse, parse_json, read_regular, shown

# Of BIDS 1.10: the name in full, and the key that file names have for it.
ENTITIES = {
    "subject": "sub", "template": "tpl", "session": "ses", "cohort": "cohort", "sample": "sample", "task": "task", "tracksys": "tracksys",
    "acquisition": "acq", "nucleus": "nuc", "volume": "voi", "ceagent": "ce", "tracer": "trc", "stain": "stain", "reconstruction": "rec",
    "direction": "dir", "run": "run", "modality": "mod", "echo": "echo", "flip": "flip", "inversion": "inv", "mtransfer": "mt",
    "part": "part", "processing": "proc", "hemisphere": "hemi", "space": "space", "split": "split", "recording": "recording",
    "chunk": "chunk", "atlas": "atlas", "segmentation": "seg", "scale": "scale", "resolution": "res", "density": "den", "label": "label",
    "description": "desc",
}  # fmt: skip
_INDICES = ("run", "echo", "flip", "inv", "split", "chunk")  # numbers, with as many zeros in front as one likes
_BESIDE = ("suffix", "datatype")  # what names and folders say besides
_KEYS = {**{key: key for key in (*ENTITIES.values(), *_BESIDE)}, **ENTITIES}
_ENDINGS = (".nii.gz", ".nii")
DESCRIPTION = "dataset_description.json"
WRITER = "InvDetect"  # as "GeneratedBy" of its own derivatives has it
_MOST = 12  # values of an entity that a sentence lists
_LARGEST = 16 << 20  # bytes of a description, or of a list of what is ignored


@dataclass(frozen=True)
class BidsFolder(os.PathLike[str]):
    """A BIDS dataset and which of its images are meant; stands for them wherever a folder of scans can be given.

    root     the folder that holds dataset_description.json
    filters  entities by their long or short names, "suffix" and "datatype", such as "suffix=T1w,session=1,acquisition=space"; all must
             fit. An entity without a value ("acquisition=") must be missing. Raises `WrongUse` for what is none of this.
    """

    root: Path
    filters: str

    def __post_init__(self) -> None:
        _understood(self.filters)

    def __fspath__(self) -> str:
        return str(self.root)

    def __str__(self) -> str:
        return f"{self.root} ({self.filters})"

    def description(self) -> dict[str, Any]:
        """What dataset_description.json says. Raises `InvDetectError` where it is missing or none."""
        return read_description(self.root)

    def files(self) -> list[Path]:
        """The NIfTI files of subjects that fit, sorted; what .bidsignore names is left out, and so is all outside of the subjects' folders:
        derivatives, sourcedata, code.

        Raises `InvDetectError` for a folder that is no dataset, for one that InvDetect wrote, when nothing fits, and when images of
        several suffixes do, for a model knows one kind.
        """
        if is_written_here(self.description()):
            raise InvDetectError(f"{self.root} holds what InvDetect wrote, not scans; give the dataset that was examined.")
        wanted = _understood(self.filters)
        named = {path: entities for path in _images(self.root) if (entities := entities_of(path))}
        fitting = [path for path, entities in named.items() if all(_fits(key, value, entities) for key, value in wanted.items())]
        if not fitting:
            raise InvDetectError(self._nothing(wanted, list(named.values())))
        suffixes = Counter(named[path]["suffix"] for path in fitting)
        if len(suffixes) > 1:
            raise InvDetectError(
                f"In {self.root} images of several kinds fit {self.filters or 'no filter at all'}: {_counted(suffixes)}. A model knows one "
                "kind; add a suffix, such as suffix=" + min(suffixes) + "."
            )
        return fitting

    def _nothing(self, wanted: Mapping[str, str], images: Sequence[Mapping[str, str]]) -> str:
        if not images:
            return f"{self.root} has no NIfTI image of any subject whose name is one of BIDS, such as sub-01/anat/sub-01_FLAIR.nii.gz."
        long = {key: name for name, key in ENTITIES.items()}
        asked = ["suffix", *(key for key in wanted if key != "suffix")]
        there = (f"{long.get(key, key)} {_counted(Counter(image.get(key, 'none') for image in images))}" for key in asked)
        return f"No image in {self.root} fits {self.filters}. There are: {'; '.join(there)}. Choose among these."


def entities_of(path: Path) -> dict[str, str]:
    """What the name of a NIfTI file says: values by the short names of entities, "suffix", and "datatype", the name of its folder.

    Empty for a name that is not one of BIDS.
    """
    name = path.name
    end = next((one for one in _ENDINGS if name.endswith(one)), "")
    *pairs, suffix = name[: len(name) - len(end)].split("_")
    matched = [re.fullmatch(r"([a-z]+)-([0-9A-Za-z+]+)", pair) for pair in pairs]
    if not end or not pairs or not all(matched) or not re.fullmatch("[0-9A-Za-z]+", suffix):
        return {}
    found = {pair[1]: pair[2] for pair in matched if pair}
    return {**found, "suffix": suffix, "datatype": path.parent.name} if "sub" in found else {}


def within_dataset(path: Path) -> str:
    """The path of a subject's image below the root of its dataset, with "/": from the folder sub-... on."""
    parents = path.parts[:-1]
    subject = max(number for number, part in enumerate(parents) if part.startswith("sub-"))
    return Path(*path.parts[subject:]).as_posix()


def read_description(root: Path) -> dict[str, Any]:
    """What `root`/dataset_description.json says. Raises `InvDetectError` where it is missing or none."""
    path = root / DESCRIPTION
    if not root.is_dir():
        raise InvDetectError(f"{root} is no folder; give that of a BIDS dataset.")
    try:
        content = parse_json(read_regular(path, _LARGEST).decode("utf-8"))
    except FileNotFoundError as error:
        remedy = "Give the folder that has one, or leave --bids away"
        raise InvDetectError(f"{root} is no BIDS dataset: it has no {DESCRIPTION}. {remedy}.") from error
    except OSError as error:
        raise InvDetectError(f"{path} cannot be read ({error.strerror}); a BIDS dataset needs it.") from error
    except (ValueError, RecursionError) as error:
        raise InvDetectError(f"{path} is damaged ({shown(error)}); a BIDS dataset needs it. Repair it.") from error
    if not isinstance(content, dict):
        raise InvDetectError(f"{path} does not hold a description; a BIDS dataset needs one. Repair it.")
    return content


def is_written_here(description: Mapping[str, Any]) -> bool:
    """Whether a dataset of this description is a derivative that InvDetect wrote."""
    made_by = description.get("GeneratedBy")
    return isinstance(made_by, list) and any(isinstance(one, dict) and one.get("Name") == WRITER for one in made_by)


def _understood(filters: str) -> dict[str, str]:
    """Values by short names. Raises `WrongUse`."""
    wanted: dict[str, str] = {}
    for part in (part.strip() for part in filters.split(",") if part.strip()):
        name, equals, value = (one.strip() for one in part.partition("="))
        if not equals:
            raise WrongUse(f'{shown(part)} is no filter for BIDS; write them like "suffix=T1w,session=1".')
        if name not in _KEYS:
            known = ", ".join([*_BESIDE, *(long if long == key else f"{long} ({key})" for long, key in ENTITIES.items())])
            raise WrongUse(f"{shown(name)} is no entity of BIDS; known are {known}.")
        key = _KEYS[name]
        if key in wanted:
            raise WrongUse(f"The entity {name} is in the filter {shown(filters)} twice; give it once.")
        if not re.fullmatch("[0-9A-Za-z+]*", value):
            raise WrongUse(f"{shown(value)} cannot be the {name} of a file in BIDS, which has letters and digits only.")
        wanted[key] = value
    return wanted


def _fits(key: str, value: str, entities: Mapping[str, str]) -> bool:
    has = entities.get(key, "")
    if key in _INDICES and has.isdecimal() and value.isdecimal():
        return has.lstrip("0") == value.lstrip("0")  # not as numbers: Python takes none with thousands of digits
    return has == value


def _images(root: Path) -> Iterator[Path]:
    """Every NIfTI file of every subject that .bidsignore does not name, in the order of their paths."""
    ignored = _Ignored.of(root)
    try:
        subjects = sorted(one.name for one in root.iterdir() if one.name.startswith("sub-") and one.is_dir())
    except OSError as error:
        raise InvDetectError(f"{root} cannot be opened ({error.strerror}). Check its permissions.") from error
    for subject in subjects:
        found = []
        for folder, folders, files in os.walk(root / subject):
            folders[:] = [one for one in folders if not one.startswith(".")]
            found += [Path(folder, one) for one in files if one.endswith(_ENDINGS) and not one.startswith(".")]
        yield from (path for path in sorted(found) if not ignored.names(path.relative_to(root).parts))


@dataclass(frozen=True)
class _Ignored:
    """The patterns of .bidsignore, which are those of .gitignore."""

    patterns: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> _Ignored:
        try:
            lines = read_regular(root / ".bidsignore", _LARGEST).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise InvDetectError(f"{root / '.bidsignore'} cannot be read ({error.strerror}); it says what is no scan.") from error
        return cls(tuple(line.strip() for line in lines if line.strip() and not line.startswith("#")))

    def names(self, parts: tuple[str, ...]) -> bool:
        """Whether the file of that path below the root is left out; of several patterns that fit it the last one decides."""
        ignored = False
        for pattern in self.patterns:
            bare = pattern.removeprefix("!")
            if any(self._fits(bare, parts[:end], end < len(parts)) for end in range(1, len(parts) + 1)):
                ignored = bare == pattern
        return ignored

    @staticmethod
    def _fits(pattern: str, parts: tuple[str, ...], is_folder: bool) -> bool:
        if pattern.endswith("/") and not is_folder:
            return False
        steps = (["**"] if "/" not in pattern.rstrip("/") else []) + pattern.strip("/").split("/")
        return _matches([step for step, before in zip(steps, ["", *steps]) if not step == before == "**"], parts)


def _matches(steps: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern, cut at its slashes, fits a path; "**" stands for any number of folders."""
    ends = {0}  # how many parts those steps may have taken that were looked at, in a time that is no power of their number
    for step in steps:
        if step == "**":
            ends = set(range(min(ends), len(parts) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(parts) and fnmatch.fnmatchcase(parts[end], step)}
        if not ends:
            return False
    return len(parts) in ends


def _counted(counts: Mapping[str, int]) -> str:
    """The values of an entity and how many images have them, as a sentence says it."""
    first = sorted(counts)[:_MOST]
    rest = len(counts) - len(first)
    return ", ".join(f"{value} ({counts[value]})" for value in first) + (f" and {rest} more" if rest else "")
