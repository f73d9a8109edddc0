"""The methods that stand side by side: those of the two papers, those that came since, InvDetect, and intensity as a control."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("reconstruction", "embedding", "self-supervised", "InvDetect", "control")


@dataclass(frozen=True)
class Method:
    """One method. `plain` and `cut`: keys of its rows without and with SCR (see `rows.Row`); "" where it has no such row."""

    title: str
    family: str
    plain: str
    cut: str

    def key(self, scr: bool) -> str:
        """Of the row with SCR, or of that without."""
        return self.cut if scr else self.plain


def _method(title: str, family: str, key: str) -> Method:
    return Method(title, family, key, f"{key}-scr")


_RECONSTRUCTION = {
    "anoddpm": "AnoDDPM",
    "thor": "THOR",
    "pddpm": "pDDPM",
    "ae": "AE",
    "ceae": "CeAE",
    "vae": "VAE",
    "vae-grad": "VAE-Grad",
    "dae": "DAE",
    "ganomaly": "GANomaly",
    "ddgan": "DDGAN",
    "ganomaly-matchgen": "MatchGen-GANomaly",
    "dae-matchgen": "MatchGen-DAE",
}
_EMBEDDING = {
    "rd4ad": "RD4AD",
    "stfpm": "STFPM",
    "padim": "PaDiM",
    "patchcore": "PatchCore",
    "cfa": "CFA",
    "cflow": "CFLOW",
    "adino-dpmm": "ADINO-DPMM",
    "invad": "InvAD",
}
_SELF_SUPERVISED = {"cutpaste": "CutPaste", "fpi": "FPI", "pii": "PII", "nsa": "NSA"}
METHODS = (
    *(_method(title, "reconstruction", key) for key, title in _RECONSTRUCTION.items()),
    *(_method(title, "embedding", key) for key, title in _EMBEDDING.items()),
    *(_method(title, "self-supervised", key) for key, title in _SELF_SUPERVISED.items()),
    Method("InvDetect, paper", "InvDetect", "paper-no-scr", "paper"),
    Method("InvDetect", "InvDetect", "standard-no-scr", "standard"),
    _method("smoothed intensity", "control", "smoothed"),
    Method("green brightness", "control", "green", ""),  # of photographs of the fundus
)
