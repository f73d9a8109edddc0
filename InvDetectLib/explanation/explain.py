"""What there is to see of each finding: its patch, what was expected there, what each view says, and the normal patches nearest to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common import InvDetectError, Progress, write_whole
from ..methods import Method, Slices
from ..models import Model, Settings
from ..results import Finding, Result, display_range, unit_range
from ..scans import Geometry, Scan
from ..symmetry import mirrored
from .gallery import Gallery
from .picture import Row, Tile, draw
from .reasons import grey_of, peak_slice, views_of, with_reasons

ROWS = 8
_WINDOW = 64  # pixels of the model's grid around a finding; more around a larger one
_MARGIN = 4


@dataclass(frozen=True)
class Explanation:
    """Why the findings of one result are findings.

    findings  all, in the result's order; those that were looked at have reasons
    rows      what is drawn: one for each of the first, at most `ROWS`
    """

    findings: list[Finding]
    rows: list[Row]

    def words(self) -> list[str]:
        """One sentence for each finding that has reasons, its number in front."""
        return [f"Finding {finding.label}: {finding.reasons.words()}" for finding in self.findings if finding.reasons is not None]

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: one row a finding. `InvDetectError` without matplotlib, and where the file cannot be written."""
        write_whole(Path(path), draw(self.rows, len(self.findings) - len(self.rows)), "picture")


def check_origin(result: Result, model: Model, direction: str) -> None:
    """Raise `InvDetectError` for a result of another model than `model`, or in another direction ("": it does not tell them apart)."""
    if _told(result, "model", "checksum") != model.checksum or result.provenance.get("direction", "") != direction:
        raise InvDetectError(
            f"The result {result.name} was found by another model, or in another direction; give the model that found it."
        )


def check_scan(result: Result, scan: Scan) -> None:
    """Raise `InvDetectError` for a scan that is not the one in which `result` was found.

    In the very same place the voxels must be the same, too. A scan that a scene has kept may have moved by a rounding.
    """
    one, other = scan.geometry, result.geometry
    near = one.shape == other.shape and all(np.allclose(a, b) for a, b in zip(_place(one), _place(other)))
    if not near or (_place(one) == _place(other) and scan.digest != _told(result, "scan", "digest")):
        raise InvDetectError(f"{scan.name} is not the scan of the result {result.name}; give the scan that was examined.")


def _told(result: Result, part: str, name: str) -> str | None:
    """What the provenance says, which may come from anywhere."""
    facts = result.provenance.get(part)
    return facts.get(name) if isinstance(facts, dict) else None


def _place(geometry: Geometry) -> tuple[tuple[float, ...], ...]:
    return geometry.spacing, geometry.origin, geometry.direction


def explain(
    result: Result, method: Method, slices: Slices, settings: Settings, gallery: Gallery | None, progress: Progress
) -> Explanation:
    """Look at the findings of a result once more, by the method that made it.

    result   with its `background`
    slices   the scan's, on the model's grid, looked over by `method`
    gallery  of the model, where it has one
    """
    if any(finding.reasons is None for finding in result.findings[:ROWS]):
        result = with_reasons(result, method, slices, settings, progress)
    shown = [finding for finding in result.findings if finding.reasons is not None][:ROWS]
    places = {finding.label: peak_slice(result, finding) for finding in shown}
    labels = result.grid_labels
    rows: dict[int, Row] = {}
    seen = dict(views_of(list(places.values()), method, slices, settings, progress))  # of `ROWS` slices at most
    for finding in shown:
        number = places[finding.label]
        here = slices.part(slice(number, number + 1))
        rows[finding.label] = _row(result, finding, number, labels[number], here, settings, seen.get(number, {}), gallery)
    return Explanation(result.findings, list(rows.values()))


def _row(
    result: Result,
    finding: Finding,
    number: int,
    labels: np.ndarray,
    here: Slices,
    settings: Settings,
    views: dict[str, np.ndarray],
    gallery: Gallery | None,
) -> Row:
    assert result.background is not None and finding.reasons is not None
    inside = labels == finding.label
    window = _window(inside, _WINDOW)
    scan = unit_range(result.background[number])
    tiles = [Tile("scan", scan[window])]
    if here.midlines is not None:
        tiles.append(Tile("the other side", np.clip(mirrored(scan[None], here.midlines)[0], 0, 1)[window]))
    if result.pseudo_background is not None:
        tiles.append(Tile("if it were normal", unit_range(result.pseudo_background[number])[window]))
    if not views:  # of a score that is no sum there is the map alone
        views = {"anomaly map": result.grid_map[number] - display_range(result.calibration)[0]}
    top = max(float(values[inside].max()) for values in views.values())
    tiles += [Tile(name, scan[window], values[window] / max(top, 1e-6)) for name, values in views.items()]
    nearest: list[np.ndarray] = []
    if gallery is not None:
        patch = here.values[0][_window(inside, gallery.side, whole=False)]
        alike = gallery.nearest(patch) if patch.shape == gallery.patches.shape[1:] else ()  # a slice may be smaller than a patch
        nearest = [_as_seen(one, settings) for one in (patch, *alike)]
    return Row(finding.label, finding.reasons.words(), inside[window], tiles, nearest)


def _as_seen(patch: np.ndarray, settings: Settings) -> np.ndarray:
    """(row, column, channel) from -1 to 1 -> (row, column) from 0 to 1: what the model's views look at."""
    return np.clip((grey_of(patch, settings) + 1) / 2, 0, 1)


def _window(inside: np.ndarray, side: int, whole: bool = True) -> tuple[slice, slice]:
    """Rows and columns of a square around a finding, moved into the image; whole  it may grow until all of the finding is in it."""
    rows, columns = np.nonzero(inside)
    extent = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1 + 2 * _MARGIN
    side = max(side, extent) if whole else side
    return _side(rows, side, inside.shape[0]), _side(columns, side, inside.shape[1])


def _side(places: np.ndarray, side: int, length: int) -> slice:
    middle = (int(places.min()) + int(places.max()) + 1) // 2
    first = min(max(middle - side // 2, 0), max(length - side, 0))
    return slice(first, min(first + side, length))
