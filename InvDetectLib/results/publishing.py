"""How the files of a result come into a folder: all of them or none, also when the process is killed in between.

NAME.result.json is the mark that a result is whole. New files are written into a private folder beside their places. Once all are there, a
list of them is, and from then on whoever comes next finishes what a killed run has begun; what a run left that was killed before is
removed. Hence files of NAME without the mark are nothing that a run left: they may be somebody's own, a drawn NAME.mask.png say.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common import PREFIX, InvDetectError, in_turn, is_abandoned, owned, shown
from .files import SUFFIXES, file_names, read_json

_OWNER, _READY, _OLDER = "owner", "ready.json", "older"  # in the private folder; no file of a result is called so
_CHUNK = 1 << 22


@contextmanager
def all_or_nothing(folder: str | os.PathLike[str], name: str, overwrite: bool) -> Iterator[Path]:
    """A private folder inside `folder`, to write NAME's files into under their final names; they are moved up when the block ends well.

    Every older file of NAME goes then, also those that are not written anew. When anything fails, nothing of the block stays and the older
    files are back in their places. Raises InvDetectError when any file of NAME exists, before the block or after it, and `overwrite` is
    False, and for every OSError.
    """
    folder = Path(folder)
    finals = _finals(folder, name)
    private: Path | None = None
    try:
        if folder.is_file():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
        folder.mkdir(parents=True, exist_ok=True)
        recover(folder)
        if not overwrite:
            if os.path.lexists(finals["result"]):
                raise InvDetectError(
                    f"{finals['result']} exists already and is left as it is. Choose another folder, or replace it with --overwrite "
                    "(in Python: overwrite=True)."
                )
            check_unclaimed(folder, name)
        private = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        with owned(private / _OWNER):
            yield private
            parts = [kind for kind, final in finals.items() if os.path.exists(private / final.name)]
            for kind in parts:
                with open(private / finals[kind].name, "rb+") as file:
                    os.fsync(file.fileno())  # on a network drive a full disk shows here and not before
            with in_turn(folder):
                if not overwrite and os.path.lexists(finals["result"]):
                    raise InvDetectError(
                        f"{finals['result']} was finished by another run in the meantime and is left as it is; this run's result is "
                        "dropped."
                    )
                if not overwrite:
                    _check_unclaimed(finals)
                _publish(private, name, parts, finals)
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "Free some space or choose a folder that can be written"
        if error.errno == errno.ENAMETOOLONG:
            remedy = "Give the scan a shorter name"
        raise InvDetectError(
            f"{folder}: the result cannot be written there ({why}). {remedy}; nothing half written was left behind."
        ) from error
    finally:
        if private is not None:
            shutil.rmtree(private, ignore_errors=True)


def check_unclaimed(folder: Path, name: str) -> None:
    """Raise InvDetectError where files lie in `folder` that are called as those of the result NAME, and no NAME.result.json owns them."""
    with in_turn(folder):  # not while another run moves its files to their places, of which that one is the last
        _check_unclaimed(_finals(folder, name))


def publish(folder: Path, name: str, files: Mapping[str, bytes], overwrite: bool) -> None:
    """Write the files of a whole result NAME that was made elsewhere: their contents by kind (see `SUFFIXES`). Else as `all_or_nothing`."""
    with all_or_nothing(folder, name, overwrite) as private:
        for kind, final in _finals(private, name).items():
            if kind in files:
                final.write_bytes(files[kind])


def collected(folder: Path, name: str) -> dict[str, bytes]:
    """The files of the result NAME in `folder`, as `publish` takes them. Raises OSError."""
    return {kind: path.read_bytes() for kind, path in _finals(folder, name).items() if os.path.exists(path)}


def recover(folder: Path) -> None:
    """Finish what a killed run had begun to publish in `folder`, and remove what another one left half written.

    Nothing happens to what belongs to a run that is still going on.
    """
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)]
    for private in left:
        if not is_abandoned(private / _OWNER, private):
            continue
        with in_turn(folder):
            if (private / _READY).exists():
                _finish(private, folder)
            shutil.rmtree(private, ignore_errors=True)


def describe_parts(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Length ("bytes") and digest ("sha256") of each file of NAME in `folder`, but of NAME.result.json, which will hold them."""
    found = {}
    for kind, path in _finals(folder, name).items():
        if kind != "result" and os.path.exists(path):  # of a name that is too long `Path` would raise
            found[kind] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
    return found


def fault(path: Path, verify: bool) -> str:
    """What is wrong with the files beside the NAME.result.json at `path`, as a phrase, or "".

    verify  read all of each file and compare its digest, not only its length
    InvDetectError when `path` itself cannot be read. Of results that do not say what belongs to them nothing is known, hence "".
    """
    name = path.name[: -len(SUFFIXES["result"])]
    parts = read_json(path).get("parts")
    if not isinstance(parts, Mapping):
        return ""
    for kind, final in _finals(path.parent, name).items():
        told = parts.get(kind)
        if not isinstance(told, Mapping):
            continue
        try:
            facts = final.stat()
            if not stat.S_ISREG(facts.st_mode):  # a pipe would be read without end
                return f"{final.name} is no regular file"
            if facts.st_size != told.get("bytes"):
                return f"{final.name} is {facts.st_size} bytes long instead of {shown(told.get('bytes'))}"
            if verify and _digest(final) != told.get("sha256"):
                return f"{final.name} is damaged"
        except OSError as error:
            return f"{final.name} cannot be read ({error.strerror})"
    return ""


def _finals(folder: Path, name: str) -> dict[str, Path]:
    return {kind: folder / called for kind, called in file_names(name).items()}


def _check_unclaimed(finals: dict[str, Path]) -> None:
    there = [final for final in finals.values() if os.path.lexists(final)]
    if there and finals["result"] not in there:
        raise InvDetectError(
            f"{there[0]} exists already, belongs to no result, and is left as it is. Move it, choose another folder, or replace it with "
            "--overwrite (in Python: overwrite=True)."
        )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _publish(private: Path, name: str, parts: list[str], finals: dict[str, Path]) -> None:
    """Moves the parts to their final places. The older result.json goes first and the new one comes last."""
    with open(private / "draft.json", "w", encoding="utf-8") as file:
        json.dump({"name": name, "parts": parts}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(private / "draft.json", private / _READY)
    older = private / _OLDER
    older.mkdir()
    moved: list[tuple[Path, Path]] = []  # (from, to), to be undone backwards
    order = list(finals.values())
    try:
        steps = [(final, older / final.name) for final in reversed(order)] + [(private / final.name, final) for final in order]
        for source, target in steps:
            if os.path.lexists(source):
                os.replace(source, target)
                moved.append((source, target))
    except BaseException:
        (private / _READY).unlink(missing_ok=True)  # lest somebody finishes what is being undone
        for source, target in reversed(moved):
            os.replace(target, source)
        raise


def _finish(private: Path, folder: Path) -> None:
    """What `_publish` had still to do when its process was killed: each step can be done again."""
    try:
        told = json.loads((private / _READY).read_text(encoding="utf-8"))
        name, parts = told["name"], told["parts"]
        if not isinstance(name, str) or name != os.path.basename(name) or not isinstance(parts, list):
            return
        for kind, final in _finals(folder, name).items():
            if os.path.exists(private / final.name):
                os.replace(private / final.name, final)
            elif kind not in parts:
                final.unlink(missing_ok=True)
    except (OSError, ValueError, KeyError, TypeError):
        return  # what cannot be finished is replaced by whoever makes the result anew
