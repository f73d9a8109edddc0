"""A program: trains a tiny model, alone or as one of several that torchrun starts; the first one writes down the loss every 20 steps.

    loss_curve.py NORMALS OUT.json BATCH

It prints the threads of their exchange that are left after it: such a thread can abort the process while Python ends.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from InvDetectLib.common import Event, Launched, Progress  # noqa: E402
from InvDetectLib.computing import together  # noqa: E402
from InvDetectLib.training import take_part, train  # noqa: E402
from Testing.support.tiny_model import TINY  # noqa: E402


def main(normals: str, out: str, batch: str) -> None:
    """Train with this batch in all."""
    losses: list[float] = []

    def hear(event: Event) -> None:
        if event.stage == "training":
            losses.append(event.facts["loss"])

    training = dataclasses.replace(TINY.invdetect.training, batch=int(batch), mirror=True)
    settings = dataclasses.replace(TINY, invdetect=dataclasses.replace(TINY.invdetect, training=training))
    with together(Launched.here()) as ranks:
        if not ranks.leads:
            take_part(ranks, "cpu", Progress(lambda event: print("I am not to talk")))
        else:
            model = train(normals, settings=settings, device="cpu", rehearse=False, ranks=ranks, on_progress=hear)
            told = {"losses": losses, "validation": model.card["validation_loss"]}
            Path(out).write_text(json.dumps(told), encoding="utf-8")
    for thread in exchanging():
        print(thread)


def exchanging() -> list[str]:
    """Threads of this process that talk with others, by the names that Linux shows."""
    names = [task.read_text(encoding="utf-8").strip() for task in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    main(*sys.argv[1:])
