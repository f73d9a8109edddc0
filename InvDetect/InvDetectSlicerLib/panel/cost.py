"""What a run will cost, and whether scan and model fit, asked before it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..models import InstalledModel
from ..scene import contradicting_modality
from . import wording
from .delay import Delay
from .status import Status, show_text

_WAIT = 400  # milliseconds without a change before the worker is asked
_DEVICES, _LOAD, _CHECK, _ESTIMATE = range(4)  # one after the other, so that at most one is in the way of a run

About = tuple[Any, InstalledModel, str, "tuple[int, int] | None", Any, "str | None"]
"""scan, model, device, slices, region and direction, as for `InvDetectLogic.estimate`"""


class CostPanel:
    """Owns `costLabel`. Its questions also start the worker and load the model, so that both are warm when Apply is pressed."""

    def __init__(
        self, ui: Any, logic: Any, status: Status, onWarning: Callable[[str], None], onDevices: Callable[[dict[str, str]], None]
    ) -> None:
        """onWarning: called with a sentence when scan and model do not fit;  onDevices: with what can compute, once"""
        self._ui, self._logic, self._status = ui, logic, status
        self._on_warning, self._on_devices = onWarning, onDevices
        self._about: About | None = None
        self._question: Any = None  # under way
        self._step = _DEVICES
        self._know_devices = False
        self._soon = Delay(_WAIT, status.guarded(self._begin))

    def ask(self, about: About) -> None:
        """Ask soon."""
        self.stop()
        self._about = about
        self._soon.start()

    def stop(self) -> None:
        """Take back what was asked. Loading goes on: it cannot be stopped without ending the worker, and the next run wants it anyway."""
        self._soon.stop()
        self._about = None
        if self._step >= _CHECK and self._question is not None and self._question.running:
            self._question.cancel()
        show_text(self._ui.costLabel, "")

    def forget(self) -> None:
        """Another Python computes from now on."""
        self.stop()
        self._know_devices, self._question = False, None

    def _begin(self) -> None:
        if self._about is None:
            return
        if self._question is not None and self._question.running:
            self._soon.start()  # an older one is still on its way
            return
        show_text(self._ui.costLabel, _("Looking how long it will take ..."))
        self._put(self._about, _LOAD if self._know_devices else _DEVICES)

    def _put(self, about: About, step: int) -> None:
        scan, model, device, slices, region, direction = about
        answered = self._status.guardedWith(lambda facts: self._answered(about, step, facts))
        callbacks = {"onFinished": answered, "onFailed": self._failed}
        told = {**callbacks, "direction": direction}
        self._step = step
        try:
            if step == _DEVICES:
                self._question = self._logic.devices(**callbacks)
            elif step == _LOAD:
                self._question = self._logic.load(model.path, device, **told)
            elif step == _CHECK:
                modality = contradicting_modality(scan, str(model.card.get("modality", "")))
                self._question = self._logic.check(scan, model.path, device=device, foregroundNode=region, modality=modality, **told)
            else:
                self._question = self._logic.estimate(scan, model.path, device, slices, foregroundNode=region, **told)
        except BaseException:
            show_text(self._ui.costLabel, "")
            raise

    def _answered(self, about: About, step: int, facts: Any) -> None:
        if step == _DEVICES:
            self._know_devices = True
            self._on_devices(facts)
        if about is not self._about:
            return
        if step == _CHECK:
            self._on_warning(facts)
        if step < _ESTIMATE:
            self._put(about, step + 1)
        else:
            number = wording.count(int(facts["slices"]), _("slice"), _("slices"))
            time = wording.duration(float(facts["seconds"]))
            show_text(self._ui.costLabel, _("{slices}: about {time} on this computer.").format(slices=number, time=time))

    def _failed(self, failure: Any) -> None:
        show_text(self._ui.costLabel, "")
        if failure.kind != "cancelled":
            self._status.fail(failure)
