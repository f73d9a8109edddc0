"""Make a starter model, in one command: `python -m Testing.evidence.starter brain-t1` (or brain-flair, fundus).

The scans, the splits and the settings are those of the study's row `standard`, so that its figures hold for the model that is shipped;
only data whose licence allows it are read. Exit status: 0 done, 1 something failed or was stopped, 2 wrong use.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.common.files import check_writable
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.metrics.agreement import ScoredScan, normal_area
from InvDetectLib.models import REHEARSAL
from InvDetectLib.models.cards import read_texts, size_text
from InvDetectLib.models.model import Model, output_path
from InvDetectLib.models.settings import Settings
from InvDetectLib.rehearsal import rehearsed
from InvDetectLib.scans import SliceGrid, at_most, read_scan, survey
from InvDetectLib.training import train

from . import sets, splits
from .invdetect_rows import with_mirror
from .stoppable import carry_out
from .study import SEED, Study
from .weighing import weighed

REPOSITORY = Path(__file__).resolve().parents[2]
CARDS = Path(__file__).with_name("cards")
LIMIT = 6_000_000  # bytes of a file that everybody downloads


@dataclasses.dataclass(frozen=True)
class Starter:
    """What decides a starter model, beside its card in `cards/NAME.json`.

    setting  of the study, whose normal scans, splits and settings it takes
    licence  of the model: that of its data
    preset   what its settings are called; None: as in the study. A preset may be what the study's is once it is told the direction
    """

    setting: str
    licence: str
    preset: str | None = None


STARTERS = {
    "brain-t1": Starter("t1", "CC0 1.0"),
    "brain-flair": Starter("stroke", "CC0 1.0", "flair"),
    "fundus": Starter("fundus", "CC BY 4.0"),
}


@dataclasses.dataclass(frozen=True)
class Scans:
    """Files by use: to train and validate, to calibrate, and normal scans that the model never sees. `masks`: the folder of foregrounds."""

    train: list[Path]
    calibration: list[Path]
    unseen: list[Path]
    masks: Path | None


def find(starter: Starter, data: Path) -> Scans:
    """The scans of the study's splits. Raises `InvDetectError` when one is missing."""
    setting = sets.SETTINGS[starter.setting]
    folder, table = data / setting.folder, splits.read()[starter.setting]
    if not folder.is_dir():
        raise InvDetectError(f"The data are missing: {folder} is no folder. Name the folder that holds {setting.folder} with --data.")
    places = {"train": "normal", "calibration": "normal", "test_normal": "test_normal"}
    found = {part: [folder / place / name for name in table[part]] for part, place in places.items()}
    for path in (path for part in found.values() for path in part):
        if not path.exists():
            raise InvDetectError(f"{path} is missing, which {splits.FILE.name} names; get the data, or name its folder with --data.")
    return Scans(found["train"], found["calibration"], found["test_normal"], folder / "field" if setting.fields else None)


def settings(starter: Starter) -> Settings:
    """Those of the study's row `standard` (which is the setting's best preset) at full size."""
    study = Study(sets.SETTINGS[starter.setting], sets.Data([], [], {}, [], ""), "full", Path(), "cpu", Progress())
    return _called(study.settings("standard", "standard"), starter)


def _called(own: Settings, starter: Starter) -> Settings:
    return own if starter.preset is None else dataclasses.replace(own, preset=starter.preset)


def trained(starter: Starter, scans: Scans, out: Path, device: str, progress: Progress) -> Model:
    """The model; what is done of it lies beside `out` until it is saved, and the next call goes on from there."""
    return train(
        scans.train,
        settings=settings(starter),
        normals_test=scans.calibration,
        masks=scans.masks,
        seed=SEED,
        device=device,
        checkpoint=checkpoint(out),
        progress=progress,
    )


def checkpoint(out: Path) -> Path:
    """Where a training that makes `out` keeps what was done."""
    return out.with_name(out.name + ".checkpoint")


def finished(name: str, model: Model, scans: Scans, device: str, progress: Progress) -> Model:
    """A trained model as it is shipped: card, a foreground rule that works alone, the flagged share of unseen normals.

    Raises `InvDetectError` for a model that was made of other scans, whose licences nobody knows, or that gives images away.
    """
    check_scans(model, scans, progress)
    if model.card.get("rebuilds_images") is not False:
        raise InvDetectError(f"Training images can be rebuilt from this model, so it cannot be shipped as {name}; choose another preset.")
    # Whoever opens a photograph has no mask of its field of view; the rule finds the given ones (Dice 0.98 or more on each eye).
    preparation = dataclasses.replace(model.settings.preparation, foreground="auto")
    card = {**model.card, **read_texts(CARDS / f"{name}.json"), "licence": STARTERS[name].licence}
    done = Model(dataclasses.replace(model.settings, preparation=preparation), model.arrays, model.calibration, card)
    if "unseen_normals" not in card:
        card["unseen_normals"] = unseen_normals(done, scans, device, progress)
    return done


def check_scans(model: Model, scans: Scans, progress: Progress) -> None:
    """Raise `InvDetectError` unless the model was trained, validated and calibrated on scans of its split."""
    paths, known = scans.train + scans.calibration, set()
    for number, path in enumerate(paths, 1):
        known.add(read_scan(path).digest)
        progress.report("comparing with the model's scans", number, len(paths))
    used = [set(model.card[part]["digests"]) for part in ("trained_on", "validated_on", "calibrated_on")]
    if not set().union(*used) <= known:
        raise InvDetectError("The model was made from other scans than the study's splits name; train it with this command.")


def unseen_normals(model: Model, scans: Scans, device: str, progress: Progress) -> dict[str, float]:
    """{"scans", "normal_area"}: the share (0 to 1) that the model flags at its own operating point, found as a user would."""
    detector, scored = Detector(model, device), []
    for number, path in enumerate(scans.unseen, 1):
        found = detector.detect(path, stability=False, reasons=False, progress=progress.part())
        axis = SliceGrid.for_scan(found.geometry, found.preparation).slice_axis
        no_lesion = np.zeros_like(found.mask)
        scored.append(ScoredScan(path.name, found.anomaly_map, found.mask, no_lesion, found.foreground, axis))
        progress.report("normal scans that the model never saw", number, len(scans.unseen))
    return {"scans": len(scored), "normal_area": round(normal_area(scored).value, 6)}


def make(name: str, data: Path, out: Path, given: Path | None, device: str, progress: Progress) -> Path:
    """Train (or take `given`), finish and write a starter model; returns `out`. Nothing is overwritten but a model given as itself."""
    output_path(out)
    if out.exists() and (given is None or not out.samefile(given)):
        raise WrongUse(f"{out} exists already; name another file with --out, or finish this one again with --model {out}.")
    starter, texts = STARTERS[name], CARDS / f"{name}.json"
    read_texts(texts)  # now rather than after hours
    check_writable(out.parent, "model")
    scans = find(starter, data)
    model = trained(starter, scans, out, device, progress) if given is None else _given(given, starter, scans, device, progress)
    finished(name, model, scans, device, progress).save(out)
    checkpoint(out).unlink(missing_ok=True)
    size = out.stat().st_size
    if size > LIMIT:
        raise InvDetectError(f"{out} is written, but its {size_text(size)} are more than a starter model may have ({size_text(LIMIT)}).")
    return out


def with_rehearsal(model: Model, normals: Sequence[Path], masks: Path | None, device: str, progress: Progress) -> Model:
    """The model with what it can see in its card, as a training ends; as it is where it has that.

    normals  scans that it was not trained on: those that set its threshold, or others
    masks    folder of their foregrounds, where the model was calibrated with such; None: its own rule
    """
    if REHEARSAL in model.card:
        return model
    preparation = model.settings.preparation
    if masks is not None:
        preparation = dataclasses.replace(preparation, foreground="masks")
    candidates = at_most(survey(list(normals), preparation, model.settings.least_side, masks, progress).candidates)
    card = model.card | rehearsed(model, candidates, device, SEED, progress)
    return Model(model.settings, model.arrays, model.calibration, card)


def _given(path: Path, starter: Starter, scans: Scans, device: str, progress: Progress) -> Model:
    """The model in a file, under the preset's name if its settings are those wanted; a warning if they are not.

    One that was calibrated before normals were weighed has their masses then, and one that was never rehearsed its rehearsal.
    """
    model = weighed(Model.load(path), scans.calibration, scans.masks, device, progress)
    model = with_rehearsal(model, scans.calibration, scans.masks, device, progress)
    own, wanted = _called(model.settings, starter), with_mirror(settings(starter), model.settings.invdetect.views.mirror)
    same = dataclasses.replace(own.preparation, foreground=wanted.preparation.foreground)
    if dataclasses.replace(own, preparation=same) != wanted:
        progress.warn(f"{path} has other settings than this command would train with")
        return model
    return Model(own, model.arrays, model.calibration, model.card)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    out = options.out or Path("evidence-out") / "starter" / f"{options.name}.invdetect"
    status = carry_out("starter", lambda progress: make(options.name, options.data, out, options.model, options.device, progress))
    if status:
        return status
    print(f"{out} ({size_text(out.stat().st_size)}); to ship it, copy it to Resources/Models. Read its card: invdetect info {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "Make a starter model; see Testing/evidence/README.md."
    parser = argparse.ArgumentParser("python -m Testing.evidence.starter", description=about)
    parser.add_argument("name", choices=STARTERS, metavar="NAME", help=f"one of {', '.join(STARTERS)}")
    data = REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, metavar="DIR", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the model (default: evidence-out/starter/NAME.invdetect)")
    help = "a model trained on the same scans, such as the study's, to finish instead of training one; the same as --out to renew its card"
    parser.add_argument("--model", type=Path, metavar="FILE", help=help)
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
