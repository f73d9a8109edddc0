"""Answers of a DICOMweb server that means harm: they cost one sentence, little memory, and nothing that they say reaches a log."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from InvDetectLib.common import InvDetectError
from InvDetectLib.dicom.web import DicomWeb, WebSeries
from Testing.support.made_dicom import write_image
from Testing.support.needs import need
from Testing.support.odd_server import Answer, Question, odd_server

need("dicomweb_client")
SERIES = WebSeries("1.2.1", "1.2.3")
PARTS = 'multipart/related; type="application/dicom"; boundary="next part"'


def told(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status=status)


def row(series: str, **more: Any) -> dict[str, Any]:
    uids = {"0020000D": SERIES.study, "0020000E": series, "00080018": "1.2.3.0"}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()} | more


@pytest.mark.filterwarnings("ignore:message sent by origin server")
@pytest.mark.parametrize("kind", [PARTS, "application/dicom"])
def test_a_deflated_image_is_refused_before_it_is_inflated(kind: str, tmp_path: Path) -> None:
    facts = {"StudyInstanceUID": SERIES.study, "SeriesInstanceUID": SERIES.series, "SOPInstanceUID": "1.2.3.0"}
    pixels, syntax = np.zeros((8000, 8000), np.uint16), DeflatedExplicitVRLittleEndian
    packed = write_image(tmp_path / "deflated.dcm", pixels, syntax=syntax, **facts).read_bytes()
    if kind == PARTS:
        packed = b"--next part\r\nContent-Type: application/dicom\r\n\r\n" + packed + b"\r\n--next part--\r\n"

    def answer(question: Question) -> Answer:
        return told([row(SERIES.series)]) if "/instances" in question.path else Answer(packed, kind)

    tracemalloc.start()
    try:
        with odd_server(answer) as server, pytest.raises(InvDetectError, match="sends objects that are deflated, which are not taken"):
            DicomWeb(server.url).fetch(SERIES, tmp_path / "inbox" / "one")
        assert tracemalloc.get_traced_memory()[1] < pixels.nbytes / 4
    finally:
        tracemalloc.stop()
    assert not list((tmp_path / "inbox").iterdir())


def test_of_a_search_little_is_kept_and_its_pages_end(monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps([row("1.2.SERIES", **{"00100010": {"vr": "PN", "Value": ["x" * (15 << 20)]}})])

    def answer(question: Question) -> Answer:
        return Answer(content.replace("SERIES", re.findall(r"offset=(\d+)", question.path)[0]).encode())

    tracemalloc.start()
    try:
        with odd_server(answer) as server, pytest.raises(InvDetectError, match="finds has more than the 268,435,456 bytes that are taken"):
            DicomWeb(server.url).find({})
        assert len(server.asked) < 20
        assert tracemalloc.get_traced_memory()[1] < 180 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("code", ["9" * 5000, "Doe^Jane", "\x1b[2J", 10**4000, -5], ids=["digits", "name", "escape", "number", "below 0"])
def test_a_reason_that_is_none_is_not_repeated(code: Any, tmp_path: Path) -> None:
    content = write_image(tmp_path / "image.dcm", np.zeros((4, 4), np.uint16)).read_bytes()
    refusal = told({"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [code]}}]}}, 409)
    with odd_server(lambda _: refusal) as server, pytest.raises(InvDetectError) as caught:
        DicomWeb(server.url).store(content)
    assert str(caught.value).endswith("it does not say why in known words (failure reason missing).")
