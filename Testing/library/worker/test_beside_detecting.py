"""What the worker does before and after it detects: checks and estimates, refined results, reasons, and the chart of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.results.result import Result
from Testing.support.rehearsed import told, with_rehearsal
from Testing.support.worker_clients import ask, done


def test_a_check_says_what_does_not_fit(client: WorkerClient, model: Path, scan: Path) -> None:
    wanted = {"model": str(model), "device": "cpu", "scan": str(scan)}
    assert done(client, "check", **wanted, modality="Made  heads")["warning"] == ""
    assert "said to be CT, and the model was made for made heads" in done(client, "check", **wanted, modality="CT")["warning"]


def test_an_estimate_is_of_the_order_of_what_detecting_takes(client: WorkerClient, model: Path, tall: Path) -> None:
    wanted = {"model": str(model), "device": "cpu", "scan": str(tall)}
    said = done(client, "estimate", **wanted)
    took = done(client, "detect", **wanted, stability=False)["seconds"]
    assert said["slices"] == 120 and said["patches"] > 1200 and 3e8 < said["memory_bytes"] < 3e9
    assert took / 10 < said["seconds"] < took * 10  # other processes may come and go between the two
    part = done(client, "estimate", **wanted, slices=[0, 12])
    assert part["slices"] == 12 and part["patches"] == pytest.approx(said["patches"] / 10, rel=0.2)
    assert done(client, "estimate", model=str(model), device="cpu")["slices"] == 1


def test_refining_gives_what_the_library_gives_also_from_files_alone(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan))
    stored = client.folder / f"{reply['result']}.result.json"
    own = Result.load(stored).refine(rate=0.1, contiguity=0.5)
    for name in (reply["result"], str(stored)):
        refined = done(client, "refine", result=name, rate=0.1, contiguity=0.5)
        assert np.array_equal(client.take(refined["mask"]), own.mask) and refined["findings"] == len(own.findings)
        assert Result.load(client.folder / f"{refined['result']}.result.json").controls == own.controls
        done(client, "refine", result=reply["result"], scr=False)  # so that the last result is another
    refused = ask(client, "refine", result="result-0")
    assert refused["kind"] == "error" and "cannot be read" in refused["text"]


def test_explaining_draws_a_picture_into_the_private_folder_and_says_the_words(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan))
    why = done(client, "explain", model=str(model), device="cpu", scan=str(scan), result=reply["result"])
    assert (client.folder / why["picture"]).read_bytes().startswith(b"\x89PNG")
    findings = Result.load(client.folder / f"{reply['result']}.result.json").findings
    assert why["words"] == {str(one.label): one.reasons.words() for one in findings if one.reasons is not None} != {}
    other = ask(client, "explain", model="brain-t1", device="cpu", scan=str(scan), result=reply["result"])
    assert other["message"] == "failed" and "another model" in other["text"]


def test_the_chart_of_a_model_is_drawn_into_the_private_folder_in_the_colours_and_width_asked_for(
    client: WorkerClient, model: Path, tmp_path: Path
) -> None:
    detail = told(-2.0)
    seen = with_rehearsal(model, tmp_path / "seen.invdetect", detail)
    pictures = {}
    for dark in (False, True):
        reply = done(client, "chart", model=str(seen), dark=dark, width=340)
        assert reply["words"] == detail.words()
        pictures[dark] = sitk.GetArrayFromImage(sitk.ReadImage(str(client.folder / reply["picture"])))
    assert pictures[False].shape == pictures[True].shape and pictures[True].shape[1] == 340
    assert pictures[False][0, 0, :3].min() == 255 and pictures[True][0, 0, :3].max() < 40
    assert "rehearse" in ask(client, "chart", model=str(model))["text"]
    assert "200 to 2000 pixels wide" in ask(client, "chart", model=str(seen), width=9)["text"]
