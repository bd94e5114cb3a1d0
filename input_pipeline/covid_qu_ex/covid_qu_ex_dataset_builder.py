"""TFDS builder of COVID-QU-Ex, Infection Segmentation Data (Tahir et al. 2021)."""

import collections
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.covid_qu_ex import archive


@dataclasses.dataclass
class CovidQuExConfig(tfds.core.BuilderConfig):
  """The labels whose films a config holds."""

  labels: tuple[str, ...] = archive.LABELS


class Builder(tfds.core.GeneratorBasedBuilder):
  """Chest films of 256x256 pixels with infection and lung masks."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "The splits that the archive holds, pixel for pixel."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = archive.HOW_TO_GET_IT
  KAGGLE_HANDLE = archive.KAGGLE_HANDLE
  # Pairs of films that resemble each other, of all splits, by `python -m covseg dataset`.
  DUPLICATES = pathlib.Path(__file__).parent / "duplicates.csv"
  BUILDER_CONFIGS = [
    CovidQuExConfig(name="covid", description="COVID-19 films only.", labels=("COVID-19",)),
    CovidQuExConfig(name="covid_normal", description="COVID-19 and Normal films.", labels=("COVID-19", "Normal")),
    CovidQuExConfig(name="all", description="COVID-19, Non-COVID and Normal films."),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    shape = (archive.IMAGE_SIZE, archive.IMAGE_SIZE, 1)
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "infection_mask": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "lung_mask": tfds.features.Image(shape=shape, dtype=np.uint8, encoding_format="png"),
          "label": tfds.features.ClassLabel(names=archive.LABELS),
          "id": tfds.features.Text(),
        }
      ),
      supervised_keys=("image", "infection_mask"),
      homepage=archive.KAGGLE_PAGE,
      metadata=tfds.core.MetadataDict(),
    )

  def source(self, manual_dir: str) -> dict[str, object]:
    """What a build from `manual_dir` holds: a fingerprint of its files, and films by split and label.

    A build keeps it as `info.metadata["source"]`; one that differs is of another archive.

    Raises:
      FileNotFoundError, ValueError: as `archive.Archive` does.
    """
    opened = archive.Archive(manual_dir)
    return self._source(opened, opened.films(self.builder_config.labels))

  def count_report(self) -> str:
    """One sentence that compares the films of this build with the official counts."""
    return archive.count_report(self.info.metadata["source"]["counts"], self.builder_config.labels)

  def _source(self, opened: archive.Archive, films: Mapping[str, Sequence[archive.Film]]) -> dict[str, object]:
    counts = {split: collections.Counter(film.label for film in listed) for split, listed in films.items()}
    return {"fingerprint": opened.fingerprint(self.builder_config.labels), "counts": counts}

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    opened = archive.Archive(dl_manager.manual_dir)
    films = opened.films(self.builder_config.labels)
    self.info.metadata["source"] = self._source(opened, films)
    return {split: self._generate_examples(opened, listed) for split, listed in films.items()}

  def _generate_examples(
    self, opened: archive.Archive, films: list[archive.Film]
  ) -> Iterator[tuple[str, dict[str, object]]]:
    for film in films:
      pngs = {name: io.BytesIO(png) for name, png in opened.read(film).items()}
      yield film.id, {**pngs, "label": film.label, "id": film.id}
