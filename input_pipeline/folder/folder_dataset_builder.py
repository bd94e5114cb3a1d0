"""TFDS builder of a user's own folder of films and masks."""

import collections
import dataclasses
import hashlib
import io
import logging
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline import pixels
from input_pipeline.grey_levels import to_grey
from input_pipeline.pixels import Picture
from input_pipeline.turns import UPRIGHT
from input_pipeline.wording import first_of

SPLITS = ("train", "validation", "test")
_LAYOUT = (
  "{train,validation,test}/{images,masks}/NAME and, where there are such, lung_masks/NAME and negatives/NAME, "
  "films without infection, which need no mask"
)
_OF_WINDOWS = ("thumbs.db", "desktop.ini")  # Left in folders of pictures.
_NAMES_SHOWN = 5
_TURNED = "is turned upright as its file says, and so is its mask, if that has the shape of the film as stored"

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class FolderConfig(tfds.core.BuilderConfig):
  """A folder: its records lie apart from those of any other.

  Attributes:
    folder: that holds the splits.
    with_negatives: whether films without infection are among the records.
  """

  folder: str = ""
  with_negatives: bool = False


class _Film(NamedTuple):
  """Files of a film; it has no infection where `mask` is None."""

  image: pathlib.Path
  mask: pathlib.Path | None
  lung_mask: pathlib.Path | None


class Builder(tfds.core.GeneratorBasedBuilder):
  """Films and masks of any size and kind that `pixels` reads, kept as upright 8-bit grey PNG."""

  VERSION = tfds.core.Version("1.0.2")
  RELEASE_NOTES = {
    "1.0.0": "First release.",
    "1.0.1": "Grey levels of files that contradict themselves.",
    "1.0.2": "Masks that name no orientation are turned with their films; padding and windows of DICOM.",
  }
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"Name the folder with dataset.manual_dir; expected {_LAYOUT}."

  @classmethod
  def config_of(cls, cohort: str, folder: pathlib.Path) -> FolderConfig:
    """The configuration of a folder."""
    digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]
    return FolderConfig(name=f"{cohort}_{digest}", folder=str(folder), with_negatives=cohort == "all")

  def _info(self) -> tfds.core.DatasetInfo:
    image = tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png")
    features = {"image": image, "infection_mask": image, "id": tfds.features.Text()}
    folder = pathlib.Path(self.builder_config.folder)
    if any(_by_stem(folder / split / "lung_masks", []) for split in SPLITS):
      features["lung_mask"] = image
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "infection_mask"),
      metadata=tfds.core.MetadataDict(),
    )

  def source(self, manual_dir: str) -> dict[str, object]:
    """A fingerprint of the files, and the number of films of each split."""
    films = self._films(pathlib.Path(manual_dir))
    files = [file for listed in films.values() for film in listed.values() for file in film if file]
    lines = (f"{file.relative_to(manual_dir)} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"fingerprint": fingerprint, "counts": {split: {"films": len(films[split])} for split in films}}

  def count_report(self) -> str:
    """One sentence with the number of films of each split."""
    counts = {split: info.num_examples for split, info in self.info.splits.items()}
    return ", ".join(f"{split} {count:,} films" for split, count in counts.items())

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    films = self._films(pathlib.Path(dl_manager.manual_dir))
    self.info.metadata["source"] = self.source(dl_manager.manual_dir)
    return {split: self._generate_examples(split, listed) for split, listed in films.items()}

  def _generate_examples(self, split: str, films: Mapping[str, _Film]) -> Iterator[tuple[str, dict[str, object]]]:
    notes = collections.defaultdict(list)
    for name, film in films.items():
      picture, grey = _read(film.image)
      for note in (*picture.remarks, *([_TURNED] if picture.turn != UPRIGHT else [])):
        notes[note].append(name)
      example = {"image": pixels.to_png(grey), "id": name, "infection_mask": _mask(film.mask, grey.shape, picture)}
      if "lung_mask" in self.info.features:
        example["lung_mask"] = _mask(film.lung_mask, grey.shape, picture)
      yield name, example
    for note, names in notes.items():
      logger.warning("%s: %s.", split, _named(names, f"of {len(films)} films: each {note}")[0])

  def _films(self, folder: pathlib.Path) -> dict[str, dict[str, _Film]]:
    """{split: {name: film}} of the splits that there are, in the order of their names.

    Raises:
      FileNotFoundError: there is no split.
      ValueError: a split is empty, a film lacks its mask or a mask its film, a name cannot be used, or pictures lie
        deeper; it names them.
    """
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if not splits:
      raise FileNotFoundError(f"{folder} has no split; expected {_LAYOUT}.")
    films, problems, of_lungs = {}, [], {}
    for split in splits:
      kinds = ("images", "masks", "negatives", "lung_masks")
      images, masks, negatives, lungs = (_by_stem(folder / split / kind, problems) for kind in kinds)
      films[split] = {name: _Film(file, masks.get(name), lungs.get(name)) for name, file in images.items()}
      if self.builder_config.with_negatives:
        films[split] |= {name: _Film(file, None, lungs.get(name)) for name, file in negatives.items()}
      all_films = {**images, **negatives}
      problems += _named(images.keys() - masks.keys(), f"films of {split}/images have no mask")
      problems += _named(masks.keys() - images.keys(), f"masks of {split}/masks have no film")
      problems += _named(images.keys() & negatives.keys(), f"films of {split} are in images and in negatives")
      problems += _named(lungs.keys() - all_films.keys(), f"masks of {split}/lung_masks have no film")
      of_lungs[split] = lungs.keys()
      if not films[split]:
        problems.append(f"{split} has no film")
    if any(of_lungs.values()):
      for split in splits:
        problems += _named(films[split].keys() - of_lungs[split], f"films of {split} have no lung mask")
    if problems:
      raise ValueError(f"{folder}: {'; '.join(problems)}. Expected {_LAYOUT}; names match without their suffix.")
    return films


def _by_stem(folder: pathlib.Path, problems: list[str]) -> dict[str, pathlib.Path]:
  """{name without suffix: file} of a folder, hidden files left out; notes as a problem what cannot be one."""
  files, folders, broken = collections.defaultdict(list), [], []
  for file in sorted(folder.iterdir()) if folder.is_dir() else ():
    if file.name.lower() in _OF_WINDOWS or file.name.startswith("."):
      continue
    if file.is_file():
      # DICOM files are often named by a number with points.
      stem = file.stem if file.suffix[1:2].isalpha() else file.name
      files[unicodedata.normalize("NFC", stem)].append(file)  # Systems differ in how they write an umlaut.
    elif file.is_dir() and _holds_pictures(file):
      folders.append(file.name)
    elif file.is_symlink() and not file.exists():
      broken.append(file.name)
  problems += _named({stem for stem, named in files.items() if len(named) > 1}, f"names in {folder} occur twice")
  problems += _named(folders, f"folders of pictures in {folder}, where pictures are expected")
  problems += _named(broken, f"links in {folder} lead nowhere")
  problems += _named([name for name in files if not _is_text(name)], f"names in {folder} are not UTF-8")
  return {stem: named[0] for stem, named in files.items()}


def _named(names: Sequence[str] | set[str], what: str) -> list[str]:
  if not names:
    return []
  shown = [name.encode("utf-8", "backslashreplace").decode() for name in sorted(names)]
  return [f"{len(names)} {what} ({first_of(shown, _NAMES_SHOWN)})"]


def _holds_pictures(folder: pathlib.Path) -> bool:
  try:
    for file in filter(pathlib.Path.is_file, folder.iterdir()):
      with file.open("rb") as opened:
        if pixels.is_picture(opened.read(132)):
          return True
  except OSError:
    pass
  return False


def _is_text(name: str) -> bool:
  try:
    return bool(name.encode())
  except UnicodeEncodeError:
    return False


def _read(file: pathlib.Path) -> tuple[Picture, np.ndarray]:
  """The picture of a film's file, and the film, uint8 (H, W), upright."""
  try:
    picture = pixels.decode(file.read_bytes())
    return picture, np.ascontiguousarray(picture.turn.apply(to_grey(picture.values)))
  except ValueError as error:
    raise ValueError(f"{file} {error}.") from error


def _mask(file: pathlib.Path | None, shape: tuple[int, int], film: Picture) -> io.BytesIO:
  """PNG of the mask of a film, upright; an empty one of a shape where there is no file."""
  if file is None:
    return pixels.to_png(np.zeros(shape, np.uint8))
  try:
    mask = pixels.decode_mask(file.read_bytes(), film)
  except ValueError as error:
    raise ValueError(f"{file} {error}.") from error
  return pixels.to_png(255 * mask.astype(np.uint8))
