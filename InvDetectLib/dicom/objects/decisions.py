"""What a reviewer said of a finding."""

from __future__ import annotations

from dataclasses import dataclass

from ...common import WrongUse, shown

STATES = ("open", "accepted", "dismissed")


@dataclass(frozen=True)
class Decision:
    """What a reviewer said of one finding: `state` is one of `STATES`. `WrongUse` for another."""

    state: str = "open"
    comment: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise WrongUse(f"There is no decision {shown(self.state)}; choose one of {', '.join(STATES)}.")
