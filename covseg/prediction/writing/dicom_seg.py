"""A prediction as a DICOM Segmentation object, for viewers such as 3D Slicer and OHIF."""

import io
import pathlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from covseg.drawing.pictures import PREDICTION_COLOR, TRUTH_COLOR
from covseg.prediction.prediction import Prediction
from input_pipeline.dicom import file as dicom_file

if TYPE_CHECKING:
  from pydicom import Dataset

# Of type 2: they must be there, and may be empty.
# fmt: off
_EMPTY_IF_ABSENT = (
  "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
  "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
)
# fmt: on
# Anonymised files hold anything in place of dates and numbers.
_PATTERNS = {
  "Date": r"\d{8}",
  "Time": r"\d{2,6}(\.\d+)?",
  "Sex": "[MFO]",
  "SeriesNumber": r"\d{1,9}",
  "InstanceNumber": r"\d{1,9}",
}

_LONGEST_TEXT = 64  # Of a value representation LO.
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def segmentation(path: pathlib.Path, prediction: Prediction, model_name: str) -> bytes:
  """A DICOM file with infection, and lungs where they are known, that refers to the film it is of.

  It takes patient and study from the film, as the standard has it: viewers put it with the film.

  Args:
    path: the DICOM file of the film.
    prediction: for it.
    model_name: what tells the model from others.

  Raises:
    ValueError: the film lacks what a segmentation needs.
  """
  with dicom_file.quiet():  # What the libraries warn of quotes the patient's name.
    return _segmentation(path, prediction, model_name)


def check_installed() -> None:
  """Raises ValueError if highdicom is not installed."""
  try:
    import highdicom  # noqa: F401
  except ImportError as error:
    raise ValueError("--dicom-seg needs what writes such files: pip install 'covseg[dicom]'") from error


def _segmentation(path: pathlib.Path, prediction: Prediction, model_name: str) -> bytes:
  import highdicom
  import pydicom
  from pydicom.sr.codedict import codes

  model_name = model_name[-_LONGEST_TEXT:]  # A path may be longer; the fingerprint comes last.
  finding, organ = codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.AnatomicalStructure
  covid = highdicom.sr.CodedConcept("840539006", "SCT", "Disease caused by SARS-CoV-2")
  segments = [("COVID-19 infection", finding, covid, PREDICTION_COLOR, prediction.mask)]
  if prediction.lungs is not None:
    segments.append(("Lungs", organ, codes.SCT.Lung, TRUTH_COLOR, prediction.lungs))
  algorithm = highdicom.AlgorithmIdentificationSequence(
    name="covseg", version=model_name, family=codes.DCM.ArtificialIntelligence
  )
  descriptions = [
    highdicom.seg.SegmentDescription(
      segment_number=number,
      segment_label=label,
      segmented_property_category=category,
      segmented_property_type=code,
      algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
      algorithm_identification=algorithm,
      display_color=highdicom.color.CIELabColor.from_rgb(*color.tolist()),
    )
    for number, (label, category, code, color, _) in enumerate(segments, start=1)
  ]
  try:
    film = pydicom.dcmread(path, force=True)
    if encodings := film.get("SpecificCharacterSet"):
      names = [encodings] if isinstance(encodings, str) else encodings
      names = [re.sub("ISO[-_ ]IR", "ISO_IR", name) for name in names]
      film.SpecificCharacterSet = names if set(names) <= set(pydicom.charset.python_encoding) else "ISO_IR 192"
    for keyword in _EMPTY_IF_ABSENT:
      pattern = next((p for ending, p in _PATTERNS.items() if keyword.endswith(ending)), "(?s).*")
      if keyword not in film or not re.fullmatch(pattern, _text(film, keyword)):
        setattr(film, keyword, None)
    _place(film, highdicom.UID())
    result = highdicom.seg.Segmentation(
      source_images=[film],
      pixel_array=np.stack([mask for *_, mask in segments], axis=-1)[None].astype(np.uint8),  # (1, H, W, S)
      segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
      segment_descriptions=descriptions,
      series_instance_uid=highdicom.UID(),
      series_number=1,
      sop_instance_uid=highdicom.UID(),
      instance_number=1,
      manufacturer="covseg",
      manufacturer_model_name="covseg",
      software_versions=model_name,
      device_serial_number="0",
      content_creator_name="covseg",
      omit_empty_frames=False,
    )
    content = io.BytesIO()
    result.save_as(content)
    return content.getvalue()
  except Exception as error:  # highdicom raises errors of any kind for files that are not by the standard.
    raise ValueError(f"lacks what a DICOM Segmentation needs ({type(error).__name__})") from error


def _place(film: "Dataset", frame_of_reference: str) -> None:
  """Puts a film that has no place in the patient's space, or none that can be meant, where viewers show it.

  3D Slicer and OHIF open no segmentation without a place. They show such a film from the origin on, in the
  plane of the first two axes, and Slicer takes the distances of its pixels from where ITK looks for them.
  """
  position, orientation = _numbers(film, "ImagePositionPatient", 3), _numbers(film, "ImageOrientationPatient", 6)
  has_axes = orientation is not None and any(orientation[:3]) and any(orientation[3:])
  if not (_text(film, "FrameOfReferenceUID") and position and has_axes and _spacing(film, ["PixelSpacing"])):
    is_capture = film.SOPClassUID.startswith(_SECONDARY_CAPTURE)
    names = ("PixelSpacing", "NominalScannedPixelSpacing") if is_capture else ("ImagerPixelSpacing",)
    film.FrameOfReferenceUID = frame_of_reference
    film.ImagePositionPatient = [0, 0, 0]
    film.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    film.PixelSpacing = _spacing(film, names) or [1, 1]
  thickness = _numbers(film, "SliceThickness", 1)
  if not thickness or thickness[0] <= 0:
    film.SliceThickness = 1


def _spacing(film: "Dataset", names: Iterable[str]) -> list[float] | None:
  """The first of these elements that holds two distances, in mm."""
  found = (_numbers(film, name, 2) for name in names)
  return next((spacing for spacing in found if spacing and min(spacing) > 0), None)


def _numbers(film: "Dataset", name: str, count: int) -> list[float] | None:
  """The finite numbers of an element, if it holds so many."""
  try:
    value = film[name].value if name in film else None
    numbers = [float(x) for x in (value if np.ndim(value) else [value])]
  except (TypeError, ValueError):
    return None
  return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _text(film: "Dataset", keyword: str) -> str:
  """The value of an element in words; empty where it is absent or cannot be read."""
  try:
    return str(film[keyword].value or "") if keyword in film else ""
  except (TypeError, ValueError):
    return ""
