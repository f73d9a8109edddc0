"""The errors a user can meet. Everything else that is raised is a bug and may trace back, into the log."""

from __future__ import annotations

import re
import reprlib
import traceback
from collections.abc import Iterable
from typing import Any

from .shortages import shortage

_ENDLESS = 3000  # characters; a sentence with the longest of ordinary paths has fewer
_MOST = 80  # characters of a stranger's text in a sentence
_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*[/\\]\S*|\S+\.\w+")  # what stands in quotes, paths, and names of files
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _MOST
_short.maxlong = 40
_short.maxlist = _short.maxtuple = _short.maxdict = 4
_short.maxlevel = 2


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


def shown(value: Any) -> str:
    """A value from a file or a message, as an error's sentence has it: on one line, printable, and short, whatever it is.

    Texts are quoted. Of an exception, its own words; libraries put names from files into them.
    """
    if isinstance(value, BaseException):
        words = " ".join(str(value).split()) or type(value).__name__
        printable = "".join(character for character in words if character.isprintable())
        return printable if len(printable) <= 2 * _MOST else printable[: 2 * _MOST] + " ..."
    told = _short.repr(value)
    return told if len(told) <= 4 * _MOST else told[: 4 * _MOST] + " ..."


def brief(sentence: str) -> str:
    """A sentence that is to be read: of one that a path without end has made endless, the beginning and the end."""
    if len(sentence) <= _ENDLESS:
        return sentence
    return f"{sentence[: _ENDLESS // 2]} [...] {sentence[-_ENDLESS // 2 :]}"


def for_log(error: BaseException, known: Iterable[str] = ()) -> str:
    """The traceback of an error, without anything in its words that may be a file's name or come from a scan.

    known  names that must not be in it, such as that of the scan under way
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind, _, text = "".join(traceback.format_exception_only(error)).strip().partition(":")
    hidden = _NAMES.sub("...", text)
    for name in filter(None, known):
        hidden = hidden.replace(name, "...")
    return f"{frames}{kind}:{hidden}"
