"""Make the shipped model `made-heads`, which fits the extension's sample scan, from the model that the demo trains:

    make demo && .venv/bin/python Testing/support/sample_model.py demo/phantoms.invdetect Resources/Models/made-heads.invdetect

It adds a card, the share of normal heads it had never seen that it flags, and what it can see of made lesions in the heads that set its
threshold, which are drawn again. The shipped model itself may be given, to renew its card.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402  (run as a program, this file must find the library first)

from InvDetectLib.common import InvDetectError, Progress  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.models.cards import read_texts  # noqa: E402
from InvDetectLib.models.model import Model, output_path  # noqa: E402
from InvDetectLib.scans import read_scan  # noqa: E402
from InvDetectLib.scans.phantoms import write_phantoms  # noqa: E402
from Testing.evidence.starter import with_rehearsal  # noqa: E402

CARD = REPOSITORY / "Testing" / "evidence" / "cards" / "made-heads.json"
LICENCE = "CC0 1.0"
FIRST_UNSEEN, UNSEEN = 500, 4  # seeds that neither the demo's training nor its scans have


def finished(model: Model) -> Model:
    """The model with its card. InvDetectError for one whose heads are not those that the demo draws."""
    with tempfile.TemporaryDirectory() as folder:
        model = with_rehearsal(model, calibrating(model, Path(folder)), None, "cpu", Progress())
    card = {**model.card, **read_texts(CARD), "licence": LICENCE}
    done = Model(model.settings, model.arrays, model.calibration, card)
    with tempfile.TemporaryDirectory() as folder:
        found = [Detector(done, "cpu").detect(path, stability=False) for path in write_phantoms(Path(folder), UNSEEN, FIRST_UNSEEN)]
    flagged = [float((one.mask > 0)[one.foreground > 0].mean()) for one in found]
    card["unseen_normals"] = {"scans": UNSEEN, "normal_area": round(float(np.mean(flagged)), 6)}
    return done


def calibrating(model: Model, folder: Path) -> list[Path]:
    """The heads that set the model's threshold, drawn into `folder` again."""
    drawn = sum(model.card[part]["scans"] for part in ("trained_on", "validated_on", "calibrated_on"))
    wanted = set(model.card["calibrated_on"]["digests"])
    found = [path for path in write_phantoms(folder, drawn) if read_scan(path).digest in wanted]
    if len(found) < len(wanted):
        raise InvDetectError("The model was calibrated on other heads than the demo draws; train it with the demo of this version.")
    return found


def main() -> int:
    """Read the model named first and write the one named second; the exit status."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, target = sys.argv[1], output_path(sys.argv[2])
    finished(Model.load(source)).save(target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
