"""Sensitivity and contiguity of the result on show: the slice on screen follows the slider at once, the rest when it rests."""

from __future__ import annotations

import math
from typing import Any

from slicer.i18n import tr as _

from InvDetectLib.calibration import RATES
from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Controls

from ..scene import MISSING, ResultNodes, controls_of, is_kept, shown_slice, slice_axis_of
from . import wording
from .delay import Delay
from .status import Status, show_text

_REST = 300  # milliseconds without a move before the whole mask is made anew
_STEPS = 100  # of the slider, evenly in the logarithm of the rate


class RefinePanel:
    """Owns `rateSlider`, `rateLabel`, `contiguitySlider` and `refineLabel`."""

    def __init__(self, ui: Any, logic: Any, status: Status, onRefined: Any) -> None:
        """onRefined: called when the findings are new"""
        self._ui, self._logic, self._status, self._on_refined = ui, logic, status, onRefined
        self._nodes: ResultNodes | None = None
        self._updating, self._rate = False, None
        self._wish: Any = None
        self._rest = Delay(_REST, status.guarded(self._refine))
        ui.rateSlider.maximum = _STEPS
        ui.rateSlider.valueChanged.connect(status.guarded(self._rateMoved))
        ui.contiguitySlider.valueChanged.connect(status.guarded(self._contiguityMoved))

    _rate: float | None

    @property
    def busy(self) -> bool:
        """Whether the whole mask is still to be made."""
        return bool(self._rest.waiting or (self._wish is not None and self._wish.running))

    def show(self, nodes: ResultNodes | None) -> None:
        """The sliders stand where this result was made, and are off, with a sentence, where it cannot be refined.

        While they are being moved they stay where they are, as long as the result is the same: it is listed anew with every node that
        leaves the scene, and a mask that waits for its sliders to rest would stay half made.
        """
        same = nodes is not None and self._nodes is not None and nodes.made() == self._nodes.made()
        self._nodes = nodes
        if same and self.busy:
            return
        self.stop()
        said, controls = "", None
        if nodes is not None:
            try:
                controls = controls_of(nodes) if is_kept(nodes) else None
                said = MISSING if controls is None else ""
                if controls is not None:
                    self._logic.prepareRefining(nodes)
            except InvDetectError as error:
                said, controls = str(error), None
        show_text(self._ui.refineLabel, said)
        self._ui.rateSlider.enabled = self._ui.contiguitySlider.enabled = controls is not None
        if controls is not None:
            self._place(controls)
        else:
            show_text(self._ui.rateLabel, "")

    def stop(self) -> None:
        """Leave the mask as it is."""
        self._rest.stop()
        if self._wish is not None and self._wish.running:
            self._wish.cancel()
        self._wish = None

    def _place(self, controls: Controls) -> None:
        self._updating = True
        self._rate = controls.rate
        self._ui.rateSlider.value = position_of(controls.rate or 0.01)
        self._ui.contiguitySlider.value = controls.contiguity
        self._updating = False
        self._say()

    def _rateMoved(self) -> None:
        if not self._updating:
            self._rate = rate_at(self._ui.rateSlider.value)
            self._moved()

    def _contiguityMoved(self) -> None:
        if not self._updating:
            self._moved()

    def _moved(self) -> None:
        self._say()
        if self._nodes is None:
            return
        volume, axis = self._nodes.input or self._nodes.map, slice_axis_of(self._nodes.table)
        index = shown_slice(self._logic, volume, axis)
        if index is not None:
            self._logic.refineSlice(self._nodes, axis, index, contiguity=self._ui.contiguitySlider.value, rate=self._rate)
        self._rest.start()

    def _refine(self) -> None:
        if self._nodes is None:
            return
        wishes = {"contiguity": self._ui.contiguitySlider.value, "rate": self._rate}
        self._wish = self._logic.refine(self._nodes, **wishes, onFinished=self._refined, onFailed=self._failed)

    def _refined(self, said: list[str]) -> None:
        self._status.say(" ".join(said))
        self._on_refined()

    def _failed(self, failure: Any) -> None:
        if failure.kind != "cancelled":
            self._status.fail(failure)

    def _say(self) -> None:
        if self._rate is None:
            said = _("The model's own setting")
        else:
            said = _("Marks {share} of normal tissue").format(share=wording.percent(self._rate))
        show_text(self._ui.rateLabel, said)
        self._ui.rateSlider.accessibleDescription = said  # its own number, a position, says nothing to a listener


def rate_at(position: float) -> float:
    """The share of normal tissue at a position of the slider, 0 to 100."""
    rate = RATES[0] * (RATES[-1] / RATES[0]) ** (position / _STEPS)
    return min(max(rate, RATES[0]), RATES[-1])


def position_of(rate: float) -> int:
    """The position of the slider for a share of normal tissue."""
    share = math.log(rate / RATES[0]) / math.log(RATES[-1] / RATES[0])
    return round(_STEPS * min(max(share, 0.0), 1.0))
