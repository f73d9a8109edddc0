"""What computes: for cards and results, so that a figure can be traced."""

from __future__ import annotations

import platform

from . import __version__


def versions() -> dict[str, str]:
    """Versions of what computes, for cards and results."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn", "SimpleITK")}
    return {"InvDetect": __version__, "python": platform.python_version(), **packages}
