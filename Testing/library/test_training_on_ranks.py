"""One training in several processes, as torchrun starts them: what they learn, and how they end when one of them does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from InvDetectLib.models.model import Model
from Testing.support import REPOSITORY
from Testing.support.tiny_model import STEPS, Run, World, process, processes, several

CURVE = REPOSITORY / "Testing" / "support" / "loss_curve.py"


def command(world: World, target: Path) -> tuple[str | Path, ...]:
    return ("train", world.normals, "-o", target, "--preset", "tiny", "--no-rehearsal", "--modality", "made heads", "--device", "cpu")


def nearly_same(one: Path, other: Path) -> bool:
    """Models whose networks see the same, to the rounding of a training.

    Weights say nothing of that: those that a normalisation undoes have gradients of rounding alone, which Adam makes steps of. Nor does the
    one-class model, whose solver ends where a change is below a thousandth.
    """
    cards = Model.load(one).card, Model.load(other).card
    return cards[0]["steps"] == cards[1]["steps"] and cards[0]["validation_loss"] == pytest.approx(cards[1]["validation_loss"], rel=1e-4)


def spoken(run: Run) -> list[str]:
    """What the command said at its end."""
    return [line for line in run.err.splitlines() if line.startswith("invdetect:")]


def test_several_processes_learn_what_one_does(world: World, tmp_path: Path) -> None:
    alone = tmp_path / "alone.json"
    subprocess.run([sys.executable, str(CURVE), str(world.normals), str(alone), "16"], check=True, timeout=200)
    known = json.loads(alone.read_text())
    assert len(known["losses"]) == STEPS // 20
    for count in (2, 3):  # of 16, three take 5, 5 and 6
        out = tmp_path / f"{count}.json"
        with several(count, CURVE, world.normals, out, "16") as started:
            said, err = started.communicate(timeout=200)
        assert started.returncode == 0 and said == "", said + err
        found = json.loads(out.read_text())
        assert found["losses"] == pytest.approx(known["losses"], rel=1e-4)
        assert found["validation"] == pytest.approx(known["validation"], rel=1e-4)


def test_one_of_them_writes_and_talks(world: World, tmp_path: Path) -> None:
    target = tmp_path / "two.invdetect"
    done = processes(2, *command(world, target), "--json")
    assert done.status == 0 and done.json["model"] == str(target)
    assert done.err.count(f"training {STEPS}/{STEPS}") == 1 and done.err.count("done") == 1
    assert list(tmp_path.iterdir()) == [target]
    assert nearly_same(target, world.model)


def test_a_killed_process_ends_the_others_and_another_number_of_them_goes_on(world: World, tmp_path: Path) -> None:
    target, checkpoint = tmp_path / "two.invdetect", tmp_path / "two.invdetect.checkpoint"
    broken = processes(2, *command(world, target), TINY_SIGNAL="35:KILL", TINY_RANK="1")
    assert broken.status == 1 and list(tmp_path.iterdir()) == [checkpoint]
    (said,) = spoken(broken)
    assert said.startswith("invdetect: Another process of this training has ended before its time, and so have all; add --resume")
    resumed = processes(3, *command(world, target), "--resume")
    assert resumed.status == 0 and f"training 20/{STEPS}" not in resumed.err
    assert list(tmp_path.iterdir()) == [target] and nearly_same(target, world.model)


def test_a_training_begun_by_one_process_goes_on_in_two(world: World, tmp_path: Path) -> None:
    target = tmp_path / "two.invdetect"
    assert process(*command(world, target), TINY_SIGNAL="35:KILL").status == -9
    resumed = processes(2, *command(world, target), "--resume")
    assert resumed.status == 0 and f"training 20/{STEPS}" not in resumed.err
    assert nearly_same(target, world.model)


@pytest.mark.parametrize("where", ["INT", "ABOVE"])
def test_ctrl_c_stops_all_with_one_sentence_and_keeps_what_was_learned(world: World, tmp_path: Path, where: str) -> None:
    """It arrives at one of them alone, or at torchrun, which hands it on to all."""
    target, checkpoint = tmp_path / "two.invdetect", tmp_path / "two.invdetect.checkpoint"
    stopped = processes(2, *command(world, target), TINY_SIGNAL=f"25:{where}", TINY_RANK="1" if where == "INT" else "0")
    assert stopped.status != 0 and list(tmp_path.iterdir()) == [checkpoint]
    assert spoken(stopped) == ["invdetect: Stopped on request."]


def test_an_error_of_one_of_them_is_told_by_the_first_and_ends_all(world: World, tmp_path: Path) -> None:
    broken = processes(2, *command(world, tmp_path / "two.invdetect"), TINY_SIGNAL="25:FAIL", TINY_RANK="1")
    assert broken.status == 1 and spoken(broken) == ["invdetect: Something is wrong here (process 1 of 2)"]
