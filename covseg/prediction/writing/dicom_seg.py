"""A prediction as a DICOM Segmentation object, for viewers such as 3D Slicer and OHIF."""

import io
import pathlib
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from covseg.drawing.pictures import PREDICTION_COLOR, TRUTH_COLOR
from covseg.prediction.prediction import Prediction

if TYPE_CHECKING:
  from pydicom import Dataset

# Of type 2: they must be there, and may be empty.
# fmt: off
_EMPTY_IF_ABSENT = (
  "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
  "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
)
# fmt: on
# Anonymised files hold anything in place of dates.
_PATTERNS = {"Date": r"\d{8}", "Time": r"\d{2,6}(\.\d+)?"}

_PLACE = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def segmentation(path: pathlib.Path, prediction: Prediction, model_name: str) -> bytes:
  """A DICOM file with infection, and lungs where they are known, that refers to the film it is of.

  It takes patient and study from the film, as the standard has it: viewers put it with the film.

  Args:
    path: the DICOM file of the film.
    prediction: for it.
    model_name: what tells the model from others.

  Raises:
    ValueError: highdicom is not installed, or the film lacks what a segmentation needs.
  """
  # What they warn of quotes the patient's name.
  warnings.filterwarnings("ignore", module=r"highdicom|pydicom")
  try:
    import highdicom
    import pydicom
    from pydicom.sr.codedict import codes
  except ImportError as error:
    raise ValueError("cannot get a segmentation: pip install 'covseg[dicom]'") from error

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
    film = pydicom.dcmread(path)
    for keyword in _EMPTY_IF_ABSENT:
      pattern = _PATTERNS.get(keyword[-4:], "(?s).*")
      if keyword not in film or not re.fullmatch(pattern, str(film[keyword].value or "")):
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
    file = io.BytesIO()
    result.save_as(file)
    return file.getvalue()
  except Exception as error:  # highdicom raises errors of any kind for files that are not by the standard.
    raise ValueError(f"lacks what a DICOM Segmentation needs ({type(error).__name__})") from error


def _place(film: "Dataset", frame_of_reference: str) -> None:
  """Puts a film that has no place in the patient's space where viewers show it.

  3D Slicer and OHIF open no segmentation without a place. They show such a film from the origin on, in the
  plane of the first two axes, and Slicer takes the distances of its pixels from where ITK looks for them.
  """
  if not all(keyword in film for keyword in _PLACE):
    is_capture = film.SOPClassUID.startswith(_SECONDARY_CAPTURE)
    names = ("PixelSpacing", "NominalScannedPixelSpacing") if is_capture else ("ImagerPixelSpacing",)
    spacings = [film[name].value for name in names if film.get(name)]
    film.FrameOfReferenceUID = frame_of_reference
    film.ImagePositionPatient = [0, 0, 0]
    film.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    film.PixelSpacing = next((spacing for spacing in spacings if min(spacing) > 0), [1, 1])
  if not film.get("SliceThickness"):
    film.SliceThickness = 1
