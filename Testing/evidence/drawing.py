"""Pictures of the best, the median and the worst scan by the Dice of `standard`: scan, truth, map, mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from InvDetectLib.metrics.agreement import ScoredScan, volume_dice
from InvDetectLib.results.backgrounds import background_of
from InvDetectLib.results.canvas import DARK, DIM, LIGHT, LINE, available
from InvDetectLib.scans import SliceGrid, read_scan

from .figures import Scored
from .maps import Mapped
from .rows import Job
from .running import as_run, has_maps, scored
from .sets import Case
from .study import Study

_TRUTH = "#7dff6b"
_PANELS = ("scan", "truth", "anomaly map", "mask (cyan) and truth")


def draw(study: Study, jobs: Sequence[Job], out: Path) -> None:
    """Write `out`/pictures/PART.png for each part of the run, when the row `standard` is finished and matplotlib is there."""
    for job in jobs:
        if job.rows[0].key != "standard" or not available():
            continue
        study_then = as_run(study, job, out)
        if study_then is not None and has_maps(study_then, job):
            for part, one in scored(study_then, job, job.rows[0]).items():
                _picture(study, study.data.abnormal[part], one, out / "pictures" / f"{part}.png")
                if study.setting.private:
                    study.progress.warn(f"the licence of these scans, {study.setting.licence}, keeps their pictures out of the repository")


def _picture(study: Study, cases: Sequence[Case], found: Scored, path: Path) -> None:
    """One line a scan, on the slice with most lesion; slices stand as the model's grid has them, which is upright."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dices = [volume_dice([scan]).value for scan in found.abnormal]
    order = np.argsort(dices)
    places = {"best": -1, "median": len(order) // 2, "worst": 0} if len(order) > 2 else {"best": -1, "worst": 0}
    chosen = {name: int(order[place]) for name, place in places.items()}
    low, high = np.quantile(np.concatenate([scan.anomaly[scan.foreground] for scan in found.normal]), (0.9, 0.999))
    figure = Figure(dpi=100, facecolor=DARK)
    for line, (name, number) in enumerate(chosen.items()):
        _line(figure, study, cases[number], found.abnormal[number], found.maps[number], (len(chosen), line), (low, high))
        first = figure.axes[4 * line]
        first.set_ylabel(f"{name}: Dice {dices[number]:.2f}", color=LIGHT, fontsize=11)
    for axes, title in zip(figure.axes, _PANELS):
        axes.set_title(title, color=DIM, fontsize=11)
    tallest = max(abs(np.diff(axes.get_ylim())[0] / np.diff(axes.get_xlim())[0]) for axes in figure.axes)
    height = 2.9 * tallest * len(chosen) + 0.4
    figure.set_size_inches(12, height)
    figure.subplots_adjust(0.03, 0.01, 0.995, 1 - 0.35 / height, 0.02, 0.03)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _line(
    figure: object, study: Study, case: Case, scan: ScoredScan, found: Mapped, place: tuple[int, int], colours: tuple[float, float]
) -> None:
    original = read_scan(case.scan)
    grid = SliceGrid.for_scan(original.geometry, study.preparation)
    truth = grid.mask_to_grid(scan.truth)
    if not truth.any():  # lesions too small for the grid
        truth = grid.to_grid(scan.truth.astype(np.float32)) > 0
    k = int(truth.sum(axis=(1, 2)).argmax())
    image = background_of(original.array, found.foreground, grid)[k]
    inside = grid.mask_to_grid(found.foreground)[k]
    values, mask = grid.to_grid(found.anomaly)[k], grid.mask_to_grid(found.mask)[k]
    for column, _ in enumerate(_PANELS):
        axes = figure.add_subplot(place[0], 4, 4 * place[1] + column + 1, facecolor="black")  # type: ignore[attr-defined]
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
        if column == 2:
            axes.imshow(np.where(inside, values, np.nan), cmap="inferno", vmin=colours[0], vmax=colours[1], alpha=0.85)
        for outline, colour, shown in ((truth[k], _TRUTH, column in (1, 3)), (mask, LINE, column == 3)):
            if shown and outline.any():
                axes.contour(outline.astype(float), levels=[0.5], colors=[colour], linewidths=1.2)
        axes.set(xticks=[], yticks=[])
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        axes.set(xlim=(columns[0] - 2, columns[-1] + 2), ylim=(rows[-1] + 2, rows[0] - 2))
        for spine in axes.spines.values():
            spine.set_visible(False)
