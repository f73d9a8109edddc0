"""The installed models with their cards, and how a model file gets among them. By the standard library alone: no torch, no numpy.

Where models lie is the library's business (`InvDetectLib.models`): a user's models folder, outside the extension, then the shipped ones.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError, reason, write_whole
from InvDetectLib.models import (
    DIRECTIONS,
    SUFFIX,
    Settings,
    calibrations,
    check_whole,
    describe,
    find_models,
    first_sentence,
    models_folder,
    one_line,
    read_header,
    size_text,
)

_LONGEST_NAME = 100  # characters; leaves room for the folder within the 260 that Windows allows
# Windows keeps these names for devices, whatever their ending; a model that is passed on must be usable there too.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN = set('<>:"/\\|?*')


@dataclass(frozen=True)
class InstalledModel:
    """A model file, usable or not.

    name         what it is asked for by: the file's stem
    path, size   the file, and its bytes
    shipped      whether it came with InvDetect
    problem      one sentence why it cannot be used; "" when it can, and only then there are
    settings     every choice that shaped it (plane, modality, ...)
    card, calibration   as `InvDetectLib.models.read_header` gives them
    """

    name: str
    path: Path
    size: int
    shipped: bool
    problem: str = ""
    settings: Settings = field(default_factory=Settings)
    card: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[str, ...]:
        """What may count as abnormal ("bright", "dark", "both"), the model's own first; () for one that does not tell them apart."""
        own = "" if self.problem else self.settings.direction
        return tuple(name for name in calibrations(self.calibration, own) if name in DIRECTIONS) if own else ()

    def calibration_in(self, direction: str | None) -> dict[str, Any]:
        """`calibration` for one of the `directions`; None: the model's own."""
        return calibrations(self.calibration, self.settings.direction).get(direction or "", self.calibration)

    @property
    def title(self) -> str:
        """One line for a list: the name and what scans it is for, or that it cannot be used."""
        about = "cannot be used" if self.problem else one_line(self.card.get("modality"), 40)
        return f"{one_line(self.name, 40)} ({about})" if about not in ("", "unknown") else one_line(self.name, 40)

    @property
    def summary(self) -> str:
        """A line or two to choose by: what it is for, or why it cannot be used."""
        return self.problem or first_sentence(self.card.get("intended_use"), 200)

    def text(self, width: int = 60) -> str:
        """The card in words, in lines of at most `width` columns (a font of even width keeps the labels in a column)."""
        if self.problem:
            return self.problem
        lines = [*describe(self.card, self.calibration, width), f"{'File':<17}{one_line(self.path.name, 60)}, {size_text(self.size)}"]
        return "\n".join(lines)


class NameTaken(InvDetectError):
    """There is another model of this name; `import_model` with `replace=True` puts the new one in its place, or before the shipped one."""


def installed_models() -> list[InstalledModel]:
    """All models that can be asked for by name, those of the models folder first; files that cannot be used say why."""
    return [read_model(path) for path in find_models()]


def read_model(path: str | os.PathLike[str]) -> InstalledModel:
    """The model in a file, which may lie anywhere. A file that cannot be used is told by `problem`, never by an exception."""
    path = Path(path)
    shipped, size = path.parent != models_folder(), 0
    try:
        size = path.stat().st_size
        header = read_header(path)
        settings = Settings.from_dict(header["settings"])
    except OSError as error:
        return InstalledModel(path.stem, path, 0, shipped, f"{path.name} cannot be read: {error.strerror or error}.")
    except InvDetectError as error:
        return InstalledModel(path.stem, path, size, shipped, str(error))
    except Exception as error:  # strangers' files: one must not cost the list of the others
        return InstalledModel(path.stem, path, size, shipped, f"{path.name} {reason(error, path)}")
    return InstalledModel(path.stem, path, size, shipped, "", settings, header["card"], header["calibration"])


def import_model(path: str | os.PathLike[str], name: str = "", replace: bool = False) -> InstalledModel:
    """Copy a model file into the models folder, whole or not at all; returns it there.

    name     what to call it; its file's stem when empty
    replace  whether it may take the place of another model of that name; the same model again is never refused

    Raises `NameTaken`, and `InvDetectError` for a file that is no model, damaged, cut short or from a newer InvDetect, for a name that
    cannot be one, and for a folder that cannot be written.
    """
    path = Path(path)
    check_whole(path)
    name = checked_name(name or path.stem)
    content = _content(path)
    taken = next((other for other in find_models() if other.stem.casefold() == name.casefold()), None)
    if taken is not None and _content(taken) == content:
        return read_model(taken)
    if taken is not None and not replace:
        where = "in the models folder" if taken.parent == models_folder() else "shipped with InvDetect"
        raise NameTaken(f"There is another model called {name} already, {where}; give this one another name, or replace that one.")
    # A folder that tells small from capital letters would keep both; a name is to mean one model everywhere.
    target = taken if taken is not None and taken.parent == models_folder() else models_folder() / (name + SUFFIX)
    write_whole(target, content, "model")
    return read_model(target)


def checked_name(name: str) -> str:
    """`name` without blanks around it, when a model may be called so on every system. Raises `InvDetectError`."""
    name = name.strip().removesuffix(SUFFIX)
    wrong = next((character for character in name if character in _FORBIDDEN or not character.isprintable()), None)
    if not name or name[0] == "." or name[-1] in ". " or len(name) > _LONGEST_NAME or wrong or _DEVICES.fullmatch(name):
        reason = f"{wrong!r} may not be in it" if wrong else f"it must have 1 to {_LONGEST_NAME} characters and no dot at either end"
        reason = "Windows keeps it for a device" if _DEVICES.fullmatch(name) else reason
        raise InvDetectError(f"A model cannot be called {one_line(name, 60)!r}: {reason}. Give it another name.")
    return name


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvDetectError(f"The model {path} cannot be read: {error.strerror or error}. Check that it is there.") from error
