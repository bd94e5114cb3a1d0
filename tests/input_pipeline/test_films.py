import io
import time

import numpy as np
import pytest
from PIL import Image

from input_pipeline import films
from input_pipeline.grey_levels import to_grey


def _encoded(pixels, mode=None, format="PNG"):
  image = Image.fromarray(pixels)
  file = io.BytesIO()
  (image.convert(mode) if mode else image).save(file, format=format)
  return file.getvalue()


GREY = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)


@pytest.mark.parametrize(
  "value",
  [
    _encoded(GREY),
    _encoded(GREY, "RGB"),
    _encoded(GREY, "LA"),
    _encoded(GREY.astype(np.uint16) * 257),
    GREY,
    GREY[..., None],
    np.repeat(GREY[..., None], 3, axis=-1),
    GREY.astype(np.uint16) * 257,
  ],
  ids=["png", "rgb", "alpha", "16-bit", "array", "channel", "channels", "uint16"],
)
def test_every_form_of_an_image_gives_the_same_grey_values(value):
  image = to_grey(films._picture(value, "film").values)
  assert image.dtype == np.uint8
  assert (image == GREY).all()


@pytest.mark.parametrize(
  "value",
  [
    _encoded(GREY > 20),
    _encoded((GREY > 20).astype(np.uint8) * 255),
    _encoded((GREY > 20).astype(np.uint8)),
    (GREY > 20)[..., None],
    (GREY > 20).astype(np.uint16),
    (GREY > 20).astype(np.float32),
  ],
  ids=["1-bit", "0-255", "0-1", "bool", "uint16", "float"],
)
def test_every_form_of_a_mask_is_binarised_alike(value):
  mask = films._as_mask(value, "film")
  assert mask.dtype == bool
  assert (mask == (GREY > 20)).all()


def test_what_is_no_image_is_refused():
  with pytest.raises(ValueError, match="film is uint8 of shape .* expected"):
    films._picture(np.zeros((4, 4, 2), np.uint8), "film")


def test_an_error_ends_the_reading_of_all_films(monkeypatch):
  class Reader:
    image_size, mask_size, has_lung_masks, opacity_classes, read = 8, 8, False, (), 0

    def __len__(self):
      return 200

    def __getitem__(self, i):
      self.read += 1
      time.sleep(0.01)
      raise ValueError("is damaged")

  reader = Reader()
  with pytest.raises(ValueError, match="is damaged"):
    films.load_films(reader)
  time.sleep(0.5)
  assert reader.read < 100
