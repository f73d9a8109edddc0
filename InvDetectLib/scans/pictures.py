"""PNG, JPEG and BMP: as many bits as the file has, transparency dropped, palettes looked up, turned upright.

Pillow reads them, with two exceptions: of colours of 16 bits it keeps 8; and a JPEG's coarse colours can be spread over its pixels in
several ways, of which models have learned SimpleITK's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, UnidentifiedImageError

from ..common import InvDetectError
from .geometry import Geometry
from .itk import COPY, load_image, open_image, unreadable
from .limits import check_size

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}
_ORIENTATION = 274  # number of the tag, in EXIF as in TIFF
# What the tag says of the stored rows and columns: whether to exchange them, then which of them to turn round.
_TURNS = {
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip
_MOST = 8 * 1032  # pixels a byte, at most: deflate packs up to 1032 bytes into one, and a pixel has a bit or more
_PIXEL = 4  # bytes that Pillow takes for one, transparency included
_CUT = "it is cut off or damaged"


def read_picture(path: Path, kind: str) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """A (1, row, column[, 3]) picture, upright, its geometry, and a warning when it was turned. `kind` is its ending, such as ".png"."""
    name = _KINDS[kind]
    if name == "PNG":
        with _opened(path, name) as image, _damage_told(path):
            image.verify()  # checksums, which decoding does not look at
    with _opened(path, name) as image:
        if name == "JPEG":
            array = _photograph(path)
        else:
            with _damage_told(path):
                image.load()
            array = _pixels(path, image, _depth(path) if name == "PNG" else 8)
        orientation = _orientation(image)
    upright, turned = turn(array[None], orientation, "EXIF")
    return upright, flat_geometry(upright, 2), turned


def turn(array: np.ndarray, orientation: int, by: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(slice, row, column[, 3]) as viewers show it, and the warning that it was turned; `by` names the tag that says so."""
    if orientation not in _TURNS:
        return np.ascontiguousarray(array), ()
    exchanged, rows, columns = _TURNS[orientation]
    upright = array.swapaxes(1, 2) if exchanged else array
    upright = upright[:, :: -1 if rows else 1, :: -1 if columns else 1]
    words = f"the picture is stored turned ({by} orientation {orientation}); it was turned upright, and so are map, mask and preview"
    return np.ascontiguousarray(upright), (words,)


def flat_geometry(array: np.ndarray, dimension: int) -> Geometry:
    """Of a picture: resolution tags speak of printing, not of the body."""
    return Geometry((array.shape[0], array.shape[1], array.shape[2]), dimension=dimension, unit="pixel")


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Image.Image]:
    """Pillow's image, without its opinion on large pictures and without its warnings, which name no file."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _damage_told(path):
                try:
                    image = Image.open(path, formats=[name])
                except UnidentifiedImageError:
                    raise unreadable(path, f"it is no {name} file", "Give it the ending that fits its content") from None
            with image:
                if image.width * image.height > _MOST * path.stat().st_size:
                    raise unreadable(path, _CUT, COPY)
                check_size(path, (image.width, image.height), _PIXEL)
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except InvDetectError:
        raise
    except MemoryError as error:
        raise unreadable(path, "it does not fit into memory", "Use a computer with more memory, or a smaller picture") from error
    except Exception as error:  # decoders raise what they like on damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise unreadable(path, _CUT, COPY) from error


def _pixels(path: Path, image: Image.Image, depth: int) -> np.ndarray:
    """(row, column[, 3]) as stored, without transparency; palettes as colours."""
    if depth == 16 and image.mode not in ("I", "I;16", "I;16B", "I;16L"):
        return _deep_colours(path)
    if image.mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("LA"))[..., 0]
    if image.mode in ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa"):
        return np.asarray(image.convert("RGBA"))[..., :3]
    if depth == 16:
        return np.asarray(image).astype(np.uint16)
    raise unreadable(path, f"its kind of pixel ({image.mode}) is neither grey nor red, green and blue", "Save it as grey or RGB")


def _photograph(path: Path) -> np.ndarray:
    """(row, column[, 3]) of a JPEG."""
    data = path.read_bytes()
    # A JPEG ends with its end mark; without it the lower part would be read as grey. Neither mark can occur inside compressed pixels, and
    # a thumbnail's marks both come before those of the picture.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise unreadable(path, "it is cut off", COPY)
    return sitk.GetArrayFromImage(load_image(open_image(path)))


def _deep_colours(path: Path) -> np.ndarray:
    """Colours of 16 bits, of which Pillow keeps 8."""
    import imagecodecs

    with _damage_told(path):
        array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if array.dtype != np.uint16 or array.ndim != 3:
        raise unreadable(path, f"its pixels came out as {array.dtype}, where the file has 16 bits")
    return array[..., 0] if array.shape[2] < 3 else array[..., :3]


def _depth(path: Path) -> int:
    """Bits a sample of a PNG."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF; every viewer then shows the picture as it is stored
        return 1

