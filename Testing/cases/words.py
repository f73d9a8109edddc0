"""What is said when something is impossible, and what is not said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from Testing.cases.trying import MODEL, Check, Wrong, invdetect, refused
from Testing.support import REPOSITORY


def tracebacks(case: Path, work: Path) -> str:
    (work / "torch").mkdir()
    (work / "torch" / "__init__.py").write_text("raise ImportError('no torch here')")
    told = [invdetect("info", "--devices", PYTHONPATH=os.pathsep.join((str(work), str(REPOSITORY)))).err]
    for stream in (">&-", ">/dev/full"):
        command = f"{sys.executable} -m InvDetectLib.shell.cli info --presets {stream}"
        run = subprocess.run(command, shell=True, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        assert run.returncode == 1
        told.append(run.stderr)
    if unlike := [text for text in told if text.count("\n") != 1 or not text.startswith("invdetect: ")]:
        raise Wrong(f"more than a sentence: {unlike[0]}")
    return "refused: " + " ".join(text.strip().removeprefix("invdetect: ") for text in told)


def noise(case: Path, work: Path) -> str:
    runs = {"cut.mha": invdetect("detect", case / "cut.mha", "-m", MODEL, "-o", work / "out")}
    answer = refused(runs["cut.mha"], "cut.mha")
    try:
        from pydicom.data import get_testdata_file

        path = get_testdata_file("JPEG-lossy.dcm", download=False)
        runs["JPEG-lossy.dcm"] = invdetect("detect", path, "-m", MODEL, "-o", work / "out")
    except ImportError:
        pass
    runs["home"] = invdetect("detect", case.parent / "19-axis-order" / "ijk.nii.gz", "-m", MODEL, "-o", work / "out", HOME="/dev/null/home")
    ours = ("scans ", "scoring slices ", "refining ", "warning: ")
    for name, run in runs.items():
        if foreign := [line for line in run.err.splitlines() if not line.startswith(ours)]:
            raise Wrong(f"{name}: a library says {foreign[0]!r}")
        if nameless := [line for line in run.warnings if not line.split(": ")[0].endswith((".mha", ".dcm", ".gz"))]:
            raise Wrong(f"{name}: a warning without its scan: {nameless[0]!r}")
    return answer


def long_name(case: Path, work: Path) -> str:
    (scan,) = case.glob("*.nii.gz")
    run = invdetect("detect", scan, "-m", MODEL, "-o", work / "out")
    if run.status:
        if "scoring slices" in run.err:
            raise Wrong("told only after the work")
        return refused(run, "too long", "shorter")
    if not list((work / "out").glob("*.result.json")):
        raise Wrong("no result, and no reason")
    return f"right: a name of {len(scan.name)} bytes has room for its results"


CASES: dict[str, Check] = {
    "20-tracebacks": tracebacks,
    "21-console-noise": noise,
    "25-long-name": long_name,
}
