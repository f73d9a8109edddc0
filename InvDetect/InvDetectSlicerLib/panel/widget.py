"""The detection panel: puts its parts together, and watches the scene. The parts own the widgets of Resources/UI/InvDetect.ui."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from InvDetectLib.common import InvDetectError

from ..models import InstalledModel, resource
from ..scene import ResultNodes, display, findings_of, is_own, nodes_of, results_in_scene
from . import wording
from .accessible import name_parts
from .batch import BatchPanel
from .cost import CostPanel
from .delay import Delay
from .dicom_export import DicomExportPanel
from .direction import DirectionPanel
from .display import DisplayPanel
from .findings import FindingsPanel
from .installation import InstallationPanel
from .model import ModelPanel
from .options import OptionsPanel
from .parameters import DetectionParameters
from .queue import QueuePanel
from .refine import RefinePanel
from .running import RunPanel
from .selectors import NodeBoxes
from .side_by_side import SideBySidePanel
from .status import Status
from .why import WhyPanel

_POLL = 40  # milliseconds


class DetectionWidget:
    """The panel of the module InvDetect; `widget` is to be put into the module's layout.

    logic  an `InvDetectLogic` that is also a `ScriptedLoadableModuleLogic`; it is closed with the panel
    """

    def __init__(self, logic: Any) -> None:
        self._logic, self._entered, self._updating = logic, False, False
        self._parameters: DetectionParameters | None = None
        self._inputs: Any = None  # scan and model that the panel was last made to fit
        self._observations = VTKObservationMixin()
        self.widget = slicer.util.loadUI(str(resource("UI/InvDetect.ui")))
        self.ui = ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        name_parts(ui.scanSelector, ui.regionSelector, ui.mapOutput, ui.maskOutput, ui.tableOutput)
        name_parts(ui.contiguitySlider, ui.opacitySlider, ui.thresholdSlider, ui.pseudoNormalSlider)
        name_parts(ui.scansFolder, ui.resultsFolder, ui.pythonPath)
        self.status = Status(ui, logic.report)
        self.run = RunPanel(ui, self.status, self._showState)
        self.installation = InstallationPanel(ui, self.status, self._otherPython, self._showState)
        self.options = OptionsPanel(ui, logic, self.status, self.installation, self._optionsChanged)
        self.cost = CostPanel(ui, logic, self.status, self.run.warn, self.options.showDevices)
        self.refining = RefinePanel(ui, logic, self.status, self._refined)
        self.why = WhyPanel(ui, logic, self.status, self.options)
        self.findings = FindingsPanel(ui, self.status, self.widget, self.why.tell)
        self.display = DisplayPanel(ui, self.status)
        self.dicomExport = DicomExportPanel(ui, logic, self.status, self.installation)
        self.sideBySide = SideBySidePanel(ui, self.status, self.widget)
        self.batch = BatchPanel(ui, logic, self.status, self.run, self._batchWishes)
        self.queue = QueuePanel(ui, logic, self.status, self.run, self._batchWishes, self._showState, self._examined)
        self.direction = DirectionPanel(ui, self.status, self._directionChanged)
        self._resultParts = (self.refining, self.direction, self.why, self.findings, self.display, self.dicomExport, self.sideBySide)
        self.models = ModelPanel(ui, logic, self.status, self._inputChanged)
        self._timer = qt.QTimer()
        self._timer.interval = _POLL
        self._timer.timeout.connect(self.status.guarded(logic.poll))
        for signal in (ui.scanSelector.currentNodeIDChanged, ui.scanSelector.nodeActivated):  # the first is silent for one of the same name
            signal.connect(self.status.guarded(self._inputChanged))
        ui.resultSelector.currentIndexChanged.connect(self.status.guarded(self._resultChosen))
        ui.applyButton.clicked.connect(self.status.guarded(self._applyClicked))
        self.boxes = NodeBoxes(ui, self.status, self._observations, self.queue.refresh)
        scene = slicer.mrmlScene
        self._observations.addObserver(scene, scene.StartCloseEvent, self._sceneStartsClosing)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self._observations.addObserver(scene, event, self._sceneIsAnother)
        self._observations.addObserver(scene, scene.NodeRemovedEvent, self._nodeRemoved)
        self._observations.addObserver(scene, scene.EndBatchProcessEvent, self._batchEnds)
        self._observations.addObserver(scene, scene.StartImportEvent, self._sceneStartsChanging)
        self._anew = Delay(0, self.status.guarded(self._showParameters))  # when all others have seen the new scene, too
        self._tidy = Delay(0, self.status.guarded(self._listResults))  # a result is several nodes: look when all of them are gone
        self.models.refresh()
        self.installation.refresh()
        self._showParameters()
        self._timer.start()

    def enter(self) -> None:
        """The user came to the module."""
        self._entered = True
        self.findings.markOnScreen(True)
        self.models.refresh()
        self.installation.refresh()
        self._showParameters()

    def exit(self) -> None:
        """The user went to another module. What runs goes on."""
        self._entered = False
        self.findings.markOnScreen(False)
        self.cost.stop()

    def cleanup(self) -> None:
        """The panel goes: everything ends, nothing half done stays."""
        self._entered, self._parameters = False, None  # what the widgets do without a scene is not to be remembered
        self._timer.stop()
        self._tidy.stop()
        self._anew.stop()
        self.boxes.stop()
        self._observations.removeObservers()
        self.installation.close()
        self.refining.stop()
        self.findings.close()
        self.options.close()
        self.why.close()
        self.display.close()
        self.dicomExport.close()
        self.sideBySide.close()
        self.cost.stop()
        self._logic.close()
        self.widget.setMRMLScene(None)

    @property
    def result(self) -> ResultNodes | None:
        """The result on show."""
        selector = self.ui.resultSelector
        chosen = selector.itemData(selector.currentIndex) if selector.currentIndex >= 0 else None
        return nodes_of(slicer.mrmlScene.GetNodeByID(chosen)) if chosen else None

    # What is chosen

    def _scan(self) -> Any:
        scan = self.ui.scanSelector.currentNode()
        if scan is None:
            raise InvDetectError(_("There is no scan yet. Load one and choose it at the top."))
        return scan

    def _showParameters(self) -> None:
        """The panel says what the scene remembers."""
        if slicer.mrmlScene.IsBatchProcessing():
            return
        self._parameters = self._inputs = None  # until the widgets say the same
        parameters = DetectionParameters(self._logic.getParameterNode())
        self.models.choose(parameters.model)
        self.boxes.hideOwn()
        if parameters.scan is not None:
            self.ui.scanSelector.setCurrentNode(parameters.scan)
        elif self.ui.scanSelector.currentNode() is None:
            self.ui.scanSelector.setCurrentNode(_background_volume())
        self.options.show(parameters)
        self._parameters = parameters
        self._inputChanged()
        self._listResults()

    def _inputChanged(self) -> None:
        """Another scan or another model; nothing, where the scan has only another name."""
        model, scan = self.models.current(), self.ui.scanSelector.currentNode()
        if self._parameters is None or self._inputs == (scan, model):
            return
        self._inputs = scan, model
        name = "" if model is None else model.name
        self.direction.fit(model, self._parameters.direction if name == self._parameters.model else "")
        self._parameters.scan, self._parameters.model = scan, name
        self._tellDirection()
        self.run.forgetWarnings()
        self.status.say("")
        self.options.fit(scan, model)
        self._showState()
        self._askCost()

    def _directionChanged(self) -> None:
        if self._parameters is not None:
            self.run.forgetWarnings()
            self._tellDirection()
            self._askCost()

    def _tellDirection(self) -> None:
        assert self._parameters is not None
        self._parameters.direction = self.direction.chosen() or ""
        self.models.tellDirection(self.direction.chosen())

    def _optionsChanged(self) -> None:
        if self._parameters is not None:
            self.options.keep(self._parameters)
            self._askCost()

    def _askCost(self) -> None:
        """Where a run could start, ask what it would cost."""
        model, scan = self.models.current(), self.ui.scanSelector.currentNode()
        self.cost.stop()
        if not self._entered or self.run.running or scan is None or model is None or model.problem or not self.installation.refresh():
            return
        if self.options.elsewhere:  # whose pace nobody knows
            return
        try:
            slices = self.options.slices(scan, model)
        except InvDetectError as error:
            self.status.fail(error)
            return
        self.cost.ask((scan, model, self.options.device(), slices, self.options.region(), self.direction.chosen()))

    def _showState(self) -> None:
        """Which buttons can be pressed now."""
        ui, running = self.ui, self.run.running
        model = self.models.current()
        free = not running and not self.installation.busy
        usable = model is not None and not model.problem
        ready = ui.scanSelector.currentNode() is not None and usable
        ui.applyButton.enabled = self.run.cancelledBy(ui.applyButton) or (ready and free)
        ui.applyButton.toolTip = _("Examine the scan") if ready else _("Choose a scan and a model first")
        ui.batchButton.enabled = self.run.cancelledBy(ui.batchButton) or (usable and free)
        for widget in (ui.scanSelector, ui.modelSelector, ui.importButton, ui.directionSelector, ui.optionsButton):
            widget.enabled = not running
        self.installation.allow(free)
        self.queue.allow(usable and free)

    def _batchWishes(self) -> dict[str, Any]:
        model = self._usable()
        self.cost.stop()
        wishes = self.options.wishes()
        if not isinstance(wishes["foregroundNode"], str):
            del wishes["foregroundNode"]  # a region belongs to one scan
        return {**wishes, "modelPath": model.path, "device": self.options.device(), "direction": self.direction.chosen()}

    def _usable(self) -> InstalledModel:
        model = self.models.usable()
        if not self.installation.ready():
            raise InvDetectError(_("{why} Something that computing needs is missing.").format(why=self.installation.told))
        return model

    # A run

    def _applyClicked(self) -> None:
        if self.run.running:
            self.run.cancel()
        else:
            self.apply()

    def apply(self) -> None:
        """Examine the scan."""
        self._scan()
        model = self._usable()  # which may have installed something, and let events in
        scan = self._scan()
        slices = self.options.slices(scan, model)
        self.cost.stop()
        self.refining.stop()

        def begin(**callbacks: Any) -> Any:
            return self._logic.detect(
                scan,
                model.path,
                device=self.options.device(),
                direction=self.direction.chosen(),
                slices=slices,
                nodes=self.options.outputs(),
                interactive=True,
                **self.options.wishes(),
                **callbacks,
            )

        self.run.start(self.ui.applyButton, begin, self._done)

    def _done(self, nodes: ResultNodes) -> None:
        found, time = len(findings_of(nodes.table)), wording.duration(self.run.seconds())
        number = wording.count(found, _("finding"), _("findings")) if found else _("No findings")
        self.ui.findingsButton.collapsed = False
        if self._parameters is not None:
            self._parameters.table = nodes.table
        self._listResults()
        self.status.say(_("{findings}, in {time}.").format(findings=number, time=time))

    def _examined(self, nodes: ResultNodes, first: bool) -> None:
        """One of several scans is done. The first goes on show at once; the others can be chosen, and disturb nobody who looks at it."""
        if first and self._parameters is not None:
            self._parameters.table = nodes.table
            self.ui.findingsButton.collapsed = False
            _lay_over(nodes)
        self._listResults()

    # Results

    def _listResults(self) -> None:
        """The results that are in the scene, by the names of their tables; the one that was chosen stays so where it can."""
        if self._parameters is None:
            return
        selector, table = self.ui.resultSelector, self._parameters.table
        self._updating = True
        selector.clear()
        for nodes in results_in_scene():
            selector.addItem(nodes.table.GetName(), nodes.table.GetID())
        chosen = -1 if table is None else selector.findData(table.GetID())
        selector.currentIndex = chosen if chosen >= 0 else selector.count - 1
        self._updating = False
        self._resultChanged()

    def _resultChosen(self) -> None:
        if not self._updating:
            self._resultChanged()
            if self.result is not None:
                _lay_over(self.result)

    def _resultChanged(self) -> None:
        """Another result is on show, or the same was made anew."""
        if self._parameters is None:
            return
        nodes = self.result
        self._parameters.table = None if nodes is None else nodes.table
        try:
            for part in self._resultParts:
                part.show(nodes)
        except InvDetectError:
            for part in self._resultParts:
                part.show(None)
            raise

    def _refined(self) -> None:
        self.findings.show(self.result)

    # The scene and the application

    def _sceneStartsClosing(self, caller: Any, event: Any) -> None:
        self.run.cancel()
        self.cost.stop()
        self._parameters, self._updating = None, True
        self.ui.resultSelector.clear()
        self._updating = False
        for part in self._resultParts:
            part.show(None)

    def _sceneIsAnother(self, caller: Any, event: Any) -> None:
        self._anew.start()

    def _sceneStartsChanging(self, caller: Any, event: Any) -> None:
        self._parameters = None  # what the widgets do meanwhile is not to be remembered

    def _nodeRemoved(self, caller: Any, event: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self._tidy.start()

    def _batchEnds(self, caller: Any, event: Any) -> None:
        """Many nodes may have come and gone, which was left alone until now."""
        (self._anew if self._parameters is None else self._tidy).start()

    def _otherPython(self) -> None:
        """What computes is another one now: the worker has to start anew."""
        self.cost.forget()
        self._logic.close()
        self._askCost()


def _lay_over(nodes: ResultNodes) -> None:
    """The slice views show this result over its scan: the one before may be of another scan."""
    if nodes.input is not None and nodes.map is not None:
        display.show_over(nodes.input, nodes.map)


def _background_volume() -> Any:
    """What the slice views show, if anything."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if (node := slicer.mrmlScene.GetNodeByID(view.GetBackgroundVolumeID() or "")) is not None:
            return None if is_own(node) else node
    return None
