"""Whether a series is of the kind of scan that a model is for, as far as its header says, and why not."""

from __future__ import annotations

import re

from ...common import shown
from ...models import one_line

# Words by which models say what they are for, by the codes that a DICOM header says.
_WORDS = {
    ("MR",): "mr mri mrt magnetic flair dwi swi",
    ("CT",): "ct cta ldct",
    ("CR", "DX", "RG"): "cr dx xr ray xray radiograph radiographs radiography",
    ("MG",): "mg mammography mammogram mammograms",
    ("US",): "us ultrasound sonography",
    ("PT",): "pt pet",
    ("NM",): "nm spect scintigraphy",
    ("XA",): "xa",
    ("OP", "XC"): "op fundus retina retinal",
    ("OPT", "OCT"): "opt oct",
}


def other_modality(told: str, meant: str) -> str:
    """Why a series that says the modality `told` is not for a model made for `meant`, in free text; "" where that is not known."""
    known = {code: codes for codes in _WORDS for code in codes}
    words = set(re.findall(r"[a-z]+", meant.casefold()))
    wanted = {code for codes, names in _WORDS.items() if words & set(names.split()) for code in codes}
    if not wanted or told not in known or told in wanted:
        return ""
    return f"Its modality is {shown(told)}, and the model was made for {one_line(meant, 80)}."
