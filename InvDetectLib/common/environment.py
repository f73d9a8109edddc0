"""What computes, for cards and results, so that a figure can be traced; and whether it can compute here."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from .errors import InvDetectError
from .shortages import shortage

__version__ = "0.1.0"

_ADDRESSES = 3 << 30  # bytes: torch on a CPU maps 1.5 to 2.5 GiB, most of which is never touched
_MODULES = {"torch": "torch", "numpy": "numpy", "scikit-learn": "sklearn", "SimpleITK": "SimpleITK"}


def versions() -> dict[str, str]:
    """Versions of what computes, for cards and results."""
    packages = {name: _version(name, module) for name, module in _MODULES.items()}
    return {"InvDetect": __version__, "python": platform.python_version(), **packages}


def beyond_locale(name: str) -> str:
    """Why a file of this name cannot be handled under the locale of this process, as a sentence; "" when it can."""
    encoding = sys.getfilesystemencoding()
    if name.isascii() or os.name == "nt" or encoding.replace("-", "").lower() == "utf8":
        return ""
    return (
        f"The locale of this shell has no letters beyond {encoding}, and the name {ascii(name)} has some; "
        "set LC_ALL=C.UTF-8, or PYTHONUTF8=1, and start again."
    )


def check_address_space() -> None:
    """Raise `InvDetectError` where this process may have less address space than torch and a scan take.

    Libraries below Python end a process that runs out of it without a word, so that it has to be told before.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY and allowed < _ADDRESSES:
        raise InvDetectError(
            f"Programs may have {allowed / (1 << 30):.2g} GiB of address space here (ulimit -v), and InvDetect needs "
            f"{_ADDRESSES >> 30}; allow more, or ask the batch system for more."
        )


def check_loadable(modules: Mapping[str, str], extra: str = "") -> None:
    """Load packages before long work needs them. Raises `InvDetectError` for one that is missing or broken.

    modules  what is imported of each package, by the name that pip knows it by; only the packages themselves are loaded here
    extra    of InvDetect, with which they come ("dicom"); the sentence on a missing one then names it
    """
    for package, module in modules.items():
        try:
            importlib.import_module(module.partition(".")[0])
        except Exception as error:  # a broken package can raise anything
            if extra and isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
                again = f'{sys.executable} -m pip install "invdetect[{extra}]"'
                raise InvDetectError(f"This needs the package {package}, which is not installed. Install it: {again}") from error
            if short := shortage(error):
                raise InvDetectError(f"The package {package} cannot be loaded. {short}") from error
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            again = f"{sys.executable} -m pip install --force-reinstall {package}"
            raise InvDetectError(f"The package {package} cannot be loaded ({reason}). Install it again: {again}") from error


def _version(name: str, module: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # Slicer builds some packages itself and leaves their metadata out
        return str(getattr(importlib.import_module(module), "__version__", "unknown"))
