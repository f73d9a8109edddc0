"""The state of a training run on disk, so that a kill, a power cut or a closed window costs at most a minute."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError, parse_json, shown, write_whole
from .claim import Claim

_FORMAT = "invdetect-checkpoint-1"


class Checkpoint:
    """One file beside the model to be, replaced atomically.

    path         where; None keeps nothing
    fingerprint  what the run is made from (settings, seed, scans); a checkpoint of another run is refused, not used
    held         the claim on `path`, if there is one
    every        seconds between two saves
    """

    def __init__(self, path: Path | None, fingerprint: str, held: Claim | None = None, every: float = 30.0) -> None:
        self._held = held
        self._path, self._fingerprint, self._every = path, fingerprint, every
        self._last = time.monotonic()

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, facts) of the last save, or None when there is none.

        Raises `InvDetectError` for a damaged file or one of another run.
        """
        if self._path is None or not self._path.exists() or not self._path.stat().st_size:
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self._path), framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}
            facts = parse_json(metadata["facts"])
        except (SafetensorError, OSError, KeyError, ValueError, RecursionError, ArithmeticError) as error:
            raise self.damaged(shown(error)) from None
        if metadata.get("format") != _FORMAT or metadata.get("fingerprint") != self._fingerprint:
            raise InvDetectError(
                f"The checkpoint {self._path} belongs to other scans, settings or seed; call again as it was started, or delete it."
            )
        return arrays, facts

    def damaged(self, why: str) -> InvDetectError:
        """The error for a checkpoint that cannot be gone on from; the file stays."""
        return InvDetectError(f"The checkpoint {self._path} cannot be read ({why}); delete it and start again.")

    def due(self) -> bool:
        """Whether the last save is long enough ago to be worth another."""
        return self._path is not None and time.monotonic() - self._last >= self._every

    def save(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Replace the file. Raises `InvDetectError` when it cannot be written; the one before then stays."""
        if self._path is None:
            return
        from safetensors.numpy import save

        metadata = {"format": _FORMAT, "fingerprint": self._fingerprint, "facts": json.dumps(facts)}
        hand_over = {} if self._held is None else {"before": self._held.hand_over}
        write_whole(self._path, save(arrays, metadata), "checkpoint", **hand_over)
        self._last = time.monotonic()
