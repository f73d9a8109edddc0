"""What an undisturbed run leaves, and whether a disturbed one, once it was run again, left the same."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from InvDetectLib.models import load_model
from Testing.campaign.trying import Failure

_FREE = ("seconds", "created")  # what clocks decide


def age(folder: Path) -> None:
    """As if a minute had gone by since a process was killed: what is younger than a second may belong to one that lives."""
    for path in [*folder.rglob(".invdetect-*/owner"), *folder.rglob(".invdetect-*")]:
        os.utime(path, (time.time() - 60,) * 2)


def same(folder: Path, whole: Path, without_pictures: bool = False) -> None:
    """Raise `Failure` unless two folders hold the same files, byte by byte but for what clocks decide.

    without_pictures  some of `folder` may have been made with previews, and `whole` without
    """
    there, wanted = ({path.relative_to(root): path for path in root.rglob("*") if path.is_file()} for root in (folder, whole))
    if without_pictures:
        there = {name: path for name, path in there.items() if not name.name.endswith(".preview.png")}
    if there.keys() != wanted.keys():
        raise Failure(f"other files: {sorted(map(str, there.keys() ^ wanted.keys()))}")
    for name, path in wanted.items():
        if content(path) != content(there[name]):
            raise Failure(f"{name.name} is not as an undisturbed run makes it")


def content(path: Path) -> Any:
    """What is in a file, less what clocks decide."""
    if path.suffix == ".invdetect":  # whose card tells when it was made
        model = load_model(path)
        return {name: values.tobytes() for name, values in model.arrays.items()}, model.calibration
    if not path.name.endswith(".result.json"):
        return path.read_bytes()

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items() if name not in (*_FREE, "preview")}
        return [plain(part) for part in value] if isinstance(value, list) else value

    return plain(json.loads(path.read_text()))
