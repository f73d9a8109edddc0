"""The nodes of one result in the scene, and how they find each other again after the scene was saved and reloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import slicer

from InvDetectLib.common import InvDetectError

ROLE = "InvDetect.Role"
_REFERENCE = "InvDetect."
_SCANS = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
ROLES = ("map", "segmentation", "table", "labels", "stored", "pseudo_normal")


@dataclass(eq=False)
class ResultNodes:
    """What belongs to one result; None where a node is not there (any more).

    input         the volume that was examined
    map           scalar volume, the anomaly map
    segmentation  one segment a finding; dismissed findings have none
    table         one row a finding; it keeps the findings exactly, and their reviews
    labels        hidden label map: number of the finding at each voxel, dismissed ones included
    stored        hidden volume of bytes: what refining without the network needs (see `stored_result`)
    pseudo_normal volume of the scan's kind: what it would look like if it were normal; not from every method
    """

    input: Any = None
    map: Any = None
    segmentation: Any = None
    table: Any = None
    labels: Any = None
    stored: Any = None
    pseudo_normal: Any = None

    def made(self) -> list[Any]:
        """The nodes that are there, without the input."""
        return [node for role in ROLES if (node := getattr(self, role)) is not None]

    def connect(self) -> None:
        """Lets each node refer to all others, so that any of them leads to the result."""
        for role in ROLES:
            node = getattr(self, role)
            if node is None:
                continue
            node.SetAttribute(ROLE, role)
            for other in ("input", *ROLES):
                target = getattr(self, other)
                node.SetNodeReferenceID(_REFERENCE + other.capitalize(), None if target is None else target.GetID())


def nodes_of(node: Any) -> ResultNodes | None:
    """The result that a map, segmentation or table belongs to; None for any other node."""
    if node is None or node.GetAttribute(ROLE) not in ROLES:
        return None
    found = ResultNodes(**{role: node.GetNodeReference(_REFERENCE + role.capitalize()) for role in ("input", *ROLES)})
    setattr(found, node.GetAttribute(ROLE), node)
    return found


def is_own(node: Any) -> bool:
    """Whether InvDetect made this node, or is making it: no scan, whatever became of the rest of its result."""
    return node is not None and bool(node.GetAttribute(ROLE))


def scans_in_scene() -> list[Any]:
    """The volumes that can be examined, grey or colour, in the order of the scene."""
    return [node for node in _volumes() if not node.GetHideFromEditors() and not is_own(node)]


def own_volumes_in_scene() -> list[Any]:
    """The volumes that InvDetect made."""
    return [node for node in _volumes() if is_own(node)]


def results_in_scene() -> Iterator[ResultNodes]:
    """All results of InvDetect in the scene whose table is there, oldest first."""
    for table in slicer.util.getNodesByClass("vtkMRMLTableNode"):
        if table.GetAttribute(ROLE) == "table":
            found = nodes_of(table)
            assert found is not None
            yield found


def _volumes() -> list[Any]:
    """Not those of derived classes, such as label maps and diffusion data."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetClassName() in _SCANS]


def write_facts(node: Any, name: str, facts: Any) -> None:
    """Plain values as JSON in the node's attribute InvDetect.NAME; they survive saving exactly, as floats in tables do not."""
    node.SetAttribute(f"InvDetect.{name}", json.dumps(facts, allow_nan=False))


def read_facts(node: Any, name: str) -> Any:
    """What `write_facts` wrote; None when there is nothing. InvDetectError when it was damaged."""
    text = node.GetAttribute(f"InvDetect.{name}")
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(node) from error


def provenance_of(nodes: ResultNodes) -> dict[str, Any]:
    """How a result was made, as `Result.provenance` says; {} where the scene, which can come from another version, does not know."""
    try:
        facts = None if nodes.table is None else read_facts(nodes.table, "Provenance")
    except InvDetectError:
        facts = None
    return facts if isinstance(facts, dict) else {}


def how_made(nodes: ResultNodes) -> tuple[str, bool]:
    """What counted as abnormal ("bright", "dark", "both"; "" where that was not told apart); whether scores were adapted to the scan."""
    facts = provenance_of(nodes)
    return str(facts.get("direction", "")), facts.get("adapted") == "scan"


def damaged(node: Any) -> InvDetectError:
    """The error for facts in a scene that are not as InvDetect wrote them."""
    return InvDetectError(f'What InvDetect kept in "{node.GetName()}" is damaged. Detect again to make it anew.')
