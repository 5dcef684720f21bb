"""A picture cut into bands and put together is what one process makes of the picture, to the pixel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from app.jobs.equalize import JOB
from app.jobs.job import MOST_PIECES
from tests.unit.jobs.local import Run, run
from tests.unit.jobs.reference import equalized, equalized_colour, pixels

RANDOM = np.random.default_rng(20_25)
HEIGHT, WIDTH = 61, 47  # no multiple of any band
LOSSLESS = ["tiff", "png"]


def photo(height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.float64]:
    """Smooth, with some noise, in the middle of the range from 0 to 1."""
    y, x = np.mgrid[0:height, 0:width]
    smooth: npt.NDArray[np.float64] = 0.4 + 0.2 * np.sin(x / 9) + 0.15 * np.cos(y / 7)
    noisy: npt.NDArray[np.float64] = smooth + RANDOM.normal(0, 0.02, smooth.shape)
    return noisy.clip(0, 1)


def grey(kind: str) -> npt.NDArray[np.uint8]:
    made: dict[str, Callable[[], Any]] = {
        "random": lambda: RANDOM.integers(0, 256, (HEIGHT, WIDTH)),
        "gradient": lambda: np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)),
        "photo": lambda: photo() * 255,
        "dark, with zeros": lambda: RANDOM.integers(0, 4, (HEIGHT, WIDTH)),
        "two levels": lambda: RANDOM.choice([100, 101], (HEIGHT, WIDTH)),
        "mostly one level": lambda: np.where(RANDOM.random((HEIGHT, WIDTH)) < 0.01, 200, 17),
        "one level": lambda: np.full((HEIGHT, WIDTH), 93),
        "black": lambda: np.zeros((HEIGHT, WIDTH)),
        "one pixel": lambda: np.full((1, 1), 42),
        "one row": lambda: RANDOM.integers(0, 256, (1, WIDTH)),
        "one column": lambda: RANDOM.integers(0, 256, (HEIGHT, 1)),
    }
    return np.asarray(made[kind]()).astype(np.uint8)


KINDS = [
    "random", "gradient", "photo", "dark, with zeros", "two levels", "mostly one level", "one level", "black",
    "one pixel", "one row", "one column",
]  # fmt: skip


def saved(picture: Image.Image, folder: Path, kind: str, **options: Any) -> Path:
    path = folder / f"in.{kind}"
    picture.save(path, **options)
    return path


def colours(mode: str = "RGB") -> Image.Image:
    channels = [
        photo() ** power * 255 for power in (1, 1.7, 0.6, 2.2)[: len(Image.new(mode, (1, 1)).getbands())]
    ]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8), mode)


# --- grey ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("levels", KINDS)
def test_grey_is_equalized_to_the_pixel(tmp_path: Path, kind: str, levels: str) -> None:
    source = grey(levels)
    done = run(JOB, saved(Image.fromarray(source), tmp_path, kind), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), equalized(source), strict=True)


def test_a_picture_of_one_single_level_is_left_as_it_is(tmp_path: Path) -> None:
    for source in (grey("one level"), grey("black"), np.full((3, 3), 700, dtype=np.uint16)):
        done = run(JOB, saved(Image.fromarray(source), tmp_path, "png"), tmp_path)
        np.testing.assert_array_equal(pixels(done.out), source, strict=True)


def test_zeros_stay_zero_and_the_brightest_level_becomes_white(tmp_path: Path) -> None:
    source = grey("dark, with zeros")
    new = pixels(run(JOB, saved(Image.fromarray(source), tmp_path, "tiff"), tmp_path).out)
    assert set(new[source == 0]) == {0}
    assert set(new[source == 3]) == {255}


def test_the_reduced_value_is_the_look_up_table(tmp_path: Path) -> None:
    source = grey("photo")
    done = run(JOB, saved(Image.fromarray(source), tmp_path, "png"), tmp_path)
    table = np.frombuffer(done.given, dtype=np.uint8)
    assert table.shape == (256,)
    np.testing.assert_array_equal(table[source], equalized(source))
    histograms = [np.frombuffer(result, dtype="<i8") for result in done.results["histograms"]]
    np.testing.assert_array_equal(sum(histograms), np.bincount(source.ravel(), minlength=256))


@settings(max_examples=60, deadline=None)
@given(
    source=st_numpy.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st_numpy.array_shapes(min_dims=2, max_dims=2, max_side=24),
    ),
    chunk_size=st.integers(1, 30),
    kind=st.sampled_from(LOSSLESS),
)
def test_no_chunk_size_changes_the_result(
    tmp_path_factory: pytest.TempPathFactory, source: npt.NDArray[Any], chunk_size: int, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    done = run(JOB, saved(Image.fromarray(source), folder, kind), folder, chunk_size)
    np.testing.assert_array_equal(pixels(done.out), equalized(source))
    assert len(done.split.pieces) == -(-len(source) // chunk_size)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_no_picture_is_cut_into_more_than_the_most_pieces(tmp_path: Path, kind: str) -> None:
    source = RANDOM.integers(0, 256, (2 * MOST_PIECES + 1, 2)).astype(np.uint8)
    done = run(JOB, saved(Image.fromarray(source), tmp_path, kind), tmp_path, chunk_size=1)
    assert MOST_PIECES / 2 < len(done.split.pieces) <= MOST_PIECES
    np.testing.assert_array_equal(pixels(done.out), equalized(source))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_keeps_its_compression(tmp_path: Path, compression: str) -> None:
    source = grey("photo")
    done = run(JOB, saved(Image.fromarray(source), tmp_path, "tiff", compression=compression), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), equalized(source))
    with Image.open(done.out) as new:
        assert new.info["compression"] == compression
    assert done.split.in_source == (compression == "raw")


def test_a_tiff_compressed_with_loss_is_written_without(tmp_path: Path) -> None:
    path = saved(Image.fromarray(grey("photo")), tmp_path, "tiff", compression="jpeg")
    done = run(JOB, path, tmp_path)
    np.testing.assert_array_equal(pixels(done.out), equalized(pixels(path).astype(np.uint8)))
    with Image.open(done.out) as new:
        assert new.info["compression"] == "tiff_lzw"


def test_a_large_part_of_a_picture_is_no_different_from_a_small_one(tmp_path: Path) -> None:
    """A map task works through its piece in parts; this one has several, and a last one that isn't full."""
    source = (photo(700, 1001) * 255).astype(np.uint8)
    for kind in LOSSLESS:
        done = run(JOB, saved(Image.fromarray(source), tmp_path, kind), tmp_path, chunk_size=690)
        np.testing.assert_array_equal(pixels(done.out), equalized(source))
    colour = Image.merge("RGB", [Image.fromarray(channel) for channel in (source, source // 2, 255 - source)])
    done = run(JOB, saved(colour, tmp_path, "png"), tmp_path, chunk_size=690)
    np.testing.assert_array_equal(pixels(done.out), np.asarray(equalized_colour(colour)))


# --- 16 bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_16_bits_use_their_own_range(tmp_path: Path, order: str) -> None:
    source = (photo() * 9_000).astype(np.uint16)
    data = source.astype("<u2" if order == "I;16" else ">u2").tobytes()
    path = saved(Image.frombytes(order, (WIDTH, HEIGHT), data), tmp_path, "tiff")
    done = run(JOB, path, tmp_path)
    new = pixels(done.out).astype(np.uint16)
    np.testing.assert_array_equal(new, equalized(source))
    assert new.max() == 65535


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {}], ids=["compressed TIFF", "PNG"])
def test_16_bits_that_must_be_decoded_are_the_same(tmp_path: Path, options: dict[str, str]) -> None:
    source = (photo(300, 1000) * 60_000).astype(np.uint16)  # more than one part of a task
    kind = "tiff" if options else "png"
    done = run(JOB, saved(Image.fromarray(source), tmp_path, kind, **options), tmp_path, chunk_size=299)
    np.testing.assert_array_equal(pixels(done.out).astype(np.uint16), equalized(source))
    assert len(done.given) == 2 * 65536


# --- colour -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
def test_of_colours_the_luminance_is_equalized(tmp_path: Path, kind: str) -> None:
    source = colours()
    done = run(JOB, saved(source, tmp_path, kind), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), np.asarray(equalized_colour(source)))


def test_colours_keep_their_hue(tmp_path: Path) -> None:
    """Within rounding, where the new luminance leaves room for them."""
    source = Image.merge(
        "RGB", [Image.fromarray((photo() * 60 + base).astype(np.uint8)) for base in (90, 100, 95)]
    )
    done = run(JOB, saved(source, tmp_path, "png"), tmp_path)
    before = np.asarray(source.convert("YCbCr")).astype(int)
    with Image.open(done.out) as new:
        after = np.asarray(new.convert("YCbCr")).astype(int)
    room = (after[..., 0] > 40) & (after[..., 0] < 215)
    assert room.sum() > 500
    assert np.abs(before - after)[room][:, 1:].max() <= 2
    assert np.ptp(after[..., 0]) > 2 * np.ptp(before[..., 0])


def test_a_picture_of_one_single_colour_is_left_as_it_is(tmp_path: Path) -> None:
    source = Image.new("RGB", (20, 20), (13, 77, 201))
    done = run(JOB, saved(source, tmp_path, "png"), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), np.asarray(source))


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept_as_it_was(tmp_path: Path, kind: str, mode: str) -> None:
    source = colours(mode)
    done = run(JOB, saved(source, tmp_path, kind), tmp_path)
    with Image.open(done.out) as new:
        assert new.mode == mode
        np.testing.assert_array_equal(np.asarray(new.getchannel("A")), np.asarray(source.getchannel("A")))
        if mode == "LA":
            expected = equalized(np.asarray(source.getchannel("L")))
            np.testing.assert_array_equal(np.asarray(new.getchannel("L")), expected)
        else:
            np.testing.assert_array_equal(
                np.asarray(new.convert("RGB")), np.asarray(equalized_colour(source))
            )


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_palette_becomes_its_colours(tmp_path: Path, kind: str) -> None:
    source = colours().quantize(60)
    done = run(JOB, saved(source, tmp_path, kind), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), np.asarray(equalized_colour(source)))


def test_a_palette_of_greys_becomes_grey(tmp_path: Path) -> None:
    source = Image.fromarray(grey("random") % 200, "P")
    source.putpalette([level // 2 for level in range(256) for _ in range(3)])
    done = run(JOB, saved(source, tmp_path, "png"), tmp_path)
    np.testing.assert_array_equal(pixels(done.out), equalized(np.asarray(source.convert("L"))), strict=True)


@pytest.mark.parametrize("transparency", [7, bytes(range(0, 240, 4))], ids=["one entry", "several"])
def test_a_palette_with_transparency_keeps_it(tmp_path: Path, transparency: int | bytes) -> None:
    path = saved(colours().quantize(60), tmp_path, "png", transparency=transparency)
    done = run(JOB, path, tmp_path)
    with Image.open(path) as source, Image.open(done.out) as new:
        assert (source.mode, new.mode) == ("P", "RGBA")
        before, after = source.convert("RGBA"), np.asarray(new)
    np.testing.assert_array_equal(after[..., 3], np.asarray(before)[..., 3])
    assert len(set(after[..., 3].ravel().tolist())) > 1
    np.testing.assert_array_equal(after[..., :3], np.asarray(equalized_colour(before)))


def test_a_transparent_level_or_colour_becomes_alpha(tmp_path: Path) -> None:
    level = Image.fromarray(grey("dark, with zeros"))
    colour = colours()
    of_colour = colour.getpixel((0, 0))
    for source, transparent, mode in ((level, 2, "LA"), (colour, of_colour, "RGBA")):
        path = saved(source, tmp_path, "png", transparency=transparent)
        with Image.open(run(JOB, path, tmp_path).out) as new:
            assert new.mode == mode
            alpha = np.asarray(new.getchannel("A"))
        matches = np.asarray(source).reshape(HEIGHT, WIDTH, -1) == np.asarray(transparent)
        np.testing.assert_array_equal(alpha, np.where(matches.all(axis=-1), 0, 255))


def test_one_bit_becomes_grey(tmp_path: Path) -> None:
    source = Image.fromarray(grey("random") > 100)
    assert source.mode == "1"
    for kind, options in (("png", {}), ("tiff", {}), ("tiff", {"compression": "group4"})):
        done = run(JOB, saved(source, tmp_path, kind, **options), tmp_path)
        np.testing.assert_array_equal(
            pixels(done.out), np.asarray(source).astype(np.uint8) * 255, strict=True
        )


# --- JPEG ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_comes_back_as_a_jpeg_of_what_it_shows(tmp_path: Path, mode: str, progressive: bool) -> None:
    path = saved(colours(mode) if mode != "L" else Image.fromarray(grey("photo")), tmp_path, "jpg",
                 progressive=progressive)  # fmt: skip
    done = run(JOB, path, tmp_path)
    with Image.open(path) as source, Image.open(done.out) as new:
        assert (new.format, new.mode) == ("JPEG", "L" if mode == "L" else "RGB")
        shown = equalized(np.asarray(source)) if mode == "L" else np.asarray(equalized_colour(source))
        assert np.abs(np.asarray(new).astype(int) - shown.astype(int)).mean() < 3  # JPEG rounds


def test_a_phones_jpeg_with_a_preview_in_it_is_one_picture(tmp_path: Path) -> None:
    main, preview = Image.fromarray(grey("photo")).resize((80, 60)), Image.new("L", (8, 6))
    path = saved(main, tmp_path, "mpo", save_all=True, append_images=[preview])
    with Image.open(path) as source:
        assert source.format == "MPO"
    done = run(JOB, path, tmp_path)
    with Image.open(done.out) as new:
        assert (new.format, new.size, done.out.suffix) == ("JPEG", (80, 60), ".jpg")


# --- what stands beside the pixels --------------------------------------------------------------------------

EXIF = Image.Exif()
EXIF[271] = "A camera"
EXIF.get_ifd(0x8769)[36867] = "2025:11:22 12:00:00"
PROFILES = {"L": b"x" * 16 + b"GRAY" + b"y" * 200, "RGB": b"x" * 16 + b"RGB " + b"y" * 200}


@pytest.mark.parametrize("kind", ["tiff", "png", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_exif_profile_and_resolution_are_kept(tmp_path: Path, kind: str, mode: str) -> None:
    source = colours().convert(mode)
    path = saved(source, tmp_path, kind, dpi=(150, 150), icc_profile=PROFILES[mode], exif=EXIF.tobytes())
    done = run(JOB, path, tmp_path)
    with Image.open(done.out) as new:
        assert new.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert new.info["icc_profile"] == PROFILES[mode]
        assert new.getexif()[271] == "A camera"
        assert new.getexif().get_ifd(0x8769)[36867] == "2025:11:22 12:00:00"


def test_a_profile_of_other_colours_is_dropped(tmp_path: Path) -> None:
    path = saved(colours("CMYK"), tmp_path, "jpg", icc_profile=b"x" * 16 + b"CMYK" + b"y" * 200)
    with Image.open(run(JOB, path, tmp_path).out) as new:
        assert "icc_profile" not in new.info


def test_what_is_too_large_for_a_znode_is_dropped_and_the_picture_is_not(tmp_path: Path) -> None:
    source = grey("photo")
    path = saved(Image.fromarray(source), tmp_path, "png", icc_profile=PROFILES["L"] + bytes(200_000))
    done = run(JOB, path, tmp_path)
    np.testing.assert_array_equal(pixels(done.out), equalized(source))
    assert len(str(done.split.about)) < 1000


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_picture_that_lies_on_its_side_is_shown_as_before(tmp_path: Path, orientation: int) -> None:
    """A TIFF is turned, since Pillow turns it when it decodes it; the others keep the tag that says so."""
    source = grey("photo")
    exif = Image.Exif()
    exif[274] = orientation
    turned = {1: source, 3: np.rot90(source, 2), 6: np.rot90(source, -1)}[orientation]
    for kind, shown, tag in (("tiff", turned, 1), ("png", source, orientation)):
        done = run(JOB, saved(Image.fromarray(source), tmp_path, kind, exif=exif), tmp_path)
        np.testing.assert_array_equal(pixels(done.out), equalized(shown.astype(np.uint8)), strict=True)
        with Image.open(done.out) as new:
            assert new.getexif().get(274, 1) == tag


# --- the same arguments give the same bytes -----------------------------------------------------------------


def without_paths(done: Run) -> tuple[object, ...]:
    return done.split, done.results, done.given, done.out.read_bytes()


@pytest.mark.parametrize("kind", ["tiff", "png", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_two_runs_give_the_same_bytes(tmp_path: Path, kind: str, mode: str) -> None:
    path = saved(colours().convert(mode), tmp_path, kind)
    one, other = (run(JOB, path, tmp_path / name) for name in ("one", "other"))
    assert without_paths(one) == without_paths(other)
    if not one.split.in_source:
        assert (tmp_path / "one" / "array").read_bytes() == (tmp_path / "other" / "array").read_bytes()


def test_a_plain_tiff_keeps_all_but_its_pixels(tmp_path: Path) -> None:
    """Software writes what stands around them before or after; both are taken over, byte for byte."""
    source = grey("photo")
    path = saved(Image.fromarray(source), tmp_path, "tiff", software="a camera", dpi=(300, 300))
    data = path.read_bytes()
    start = data.index(source.tobytes())
    path.write_bytes(data + b"what an editor has put behind")

    made = run(JOB, path, tmp_path).out.read_bytes()

    assert made[:start] == data[:start]
    assert made[start:-29] == equalized(source).tobytes()
    assert made[-29:] == b"what an editor has put behind"


def test_a_plain_tiff_with_too_much_around_its_pixels_is_written_anew(tmp_path: Path) -> None:
    source = grey("photo")
    path = saved(Image.fromarray(source), tmp_path, "tiff")
    path.write_bytes(path.read_bytes() + bytes(200_000))

    done = run(JOB, path, tmp_path)

    np.testing.assert_array_equal(pixels(done.out), equalized(source))
    assert len(str(done.split.about)) < 1000
