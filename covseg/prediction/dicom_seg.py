"""A prediction as a DICOM Segmentation object, for viewers such as 3D Slicer and OHIF."""

import io
import pathlib
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from covseg.prediction.predictor import Prediction

# Of type 2: they must be there, and may be empty.
# fmt: off
_EMPTY_IF_ABSENT = (
  "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
  "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
)
# fmt: on
# Anonymised files hold anything in place of dates.
_PATTERNS = {"Date": r"\d{8}", "Time": r"\d{2,6}(\.\d+)?"}


def segmentation(path: pathlib.Path, prediction: "Prediction", model_name: str) -> bytes:
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
  segments = [("COVID-19 infection", finding, covid, prediction.mask)]
  if prediction.lungs is not None:
    segments.append(("Lungs", organ, codes.SCT.Lung, prediction.lungs))
  algorithm = highdicom.AlgorithmIdentificationSequence(
    name="covseg", version=model_name, family=codes.DCM.ArtificialIntelligence
  )
  descriptions = [
    highdicom.seg.SegmentDescription(
      segment_number=number,
      segment_label=label,
      segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure
      if number == 1
      else codes.SCT.AnatomicalStructure,
      segmented_property_type=code,
      algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
      algorithm_identification=algorithm,
    )
    for number, (label, category, code, _) in enumerate(segments, start=1)
  ]
  try:
    film = pydicom.dcmread(path)
    for keyword in _EMPTY_IF_ABSENT:
      pattern = _PATTERNS.get(keyword[-4:], "(?s).*")
      if keyword not in film or not re.fullmatch(pattern, str(film[keyword].value or "")):
        setattr(film, keyword, None)
    # Readers refuse a spacing without a thickness of slices, which a radiograph has not.
    if "PixelSpacing" in film:
      del film.PixelSpacing
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
      omit_empty_frames=False,
    )
    file = io.BytesIO()
    result.save_as(file)
    return file.getvalue()
  except Exception as error:  # highdicom raises errors of any kind for files that are not by the standard.
    raise ValueError(f"lacks what a DICOM Segmentation needs ({type(error).__name__})") from error
