"""The list of findings: step through it, accept, dismiss, comment, undo, by mouse and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.results import Finding

from ..review import Reviewing
from ..scene import ACCEPTED, DISMISSED, OPEN, ResultNodes, findings_of, jump, mark, remove_marker, reviews_of, unmark
from . import wording
from .status import Status

_COLUMNS = ("", "Size", "Peak", "p", "Stays", "State")
_TIPS = (
    "1 has the most mass, or of older models the highest peak",
    "Volume, or area of a picture",
    "Highest anomaly score inside",
    "How often a normal scan has a finding of such a mass / such a peak; the mass is the score above that of 99 % of normal tissue, summed",
    "Share of small changes of the scan (brightness, half a voxel, noise, level of the network) under which it stays a finding",
    "What you decided",
)


class FindingsPanel:
    """Owns the widgets from `findingsTable` to `commentEdit`."""

    def __init__(self, ui: Any, status: Status, keysOn: Any, onChosen: Callable[[Finding | None], None]) -> None:
        """keysOn: the widget within which the keys work;  onChosen: called with the finding that is chosen now, or None"""
        self._ui, self._status, self._updating, self._marking, self._on_chosen = ui, status, False, False, onChosen
        self._nodes: ResultNodes | None = None
        self._reviewing: Reviewing | None = None
        self._numbers: list[int] = []
        self._findings: dict[int, Finding] = {}
        self._commented: tuple[Any, ...] = ()  # table, place of the finding and comment that the line shows
        self._shortcuts = []
        table = ui.findingsTable
        table.columnCount = len(_COLUMNS)
        table.setHorizontalHeaderLabels([_(name) for name in _COLUMNS])
        for column, tip in enumerate(_TIPS):
            table.horizontalHeaderItem(column).setToolTip(_(tip))
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = table.verticalHeader().minimumSectionSize
        table.horizontalHeader().highlightSections = False
        table.itemSelectionChanged.connect(status.guarded(self._selected))
        table.cellClicked.connect(status.guarded(self._jump))
        ui.commentEdit.editingFinished.connect(status.guarded(self._comment))
        actions = (
            (ui.nextButton, "N", lambda: self.step(1)),
            (ui.previousButton, "P", lambda: self.step(-1)),
            (ui.acceptButton, "A", lambda: self.decide(ACCEPTED)),
            (ui.dismissButton, "D", lambda: self.decide(DISMISSED)),
            (ui.undoButton, "U", self.undo),
        )
        for button, key, action in actions:
            button.clicked.connect(status.guarded(action))
            shortcut = qt.QShortcut(qt.QKeySequence(key), keysOn)
            shortcut.context = qt.Qt.WidgetWithChildrenShortcut
            shortcut.activated.connect(status.guarded(action))
            self._shortcuts.append(shortcut)

    def show(self, nodes: ResultNodes | None) -> None:
        """List the findings of this result; None empties the list."""
        if nodes is None or self._nodes is None or nodes.table is not self._nodes.table:
            self._reviewing = None if nodes is None else Reviewing(nodes)
        self._nodes = nodes
        if nodes is None:
            remove_marker()
        self.refresh()

    def markOnScreen(self, on: bool) -> None:
        """Whether the chosen finding is marked in the views: as long as the panel is in front, which alone can take the mark away."""
        self._marking = on
        self._mark()

    def close(self) -> None:
        """The panel goes, and the mark with it."""
        self._marking = False
        remove_marker()

    def refresh(self, number: int | None = None) -> None:
        """Read the table again; finding `number` is the chosen one then, else the one that was."""
        number = self.current() if number is None else number
        self._updating = True
        table = self._ui.findingsTable
        findings = [] if self._nodes is None else findings_of(self._nodes.table)
        reviews = {} if self._nodes is None else reviews_of(self._nodes.table)
        self._findings = {finding.label: finding for finding in findings}
        self._numbers = list(self._findings)
        table.rowCount = len(findings)
        for row, finding in enumerate(findings):
            review = reviews[finding.label]
            rare = " / ".join("-" if p is None else f"{p:.2g}" for p in (finding.p_value_mass, finding.p_value))
            stays = "" if finding.stability is None else f"{finding.stability:.0%}"
            size = wording.size(finding.volume, finding.unit)
            cells = (finding.label, size, f"{finding.peak:.1f}", rare, stays, _state(review.state))
            for column, cell in enumerate(cells):
                item = qt.QTableWidgetItem(str(cell))
                item.setToolTip(review.comment)
                table.setItem(row, column, item)
        table.horizontalHeader().stretchLastSection = False
        table.resizeColumnsToContents()
        table.horizontalHeader().stretchLastSection = True  # set anew, because resizing ends it
        if number in self._numbers:
            table.selectRow(self._numbers.index(number))
        else:
            table.clearSelection()
            table.setCurrentCell(-1, -1)
        self._updating = False
        self._showChosen()

    def current(self) -> int | None:
        """The number of the chosen finding."""
        row = self._ui.findingsTable.currentRow()
        return self._numbers[row] if 0 <= row < len(self._numbers) else None

    def step(self, way: int) -> None:
        """To the next (1) or previous (-1) open finding, round the end; when all are decided, to the next of any kind."""
        if self._reviewing is None or not self._numbers:
            return
        number = self._reviewing.next_open(self.current(), way)
        if number is None:
            now = self.current()
            place = self._numbers.index(now) if now is not None else (-1 if way > 0 else 0)
            number = self._numbers[(place + way) % len(self._numbers)]
            self._status.say(_("All findings are decided."))
        self.choose(number)

    def choose(self, number: int) -> None:
        """Choose a finding; all views go there."""
        self._ui.findingsTable.selectRow(self._numbers.index(number))
        self._jump()

    def decide(self, state: str) -> None:
        """Accept or dismiss the chosen finding; deciding the same again opens it."""
        number = self.current()
        if self._reviewing is None or number is None:
            self._status.say(_("Choose a finding first."))
            return
        again = self._reviewing.reviews()[number].state == state
        self._reviewing.set_state(number, OPEN if again else state)
        self.refresh(number)

    def undo(self) -> None:
        """Take the last decision or comment back."""
        number = None if self._reviewing is None else self._reviewing.undo()
        if number is None:
            self._status.say(_("There is nothing to take back."))
        else:
            self.refresh(number)
            self._jump()

    def _selected(self) -> None:
        if not self._updating:
            self._showChosen()
            self._jump()

    def _showChosen(self) -> None:
        """Comment and buttons are those of the chosen finding."""
        ui, number = self._ui, self.current()
        review = None if number is None or self._reviewing is None else self._reviewing.reviews()[number]
        chosen = review is not None
        place = None if number is None else self._findings[number].peak_index
        commented = self._nodes and self._nodes.table, place, "" if review is None else review.comment
        if commented != self._commented:  # else what is being typed would go: the list is read again with every node that leaves the scene
            self._commented = commented
            ui.commentEdit.text = commented[-1]
        for widget in (ui.commentEdit, ui.acceptButton, ui.dismissButton):
            widget.enabled = chosen
        ui.nextButton.enabled = ui.previousButton.enabled = bool(self._numbers)
        ui.undoButton.enabled = self._reviewing is not None
        self._on_chosen(None if number is None else self._findings[number])
        self._mark()

    def _mark(self) -> None:
        number = self.current()
        if self._marking and self._nodes is not None and number is not None:
            mark(self._nodes.table, self._numbers.index(number))
        else:
            unmark()

    def _jump(self) -> None:
        number = self.current()
        if self._nodes is not None and number is not None:
            jump(self._nodes.table, self._numbers.index(number))

    def _comment(self) -> None:
        number = self.current()
        if self._updating or self._reviewing is None or number is None:
            return
        text = self._ui.commentEdit.text
        if text != self._reviewing.reviews()[number].comment:
            self._reviewing.set_comment(number, text)
            self.refresh(number)


def _state(state: str) -> str:
    return {OPEN: _("open"), ACCEPTED: _("accepted"), DISMISSED: _("dismissed")}[state]
