"""The queue of a node: jobs in a SQLite database, their images and objects as files beside it. A kill at any moment loses nothing.

A file is written whole before the database speaks of it, and goes only after the database has ceased to; what a killed node left between
the two is removed at the next start. Images and objects have names of our own: nothing that a sender says becomes a path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ...common import write_whole
from .database import DATABASE, Database, hold, kept_path, readable
from .images import check_same
from .jobs import WAITING, Earlier, Full, Image, Job, Limits

_KEPT = 24 * 3600.0  # seconds for which the images of a series that was left wait for those that it lacks
_HISTORY = 10_000  # jobs that are remembered
_LAST = "ORDER BY number DESC LIMIT 1"


class Queue:
    """One node's queue, which no other process may open as long as this one has it. Safe to use from several threads.

    Everything raises InvDetectError where the disk or the database fails.
    """

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """Open the queue in `folder`, make it where there is none, and put right what a killed node left.

        Raises InvDetectError when another node has it, and for a folder that cannot be written or holds something else.
        """
        self.folder, self._limits = folder, limits or Limits()
        self._lock = hold(folder)
        try:
            self._data = Database(folder / DATABASE)
            self._recover()
            self._bytes = self._counted()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Give the queue back."""
        self._data.close()
        os.close(self._lock)

    # Coming in

    def add(self, image: Image) -> bool:
        """Keep an image; False when it is there already.

        It joins the job of its series as long as that one has its images, which then waits for quiet again, also when it was examined in
        the meantime; else a new job begins. Raises `Full` when there is no room, `Conflict` when other pixels are there under its UID.
        """
        return self._add(image) is not None

    def add_all(self, images: Iterable[Image]) -> None:
        """Keep images, all or none: also when `images` raises an error, or the node is killed in the middle. Raises as `add`."""
        written: list[Path] = []
        with self._change():
            try:
                for image in images:
                    if (path := self._add(image)) is not None:
                        written.append(path)
            except BaseException:
                for path in written:  # or the next job, which may get this one's number, would find them among its own
                    path.unlink(missing_ok=True)
                raise

    def images_of(self, series: str) -> int | None:
        """How many images the last job of a series has, or had; None for a series that is not known."""
        count = "max(images, (SELECT count(*) FROM image WHERE job = number))"
        found = self._data.one(f"SELECT {count} FROM job WHERE series = ? {_LAST}", series)
        return None if found is None else int(found[0])

    def _add(self, image: Image) -> Path | None:
        """The file that was written, None where the image is there already."""
        with self._change():
            found = self._data.one(f"SELECT number FROM job WHERE series = ? AND has_images {_LAST}", image.series)
            if found and self._has(found[0], image):
                return None
            self._make_room(len(image.content), found is None, found[0] if found else 0)
            number = found[0] if found else self._new(image.series, "receiving", True)
            count = self._data.one("SELECT count(*) FROM image WHERE job = ?", number)[0]
            path = self._file(number, count + 1)
            write_whole(path, image.content, "image")
            self._data.run("INSERT INTO image VALUES (?, ?, ?)", number, image.uid, len(image.content))
            self._move(number, "receiving")
            self._bytes += len(image.content)
            return path

    def _has(self, job: int, image: Image) -> bool:
        """Whether the image is there already. Raises `Conflict` where another one is there under its UID."""
        row = self._data.one("SELECT rowid FROM image WHERE job = ? AND uid = ?", job, image.uid)
        if row is None:
            return False
        place = self._data.one("SELECT count(*) FROM image WHERE job = ? AND rowid <= ?", job, row[0])[0]  # files count in this order
        check_same(self._file(job, place).read_bytes(), image.content)
        return True

    def refused(self, image: Image) -> None:
        """Note that an image could not be kept, so that those of its series that are here are not taken for the whole."""
        with self._change():
            self._data.run("DELETE FROM refused WHERE at < ?", time.time() - _KEPT)
            self._data.run("INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", image.series, image.uid, time.time())

    def offer(self, path: Path, below: Path, signature: str) -> Job | None:
        """Let a watched scan be examined, which lies at `below` in the watched folder; None when it is known with this signature.

        Raises `Full` when too many wait.
        """
        with self._change():
            if self.knows(below, signature):
                return None
            self._make_room(0, True)
            number = self._new("", "complete", False, kept_path(below), kept_path(path))
            self._data.run("INSERT OR REPLACE INTO watched VALUES (?, ?)", kept_path(below), signature)
            return self._job(number)

    def knows(self, below: Path, signature: str) -> bool:
        """Whether a watched scan was offered with this signature."""
        return self._data.one("SELECT 1 FROM watched WHERE path = ? AND signature = ?", kept_path(below), signature) is not None

    # On its way

    def settle(self, quiet: float) -> list[Job]:
        """Series of which nothing came for `quiet` seconds are complete from now on; these."""
        if not self._data.one("SELECT 1 FROM job WHERE has_images AND state IN ('receiving', 'left')"):
            return []  # most of the time
        with self._change():
            now = time.time()
            rows = self._data.all("SELECT number FROM job WHERE state = 'receiving' AND changed <= ? ORDER BY number", now - quiet)
            for (number,) in rows:
                uids = [uid for (uid,) in self._data.all("SELECT uid FROM image WHERE job = ? ORDER BY uid", number)]
                digest = hashlib.sha256("\n".join(uids).encode()).hexdigest()
                self._data.run("UPDATE job SET images = ?, digest = ? WHERE number = ?", len(uids), digest, number)
                self._move(number, "complete")
            for (number,) in self._data.all("SELECT number FROM job WHERE state = 'left' AND has_images AND changed < ?", now - _KEPT):
                self._drop_images(number)
            return [self._job(number) for (number,) in rows]

    def next(self, state: str, then: str) -> Job | None:
        """The first job in `state`, which goes into the state `then`."""
        found = self._data.one("SELECT number FROM job WHERE state = ? ORDER BY number LIMIT 1", state)
        if found is None:
            return None
        with self._change():
            if not self._is(found[0], state):
                return None
            self._move(found[0], then)
            return self._job(found[0])

    def lacks(self, job: Job) -> int:
        """How many images of the series could not be kept, and did not come again since."""
        gone = "SELECT count(*) FROM refused WHERE series = ? AND uid NOT IN (SELECT uid FROM image WHERE job = ?)"
        return int(self._data.one(gone, job.series, job.number)[0])

    def earlier(self, job: Job) -> Earlier | None:
        """The last job of the same series that was done."""
        wanted = f"SELECT number, images, digest, model FROM job WHERE series = ? AND state = 'done' {_LAST}"
        found = self._data.one(wanted, job.series) if job.series else None
        return None if found is None else Earlier(*found)

    def detected(self, job: Job, objects: Mapping[str, bytes], model: str) -> bool:
        """Keep the objects that the model of this checksum led to, by kind.

        False when more images have come in the meantime, and these objects do not count.
        """
        with self._change():
            if not self._is(job.number, "detecting"):
                return False
            self._drop_objects(job.number)
            for kind, content in objects.items():
                write_whole(self._objects(job.number) / f"{kind}.dcm", content, "object")
                self._data.run("INSERT INTO object VALUES (?, ?, ?, 0)", job.number, kind, len(content))
                self._bytes += len(content)
            self._data.run("UPDATE job SET model = ? WHERE number = ?", model, job.number)
            self._move(job.number, "detected")
            return True

    def unsent(self, job: Job) -> dict[str, bytes]:
        """The objects that are still to be sent, by kind."""
        kinds = self._data.all("SELECT kind FROM object WHERE job = ? AND NOT sent ORDER BY rowid", job.number)
        return {kind: (self._objects(job.number) / f"{kind}.dcm").read_bytes() for (kind,) in kinds}

    def sent(self, job: Job, kind: str) -> None:
        """Note that an object has been taken."""
        with self._change():
            self._data.run("UPDATE object SET sent = 1 WHERE job = ? AND kind = ?", job.number, kind)

    # Where it ends

    def done(self, job: Job) -> bool:
        """All is sent, or written: images and objects go. False when more images have come in the meantime, and nothing goes."""
        with self._change():
            if not self._is(job.number, "sending", "detecting"):
                return False
            self._move(job.number, "done")
            self._drop_images(job.number)
            self._drop_objects(job.number)
            self._data.run("DELETE FROM refused WHERE series = ?", job.series)
            self._data.remove(self._objects(job.number))
            self._forget()
            return True

    def leave(self, job: Job, why: str, wait: bool) -> None:
        """It is not examined; wait  keep the images a day, or until there is no room, for more of the series may come"""
        with self._change():
            if self._is(job.number, "detecting"):
                self._move(job.number, "left", why)
                if not wait:
                    self._drop_images(job.number)
                self._forget()

    def fail(self, job: Job, why: str) -> None:
        """It could not be done; images and objects stay for the next start."""
        with self._change():
            if self._is(job.number, "detecting", "sending"):
                self._move(job.number, "failed", why)

    def put_back(self, job: Job) -> None:
        """It is to be done later: what was being examined waits to be examined, what was being sent to be sent."""
        with self._change():
            for state, before in (("detecting", "complete"), ("sending", "detected")):
                self._data.run("UPDATE job SET state = ? WHERE state = ? AND number = ?", before, state, job.number)

    # Within

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._data.change():
            before = self._bytes
            try:
                yield
            except BaseException:
                self._bytes = before
                raise

    def _recover(self) -> None:
        """What was begun is to be done again, what failed is tried again, and files that the database does not know go."""
        with self._data.change():
            for state, before in (("detecting", "complete"), ("sending", "detected")):
                self._data.run("UPDATE job SET state = ? WHERE state = ?", before, state)
            then = "CASE WHEN EXISTS (SELECT 1 FROM object WHERE job = number) THEN 'detected' ELSE 'complete' END"
            self._data.run(f"UPDATE job SET reason = '', state = {then} WHERE state = 'failed'")
            self._data.run("UPDATE job SET changed = ? WHERE state = 'receiving'", time.time())  # who sends may have to connect anew
        for table in ("image", "object"):
            known = {str(number) for (number,) in self._data.all(f"SELECT DISTINCT job FROM {table}")}
            parent = self.folder / f"{table}s"
            for folder in parent.iterdir() if parent.is_dir() else ():
                if folder.name not in known:
                    shutil.rmtree(folder, ignore_errors=True)
        for number, count in self._data.all("SELECT job, count(*) FROM image GROUP BY job"):
            for path in self._images(number).iterdir():
                if not path.stem.isdecimal() or int(path.stem) > count:
                    path.unlink(missing_ok=True)

    def _make_room(self, size: int, is_new: bool, spared: int = 0) -> None:
        """Raises `Full` unless `size` bytes more may come, and another job where `is_new`. Series left make room, but `spared`."""
        marks = ",".join("?" * len(WAITING))
        if is_new and self._data.one(f"SELECT count(*) FROM job WHERE state IN ({marks})", *WAITING)[0] >= self._limits.most:
            raise Full(f"The queue is full: {self._limits.most} series wait in it (--most); no more are taken until some are done.")
        while self._bytes + size > self._limits.room:
            oldest = self._data.one("SELECT number FROM job WHERE state = 'left' AND has_images AND number != ? ORDER BY changed", spared)
            if oldest is None:
                room = f"{self._limits.room / 1e9:g} GB"
                raise Full(f"The queue is full: it may take up {room} on the disk (--room); no more are taken until some are done.")
            self._drop_images(oldest[0])

    def _new(self, series: str, state: str, has_images: bool, below: str | bytes = "", path: str | bytes = "") -> int:
        columns = "series, state, came, changed, has_images, below, path"
        now = time.time()
        return self._data.run(f"INSERT INTO job ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", series, state, now, now, has_images, below, path)

    def _move(self, number: int, state: str, why: str = "") -> None:
        self._data.run("UPDATE job SET state = ?, reason = ?, changed = ? WHERE number = ?", state, readable(why), time.time(), number)

    def _is(self, number: int, *states: str) -> bool:
        found = self._data.one("SELECT state FROM job WHERE number = ?", number)
        return found is not None and found[0] in states

    def _job(self, number: int) -> Job:
        wanted = "SELECT series, below, path, images, digest FROM job WHERE number = ?"
        series, below, path, images, digest = self._data.one(wanted, number)
        if not below:
            return Job(number, series, self._images(number), None, images, digest)
        return Job(number, series, Path(os.fsdecode(path)), Path(os.fsdecode(below)), images, digest)

    def _drop_images(self, number: int) -> None:
        self._bytes -= self._counted("image", number)
        self._data.run("DELETE FROM image WHERE job = ?", number)
        self._data.run("UPDATE job SET has_images = 0 WHERE number = ?", number)
        self._data.remove(self._images(number))

    def _drop_objects(self, number: int) -> None:
        self._bytes -= self._counted("object", number)
        self._data.run("DELETE FROM object WHERE job = ?", number)

    def _forget(self) -> None:
        oldest = "(SELECT max(number) FROM job) - ?"
        self._data.run(f"DELETE FROM job WHERE state IN ('done', 'left') AND NOT has_images AND number <= {oldest}", _HISTORY)

    def _counted(self, table: str = "", number: int = 0) -> int:
        """The bytes of a job's images or objects; without a table those of all."""
        if not table:
            return sum(self._data.one(f"SELECT ifnull(sum(bytes), 0) FROM {one}")[0] for one in ("image", "object"))
        return int(self._data.one(f"SELECT ifnull(sum(bytes), 0) FROM {table} WHERE job = ?", number)[0])

    def _images(self, number: int) -> Path:
        return self.folder / "images" / str(number)

    def _file(self, number: int, place: int) -> Path:
        return self._images(number) / f"{place:06}.dcm"

    def _objects(self, number: int) -> Path:
        return self.folder / "objects" / str(number)
