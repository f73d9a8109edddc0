"""A Dask scheduler that computes instead of this computer: its address, and what was found there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..install import dependencies
from .installation import InstallationPanel
from .status import Status, show_text

SETTING = "InvDetect/Scheduler"


class SchedulerPanel:
    """Owns `schedulerWidget` and what is in it. The address is kept in Slicer's settings: it belongs to the computer, not to a scene."""

    def __init__(
        self, ui: Any, logic: Any, status: Status, installation: InstallationPanel, onChanged: Callable[[], None]
    ) -> None:
        """installation: through it comes what speaks to a scheduler;  onChanged: called when another address was given"""
        self._ui, self._logic, self._status, self._installation, self._on_changed = ui, logic, status, installation, onChanged
        self._question: Any = None  # under way
        self._asked = ""
        ui.schedulerEdit.text = str(slicer.app.userSettings().value(SETTING, "") or "")
        ui.schedulerEdit.editingFinished.connect(status.guarded(self._edited))
        ui.schedulerWidget.visible = False
        show_text(ui.schedulerLabel, "")

    def show(self, on: bool) -> None:
        """Whether it computes, so that its address is asked for and tried."""
        self._ui.schedulerWidget.visible = on
        if on:
            self._look()
        else:
            self.close()

    def address(self) -> str:
        """Where it listens. `InvDetectError` while nobody has said so."""
        if not (address := self._typed()):
            raise InvDetectError(_("Give the address of the Dask scheduler, such as tcp://host:8786, or compute on this computer."))
        return address

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None and self._question.running:
            self._question.cancel()
        self._question, self._asked = None, ""

    def _typed(self) -> str:
        return str(self._ui.schedulerEdit.text).strip()

    def _edited(self) -> None:
        if self._typed() == self._asked:
            return  # Return and leaving the field both say that it was edited
        slicer.app.userSettings().setValue(SETTING, self._typed())
        self._look()
        self._on_changed()

    def _look(self) -> None:
        """Ask what there is to compute with."""
        self.close()
        address = self._asked = self._typed()
        show_text(self._ui.schedulerLabel, "")
        if address and self._installation.optional(dependencies.DISTRIBUTED):
            show_text(self._ui.schedulerLabel, _("Looking what there is ..."))
            say = self._status.guardedWith(lambda facts: self._found(address, str(facts["text"])))
            fail = self._status.guardedWith(lambda failure: self._found(address, str(failure)))
            self._question = self._logic.scheduler(address, onFinished=say, onFailed=fail)

    def _found(self, address: str, text: str) -> None:
        if address == self._asked:
            show_text(self._ui.schedulerLabel, text)
