"""Rows as pictures: read back by Pillow, pixel for pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from heritage.errors import BadInput
from heritage.labelling.picture import png


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (5, 7, 1), (3, 5, 7), (5, 7, 3)])
def test_pixels_come_back(shape):
    row = np.random.default_rng(0).random(shape).astype(np.float32)
    shown = np.asarray(Image.open(io.BytesIO(png(row))))
    scaled = (row - row.min()) * (255 / (row.max() - row.min()))
    wanted = np.moveaxis(scaled, 0, 2) if shape[0] in (1, 3) and len(shape) == 3 else scaled
    assert np.abs(shown.astype(float) - wanted.reshape(shown.shape)).max() <= 0.51


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_a_flat_image_and_one_of_nothing_finite_are_black(value):
    shown = np.asarray(Image.open(io.BytesIO(png(np.full((4, 4), value, np.float32)))))
    assert not shown.any()


@pytest.mark.parametrize("shape", [(4,), (2, 5, 7), (4, 0), (1, 1, 1, 1)])
def test_other_rows_are_no_image(shape):
    with pytest.raises(BadInput, match="is no image"):
        png(np.zeros(shape, np.float32))
