"""Whether torchrun started this process beside others, and as which of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Launched:
    """rank: number of this process among `count` in all, from 0; local: its number among the `beside` of this machine."""

    rank: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1

    @classmethod
    def here(cls) -> Launched:
        """As torchrun says in the environment; alone without it. Other launchers' variables of these names do not count."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        return cls(*(int(os.environ[name]) for name in _NAMES))
