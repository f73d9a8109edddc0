"""A folder of scans, examined one after the other into files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from . import wording
from .running import RunPanel
from .status import Status


class BatchPanel:
    """Owns the widgets of the section with the folder of scans."""

    def __init__(self, ui: Any, logic: Any, status: Status, run: RunPanel, wishes: Callable[[], dict[str, Any]]) -> None:
        """wishes: gives model, device and operating point for `InvDetectLogic.detectFolder`, or raises `InvDetectError`"""
        self._ui, self._logic, self._status, self._run, self._wishes = ui, logic, status, run, wishes
        for line in (ui.scansFolder, ui.resultsFolder):
            line.filters = ctk.ctkPathLineEdit.Dirs
        ui.batchButton.clicked.connect(status.guarded(self._clicked))

    def _clicked(self) -> None:
        if self._run.running:
            self._run.cancel()
            return
        ui = self._ui
        scans, results = ui.scansFolder.currentPath.strip(), ui.resultsFolder.currentPath.strip()
        if not scans or not results:
            raise InvDetectError(_("Choose the folder of scans and a folder for the results first."))
        wishes = {**self._wishes(), "overwrite": ui.overwriteCheck.checked}
        model, rule = wishes.pop("modelPath"), wishes.pop("foregroundNode", None)

        def begin(**callbacks: Any) -> Any:
            return self._logic.detectFolder(scans, model, results, foreground=rule, **wishes, **callbacks)

        self._run.start(ui.batchButton, begin, self._done)

    def _done(self, outcome: dict[str, Any]) -> None:
        scans = outcome["scans"]
        failed = [scan for scan in scans if scan["status"] == "failed"]
        skipped = sum(scan["status"] == "skipped" for scan in scans)
        lines = [_("{scans} examined.").format(scans=wording.count(len(scans) - len(failed) - skipped, _("scan"), _("scans")))]
        if skipped:
            lines.append(_("{number} had results already.").format(number=skipped))
        lines += [_("{scan} failed: {reason}").format(scan=scan["scan"], reason=scan["reason"]) for scan in failed]
        lines.append(_("All findings are in {path}.").format(path=outcome["table"]))
        self._status.say("\n".join(lines))
