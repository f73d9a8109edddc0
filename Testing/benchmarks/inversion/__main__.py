"""`python -m Testing.benchmarks.inversion` (part of `make bench`): what a slice and a volume cost, from array to map and mask.

Rows: `plain`, the paper read plainly; `exact`, InvDetect with the same evaluations; `fast`, InvDetect as its preset `standard` was while
it inverted patches; `once`, as that preset is now, whole slices in one pass; and `peer`, diffusers' network and scheduler, the inversion
alone and one pass over a slice. Same slices, same network, models loaded, files and preparation excluded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from InvDetectLib.computing.tensors import find_device
from InvDetectLib.methods.invdetect.inverter import has_bfloat16_units
from InvDetectLib.methods.invdetect.schedule import alpha_bars, inversion_path
from InvDetectLib.methods.invdetect.unet import UNet

from .figures import hardware, matrix_rate, measured, sentence
from .material import EXACT, FAST, ONCE, Material, gather, heads, inverter_of
from .peer import Peer, operations
from .plain import Plain
from .rows import Once, Ours

VOLUME = 155  # slices of 240 x 240
_WHOLE = 256  # pixels a side of the slice that one pass of the network is compared on
Rows = dict[str, Plain | Ours | Once]
_FEW = 8  # of them where the whole volume would take too long


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks.inversion", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--out", type=Path, default=Path("bench-out/inversion.json"), help="JSON with all figures (default: %(default)s)")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    rate = matrix_rate(device)
    facts = hardware(device)
    print(facts, f"\nmatrix products: {rate['float32'] / 1e9:.0f} GFLOP/s in float32, {rate['bfloat16'] / 1e9:.0f} in bfloat16", flush=True)
    material = gather(device)
    print("material is ready", flush=True)
    rows: Rows = {"plain": Plain(material, EXACT, device), "exact": Ours(EXACT, material, material.exact, device)}
    rows |= {"fast": Ours(FAST, material, material.fast, device), "once": Once(material)}
    table = _times(rows, device)
    agreement = _agreement(rows, material, device)
    peer = _peer(material, device)
    for row in table:
        row["flops"] = row["patches_a_second"] * row["evaluations"] * peer["operations"]
        print(sentence(row, rate), flush=True)
    print(peer["sentence"])
    at = {(row["what"], row["mode"]): row["seconds"] for row in table}

    def largest(one: str, other: str) -> str:
        """The largest slice that both rows took."""
        return max((what for what, mode in at if mode == one and what.isdigit() and (what, other) in at), key=int)

    biggest, whole = largest("plain", "fast"), largest("fast", "once")
    summary = {
        "exact_vs_plain": at[biggest, "plain"] / at[biggest, "exact"],
        "fast_vs_plain": at[biggest, "plain"] / at[biggest, "fast"],
        "exact_vs_peer": peer["ratio"],
        "once_vs_standard": at[whole, "fast"] / at[whole, "once"],
        "once_vs_peer": peer["once_ratio"],
        **agreement,
        "bf16_units": int(has_bfloat16_units(device)),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"hardware": facts, "rate": rate, "rows": table, "peer": peer, "summary": summary}, indent=1))
    print(" ".join(f"{name}={value:.3g}" for name, value in summary.items()))


def _times(rows: Rows, device: torch.device) -> list[dict[str, float | str | bool]]:
    table = []
    everything = device.type == "cuda"
    jobs = [(str(side), heads(1, side, 100, 1), 1, [*rows]) for side in (128, 256)]
    jobs.append(("512", heads(1, 512, 100, 1), 1, [*rows] if everything else ["exact", "fast", "once"]))
    slices = heads(VOLUME if everything else _FEW, 240, 101, 2)
    jobs.append(("volume", slices, VOLUME / len(slices.values), [*rows]))
    jobs.append(("twice the slices", heads(2 * _FEW, 240, 101, 2), 1, ["fast", "once"]))
    for what, head, scale, modes in jobs:
        for mode in modes:
            row = rows[mode]
            seconds, peak = measured(lambda: row.run(head.values[..., 0], head.foreground), device, 1 if scale > 1 else 3)  # noqa: B023
            patches = row.patches(head.foreground)
            table.append(
                {
                    "what": what,
                    "mode": mode,
                    "slices": len(head.values),
                    "seconds": seconds * scale,
                    "scaled": scale != 1,
                    "ms_a_slice": 1000 * seconds / len(head.values),
                    "patches_a_second": patches / seconds,
                    "evaluations": row.evaluations,
                    "peak_bytes": peak,
                }
            )
            print(f"  {what} {mode}: {seconds:.2f} s", flush=True)
    return table


def _agreement(rows: Rows, material: Material, device: torch.device) -> dict[str, float]:
    """Masks of both ways against the plain one on slices with lesions, and the distance of the latents."""
    head = heads(6, 128, 102, 2)
    maps, masks = {}, {}
    for mode in ("plain", "exact", "fast"):
        maps[mode], masks[mode] = rows[mode].run(head.values[..., 0], head.foreground)
    plain = rows["plain"]
    assert isinstance(plain, Plain)
    patches = np.stack([image[r : r + 64, c : c + 64, 0] for image in head.values for r in (0, 32, 64) for c in (0, 32, 64)])
    wanted, got = plain.latents(patches), {}
    for name, settings in (("exact", EXACT), ("fast", FAST)):
        latents = inverter_of(settings, material.weights, device)(torch.from_numpy(patches[:, None]).to(device))
        got[name] = float(np.linalg.norm(latents[:, 0].cpu().numpy() - wanted) / np.linalg.norm(wanted))
    inside = head.foreground
    return {
        **{f"{mode}_mask_dice": _dice(masks[mode], masks["plain"]) for mode in ("exact", "fast")},
        **{f"{name}_latent_error": value for name, value in got.items()},
        **{f"{mode}_map_correlation": float(np.corrcoef(maps[mode][inside], maps["plain"][inside])[0, 1]) for mode in ("exact", "fast")},
        "flagged": float(masks["plain"][inside].mean()),
    }


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return 2 * float((one & other).sum()) / total if total else 1.0


def _peer(material: Material, device: torch.device) -> dict[str, float | str]:
    """The inversion alone, the same patches and evaluations; and one pass over a whole slice, on as many threads."""
    path = inverter_of(EXACT, material.weights, device)
    patches = np.random.default_rng(0).uniform(-1, 1, (32, 64, 64)).astype(np.float32)
    z = torch.from_numpy(patches[:, None]).to(device)
    times = inversion_path(EXACT.inversion, EXACT.network.timesteps).times
    peer = Peer(len(times) - 1, times[-1], device)
    ours, _ = measured(lambda: path(z), device, 2)
    theirs, _ = measured(lambda: peer.invert(patches), device, 2)
    once, its_once = _one_pass(peer, material, device)
    mine = operations(UNet(1, EXACT.network), torch.zeros(1, 1, 64, 64), torch.tensor([1]))
    its = operations(peer.network.cpu(), torch.zeros(1, 4, 32, 32), torch.tensor([1]))
    text = f"inversion of 32 patches, {len(times) - 1} evaluations: InvDetect {ours:.2f} s, diffusers {theirs:.2f} s ({peer.evaluations} "
    text += f"evaluations, {its / mine:.2f} of the operations)"
    text += f"\none pass over a slice of {_WHOLE}x{_WHOLE}: InvDetect {1000 * once:.0f} ms, diffusers {1000 * its_once:.0f} ms"
    return {
        "sentence": text,
        "ours": ours,
        "theirs": theirs,
        "ratio": theirs / ours,
        "once": once,
        "once_theirs": its_once,
        "once_ratio": its_once / once,
        "operations": mine,
        "operations_ratio": its / mine,
    }


def _one_pass(peer: Peer, material: Material, device: torch.device) -> tuple[float, float]:
    """Seconds of InvDetect's network, in the precision that it takes on this device, and of the peer's."""
    time = int(np.abs(alpha_bars(ONCE.network.timesteps) - ONCE.views.levels[0]).argmin())
    image = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 1, _WHOLE, _WHOLE)).astype(np.float32)).to(device)
    inverter = inverter_of(ONCE, material.weights, device)
    ours, _ = measured(lambda: inverter.once(image, time, _WHOLE), device, 10)
    theirs, _ = measured(lambda: peer.once(image, time), device, 10)
    return ours, theirs


if __name__ == "__main__":
    main()
