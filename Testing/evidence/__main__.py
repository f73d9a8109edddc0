"""The study's command: `python -m Testing.evidence SETTING`. Exit status: 0 done, 1 something failed or was stopped, 2 wrong use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common.errors import WrongUse
from InvDetectLib.common.files import check_writable
from InvDetectLib.common.progress import Progress

from . import choosing, drawing, matchgen, sets, sites, solvers, table_of_rows
from .peers.compare import compare as compare_peers
from .report import report
from .running import run
from .sizes import BUDGETS, SIZES
from .stoppable import carry_out
from .study import Study

REPOSITORY = Path(__file__).resolve().parents[2]
_KINDS = ("solvers", "matchgen", "choosing")  # of runs, behind the name of a setting


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.setting == "peers":
        return carry_out("evidence", lambda progress: compare_peers(options.out, progress))
    if options.setting == "flair-sites":
        return carry_out("evidence", lambda progress: sites.compare(lambda site: study(options, site, progress), options.out))
    if options.setting.endswith("-solvers"):
        return carry_out("evidence", lambda progress: solvers.compare(*_begin(options, None, progress)))
    if options.setting.endswith("-choosing"):
        return carry_out("evidence", lambda progress: choosing.compare(lambda half: _begin(_of(options, half), None, progress)))
    if options.setting.endswith("-matchgen"):
        bases = options.rows.split(",") if options.rows else None
        return carry_out("evidence", lambda progress: matchgen.compare(*_begin(options, None, progress), bases))
    return carry_out("evidence", lambda progress: study(options, options.leave_out, progress))


def study(options: argparse.Namespace, site: str | None, progress: Progress) -> dict[str, Any]:
    """One setting, from the data to table and pictures; returns what results.json holds."""
    running, out = _begin(options, site, progress)
    wanted = options.rows.split(",") if options.rows else (None if site is None else sites.rows(running.size))
    run(running, table_of_rows.choose(wanted, running.setting.colour, running.size), out)
    half = f"half `{options.half}`" if site is None else f"institution {site} left out"
    every = table_of_rows.every(running.setting.colour)
    result = report(running, every, table_of_rows.ORDER, out, f"{running.setting.name}: {half}")
    drawing.draw(running, every, out)
    print((out / "table.md").read_text(encoding="utf-8"))
    return result


def _of(options: argparse.Namespace, half: str) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), "half": half})


def _begin(options: argparse.Namespace, site: str | None, progress: Progress) -> tuple[Study, Path]:
    """The run that the options ask for, and the folder of its results."""
    name = options.setting.removesuffix("-sites").removesuffix("-solvers").removesuffix("-matchgen").removesuffix("-choosing")
    if site is not None and name != "flair":
        raise WrongUse("Only flair has institutions to leave out; drop --leave-out.")
    setting = sets.SETTINGS[name]
    size = options.size or ("tiny" if name == "phantoms" else "full")
    work = options.out / (name if site is None else f"{name}-without-{site}")
    out = work if options.half == "quoted" or site is not None else work / options.half
    out = next((out / kind for kind in _KINDS if options.setting.endswith(f"-{kind}")), out)
    check_writable(out, "study's results")
    data = sets.load(setting, options.data, work, options.half, site, BUDGETS[size].every)
    return Study(setting, data, size, work, options.device, progress), out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m Testing.evidence", description="The study on real scans; see Testing/evidence/README.md.")
    settings = [*sets.SETTINGS, "flair-sites", "peers", *(f"{name}-{kind}" for name in sets.SETTINGS for kind in _KINDS)]
    names = f"{', '.join(sets.SETTINGS)}, flair-sites, peers (what was run, side by side), or with -solvers, -matchgen, -choosing"
    parser.add_argument("setting", choices=settings, metavar="SETTING", help=names)
    data = REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, metavar="DIR", help="folder of the data (default: ../shared/data)")
    parser.add_argument("--out", type=Path, default=Path("evidence-out"), metavar="OUT", help="folder to write to (default: evidence-out)")
    parser.add_argument("--size", choices=SIZES, metavar="SIZE", help="full (default) or small, which fits two cores")
    parser.add_argument("--half", choices=sets.HALVES, default="quoted", help="of the abnormal scans: quoted (default) or choice")
    rows = ", ".join([*table_of_rows.ORDER, "peers"])
    parser.add_argument("--rows", metavar="ROW,ROW", help=f"only these (of -matchgen: these bases; peers: all of others' methods): {rows}")
    parser.add_argument("--leave-out", choices=sets.SITES, metavar="SITE", help="flair: leave an institution out and test on its patients")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
