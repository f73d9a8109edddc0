"""What computing needs and this Slicer lacks, in words and as arguments for pip. Looks at metadata only; loads and installs nothing.

Slicer's own packages are never replaced: none is ever asked for, and `constraint_lines` pins all of them to the versions at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from InvDetectLib.worker import NEEDED, at_least

# What Slicer ships and its other modules live on. pip itself is left out: the PyTorch extension's installer needs an older one.
BUNDLED = (
    "numpy",
    "scipy",
    "SimpleITK",
    "vtk",
    "pillow",
    "requests",
    "pydicom",
    "packaging",
    "setuptools",
    "typing_extensions",
    "certifi",
    "charset-normalizer",
    "idna",
    "urllib3",
    "six",
)


@dataclass(frozen=True)
class Package:
    """Something from PyPI: its oldest usable version, what it is for, how large the download is, and its licence."""

    name: str
    floor: str
    purpose: str
    download: str
    licence: str

    @property
    def requirement(self) -> str:
        return f"{self.name}>={self.floor}"


SCIKIT_LEARN = Package("scikit-learn", NEEDED["scikit-learn"][1], "learns what is normal", "about 15 MB", "BSD")
SAFETENSORS = Package("safetensors", NEEDED["safetensors"][1], "reads model files", "less than 1 MB", "Apache 2.0")
TORCH = Package("torch", NEEDED["torch"][1], "runs the network", "0.2 GB, or up to 3 GB with an NVIDIA GPU", "BSD")
NIBABEL = Package("nibabel", NEEDED["nibabel"][1], "reads NIfTI", "about 3 MB", "MIT")
TIFFFILE = Package("tifffile", NEEDED["tifffile"][1], "reads TIFF", "less than 1 MB", "BSD")
IMAGECODECS = Package("imagecodecs", NEEDED["imagecodecs"][1], "decodes compressed TIFF and PNG of 16 bits", "about 30 MB", "BSD")
MATPLOTLIB = Package("matplotlib", "3.8", "draws charts and pictures", "about 15 MB", "of its own, like Python's")
MAXFLOW = Package("PyMaxflow", "1.3", "draws the mask several times faster, with the same result", "less than 1 MB", "GPL 3")
HIGHDICOM = Package("highdicom", "0.28", "writes DICOM objects for an archive", "about 5 MB", "MIT")
DISTRIBUTED = Package("distributed", "2024.8", "computes on the workers of a Dask scheduler", "about 5 MB", "BSD")
REQUIRED = (SCIKIT_LEARN, SAFETENSORS, NIBABEL, TIFFFILE, IMAGECODECS, MATPLOTLIB, TORCH)


@dataclass(frozen=True)
class State:
    """Whether there is all that computing needs, one sentence about it, and what is missing."""

    ready: bool
    text: str
    missing: tuple[Package, ...] = ()


def installed_version(name: str) -> str | None:
    """The version of a package of this Python, by its metadata; None when there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def is_there(package: Package, find: Callable[[str], str | None] = installed_version) -> bool:
    """Whether a package is installed, and new enough."""
    return at_least(find(package.name) or "0", package.floor)


def missing(find: Callable[[str], str | None] = installed_version) -> tuple[Package, ...]:
    """Which of the required packages are not there, or too old."""
    return tuple(package for package in REQUIRED if not is_there(package, find))


def state(find: Callable[[str], str | None] = installed_version, chosen_python: str = "") -> State:
    """What a line in the panel says. `chosen_python`: a Python outside Slicer that computes instead of Slicer's own."""
    if chosen_python:
        return State(True, f"Computing with the Python you chose: {chosen_python}")
    lacking = missing(find)
    if not lacking:
        return State(True, "Ready: " + ", ".join(f"{package.name} {find(package.name)}" for package in REQUIRED) + ".")
    old = [f"{package.name} {find(package.name)}" for package in lacking if find(package.name)]
    names = listed([package.name for package in lacking])
    more = f" ({listed(old)} is too old)" if old else ""
    return State(False, f"Before the first run InvDetect has to install {names}{more}. You will be asked first.", lacking)


def question(packages: Sequence[Package], extension_missing: bool = False) -> str:
    """What is asked before anything is installed: what, why, how large, under which licence, and what it changes.

    extension_missing   the PyTorch extension, through which torch comes, has to be installed first
    """
    lines = [f"{package.name}: {package.purpose}; {package.download}, licence {package.licence}" for package in packages]
    text = "InvDetect would like to download from PyPI and install into Slicer's Python:\n\n" + "\n".join(lines)
    text += "\n\nSlicer's own packages stay as they are. Your scans stay on this computer."
    if extension_missing and TORCH in packages:
        text += "\n\ntorch comes through the PyTorch extension, which is not installed yet; Slicer has to restart after installing it."
    return text + "\n\nInstall now?"


def maxflow_question() -> str:
    """What is asked, apart from everything else, before PyMaxflow is installed."""
    return (
        f"PyMaxflow {MAXFLOW.purpose}. InvDetect does not need it.\n\nIts licence is the GNU General Public License, version 3, "
        f"and not, as InvDetect's own, Apache 2.0. It is a download of {MAXFLOW.download} into Slicer's Python.\n\nInstall PyMaxflow now?"
    )


def offline_hint() -> str:
    """How to install without a network, for people."""
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    wanted = " ".join(f'"{package.requirement}"' for package in REQUIRED)
    return (
        "Without a network: on a computer of the same kind that has one, run\n"
        f"{python} -m pip download --only-binary=:all: -d invdetect-packages {wanted}\n"
        "then bring the folder invdetect-packages here and choose it with Install from folder."
    )


def requirements(packages: Iterable[Package]) -> list[str]:
    """What pip is asked for. Raises ValueError for a package that Slicer ships: such a call is a bug."""
    packages = list(packages)
    own = {_plain(name) for name in BUNDLED}
    if bundled := [package.name for package in packages if _plain(package.name) in own]:
        raise ValueError(f"Slicer's own {', '.join(bundled)} must never be asked for")
    return [package.requirement for package in packages]


def bundled_versions(find: Callable[[str], str | None] = installed_version) -> dict[str, str]:
    """Versions of the packages that Slicer ships, of those that have metadata."""
    return {name: found for name in BUNDLED if (found := find(name))}


def constraint_lines(versions: dict[str, str]) -> list[str]:
    """Lines of a constraints file for pip that keep each package (see `bundled_versions`) at its version."""
    return [f"{name}=={found}" for name, found in versions.items()]


def pip_arguments(packages: Iterable[Package], constraints: str, folder: str = "") -> list[str]:
    """What follows `pip install`. `constraints`: a constraints file; `folder`: take packages from there alone, without a network."""
    source = ["--no-index", "--find-links", folder] if folder else []
    return [*source, *requirements(packages), "-c", constraints]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
