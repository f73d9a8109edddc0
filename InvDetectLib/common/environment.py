"""What computes: for cards and results, so that a figure can be traced."""

from __future__ import annotations

import importlib
import platform
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"

_MODULES = {"torch": "torch", "numpy": "numpy", "scikit-learn": "sklearn", "SimpleITK": "SimpleITK"}


def versions() -> dict[str, str]:
    """Versions of what computes, for cards and results."""
    packages = {name: _version(name, module) for name, module in _MODULES.items()}
    return {"InvDetect": __version__, "python": platform.python_version(), **packages}


def _version(name: str, module: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # Slicer builds some packages itself and leaves their metadata out
        return str(getattr(importlib.import_module(module), "__version__", "unknown"))
