"""What a reader does with a result: stepping through findings with decisions and comments, and refining the mask.

In: `ResultNodes`. Out: reviews in the scene's table, and a new mask with no new inference.
"""

from .refining import Refinement, Refining
from .review import Reviewing

__all__ = [
    "Refinement",
    "Refining",
    "Reviewing",
]
