"""The test host has the manners of PythonQt: what code below InvDetect/ may ask of Qt, ctk and qMRML objects, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from Testing.support.needs import QT, need

need(*QT)

from Testing.support.slicer_host import pythonqt  # noqa: E402
from Testing.support.slicer_host.look_alikes import ctkPathLineEdit, ctkSliderWidget  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

import qt  # noqa: E402


def in_a_module(source: str, **given: Any) -> Any:
    """Runs lines as if they stood below InvDetect/, where `qt` and `ctk` are imported; what they leave as `result`."""
    names = {"__name__": "InvDetectSlicerLib.written_by_a_test", **given}
    exec(compile("import qt, ctk\n" + source, "written_by_a_test.py", "exec"), names)
    return names.get("result")


@pytest.fixture
def refuses() -> Callable[..., None]:
    """refuses(source, words, **given): PythonQt refuses these lines in these words, and the host remembers that it did."""

    def check(source: str, words: str, **given: Any) -> None:
        with pytest.raises((AttributeError, TypeError, ValueError), match=words):
            in_a_module(source, **given)
        assert len(pythonqt.refused) == 1
        pythonqt.refused.clear()

    return check


@pytest.fixture
def label() -> Any:
    return qt.QLabel("a word")


def test_properties_are_attributes_for_the_modules(label: Any) -> None:
    assert in_a_module("label.text = label.text + 's'\nresult = label.text", label=label) == "a words"
    with pytest.raises(TypeError, match="not callable"):
        in_a_module("label.text()", label=label)


def test_properties_have_their_setters_as_methods_too(label: Any) -> None:
    in_a_module("label.setText('another')\nlabel.setWordWrap(True)", label=label)
    assert label.text == "another" and label.wordWrap


def test_what_a_class_does_not_have_is_not_there(label: Any, refuses: Any) -> None:
    refuses("label.shout", "PythonQt has no QLabel.shout", label=label)
    refuses("label.set_text('x')", "PythonQt has no QLabel.set_text", label=label)
    refuses("label.shout = 1", "'shout' does not exist on QLabel and creating new attributes .* is not allowed", label=label)


def test_what_the_original_does_not_show_of_a_look_alike_is_not_there(refuses: Any) -> None:
    line, slider = ctkPathLineEdit(), ctkSliderWidget()
    refuses("slider.setRange(0, 1)", "PythonQt has no ctkSliderWidget.setRange", slider=slider)
    refuses("line._line", "PythonQt has no ctkPathLineEdit._line", line=line)
    assert in_a_module("line.currentPath = '/a'\nline.filters = ctk.ctkPathLineEdit.Dirs\nresult = line.currentPath", line=line) == "/a"


def test_what_qt_itself_hands_out_has_the_same_manners(refuses: Any) -> None:
    table = qt.QTableWidget(1, 1)
    in_a_module("table.verticalHeader().visible = False", table=table)
    assert table.verticalHeader().isHidden()
    refuses("table.verticalHeader().colour = 1", "does not exist on QHeaderView", table=table)
    refuses("table.horizontalHeader().shout()", "PythonQt has no QHeaderView.shout", table=table)
    refuses("label.font.pointSize = 3", "Slot 'pointSize' can not be overwritten on QFont", label=qt.QLabel())
    refuses("qt.QApplication.clipboard().shout", "PythonQt has no QClipboard.shout")
    refuses("qt.QLabel().sizePolicy.wide = 1", "QSizePolicy is not in the table of what PythonQt offers")


def test_a_property_hidden_by_a_function_can_be_neither_set_nor_read(refuses: Any) -> None:
    refuses("qt.QTimer().singleShot = True", "Slot 'singleShot' can not be overwritten on QTimer object")
    refuses("qt.QTimer().singleShot", "PythonQt hides the property QTimer.singleShot .* use setSingleShot")
    assert in_a_module("timer = qt.QTimer()\ntimer.setSingleShot(True)\nresult = timer.isSingleShot()")
    called: list[int] = []
    in_a_module("qt.QTimer.singleShot(0, lambda: called.append(1))", called=called)
    process_events()
    assert called == [1]


def test_methods_signals_and_fixed_properties_cannot_be_set(refuses: Any) -> None:
    refuses("qt.QLabel().setText = 'x'", "Slot 'setText' can not be overwritten on QLabel object")
    refuses("qt.QPushButton().clicked = 1", "Signal 'clicked' can not be overwritten on QPushButton object")
    refuses("qt.QComboBox().count = 1", "Property 'count' of QComboBox object is not writable")


def test_calls_take_no_keyword_arguments(label: Any, refuses: Any) -> None:
    refuses("label.setText(text='x')", "no keyword arguments: QLabel.setText\\(text=...\\)", label=label)
    refuses("qt.QLabel(text='x')", "no keyword arguments: QLabel\\(text=...\\)")
    refuses("qt.QTimer.singleShot(msec=0)", "no keyword arguments: QTimer.singleShot")


def test_signals_are_connected_by_name(refuses: Any) -> None:
    button, heard = qt.QPushButton(), []
    in_a_module("result = button.clicked\nresult.connect(lambda *given: heard.append(1))", button=button, heard=heard)
    button.click()
    assert heard == [1]
    refuses("button.clicked[bool]", "PythonQt's signals have no \\[\\]", button=button)
    refuses("button.clicked.connect(print, type=1)", "no keyword arguments", button=button)
    refuses("button.clicked.signal", "PythonQt's signals have no signal", button=button)


def test_signals_are_connected_by_their_signature(refuses: Any) -> None:
    button, heard = qt.QPushButton(), []
    lines = "def f(*given):\n    heard.append(given)\nbutton.connect('clicked()', f)\nbutton.connect('clicked(bool)', f)"
    in_a_module(lines, button=button, heard=heard)
    button.click()
    assert sorted(heard) == [(), (False,)]
    refuses("button.connect('clicked(int)', print)", "no signal clicked\\(int\\) of QPushButton", button=button)


def test_a_look_alike_is_connected_by_the_signature_of_the_original(refuses: Any) -> None:
    line, heard = ctkPathLineEdit(), []
    in_a_module("line.connect('currentPathChanged(QString)', heard.append)", line=line, heard=heard)
    line.currentPath = "/a"
    assert heard == ["/a"]
    refuses("line.connect('currentPathChanged(QUrl)', print)", "no signal currentPathChanged\\(QUrl\\) of ctkPathLineEdit", line=line)


def test_enums_are_numbers_and_come_without_the_name_of_their_enum(label: Any, refuses: Any) -> None:
    in_a_module("label.alignment = qt.Qt.AlignRight | qt.Qt.AlignBottom", label=label)
    assert label.alignment == qt.Qt.AlignmentFlag.AlignRight | qt.Qt.AlignmentFlag.AlignBottom
    assert in_a_module("result = label.alignment == qt.Qt.AlignRight | qt.Qt.AlignBottom", label=label)
    refuses("qt.Qt.AlignmentFlag.AlignRight", "PythonQt has the values of Qt.AlignmentFlag without its name")
    with pytest.raises(AttributeError, match="no attribute 'value'"):
        in_a_module("qt.Qt.AlignRight.value")


def test_classes_and_helpers_of_pyside_are_not_in_qt(refuses: Any) -> None:
    for name in ("Signal", "Slot", "QNothing"):
        refuses(f"qt.{name}", f"PythonQt has no qt.{name}")
    refuses("qt.QLabel.text", "QLabel.text belongs to an object and not to its class")
    assert in_a_module("result = isinstance(label, qt.QLabel), isinstance(label, qt.QTimer)", label=qt.QLabel()) == (True, False)


def test_a_module_has_the_properties_of_a_scripted_module_and_the_application_its_signals(refuses: Any) -> None:
    parent = pythonqt.StandIn("qSlicerScriptedLoadableModule")
    in_a_module("parent.title = 'InvDetect'", parent=parent)
    refuses("parent.colour = 1", "'colour' does not exist on qSlicerScriptedLoadableModule", parent=parent)
    refuses("slicer.app.connect('startedUp()', print)", "no signal startedUp\\(\\) of qSlicerApplication", slicer=__import__("slicer"))


def test_host_and_tests_go_on_with_qt_as_it_is(label: Any) -> None:
    label.remembered = 1
    assert label.remembered == 1 and qt.Qt.AlignmentFlag.AlignLeft and qt.QLabel(text="x").text == "x"


def test_what_was_refused_is_remembered_where_a_slot_swallows_it(label: Any) -> None:
    in_a_module("try:\n    label.shout\nexcept Exception:\n    pass", label=label)
    assert pythonqt.refused == ["PythonQt has no QLabel.shout"]
    pythonqt.refused.clear()


def test_reading_a_property_in_a_module_costs_microseconds(label: Any) -> None:
    assert in_a_module("import timeit\nresult = min(timeit.repeat(lambda: label.text, number=1000, repeat=5))", label=label) < 0.05
