"""The sample of Slicer's module Sample Data: had by its button and by scripts, without a network."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.models import register_sample_data, resource, sample_data  # noqa: E402
from InvDetectSlicerLib.sample_data import add_made_head  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of, scan_of  # noqa: E402

from InvDetectLib.scans import read_scan, write_phantoms  # noqa: E402
from Testing.support.slicer_host.sample_data_module import sample_data as stand_in  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture(autouse=True)
def views(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `slicer.util` asks for the slice views; the host without Qt lacks it."""
    manager = SimpleNamespace(mrmlSliceLogics=lambda: slicer.app.applicationLogic().GetSliceLogics())
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager, raising=False)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Slicer's module, with our sample registered."""
    cache = tmp_path / "Remote IO, größer"
    cache.mkdir()
    module = stand_in(cache)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    register_sample_data()
    return module


def test_a_script_gets_the_sample_by_its_name(module: Any) -> None:
    node = module.downloadSample("InvDetectMadeHead")
    assert node.GetName() == "Made head" and [address.partition(":")[0] for address in module.fetched] == ["file"]
    ours = scan_of(add_made_head())
    loaded = scan_of(node)
    assert np.array_equal(loaded.array, ours.array)
    np.testing.assert_allclose(loaded.geometry.ras_from_index((3, 50, 70)), ours.geometry.ras_from_index((3, 50, 70)), atol=1e-4)


def test_a_file_of_that_name_from_an_older_version_is_not_taken(module: Any, tmp_path: Path) -> None:
    (tmp_path / "Remote IO, größer" / "InvDetectMadeHead.nii.gz").write_bytes(b"older")
    assert array_of(module.downloadSample("InvDetectMadeHead")).shape == (12, 128, 128) and len(module.fetched) == 1


def test_the_button_takes_the_same_way(module: Any) -> None:
    source = module.sources["InvDetectMadeHead"]
    assert not source.get("customDownloader") and Path(source["thumbnailFileName"]).is_file() and source["category"] == "InvDetect"


def test_the_sample_is_the_head_that_its_seed_draws(tmp_path: Path) -> None:
    path = resource(sample_data.FILE)
    assert "SHA256:" + hashlib.sha256(path.read_bytes()).hexdigest() == sample_data.CHECKSUM and path.stat().st_size < 300_000
    (drawn,) = write_phantoms(tmp_path, 1, sample_data.SEED, lesions=sample_data.LESIONS)
    expected, scan = read_scan(drawn), read_scan(path)
    assert np.array_equal(scan.array, expected.array) and scan.geometry == expected.geometry
