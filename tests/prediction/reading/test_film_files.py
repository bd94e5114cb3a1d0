import io

import numpy as np
import pytest
from PIL import Image

from covseg.prediction.reading import film_files
from input_pipeline.turns import Turn
from tests.film_makers import film, picture

_FILM = film()


@pytest.mark.parametrize(
  "content",
  [
    picture(_FILM),
    picture(_FILM, "TIFF"),
    picture(_FILM, "TIFF", compression="tiff_lzw"),
    picture(np.repeat(_FILM[..., None], 3, axis=-1)),
    picture(_FILM.astype(np.uint16) * 257),
    picture(_FILM.astype(np.uint16) * 257, "TIFF"),
    picture(np.dstack([_FILM, np.full_like(_FILM, 255)])),  # With alpha.
  ],
)
def test_the_same_film_in_every_format(content):
  read = film_files.decode(content)
  assert np.array_equal(read.pixels, _FILM)
  assert read.remarks == ()


def test_jpeg_agrees_with_pillow():
  content = picture(_FILM, "JPEG", quality=90)
  assert np.array_equal(film_files.decode(content).pixels, np.asarray(Image.open(io.BytesIO(content))))


def test_twelve_bits_in_sixteen_use_the_whole_scale():
  twelve_bits = np.array([[0, 1024, 2048, 4095]], np.uint16)
  assert film_files.decode(picture(twelve_bits)).pixels.tolist() == [[0, 63, 127, 255]]


def test_floats_and_32_bits_are_scaled_by_their_extremes():
  values = np.array([[-3, 0, 7]])
  for dtype in (np.float32, np.int32):
    assert film_files.decode(picture(values.astype(dtype), "TIFF")).pixels.tolist() == [[0, 76, 255]]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_white_is_zero_is_turned_round(bits):
  levels = np.array([[0, 255, 51]], f"u{bits // 8}") * (257 if bits == 16 else 1)
  content = picture(levels, "TIFF", tiffinfo={262: 0})
  stored_inverted = np.asarray(Image.open(io.BytesIO(content)))  # What Pillow makes of it.
  expected = [[0, 255, 51]] if bits == 8 and stored_inverted[0, 1] == 255 else [[255, 0, 204]]
  assert film_files.decode(content).pixels.tolist() == expected


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_orientation_is_read_and_pixels_stay_as_they_are_stored(file_format):
  exif = Image.Exif()
  exif[274] = 6
  content = picture(_FILM[:40], file_format, exif=exif)
  read = film_files.decode(content)
  stored = np.asarray(Image.open(io.BytesIO(picture(_FILM[:40], file_format))))
  assert np.array_equal(read.pixels, stored)
  upright = Image.open(io.BytesIO(picture(_FILM[:40], file_format))).transpose(Image.Transpose.ROTATE_270)
  assert np.array_equal(read.turn.apply(read.pixels), np.asarray(upright))


def test_a_photograph_in_colours_is_remarked_upon_and_a_jpeg_of_a_grey_film_is_not():
  grey = np.repeat(_FILM[..., None], 3, axis=-1)
  assert film_files.decode(picture(grey, "JPEG")).remarks == ()
  assert film_files.decode(picture(grey // np.array([1, 2, 3], np.uint8))).remarks == ("is in colours",)


@pytest.mark.parametrize(
  "values",
  [
    _FILM,
    _FILM[..., None],
    np.repeat(_FILM[..., None], 3, axis=-1),
    _FILM / 255,
    _FILM.astype(np.uint16) * 257,
  ],
)
def test_arrays(values):
  assert np.array_equal(film_files.from_array(values).pixels, _FILM)


@pytest.mark.parametrize(
  ("values", "message"),
  [
    (_FILM.astype(complex), "is complex128"),
    (_FILM[None, None], "shape"),
    (_FILM[:0], "shape"),
    (_FILM.astype(float), "from 0 to 1"),
    (np.full((4, 4), np.nan), "from 0 to 1"),
  ],
)
def test_other_arrays_are_refused(values, message):
  with pytest.raises(ValueError, match=message):
    film_files.from_array(values)


def test_upright_is_where_nothing_is_said():
  assert film_files.decode(picture(_FILM)).turn == Turn()
