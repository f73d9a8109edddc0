"""What all pictures are drawn with: colours, letters, and the file. matplotlib loads on first use."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common import InvDetectError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK, LIGHT, DIM, LINE = "#101214", "#f2f2f2", "#a8adb3", "#33e0ff"  # the outline's cyan is no colour of the map
OPACITY = 0.85  # of the map's highest colours over the scan


def available() -> bool:
    """Whether pictures can be drawn here at all (Slicer's own Python has no matplotlib)."""
    return importlib.util.find_spec("matplotlib") is not None


def check_available() -> None:
    """Raise InvDetectError where pictures cannot be drawn."""
    if not available():
        raise InvDetectError("Pictures need matplotlib, which is not installed: pip install matplotlib.")


def as_png(figure: Figure) -> bytes:
    """A figure as the content of a PNG without name and date: equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return content.getvalue()


def colour_map() -> Any:
    """Inferno, from transparent at the low end to `OPACITY`."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colours = colormaps["inferno"](np.linspace(0.15, 1, 256))
    colours[:, 3] = OPACITY * np.minimum(1, np.linspace(0, 1.6, 256))
    return ListedColormap(colours)


def put_text(axes: Axes, x: float, y: float, text: str, *, size: float, **style: Any) -> None:
    """Letters that can be read on any background; `style` as of `Axes.text`."""
    from matplotlib.patheffects import withStroke

    axes.text(x, y, text, fontsize=size, path_effects=[withStroke(linewidth=2.5, foreground="black")], **style)
