"""What the cases share: the command as a process, and a second reader to judge by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from Testing.support import REPOSITORY, tiny_model

Check = Callable[[Path, Path], str]
MODEL = REPOSITORY / "Resources" / "Models" / "made-heads.invdetect"


class Wrong(Exception):
    """A case that is not as it should be, and how it is."""


class Run(tiny_model.Run):
    """How a command ended, and what it warned of."""

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return [line.removeprefix("warning: ") for line in self.err.splitlines() if line.startswith("warning: ")]


@contextmanager
def running(*words: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`invdetect` as a process that goes on during the block."""
    known = {**os.environ, "PYTHONPATH": str(REPOSITORY), "INVDETECT_MODELS": str(MODEL.parent), **environment}
    command = [sys.executable, "-m", "InvDetectLib.shell.cli", *map(str, words)]
    with subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        yield started


def invdetect(*words: object, **environment: str) -> Run:
    """`invdetect` as a process of its own; a traceback is always wrong."""
    with running(*words, **environment) as started:
        out, err = started.communicate()
    if "Traceback" in err:
        raise Wrong(f"a traceback: {err.strip().splitlines()[-1]}")
    return Run(started.returncode, out, err)


def detected(scan: Path, out: Path) -> Path:
    """Detect in one scan; the folder with its results. Wrong when it is refused."""
    run = invdetect("detect", scan, "-m", MODEL, "-o", out)
    if run.status:
        raise Wrong(f"refused: {run.out.splitlines()[0] if run.out else run.err.strip()}")
    return out


def refused(run: Run, *words: str) -> str:
    """The reason with which a command refused its input, which must hold these words and no more than one sentence of remedy."""
    told = run.warnings[-1] if run.warnings else run.err.strip().splitlines()[-1].removeprefix("invdetect: ")
    if run.status != 1:
        raise Wrong(f"status {run.status} instead of a refusal: {run.out.strip()[:200]}")
    if missing := [word for word in words if word not in told]:
        raise Wrong(f"refused, but {missing} is not said: {told}")
    return f"refused: {told}"


def in_the_world(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A NIfTI file as nibabel has it, turned to right, front, up: voxels and affine."""
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj), image.affine
