import io
import subprocess
import sys

import numpy as np
import pytest

from covseg.prediction.reading import film_files
from input_pipeline.turns import Turn
from tests.conftest import ROOT
from tests.film_makers import dicom, film, picture, without_preamble

pydicom = pytest.importorskip("pydicom")

_FILM = film()
_DEEP = np.random.default_rng(0).integers(0, 4096, (40, 33), dtype=np.uint16)
_TWELVE = {"BitsStored": 12, "HighBit": 11}


def _pixels(*arguments, **elements):
  return film_files.decode(dicom(*arguments, **elements)).pixels


def _table(entries, first=0, bits=8):
  item = pydicom.Dataset()
  item.LUTDescriptor = [len(entries), first, bits]
  item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
  return [item]


def test_the_same_pixels_as_the_png_has():
  expected = film_files.decode(picture(_FILM)).pixels
  assert np.array_equal(_pixels(_FILM), expected)
  assert np.array_equal(_pixels(255 - _FILM, PhotometricInterpretation="MONOCHROME1"), expected)
  assert np.array_equal(_pixels(_FILM, WindowCenter=128, WindowWidth=256), expected)
  colours = np.repeat(_FILM[..., None], 3, axis=-1)
  assert np.array_equal(_pixels(colours), expected)
  assert np.array_equal(film_files.decode(without_preamble(dicom(_FILM))).pixels, expected)


@pytest.mark.parametrize(
  "syntax",
  ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "ExplicitVRBigEndian", "ImplicitVRLittleEndian"],
)
def test_lossless_transfer_syntaxes_change_nothing(syntax):
  for pixels, elements in [(_FILM, {}), (_DEEP, _TWELVE)]:
    assert np.array_equal(_pixels(pixels, syntax, **elements), _pixels(pixels, **elements))


def test_lossless_jpeg_changes_nothing(tmp_path):
  gdcm = pytest.importorskip("gdcm")  # pydicom has nothing that writes it.
  content = dicom(_DEEP, **_TWELVE)
  (tmp_path / "film.dcm").write_bytes(content)
  reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
  reader.SetFileName(str(tmp_path / "film.dcm"))
  assert reader.Read()
  change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
  change.SetInput(reader.GetImage())
  assert change.Change()
  writer.SetFileName(str(tmp_path / "lossless.dcm"))
  writer.SetFile(reader.GetFile())
  writer.SetImage(change.GetOutput())
  assert writer.Write()
  lossless = tmp_path / "lossless.dcm"
  assert pydicom.dcmread(lossless).file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
  assert np.array_equal(film_files.read(lossless).pixels, film_files.decode(content).pixels)


def test_jpeg_is_close():
  assert np.abs(_pixels(_FILM, "JPEGBaseline8Bit").astype(int) - _FILM).max() < 20


def test_unused_high_bits_do_not_count():
  assert np.array_equal(_pixels(_DEEP + 0xF000, **_TWELVE), _pixels(_DEEP, **_TWELVE))


@pytest.mark.parametrize(
  "elements",
  [
    {"WindowCenter": 2000, "WindowWidth": 900},
    {"WindowCenter": [2000, 5], "WindowWidth": [900, 6]},  # The first view of several.
    {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
    {"WindowCenter": 100, "WindowWidth": 700, "RescaleSlope": 0.5, "RescaleIntercept": -1024},
    {"VOILUTSequence": _table(range(0, 1000, 2), first=1500, bits=10)},
    {"ModalityLUTSequence": _table(range(500, 4500), bits=16), "WindowCenter": 2000, "WindowWidth": 1000},
  ],
)
def test_values_are_transformed_as_pydicom_does(elements):
  content = dicom(_DEEP, **_TWELVE, **elements)
  dataset = pydicom.dcmread(io.BytesIO(content))
  values = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
  # The ends of the scale lie far outside the window, and of the table.
  values = np.append(values.ravel(), [-(2**15), 2**15 - 1]).astype(int if "VOILUTSequence" in elements else float)
  shown = pydicom.pixels.apply_voi_lut(values, dataset).astype(float)
  low, high = (0, 1023) if "VOILUTSequence" in elements else shown[-2:]
  expected = 255 * (shown[:-2] - low) / (high - low)
  assert np.abs(film_files.decode(content).pixels.ravel() - expected).max() <= 0.51


def test_a_table_may_begin_below_zero_though_pixels_are_unsigned():
  table = _table(range(0, 1000, 2), first=2**16 - 500, bits=10)  # -500, as it is often written.
  entries = np.clip(_DEEP.astype(int) - 1000 + 500, 0, 499) * 2
  found = _pixels(_DEEP, **_TWELVE, RescaleIntercept=-1000, RescaleSlope=1, VOILUTSequence=table)
  assert np.abs(found - 255 * entries / 1023).max() <= 0.51


def test_signed_pixels_and_no_window_take_the_whole_scale_but_for_padding():
  pixels = np.array([[-200, -100, 0, 100, -2000]], np.int16)
  assert _pixels(pixels, PixelPaddingValue=-2000).tolist() == [[0, 85, 170, 255, 0]]


def test_patient_orientation_turns_a_film_and_nonsense_does_not():
  assert film_files.decode(dicom(_FILM, PatientOrientation=["L", "F"])).turn == Turn()
  assert film_files.decode(dicom(_FILM, PatientOrientation=["R", "H"])).turn == Turn(2)
  for nonsense in (["L", "R"], ["", ""], "LEFT"):
    assert film_files.decode(dicom(_FILM, PatientOrientation=nonsense)).turn == Turn()


@pytest.mark.parametrize(
  ("elements", "remark"),
  [
    ({"Modality": "CT"}, "Modality"),
    ({"ViewPosition": "LL"}, "lateral"),
    ({"PatientOrientation": ["A", "F"]}, "Patient Orientation is not that of a frontal film"),
    ({"PresentationIntentType": "FOR PROCESSING"}, "for processing"),
  ],
)
def test_what_is_no_frontal_film_for_viewing_is_remarked_upon(elements, remark):
  assert remark in film_files.decode(dicom(_FILM, **elements)).remarks[0]
  assert film_files.decode(dicom(_FILM, ViewPosition="PA", Modality="CR")).remarks == ()


@pytest.mark.parametrize("name", ["cr_monochrome1_10bit.dcm", "dx_monochrome1_12bit_jpeg2000.dcm"])
def test_real_films_are_shown_as_pydicom_shows_them(real_data, name):
  read = film_files.read(real_data / "dicom" / name).pixels
  dataset = pydicom.dcmread(real_data / "dicom" / name)
  shown = pydicom.pixels.apply_voi_lut(dataset.pixel_array, dataset)
  expected = 255 - 255 * shown / (2**dataset.BitsStored - 1)
  assert read.shape == (dataset.Rows, dataset.Columns)
  assert np.abs(read - expected).max() < 1


def test_nothing_about_the_patient_is_printed(tmp_path):
  damaged = dicom(_FILM, "RLELossless", PatientBirthDate="Roe^Jane", WindowCenter=5, WindowWidth=9)
  damaged = damaged.replace(b"5 ", b"Ro")  # The window's centre becomes part of a name.
  stream = damaged.rindex(b"\xfe\xff\x00\xe0") + 8
  (tmp_path / "film.dcm").write_bytes(damaged[:stream] + bytes(64) + damaged[stream + 64 :])
  code = "import sys; from covseg.prediction.reading import film_files; film_files.read(sys.argv[1])"
  command = [sys.executable, "-W", "always", "-c", code, str(tmp_path / "film.dcm")]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  (error,) = [line for line in done.stderr.splitlines() if "RefusedFilm: is a damaged DICOM file" in line]
  assert "Ro" not in error
  assert "Roe" not in done.stderr
