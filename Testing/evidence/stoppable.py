"""What the study's commands share: a bar, Ctrl-C that stops at the next step, one sentence for what went wrong, an exit status."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from InvDetectLib.common.errors import Cancelled, InvDetectError, WrongUse
from InvDetectLib.common.progress import Progress
from InvDetectLib.shell.terminal import Reporter


def carry_out(program: str, work: Callable[[Progress], object]) -> int:
    """Do the work; returns the exit status: 0 done, 1 something failed or was stopped, 2 wrong use.

    program  how the sentences on standard error begin
    """
    with Reporter() as reporter:
        progress = Progress(reporter)

        def stop(*_: object) -> None:
            progress.cancel()  # the work stops at its next step, with checkpoints saved; a second Ctrl-C stops at once
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = signal.signal(signal.SIGINT, stop)
        try:
            work(progress)
        except Cancelled as error:
            print(f"{program}: {error} The same command goes on from here.", file=sys.stderr)
            return 1
        except InvDetectError as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 2 if isinstance(error, WrongUse) else 1
        except KeyboardInterrupt:
            print(f"{program}: Stopped at once. The same command goes on from what was saved.", file=sys.stderr)
            return 1
        finally:
            signal.signal(signal.SIGINT, before)
    return 0
