"""A stand-in for the Slicer application around the real MRML of the `slicer-core` wheel: for tests only, never shipped.

Nodes, logics, storage, segmentations and rendering are Slicer's own; what the wheel lacks (application, modules, slice views as widgets)
is put together here as far as InvDetect's tests need it.
"""

from .host import Host, start

__all__ = ["Host", "start"]
