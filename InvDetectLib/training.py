"""The orchestrator of training: from a folder of normal scans to a model, the whole way through the house."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .calibration import calibrate_method, choose_radius, choose_threshold, read_annotated, refit
from .common import Cancelled, Event, InvDetectError, Progress, Scratch, WrongUse, scratch, shown, versions
from .computing import ALONE, Checkpoint, Ranks, claim, describe_device
from .explanation import choose_gallery
from .methods import KEPT, KeptSlices, Slices, Tunable, make_method, mean_neighbour_distance, score_slices, suited
from .models import AS_GIVEN, Model, Settings, alternatives, check_texts, choose_settings, sees
from .rehearsal import choose_model, rehearsed
from .scans import (
    Appearance,
    Candidate,
    Paths,
    Prepared,
    Scan,
    SliceGrid,
    apart_from,
    appearance,
    are_gapless,
    at_most,
    counts,
    learn_intensity,
    prepare,
    split,
    survey,
)

if TYPE_CHECKING:
    import torch

_FEWEST = 2  # validation scans to choose on: one says nothing of others
_LIMITS = "Finds what differs from its training scans, not disease as such. Research use only; not a medical device."


def train(
    normals: Paths,
    preset: str = "standard",
    *,
    settings: Settings | None = None,
    normals_test: Paths | None = None,
    masks: str | Path | None = None,
    tune: tuple[str | Path, str | Path] | None = None,
    truth_at: float | None = None,
    seed: int = 0,
    device: str = "auto",
    licence: str = "",
    card: Mapping[str, str] | None = None,
    gallery: bool = False,
    checkpoint: str | Path | None = None,
    rehearse: bool = True,
    choose: bool = False,
    ranks: Ranks | None = None,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Learn what is normal from a folder of normal scans.

    normals       folder (nested, mixed formats), file, pattern, `scans.BidsFolder`, or a list of these
    preset        a name in `models.presets.PRESETS`; `settings` (see `choose_settings`) replace it
    normals_test  normal scans to calibrate on; without it whole scans of `normals` are held out for that
    masks         folder of foreground masks, for the foreground rule "masks"; those of the scans to `tune` on are there too
    tune          annotated scans and their masks, named like them, on which MatchGen chooses epsilon and the default threshold by Dice
                  (the paper's grid search); without them epsilon comes from held-out normal slices and the threshold from the rate
    truth_at      lesion is what is at least this in the masks to tune on, which may then hold fractions
    seed          decides the split, the weights' start and every draw; the same seed, scans and device give the same model
    licence, card texts for the model's card: under which licence it may be used, and some of `models.TEXTS`
    gallery       whether the model holds some hundred patches of training images, for `explain` to show the normal ones nearest a finding
    checkpoint    file that a killed run resumes from, to the same result; delete it once the model is saved. Beside it, or among temporary
                  files, prepared slices lie on the disk until the model is there: some 48 KB for a slice of 128 x 128
    rehearse      put made lesions into the scans that calibrate, and keep in the card which are found (see `rehearse`): some minutes
    choose        try at most eight settings that share the trained network (levels, weights of the views, direction where that is
                  "both"), and keep the one that finds most made lesions in the validation scans at equal false findings (see
                  `rehearsal.compare`); the card tells of all, as "chosen". Their order is not reliably that on real lesions (figures:
                  Testing/evidence/README.md)
    ranks         the processes that optimise the network together (see `computing.together`); this is the first of them, and the others
                  `take_part`. The model is that of one process, but for rounding
    on_progress   called with every `Event`; or give a `progress`, which can also cancel

    Returns a `Model` that is not saved yet. Raises `InvDetectError` for what a user can fix and while another training writes to the same
    checkpoint, `Cancelled` when stopped (the checkpoint then holds what was done).
    """
    if not 0 <= seed < 2**63:
        raise WrongUse(f"A seed must be a whole number from 0 to 2^63 - 1, not {shown(seed)}.")
    settings = settings or choose_settings(preset)
    settings.check()
    texts = check_texts(dict(card or {}))
    progress = progress or Progress(on_progress)
    started = time.monotonic()
    path = None if checkpoint is None else Path(checkpoint)
    ranks = ranks or ALONE
    with ExitStack() as stack:
        held = stack.enter_context(claim(path))
        torch_device = ranks.device(device)
        scans = _choose_scans(settings, normals, normals_test, masks, seed, progress)
        if choose:
            _check_choice(scans)
        preparation, least_side = scans.settings.preparation, scans.settings.least_side
        intensity = learn_intensity(preparation, [candidate.measurement for candidate in scans.training])
        tunable = isinstance(make_method(scans.settings, torch_device, ranks), Tunable)  # which also says at once what cannot be

        def ready(scan: Scan, mask: np.ndarray | None, called: str | Path) -> Prepared:
            found = prepare(scan, preparation, intensity, mask, least_side)
            for text in (*scan.warnings, *found.warnings):
                progress.warn(f"{called}: {text}")
            return found

        def prepared(candidate: Candidate) -> Prepared:
            return ready(*candidate.read(), candidate.found.relative)

        annotated = []
        if tune is not None:
            if not tunable:
                method_name = scans.settings.method
                raise WrongUse(f"The method {method_name} has nothing to tune on annotated scans; choose matchgen, or leave them out.")
            own = masks if preparation.foreground == "masks" else None
            annotated = read_annotated(*tune, lambda scan, inside: ready(scan, inside, scan.name), scans.digests, progress, truth_at, own)

        file = stack.enter_context(scratch(_room(path), KEPT, KeptSlices.size(scans.shapes())))
        if ranks.count == 1:
            file.hide()
        slices, validation, looks = KeptSlices(file), KeptSlices(file), []
        for number, candidate in enumerate((*scans.training, *scans.validation)):
            progress.report("preparing scans", number, len(scans.training) + len(scans.validation))
            one = prepared(candidate)
            (slices if number < len(scans.training) else validation).append(_slices(one))
            looks.append(Appearance.of(one))
        settings, suiting = suited(scans.settings, slices)
        kept = choose_gallery(slices, seed) if gallery else {}
        _gather(ranks, settings, seed, file, slices, validation)
        method = make_method(settings, torch_device, ranks)
        resumable = Checkpoint(path, scans.fingerprint(seed), held)
        facts = method.fit(slices, validation, seed, resumable, progress)
        if isinstance(method, Tunable) and annotated:
            facts = {**facts, **choose_radius(method, annotated, progress)}
        held_out, grids = [], []
        for candidate in scans.calibration:
            normal = prepared(candidate)
            held_out.append(method.look_over(_slices(normal)))
            grids.append(normal.grid)
        method.settle(held_out, progress)
        mean_distance = mean_neighbour_distance(method, slices, settings.refinement.edges, progress)

        def tuned(offset: float, scale: float, contiguity: float) -> float:
            stage, edges = "scoring annotated scans", settings.refinement.edges
            found = [score_slices(method, one.slices, mean_distance, edges, progress, stage=stage) for one in annotated]
            threshold, dice = choose_threshold(annotated, found, offset, scale, contiguity, progress)
            facts["tuned"] |= {"threshold": threshold, "best_dice": dice}
            return threshold

        gapless = are_gapless(scans.calibration)
        calibration, calibrated = calibrate_method(
            method,
            held_out,
            grids,
            mean_distance,
            gapless,
            settings.refinement,
            progress,
            tuned if annotated else None,
        )
        facts_and_texts = {
            "modality": settings.preparation.modality,
            "method": settings.method,
            "sees": sees(settings),
            "licence": licence,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": versions(),
            "device": describe_device(method.device),
            "seconds": round(time.monotonic() - started, 1),
            "seed": seed,
            "trained_on": {**counts(scans.training), **appearance(looks[: len(slices)])},
            "validated_on": counts(scans.validation),
            "calibrated_on": counts(scans.calibration),
            **facts,
            **suiting,
            **calibrated,
            "rebuilds_images": method.rebuilds_images or gallery,
            **({"gallery": len(kept["patches"])} if kept else {}),
            "intended_use": "Research: pointing out regions that differ from the normal scans it was trained on.",
            "limits": _LIMITS,
            **texts,
        }
        arrays = method.arrays() | {f"intensity/{name}": value for name, value in intensity.items()}
        arrays |= {f"gallery/{name}": value for name, value in kept.items()}
        model = Model(settings, arrays, calibration, facts_and_texts)
        if choose:
            every = _refitted(model, slices, held_out, grids, gapless, torch_device, seed, progress)
            model = choose_model(every, scans.validation, device, seed, progress)
        if rehearse:
            model.card |= rehearsed(model, scans.calibration, device, seed, progress)
        progress.report("done")
        return model


def take_part(ranks: Ranks, device: str, progress: Progress) -> None:
    """What a process beside the first one does: optimise the network with it, from the slices that the first one prepared.

    Raises `InvDetectError` for a device that is not there and slices that it cannot see, `Cancelled` when all are stopped.
    """
    torch_device = ranks.device(device)
    told = json.loads(ranks.same())
    try:
        descriptor = os.open(told["file"], os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InvDetectError(
            f"The prepared slices in {told['file']} cannot be read ({error.strerror}); write the model to a disk that all machines see."
        ) from error
    try:
        ranks.any(False)
        slices, validation = (KeptSlices(Scratch(Path(told["file"]), descriptor), told[part]) for part in ("training", "validation"))
        method = make_method(Settings.from_dict(told["settings"]), torch_device, ranks)
        method.fit(slices, validation, told["seed"], Checkpoint(None, ""), progress.silent())
    finally:
        os.close(descriptor)


def _gather(ranks: Ranks, settings: Settings, seed: int, file: Scratch, training: KeptSlices, validation: KeptSlices) -> None:
    """Tell the other processes what to optimise and where the slices are; from here on all of them `fit`."""
    if ranks.count == 1:
        return
    told = {"settings": settings.as_dict(), "seed": seed, "file": str(file.path.absolute())}
    ranks.same(json.dumps(told | {"training": training.places, "validation": validation.places}).encode())
    ranks.any(False)
    if ranks.share_a_disk:  # all have opened it
        file.hide()


@dataclass(frozen=True)
class _Scans:
    """Which scans do what, and the settings once grey or colour is known."""

    settings: Settings
    training: list[Candidate]
    validation: list[Candidate]
    calibration: list[Candidate]

    @property
    def digests(self) -> set[str]:
        """Of all scans that the model learns from in any way."""
        return {candidate.digest for part in (self.training, self.validation, self.calibration) for candidate in part}

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """(slices, rows, columns, channels) on the model's grid of those to train and to validate on, known before they are prepared."""
        for candidate in (*self.training, *self.validation):
            grid = SliceGrid.for_scan(candidate.geometry, self.settings.preparation, self.settings.least_side)
            yield *grid.shape, candidate.channels

    def fingerprint(self, seed: int) -> str:
        """Of all that decides a training run, so that a checkpoint is never used for another."""
        digests = [[candidate.digest for candidate in part] for part in (self.training, self.validation, self.calibration)]
        return hashlib.sha256(json.dumps([self.settings.as_dict(), seed, digests], sort_keys=True).encode()).hexdigest()


def _choose_scans(
    settings: Settings, normals: Paths, normals_test: Paths | None, masks: str | Path | None, seed: int, progress: Progress
) -> _Scans:
    """Look through the folders and hold out whole scans."""
    minimum = settings.least_side
    normal = survey(normals, settings.preparation, minimum, masks, progress)
    settings = dataclasses.replace(settings, preparation=normal.preparation)
    apart = None
    if normals_test is not None:
        apart = apart_from(survey(normals_test, settings.preparation, minimum, masks, progress), normal)
    for objection in normal.left_out + (() if apart is None else apart.left_out):
        progress.warn(f"left out {objection.path}: {objection.reason}")
    parts = split(len(normal.candidates), settings.training, seed, apart is not None)
    training, validation, calibration = ([normal.candidates[number] for number in part] for part in parts)
    if apart is not None:
        calibration = list(apart.candidates)
    return _Scans(settings, training, validation, at_most(calibration))


def _check_choice(scans: _Scans) -> None:
    """Raise `WrongUse`, before minutes of training, where nothing could be chosen after it."""
    if len(alternatives(scans.settings)) < 2:
        raise WrongUse(
            f"The preset {scans.settings.preset} of {scans.settings.method} has no views to choose between; train without choosing, or "
            "take the preset standard."
        )
    if len(scans.validation) < _FEWEST:
        raise WrongUse(
            f"Settings are chosen on the scans held out to validate, and of these normal scans that is {len(scans.validation)}; give more "
            f"normal scans, so that at least {_FEWEST} are, or train without choosing."
        )


def _refitted(
    model: Model,
    training: Sequence[Slices],
    held_out: Sequence[Slices],
    grids: Sequence[SliceGrid],
    gapless: bool,
    device: torch.device,
    seed: int,
    progress: Progress,
) -> dict[str, Model]:
    """The model and its `alternatives`, those that can be calibrated."""
    found = {AS_GIVEN: model}
    for name, settings in alternatives(model.settings).items():
        if name == AS_GIVEN:
            continue
        try:
            found[name] = refit(model, settings, training, held_out, grids, gapless, device, seed, progress)
        except Cancelled:
            raise
        except InvDetectError as error:
            progress.warn(f"{name} could not be tried: {error}")
    return found


def _room(checkpoint: Path | None) -> Path:
    """The folder for prepared slices: where the model will lie, which whoever trains has chosen; else that of temporary files."""
    return Path(tempfile.gettempdir()) if checkpoint is None else checkpoint.parent


def _slices(prepared: Prepared) -> Slices:
    return Slices(prepared.slices, prepared.foreground)
