"""Whatever is sent, it is equalized or refused in one sentence: nothing else is raised, and nothing hangs."""

import errno
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin, TiffTags

from app.jobs import equalize
from app.jobs.equalize import JOB, MOST_COLOUR_PIXELS, MOST_PIXELS
from app.jobs.job import Unusable
from tests.unit.jobs.local import run

NOISE = np.random.default_rng(7).integers(0, 256, (23, 19, 4)).astype(np.uint8)


def encoded(kind: str, mode: str = "L", **options: Any) -> bytes:
    picture = Image.fromarray(NOISE, "RGBA").convert(mode)
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


# A few of each format, by name.
FILES: dict[str, bytes] = {
    "TIFF": encoded("TIFF"),
    "TIFF, RGB": encoded("TIFF", "RGB", dpi=(72, 72)),
    "TIFF, LZW": encoded("TIFF", "RGBA", compression="tiff_lzw"),
    "TIFF, deflate": encoded("TIFF", "L", compression="tiff_adobe_deflate"),
    "TIFF, JPEG": encoded("TIFF", "RGB", compression="jpeg"),
    "TIFF, fax": encoded("TIFF", "1", compression="group4"),
    "TIFF, palette": encoded("TIFF", "P"),
    "PNG": encoded("PNG"),
    "PNG, RGBA": encoded("PNG", "RGBA", dpi=(72, 72)),
    "PNG, palette": encoded("PNG", "P", transparency=3),
    "PNG, 1 bit": encoded("PNG", "1"),
    "JPEG": encoded("JPEG"),
    "JPEG, RGB": encoded("JPEG", "RGB", dpi=(72, 72), progressive=True),
    "JPEG, CMYK": encoded("JPEG", "CMYK"),
}


def put(content: bytes, folder: Path, name: str = "picture.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(action: Callable[[], Any]) -> Unusable:
    with pytest.raises(Unusable) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert "Error" not in str(caught.value)
    return caught.value


def refused_at_once(content: bytes, folder: Path) -> Unusable:
    """What `check` says; `split`, which doesn't rely on it, says the same."""
    path = put(content, folder)
    answer = refusal(lambda: JOB.check(path))
    again = refusal(lambda: JOB.split(path, folder / "array", 16))
    assert (str(answer), answer.unknown_format) == (str(again), again.unknown_format)
    return answer


# --- what it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"just some text", b"GIF89a", encoded("GIF"), encoded("BMP"), encoded("WEBP"), b"\x89PNG", bytes(100)],
    ids=["text", "a GIF's beginning", "GIF", "BMP", "WebP", "too short", "zeros"],
)
def test_what_is_no_picture_of_ours_is_an_unknown_format_whatever_its_name(
    tmp_path: Path, content: bytes
) -> None:
    answer = refused_at_once(content, tmp_path)
    assert answer.unknown_format
    assert str(answer) == "the file is no TIFF, PNG or JPEG"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    answer = refused_at_once(b"", tmp_path)
    assert (str(answer), answer.unknown_format) == ("the file is empty", False)


@pytest.mark.parametrize(("kind", "extension"), [("TIFF", ".tiff"), ("PNG", ".png"), ("JPEG", ".jpg")])
def test_the_content_says_what_it_is_and_not_the_name(tmp_path: Path, kind: str, extension: str) -> None:
    assert JOB.check(put(FILES[kind], tmp_path, "text.txt")) == extension


@pytest.mark.parametrize("mode", ["F", "I"])
def test_floats_and_32_bit_integers_are_refused(tmp_path: Path, mode: str) -> None:
    answer = refused_at_once(encoded("TIFF", mode), tmp_path)
    assert f"'{mode}'" in str(answer)
    assert not answer.unknown_format


def test_16_bits_with_a_transparent_level_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(NOISE[..., 0].astype(np.uint16)).save(out, "PNG", transparency=3)
    assert "transparent level" in str(refused_at_once(out.getvalue(), tmp_path))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("frames", "many"), [(3, "3"), (11, "over 10")])
def test_more_than_one_frame_is_refused(tmp_path: Path, kind: str, frames: int, many: str) -> None:
    others = [Image.new("L", (4, 4), level) for level in range(1, frames)]
    out = io.BytesIO()
    Image.new("L", (4, 4)).save(out, kind, save_all=True, append_images=others)
    expected = many if kind == "TIFF" else str(frames)
    if kind == "PNG" and frames > 10:
        expected = "over 10"
    assert (
        str(refused_at_once(out.getvalue(), tmp_path))
        == f"the picture has {expected} frames: send one picture"
    )


@pytest.mark.parametrize("name", FILES)
def test_to_check_a_picture_nothing_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", decode)
    assert JOB.check(put(FILES[name], tmp_path)) == equalize._EXTENSIONS[name.split(",")[0]]


# --- how large it is ----------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int, colour: int = 0) -> bytes:
    """A few bytes. Colour 0 is grey, 2 is RGB."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(encoded("JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def tiff_claiming(width: int, height: int, **tags: int) -> bytes:
    """With further tags, by number: ``t322=...``."""
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    ifd[256], ifd[257], ifd[258], ifd[259], ifd[262], ifd[277] = width, height, (8,), 1, 1, 1
    ifd[273], ifd[278], ifd[279] = 8, height, 100
    for tag, value in tags.items():
        ifd[int(tag[1:])] = value
    out = io.BytesIO()
    ifd.save(out)
    return out.getvalue() + bytes(100)


CLAIMS = {"TIFF": tiff_claiming, "PNG": png_claiming, "JPEG": jpeg_claiming}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_header_that_claims_too_many_pixels_is_refused_with_the_numbers(tmp_path: Path, kind: str) -> None:
    side = 60_000 if kind == "JPEG" else 100_000
    answer = refused_at_once(CLAIMS[kind](side, side), tmp_path)
    assert f"{side:,} x {side:,} pixels: {MOST_PIXELS:,}" in str(answer)
    assert not answer.unknown_format


def test_the_most_pixels_are_taken_and_one_row_more_is_not(tmp_path: Path) -> None:
    for colour, most in ((0, MOST_PIXELS), (2, MOST_COLOUR_PIXELS)):
        rows = most // 10_000
        assert JOB.check(put(png_claiming(10_000, rows, colour), tmp_path)) == ".png"
        assert f"{most:,}" in str(refused_at_once(png_claiming(10_000, rows + 1, colour), tmp_path))


def test_a_tile_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    content = tiff_claiming(10, 10, t322=40_000, t323=40_000, t324=8)
    assert "pixels" in str(refused_at_once(content, tmp_path))


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_width_or_height_is_refused(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    refused_at_once(CLAIMS[kind](*size), tmp_path)


def test_a_jpeg_that_would_be_decoded_for_ever_is_refused(tmp_path: Path) -> None:
    content = FILES["JPEG, RGB"]
    scan = content[content.rindex(b"\xff\xda") : -2]
    path = put(content[:-2] + scan * 200 + content[-2:], tmp_path)
    assert "scans" in str(refusal(lambda: JOB.split(path, tmp_path / "array", 16)))


# --- whether it is whole ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it finds damaged
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_picture_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    content = FILES[name]
    path = put(content[: int(len(content) * kept)], tmp_path)
    answer = refusal(lambda: run(JOB, path, tmp_path))
    assert str(answer) == f"the {name.split(',')[0]} is truncated or damaged"
    assert not answer.unknown_format


@pytest.mark.parametrize("kind", ["PNG", "PNG, RGBA"])
def test_a_damaged_png_is_found_by_its_checksums(tmp_path: Path, kind: str) -> None:
    content = bytearray(FILES[kind])
    content[content.index(b"IDAT") + 200] ^= 1
    path = put(bytes(content), tmp_path)
    assert str(refusal(lambda: run(JOB, path, tmp_path))) == "the PNG is truncated or damaged"


@pytest.mark.parametrize(("kind", "place"), [(TiffTags.RATIONAL, None), (TiffTags.SIGNED_LONG, -8)])
def test_pixels_at_an_impossible_place_are_refused(tmp_path: Path, kind: int, place: int | None) -> None:
    """A fraction, which stands at the file's end, or a negative number."""
    content = bytearray(FILES["TIFF"]) + struct.pack("<II", 17, 2)
    entry = content.index(struct.pack("<H", TiffImagePlugin.STRIPOFFSETS))
    struct.pack_into("<HIi", content, entry + 2, kind, 1, len(content) - 8 if place is None else place)
    with Image.open(io.BytesIO(content)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        assert image.tag_v2[TiffImagePlugin.STRIPOFFSETS] == ((8.5,) if place is None else (place,))
    path = put(bytes(content), tmp_path)
    assert str(refusal(lambda: run(JOB, path, tmp_path))) == "the TIFF is truncated or damaged"


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, removed or doubled; mostly early ones, where the structure is."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = int(len(made) * chance.random() ** 2)
        kind = chance.random()
        if kind < 0.6:
            made[at] = chance.choice(
                [0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256), made[at] ^ (1 << chance.randrange(8))]
            )
        elif kind < 0.75:
            made[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        elif kind < 0.85:
            del made[at : at + chance.randint(1, 8)]
        elif kind < 0.95:
            made[at:at] = made[at : at + chance.randint(1, 8)]
        else:
            del made[max(at, 12) :]
    return bytes(made)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it finds damaged
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_picture_is_equalized_or_refused(tmp_path: Path, name: str) -> None:
    chance = random.Random(f"damage {name}")
    endings = {"done": 0, "refused": 0}
    for _ in range(60):
        path = put(mended(damaged(FILES[name], chance)), tmp_path)
        try:
            run(JOB, path, tmp_path)
            endings["done"] += 1
        except Unusable:
            endings["refused"] += 1
    assert endings["refused"] > 5


def mended(content: bytes) -> bytes:
    """With a PNG's checksums made good, as a hostile sender would, so that the damage gets past them."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    return content[:8] + b"".join(chunk(kind, data) for kind, data in chunks(content[8:]))


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    while len(content) >= 12:
        length = min(int.from_bytes(content[:4], "big"), len(content) - 12)
        yield content[4:8], content[8 : 8 + length]
        content = content[12 + length :]


# --- whose fault it is --------------------------------------------------------------------------------------


def test_a_full_disk_is_not_the_pictures_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(FILES["PNG"], tmp_path)

    def full(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(equalize, "_pixels", full)
    with pytest.raises(OSError, match="No space"):
        JOB.split(path, tmp_path / "array", 16)


def test_a_file_that_is_gone_is_not_the_pictures_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JOB.check(tmp_path / "missing.png")


def test_metadata_that_cannot_be_written_is_dropped_and_the_picture_is_not(tmp_path: Path) -> None:
    content = encoded("JPEG", "L", dpi=(300, 300))
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 40_000) + b"Exif\0\0" + bytes(40_000)
    longer_than_a_jpeg_may_have = content[:2] + 2 * segment + content[2:]
    with Image.open(run(JOB, put(longer_than_a_jpeg_may_have, tmp_path), tmp_path).out) as new:
        assert (new.format, new.size) == ("JPEG", (19, 23))
        assert "exif" not in new.info


def test_a_resolution_that_none_can_have_is_dropped(tmp_path: Path) -> None:
    content = encoded("PNG", "L", dpi=(100_000, 100_000))
    with Image.open(run(JOB, put(content, tmp_path), tmp_path).out) as new:
        assert "dpi" not in new.info
