"""The wizard's first page: which scans are learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..panel import Status, count
from ..training_logic import TrainingLogic
from ..worker import Run, RunFailed, TrainingChoices
from .paths import folder_problem
from .pictures import pixmap_of

_COLUMNS = ("Scan", "Use", "Size", "Spacing (mm)", "Axes", "Values")
_ICON = 40  # pixels


class ScansPage:
    """Owns the widgets from `folderPath` to `scansSummary`."""

    def __init__(self, ui: Any, logic: TrainingLogic, status: Status, onChanged: Callable[[], None]) -> None:
        """onChanged: called when other scans were found"""
        self._ui, self._logic, self._status, self._on_changed = ui, logic, status, onChanged
        self._run: Run | None = None
        self._asked: tuple[Any, ...] | None = None
        self._no_folder = ""
        self.facts: dict[str, Any] = {}
        ui.folderPath.filters = ctk.ctkPathLineEdit.Dirs
        table = ui.scansTable
        table.columnCount = len(_COLUMNS)
        table.setHorizontalHeaderLabels([_(name) for name in _COLUMNS])
        table.verticalHeader().hide()
        table.iconSize = qt.QSize(_ICON, _ICON)

    def look(self, choices: TrainingChoices) -> None:
        """Look into the folder, if it is there, unless that was done already with choices that leave out the same scans.

        Raises InvDetectError.
        """
        if not self.there(choices.folder):
            return
        settings = choices.settings()
        asked = (choices.folder, choices.masks, replace(settings.preparation, modality=""), settings.least_side)
        if asked == self._asked:
            return
        self.clear()
        self._asked = asked
        self._ui.scansProgress.visible = True
        self._ui.scansProgress.maximum = 0
        self._ui.scansSummary.text = _("Looking at the scans ...")
        try:
            self._run = self._logic.inspect(choices, self._of(asked, self._found), self._of(asked, self._failed), self._progressed)
        except InvDetectError:
            self.clear()
            raise

    def there(self, folder: str) -> bool:
        """Whether there is such a folder; else the page is empty and says why."""
        problem = folder_problem(folder)
        if problem or not folder:
            self.clear(problem)
        return bool(folder) and not problem

    def clear(self, why: str = "") -> None:
        """An empty page: what was found goes, and what is being looked at is left. `why` says why there is nothing to look into."""
        self.stop()
        self._no_folder = self._ui.scansSummary.text = why
        self._show({})

    def forget(self) -> None:
        """Look again, the next time."""
        self._asked = None

    def stop(self) -> None:
        """Look no further."""
        run, self._run, self._asked = self._run, None, None
        if run is not None and run.running:
            run.cancel()
        self._ui.scansProgress.visible = False

    @property
    def usable(self) -> list[dict[str, Any]]:
        """The rows of the scans that can be learned from."""
        return [row for row in self.facts.get("scans", ()) if not row["problem"]]

    def problem(self) -> str:
        """Why it cannot go on from here; "" when it can."""
        if self.facts:
            return str(self.facts["problem"])
        if self._run is not None:
            return _("Wait until the scans were looked at.")
        return self._no_folder or _("Choose the folder that holds your normal scans.")

    def _of(self, asked: tuple[Any, ...], answered: Callable[[Any], None]) -> Callable[[Any], None]:
        """An answer counts only as long as nothing else was asked: a look that was left may be done before it hears of that."""
        return lambda answer: answered(answer) if asked == self._asked else None

    def _progressed(self, event: Any) -> None:
        self._ui.scansProgress.maximum = event.total
        self._ui.scansProgress.value = event.done

    def _found(self, facts: dict[str, Any]) -> None:
        self._run = None
        self._ui.scansProgress.visible = False
        self._show(facts)

    def _failed(self, failure: RunFailed) -> None:
        if failure.kind != "cancelled":
            self.clear()
            self._status.fail(failure)

    def _show(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        table = self._ui.scansTable
        rows = [*facts.get("scans", ()), *facts.get("left_out", ())]
        rows.sort(key=lambda row: (bool(row["problem"]), row["file"]))
        table.rowCount = len(rows)
        for number, row in enumerate(rows):
            cells = (row["file"], row["problem"] or _("yes"), *_appearance(row))
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if column == 0 and "thumbnail" in row:
                    item.setIcon(qt.QIcon(pixmap_of(row["thumbnail"])))
                table.setItem(number, column, item)
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        table.setColumnWidth(0, min(table.columnWidth(0), 170))
        table.setColumnWidth(1, min(table.columnWidth(1), 220))
        if facts:
            used, left = len(self.usable), len(rows) - len(self.usable)
            files = count(left, "file is", "files are")
            text = _("{used} can be used, {files} left out.").format(used=count(used, "scan", "scans"), files=files)
            self._ui.scansSummary.text = " ".join(part for part in (text, facts["problem"]) if part)
        self._on_changed()


def _appearance(row: dict[str, Any]) -> tuple[str, str, str, str]:
    if "size" not in row:
        return "", "", "", ""
    spacing = " x ".join(f"{length:.3g}" for length in row["spacing"]) if row["spacing"] else _("unknown")
    values = _("none") if row["range"] is None else _("{low} to {high}").format(low=f"{row['range'][0]:.4g}", high=f"{row['range'][1]:.4g}")
    return " x ".join(map(str, row["size"])), spacing, row["orientation"], values if row["kind"] == "grey" else f"{values}, {row['kind']}"
