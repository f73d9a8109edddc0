"""The picture of an explanation: one row a finding, tiles side by side, the words above them; matplotlib loads on first use."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..results import DARK, DIM, LIGHT, LINE, as_png, check_available, colour_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE, _GAP, _DPI = 190, 8, 100  # pixels; points to size the letters by
_LEFT, _RIGHT, _HEAD, _FOOT = 16, 16, 14, 40
_LINE_OF_TEXT, _TITLE = 20, 22  # pixels
_LETTERS = 7.8  # pixels that a letter of the words takes, by which lines are broken
_FEWEST = 5  # tiles that the picture is wide, for the line below
_UNDER_VIEW = 0.6  # brightness of the scan under what a view says


@dataclass(frozen=True)
class Tile:
    """One picture of a row.

    title  above it
    image  (row, column[, channel]) float from 0 to 1
    view   (row, column) what a view says there, 1 the most that any says inside the finding, 0 and below nothing; None: the image alone
    """

    title: str
    image: np.ndarray
    view: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """One finding.

    number   of the finding;  words  why it is one
    inside   (row, column) bool, the finding in every tile
    tiles    of its surroundings, the scan first
    nearest  (row, column) floats from 0 to 1, as the model sees them: the middle of the finding, then the normal patches nearest to it;
             none without a gallery
    """

    number: int
    words: str
    inside: np.ndarray
    tiles: list[Tile]
    nearest: list[np.ndarray]


def draw(rows: Sequence[Row], more: int) -> bytes:
    """A PNG of all rows; more  how many findings are not among them. Equal rows give equal bytes. `InvDetectError` without matplotlib."""
    check_available()
    return as_png(_figure(rows, more))


def _figure(rows: Sequence[Row], more: int) -> Figure:
    from matplotlib.figure import Figure

    across = max((len(row.tiles) + len(row.nearest) for row in rows), default=0)
    width = _LEFT + _RIGHT + max(across, _FEWEST) * (_TILE + _GAP) - _GAP
    words = [textwrap.wrap(f"{row.number}   {row.words}", int((width - _LEFT - _RIGHT) / _LETTERS)) for row in rows]
    heights = [len(lines) * _LINE_OF_TEXT + _TITLE + _TILE + 14 for lines in words]
    total = _HEAD + sum(heights) + _FOOT
    figure = Figure((width / _DPI, total / _DPI), dpi=_DPI, facecolor=DARK)
    top = total - _HEAD
    for row, lines, height in zip(rows, words, heights):
        for number, line in enumerate(lines):
            figure.text(_LEFT / width, (top - (number + 0.5) * _LINE_OF_TEXT) / total, line, color=LIGHT, fontsize=10.5, va="center")
        below = top - len(lines) * _LINE_OF_TEXT - _TITLE - _TILE
        for number, tile in enumerate([*row.tiles, *_nearest_tiles(row)]):
            x = _LEFT + number * (_TILE + _GAP)
            inside = row.inside if number < len(row.tiles) else None
            _tile(figure, (x / width, below / total, _TILE / width, _TILE / total), tile, inside)
        top -= height
    _say_below(figure, rows, more, width, total)
    return figure


def _nearest_tiles(row: Row) -> list[Tile]:
    titles = ["as the model sees it", *(f"normal patch {number}" for number in range(1, len(row.nearest)))]
    return [Tile(title, patch) for title, patch in zip(titles, row.nearest)]


def _tile(figure: Figure, place: tuple[float, float, float, float], tile: Tile, inside: np.ndarray | None) -> None:
    axes = figure.add_axes(place, facecolor="black")
    image = tile.image
    if tile.view is not None:  # without colours, in which the view's own would drown
        image = _UNDER_VIEW * (image.mean(axis=-1) if image.ndim == 3 else image)
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
    if tile.view is not None:
        axes.imshow(colour_map()(tile.view), interpolation="bilinear")
    if inside is not None:
        mask = np.pad(inside.astype(float), 1)
        rows, columns = np.arange(mask.shape[0]) - 1, np.arange(mask.shape[1]) - 1
        axes.contour(columns, rows, mask, levels=[0.5], colors=[LINE], linewidths=1.0)
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_title(tile.title, color=DIM, fontsize=9.5, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _say_below(figure: Figure, rows: Sequence[Row], more: int, width: int, total: int) -> None:
    said = []
    if not rows:
        said.append("No finding to explain.")
    elif more:
        said.append(f"{more} more finding{'s' if more > 1 else ''}, not shown.")
    if any(tile.view is not None for row in rows for tile in row.tiles):
        said.append("Maps: the brighter, the less normal; one scale in each row.")
    line = "  ".join([*said, "Research use only. Not a medical device."])
    figure.text(_LEFT / width, 20 / total, line, color=DIM, fontsize=9.5, va="center")
