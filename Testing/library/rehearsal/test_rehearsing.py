"""Rehearsals end to end: of models that see smoothed intensity and nothing else, so that what they find can be computed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import InvDetectLib as invdetect
from InvDetectLib.common import Cancelled, InvDetectError, Progress, WrongUse
from InvDetectLib.models import KINDS, ContrastDetail, Model
from InvDetectLib.models.method_settings import Training, View, Views
from Testing.support.tiny_model import WHOLE, shell

MEAN, NOISE, SIDE, SIGMA, RATE = 100.0, 40.0, 64, 2.0, 0.01


def normal(path: Path, seed: int, side: int = SIDE) -> Path:
    """A picture of white noise, as float32 NIfTI with pixels of 1 mm."""
    values = np.random.default_rng(seed).normal(MEAN, NOISE, (side, side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.maximum(values, 0).astype(np.float32)), str(path))
    return path


def sees_smoothed_intensity(sigma: float, folder: Path, rehearse: bool = False) -> Model:
    """A model whose map is brightness smoothed by a Gaussian, and whose mask is where that lies above a threshold."""
    whole = dataclasses.replace(
        WHOLE,
        preparation=dataclasses.replace(WHOLE.preparation, intensity="window:-400,800", foreground="none"),
        invdetect=dataclasses.replace(
            WHOLE.invdetect,
            training=Training(steps=1, batch=2),
            views=Views(sum=(View("intensity", sigma=sigma),), direction="bright", mirror="no"),
        ),
        refinement=dataclasses.replace(WHOLE.refinement, contiguity=0.0, rate=RATE),
    )
    return invdetect.train(folder, settings=whole, device="cpu", rehearse=rehearse)


@dataclasses.dataclass(frozen=True)
class Noise:
    """learned, others  folders of normal pictures;  strong, weak  models that smooth much and little;  told  the strong one's rehearsal"""

    learned: Path
    others: Path
    strong: Model
    weak: Model
    told: ContrastDetail
    chart: Path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noise]:
    folder = tmp_path_factory.mktemp("noise")
    for seed in range(12):
        normal(folder / "learned" / f"{seed}.nii.gz", seed)
        normal(folder / "others" / f"{seed}.nii.gz", 100 + seed)
    strong, weak = (sees_smoothed_intensity(sigma, folder / "learned", sigma == SIGMA) for sigma in (SIGMA, 0.5))
    told = invdetect.rehearse(strong, folder / "others", device="cpu", picture=folder / "chart.png")
    yield Noise(folder / "learned", folder / "others", strong, weak, told, folder / "chart.png")


def computed(size: float, contrast: float, draws: int = 200) -> float:
    """Share found of plain discs in smoothed noise, at the threshold that 1 % of it exceeds."""
    rng = np.random.default_rng(int(1000 * size * contrast))
    rows, columns = np.indices((SIDE, SIDE)) - SIDE // 2
    disc = np.hypot(rows, columns) <= size / 2
    lesion = ndimage.gaussian_filter(disc * contrast * MEAN, SIGMA)
    level = 2.326 * NOISE / (2 * np.sqrt(np.pi) * SIGMA)
    hits = 0
    for _ in range(draws):
        field = ndimage.gaussian_filter(rng.normal(0, NOISE, disc.shape), SIGMA) + lesion
        pieces, count = ndimage.label(field > level, np.ones((3, 3)))
        shares = [(disc & (pieces == one)).sum() / (disc | (pieces == one)).sum() for one in np.unique(pieces[disc]) if one]
        hits += max(shares, default=0) >= 0.1
    return hits / draws


def test_what_is_found_is_what_can_be_computed(noise: Noise) -> None:
    told = noise.told
    for size, contrast in ((4, 0.15), (4, 0.4), (8, 0.15), (8, 0.3), (12, 0.1), (12, 0.4), (3, 0.9)):
        chance, low, high = told.probability("bright", size, contrast)
        assert low - 0.12 <= computed(size, contrast) <= high + 0.12, (size, contrast, chance)
    half = told.size_at("bright", 0.5, 0.25)
    sizes = np.arange(2.0, 14.0, 0.5)
    crossing = sizes[np.argmax([computed(size, 0.25) >= 0.5 for size in sizes])]
    assert half is not None and half == pytest.approx(crossing, rel=0.4)


def test_false_findings_and_the_share_flagged_are_those_of_the_untouched_scans(noise: Noise) -> None:
    detector = invdetect.detection.Detector(noise.strong, "cpu")
    results = [detector.detect(path) for path in sorted(noise.others.iterdir())]
    assert noise.told.scans == 12 and noise.told.calibrating == 0
    assert noise.told.false_findings == pytest.approx(np.mean([len(result.findings) for result in results]))
    assert noise.told.flagged == pytest.approx(np.mean([result.mask.mean() for result in results]))


def test_what_such_a_model_does_not_see_is_hardly_found(noise: Noise) -> None:
    assert {surface.kind: surface.tried for surface in noise.told.surfaces} == dict.fromkeys(KINDS, 60)
    for kind in ("dark", "smooth", "pushing"):
        assert noise.told.surface(kind).found <= 6
    assert "Dark ones are not looked for." in noise.told.words()


def test_the_stronger_of_two_trainings_sees_more(noise: Noise) -> None:
    weak = invdetect.rehearse(noise.weak, noise.others, device="cpu")
    assert weak.surface("bright").found + 8 < noise.told.surface("bright").found
    for size in (6, 9, 12):
        assert weak.probability("bright", size, 0.25)[0] < noise.told.probability("bright", size, 0.25)[0]


def test_training_ends_with_a_rehearsal_on_the_scans_that_set_the_threshold(noise: Noise) -> None:
    own = ContrastDetail.of_card(noise.strong.card)
    assert own is not None and own.calibrating == own.scans == noise.strong.card["calibrated_on"]["scans"]
    assert own.size_at("bright", 0.5, 0.25) == pytest.approx(noise.told.size_at("bright", 0.5, 0.25), rel=0.6)
    assert "rehearsal" not in noise.weak.card


def test_a_model_goes_through_its_file_with_its_rehearsal(noise: Noise, tmp_path: Path) -> None:
    noise.strong.save(tmp_path / "strong.invdetect")
    assert ContrastDetail.of_card(Model.load(tmp_path / "strong.invdetect").card) == ContrastDetail.of_card(noise.strong.card)
    told = shell("info", tmp_path / "strong.invdetect")
    assert (
        told.status == 0
        and "Rehearsed" in told.out
        and "so not independent" in told.out.replace("\n", " ").replace("                 ", "")
    )


def test_adapting_rehearses_anew_or_not_at_all(noise: Noise) -> None:
    some = sorted(noise.others.iterdir())[:4]
    adapted = invdetect.adapt(noise.strong, some, device="cpu")
    own = ContrastDetail.of_card(adapted.card)
    assert own is not None and own.scans == own.calibrating == 4
    assert "rehearsal" not in invdetect.adapt(noise.strong, some, device="cpu", rehearse=False).card


# The shell


def test_the_shell_tells_words_numbers_and_draws_a_chart(noise: Noise, tmp_path: Path) -> None:
    noise.strong.save(tmp_path / "strong.invdetect")
    chart = tmp_path / "chart.png"
    done = shell("rehearse", tmp_path / "strong.invdetect", noise.others, "-o", chart, "--device", "cpu")
    assert done.status == 0 and done.out == f"{noise.told.words()}\n{chart}\n", done.err
    assert chart.read_bytes() == noise.chart.read_bytes()
    again = shell("rehearse", tmp_path / "strong.invdetect", noise.others, "-o", chart)
    assert again.status == 2 and "exists already" in again.err


def test_a_higher_rate_finds_more_and_flags_more_and_another_seed_takes_other_lesions(noise: Noise, tmp_path: Path) -> None:
    noise.strong.save(tmp_path / "strong.invdetect")
    wishes = ("--rate", "0.05", "--seed", "1", "--json", "--device", "cpu")
    done = shell("rehearse", tmp_path / "strong.invdetect", noise.others, *wishes)
    assert done.status == 0 and json.loads(done.out)["surfaces"][0]["found_at"], done.err
    more = ContrastDetail.from_dict(done.json)
    assert more.rate == 0.05 and more.seed == 1 and more.flagged > 3 * noise.told.flagged
    assert more.probability("bright", 5, 0.15)[0] > noise.told.probability("bright", 5, 0.15)[0]
    assert more.surface("bright").sizes != noise.told.surface("bright").sizes


def test_training_without_a_rehearsal_leaves_no_words(noise: Noise, tmp_path: Path) -> None:
    words = ("--preset", "tiny-whole", "--no-rehearsal", "--json", "--device", "cpu")
    done = shell("train", noise.learned, "-o", tmp_path / "a.invdetect", *words)
    assert done.status == 0 and "rehearsal" not in done.json["card"], done.err


# What cannot be


def test_one_normal_scan_is_not_enough(noise: Noise) -> None:
    with pytest.raises(WrongUse, match="only 1 normal scan can be used; give at least 2"):
        invdetect.rehearse(noise.strong, sorted(noise.others.iterdir())[:1], device="cpu")
    with pytest.raises(WrongUse, match="only 0 normal scans"):  # those that were trained on are none
        known = set(noise.strong.card["trained_on"]["digests"])
        from InvDetectLib.scans import read_scan

        invdetect.rehearse(noise.strong, [path for path in noise.learned.iterdir() if read_scan(path).digest in known], device="cpu")


def test_scans_too_small_for_lesions_are_refused(noise: Noise, tmp_path: Path) -> None:
    for seed in range(2):  # on the model's grid of 64 pixels, each of them is 2 of the scan: lesions of 4 mm in 12
        values = np.zeros((128, 128), np.float32)
        values[60:72, 60:72] = np.random.default_rng(seed).normal(MEAN, NOISE / 4, (12, 12))
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"{seed}.nii.gz"))
    only_tissue = dataclasses.replace(noise.strong.settings.preparation, foreground="auto")
    model = dataclasses.replace(noise.strong, settings=dataclasses.replace(noise.strong.settings, preparation=only_tissue))
    with pytest.raises(InvDetectError, match="smaller than the lesions to put in.*none below 4 mm.*quarter of the foreground"):
        invdetect.rehearse(model, tmp_path, device="cpu")


def test_scans_that_are_not_normal_are_warned_of(noise: Noise, tmp_path: Path) -> None:
    for path in sorted(noise.others.iterdir())[:3]:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        values[20:44, 20:44] += 60
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / path.name))
    told = Progress()
    invdetect.rehearse(noise.strong, tmp_path, device="cpu", progress=told)
    assert any("In 3 of the 3 scans more than 5% is flagged without any made lesion" in text for text in told.warnings)


def test_a_training_with_one_scan_to_calibrate_goes_on_without_a_rehearsal(noise: Noise, tmp_path: Path) -> None:
    for path in sorted(noise.learned.iterdir())[:4]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    told = Progress()
    settings = dataclasses.replace(noise.strong.settings, preset="custom")
    model = invdetect.train(tmp_path, settings=settings, device="cpu", progress=told)
    assert "rehearsal" not in model.card and any("not rehearsed: " in text and "only 1 normal scan" in text for text in told.warnings)


def test_a_rehearsal_can_be_stopped(noise: Noise) -> None:
    told = Progress(lambda event: told.cancel() if event.stage.startswith("rehearsing") and event.done else None)
    with pytest.raises(Cancelled):
        invdetect.rehearse(noise.strong, noise.others, device="cpu", progress=told)


@pytest.mark.parametrize(
    ("name", "words"),
    [("chart.jpg", "must end in .png"), ("there.png", "exists already"), ("there.png/chart.png", "chart cannot be written to")],
)
def test_a_chart_that_cannot_be_is_refused_before_the_work(noise: Noise, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(InvDetectError, match=words):
        invdetect.rehearse(noise.strong, tmp_path / "nowhere", picture=tmp_path / name)
    assert (tmp_path / "there.png").read_bytes() == b"mine"
