"""A model file that the tests of models read, break and replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.support.made_models import make_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The file of the made model, alone in its folder."""
    path = tmp_path / "brain.invdetect"
    make_model().save(path)
    return path
