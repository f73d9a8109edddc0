"""The third page of the wizard: which method and how thorough, the name, the device, what it will cost, the card."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import BASES, DIRECTION_WORDS, DIRECTIONS, Preparation, Settings, preset, preset_names

from ..panel import Status, duration
from ..training_logic import TrainingLogic
from ..worker import RunFailed, TrainingChoices

_SOON = 300  # milliseconds
_METHODS = {"invdetect": "InvDetect: by the noise that it sees", "matchgen": "MatchGen: shows what is normal, too"}
_BASES = {
    "ae": "autoencoder",
    "ceae": "autoencoder that fills in gaps",
    "vae": "variational autoencoder",
    "vae-grad": "variational, by its gradient",
    "dae": "denoising autoencoder",
    "ganomaly": "adversarial (GANomaly)",
    "ddgan": "adversarial diffusion",
}
_PRESETS = {
    "standard": "The best results for most scans.",
    "flair": "For FLAIR of the brain, where lesions are bright.",
    "quick": "A first look in minutes; coarser.",
    "fine": "For findings of a few pixels in grey scans; slower.",
    "fundus": "For colour photographs of the back of the eye.",
    "paper": "As published; slow, for comparisons.",
}
_NAMES = {"flair": "FLAIR"}  # of presets whose name is not simply a word
_MATCHING = {**_PRESETS, "standard": "The usual choice."}


class SettingsPage:
    """Owns the widgets from `methodSelector` to `licenceEdit`."""

    def __init__(
        self,
        ui: Any,
        logic: TrainingLogic,
        status: Status,
        choices: Callable[[], TrainingChoices],
        onPreset: Callable[[Preparation], None],
        onChanged: Callable[[], None],
    ) -> None:
        """choices: what is chosen now; onPreset: called with how another preset reads scans; onChanged: called for any other change"""
        self._ui, self._logic, self._choices = ui, logic, choices
        self._on_preset, self._on_changed = onPreset, onChanged
        self._devices = ["auto"]
        self._slices = 0
        self._asking: Any = None  # what it will cost
        self._looking: Any = None  # what can compute
        self._again = False
        self._filling = False
        self._names: list[str] = []
        for title in _METHODS.values():
            ui.methodSelector.addItem(_(title))
        for base in BASES:
            ui.baseSelector.addItem(f"{base}: {_(_BASES[base])}")
        ui.baseSelector.currentIndex = BASES.index("dae")
        for direction in DIRECTIONS:
            ui.directionSelector.addItem(_(DIRECTION_WORDS[direction]), direction)
        self._list_presets()
        ui.deviceSelector.addItem(_("the fastest there is"))
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)  # the property has the name of a static function, so PythonQt refuses to set it
        self._timer.interval = _SOON
        self._timer.timeout.connect(status.guarded(self._estimate))
        ui.methodSelector.currentIndexChanged.connect(status.guarded(self._otherMethod))
        for selector in (ui.baseSelector, ui.presetSelector):
            selector.currentIndexChanged.connect(status.guarded(self._otherPreset))
        ui.deviceSelector.currentIndexChanged.connect(status.guarded(lambda: self._timer.start()))
        ui.nameEdit.textChanged.connect(status.guarded(onChanged))
        self._describe()

    def show(self, slices: int) -> None:
        """The page is to be seen; so many slices will be learned from."""
        self._slices = slices
        if len(self._devices) == 1 and not (self._looking is not None and self._looking.running):  # it takes seconds, and is shown often
            self._looking = self._logic.devices(self._found, lambda failure: None)
        self._timer.start()

    def values(self) -> dict[str, Any]:
        """What is chosen here, for `TrainingChoices`."""
        ui = self._ui
        edits = {
            "intended_use": ui.intendedUseEdit,
            "data": ui.dataEdit,
            "data_licence": ui.dataLicenceEdit,
            "citation": ui.citationEdit,
            "misses": ui.missesEdit,
        }
        return {
            "preset": self.preset,
            "method": self.method,
            "base": self.base,
            "direction": self.direction,
            "name": ui.nameEdit.text,
            "device": self._devices[max(ui.deviceSelector.currentIndex, 0)],
            "licence": ui.licenceEdit.text.strip(),
            "texts": {name: edit.text.strip() for name, edit in edits.items() if edit.text.strip()},
        }

    @property
    def preset(self) -> str:
        """The name of the chosen preset."""
        return self._names[max(self._ui.presetSelector.currentIndex, 0)]

    @property
    def method(self) -> str:
        """The name of the chosen method."""
        return list(_METHODS)[max(self._ui.methodSelector.currentIndex, 0)]

    @property
    def base(self) -> str | None:
        """The base model of MatchGen; None for other methods."""
        return BASES[max(self._ui.baseSelector.currentIndex, 0)] if self.method == "matchgen" else None

    @property
    def direction(self) -> str | None:
        """What is to count as abnormal; None for presets that do not tell bright from dark."""
        selector = self._ui.directionSelector
        return str(selector.itemData(selector.currentIndex)) if self._settings().direction else None

    def problem(self) -> str:
        """Why training cannot start; "" when it can."""
        if not self._ui.nameEdit.text.strip():
            return _("Give the new model a name.")
        try:
            choices = self._choices()
            choices.settings()
            target = choices.target()
        except InvDetectError as error:
            return str(error)
        return _("There is a model of this name already; give another one.") if os.path.exists(target) else ""

    def _list_presets(self) -> None:
        """Those of the chosen method, the recommended one first."""
        known = preset_names(self.method)
        self._names = [name for name in _PRESETS if name in known] + [name for name in known if name not in _PRESETS]
        self._filling = True
        self._ui.presetSelector.clear()
        for name in self._names:
            self._ui.presetSelector.addItem(_NAMES.get(name, name.capitalize()))
        self._ui.presetSelector.currentIndex = 0
        self._filling = False
        for widget in (self._ui.baseLabel, self._ui.baseSelector):
            widget.visible = self.method == "matchgen"

    def _otherMethod(self) -> None:
        self._list_presets()
        self._otherPreset()

    def _otherPreset(self) -> None:
        if self._filling:
            return
        self._describe()
        self._on_preset(self._settings().preparation)
        self._timer.start()

    def _settings(self) -> Settings:
        return preset(self.preset, self.method, self.base)

    def _describe(self) -> None:
        settings = self._settings()
        text = _((_MATCHING if self.method == "matchgen" else _PRESETS).get(self.preset, ""))
        patches = _("patches of {size} pixels").format(size=settings.invdetect.patches.size)
        looked_at = _("whole slices") if settings.whole_slices else patches
        facts = _("{steps} steps, {looked_at}.").format(steps=settings.training.steps, looked_at=looked_at)
        self._ui.presetText.text = f"{text} {facts}".strip()
        for widget in (self._ui.directionLabel, self._ui.directionSelector):
            widget.visible = bool(settings.direction)
        if settings.direction:
            self._ui.directionSelector.currentIndex = self._ui.directionSelector.findData(settings.direction)

    def _found(self, devices: dict[str, str]) -> None:
        for name, description in devices.items():
            self._devices.append(name)
            self._ui.deviceSelector.addItem(description if description != name else name.upper())

    def _estimate(self) -> None:
        if not self._slices:
            return  # the page was not shown yet
        if self._asking is not None and self._asking.running:
            self._again = True
            return
        self._again = False
        self._ui.estimateText.text = _("Measuring what it will cost ...")
        try:
            self._asking = self._logic.estimate(self._choices(), self._slices, self._cost, self._no_cost)
        except InvDetectError as error:
            self._ui.estimateText.text = str(error)

    def _cost(self, facts: dict[str, Any]) -> None:
        self._ui.estimateText.text = _("About {time} on this device, and {memory:.1f} GB of memory, for {slices} slices.").format(
            time=duration(facts["seconds"]), memory=facts["memory_bytes"] / 1e9, slices=facts["slices"]
        )
        if self._again:
            self._timer.start()

    def _no_cost(self, failure: RunFailed) -> None:
        self._ui.estimateText.text = "" if failure.kind == "cancelled" else str(failure)
