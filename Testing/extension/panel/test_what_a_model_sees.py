"""What a model can see of made lesions: a sentence where it is chosen, the chart under "About this model". The worker is the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import wait_for  # noqa: E402
from Testing.support.rehearsed import told, with_rehearsal  # noqa: E402
from Testing.support.slicer_host.qt_host import dark, process_events, start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectLib.models import NOT_REHEARSED  # noqa: E402

SEEN, OTHER = told(-2.0), told(-4.0, "bright", "dark")


@pytest.fixture(scope="module")
def models(models: Path) -> Path:
    """A models folder that holds models that were rehearsed, and one that was not."""
    with_rehearsal(models / "tiny.invdetect", models / "seen.invdetect", SEEN)
    with_rehearsal(models / "tiny.invdetect", models / "other.invdetect", OTHER)
    with_rehearsal(models / "tiny.invdetect", models / "again.invdetect", told(-5.0))
    with_rehearsal(models / "tiny.invdetect", models / "damaged.invdetect", told(-3.0))
    return models


@pytest.fixture
def about(panel: Any) -> Iterator[Any]:
    """The widgets, with the model that was rehearsed chosen and "About this model" closed."""
    panel.ui.aboutButton.collapsed = True
    panel.models.choose("seen")
    process_events()
    yield panel.ui
    panel.ui.aboutButton.collapsed = True


def has_picture(ui: Any) -> bool:
    return ui.chartImage.visible and not ui.chartImage.pixmap.isNull()


def test_where_a_model_is_chosen_a_sentence_says_what_it_finds(panel: Any, about: Any) -> None:
    assert about.sightLabel.visible and about.sightLabel.text == SEEN.sentences()[0]
    assert "9 of 10" in about.sightLabel.text and "mm on" in about.sightLabel.text
    panel.models.choose("tiny")
    assert not about.sightLabel.visible


def test_the_chart_is_drawn_when_somebody_looks_and_kept(panel: Any, about: Any) -> None:
    process_events()
    assert not about.chartImage.visible and not panel._logic.busy
    about.aboutButton.collapsed = False
    assert "Drawing" in about.chartImage.text
    wait_for(lambda: has_picture(about))
    assert 330 <= about.chartImage.pixmap.width() <= 350 and about.chartImage.pixmap.height() > 400
    process_events()
    assert about.chartImage.height >= about.chartImage.pixmap.height() and about.chartImage.width >= about.chartImage.pixmap.width()
    assert about.chartImage.accessibleName == about.chartImage.toolTip == SEEN.words()
    assert not list(panel._logic.client.folder.glob("*.png"))
    about.aboutButton.collapsed = True
    about.aboutButton.collapsed = False
    assert has_picture(about) and not panel._logic.busy


def test_it_has_the_ground_of_the_application(panel: Any, about: Any) -> None:
    about.aboutButton.collapsed = False
    wait_for(lambda: has_picture(about))
    light = about.chartImage.pixmap.toImage().pixelColor(1, 1).lightness()
    with dark():
        process_events()
        panel.models.refresh()
        wait_for(lambda: has_picture(about) and about.chartImage.pixmap.toImage().pixelColor(1, 1).lightness() < 60)
    assert light > 240


def test_a_model_that_was_not_rehearsed_says_so_instead(panel: Any, about: Any) -> None:
    about.aboutButton.collapsed = False
    panel.models.choose("tiny")
    process_events()
    assert about.chartImage.visible and about.chartImage.text == NOT_REHEARSED and about.chartImage.height < 80 and not panel._logic.busy


def test_another_model_chosen_meanwhile_gets_its_own_chart(panel: Any, about: Any) -> None:
    panel._logic.close()
    about.aboutButton.collapsed = False
    panel.models.choose("other")
    wait_for(lambda: has_picture(about))
    assert about.chartImage.accessibleName == OTHER.words()
    wait_for(lambda: not panel._logic.busy)
    assert about.chartImage.accessibleName == OTHER.words()


def test_a_model_chosen_again_in_haste_gets_its_chart_all_the_same(panel: Any, about: Any) -> None:
    panel.models.choose("again")
    about.aboutButton.collapsed = False
    panel.models.choose("other")
    panel.models.choose("again")
    wait_for(lambda: not panel._logic.busy)
    assert has_picture(about) and about.chartImage.accessibleName == told(-5.0).words()


def test_a_chart_that_cannot_be_drawn_says_why_in_its_place(panel: Any, about: Any, models: Path) -> None:
    panel.models.choose("damaged")
    (models / "damaged.invdetect").write_bytes(b"no model")
    about.aboutButton.collapsed = False
    assert "Drawing" in about.chartImage.text
    wait_for(lambda: "Drawing" not in about.chartImage.text)
    assert "damaged" in about.chartImage.text and about.chartImage.pixmap.isNull()
    (models / "damaged.invdetect").unlink()
    panel.models.refresh()


def test_a_worker_that_goes_away_leaves_no_promise(panel: Any, about: Any) -> None:
    panel.models.choose("other")
    with dark():
        process_events()
        about.aboutButton.collapsed = False
        panel._logic.close()
        assert "Drawing" not in about.chartImage.text


def test_scripts_get_the_chart_itself(panel: Any, about: Any) -> None:
    assert panel._logic.chart("seen", width=400).startswith(b"\x89PNG")
