"""The shell command: what it prints where, how it ends, and that no wrong use and no bad input ever ends in a traceback."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from InvDetectLib.common.environment import __version__
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.results.result import Result
from InvDetectLib.shell import commands
from Testing.support import REPOSITORY
from Testing.support.tiny_model import World, process, shell

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


def strict(text: str) -> Any:
    """The one object that `text` is; NaN and the like are no JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    assert text.count("\n") == 1
    return json.loads(text, parse_constant=refuse)


# Help


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from InvDetectLib.shell import cli\ntry: cli.main(['--help'])\nfinally: print('loaded:', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True).stdout
    loaded = shown.partition("loaded:")[2].split()
    assert "InvDetectLib.shell.cli" in loaded
    assert not {"torch", "sklearn", "matplotlib", "scipy", "SimpleITK", "numpy", "rich"} & set(loaded)


@pytest.mark.parametrize("command", ["demo", "train", "detect", "evaluate", "rehearse", "worker", "info"])
def test_every_command_has_help_and_is_in_the_help_of_all(command: str) -> None:
    every, own = shell("--help"), shell(command, "--help")
    assert every.status == own.status == 0 and not every.err + own.err
    assert f"\n    {command} " in every.out and own.out.startswith(f"usage: invdetect {command} ")
    assert "not a medical device" in every.out


def test_the_version_is_told() -> None:
    assert shell("--version").out == f"invdetect {__version__}\n"


# How it ends


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "required: COMMAND"),
        (["dream"], "invalid choice: 'dream'"),
        (["info"], "one of the arguments MODEL --presets --devices --models is required"),
        (["detect", "SCANS", "-o", "OUT"], "required: -m"),
        (["detect", "SCANS", "-m", "MODEL"], "required: -o"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--rate", "much"], "invalid float value: 'much'"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--rate", "0.01", "--threshold", "1"], "not allowed with argument"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--slices", "3:3"], "'3:3' is not A:B with A below B"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--slices", "3"], "'3' is not A:B with A below B"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--contiguity", "-1"], "Contiguity must be a number of 0 or more"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--threshold", "nan"], "threshold must be a number"),
        (["detect", "SCANS", "-m", "MODEL", "-o", "OUT", "--threshold", "1e39"], "threshold must be a number within 1e+15 of 0, not 1e+39"),
        (["train", "SCANS", "-o", "OUT.invdetect", "--modality", "x" * 20_000], "modality must be at most 10000 characters, not 'xxx"),
        (["train", "SCANS", "-o", "OUT.invdetect", "--grid", "9" * 400], "pixels cannot be; give one from"),
        (["train", "SCANS", "-o", "OUT.invdetect", "--seed", "9" * 400], "is not a whole number from 0 to 2^63 - 1"),
        (["train", "SCANS", "-o", "OUT.invdetect", "--seed", str(2**63), "--dry-run"], "is not a whole number from 0 to 2^63 - 1"),
        (["evaluate", "SCANS", "MASKS", "-m", "MODEL", "--contiguity", "nan"], "Contiguity must be a number of 0 or more"),
        (["evaluate", "SCANS", "-m", "MODEL"], "required: MASKS"),
    ],
)
def test_wrong_use_ends_with_2_and_does_nothing(world: World, tmp_path: Path, words: list[str], reason: str) -> None:
    places = {"SCANS": world.scans, "MASKS": world.masks, "MODEL": world.model, "OUT": tmp_path / "out"}
    run = shell(*[places.get(word, word) for word in words])
    assert run.status == 2 and reason in run.err and run.out == "" and len(run.err) < 1000
    assert "scoring" not in run.err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["detect", "missing.nii.gz", "-m", "MODEL"], "missing.nii.gz does not exist. Check the path."),
        (["calibrate", "MODEL", "SCANS", "-o", "n" * 300 + ".invdetect"], "is too long there"),
        (["train", "SCANS", "-o", "n" * 300 + ".invdetect"], "is too long there"),
        (["detect", "EMPTY", "-m", "MODEL"], "There is no scan in EMPTY. Give a folder with .nii.gz"),
        (["detect", "SCANS", "-m", "best"], "There is no model 'best': no file has this path, and "),
        (["detect", "SCANS", "-m", "FOREIGN"], "FOREIGN is not a usable InvDetect model: "),
        (["detect", "SCANS", "-m", "MODEL", "--rate", "0.9"], "A rate of 0.9 is not what this model was calibrated for; choose between"),
        (["detect", "SCANS", "-m", "MODEL", "--foreground", "EMPTY"], "EMPTY"),
        (["detect", "SCANS", "-m", "MODEL", "--device", "abacus"], "The device 'abacus' is not available here; this machine has cpu"),
        (["detect", "SCANS/head-1000.nii.gz", "-m", "MODEL", "--slices", "2:9"], "Slices 2:9 are not in this scan, which has slices 0:3"),
        (["evaluate", "EMPTY", "MASKS", "-m", "MODEL"], "There is no scan in EMPTY"),
        (["evaluate", "SCANS", "EMPTY", "-m", "MODEL"], "EMPTY"),
        (["info", "FOREIGN"], "FOREIGN is not a usable InvDetect model: "),
    ],
)
def test_bad_input_ends_with_1_and_a_sentence(world: World, tmp_path: Path, words: list[str], reason: str) -> None:
    places = {"SCANS": world.scans, "MASKS": world.masks, "MODEL": world.model, "EMPTY": tmp_path / "empty", "FOREIGN": tmp_path / "x.pt"}
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.pt").write_bytes(b"PK\3\4 no model" * 99)
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
        reason = reason.replace(name, str(place))
    output = ["-o", str(tmp_path / "out")] if words[0] == "detect" else []
    plain, asked = shell(*words, *output), shell(*words, *output, "--json")
    assert plain.status == asked.status == 1 and reason in plain.err and reason in asked.err
    assert reason in json.dumps(strict(asked.out), ensure_ascii=False)
    assert not [path for path in tmp_path.glob("out/**/*") if path.name != "findings.csv"]


def test_ctrl_c_at_any_moment_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "info", interrupted)
    run = shell("info", "--presets")
    assert run.status == 1 and run.err.startswith("invdetect: Stopped at once")


ENDING = """
import atexit, os, signal, sys
from InvDetectLib.common import InvDetectError
from InvDetectLib.shell import cli, commands

def info(options):
    raise InvDetectError("Something is wrong here")

def complain(text, told=cli.complain):
    told(text)
    if WHEN == "words" and "wrong" in text:
        os.kill(os.getpid(), getattr(signal, SENT))

commands.info, cli.complain = info, complain
if WHEN == "exit":
    atexit.register(lambda: os.kill(os.getpid(), getattr(signal, SENT)))
sys.argv[1:] = ["info", "--presets"]
raise SystemExit(cli.program())
"""


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", ["words", "exit"])
def test_a_signal_while_a_process_ends_shows_no_traceback(when: str, sent: str) -> None:
    code = f"WHEN, SENT = {when!r}, {sent!r}\n{ENDING}"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    told = ["invdetect: Something is wrong here", "invdetect: Stopped at once; what was finished stays."]
    assert run.returncode == 1 and run.stderr.splitlines() == (told if when == "words" else told[:1])


def test_a_reader_that_leaves_early_is_no_reason_to_complain() -> None:
    command = [sys.executable, "-m", "InvDetectLib.shell.cli", "info", "--presets"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b"" and running.wait() == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there every file name is text")
def test_a_file_whose_name_is_no_text_is_told_like_any_other(world: World, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.nii.gz", "wb") as file:
        file.write(b"no scan")
    for number in range(3):
        shutil.copy(world.normals / "mueller" / f"head-000{number}.nii.gz", tmp_path)
    run = process("train", tmp_path, "-o", tmp_path / "new.invdetect", "--preset", "tiny", "--dry-run")
    assert run.status == 0 and "left out" in run.out and r"\udcff.nii.gz" in run.out


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there every file name is text")
def test_a_scan_whose_name_is_no_text_is_in_the_table(world: World, tmp_path: Path) -> None:
    scan = next((world.normals / "mueller").glob("*.nii.gz"))
    shutil.copy(scan, os.fsencode(tmp_path) + b"/\xff.nii.gz")
    run = shell("detect", tmp_path, "-m", world.model, "-o", tmp_path / "out", "--slices", "0:2")
    assert run.status == 0, run.err
    assert r"\udcff.nii.gz" in (tmp_path / "out" / "findings.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="there no file can have such a name")
def test_a_name_that_commands_a_terminal_is_shown_without_doing_so(world: World, tmp_path: Path) -> None:
    shutil.copy(next((world.normals / "mueller").glob("*.nii.gz")), tmp_path / "a\x1b[2Ja\ndone.nii.gz")
    (tmp_path / "b\x1b[2Jb\r.nii.gz").write_bytes(b"no scan")
    run = shell("detect", tmp_path, "-m", world.model, "-o", tmp_path / "out", "--slices", "0:2")
    assert r"a\x1b[2Ja\x0adone.nii.gz" in run.out and r"b\x1b[2Jb\x0d.nii.gz" in run.out
    assert r"b\x1b[2Jb\x0d.nii.gz" in run.err
    assert not {"\x1b", "\r"} & set(run.out + run.err)


# Remedies

EVERY = frozenset(("train", "detect", "evaluate"))
# Whose errors a file words: of all commands that read scans, unless it is said here.
WORDED_FOR = {
    "cohort.py": {"detect"},
    "dicom/node/database.py": {"serve"},
    "dicom/node/queue.py": {"serve"},
    "dicom/node/receiving.py": {"serve"},
    "dicom/node/status.py": {"serve"},
    "dicom/node/tls.py": {"serve"},
    "dicom/web/session.py": {"detect", "serve"},
    "results/publishing.py": {"detect"},
    "evaluation.py": {"evaluate"},
    "scans/masks.py": {"train", "evaluate"},
    "scans/other_maps.py": {"evaluate"},
    "shell/archives.py": {"detect"},
    "shell/bids.py": {"detect"},
    "shell/commands.py": {"train"},
    "shell/dicomweb.py": {"detect"},
    "shell/serving.py": {"serve"},
}


def words_in(source: Path) -> Iterator[str]:
    """The texts of a file but those that stand alone, as docstrings do; what is put into them is an X."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def test_remedies_name_options_that_the_command_has() -> None:
    """Or say after the option, in brackets, which commands have it."""
    library, checked = REPOSITORY / "InvDetectLib", 0
    options = {name: set(re.findall(r"--[a-z][-a-z]+", shell(name, "--help").out)) for name in EVERY | {"serve"}}
    for source in sorted(library.rglob("*.py")):
        if source.name in ("arguments.py", "process.py"):
            continue
        for text in words_in(source):
            for option, named in re.findall(r"(?<![-\w])(--[a-z][-a-z]+)(?: [A-Z#]+)?(?: \(([a-z, ]+)\))?", text):
                commands = set(named.split(", ")) if named else WORDED_FOR.get(source.relative_to(library).as_posix(), EVERY)
                if option == "--force-reinstall":  # of pip
                    continue
                assert all(option in options[command] for command in commands), (source.name, text)
                checked += 1
    assert checked >= 5


# What it prints where


def test_progress_goes_to_standard_error_and_results_to_standard_output(world: World, tmp_path: Path) -> None:
    run = shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path)
    findings = len(Result.load(tmp_path / "head-1000.result.json").findings)
    assert run.out.splitlines() == [
        f"done     {world.scans / 'head-1000.nii.gz'}: {findings} findings",
        f"1 of 1 scans done; table: {tmp_path / 'findings.csv'}",
    ]
    assert "scoring slices 3/3" in run.err and "\r" not in run.err


def test_a_warning_is_shown_once(world: World, tmp_path: Path) -> None:
    shutil.copy(world.scans / "head-1000.nii.gz", tmp_path)
    (tmp_path / "notes.txt").write_text("milk")
    code = "from InvDetectLib.common import Progress; from InvDetectLib.shell import cli, commands\n"
    code += "def info(options):\n with commands._progress() as progress: progress.warn('mind the gap')\n return 0\n"
    code += "commands.info = info; cli.main(['info', '--presets'])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.stderr == "warning: mind the gap\n" and shown.stdout == ""


def test_the_options_reach_the_result(world: World, tmp_path: Path) -> None:
    options = ["--no-scr", "--rate", "0.02", "--contiguity", "2", "--slices", "1:3", "--foreground", "none"]
    run = shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path, *options, "--json")
    result = Result.load(tmp_path / "head-1000.result.json")
    assert run.status == 0 and strict(run.out)["output"] == str(tmp_path)
    assert (result.controls.scr, result.controls.rate, result.controls.contiguity) == (False, 0.02, 2.0)
    assert result.grid_scored.any(axis=(1, 2)).tolist() == [False, True, True] and result.foreground.all()
    shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path, "--threshold", "-0.25", "--overwrite")
    assert Result.load(tmp_path / "head-1000.result.json").controls.threshold == -0.25


# info


def test_info_shows_a_models_card_and_settings(world: World) -> None:
    content = strict(shell("info", world.model, "--json").out)
    model = Model.load(world.model)
    assert content["card"] == model.card and content["checksum"] == model.checksum and content["settings"]["preset"] == "tiny"
    text = shell("info", world.model).out
    assert re.search(r"^Modality +made heads$", text, re.M) and re.search(rf"^Checksum +{model.checksum}$", text, re.M)
    assert re.search(r"^Scans +5 to train", text, re.M) and "\nsettings\n  preset: tiny\n" in text


def test_info_shows_the_presets_as_data() -> None:
    content = strict(shell("info", "--presets", "--json").out)
    assert {name: content[name] for name in PRESETS} == json.loads(json.dumps({name: preset.as_dict() for name, preset in PRESETS.items()}))
    assert "paper\n  preset: paper\n" in shell("info", "--presets").out


def test_info_shows_the_devices_and_what_cuts() -> None:
    content = strict(shell("info", "--devices", "--json").out)
    assert content["devices"]["cpu"] == "cpu" and content["graph_cut"] in ("maxflow", "scipy")
    assert "  cpu: cpu\n" in shell("info", "--devices").out


def test_an_installed_model_is_listed_and_found_by_its_name(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    shutil.copy(world.model, tmp_path / "models" / "heads.invdetect")
    (tmp_path / "models" / "broken.invdetect").write_bytes(b"half a mod")
    content = strict(shell("info", "--models", "--json").out)
    assert content["folder"] == str(tmp_path / "models")
    heads = content["models"]["heads"]
    assert heads["file"] == str(tmp_path / "models" / "heads.invdetect") and heads["modality"] == "made heads"
    assert heads["bytes"] == world.model.stat().st_size and heads["intended_use"] == Model.load(world.model).card["intended_use"]
    assert "not a usable InvDetect model" in content["models"]["broken"]["problem"]
    text = shell("info", "--models").out
    assert f"{tmp_path / 'models'} (yours)\n" in text and "  broken: " in text and "Resources/Models (shipped with InvDetect)\n" in text
    assert re.search(r"^  heads: made heads; licence not told; [\d.]+ [kM]B\n    Research: pointing out", text, re.M)
    run = shell("detect", world.scans / "head-1000.nii.gz", "-m", "heads", "-o", tmp_path / "out")
    assert run.status == 0 and strict(shell("info", "heads", "--json").out)["checksum"] == Model.load(world.model).checksum
