"""The options of the campaign, its table, and its last line. Exit status 1 when anything was not survived."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Before anything loads numpy: threads that wait for each other would cost more than all trials, and may not be there when this forks.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["MPLBACKEND"] = "Agg"

from Testing.campaign import faults, files, kills, protocol  # noqa: E402
from Testing.campaign.trying import Limit, Record, children  # noqa: E402

_PARTS = {"kills": kills, "faults": faults, "protocol": protocol, "files": files}  # what forks comes before what has threads
_COUNTS = {"kills": 200, "files": 10_000, "faults": 120, "protocol": 400}
_SHARES = {"kills": 0.4, "faults": 0.35, "protocol": 0.05, "files": 0.2}  # of the time


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, or try one failure again; the exit status."""
    options = _options(arguments)
    if sys.platform != "linux":
        print("The campaign kills, limits and watches processes as Linux has them; here there is nothing that it could try.")
        return 0
    os.environ["INVDETECT_MODELS"] = os.devnull  # none of the user's
    if options.replay is not None:
        return _replay(options.replay)
    record = Record(options.seed, options.keep)
    parts = [part for part in _PARTS if part in options.only]
    left = options.minutes * 60 if options.minutes else float("inf")
    for position, part in enumerate(parts):
        started = time.monotonic()
        seconds = left * _SHARES[part] / sum(_SHARES[other] for other in parts[position:])
        _PARTS[part].campaign(options.seed, Limit(options.counts[part], started + seconds), record)  # type: ignore[attr-defined]
        left -= time.monotonic() - started  # what one part does not need is the others'
    print(record.table())
    totals = {part: record.total(part) for part in ("kills", "files", "faults")}
    print("campaign " + " ".join(f"{part}={survived}/{tried}" for part, (tried, survived) in totals.items()))
    if left_over := children(os.getpid()):
        print(f"Processes are left: {left_over}")
    return 1 if record.failed or left_over else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m Testing.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, help="end when so many are over, or the counts are reached")
    parser.add_argument("--counts", type=_counts, default=_COUNTS, help="default: kills=200,files=10000,faults=120,protocol=400")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default: 0)")
    parser.add_argument("--only", type=_parts, default=list(_PARTS), help="some of kills,files,faults,protocol")
    parser.add_argument("--keep", type=Path, default=Path("campaign-out"), help="folder for what failed (default: campaign-out)")
    parser.add_argument("--replay", type=Path, help="try what a .json there describes once more")
    return parser.parse_args(arguments)


def _parts(text: str) -> list[str]:
    if unknown := set(text.split(",")) - _PARTS.keys():
        raise argparse.ArgumentTypeError(f"there is no part {sorted(unknown)[0]!r}")
    return text.split(",")


def _counts(text: str) -> dict[str, int]:
    told = dict(entry.partition("=")[::2] for entry in text.split(","))
    if unknown := told.keys() - _PARTS.keys():
        raise argparse.ArgumentTypeError(f"there is no part {sorted(unknown)[0]!r}")
    try:
        return {**_COUNTS, **{part: int(count) for part, count in told.items()}}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=NUMBER,...") from None


def _replay(path: Path) -> int:
    told = json.loads(path.read_text(encoding="utf-8"))
    part, seed, number = str(told["part"]), int(told["seed"]), int(told["number"])
    with tempfile.TemporaryDirectory(prefix="campaign-") as work:
        record = Record(seed, Path(work) / "kept")
        if part == "files":
            kept = {name: (path.with_suffix("") / name).read_bytes() for name in told["files"]}
            files.again(seed, number, kept, record)
        else:
            kills.shells.warm_up()
            _PARTS[part].again(seed, number, record, Path(work))  # type: ignore[attr-defined]
    print(record.table())
    return 1 if record.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
