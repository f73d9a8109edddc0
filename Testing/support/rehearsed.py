"""What a rehearsal found, made up, and models that have it in their card."""

from __future__ import annotations

from pathlib import Path

from InvDetectLib.models import KINDS, REHEARSAL, ContrastDetail, Model, Surface

WEAK = ((0.2, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1))


def told(b0: float, *kinds: str, **facts: object) -> ContrastDetail:
    """Kinds of which half are found at 8 mm and 25 %, for b0 = -2."""
    surfaces = tuple(Surface(kind, 60, 30, (2.0, 32.0), (0.05, 1.0), 4.0, (b0, 2.0, 2.0), WEAK) for kind in kinds or KINDS)
    plain = {"unit": "mm", "direction": "", "rate": None, "flagged": 0.01, "false_findings": 0.4, "scans": 6, "calibrating": 6, "seed": 0}
    return ContrastDetail(**{**plain, **facts}, surfaces=surfaces)  # type: ignore[arg-type]


def with_rehearsal(model: Path, target: Path, detail: ContrastDetail) -> Path:
    """A copy of a model whose card tells that; returns `target`."""
    read = Model.load(model)
    Model(read.settings, read.arrays, read.calibration, {**read.card, REHEARSAL: detail.as_dict()}).save(target)
    return target
