"""The card of a model: the texts that its maker may give, checked, and what code goes by in it.

By the standard library alone, so that a panel can show a card too. Its figures come from `train`; no text can replace them.
"""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any

from ..common import WrongUse, shown
from .ranges import Lengths, OneOf, Range, from_values

TEXTS = {
    "intended_use": "what the model is for",
    "data": "what it was trained on",
    "data_licence": "licence of these data",
    "citation": "whom these data are to be credited to",
    "misses": "what it misses",
}
CHOSEN = "chosen"  # in a card: the settings that were compared by made lesions, and which were kept
Above = Annotated[float, Range(1e-9, 1e9)]
LONGEST_TEXT = 2000  # characters of one text: it is to be read
OTHER_DIRECTIONS = "other_directions"  # in a stored calibration: those of directions other than the model's own
DIRECTION_WORDS = {"bright": "brighter than normal", "dark": "darker than normal", "both": "brighter or darker than normal"}
_PER_COLUMN = 20  # characters of a text that are looked at for each column; most of them may be blanks


def check_texts(texts: Any, where: str = "The card") -> dict[str, str]:
    """`texts` as they go into a card: some of `TEXTS`, each a string with something in it, at most `LONGEST_TEXT` characters long.

    where  how errors call it. Raises `WrongUse`.
    """
    known = ", ".join(TEXTS)
    if not isinstance(texts, dict):
        raise WrongUse(f"{where} must be an object of names and texts, such as {{\"intended_use\": \"...\"}}; it may have {known}.")
    for name, text in texts.items():
        if name not in TEXTS:
            raise WrongUse(f"{where} has no place for {shown(name)}; it may have {known}.")
        if not isinstance(text, str) or not text.strip():
            raise WrongUse(f"{where} needs a text as {name!r}, not {'an empty one' if isinstance(text, str) else shown(text)}.")
        if len(text) > LONGEST_TEXT:
            raise WrongUse(f"{where} has {len(text)} characters as {name!r}; at most {LONGEST_TEXT} fit.")
    return {name: " ".join(text.split()) for name, text in texts.items()}


def read_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in a JSON file, as `check_texts` gives them. Raises `WrongUse`, for a file that cannot be read too."""
    try:
        with open(path, encoding="utf-8") as file:
            texts = json.load(file)
    except OSError as error:
        raise WrongUse(f"The card {os.fspath(path)} cannot be read: {error.strerror or error}. Give a JSON file.") from error
    except (ValueError, RecursionError) as error:
        why = f"no JSON file ({shown(error)}); it must hold an object of names and texts"
        raise WrongUse(f"The card {os.fspath(path)} is {why}.") from error
    return check_texts(texts, f"The card {os.fspath(path)}")


@dataclass(frozen=True)
class TrainedOn:
    """What a card says of the normal scans that were learned from, as far as detection goes by it.

    digests     of their voxels
    unit        of `pixel`: "mm" or "pixel";  pixel  the smallest and the largest on the model's grid
    anisotropy  the largest ratio between the sides of a voxel, in the plane
    intensity   (1st, 99th percentile) of the foreground: the lowest of the scans, and the highest
    """

    digests: tuple[Annotated[str, Lengths(1, 200)], ...]
    unit: Annotated[str, OneOf(("mm", "pixel"))]
    pixel: tuple[Above, Above]
    anisotropy: Above
    intensity: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class ReliedOn:
    """What code, and not people alone, goes by in a card."""

    trained_on: TrainedOn
    mean_neighbour_distance: Annotated[float, Range(0.0, 1e12)]
    seed: int
    intensity_threshold: float | None = None  # of plain intensity, for comparison


def relied_on(card: dict[str, Any]) -> ReliedOn:
    """The facts of a card that detection rests on. Raises `InvDetectError` where one is missing, of another type, or cannot be."""
    return from_values(ReliedOn, card, "card", ignore=True)


def one_line(text: Any, width: int) -> str:
    """A card's text on one line of at most `width` columns; "" for what is no text."""
    # no more than can matter: a stranger's text may have millions of characters
    return textwrap.shorten(printable(text[: _PER_COLUMN * width]), width, placeholder=" ...") if isinstance(text, str) else ""


def first_sentence(text: Any, width: int) -> str:
    """The first sentence of a card's text, as `one_line` gives it."""
    return one_line(text.partition(". ")[0].rstrip("."), width) if isinstance(text, str) else ""


def size_text(size: int) -> str:
    """A file's size for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"


def calibrations(calibration: dict[str, Any], own: str) -> dict[str, dict[str, Any]]:
    """What a model stores of its calibration, by direction; `own`, the model's, comes first. Only "" for models without directions."""
    others = calibration.get(OTHER_DIRECTIONS) if own else None
    return {own: calibration, **(others if isinstance(others, dict) else {})}


def printable(text: str) -> str:
    """On one line, and without control characters, which could drive a terminal."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())
