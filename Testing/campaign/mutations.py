"""The two ways in which a file is damaged: where its format has meaning (`fields`, `lines`, `leaves`, ...), and anywhere (`anywhere`).

Each takes a file's bytes and a generator of random numbers, and returns other bytes.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Generator = np.random.Generator
Mutation = Callable[[bytes, Generator], bytes]

_NUMBERS = ["-1", "0", str(2**31), str(2**63), "1e308", "-1e308", "1e-320", "nan", "inf", "9" * 400, "", "1" + "0" * 30, "0x10", "1 2"]
_LEAVES: list[Any] = [-1, 0, 1, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"), "", "x" * 5000, "\ud800\0"]
_LEAVES += [None, True, [], {}, [[]], [0] * 3000, 0.5, 3, 100000]
_FIELDS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 1000, 65536, 10**9]
_FLOATS = [float("nan"), float("inf"), -1.0, 0.0, 1e-38, 3e38, 1e308, -1e308]
_NUMBER = re.compile(rb"(?<![A-Za-z_])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def pick(rng: Generator, of: Any) -> Any:
    """One of a list, as it is."""
    return of[int(rng.integers(len(of)))]


def anywhere(content: bytes, rng: Generator) -> bytes:
    """Bits flipped, runs overwritten, pieces cut, put in and copied, one to four times."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(data) + 1))
        length = int(pick(rng, (1, 2, 4, 16, 64, 1000)))
        match int(rng.integers(6)):
            case 0:
                for spot in rng.integers(0, max(len(data), 1), min(length, len(data))):
                    data[spot] ^= 1 << int(rng.integers(8))
            case 1:
                data[place : place + length] = bytes([int(pick(rng, (0, 255, 32, 48)))]) * len(data[place : place + length])
            case 2:
                del data[place:]
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = rng.bytes(length)
            case _:
                start = int(rng.integers(len(data) + 1))
                data[place:place] = data[start : start + length]
    return bytes(data)


def fields(first: int, end: int) -> Mutation:
    """One to three binary numbers between two places become extremes."""

    def mutate(content: bytes, rng: Generator) -> bytes:
        data = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            width, order = int(pick(rng, (1, 2, 4, 8))), pick(rng, "<<<>")
            place = int(rng.integers(first, max(first + 1, min(end, len(data)))))
            place -= place % min(width, 4)
            if width >= 4 and rng.random() < 0.3:
                with np.errstate(over="ignore"):
                    new = np.array(pick(rng, _FLOATS)).astype(f"{order}f{width}").tobytes()
            else:
                new = (int(pick(rng, _FIELDS)) % 2 ** (8 * width)).to_bytes(width, "little" if order == "<" else "big")
            data[place : place + width] = new
        return bytes(data)

    return mutate


def lines(end: bytes = b"") -> Mutation:
    """A text header, up to and with `end` (all of the file without one): numbers become extremes, lines go, come twice or swap."""

    def mutate(content: bytes, rng: Generator) -> bytes:
        length = content.find(end) + len(end) if end and end in content else len(content)
        head, rest = content[:length].split(b"\n"), content[length:]
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(head)))
            kind = int(rng.integers(8))
            if kind == 0:
                head[place] = b""
            elif kind == 1:
                head.insert(place, head[place])
            elif kind == 2:
                other = int(rng.integers(len(head)))
                head[place], head[other] = head[other], head[place]
            elif kind == 3:
                words = head[place].split(b" ")
                words[int(rng.integers(len(words)))] = pick(
                    rng, (b"", b"x" * 5000, b"\xff\xfe", b"..", b"/dev/zero", b"-", b"%s%n", b"LIST", b"()")
                )
                head[place] = b" ".join(words)
            else:
                with_numbers = [number for number, line in enumerate(head) if _NUMBER.search(line)]
                if with_numbers:
                    place = int(pick(rng, with_numbers))
                    spot = pick(rng, list(_NUMBER.finditer(head[place])))
                    head[place] = head[place][: spot.start()] + pick(rng, _NUMBERS).encode() + head[place][spot.end() :]
        return b"\n".join(head) + rest

    return mutate


def change_leaf(content: Any, rng: Generator) -> None:
    """One entry of a nested table or list becomes another, goes, or gets another name, in place."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(content)
    if not places:
        return
    holder, key = pick(rng, places)
    kind = int(rng.integers(10))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[pick(rng, ("", "x", "__class__", "\0", "x" * 3000))] = holder.pop(key)
    elif kind == 2:
        holder[key] = [holder[key]]
    elif kind == 3 and isinstance(holder[key], (int, float)):
        holder[key] = holder[key] * pick(rng, (-1, 2, 1000, 0.5))
    else:
        holder[key] = copy.deepcopy(pick(rng, _LEAVES))  # which the next change may change


def leaves(content: bytes, rng: Generator) -> bytes:
    """JSON in which one to three entries are others."""
    told = json.loads(content)
    for _ in range(int(rng.integers(1, 4))):
        change_leaf(told, rng)
    if rng.random() < 0.02:
        return b"[" * 100_000 + b"]" * 100_000
    return json.dumps(told).encode("utf-8", "surrogatepass")


def packed(inner: Mutation) -> Mutation:
    """What is inside gzip, damaged and packed again."""
    return lambda content, rng: gzip.compress(inner(gzip.decompress(content), rng), 1, mtime=0)


def behind(end: bytes, inner: Mutation) -> Mutation:
    """What comes after a text header, damaged."""

    def mutate(content: bytes, rng: Generator) -> bytes:
        head, mark, rest = content.partition(end)
        return head + mark + inner(rest, rng)

    return mutate


def one_of(*mutations: Mutation) -> Mutation:
    """Any of these."""
    return lambda content, rng: pick(rng, mutations)(content, rng)


def chunks(content: bytes, rng: Generator) -> bytes:
    """A PNG one of whose chunks is damaged, goes, comes twice, or lies about its length; check sums are right."""
    found, place = [], 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = int(rng.integers(len(found)))
    name, data = found[number]
    lie = -1
    match int(rng.integers(5)):
        case 0:
            del found[number]
        case 1:
            found.insert(number, found[number])
        case 2:
            lie = number
        case 3:
            found[number] = (name, anywhere(data, rng))
        case _:
            found[0] = (found[0][0], fields(0, len(found[0][1]))(found[0][1], rng)[:13])
    out = content[:8]
    for position, (name, data) in enumerate(found):
        length = int(pick(rng, _FIELDS)) % 2**32 if position == lie else len(data)
        out += struct.pack(">I", length) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return out


def tensors(sealed: bool) -> Mutation:
    """A safetensors file with other facts or another array, all of it consistent again; sealed: a model, with a checksum that is right."""

    def mutate(content: bytes, rng: Generator) -> bytes:
        from safetensors.numpy import load, save

        length = int.from_bytes(content[:8], "little")
        told = json.loads(content[8 : 8 + length])["__metadata__"]
        arrays, key = load(content), "json" if sealed else "facts"
        if rng.random() < 0.7:
            told[key] = leaves(told[key].encode(), rng).decode("utf-8", "replace")
        else:
            name = pick(rng, sorted(arrays))
            arrays[name] = other_array(arrays[name], rng)
        if sealed:
            digest = hashlib.sha256(told["json"].encode())
            for name in sorted(arrays):
                digest.update(json.dumps([name, arrays[name].dtype.name, list(arrays[name].shape)]).encode() + arrays[name].tobytes())
            told["sha256"] = digest.hexdigest()
        content = save(arrays)
        length = int.from_bytes(content[:8], "little")
        # The library writes metadata in random order, and a trial shall be the same every time.
        header = json.dumps({"__metadata__": told, **json.loads(content[8 : 8 + length])}).encode()
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + content[8 + length :]

    return mutate


def other_array(values: np.ndarray, rng: Generator) -> np.ndarray:
    """An array with values, a shape or a type that it should not have."""
    values = np.array(values)
    kind = int(rng.integers(5))
    if kind == 0 and values.size and values.dtype.kind == "f":
        values.reshape(-1)[int(rng.integers(values.size))] = pick(rng, (np.nan, np.inf, -np.inf))
        return values
    if kind == 1:
        return np.zeros_like(values)
    if kind == 2:
        return values.reshape(-1)[: values.size // 2]
    if kind == 3:
        return np.ascontiguousarray(values[None])
    return np.ones_like(values) * 120 if values.dtype.kind == "f" else values.astype(np.float32)


def arrays_of_result(told: bytes, content: bytes, rng: Generator) -> tuple[bytes, bytes]:
    """A result.json and its refine.npz with another array, whose digest is right."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    name = pick(rng, sorted(arrays))
    arrays[name] = other_array(arrays[name], rng)
    new = io.BytesIO()
    np.savez_compressed(new, **arrays)  # type: ignore[arg-type]
    facts = json.loads(told)
    facts["arrays"]["sha256"] = hashlib.sha256(new.getbuffer()).hexdigest()
    return json.dumps(facts).encode(), new.getvalue()
