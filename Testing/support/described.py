"""What the extension says of itself to CMake, and programs that are run to the end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def metadata() -> dict[str, str]:
    """Name in small letters -> value of what CMakeLists.txt sets as EXTENSION_NAME."""
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    return {name.lower(): value for name, value in re.findall(r'^set\(EXTENSION_(\w+) "?(.*?)"?\)$', text, re.MULTILINE)}


def run(*command: Any, **options: Any) -> str:
    """What a program wrote; it has to end well."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
