"""What processes that train together share, and what they cannot; how they do so is in `test_training_on_ranks`."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from InvDetectLib.common import Launched, WrongUse
from InvDetectLib.computing import ALONE, Ranks
from InvDetectLib.methods import make_method
from InvDetectLib.methods.invdetect import NoiseTrainer
from Testing.support.tiny_matchgen import TINY as MATCHGEN
from Testing.support.tiny_model import TINY, shell

CPU = torch.device("cpu")


def one_of(count: int, rank: int = 0) -> Ranks:
    """One of so many processes, which has not met the others."""
    return Ranks(Launched(rank, count, rank, count))


def launched(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """As torchrun tells it."""
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))


def test_only_torchrun_makes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "3")  # as other launchers do
    assert Launched.here() == Launched() and Launched().count == 1
    launched(monkeypatch, 1)
    assert Launched.here() == Launched(1, 2, 1, 2)


@pytest.mark.parametrize(("count", "batch"), [(1, 8), (2, 8), (3, 8), (5, 7), (8, 8)])
def test_every_one_of_a_batch_is_some_process_own(count: int, batch: int) -> None:
    shares = [range(batch)[one_of(count, rank).share(batch)] for rank in range(count)]
    assert sum(map(list, shares), []) == list(range(batch))
    assert {len(share) for share in shares} <= {batch // count, -(-batch // count)}


def test_a_batch_of_fewer_than_there_are_processes_is_refused() -> None:
    with pytest.raises(WrongUse, match="A batch of 16 patches cannot be shared among 17 processes; start at most 16"):
        NoiseTrainer(TINY.invdetect, 1, 0, CPU, one_of(17))


def test_a_method_that_learns_in_one_process_says_so() -> None:
    with pytest.raises(WrongUse, match="The method matchgen is trained by one process; start it without torchrun"):
        make_method(MATCHGEN, CPU, one_of(2))
    make_method(MATCHGEN, CPU, ALONE)


def test_several_do_not_compute_on_one_card() -> None:
    with pytest.raises(WrongUse, match="2 processes cannot compute on the one device 'cuda:0'; give cuda, a card for each, or cpu"):
        one_of(2).device("cuda:0")
    assert one_of(2, 1).device("cpu") == CPU


def test_commands_but_training_are_not_shared_and_one_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, 0)
    refused = shell("info", "--presets")
    assert refused.status == 2 and refused.out == ""
    assert refused.err == "invdetect: torchrun started 2 processes, and only train is shared among such; start this without it.\n"


def test_a_share_of_a_draw_is_a_part_of_the_whole() -> None:
    from InvDetectLib.methods.invdetect.noise import draw_noise
    from InvDetectLib.models import Noise

    noise = dataclasses.replace(Noise(), scales=(1, 2, 4))
    whole = draw_noise((7, 2, 9, 12), noise, 3, CPU)
    shares = [draw_noise((7, 2, 9, 12), noise, 3, CPU, one_of(3, rank).share(7)) for rank in range(3)]
    assert torch.equal(torch.cat(shares), whole)
