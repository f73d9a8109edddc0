"""Which peers there are, in the order of the table."""

from __future__ import annotations

from .anoddpm import AnoDDPM
from .contract import Peer
from .job import PeerJob
from .pddpm import PatchedDDPM

_PEERS: tuple[type[Peer], ...] = (AnoDDPM, PatchedDDPM)
JOBS = tuple(PeerJob(peer) for peer in _PEERS)
