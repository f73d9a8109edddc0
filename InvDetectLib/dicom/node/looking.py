"""What looks again and again, in a thread of its own, and lives on whatever a look finds."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...common import Cancelled
from .say import Say


class Looking:
    """Calls `look` every `seconds`, from `start` to `stop`.

    What `look` raises is told by `problem`, once until a look goes well or another problem comes; after `Cancelled` it ends.
    """

    def __init__(self, name: str, look: Callable[[], None], problem: Callable[[Exception], str], seconds: float, say: Say) -> None:
        """name  of the thread"""
        self._look, self._problem, self._seconds, self._say = look, problem, seconds, say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End, and wait `patience` seconds at most for a look that is going on."""
        self._stopped.set()
        self._thread.join(patience)

    def _go_on(self) -> None:
        told = ""
        while not self._stopped.is_set():
            try:
                self._look()
                told = ""
            except Cancelled:
                return
            except Exception as error:
                if (problem := self._problem(error)) != told:
                    self._say(problem)
                told = problem
            self._stopped.wait(self._seconds)
