"""The training that did not finish, remembered in the application's settings until it does: found again when Slicer was closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import slicer

from InvDetectLib.common import InvDetectError

from .training_choices import TrainingChoices

_KEY = "InvDetect/UnfinishedTraining"


class Store(Protocol):
    """As `slicer.app.userSettings()`."""

    def value(self, key: str, default: Any = None) -> Any: ...

    def setValue(self, key: str, value: Any) -> None: ...


class KeptTraining:
    """One at most. store: where; None: the application's settings, or nowhere outside of Slicer."""

    def __init__(self, store: Store | None = None) -> None:
        if store is None and hasattr(getattr(slicer, "app", None), "userSettings"):
            store = slicer.app.userSettings()
        self._store = store

    def remember(self, choices: TrainingChoices) -> None:
        """This training has begun."""
        if self._store is not None:
            self._store.setValue(_KEY, json.dumps({"choices": choices.as_dict(), "checkpoint": str(choices.checkpoint())}))

    def forget(self) -> None:
        """It has ended, one way or the other."""
        if self._store is not None:
            self._store.setValue(_KEY, "")

    def unfinished(self) -> TrainingChoices | None:
        """What can be gone on with: the choices of a training whose checkpoint is there and whose model is not. None without any."""
        try:
            facts = json.loads(str(self._store.value(_KEY, "") or "") if self._store is not None else "")
            choices, checkpoint = TrainingChoices.from_dict(facts["choices"]), Path(facts["checkpoint"])
        except (ValueError, KeyError, TypeError, RecursionError, InvDetectError):
            return None
        try:
            # The models folder may be another one by now; the checkpoint would not be looked for where it lies.
            same = checkpoint == choices.checkpoint()
            return choices if same and checkpoint.is_file() else None
        except (OSError, InvDetectError):
            return None
