"""Qt for the headless host: modules `qt`, `ctk`, `slicer.ScriptedLoadableModule` and `slicer.i18n`, made of PySide6 and look-alikes.

A stand-in for tests, never shipped. Code below InvDetect/ meets the manners of PythonQt (`pythonqt.py`). The host, the tests and
Slicer's own Python meet PySide, whose properties are attributes in the modules that `true_properties` names.

What it stands for was run by hand: both modules in the real PythonQt 4.1 with Qt 5.15, and CTK and qMRML classes of Slicer 5.12, before
they were mended by what that showed. Not run yet: the mended modules there, Slicer's own window, Windows, macOS, Qt 6.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from shibokensupport import feature

from . import look_alikes, pythonqt, scripted
from .host import Host, start

MODULES = Path(__file__).resolve().parents[3] / "InvDetect"
_TRUE_PROPERTY = 0x02
_apps: list[Any] = []
# PySide 6.12 gives back one reference to None too many with each call that returns None. From Python 3.12 on None cannot die; before, the
# process would after some ten thousand calls, so here are references to lose.
_NONES = (None,) * (5_000_000 if sys.version_info < (3, 12) else 0)


class Settings:
    """`slicer.app.userSettings()`: kept in memory, so that no test touches a user's settings."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def value(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        self.values[key] = value

    def contains(self, key: str) -> bool:
        return key in self.values


class LayoutManager:
    """`slicer.app.layoutManager()`, for what `slicer.util` asks of it."""

    @staticmethod
    def mrmlSliceLogics() -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()


class UiLoader(QtUiTools.QUiLoader):
    """Loads .ui files with look-alikes for ctk and qMRML classes.

    Connections that hand the scene on are made here: their signatures name MRML classes, which PySide does not know.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for widget in look_alikes.CUSTOM:
            self.registerCustomWidget(widget)

    def load(self, file: Any, parent: Any = None) -> Any:
        tree = xml.fromstring(bytes(file.readAll().data()))
        links = tree.find("connections")
        receivers = []
        if links is not None:
            receivers = [link.findtext("receiver") for link in links if (link.findtext("slot") or "").startswith("setMRMLScene(")]
            tree.remove(links)
        buffer = QtCore.QBuffer()
        buffer.setData(xml.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is not None:
            named = {child.objectName: child for child in widget.findChildren(QtWidgets.QWidget)}
            for name in receivers:
                widget.mrmlSceneChanged.connect(named[name].setMRMLScene)
        return widget


class FileDialog(QtWidgets.QFileDialog):
    """As PythonQt gives it: the static functions return the path alone. Tests put their answer into `answer`."""

    answer = ""

    @staticmethod
    def getOpenFileName(*_: Any) -> str:
        return FileDialog.answer

    @staticmethod
    def getSaveFileName(*_: Any) -> str:
        return FileDialog.answer

    @staticmethod
    def getExistingDirectory(*_: Any) -> str:
        return FileDialog.answer


def start_qt() -> Host:
    """The headless host with Qt. Raises ImportError without PySide6."""
    host = start()
    if not _apps:
        _apps.append(QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer-host"]))
        _apps[0].setStyle("Fusion")
        feature.set_selection(0, pythonqt.PLAIN)
        pythonqt.install()
        own = SimpleNamespace(QUiLoader=UiLoader, QFileDialog=FileDialog)
        sys.modules["qt"] = pythonqt.module("qt", _in(own, QtCore, QtGui, QtWidgets))
        sys.modules["ctk"] = pythonqt.module("ctk", _in(SimpleNamespace(**{one.__name__: one for one in look_alikes.CUSTOM})))
        for one in look_alikes.CUSTOM:
            if one.__name__.startswith("q"):
                setattr(slicer, one.__name__, one)
        for name, content in scripted.MODULES.items():
            sys.modules[f"slicer.{name}"] = _module(f"slicer.{name}", **content)
        slicer.util.childWidgetVariables = child_widget_variables
        slicer.util.startupEnvironment = lambda: dict(os.environ)
        slicer.util.mainWindow = lambda: None
    _application(slicer.app)
    host.layouts.later = _later
    own = (path.relative_to(MODULES).with_suffix("") for path in (MODULES / "InvDetectSlicerLib").rglob("*.py"))
    true_properties(*(".".join(path.parts).removesuffix(".__init__") for path in own))
    true_properties(*(path.stem for path in MODULES.glob("*.py")), "slicer.util")
    return host


_asks_for_qt = feature._mod_uses_pyside


def _uses_qt(module: Any) -> bool:
    """PySide reads the source of every module there is; of torch's made-up ones even asking for it fails."""
    try:
        return bool(_asks_for_qt(module))
    except RuntimeError:
        return False


feature._mod_uses_pyside = _uses_qt


def true_properties(*modules: str) -> None:
    """In these modules Qt's properties are attributes from now on."""
    pythonqt.WITH_PROPERTIES.update(modules)
    # The first time, PySide looks at the source of every module that is loaded, and some of torch's are not made to be looked at.
    hidden = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "torch"}
    try:
        for name in modules:
            feature.set_selection(_TRUE_PROPERTY, name)
    finally:
        sys.modules.update(hidden)


def load_module(name: str) -> Any:
    """The module widget of InvDetect/NAME.py as Slicer makes it: the file is executed, its widget is made and set up in a new parent."""
    path = MODULES / f"{name}.py"
    if str(MODULES) not in sys.path:
        sys.path.insert(0, str(MODULES))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    getattr(module, name)(pythonqt.StandIn("qSlicerScriptedLoadableModule"))
    parent = look_alikes.qMRMLWidget()
    QtWidgets.QVBoxLayout(parent)
    parent.setMRMLScene(slicer.mrmlScene)
    widget = getattr(module, f"{name}Widget")(parent)
    widget.setup()
    return widget


def child_widget_variables(widget: Any) -> Any:
    """`slicer.util.childWidgetVariables`: there a widget's name is its attribute `name`, here `objectName`."""
    names = SimpleNamespace()
    for child in widget.findChildren(QtCore.QObject):
        if child.objectName and not child.objectName.startswith("qt_"):
            setattr(names, child.objectName, child)
    return names


@contextmanager
def dark() -> Iterator[None]:
    """The application in dark colours."""
    app = _apps[0]
    light, palette = app.palette(), QtGui.QPalette()
    role = QtGui.QPalette.ColorRole
    colours = {
        role.Window: "#353535",
        role.WindowText: "#f0f0f0",
        role.Base: "#2a2a2a",
        role.AlternateBase: "#333333",
        role.Text: "#f0f0f0",
        role.Button: "#404040",
        role.ButtonText: "#f0f0f0",
        role.ToolTipBase: "#353535",
        role.ToolTipText: "#f0f0f0",
        role.Highlight: "#2a82da",
        role.HighlightedText: "#ffffff",
        role.PlaceholderText: "#909090",
        role.Link: "#6ab0f3",
    }
    for which, colour in colours.items():
        palette.setColor(which, QtGui.QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, which, QtGui.QColor("#7f7f7f"))
    app.setPalette(palette)
    try:
        yield
    finally:
        app.setPalette(light)


def process_events() -> None:
    """Let Qt do what is due."""
    _apps[0].processEvents()


class _Later(QtCore.QObject):
    """Gets to things when the event loop does, like Qt's own layouts; before any timer."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)
        QtCore.QCoreApplication.postEvent(self, QtCore.QEvent(QtCore.QEvent.Type.User))

    def event(self, event: Any) -> bool:
        if event.type() != QtCore.QEvent.Type.User:
            return bool(super().event(event))
        self._waiting.pop(0)()
        return True


_later = _Later()


def press_later(button: Any) -> None:
    """A press on a button that waits in the queue until something lets events in, as the second press of somebody in haste."""
    kinds, left = (QtCore.QEvent.Type.MouseButtonPress, QtCore.QEvent.Type.MouseButtonRelease), QtCore.Qt.MouseButton.LeftButton
    for kind in kinds:
        place = QtCore.QPointF(button.rect.center())
        event = QtGui.QMouseEvent(kind, place, button.mapToGlobal(place), left, left, QtCore.Qt.KeyboardModifier.NoModifier)
        QtCore.QCoreApplication.postEvent(button, event)


def _application(app: Any) -> None:
    settings = Settings()
    app.processEvents = process_events
    app.userSettings = lambda: settings
    app.testingEnabled = lambda: True
    app.connect = lambda signal, slot: bool(pythonqt.check_signature("qSlicerApplication", signal))
    app.applicationName = "Slicer"
    app.layoutManager = lambda: LayoutManager


def _in(*parts: Any) -> Callable[[str], Any]:
    """Looks a name up in several places; PySide makes its classes only when they are asked for."""

    def find(key: str) -> Any:
        for part in parts:
            if hasattr(part, key):
                return getattr(part, key)
        raise AttributeError(f"there is no {key}")

    return find


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name, "A stand-in of the headless host.")
    vars(module).update(content)
    return module


true_properties(__name__, look_alikes.__name__, scripted.__name__, pythonqt.TRUE)
