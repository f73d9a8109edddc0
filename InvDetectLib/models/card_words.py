"""The card of a model in words. By the standard library alone, so that a panel can show it too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from .alternatives import AS_GIVEN
from .cards import CHOSEN, DIRECTION_WORDS, LONGEST_TEXT, calibrations, one_line, printable
from .contrast_detail import ContrastDetail
from .method_settings import Views
from .settings import Settings

_LABEL = 17  # columns

CANNOT_REBUILD = "Training images cannot be rebuilt from this file."
CAN_REBUILD = "WARNING: parts of training images can be rebuilt from this file; pass it on only where the training scans may go."
HOLDS = "WARNING: this file holds {} patches of training images; pass it on only where the training scans may go."


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
    return "" if detail is None else printable(detail.words())


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
    rest = f"rest on {len(peaks)} held-out normal {unit}{'s' if len(peaks) > 1 else ''}, so that the smallest is 1/{len(peaks) + 1}"
    return rest if unit == "scan" else f"{rest} in a single slice; in a scan of N slices it is N times that, at most 1"


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
