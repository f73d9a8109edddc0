"""What each shell command does, once its words are understood (see `cli`)."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import Launched, Progress, WrongUse, check_address_space, check_loadable, check_writable
from ..worker import NEEDED
from .archives import objects_wanted, without_objects
from .bids import begin, derivative
from .dicomweb import wanted
from .streams import line
from .terminal import Reporter, stoppable
from .where import computing

if TYPE_CHECKING:
    from ..computing import Ranks
    from ..models import Settings

_NEEDED = {package: module for package, (module, _) in NEEDED.items()}  # looked for first, lest one is missed after an hour of work


def _check_here() -> None:
    """Raise `InvDetectError` for what this machine lacks, before any work."""
    check_address_space()
    check_loadable(_NEEDED)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Progress on standard error, stoppable."""
    from ..scans import get_ready

    get_ready()
    with Reporter() as reporter:
        progress = Progress(reporter)
        with stoppable(progress):
            yield progress


def demo(options: argparse.Namespace) -> int:
    """`invdetect demo`"""
    _check_here()
    from .demo import run

    with _progress() as progress:
        outcome = run(Path(options.output), options.device, progress)
    print(f"dice={outcome.dice:.2f} baseline={outcome.baseline:.2f} picture={outcome.picture}")
    return 0


def train(options: argparse.Namespace) -> int:
    """`invdetect train`"""
    from ..models import FOREGROUNDS, choose_settings, output_path, read_texts

    target = output_path(options.output)
    if options.truth_at is not None and options.tune is None:
        raise WrongUse("--truth-at cuts the masks of --tune; give both, or neither.")
    texts = read_texts(options.card) if options.card is not None else None
    masks = options.foreground if options.foreground not in (None, *FOREGROUNDS) else None
    settings = choose_settings(
        options.preset,
        method=options.method,
        base=options.base,
        plane=options.plane,
        grid=options.grid,
        spacing_mm=options.spacing,
        intensity=options.intensity,
        foreground="masks" if masks else options.foreground,
        modality=options.modality,
        direction=options.direction,
        mirror={"auto": None, "yes": True, "no": False}[options.mirror],
        beside=options.beside,
    )
    launched = Launched.here()
    if options.dry_run:
        from .dry_run import dry_run

        with _progress() as progress, computing(options, progress) as where:
            return 0 if launched.rank else dry_run(options, settings, masks, where.surveyor(), progress)
    if (options.scheduler, options.workers, options.slurm, options.ship) != (None, None, None, False):
        raise WrongUse("Workers only look through the scans of --dry-run; a training runs here, or in the processes that torchrun starts.")
    _check_here()
    from ..computing import together
    from ..training import take_part

    with _progress() as progress, together(launched) as ranks:  # a signal of torchrun's does not tear the others' reason out of the ending
        if ranks.leads:
            return _train(options, settings, masks, texts, target, ranks, progress)
        take_part(ranks, options.device, progress)
        return 0


def _train(
    options: argparse.Namespace,
    settings: Settings,
    masks: str | None,
    texts: dict[str, str] | None,
    target: Path,
    ranks: Ranks,
    progress: Progress,
) -> int:
    from ..computing import is_left
    from ..training import train as run

    checkpoint = target.with_name(target.name + ".checkpoint")
    check_writable(target.parent, "model", checkpoint.name)
    left = is_left(checkpoint)
    if left and not options.resume:
        raise WrongUse(f"{checkpoint} is left from a training that did not finish; add --resume to go on, or delete it to start anew.")
    if target.exists() and not left:
        raise WrongUse(f"{target} exists already; give another name, or delete it first.")
    model = run(
        options.normals,
        settings=settings,
        normals_test=options.normals_test,
        masks=masks,
        tune=options.tune,
        truth_at=options.truth_at,
        seed=options.seed,
        device=options.device,
        licence=options.licence,
        card=texts,
        gallery=options.gallery,
        checkpoint=checkpoint,
        rehearse=not options.no_rehearsal,
        choose=options.choose,
        ranks=ranks,
        progress=progress,
    )
    model.save(target)
    checkpoint.unlink(missing_ok=True)
    if options.json:
        print(json.dumps({"model": str(target), "card": model.card, "warnings": progress.warnings}))
    else:
        print(f"{target}: {model.card['trained_on']['scans']} scans, flags {model.card['normal_area']:.2%} of held-out normal tissue")
    return 0


def detect(options: argparse.Namespace) -> int:
    """`invdetect detect`"""
    _check_here()
    from ..cohort import TABLE, detect_cohort

    more = objects_wanted(options) or derivative(options)
    with _progress() as progress, wanted(options, progress) as asked, computing(options, progress) as where:
        detector = where.detector()
        outcomes = detect_cohort(
            asked.scans,
            detector,
            options.output,
            options=_operating_point(options),
            foreground=options.foreground,
            overwrite=options.overwrite,
            verify=options.verify,
            more=more,
            engine=where.engine(),
            begin=begin(options),
            progress=progress,
        )
        outcomes = asked.complete(outcomes)
    rows, warnings = [], without_objects(outcomes, Path(options.output)) if options.dicom or options.store else {}
    for outcome in outcomes:
        row: dict[str, Any] = {"scan": str(outcome.found.path), "status": outcome.status}
        if outcome.findings is not None:
            row["findings"] = len(outcome.findings)
            row["strongest"] = max((finding.peak for finding in outcome.findings), default=None)
        if outcome.reason:
            row["reason"] = outcome.reason
        row |= {"warning": warnings[outcome.found.path]} if outcome.found.path in warnings else {}
        rows.append(row)
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if options.json:
        print(json.dumps({"output": options.output, "scans": rows, "warnings": progress.warnings}))
    else:
        for row in rows:
            tail = row.get("reason") or f"{row['findings']} finding{'s' if row['findings'] != 1 else ''}"
            tail += f". {row['warning']}" if "warning" in row else ""
            print(line(f"{row['status']:<8} {row['scan']}: {tail}"))
        print(f"{len(rows) - failed} of {len(rows)} scans done; table: {os.path.join(options.output, TABLE)}")
    return 1 if failed else 0


def explain(options: argparse.Namespace) -> int:
    """`invdetect explain`"""
    _check_here()
    from ..detection import explain as run
    from ..scans import read_scan

    target = None if options.output is None else Path(options.output)
    if target is not None:
        if target.suffix.lower() != ".png":
            raise WrongUse(f"A picture must end in .png; {target} does not.")
        if target.exists():
            raise WrongUse(f"{target} exists already; give another name, or delete it first.")
        check_writable(target.parent, "picture", target.name)
    scan = read_scan(options.scan, options.series)
    with _progress() as progress:
        found = run(options.result, scan, options.model, device=options.device, gallery=options.gallery, progress=progress)
        if target is not None:
            found.picture(target)
    if options.json:
        findings = [asdict(finding) | {"words": finding.reasons.words()} for finding in found.findings if finding.reasons is not None]
        print(json.dumps({"findings": findings, "picture": options.output}))
    else:
        print("\n".join(found.words()) or "There are no findings to explain.")
        if (rest := len(found.findings) - len(found.words())) and found.findings:
            print(f"{rest} weaker finding{'s' if rest > 1 else ''} not looked at.")
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """`invdetect calibrate`"""
    from ..models import output_path

    target = output_path(options.output)
    _check_here()
    from ..adaptation import adapt

    check_writable(target.parent, "model", target.name)
    if target.exists():
        raise WrongUse(f"{target} exists already; give another name, or delete it first.")
    with _progress() as progress:
        model = adapt(
            options.model, options.normals, masks=options.masks, modality=options.modality, device=options.device, progress=progress
        )
        model.save(target)
    if options.json:
        print(json.dumps({"model": str(target), "card": model.card, "warnings": progress.warnings}))
    else:
        adapted = model.card["adapted"]
        print(f"{target}: adapted to {adapted['scans']} normal scans, flags {model.card['normal_area']:.2%} of their tissue")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """`invdetect evaluate`"""
    _check_here()
    from ..evaluation import evaluate as run

    with _progress() as progress, computing(options, progress) as where:
        table = run(
            options.scans,
            options.masks,
            where.detector(),
            normals=options.normals,
            foreground=options.foreground,
            truth_at=options.truth_at,
            engine=where.scoring(),
            against=options.against,
            against_normals=options.against_normals,
            progress=progress,
            **_operating_point(options),
        )
    print(json.dumps(table.as_dict()) if options.json else table.text())
    return 1 if table.failed else 0


def rehearse(options: argparse.Namespace) -> int:
    """`invdetect rehearse`"""
    _check_here()
    from ..rehearsal import rehearse as run

    with _progress() as progress, computing(options, progress) as where:
        detail = run(
            where.detector(),
            options.normals,
            masks=options.masks,
            rate=options.rate,
            seed=options.seed,
            picture=options.output,
            engine=where.rehearsing(),
            surveyor=where.surveyor(),
            progress=progress,
        )
    if options.json:
        print(json.dumps({**detail.as_dict(), "warnings": progress.warnings}))
    else:
        print(detail.words() + (f"\n{options.output}" if options.output is not None else ""))
    return 0


def info(options: argparse.Namespace) -> int:
    """`invdetect info`"""
    from .informing import info as run

    return run(options)


def serve(options: argparse.Namespace) -> int:
    """`invdetect serve`"""
    from .serving import serve as run

    return run(options)


def worker(options: argparse.Namespace) -> int:
    """`invdetect worker`"""
    from ..worker import run

    run(Path(options.folder), os.getppid() if options.parent is None else options.parent)


def _operating_point(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `Detector.detect` that the shell was given."""
    point: dict[str, Any] = {"contiguity": options.contiguity, "scr": not options.no_scr}
    point |= {"rate": options.rate} if options.rate is not None else {}
    point |= {"threshold": options.threshold} if options.threshold is not None else {}
    point |= {"series": options.series} if options.series is not None else {}
    point |= {"adapt": options.adapt} if options.adapt != "none" else {}
    stability = getattr(options, "stability", None)
    point |= {"stability": stability} if stability is not None else {}
    slices = getattr(options, "slices", None)
    return point | ({"slices": slices} if slices is not None else {})
