"""Spatial contiguity refinement (SCR, Eq. 2 to 4): the globally best mask of a slice, found by a minimum cut.

With Phi of Eq. 3, Phi(0) - Phi(1) = log(sigmoid(A)) - log(1 - sigmoid(A)) = A exactly: the sigmoid cancels, and Eq. 2 is, up to a
constant that no label changes,

    E(y) = sum_p -A(p) y_p + lambda * sum_(p,q) alpha_pq [y_p != y_q]

over the pixels p and the pairs (p, q) of the 4-neighbourhood, each pair once. Both terms fit a graph whose minimum cut is the
minimum of E (Kolmogorov and Zabih): a terminal edge of capacity max(A, 0) is cut where y = 0, one of max(-A, 0) where y = 1, and an
edge lambda * alpha between pixels of different labels. Where several masks share the minimum, the smallest is taken (ties go to
normal); it is unique, because the intersection of two minimum cuts is one as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..common import InvDetectError, WrongUse
from .edges import edge_weights, feature_distances, latent_distances

__all__ = ["edge_weights", "energy", "feature_distances", "latent_distances", "minimum_cut", "solver_name"]

# The strongest edge becomes an integer of at most 2^28, so that SciPy's int32 holds the largest residuals: 2^29 between pixels
# (capacity plus the flow that came the other way) and 2^30 + 1 at a terminal.
_EDGE_BITS = 28
_TERMINAL_LIMIT = 4 * 2**_EDGE_BITS + 1


def solver_name() -> str:
    """The solver that "auto" takes: "maxflow" (PyMaxflow, Boykov and Kolmogorov's algorithm) if installed, else "scipy" (Dinic's)."""
    try:
        import maxflow  # noqa: F401
    except ImportError:
        return "scipy"
    return "maxflow"


def energy(
    mask: np.ndarray,
    anomaly_map: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    contiguity: float,
    valid: np.ndarray | None = None,
) -> float:
    """E(y) of the module's text (Eq. 2 less the energy of the all-normal mask), in the unit of the map; arguments as `minimum_cut`."""
    mask, down, right = np.asarray(mask, bool), np.asarray(down), np.asarray(right)
    down_cut, right_cut = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    if valid is not None:
        mask = mask & valid
        down_cut, right_cut = down_cut & valid[1:] & valid[:-1], right_cut & valid[:, 1:] & valid[:, :-1]
    jumps = down[down_cut].sum(dtype=np.float64) + right[right_cut].sum(dtype=np.float64)
    return float(contiguity * jumps - np.asarray(anomaly_map)[mask].sum(dtype=np.float64))


def minimum_cut(
    anomaly_map: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
    contiguity: float,
    valid: np.ndarray | None = None,
    solver: str = "auto",
) -> np.ndarray:
    """The abnormality mask of one slice: the smallest mask of least energy, Eq. 2.

    anomaly_map  (row, column) float, A, already shifted by the threshold: positive speaks for abnormal
    down, right  (row - 1, column), (row, column - 1): alpha of Eq. 4 between (i, j) and (i + 1, j), and (i, j) and (i, j + 1)
    contiguity   lambda >= 0, in the unit of the map; 0 gives A > 0
    valid        (row, column) bool: the pixels that are labelled. The others get label 0 and take no part, as if the slice ended
                 there; what the arrays hold for them is ignored. None: all
    solver       "auto" (see `solver_name`), "maxflow" or "scipy"; the mask does not depend on it

    Returns (row, column) bool. Capacities are rounded to whole units, a unit being the power of two between 2^-28 and 2^-27 of the
    strongest edge lambda * alpha. For whole numbers both solvers are exact (int32; float64 up to 2^53), and so is the tie rule; the
    energy is within one unit per pixel and edge of the unrounded minimum. The map is clipped at more than four strongest edges, which
    changes no label, because such a pixel outvotes its four neighbours. So the rounding depends on the edges alone and keeps order:
    raising A anywhere never takes a pixel out of the mask.

    Raises ValueError for non-finite values, negative edges or contiguity, and shapes that do not match; `InvDetectError` if PyMaxflow
    is asked for but not installed; `WrongUse` for an unknown solver.
    """
    solve = _solver(solver)
    anomaly_map, down, right = np.asarray(anomaly_map), np.asarray(down), np.asarray(right)
    valid = np.ones(anomaly_map.shape, bool) if valid is None else np.asarray(valid, bool)
    _check(anomaly_map, down, right, contiguity, valid)
    positive = np.zeros(valid.shape, bool)
    positive[valid] = anomaly_map[valid] > 0
    if contiguity == 0 or not positive.any():
        return positive

    rows, columns = (slice(used[0], used[-1] + 1) for used in (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0)))
    inside = valid[rows, columns]
    terminal, *edges = _integer_capacities(
        np.where(inside, anomaly_map[rows, columns], 0.0),
        np.where(inside[1:] & inside[:-1], down[rows, columns][: len(inside) - 1], 0.0),
        np.where(inside[:, 1:] & inside[:, :-1], right[rows, columns][:, : inside.shape[1] - 1], 0.0),
        contiguity,
    )
    mask = np.zeros_like(valid)
    mask[rows, columns] = solve(terminal, *edges)
    return mask


def _solver(name: str) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    if name not in ("auto", "maxflow", "scipy"):
        raise WrongUse(f"There is no solver {name!r}; choose auto, maxflow or scipy.")
    installed = solver_name()
    if name == "maxflow" and installed != "maxflow":
        raise InvDetectError(
            'The solver "maxflow" needs PyMaxflow, which is not installed: pip install "invdetect[maxflow]", or choose the solver "scipy".'
        )
    return _maxflow_cut if (installed if name == "auto" else name) == "maxflow" else _scipy_cut


def _check(anomaly_map: np.ndarray, down: np.ndarray, right: np.ndarray, contiguity: float, valid: np.ndarray) -> None:
    if anomaly_map.ndim != 2 or valid.shape != anomaly_map.shape:
        raise ValueError(f"The map has shape {anomaly_map.shape} and the valid pixels {valid.shape}; both must be (row, column).")
    height, width = anomaly_map.shape
    if down.shape != (max(height - 1, 0), width) or right.shape != (height, max(width - 1, 0)):
        raise ValueError(f"Edges of shape {down.shape} and {right.shape} do not fit a map of shape {anomaly_map.shape}.")
    if not np.isfinite(anomaly_map[valid]).all():
        raise ValueError("The anomaly map is not finite.")
    for name, edges, joined in (("down", down, valid[1:] & valid[:-1]), ("right", right, valid[:, 1:] & valid[:, :-1])):
        used = edges[joined]
        if not (np.isfinite(used) & (used >= 0)).all():
            raise ValueError(f"The edge weights {name!r} must be finite and at least 0.")
    if not (np.isfinite(contiguity) and contiguity >= 0):
        raise ValueError(f"The contiguity must be finite and at least 0, not {contiguity}.")


def _integer_capacities(anomaly_map: np.ndarray, down: np.ndarray, right: np.ndarray, contiguity: float) -> tuple[np.ndarray, ...]:
    """Map and edges as integers (in float64) on one scale; see `minimum_cut`."""
    down, right = contiguity * down.astype(np.float64), contiguity * right.astype(np.float64)
    strongest = max(down.max(initial=0.0), right.max(initial=0.0))
    if strongest == 0:  # no edge gives a unit, and none is needed: every pixel is on its own
        return np.sign(anomaly_map), down, right
    # a power of two keeps values with few binary digits exact, and with them the ties of hand-made maps
    exponent = _EDGE_BITS - int(np.frexp(strongest)[1])
    with np.errstate(over="ignore"):  # an overflow is clipped like every other large value
        terminal = np.ldexp(anomaly_map.astype(np.float64), exponent)
    terminal = np.clip(np.rint(terminal), -_TERMINAL_LIMIT, _TERMINAL_LIMIT)
    return terminal, np.rint(np.ldexp(down, exponent)), np.rint(np.ldexp(right, exponent))


def _maxflow_cut(terminal: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    import maxflow

    # For a pixel that either side could have, PyMaxflow answers "source". So here, and only here, the source stands for normal: the
    # sink's segment is then exactly what still reaches the sink, the mirror image of what is reachable from an abnormal source.
    graph = maxflow.Graph[float](terminal.size, 2 * terminal.size)
    nodes = graph.add_grid_nodes(terminal.shape)
    below, beside = np.zeros((2, 3, 3))
    below[2, 1] = beside[1, 2] = 1
    graph.add_grid_edges(nodes, weights=np.pad(down, ((0, 1), (0, 0))), structure=below, symmetric=True)
    graph.add_grid_edges(nodes, weights=np.pad(right, ((0, 0), (0, 1))), structure=beside, symmetric=True)
    graph.add_grid_tedges(nodes, np.maximum(-terminal, 0), np.maximum(terminal, 0))
    graph.maxflow()
    return graph.get_grid_segments(nodes)


def _scipy_cut(terminal: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    number = np.arange(terminal.size, dtype=np.int32).reshape(terminal.shape)
    source, sink = terminal.size, terminal.size + 1
    abnormal, normal = number[terminal > 0], number[terminal < 0]
    joined_down, joined_right = down > 0, right > 0
    one = np.concatenate([number[:-1][joined_down], number[:, :-1][joined_right]])
    other = np.concatenate([number[1:][joined_down], number[:, 1:][joined_right]])
    weight = np.concatenate([down[joined_down], right[joined_right]])
    tails = np.concatenate([one, other, np.full(abnormal.size, source, np.int32), normal])
    heads = np.concatenate([other, one, abnormal, np.full(normal.size, sink, np.int32)])
    capacities = np.concatenate([weight, weight, terminal[terminal > 0], -terminal[terminal < 0]]).astype(np.int32)
    graph = csr_matrix((capacities, (tails, heads)), shape=(source + 2, source + 2))
    residual = graph - maximum_flow(graph, source, sink, method="dinic").flow
    residual.eliminate_zeros()  # for SciPy's search a stored zero is an edge
    mask = np.zeros(terminal.size + 2, bool)
    mask[breadth_first_order(residual, source, return_predecessors=False)] = True
    return mask[: terminal.size].reshape(terminal.shape)
