"""Where files that come with the extension lie."""

from __future__ import annotations

from pathlib import Path

from InvDetectLib.common import InvDetectError


def resource(name: str) -> Path:
    """The file `Resources/NAME`: inside the modules' folder in an installed extension, for some files beside it in the source tree.

    name  a path below Resources, such as "Icons/InvDetect.png". Raises `InvDetectError` when there is none.
    """
    modules = Path(__file__).resolve().parents[2]
    for folder in (modules, modules.parent):
        if (path := folder / "Resources" / name).is_file():
            return path
    raise InvDetectError(f"{name} is missing from the Resources of InvDetect. Install InvDetect again.")
