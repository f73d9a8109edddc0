"""The errors a user can meet. Everything else that is raised is a bug and may trace back, into the log."""

from __future__ import annotations


class InvDetectError(Exception):
    """Something a user can fix. The text names the file (or setting), the reason and the remedy, in one sentence or two."""


class WrongUse(InvDetectError):
    """The call itself cannot work (unknown preset, contradicting options): the shell exits with status 2."""


class OutOfMemory(InvDetectError):
    """Neither the device nor the CPU had enough memory, in however small portions."""


class Cancelled(InvDetectError):
    """The work was stopped on request; what is finished stays as it is."""
