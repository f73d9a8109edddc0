"""What is to be done with many things, and what came of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """The detector that work is done with.

    checksum  of its model;  device, direction, deterministic  as for `Detector`
    """

    checksum: str
    device: str = "auto"
    direction: str | None = None
    deterministic: bool = False


@dataclass(frozen=True)
class Errand:
    """What is to be done with many things.

    work    a module's own function, called on a worker with what was sent, `shared`, the detector if one is wanted, and a progress
    wanted  the detector that it takes, or None;  model  the bytes of its file
    paths   that every worker has to see;  probe  a file that this process holds, as every worker has to notice; or ""
    pack    what is sent for a thing, which may say its `nbytes`; or `Ready`, or `Lost`. Asked just before it is sent
    """

    work: Callable[..., Any]
    shared: Any = None
    wanted: Wanted | None = None
    model: bytes = b""
    paths: tuple[str, ...] = ()
    probe: str = ""
    pack: Callable[[Any], Any] = lambda thing: thing


@dataclass(frozen=True)
class Answer:
    """What a worker gives back.

    outcome   of the work;  warnings  told meanwhile, in order
    lacking   nothing was done, for want of: the "process" that was asked, in whose place another one is; the "model"
    """

    outcome: Any = None
    warnings: tuple[str, ...] = ()
    lacking: str = ""


@dataclass(frozen=True)
class Ready:
    """Of what need not be sent: its outcome is known here."""

    outcome: Any


@dataclass(frozen=True)
class Lost:
    """Of what has no outcome: why, as a phrase."""

    why: str
