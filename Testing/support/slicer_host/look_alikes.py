"""Look-alikes of the ctk and qMRML widgets that InvDetect uses: real Qt widgets with the same properties, signals and slots.

Stand-ins for tests, never shipped. They offer what InvDetect needs of the originals and draw about the same; names and signatures are
checked against Slicer's own by `test_slicer_api.py`.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

_HEADER = 22  # pixels of a collapsible button's title


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A title with an arrow over contents that can be folded away."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self.checkable = True
        self.checked = True
        self.sizePolicy = QtWidgets.QSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.toggled.connect(lambda checked: self._fold(not checked))

    def _get(self) -> bool:
        return self._collapsed

    def _fold(self, collapsed: bool) -> None:
        self.checked = not collapsed
        changed, self._collapsed = collapsed != self._collapsed, collapsed
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.visible = not collapsed
        self.maximumHeight = _HEADER if collapsed else 16777215
        self.updateGeometry()
        if changed:
            self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, _get, _fold)

    def showEvent(self, _event: Any) -> None:
        """Contents that came after folding are folded away, too."""
        self._fold(self._collapsed)

    def sizeHint(self) -> Any:
        """Title and contents."""
        hint = self.layout().totalSizeHint() if self.layout() is not None and not self._collapsed else QtCore.QSize(80, 0)
        return QtCore.QSize(hint.width(), max(hint.height(), _HEADER))

    def minimumSizeHint(self) -> Any:
        """As `sizeHint`, narrower."""
        hint = self.layout().totalMinimumSize() if self.layout() is not None and not self._collapsed else QtCore.QSize(80, 0)
        return QtCore.QSize(hint.width(), max(hint.height(), _HEADER))

    def hitButton(self, position: Any) -> bool:
        """Only the title folds."""
        return position.y() < _HEADER

    def paintEvent(self, _event: Any) -> None:
        """Title and arrow."""
        painter = QtGui.QPainter(self)
        rect = QtCore.QRect(0, 0, self.width, _HEADER)
        painter.fillRect(rect.adjusted(0, 1, 0, -1), self.palette.brush(QtGui.QPalette.ColorRole.Button))
        arrow = QtWidgets.QStyleOption()
        arrow.rect, arrow.palette = QtCore.QRect(6, 6, 10, 10), self.palette
        arrow.state = QtWidgets.QStyle.StateFlag.State_Enabled
        element = QtWidgets.QStyle.PrimitiveElement
        self.style().drawPrimitive(element.PE_IndicatorArrowRight if self._collapsed else element.PE_IndicatorArrowDown, arrow, painter)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(rect.adjusted(22, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text)
        painter.end()


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a box for its number."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.contentsMargins = QtCore.QMargins()
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.valueChanged.connect(self._moved)
        self._box.valueChanged.connect(self._changed)
        self._fit()

    def _fit(self) -> None:
        blocked = self._slider.blockSignals(True)
        self._slider.minimum = round(self._box.minimum / self._box.singleStep)
        self._slider.maximum = round(self._box.maximum / self._box.singleStep)
        self._slider.value = round(self._box.value / self._box.singleStep)
        self._slider.blockSignals(blocked)

    def _moved(self, position: int) -> None:
        self._box.value = position * self._box.singleStep

    def _changed(self, value: float) -> None:
        self._fit()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        """As the property."""
        self._box.value = value

    def _of_box(name: str, kind: type = float) -> Any:  # type: ignore[misc]  # a helper of the class body
        def get(self: Any) -> Any:
            return getattr(self._box, name)

        def put(self: Any, value: Any) -> None:
            setattr(self._box, name, value)
            self._fit()

        return Property(kind, get, put)

    value = _of_box("value")
    minimum = _of_box("minimum")
    maximum = _of_box("maximum")
    singleStep = _of_box("singleStep")
    decimals = _of_box("decimals", int)
    suffix = _of_box("suffix", str)
    prefix = _of_box("prefix", str)
    pageStep = Property(float, lambda self: 1.0, lambda self, value: None)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button to browse.

    As awkward as the original: it tells of another path at every key, also of one that does not exist, and the focus goes to its parts.
    """

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Dirs, Drives, Files, Readable, Writable, Executable = 0x1, 0x4, 0x2, 0x10, 0x20, 0x40

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box, self._filters, self._names = QtWidgets.QComboBox(self), 0, []
        self._box.insertPolicy = QtWidgets.QComboBox.InsertPolicy.NoInsert
        self._line = QtWidgets.QLineEdit(self._box)
        self._box.setLineEdit(self._line)  # which makes the box editable
        button = QtWidgets.QToolButton(self)
        button.text = "..."
        layout = QtWidgets.QHBoxLayout(self)
        layout.contentsMargins = QtCore.QMargins()
        layout.spacing = 0
        layout.addWidget(self._box, 1)
        layout.addWidget(button)
        self._line.textChanged.connect(self.currentPathChanged)

    def _path(self) -> str:
        return self._line.text

    def _set_path(self, path: str) -> None:
        self._line.text = path

    def _filter(self) -> int:
        return self._filters

    def _set_filter(self, filters: Any) -> None:
        self._filters = int(filters)

    currentPath = Property(str, _path, _set_path)
    filters = Property(int, _filter, _set_filter)
    nameFilters = Property("QStringList", lambda self: self._names, lambda self, names: setattr(self, "_names", names))
    settingKey = Property(str, lambda self: "", lambda self, key: None)
    showHistoryButton = Property(bool, lambda self: False, lambda self, shown: None)

    def comboBox(self) -> Any:
        """The box whose line is typed into."""
        return self._box

    def addCurrentPathToHistory(self) -> None:
        """The look-alike keeps no history."""


class qMRMLWidget(QtWidgets.QWidget):
    """Hands its scene on to those that are connected."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        """The scene of this widget and of those connected."""
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene


class qMRMLSortFilterProxyModel(QtCore.QObject):
    """`sortFilterProxyModel()` of a node box, as far as it hides nodes by their IDs."""

    changed = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._hidden: list[str] = []

    def _set_hidden(self, names: Any) -> None:
        if list(names) != self._hidden:
            self._hidden = list(names)
            self.changed.emit()

    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _set_hidden)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """The nodes of some classes in the scene; follows the scene by itself, and as awkwardly as the original of 5.12.

    It offers every node of its classes that is not hidden by its ID. When the chosen node is removed or hidden, it chooses the next one,
    before the removed one has left the scene. When the chosen node is renamed, it says that another one is chosen.
    """

    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._types: list[str] = []
        self._none, self._none_text, self._scene, self._tags = False, "None", None, []
        self._watched: dict[str, tuple[Any, int]] = {}
        self._filter = qMRMLSortFilterProxyModel(self)
        self._filter.changed.connect(self._fill)
        self._box = QtWidgets.QComboBox(self)
        self._box.sizeAdjustPolicy = QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self._box.minimumContentsLength = 8
        layout = QtWidgets.QHBoxLayout(self)
        layout.contentsMargins = QtCore.QMargins()
        layout.addWidget(self._box)
        self._box.currentTextChanged.connect(lambda _text: self._tell())
        self._box.activated.connect(lambda _row: self.nodeActivated.emit(self.currentNode()))

    def setMRMLScene(self, scene: Any) -> None:
        """Follow another scene, or none."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            self._tags = [
                scene.AddObserver(scene.NodeAddedEvent, self._scene_changed, 10.0),
                scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._node_goes, -10.0),
                scene.AddObserver(scene.EndBatchProcessEvent, self._scene_changed),
            ]
        self._fill()

    def mrmlScene(self) -> Any:
        """The scene."""
        return self._scene

    def currentNode(self) -> Any:
        """The chosen node, or None."""
        name = self._id()
        return self._scene.GetNodeByID(name) if self._scene is not None and name else None

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, or its ID; None, or one that is not offered, chooses none."""
        name = node if isinstance(node, str) else "" if node is None else node.GetID()
        self._box.currentIndex = max(self._box.findData(name or ""), 0 if self._none else -1)

    def setCurrentNodeID(self, name: str) -> None:
        """Choose by ID."""
        self.setCurrentNode(name)

    def nodeCount(self) -> int:
        """How many can be chosen."""
        return self._box.count - int(self._none)

    def nodeFromIndex(self, index: int) -> Any:
        """One of those that can be chosen."""
        return self._scene.GetNodeByID(self._box.itemData(index + int(self._none)))

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        """What decides which nodes are offered."""
        return self._filter

    def _id(self) -> str:
        return (self._box.itemData(self._box.currentIndex) or "") if self._box.currentIndex >= 0 else ""

    def _wanted(self, node: Any) -> bool:
        if node.GetHideFromEditors() or node.GetID() in self._filter.hiddenNodeIDs:
            return False
        return any(node.IsA(kind) if self._children else node.GetClassName() == kind for kind in self._types)

    def _scene_changed(self, _scene: Any, event: str) -> None:
        if not self._scene.IsBatchProcessing():
            self._fill(onward=event != "EndBatchProcessEvent")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_goes(self, _scene: Any, _event: str, node: Any) -> None:
        if not self._scene.IsBatchProcessing():
            self._fill(without=node)

    def _fill(self, without: Any = None, onward: bool = True) -> None:
        before, order = self._id(), [self._box.itemData(row) for row in range(self._box.count)]
        blocked = self._box.blockSignals(True)
        self._box.clear()
        if self._none:
            self._box.addItem(self._none_text, "")
        for node in slicer.util.getNodesByClass("vtkMRMLNode") if self._scene is not None else ():
            if node is not without and self._wanted(node):
                self._box.addItem(node.GetName(), node.GetID())
                self._watch(node)
        place = self._box.findData(before)
        if place < 0 and before and onward:
            later = [name for name in order[order.index(before) :] if self._box.findData(name) >= 0]
            place = self._box.findData(later[0]) if later else self._box.count - 1
        self._box.currentIndex = max(place, 0) if self._box.count else -1
        self._box.blockSignals(blocked)
        if self._id() != before:
            self._tell()

    def _watch(self, node: Any) -> None:
        if self._watched.get(node.GetID(), (None, 0))[0] is not node:
            self._watched[node.GetID()] = node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._renamed)

    def _renamed(self, node: Any, _event: str) -> None:
        row = self._box.findData(node.GetID() or "")
        if row >= int(self._none) and self._box.itemText(row) != node.GetName():
            self._box.setItemText(row, node.GetName())

    def _tell(self) -> None:
        self.currentNodeIDChanged.emit(self._id())

    def _kinds(self) -> list[str]:
        return self._types

    def _set_kinds(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    def _has_none(self) -> bool:
        return self._none

    def _set_none(self, enabled: bool) -> None:
        self._none = enabled
        self._fill()

    def _set_none_text(self, text: str) -> None:
        self._none_text = text
        self._fill()

    def _no(self) -> bool:
        return False

    def _ignore(self, value: Any) -> None:
        pass

    _children = True
    nodeTypes = Property("QStringList", _kinds, _set_kinds)
    noneEnabled = Property(bool, _has_none, _set_none)
    noneDisplay = Property(str, lambda self: self._none_text, _set_none_text)
    currentNodeID = Property(str, lambda self: self._id(), setCurrentNodeID)
    showChildNodeTypes = Property(bool, lambda self: self._children, lambda self, on: setattr(self, "_children", on))
    addEnabled = Property(bool, _no, _ignore)
    removeEnabled = Property(bool, _no, _ignore)
    editEnabled = Property(bool, _no, _ignore)
    renameEnabled = Property(bool, _no, _ignore)
    selectNodeUponCreation = Property(bool, _no, _ignore)
    showHidden = Property(bool, _no, _ignore)


CUSTOM = (ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit, qMRMLWidget, qMRMLNodeComboBox)
