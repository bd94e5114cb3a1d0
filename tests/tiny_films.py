"""A TFDS builder of a few small films, as a user's own would be."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from input_pipeline.cxr_phantom import phantom


class TinyFilms(tfds.core.GeneratorBasedBuilder):
  """Phantoms of 64 pixels: 12 to train, 6 to validate, 6 to test; every third has no infection."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(64, 64, 1)),
          "infection_mask": tfds.features.Image(shape=(64, 64, 1)),
          "lung_mask": tfds.features.Image(shape=(64, 64, 1)),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {"train": self._films(0, 12), "validation": self._films(1, 6), "test": self._films(2, 6)}

  def _generate_examples(self):
    raise AssertionError("unused")

  def _films(self, split, count):
    for i in range(count):
      film = phantom.draw((split, i), infected=i % 3 != 2)
      masks = {"infection_mask": _png(film.infection_mask), "lung_mask": _png(film.lung_mask)}
      yield i, {"image": _png(film.image), **masks}


def _png(pixels):
  file = io.BytesIO()
  small = Image.fromarray(pixels.astype(np.uint8) * (255 if pixels.dtype == bool else 1))
  small.resize((64, 64), Image.Resampling.NEAREST).save(file, format="PNG")
  file.seek(0)
  return file
