"""Make the shipped model `made-heads`, which fits the extension's sample scan, from the model that the demo trains:

    make demo && .venv/bin/python Testing/support/sample_model.py demo/phantoms.invdetect Resources/Models/made-heads.invdetect

It adds a card, and, by normal heads that the model had never seen, the share that it flags of them and what it can see of made lesions.
The shipped model itself may be given, to renew its card.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402  (run as a program, this file must find the library first)

from InvDetectLib.common import Progress  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.models.cards import read_texts  # noqa: E402
from InvDetectLib.models.model import Model, output_path  # noqa: E402
from InvDetectLib.scans.phantoms import write_phantoms  # noqa: E402
from Testing.evidence.starter import with_rehearsal  # noqa: E402

CARD = REPOSITORY / "Testing" / "evidence" / "cards" / "made-heads.json"
LICENCE = "CC0 1.0"
FIRST_UNSEEN, UNSEEN, REHEARSED = 500, 4, 12  # seeds that neither the demo's training nor its scans have, and how many heads of them


def finished(model: Model) -> Model:
    """The model with its card; what was measured before is not measured again."""
    with tempfile.TemporaryDirectory() as folder:
        heads = write_phantoms(Path(folder), REHEARSED, FIRST_UNSEEN)
        model = with_rehearsal(model, heads, None, "cpu", Progress())
        card = {**model.card, **read_texts(CARD), "licence": LICENCE}
        done = Model(model.settings, model.arrays, model.calibration, card)
        if "unseen_normals" not in card:
            found = [Detector(done, "cpu").detect(path, stability=False) for path in heads[:UNSEEN]]
            flagged = [float((one.mask > 0)[one.foreground > 0].mean()) for one in found]
            card["unseen_normals"] = {"scans": UNSEEN, "normal_area": round(float(np.mean(flagged)), 6)}
    return done


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
