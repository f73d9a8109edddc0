"""Which peers there are, in the order of the table."""

from __future__ import annotations

from .anoddpm import AnoDDPM
from .contract import Peer
from .dpmm import DPMM
from .invad import InvAD
from .job import PeerJob
from .pddpm import PatchedDDPM
from .thor import THOR

PEERS: tuple[type[Peer], ...] = (AnoDDPM, THOR, PatchedDDPM, DPMM, InvAD)
JOBS = tuple(PeerJob(peer) for peer in PEERS)
