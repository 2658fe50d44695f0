"""Small pictures of photos, made within bounds: what a device sends may be made to swell."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

SIDE_POINTS = 320
MOST_POINTS = 40_000_000
"""More than cameras of this kind have. Decoded it takes 160 MB at the most."""
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/tiff": "TIFF", "image/webp": "WEBP"}
"""Decoders that are let at a device's bytes, by what these were sniffed as."""


class Picture(NamedTuple):
    width: int | None
    height: int | None
    thumbnail: Image.Image | None
    fault: str
    """Why there is no thumbnail."""


def look_at(path: Path, content_type: str) -> Picture:
    """The size of an image, and a small one of it."""
    width = height = None
    try:
        with warnings.catch_warnings():
            # Pillow warns of a bomb long before this bound; TIFF tags that are broken are no concern of a log.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[FORMATS[content_type]]) as image:
                width, height = image.size
                if width * height > MOST_POINTS:
                    return Picture(width, height, None, f"no thumbnail: {width} x {height} points are more than is decoded")
                # A JPEG is then decoded at a fraction of its size.
                image.draft("RGB", (SIDE_POINTS, SIDE_POINTS))
                image.thumbnail((SIDE_POINTS, SIDE_POINTS))
                return Picture(width, height, image.convert("RGB"), "")
    except UnidentifiedImageError:
        return Picture(width, height, None, "no thumbnail: it begins like an image and is none")
    except (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, Image.DecompressionBombError) as error:
        # What Pillow's decoders raise on bytes that are wrong; a disk that fails is noticed where files are written.
        return Picture(width, height, None, f"no thumbnail: {error}")
