"""Installs what `dependencies` names into Slicer's Python, after the user agreed. Blocks, under Slicer's own dialog or cursor.

Packages come through `slicer.packaging` (Slicer 5.12 and later) or `slicer.util.pip_install` (5.10), torch through the PyTorch extension.
Whatever fails is an `InvDetectError` of one sentence that ends with what pip said last, and leaves Slicer's own packages as they were.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError, for_log

from .dependencies import TORCH, Package, bundled_versions, constraint_lines, installed_version, listed, pip_arguments, requirements

_EXTENSION = "PyTorch"


ALREADY = "Something is being installed already. Wait until that has ended."
_under_way: list[bool] = []


class ExtensionNeeded(InvDetectError):
    """torch comes through the PyTorch extension, which is not there: offer `install_pytorch_extension`."""


def install(packages: Sequence[Package], folder: str = "") -> None:
    """Install `packages`, about which the user was asked (`dependencies.question`).

    folder  take all of them, torch too, from this folder of wheels, without a network

    Raises `ExtensionNeeded` when all but torch are installed and torch needs the extension first, and `InvDetectError`; also while
    something is being installed, because Slicer lets events in meanwhile, and two pips at once leave half of both.
    """
    import slicer

    if slicer.app.testingEnabled():
        raise InvDetectError("Nothing is installed while Slicer runs its tests; start it without --testing.")
    if folder and not os.path.isdir(folder):
        raise InvDetectError(f"There is no folder {folder}; choose the one that holds the downloaded packages.")
    before = bundled_versions()
    with _alone(), tempfile.TemporaryDirectory() as temporary:
        constraints = Path(temporary) / "slicer-own-packages.txt"
        constraints.write_text("\n".join(constraint_lines(before)) + "\n", encoding="utf-8")
        by_pip = [package for package in packages if folder or package != TORCH]
        if by_pip:
            with _told(by_pip):
                _pip_install(by_pip, constraints, folder)
        if TORCH in packages and not folder:
            if not pytorch_extension_found():
                raise ExtensionNeeded("torch comes through the PyTorch extension, which is not installed; install that and restart Slicer.")
            with _told([TORCH]):
                _install_torch(constraints)
    _check(packages, before)


def install_with_extension(packages: Sequence[Package], folder: str = "") -> str:
    """`install`, or, where torch needs the PyTorch extension first, that one; the user was asked about both. Returns what came of it.

    torch can follow when Slicer was restarted, about which the user is asked here. Raises `InvDetectError`.
    """
    import slicer

    try:
        install(packages, folder)
        return "Installed."
    except ExtensionNeeded:
        install_pytorch_extension()
    if slicer.util.confirmYesNoDisplay("The PyTorch extension is installed. Slicer has to restart before it can be used.\n\nRestart now?"):
        slicer.util.restart()
        return "Slicer restarts. Press the button again then, so that torch is installed."
    return "The PyTorch extension is installed, but not torch: restart Slicer and press the button again."


def pytorch_extension_found() -> bool:
    """Whether the PyTorch extension is there and loaded."""
    return sys.modules.get("PyTorchUtils") is not None or importlib.util.find_spec("PyTorchUtils") is not None


def install_pytorch_extension() -> None:
    """Install the PyTorch extension; it is there after a restart of Slicer, which is left to the caller. Raises `InvDetectError`.

    Slicer does not ask again whether the user wants it: a "No" there could not be told from a failure.
    """
    import slicer

    manager = slicer.app.extensionsManagerModel()
    if manager.isExtensionInstalled(_EXTENSION):
        raise InvDetectError("The PyTorch extension is installed but not loaded; restart Slicer, and see that it is enabled.")
    asks, manager.interactive = manager.interactive, False
    try:
        with _alone():
            manager.installExtensionFromServer(_EXTENSION, False)
    finally:
        manager.interactive = asks
    if not manager.isExtensionInstalled(_EXTENSION):  # what it returns does not say so: True also for a download that failed
        raise InvDetectError(
            "The PyTorch extension could not be installed; check the connection, or install it with View > Extensions Manager."
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    if _under_way:
        raise InvDetectError(ALREADY)
    _under_way.append(True)
    try:
        yield
    finally:
        _under_way.clear()


def _pip_install(packages: Sequence[Package], constraints: Path, folder: str) -> None:
    import slicer.util

    arguments = pip_arguments(packages, str(constraints), folder)
    try:
        import slicer.packaging
    except ModuleNotFoundError:  # before 5.12
        with slicer.util.WaitCursor():
            slicer.util.pip_install(arguments)
    else:
        slicer.packaging.pip_install(arguments, requester="InvDetect")


def _install_torch(constraints: Path) -> None:
    import PyTorchUtils

    # Its installer takes no constraints, but pip reads them here. As an address, because pip splits this variable at spaces.
    with _environment("PIP_CONSTRAINT", constraints.as_uri()):
        floor = requirements([TORCH])[0].removeprefix(TORCH.name)
        module: Any = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=floor)
    if module is None:
        raise InvDetectError("torch was not installed, because it was declined; nothing can be computed without it.")


def _check(packages: Sequence[Package], before: dict[str, str]) -> None:
    importlib.invalidate_caches()
    changed = [f"{name} from {old} to {installed_version(name)}" for name, old in before.items() if installed_version(name) != old]
    if changed:
        raise InvDetectError(
            f"The installation changed what Slicer ships ({', '.join(changed)}), which it was told not to; other modules may fail now. "
            "Install Slicer again, and tell the makers of InvDetect."
        )
    absent = [package.name for package in packages if installed_version(package.name) is None]
    if absent:
        raise InvDetectError(f"The installation ended without an error, but {', '.join(absent)} cannot be found; restart Slicer.")


@contextlib.contextmanager
def _told(packages: Sequence[Package]) -> Iterator[None]:
    """Turn whatever an installation raises into one sentence with what pip said last."""
    heard = _Listener(sys.stdout)
    try:
        with contextlib.redirect_stdout(heard):
            yield
    except InvDetectError:
        raise
    except Exception as error:  # subprocess.CalledProcessError, RuntimeError when declined, and whatever the extension raises
        logging.error("InvDetect: the installation failed\n%s", for_log(error))
        names = listed([package.name for package in packages])
        reason = heard.reason() or str(error) or type(error).__name__
        raise InvDetectError(
            f"{names} could not be installed: {reason.rstrip('.')}. Check the connection, or install from a folder, then try again."
        ) from error


class _Listener(io.TextIOBase):
    """Passes on what is printed, and remembers the end of it."""

    def __init__(self, real: Any) -> None:
        self._real, self._text = real, ""

    def write(self, text: str) -> int:
        self._text = (self._text + text)[-20_000:]
        if self._real is not None:
            self._real.write(text)
        return len(text)

    def flush(self) -> None:
        if self._real is not None:
            self._real.flush()

    def reason(self) -> str:
        """The last error that pip told, else its last line; "" when it said nothing."""
        lines = [line for line in map(str.strip, self._text.splitlines()) if line and not line.startswith(("[notice]", "WARNING:"))]
        errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
        errors = [line for line in errors if not line.startswith("ResolutionImpossible")]  # which only points to a page
        return (errors or lines or [""])[-1][:300]


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    old = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if old is not None:
            os.environ[name] = old
