"""Draw the icons of the extension and its modules, and the sample's thumbnail: `python Testing/draw_icons.py`.

A head seen from above, cut into patches, one of which does not belong. Own drawings, made with matplotlib, licence as the project.
"""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402  (run as a program, this file must find the library first)
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Ellipse, Polygon  # noqa: E402

RIM, SKIN, PATCH, ODD, GOOD = "#16324f", "#dbe9f4", "#4f8fc0", "#ff7a00", "#1f9d55"
ICONS = {
    "Resources/InvDetect.png": "detect",
    "InvDetect/Resources/Icons/InvDetect.png": "detect",
    "InvDetect/Resources/Icons/InvDetectTraining.png": "train",
}
THUMBNAIL = "InvDetect/Resources/Icons/InvDetectMadeHead.png"


def icon(kind: str, pixels: int = 128) -> bytes:
    """PNG on a transparent ground. kind: "detect" (one odd patch) or "train" (all alike, and a falling curve)."""
    figure = Figure(figsize=(1, 1), dpi=pixels)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.axis("off")
    # Rim and nose twice: first larger and white, so that the head stands apart from a dark window too.
    for colour, more in (("white", 0.07), (RIM, 0.0)):
        axes.add_patch(Ellipse((0, 0.8), 0.34 + more, 0.28 + more, facecolor=colour))
        axes.add_patch(Ellipse((0, -0.06), 1.62 + more, 1.76 + more, facecolor=colour))
    inside = Ellipse((0, -0.06), 1.36, 1.5, facecolor=SKIN)
    axes.add_patch(inside)
    step, side = 0.46, 0.38
    for row, column in itertools.product(range(4), range(4)):
        x, y = (column - 1.5) * step, (row - 1.5) * step - 0.06
        if kind == "train" or (row, column) != (2, 2):
            axes.add_patch(_square(x, y, side, PATCH, 0)).set_clip_path(inside)
    if kind == "detect":
        middle = 0.5 * step + 0.04
        axes.add_patch(_square(middle, middle - 0.06, 1.42 * side, "white", 20))
        axes.add_patch(_square(middle, middle - 0.06, 1.2 * side, ODD, 20))
    else:
        for colour, size in (("white", 1.02), (RIM, 0.95), ("white", 0.79)):
            axes.add_patch(Ellipse((0.46, -0.47), size, size, facecolor=colour))
        x = np.linspace(0, 1, 50)
        axes.plot(0.24 + 0.47 * x, -0.66 + 0.45 * np.exp(-3.6 * x), color=GOOD, linewidth=7 * pixels / 128, solid_capstyle="round")
    return _png(figure)


def thumbnail() -> bytes:
    """The sample's middle slice with its lesions, 260 x 280."""
    from InvDetectSlicerLib.models import sample_data

    from InvDetectLib.scans.phantoms import make_head

    scan, mask = make_head(sample_data.SEED, lesions=sample_data.LESIONS)
    slice_ = int(mask.sum(axis=(1, 2)).argmax())
    figure = Figure(figsize=(2.6, 2.8), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(scan[slice_], cmap="gray", vmin=0, vmax=np.percentile(scan[slice_], 99.5))
    axes.axis("off")
    return _png(figure, transparent=False)


def _square(x: float, y: float, side: float, colour: str, degrees: float) -> Polygon:
    """A square of rounded corners in the axes' units, turned about its middle."""
    corner = 0.2 * side
    core = side - 2 * corner
    quarter = np.linspace(0, np.pi / 2, 9)
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    outline = [
        (right * core / 2 + corner * np.cos(quarter + turn * np.pi / 2), up * core / 2 + corner * np.sin(quarter + turn * np.pi / 2))
        for turn, (right, up) in enumerate(signs)
    ]
    points = np.concatenate([np.stack(pair, axis=1) for pair in outline])
    angle = np.deg2rad(degrees)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return Polygon(turned + (x, y), closed=True, facecolor=colour, edgecolor="none")


def _png(figure: Figure, transparent: bool = True) -> bytes:
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, transparent=transparent, metadata={"Software": None})
    return content.getvalue()


def main() -> None:
    """Write all of them."""
    sys.path.insert(0, str(REPOSITORY / "InvDetect"))
    for name, kind in ICONS.items():
        (REPOSITORY / name).write_bytes(icon(kind))
    (REPOSITORY / THUMBNAIL).write_bytes(thumbnail())


if __name__ == "__main__":
    main()
