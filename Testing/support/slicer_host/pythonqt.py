"""PythonQt's manners over PySide6, for tests only: code below InvDetect/ reaches of Qt, ctk and qMRML what PythonQt offers, and no more.

Who asks is told by the name of the module that asks; the host and the tests themselves go on with PySide6 as it is. For the modules

- a member that `slicer_api.py` lacks for a class and its bases is not there, for reading and for setting, and new attributes are refused;
- properties are attributes, setters of properties are methods, and a hidden property can be neither read nor set;
- calls take no keyword arguments (PythonQt loses them without a word, which no test would notice);
- signals are connected by name, `widget.clicked.connect(f)`, or by signature, `widget.connect("clicked()", f)`;
- values of enums are numbers, and are reached without the name of their enum.

`install` puts the two functions by which Python reads and sets attributes into PySide6's own classes, so that what Qt itself hands out
(headers, layouts, items) has the same manners.
"""

from __future__ import annotations

import builtins
import ctypes
import sys
from collections.abc import Callable
from enum import Enum
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from ..slicer_api import TABLE, is_read_only, kind_of, problem, signatures

TRUE, PLAIN = f"{__name__}.with_properties", f"{__name__}.with_functions"
WITH_PROPERTIES = {TRUE}  # names of modules for which PySide shows properties as attributes: `qt_host.true_properties` keeps it
# Kept for good: PySide knows modules by the place of their names in memory.
_WORLDS = {name: {"__name__": name, "__builtins__": builtins} for name in (TRUE, PLAIN)}
_MODULES = ("InvDetect", "InvDetectTraining", "InvDetectSlicerLib")
_SETATTRO = 69  # Py_tp_setattro of CPython's stable ABI
_slot = ctypes.pythonapi.PyType_GetSlot
_slot.restype, _slot.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_int)
_Setter = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.py_object, ctypes.py_object)
_armed: set[type] = set()
refused: list[str] = []  # what was refused until now: what a slot raises, Qt or a guard may swallow, and the test has to fail all the same


class Value(int):
    """The value of an enum: a number, and nothing of what PySide's enums have."""

    _member: Enum

    def __or__(self, other: int) -> Any:
        return _value(self._member | other._member) if isinstance(other, Value) else int(self) | int(other)


class Call:
    """A method, which takes no keyword arguments."""

    __slots__ = ("_function", "_name")

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function, self._name = function, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        _check_unnamed(named, self._name)
        return _handed_out(self._function(*map(_taken, arguments)))


class BoundSignal:
    """A signal of one object: to be connected, disconnected, emitted or called, and nothing else."""

    __slots__ = ("_signal",)

    def __init__(self, signal: Any) -> None:
        self._signal = signal

    def __getattr__(self, name: str) -> Any:
        raise _refusal(AttributeError, f"PythonQt's signals have no {name}")

    def __getitem__(self, types: Any) -> Any:
        raise _refusal(TypeError, "PythonQt's signals have no []: connect by the signature")

    def connect(self, function: Any, **named: Any) -> bool:
        _check_unnamed(named, "connect")
        self._signal.connect(_taken(function))
        return True

    def disconnect(self, *function: Any) -> bool:
        return bool(self._signal.disconnect(*map(_taken, function)))

    def emit(self, *arguments: Any) -> None:
        self._signal.emit(*map(_taken, arguments))

    __call__ = emit


class Class:
    """A class of Qt or ctk, with what PythonQt offers of the class itself: its objects, static functions and values of enums."""

    def __init__(self, real: type, name: str) -> None:
        self._real, self._name = real, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        _check_unnamed(named, self._name)
        return _handed_out(self._real(*map(_taken, arguments)))

    def __getattr__(self, name: str) -> Any:
        kind = kind_of(self._name, name)
        if kind in ("method", "hidden"):  # on the class, the function that hides a property can be called
            return Call(getattr(self._real, name), f"{self._name}.{name}")
        if kind != "enum":
            raise _refusal(AttributeError, problem(self._name, name) or f"{self._name}.{name} belongs to an object and not to its class")
        value = getattr(self._real, name)
        return _value(value) if isinstance(value, Enum) else value

    def __instancecheck__(self, one: Any) -> bool:
        return isinstance(one, self._real)

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (self._real,)


def module(name: str, find: Callable[[str], Any]) -> ModuleType:
    """Module `qt` or `ctk`, its classes taken from `find`, which raises AttributeError for what it does not know."""

    def __getattr__(key: str) -> Any:
        if not _is_ours(_caller(sys._getframe().f_back)) or key.startswith("__"):
            return find(key)
        if key not in TABLE:
            raise _refusal(AttributeError, f"PythonQt has no {name}.{key}, or it is not in the table: see make_api.py")
        return Class(find(key), key)

    made = ModuleType(name, "A stand-in of the headless host.")
    vars(made)["__getattr__"] = __getattr__
    return made


class StandIn:
    """An object that has the properties of a class, which can be set and read back."""

    def __init__(self, name: str) -> None:
        vars(self)["_name"] = name

    def __setattr__(self, name: str, value: Any) -> None:
        _check_settable(self._name, name)
        vars(self)[name] = value


def check_signature(name: str, signature: str) -> str:
    """The signature of a signal as Qt writes it. Raises ValueError where the class has no such signal."""
    written = "".join(signature.split())
    if written not in {"".join(one.split()) for one in signatures(name)}:
        raise _refusal(ValueError, f"PythonQt knows no signal {signature} of {name}; it has {', '.join(sorted(signatures(name)))}")
    return written


def install() -> None:
    """From now on, for the rest of the process."""
    if _armed:
        return
    for name in TABLE:
        own = next((getattr(part, name) for part in (QtCore, QtGui, QtWidgets) if hasattr(part, name)), None)
        if own is not None:
            _arm(own)
    for base in (shiboken6.Object, QtCore.QObject):
        _put(base, "__getattribute__", _reader(base.__getattribute__))


def _reader(original: Any) -> Callable[[Any, str], Any]:
    true, plain = (_for(which, _read, original) for which in (TRUE, PLAIN))

    def __getattribute__(self: Any, name: str) -> Any:
        caller = _caller(sys._getframe().f_back)
        if name[:2] == "__" or not _is_ours(caller):
            return (true if caller in WITH_PROPERTIES else plain)(self, name)
        known = _class_of(type(self))
        kind = kind_of(known, name)
        if kind == "property":
            return _handed_out(true(self, name))
        if kind == "signal":
            return BoundSignal(plain(self, name))
        if kind == "method":
            if name in ("connect", "disconnect") and isinstance(self, QtCore.QObject):
                return _by_signature(self, known, plain, name)
            return Call(plain(self, name), f"{known}.{name}")
        if kind == "enum":
            return _value(plain(self, name))
        raise _refusal(AttributeError, problem(known, name))

    return __getattribute__


def _arm(own: type) -> None:
    """Setting attributes of objects of this class goes by PythonQt's rules, too. Before a base is armed its function has to be at hand."""
    for one in own.__mro__:
        if one in _armed or not one.__module__.startswith("PySide6."):
            continue
        _armed.add(one)
        giver = next(base for base in one.__mro__ if "__setattr__" in vars(base))
        if giver is one or giver is shiboken6.Object:
            _put(one, "__setattr__", _writer(_Setter(_slot(one, _SETATTRO))))


def _writer(original: Any) -> Callable[[Any, str, Any], None]:
    true, plain = (_for(which, _write, original) for which in (TRUE, PLAIN))

    def __setattr__(self: Any, name: str, value: Any) -> None:
        caller = _caller(sys._getframe().f_back)
        if name[:2] == "__" or not _is_ours(caller):
            (true if caller in WITH_PROPERTIES else plain)(self, name, value)
            return
        known = _class_of(type(self))
        _check_settable(known, name)
        if self.metaObject().indexOfProperty(name) < 0:
            raise _refusal(AttributeError, f"the stand-in of {known} lacks {name}: see look_alikes.py")
        true(self, name, _taken(value))

    return __setattr__


def _check_settable(known: str, name: str) -> None:
    """Raises AttributeError, in PythonQt's words."""
    kind = kind_of(known, name)
    words = {"hidden": "Slot", "method": "Slot", "signal": "Signal", "enum": "EnumValue", "enum type": "Enum"}
    if kind is None:
        raise _refusal(AttributeError, f"'{name}' does not exist on {known} and creating new attributes on C++ objects is not allowed")
    if kind != "property":
        raise _refusal(AttributeError, f"{words[kind]} '{name}' can not be overwritten on {known} object")
    if is_read_only(known, name):
        raise _refusal(AttributeError, f"Property '{name}' of {known} object is not writable")


def _by_signature(sender: Any, known: str, plain: Callable[..., Any], way: str) -> Call:
    def connect(signature: str, function: Any) -> bool:
        written = check_signature(known, signature)
        if sender.metaObject().indexOfSignal(written) >= 0:
            return bool(plain(sender, way)(QtCore.SIGNAL(written), function))
        getattr(plain(sender, written.partition("(")[0]), way)(function)  # of a look-alike, whose nodes are plain objects
        return True

    return Call(connect, f"{known}.{way}")


def _put(own: type, name: str, function: Any) -> None:
    """Into the class as PySide shows it with properties, and as it shows it without."""
    for which in (TRUE, PLAIN):
        _for(which, _set, own)(name, function)


def _for(which: str, function: Any, original: Any) -> Any:
    """A function as of another module, with its last argument given: PySide asks the calling module how it wants properties."""
    return FunctionType(function.__code__, _WORLDS[which], function.__name__, (original,))


def _read(self: Any, name: str, original: Any) -> Any:
    return original(self, name)


def _write(self: Any, name: str, value: Any, original: Any) -> None:
    original(self, name, value)


def _set(name: str, function: Any, own: type) -> None:
    own.__doc__  # noqa: B018  (PySide turns a class over when it is looked at)
    setattr(own, name, function)


def _caller(frame: Any) -> str:
    """The name of a frame's module; "" where Qt itself asks."""
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


@cache
def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in _MODULES


@cache
def _class_of(own: type) -> str:
    """The class of the table for an object of Qt or of a look-alike: its own, or the nearest base that is named there."""
    for one in own.__mro__:
        if one.__name__ in TABLE:
            return one.__name__
    raise _refusal(AttributeError, f"{own.__name__} is not in the table of what PythonQt offers: name it in make_api.py")


def _check_unnamed(named: dict[str, Any], name: str) -> None:
    if named:
        raise _refusal(TypeError, f"PythonQt takes no keyword arguments: {name}({', '.join(f'{one}=...' for one in named)})")


def _refusal(kind: type[Exception], text: str) -> Exception:
    refused.append(text)
    return kind(text)


def _value(member: Any) -> Value:
    value = Value(member.value)
    value._member = member
    return value


def _handed_out(value: Any) -> Any:
    if isinstance(value, Enum):
        return _value(value)
    for one in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(one, shiboken6.Object):
            _arm(type(one))
    return value


def _taken(value: Any) -> Any:
    """What the modules hand over, as PySide knows it."""
    if isinstance(value, Value):
        return value._member
    if isinstance(value, Call):
        return value._function
    if isinstance(value, BoundSignal):
        return value._signal
    return value._real if isinstance(value, Class) else value
