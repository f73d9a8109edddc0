"""The SQLite database of a queue: what is in it, and changes that are made whole or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...common import InvDetectError, lock, shown

DATABASE, LOCK = "queue.sqlite", "lock"  # in the queue's folder
FOLDERS = ("images", "objects", "results")  # below it; results are there unless another place is given for them
_VERSION = 1
_TABLES = """
CREATE TABLE job (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    series TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    came REAL NOT NULL,
    changed REAL NOT NULL,
    has_images INTEGER NOT NULL,
    below TEXT NOT NULL,
    path TEXT NOT NULL,
    images INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT ''
);
CREATE INDEX job_series ON job (series);
CREATE INDEX job_state ON job (state);
CREATE TABLE image (job INTEGER NOT NULL, uid TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (job, uid));
CREATE TABLE refused (series TEXT NOT NULL, uid TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (series, uid));
CREATE TABLE object (job INTEGER NOT NULL, kind TEXT NOT NULL, bytes INTEGER NOT NULL, sent INTEGER NOT NULL, PRIMARY KEY (job, kind));
CREATE TABLE watched (path TEXT PRIMARY KEY, signature TEXT NOT NULL);
"""


class Database:
    """An open database; one thread after the other uses it.

    Raises InvDetectError for what SQLite cannot do: a full disk, a damaged file.
    """

    def __init__(self, path: Path, reading: bool = False) -> None:
        """Open the database at `path`, and make it where there is none; reading  only look, also while a node works with it."""
        self._path = path
        self._turn = threading.RLock()
        self._gone: list[Path] = []
        try:
            address = f"{path.absolute().as_uri()}?mode={'rw' if reading else 'rwc'}"
            self._connection = sqlite3.connect(address, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
            version = self.one("PRAGMA user_version")[0]
            if version > _VERSION:
                raise InvDetectError(f"The queue {path.parent} was made by a newer InvDetect. Update InvDetect, or give another --folder.")
            if reading:
                self._connection.execute("PRAGMA query_only = ON")
                return
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # what a sender was told to be here is here after a power cut, too
            if version == 0:
                self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Let it go."""
        with self._turn:
            self._connection.close()

    def one(self, question: str, *values: Any) -> Any:
        """The first row of an answer, or None."""
        with self._turn, self._told():
            return self._connection.execute(question, values).fetchone()

    def all(self, question: str, *values: Any) -> list[Any]:
        """Every row of an answer."""
        with self._turn, self._told():
            return self._connection.execute(question, values).fetchall()

    def run(self, statement: str, *values: Any) -> int:
        """Carry out a statement within a `change`; the number of the row that it made."""
        with self._told():
            return int(self._connection.execute(statement, values).lastrowid or 0)

    def remove(self, folder: Path) -> None:
        """Remove a folder once the `change` is in the database."""
        self._gone.append(folder)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All of the block or nothing; blocks may hold others."""
        with self._turn:
            if self._connection.in_transaction:
                yield
                return
            self._gone = []
            self.run("BEGIN IMMEDIATE")
            try:
                yield
                self.run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            for folder in self._gone:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: sqlite3.Error) -> InvDetectError:
        remedy = "Make room on its disk, or, if it is damaged, move the folder away and start anew"
        return InvDetectError(f"The queue {self._path.parent} cannot be used: {shown(error)}. {remedy}.")


def kept_path(path: Path) -> str | bytes:
    """A path as the database keeps it: text, or the bytes of one that is no text; `os.fsdecode` leads back from either."""
    text = str(path)
    return text if readable(text) == text else os.fsencode(path)


def readable(text: str) -> str:
    """A text with question marks for what no UTF-8 can say, such as the strange bytes of a file's name."""
    return text.encode("utf-8", "replace").decode()


def _not_own(folder: Path) -> Path | None:
    """Something in a folder without a database that no node has put there, as far as one comes before it makes that. Raises OSError."""
    if not folder.exists() or (folder / DATABASE).exists():
        return None
    for path in sorted(folder.iterdir()):
        if path.name in FOLDERS and path.is_dir():
            if (inside := next(path.iterdir(), None)) is not None:
                return inside
        elif path.name != LOCK:
            return path
    return None


def hold(folder: Path) -> int:
    """The descriptor of the lock of the queue in `folder`, which ends with this process, however that ends.

    The folder and those below it are made, and are their owner's alone from then on. Raises InvDetectError for a folder that is no queue
    and holds something: what a queue does not know among its images is taken for what a kill left, and removed.
    """
    try:
        if (other := _not_own(folder)) is not None:
            raise InvDetectError(f"{folder} is no queue and holds {other}, which is left as it is; give a new or an empty --folder.")
        for place in (folder, *(folder / name for name in FOLDERS)):  # what is kept there is about patients
            place.mkdir(0o700, parents=True, exist_ok=True)
            with suppress(PermissionError):  # a file system without modes
                place.chmod(0o700)  # it may have been there already
        held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvDetectError(f"The queue cannot be written to {folder}: {error.strerror}. Choose a folder that is writable.") from error
    try:
        lock(held)
    except (BlockingIOError, PermissionError):
        os.close(held)
        raise InvDetectError(f"Another node has the queue {folder}; stop that one, or give this one a --folder of its own.") from None
    except OSError:  # a file system without locks
        pass
    return held
