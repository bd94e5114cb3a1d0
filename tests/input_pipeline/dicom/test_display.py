"""DICOM headers that archives hold, against the same film stored plainly."""

import concurrent.futures
import io
import warnings

import numpy as np
import pytest

from input_pipeline.dicom import film as dicom_film
from tests.film_makers import dicom, film

pydicom = pytest.importorskip("pydicom")


def _changed(content, **elements):
  dataset = pydicom.dcmread(io.BytesIO(content))
  for name, value in elements.items():
    setattr(dataset, name, value)
  file = io.BytesIO()
  dataset.save_as(file)
  return file.getvalue()


_GREY = film(64)
_TWELVE = _GREY.astype(np.uint16) * 16 + (_GREY >> 4)
_SIGNED = ((_TWELVE.astype(int) - 2048) & 0xFFF).astype(np.int16)
_BRIGHTNESS = np.stack([_GREY, np.full_like(_GREY, 128), np.full_like(_GREY, 127)], axis=-1)
_BITS = {"BitsStored": 12, "HighBit": 11}
_PLAIN = {**_BITS, "WindowCenter": 2048, "WindowWidth": 4096}


def _lut(entries, bits):
  item = pydicom.Dataset()
  item.LUTDescriptor = [len(entries), 0, bits]
  item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
  return [item]


@pytest.mark.parametrize(
  ("content", "remark"),
  [
    (dicom(_TWELVE, **_BITS, VOILUTSequence=_lut(np.arange(4096), 16)), ""),
    (dicom(_TWELVE, **_BITS, VOILUTSequence=_lut(np.arange(4096) * 4 + 3, 16)), ""),
    *((dicom(_TWELVE, **_BITS, VOILUTSequence=_lut(np.arange(4096), n)), "larger values than") for n in (0, 8, 10)),
    (_changed(dicom(_TWELVE, **_PLAIN), RescaleSlope=None, RescaleIntercept=None), ""),
    (_changed(dicom(_TWELVE, **_BITS), RescaleIntercept=-1024, WindowCenter=1024, WindowWidth=4096), ""),
    (_changed(dicom(_TWELVE, **_PLAIN), PresentationLUTShape="INVERSE"), "contradicts MONOCHROME2"),
    (_changed(dicom(_TWELVE, **_PLAIN), VOILUTSequence=[pydicom.Dataset()]), "VOI LUT has no table"),
    (dicom(_TWELVE << 4, **{**_PLAIN, "HighBit": 15}), ""),
    (dicom(_TWELVE | 0x9000, **_PLAIN), ""),  # An overlay in the upper bits.
    (_changed(dicom(_TWELVE, **_PLAIN), VOILUTFunction="SIGMOIDAL"), "is unknown, and taken for LINEAR"),
    (_changed(dicom(_TWELVE, **_PLAIN), WindowCenter=[2048, 100], WindowWidth=[4096, 10]), ""),
    (dicom(_TWELVE, "RLELossless", **_PLAIN), ""),
    (dicom(_TWELVE | 0x9000, "RLELossless", **_PLAIN), ""),
    (dicom(_TWELVE << 4, "RLELossless", **{**_PLAIN, "HighBit": 15}), ""),
    # Signed, with upper bits of zero.
    (dicom(_SIGNED, "RLELossless", **{**_BITS, "WindowCenter": 0, "WindowWidth": 4096}), ""),
    (dicom(_TWELVE << 4 | 0xF, **{**_PLAIN, "HighBit": 15}), ""),
    (dicom(_TWELVE << 4 | _TWELVE >> 8, **{**_PLAIN, "HighBit": 15}), ""),
    (dicom(_TWELVE, **{**_PLAIN, "HighBit": 15}), "not where its High Bit says"),
    (dicom(_TWELVE | (_GREY > 140).astype(np.uint16) << 12, **_PLAIN), ""),  # An overlay where the film is bright.
    (dicom(_TWELVE, **{**_PLAIN, "BitsStored": 10, "HighBit": 9}), "more bits than its Bits Stored"),
    (dicom(_TWELVE, **_PLAIN, RescaleSlope=0, RescaleIntercept=0), "Rescale Slope is 0"),
    (dicom(_GREY, RescaleSlope=1, RescaleIntercept=0), ""),
    (dicom((_GREY.astype(int) - 128).astype(np.int8)), ""),
    (dicom(_BRIGHTNESS), "holds brightness and colour"),
    (dicom(np.repeat(_GREY[..., None], 3, axis=-1), PlanarConfiguration=None), ""),
    (dicom(_TWELVE, **_PLAIN).replace(b"MONOCHROME2", b"monochrome2"), ""),
  ],
)
def test_headers_that_are_often_wrong_give_the_film_stored_plainly(content, remark):
  pixels, _, remarks = dicom_film.decode(content)
  assert np.abs(pixels.astype(int) - _GREY).max() <= 2
  assert remark in "; ".join(remarks) and bool(remark) == bool(remarks)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (dicom(_TWELVE, "JPEG2000Lossless", **_PLAIN)[:-2000], "is a DICOM file that is cut off"),
    (dicom(_TWELVE, "RLELossless", **_PLAIN)[:-2000], "is a DICOM file that is cut off"),
    (dicom(_TWELVE, **_PLAIN)[:-2], "is a DICOM file that is cut off"),
    (dicom(_TWELVE, **{**_PLAIN, "PhotometricInterpretation": "MONOCHROME3"}), "is neither grey nor RGB nor YBR"),
    (
      _changed(dicom(_BRIGHTNESS, "JPEGBaseline8Bit"), SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2"),
      "with 1 channel, and holds a compressed image of 64 x 64 pixels with 3 channels",
    ),
  ],
)
def test_a_header_that_its_pixels_contradict_is_refused(content, message):
  with pytest.raises(ValueError, match=message):
    dicom_film.decode(content)


def test_bits_beyond_those_stored_are_the_films_where_it_goes_on_in_them():
  grey = film(512)
  noisy = grey.astype(np.int32) * 257 + np.random.default_rng(0).integers(-200, 200, grey.shape)
  sixteen = np.clip(noisy, 0, 65535).astype(np.uint16)
  window = {"WindowCenter": 32768, "WindowWidth": 65536}
  pixels, _, remarks = dicom_film.decode(dicom(sixteen, **{**_BITS, **window}))
  assert np.abs(pixels.astype(int) - grey).max() <= 2
  assert remarks == ("the file's pixels have more bits than its Bits Stored, which is ignored",)


def test_a_film_in_colours_is_remarked_upon():
  colours = np.stack([_GREY, 255 - _GREY, np.roll(_GREY, 20, 0)], axis=-1)
  assert dicom_film.decode(dicom(colours))[2] == ("is in colours",)


def test_a_window_that_cannot_be_read_is_said():
  content = _changed(dicom(_TWELVE, **_PLAIN), WindowCenter="9999.5").replace(b"9999.5", b"middle")
  pixels, _, remarks = dicom_film.decode(content)
  assert any("Window Center cannot be read" in remark for remark in remarks)
  assert pixels.std() > 30


def test_padding_is_no_part_of_the_film_however_it_is_written():
  signed = _TWELVE.astype(np.int16) - 2048
  signed[:9] = -2000
  content = dicom(signed, **_BITS, PixelRepresentation=1, PixelPaddingValue=0)
  for value, limit in ((63536, None), (-2010, -1990)):
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset["PixelPaddingValue"] = pydicom.DataElement("PixelPaddingValue", "US" if value > 0 else "SS", value)
    if limit is not None:
      dataset["PixelPaddingRangeLimit"] = pydicom.DataElement("PixelPaddingRangeLimit", "SS", limit)
    file = io.BytesIO()
    dataset.save_as(file)
    pixels = dicom_film.decode(file.getvalue())[0]
    assert (pixels[:9] == 0).all() and pixels[9:].max() == 255


@pytest.mark.parametrize("syntax", ["", "ImplicitVRLittleEndian"])
@pytest.mark.parametrize("padding", [0, 4095, 12336, 65535])  # 12336 is "00" as text.
def test_padding_is_black_in_every_syntax_and_beyond_the_stored_bits(syntax, padding):
  stored = np.clip(_TWELVE, 1, 4094)
  stored[:9] = padding
  plain = {**_PLAIN, "PhotometricInterpretation": "MONOCHROME1"}  # In which 0 would be white.
  pixels, *_ = dicom_film.decode(dicom(stored, syntax, **plain, PixelPaddingValue=padding))
  assert (pixels[:9] == 0).all() and pixels[9:].std() > 30


def test_bone_as_bright_as_the_padding_stays_bright():
  stored = np.clip(_TWELVE, 0, 4094)
  stored[:9] = stored[30:40, 20:50] = 4095
  pixels, *_ = dicom_film.decode(dicom(stored, **_PLAIN, PixelPaddingValue=4095))
  assert (pixels[:9] == 0).all() and (pixels[30:40, 20:50] == 255).all()


@pytest.mark.parametrize("window", [(2048, 40000), (0, 1), (60000, 10)])
def test_a_window_that_leaves_nothing_of_the_film_is_ignored(window):
  center, width = window
  pixels, _, remarks = dicom_film.decode(dicom(_TWELVE // 8, **_BITS, WindowCenter=center, WindowWidth=width))
  assert remarks == ("the file's window leaves almost nothing of the film, and is ignored",)
  assert pixels.std() > 30


def test_a_missing_tag_is_named():
  dataset = pydicom.dcmread(io.BytesIO(dicom(_TWELVE, **_PLAIN)))
  del dataset.BitsStored
  file = io.BytesIO()
  dataset.save_as(file)
  with pytest.raises(ValueError, match="lacks BitsStored"):
    dicom_film.decode(file.getvalue())


def test_the_callers_settings_of_pydicom_stay_as_they_were():
  def settings():
    return pydicom.config.settings.reading_validation_mode, pydicom.config.logger.level, list(warnings.filters)

  before = settings()
  with concurrent.futures.ThreadPoolExecutor(4) as threads:
    list(threads.map(dicom_film.decode, [dicom(_TWELVE, **_PLAIN)] * 8))
  assert (
    pydicom.config.settings.reading_validation_mode,
    pydicom.config.logger.level,
    list(warnings.filters),
  ) == before
