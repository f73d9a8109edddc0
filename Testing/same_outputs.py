"""Whether two states of the project do the same: a fixed set of runs in each, compared byte by byte.

    python Testing/same_outputs.py REVISION      # that commit against the working tree; the last line counts what was compared

Each state runs in its own process, with its own sources, in a folder of its own with the same inputs: made heads, two that cannot be
read, and, where `../shared/data` lies beside the checkout, a fundus photograph and a T1 brain. The runs train (InvDetect, MatchGen),
detect (one scan, a cohort, other operating points), evaluate, refine, load, and ask for information; all that they write and print
is compared, but for seconds. Only public names are used, so that a state may be laid out as it likes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"
SHELL = r'^invdetect = "([\w.]+):(\w+)"'  # in pyproject.toml
SIZE = (3, 64, 64)
# What a clock says, wherever it is printed or stored, and the checksum of a model whose card says how long its training took.
TIMES = (
    rb'"seconds": ?(\{[^}]*\}|[0-9.e-]+)',
    rb"[0-9.]+ (?:s|min|h)\b",
    rb"[0-9.]+ (?:slices|patches|steps|cuts)? ?a second",
    rb'"created": ?"[^"]*"',
    rb'(?:"checksum": "|"model": "|Checksum +)[0-9a-f]{64}',
)


def main(revision: str) -> int:
    """Compare; 0 when all is the same."""
    with tempfile.TemporaryDirectory(prefix="same-outputs-") as folder:
        before = Path(folder) / "before"
        packed = subprocess.run(["git", "archive", revision], cwd=REPOSITORY, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(before, filter="data")
        outputs = [Path(folder) / name / "outputs" for name in ("a", "b")]
        runs = [_begin(tree, out) for tree, out in zip((before, REPOSITORY), outputs)]
        if any([run.wait() for run in runs]):
            return 1
        return _compare(*outputs, roots=(folder, str(REPOSITORY)))


def _begin(tree: Path, out: Path) -> subprocess.Popen[bytes]:
    """The runs of one state, in a process that knows that state alone."""
    out.mkdir(parents=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "INVDETECT_MODELS": str(out / "models"), "COLUMNS": "100"}
    environment |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, __file__, "--runs", str(tree)], cwd=out, env=environment)


def _compare(before: Path, after: Path, roots: tuple[str, ...]) -> int:
    names = sorted({str(path.relative_to(root)) for root in (before, after) for path in root.rglob("*") if path.is_file()})
    unlike = []
    for name in names:
        one, other = before / name, after / name
        if not (one.exists() and other.exists()):
            unlike.append(f"{name}: only {'before' if one.exists() else 'after'}")
        elif (first := _content(one, roots)) != (second := _content(other, roots)):
            place = next((k for k, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
            unlike.append(f"{name}: {_near(first, place)} before, {_near(second, place)} after")
    print(*unlike, sep="\n")
    print(f"files={len(names)} unlike={len(unlike)}")
    return 1 if unlike or not names else 0


def _near(content: bytes, place: int) -> bytes:
    return content[max(0, place - 60) : place + 60]


def _content(path: Path, roots: tuple[str, ...]) -> bytes:
    """What a file says, without times and without the places in which the two states lie."""
    content = path.read_bytes()
    if path.suffix == ".invdetect":  # the length of its header says how many digits the seconds have; they are in its checksum, too
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        del header["__metadata__"]["sha256"]
        content = json.dumps(header, sort_keys=True).replace("\\", "").encode() + content[8 + length :]
    if path.suffix in (".json", ".txt", ".invdetect"):
        for pattern in TIMES:
            content = re.sub(pattern, b"TIME", content)
        for root in roots:
            content = re.sub(re.escape(root.encode()) + rb"(/before|/[ab])?", b"ROOT", content)
    return content


# The runs, in the process of one state


def runs(tree: Path) -> None:
    """Everything, into the current folder."""
    import InvDetectLib

    assert Path(InvDetectLib.__file__).is_relative_to(tree), InvDetectLib.__file__
    found = re.search(SHELL, (tree / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    shell = getattr(importlib.import_module(found[1]), found[2])
    Path("printed").mkdir()
    _made_inputs()
    _ask(shell)
    _train(shell)
    _detect(shell)
    _real(shell)


def _made_inputs() -> None:
    from InvDetectLib.scans.phantoms import write_phantoms

    write_phantoms(Path("normal"), 6, size=SIZE)
    write_phantoms(Path("sick"), 2, first_seed=50, size=SIZE, lesions=2)
    write_phantoms(Path("full"), 1, first_seed=60, lesions=2)
    Path("sick/words.nii.gz").write_text("remember the milk")
    content = next(Path("sick").glob("head-0050*")).read_bytes()
    Path("sick/half.nii.gz").write_bytes(content[: len(content) // 2])


def _ask(shell: Callable[[list[str]], int]) -> None:
    for words in ("", "train", "detect", "evaluate", "info", "demo"):
        _run(shell, f"help {words}", *words.split(), "--help")
    _run(shell, "models", "info", "--models")
    _run(shell, "presets", "info", "--presets")
    _run(shell, "card", "info", "brain-t1", "--json")
    _run(shell, "dry run", "train", "normal", "-o", "dry.invdetect", "--preset", "quick", "--dry-run")
    _run(shell, "no such plane", "train", "normal", "-o", "x.invdetect", "--plane", "north")
    _run(shell, "no such preset", "train", "normal", "-o", "x.invdetect", "--preset", "slow")
    _run(shell, "no such model", "detect", "sick", "-m", "nobody", "-o", "out")


def _train(shell: Callable[[list[str]], int]) -> None:
    """Models of both methods, in seconds: a shipped model's settings, made small."""
    import InvDetectLib as invdetect

    whole = invdetect.load_model("made-heads").settings
    small = dataclasses.replace(whole.preparation, grid=64)
    training = dataclasses.replace(whole.training, steps=60, batch=8)
    patches = dataclasses.replace(whole.invdetect.patches, size=32, stride=16)
    method = dataclasses.replace(whole.invdetect, training=training, patches=patches)
    one = dataclasses.replace(whole, preset="custom", preparation=small, invdetect=method)
    paper = dataclasses.replace(one, refinement=dataclasses.replace(one.refinement, contiguity=None, edges="paper", unit="raw"))
    matching = dataclasses.replace(whole.matchgen.matching, most_steps=20)
    network = dataclasses.replace(whole.matchgen.network, widths=(8, 16), code=16)
    matchgen = dataclasses.replace(whole.matchgen, training=training, matching=matching, network=network)
    other = dataclasses.replace(one, method="matchgen", matchgen=matchgen)
    for name, settings, options in (("a", one, {}), ("p", paper, {}), ("m", other, {"tune": ("sick", "sick-masks")})):
        if options:
            for path in ("sick/words.nii.gz", "sick/half.nii.gz"):
                Path(path).rename(Path(path).name + ".kept")
        model = invdetect.train("normal", settings=settings, **options)
        model.save(f"{name}.invdetect")
    for path in ("words.nii.gz", "half.nii.gz"):
        Path(path + ".kept").rename(f"sick/{path}")
    for name in ("a", "p", "m"):
        _run(shell, f"card of {name}", "info", f"{name}.invdetect")


def _detect(shell: Callable[[list[str]], int]) -> None:
    import InvDetectLib as invdetect

    for name in ("a", "p", "m"):
        _run(shell, f"cohort {name}", "detect", "sick", "-m", f"{name}.invdetect", "-o", f"cohort-{name}", "--json")
        _run(shell, f"evaluate {name}", "evaluate", "sick", "sick-masks", "-m", f"{name}.invdetect", "--normals", "normal", "--json")
    _run(shell, "again", "detect", "sick", "-m", "a.invdetect", "-o", "cohort-a")
    _run(shell, "threshold", "detect", "full", "-m", "made-heads", "-o", "threshold", "--threshold", "0.5", "--contiguity", "2")
    _run(shell, "rate", "detect", "full", "-m", "made-heads", "-o", "rate", "--rate", "0.02", "--no-scr", "--slices", "4:7")
    stored = next(Path("cohort-m").glob("*.result.json"))
    invdetect.Result.load(stored).refine(contiguity=0.5, rate=0.05).save("refined")


def _real(shell: Callable[[list[str]], int]) -> None:
    sets = {"fundus": ("fundus_idrid/abnormal", ()), "brain-t1": ("brain_t1_adults/test_normal", ("--slices", "40:44"))}
    for model, (place, options) in sets.items():
        if (DATA / place).is_dir():
            scan = sorted((DATA / place).iterdir())[0]
            _run(shell, f"real {model}", "detect", str(scan), "-m", model, "-o", f"real-{model}", *options)


def _run(shell: Callable[[list[str]], int], name: str, *words: str) -> None:
    """One command; what it prints goes into a file, and so does its status."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status: Any = shell([*words])
        except SystemExit as end:
            status = end.code
    Path("printed", f"{name}.txt").write_text(f"{status}\n{out.getvalue()}\n--\n{err.getvalue()}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--runs"]:
        runs(Path(sys.argv[2]))
    elif len(sys.argv) == 2:
        sys.exit(main(sys.argv[1]))
    else:
        sys.exit(__doc__)
