"""A model on another scanner: calibrated anew by a few normal scans of it, or, without any, told how far it is; and directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import InvDetectLib as invdetect
from InvDetectLib.common.errors import WrongUse
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.models import Model
from InvDetectLib.scans.phantoms import write_phantoms
from Testing.support.tiny_model import SIZE, WHOLE, World, rewrite, shell


@dataclass(frozen=True)
class Scanners:
    """own/ and other/ hold normal heads of two scanners, sick/ heads with lesions of the other one; model  learned from own/."""

    own: Path
    other: Path
    sick: Path
    model: Path


def another_scanner(values: np.ndarray) -> np.ndarray:
    """A harder contrast, and more noise."""
    rng = np.random.default_rng(int(values.sum()) % 2**31)
    top = values.max()
    return top * (values / top) ** 1.6 + (values > 0.02 * top) * rng.normal(0, 0.02 * top, values.shape)


@pytest.fixture(scope="module")
def scanners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanners]:
    folder = tmp_path_factory.mktemp("scanners")
    own, other, sick = (folder / name for name in ("own", "other", "sick"))
    write_phantoms(own, 8, size=SIZE)
    for path in write_phantoms(folder / "drawn", 5, first_seed=300, size=SIZE):
        rewrite(path, other / path.name, another_scanner)
    for path in write_phantoms(folder / "drawn-sick", 2, first_seed=1000, size=SIZE, lesions=1):
        rewrite(path, sick / path.name, another_scanner)
    model = invdetect.train(own, settings=WHOLE, device="cpu", rehearse=False)
    model.save(folder / "own.invdetect")
    yield Scanners(own, other, sick, folder / "own.invdetect")


def flagged(model: Model | Path, scans: Path, **options: object) -> float:
    """Share of the foreground of normal scans that is flagged."""
    detector = Detector(model, "cpu")
    results = [detector.detect(path, **options) for path in sorted(scans.iterdir())]  # type: ignore[arg-type]
    return float(sum(result.mask.sum() for result in results) / sum(result.foreground.sum() for result in results))


def test_after_adapting_the_rate_holds_on_the_other_scanner(scanners: Scanners) -> None:
    adapted = invdetect.adapt(scanners.model, scanners.other, device="cpu", rehearse=False)
    assert flagged(adapted, scanners.other) == pytest.approx(0.01, abs=0.005)
    assert abs(flagged(scanners.model, scanners.other) - 0.01) > 0.008, "before, it did not"


def test_the_network_stays_and_the_card_says_what_happened(scanners: Scanners) -> None:
    before, after = Model.load(scanners.model), invdetect.adapt(scanners.model, scanners.other, device="cpu", rehearse=False)
    same = [name for name in before.arrays if name.startswith("network/")]
    assert same and all(np.array_equal(before.arrays[name], after.arrays[name]) for name in same)
    assert not np.array_equal(before.arrays["views/views"], after.arrays["views/views"])
    assert after.card["adapted"]["scans"] == after.card["calibrated_on"]["scans"] == 5
    assert after.card["adapted"]["from"] == before.checksum and after.card["trained_on"]["scans"] == before.card["trained_on"]["scans"]
    assert len(after.calibration["peaks"]) == 5 and set(after.calibration["other_directions"]) == {"bright", "dark"}


def test_three_scans_give_something(scanners: Scanners) -> None:
    some = sorted(scanners.other.iterdir())[:3]
    adapted = invdetect.adapt(scanners.model, some, device="cpu", rehearse=False)
    assert adapted.card["adapted"]["scans"] == 3
    assert abs(flagged(adapted, scanners.other) - 0.01) < abs(flagged(scanners.model, scanners.other) - 0.01)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_scans_are_refused(scanners: Scanners, count: int, tmp_path: Path) -> None:
    some = sorted(scanners.other.iterdir())[:count] or scanners.own
    with pytest.raises(WrongUse, match=f"cannot be said from {count} that can be used; give at least 2"):
        invdetect.adapt(scanners.model, some if count else sorted(trained_on(scanners)), device="cpu", rehearse=False)


def trained_on(scanners: Scanners) -> list[Path]:
    known = set(Model.load(scanners.model).card["trained_on"]["digests"])
    return [path for path in scanners.own.iterdir() if invdetect.Scan and _digest(path) in known]


def _digest(path: Path) -> str:
    from InvDetectLib.scans import read_scan

    return read_scan(path).digest


def test_scans_that_the_model_was_trained_on_are_left_out_with_a_sentence(scanners: Scanners) -> None:
    told = Progress()
    some = [*trained_on(scanners)[:1], *sorted(scanners.other.iterdir())[:2]]
    assert invdetect.adapt(scanners.model, some, device="cpu", rehearse=False, progress=told).card["adapted"]["scans"] == 2
    assert any("was trained on this very scan" in text for text in told.warnings)


def test_another_modality_is_refused_by_its_name(scanners: Scanners) -> None:
    model = Model.load(scanners.model)
    named = Model(Model.load(scanners.model).settings, model.arrays, model.calibration, model.card)
    from dataclasses import replace

    named.settings = replace(model.settings, preparation=replace(model.settings.preparation, modality="MRI T1"))
    with pytest.raises(WrongUse, match="said to be CT, and the model was made for MRI T1"):
        invdetect.adapt(named, scanners.other, modality="CT", device="cpu", rehearse=False)


def test_another_kind_of_scan_is_told_by_how_it_looks(scanners: Scanners, tmp_path: Path) -> None:
    """Half of each head is filled with blots that no head has."""

    def blotted(values: np.ndarray) -> np.ndarray:
        rows, columns = np.indices(values.shape[1:])
        blots = (np.sin(rows / 2.5) * np.sin(columns / 2.5) > 0.3) & (columns > 32)
        return np.where(blots & (values > 0.1 * values.max()), 2 * values.max(), values)

    for path in sorted(scanners.own.iterdir()):
        rewrite(path, tmp_path / path.name, blotted)
    told = Progress()
    card = invdetect.adapt(scanners.model, tmp_path, device="cpu", rehearse=False, progress=told).card
    assert card["adapted"]["strangeness"] > 0.4 and any("more for another modality" in text for text in told.warnings)


def test_the_shell_writes_a_model_once_and_whole(scanners: Scanners, tmp_path: Path) -> None:
    target = tmp_path / "other.invdetect"
    done = shell("calibrate", scanners.model, scanners.other, "-o", target, "--device", "cpu")
    assert done.status == 0 and "adapted to 5 normal scans" in done.out, done.err
    assert Model.load(target).card["adapted"]["scans"] == 5
    again = shell("calibrate", scanners.model, scanners.other, "-o", target, "--device", "cpu")
    assert again.status == 2 and "exists already" in again.err
    nothing = shell("calibrate", scanners.model, tmp_path / "nowhere", "-o", tmp_path / "x.invdetect", "--device", "cpu")
    assert nothing.status != 0 and not (tmp_path / "x.invdetect").exists()


# Without normal scans of the other scanner


def test_a_scan_of_another_scanner_is_told_and_its_shift_is_kept(scanners: Scanners) -> None:
    detector = Detector(scanners.model, "cpu")
    strange = detector.detect(sorted(scanners.other.iterdir())[0]).provenance
    familiar = detector.detect(sorted(scanners.own.iterdir())[0]).provenance
    assert any("lie elsewhere" in text or "unlike those" in text for text in strange["warnings"])
    assert not any("lie elsewhere" in text for text in familiar["warnings"])
    assert set(strange["score_shift"]) == {"median", "spread"}


def test_scores_adapted_to_the_scan_have_the_median_and_spread_of_held_out_normals(scanners: Scanners) -> None:
    detector, path = Detector(scanners.model, "cpu"), sorted(scanners.other.iterdir())[0]
    told: list[int] = []
    found = detector.detect(path, adapt="scan", on_slice=lambda one: told.append(one.index))
    assert found.provenance["score_shift"] == {"median": pytest.approx(0, abs=0.01), "spread": pytest.approx(1, abs=0.01)}
    assert found.provenance["adapted"] == "scan" and told == [0, 1, 2]
    with pytest.raises(WrongUse, match="adapted to 'all'"):
        detector.detect(path, adapt="all")


# Directions


def test_every_direction_has_a_calibration_of_its_own_that_holds(scanners: Scanners) -> None:
    for direction in ("bright", "dark", "both"):
        detector = Detector(scanners.model, "cpu", direction)
        results = [detector.detect(path, rate=0.05) for path in sorted(scanners.own.iterdir())]
        share = sum(int(result.mask.sum()) for result in results) / sum(int(result.foreground.sum()) for result in results)
        assert share == pytest.approx(0.05, abs=0.03) and results[0].provenance["direction"] == direction


def test_bright_and_dark_lesions_are_found_by_their_direction(scanners: Scanners, tmp_path: Path) -> None:
    def with_lesion(change: float) -> Path:
        def changed(values: np.ndarray) -> np.ndarray:
            values[:, 24:32, 34:42] *= 1 + change
            return values

        return rewrite(sorted(scanners.own.iterdir())[0], tmp_path / f"{change}.nii.gz", changed)

    for change, direction, other in ((0.6, "bright", "dark"), (-0.6, "dark", "bright")):
        path = with_lesion(change)
        found = {name: Detector(scanners.model, "cpu", name).detect(path) for name in (direction, other, "both")}
        means = {name: result.anomaly_map[:, 26:30, 36:40].mean() for name, result in found.items()}
        assert means[direction] > 0.5 > means[other] and found["both"].mask[:, 26:30, 36:40].mean() > 0.5


def test_the_shell_takes_a_direction_and_refuses_one_that_there_is_not(scanners: Scanners, world: World, tmp_path: Path) -> None:
    scan = sorted(scanners.sick.iterdir())[0]
    done = shell("detect", scan, "-m", scanners.model, "-o", tmp_path / "out", "--direction", "dark", "--device", "cpu")
    assert done.status == 0, done.err
    unknown = shell("detect", scan, "-m", scanners.model, "-o", tmp_path / "no", "--direction", "up", "--device", "cpu")
    assert unknown.status == 2 and "not calibrated for the direction 'up'; it was for both, bright, dark" in unknown.err
    plain = shell("detect", scan, "-m", world.model, "-o", tmp_path / "no", "--direction", "bright", "--device", "cpu")
    assert plain.status == 2 and "does not tell bright from dark" in plain.err
    for words, text in (
        (("--direction", "up"), "no direction 'up'"),
        (("--preset", "paper", "--direction", "dark"), "without a direction"),
        (("--plane", "sagittal", "--mirror", "yes"), "cannot be compared in sagittal"),
        (("--beside", "gan"), "no base 'gan'"),
        (("--preset", "fine", "--beside", "dae"), "sums no views"),
        (("--grid", "256", "--beside", "dae"), "give no larger grid"),
    ):
        refused = shell("train", scanners.own, "-o", tmp_path / "no.invdetect", *words, "--device", "cpu")
        assert refused.status == 2 and text in refused.err and not (tmp_path / "no.invdetect").exists(), refused.err
