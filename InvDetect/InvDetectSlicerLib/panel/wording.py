"""Numbers in words for the panel."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """About how long, as people say it."""
    if seconds < 2:
        return "a second or two"
    if seconds < 90:
        step = 1 if seconds < 10 else 5
        return f"{round(seconds / step) * step} s"
    minutes = seconds / 60
    return f"{round(minutes)} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def size(volume: float, unit: str) -> str:
    """The size of a finding, in a unit that keeps the number short."""
    if unit == "mm3":
        return f"{volume / 1000:.1f} ml" if volume >= 1000 else f"{volume:.0f} mm\u00b3"
    if unit == "mm2":
        return f"{volume / 100:.1f} cm\u00b2" if volume >= 1000 else f"{volume:.0f} mm\u00b2"
    return f"{volume:.0f} px"


def percent(share: float) -> str:
    """A share (0 to 1) with two digits."""
    return f"{100 * share:.2g} %"


def count(number: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many}"
