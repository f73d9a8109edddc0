"""Standard streams of the command: libraries stay out of them, and one that is closed or full costs a sentence and no traceback."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator

from ..common import InvDetectError, brief

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


def harmless(text: str) -> str:
    """`text` without what commands a terminal: names of files and texts of models are other people's, and may hold such."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def line(text: str) -> str:
    """`text` as one harmless line, lest a name that holds an end of line passes for something that the command says."""
    return harmless(text.replace("\n", "\\x0a"))


def open_streams() -> None:
    """Give what was closed a place to go to, lest the next file that is opened gets its number and everything printed.

    Raises `InvDetectError` when it is standard output, for then nobody could be told what was done.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise InvDetectError("Standard output is closed; open it, or send it to a file or to /dev/null.")


def fall_silent() -> None:
    """Let all that this process prints, and the libraries below it, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """What libraries print for themselves, in Python (warnings, logs) or below it (on the very descriptors), goes nowhere for the block.

    Our own lines still reach the terminal. Streams that were replaced, as tests do, are left alone.
    """
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        logging.getLogger().addHandler(nowhere := logging.NullHandler())
        stack.callback(logging.getLogger().removeHandler, nowhere)
        for name, number in (("stdout", 1), ("stderr", 2)):
            if _descriptor(getattr(sys, name)) == number:
                stack.enter_context(_apart(name, number))
        yield


@contextlib.contextmanager
def kept_back() -> Iterator[io.StringIO]:
    """What is printed on standard output during the block, for `tell`: so only one place has to know that it may be full."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield text


def tell(text: str) -> bool:
    """Print `text` on standard output. False when its reader has left; `InvDetectError` when it cannot be written."""
    try:
        sys.stdout.write(harmless(text))
        sys.stdout.flush()
        return True
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # or Python would complain at its end
            os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            return False
        raise InvDetectError(
            f"Standard output cannot be written ({error.strerror}); what the command makes lies in its files. Send it elsewhere."
        ) from error


def complain(text: str) -> None:
    """One line on standard error, if that can be written."""
    with contextlib.suppress(OSError, ValueError):
        print(line(brief(text)), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _apart(name: str, number: int) -> Iterator[None]:
    """Let `sys.stdout` or `sys.stderr` write to a copy of its descriptor, and the descriptor itself lead nowhere."""
    stream = getattr(sys, name)
    stream.flush()
    copy = os.dup(number)
    ours = open(copy, "w", encoding=stream.encoding, errors=stream.errors, buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    setattr(sys, name, ours)
    try:
        yield
    finally:
        setattr(sys, name, stream)
        os.dup2(copy, number)
        with contextlib.suppress(OSError):
            ours.close()


def _descriptor(stream: object) -> int:
    try:
        return stream.fileno()  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return -1
