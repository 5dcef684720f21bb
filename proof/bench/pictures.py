"""What one process does with a picture, and where to get one: the floor under the worker's figures.

The floor is what Week 9's program would do without a cluster: decode (Pillow), count (``np.bincount`` by
bands of the same height), look up, save. It acknowledges nothing, syncs nothing, and has no second copy.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Rows at a time, as the worker's chunk_size.
BAND = 1024

Picture = np.ndarray[Any, np.dtype[np.uint8]]


def picture(megapixels: float) -> bytes:
    """A square grey TIFF of about that many megapixels: a slope with noise, 8 bits."""
    side = round((megapixels * 1e6) ** 0.5)
    random = np.random.default_rng(10)
    slope = np.linspace(30, 200, side, dtype=np.float32)[None, :]
    rows = [slope + 12 * random.standard_normal((1, side), dtype=np.float32) for _ in range(side)]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(rows).clip(0, 255).astype(np.uint8)).save(out, "TIFF")
    return out.getvalue()


def in_one_process(source: Path, target: Path) -> None:
    """Read, equalize and write one grey picture."""
    with Image.open(source) as image:
        pixels: Picture = np.asarray(image)
    histogram = np.zeros(256, dtype=np.int64)
    for top in range(0, len(pixels), BAND):
        histogram += np.bincount(pixels[top : top + BAND].ravel(), minlength=256)
    cdf = np.ma.masked_equal(histogram.cumsum(), 0)
    table = np.ma.filled((cdf - cdf.min()) * 255 / (cdf.max() - cdf.min()), 0).astype(np.uint8)
    Image.fromarray(table[pixels]).save(target, "TIFF")
