"""The training wizard: a page each step over Resources/UI/InvDetectTraining.ui, `TrainingWidget` turns the pages.

In: a logic. Out: one widget. Nothing is computed here.
"""

from .widget import TrainingWidget

__all__ = [
    "TrainingWidget",
]
