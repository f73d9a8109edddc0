"""What a machine lacks is told in a sentence, whoever says it and however."""

from __future__ import annotations

import errno
import os

import pytest

from InvDetectLib.common import InvDetectError, check_loadable, is_shortage, reason, shortage


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),  # oneDNN, below torch
        RuntimeError("can't start new thread"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_lack_of_memory_is_told_as_such(error: Exception) -> None:
    assert is_shortage(error)
    assert "not enough memory" in shortage(error) and "not known" not in reason(error, "a.nii")


@pytest.mark.parametrize("number, words", [(errno.EMFILE, "ulimit -n"), (errno.ENOSPC, "make room"), (errno.EFBIG, "ulimit -f")])
def test_other_shortages_have_their_own_remedies(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number))
    assert words in shortage(error) and not is_shortage(error)


@pytest.mark.parametrize("error", [ValueError("out of memory"), OSError(errno.ENOENT, "no file"), KeyError("a"), RuntimeError("a bug")])
def test_what_is_no_shortage_is_not_called_one(error: Exception) -> None:
    assert not is_shortage(error) and shortage(error) == "" and "not known" in reason(error, "a.nii")


def test_a_package_that_has_no_room_is_not_called_broken(tmp_path, monkeypatch) -> None:
    (tmp_path / "too_large_for_here.py").write_text("raise MemoryError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvDetectError, match="not enough memory") as caught:
        check_loadable({"too-large": "too_large_for_here"})
    assert "reinstall" not in str(caught.value)
