"""`invdetect info`: a model's card, the presets, the devices, the installed models."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common import InvDetectError, check_loadable, reason


def info(options: argparse.Namespace) -> int:
    """`invdetect info`"""
    content: Any
    if options.presets:
        from ..models import all_presets

        content = {name: settings.as_dict() for name, settings in all_presets().items()}
    elif options.devices:
        check_loadable({"torch": "torch"})
        from ..computing import describe_device, find_device, list_devices
        from ..refinement import solver_name

        content = {"devices": {name: describe_device(find_device(name)) for name in list_devices()}, "graph_cut": solver_name()}
    elif options.models:
        content = _models()
    else:
        from ..models import Model

        model = Model.load(options.model)
        content = {"checksum": model.checksum, "card": model.card, "settings": model.settings.as_dict(), "calibration": model.calibration}
    if options.json:
        print(json.dumps(content))
    else:
        width = max(60, min(140, shutil.get_terminal_size((100, 24)).columns))
        print("\n".join(_shown_models(content, width) if options.models else _shown(content, width) if options.model else _lines(content)))
    return 0


def _models() -> dict[str, Any]:
    """The models that can be asked for by name; "problem" where a file is none."""
    from ..models import LONGEST_TEXT, Settings, find_models, models_folder, one_line, read_header, shipped_folders

    models: dict[str, dict[str, Any]] = {}
    for path in find_models():
        models[path.stem] = {"file": str(path)}
        try:
            header = read_header(path)
            Settings.from_dict(header["settings"])  # one that cannot be used is told here, and not after a scan was read
            told = {name: one_line(header["card"].get(name), LONGEST_TEXT) or None for name in ("modality", "intended_use", "licence")}
            models[path.stem] |= told | {"bytes": path.stat().st_size}
        except Exception as error:  # strangers' files: one must not cost the list of the others
            models[path.stem]["problem"] = str(error) if isinstance(error, InvDetectError) else f"{path} {reason(error, path)}"
    return {"folder": str(models_folder()), "shipped": [str(folder) for folder in shipped_folders()], "models": models}


def _shown_models(content: dict[str, Any], width: int) -> Iterator[str]:
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


def _shown(content: dict[str, Any], width: int) -> Iterator[str]:
    """One model: the card in words, then every setting."""
    from ..models import describe

    yield from describe(content["card"], content["calibration"], width)
    yield f"{'Checksum':<17}{content['checksum']}"
    yield ""
    yield from _lines({"settings": content["settings"]})


def _lines(content: Any, indent: str = "") -> Iterator[str]:
    """A nested table as indented lines; long lists are counted rather than printed."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, (list, tuple)) and len(value) > 8:
            yield f"{indent}{name}: {len(value)} entries"
        else:
            yield f"{indent}{name}: {value if value not in ({}, []) else '-'}"
