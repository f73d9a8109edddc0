"""Why a finding is one: views, looks and rank, measured in the slice of its peak; a picture of that; a gallery of normal patches.

In: a `Result`, its scan's slices on the model's grid, and the method that scored them. Out: the result with `Reasons` in its findings, an
`Explanation` to be read and drawn, and the `Gallery` of a model whose maker allows images in it.
"""

from .explain import Explanation, check_origin, check_scan, explain
from .gallery import Gallery, choose_gallery
from .reasons import with_reasons

__all__ = ["Explanation", "Gallery", "check_origin", "check_scan", "choose_gallery", "explain", "with_reasons"]
