"""The protocol between the worker and whoever started it: what both sides must agree on. Standard library alone.

Both ways one JSON object a line. The worker's own lines begin with `PREFIX`, anything else that it prints is log. Arrays travel as files
in the private folder that both share (.npy without pickled objects), and messages name them by plain file names.

Worker -> client
  hello     {protocol, version, pid, python}: its first line, at once
  progress  {id, stage, done, total, seconds_left, facts}        warning  {id, text}
  slice     {id, number, of, slice_axis, index, file}: the map of one slice in the scan's own voxels, float32; `index` of the scan's
            array (slice, row, column) along `slice_axis`
  done      {id, ...}                                            failed   {id, kind, text, log}: each command ends with one of the two
            kind: "error" (a sentence for the user), "memory", "cancelled", "bug" (the last line of a traceback; `log` names the file)
Client -> worker
  {id, command, ...}, by standard input, or by lines added to the file `COMMANDS` for launchers that do not pass standard input on.
  The worker listens to both until a `hello` arrives and then only there; its answer tells which ("transport": "stdin" or "file").
  A line of more than `LONGEST_LINE` bytes is told to be no command.

Commands read at once, whatever is running: hello {protocol}, cancel {job}, pause {job}, resume {job}, quit. All others run one after the
other: see `commands` and `training` beside this file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common import InvDetectError, shown

PROTOCOL = 1
PREFIX = b"@invdetect "
COMMANDS = "commands.jsonl"
LOG = "worker.log"
LONGEST_LINE = 8 << 20  # bytes: a hundred thousand paths of scans; a longer line is no command, and is not kept
MARKER = ".invdetect-private"  # a folder that holds it may be deleted by the worker when the client is gone


def message_line(message: dict[str, Any]) -> bytes:
    """A message of the worker as its line; ValueError for what JSON cannot hold."""
    return PREFIX + command_line(message)


def command_line(command: dict[str, Any]) -> bytes:
    """A command as its line; ValueError for what JSON cannot hold."""
    return json.dumps(command, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def parse(line: bytes) -> dict[str, Any]:
    """The object in a line, without prefix. Raises ValueError when there is none."""
    try:
        content = json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


class Lines:
    """Bytes as they arrive, cut into lines, in a time that grows with the bytes alone, and with room for one line of `LONGEST_LINE`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, got: bytes) -> Iterator[bytes | None]:
        """The lines that these bytes complete, without their ends; None for one that was longer than `LONGEST_LINE` and is dropped."""
        *ends, rest = got.split(b"\n")
        for end in ends:
            self._keep(end)
            yield b"".join(self._parts) if self._size <= LONGEST_LINE else None
            self._parts, self._size = [], 0
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= LONGEST_LINE:
            self._parts.append(part)
        else:
            self._parts.clear()


def inside(folder: Path, name: str) -> Path:
    """The file of that name in the private folder. `InvDetectError` for a name that would lead elsewhere."""
    if not isinstance(name, str) or name in ("", ".", "..") or name != os.path.basename(name) or any(c in name for c in '/\\:\0'):
        raise InvDetectError(f"{shown(name)} is no plain file name.")
    return folder / name
