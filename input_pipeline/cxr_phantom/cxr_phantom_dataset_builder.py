"""TFDS builder of synthetic chest films; features and configs as in `covid_qu_ex`."""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.cxr_phantom import phantom
from input_pipeline.pixels import to_png

# Infected films of each split; the config "all" adds a third as many with none.
_NUM_INFECTED = {"train": 288, "validation": 48, "test": 72}
_LABELS = ("COVID-19", "Normal")


class Builder(tfds.core.GeneratorBasedBuilder):
  """Synthetic chest films of 256x256 pixels with infection and lung masks."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name="covid", description="Films with infections only."),
    tfds.core.BuilderConfig(name="all", description="One film in four has no infection."),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    shape = (phantom.SIZE, phantom.SIZE, 1)
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "infection_mask": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "lung_mask": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "label": tfds.features.ClassLabel(names=_LABELS),
          "id": tfds.features.Text(),
        }
      ),
      supervised_keys=("image", "infection_mask"),
      metadata=tfds.core.MetadataDict(),
    )

  def source(self, manual_dir: str) -> dict[str, object]:
    """What a build holds, as in `covid_qu_ex`; the films follow from the version alone."""
    del manual_dir
    counts = {
      split: dict(zip(_LABELS, (infected, self._num_healthy(infected)), strict=True))
      for split, infected in _NUM_INFECTED.items()
    }
    return {"fingerprint": str(self.VERSION), "counts": counts}

  def _num_healthy(self, num_infected: int) -> int:
    return num_infected // 3 if self.builder_config.name == "all" else 0

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # Nothing is downloaded.
    self.info.metadata["source"] = self.source("")
    return {split: self._generate_examples(split) for split in _NUM_INFECTED}

  def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, object]]]:
    num_infected = _NUM_INFECTED[split]
    for i in range(num_infected + self._num_healthy(num_infected)):
      film_id = f"{split}_{i:04d}"
      infected = i < num_infected
      film = phantom.draw((list(_NUM_INFECTED).index(split), i), infected)
      yield (
        film_id,
        {
          "image": to_png(film.image),
          "infection_mask": to_png(255 * film.infection_mask.astype(np.uint8)),
          "lung_mask": to_png(255 * film.lung_mask.astype(np.uint8)),
          "label": _LABELS[0] if infected else _LABELS[1],
          "id": film_id,
        },
      )
