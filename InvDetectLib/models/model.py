"""The `.invdetect` file, its card, and where models are looked up.

One safetensors file holds every number of a model. Its header's `__metadata__` is
`{"format": "invdetect-model", "version": "1", "json": canonical JSON of settings, calibration and card, "sha256": checksum}`.
Nothing in it can execute. Importing this module and reading a card take the standard library alone (a panel may have no more).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from ..common import InvDetectError, WrongUse, parse_json, shown, write_whole
from .settings import Settings

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".invdetect"
FORMAT = "invdetect-model"
VERSION = 1
# A real header is some 100 kB. The limit keeps a hostile one from filling the memory with small JSON objects.
HEADER_LIMIT = 8 * 2**20
_MOST_AXES, _LONGEST_AXIS = 32, 2**63 - 1  # the product of millions of numbers takes hours
DTYPES = {"BOOL": "bool", "U8": "uint8", "I32": "int32", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64"}
_BYTES = {"BOOL": 1, "U8": 1, "I32": 4, "I64": 8, "F16": 2, "F32": 4, "F64": 8}
_PARTS = ("settings", "calibration", "card")


@dataclass(eq=False)
class Model:
    """A trained model: all that is needed to score a scan.

    settings     what the model is, stage by stage
    arrays       every number, by a name with slashes ("network/...", "normality/...", "intensity/..."); dtypes as in `DTYPES`
    calibration  `Calibration.as_dict()`
    card         JSON-able facts for people: what it was trained on (counts, digests), losses, threshold, score unit, licence, limits, ...
    name         stem of the file it came from; empty for one that was just trained. Never stored: file names carry patients' names
    """

    settings: Settings
    arrays: dict[str, np.ndarray]
    calibration: dict[str, Any]
    card: dict[str, Any]
    name: str = ""
    _settings_in_file: dict[str, Any] | None = field(default=None, init=False, repr=False)

    @property
    def checksum(self) -> str:
        """sha256 (hex) over settings, calibration, card and every array: equal for equal content, whatever the file is called."""
        return _checksum(self._json(), self.arrays)

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays called NAME/..., such as "intensity/...", without NAME and the slash."""
        prefix = f"{name}/"
        return {array[len(prefix) :]: values for array, values in self.arrays.items() if array.startswith(prefix)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to `path`, which ends in `.invdetect`, whole or not at all; missing folders are made.

        Raises `WrongUse` for another ending and `InvDetectError` when the place cannot be written.
        """
        from safetensors.numpy import save

        target = output_path(path)
        text = self._json()
        arrays = {name: _plain(name, array) for name, array in self.arrays.items()}
        metadata = {"format": FORMAT, "version": str(VERSION), "json": text, "sha256": _checksum(text, arrays)}
        content = save(arrays)
        length = int.from_bytes(content[:8], "little")
        # The library writes metadata in random order; put in here, equal models are equal files.
        header = json.dumps({"__metadata__": metadata, **json.loads(content[8 : 8 + length])}, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        if len(header) > HEADER_LIMIT:
            raise ValueError("settings, calibration and card are too large for a model's header; put long lists into arrays")
        write_whole(target, len(header).to_bytes(8, "little") + header + content[8 + length :], "model")

    @classmethod
    def load(cls, path_or_name: str | os.PathLike[str]) -> Model:
        """The model in a file, or of a name (see `resolve_model`), arrays bit for bit as they were saved and writable.

        Raises `InvDetectError` for a file that is missing, foreign, damaged, cut short or from a newer InvDetect.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = resolve_model(path_or_name)
        try:
            with open(path, "rb") as file:
                header = _read_header(file, path)
                file.seek(0)
                content = file.read()
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            arrays = load(content)
        except (SafetensorError, ValueError, OverflowError) as error:
            _damaged(path, f"its arrays do not fit its header ({shown(error)})")
        if _checksum(header["json"], arrays) != header["checksum"]:
            _damaged(path, "its content does not match its checksum")
        model = cls(_settings(header, path), arrays, header["calibration"], header["card"], path.stem)
        model._settings_in_file = header["settings"]
        return model

    def _json(self) -> str:
        settings = self.settings.as_dict()
        # A file from before a setting existed is read with that setting's default, and must keep its checksum.
        stored = self._settings_in_file
        if stored is not None and Settings.from_dict(stored) == self.settings:
            settings = stored
        plain = json.loads(json.dumps([settings, self.calibration, self.card], allow_nan=False))
        return json.dumps(dict(zip(_PARTS, plain)), sort_keys=True, separators=(",", ":"))


def load_model(path_or_name: str | os.PathLike[str]) -> Model:
    """`Model.load`, for those who prefer a function."""
    return Model.load(path_or_name)


def read_header(path_or_name: str | os.PathLike[str]) -> dict[str, Any]:
    """`{"settings", "calibration", "card", "checksum"}` of a model, without its arrays, by the standard library alone.

    The checksum is the one written in the file; only `Model.load` verifies it, and that settings can be used is for those who use them.
    Raises `InvDetectError` for all else as `Model.load` does.
    """
    path = resolve_model(path_or_name)
    try:
        with open(path, "rb") as file:
            header = _read_header(file, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return {name: header[name] for name in (*_PARTS, "checksum")}


def check_whole(path: str | os.PathLike[str]) -> None:
    """Read all of a model file and compare it with its checksum, by the standard library alone.

    Raises `InvDetectError`, as `Model.load` does, for a file that is foreign, damaged, cut short or from a newer InvDetect.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            header = _read_header(file, path)
            _settings(header, path)
            start = file.tell()

            def content(name: str) -> tuple[str, str, list[int], bytes]:
                kind, shape, (begin, end) = (header["arrays"][name].get(key) for key in ("dtype", "shape", "data_offsets"))
                if not _are_lengths(shape) or math.prod(shape) * _BYTES[kind] != end - begin:
                    _damaged(path, "its arrays do not fit its header")
                file.seek(start + begin)
                return name, DTYPES[kind], shape, file.read(end - begin)

            if _digest(header["json"], map(content, sorted(header["arrays"]))) != header["checksum"]:
                _damaged(path, "its content does not match its checksum")
    except OSError as error:
        raise _unreadable(path, error) from error


def read_card(path_or_name: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a model, as `read_header` reads it."""
    return read_header(path_or_name)["card"]


def models_folder() -> Path:
    """The user's folder of models, which need not exist: `INVDETECT_MODELS`, else one in the platform's user-data folder."""
    if chosen := os.environ.get("INVDETECT_MODELS"):
        return Path(os.path.expanduser(chosen))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")) / "InvDetect" / "models"
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Application Support/InvDetect/models"))
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG rules say that a relative path there is to be ignored.
    return Path(data if os.path.isabs(data) else os.path.expanduser("~/.local/share")) / "invdetect" / "models"


def shipped_folders() -> list[Path]:
    """Where models that come with InvDetect lie: of these folders those that exist."""
    library = Path(__file__).resolve().parents[1]
    # A wheel carries the shipped models inside the package, source tree and extension beside it.
    return [folder for folder in (library / "shipped_models", library.parent / "Resources" / "Models") if folder.is_dir()]


def find_models() -> list[Path]:
    """The models that can be asked for by name: those of the models folder, then the shipped ones, each sorted by name.

    The name of a model is its file's stem; of two with one name the first counts.
    """
    found: dict[str, Path] = {}
    for folder in (models_folder(), *shipped_folders()):
        for path in sorted(folder.glob("*" + SUFFIX)):
            if os.path.isfile(path) and not path.name.startswith("."):
                found.setdefault(path.stem, path)
    return list(found.values())


def resolve_model(path_or_name: str | os.PathLike[str]) -> Path:
    """The file that a path names, else the model of that name (with or without `.invdetect`) among `find_models`.

    A name is only compared with those found, so it cannot lead out of their folders. Raises `InvDetectError` that lists the names and
    the folders.
    """
    given = os.fspath(path_or_name)
    if os.path.isfile(given):
        return Path(given)
    models = find_models()
    for path in models:
        if given in (path.stem, path.name):
            return path
    folders = " and ".join(str(folder) for folder in (models_folder(), *shipped_folders()))
    names = f"by name there are {', '.join(path.stem for path in models)}" if models else "there are no models with a name yet"
    raise InvDetectError(f"There is no model {shown(given)}: no file has this path, and {names} (looked for in {folders}).")


def output_path(path: str | os.PathLike[str]) -> Path:
    """`path` as one that `Model.save` accepts; to be asked before hours of training. Raises `WrongUse`."""
    target = Path(path)
    if target.suffix != SUFFIX:
        raise WrongUse(f"A model file must end in {SUFFIX}, so that it can be found by its name; {target} does not.")
    if os.path.isdir(target):  # of a name that is too long `Path` would raise
        raise WrongUse(f"{target} is a folder, and a model is one file; give another name.")
    return target


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """`array` in C order and little endian, as the file has it."""
    import numpy as np

    if array.dtype.name not in DTYPES.values():
        raise ValueError(f"array {name!r} has dtype {array.dtype}; a model file holds {', '.join(DTYPES.values())}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    plain = ((name, _plain(name, arrays[name])) for name in sorted(arrays))
    return _digest(text, ((name, array.dtype.name, array.shape, array.tobytes()) for name, array in plain))


def _digest(text: str, arrays: Iterable[tuple[str, str, Iterable[int], bytes]]) -> str:
    """The checksum of a model from the JSON text and, sorted by name, of each array name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name, dtype, shape, content in arrays:
        digest.update(json.dumps([name, dtype, list(shape)]).encode())
        digest.update(content)
    return digest.hexdigest()


def _are_lengths(shape: Any) -> bool:
    few = isinstance(shape, list) and len(shape) <= _MOST_AXES
    return few and all(type(length) is int and 0 <= length <= _LONGEST_AXIS for length in shape)


def _settings(header: dict[str, Any], path: Path) -> Settings:
    try:
        return Settings.from_dict(header["settings"])
    except InvDetectError as error:
        raise InvDetectError(f"The model {path} cannot be used: {error} Update InvDetect, or train the model again.") from error


def _read_header(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Settings, calibration, card, "json" (the text of the three), "checksum" and "arrays" (the header's entries), each of the right type.

    The arrays' places are checked; `file` stands at the first one after the call.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length < 2 or length > HEADER_LIMIT:
        _damaged(path, "it does not begin like one")
    if size < 8 + length:
        _damaged(path, f"it is cut short ({size} bytes, and the header alone needs {8 + length})")
    entries = _parse(file.read(length), path)
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise InvDetectError(f"{path} is a safetensors file of something else, not an InvDetect model. Choose one that InvDetect wrote.")
    version = metadata.get("version")
    if not isinstance(version, str) or not version.isdecimal() or len(version) > 9:
        _damaged(path, "its version is not a number")
    if int(version) > VERSION:
        raise InvDetectError(f"{path} was written by a newer InvDetect (file version {version}, here {VERSION}). Update InvDetect.")
    text, checksum = metadata.get("json"), metadata.get("sha256")
    if not isinstance(text, str) or not isinstance(checksum, str):
        _damaged(path, "its card or its checksum is missing")
    values = _parse(text.encode("utf-8", "surrogatepass"), path)
    if any(not isinstance(values.get(name), dict) for name in _PARTS):
        _damaged(path, "its settings, calibration or card are missing")
    spans = sorted(_span(name, entry, path) for name, entry in entries.items())
    needed = 8 + length + max((end for _, end in spans), default=0)
    if size != needed:
        _damaged(path, f"it is cut short or was added to ({size} bytes instead of {needed})")
    # What several arrays share would be read and summed for each: a small file could keep the machine busy for days.
    if any(begin != before or begin > end for (begin, end), before in zip(spans, [0, *(end for _, end in spans)])):
        _damaged(path, "its arrays do not fit its header: they do not lie one behind the other")
    return {**{name: values[name] for name in _PARTS}, "json": text, "checksum": checksum, "arrays": entries}


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    try:
        values = parse_json(text.decode("utf-8"))
    except (ValueError, RecursionError):
        _damaged(path, "its header cannot be read")
    if not isinstance(values, dict):
        _damaged(path, "its header is not a table of names and values")
    return values


def _span(name: str, entry: Any, path: Path) -> tuple[int, int]:
    """Where an array begins and ends, in bytes after the header. Its shape is checked when the arrays are loaded."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str) or entry["dtype"] not in DTYPES:
        _damaged(path, f"its array {shown(name)} is of a kind that models do not hold")
    offsets = entry.get("data_offsets")
    if not isinstance(offsets, list) or len(offsets) != 2 or any(type(offset) is not int or offset < 0 for offset in offsets):
        _damaged(path, f"the place of its array {shown(name)} is not told")
    return offsets[0], offsets[1]


def _damaged(path: Path, why: str) -> NoReturn:
    raise InvDetectError(f"{path} is not a usable InvDetect model: {why}. Get the file again from where it came, or train a new model.")


def _unreadable(path: Path, error: OSError) -> InvDetectError:
    return InvDetectError(f"The model {path} cannot be read: {error.strerror or error}. Check that the file is there and may be read.")
