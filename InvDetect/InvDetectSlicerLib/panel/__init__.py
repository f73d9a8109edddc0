"""The detection panel: each file owns some widgets of Resources/UI/InvDetect.ui, `DetectionWidget` puts them together.

In: a logic. Out: one widget. Nothing is computed here.
"""

from .accessible import name_parts
from .delay import Delay
from .status import Status, even_font
from .widget import DetectionWidget
from .wording import count, duration, percent

__all__ = [
    "Delay",
    "DetectionWidget",
    "Status",
    "count",
    "duration",
    "even_font",
    "name_parts",
    "percent",
]
