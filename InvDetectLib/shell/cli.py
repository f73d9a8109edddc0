"""The shell command `invdetect`. Exit status: 0 done, 1 some input failed, 2 wrong use. Progress goes to standard error."""

from __future__ import annotations

import argparse
import io
import json
import logging
import signal
import sys
import traceback
from collections.abc import Sequence

from ..common import Cancelled, InvDetectError, Launched, WrongUse, beyond_locale, shortage
from .arguments import parser
from .streams import complain, fall_silent, kept_back, open_streams, quiet_libraries, tell

_STOPPED = "invdetect: Stopped at once; what was finished stays."


def program() -> int:
    """`main` as all that a process is for: a signal that comes while nothing, or only words, is left to do shows no traceback."""
    try:
        return main()
    except KeyboardInterrupt:
        complain(_STOPPED)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # libraries still clean up, and would be torn out of it
            signal.signal(number, signal.SIG_IGN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    launched = Launched.here()
    try:
        open_streams()
        if launched.rank:  # of processes that torchrun started one talks
            fall_silent()
        options = _understood(arguments)
        if launched.count > 1 and options.command != "train":
            raise WrongUse(f"torchrun started {launched.count} processes, and only train is shared among such; start this without it.")
    except InvDetectError as error:
        complain(f"invdetect: {error}")
        return 2 if isinstance(error, WrongUse) else 1
    logging.getLogger("InvDetectLib").addHandler(logging.NullHandler())  # warnings are shown by the command itself, and once
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    if options.command == "worker":  # which has its streams for itself
        return _run(options)
    try:
        with quiet_libraries(), kept_back() as said:
            status = _run(options)
        return status if tell(said.getvalue()) else 1
    except (InvDetectError, OSError) as error:
        return _short_of(error)


def _understood(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; `SystemExit` after help, version and what is not understood, `WrongUse` for names that the locale cannot say."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit:
        tell("")
        raise
    for value in vars(options).values():
        for name in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(name, str) and (problem := beyond_locale(name)):
                raise WrongUse(problem)
    return options


def _run(options: argparse.Namespace) -> int:
    """Carry out the command; everything that a user can cause ends in a sentence."""
    from . import bids, commands

    try:
        bids.take_datasets(options)
        return int(getattr(commands, options.command)(options))
    except Cancelled as error:
        complain(f"invdetect: {error}")
        return 1
    except WrongUse as error:
        complain(f"invdetect: {error}")
        return 2
    except InvDetectError as error:
        complain(f"invdetect: {error}")
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error)}))
        return 1
    except ImportError as error:
        if (error.name or "").startswith("InvDetectLib") or shortage(error):
            return _short_of(error)
        complain(f"invdetect: A package is missing or broken ({error}). Install InvDetect again, with --force-reinstall of pip.")
        return 1
    except KeyboardInterrupt:
        complain(_STOPPED)
        return 1
    except BaseException as error:
        return _short_of(error)


def _short_of(error: BaseException) -> int:
    """The status for what went wrong outside of what commands foresee; raises it again unless the machine lacked something."""
    if not (why := str(error) if isinstance(error, InvDetectError) else shortage(error)):
        raise error
    traceback.clear_frames(error.__traceback__)  # what they hold may be the memory that the next line needs
    complain(f"invdetect: {why}")
    return 1


if __name__ == "__main__":
    raise SystemExit(program())
