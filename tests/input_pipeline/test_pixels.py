"""Files of every kind to the same pixels, and what is a mask."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from covseg.prediction.reading import film_files
from input_pipeline import films, pixels
from input_pipeline.grey_levels import to_grey
from input_pipeline.turns import EXIF_TURNS
from tests.film_makers import dicom, film, picture

FILM = film(96)
MASK = np.zeros((96, 96), bool)
MASK[30:60, 20:50] = MASK[70:75, 60:90] = True


def _scaled(bits):
  """The film with `bits` bits a pixel, uint16: the levels of 8 bits, repeated below."""
  return (FILM.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)


def _saved(image, format, **options):
  file = io.BytesIO()
  image.save(file, format, **options)
  return file.getvalue()


def _png_of_16_bits(channels):
  """A PNG of (H, W, C) uint16, written by hand."""
  height, width, count = channels.shape
  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
  header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[count], 0, 0, 0)

  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _exif(orientation):
  exif = Image.Exif()
  exif[274] = orientation
  return exif


def _inverted_palette():
  """The film as indices into a palette that goes from white to black."""
  image = Image.frombytes("P", FILM.shape[::-1], (255 - FILM).tobytes())
  image.putpalette(np.arange(255, -1, -1, dtype=np.uint8).repeat(3).tobytes())
  return _saved(image, "PNG")


_WINDOW = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
_FILES = {
  "8 bits": (picture(FILM), 0),
  "12 bits": (picture(_scaled(12)), 1),
  "14 bits": (picture(_scaled(14)), 1),
  "16 bits": (picture(_scaled(16)), 1),
  "RGB": (_saved(Image.fromarray(FILM).convert("RGB"), "PNG"), 0),
  "LA": (_saved(Image.fromarray(FILM).convert("LA"), "PNG"), 0),
  "palette": (_inverted_palette(), 0),
  "16-bit RGB": (_png_of_16_bits(np.repeat(_scaled(16)[..., None], 3, -1)), 1),
  "12 bits in LA": (_png_of_16_bits(np.stack([_scaled(12), np.full(FILM.shape, 65535)], -1).astype(np.uint16)), 1),
  "TIFF": (_saved(Image.fromarray(_scaled(12)), "TIFF"), 1),
  "JPEG": (picture(FILM, "JPEG", quality=100), 3),
  "turned JPEG": (_saved(Image.fromarray(np.rot90(FILM, 2)), "JPEG", quality=100, exif=_exif(3)), 3),
  "BMP": (picture(FILM, "BMP"), 0),
  "WebP": (_saved(Image.fromarray(FILM).convert("RGB"), "WEBP", lossless=True), 1),
  "DICOM": (dicom(_scaled(12), **_WINDOW), 1),
}


@pytest.mark.parametrize("name", _FILES)
def test_training_and_predict_see_one_film_however_it_is_stored(name):
  content, tolerance = _FILES[name]
  trained = films._picture(content, "film")
  trained = trained.turn.apply(to_grey(trained.values))
  predicted = film_files.decode(content)
  predicted = predicted.turn.apply(predicted.pixels)
  assert np.array_equal(trained, predicted)
  assert np.abs(trained.astype(int) - FILM).max() <= tolerance


def test_a_tiff_turned_by_its_xmp_alone_keeps_its_pixels_as_stored():
  packet = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
  )
  stored = FILM[:, : FILM.shape[1] // 2]
  found = pixels.decode(_saved(Image.fromarray(stored), "TIFF", tiffinfo={700: packet.encode()}))
  assert np.array_equal(found.values, stored) and np.array_equal(found.turn.apply(found.values), np.rot90(stored, -1))


def test_whole_numbers_of_32_bits_do_not_wrap():
  values = FILM.astype(np.uint32) * 2**24
  image = Image.frombuffer("I", FILM.shape[::-1], values.tobytes(), "raw", "I", 0, 1)
  content = bytearray(_saved(image, "TIFF"))
  content = bytes(content.replace(struct.pack("<HHI", 339, 3, 1) + b"\2\0", struct.pack("<HHI", 339, 3, 1) + b"\1\0"))
  grey = to_grey(pixels.decode(content).values)
  assert np.corrcoef(grey.ravel(), FILM.ravel())[0, 1] > 0.999


def test_a_few_bright_pixels_do_not_decide_the_grey_levels():
  outlying = _scaled(12).copy()
  outlying[0, :4] = 65535
  assert np.abs(to_grey(outlying)[1:].astype(int) - FILM[1:]).max() <= 1
  values = FILM.astype(np.float32)
  expected = to_grey(values)
  values[0, 0] = 1e9
  assert np.abs(to_grey(values)[1:].astype(int) - expected[1:]).max() <= 2


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_a_marker_far_brighter_than_the_film_does_not_darken_it(white_is_zero):
  expected = film(512)
  marked = expected.astype(np.uint16) * 16 + (expected >> 4)  # 12 bits.
  expected = expected.copy()
  stored = 4095 - marked if white_is_zero else marked
  marker = np.zeros((512, 512), np.float32)
  marker[20:60, 30:130] = marker[:, 500:] = 1  # 4 % of the film.
  marker = ndimage.gaussian_filter(marker, 1)  # With soft borders.
  stored = np.round(stored + marker * (65535.0 - stored)).astype(np.uint16)
  found = to_grey(pixels.decode(picture(stored, "TIFF", tiffinfo={262: 1 - white_is_zero})).values)
  of_film = marker == 0
  assert np.abs(found.astype(int) - expected)[of_film].max() <= 1
  assert (found[marker == 1] == (0 if white_is_zero else 255)).all()


def test_a_film_on_a_large_black_plate_is_no_marker():
  plate = np.zeros((256, 256), np.uint16)
  plate[64:160, 64:160] = film(96).astype(np.uint16) * 200 + 9000  # 14 % of it.
  grey = to_grey(plate)[64:160, 64:160].astype(int)
  assert np.abs(grey - (film(96).astype(int) * 200 + 9000) / 257).max() <= 1


def test_signed_values_of_8_bits_keep_their_order():
  signed = picture((film(64) ^ np.uint8(128)), "TIFF", tiffinfo={339: 2})
  assert np.array_equal(pixels.decode(signed).values, film(64))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_broken_exif_data_does_not_cost_the_film_and_it_is_said(file_format):
  found = pixels.decode(picture(film(64), file_format, exif=b"Exif\0\0garbage, not a header"))
  assert np.array_equal(found.values, pixels.decode(picture(film(64), file_format)).values)
  assert found.remarks == ("has Exif data that cannot be read",)


@pytest.mark.parametrize("name", ["8 bits", "16 bits", "RGB", "LA", "palette", "16-bit RGB", "mask"])
def test_a_png_with_one_wrong_bit_is_damaged(name):
  content = _MASKS["1 bit"] if name == "mask" else _FILES[name][0]
  for i in np.random.default_rng(0).choice(len(content) - 12, 40):  # Without the empty chunk at the end.
    with pytest.raises(ValueError, match="is damaged|is no PNG"):
      pixels.decode(content[:i] + bytes([content[i] ^ 16]) + content[i + 1 :])


def test_a_png_whose_pixels_break_off_is_damaged_though_its_checksums_are_right():
  content = picture(film(64))
  start = content.index(b"IDAT") - 4
  size = int.from_bytes(content[start : start + 4])
  part = b"IDAT" + content[start + 8 : start + 8 + size // 2]
  cut = (len(part) - 4).to_bytes(4) + part + zlib.crc32(part).to_bytes(4)
  with pytest.raises(ValueError, match="is damaged"):
    pixels.decode(content[:start] + cut + content[start + 12 + size :])


def test_a_png_with_a_large_profile_is_whole():
  content = _saved(Image.fromarray(FILM), "PNG", icc_profile=bytes(3 << 20))
  assert np.array_equal(pixels.decode(content).values, FILM)


def test_of_several_pages_the_first_is_read_and_it_is_said():
  pages = [Image.fromarray(FILM), Image.fromarray(255 - FILM)]
  found = pixels.decode(_saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
  assert np.array_equal(found.values, FILM)
  assert found.remarks == ("has 2 pages, of which the first is used",)


def _palette(mask):
  image = Image.frombytes("P", mask.shape[::-1], (~mask).astype(np.uint8).tobytes())
  image.putpalette([255, 255, 255, 0, 0, 0])
  return _saved(image, "PNG")


_MASKS = {
  "0 and 255": picture(MASK.astype(np.uint8) * 255),
  "0 and 1": picture(MASK.astype(np.uint8)),
  "7 and 9": picture(MASK.astype(np.uint8) * 2 + 7),
  "1 bit": _saved(Image.fromarray(MASK), "PNG"),
  "16 bits": picture(MASK.astype(np.uint16) * 65535),
  "JPEG": picture(MASK.astype(np.uint8) * 255, "JPEG", quality=75),
  "palette": _palette(MASK),
  "RGB": _saved(Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGB"), "PNG"),
  "turned": _saved(Image.fromarray(np.rot90(MASK, 2).astype(np.uint8) * 255), "JPEG", quality=95, exif=_exif(3)),
}


@pytest.mark.parametrize("name", _MASKS)
def test_a_mask_has_two_levels_whichever_they_are(name):
  assert np.array_equal(pixels.decode_mask(_MASKS[name]), MASK)


def test_a_soft_mask_is_cut_at_half_of_white():
  large = Image.fromarray(MASK.astype(np.uint8) * 255).resize((40, 40), Image.Resampling.BILINEAR)
  assert np.array_equal(pixels.decode_mask(_saved(large, "PNG")), np.asarray(large) > 127)


def test_empty_and_full_masks():
  empty = np.zeros((8, 8), np.uint8)
  assert not pixels.decode_mask(picture(empty)).any()
  assert pixels.decode_mask(picture(empty + 255)).all()
  assert not pixels.decode_mask(picture(empty, "JPEG")).any()


@pytest.mark.parametrize("level", [5, 15, 20])
def test_a_dark_mask_in_jpeg_is_refused_and_not_taken_for_an_empty_one(level):
  with pytest.raises(ValueError, match="is no mask"):
    pixels.decode_mask(picture(MASK.astype(np.uint8) * level, "JPEG", quality=75))


def test_a_mask_of_0_and_1_in_jpeg_is_refused():
  with pytest.raises(ValueError, match="store masks as PNG"):
    pixels.to_mask(pixels.Picture(np.array([[0, 1, 2]], np.uint8), is_lossy=True))


@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 128, 255), (0, 85, 170, 255)])
def test_a_label_map_is_no_mask(levels):
  labels = np.zeros((90, 90), np.uint8)
  for i, level in enumerate(levels):
    labels[20 * i : 20 * i + 20, 10:30] = level
  with pytest.raises(ValueError, match=r"is no mask: it has \d levels \(0, "):
    pixels.decode_mask(picture(labels))
  with pytest.raises(ValueError, match="is no mask: it has 256 levels"):
    pixels.decode_mask(picture(np.arange(256, dtype=np.uint8).repeat(8).reshape(32, 64)))


@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 20, 128, 255), (-9, -2, 2, 9)])
def test_floats_that_are_neither_two_levels_nor_parts_are_no_mask(levels):
  with pytest.raises(ValueError, match=f"is no mask: it has floats from {levels[0]} to {levels[-1]}"):
    pixels.decode_mask(_saved(Image.fromarray(np.float32([levels] * 8)), "TIFF"))
  assert pixels.decode_mask(_saved(Image.fromarray(np.float32([[0, 255]] * 8)), "TIFF")).tolist() == [[False, True]] * 8


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_drawn_in_transparency_is_refused(mode):
  shapes = np.where(film(64) > 128, 255, 0).astype(np.uint8)
  white = Image.new("L", (64, 64), 255)
  drawn = Image.merge(mode, [white] * (len(mode) - 1) + [Image.fromarray(shapes)])
  with pytest.raises(ValueError, match="its shapes are in its transparency"):
    pixels.decode_mask(_saved(drawn, "PNG"))
  palette = Image.fromarray((shapes > 0).astype(np.uint8)).convert("P")
  palette.putpalette([255] * 6)
  with pytest.raises(ValueError, match="its shapes are in its transparency"):
    pixels.decode_mask(_saved(palette, "PNG", transparency=0))
  black_and_white = Image.merge(mode, [Image.fromarray(shapes)] * len(mode))
  assert (pixels.decode_mask(_saved(black_and_white, "PNG")) == (shapes > 0)).all()


def test_a_transparent_level_of_a_film_of_16_bits_costs_nothing():
  content = picture(film(64).astype(np.uint16) * 257)
  level = b"tRNS" + b"\0\0"
  chunk = struct.pack(">I", 2) + level + struct.pack(">I", zlib.crc32(level))
  start = content.index(b"IDAT") - 4
  found = pixels.decode(content[:start] + chunk + content[start:])
  assert np.array_equal(to_grey(found.values), film(64)) and found.remarks == ()


def test_a_mask_of_not_a_number_is_refused():
  values = np.where(film(64) > 128, np.nan, 0).astype(np.float32)
  with pytest.raises(ValueError, match="not finite"):
    pixels.decode_mask(picture(values, "TIFF"))


def _drawn(background, colour, mode="RGB"):
  image = Image.new("RGB" if mode == "P" else mode, (40, 40), background)
  image.paste(colour, (4, 4, 12, 12))  # Of 4 % of the picture, so that colours are few.
  return _saved(image.convert(mode), "PNG")


def test_one_colour_on_black_is_a_mask_and_other_colours_are_refused():
  for mask in (_drawn("black", "red"), _drawn("black", "red", "P"), _drawn((0, 0, 0, 0), "red", "RGBA")):
    found = pixels.decode_mask(mask)
    assert found[4:12, 4:12].all() and found.sum() == 64
  # There, brightness would mislead.
  for mask in (_drawn("white", "blue"), _drawn("blue", "red"), _drawn("white", "red", "P")):
    with pytest.raises(ValueError, match="it is in colours; expected black and white"):
      pixels.decode_mask(mask)
  for mask in (_drawn((255, 255, 255, 0), "red", "RGBA"), _drawn((255, 0), (0, 255), "LA")):
    with pytest.raises(ValueError, match="in its transparency"):
      pixels.decode_mask(mask)


def test_a_mask_of_several_pages_is_refused():
  page = Image.fromarray(MASK)
  with pytest.raises(ValueError, match="has 2 pages, .* expected one page"):
    pixels.decode_mask(_saved(page, "TIFF", save_all=True, append_images=[page]))


def test_a_mask_is_turned_with_its_film():
  stored = pixels.Picture(np.zeros(MASK.shape, np.uint8), EXIF_TURNS[6])
  assert np.array_equal(pixels.decode_mask(picture(MASK.astype(np.uint8)), stored), np.rot90(MASK, -1))
