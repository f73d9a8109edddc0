"""The contrast-detail chart: drawn from a card alone too, the same every time, with its lines and lesions where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import KINDS, ContrastDetail, Surface
from InvDetectLib.rehearsal import draw_chart

WEAK = ((0.2, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1))


def told(b0: float, *kinds: str, **facts: object) -> ContrastDetail:
    """Kinds of which half are found at 8 mm and 25 %, for b0 = -2."""
    surfaces = tuple(Surface(kind, 60, 30, (2.0, 32.0), (0.05, 1.0), 4.0, (b0, 2.0, 2.0), WEAK) for kind in kinds or KINDS)
    plain = {"unit": "mm", "direction": "", "rate": None, "flagged": 0.01, "false_findings": 0.4, "scans": 6, "calibrating": 6, "seed": 0}
    return ContrastDetail(**{**plain, **facts}, surfaces=surfaces)  # type: ignore[arg-type]


def drawn(detail: ContrastDetail, path: Path) -> np.ndarray:
    """(row, column, 3) of the chart."""
    draw_chart(detail, path)
    return np.array(Image.open(path).convert("RGB"))


def test_a_chart_is_drawn_from_a_card_alone_and_is_the_same_every_time(tmp_path: Path) -> None:
    drawn(told(-2.0), tmp_path / "a.png")
    drawn(told(-2.0), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size[0] == 800 and len(Image.open(tmp_path / "a.png").info) <= 1  # no name, no date


def test_colours_grow_with_what_is_found_towards_large_and_strong(tmp_path: Path) -> None:
    chart = drawn(told(-2.0, "bright"), tmp_path / "a.png").astype(float)
    panel = chart[44:236, 78:376].mean(axis=2)
    assert panel[:20, -20:].mean() > panel[80:100, 140:160].mean() > panel[-20:, :20].mean()
    blind = drawn(told(-20.0, "bright"), tmp_path / "b.png").astype(float)[44:236, 78:376].mean(axis=2)
    assert blind[:20, -20:].mean() < panel[80:100, 140:160].mean()


def test_fewer_kinds_make_a_smaller_chart(tmp_path: Path) -> None:
    heights = [len(drawn(told(-2.0, *KINDS[:count]), tmp_path / f"{count}.png")) for count in (1, 3, 5)]
    assert heights[1] == 2 * heights[0] and heights[2] == 3 * heights[0]


def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvDetectError, match="The chart cannot be written to"):
        draw_chart(told(-2.0), tmp_path / "file" / "a.png")
