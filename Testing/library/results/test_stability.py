"""Stability: which findings are found again under changes, and how that is kept in results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.results import Result, stability_of
from InvDetectLib.results.findings import find_findings
from Testing.support.made_results import SAME, blob, make_result

PEAK, SPECK = (2, 2, 3), (0, 6, 6)


def mask_of(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    mask = np.zeros(SAME.shape, bool)
    for box in boxes:
        mask[box] = True
    return mask


def test_a_finding_stays_where_another_shares_a_tenth_of_their_union() -> None:
    first, second = (slice(0, 1), slice(0, 2), slice(0, 5)), (slice(2, 3), slice(0, 8), slice(6, 8))
    mask = mask_of(first, second)
    findings = find_findings(mask, mask.astype(np.float32), SAME, 0, lambda peak: (None, 0))
    a_tenth = mask_of((slice(0, 1), slice(0, 1), slice(0, 1)))  # 1 of 10
    too_little = mask_of((slice(0, 1), slice(0, 1), slice(4, 8)))  # 1 of 10 + 3
    far_too_large = mask_of((slice(2, 4), slice(0, 8), slice(0, 8)), (slice(0, 1), slice(7, 8), slice(0, 8)))  # 16 of 128
    nothing = mask_of()
    shares = stability_of(mask, findings, [mask, a_tenth, too_little, far_too_large, nothing])
    assert shares == {(0, 0, 0): pytest.approx(2 / 5), (2, 0, 6): pytest.approx(2 / 5)}


def test_one_large_finding_is_no_match_for_the_many_that_it_covers() -> None:
    specks = mask_of(*((slice(0, 1), slice(i, i + 1), slice(0, 1)) for i in (0, 3, 6)))
    findings = find_findings(specks, specks.astype(np.float32), SAME, 0, lambda peak: (None, 0))
    assert set(stability_of(specks, findings, [np.ones(SAME.shape, bool)]).values()) == {0.0}


def stable() -> Result:
    """Two findings, of which one stays under every change, the other under half."""
    return make_result(blob(value=2.5)).with_stability({PEAK: 1.0, SPECK: 0.5}, changes=["noise"], seconds=0.1)


def test_the_stability_is_each_findings_own_and_how_it_was_measured_stands_apart() -> None:
    result = stable()
    assert [finding.stability for finding in result.findings] == [1.0, 0.5]
    assert result.provenance["stability"] == {"changes": ["noise"], "seconds": 0.1}
    assert all(finding.stability is None for finding in make_result(blob(value=2.5)).findings)


def test_refining_keeps_it_for_findings_of_the_same_peak_alone() -> None:
    values = blob(value=2.5)
    values[3, 0, 0] = 1.0
    result = make_result(values, threshold=2.0, contiguity=0.0).with_stability({PEAK: 1.0, SPECK: 0.5})
    lower = result.refine(threshold=0.5)
    assert {finding.peak_index: finding.stability for finding in lower.findings} == {PEAK: 1.0, SPECK: 0.5, (3, 0, 0): None}
    assert [finding.stability for finding in result.refine(threshold=9.0).refine(threshold=2.0).findings] == [1.0, 0.5]


def test_it_is_saved_and_loaded_with_the_result_and_stands_in_the_table(tmp_path: Path) -> None:
    result = stable()
    paths = result.save(tmp_path)
    loaded = Result.load(paths["result"])
    assert loaded.findings == result.findings and loaded.stability == result.stability
    assert Result.load(paths["result"], result.anomaly_map, result.mask).refine(threshold=0.2).findings[1].stability == 0.5
    assert [row["stability"] for row in csv.DictReader(paths["findings"].open(encoding="utf-8"))] == ["1", "0.5"]


def test_results_of_before_load_without_it(tmp_path: Path) -> None:
    path = stable().save(tmp_path)["result"]
    content = json.loads(path.read_text())
    del content["stability"]
    for finding in content["findings"]:
        for name in ("mass", "p_value_mass", "stability"):
            del finding[name]
    path.write_text(json.dumps(content))
    kept = stable()
    for loaded in (Result.load(path), Result.load(path, kept.anomaly_map, kept.mask)):
        assert [(one.label, one.peak, one.mass, one.stability) for one in loaded.findings] == [(1, 2.5, None, None), (2, 2.5, None, None)]


@pytest.mark.parametrize("damage", [5, [[1, 2]], [["a", 0, 0, 1.0]], {"a": 1}])
def test_a_damaged_one_is_told_in_a_sentence(damage: object, tmp_path: Path) -> None:
    path = stable().save(tmp_path)["result"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stability": damage}))
    with pytest.raises(InvDetectError, match="damaged"):
        Result.load(path)
