"""Installing from the panel, in a Slicer that lets events in at every line that pip says: what is off meanwhile, what is told after."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import press_later, process_events, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.install import dependencies, installing  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402


class Pip:
    """`slicer.util.pip_install` of 5.10, and the PyTorch extension's installer: they let events in at every line, with nothing modal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installed: dict[str, str] = {}
        self.calls: list[Any] = []
        self.seen: list[Any] = []
        self.look: Callable[[], Any] = lambda: None
        self.asked, self.replies, self.restarts, self.extensions = 0, [True], 0, set[str]()
        monkeypatch.setattr(slicer.util, "pip_install", self._pip, raising=False)
        monkeypatch.setitem(sys.modules, "slicer.packaging", None)
        torch = ModuleType("PyTorchUtils")
        torch.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=self._torch)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "PyTorchUtils", torch)
        monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
        monkeypatch.setattr(installing, "installed_version", lambda name: self.installed.get(name) or dependencies.installed_version(name))
        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", self._ask, raising=False)
        monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", self._ask, raising=False)
        monkeypatch.setattr(slicer.util, "restart", self._restart)
        manager = SimpleNamespace(
            interactive=True,
            isExtensionInstalled=lambda name: name in self.extensions,
            installExtensionFromServer=lambda name, restart: self.extensions.add(name) or True,
        )
        monkeypatch.setattr(slicer.app, "extensionsManagerModel", lambda: manager, raising=False)
        monkeypatch.setattr(dependencies, "missing", lambda *_: tuple(p for p in dependencies.REQUIRED if p.name not in self.installed))
        state = dependencies.state
        monkeypatch.setattr(dependencies, "state", lambda *_, **__: state(lambda name: self.installed.get(name)))

    def _ask(self, *_: Any) -> bool:
        self.asked += 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]  # the last one to all that follow

    def _restart(self) -> None:
        self.restarts += 1

    def _lines(self) -> None:
        for _ in range(3):
            self.seen.append(self.look())
            process_events()

    def _pip(self, arguments: Any) -> None:
        self.calls.append(arguments)
        self._lines()
        self.installed.update({package.name: "99" for package in dependencies.REQUIRED if package.requirement in arguments})

    def _torch(self, **_: Any) -> Any:
        self.calls.append("torch")
        self._lines()
        self.installed["torch"] = "99"
        return object()


@pytest.fixture
def pip(panel: Any, monkeypatch: pytest.MonkeyPatch) -> Pip:
    """A Slicer in which everything is missing."""
    pip = Pip(monkeypatch)
    panel.installation.refresh()
    return pip


def test_a_second_press_on_install_runs_no_pip_inside_the_first(panel: Any, pip: Pip) -> None:
    press_later(panel.ui.installButton)
    press_later(panel.ui.installButton)
    press_later(panel.ui.installButton)
    process_events()
    assert len(pip.calls) == 2 and pip.calls[1] == "torch" and pip.asked == 1
    assert "Installed" in panel.ui.statusLabel.text and panel.ui.installButton.enabled and not panel.ui.neededWidget.visible


def test_what_would_start_something_is_off_while_something_is_installed(panel: Any, scan: Any, pip: Pip) -> None:
    ui = panel.ui
    buttons = (ui.applyButton, ui.batchButton, ui.installButton, ui.installFolderButton, ui.maxflowButton, ui.checkPythonButton)
    pip.look = lambda: [button.enabled for button in buttons]
    assert all(button.enabled for button in buttons)
    for _ in range(3):
        press_later(ui.installButton)
    process_events()
    assert len(pip.seen) == 6 and not any(any(look) for look in pip.seen), pip.seen
    assert all(button.enabled for button in buttons) and not panel.run.running


def test_buttons_come_back_after_a_failed_installation(panel: Any, scan: Any, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(arguments: Any) -> None:
        raise RuntimeError("no room left")

    monkeypatch.setattr(slicer.util, "pip_install", fails)
    panel.ui.installButton.click()
    ui = panel.ui
    assert "no room left" in ui.statusLabel.text and ui.installButton.enabled and ui.applyButton.enabled and ui.batchButton.enabled


def test_apply_that_has_to_install_first_runs_once(panel: Any, scan: Any, pip: Pip) -> None:
    for _ in range(3):
        press_later(panel.ui.applyButton)
    wait_for(lambda: panel.run.running)
    wait_for(lambda: not panel.run.running)
    assert pip.asked == 1 and len(pip.calls) == 2 and len(list(results_in_scene())) == 1, panel.ui.statusLabel.text


def test_nothing_is_installed_or_exchanged_under_a_run(panel: Any, scan: Any) -> None:
    ui = panel.ui
    ui.applyButton.click()
    for button in (ui.installButton, ui.installFolderButton, ui.maxflowButton, ui.checkPythonButton, ui.ownPythonButton):
        assert not button.enabled
    wait_for(lambda: not panel.run.running)
    assert ui.installFolderButton.enabled and ui.maxflowButton.enabled and ui.checkPythonButton.enabled


def test_two_modules_do_not_install_at_once(panel: Any, pip: Pip) -> None:
    said: list[str] = []

    def second() -> None:
        if not said:
            with pytest.raises(InvDetectError) as caught:
                installing.install(dependencies.REQUIRED)
            said.append(str(caught.value))

    pip.look = second
    panel.ui.installButton.click()
    assert "already" in said[0] and len(pip.calls) == 2


# What is told after


def test_without_the_extension_a_refused_restart_is_told_as_such(
    panel: Any, scan: Any, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    pip.replies = [True, False, True]
    ui = panel.ui
    ui.installButton.click()
    assert pip.asked == 2 and pip.extensions == {"PyTorch"} and not pip.restarts
    assert "not torch" in ui.statusLabel.text and "restart Slicer" in ui.statusLabel.text
    assert ui.neededWidget.visible and "torch" in ui.neededLabel.text and "scikit-learn" not in ui.neededLabel.text
    ui.applyButton.click()
    assert not panel.run.running and "restart Slicer" in ui.statusLabel.text


def test_without_the_extension_an_agreed_restart_restarts(panel: Any, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    panel.ui.installButton.click()
    assert pip.restarts == 1 and "Installed." not in panel.ui.statusLabel.text


def test_no_is_told_as_no_and_not_as_a_failure(panel: Any, scan: Any, pip: Pip) -> None:
    pip.replies = [False]
    ui = panel.ui
    ui.installButton.click()
    assert "as you wished" in ui.statusLabel.text and "connection" not in ui.statusLabel.text and not pip.calls
    assert not ui.reportButton.visible and ui.installButton.enabled
