"""The errors a user can meet. Everything else that is raised is a bug and may trace back, into the log."""

from __future__ import annotations

from .shortages import shortage


class InvDetectError(Exception):
    """Something a user can fix. The text names the file (or setting), the reason and the remedy, in one sentence or two."""


class WrongUse(InvDetectError):
    """The call itself cannot work (unknown preset, contradicting options): the shell exits with status 2."""


class OutOfMemory(InvDetectError):
    """Neither the device nor the CPU had enough memory, in however small portions."""


class Cancelled(InvDetectError):
    """The work was stopped on request; what is finished stays as it is."""


def reason(error: Exception, of: object) -> str:
    """Why one of many could not be done, as a phrase about `of`, which is what the others go on without.

    Also for errors that nobody foresaw: among thousands of strangers' files one will bring such, and it must not cost the others. Raises
    `Cancelled` again, which is none.
    """
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, InvDetectError):
        return str(error).removeprefix(f"{of} ")
    if short := shortage(error):
        return short
    first = str(error).strip().partition("\n")[0][:200]
    return f"broke off with an error that is not known ({type(error).__name__}: {first}). Report it, and leave this one out until then."
