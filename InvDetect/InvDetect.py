"""Module InvDetect: the detection panel. What it does is in InvDetectSlicerLib; here is what Slicer wants to find in this file."""

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
from InvDetectSlicerLib.logic import InvDetectLogic as DetectionLogic


class InvDetect(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "InvDetect"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["InvDetect contributors"]
        self.parent.helpText = _(
            "Finds what does not belong in a scan, with a model that has seen only normal scans. Choose a scan and a model, press Apply, "
            "and step through the findings. Research use only; not a medical device."
        )
        self.parent.acknowledgementText = _(
            "The method: X. Ma, J. Ma, S. He, J. Pei, L. Chu, InvDetect: Unsupervised Medical Anomaly Detection in the Noise Latent Space "
            "of DDIM."
        )
        slicer.app.connect("startupCompleted()", startup.at_startup)


class InvDetectWidget(ScriptedLoadableModuleWidget):
    """Holds the panel, `InvDetectSlicerLib.panel.DetectionWidget`."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from InvDetectSlicerLib.panel import DetectionWidget

        self.logic = InvDetectLogic()
        self.panel = DetectionWidget(self.logic)
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


class InvDetectLogic(DetectionLogic, ScriptedLoadableModuleLogic):
    """Detection without the panel, for the Python console and for scripts. An example to paste into the console:

        from InvDetect import InvDetectLogic
        from InvDetectSlicerLib.sample_data import add_made_head

        logic = InvDetectLogic()
        scan = add_made_head()                       # or slicer.util.getNode("name of a volume")
        nodes = logic.detect(scan, "made-heads", interactive=False)      # the name of an installed model, or a path
        print(nodes.table.GetNumberOfRows(), "findings in", nodes.map.GetName())
        logic.close()

    Everything it offers is documented in `InvDetectSlicerLib.logic`.
    """

    def __init__(self, *arguments, **options):
        ScriptedLoadableModuleLogic.__init__(self)
        DetectionLogic.__init__(self, *arguments, **options)


class InvDetectTest(ScriptedLoadableModuleTest):
    """Self-tests that run inside Slicer (Self Tests, or Reload and Test); the project's own tests are in Testing/."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        for test in (self.test_panel_opens, self.test_model_of_the_sample_is_listed, self.test_made_head_is_scored):
            self.setUp()
            test()

    def test_panel_opens(self):
        widget = slicer.modules.invdetect.widgetRepresentation().self()
        self.assertIsNotNone(widget.panel)

    def test_model_of_the_sample_is_listed(self):
        from InvDetectSlicerLib.models import installed_models, sample_data

        found = {model.name: model for model in installed_models()}
        self.assertEqual(found[sample_data.MODEL].problem, "")

    def test_made_head_is_scored(self):
        from InvDetectSlicerLib.install import dependencies
        from InvDetectSlicerLib.models import sample_data

        state = dependencies.state()
        if not state.ready:  # nothing is installed in testing mode
            self.delayDisplay("Skipped: " + state.text)
            return
        scan = sample_data.add_made_head()
        logic = InvDetectLogic()
        self.addCleanup(logic.close)
        nodes = logic.detect(scan, sample_data.MODEL, interactive=False)
        self.assertGreater(nodes.table.GetNumberOfRows(), 0)
