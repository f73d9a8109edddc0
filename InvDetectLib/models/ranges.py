"""Values that come from files, held against what a dataclass declares, before anything is allocated or computed from them.

What a field may be stands in its annotation: `Annotated[int, Range(1, 4096)]`, `Annotated[str, OneOf(PLANES)]`,
`Annotated[tuple[Share, ...], Lengths(1, 100)]`. A number without a range must be finite, and a text not endless.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union

from ..common import InvDetectError, shown

_LARGEST = {float: 1e30, int: 2**63 - 1}  # of a number that declares no range of its own
_LONGEST_TEXT = 10_000
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_LONGEST_LIST = 1_000_000
Made = TypeVar("Made")


@dataclass(frozen=True)
class Range:
    """A number lies between `low` and `high`, both included."""

    low: float
    high: float

    def objection(self, value: Any) -> str:
        """What the value must be instead; "" for one that may be."""
        return "" if self.low <= value <= self.high else f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """A text, or a number, is one of these."""

    names: tuple[Any, ...]

    def objection(self, value: Any) -> str:
        """See `Range`."""
        return "" if value in self.names else f"one of {', '.join(map(repr, self.names))}"


@dataclass(frozen=True)
class Lengths:
    """A list, or a text, has between `low` and `high` entries, or characters."""

    low: int
    high: int

    def objection(self, value: Any) -> str:
        """See `Range`."""
        return "" if self.low <= len(value) <= self.high else f"{self.low} to {self.high} long"


@dataclass(frozen=True)
class Passes:
    """`check` raises `InvDetectError` for a value that cannot be."""

    check: Callable[[Any], None]

    def objection(self, value: Any) -> str:
        """See `Range`; what the check raises is passed on."""
        self.check(value)
        return ""


Share = Annotated[float, Range(0.0, 1.0)]
Count = Annotated[int, Range(0, 2**31 - 1)]


def from_values(cls: type[Made], values: Any, where: str, ignore: bool = False) -> Made:
    """An instance of a dataclass from plain values, as JSON has them, each of the type and in the range that its field declares.

    where   how errors call the values, such as "settings"
    ignore  entries that the dataclass does not know are left out; else they are refused
    Raises `InvDetectError`, one sentence, for the first value that cannot be. Whole numbers become floats and lists tuples.
    """
    return typing.cast(Made, _build(cls, values, where, ignore))


def to_values(made: Any) -> dict[str, Any]:
    """The inverse of `from_values`: dicts, lists, numbers and texts, the same before they were written as JSON and after."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(made)))
    return values


def check_ranges(made: Any, where: str) -> None:
    """Raise `InvDetectError` when a dataclass was made with values that `from_values` would refuse."""
    from_values(type(made), {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}, where)


def _build(cls: Any, values: Any, where: str, ignore: bool) -> Any:
    if isinstance(values, cls):
        values = {field.name: getattr(values, field.name) for field in dataclasses.fields(cls)}
    if not isinstance(values, dict):
        raise InvDetectError(f"The {where} are not a table of names and values; the file is damaged or foreign.")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    unknown = [name for name in values if name not in fields]
    if unknown and not ignore:
        told = ", ".join(sorted(shown(name) for name in unknown)[:5])
        raise InvDetectError(f"Unknown entries in the {where}: {told}. A newer InvDetect may have written them.")
    missing = [name for name, field in fields.items() if name not in values and _is_needed(field)]
    if missing:
        raise InvDetectError(f"The {where} lack {', '.join(missing)}; the file is damaged or foreign.")
    hints = typing.get_type_hints(cls, include_extras=True)
    return cls(**{name: _convert(hints[name], values[name], f"{where}.{name}", ignore) for name in fields if name in values})


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: Any, where: str, ignore: bool) -> Any:
    if typing.get_origin(kind) is Annotated:
        plain, *rules = typing.get_args(kind)
        made = _convert(plain, value, where, ignore)
        for rule in rules:
            if objection := rule.objection(made):
                raise _wrong(where, objection, value)
        return made
    if typing.get_origin(kind) in (Union, types.UnionType):
        return _one_of(typing.get_args(kind), value, where, ignore)
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where, ignore)
    if typing.get_origin(kind) is tuple:
        return _tuple(typing.get_args(kind), value, where, ignore)
    return _plain(kind, value, where)


def _one_of(kinds: Collection[Any], value: Any, where: str, ignore: bool) -> Any:
    """A value of one kind, or None where that may be."""
    if value is None and type(None) in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    return _convert(kind, value, where, ignore)


def _tuple(kinds: tuple[Any, ...], value: Any, where: str, ignore: bool) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, "a list", value)
    if len(value) > _LONGEST_LIST:
        raise InvDetectError(f"{where} has {len(value)} entries, and at most {_LONGEST_LIST} can be.")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise _wrong(where, f"{len(kinds)} long", value)
    return tuple(_convert(kinds[0] if kinds[-1] is Ellipsis else kinds[i], entry, where, ignore) for i, entry in enumerate(value))


def _plain(kind: type, value: Any, where: str) -> Any:
    whole = kind is float and type(value) is int
    if type(value) is not kind and not whole:
        raise _wrong(where, _WORDS[kind], value)
    if kind is str and len(value) > _LONGEST_TEXT:
        raise _wrong(where, f"at most {_LONGEST_TEXT} characters", value)
    if kind in _LARGEST and not abs(value) <= _LARGEST[kind]:  # NaN is not either
        raise _wrong(where, f"a number of at most {_LARGEST[kind]:g}", value)
    return float(value) if whole else value


def _wrong(where: str, wanted: str, value: Any) -> InvDetectError:
    return InvDetectError(f"{where} must be {wanted}, not {shown(value)}.")
