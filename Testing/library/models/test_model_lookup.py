"""Names find models: in the models folder, then among the shipped ones, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models import model as model_file
from InvDetectLib.models.model import find_models, load_model, models_folder, resolve_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with `brain` and `eye.v2`, and a file of another kind; the working folder is empty."""
    models, work = tmp_path / "models", tmp_path / "work"
    monkeypatch.setenv("INVDETECT_MODELS", str(models))
    for name in ("brain.invdetect", "eye.v2.invdetect", "._brain.invdetect", "notes.txt"):
        models.mkdir(exist_ok=True)
        (models / name).write_bytes(b"")
    (models / "folder.invdetect").mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    return models


def test_models_are_listed_by_name(folder: Path) -> None:
    assert [path for path in find_models() if path.parent == folder] == [folder / "brain.invdetect", folder / "eye.v2.invdetect"]


@pytest.mark.parametrize("given", ["eye.v2", "eye.v2.invdetect"])
def test_a_name_finds_its_model_with_and_without_ending(folder: Path, given: str) -> None:
    assert resolve_model(given) == folder / "eye.v2.invdetect"


def test_a_path_comes_before_a_name(folder: Path) -> None:
    Path("brain").write_bytes(b"")
    assert resolve_model("brain") == Path("brain")
    assert resolve_model(Path("brain").absolute()) == Path("brain").absolute()


def test_a_folder_of_the_same_name_does_not_hide_the_model(folder: Path) -> None:
    Path("brain").mkdir()
    assert resolve_model("brain") == folder / "brain.invdetect"


@pytest.mark.parametrize("given", ["", ".", "..", "../secret", "x/../../secret", "notes.txt", "folder", "._brain", "a\0b", "x" * 5000, "*"])
def test_a_name_cannot_lead_out_of_the_folder_nor_to_what_is_no_model(folder: Path, given: str) -> None:
    (folder / "x").mkdir()
    (folder.parent / "secret.invdetect").write_bytes(b"")
    with pytest.raises(InvDetectError, match="no model") as caught:
        resolve_model(given)
    assert "by name there are brain, eye.v2" in str(caught.value)


def test_an_unknown_name_is_answered_by_one_sentence_with_names_and_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = folder.parent / "InvDetectLib" / "shipped_models"
    shipped.mkdir(parents=True)
    (shipped / "starter.invdetect").write_bytes(b"")
    monkeypatch.setattr(model_file, "__file__", str(shipped.parent / "models" / "model.py"))
    with pytest.raises(InvDetectError) as caught:
        load_model("liver")
    assert str(caught.value) == (
        "There is no model 'liver': no file has this path, and by name there are brain, eye.v2, starter "
        f"(looked for in {folder} and {shipped})."
    )


def test_without_any_model_the_error_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "find_models", lambda: [])
    with pytest.raises(InvDetectError, match=r"there are no models with a name yet \(looked for in .*models"):
        load_model("brain")


def test_shipped_models_come_last_from_source_tree_and_wheel(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    for place, names in {"InvDetectLib/shipped_models": ("brain", "wheel"), "Resources/Models": ("wheel", "source")}.items():
        (tree / place).mkdir(parents=True)
        for name in names:
            (tree / place / f"{name}.invdetect").write_bytes(b"")
    monkeypatch.setattr(model_file, "__file__", str(tree / "InvDetectLib" / "models" / "model.py"))
    assert find_models() == [
        folder / "brain.invdetect",
        folder / "eye.v2.invdetect",
        tree / "InvDetectLib/shipped_models/wheel.invdetect",
        tree / "Resources/Models/source.invdetect",
    ]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "HOME/.local/share/invdetect/models"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/invdetect/models"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "HOME/.local/share/invdetect/models"),
        ("linux", {"INVDETECT_MODELS": "~/mine", "XDG_DATA_HOME": "/data"}, "HOME/mine"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "HOME/Library/Application Support/InvDetect/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/InvDetect/models"),
        ("win32", {}, "HOME/AppData/Local/InvDetect/models"),
    ],
)
def test_the_models_folder_is_where_the_platform_keeps_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("INVDETECT_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(model_file.sys, "platform", platform)
    assert models_folder() == Path(expected.replace("HOME", str(tmp_path)))
