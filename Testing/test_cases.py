"""The runner of `python -m Testing.cases`; the cases themselves are tried with it, and their kinds by the tests of each wing."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.cases.__main__ import known_cases, main
from Testing.cases.trying import Wrong


def fails(case: Path, work: Path) -> str:
    raise Wrong("it lies elsewhere")


def test_each_case_has_a_line_and_one_that_is_wrong_or_unknown_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = {"1-good": lambda case, work: f"right: {case.name} in {work.is_dir()}", "2-no": lambda case, work: "refused: it is cut off"}
    for name in known:
        (tmp_path / name).mkdir()
    assert main([str(tmp_path)], known) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        *("1-good right: 1-good in True", "2-no refused: it is cut off", "2 of 2 cases are right or refused with the reason.")
    ]
    for name in ("3-bad", "4-new"):
        (tmp_path / name).mkdir()
        assert main([str(tmp_path)], known | {"3-bad": fails}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "WRONG: it lies elsewhere" in lines[-3] and "WRONG: nobody tries it" in lines[-2] and lines[-1].startswith("2 of 4")
    assert main([str(tmp_path / "nowhere")], known) == 1


def test_every_case_beside_the_checkout_has_somebody_who_tries_it(shared_data: Path) -> None:
    cases = {path.name for path in (shared_data.parent / "cases").glob("*/")}
    assert cases <= known_cases().keys()
