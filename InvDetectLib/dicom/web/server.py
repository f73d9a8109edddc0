"""Series from a DICOMweb server, and objects to it: QIDO, WADO and STOW by dicomweb-client, which loads on first use."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common import InvDetectError, Progress, WrongUse, check_loadable, private_folder, shown
from ..uids import is_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_NO_IMAGES = {"SEG", "SR", "PR", "KO", "REG", "FID", "DOC", "ECG", "AU", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD"}
_WORD = re.compile(r"[A-Z0-9 _]{1,16}")
_STUDY, _SERIES, _INSTANCE, _MODALITY, _COUNT, _DESCRIPTION = "0020000D", "0020000E", "00080018", "00080060", "00201209", "0008103E"
_OURS = "InvDetect: "  # how `objects` describes series of its own
_UIDS = {"StudyInstanceUID", "SeriesInstanceUID"}  # in filters
_PAGE = 500  # answers asked for at once
_ROW = (_STUDY, _SERIES, _INSTANCE, _MODALITY, _COUNT, _DESCRIPTION)  # what is kept of an answer
_VALUE = 100  # characters of each
_SEARCH = 256 << 20  # bytes of all pages of a search
_LONGEST = 50_000  # answers of one search: no study has as many images, and no poll as many series
_LARGEST = 4 << 30  # bytes of a series: no scan may have more voxels
_FAILED, _STORED, _WHY = "00081198", "00081199", "00081197"
_REASONS = {0x0110: "it could not process it", 0x0122: "it does not take this kind of object", 0x0124: "it does not allow it"}


@dataclass(frozen=True)
class WebSeries:
    """A series as a server names it: UIDs that are ones by their form, its modality ("MR"), and how many images it has just now.

    modality, images  "" and 0 where they are not told
    """

    study: str
    series: str
    modality: str = ""
    images: int = 0


class DicomWeb:
    """A DICOMweb server at `url` ("https://pacs.example.org/dicom-web").

    ca    a PEM file with the authorities whose certificates are trusted; None: those of the system
    most  bytes that a series may have

    The token is that of the environment variable INVDETECT_DICOMWEB_TOKEN. Proxies are those of the environment. All methods raise
    `InvDetectError` with one sentence where the server, or the way to it, fails: `NoAnswer` where the same may succeed later. Neither the
    sentences nor what is logged hold a patient's name or the token. Raises `WrongUse` for an address or a file that is none.
    """

    def __init__(self, url: str, ca: str | Path | None = None, most: int = _LARGEST) -> None:
        check_loadable({"pydicom": "pydicom", "dicomweb-client": "dicomweb_client"}, "dicom")
        from dicomweb_client import DICOMwebClient

        from . import session

        self.url = session.checked_url(url)
        self._most = most
        self._session = session.Session(self.url, None if ca is None else session.checked_ca(ca))
        self._client = DICOMwebClient(self.url, self._session, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)  # 30 s without a word; who asks again says so
        logging.getLogger("retrying").setLevel(logging.ERROR)  # it logs a traceback of what is told in a sentence
        self._http = session

    def find(self, filters: Mapping[str, str]) -> list[WebSeries]:
        """The series of images that match all filters, by DICOM keyword, sorted.

        Not among them are those that the server names by no UID, those whose modality says that they hold other objects, and our own maps.
        filters  {"Modality": "MR", "StudyDate": "20261101-"}; StudyInstanceUID and SeriesInstanceUID choose one. `WrongUse` for others
        """
        wanted = {name: str(value) for name, value in filters.items()}
        for name in _UIDS & wanted.keys():
            check_uid(wanted[name])
        study = wanted.pop("StudyInstanceUID", None)
        rows = self._pages(lambda offset: self._client.search_for_series(study, search_filters=wanted, limit=_PAGE, offset=offset), _SERIES)
        found = []
        for row in rows:
            uids = (study or row[_STUDY], row[_SERIES])
            modality, count = row[_MODALITY], row[_COUNT]
            if modality in _NO_IMAGES or (modality == "OT" and row[_DESCRIPTION].startswith(_OURS)):
                continue
            if all(map(is_uid, uids)) and wanted.get("SeriesInstanceUID", uids[1]) == uids[1]:
                images = int(count) if re.fullmatch("[0-9]{1,6}", count) else 0
                found.append(WebSeries(*uids, modality if _WORD.fullmatch(modality) else "", images))
        return sorted(found, key=lambda one: (one.study, one.series))

    def fetch(self, series: WebSeries, folder: Path, progress: Progress | None = None) -> None:
        """Write every image of a series into the new `folder`, as files that are numbered; all of them, or no folder at all.

        Images come as they are stored, compressed ones too. Progress on "fetching", by images. Raises `InvDetectError` also for an answer
        with other images than the series has, and for a disk that is full.
        """
        check_uid(series.study)
        check_uid(series.series)
        progress = progress or Progress()
        rows = self._pages(
            lambda offset: self._client.search_for_instances(series.study, series.series, limit=_PAGE, offset=offset), _INSTANCE
        )
        missing = {row[_INSTANCE] for row in rows}
        total = len(missing)
        if not missing:
            raise InvDetectError(f"{self.url} has no images of the series {series.series}. Check the UIDs.")
        with _whole(folder) as private:
            number = 0
            try:
                with self._http.troubles(self.url), self._session.allowing(self._most):
                    for number, image in enumerate(self._images(series), 1):
                        progress.report("fetching", number - 1, total)
                        missing.discard(str(image.SOPInstanceUID))
                        image.save_as(private / f"{number:05}.dcm")
                        if number > total:
                            break
                    whole = self._session.is_whole() and number == total and not missing
            except self._http.Strange:
                if not number:
                    raise
                whole = False  # what began as images was cut in the middle of one
            if not whole:
                raise self._http.NoAnswer(
                    f"{self.url} did not send the {total} images of the series {series.series}, but others or a part of them. Try again."
                )
            progress.report("fetching", total, total)

    def store(self, content: bytes) -> None:
        """Store one DICOM object, given as a file. Stored twice it is there once. Raises `InvDetectError` when the server refuses it."""
        from pydicom import dcmread
        from requests import HTTPError

        data = dcmread(BytesIO(content))
        kind = data.get("Modality", "DICOM")
        with self._http.troubles(self.url):
            try:
                answer = self._client.store_instances([data]).to_json_dict()
            except HTTPError as error:
                answer = _failures(error.response)
                if not answer:
                    raise
        for row in _items(answer, _FAILED):
            told = _first(row, _WHY)
            code = int(told) if re.fullmatch("[0-9]{1,5}", told) else 0  # what else may stand there is not for a log
            why = _REASONS.get(code, "it does not say why in known words")
            raise InvDetectError(f"{self.url} did not store an object ({kind}): {why} (failure reason {code or 'missing'}).")
        if not _items(answer, _STORED):
            raise InvDetectError(
                f"{self.url} did not say that it stored an object ({kind}). Check the address, and whether this server takes such objects."
            )

    def _images(self, series: WebSeries) -> Iterator[Dataset]:
        """Every image of a series, one at a time."""
        for image in self._client.iter_series(series.study, series.series, media_types=(("application/dicom", "*"),)):
            if (image.StudyInstanceUID, image.SeriesInstanceUID) != (series.study, series.series):
                raise InvDetectError(f"{self.url} sent an image that is not of the series {series.series}; none of them is kept.")
            yield image

    def _pages(self, ask: Callable[[int], Any], key: str) -> list[dict[str, str]]:
        """All rows of a search, of each the first values of `_ROW` as text, whatever the server sends at once; rows that were there
        already end it, as some ignore the offset."""
        rows: dict[str, dict[str, str]] = {}
        offset = taken = 0
        while True:
            with self._http.troubles(self.url):
                page = ask(offset)
            if not isinstance(page, list) or not all(isinstance(row, dict) for row in page):
                raise self._http.strange(self.url)
            new = {row[key]: row for row in ({tag: _first(row, tag)[:_VALUE] for tag in _ROW} for row in page)}
            if new.keys() <= rows.keys():
                return list(rows.values())
            rows |= new
            offset += len(page)
            taken += self._session.body.seen if self._session.body else 0
            if taken > _SEARCH:
                raise InvDetectError(f"What {self.url} finds has more than the {_SEARCH:,} bytes that are taken. Ask for less.")
            if len(rows) > _LONGEST:
                raise InvDetectError(f"{self.url} finds more than {_LONGEST:,}. Ask for less, by a study or a date.")


def parse_query(text: str) -> dict[str, str]:
    """The filters of "Modality=MR,StudyDate=20261101-", by DICOM keyword. `WrongUse` for what is none."""
    from pydicom.datadict import tag_for_keyword

    filters: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not name or not value or tag_for_keyword(name) is None or name in filters:
            raise WrongUse(f"{shown(part.strip())} is no filter. Write DICOM keywords once each, such as Modality=MR,StudyDate=20261101-.")
        filters[name] = check_uid(value) if name in _UIDS else value
    return filters


def check_uid(text: str) -> str:
    """The text. `WrongUse` when it is no UID."""
    if not is_uid(text):
        raise WrongUse(f"{shown(text)} is no DICOM UID. UIDs are numbers with dots between them.")
    return text


def _first(row: dict[str, Any], tag: str) -> str:
    """The first value of an element in DICOM's JSON, as text; "" where there is none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    return str(value) if isinstance(value, (str, int)) else ""


def _items(row: Any, tag: str) -> list[dict[str, Any]]:
    element = row.get(tag) if isinstance(row, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _failures(response: Any) -> Any:
    """The answer that came with a refusal, where it names what was refused."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return None
    return answer if _items(answer, _FAILED) else None


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A private folder that becomes `folder` when the block ends well, and goes otherwise."""
    try:
        if os.path.lexists(folder):
            raise InvDetectError(f"{folder} exists already. Choose another folder, or remove it.")
        with private_folder(folder.parent) as private:
            images = private / "images"
            images.mkdir(mode=0o700)
            yield images
            images.rename(folder)
    except OSError as error:
        raise InvDetectError(f"A series cannot be written to {folder}: {error.strerror or error}. Choose one with room.") from error
