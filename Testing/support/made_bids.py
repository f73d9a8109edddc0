"""Made BIDS datasets, and the real validator."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .needs import need


def make_dataset(root: Path, images: Mapping[str, Path | None]) -> Path:
    """A dataset at `root`, whose images (by their paths below it) are copies of files, or empty where there is none."""
    root.mkdir(parents=True, exist_ok=True)
    description = {"Name": "Made heads", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["A. Made", "B. Drawn"]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "README.md").write_text("Made heads, drawn by a program for tests; they are nobody's.\n" * 5)
    for name, source in images.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if source is None else shutil.copy(source, path)
    return root


def complaints(root: Path) -> list[dict[str, Any]]:
    """What the validator of BIDS says against a dataset: code, severity ("error", "warning"), location. Without it the test skips."""
    need("bids_validator_deno")
    program = [sys.executable, "-c", "import bids_validator_deno; bids_validator_deno.cli()"]
    done = subprocess.run([*program, str(root), "--format", "json"], capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)["issues"]["issues"]
