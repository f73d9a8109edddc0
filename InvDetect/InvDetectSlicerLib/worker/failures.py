"""How a run can end without a result."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from InvDetectLib.common import InvDetectError, for_log


class RunFailed(InvDetectError):
    """A run without a result. Its text is for the user.

    kind  "cancelled", "error" (something to be put right), "memory", "scene" (a node it needs is gone), "gone" (the worker ended by
          itself) or "bug"; after the last two a report is worth sending (`InvDetectLogic.report`)
    log   path of the worker's log, or ""
    """

    def __init__(self, text: str, kind: str = "error", log: str = "") -> None:
        super().__init__(text)
        self.kind, self.log = kind, log

    @classmethod
    def of(cls, reply: dict[str, Any]) -> RunFailed:
        """From the worker's `failed` message."""
        text, kind = str(reply.get("text", "")), str(reply.get("kind", "bug"))
        if kind == "bug":
            text = f"Something went wrong inside InvDetect: {text.rstrip('.')}. Copy the report and send it to the makers of InvDetect."
        elif kind == "gone":
            text = f"{text.rstrip('.')}. Try again; it is started anew then."
        return cls(text, kind, str(reply.get("log", "")))


def as_failure(error: InvDetectError) -> RunFailed:
    """Any error a user can meet, as `RunFailed`."""
    return error if isinstance(error, RunFailed) else RunFailed(str(error))


def as_bug(what: str, error: Exception, names: Iterable[str] = ()) -> RunFailed:
    """A fault of ours as `RunFailed`; where it happened goes into Slicer's log, which must not have the `names` (see `for_log`).

    what  begins the entry: what did not work
    """
    logging.error("InvDetect: %s\n%s", what, for_log(error, names))
    return RunFailed.of({"kind": "bug", "text": f"{type(error).__name__}: {error}"})
