"""Answers that a DICOMweb server should not give: each costs one sentence, and nothing that is half of something stays."""

from __future__ import annotations

import gzip
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.dicom.web import DicomWeb, NoAnswer, WebSeries, parse_query
from Testing.support.certificates import certificates
from Testing.support.made_dicom import write_image
from Testing.support.needs import need
from Testing.support.odd_server import Answer, Question, odd_server

need("dicomweb_client")
SERIES = WebSeries("1.2.1", "1.2.3")
PARTS = 'multipart/related; type="application/dicom"; boundary="next part"'


def row(series: str = SERIES.series, instance: str = "", **more: Any) -> dict[str, Any]:
    uids = {"0020000D": SERIES.study, "0020000E": series, "00080018": instance}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()} | more


def told(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(json.dumps(value).encode(), status=status, headers=headers)


def once(value: Any) -> Callable[[Question], Answer]:
    """All rows on the first page."""
    return lambda question: told(value if "offset=0" in question.path else [])


def images(folder: Path, count: int = 3, **elements: str) -> dict[str, bytes]:
    """Files by their instance UIDs."""
    found = {}
    for k in range(count):
        facts = {"StudyInstanceUID": SERIES.study, "SeriesInstanceUID": SERIES.series, "SOPInstanceUID": f"1.2.3.{k}", **elements}
        found[f"1.2.3.{k}"] = write_image(folder / f"{k}.dcm", np.zeros((16, 16), np.uint16), **facts).read_bytes()
    return found


def parts(contents: list[bytes]) -> bytes:
    return b"".join(b"--next part\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in contents) + b"--next part--\r\n"


def serves(names: list[str], answer: Answer) -> Callable[[Question], Answer]:
    """A server with one series of images of these names, which sends `answer` for them."""
    listed = once([row(instance=name) for name in names])
    return lambda question: listed(question) if "/instances" in question.path else answer


# Searching


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>Please log in</html>", "text/html"),
        Answer(b"<html>Please log in</html>"),
        Answer(b"[" * 100_000),
        Answer(b'["1.2.3"]'),
        Answer(b"3"),
        Answer(b"\xff\xfe\x00"),
    ],
    ids=["page", "page called JSON", "endless depth", "texts", "number", "bytes"],
)
def test_an_answer_that_is_not_dicomweb_is_called_so(answer: Answer) -> None:
    with odd_server(lambda _: answer) as server, pytest.raises(InvDetectError) as error:
        DicomWeb(server.url).find({})
    assert str(error.value) == (
        f"What {server.url} answers is not DICOMweb. Check the address: it often ends in /dicom-web, /dicomweb or /rs."
    )


@pytest.mark.parametrize(
    "status, kind, words",
    [
        (401, InvDetectError, r"refuses the access \(401\): it wants a token, to be set as the environment variable"),
        (403, InvDetectError, r"refuses the access \(403\)"),
        (404, InvDetectError, r"has no such thing \(404\)"),
        (503, NoAnswer, r"cannot answer just now \(503\)"),
        (302, InvDetectError, r"sends elsewhere \(http://127\.0\.0\.1:1/other\), which is not followed"),
    ],
)
def test_a_refusal_is_one_sentence_with_a_remedy(status: int, kind: type[InvDetectError], words: str) -> None:
    with odd_server(lambda _: Answer(b"no", "text/plain", status, {"Location": "http://127.0.0.1:1/other"})) as server:
        with pytest.raises(InvDetectError, match=words) as error:
            DicomWeb(server.url).find({})
        assert type(error.value) is kind and len(server.asked) == 1


def test_a_server_that_is_not_there_may_come_back(free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NoAnswer, match=rf"No server answers at http://127\.0\.0\.1:{free_port}/rs\. Check the address"):
        DicomWeb(f"http://127.0.0.1:{free_port}/rs").find({})
    assert "Traceback" not in caplog.text and "File" not in caplog.text


def test_what_is_named_by_no_uid_is_not_found() -> None:
    evil = ["../../../etc/cron.d/x", "..", ".", "", "1.2/3", "C:\\x", "1.2.3\n", "1." + "2" * 64, "1.2.3%2f"]
    rows = [row(name) for name in evil] + [{"0020000E": {"Value": [["1.2"]]}}, {"0020000E": "1.2"}, row("1.2.9")]
    with odd_server(once(rows)) as server:
        assert DicomWeb(server.url).find({}) == [WebSeries("1.2.1", "1.2.9")]
    with odd_server(once([])) as server:
        for name in evil:
            for series in (WebSeries(name, "1.2"), WebSeries("1.2", name)):
                with pytest.raises(WrongUse, match="is no DICOM UID"):
                    DicomWeb(server.url).fetch(series, Path("nowhere") / "one")
        assert server.asked == []


def test_what_is_no_modality_and_no_count_is_left_out() -> None:
    with odd_server(once([row(**{"00080060": {"Value": ["\x1b[2J" * 3]}, "00201209": {"Value": ["many"]}})])) as server:
        assert DicomWeb(server.url).find({}) == [WebSeries("1.2.1", "1.2.3", "")]


def test_pages_are_followed_and_end_where_nothing_new_comes() -> None:
    pages = [[row("1.2.1"), row("1.2.2")], [row("1.2.3")], []]
    offsets = {0: 0, 2: 1, 3: 2}

    def answer(question: Question) -> Answer:
        return told(pages[offsets[int(re.findall(r"offset=(\d+)", question.path)[0])]])

    with odd_server(answer) as server:
        assert len(DicomWeb(server.url).find({})) == 3
    with odd_server(lambda _: told(pages[0])) as server:  # which knows no offset
        assert len(DicomWeb(server.url).find({})) == 2


def test_a_search_that_finds_without_end_is_ended() -> None:
    def answer(question: Question) -> Answer:
        start = int(re.findall(r"offset=(\d+)", question.path)[0])
        return told([{"0020000E": {"Value": [f"1.{start + k}"]}} for k in range(20_000)])

    with odd_server(answer) as server, pytest.raises(InvDetectError, match="finds more than 50,000. Ask for less"):
        DicomWeb(server.url).find({})


def test_a_small_answer_that_becomes_a_large_one_is_not_taken() -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]")
    with odd_server(lambda _: Answer(bomb, headers={"Content-Encoding": "gzip"})) as server:
        with pytest.raises(InvDetectError, match="has more than the 33,554,432 bytes that are taken"):
            DicomWeb(server.url).find({})


# Fetching


def fetched(answer: Callable[[Question], Answer], folder: Path, most: int = 1 << 30) -> list[str]:
    """The names of the files that were fetched; whatever happens, nothing else is in the folder's own folder."""
    with odd_server(answer) as server:
        try:
            DicomWeb(server.url, most=most).fetch(SERIES, folder / "inbox" / "one")
            return sorted(path.name for path in (folder / "inbox" / "one").iterdir())
        finally:
            assert [path.name for path in (folder / "inbox").glob("*")] in ([], ["one"])
            assert not list((folder / "inbox").glob(".*"))


def test_a_series_in_parts_is_fetched_whole(tmp_path: Path) -> None:
    made = images(tmp_path)
    assert fetched(serves([*made], Answer(parts([*made.values()]), PARTS)), tmp_path) == ["00001.dcm", "00002.dcm", "00003.dcm"]


@pytest.mark.parametrize("way", ["by its length", "in chunks", "closed between parts", "closed in a part", "the end mark alone is missing"])
def test_a_series_that_is_cut_in_the_middle_is_not_kept(way: str, tmp_path: Path) -> None:
    made = images(tmp_path)
    content = parts([*made.values()])
    half = content[: len(content) * 5 // 6]
    answer = {
        "by its length": Answer(half, PARTS, headers={"Content-Length": str(len(content))}),
        "in chunks": Answer(b"%x\r\n" % len(half) + half + b"\r\n", PARTS, headers={"Transfer-Encoding": "chunked"}),
        "closed between parts": Answer(parts([*made.values()][:2]).removesuffix(b"--\r\n"), PARTS),
        "closed in a part": Answer(half, PARTS),
        "the end mark alone is missing": Answer(content.removesuffix(b"--next part--\r\n"), PARTS),
    }[way]
    with pytest.raises(NoAnswer, match="was cut in the middle. Try again|did not send the 3 images of the series"):
        fetched(serves([*made], answer), tmp_path)


def test_wherever_a_series_is_cut_it_may_be_asked_for_again(tmp_path: Path) -> None:
    made = images(tmp_path)
    content, before = parts([*made.values()]), len(parts([*made.values()][:2]))
    for cut in (before, before + 40, before + 90, before + 160, before + 230, before + 300, before + 400, len(content) - 300):
        with pytest.raises(NoAnswer, match="was cut in the middle. Try again|did not send the 3 images of the series"):
            fetched(serves([*made], Answer(content[:cut], PARTS)), tmp_path)


def test_other_images_than_those_of_the_series_are_not_kept(tmp_path: Path) -> None:
    made, strange = images(tmp_path / "own"), images(tmp_path / "strange", SeriesInstanceUID="1.2.4")
    with pytest.raises(InvDetectError, match="sent an image that is not of the series 1.2.3; none of them is kept"):
        fetched(serves([*made], Answer(parts([*made.values(), *strange.values()]), PARTS)), tmp_path)
    first = [*made.values()][0]
    for sent in ([first, first, first], [*made.values(), first], [*made.values()][:2]):
        with pytest.raises(NoAnswer, match="did not send the 3 images of the series 1.2.3, but others or a part of them"):
            fetched(serves([*made], Answer(parts(sent), PARTS)), tmp_path)


@pytest.mark.filterwarnings("ignore:message sent by origin server")
@pytest.mark.parametrize("answer", [Answer(parts([b"rubbish"]), PARTS), Answer(b"<html>", "text/html"), Answer(b"", PARTS), Answer(b"")])
def test_an_answer_without_images_is_no_series(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="is not DICOMweb|did not send the 1 images"):
        fetched(serves(["1.2.3.0"], answer), tmp_path)


def test_a_series_that_is_too_large_is_given_up_early(tmp_path: Path) -> None:
    made = images(tmp_path)
    with pytest.raises(InvDetectError, match="has more than the 1,000 bytes that are taken. Ask for less"):
        fetched(serves([*made], Answer(parts([*made.values()]), PARTS)), tmp_path, most=1000)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    made = images(tmp_path)
    (tmp_path / "inbox" / "one").mkdir(parents=True)
    with pytest.raises(InvDetectError, match="one exists already. Choose another folder, or remove it"):
        fetched(serves([*made], Answer(parts([*made.values()]), PARTS)), tmp_path)


# Storing


def stored(answer: Answer, folder: Path) -> None:
    with odd_server(lambda _: answer) as server:
        DicomWeb(server.url).store([*images(folder, 1).values()][0])


def reply(failed: list[int], done: int) -> dict[str, Any]:
    item = {"00081150": {"vr": "UI", "Value": ["1.2"]}, "00081155": {"vr": "UI", "Value": ["1.2.3.0"]}}
    failures = [{**item, "00081197": {"vr": "US", "Value": [code]}} for code in failed]
    return {"00081198": {"vr": "SQ", "Value": failures}, "00081199": {"vr": "SQ", "Value": [item] * done}}


def test_an_object_is_stored_when_the_server_names_it(tmp_path: Path) -> None:
    stored(told(reply([], 1)), tmp_path)
    stored(Answer(json.dumps(reply([], 1)).encode(), "application/dicom+json; charset=utf-8"), tmp_path)


@pytest.mark.parametrize("status", [200, 202, 409])
def test_a_refusal_in_part_is_told_with_its_reason(status: int, tmp_path: Path) -> None:
    words = r"did not store an object \(MR\): it does not take this kind of object \(failure reason 290\)"
    with pytest.raises(InvDetectError, match=words):
        stored(told(reply([0x0122], 0), status), tmp_path)


@pytest.mark.parametrize(
    "answer, words",
    [
        (Answer(b"conflict", "text/plain", 409), r"refuses the request \(409\)"),
        (Answer(b"", "text/plain", 413), r"takes nothing of this size \(413\)"),
        (Answer(b"<html>Please log in</html>", "text/html"), r"did not say that it stored an object \(MR\)"),
        (Answer(b""), "did not say that it stored"),
        (told(reply([], 0)), "did not say that it stored"),
    ],
    ids=["conflict", "too large", "page", "nothing", "nothing named"],
)
def test_what_is_not_said_to_be_stored_does_not_count_as_stored(answer: Answer, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=words):
        stored(answer, tmp_path)


# Trust


def test_the_token_goes_to_the_server_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("INVDETECT_DICOMWEB_TOKEN", "a.secret.token")
    with caplog.at_level(logging.DEBUG), odd_server(lambda _: told([])) as server:
        DicomWeb(server.url).find({"PatientName": "Lovelace"})
        assert server.asked[0].headers["authorization"] == "Bearer a.secret.token"
        assert server.asked[0].headers["host"] == server.url.split("/")[2]
        monkeypatch.delenv("INVDETECT_DICOMWEB_TOKEN")
        DicomWeb(server.url).find({})
        assert "authorization" not in server.asked[-1].headers
    assert "secret" not in caplog.text
    monkeypatch.setenv("INVDETECT_DICOMWEB_TOKEN", "two\nlines")
    with pytest.raises(WrongUse, match="INVDETECT_DICOMWEB_TOKEN holds signs that a token cannot have"):
        DicomWeb(server.url)


def test_only_a_certificate_that_is_trusted_is_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificates(tmp_path / "own", "archive")["archive"]
    own, other = certificate.authority, certificates(tmp_path / "other", "archive")["archive"].authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with odd_server(lambda _: told([]), certificate) as server:
        assert DicomWeb(server.url, own).find({}) == []
        for ca in (None, other):
            with pytest.raises(
                InvDetectError, match=r"certificate of https://\S+ is not trusted \(.*certificate.*\).* with --ca"
            ):
                DicomWeb(server.url, ca).find({})
        assert len(server.asked) == 1
        monkeypatch.setenv("SSL_CERT_FILE", str(own))  # where OpenSSL looks for the system's
        assert DicomWeb(server.url).find({}) == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own))
        with pytest.raises(InvDetectError, match="is not trusted"):  # those of the file that was named, and no others
            DicomWeb(server.url, other).find({})


@pytest.mark.parametrize(
    "url, words",
    [
        ("pacs.example.org/dicom-web", "is no address of a DICOMweb server. Give one such as https://"),
        ("file:///etc/passwd", "is no address"),
        ("http://", "is no address"),
        ("http://host:99999/rs", "is no address"),
        ("http://host/a b", "is no address"),
        ("https://me:word@pacs.example.org/rs", "must not hold a password"),
        ("https://pacs.example.org/rs?key=word", "Leave out what begins with"),
    ],
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(url: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words) as error:
        DicomWeb(url)
    assert "word" not in str(error.value).replace("password", "")


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk")
    for name in ("notes.txt", "missing.pem"):
        with pytest.raises(WrongUse, match=f"{name} cannot be taken for certificates of authorities"):
            DicomWeb("https://pacs.example.org/rs", tmp_path / name)


def test_without_the_extra_one_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dicomweb_client", None)
    with pytest.raises(InvDetectError, match=r'needs the package dicomweb-client, which is not installed.*"invdetect\[dicom\]"$'):
        DicomWeb("https://pacs.example.org/rs")


def test_filters_are_dicom_keywords() -> None:
    assert parse_query("Modality=MR, StudyDate=20261101-") == {"Modality": "MR", "StudyDate": "20261101-"}
    for text in ("", "Modality", "Modality=", "Modalty=MR", "Modality=MR,Modality=CT", "=MR"):
        with pytest.raises(WrongUse, match="is no filter. Write DICOM keywords once each"):
            parse_query(text)
    with pytest.raises(WrongUse, match="is no DICOM UID"):
        parse_query("Modality=MR,StudyInstanceUID=../x")


@pytest.fixture
def free_port() -> int:
    from Testing.support.orthanc import free_port

    return free_port()
