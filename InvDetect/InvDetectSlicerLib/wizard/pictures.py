"""Small pictures of the wizard: thumbnails, a slice with its patches, the course of the loss. Painted into pixmaps, shown in labels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qt
import SimpleITK as sitk

_OUTLINE, _PATCH, _ONE = (0, 200, 220), (255, 190, 60), (255, 90, 60)
_MARGIN = 34  # pixels around the curve, for its numbers
_SMOOTH = 0.9


def pixmap_of(image: np.ndarray) -> Any:
    """(row, column) or (row, column, 3) uint8 as a pixmap; by a file, the one way that works with every Qt that Slicer may have."""
    with tempfile.TemporaryDirectory(prefix="invdetect-") as folder:
        path = str(Path(folder) / "picture.png")
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(image), isVector=image.ndim == 3), path)
        return qt.QPixmap(path)


def slice_with_patches(image: np.ndarray, foreground: np.ndarray, patches: Sequence[Sequence[int]], size: int, side: int) -> np.ndarray:
    """(row, column, 3) uint8, about `side` pixels large: a slice, the outline of its foreground, and the patches that are used.

    patches  first row and first column of each; one of them stands out, because they overlap
    """
    factor = max(1, side // max(image.shape[:2]))
    shown = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    shown = shown.repeat(factor, axis=0).repeat(factor, axis=1)
    inside = foreground.astype(bool).repeat(factor, axis=0).repeat(factor, axis=1)
    within = np.pad(inside, 1)
    edge = inside & ~(within[:-2, 1:-1] & within[2:, 1:-1] & within[1:-1, :-2] & within[1:-1, 2:])
    shown[edge] = _OUTLINE
    extent = shown.shape[0], shown.shape[1]
    drawn = np.zeros(extent, bool)
    for row, column in patches:
        for line in _frame(row * factor, column * factor, size * factor, extent):
            drawn[line] = True
    shown[drawn] = (shown[drawn] * 0.5 + np.array(_PATCH) * 0.5).astype(np.uint8)
    for row, column in list(patches)[len(patches) // 2 :][:1]:
        for line in _frame(row * factor, column * factor, size * factor, extent):
            shown[line] = _ONE
    return shown


def loss_plot(losses: Sequence[tuple[int, float]], steps: int, width: int, height: int, palette: Any) -> Any:
    """The loss over the optimiser's steps as a pixmap: as it came, and smoothed; in the colours of the application."""
    plot = qt.QPixmap(width, height)
    plot.fill(palette.color(qt.QPalette.Base))
    painter = qt.QPainter(plot)
    ink = palette.color(qt.QPalette.Text)
    painter.setPen(ink)
    right, bottom = width - 10, height - 22
    painter.drawLine(_MARGIN, 8, _MARGIN, bottom)
    painter.drawLine(_MARGIN, bottom, right, bottom)
    painter.drawText(_MARGIN, height - 6, "0")
    last = f"step {steps}"
    painter.drawText(right - 8 * len(last), height - 6, last)
    if losses:
        values = np.array([value for _, value in losses], float)
        top = max(float(np.quantile(values, 0.98)), 1e-6) * 1.05
        painter.drawText(2, 18, f"{top:.2g}")
        painter.drawText(2, bottom, "0")
        x = [_MARGIN + round((right - _MARGIN) * step / max(steps, 1)) for step, _ in losses]
        smooth = _smoothed(values)
        for series, colour in ((values, palette.color(qt.QPalette.Mid)), (smooth, palette.color(qt.QPalette.Highlight))):
            painter.setPen(colour)
            y = [round(bottom - (bottom - 10) * min(value / top, 1.0)) for value in series]
            for i in range(1, len(x)):
                painter.drawLine(x[i - 1], y[i - 1], x[i], y[i])
            if len(x) == 1:
                painter.drawPoint(x[0], y[0])
    else:
        painter.drawText(_MARGIN + 10, bottom // 2, "The loss appears here.")
    painter.end()
    return plot


def _smoothed(values: np.ndarray) -> np.ndarray:
    smooth, now = np.empty(len(values)), float(values[0])
    for i, value in enumerate(values):
        keep = min(_SMOOTH, i / (i + 1))
        now = keep * now + (1 - keep) * float(value)
        smooth[i] = now
    return smooth


def _frame(top: int, left: int, side: int, shape: tuple[int, int]) -> tuple[Any, ...]:
    """The four sides of a square inside an image."""
    bottom, right = min(top + side, shape[0]) - 1, min(left + side, shape[1]) - 1
    across, along = slice(left, right + 1), slice(top, bottom + 1)
    return (top, across), (bottom, across), (along, left), (along, right)
