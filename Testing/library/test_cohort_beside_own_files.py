"""What lies in the output folder and cannot be taken for a result: none is replaced, and what the sentence advises works."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.support.tiny_model import Run, World, shell

pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


def statuses(run: Run) -> list[str]:
    return [row["status"] for row in run.json["scans"]]


def test_a_mask_of_ones_own_that_is_called_like_a_result_is_left(world: World, tmp_path: Path) -> None:
    mine = tmp_path / "head-1000.mask.seg.nrrd"
    mine.write_text("drawn by hand")
    command = ("detect", world.scans, "-m", world.model, "-o", tmp_path)
    refused = shell(*command)
    assert refused.status == 1 and "belongs to no result, and is left as it is" in refused.out and mine.read_text() == "drawn by hand"
    assert "1 of 2 scans done" in refused.out and refused.err.count("scoring slices 1/") == 1
    mine.rename(tmp_path / "mine.seg.nrrd")
    assert statuses(shell(*command, "--json")) == ["done", "skipped"]


@pytest.mark.parametrize("change", ["another table", "a column of notes", "saved by a spreadsheet"])
def test_a_table_of_ones_own_is_left(world: World, tmp_path: Path, change: str) -> None:
    command = ("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path, "--json")
    table = tmp_path / "findings.csv"
    assert statuses(shell(*command)) == ["done"]
    whole = table.read_text()
    mine = {
        "another table": "patient,finding\n1,glioma\n",
        "a column of notes": "".join(f"{line},note\n" for line in whole.splitlines()),
        "saved by a spreadsheet": whole.replace(",", ";"),
    }[change]
    table.write_text(mine)
    refused = shell(*command, "--overwrite")
    assert refused.status == 1 and table.read_text() == mine and "scoring" not in refused.err
    assert f"{table} is not as InvDetect writes it, and is left as it is; rename it, or choose another folder." in refused.err
    table.rename(tmp_path / "mine.csv")
    assert statuses(shell(*command)) == ["skipped"] and table.read_text() == whole


@pytest.mark.parametrize("older", ["", "scan,volume_unit,finding,volume\r\nold.nii.gz,mm3,0,\r\n"])
def test_an_empty_table_and_one_of_an_older_version_are_replaced(world: World, tmp_path: Path, older: str) -> None:
    (tmp_path / "findings.csv").write_text(older)
    run = shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path, "--json")
    assert statuses(run) == ["done"] and "head-1000.nii.gz" in (tmp_path / "findings.csv").read_text()


@pytest.mark.parametrize(("change", "why"), [('"version": 99', "a result of version 99"), ('"version: 1', "is damaged")])
def test_a_result_that_cannot_be_read_is_replaced_as_the_sentence_says(world: World, tmp_path: Path, change: str, why: str) -> None:
    command = ("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path)
    assert shell(*command).status == 0
    path = tmp_path / "head-1000.result.json"
    whole = path.read_text()
    path.write_text(whole.replace('"version": 1', change, 1))
    refused = shell(*command)
    assert refused.status == 1 and why in refused.out and "Add --overwrite to replace it." in refused.out
    assert shell(*command, "--overwrite").status == 0 and path.read_text() != whole.replace('"version": 1', change, 1)
