"""Slicers to install into: one with nothing but its own packages, and both versions with the PyTorch extension. All are stand-ins."""

from __future__ import annotations

import pytest

from Testing.support.pip_in_slicer import Slicer


@pytest.fixture
def slicer(monkeypatch: pytest.MonkeyPatch) -> Slicer:
    """Slicer 5.10 without the PyTorch extension."""
    return Slicer(monkeypatch)


@pytest.fixture(params=["5.10", "5.12"])
def either(request: pytest.FixtureRequest, slicer: Slicer) -> Slicer:
    """Slicer 5.10 and 5.12, with the PyTorch extension."""
    if request.param == "5.12":
        slicer.is_5_12()
    slicer.has_pytorch_extension()
    return slicer
