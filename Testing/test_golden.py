"""Files, scenes and conversations of earlier versions go on working: what lies in `golden/` was made by 0.1.0 before its files moved.

Floats are compared with a tolerance, because other processors round otherwise; byte by byte two states compare on one machine with
`same_outputs.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import InvDetectLib as invdetect
from Testing.support.needs import QT, need

REPOSITORY = Path(__file__).resolve().parents[1]
GOLDEN = REPOSITORY / "Testing" / "golden"
WORKER = REPOSITORY / "InvDetectLib" / "worker" / "__main__.py"
PREFIX = b"@invdetect "
# What clocks, machines and rounding decide, and sentences, which may be said better.
FREE = set("seconds seconds_left pid python version versions created devices memory_bytes graph_cut findings text problem log".split())
BOTH = pytest.mark.parametrize("method", ["invdetect", "matchgen"])


@BOTH
def test_a_model_finds_what_it_found(method: str) -> None:
    result = invdetect.detect(GOLDEN / "scan.nii.gz", model=GOLDEN / f"{method}.invdetect", device="cpu")
    kept = sitk.GetArrayFromImage(sitk.ReadImage(str(GOLDEN / f"result-{method}" / "scan.anomaly.nii.gz")))
    assert np.abs(result.anomaly_map - kept).max() < 0.2 * kept.std()  # 0.08 where one processor computes in bfloat16 and one does not
    assert np.corrcoef(result.anomaly_map.ravel(), kept.ravel())[0, 1] > 0.999
    stored = json.loads((GOLDEN / f"result-{method}" / "scan.result.json").read_text())
    assert len(result.findings) == len(stored["findings"]) and result.controls.threshold == pytest.approx(stored["controls"]["threshold"])


@BOTH
def test_a_result_is_loaded_whole_and_refined(method: str) -> None:
    folder = GOLDEN / f"result-{method}"
    result = invdetect.Result.load(folder / "scan.result.json")
    kept = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "scan.anomaly.nii.gz")))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "scan.mask.seg.nrrd"))) > 0
    assert np.allclose(result.anomaly_map, kept, atol=1e-5) and np.array_equal(result.mask, mask)
    assert len(result.findings) == len((folder / "scan.findings.csv").read_text().splitlines()) - 1
    assert (result.pseudo_normal is not None) == (method == "matchgen")
    assert result.refine(threshold=result.controls.threshold - 0.5, scr=False).mask.sum() > result.mask.sum()


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = Path(shutil.copy(GOLDEN / "invdetect.invdetect.checkpoint", tmp_path))
    whole = invdetect.load_model(GOLDEN / "invdetect.invdetect")
    first: list[int] = []

    def hear(event: Any) -> None:
        if event.stage == "training":
            first.append(event.done)

    model = invdetect.train(GOLDEN / "normal", settings=whole.settings, checkpoint=checkpoint, rehearse=False, on_progress=hear)
    assert first[0] > 30  # of 60 steps, 30 had been done
    assert set(model.arrays) == set(whole.arrays) and model.settings == whole.settings
    assert model.card["contiguity"] == whole.card["contiguity"]


def test_a_scene_shows_its_result_with_reviews_and_can_be_refined(host: Any) -> None:
    slicer = need(*QT)
    from Testing.support.slicer_host.qt_host import start_qt

    start_qt()
    from InvDetectSlicerLib.logic import InvDetectLogic
    from InvDetectSlicerLib.panel.parameters import DetectionParameters
    from InvDetectSlicerLib.scene.findings_table import findings_of, reviews_of
    from InvDetectSlicerLib.scene.nodes import results_in_scene

    host.load(GOLDEN / "scene.mrb")
    (nodes,) = results_in_scene()
    assert [review.state for review in reviews_of(nodes.table).values()] == ["accepted", "dismissed", "open", "open"]
    (kept,) = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    parameters = DetectionParameters(kept)
    assert (parameters.model, parameters.rate, parameters.contiguity, parameters.scan) == ("tiny", 0.1, 0.0, nodes.input)
    logic = InvDetectLogic(executable="/nonexistent/python")
    volume = sum(finding.volume for finding in findings_of(nodes.table))
    logic.refine(nodes, rate=0.05)
    assert 0 < sum(finding.volume for finding in findings_of(nodes.table)) < volume
    assert reviews_of(nodes.table)[1].state == "accepted"
    logic.close()


def test_a_client_of_before_is_understood(tmp_path: Path) -> None:
    for said, heard in conversation(json.loads((GOLDEN / "conversation.json").read_text()), tmp_path):
        assert alike(said["hear"], heard), f"{said['say']}\n{said['hear']}\n{heard}"


def conversation(script: list[dict[str, Any]], folder: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Say each line to a new worker; yields the line with what came back, until its done or failed message."""
    command = [sys.executable, str(WORKER), "--folder", str(folder), "--parent", str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in script:
            if line["say"] is not None:
                text = json.dumps(line["say"]).replace("GOLDEN", str(GOLDEN))
                process.stdin.write(text.encode() + b"\n")
                process.stdin.flush()
            heard: list[dict[str, Any]] = []
            while not heard or heard[-1]["message"] not in ("hello", "done", "failed"):
                said = process.stdout.readline()
                assert said.startswith(PREFIX), said
                heard.append(json.loads(said[len(PREFIX) :]))
            yield line, [one for one in heard if one["message"] != "progress"]


def alike(kept: Any, heard: Any) -> bool:
    """The same but for clocks, places and rounding; more entries than before are no harm."""
    if isinstance(kept, dict):
        return isinstance(heard, dict) and all(name in heard and (name in FREE or alike(kept[name], heard[name])) for name in kept)
    if isinstance(kept, list):
        return isinstance(heard, list) and len(kept) == len(heard) and all(map(alike, kept, heard))
    if isinstance(kept, float):
        return bool(heard == pytest.approx(kept, rel=0.05, abs=0.02))
    if isinstance(kept, str):
        return isinstance(heard, str) and kept.replace("GOLDEN", str(GOLDEN)) == heard
    return bool(kept == heard)
