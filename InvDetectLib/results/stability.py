"""Whether a finding stays when the scan, or what the network is asked, changes a little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .findings import Finding, connected_pieces, label_findings

Peak = tuple[int, int, int]
_OVERLAP = 0.1  # of the union of two findings that are the same


def stability_of(mask: np.ndarray, findings: Sequence[Finding], changed: Iterable[np.ndarray]) -> dict[Peak, float]:
    """For each finding, by its peak voxel, the share (0 to 1) of changes under which some finding overlaps it.

    mask     (slice, row, column) bool;  findings  its own
    changed  the mask under each change, in the same voxels; at least one
    Two findings overlap that share at least a tenth of their union.
    """
    labels = label_findings(mask, findings)
    stayed, count = np.zeros(len(findings) + 1), 0
    for other in changed:
        stayed += _overlapped(labels, len(findings), connected_pieces(other))
        count += 1
    return {finding.peak_index: float(stayed[finding.label] / count) for finding in findings}


def _overlapped(labels: np.ndarray, count: int, pieces: np.ndarray) -> np.ndarray:
    """(count + 1,) bool: which labels some piece overlaps; 0 stands for outside in both."""
    most = int(pieces.max()) + 1
    either = np.flatnonzero((labels > 0) | (pieces > 0))
    pairs = labels.ravel()[either].astype(np.int64) * most + pieces.ravel()[either]
    shared = np.bincount(pairs, minlength=(count + 1) * most).reshape(count + 1, most)
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
    same = shared >= _OVERLAP * np.maximum(union, 1)
    return np.asarray(same[:, 1:].any(axis=1) & (np.arange(count + 1) > 0))
