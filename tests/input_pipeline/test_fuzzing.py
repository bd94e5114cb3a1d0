"""Headers and files at random: whatever comes, a film is read or refused in a sentence.

By hand, for some minutes: COVSEG_FUZZ=20000 pytest tests/input_pipeline/test_fuzzing.py
"""

import io
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covseg.prediction.reading import film_files
from input_pipeline import pixels
from tests.film_makers import dicom, film, picture

pydicom = pytest.importorskip("pydicom")

_EXAMPLES = int(os.environ.get("COVSEG_FUZZ", 150))
# The same examples in every run of the suite; others, from a seed that is printed on failure, by hand.
_SETTINGS = settings(
  max_examples=_EXAMPLES,
  derandomize="COVSEG_FUZZ" not in os.environ,
  deadline=None,
  database=None,
  suppress_health_check=list(HealthCheck),
)
_GREY = film(48)
_TWELVE = _GREY.astype(np.uint16) * 16
_NUMBERS = st.one_of(st.none(), st.integers(-70000, 70000), st.floats(-1e6, 1e6).map(lambda x: float(f"{x:.6g}")))
_HEADERS = {
  "RescaleSlope": st.one_of(_NUMBERS, st.lists(st.integers(-9, 9), max_size=3)),
  "RescaleIntercept": _NUMBERS,
  "WindowCenter": st.one_of(_NUMBERS, st.lists(st.integers(-4096, 4096), max_size=3)),
  "WindowWidth": st.one_of(_NUMBERS, st.lists(st.integers(-4096, 4096), max_size=3)),
  "VOILUTFunction": st.sampled_from([None, "LINEAR", "SIGMOID", "LINEAR_EXACT", "ODD"]),
  "PresentationLUTShape": st.sampled_from([None, "IDENTITY", "INVERSE", "ODD"]),
  "PhotometricInterpretation": st.sampled_from([None, "MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR"]),
  "BitsStored": st.sampled_from([None, 0, 8, 10, 12, 16, 17]),
  "HighBit": st.sampled_from([None, 0, 7, 11, 12, 15, 16]),
  "PixelRepresentation": st.sampled_from([None, 0, 1, 2]),
  "PatientOrientation": st.sampled_from([None, ["L", "F"], ["A", "F"], ["", ""], "X"]),
  "NumberOfFrames": st.sampled_from([None, 0, 1, 2]),
}


def _is_read_or_refused(content):
  try:
    grey = film_files.decode(content).pixels
  except ValueError as error:
    assert 0 < len(str(error)) < 400 and "Traceback" not in str(error)
    return None
  assert grey.dtype == np.uint8 and grey.ndim == 2
  return grey


@_SETTINGS
@given(st.fixed_dictionaries({}, optional=_HEADERS))
def test_any_header_gives_a_film_or_a_sentence(elements):
  dataset = pydicom.dcmread(io.BytesIO(dicom(_TWELVE, BitsStored=12, HighBit=11)))
  file = io.BytesIO()
  try:
    for name, value in elements.items():
      setattr(dataset, name, value)
    dataset.save_as(file)
  except (ValueError, TypeError, AttributeError, OverflowError):
    return  # pydicom does not write such a file.
  grey = _is_read_or_refused(file.getvalue())
  assert grey is None or grey.shape == _GREY.shape


_CONTENTS = {
  "png": picture(_GREY),
  "16-bit png": picture(_TWELVE),
  "jpeg": picture(_GREY, "JPEG"),
  "tiff": picture(_TWELVE, "TIFF"),
  "bmp": picture(_GREY, "BMP"),
  "dicom": dicom(_TWELVE, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", _CONTENTS)
@_SETTINGS
@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 2**16))
def test_damaged_files_give_a_film_or_a_sentence(name, changes, length):
  content = bytearray(_CONTENTS[name])
  for place, value in changes:
    content[place % min(len(content), 1200)] = value  # Where the headers are.
  _is_read_or_refused(bytes(content[: length % len(content) + 1] if length % 4 == 0 else content))


@_SETTINGS
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_give_a_sentence(content):
  for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"BM\0\0\0\0\0\0\0\0", b"\0" * 128 + b"DICM"):
    with pytest.raises(ValueError):
      pixels.to_mask(pixels.decode(start + content))
