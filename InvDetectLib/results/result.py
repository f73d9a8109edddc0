"""What detection found in one scan: map, mask, findings, and how they came about. Can be refined, saved, loaded and drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calibration import Calibration
from ..common import InvDetectError, Progress, shown
from ..models import Preparation, Settings
from ..refinement import Cuts, cut, solver_name
from ..scans import Geometry, SliceGrid, map_from_grid
from . import canvas, pictures
from . import files as result_files
from .backgrounds import backgrounds_of, display_range
from .controls import Controls
from .findings import Finding, MassScale, find_findings, volume_unit
from .parts import Examined, Images, OnGrid
from .publishing import all_or_nothing, describe_parts
from .reasons import Reasons
from .stored import check_inside, check_sizes, layout, read_reasons, read_stability, unpack

if TYPE_CHECKING:
    from ..scans import Scan


@dataclass(eq=False)
class Result:
    """Map, mask and findings of one scan. Arrays in the scan's own voxels are (slice, row, column) as `Scan.array` has them.

    name                     stem for file names; never written into a file
    geometry                 of the scan
    preparation, calibration of the model
    controls                 the operating point of the mask
    anomaly_map              float32 in the scan's voxels, A in the model's score unit: higher is less normal; `calibration.floor`
                             where nothing was scored
    mask                     bool, the same shape: inside findings
    foreground               bool, the same shape: what counts as the patient (metrics are taken here)
    findings                 largest mass first, of models that keep no masses highest peak first
    provenance               JSON-able facts: model, versions, device, settings, seed, seconds, warnings, digest of the scan, ...;
                             "solver" is added here: what made the mask ("maxflow", "scipy", or None without SCR)
    grid_map, grid_scored    (slices, rows, columns) float32 and bool on the model's grid; scored: foreground reached by a scored patch
    grid_mask                bool on the model's grid: what the cut gave
    edges_down, edges_right  float16 (S, H - 1, W) and (S, H, W - 1): alpha of Eq. 4 between neighbours
    background               (S, H, W[, channel]) float32 from 0 to 1, or uint8: the scan on the grid, for pictures; None after `load`
    pseudo_normal            the scan's (slice, row, column[, channel]): what it would look like if it were normal, see
                             `scans.pseudo_normal_from_grid`; None from methods that do not say so
    pseudo_background        `pseudo_normal` as `background` has the scan, in the same greys
    stability                that of findings by their peak voxel, at the operating point of the detection; None where not measured
    reasons                  those of findings at earlier operating points, by their peak voxel; the findings of now have their own
    """

    name: str
    geometry: Geometry
    preparation: Preparation
    calibration: Calibration
    controls: Controls
    anomaly_map: np.ndarray
    mask: np.ndarray
    foreground: np.ndarray
    findings: list[Finding]
    provenance: dict[str, Any]
    grid_map: np.ndarray
    grid_scored: np.ndarray
    grid_mask: np.ndarray
    edges_down: np.ndarray
    edges_right: np.ndarray
    background: np.ndarray | None = None
    pseudo_normal: np.ndarray | None = None
    pseudo_background: np.ndarray | None = None
    stability: dict[tuple[int, int, int], float] | None = None
    reasons: dict[tuple[int, int, int], Reasons] = field(default_factory=dict)

    @classmethod
    def assemble(
        cls,
        examined: Examined,
        found: OnGrid,
        calibration: Calibration,
        controls: Controls,
        provenance: dict[str, Any],
        images: Images = Images(),  # noqa: B008  (frozen)
        cuts: Cuts | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Cut and bring map and mask back to the scan's voxels.

        cuts      those of every scored slice at these very controls, by the slice's number, where they were begun already
        progress  hears of every slice and may cancel
        """
        scored = np.asarray(found.scored, bool)
        floor = np.float32(calibration.floor)
        ready = OnGrid(
            map=np.where(scored, found.map, floor).astype(np.float32, copy=False),
            scored=scored,
            down=np.asarray(found.down, np.float16),
            right=np.asarray(found.right, np.float16),
        )
        mapped = cls._unmapped(examined, ready, calibration, controls, provenance, images)._with_map()
        progress = progress or Progress()
        return mapped._with_controls(controls, progress) if cuts is None else mapped._with_cuts(cuts, controls, progress)

    @classmethod
    def _unmapped(
        cls, examined: Examined, found: OnGrid, calibration: Calibration, controls: Controls, provenance: dict[str, Any], images: Images
    ) -> Result:
        """With what lies on the grid alone: map, masks and findings are still to be made."""
        return cls(
            name=examined.name,
            geometry=examined.geometry,
            preparation=examined.preparation,
            calibration=calibration,
            controls=controls,
            anomaly_map=np.empty(0),
            mask=np.empty(0),
            foreground=np.asarray(examined.foreground, bool),
            findings=[],
            provenance=provenance,
            grid_map=found.map,
            grid_scored=found.scored,
            grid_mask=np.empty(0),
            edges_down=found.down,
            edges_right=found.right,
            background=images.background,
            pseudo_normal=images.pseudo_normal,
            pseudo_background=images.pseudo_background,
        )

    def refine(
        self,
        contiguity: float | None = None,
        rate: float | None = None,
        threshold: float | None = None,
        scr: bool | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """The same scan at another operating point, as a new `Result` that shares the arrays; needs no network.

        None keeps what is. `rate` and `threshold` replace each other (`WrongUse` for both at once). A threshold that came from a rate
        follows when the contiguity changes, or SCR is switched, so that the rate still holds; one that was given itself, and the
        model's default threshold, stay. The p-values of peaks do not move; those of masses hardly, and hold at the model's default point.
        Reasons, and the stability, measured at the operating point of the detection, stay with findings of the same peak voxel, also
        where one was gone in between; others have none.
        """
        return self._with_controls(self.wished(contiguity, rate, threshold, scr), progress or Progress())

    def refine_slice(self, index: int, controls: Controls) -> np.ndarray:
        """What the mask of one slice would be at other controls, quickly: 2-D bool, `refine(...).mask.take(index, self.slice_axis)`."""
        grid = SliceGrid.for_scan(self.geometry, self.preparation)
        number = grid.first_slice_index(index)  # turning twice gives what it was
        mask = grid.mask_from_grid(cut(*self._to_cut(number, controls))[None]) & self.foreground.take([index], grid.slice_axis)
        return mask.take(0, grid.slice_axis)

    def wished(
        self, contiguity: float | None = None, rate: float | None = None, threshold: float | None = None, scr: bool | None = None
    ) -> Controls:
        """The controls that `refine` would take for these wishes; raises as `refine` does."""
        now = self.controls
        if rate is None and threshold is None:
            rate, threshold = (now.rate, None) if now.rate is not None else (None, now.threshold)
        contiguity = now.contiguity if contiguity is None else contiguity
        scr = now.scr if scr is None else scr
        return Controls.choose(self.calibration, contiguity, rate, threshold, scr)

    @property
    def slice_axis(self) -> int:
        """The axis of the scan's array that the model's slices follow."""
        return SliceGrid.for_scan(self.geometry, self.preparation).slice_axis

    def save(
        self, folder: str | os.PathLike[str], overwrite: bool = False, more: Mapping[str, bytes] | None = None
    ) -> dict[str, Path]:
        """Write the files (see `files`) into `folder`, all or none; returns their paths by kind ("map", "mask", "result", ...).

        more  further files that others made of this result: their contents by kind; one of `files.IN_PLACE_OF` is written alone
        A missing folder is made. Without a `background` (after `load`) or without matplotlib there is no preview. Raises
        InvDetectError when files of this name exist and `overwrite` is False, and when the folder cannot be written.
        """
        folder = Path(folder)
        _, high = display_range(self.calibration)
        with all_or_nothing(folder, self.name, overwrite) as private:
            path = {kind: private / called for kind, called in result_files.file_names(self.name).items()}
            if "map" not in [result_files.IN_PLACE_OF.get(kind) for kind in more or {}]:
                result_files.write_map(path["map"], self.anomaly_map, self.geometry)
            result_files.write_segmentation(path["mask"], self.mask, self.geometry)
            result_files.write_findings(path["findings"], self.findings, self.geometry)
            if self.pseudo_normal is not None:
                result_files.write_volume(path["pseudo_normal"], self.pseudo_normal, self.geometry)
            if self.geometry.dimension == 2:
                result_files.write_grey(path["map_picture"], self.anomaly_map[0], self.calibration.floor, high)
                result_files.write_grey(path["mask_picture"], self.mask[0], 0, 1)
            if self.background is not None and canvas.available():
                pictures.draw(self, path["preview"])
            for kind, content in (more or {}).items():
                path[kind].write_bytes(content)
            self._write_for_loading(private, parts_of_save=True)
            written = [kind for kind in path if os.path.exists(path[kind])]
        return {kind: folder / path[kind].name for kind in written}

    def save_for_loading(self, folder: Path) -> Path:
        """Write only what `load` reads, NAME.result.json (whose path is returned) and NAME.refine.npz, into an existing folder.

        Older files of these names are replaced. Raises OSError.
        """
        return self._write_for_loading(folder, parts_of_save=False)

    def _write_for_loading(self, folder: Path, parts_of_save: bool) -> Path:
        """parts_of_save  the other files of the result lie in `folder`, too, and are told of"""
        low, high = display_range(self.calibration)
        digest = result_files.write_arrays(folder / (self.name + result_files.SUFFIXES["refine"]), self._arrays())
        path = folder / (self.name + result_files.SUFFIXES["result"])
        result_files.write_json(
            path,
            {
                "provenance": self.provenance,
                "geometry": self.geometry.as_dict(),
                "preparation": asdict(self.preparation),
                "calibration": self.calibration.as_dict(),
                "controls": asdict(self.controls),
                "display": {"low": low, "high": high, "png_black": self.calibration.floor, "png_white": high},
                "findings": [asdict(finding) for finding in self.findings],
                "stability": None if self.stability is None else [[*peak, share] for peak, share in self.stability.items()],
                "reasons": [[*peak, asdict(why)] for peak, why in self.reasons.items()],
                "arrays": {"sha256": digest, "grid_shape": self.grid_map.shape},
                **({"parts": describe_parts(folder, self.name)} if parts_of_save else {}),
            },
        )
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str], anomaly_map: np.ndarray | None = None, mask: np.ndarray | None = None) -> Result:
        """The result whose NAME.result.json lies at `path`, its NAME.refine.npz beside it; only the backgrounds are missing then, and
        the pseudo-normal image unless its file lies there too.

        Map, mask and findings are made again from the arrays on the model's grid, which takes seconds for a large scan. Whoever has kept
        `anomaly_map` and `mask` gives both, and the findings are then those in the file. Raises InvDetectError when a file is missing,
        damaged, foreign, or from a newer InvDetect, ValueError for a map or a mask of another shape.
        """
        path = Path(path)
        suffix = result_files.SUFFIXES["result"]
        if not path.name.endswith(suffix):
            raise InvDetectError(f"{path} is no result of InvDetect; give the path of a NAME{suffix}.")
        name = path.name[: -len(suffix)]
        content = result_files.read_json(path)
        try:
            geometry = Geometry.from_dict(content["geometry"])
            preparation = Settings.from_dict({"preparation": content["preparation"]}).preparation
            calibration = Calibration.from_dict(content["calibration"])
            controls = Controls.from_dict(content["controls"])
            stability, reasons = read_stability(content.get("stability")), read_reasons(content.get("reasons", []))
            provenance = dict(content["provenance"])
            digest, stored_shape = str(content["arrays"]["sha256"]), tuple(content["arrays"]["grid_shape"])
            grid = SliceGrid.for_scan(geometry, preparation)
            findings = [check_inside(Finding.from_dict(finding), geometry, grid) for finding in content["findings"]]
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise InvDetectError(f"{path} is damaged: its entries are not those of a result ({shown(error)}). Detect again.") from error
        except InvDetectError as error:
            raise InvDetectError(f"{path}: {error}") from error
        if stored_shape != grid.shape:
            raise InvDetectError(
                f"{path} is damaged: its slices are said to be {shown(stored_shape)}, but its geometry makes them {grid.shape}. Detect "
                "again."
            )
        check_sizes(path, geometry, grid)
        arrays = result_files.read_arrays(path.with_name(name + result_files.SUFFIXES["refine"]), digest, layout(geometry, grid))
        if min(arrays[edges].min(initial=0) for edges in ("edges_down", "edges_right")) < 0:
            raise InvDetectError(f"{path}: its edge weights are below 0; the file is damaged. Detect again.")
        examined = Examined(name, geometry, preparation, unpack(arrays["foreground"], geometry.shape))
        found = OnGrid(arrays["map"], unpack(arrays["scored"], grid.shape), arrays["edges_down"], arrays["edges_right"])
        pseudo_normal = result_files.read_volume(path.with_name(name + result_files.SUFFIXES["pseudo_normal"]), geometry)
        images = Images(pseudo_normal=pseudo_normal)
        parts = cls._unmapped(examined, found, calibration, controls, provenance, images)
        parts.findings, parts.reasons = findings, reasons  # which those that are made again keep
        parts.grid_mask, parts.stability = unpack(arrays["mask"], grid.shape), stability
        if anomaly_map is None or mask is None:
            return parts._with_map()._with_mask()
        if anomaly_map.shape != geometry.shape or mask.shape != geometry.shape:
            raise ValueError(f"map and mask have shapes {anomaly_map.shape} and {mask.shape}, the scan {geometry.shape}")
        return replace(parts, anomaly_map=anomaly_map.astype(np.float32, copy=False), mask=mask.astype(bool), findings=findings)

    def with_stability(self, stability: dict[tuple[int, int, int], float], **facts: Any) -> Result:
        """With that of its findings, by their peak voxels; `facts` of how it was measured go into the provenance."""
        findings = [replace(finding, stability=stability.get(finding.peak_index)) for finding in self.findings]
        return replace(self, findings=findings, stability=stability, provenance={**self.provenance, "stability": facts})

    def picture(self, path: str | os.PathLike[str], scan: Scan | None = None) -> None:
        """Write the preview as a PNG (see `pictures.draw`).

        scan  the scan this result is of; needed after `load`, which brings no `background`, and kept as such. InvDetectError when it is
              missing then, does not match the result, or the file cannot be written.
        """
        if scan is not None:
            if scan.geometry != self.geometry:
                raise InvDetectError(f"{scan.name} has another geometry than the scan of this result; give the scan that was examined.")
            grid = SliceGrid.for_scan(self.geometry, self.preparation)
            backgrounds = backgrounds_of(scan.array, self.pseudo_normal, self.foreground, grid, self.preparation.intensity)
            self.background, self.pseudo_background = backgrounds
        try:
            pictures.draw(self, path)
        except OSError as error:
            raise InvDetectError(
                f"{path} cannot be written ({error.strerror or error}). Choose a place that can be written and has room."
            ) from error

    @property
    def grid_labels(self) -> np.ndarray:
        """(slice, row, column) int32 on the model's grid: the label of the finding at each pixel of `grid_mask`, 0 where there is none."""
        return pictures.grid_labels(self, SliceGrid.for_scan(self.geometry, self.preparation))

    def _with_map(self) -> Result:
        """With `anomaly_map` made from the grid."""
        grid = SliceGrid.for_scan(self.geometry, self.preparation)
        return replace(self, anomaly_map=map_from_grid(grid, self.grid_map, self.grid_scored, self.foreground, self.calibration.floor))

    def _with_controls(self, controls: Controls, progress: Progress) -> Result:
        """With the mask of these controls: one cut a slice on the model's grid."""
        with Cuts() as cuts:
            for k in np.flatnonzero(self.grid_scored.any(axis=(1, 2))):
                cuts.add(int(k), *self._to_cut(int(k), controls))
            return self._with_cuts(cuts, controls, progress)

    def _with_cuts(self, cuts: Cuts, controls: Controls, progress: Progress) -> Result:
        """With the masks of cuts under way, which are those of these controls."""
        grid_mask = np.zeros(self.grid_scored.shape, bool)
        progress.report("refining", 0, len(cuts))
        for done, (k, mask) in enumerate(cuts.masks(), 1):
            grid_mask[k] = mask
            progress.report("refining", done, len(cuts))
        provenance = {**self.provenance, "solver": solver_name() if controls.scr else None}
        return replace(self, controls=controls, grid_mask=grid_mask, provenance=provenance)._with_mask()

    def _to_cut(self, number: int, controls: Controls) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float, np.ndarray]:
        """What `cut` takes for the model's slice `number`, on its grid."""
        edges = self.edges_down[number], self.edges_right[number]
        return self.grid_map[number], *edges, controls.weight(self.calibration), controls.threshold, self.grid_scored[number]

    def _with_mask(self) -> Result:
        """With `mask` and `findings` made from `grid_mask`; a finding whose peak is that of one before has its reasons."""
        grid = SliceGrid.for_scan(self.geometry, self.preparation)
        mask = grid.mask_from_grid(self.grid_mask) & self.foreground
        slices_scored = int(self.grid_scored.any(axis=(1, 2)).sum())
        findings = find_findings(
            mask,
            self.anomaly_map,
            self.geometry,
            grid.slice_axis,
            lambda peak: self.calibration.p_value(peak, slices_scored),
            self._masses(slices_scored),
            self.stability,
        )
        reasons = self.reasons | {finding.peak_index: finding.reasons for finding in self.findings if finding.reasons is not None}
        kept = [replace(finding, reasons=reasons.pop(finding.peak_index, None)) for finding in findings]
        return replace(self, mask=mask, findings=kept, reasons=reasons)

    def _masses(self, slices_scored: int) -> MassScale | None:
        calibration = self.calibration
        if not calibration.masses:
            return None
        scans_unit = volume_unit(self.geometry) if calibration.mass_unit == "mm3" else {"mm": "mm2"}.get(self.geometry.unit, "pixels")
        known = scans_unit == calibration.mass_unit
        return MassScale(
            calibration.forming_level,
            calibration.peak_unit == "slice",
            lambda mass: calibration.p_value_of_mass(mass, slices_scored) if known else None,
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "map": self.grid_map,
            "edges_down": self.edges_down,
            "edges_right": self.edges_right,
            "scored": np.packbits(self.grid_scored),
            "mask": np.packbits(self.grid_mask),
            "foreground": np.packbits(self.foreground),
        }
