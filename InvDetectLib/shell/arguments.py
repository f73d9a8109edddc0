"""What the command line understands: every command, its options, and what `--help` says of them."""

from __future__ import annotations

import argparse

from ..common import __version__, shown
from ..models import TEXTS
from .where import add_words

_FOREGROUND = "auto, brain (for MRI of whole heads), none, or a folder of masks named like the scans"


def parser() -> argparse.ArgumentParser:
    """Of the whole command line; `command` of what it understands is the name of a function in `commands`."""
    made = argparse.ArgumentParser(
        prog="invdetect",
        description="Find what does not belong in a medical scan after seeing only normal ones. Research use only; not a medical device.",
    )
    made.add_argument("--version", action="version", version=f"invdetect {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _demo(commands.add_parser("demo", help="train on made phantoms, detect, draw a picture: a first look in minutes"))
    _train(commands.add_parser("train", help="learn what is normal from a folder of normal scans"))
    _detect(commands.add_parser("detect", help="score scans: anomaly map, mask, findings, picture"))
    _explain(commands.add_parser("explain", help="why a finding is one: views, looks and rank of a result's findings, as text and picture"))
    _calibrate(commands.add_parser("calibrate", help="adapt a model to another scanner by a few normal scans of it, without training"))
    _evaluate(commands.add_parser("evaluate", help="compare with masks: Dice, precision, AP, AUROC, beside a plain baseline"))
    _rehearse(commands.add_parser("rehearse", help="what a model can see: made lesions in normal scans, and which of them it finds"))
    _serve(commands.add_parser("serve", help="a DICOM node: receive series, or watch a folder, detect, send back what was found"))
    _worker(commands.add_parser("worker", help="the process behind the panels of 3D Slicer: commands as JSON lines"))
    _info(commands.add_parser("info", help="show a model's card, the presets, the devices or the installed models"))
    return made


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def _dicomweb(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dicomweb", metavar="URL", help="a DICOMweb server; its token is taken from the environment variable INVDETECT_DICOMWEB_TOKEN"
    )
    parser.add_argument("--ca", metavar="FILE", help="authorities whose certificates the server may have (PEM; default: the system's)")


def _bids(parser: argparse.ArgumentParser, then: str = "") -> None:
    text = 'the folders of scans are BIDS datasets; which images: "suffix=T1w,session=1,acquisition=space"'
    parser.add_argument("--bids", metavar="FILTER", help=text + then)


def _truth_at(parser: argparse.ArgumentParser, masks: str) -> None:
    parser.add_argument("--truth-at", type=_above_0, metavar="T", help=f"lesion is what is at least T in {masks}, such as 0.5")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", default="demo", metavar="OUT", help="folder for scans, model and results (default: demo)")
    _device(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("normals", metavar="NORMALS", nargs="+", help="folders, files or patterns of normal scans")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.invdetect", help="the model file to write")
    _bids(parser)
    parser.add_argument("--normals-test", metavar="DIR", help="normal scans to calibrate on (default: scans held out of NORMALS)")
    parser.add_argument(
        "--tune",
        nargs=2,
        metavar=("SCANS", "MASKS"),
        help="annotated scans, on which matchgen chooses epsilon and threshold by Dice (default: on held-out normal scans)",
    )
    _truth_at(parser, "the masks of --tune")
    parser.add_argument(
        "--preset", default="standard", help="paper, standard, flair, quick, fine or fundus (info --presets; default: standard)"
    )
    parser.add_argument("--method", default="invdetect", help="invdetect, or matchgen: presets paper, standard, quick (default: invdetect)")
    parser.add_argument("--base", help="base model of matchgen: ae, ceae, vae, vae-grad, dae, ganomaly or ddgan (default: dae)")
    parser.add_argument("--seed", type=_seed, default=0, help="of the split and every draw (default: 0)")
    _device(parser)
    parser.add_argument("--resume", action="store_true", help="go on with a training that was stopped or killed")
    parser.add_argument("--no-rehearsal", action="store_true", help="do not try the model on made lesions at the end")
    parser.add_argument(
        "--choose",
        action="store_true",
        help="try settings that share the network, keep the one that finds most made lesions; that order is not reliably the one on real "
        "lesions (Spearman with Dice: stroke 0.7, fundus 0)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be used, held out and left out, and why")
    add_words(parser)
    parser.add_argument("--plane", help="slicing plane: axial, coronal or sagittal (default: axial)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--grid", type=int, metavar="N", help="pixels along a slice's longer side")
    size.add_argument("--spacing", type=float, metavar="MM", help="pixel size in mm, instead of --grid")
    parser.add_argument("--intensity", metavar="RULE", help="median, landmarks, percentile, window:LO,HI, full, channels or local")
    parser.add_argument("--foreground", metavar="RULE", help=_FOREGROUND)
    parser.add_argument("--modality", metavar="TEXT", help='what the scans are, such as "MRI FLAIR"')
    _direction(parser, "the preset's")
    parser.add_argument(
        "--mirror", choices=("auto", "yes", "no"), default="auto", help="compare left with right (auto: where normals are symmetric)"
    )
    parser.add_argument("--beside", metavar="BASE", help="train a base of matchgen, too, and add its residual to the score, such as dae")
    parser.add_argument("--licence", metavar="TEXT", default="", help="under which the model may be used, for its card")
    parser.add_argument("--gallery", action="store_true", help="keep at most 300 patches of training images in the model, for explain")
    parser.add_argument("--card", metavar="FILE.json", help=f"texts for the model's card: {', '.join(TEXTS)}")
    _json(parser)


def _calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file, or the name of an installed model")
    parser.add_argument("normals", metavar="NORMALS", nargs="+", help="folders, files or patterns of normal scans of the other scanner")
    _bids(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL2.invdetect", help="the model file to write")
    parser.add_argument("--masks", metavar="DIR", help="foreground masks named like the scans, for a model that wants such")
    parser.add_argument("--modality", metavar="TEXT", help="what the scans are; refused where the model is for something else")
    _device(parser)
    _json(parser)


def _direction(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument("--direction", metavar="WHICH", help=f"what is abnormal: bright, dark or both (default: {otherwise})")


def _operating_point(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help="a model file, or the name of an installed model")
    parser.add_argument("--no-scr", action="store_true", help="threshold the map instead of cutting it (no spatial contiguity refinement)")
    point = parser.add_mutually_exclusive_group()
    point.add_argument("--rate", type=float, metavar="R", help="share of normal tissue to flag, such as 0.01")
    point.add_argument("--threshold", type=float, metavar="T", help="threshold on the map, in the model's score unit")
    parser.add_argument("--contiguity", type=float, default=1.0, metavar="C", help="factor on the model's lambda (default: 1)")
    parser.add_argument("--foreground", metavar="RULE", help=_FOREGROUND)
    _direction(parser, "the model's")
    parser.add_argument("--adapt", choices=("none", "scan"), default="none", help="scan: recentre scores by the scan's own")
    parser.add_argument("--series", metavar="UID", help="which DICOM series of several: UID, or UID#NUMBER as listed")
    _device(parser)
    _json(parser)


def _detect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scans", metavar="SCANS", nargs="*", help="files, folders or patterns; none with --dicomweb")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="folder for the results; it mirrors the input folders (--bids: derivatives/invdetect)"
    )
    _dicomweb(parser)
    parser.add_argument("--study", metavar="UID", help="examine the series of this study at the server of --dicomweb, or --series of it")
    parser.add_argument("--store", action="store_true", help="store what was found at the server: segmentation, map and report")
    _bids(parser, "; the results become a BIDS derivative")
    parser.add_argument("--slices", type=_slices, metavar="A:B", help="only these slices, from 0, B left out, along the model's plane")
    parser.add_argument("--overwrite", action="store_true", help="replace results of another model or other settings")
    parser.add_argument("--deterministic", action="store_true", help="one thread and a fixed batch: the same bytes on every such machine")
    parser.add_argument("--verify", action="store_true", help="read the files of results that are there before they count as done")
    parser.add_argument(
        "--stability",
        action=argparse.BooleanOptionalAction,
        help="try small changes of each scan to tell which findings stay (default: of a single scan that takes under ten seconds)",
    )
    parser.add_argument("--dicom", action="store_true", help="also write DICOM objects of each series: segmentation, map and report")
    _operating_point(parser)
    add_words(parser)


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="RESULT", help="NAME.result.json, with NAME.refine.npz beside it")
    parser.add_argument("--scan", required=True, metavar="SCAN", help="the scan that was examined")
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help="the model that found it: a file, or an installed name")
    parser.add_argument("-o", "--output", metavar="PICTURE.png", help="picture to write, one row a finding, at most 8 (default: none)")
    parser.add_argument("--gallery", action="store_true", help="insist on the nearest normal patches, which few models hold")
    parser.add_argument("--series", metavar="UID", help="which DICOM series of several: UID, or UID#NUMBER as listed")
    _device(parser)
    _json(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scans", metavar="SCANS", help="folder, file or pattern of scans")
    parser.add_argument("masks", metavar="MASKS", help="their masks: for case01 case01, case01_mask or mask_case01 (or seg, label, ...)")
    _truth_at(parser, "MASKS")
    _bids(parser)
    parser.add_argument("--normals", metavar="DIR", help="normal scans, to tell the share of them that is flagged")
    against = "anomaly maps of another tool, named like the scans (case01 or case01_map): a row, at the model's rate in the normal scans"
    parser.add_argument("--against", metavar="DIR", help=against)
    parser.add_argument("--against-normals", metavar="DIR", help="that tool's maps of the normal scans (default: in the same folder)")
    _operating_point(parser)
    add_words(parser)


def _rehearse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file, or the name of an installed model")
    parser.add_argument("normals", metavar="NORMALS", nargs="+", help="folders, files or patterns of normal scans not trained on")
    _bids(parser)
    parser.add_argument("-o", "--output", metavar="OUT.png", help="file for the chart: what is found at which size and contrast")
    parser.add_argument("--rate", type=float, metavar="R", help="share of normal tissue to flag (default: the model's own operating point)")
    parser.add_argument("--masks", metavar="DIR", help="foreground masks named like the scans, for a model that wants such")
    parser.add_argument("--seed", type=_seed, default=0, help="of the lesions and their places (default: 0)")
    add_words(parser)
    _device(parser)
    _json(parser)


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", metavar="MODEL", help="a model file, or the name of an installed model")
    parser.add_argument("--ae", metavar="TITLE", default="INVDETECT", help="own application entity title (default: INVDETECT)")
    parser.add_argument("--port", type=int, metavar="N", help="receive on this port (default: 11112, unless it watches or asks)")
    parser.add_argument("--address", metavar="A", default="127.0.0.1", help="receive at this address (default: 127.0.0.1)")
    parser.add_argument("--allow", nargs="+", metavar="TITLE", default=[], help="titles that may send (default, at 127.0.0.1 only: all)")
    parser.add_argument("--send-to", metavar="TITLE@HOST:PORT", help="archive for what was found (default: --dicomweb, or --output)")
    parser.add_argument("--watch", metavar="FOLDER", help="examine the scans that come into this folder")
    _dicomweb(parser)
    parser.add_argument("--query", metavar="FILTER", help='series to fetch from there: "Modality=MR,StudyDate=20261101-"')
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for results that are not sent (default: results in --folder)")
    parser.add_argument("--folder", metavar="QUEUE", default="invdetect-queue", help="folder of the queue (default: invdetect-queue)")
    quiet = "seconds without a new image until a series is complete (default: 10)"
    parser.add_argument("--quiet-time", type=_above_0, default=10.0, metavar="S", help=quiet)
    parser.add_argument("--most", type=_seed, default=1000, metavar="N", help="series that may wait at once (default: 1000)")
    parser.add_argument("--room", type=_above_0, default=50.0, metavar="GB", help="what images may take up on the disk (default: 50)")
    for name, what in (("cert", "own certificate"), ("key", "its key"), ("ca", "authority of the others' certificates")):
        parser.add_argument(f"--tls-{name}", metavar="FILE", help=f"TLS, receiving and sending: {what} (PEM)")
    parser.add_argument("--status", action="store_true", help="only tell how the queue stands")
    _device(parser)
    _json(parser)


def _info(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("model", nargs="?", metavar="MODEL", help="a model file, or the name of an installed model")
    what.add_argument("--presets", action="store_true", help="every setting of every preset")
    what.add_argument("--devices", action="store_true", help="what this machine can compute on")
    what.add_argument("--models", action="store_true", help="models that can be asked for by name")
    _json(parser)


def _worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, metavar="DIR", help="private folder for the files that messages name")
    parser.add_argument("--parent", type=int, metavar="PID", help="process without which it ends itself (default: whoever started it)")


def _seed(text: str) -> int:
    if not (text.isdecimal() and len(text) < 20 and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number from 0 to 2^63 - 1")
    return int(text)


def _above_0(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number above 0")
    return value


def _slices(text: str) -> tuple[int, int]:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not A:B with A below B, such as 10:20")
    return int(first), int(end)
