"""A row of pixels as a PNG file, for people who are asked what it shows."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {1: 0, 3: 2}  # number of channels -> PNG's colour type


def png(row: NDArray[np.float32]) -> bytes:
    """The image `row`, (height, width), (1 or 3, height, width) or (height, width, 1 or 3), as PNG.

    The lowest value becomes black and the highest white; what is not finite becomes black. Raises `BadInput` for
    other shapes.
    """
    image = row[None] if row.ndim == 2 else row
    if image.ndim == 3 and image.shape[0] not in _CHANNELS and image.shape[2] in _CHANNELS:
        image = np.moveaxis(image, 2, 0)
    if image.ndim != 3 or image.shape[0] not in _CHANNELS or not image.size:
        raise BadInput(f"a row of shape {row.shape} is no image; expected one or three channels of pixels")
    pixels = np.moveaxis(_as_bytes(image), 0, 2)
    height, width, channels = pixels.shape
    # every line begins with the number of its filter: none
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, _CHANNELS[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _as_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(image)
    values = np.where(known, image, 0.0).astype(np.float64)
    low = float(values[known].min()) if known.any() else 0.0
    spread = float(values[known].max()) - low if known.any() else 0.0
    scaled = np.where(known, values - low, 0.0) * (255.0 / spread if spread > 0 else 0.0)
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
