"""The detection panel: each file owns some widgets of Resources/UI/InvDetect.ui, `DetectionWidget` puts them together.

In: a logic. Out: one widget. Nothing is computed here.
"""

from .accessible import name_parts
from .chart import show_false_alarms
from .delay import Delay
from .rehearsal import RehearsalChart
from .saving import ask_where
from .status import Status, even_font, show_text
from .widget import DetectionWidget
from .wording import count, duration, percent

__all__ = [
    "Delay",
    "DetectionWidget",
    "RehearsalChart",
    "Status",
    "ask_where",
    "count",
    "duration",
    "even_font",
    "name_parts",
    "percent",
    "show_false_alarms",
    "show_text",
]
