"""Which peers there are, in the order of the table."""

from __future__ import annotations

from .contract import Peer
from .job import PeerJob

_PEERS: tuple[type[Peer], ...] = ()
JOBS = tuple(PeerJob(peer) for peer in _PEERS)
