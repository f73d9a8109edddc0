"""Do p-values mean what they say? `python Testing/benchmarks/p_values.py`, or `... --data DIR` for the stroke set, under `brain-flair`.

Of normal scans that a model never saw, a share of p should have a finding with a p-value of at most p; that share is printed, with its
95 % interval (Clopper and Pearson), for the p-values of peaks and of masses. Scans with lesions follow: the p of the findings on a lesion.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from InvDetectLib import __version__, train  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.models import Model  # noqa: E402
from InvDetectLib.results import Finding, label_findings  # noqa: E402
from InvDetectLib.scans import read_truth, write_phantoms  # noqa: E402
from Testing.evidence import splits  # noqa: E402
from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.tiny_model import WHOLE  # noqa: E402

AT = (0.05, 0.1, 0.2, 0.5)
SIZE, TRAINING, CALIBRATION, UNSEEN = (3, 64, 64), 12, 60, 120
_SOME = 0.1  # of a finding or of a lesion, in the other


def calibrated(detector: Detector, normals: Sequence[Path]) -> None:
    """Print how often normal scans have a finding that is as rare as it says."""
    found = [detector.detect(path, stability=False).findings for path in normals]
    known = detector.calibration
    print(f"\n{len(normals)} normal scans that the model never saw, against {len(known.masses)} normal {known.peak_unit}s")
    print(f"{'p':>5}  {'by peak':>24}  {'by mass':>24}")
    for p in AT:
        rare = (sum(min(one, default=1.0) <= p for one in _p_values(found, name)) for name in ("p_value", "p_value_mass"))
        print(f"{p:5g}" + "".join(f"  {_share(count, len(found)):>24}" for count in rare))


def on_lesions(detector: Detector, scans: Sequence[Path], masks: Sequence[Path]) -> None:
    """Print how rare the findings are that hit a lesion, and the heaviest of each scan."""
    hit: list[Finding] = []
    first: list[Finding] = []
    for path, mask in zip(scans, masks, strict=True):
        result = detector.detect(path, stability=False)
        truth, labels = read_truth(mask, result.geometry) > 0, label_findings(result.mask, result.findings)
        hits = []
        for finding in result.findings:
            inside = labels == finding.label
            shared = int((inside & truth).sum())
            if shared >= _SOME * min(inside.sum(), truth.sum()):
                hits.append(finding)
        hit += hits
        first += hits[:1]
    print(f"\n{len(scans)} scans with lesions: the findings that hit one, and of each scan the heaviest of them")
    print(f"{'':24}{'median p':>10}{'p <= 0.05':>11}{'p <= 0.1':>10}")
    for called, findings in (("all", hit), ("heaviest", first)):
        for kind, name in (("peak", "p_value"), ("mass", "p_value_mass")):
            (values,) = _p_values([findings], name)
            row = f"{called} ({len(findings)}), by {kind}"
            print(f"{row:24}{np.median(values):10.3f}{np.mean(np.array(values) <= 0.05):11.1%}{np.mean(np.array(values) <= 0.1):10.1%}")


def _p_values(found: Sequence[Sequence[Finding]], name: str) -> list[list[float]]:
    return [[value for finding in each if (value := getattr(finding, name)) is not None] for each in found]


def _share(count: int, of: int) -> str:
    interval = binomtest(count, of).proportion_ci()
    return f"{count / of:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser("p_values.py", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data, with brain_flair_stroke")
    options = parser.parse_args()
    print(f"InvDetect {__version__}, Python {platform.python_version()}")
    if options.data is not None:
        folder, table = options.data / "brain_flair_stroke" / "axial", splits.read()["stroke"]
        detector = Detector(Model.load(REPOSITORY / "Resources" / "Models" / "brain-flair.invdetect"), "cpu")
        calibrated(detector, [folder / "test_normal" / name for name in table["test_normal"]])
        scans, masks = ([folder / part / name for name in table["choice"]] for part in ("abnormal", "masks"))
        on_lesions(detector, scans, masks)
        return
    with tempfile.TemporaryDirectory() as place:
        heads = write_phantoms(Path(place, "normal"), TRAINING + CALIBRATION + UNSEEN, 1, SIZE)
        started = time.monotonic()
        model = train(heads[:TRAINING], settings=WHOLE, normals_test=heads[TRAINING : TRAINING + CALIBRATION], device="cpu")
        print(f"made heads, a tiny model: {time.monotonic() - started:.0f} s")
        detector = Detector(model, "cpu")
        calibrated(detector, heads[TRAINING + CALIBRATION :])
        lesions = write_phantoms(Path(place, "lesions"), 20, 5000, SIZE, lesions=2)
        on_lesions(detector, lesions, [Path(place, "lesions-masks", path.name) for path in lesions])


if __name__ == "__main__":
    main()
