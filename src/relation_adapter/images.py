"""Pictures: open any file safely as upright RGB, save whole or not at all, fit to a model's size and back.

A picture is a `PIL.Image.Image`; sizes are (width, height) in pixels.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from relation_adapter import stores
from relation_adapter.errors import PictureError, UsageError
from relation_adapter.files import reason, write_whole

Size = tuple[int, int]

MAX_PIXELS = 100_000_000
MAX_ASPECT = 4.0
MAX_SIDE = 16_384  # px, that can be asked for
PUBLISHED_RATIOS = ((3, 4), (4, 3), (1, 1), (16, 9), (9, 16))
# Only formats whose decoders stay inside this process: Pillow hands EPS, for one, to another program.
# HEIF is there for those who have registered a plugin for it.
READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA", "ICO")
WRITE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
JPEG_QUALITY = 95
# What PNG's filters leave of a photo repeats in runs or not at all: as small in a quarter of zlib's default time.
PNG_PACKING = {"compress_level": 4, "compress_type": zlib.Z_RLE}
_RESAVE = "open it in an image viewer and save it again as PNG or JPEG"


def is_picture_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file's name ends as a picture's does that can be opened."""
    return Image.registered_extensions().get(os.path.splitext(name)[1].lower()) in READ_FORMATS


def open_picture(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture of a file as upright RGB: EXIF orientation applied, transparency on white, first frame.

    The size is read from the header before anything is decoded. Pillow's own limit of 178,956,970 pixels stays in
    force above `max_pixels`. Raises PictureError, one line naming the file and the remedy, for a file that is missing,
    a folder, empty, not a picture, damaged, cut short or larger than `max_pixels`.
    """
    with _opening(path, max_pixels) as image:
        image.load()
        return to_rgb(_upright(image))


def picture_size(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Size:
    """The size that `open_picture` gives, from the header alone. Raises PictureError where that shows it."""
    with _opening(path, max_pixels) as image:
        try:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        except Exception:  # as `_upright`
            turned = False
        return (image.height, image.width) if turned else image.size


@contextmanager
def _opening(path: str | os.PathLike[str], max_pixels: int) -> Iterator[Image.Image]:
    """The picture of a file, its header read and its size checked; whatever goes wrong meanwhile is a PictureError."""
    name, data = _checked(Path(path))
    Image.init()  # Fills Image.OPEN; without it a format is known only once another picture has needed it.
    formats = [known for known in READ_FORMATS if known in Image.OPEN]
    try:
        # Pillow warns of large pictures and odd metadata; the limit here is ours, odd metadata no user's concern.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path if data is None else io.BytesIO(data), formats=formats) as image:
                _check_pixels(name, image.size, max_pixels)
                yield image
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: not a picture in a known format; give a PNG, JPEG or WebP file") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: more than {max_pixels:,} pixels; make the picture smaller first") from error
    except Exception as error:  # Decoders raise almost any exception on damaged bytes.
        raise PictureError(f"{name}: damaged or cut short ({reason(error)}); {_RESAVE}, or copy it again") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as RGB, 8 bits: transparency on white, 16 bits scaled to 8, never clipped.

    32-bit integer and float pictures carry no range of their own: the lowest of 1 (float only), 255, 65535 and their
    own maximum that holds all values becomes white. Raises PictureError on an empty picture or an unknown mode.
    """
    if min(image.size) < 1:
        raise PictureError(f"the picture is {image.width}x{image.height}: it has no pixels; give another")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _gray(np.asarray(image) / 65535)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
        whites = (255, 65535) if image.mode == "I" else (1, 255, 65535)
        top = float(values.max())
        return _gray(values / next((white for white in whites if top <= white), top))
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            white = Image.new("RGBA", layer.size, "white")
            return Image.alpha_composite(white, layer).convert("RGB")
        return image.convert("RGB")
    except ValueError as error:
        raise PictureError(f"a picture of mode {image.mode} cannot become RGB; {_RESAVE}") from error


def save_picture(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Save in the format of the suffix (JPEG at quality 95), whole or not at all; parent folders are created.

    Raises PictureError on an unknown suffix, a picture that the format cannot hold, and whatever the disk refuses
    (the OSError is then its `__cause__`).
    """
    path = Path(path)
    picture_format = WRITE_FORMATS.get(path.suffix.lower())
    if picture_format is None:
        raise PictureError(f"{path}: cannot save as '{path.suffix}'; end the name in one of {' '.join(WRITE_FORMATS)}")
    buffer, rgb = io.BytesIO(), to_rgb(image)
    try:
        # The target stays out of Pillow's hands: a full disk must not leave half a picture under the final name.
        rgb.save(buffer, picture_format, quality=JPEG_QUALITY, subsampling=0, **PNG_PACKING)
    except (OSError, ValueError) as error:
        size = f"{image.width}x{image.height}"
        raise PictureError(
            f"{path}: {picture_format} cannot hold this {size} picture ({reason(error)}); save as .png"
        ) from error
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise PictureError(
            f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
        ) from error


def quick_png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file, packed little and fast: grain hardly packs."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def parse_size(text: str) -> Size | str:
    """(width, height) in pixels from `64x64`, or the words `own` and `native`. Raises UsageError."""
    if text in ("own", "native"):
        return text
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text.lower())
    if found is None:
        raise UsageError(f"{text!r} is not a size; write width x height in pixels, as 64x64, or own or native")
    width, height = int(found[1]), int(found[2])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UsageError(f"{text}: each side must be from 1 to {MAX_SIDE} pixels")
    return width, height


def pad_to_ratio(image: Image.Image, long_side: int = 512) -> Image.Image:
    """The published preparation of before and after: centred on white at the nearest of five ratios, bilinear to size.

    Nearest is by the plain difference of width / height; the padded side is rounded down, the resized one to nearest.
    Follows `infer_single.py` of gy8888/RelationAdapter bit for bit, save that a picture whose padded form would pass
    MAX_PIXELS (a strip of 20000x20) is first shrunk.
    """
    image = to_rgb(image)
    width, height = _padded_size(*image.size)
    if width * height > MAX_PIXELS:
        shrink = 4 * long_side / max(image.size)
        image = resize(image, (max(1, round(image.width * shrink)), max(1, round(image.height * shrink))))
        width, height = _padded_size(*image.size)
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    scale = long_side / max(width, height)
    return canvas.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)


def fit_size(
    width: int, height: int, *, long_side: int | None = None, area: int | None = None, multiple: int = 16
) -> Size:
    """The size, in whole multiples, at which a model should see a picture of width x height.

    long_side: the longer side is this, rounded down to a multiple. area: width times height is about this, in pixels.
    Neither: about the picture's own size. Never below one multiple. The ratio of the sides is kept as near as
    multiples allow, up to MAX_ASPECT; `fit` pads what is longer. Raises UsageError.
    """
    if long_side is not None and area is not None:
        raise UsageError(f"long_side={long_side} and area={area} both given; give one")
    if any(number is not None and number < 1 for number in (width, height, multiple, long_side, area)):
        raise UsageError(f"sizes must be positive: {width}x{height}, {long_side=}, {area=}, {multiple=}")
    aspect = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
    if long_side is not None:
        long = max(long_side // multiple, 1)
        short = max(round(long * min(aspect, 1 / aspect)), 1)
        across, down = (long, short) if aspect >= 1 else (short, long)
    else:
        area = area or round(max(width, height) ** 2 * min(aspect, 1 / aspect))
        across, down = _units_for_area(area / multiple**2, aspect)
    return across * multiple, down * multiple


@dataclass(frozen=True)
class Fit:
    """A picture as a model sees it, and the way back.

    image: the picture resized to whole multiples. A picture longer than MAX_ASPECT lies in the middle, its border
    pixels repeated outwards. box: (left, top, right, bottom) of the picture in `image`. size: of the original.
    """

    image: Image.Image
    box: tuple[int, int, int, int]
    size: Size

    def crop(self, result: Image.Image) -> Image.Image:
        """The part of a model's result, of the size of `image`, that belongs to the picture."""
        return result.crop(self.box)

    def restore(self, result: Image.Image) -> Image.Image:
        """A model's result, of the size of `image`, at the size of the original."""
        return resize(self.crop(result), self.size)


def fit(image: Image.Image, *, long_side: int | None = None, area: int | None = None, multiple: int = 16) -> Fit:
    """Resize a picture for a model; see `fit_size` for the size and `Fit` for the way back."""
    image = to_rgb(image)
    width, height = fit_size(*image.size, long_side=long_side, area=area, multiple=multiple)
    inner = (width, height)
    aspect = image.width / image.height
    if aspect > MAX_ASPECT:
        inner = (width, max(1, round(width / aspect)))
    elif aspect < 1 / MAX_ASPECT:
        inner = (max(1, round(height * aspect)), height)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    margins = ((top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0))
    seen = Image.fromarray(np.pad(np.asarray(resize(image, inner)), margins, mode="edge"))
    return Fit(seen, (left, top, left + inner[0], top + inner[1]), image.size)


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Resize well: Lanczos to fewer pixels, bicubic to more; the same picture where the size is right already."""
    if image.size == tuple(size):
        return image
    return image.resize(size, resampling(image.size, size))


def resampling(old: Size, new: Size) -> Image.Resampling:
    """Lanczos to fewer pixels, bicubic to more."""
    fewer = new[0] * new[1] < old[0] * old[1]
    return Image.Resampling.LANCZOS if fewer else Image.Resampling.BICUBIC


def _checked(path: Path) -> tuple[str, bytes | None]:
    """The path as one line for messages, once a non-empty regular file is known to be there; of one in a store, all."""
    name = " ".join(str(path).split())
    try:
        if stores.address(path) is not None:
            return name, stores.read(path)
        status = os.stat(path)
    except FileNotFoundError as error:
        raise PictureError(f"{name}: no such file; check the path") from error
    except (OSError, ValueError) as error:
        raise PictureError(f"{name}: cannot be opened ({reason(error)}); check the path and its permissions") from error
    if os.path.isdir(path):
        raise PictureError(f"{name}: is a folder; give a picture in it")
    if not os.path.isfile(path):
        raise PictureError(f"{name}: is not a regular file; give a picture file")
    if status.st_size == 0:
        raise PictureError(f"{name}: is empty (0 bytes); copy it again")
    return name, None


def _check_pixels(name: str, size: Size, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise PictureError(
            f"{name}: {size[0]}x{size[1]} is more than {max_pixels:,} pixels; make the picture smaller first"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Damaged metadata is no reason to refuse sound pixels; Pillow raises almost anything on it.
        return image


def _gray(values: npt.NDArray[np.float64]) -> Image.Image:
    """RGB from gray values in [0, 1]."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)).convert("RGB")


def _padded_size(width: int, height: int) -> Size:
    """The smallest size around width x height that has the nearest published ratio, rounded down."""
    across, down = min(PUBLISHED_RATIOS, key=lambda ratio: abs(ratio[0] / ratio[1] - width / height))
    if width * down >= height * across:
        return width, width * down // across
    return height * across // down, height


def _units_for_area(units: float, aspect: float) -> Size:
    """Whole (across, down) near `units` in product and near `aspect` in ratio; the ratio counts double."""
    across, down = math.sqrt(units * aspect), math.sqrt(units / aspect)
    candidates = [
        (max(w, 1), max(h, 1))
        for w in (math.floor(across), math.ceil(across))
        for h in (math.floor(down), math.ceil(down))
    ]
    return min(
        candidates,
        key=lambda size: 2 * abs(math.log(size[0] / size[1] / aspect)) + abs(math.log(size[0] * size[1] / units)),
    )
