"""The preview: a few slices of a result as one picture for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..calibration import Calibration
from ..common import InvDetectError
from ..models import Preparation
from ..scans import Geometry, SliceGrid
from .backgrounds import display_range, unit_range
from .canvas import DARK, DIM, LIGHT, LINE, as_png, check_available, colour_map, put_text
from .controls import Controls
from .findings import Finding, label_findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
UNDER_MAP = 0.75  # brightness of the scan there
NUMBERS = 8  # finding numbers in one slice: the strongest finding's, then those of the largest; more would hide the slice
WIDTH, DPI, FOOT = 1200, 100, 122  # pixels; points to size the letters by; pixels for colour bar and caption
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}  # at the left, right, top and bottom of a slice
AXES = {"sagittal": "RL", "coronal": "AP", "axial": "SI"}  # the two ways out along the slices' normal: RAS positive, negative
SCAN, NORMAL, MAP, DIFFERENCE, FINDINGS = "scan", "pseudo-normal", "anomaly map", "difference", "findings"


class Drawable(Protocol):
    """What a picture is drawn of. A `Result` is one, and says what each of these is."""

    geometry: Geometry
    preparation: Preparation
    calibration: Calibration
    controls: Controls
    mask: np.ndarray
    findings: list[Finding]
    grid_map: np.ndarray
    grid_scored: np.ndarray
    grid_mask: np.ndarray
    background: np.ndarray | None
    pseudo_background: np.ndarray | None


def draw(result: Drawable, path: str | os.PathLike[str]) -> None:
    """Write the preview of `result` as a PNG, 1200 pixels wide: per slice the scan, the pseudo-normal image if there
    is one, the map over the scan, and the findings' outlines.

    Shows up to four slices: those with the largest findings, else those with the highest values of the map. Slices stand as the
    model's grid has them (volumes radiologically), pixels are square. The file holds no name and no date: equal results give equal bytes.
    Raises InvDetectError when the result has no `background`, or matplotlib is not installed; OSError when the file cannot be written.
    """
    if result.background is None:
        raise InvDetectError(
            "A result that was loaded from its files holds no scan to draw on. Give the scan: result.picture(path, scan=read_scan(...))."
        )
    check_available()
    Path(path).write_bytes(as_png(_Preview(result).figure()))


def choose_slices(grid_map: np.ndarray, scored: np.ndarray, labels: Sequence[np.ndarray], count: int = COLUMNS) -> list[int]:
    """Numbers of the (at most `count`) slices to show, ascending.

    grid_map, scored  (slice, row, column): the map, and where it was scored
    labels            for each slice the labels of its finding pixels, 1-D

    First, for the strongest finding (label 1) and then the others from the largest down, the slice where each is largest; then the
    slices with the most finding pixels, then those with the highest value. Two shown slices lie at least a sixteenth of the stack
    apart, as long as there are such slices.
    """
    number = np.concatenate([np.full(len(one), k) for k, one in enumerate(labels)] or [np.zeros(0, int)]).astype(int)
    label = np.concatenate([*labels, np.zeros(0, int)]).astype(int)
    area = np.zeros((int(label.max(initial=0)) + 1, len(grid_map)), int)
    np.add.at(area, (label, number), 1)
    size = area.sum(axis=1)
    order = sorted(range(1, len(area)), key=lambda one: (one != 1, -size[one]))
    highest = np.where(scored, grid_map, -np.inf).reshape(len(grid_map), -1).max(axis=1)
    wanted = [int(area[one].argmax()) for one in order] + [int(k) for k in np.lexsort((-highest, -area[1:].sum(axis=0)))]
    wanted = [k for k in dict.fromkeys(wanted) if np.isfinite(highest[k])]
    chosen: list[int] = []
    for gap in (max(1, len(grid_map) // 16), 1):
        for k in wanted:
            if len(chosen) < count and all(abs(k - other) >= gap for other in chosen):
                chosen.append(k)
    return sorted(chosen)


class _Preview:
    """Everything the figure needs, taken from the result once."""

    def __init__(self, result: Drawable) -> None:
        self.result = result
        self.grid = SliceGrid.for_scan(result.geometry, result.preparation)
        self.low, self.high = display_range(result.calibration)
        self.labels = grid_labels(result, self.grid)
        self.slices = choose_slices(result.grid_map, result.grid_scored, [one[one > 0] for one in self.labels]) or [
            len(result.grid_map) // 2
        ]
        self.rows, self.columns = _window(result.grid_scored)
        self.views = (SCAN, MAP, FINDINGS) if result.pseudo_background is None else (SCAN, NORMAL, DIFFERENCE, FINDINGS)

    def figure(self) -> Figure:
        """Slices side by side, or, when there are only one or two, below each other with the views side by side."""
        from matplotlib.figure import Figure
        side_by_side = len(self.slices) > 2
        across = len(self.slices) if side_by_side else len(self.views)
        down = len(self.views) if side_by_side else len(self.slices)
        left, right, gap, head, foot = 40, 16, 10, 34, FOOT
        width = (WIDTH - left - right - gap * (across - 1)) / across
        tall = (self.rows.stop - self.rows.start) / (self.columns.stop - self.columns.start)
        height = width * min(tall, 1.5)
        total = head + down * height + (down - 1) * gap + foot
        figure = Figure((WIDTH / DPI, total / DPI), dpi=DPI, facecolor=DARK)
        for i in range(down):
            for j in range(across):
                k, view = (self.slices[j], i) if side_by_side else (self.slices[i], j)
                x, y = left + j * (width + gap), foot + (down - 1 - i) * (height + gap)
                axes = figure.add_axes((x / WIDTH, y / total, width / WIDTH, height / total), facecolor="black")
                self._panel(axes, k, self.views[view])
                name, slice_title = self.views[view], self._slice_title(k)
                title, side = (slice_title, name) if side_by_side else (name, slice_title)
                if i == 0:
                    axes.set_title(title, color=LIGHT, fontsize=11, pad=6)
                if j == 0:
                    axes.set_ylabel(side, color=DIM, fontsize=11, labelpad=6)
        self._colour_bar(figure, left, total)
        self._caption(figure, total)
        return figure

    def _panel(self, axes: Axes, k: int, view: str) -> None:
        background = self.result.pseudo_background if view == NORMAL else self.result.background
        assert background is not None
        scan = unit_range(background[k])
        if view in (MAP, DIFFERENCE):  # dimmed and without colours, in which the map's own would drown
            scan = UNDER_MAP * (scan.mean(axis=-1) if scan.ndim == 3 else scan)
        axes.imshow(scan, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
        if view in (MAP, DIFFERENCE):
            colours = colour_map()((self.result.grid_map[k] - self.low) / (self.high - self.low))
            colours[~self.result.grid_scored[k], 3] = 0
            axes.imshow(colours, interpolation="bilinear")
        if view == FINDINGS:
            self._outlines(axes, k)
        axes.set(
            xlim=(self.columns.start - 0.5, self.columns.stop - 0.5),
            ylim=(self.rows.stop - 0.5, self.rows.start - 0.5),
            xticks=[],
            yticks=[],
        )
        axes.set_anchor("C")
        for spine in axes.spines.values():
            spine.set_visible(False)
        if view == SCAN and self.result.geometry.dimension == 3 and self.result.geometry.unit == "mm":
            places = (
                (0.02, 0.5, "left", "center"),
                (0.98, 0.5, "right", "center"),
                (0.5, 0.985, "center", "top"),
                (0.5, 0.015, "center", "bottom"),
            )
            for letter, (x, y, ha, va) in zip(LETTERS[self.result.preparation.plane], places):
                put_text(axes, x, y, letter, size=11, color="#ffd54a", family="monospace", ha=ha, va=va, transform=axes.transAxes)

    def _outlines(self, axes: Axes, k: int) -> None:
        mask = np.pad(self.result.grid_mask[k].astype(float), 1)
        if mask.any():
            rows, columns = np.arange(mask.shape[0]) - 1, np.arange(mask.shape[1]) - 1
            axes.contour(columns, rows, mask, levels=[0.5], colors=[LINE], linewidths=1.4)
        label, count = np.unique(self.labels[k][self.labels[k] > 0], return_counts=True)
        middle = 0.5 * (self.columns.start + self.columns.stop)
        for one in label[np.lexsort((-count, label != 1))][:NUMBERS]:
            row, column = np.nonzero(self.labels[k] == one)
            outside = column.max() + 1.5, "left"
            if column.mean() > middle:  # numbers stand on the side of the slice's middle, where there is room
                outside = column.min() - 1.5, "right"
            put_text(axes, outside[0], np.median(row), str(one), size=12, color=LIGHT, ha=outside[1], va="center")

    def _slice_title(self, k: int) -> str:
        geometry, index = self.result.geometry, self.grid.first_slice_index(k)
        if geometry.dimension == 2:
            return ""
        title = f"slice {index}"
        if geometry.unit == "mm":
            plane = self.result.preparation.plane
            centre = (np.array(geometry.shape) - 1) / 2
            centre[self.grid.slice_axis] = index
            position = geometry.ras_from_index(centre)[list(AXES).index(plane)]
            title += f"  ({AXES[plane][int(position < 0)]} {abs(position):.0f} mm)"
        return title

    def _colour_bar(self, figure: Figure, left: float, total: float) -> None:
        from matplotlib.ticker import MaxNLocator

        result, span = self.result, self.high - self.low
        axes = figure.add_axes((left / WIDTH, 66 / total, 420 / WIDTH, 16 / total), facecolor="#4c4f52")
        axes.imshow(colour_map()(np.linspace(0, 1, 256))[None], extent=(self.low, self.high, 0, 1), aspect="auto")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(colors=DIM, labelsize=10, length=3)
        axes.set(yticks=[], xlim=(self.low, self.high))
        for spine in axes.spines.values():
            spine.set_edgecolor(DIM)
        axes.set_xlabel("anomaly score (10 % of normal tissue lies above the left end)", color=DIM, fontsize=10)
        threshold = float(np.clip(result.controls.threshold, self.low, self.high))
        axes.plot([threshold], [1.12], marker="v", color=LIGHT, markersize=7, clip_on=False, transform=axes.get_xaxis_transform())
        axes.axvline(threshold, color=LIGHT, linewidth=1.2)
        beside, ha = (threshold + 0.02 * span, "left") if threshold < self.low + 0.6 * span else (threshold - 0.02 * span, "right")
        put_text(
            axes,
            beside,
            1.2,
            f"threshold {result.controls.threshold:.2f}",
            size=10,
            color=LIGHT,
            ha=ha,
            va="bottom",
            transform=axes.get_xaxis_transform(),
        )

    def _caption(self, figure: Figure, total: float) -> None:
        findings, calibration = self.result.findings, self.result.calibration
        lines = [(_count(findings), LIGHT, 13)]
        if findings:
            lines.append((_strongest(findings[0], calibration.peak_unit), LIGHT, 11))
        lines.append((_operating_point(self.result.controls), DIM, 10))
        lines.append(("Research use only. Not a medical device.", DIM, 10))
        for number, (line, colour, size) in enumerate(lines):
            figure.text(500 / WIDTH, (95 - 25 * number) / total, line, color=colour, fontsize=size, va="center")


def grid_labels(result: Drawable, grid: SliceGrid) -> np.ndarray:
    """(slice, row, column) int32 on the model's grid: the label of the finding at each pixel of the mask, 0 where there is none."""
    labels = np.zeros(result.grid_mask.shape, np.int32)
    if not result.findings:
        return labels
    native = np.moveaxis(label_findings(result.mask, result.findings), grid.slice_axis, 0)
    rows, columns = _native_places(result.geometry, grid)
    for k in np.flatnonzero(result.grid_mask.any(axis=(1, 2))):
        labels[k] = np.where(result.grid_mask[k], native[grid.first_slice_index(int(k))][rows, columns], 0)
    return labels


def _native_places(geometry: Geometry, grid: SliceGrid) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of a grid slice the nearest place in a slice of the scan's array, along its first and second remaining axis."""
    places = []
    for axis in (axis for axis in range(3) if axis != grid.slice_axis):
        ramp = np.arange(geometry.shape[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        places.append(np.rint(grid.to_grid(np.broadcast_to(ramp, geometry.shape), slice(0, 1))[0]).astype(int))
    return places[0], places[1]


def _window(scored: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around all that was scored in any slice, with some margin, so that empty borders take no room."""
    _, rows, columns = scored.shape
    return _side(np.flatnonzero(scored.any(axis=(0, 2))), rows), _side(np.flatnonzero(scored.any(axis=(0, 1))), columns)


def _side(places: np.ndarray, length: int) -> slice:
    """From the first to the last place and 5 % of the length beyond them; everything where there is no place."""
    margin = round(0.05 * length)
    return slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + margin + 1, length)) if places.size else slice(0, length)


def _count(findings: Sequence[Finding]) -> str:
    return "No findings" if not findings else "1 finding" if len(findings) == 1 else f"{len(findings)} findings"


def _strongest(finding: Finding, unit: str) -> str:
    """One line on the finding that comes first: its size, and how rare such a mass and such a peak are among normals."""
    if finding.unit == "mm3" and finding.volume >= 1000:
        size = f"{finding.volume / 1000:.1f} cm³"
    else:
        size = f"{finding.volume:.0f} " + {"mm3": "mm³", "mm2": "mm²"}.get(finding.unit, finding.unit)
    if finding.p_value is None:
        p = "no p-value"
    else:
        of_mass = "" if finding.p_value_mass is None else f"{finding.p_value_mass:.2g} by mass, "
        p = f"p = {of_mass}{finding.p_value:.2g}{' by peak' if of_mass else ''} against {finding.normals} normal {unit}s"
    return f"Strongest (1): {size}, peak {finding.peak:.2f}, {p}"


def _operating_point(controls: Controls) -> str:
    """One line on how the mask was made."""
    rate = "" if controls.rate is None else f" (flags {100 * controls.rate:.2g} % of normal tissue)"
    return f"Threshold {controls.threshold:.2f}{rate}, " + (
        f"contiguity {controls.contiguity:g}" if controls.scr else "no refinement by SCR"
    )
