"""The table of findings: columns for people, and in its attributes the same exactly, with what a reviewer said of each finding.

The attributes are what counts. A table is saved as text with six digits a number, in which quotes and number signs of a comment are
lost; its columns are written from the attributes, never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import vtk

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Finding
from InvDetectLib.scans import Geometry

from .nodes import damaged, read_facts, write_facts

OPEN, ACCEPTED, DISMISSED = "open", "accepted", "dismissed"
STATES = (OPEN, ACCEPTED, DISMISSED)
_MOST = 2**31 - 1  # that a column of whole numbers holds; the numbers of a scene may be anybody's
SET_ASIDE = "SetAside"  # reviews that wait for their finding to come back, see `following`


@dataclass(frozen=True)
class Review:
    """What a reviewer said of one finding: `state` is one of `STATES`."""

    state: str = OPEN
    comment: str = ""


def fill_table(table: Any, findings: list[Finding], geometry: Geometry, slice_axis: int) -> None:
    """One row a finding, all open. `geometry` is the scan's own; `slice_axis` the array axis that slices are counted along."""
    write_facts(table, "Findings", [asdict(finding) for finding in findings])
    write_facts(table, "Geometry", {**geometry.as_dict(), "slice_axis": slice_axis})
    write_facts(table, "Reviews", {})
    write_facts(table, SET_ASIDE, [])
    _write_columns(table)


def findings_of(table: Any) -> list[Finding]:
    """The findings of a table, exactly as they were detected. InvDetectError when the scene's copy is damaged."""
    rows = read_facts(table, "Findings")
    if not isinstance(rows, list):
        raise damaged(table)
    try:
        return [Finding.from_dict(row) for row in rows]
    except InvDetectError as error:
        raise damaged(table) from error


def geometry_in(table: Any) -> Geometry:
    """The geometry of the scan that the findings were measured in."""
    facts = read_facts(table, "Geometry")
    if not isinstance(facts, dict):
        raise damaged(table)
    return Geometry.from_dict(facts)


def slice_axis_of(table: Any) -> int:
    """The axis of the scan's array that its slices are counted along."""
    facts = read_facts(table, "Geometry")
    if not isinstance(facts, dict) or facts.get("slice_axis") not in (0, 1, 2):
        raise damaged(table)
    return int(facts["slice_axis"])


def peak_ras(table: Any, finding: Finding) -> np.ndarray:
    """(3,) where to look: the highest voxel, which always lies inside the finding. RAS in mm, before any parent transform."""
    return geometry_in(table).ras_from_index(finding.peak_index)


def reviews_of(table: Any) -> dict[int, Review]:
    """Number of the finding -> its review, for every finding of the table."""
    facts = read_facts(table, "Reviews") or {}
    try:
        given = {int(number): Review(str(said["state"]), str(said["comment"])) for number, said in facts.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(table) from error
    if any(review.state not in STATES for review in given.values()):
        raise damaged(table)
    return {finding.label: given.get(finding.label, Review()) for finding in findings_of(table)}


def write_reviews(table: Any, reviews: Mapping[int, Review]) -> None:
    """Keeps the reviews in the table, and shows them in its columns."""
    write_facts(table, "Reviews", {str(number): asdict(review) for number, review in reviews.items() if review != Review()})
    _write_columns(table)


def _write_columns(table: Any) -> None:
    geometry, reviews, findings = geometry_in(table), reviews_of(table), findings_of(table)
    axis = slice_axis_of(table)
    places = [geometry.ras_from_index(finding.peak_index) for finding in findings]
    unit = {"mm3": "mm3", "mm2": "mm2"}.get(findings[0].unit, "") if findings else ""
    length = "mm" if geometry.unit == "mm" else ""
    columns: list[tuple[str, list[Any], str, str]] = [
        ("Finding", [f.label for f in findings], "", "Number of the finding; 1 has the most mass, or of older models the highest peak"),
        ("State", [reviews[f.label].state for f in findings], "", "Open, accepted or dismissed by the reviewer"),
        ("Area" if unit == "mm2" else "Volume", [f.volume for f in findings], unit, "Size, from the voxels of the scan"),
        ("Voxels", [round(min(f.volume / geometry.voxel_volume, _MOST)) for f in findings], "", "Voxels of the scan inside the finding"),
        ("Peak", [f.peak for f in findings], "", "Highest anomaly score inside; 10 % of normal tissue has more than 0"),
        ("Mean", [f.mean for f in findings], "", "Mean anomaly score inside"),
        ("Mass", _numbers(f.mass for f in findings), "", "Anomaly score above that of 99 % of normal tissue, summed over the finding"),
        ("p of mass", _numbers(f.p_value_mass for f in findings), "", "How often a normal scan has a finding of such a mass"),
        ("p-value", _numbers(f.p_value for f in findings), "", "How often a normal scan has such a peak"),
        ("Stability", _numbers(f.stability for f in findings), "", "Share of small changes of the scan under which it stays a finding"),
        ("Normals", [f.normals for f in findings], "", "Held-out normal scans or slices behind the p-values"),
        *(
            (name, [float(place[i]) for place in places], length, f"{name} of the highest voxel, before any parent transform")
            for i, name in enumerate("RAS")
        ),
        ("Slice", [f.peak_index[axis] for f in findings], "", "Slice of the highest voxel, counted from 0"),
        ("First slice", [f.first_slice for f in findings], "", "First slice of the finding, counted from 0"),
        ("Last slice", [f.last_slice for f in findings], "", "Last slice of the finding, counted from 0"),
        ("Comment", [_cell(reviews[f.label].comment) for f in findings], "", "What the reviewer said"),
    ]
    changing = table.StartModify()
    table.SetLocked(False)
    table.RemoveAllColumns()
    for name, values, unit_of_column, description in columns:
        table.AddColumn(_column(name, values))
        table.SetColumnUnitLabel(name, unit_of_column)
        table.SetColumnDescription(name, description)
    table.SetLocked(True)  # a cell that is typed into would say something that nothing else knows
    table.EndModify(changing)


def _column(name: str, values: list[Any]) -> Any:
    if name in ("State", "Comment"):
        column = vtk.vtkStringArray()
    elif name in ("Area", "Volume", "Peak", "Mean", "Mass", "p of mass", "p-value", "Stability", "R", "A", "S"):
        column = vtk.vtkDoubleArray()
    else:
        column = vtk.vtkIntArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _cell(comment: str) -> str:
    """A comment without what a saved table cannot hold: line ends and tabs, double quotes, number signs."""
    return " ".join(comment.split()).replace('"', "'").replace("#", "No. ")
