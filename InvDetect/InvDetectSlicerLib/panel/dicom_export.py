"""The result on show as DICOM objects for an archive, with what was decided of each finding."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..install import dependencies
from ..scene import ResultNodes, dicom_files, is_kept
from .installation import InstallationPanel
from .status import Status


class DicomExportPanel:
    """Owns `exportDicomButton`, which can be pressed for results of scans that were loaded from DICOM."""

    def __init__(self, ui: Any, logic: Any, status: Status, installation: InstallationPanel) -> None:
        """installation: through it comes what writes DICOM objects, which nothing else needs"""
        self._ui, self._logic, self._status, self._installation = ui, logic, status, installation
        self._nodes: ResultNodes | None = None
        self._writing: Any = None
        ui.exportDicomButton.clicked.connect(status.guarded(self.export))

    def show(self, nodes: ResultNodes | None) -> None:
        """The result is this one now."""
        self._nodes = nodes
        writing = self._writing is not None and self._writing.running
        self._ui.exportDicomButton.enabled = not writing and nodes is not None and is_kept(nodes) and bool(dicom_files(nodes.input))

    def export(self) -> None:
        """Ask for a folder and let the worker write the objects into it."""
        nodes = self._nodes
        if nodes is None:
            raise InvDetectError(_("There is no result yet. Examine a scan first."))
        folder = qt.QFileDialog.getExistingDirectory(self._ui.exportDicomButton, _("Folder for the DICOM objects"))
        if folder and self._installation.optional(dependencies.HIGHDICOM):
            callbacks = {"onFinished": self._status.guardedWith(self._written), "onFailed": self._failed}
            self._writing = self._logic.writeDicom(nodes, folder, **callbacks)
            self._ui.exportDicomButton.enabled = False
            self._status.say(_("Writing DICOM objects ..."))

    def close(self) -> None:
        """The panel goes."""
        if self._writing is not None and self._writing.running:
            self._writing.cancel()
        self._writing = None

    def _written(self, facts: dict[str, Any]) -> None:
        self.show(self._nodes)
        self._status.say(_("The DICOM objects are {files}.").format(files=", ".join(facts["files"])) + (" " + facts["warning"]).rstrip())

    def _failed(self, failure: Any) -> None:
        self.show(self._nodes)
        if failure.kind == "cancelled":
            self._status.say("")
        else:
            self._status.fail(failure)
