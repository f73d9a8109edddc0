"""Several scans of the scene, examined one after the other into nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..scene import findings_of, scans_in_scene
from . import wording
from .running import RunPanel
from .status import Status


class QueuePanel:
    """Owns the widgets of the section Several scans."""

    def __init__(
        self,
        ui: Any,
        logic: Any,
        status: Status,
        run: RunPanel,
        wishes: Callable[[], dict[str, Any]],
        onTicked: Callable[[], None],
        onResult: Callable[[Any, bool], None],
    ) -> None:
        """wishes: gives model, device and operating point for `InvDetectLogic.detectScans`, or raises `InvDetectError`

        onTicked  called when other scans are chosen
        onResult  called with the `ResultNodes` of each scan, and whether it is the first of its queue
        """
        self._ui, self._logic, self._status, self._run = ui, logic, status, run
        self._wishes, self._on_ticked, self._on_result = wishes, onTicked, onResult
        self._queue: Any = None  # while it is under way
        self._scans: list[str] = []  # IDs, one a row
        self._states: dict[str, tuple[str, str]] = {}  # ID -> a word, and more of it
        self._updating = False
        table = ui.queueTable
        table.columnCount = 2
        table.setHorizontalHeaderLabels([_("Scan"), _("State")])
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = table.verticalHeader().minimumSectionSize
        table.horizontalHeader().highlightSections = False
        table.itemChanged.connect(status.guarded(self._changed))
        ui.queueSection.contentsCollapsed.connect(status.guarded(self.refresh))
        ui.queueButton.clicked.connect(status.guarded(self._clicked))
        ui.skipButton.clicked.connect(status.guarded(self.skip))

    def refresh(self) -> None:
        """List the scans of the scene; those that are there stay ticked, and keep what was said of them."""
        ticked, scans, table = set(self.ticked()), scans_in_scene(), self._ui.queueTable
        self._scans = [scan.GetID() for scan in scans]
        self._states = {name: state for name, state in self._states.items() if name in self._scans}
        self._updating = True
        table.rowCount = len(scans)
        for row, scan in enumerate(scans):
            item = qt.QTableWidgetItem(scan.GetName())
            item.setCheckState(qt.Qt.Checked if scan.GetID() in ticked else qt.Qt.Unchecked)
            table.setItem(row, 0, item)
            word, more = self._states.get(scan.GetID(), ("", ""))
            state = qt.QTableWidgetItem(word)
            state.setToolTip(more)
            table.setItem(row, 1, state)
        table.horizontalHeader().stretchLastSection = False
        table.resizeColumnsToContents()
        table.horizontalHeader().stretchLastSection = True
        self._updating = False
        self._on_ticked()

    def ticked(self) -> list[str]:
        """IDs of the chosen scans, from the top down."""
        items = [(name, self._ui.queueTable.item(row, 0)) for row, name in enumerate(self._scans)]
        return [name for name, item in items if item is not None and item.checkState() == qt.Qt.Checked]

    def tick(self, *volumes: Any) -> None:
        """Choose these scans and no others."""
        names = [volume.GetID() for volume in volumes]
        for row, name in enumerate(self._scans):
            self._ui.queueTable.item(row, 0).setCheckState(qt.Qt.Checked if name in names else qt.Qt.Unchecked)

    def allow(self, start: bool) -> None:
        """Whether a queue could start; one that is under way can be cancelled, and a scan left out."""
        cancel = self._run.cancelledBy(self._ui.queueButton)
        self._ui.queueButton.enabled = cancel or (start and bool(self.ticked()))
        self._ui.skipButton.enabled = cancel and self._queue is not None

    def start(self) -> None:
        """Examine the chosen scans."""
        if not self.ticked():
            raise InvDetectError(_("Tick the scans to examine first."))
        wishes = self._wishes()  # which may have installed something, and let events in
        model, volumes = wishes.pop("modelPath"), [slicer.mrmlScene.GetNodeByID(name) for name in self.ticked()]

        def begin(onFailed: Any, **callbacks: Any) -> Any:
            steps = {"onScan": self._status.guardedWith(self._began), "onResult": self._status.guardedWith(self._ended)}
            self._queue = self._logic.detectScans(volumes, model, **wishes, **steps, **callbacks)  # which does not fail as a whole
            self._states = {volume.GetID(): (_("waits"), "") for volume in volumes}
            self.refresh()
            return self._queue

        self._run.start(self._ui.queueButton, begin, self._done)

    def skip(self) -> None:
        """Take the chosen scan out, where it still waits, or else the one under way; the others go on."""
        if self._queue is None:
            return
        row = self._ui.queueTable.currentRow()
        chosen = self._scans[row] if 0 <= row < len(self._scans) else ""
        waiting = [one for one in self._queue.outcomes if one.waiting]
        for one in [one for one in waiting if one.volume.GetID() == chosen] or [one for one in waiting if one is self._queue.current]:
            self._queue.skip(one.volume)

    def _clicked(self) -> None:
        if self._run.running:
            self._run.cancel()
        else:
            self.start()

    def _changed(self) -> None:
        if not self._updating:
            self._on_ticked()

    def _say(self, volume: Any, word: str, more: str = "") -> None:
        self._states[volume.GetID()] = word, more
        self.refresh()

    def _began(self, number: int, of: int, one: Any) -> None:
        self._run.name(_("Scan {number} of {of}").format(number=number, of=of))
        self._say(one.volume, _("under way"))

    def _ended(self, one: Any) -> None:
        if one.nodes is None:
            self._say(one.volume, _("skipped") if one.error.kind == "cancelled" else _("failed"), str(one.error))
            return
        found = len(findings_of(one.nodes.table))
        self._say(one.volume, wording.count(found, _("finding"), _("findings")) if found else _("no findings"))
        self._on_result(one.nodes, sum(other.nodes is not None for other in self._queue.outcomes) == 1)

    def _done(self, outcomes: list[Any]) -> None:
        self._queue = None
        self._on_ticked()
        done = sum(one.nodes is not None for one in outcomes)
        skipped = sum(one.error is not None and one.error.kind == "cancelled" for one in outcomes)
        number, time = wording.count(done, _("scan"), _("scans")), wording.duration(self._run.seconds())
        lines = [_("{scans} examined, in {time}.").format(scans=number, time=time)]
        if skipped:
            lines.append(_("{number} left out, as you wished.").format(number=skipped))
        failed = [one for one in outcomes if one.error is not None and one.error.kind != "cancelled"]
        lines += [_("{scan} failed: {reason}").format(scan=one.name, reason=one.error) for one in failed]
        self._status.say("\n".join(lines))
