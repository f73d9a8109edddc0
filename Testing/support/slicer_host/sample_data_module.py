"""A stand-in for Slicer's module SampleData, for tests only: what it does with a registered sample, from its button and from scripts.

As the original, `downloadSample` knows nothing of `customDownloader`: it fetches the address into the cache, unless a file of that name
with the right checksum is there, and loads it.
"""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer


def sample_data(cache: Path) -> ModuleType:
    """The module, with a cache of its own and no sample yet. `fetched` lists the addresses that were asked for."""
    module = ModuleType("SampleData")
    sources: dict[str, dict[str, Any]] = {}
    fetched: list[str] = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**source: Any) -> None:
            sources[source["sampleName"]] = source

    def download(name: str) -> Any:
        source = sources[name]
        path = cache / source["fileNames"]
        algorithm, _, digest = (source.get("checksums") or "").partition(":")
        if path.exists() and digest and hashlib.new(algorithm, path.read_bytes()).hexdigest() != digest:
            path.unlink()
        if not path.exists():
            fetched.append(source["uris"])
            urllib.request.urlretrieve(source["uris"], path)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", source["nodeNames"])
        assert storage.ReadData(node), f"{path} cannot be loaded"
        return node

    module.SampleDataLogic, module.downloadSample = SampleDataLogic, download  # type: ignore[attr-defined]
    module.sources, module.fetched = sources, fetched  # type: ignore[attr-defined]
    return module
