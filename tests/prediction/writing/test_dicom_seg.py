import io
import subprocess
import sys

import numpy as np
import pytest

from covseg.prediction.prediction import Prediction
from covseg.prediction.writing import dicom_seg
from tests.conftest import ROOT
from tests.film_makers import dicom, film, without_preamble

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

_FILM = film(48)[:40]
_MASK, _LUNGS = _FILM > 150, _FILM < 90


def _prediction(shape, mask=None, lungs=None):
  logits = np.where(np.zeros(shape, bool) if mask is None else mask, 5, -5).astype(np.float32)
  return Prediction(np.zeros(shape, np.uint8), logits, 0.5, lungs, None, None, None, (), is_dicom=True)


def _segmentation(path, *arguments):
  content = dicom_seg.segmentation(path, _prediction(*arguments), "runs/unet 0123456789abcdef")
  return highdicom.seg.segread(io.BytesIO(content))


@pytest.mark.parametrize("mask", [_MASK, _MASK & False])
def test_its_segments_are_the_masks_and_it_refers_to_the_film(tmp_path, mask):
  (tmp_path / "film.dcm").write_bytes(dicom(_FILM))
  source = pydicom.dcmread(tmp_path / "film.dcm")
  result = _segmentation(tmp_path / "film.dcm", _FILM.shape, mask, _LUNGS)
  found = result.get_pixels_by_source_instance([source.SOPInstanceUID])  # (1, H, W, 2)
  assert np.array_equal(found[0], np.stack([mask, _LUNGS], axis=-1))
  assert result.StudyInstanceUID == source.StudyInstanceUID
  assert result.SeriesInstanceUID != source.SeriesInstanceUID
  assert result.PatientID == source.PatientID  # By the standard, it belongs to the patient's study.
  labels = [result.get_segment_description(number).segment_label for number in (1, 2)]
  assert labels == ["COVID-19 infection", "Lungs"]


@pytest.mark.parametrize("name", ["cr_monochrome1_10bit.dcm", "dx_monochrome1_12bit_jpeg2000.dcm"])
def test_real_films_get_one(real_data, name):
  path = real_data / "dicom" / name
  source = pydicom.dcmread(path)
  mask = np.zeros((source.Rows, source.Columns), bool)
  mask[100:200, 50:300] = True
  found = _segmentation(path, mask.shape, mask).get_pixels_by_source_instance([source.SOPInstanceUID])
  assert np.array_equal(found[0, ..., 0], mask)


def test_a_models_name_may_be_a_long_path(tmp_path):
  (tmp_path / "film.dcm").write_bytes(dicom(_FILM))
  name = f"{'/folder' * 20}/run 0123456789abcdef"
  content = dicom_seg.segmentation(tmp_path / "film.dcm", _prediction(_FILM.shape), name)
  result = highdicom.seg.segread(io.BytesIO(content))
  assert result.SoftwareVersions == name[-64:]


_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
  ("elements", "spacing"),
  [
    ({}, [1, 1]),
    ({"ImagerPixelSpacing": [0.2, 0.3], "PixelSpacing": [0.4, 0.5]}, [0.2, 0.3]),
    ({"PixelSpacing": [0.4, 0.5]}, [1, 1]),
    ({"ImagerPixelSpacing": [0, 0]}, [1, 1]),
    ({"SOPClassUID": _CAPTURE, "PixelSpacing": [0.4, 0.5]}, [0.4, 0.5]),
    ({"SOPClassUID": _CAPTURE, "NominalScannedPixelSpacing": [0.6, 0.7]}, [0.6, 0.7]),
  ],
)
def test_it_lies_where_viewers_show_the_film(tmp_path, elements, spacing):
  """Spacings are those that ITK's reader gave for such files."""
  (tmp_path / "film.dcm").write_bytes(dicom(_FILM, **elements))
  result = _segmentation(tmp_path / "film.dcm", _FILM.shape, _MASK)
  shared, frame = result.SharedFunctionalGroupsSequence[0], result.PerFrameFunctionalGroupsSequence[0]
  assert result.FrameOfReferenceUID
  assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
  assert shared.PixelMeasuresSequence[0].PixelSpacing == spacing
  assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]


_PLACE = {
  "FrameOfReferenceUID": "1.2.3",
  "ImagePositionPatient": [-170, 20, 180],
  "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
  "PixelSpacing": [0.4, 0.5],
}


def test_a_place_that_a_film_has_is_kept(tmp_path):
  (tmp_path / "film.dcm").write_bytes(dicom(_FILM, **_PLACE))
  result = _segmentation(tmp_path / "film.dcm", _FILM.shape, _MASK)
  shared, frame = result.SharedFunctionalGroupsSequence[0], result.PerFrameFunctionalGroupsSequence[0]
  assert result.FrameOfReferenceUID == "1.2.3"
  assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
  assert frame.PlanePositionSequence[0].ImagePositionPatient == [-170, 20, 180]


_WHOLE = dicom(_FILM, ImagerPixelSpacing=[0.25, 0.25], SliceThickness="11.25", PatientSex="F", SeriesNumber=4711)


@pytest.mark.parametrize(
  ("content", "spacing"),
  [
    (_WHOLE, [0.25, 0.25]),
    (without_preamble(dicom(_FILM)), [1, 1]),
    (_WHOLE.replace(b"0.25\\0.25", b"0.25     "), [1, 1]),
    (_WHOLE.replace(b"0.25\\0.25", b"n/a \\n/a "), [1, 1]),
    (_WHOLE.replace(b"0.25\\0.25", b"0,25\\0,25"), [1, 1]),
    (_WHOLE.replace(b"11.25", b"ROE-J"), [0.25, 0.25]),
    (_WHOLE.replace(b"4711", b"ROEX"), [0.25, 0.25]),
    (dicom(_FILM, PatientSex="ROE"), [1, 1]),
    (dicom(_FILM, SpecificCharacterSet="ROE"), [1, 1]),
    (dicom(_FILM, ImageOrientationPatient=[], PixelSpacing=[0.4, 0.5], FrameOfReferenceUID="1.2.3"), [1, 1]),
    (dicom(_FILM, **{**_PLACE, "PixelSpacing": [0, 0]}), [1, 1]),
    (dicom(_FILM, **{**_PLACE, "ImageOrientationPatient": [0] * 6}), [1, 1]),
    (dicom(_FILM, **{**_PLACE, "PixelSpacing": [0.4, 0.5, 0.6]}), [1, 1]),
  ],
)
def test_what_is_wrong_elsewhere_in_a_film_costs_no_segmentation(tmp_path, content, spacing):
  (tmp_path / "film.dcm").write_bytes(content)
  result = _segmentation(tmp_path / "film.dcm", _FILM.shape, _MASK)
  shared = result.SharedFunctionalGroupsSequence[0]
  assert shared.PixelMeasuresSequence[0].PixelSpacing == spacing


@pytest.mark.parametrize("character_set", ["ISO_IR 192", "ISO-IR 192", "ISO IR 192"])
def test_what_finds_the_study_again_is_kept(tmp_path, character_set):
  known = {"AccessionNumber": "RAD-2021-0012", "PatientSex": "F", "PatientName": "Müller^Änne"}
  content = dicom(_FILM, SpecificCharacterSet="ISO_IR 192", **known).replace(b"ISO_IR 192", character_set.encode())
  (tmp_path / "film.dcm").write_bytes(content)
  result = _segmentation(tmp_path / "film.dcm", _FILM.shape, _MASK)
  assert {name: result[name].value for name in known} == known


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (dicom(_FILM, StudyInstanceUID=None, PatientName="Roe"), "lacks what a DICOM Segmentation needs"),
    (_WHOLE.replace(b"11.25", b"ROE-J"), ""),
    (_WHOLE.replace(b"4711", b"ROEX"), ""),
    (dicom(_FILM, StudyInstanceUID="1.2.3.4.5.6.7").replace(b"1.2.3.4.5.6.7", b"ROE.JANE.1950"), ""),
  ],
)
def test_the_patient_is_named_nowhere(tmp_path, content, message):
  (tmp_path / "film.dcm").write_bytes(content)
  code = """
import sys, pathlib, numpy as np
from covseg.prediction.prediction import Prediction
from covseg.prediction.writing import dicom_seg
from covseg.runtime.command_line import set_up_logging
set_up_logging()
nothing = np.zeros((40, 48))
prediction = Prediction(nothing, nothing - 5, 0.5, None, None, None, None, (), is_dicom=True)
dicom_seg.segmentation(pathlib.Path(sys.argv[1]), prediction, "model")
"""
  command = [sys.executable, "-W", "default", "-c", code, str(tmp_path / "film.dcm")]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert message in done.stderr
  assert "ROE" not in (done.stdout + done.stderr).upper()
