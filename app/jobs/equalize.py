"""The course's job: histogram equalization, which spreads a picture's grey levels over the whole range.

    histograms   of each band of rows (map), summed up into one cumulative distribution, which becomes one
                 look-up table: old level -> new level (reduce)
    equalize     each band through that table (map); the bands together are the new picture (finish)

Of a colour picture only the luminance is equalized (Y of YCbCr, as Pillow converts), so it keeps its colours;
an alpha channel stays as it is. What Pillow reads as 8 bits a channel is 8 bits then: 16-bit colour too.
"""

import errno
import io
import math
import mmap
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from operator import index
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import numpy.typing as npt

# By name, so that Pillow doesn't load all its formats to find these three.
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin  # noqa: F401
from pydantic import BaseModel, ConfigDict, JsonValue, PositiveInt

from app.jobs.job import MOST_PIECES, Buffer, Job, Piece, Split, Unusable

# Pillow's own limit is a warning, which no user would see. Ours are below, and checked before any decoding.
Image.MAX_IMAGE_PIXELS = None
# While it is decoded, a grey picture takes up to 4 bytes a pixel (16 bits, or a progressive JPEG's
# coefficients beside it): 400 MB.
MOST_PIXELS = 100_000_000
# A colour picture takes 4, and up to 8 more beside them (a progressive CMYK JPEG): 480 MB.
MOST_COLOUR_PIXELS = 40_000_000
# A JPEG has about ten scans. Each is one pass over the whole picture, and costs its sender only some bytes.
_MOST_SCANS = 100
# To say how many there are; each one's header may be long.
_MOST_FRAMES_COUNTED = 10
# EXIF and ICC profile: they travel in the job's plan, which is a znode (at most 1 MiB) and no place for more.
_MOST_METADATA_BYTES = 128 * 1024
# At once: enough for the calls not to count, few enough for the processor's cache.
_PART_PX = 1 << 18
_BLOCK_BYTES = 1 << 20

# Wide on purpose: for damaged files Pillow raises whatever its parsers run into, and names no list of it.
_HOSTILE = (
    OSError, SyntaxError, ValueError, struct.error, EOFError, TypeError, LookupError, ArithmeticError,
    AttributeError, AssertionError, RuntimeError, MemoryError, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

_MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"} | dict.fromkeys(
    [b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"], "TIFF"
)
_EXTENSIONS = {"TIFF": ".tiff", "PNG": ".png", "JPEG": ".jpg"}
# For a JPEG: equalizing shows what its rounding did, so the second time it rounds little.
# For a PNG: noisy colours are written three times as fast as with Pillow's default, and 6 % larger.
_OPTIONS: dict[str, dict[str, int]] = {
    "TIFF": {},
    "PNG": {"compress_level": 2},
    "JPEG": {"quality": 95, "subsampling": 0},
}
# Without loss, and written by Pillow. What is compressed otherwise (JPEG, fax) is LZW then.
_TIFF_COMPRESSIONS = {"raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"}
# The others say how the pixels are stored, which changes. Orientation is done: Pillow turns a TIFF's pixels.
_TIFF_TAGS = (
    ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software,
    ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright,
)  # fmt: skip

# Mode of the input -> mode of the output, without transparency.
_MODES = {
    "1": "L", "L": "L", "LA": "LA", "I;16": "I;16", "I;16L": "I;16", "I;16B": "I;16", "P": "RGB",
    "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA", "RGBa": "RGBA", "CMYK": "RGB", "YCbCr": "RGB",
}  # fmt: skip
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA", "LA": "LA", "RGBA": "RGBA"}
_PIXEL_BYTES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 2}
_SEEN = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}  # modes that every browser shows
_UNCHANGED = list(range(256))

_Levels = npt.NDArray[np.int64]


class _Picture(BaseModel):
    """What all tasks have to know, as JSON in the job's plan.

    Attributes:
        format, mode: Pillow's names, of the output; pieces hold pixels of this mode, "I;16" little endian.
        width, height: in pixels.
        compression: of a TIFF.
        dpi: horizontally, vertically.
        exif, icc_profile: as in the file, in base64.
        head, tail: of a TIFF that isn't decoded, all that stands before and after its pixels, in base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["TIFF", "PNG", "JPEG"]
    mode: Literal["L", "LA", "RGB", "RGBA", "I;16"]
    width: PositiveInt
    height: PositiveInt
    compression: str | None = None
    dpi: tuple[float, float] | None = None
    exif: str = ""
    icc_profile: str = ""
    head: str = ""
    tail: str = ""

    @property
    def row_bytes(self) -> int:
        return self.width * _PIXEL_BYTES[self.mode]

    def options(self) -> dict[str, Any]:
        """For Pillow's ``save``."""
        options: dict[str, Any] = {"format": self.format, **_OPTIONS[self.format]}
        options |= {"exif": b64decode(self.exif)} if self.exif else {}
        options |= {"icc_profile": b64decode(self.icc_profile)} if self.icc_profile else {}
        given = {"compression": self.compression, "dpi": self.dpi}
        return options | {name: value for name, value in given.items() if value is not None}


class Equalize(Job):
    """Histogram equalization. Results of "histograms": int64, little endian, one entry for each level."""

    name = "equalize"
    phases = ("histograms", "equalize")
    accepts = (
        "one TIFF, PNG or JPEG: grey of 8 or 16 bits (up to 100 megapixels) or colour (up to 40); "
        "transparency is kept, CMYK and palettes become RGB"
    )

    def check(self, source: Path) -> str:
        with _opened(source) as (_, picture):
            return _EXTENSIONS[picture.format]

    def split(self, source: Path, array: Path, chunk_size: int) -> Split:
        with _opened(source) as (image, picture):
            _check_whole(source, picture.format)
            with _blaming(picture.format):
                start = _where_plain(image, picture)
                framed = None if start is None else _framed(source, start, picture)
                picture = framed or _with_metadata(image, picture)
                if start is None:
                    image.load()
                    picture = _after_decoding(image, picture)
            rows = max(chunk_size, math.ceil(picture.height / MOST_PIECES))
            about = picture.model_dump(mode="json", exclude_defaults=True)
            if start is not None:
                return Split(_cut(source, start, picture, rows), about, in_source=True)
            return Split(_decoded(image, array, picture, rows), about)

    def preview(self, file: IO[bytes], most_px: int) -> bytes:
        with _recognised(file) as (image, picture):
            out = io.BytesIO()
            with _blaming(picture.format):
                _small(image, most_px).save(out, "PNG", compress_level=4)
            return out.getvalue()

    def map(self, phase: str, piece: Buffer, given: Buffer, about: Mapping[str, JsonValue]) -> Buffer:
        mode = _Picture.model_validate(about).mode
        if phase == "histograms":
            return _histogram(mode, piece).astype("<i8").tobytes()
        return _equalized(mode, piece, bytes(given))

    def reduce(self, results: Iterable[Buffer], about: Mapping[str, JsonValue]) -> Buffer:
        """The look-up table: the new level of each old one, 256 times uint8 or 65536 times uint16."""
        top = _top(_Picture.model_validate(about).mode)
        histogram: _Levels = np.zeros(top + 1, dtype=np.int64)
        for result in results:
            histogram += np.frombuffer(result, dtype="<i8")
        return _look_up_table(histogram, top).astype("<u1" if top == 255 else "<u2").tobytes()

    def finish(
        self, given: Buffer, results: Iterable[Buffer], about: Mapping[str, JsonValue], out: Path
    ) -> None:
        picture = _Picture.model_validate(about)
        if picture.head:
            with out.open("wb") as file:
                file.writelines(chain([b64decode(picture.head)], results, [b64decode(picture.tail)]))
            return
        canvas = Image.new(picture.mode, (picture.width, picture.height))
        top = 0
        for band in results:
            rows = len(band) // picture.row_bytes
            canvas.paste(_image(picture.mode, picture.width, rows, band), (0, top))
            top += rows
        canvas.save(out, **picture.options())


# --- looking at a file --------------------------------------------------------------------------------------


def _small(image: Image.Image, most_px: int) -> Image.Image:
    """As a person sees it, with no side longer than ``most_px``."""
    image.draft(None, (most_px, most_px))  # a JPEG is decoded as small as that, for an eighth of the time
    image.thumbnail((most_px, most_px), Image.Resampling.BOX)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    upright = ImageOps.exif_transpose(image)
    return upright.convert(_SEEN.get(_target_mode(upright), "L"))


@contextmanager
def _blaming(format_: str) -> Iterator[None]:
    """What goes wrong here is the file's fault, unless the system says otherwise (a full disk, say)."""
    try:
        yield
    except _HOSTILE as error:
        # Pillow's own OSErrors have no number; an absurd offset in a file is an invalid argument to seek.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise Unusable(f"the {format_} is truncated or damaged") from error


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Image.Image, _Picture]]:
    """The picture, not decoded yet, and what its header says. Raises Unusable."""
    # An open file, not its path: by path Pillow maps uncompressed TIFFs, and garbles those on their side.
    with source.open("rb") as file, _recognised(file) as found:
        yield found


@contextmanager
def _recognised(file: IO[bytes]) -> Iterator[tuple[Image.Image, _Picture]]:
    start = file.read(8)
    if not start:
        raise Unusable("the file is empty")
    format_ = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    if format_ is None:
        raise Unusable("the file is no TIFF, PNG or JPEG", unknown_format=True)
    file.seek(0)
    with _blaming(format_):
        image = Image.open(file, formats=(format_,))
    with image:
        with _blaming(format_):
            picture = _looked_at(image, format_)
        yield image, picture


def _looked_at(image: Image.Image, format_: str) -> _Picture:
    mode = _target_mode(image)
    width, height = image.size
    most = MOST_PIXELS if mode in ("L", "I;16") else MOST_COLOUR_PIXELS
    pixels = width * height
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # A tile is decoded whole, even where it is larger than the picture.
        tile = image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0), image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0)
        pixels = max(pixels, math.prod(tile))
    if pixels > most:
        kind = "grey" if most == MOST_PIXELS else "colour"
        raise Unusable(
            f"the picture has {width:,} x {height:,} pixels: {most:,} are the most of a {kind} picture"
        )
    if (frames := _frames(image)) > 1:
        many = f"over {_MOST_FRAMES_COUNTED}" if frames > _MOST_FRAMES_COUNTED else str(frames)
        raise Unusable(f"the picture has {many} frames: send one picture")
    return _Picture.model_validate({"format": format_, "mode": mode, "width": width, "height": height})


def _target_mode(image: Image.Image) -> str:
    mode = _MODES.get(image.mode)
    if mode is None:
        raise Unusable(
            f"the picture's pixels are of the kind {image.mode!r}: grey of 8 or 16 bits and colour of 8 bits "
            "can be equalized, floats and 32-bit integers can't"
        )
    if "transparency" in image.info:
        if mode not in _WITH_ALPHA:
            raise Unusable("the picture has 16-bit grey with a transparent level: send it without")
        return _WITH_ALPHA[mode]
    return mode


def _after_decoding(image: Image.Image, picture: _Picture) -> _Picture:
    """What shows only now: which side of a TIFF is up (its XMP may say it), and a palette's colours."""
    found: dict[str, Any] = {"width": image.width, "height": image.height}
    if (image.mode, picture.mode) == ("P", "RGB"):
        palette = image.getpalette("RGB") or []
        if palette[0::3] == palette[1::3] == palette[2::3]:
            found |= {"mode": "L", "icc_profile": ""}  # a profile was for RGB
    return picture.model_copy(update=found)


def _frames(image: Image.Image) -> int:
    """How many pictures there are; of more than a few only that."""
    if image.format != "TIFF":
        # Beside the picture proper a phone's JPEG ("MPO") may hold a preview and a depth map: no frames.
        return getattr(image, "n_frames", 1) if image.format == "PNG" else 1
    frames = 1
    with suppress(EOFError):
        while frames <= _MOST_FRAMES_COUNTED:
            image.seek(frames)
            frames += 1
    image.seek(0)
    return frames


def _with_metadata(image: Image.Image, picture: _Picture) -> _Picture:
    """With what is to be kept beside the pixels, as far as it is sound: it is not worth losing a picture."""
    compression = None
    if picture.format == "TIFF":
        found = image.info.get("compression")
        compression = found if found in _TIFF_COMPRESSIONS else "tiff_lzw"
    plain = picture.model_copy(update={"compression": compression})
    with suppress(*_HOSTILE):
        dpi = tuple(float(value) for value in image.info.get("dpi", ()))
        exif = _exif(image) if picture.format == "TIFF" else image.info.get("exif", b"")
        icc_profile = image.info.get("icc_profile") or b""
        # A profile says for which kind of colour it is: a CMYK picture's is none for RGB.
        if icc_profile[16:20] != (b"GRAY" if picture.mode in ("L", "LA", "I;16") else b"RGB "):
            icc_profile = b""
        if len(exif) + len(icc_profile) > _MOST_METADATA_BYTES:
            exif = icc_profile = b""
        kept = plain.model_copy(
            update={
                "dpi": dpi if len(dpi) == 2 and all(1 <= value <= 65535 for value in dpi) else None,
                "exif": b64encode(exif).decode(),
                "icc_profile": b64encode(icc_profile).decode(),
            }
        )
        # What Pillow can't write it shall not write now, rather than when all the work is done.
        Image.new(picture.mode, (1, 1)).save(io.BytesIO(), **kept.options())
        return kept
    return plain


def _exif(image: Image.Image) -> bytes:
    """Of a TIFF, whose tags are its EXIF."""
    found, kept = image.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := found.get_ifd(group):
            kept[group] = dict(entries)
    return kept.tobytes() if len(kept) else b""


def _check_whole(source: Path, format_: str) -> None:
    """What Pillow doesn't check: a PNG's checksums, and how often a JPEG makes it start from the top."""
    if format_ == "PNG":
        with _blaming(format_), source.open("rb") as file:
            file.seek(8)
            while _chunk(file) != b"IEND":
                pass
    elif format_ == "JPEG":
        with source.open("rb") as file:
            scans = sum(block.count(b"\xff\xda") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
        if scans > _MOST_SCANS:
            raise Unusable(f"the JPEG has {scans} scans, more than the {_MOST_SCANS} that a picture can need")


def _chunk(file: io.BufferedReader) -> bytes:
    """Read one of a PNG's chunks, block by block. Returns its kind; raises struct.error or ValueError."""
    length, kind = struct.unpack(">I4s", file.read(8))
    crc = zlib.crc32(kind)
    while length and (block := file.read(min(length, _BLOCK_BYTES))):
        crc = zlib.crc32(block, crc)
        length -= len(block)
    if struct.unpack(">I", file.read(4)) != (crc,):
        raise ValueError("a chunk is damaged")
    return bytes(kind)


# --- cutting ------------------------------------------------------------------------------------------------


def _where_plain(image: Image.Image, picture: _Picture) -> int | None:
    """Where in the file the pixels lie as the tasks need them, all in one place; None if they don't.

    They do in most uncompressed TIFFs; then nothing has to be decoded, nor written once more.
    """
    if picture.format != "TIFF" or image.mode != picture.mode:
        return None
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return None
    tiles = getattr(image, "tile", [])
    y, offset = 0, tiles[0].offset
    for tile in tiles:
        x0, y0, x1, y1 = tile.extents
        if (tile.codec_name, tile.args) != ("raw", (picture.mode, 0, 1)):
            return None
        if (x0, y0, x1, tile.offset) != (0, y, picture.width, offset):
            return None
        y, offset = y1, offset + (y1 - y0) * picture.row_bytes
    # What a hostile file calls an offset may be no whole number; then this is a TypeError.
    return index(tiles[0].offset) if y == picture.height else None


def _framed(source: Path, start: int, picture: _Picture) -> _Picture | None:
    """With all that stands around the pixels, which the output takes over as it is; None if that is too much.

    So such a TIFF keeps everything but its pixels, and nothing has to be encoded.
    """
    end = start + picture.height * picture.row_bytes
    after = source.stat().st_size - end
    if start < 0 or after < 0 or start + after > _MOST_METADATA_BYTES:
        return None
    with source.open("rb") as file:
        head = file.read(start)
        file.seek(end)
        frame = {"head": b64encode(head).decode(), "tail": b64encode(file.read()).decode()}
    return picture.model_copy(update=frame)


def _cut(source: Path, start: int, picture: _Picture, rows: int) -> list[Piece]:
    """Bands of pixels that lie in the source from ``start`` on."""
    pieces = []
    end = start + picture.height * picture.row_bytes
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if start < 0 or len(mapped) < end:
            raise Unusable(f"the {picture.format} is truncated or damaged")
        with memoryview(mapped) as view:
            for offset in range(start, end, rows * picture.row_bytes):
                with view[offset : min(offset + rows * picture.row_bytes, end)] as band:
                    pieces.append(Piece(offset, len(band), zlib.crc32(band)))
    return pieces


def _decoded(image: Image.Image, array: Path, picture: _Picture, rows: int) -> list[Piece]:
    """Bands of a decoded picture's pixels, written to ``array``; never more than a part of one in memory."""
    pieces = []
    part_rows = max(1, _PART_PX // picture.width)
    with array.open("wb") as file:
        for top in range(0, picture.height, rows):
            bottom = min(top + rows, picture.height)
            offset, crc = file.tell(), 0
            for part_top in range(top, bottom, part_rows):
                with _blaming(picture.format):
                    box = (0, part_top, picture.width, min(part_top + part_rows, bottom))
                    part = _pixels(image.crop(box), picture.mode)
                file.write(part)
                crc = zlib.crc32(part, crc)
            pieces.append(Piece(offset, file.tell() - offset, crc))
    return pieces


def _pixels(image: Image.Image, mode: str) -> bytes:
    if image.mode == "I;16B":
        return np.frombuffer(image.tobytes(), dtype=">u2").astype("<u2").tobytes()
    if image.mode == mode or mode == "I;16":
        return image.tobytes()
    return image.convert(mode).tobytes()


# --- the arithmetic -----------------------------------------------------------------------------------------


def _image(mode: str, width: int, height: int, pixels: Buffer) -> Image.Image:
    """Without a copy, where Pillow stores a pixel as the tasks do."""
    # Pillow's annotation doesn't know memoryview, which it takes like any buffer.
    return Image.frombuffer(mode, (width, height), cast(bytes, pixels), "raw", mode, 0, 1)


def _parts(mode: str, piece: Buffer) -> Iterator[Image.Image]:
    """A piece bit by bit, each a single row: no pixel depends on another."""
    view, step = memoryview(piece), _PART_PX * _PIXEL_BYTES[mode]
    for start in range(0, len(view), step):
        part = view[start : start + step]
        yield _image(mode, len(part) // _PIXEL_BYTES[mode], 1, part)


def _top(mode: str) -> int:
    """The highest level."""
    return 65535 if mode == "I;16" else 255


def _histogram(mode: str, piece: Buffer) -> _Levels:
    """How many pixels each level has: int64, 256 or 65536 entries."""
    histogram: _Levels = np.zeros(_top(mode) + 1, dtype=np.int64)
    if mode == "I;16":
        levels = np.frombuffer(piece, dtype="<u2")
        for i in range(0, len(levels), _PART_PX):  # bincount makes 8 bytes of each pixel
            histogram += np.bincount(levels[i : i + _PART_PX], minlength=len(histogram))
        return histogram
    for part in _parts(mode, piece):
        # Pillow counts four times as fast as bincount. The first 256 are of L, or of Y.
        histogram += np.array(_luminance(part).histogram()[:256], dtype=np.int64)
    return histogram


def _luminance(part: Image.Image) -> Image.Image:
    """A picture whose first channel is the luminance."""
    return part if part.mode in ("L", "LA") else part.convert("RGB").convert("YCbCr")


def _look_up_table(histogram: _Levels, top: int) -> _Levels:
    """The course's definition: ``(cdf - min) * top / (max - min)``, truncated, where the cdf isn't zero.

    A picture of one single level has nothing to spread and stays as it is.
    """
    cdf = np.cumsum(histogram)
    lowest, highest = cdf[np.flatnonzero(cdf)[0]], cdf[-1]
    if lowest == highest:
        return np.arange(top + 1)
    # Of whole numbers: float64 rounds a quotient by far less than it takes to reach the next whole number.
    return np.where(cdf > 0, (cdf - lowest) * top // (highest - lowest), 0)


def _equalized(mode: str, piece: Buffer, table: bytes) -> Buffer:
    if mode == "I;16":
        levels, new = np.frombuffer(piece, dtype="<u2"), np.frombuffer(table, dtype="<u2")
        equalized = np.empty_like(levels)
        for i in range(0, len(levels), _PART_PX):  # take, too, makes 8 bytes of each pixel
            np.take(new, levels[i : i + _PART_PX], out=equalized[i : i + _PART_PX], mode="clip")
        return equalized.data.cast("B")
    if table == bytes(_UNCHANGED):
        return piece  # there and back through YCbCr would round the colours
    if mode == "L":
        return _translated(piece, table)
    return b"".join(_with_luminance(part, table).tobytes() for part in _parts(mode, piece))


def _translated(piece: Buffer, table: bytes) -> Buffer:
    """Each byte looked up: faster by ``translate`` than by numpy's take or Pillow's point."""
    view, new = memoryview(piece), bytearray(len(piece))
    for i in range(0, len(new), _PART_PX):  # in parts that stay in the processor's cache
        new[i : i + _PART_PX] = bytes(view[i : i + _PART_PX]).translate(table)
    return new


def _with_luminance(part: Image.Image, table: bytes) -> Image.Image:
    """A part of a picture that isn't plain grey, its luminance looked up in the table."""
    if part.mode == "LA":
        return part.point([*table, *_UNCHANGED])
    new = _luminance(part).point([*table, *_UNCHANGED, *_UNCHANGED]).convert("RGB")
    if part.mode == "RGBA":
        new.putalpha(part.getchannel("A"))
    return new


JOB = Equalize()
