"""Work of some seconds that needs neither scene nor Qt, in a thread of its own. Its outcome is delivered by `poll`, on the main thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from InvDetectLib.common import InvDetectError, for_log

_TURN = 0.01  # seconds that `poll` gives way to the thread: inside Slicer it may get no other turn


class Background:
    """Runs `work()` at once in a thread; `poll` then calls `onDone` with what it returned, or `onFailed` with an `InvDetectError`."""

    def __init__(self, work: Callable[[], Any], onDone: Callable[[Any], None], onFailed: Callable[[InvDetectError], None]) -> None:
        self._work, self._on_done, self._on_failed = work, onDone, onFailed
        self._outcome: Any = None
        self._error: InvDetectError | None = None
        self._thread = threading.Thread(target=self._run, name="InvDetect", daemon=True)
        self._thread.start()

    def poll(self) -> bool:
        """Whether it has ended; then, once, the outcome has been delivered. To be called no more after that."""
        self._thread.join(_TURN)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            self._on_failed(self._error)
        else:
            self._on_done(self._outcome)
        return True

    def _run(self) -> None:
        try:
            self._outcome = self._work()
        except InvDetectError as error:
            self._error = error
        except MemoryError:
            self._error = InvDetectError("There is not enough memory for this; close other programs or volumes, and try again.")
        except Exception as error:
            logging.error("InvDetect: work in the background failed\n%s", for_log(error))
            self._error = InvDetectError(f"Something went wrong inside InvDetect ({type(error).__name__}: {error}). See the log.")
