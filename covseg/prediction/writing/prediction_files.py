"""The files that hold the prediction for one film."""

import dataclasses
import io
import pathlib

import numpy as np
from PIL import Image

from covseg.prediction.prediction import Prediction
from covseg.prediction.reading.film_search import FoundFilm, result_name
from covseg.prediction.writing import dicom_seg
from covseg.workdir import write_whole


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What is written besides masks and overlays.

  Attributes:
    lungs: masks of the lungs.
    probabilities: maps of probability, as PNG of 16 bits.
    segmentations: DICOM Segmentation objects, for films that are DICOM.
  """

  lungs: bool = False
  probabilities: bool = False
  segmentations: bool = False


def exist(folder: pathlib.Path, found: FoundFilm, wanted: Wanted, is_dicom: bool) -> bool:
  """Whether the results of a film are there."""
  files = [folder / kind / result_name(found.name) for kind in _kinds(wanted) if kind != "segmentations"]
  if wanted.segmentations and is_dicom:
    files.append(_segmentation(folder, found))
  return all(file.exists() for file in files)


def check_free(folder: pathlib.Path, wanted: Wanted) -> None:
  """Raises ValueError if there are files where results would lie in a folder, but for hidden ones."""
  for kind in _kinds(wanted):
    if (folder / kind).is_dir() and any(not file.name.startswith(".") for file in (folder / kind).iterdir()):
      raise ValueError(
        f"{folder / kind} holds files that no run of predict has written, and that this one might overwrite; name "
        "another folder as --output."
      )


def _kinds(wanted: Wanted) -> list[str]:
  """The folders of results."""
  return ["masks", "overlays", *(field.name for field in dataclasses.fields(wanted) if getattr(wanted, field.name))]


def write(folder: pathlib.Path, found: FoundFilm, prediction: Prediction, wanted: Wanted, model_name: str) -> str:
  """Writes the results of a film, each whole or not at all.

  Returns:
    Why a result is lacking that is wanted: of a DICOM file that is not by the standard, the segmentation. Else empty.

  Raises:
    OSError: there is no room, or a name is too long.
  """
  name = result_name(found.name)
  write_whole(folder / "masks" / name, _png(_black_and_white(prediction.mask)))
  write_whole(folder / "overlays" / name, _png(prediction.overlay()))
  if wanted.lungs:
    write_whole(folder / "lungs" / name, _png(_black_and_white(prediction.lungs)))
  if wanted.probabilities:
    write_whole(
      folder / "probabilities" / name, _png(Image.fromarray(np.round(65535 * prediction.probability).astype("u2")))
    )
  if wanted.segmentations and prediction.is_dicom:
    try:
      content = dicom_seg.segmentation(pathlib.Path(found.path), prediction, model_name)
    except ValueError as error:
      return f"it has no segmentation: the file {error}"
    write_whole(_segmentation(folder, found), content)
  return ""


def _segmentation(folder: pathlib.Path, found: FoundFilm) -> pathlib.Path:
  return folder / "segmentations" / f"{found.name}.dcm"


def _black_and_white(mask: np.ndarray) -> Image.Image:
  """White where True."""
  return Image.fromarray(np.uint8(255) * mask.view(np.uint8))


def _png(picture: Image.Image) -> bytes:
  file = io.BytesIO()
  picture.save(file, format="PNG", compress_level=1)
  return file.getvalue()
