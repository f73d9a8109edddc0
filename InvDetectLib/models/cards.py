"""The card of a model: the texts that its maker may give, checked, and the whole of it in words.

By the standard library alone, so that a panel can show a card too. Its figures come from `train`; no text can replace them.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from ..common import WrongUse, shown
from .alternatives import AS_GIVEN
from .contrast_detail import ContrastDetail
from .method_settings import Views
from .ranges import Lengths, OneOf, Range, from_values
from .settings import Settings

TEXTS = {
    "intended_use": "what the model is for",
    "data": "what it was trained on",
    "data_licence": "licence of these data",
    "citation": "whom these data are to be credited to",
    "misses": "what it misses",
}
CHOSEN = "chosen"  # in a card: the settings that were compared by made lesions, and which were kept
Above = Annotated[float, Range(1e-9, 1e9)]
LONGEST_TEXT = 2000  # characters of one text: it is to be read
OTHER_DIRECTIONS = "other_directions"  # in a stored calibration: those of directions other than the model's own
DIRECTION_WORDS = {"bright": "brighter than normal", "dark": "darker than normal", "both": "brighter or darker than normal"}
_LABEL = 17  # columns
_PER_COLUMN = 20  # characters of a text that are looked at for each column; most of them may be blanks

CANNOT_REBUILD = "Training images cannot be rebuilt from this file."
CAN_REBUILD = "WARNING: parts of training images can be rebuilt from this file; pass it on only where the training scans may go."
HOLDS = "WARNING: this file holds {} patches of training images; pass it on only where the training scans may go."


def check_texts(texts: Any, where: str = "The card") -> dict[str, str]:
    """`texts` as they go into a card: some of `TEXTS`, each a string with something in it, at most `LONGEST_TEXT` characters long.

    where  how errors call it. Raises `WrongUse`.
    """
    known = ", ".join(TEXTS)
    if not isinstance(texts, dict):
        raise WrongUse(f"{where} must be an object of names and texts, such as {{\"intended_use\": \"...\"}}; it may have {known}.")
    for name, text in texts.items():
        if name not in TEXTS:
            raise WrongUse(f"{where} has no place for {shown(name)}; it may have {known}.")
        if not isinstance(text, str) or not text.strip():
            raise WrongUse(f"{where} needs a text as {name!r}, not {'an empty one' if isinstance(text, str) else shown(text)}.")
        if len(text) > LONGEST_TEXT:
            raise WrongUse(f"{where} has {len(text)} characters as {name!r}; at most {LONGEST_TEXT} fit.")
    return {name: " ".join(text.split()) for name, text in texts.items()}


def read_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in a JSON file, as `check_texts` gives them. Raises `WrongUse`, for a file that cannot be read too."""
    try:
        with open(path, encoding="utf-8") as file:
            texts = json.load(file)
    except OSError as error:
        raise WrongUse(f"The card {os.fspath(path)} cannot be read: {error.strerror or error}. Give a JSON file.") from error
    except (ValueError, RecursionError) as error:
        why = f"no JSON file ({shown(error)}); it must hold an object of names and texts"
        raise WrongUse(f"The card {os.fspath(path)} is {why}.") from error
    return check_texts(texts, f"The card {os.fspath(path)}")


@dataclass(frozen=True)
class TrainedOn:
    """What a card says of the normal scans that were learned from, as far as detection goes by it.

    digests     of their voxels
    unit        of `pixel`: "mm" or "pixel";  pixel  the smallest and the largest on the model's grid
    anisotropy  the largest ratio between the sides of a voxel, in the plane
    intensity   (1st, 99th percentile) of the foreground: the lowest of the scans, and the highest
    """

    digests: tuple[Annotated[str, Lengths(1, 200)], ...]
    unit: Annotated[str, OneOf(("mm", "pixel"))]
    pixel: tuple[Above, Above]
    anisotropy: Above
    intensity: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class ReliedOn:
    """What code, and not people alone, goes by in a card."""

    trained_on: TrainedOn
    mean_neighbour_distance: Annotated[float, Range(0.0, 1e12)]
    seed: int
    intensity_threshold: float | None = None  # of plain intensity, for comparison


def relied_on(card: dict[str, Any]) -> ReliedOn:
    """The facts of a card that detection rests on. Raises `InvDetectError` where one is missing, of another type, or cannot be."""
    return from_values(ReliedOn, card, "card", ignore=True)


def one_line(text: Any, width: int) -> str:
    """A card's text on one line of at most `width` columns; "" for what is no text."""
    # no more than can matter: a stranger's text may have millions of characters
    return textwrap.shorten(_plain(text[: _PER_COLUMN * width]), width, placeholder=" ...") if isinstance(text, str) else ""


def first_sentence(text: Any, width: int) -> str:
    """The first sentence of a card's text, as `one_line` gives it."""
    return one_line(text.partition(". ")[0].rstrip("."), width) if isinstance(text, str) else ""


def size_text(size: int) -> str:
    """A file's size for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"


def sees(settings: Settings) -> str:
    """What a model looks at and by what it tells normal from abnormal, for its card."""
    if settings.method == "matchgen":
        return "whole slices, against what they would be if they were normal"
    own = settings.invdetect
    if not own.views.sum:
        return f"patches of {own.patches.size} pixels, by the noise that they come from"
    scales = own.noise.scales
    learned = "white noise" if scales == (1,) else f"cells of {', '.join(map(str, scales))} pixels"
    levels = ", ".join(f"{level:g}" for level in own.views.levels)
    noise = f"noise that the network sees in them (level {levels}; {learned})"
    colour = "" if own.views.colour == "all" or settings.preparation.channels == 1 else f" of the {own.views.colour} channel"
    names = {"noise": noise, "intensity": f"brightness{colour}", "one-class": "how unusual the latents of its windows are"}
    names["residual"] = f"what the base {own.beside.base} makes of them"
    return f"whole slices: {', '.join(_views_in_words(own.views, names))}"


def _views_in_words(views: Views, names: dict[str, str]) -> Iterator[str]:
    short = {"noise": "that noise", "intensity": "brightness"}
    for view in views.sum:
        yield f"left against right of {short.get(view.kind, view.kind)}" if view.mirror else names.get(view.kind, view.kind)


def calibrations(calibration: dict[str, Any], own: str) -> dict[str, dict[str, Any]]:
    """What a model stores of its calibration, by direction; `own`, the model's, comes first. Only "" for models without directions."""
    others = calibration.get(OTHER_DIRECTIONS) if own else None
    return {own: calibration, **(others if isinstance(others, dict) else {})}


def describe(card: dict[str, Any], calibration: dict[str, Any], width: int = 100) -> Iterator[str]:
    """Card and calibration of a model for people: labels and wrapped text, figures with units. What a card lacks is left out.

    width  columns. A card may come from anyone: what is not printable is not shown, and images count as safe only where the card says so.
    """
    facts = _Facts(card)
    rows = {
        "Modality": facts.text("modality"),
        "Method": _method(facts),
        "Findings are": _direction(facts, calibration),
        "Sees": facts.text("sees"),
        "Left and right": _symmetry(facts),
        "Intended use": facts.text("intended_use"),
        "Trained on": facts.text("data"),
        "Data licence": facts.text("data_licence"),
        "Credit": facts.text("citation"),
        "Misses": facts.text("misses"),
        "Limits": facts.text("limits"),
        "Scans": _scans(facts),
        "Adapted": _adapted(facts),
        "Normal tissue": _flagged(facts),
        "Operating point": _operating_point(facts),
        "Chosen": _chosen(facts),
        "Rehearsed": _rehearsed(card),
        "p-values": _p_values(calibration),
        "Privacy": _privacy(facts),
        "Licence": facts.text("licence"),
        "Made": _made(facts),
    }
    for label, text in rows.items():
        if text:
            yield textwrap.fill(text, max(width, 40), initial_indent=f"{label:<{_LABEL}}", subsequent_indent=" " * _LABEL)


class _Facts:
    """Entries of a card by a path of names, each of the type that is asked for, or None (a text: "")."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def _find(self, names: tuple[str, ...]) -> Any:
        found: Any = self._values
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def text(self, *names: str) -> str:
        found = self._find(names)
        return one_line(found, LONGEST_TEXT)

    def number(self, *names: str) -> float | None:
        found = self._find(names)
        return float(found) if _is_number(found) else None

    def flag(self, *names: str) -> bool | None:
        found = self._find(names)
        return found if isinstance(found, bool) else None

    def objects(self, *names: str) -> list[dict[str, Any]]:
        found = self._find(names)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def numbers(self, *names: str) -> list[float]:
        found = self._find(names)
        return [float(one) for one in found] if isinstance(found, list) and all(map(_is_number, found)) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _plain(text: str) -> str:
    """On one line, and without control characters, which could drive a terminal."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _method(facts: _Facts) -> str:
    if facts.text("method") != "matchgen":
        return "InvDetect" if facts.text("method") == "invdetect" else ""
    epsilon, base = facts.number("epsilon"), facts.text("base")
    return "MatchGen" + (f", base model {base}" if base else "") + ("" if epsilon is None else f", epsilon {epsilon:.3g}")


def _direction(facts: _Facts, calibration: dict[str, Any]) -> str:
    own = facts.text("direction")
    if own not in DIRECTION_WORDS:
        return ""
    others = [name for name in calibrations(calibration, own) if name in DIRECTION_WORDS and name != own]
    told = f"{DIRECTION_WORDS[own]} ({own})"
    return f"{told}; calibrated for {' and '.join(others)}, too" if others else told


def _symmetry(facts: _Facts) -> str:
    compared, symmetry = facts.flag("mirror"), facts.number("symmetry")
    if compared is None:
        return ""
    told = "compared" if compared else "not compared"
    if symmetry is None:
        return told
    return f"{told}: normal scans agree with their own reflection to {symmetry:.2f} (1 is perfect)"


def _adapted(facts: _Facts) -> str:
    scans, strange = facts.number("adapted", "scans"), facts.number("adapted", "strangeness")
    if scans is None:
        return ""
    told = "" if strange is None else f"; what it makes out in them lay {strange:+.2f} above that in normal scans of its own kind"
    return f"to {scans:.0f} normal scans of another scanner, without training{told}"


def _scans(facts: _Facts) -> str:
    scans = facts.number("trained_on", "scans")
    if scans is None:
        return ""
    slices, patches, pixel = facts.number("trained_on", "slices"), facts.number("patches"), facts.numbers("trained_on", "pixel")
    about = [f"{count:.0f} {what}" for count, what in ((slices, "slices"), (patches, "patches")) if count is not None]
    if len(pixel) == 2:
        low, high = (f"{value:.3g}" for value in pixel)
        unit = "mm" if facts.text("trained_on", "unit") == "mm" else "of a scan's"
        about.append(f"a pixel of the model's grid is {low if low == high else f'{low} to {high}'} {unit}")
    others = [(facts.number("validated_on", "scans"), "validate"), (facts.number("calibrated_on", "scans"), "calibrate")]
    told = [f"{count:.0f} others to {use}" for count, use in others if count is not None]
    return ", ".join([f"{scans:.0f} to train" + (f" ({', '.join(about)})" if about else ""), *told])


def _flagged(facts: _Facts) -> str:
    area, scans = facts.number("normal_area"), facts.number("calibrated_on", "scans")
    parts = []
    if area is not None:
        parts.append(f"{_percent(area)} is flagged in the {'' if scans is None else f'{scans:.0f} '}normal scans it was calibrated on")
    unseen, count = facts.number("unseen_normals", "normal_area"), facts.number("unseen_normals", "scans")
    if unseen is not None and count is not None:
        parts.append(f"{_percent(unseen)} in {count:.0f} normal scans it had never seen")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _operating_point(facts: _Facts) -> str:
    threshold, contiguity = facts.number("default_threshold"), facts.number("contiguity")
    if threshold is None or contiguity is None:
        return ""
    unit = "libsvm's unit" if facts.text("score_unit") == "raw" else "the map's unit (0: 10 % of held-out normal tissue lies above)"
    tuned = facts.number("tuned", "scans")
    chosen = "" if tuned is None else f", chosen with epsilon on {tuned:.0f} annotated scans (of which no figure may be quoted)"
    return f"threshold {threshold:.3g} in {unit}, contiguity (lambda) {contiguity:.3g}{chosen}"


def _rehearsed(card: dict[str, Any]) -> str:
    detail = ContrastDetail.of_card(card)
    return "" if detail is None else _plain(detail.words())


def _chosen(facts: _Facts) -> str:
    kept, scans = facts.text(CHOSEN, "kept"), facts.number(CHOSEN, "scans")
    tried = {one.text("name"): one for one in map(_Facts, facts.objects(CHOSEN, "candidates"))}
    if kept not in tried or scans is None:
        return ""
    found, false = tried[kept].number("detection"), tried[kept].number("false_findings")
    if found is None or false is None:
        return ""
    given = tried.get(AS_GIVEN, _Facts({})).number("detection")
    beside = "" if given is None or kept == AS_GIVEN else f", as given {100 * given:.0f} %"
    return (
        f"{kept}, of {len(tried)} settings: finds {100 * found:.0f} % of the made lesions in {scans:.0f} validation scans at {false:.2g} "
        f"false findings a scan{beside}"
    )


def _p_values(calibration: dict[str, Any]) -> str:
    peaks, unit = calibration.get("peaks"), calibration.get("peak_unit")
    if not isinstance(peaks, list) or not peaks or unit not in ("scan", "slice"):
        return ""
    return f"rest on {len(peaks)} held-out normal {unit}{'s' if len(peaks) > 1 else ''}, so that the smallest is 1/{len(peaks) + 1}"


def _privacy(facts: _Facts) -> str:
    patches = facts.number("gallery")
    if patches is not None:
        return HOLDS.format(f"{patches:.0f}")
    return CANNOT_REBUILD if facts.flag("rebuilds_images") is False else CAN_REBUILD


def _made(facts: _Facts) -> str:
    parts = [facts.text("created").partition("T")[0]]
    seconds, loss, steps = facts.number("seconds"), facts.number("validation_loss"), facts.number("steps")
    if seconds is not None:
        parts.append(f"in {seconds / 60:.0f} min" if seconds >= 90 else f"in {seconds:.0f} s")
    parts += [f"on {facts.text('device')}"] if facts.text("device") else []
    parts += [f"{steps:.0f} steps"] if steps is not None else []
    parts += [f"validation loss {loss:.3g}"] if loss is not None else []
    seed = facts.number("seed")
    parts += [f"seed {seed:.0f}"] if seed is not None else []
    parts += [f"{name} {facts.text('versions', name)}" for name in ("InvDetect", "torch") if facts.text("versions", name)]
    return ", ".join(part for part in parts if part)
