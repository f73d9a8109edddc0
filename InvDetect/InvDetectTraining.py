"""Module InvDetectTraining: the training wizard. What it does is in InvDetectSlicerLib; here is what Slicer wants to find in this file."""

import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

try:
    import InvDetectLib  # noqa: F401
except ModuleNotFoundError:  # in the source tree the library lies beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from InvDetectSlicerLib.install import startup


class InvDetectTraining(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "InvDetect Training"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["InvDetect"]
        self.parent.contributors = ["InvDetect contributors"]
        self.parent.helpText = _(
            "Trains a model for InvDetect from a folder of normal scans, in steps, and writes it into one file. "
            "Research use only; not a medical device."
        )
        self.parent.acknowledgementText = _("See the module InvDetect.")


class InvDetectTrainingWidget(ScriptedLoadableModuleWidget):
    """Holds the wizard, `InvDetectSlicerLib.wizard.TrainingWidget`."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from InvDetectSlicerLib.wizard import TrainingWidget

        self.logic = InvDetectTrainingLogic()
        self.panel = TrainingWidget()
        self.layout.addWidget(self.panel.widget)

    def enter(self):
        if self.panel is not None:
            self.panel.enter()

    def exit(self):
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()
            self.panel = None

    def onReload(self):
        self.cleanup()
        startup.forget_packages()
        ScriptedLoadableModuleWidget.onReload(self)


class InvDetectTrainingLogic(ScriptedLoadableModuleLogic):
    """Keeps the wizard's choices in the scene (`getParameterNode`). To train from Python there is `InvDetectLib.train`."""


class InvDetectTrainingTest(ScriptedLoadableModuleTest):
    """Self-tests that run inside Slicer (Self Tests, or Reload and Test); the project's own tests are in Testing/."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        self.setUp()
        self.test_wizard_opens()

    def test_wizard_opens(self):
        widget = slicer.modules.invdetecttraining.widgetRepresentation().self()
        self.assertIsNotNone(widget.panel)
