"""What all tests share: few threads, no windows, fixed seeds, none of the user's models, and the real data where they exist.

With `INVDETECT_NO_SKIPS=1` (continuous integration) a skipped test fails, so that a missing package cannot hide a room. Only tests
of the real data (the fixture `shared_data`, or the marker of the same name) may still be skipped, and only where there are none.
`INVDETECT_SKIPPED` names a file for the names of what was skipped, one a line, to be run again when what it needs is there.
"""

from __future__ import annotations

import atexit
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# One thread: small arrays gain nothing from more, and on a busy machine threads that wait for each other cost tenfold.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402  (the lines above must come before anything that loads numpy)

if TYPE_CHECKING:
    from Testing.support.slicer_host import Host
    from Testing.support.tiny_model import World

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
STRICT = os.environ.get("INVDETECT_NO_SKIPS") == "1"

try:
    import hypothesis
except ImportError:
    pass
else:
    hypothesis.settings.register_profile("invdetect", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("invdetect")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shared_data: needs the real data in shared/data beside the checkout")


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish() -> None:
    if path := os.environ.get("INVDETECT_SKIPPED"):
        Path(path).write_text("".join(f"{name}\n" for name in _skipped), encoding="utf-8")


def pytest_report_header() -> str:
    return f"real data: {'present' if SHARED_DATA.is_dir() else 'absent'}; skips: {'fail' if STRICT else 'allowed'}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, `shared/data` beside the checkout; skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data (shared/data beside the checkout) are not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made heads, and a model trained on them by the shell command."""
    from Testing.support.tiny_model import build

    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def directed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells bright from dark, and left from right, and the heads that it was trained on beside it."""
    from Testing.support.tiny_model import build_directed

    return build_directed(tmp_path_factory.mktemp("directed"))


@pytest.fixture(scope="session")
def slicer_application() -> Host:
    """The headless stand-in for Slicer, one a process; skips without slicer-core."""
    from Testing.support.needs import need

    need("slicer")
    from Testing.support.slicer_host import start

    return start()


@pytest.fixture
def host(slicer_application: Host) -> Iterator[Host]:
    """The stand-in for Slicer with an empty scene."""
    slicer_application.clear()
    yield slicer_application
    slicer_application.clear()


@pytest.fixture(autouse=True)
def as_pythonqt() -> Iterator[None]:
    """What the test host refuses of the modules fails the test, also where a slot or a guard swallows the exception."""
    yield
    pythonqt = sys.modules.get("Testing.support.slicer_host.pythonqt")
    if pythonqt is not None and pythonqt.refused:
        told = "\n".join(pythonqt.refused)
        pythonqt.refused.clear()
        pytest.fail(f"The modules asked of Qt what PythonQt does not offer:\n{told}")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are saved without their previews, which take longer to draw than a small scan takes to score."""
    from InvDetectLib.results import canvas

    monkeypatch.setattr(canvas, "available", lambda: False)


@pytest.fixture
def no_stability(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small changes of a scan are tried only where a test asks for them: they take as long as several detections."""
    from InvDetectLib import detection

    monkeypatch.setattr(detection, "QUICK", 0.0)


@pytest.fixture(autouse=True)
def same_every_time(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fixed seeds for what draws without a generator of its own, and a models folder that holds nothing."""
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path_factory.getbasetemp() / "no-models"))
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _may_skip(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("shared_data") is not None or "shared_data" in getattr(item, "fixturenames", ())
    return marked and not SHARED_DATA.is_dir()


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{reason}\nINVDETECT_NO_SKIPS=1: a skipped test fails; install what it needs."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail") and not _may_skip(item):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    if STRICT and report.skipped:
        _fail(report)
    return report


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """With Qt the process ends here: PySide may take it down when the interpreter collects the last widgets, after all was told."""
    session = getattr(config, "invdetect_session", None)
    if session is not None and "PySide6.QtWidgets" in sys.modules:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(session.exitstatus))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.invdetect_session = session  # type: ignore[attr-defined]
