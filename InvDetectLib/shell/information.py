"""What `invdetect info` prints: installed models, one model, tables of settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common import InvDetectError, reason


def models() -> dict[str, Any]:
    """The models that can be asked for by name; "problem" where a file is none."""
    from ..models import LONGEST_TEXT, Settings, find_models, models_folder, one_line, read_header, shipped_folders

    found: dict[str, dict[str, Any]] = {}
    for path in find_models():
        found[path.stem] = {"file": str(path)}
        try:
            header = read_header(path)
            Settings.from_dict(header["settings"])  # one that cannot be used is told here, and not after a scan was read
            told = {name: one_line(header["card"].get(name), LONGEST_TEXT) or None for name in ("modality", "intended_use", "licence")}
            found[path.stem] |= told | {"bytes": path.stat().st_size}
        except Exception as error:  # strangers' files: one must not cost the list of the others
            found[path.stem]["problem"] = str(error) if isinstance(error, InvDetectError) else f"{path} {reason(error, path)}"
    return {"folder": str(models_folder()), "shipped": [str(folder) for folder in shipped_folders()], "models": found}


def shown_models(content: dict[str, Any], width: int) -> Iterator[str]:
    """What `models` found, folder by folder, in lines of this width."""
    from ..models import first_sentence, one_line, size_text

    places = {content["folder"]: "yours", **{folder: "shipped with InvDetect" for folder in content["shipped"]}}
    for folder, whose in places.items():
        yield f"{folder} ({whose})"
        mine = {name: model for name, model in content["models"].items() if str(Path(model["file"]).parent) == folder}
        for name, model in mine.items():
            if "problem" in model:
                yield f"  {name}: {model['problem']}"
                continue
            modality, licence = (one_line(model[fact], width) or f"{fact} not told" for fact in ("modality", "licence"))
            yield f"  {name}: {modality}; {licence}; {size_text(model['bytes'])}"
            if use := first_sentence(model["intended_use"], width - 4):
                yield f"    {use}"
        if not mine:
            yield "  -"


def shown(content: dict[str, Any], width: int) -> Iterator[str]:
    """One model: the card in words, then every setting."""
    from ..models import describe

    yield from describe(content["card"], content["calibration"], width)
    yield f"{'Checksum':<17}{content['checksum']}"
    yield ""
    yield from lines({"settings": content["settings"]})


def lines(content: Any, indent: str = "") -> Iterator[str]:
    """A nested table as indented lines; long lists are counted rather than printed."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}"
            yield from lines(value, indent + "  ")
        elif isinstance(value, (list, tuple)) and len(value) > 8:
            yield f"{indent}{name}: {len(value)} entries"
        else:
            yield f"{indent}{name}: {value if value not in ({}, []) else '-'}"
