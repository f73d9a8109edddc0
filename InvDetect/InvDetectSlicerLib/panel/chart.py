"""What a model's held-out normal scans say, as a picture: how much normal tissue is flagged at which threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from .wording import count, percent

SIZE = (340, 200)  # pixels
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 28, 14, 44  # pixels around the curve, for words and numbers
_SHARES = (0.0001, 0.001, 0.01, 0.1, 1.0)  # lines across
_MARK = 9  # pixels, the side of the square at the default
_FAINT = 0.2
_CALM = 0.6


@dataclass(frozen=True)
class FalseAlarms:
    """How much of the held-out normal tissue a model flags.

    thresholds, shares  ascending and descending: share (0 to 1) flagged at each threshold of the map, at the model's own contiguity
    default             threshold and share of the model's own operating point
    scans               how many normal scans were held out; 0 when nobody wrote it down
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    default: tuple[float, float]
    scans: int

    @classmethod
    def of(cls, calibration: dict[str, Any], card: dict[str, Any]) -> FalseAlarms | None:
        """From what `InvDetectLib.models.read_header` gives. None for a model that does not know it, or where it makes no sense."""
        try:
            row = calibration["thresholds"][calibration["contiguities"].index(1.0)]
            known = dict(zip(map(float, calibration["rates"]), map(float, row)))
            default = float(calibration["default_threshold"]), float(calibration["normal_area"])
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError):
            return None
        # Several shares may have the same threshold, where the map is at its highest value in many pixels: the largest was measured.
        points = {threshold: share for share, threshold in sorted(known.items())}
        thresholds = sorted(points)
        shares = tuple(points[threshold] for threshold in thresholds)
        right = all(map(math.isfinite, (*thresholds, *default))) and all(0 < share <= 1 for share in shares) and 0 <= default[1] <= 1
        if len(points) < 2 or not right or list(shares) != sorted(shares, reverse=True):
            return None
        return cls(tuple(thresholds), shares, default, _scans(card))

    def where(self) -> str:
        """In which scans it was measured."""
        one, many = _("held-out normal scan"), _("held-out normal scans")
        return count(self.scans, one, many) if self.scans else many

    def text(self) -> str:
        """The picture in words."""
        return _(
            "Of the tissue of {where}, the model flags {default} at its default threshold of {threshold:.2f}, {most} at {low:.2f} "
            "and {least} at {high:.2f}."
        ).format(
            where=self.where(),
            default=percent(self.default[1]),
            threshold=self.default[0],
            most=percent(self.shares[0]),
            low=self.thresholds[0],
            least=percent(self.shares[-1]),
            high=self.thresholds[-1],
        )


def show_false_alarms(label: Any, calibration: dict[str, Any], card: dict[str, Any]) -> None:
    """The picture in a label, and its words for those who do not see it; a model that does not know takes no room."""
    alarms = FalseAlarms.of(calibration, card)
    label.visible = alarms is not None
    if alarms is None:
        label.clear()
    else:
        label.pixmap = false_alarm_plot(alarms, *SIZE, label.palette)
    label.accessibleName = label.toolTip = "" if alarms is None else alarms.text()


def false_alarm_plot(alarms: FalseAlarms, width: int, height: int, palette: Any) -> Any:
    """The share that is flagged over the threshold as a pixmap, the default marked; in the colours of the application."""
    plot = qt.QPixmap(width, height)
    plot.fill(palette.color(qt.QPalette.Base))
    painter = qt.QPainter(plot)
    try:
        _paint(painter, alarms, width, height, palette)
    finally:
        painter.end()  # a painter that is left open takes Qt down with its pixmap
    return plot


def _paint(painter: Any, alarms: FalseAlarms, width: int, height: int, palette: Any) -> None:
    ink, curve = palette.color(qt.QPalette.Text), palette.color(qt.QPalette.Highlight)
    right, bottom = width - _RIGHT, height - _BOTTOM
    threshold, share = alarms.default
    low, high = min(alarms.thresholds[0], threshold), max(alarms.thresholds[-1], threshold)
    most, least = max(alarms.shares[0], share), min(alarms.shares[-1], max(share, _SHARES[0]))

    def x(value: float) -> int:
        return _LEFT + round((right - _LEFT) * (value - low) / max(high - low, 1e-9))

    def y(value: float) -> int:
        return _TOP + round((bottom - _TOP) * math.log(most / max(value, least)) / max(math.log(most / least), 1e-9))

    font = painter.font()
    font.setPointSize(8)
    painter.setFont(font)
    painter.setPen(ink)
    _write(painter, 4, 4, width - 8, qt.Qt.AlignLeft, _("Normal tissue flagged in {scans}").format(scans=alarms.where()))
    for value in _SHARES:
        if least * 0.99 <= value <= most * 1.01:
            _line(painter, _LEFT, y(value), right, y(value), _FAINT)
            _write(painter, 0, y(value) - 8, _LEFT - 6, qt.Qt.AlignRight, percent(value))
    for value in _ticks(low, high):
        _line(painter, x(value), bottom, x(value), bottom + 4)
        _write(painter, x(value) - 30, bottom + 6, 60, qt.Qt.AlignHCenter, f"{value:g}")
    _line(painter, _LEFT, bottom, right, bottom)
    looser, stricter = _("\u2190 finds more"), _("stricter \u2192")
    _write(painter, _LEFT, height - 20, right - _LEFT, qt.Qt.AlignLeft, looser)
    _write(painter, _LEFT + 16, height - 20, right - _LEFT - 16, qt.Qt.AlignHCenter, _("threshold (map value)"))  # the left word is longer
    _write(painter, _LEFT, height - 20, right - _LEFT, qt.Qt.AlignRight, stricter)

    painter.setRenderHint(qt.QPainter.Antialiasing)
    painter.setPen(curve)
    places = [(x(value), y(part)) for value, part in zip(alarms.thresholds, alarms.shares)]
    for (x0, y0), (x1, y1) in zip(places, places[1:]):
        for thick in (0, 1):
            painter.drawLine(x0, y0 + thick, x1, y1 + thick)

    painter.setPen(ink)
    at, up = x(threshold), y(share)
    _line(painter, _LEFT, up, at, up, _CALM)
    _line(painter, at, up, at, bottom, _CALM)
    painter.fillRect(at - _MARK // 2, up - _MARK // 2, _MARK, _MARK, ink)
    told = _("default: {share} at {threshold:.2f}").format(share=percent(share), threshold=threshold)
    if at < (_LEFT + right) // 2:  # the curve falls: there is room above it on the right, and below it on the left
        _write(painter, at + 9, up - 18, right - at, qt.Qt.AlignLeft, told)
    else:
        _write(painter, _LEFT, up + 3, at - _LEFT - 8, qt.Qt.AlignRight, told)


def _line(painter: Any, x0: int, y0: int, x1: int, y1: int, strength: float = 1.0) -> None:
    painter.setOpacity(strength)
    painter.drawLine(x0, y0, x1, y1)
    painter.setOpacity(1.0)


def _write(painter: Any, x: int, y: int, width: int, side: Any, text: str) -> None:
    painter.drawText(x, y, width, 16, int(side) | int(qt.Qt.AlignVCenter), text)


def _ticks(low: float, high: float) -> list[float]:
    """A handful of round numbers within an interval."""
    rough = max(high - low, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _scans(card: dict[str, Any]) -> int:
    told = card.get("calibrated_on")
    scans = told.get("scans") if isinstance(told, dict) else None
    return scans if isinstance(scans, int) and scans > 0 else 0
