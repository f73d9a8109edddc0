"""How a queue stands, read from its database while a node may be working with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common import InvDetectError, lock
from .database import DATABASE, LOCK, Database, readable
from .jobs import STATES, WAITING


@dataclass(frozen=True)
class Status:
    """counts   jobs by state, see `jobs`
    bytes    of images and objects on the disk
    running  whether a node has the queue; None where the file system cannot tell
    oldest   of the jobs that wait: {"job", "state", "seconds"}, seconds since it came; None when none waits
    failure  the last that was left or failed: {"job", "state", "reason", "seconds"}, of a watched scan also "scan"; None when there is none
    """

    counts: dict[str, int]
    bytes: int
    running: bool | None
    oldest: dict[str, Any] | None
    failure: dict[str, Any] | None

    def words(self) -> Iterator[str]:
        """Line by line."""
        state = {True: "running", False: "not running", None: "running, or not: this disk cannot tell"}[self.running]
        yield f"The node is {state}; images and objects take up {self.bytes / 1e6:.1f} MB."
        yield ", ".join(f"{name} {count}" for name, count in self.counts.items())
        if self.oldest is not None:
            yield f"The oldest that waits: job {self.oldest['job']} ({self.oldest['state']}), {self.oldest['seconds']:.0f} s old."
        if self.failure is not None:
            scan = f", {self.failure['scan']}" if "scan" in self.failure else ""
            yield f"The last that was {self.failure['state']}: job {self.failure['job']}{scan}, {self.failure['seconds']:.0f} s ago."
            yield f"  {self.failure['reason']}"


def read_status(folder: Path) -> Status:
    """The status of the queue in `folder`. Raises InvDetectError when there is none."""
    if not (folder / DATABASE).is_file():
        raise InvDetectError(f"There is no queue in {folder}; give the --folder of the node.")
    data = Database(folder / DATABASE, reading=True)
    try:
        now = time.time()
        counts = dict.fromkeys(STATES, 0) | dict(data.all("SELECT state, count(*) FROM job GROUP BY state"))
        size = sum(data.one(f"SELECT ifnull(sum(bytes), 0) FROM {table}")[0] for table in ("image", "object"))
        marks = ",".join("?" * len(WAITING))
        oldest = data.one(f"SELECT number, state, came FROM job WHERE state IN ({marks}) ORDER BY came LIMIT 1", *WAITING)
        ended = "SELECT number, state, changed, reason, below FROM job WHERE state IN ('left', 'failed') ORDER BY changed DESC LIMIT 1"
        failure = data.one(ended)
    finally:
        data.close()
    return Status(
        counts,
        int(size),
        _is_held(folder / LOCK),
        None if oldest is None else {"job": oldest[0], "state": oldest[1], "seconds": round(now - oldest[2], 1)},
        None
        if failure is None
        else {"job": failure[0], "state": failure[1], "seconds": round(now - failure[2], 1), "reason": failure[3]}
        | ({"scan": readable(os.fsdecode(failure[4]))} if failure[4] else {}),
    )


def _is_held(path: Path) -> bool | None:
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        lock(file)
        return False
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return None
    finally:
        os.close(file)
