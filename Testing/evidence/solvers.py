"""Ways to invert, side by side: plain DDIM with ever more network passes, and the multistep solver, on the network of `latents`.

Each way gets its own one-class model and calibration, as the library does, and is scored on the same scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from InvDetectLib.common.files import write_whole
from InvDetectLib.computing.tensors import find_device, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.inverter import Inverter
from InvDetectLib.methods.invdetect.noise_training import PatchPool
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import Inversion

from .invdetect_rows import Variant
from .latents import LATENTS
from .report import report, shown
from .rows import Row
from .running import run, write_json
from .study import SEED, Study

_PASSES = (3, 5, 10, 20, 50, 100)
_MULTISTEP = ((16, 4), (20, 8))  # network passes in all, and the plain steps among them; `latents` has 12 and 4
_PATCHES = 256  # whose latents are compared
_FULL = Variant(
    "latents",
    (Row("latents-full", "latents, full inversion", "the network of latents, every step of the 200-step grid to its depth", "invdetect"),),
    base=LATENTS,
    changes={"inversion.solver": "ddim", "inversion.steps": 200},
)
_COLUMNS = {"dice": "Dice", "ap": "AP", "auroc": "AUROC", "seconds_a_slice": "s a slice"}


@dataclass(frozen=True)
class Way:
    """A way to invert and the row that it is."""

    job: Variant
    inversion: Inversion


def ways(depth: float, timesteps: int) -> list[Way]:
    """All of them, down to abar = `depth`."""
    found = []
    for passes in _PASSES:
        inversion = Inversion(solver="ddim", steps=_grid(passes, depth, timesteps), abar=depth)
        found.append(_way(f"ddim-{passes}", f"DDIM, {passes} passes", inversion))
    for passes, first in _MULTISTEP:
        inversion = Inversion(solver="multistep", steps=200, evaluations=passes, first_steps=first, abar=depth)
        found.append(_way(f"multistep-{passes}", f"multistep, {passes} passes ({first} plain)", inversion))
    return found


def compare(study: Study, out: Path) -> None:
    """Run every way and the full inversion, and write OUT/results.json and table.md."""
    settings = LATENTS.library_settings(study).invdetect
    every = ways(settings.inversion.abar, settings.network.timesteps)
    jobs = [LATENTS, _FULL, *(way.job for way in every)]
    run(study, jobs, out)
    order = [row.key for job in jobs for row in job.rows]
    result = report(study, jobs, order, out, f"{study.setting.name}: ways to invert")
    inversions = {"latents": settings.inversion, "latents-full": _FULL.library_settings(study).invdetect.inversion}
    inversions |= {way.job.key: way.inversion for way in every}
    result["latents"] = latent_errors(study, inversions)
    write_json(out / "results.json", result)
    text = markdown(result)
    write_whole(out / "table.md", text.encode(), "table")
    print(text)


def latent_errors(study: Study, inversions: dict[str, Inversion]) -> dict[str, dict[str, float]]:
    """Row -> network passes, and the relative L2 distance of latents from those of the 200-step grid, over patches of calibration scans."""
    settings = LATENTS.library_settings(study).invdetect
    device = find_device(study.device)
    prepared = [study.prepared(case)[1] for case in study.data.calibration]
    pool = PatchPool([Slices(one.slices, one.foreground) for one in prepared], settings.patches, device)
    numbers = np.sort(np.random.default_rng(SEED).permutation(len(pool))[:_PATCHES])
    patches = pool.take(numbers)
    network = UNet(patches.shape[1], settings.network)
    arrays = LATENTS.model(study).arrays
    network.load_state_dict({name: to_tensor(arrays[f"network/{name}"]) for name in network.state_dict()})
    network = network.requires_grad_(False).eval()

    def latents(inversion: Inversion) -> tuple[torch.Tensor, int]:
        path = inversion_path(inversion, settings.network.timesteps)
        inverter = Inverter(network, path, device)
        return torch.cat([inverter(part) for part in patches.split(64)]), path.evaluations

    full, _ = latents(Inversion(solver="ddim", steps=200, abar=settings.inversion.abar))
    table = {}
    for key, inversion in inversions.items():
        found, passes = latents(inversion)
        table[key] = {"passes": passes, "error": float((found - full).norm() / full.norm())}
        study.progress.report("comparing latents")
    return table


def markdown(result: dict[str, Any]) -> str:
    """One line a way."""
    part = next(iter(result["parts"]))
    scans = result["parts"][part]["scans"]
    lines = [f"# {result['heading']}", "", f"{scans} scans; in brackets 95 % intervals over patients.", ""]
    lines.append("| way | passes | latents, relative L2 | " + " | ".join(_COLUMNS.values()) + " |")
    lines.append("|---" * (len(_COLUMNS) + 3) + "|")
    for row in result["rows"]:
        if row["key"] in result["latents"] and "not_run" not in row:
            latents = result["latents"][row["key"]]
            cells = [row["title"], str(latents["passes"]), f"{latents['error']:.4f}"]
            lines.append("| " + " | ".join([*cells, *(shown(row["parts"][part][name]) for name in _COLUMNS)]) + " |")
    return "\n".join([*lines, "", f"- hardware: {result['hardware']}", ""])


def _way(key: str, title: str, inversion: Inversion) -> Way:
    changes = {f"inversion.{name}": getattr(inversion, name) for name in ("solver", "steps", "evaluations", "first_steps")}
    row = Row(key, title, f"the network of latents, inverted otherwise: {title}", "invdetect")
    return Way(Variant("latents", (row,), base=LATENTS, changes=changes), inversion)


def _grid(passes: int, depth: float, timesteps: int) -> int:
    """The whole grid's steps for which a plain inversion takes `passes` down to the depth, ending nearest to it."""
    full = inversion_path(Inversion(steps=200, abar=depth), timesteps).times[-1]
    candidates = {}
    for steps in range(passes, timesteps + 1):
        path = inversion_path(Inversion(steps=steps, abar=depth), timesteps)
        if path.evaluations == passes:
            candidates[steps] = abs(path.times[-1] - full)
        elif path.evaluations > passes:
            break
    return min(candidates, key=candidates.__getitem__)
