"""What computing needs: what is missing, installing it with consent, and a Python outside Slicer instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..install import dependencies, installing, pythons
from .status import Status

_LOOK = 100  # milliseconds between two looks at a Python that is being checked


class InstallationPanel:
    """Owns `neededWidget` with its content and the section Installation."""

    def __init__(self, ui: Any, status: Status, onChanged: Callable[[], None]) -> None:
        """onChanged: called when another Python computes, or more is installed: a running worker knows nothing of it"""
        self._ui, self._status, self._on_changed = ui, status, onChanged
        self._check: pythons.Check | None = None
        self._checked = ""
        self._timer = qt.QTimer()
        self._timer.interval = _LOOK
        self._timer.timeout.connect(status.guarded(self._look))
        ui.pythonPath.filters = ctk.ctkPathLineEdit.Files
        ui.offlineLabel.text = dependencies.offline_hint()
        ui.installButton.clicked.connect(status.guarded(self.install))
        ui.installFolderButton.clicked.connect(status.guarded(self._installFromFolder))
        ui.maxflowButton.clicked.connect(status.guarded(self._installMaxflow))
        ui.checkPythonButton.clicked.connect(status.guarded(self._checkPython))
        ui.ownPythonButton.clicked.connect(status.guarded(lambda: self._use("")))

    def refresh(self) -> bool:
        """Say what is there and what is missing; whether all is there."""
        state = dependencies.state(chosen_python=pythons.chosen_python())
        self._ui.stateLabel.text = state.text
        self._ui.neededLabel.text = state.text
        self._ui.neededWidget.visible = not state.ready
        self._ui.ownPythonButton.enabled = bool(pythons.chosen_python())
        return state.ready

    def ready(self) -> bool:
        """Whether a run can start; where something is missing, the user is asked and it is installed."""
        return self.refresh() or self.install()

    def install(self, folder: str = "") -> bool:
        """Ask, then install what is missing; whether all is there now."""
        missing = dependencies.missing()
        if missing and not slicer.util.confirmOkCancelDisplay(
            dependencies.question(missing, not folder and not installing.pytorch_extension_found())
        ):
            self._status.say(_("Nothing was installed. InvDetect cannot compute without it."))
            return False
        self._install(missing, folder)
        return self.refresh()

    def close(self) -> None:
        """End what is being checked."""
        self._timer.stop()
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _install(self, packages: Any, folder: str = "") -> None:
        try:
            installing.install(packages, folder)
        except installing.ExtensionNeeded:
            installing.install_pytorch_extension()
        finally:
            self.refresh()
        self._status.say(_("Installed."))
        self._on_changed()

    def _installFromFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self._ui.installFolderButton, _("Folder of downloaded packages"))
        if folder:
            self.install(folder)

    def _installMaxflow(self) -> None:
        if dependencies.installed_version(dependencies.MAXFLOW.name):
            self._status.say(_("PyMaxflow is installed already."))
        elif slicer.util.confirmOkCancelDisplay(dependencies.maxflow_question()):
            self._install([dependencies.MAXFLOW])

    def _checkPython(self) -> None:
        self.close()
        path = self._ui.pythonPath.currentPath.strip()
        if not os.path.isfile(path):
            raise InvDetectError(_("Choose a Python program first."))
        self._checked = path
        self._check = pythons.Check(path, pythons.environment())
        self._status.say(_("Asking {path} whether it can compute ...").format(path=path))
        self._timer.start()

    def _look(self) -> None:
        report = None if self._check is None else self._check.poll()
        if report is None:
            return
        self.close()
        self._status.say(report.text)
        if report.usable:
            self._use(self._checked)

    def _use(self, path: str) -> None:
        pythons.choose_python(path)
        self.refresh()
        self._on_changed()
