"""What of a file comes into an error's sentence: short, on one line, whatever it was."""

from __future__ import annotations

from typing import Any

import pytest

from InvDetectLib.common import brief, for_log, shown

DEEP: list[Any] = []
for _ in range(10_000):
    DEEP = [DEEP]


TEXTS = ["x" * 100_000, "a\n\x1b[31mb", "word " * 10_000]


@pytest.mark.parametrize("value", [*TEXTS, 10**400, [10**400] * 1000, {"x" * 1000: "y" * 1000}, DEEP, b"\0" * 10**6])
def test_a_strangers_value_is_shown_short_and_on_one_line(value: Any) -> None:
    assert len(shown(value)) < 350 and shown(value).isprintable()


@pytest.mark.parametrize("text", TEXTS)
def test_a_librarys_words_are_shown_short_and_on_one_line_without_quotes(text: str) -> None:
    told = shown(ValueError(text))
    assert len(told) < 200 and told.isprintable() and told[0] == text[0]



@pytest.mark.parametrize("value", [0.5, -1, "axial", [1, 2], None, True])
def test_what_is_short_is_shown_as_it_is(value: Any) -> None:
    assert shown(value) == repr(value)


def test_a_path_without_end_does_not_make_an_endless_sentence() -> None:
    said = brief(f"{'x' * 100_000} cannot be read: it is no scan. Give another.")
    assert len(said) < 4000 and said.startswith("xxx") and said.endswith("Give another.")
    assert brief("short.") == "short."


def test_a_log_says_where_and_what_it_was_but_not_whose_scan() -> None:
    words = 'no slice 7 of "Jane Doe" in /scans/Jane Doe/t1.nii.gz, Miller'
    try:
        raise LookupError(words)
    except LookupError as error:
        told = for_log(error, ["Miller"])
    assert "test_errors.py" in told and "LookupError" in told and "no slice 7 of" in told
    assert not any(name in told for name in ("Jane", "t1.nii", "Miller"))
