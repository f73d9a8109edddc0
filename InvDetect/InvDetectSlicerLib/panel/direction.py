"""What counts as abnormal, for models that tell it apart: chosen for the next run, and told of the result on show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from InvDetectLib.models import DIRECTION_WORDS

from ..models import InstalledModel
from ..scene import ResultNodes, how_made
from .status import Status


class DirectionPanel:
    """Owns `directionLabel` and `directionSelector`, there where there is something to choose, `madeTitle` and `madeLabel`."""

    def __init__(self, ui: Any, status: Status, onChanged: Callable[[], None]) -> None:
        """onChanged: called when another direction is chosen by hand"""
        self._ui, self._on_changed, self._updating = ui, onChanged, False
        ui.directionSelector.currentIndexChanged.connect(status.guarded(self._changed))
        self.fit(None)

    def fit(self, model: InstalledModel | None, wish: str = "") -> None:
        """Offer what the model was calibrated for, and choose `wish` where that is among it, else the model's own."""
        selector, known = self._ui.directionSelector, () if model is None else model.directions
        self._updating = True
        selector.clear()
        for name in known:
            words = _(DIRECTION_WORDS[name])
            selector.addItem(_("{direction} (the model's own)").format(direction=words) if name == known[0] else words, name)
        selector.currentIndex = known.index(wish) if wish in known else 0 if known else -1
        self._updating = False
        for widget in (self._ui.directionLabel, selector):
            widget.visible = len(known) > 1

    def chosen(self) -> str | None:
        """As `InvDetectLogic.detect` takes it; None for a model that does not tell directions apart."""
        selector = self._ui.directionSelector
        return str(selector.itemData(selector.currentIndex)) if selector.currentIndex >= 0 else None

    def show(self, nodes: ResultNodes | None) -> None:
        """How this result was made, where that is not the only way."""
        direction, adapted = how_made(nodes) if nodes is not None else ("", False)
        what = _("what is {direction}").format(direction=_(DIRECTION_WORDS.get(direction, "unlike normal")))
        said = _("{what}; scores adapted to this scan").format(what=what) if adapted else what if direction else ""
        for widget in (self._ui.madeTitle, self._ui.madeLabel):
            widget.visible = bool(said)
        self._ui.madeLabel.text = said

    def _changed(self) -> None:
        if not self._updating:
            self._on_changed()
