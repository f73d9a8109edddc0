"""What the rows of one run share: its scans, prepared once, the settings of a preset here, and where things are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.common.progress import Progress
from InvDetectLib.models.presets import PRESETS, choose_settings
from InvDetectLib.models.settings import Preparation, Settings
from InvDetectLib.scans import Geometry, Prepared, learn_intensity, measure_intensity, prepare, read_mask, read_scan

from .sets import Case, Data, Setting
from .sizes import BUDGETS, Budget, sized

RATE = 0.01  # share of held-out normal tissue that every row may flag
SEED = 0


@dataclass
class Study:
    """One run.

    work    folder of the models and maps;  device  as `InvDetectLib.train` takes it
    """

    setting: Setting
    data: Data
    size: str
    work: Path
    device: str
    progress: Progress
    _prepared: dict[tuple[str, str | None], tuple[Geometry, Prepared]] = field(default_factory=dict)
    _learned: dict[str, np.ndarray] | None = None

    @property
    def budget(self) -> Budget:
        """Of the rows that are no preset."""
        return BUDGETS[self.size]

    def settings(self, preset: str, row: str) -> Settings:
        """The preset as this setting and size want it for a row."""
        name = self.setting.preset if preset == "standard" else preset
        direction = self.setting.direction if PRESETS[name].invdetect.views.sum else None
        return self.suited(choose_settings(name, plane=self.setting.plane, direction=direction), row)

    def suited(self, settings: Settings, row: str) -> Settings:
        """Settings for this setting's scans, at this size for a row."""
        setting, preparation = self.setting, settings.preparation
        preparation = dataclasses.replace(preparation, modality=setting.modality, channels=3 if setting.colour else 1)
        if setting.plane:
            preparation = dataclasses.replace(preparation, plane=setting.plane)
        if setting.fields:
            preparation = dataclasses.replace(preparation, foreground="masks")
        if setting.colour:
            preparation = dataclasses.replace(preparation, intensity="channels" if settings.preset == "paper" else "local")
        if setting.grid:
            preparation = dataclasses.replace(preparation, grid=setting.grid, spacing_mm=None)
        return sized(dataclasses.replace(settings, preparation=preparation), row, self.size)

    @property
    def preparation(self) -> Preparation:
        """Of every row that is not InvDetect: the same slices as `standard` sees."""
        return self.settings("standard", "standard").preparation

    def fingerprint(self, settings: dict[str, Any]) -> str:
        """Of all that decides what a row finds in a scan: its settings, and who trains and calibrates."""
        names = [[case.name for case in part] for part in (self.data.train, self.data.calibration)]
        text = json.dumps([settings, dataclasses.asdict(self.preparation), names, RATE, SEED], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def prepared(self, case: Case, rule: str | None = None) -> tuple[Geometry, Prepared]:
        """The scan on `standard`'s grid, with its intensity rule learned from the training normals.

        rule  another intensity rule, one that learns nothing
        """
        if (case.name, rule) not in self._prepared:
            if rule is None and self._learned is None:
                self._learned = self._learn()
            preparation = self.preparation if rule is None else dataclasses.replace(self.preparation, intensity=rule)
            scan = read_scan(case.scan)
            mask = None if case.field is None else read_mask(case.field, scan.geometry)
            # No row may see a scan that InvDetect could not score.
            least = self.settings("standard", "standard").least_side
            found = prepare(scan, preparation, (self._learned or {}) if rule is None else {}, mask, least)
            self._prepared[case.name, rule] = scan.geometry, found
            self.progress.report("preparing scans", len(self._prepared))
        return self._prepared[case.name, rule]

    def truth(self, case: Case) -> np.ndarray | None:
        """(slice, row, column) bool in the scan's own voxels; None where there is no lesion."""
        return None if case.truth is None else read_mask(case.truth, read_scan(case.scan).geometry)

    def _learn(self) -> dict[str, np.ndarray]:
        measurements = []
        for case in self.data.train:
            scan = read_scan(case.scan)
            mask = None if case.field is None else read_mask(case.field, scan.geometry)
            measurements.append(measure_intensity(scan, self.preparation, mask))
        return learn_intensity(self.preparation, measurements)
