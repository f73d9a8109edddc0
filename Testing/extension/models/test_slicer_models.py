"""The list of models in the panel: cards by the standard library, files that cannot be used, and how a file gets into the models folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from InvDetectSlicerLib.models.installed import InstalledModel, NameTaken, checked_name, import_model, installed_models, read_model

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models.model import check_whole
from Testing.support import REPOSITORY

SHIPPED = sorted((REPOSITORY / "Resources" / "Models").glob("*.invdetect"))
FUNDUS = REPOSITORY / "Resources" / "Models" / "fundus.invdetect"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder that does not exist yet."""
    path = tmp_path / "Modelle, größere"
    monkeypatch.setenv("INVDETECT_MODELS", str(path))
    return path


def with_header(path: Path, change: Any) -> Path:
    """The fundus model at `path` with its header's metadata changed by `change` in place."""
    content = FUNDUS.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return path


def newer(metadata: dict[str, str]) -> None:
    metadata["version"] = "7"


def newer_settings(metadata: dict[str, str]) -> None:
    values = json.loads(metadata["json"])
    values["settings"]["wormholes"] = 3
    metadata["json"] = json.dumps(values)


def foreign(metadata: dict[str, str]) -> None:
    metadata["format"] = "pt"


def flipped(path: Path) -> Path:
    """The fundus model with one bit of its last array changed."""
    content = bytearray(FUNDUS.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


def by_name() -> dict[str, InstalledModel]:
    return {model.name: model for model in installed_models()}


# The list


def test_the_shipped_models_are_listed_with_their_cards(folder: Path) -> None:
    assert {model.path for model in installed_models()} == set(SHIPPED)
    fundus = by_name()["fundus"]
    assert fundus.shipped and not fundus.problem and fundus.size == FUNDUS.stat().st_size
    assert fundus.title == "fundus (colour fundus)" and fundus.settings.preparation.channels == 3
    assert fundus.summary and "Data licence" in fundus.text() and max(map(len, fundus.text(50).splitlines())) <= 60


def test_a_model_of_the_user_s_folder_comes_first_and_hides_the_shipped_one_of_its_name(folder: Path) -> None:
    folder.mkdir()
    for name in ("fundus", "zebra"):
        shutil.copy(FUNDUS, folder / f"{name}.invdetect")
    models = installed_models()
    assert [model.name for model in models[:2]] == ["fundus", "zebra"] and not models[0].shipped
    assert [model.path for model in models if model.name == "fundus"] == [folder / "fundus.invdetect"]


@pytest.mark.parametrize(
    ("change", "said"),
    [(newer, "written by a newer InvDetect"), (newer_settings, "wormholes"), (foreign, "something else, not an InvDetect model")],
)
def test_a_file_that_cannot_be_used_is_listed_with_a_sentence(folder: Path, change: Any, said: str) -> None:
    with_header(folder / "odd.invdetect", change)
    odd = by_name()["odd"]
    assert said in odd.problem and odd.problem.endswith(".") and "\n" not in odd.problem
    assert odd.text() == odd.summary == odd.problem and odd.title == "odd (cannot be used)"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]", b"\x80\x04pickle" * 9],
    ids=["empty", "short", "noise", "huge header", "no table", "pickle"],
)
def test_a_damaged_file_is_listed_with_a_sentence_too(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "bad.invdetect").write_bytes(content)
    assert "is not a usable InvDetect model" in by_name()["bad"].problem


def test_a_header_of_gigabytes_is_not_read(folder: Path) -> None:
    folder.mkdir()
    with open(folder / "bomb.invdetect", "wb") as file:
        file.write((3 * 2**30).to_bytes(8, "little"))
        file.truncate(4 * 2**30)  # a hole: no disk is used
    assert "does not begin like one" in by_name()["bomb"].problem


def test_a_cut_file_and_a_vanished_one_say_so(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.invdetect"
    cut.write_bytes(FUNDUS.read_bytes()[:-100])
    assert "cut short" in read_model(cut).problem
    assert "cannot be read" in read_model(tmp_path / "gone.invdetect").problem


def test_a_card_cannot_drive_the_panel(folder: Path) -> None:
    def nasty(metadata: dict[str, str]) -> None:
        values = json.loads(metadata["json"])
        values["card"].update(modality="MRI\x1b[2J\nrm -rf", intended_use=["no text"], misses={"a": 1}, rebuilds_images="no")
        metadata["json"] = json.dumps(values)

    with_header(folder / "nasty.invdetect", nasty)
    nasty_model = by_name()["nasty"]
    assert nasty_model.title == "nasty (MRI[2J rm -rf)" and "\x1b" not in nasty_model.text() and "WARNING" in nasty_model.text()


def test_the_list_needs_the_standard_library_alone(folder: Path) -> None:
    code = "import sys; from InvDetectSlicerLib import models; models.installed_models(); print(*sys.modules)"
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'InvDetect'}", "INVDETECT_MODELS": str(folder)}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert "InvDetectLib.models.cards" in loaded
    assert not {"torch", "sklearn", "safetensors", "numpy", "scipy", "SimpleITK", "vtk", "slicer"} & set(loaded)


# Import


def test_a_model_file_is_copied_into_the_models_folder(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "Augen 3.invdetect"
    shutil.copy(FUNDUS, source)
    model = import_model(source)
    assert model.path == folder / "Augen 3.invdetect" and model.path.read_bytes() == FUNDUS.read_bytes() and not model.shipped
    assert source.exists() and [path.name for path in folder.iterdir()] == ["Augen 3.invdetect"]
    assert import_model(source) == model  # once more changes nothing
    assert import_model(source, "eyes").name == "eyes"


def test_no_model_is_replaced_silently(folder: Path, tmp_path: Path) -> None:
    other = with_header(tmp_path / "mine.invdetect", lambda metadata: metadata)  # the same model, other bytes in the header
    folder.mkdir()
    shutil.copy(FUNDUS, folder / "MINE.invdetect")
    with pytest.raises(NameTaken, match="another model called mine already, in the models folder"):
        import_model(other)
    assert (folder / "MINE.invdetect").read_bytes() == FUNDUS.read_bytes()
    assert import_model(other, replace=True).path == folder / "MINE.invdetect"
    assert [path.read_bytes() for path in folder.iterdir()] == [other.read_bytes()]


def test_a_shipped_name_is_asked_for_and_the_shipped_file_stays(folder: Path, tmp_path: Path) -> None:
    other = with_header(tmp_path / "fundus.invdetect", lambda metadata: metadata)
    before = FUNDUS.read_bytes()
    with pytest.raises(NameTaken, match="shipped with InvDetect"):
        import_model(other)
    assert import_model(other, replace=True).path == folder / "fundus.invdetect" and FUNDUS.read_bytes() == before
    assert import_model(FUNDUS, "fundus", replace=True).path == folder / "fundus.invdetect"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (flipped, "does not match its checksum"),
        (lambda path: with_header(path, newer), "newer InvDetect"),
        (lambda path: with_header(path, newer_settings), "Update InvDetect"),
        (lambda path: path.with_name("nothing.invdetect"), "cannot be read"),
    ],
    ids=["one bit", "newer", "newer settings", "no file"],
)
def test_a_file_that_cannot_be_used_is_not_imported(folder: Path, tmp_path: Path, make: Any, said: str) -> None:
    with pytest.raises(InvDetectError, match=said):
        import_model(make(tmp_path / "bad.invdetect"))
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("INVDETECT_MODELS", str(blocked))
    with pytest.raises(InvDetectError, match="Choose a folder that is writable"):
        import_model(FUNDUS, "eyes")
    assert blocked.read_text().startswith("a file") and list(tmp_path.iterdir()) == [blocked]


@pytest.mark.parametrize("name", ["brain", "Gehirn ß 3", "T1 v1.2", " padded ", "x.invdetect"])
def test_plain_names_are_kept(name: str) -> None:
    assert checked_name(name) == name.strip().removesuffix(".invdetect")


BAD_NAMES = ["", "  ", "..", ".hidden", "a/b", "a\\b", "../up", "C:x", "nul", "COM1.x", "dot.", "a\nb", "x" * 101, "a\0b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_or_fail_on_windows_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvDetectError, match="cannot be called"):
        checked_name(name)
    if name.strip():
        with pytest.raises(InvDetectError, match="cannot be called"):
            import_model(FUNDUS, name)
    assert not folder.exists()


def test_checking_a_whole_file_agrees_with_loading_it(tmp_path: Path) -> None:
    from InvDetectLib.models.model import Model

    for path in SHIPPED:
        check_whole(path)
    for number, position in enumerate((9, 5000, 100_000, -3)):
        content = bytearray(FUNDUS.read_bytes())
        content[position] ^= 4
        bad = tmp_path / f"{number}.invdetect"
        bad.write_bytes(content)
        for refuses in (check_whole, Model.load):
            with pytest.raises(InvDetectError):
                refuses(bad)
