"""The contrast-detail chart: drawn from a card alone too, the same every time, with its lines and lesions where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.models import KINDS, ContrastDetail
from InvDetectLib.rehearsal import draw_chart
from Testing.support.rehearsed import told


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


def test_where_no_size_is_found_by_half_the_panel_says_how_many_were(tmp_path: Path) -> None:
    few, none = (drawn(told(b0, "bright"), tmp_path / f"{b0}.png")[180:220, 110:340] for b0 in (-2.0, -20.0))
    assert none.max() > 200 > few[:, :100].max()  # letters, in a part where nothing else is bright


def test_fewer_kinds_make_a_smaller_chart(tmp_path: Path) -> None:
    heights = [len(drawn(told(-2.0, *KINDS[:count]), tmp_path / f"{count}.png")) for count in (1, 3, 5)]
    assert heights[1] == 2 * heights[0] and heights[2] == 3 * heights[0]


def test_a_place_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvDetectError, match="The chart cannot be written to"):
        draw_chart(told(-2.0), tmp_path / "file" / "a.png")


def test_a_chart_for_a_light_panel_has_dark_letters_on_white_and_the_same_panels(tmp_path: Path) -> None:
    draw_chart(told(-2.0), tmp_path / "light.png", dark=False)
    light, dark = np.array(Image.open(tmp_path / "light.png").convert("RGB")), drawn(told(-2.0), tmp_path / "dark.png")
    assert (light[:4] == 255).all() and (dark[:4] < 40).all()
    assert light[4:36, 78:376].min() < 60 < 200 < dark[4:36, 78:376].max()  # the first title
    assert np.array_equal(light[60:220, 90:370], dark[60:220, 90:370])


def test_a_chart_has_the_width_that_was_asked_for_and_its_shape(tmp_path: Path) -> None:
    draw_chart(told(-2.0), tmp_path / "whole.png")
    draw_chart(told(-2.0), tmp_path / "narrow.png", width=340)
    whole, narrow = (Image.open(tmp_path / f"{name}.png").size for name in ("whole", "narrow"))
    assert narrow[0] == 340 and narrow[1] / narrow[0] == pytest.approx(whole[1] / whole[0], abs=0.01)
    with pytest.raises(WrongUse, match="200 to 2000 pixels wide, not 40000"):
        draw_chart(told(-2.0), tmp_path / "huge.png", width=40_000)
    assert not (tmp_path / "huge.png").exists()
