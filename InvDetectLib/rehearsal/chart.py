"""The contrast-detail chart: what is found at which size and contrast, a panel for each kind of lesion. matplotlib loads on first use."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common import WrongUse, check_loadable, check_writable, write_whole
from ..models import EXAMPLES, HALF, MOST, ContrastDetail, Surface
from ..results import DARK, DIM, LIGHT
from .examples import Examples, example_sizes, made_examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 800, 100  # pixels; letters of 18 pixels can still be read when the picture is shown half as wide
_WIDTHS = 200, 2000
_COLUMNS, _CELL = 2, 400
_LEFT, _PLOT, _HEAD, _TALL, _TICKS, _BETWEEN = 74, 306, 40, 200, 34, 22
_SMALL, _LARGE = 13, 15  # points
_TITLES = {"rough": "rough: grain", "smooth": "smooth: texture lost", "pushing": "pushing: share of radius"}
_FINE = 80  # colours along each axis


@dataclass(frozen=True)
class _Look:
    """Colours of what lies around the panels, whose own colours are always the same."""

    ground: str
    ink: str
    faint: str


_ON_DARK, _ON_LIGHT = _Look(DARK, LIGHT, DIM), _Look("#ffffff", "#101214", "#565c63")


def check_chart(path: str | os.PathLike[str]) -> None:
    """Raise `WrongUse` for a file that is no PNG or is there already, before minutes of work.

    `InvDetectError` without matplotlib and where no file can be written; the folder is made.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise WrongUse(f"The chart is a PNG, so its file must end in .png; {target} does not.")
    if target.exists():
        raise WrongUse(f"{target} exists already; give another name, or delete it first.")
    check_loadable({"matplotlib": "matplotlib"})
    check_writable(target.parent, "chart", target.name)


def draw_chart(
    detail: ContrastDetail, path: str | os.PathLike[str], examples: Examples | None = None, *, dark: bool = True, width: int = WIDTH
) -> None:
    """Write the contrast-detail chart as a PNG, legible from 400 pixels on: size across, contrast up, probability as colour.

    examples  pictures of made lesions, as `examples_of` gives them; None: such in a made texture
    dark      light letters on a dark ground; else dark ones on white
    width     pixels, 200 to 2000
    The file holds no name and no date: equal inputs give equal bytes. Raises `InvDetectError` when matplotlib is missing or the file
    cannot be written, `WrongUse` for another width.
    """
    if not _WIDTHS[0] <= width <= _WIDTHS[1]:
        raise WrongUse(f"A chart is {_WIDTHS[0]} to {_WIDTHS[1]} pixels wide, not {width}.")
    check_loadable({"matplotlib": "matplotlib"})
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    figure = _figure(detail, made_examples(detail) if examples is None else examples, _ON_DARK if dark else _ON_LIGHT)
    figure.set_dpi(DPI * width / WIDTH)
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    write_whole(Path(path), content.getvalue(), "chart")


def _figure(detail: ContrastDetail, examples: Examples, look: _Look) -> Figure:
    """Panels in two columns, the legend after the last."""
    from matplotlib.figure import Figure

    cell = _HEAD + _TALL + _TICKS + _PLOT // 3 + _BETWEEN
    down = len(detail.surfaces) // _COLUMNS + 1
    total = down * cell
    figure = Figure((WIDTH / DPI, total / DPI), dpi=DPI, facecolor=look.ground)

    def axes(number: int, top: float, height: float, left: float = _LEFT, width: float = _PLOT) -> Axes:
        row, column = divmod(number, _COLUMNS)
        place = (column * _CELL + left) / WIDTH, 1 - (row * cell + top + height) / total
        return figure.add_axes((*place, width / WIDTH, height / total), facecolor="black")

    shown = example_sizes(detail.surfaces[0].sizes)
    for number, surface in enumerate(detail.surfaces):
        _panel(axes(number, _HEAD, _TALL), surface, shown, detail.ignores(surface.kind), look)
        for place, picture in enumerate(examples.get(surface.kind, [])):
            third = _PLOT / 3
            _thumbnail(axes(number, _HEAD + _TALL + _TICKS, third - 4, _LEFT + place * third + 2, third - 4), picture, look)
    number = len(detail.surfaces)
    _colour_bar(axes(number, _HEAD, 22), look)
    _legend(axes(number, _HEAD + 66, cell - _HEAD - 66 - _BETWEEN, 20, _CELL - 24), detail, look)
    return figure


def _panel(axes: Axes, surface: Surface, shown: Sequence[float], ignored: bool, look: _Look) -> None:
    sizes, contrasts = (np.geomspace(*ends, _FINE) for ends in (surface.sizes, surface.contrasts))
    chance = np.array([[surface.probability(float(size), float(contrast))[0] for size in sizes] for contrast in contrasts])
    across, up = (np.log2(ends) for ends in (surface.sizes, surface.contrasts))
    box = (*across, *up)
    axes.imshow(chance, extent=box, origin="lower", aspect="auto", cmap=_colours(), vmin=0, vmax=1, interpolation="bilinear")
    for share, style in ((HALF, "--"), (MOST, "-")):
        if chance.min() < share < chance.max():
            axes.contour(np.log2(sizes), np.log2(contrasts), chance, levels=[share], colors=[LIGHT], linestyles=[style], linewidths=2.2)
    if chance.max() < HALF:  # a panel without lines would look as if it were not filled in
        told = f"{surface.found} of {surface.tried} found"
        axes.text(0.5, 0.2, told, color=LIGHT, fontsize=_SMALL, ha="center", va="center", transform=axes.transAxes)
    axes.plot(np.log2(shown), np.full(len(shown), np.log2(EXAMPLES[surface.kind])), "s", color="none", markeredgecolor=LIGHT, markersize=8)
    title = _TITLES.get(surface.kind, surface.kind) + (" (not looked for)" if ignored else "")
    axes.set_title(title, color=look.ink, fontsize=_LARGE, pad=7)
    ticks = _ticks(surface.sizes)
    axes.set_xticks(np.log2(ticks), [f"{tick:g}" for tick in ticks])
    marks = _ticks((100 * surface.contrasts[0], 100 * surface.contrasts[1]))
    axes.set_yticks(np.log2(marks) - np.log2(100), [f"{mark:g} %" for mark in marks])
    axes.tick_params(colors=look.ink, labelsize=_SMALL, length=4)
    axes.set(xlim=across, ylim=up)
    _frame(axes, look)


def _thumbnail(axes: Axes, picture: np.ndarray, look: _Look) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="bicubic", aspect="auto")
    axes.set(xticks=[], yticks=[])
    _frame(axes, look)


def _colour_bar(axes: Axes, look: _Look) -> None:
    axes.imshow(np.linspace(0, 1, 256)[None], extent=(0, 100, 0, 1), aspect="auto", cmap=_colours())
    for share, style in ((HALF, "--"), (MOST, "-")):
        axes.axvline(100 * share, color=LIGHT, linestyle=style, linewidth=2.2)
    axes.set_title("found", color=look.ink, fontsize=_LARGE, pad=7)
    axes.set_xticks([0, 50, 90], ["0", "50", "90 %"])
    axes.set_yticks([])
    axes.tick_params(colors=look.ink, labelsize=_SMALL, length=4)
    _frame(axes, look)


def _legend(axes: Axes, detail: ContrastDetail, look: _Look) -> None:
    """What the axes mean, the operating point, and on which scans."""
    axes.set_axis_off()
    unit = "mm" if detail.unit == "mm" else "pixels"
    some = 0 < detail.calibrating < detail.scans
    independent = "which set the threshold:" if detail.calibrating else "none set the threshold"
    lines = [
        (f"across: diameter in {unit}", look.ink),
        ("up: contrast, of the tissue's", look.ink),
        ("intensity unless said otherwise", look.ink),
        ("squares: the lesions shown", look.ink),
        ("", look.faint),
        (f"{100 * detail.flagged:.2g} % of normal tissue flagged,", look.ink),
        (f"{detail.false_findings:.2g} false findings a scan", look.ink),
        ("", look.faint),
        (f"{sum(one.tried for one in detail.surfaces)} made lesions,", look.faint),
        (f"{detail.scans} normal scans, of which" if some else f"{detail.scans} normal scans,", look.faint),
        (f"{detail.calibrating} set the threshold" if some else independent, look.faint),
        *([("not independent", look.faint)] if detail.calibrating == detail.scans else []),
    ]
    for number, (line, colour) in enumerate(lines):
        axes.text(0.12, 1 - number / 12, line, color=colour, fontsize=_SMALL, va="top", transform=axes.transAxes)


def _frame(axes: Axes, look: _Look) -> None:
    for spine in axes.spines.values():
        spine.set_edgecolor(look.faint)


def _ticks(ends: Sequence[float]) -> list[float]:
    """Round numbers within a range, seldom enough to be read."""
    low, high = ends
    for numbers in ((1, 2, 5), (1, 2, 3, 5, 7)):
        found = [one * 10.0**power for power in range(-4, 6) for one in numbers if low <= one * 10.0**power <= high]
        if len(found) > 1:
            return found
    return [float(low), float(high)]


def _colours() -> Any:
    """Inferno without its lightest part, on which the lines could not be seen."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["inferno"](np.linspace(0.08, 0.78, 256)))
