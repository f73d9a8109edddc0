"""Which peers there are, in the order of the table."""

from __future__ import annotations

from .anoddpm import AnoDDPM
from .cfa import CFA
from .cflow import CFLOW
from .contract import Peer
from .cutpaste import CutPaste
from .dpmm import DPMM
from .fpi import FPI
from .invad import InvAD
from .job import PeerJob
from .nsa import NSA
from .pddpm import PatchedDDPM
from .pii import PII
from .rd4ad import RD4AD
from .stfpm import STFPM
from .thor import THOR

PEERS: tuple[type[Peer], ...] = (AnoDDPM, THOR, PatchedDDPM, RD4AD, STFPM, CFA, CFLOW, DPMM, CutPaste, FPI, PII, NSA, InvAD)
JOBS = tuple(PeerJob(peer) for peer in PEERS)
