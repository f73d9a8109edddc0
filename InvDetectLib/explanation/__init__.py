"""Why a finding is one: views, looks and rank, measured in the slice of its peak.

In: a `Result`, its scan's slices on the model's grid, and the method that scored them. Out: the result with `Reasons` in its findings.
"""

from .reasons import with_reasons

__all__ = ["with_reasons"]
