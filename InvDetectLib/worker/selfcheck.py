"""Whether this Python can compute for InvDetect: what it lacks, and one array to a tensor and back. Also a program of its own:

    python .../InvDetectLib/worker/selfcheck.py        # prints one line: `@invdetect {"message": "selfcheck", "usable": true, ...}`

It runs in a child process, so that a panel learns this without loading torch itself. Nothing but the standard library is imported at
the top, so that an answer comes whatever is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

PREFIX = "@invdetect "
# Oldest usable version of what is imported, by its name on PyPI; pyproject.toml says the same.
NEEDED = {
    "numpy": ("numpy", "1.26"),
    "scipy": ("scipy", "1.11"),
    "SimpleITK": ("SimpleITK", "2.3"),
    "nibabel": ("nibabel", "5.3"),
    "pillow": ("PIL.Image", "10.1"),
    "tifffile": ("tifffile", "2024.8.30"),
    "imagecodecs": ("imagecodecs", "2024.9.22"),
    "pydicom": ("pydicom", "2.4.2"),
    "scikit-learn": ("sklearn.svm", "1.4"),
    "safetensors": ("safetensors.numpy", "0.4"),
    "torch": ("torch", "2.2"),
}
PYTHONS = ((3, 10), (3, 13))  # oldest and newest


def selfcheck() -> dict[str, Any]:
    """What there is and what is not, without raising.

    usable    whether `problem` is empty
    missing   names on PyPI that cannot be imported or are too old
    problem   one sentence, or ""
    versions  name -> version of what could be imported, "python" first
    devices   names that `find_device` accepts; empty when torch does not work
    """
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    report: dict[str, Any] = {"usable": False, "missing": [], "problem": "", "versions": versions, "devices": []}
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        oldest, newest = (".".join(map(str, one)) for one in PYTHONS)
        return report | {"problem": f"It is Python {versions['python']}, and InvDetect needs {oldest} to {newest}."}
    reasons = []
    for name, (module, floor) in NEEDED.items():
        try:
            importlib.import_module(module)
            versions[name] = str(getattr(sys.modules[module.partition(".")[0]], "__version__", "unknown"))
        except Exception as error:  # a broken installation may raise anything
            reasons.append(f"{name} ({_first_line(error)})")
        else:
            if at_least(versions[name], floor):
                continue
            reasons.append(f"{name} (it is {versions[name]}, and {floor} is the oldest that works)")
        report["missing"].append(name)
    if reasons:
        return report | {"problem": f"It cannot use {', '.join(reasons)}."}
    try:
        report["devices"] = _convert()
    except Exception as error:
        return report | {"problem": f"torch {versions['torch']} does not work with numpy {versions['numpy']}: {_first_line(error)}."}
    return report | {"usable": True}


def at_least(version: str, floor: str) -> bool:
    """Whether a version such as "2.13.0+cpu" is not older than `floor`, such as "2.2"; True for one that is no number."""
    try:
        wanted = [int(part) for part in floor.split(".")]
        return [int(part) for part in version.split("+")[0].split(".")[: len(wanted)]] >= wanted
    except ValueError:
        return True


def _convert() -> list[str]:
    """Raise unless an array survives the way to a tensor and back; the devices' names."""
    import numpy as np

    from InvDetectLib.computing import list_devices, to_array, to_tensor

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    if not np.array_equal(to_array(to_tensor(array) * 2), array * 2):
        raise ValueError("an array came back from torch with other numbers")
    return list_devices()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:300]


def main() -> int:
    """Print the report; 0 when this Python is usable, else 1."""
    report = selfcheck()
    print(PREFIX + json.dumps({"message": "selfcheck", **report}), flush=True)
    return 0 if report["usable"] else 1


if __name__ == "__main__":
    # Run by its path: the library's parent is where imports come from, and never this folder, whose files have common names.
    _wing = os.path.dirname(os.path.abspath(__file__))
    _root = os.path.dirname(os.path.dirname(_wing))
    sys.path[:] = [_root, *(entry for entry in sys.path if os.path.abspath(entry or ".") != _wing)]
    sys.exit(main())
