"""Something done once, a moment after it was last asked for."""

from __future__ import annotations

from collections.abc import Callable

import qt


class Delay:
    """Calls `action` once, `milliseconds` after the last `start`."""

    def __init__(self, milliseconds: int, action: Callable[[], None]) -> None:
        # Stopped by hand: the property singleShot has the name of a static function, and which of them counts depends on the bindings.
        self._action, self._timer = action, qt.QTimer()
        self._timer.interval = milliseconds
        self._timer.timeout.connect(self._due)

    @property
    def waiting(self) -> bool:
        """Whether it is still to be done."""
        return bool(self._timer.active)

    def start(self) -> None:
        """Do it, counted from now."""
        self._timer.start()

    def stop(self) -> None:
        """Do not do it."""
        self._timer.stop()

    def _due(self) -> None:
        self._timer.stop()
        self._action()
