"""JSON as its standard has it: of numbers only finite ones, which Python's reader is not strict about."""

from __future__ import annotations

import json
import math
from typing import Any


def parse_json(text: str) -> Any:
    """The values in a JSON text. ValueError for what is none, for NaN and infinity, and for numbers beyond floats; RecursionError for
    brackets within brackets without end."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
