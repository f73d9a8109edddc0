"""What computing needs: what is missing, installing it with consent, and a Python outside Slicer instead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    def __init__(self, ui: Any, status: Status, onChanged: Callable[[], None], onBusy: Callable[[], None]) -> None:
        """onChanged: called when another Python computes, or more is installed: a running worker knows nothing of it

        onBusy  called when installing begins and when it has ended
        """
        self._ui, self._status, self._on_changed, self._on_busy = ui, status, onChanged, onBusy
        self._busy, self._told = False, ""
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

    @property
    def busy(self) -> bool:
        """Whether something is being installed. It lets events in meanwhile, so that nothing else may begin."""
        return self._busy

    @property
    def told(self) -> str:
        """How the last attempt to install ended."""
        return self._told

    def allow(self, on: bool) -> None:
        """Whether something may be installed, or another Python chosen: not under a run, which would end."""
        ui = self._ui
        for button in (ui.installButton, ui.installFolderButton, ui.maxflowButton, ui.checkPythonButton):
            button.enabled = on
        ui.ownPythonButton.enabled = on and bool(pythons.chosen_python())

    def refresh(self) -> bool:
        """Say what is there and what is missing; whether all is there."""
        state = dependencies.state(chosen_python=pythons.chosen_python())
        self._ui.stateLabel.text = state.text
        self._ui.neededLabel.text = state.text
        self._ui.neededWidget.visible = not state.ready
        return state.ready

    def ready(self) -> bool:
        """Whether a run can start; where something is missing, the user is asked and it is installed."""
        return self.refresh() or self.install()

    def install(self, folder: str = "") -> bool:
        """Ask, then install what is missing; whether all is there now."""
        missing = dependencies.missing()
        self._install(missing, dependencies.question(missing, not folder and not installing.pytorch_extension_found()), folder)
        return self.refresh()

    def optional(self, package: dependencies.Package) -> bool:
        """Whether an optional package can be had: where Slicer's own Python computes and lacks it, the user is asked and it is installed.

        Of a Python outside Slicer nothing is known here; the worker tells what it lacks.
        """
        if not pythons.chosen_python() and not dependencies.is_there(package):
            self._install([package], dependencies.question([package]))
            return dependencies.is_there(package)
        return True

    def close(self) -> None:
        """End what is being checked."""
        self._timer.stop()
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _install(self, packages: Any, question: str, folder: str = "") -> None:
        with self._alone():
            if packages and not slicer.util.confirmOkCancelDisplay(question):
                self._told = _("Nothing was installed, as you wished.")
            else:
                self._told = installing.install_with_extension(packages, folder)
                self._on_changed()
        self._status.say(self._told)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise InvDetectError(installing.ALREADY)
        self._busy, self._told = True, ""
        self._on_busy()
        try:
            yield
        finally:
            self._busy = False
            self.refresh()
            self._on_busy()

    def _installFromFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self._ui.installFolderButton, _("Folder of downloaded packages"))
        if folder:
            self.install(folder)

    def _installMaxflow(self) -> None:
        if dependencies.installed_version(dependencies.MAXFLOW.name):
            self._status.say(_("PyMaxflow is installed already."))
        else:
            self._install([dependencies.MAXFLOW], dependencies.maxflow_question())

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
        self._on_busy()
        self._on_changed()
