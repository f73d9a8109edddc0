"""Two pictures of all methods side by side, for 850 pixels of a page: ranks with their critical difference, and runtime against Dice."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.common.files import write_whole

from .methods import FAMILIES
from .ranks import Ranks

_WIDTH, _DPI, _SHARP = 850, 100, 2  # pixels as shown; the file has twice as many each way
_INK, _DIM = "#15181c", "#5b636b"
_COLOURS = dict(zip(FAMILIES, ("#1f6fb4", "#b4531f", "#7a4fb0", "#0b7a43", "#5b636b")))
# As in the InvDetect paper's Fig. 2: what reconstructs has a hollow area, what embeds has strokes.
_MARKS = dict(zip(FAMILIES, ("o", "x", "^", "*", "s")))
_LINE, _HEAD, _SIDE, _STEM, _TOP, _FOOT = 19, 66, 205, 14, 30, 30  # pixels of the panels of ranks
_APART = 12  # pixels from which on a line leads from a point to its name
_BETWEEN = 4  # pixels at least between two names of one line
_CROSSING = 60  # pixels that a name may rather be further away than that line cross another name


@dataclass(frozen=True)
class Panel:
    """One diagram of ranks: its heading, the (title, family) of each method, and their ranks in the same order."""

    heading: str
    methods: Sequence[tuple[str, str]]
    ranks: Ranks


@dataclass(frozen=True)
class Point:
    """A method's runtime and Dice."""

    title: str
    family: str
    milliseconds: float
    dice: float


def draw_ranks(panels: Sequence[Panel], heading: str, path: Path) -> None:
    """Write a critical-difference diagram a panel, one below the other, as a PNG.

    Better is to the left. A bar joins methods whose ranks the test cannot tell apart; where one bar holds all of them, it says so.
    """
    heights = [_HEAD + 44 + _LINE * -(-len(panel.methods) // 2) + _STEM * len(panel.ranks.groups()) for panel in panels]
    whole = _TOP + sum(heights) + _FOOT
    figure = _figure(whole)
    figure.text(12 / _WIDTH, 1 - 20 / whole, heading, color=_INK, fontsize=11, weight="bold", va="center")
    top = _TOP
    for panel, height in zip(panels, heights):
        axes = figure.add_axes((0, 1 - (top + height) / whole, 1, height / whole))
        axes.set(xlim=(0, _WIDTH), ylim=(height, 0))
        axes.axis("off")
        _diagram(axes, panel)
        top += height
    shown = [family for family in FAMILIES if any(family == one for panel in panels for _, one in panel.methods)]
    for number, family in enumerate(shown):
        x = (number + 0.5) / len(shown)
        figure.text(x, _FOOT / 2 / whole, family, color=_COLOURS[family], fontsize=9.5, weight="bold", ha="center", va="center")
    _write(figure, path)


def draw_runtime(points: Sequence[Point], heading: str, path: Path) -> None:
    """Write runtime a slice (powers of ten) against Dice as a PNG; every point has its name beside it, and no two names overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = _figure(560)
    axes = figure.add_axes((0.075, 0.105, 0.905, 0.785))  # the rest is for the heading and the families
    for family in FAMILIES:
        own = [point for point in points if point.family == family]
        if own:
            hollow = {"facecolors": "none"} if _MARKS[family] in "o^s" else {}
            colour = {"edgecolors": _COLOURS[family]} if hollow else {"color": _COLOURS[family]}
            place = [one.milliseconds for one in own], [one.dice for one in own]
            size = 110 if _MARKS[family] == "*" else 42
            axes.scatter(*place, marker=_MARKS[family], s=size, linewidths=1.4, label=family, **hollow, **colour)
    times = [point.milliseconds for point in points]
    highest = max([point.dice for point in points] + [0.1])
    axes.set(xscale="log", xlim=(min(times) / 2.5, max(times) * 4), ylim=(-0.12 * highest, 1.1 * highest))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if max(times) > 100 * min(times) else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("milliseconds a slice", color=_INK, fontsize=10)
    axes.set_ylabel("Dice", color=_INK, fontsize=10)
    figure.text(12 / _WIDTH, 1 - 20 / 560, heading, color=_INK, fontsize=11, weight="bold", va="center")
    axes.tick_params(colors=_DIM, labelsize=9)
    axes.grid(color="#e4e7ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=len(FAMILIES), fontsize=9, frameon=False, labelcolor=_INK, borderaxespad=0.2)
    _name(figure, axes, points)
    _write(figure, path)


def _diagram(axes: Any, panel: Panel) -> None:
    count, ranks = len(panel.methods), panel.ranks
    left, right = _SIDE, _WIDTH - _SIDE

    def place(rank: float) -> float:
        return left + (rank - 1) / (count - 1) * (right - left)

    axes.text(12, 16, panel.heading, color=_INK, fontsize=10, va="center")
    axes.plot([left, right], [_HEAD, _HEAD], color=_INK, linewidth=1.2)
    step = 1 if count <= 12 else 2 if count <= 24 else 3
    for rank in range(1, count + 1, step):
        axes.plot([place(rank)] * 2, [_HEAD - 5, _HEAD], color=_INK, linewidth=1)
        axes.text(place(rank), _HEAD - 8, str(rank), color=_DIM, fontsize=9, ha="center", va="bottom")
    width = ranks.difference / (count - 1) * (right - left)
    told = f"critical difference {ranks.difference:.1f}"
    if width <= _WIDTH - 260:
        axes.plot([_WIDTH - 12 - width, _WIDTH - 12], [28, 28], color=_DIM, linewidth=2)
    else:
        told += ", wider than this axis"
    p = f"Friedman p {'< 0.001' if ranks.p < 0.001 else f'= {ranks.p:.2g}'}; {told}"
    axes.text(_WIDTH - 12, 16, p, color=_DIM, fontsize=9, ha="right", va="center")
    groups = ranks.groups()
    if len(groups) == 1 and groups[0] == (ranks.means.min(), ranks.means.max()):
        axes.text(12, 36, "no two methods can be told apart", color=_DIM, fontsize=9, va="center")
    for number, (low, high) in enumerate(groups):
        level = _HEAD + 10 + _STEM * number
        axes.plot([place(low) - 4, place(high) + 4], [level, level], color=_INK, linewidth=4, solid_capstyle="round")
    first = _HEAD + 30 + _STEM * len(groups)
    order = np.argsort(ranks.means, kind="stable")
    half = -(-count // 2)
    for position, number in enumerate(order):
        title, family = panel.methods[number]
        on_left = position < half
        level = first + _LINE * (position if on_left else count - 1 - position)
        end, x = (left - 18 if on_left else right + 18), place(float(ranks.means[number]))
        axes.plot([x, x, end], [_HEAD, level, level], color=_COLOURS[family], linewidth=1)
        aligned = "right" if on_left else "left"
        label = f"{title}  {ranks.means[number]:.1f}" if on_left else f"{ranks.means[number]:.1f}  {title}"
        axes.text(end + (-5 if on_left else 5), level, label, color=_COLOURS[family], fontsize=9.5, ha=aligned, va="center")


def _name(figure: Any, axes: Any, points: Sequence[Point]) -> None:
    """Each name at the nearest place beside its point where it covers neither a point nor another name."""
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    scale = figure.dpi / 72
    marks = [axes.transData.transform((point.milliseconds, point.dice)) for point in points]
    taken: list[tuple[float, ...]] = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in marks]
    names: list[tuple[float, ...]] = []
    places = np.array(marks)
    crowded = (np.abs(places[:, None] - places[None]) < np.array([90, 24]) * scale).all(axis=2).sum(axis=1)
    for number in np.argsort(-crowded, kind="stable"):  # those first that have the least choice
        point, (x, y) = points[number], marks[number]
        text = axes.text(0, 0, point.title, color=_COLOURS[point.family], fontsize=9, va="center")
        box = text.get_window_extent(renderer)
        width, height = box.width, box.height * 0.95
        others = [mark for other, mark in enumerate(marks) if other != number]
        place = _free((x, y), (width, height), scale, taken, names, tuple(inside.extents), others)
        names.append((place[0], place[1] - height / 2, place[0] + width, place[1] + height / 2))
        taken.append((names[-1][0] - _BETWEEN * scale, names[-1][1], names[-1][2] + _BETWEEN * scale, names[-1][3]))
        text.set_position(axes.transData.inverted().transform(place))
        if _apart((x, y), names[-1]) > _APART * scale:
            near = _nearest((x, y), names[-1])
            taken += [(px - 1, py - 1, px + 1, py + 1) for px, py in np.linspace((x, y), near, 60)]
            ends = axes.transData.inverted().transform([(x, y), near])
            axes.plot(*ends.T, color=_COLOURS[point.family], linewidth=0.6, zorder=1.5)


def _free(
    mark: tuple[float, float],
    size: tuple[float, float],
    scale: float,
    taken: Sequence[tuple[float, ...]],
    names: Sequence[tuple[float, ...]],
    inside: tuple[float, ...],
    others: Sequence[tuple[float, float]],
) -> tuple[float, float]:
    """(left, middle) of a free place of this size, near the mark, nearer than to the others, and with no name on the way; at the mark's
    right where none is."""
    (x, y), (width, height) = mark, size
    best, chosen = np.inf, (x + 8 * scale, y)
    for distance in np.arange(8, 400, 6) * scale:
        if distance >= best:
            break
        for angle in np.deg2rad([0, 180, 35, -35, 145, -145, 65, -65, 115, -115, 90, -90]):
            middle_x, middle_y = x + np.cos(angle) * (distance + width / 2), y + np.sin(angle) * (distance + height / 2)
            box = middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2
            within = box[0] >= inside[0] and box[2] <= inside[2] and box[1] >= inside[1] and box[3] <= inside[3]
            if not within or any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                continue
            way = np.linspace(mark, _nearest(mark, box), 40)
            crossed = sum(any(b[0] < px < b[2] and b[1] < py < b[3] for px, py in way) for b in names)
            if any(_apart(other, box) <= _apart(mark, box) for other in others):  # it would be read as the name of that one
                crossed += 1
            if (cost := distance + _CROSSING * scale * crossed) < best:
                best, chosen = cost, (float(box[0]), float(middle_y))
    return chosen


def _nearest(mark: tuple[float, float], box: tuple[float, ...]) -> tuple[float, float]:
    """The point of a box that is nearest to the mark."""
    return min(max(mark[0], box[0]), box[2]), min(max(mark[1], box[1]), box[3])


def _apart(mark: tuple[float, float], box: tuple[float, ...]) -> float:
    near = _nearest(mark, box)
    return float(np.hypot(near[0] - mark[0], near[1] - mark[1]))


def _figure(height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI * _SHARP, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _write(figure: Any, path: Path) -> None:
    content = io.BytesIO()
    figure.canvas.print_png(content, metadata={"Software": None})
    write_whole(path, content.getvalue(), "picture")
