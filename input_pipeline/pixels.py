"""Files to pixels: PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM.

Training, evaluation and `predict` read films here, so that all see the same grey levels; so do masks. What a file
is follows from its content, never from its name.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from scipy import ndimage

from input_pipeline.dicom import file as dicom_file
from input_pipeline.dicom import film as dicom_film
from input_pipeline.grey_levels import of_channels, white_of
from input_pipeline.limits import MAX_PIXELS, RefusedFilm, room_for
from input_pipeline.turns import EXIF_TURNS, UPRIGHT, Turn
from input_pipeline.wording import first_of

# What is wrong with a file is said once, in the error.
warnings.filterwarnings("ignore", module=r"PIL\.")
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # A film whose texts or profile are large is whole.

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"RIFF", b"GIF8")
_LOSSY = ("JPEG", "WEBP")
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2
_BITS_TAG, _PHOTOMETRIC_TAG, _ORIENTATION_TAG, _FORMAT_TAG = 258, 262, 274, 339
_TRANSPARENT = "is transparent in part, which is ignored"
# A soft mask has few pixels between these parts of white.
_SOFT = (0.1, 0.9)
_MOST_BETWEEN = 0.1


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture as its file holds it.

  Attributes:
    values: (H, W) of bool, uint8, uint16, uint32, int32, int64 or float32; brighter is higher.
    turn: what brings the values upright, as far as the file says.
    remarks: what is unusual about the file, in words.
    is_lossy: whether its compression changes pixels.
    has_colours: whether its channels differ anywhere; the values are their brightness.
    is_dicom: whether the file is DICOM; its values are those that are displayed, uint8, bone white.
  """

  values: np.ndarray
  turn: Turn = UPRIGHT
  remarks: tuple[str, ...] = ()
  is_lossy: bool = False
  has_colours: bool = False
  is_dicom: bool = False


def is_picture(start: bytes) -> bool:
  """Whether a file that begins like this, with 132 bytes or more, is one that is read here."""
  return dicom_file.is_dicom(start) or _is_plain(start)


def _is_plain(start: bytes) -> bool:
  is_other_riff = start[:4] == b"RIFF" and start[8:12] != b"WEBP"
  is_text = start[:2] == b"BM" and start[6:10] != b"\0\0\0\0"  # Reserved in a bitmap.
  return start.startswith(_MAGIC) and not is_other_riff and not is_text


def decode(content: bytes) -> Picture:
  """The picture in a file's content: the first page of several; colours as grey, a palette by its colours.

  Raises:
    RefusedFilm: it is whole, but not read here.
    ValueError: it is damaged or no picture; the message goes on after the file's name.
  """
  if dicom_file.is_dicom(content):
    values, turn, remarks = dicom_film.decode(content)
    return Picture(values, turn, remarks, is_dicom=True)
  if not _is_plain(content):
    raise ValueError("is no PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM file")
  try:
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image, room_for(*image.size):
      remarks = []
      if (pages := getattr(image, "n_frames", 1)) > 1:
        remarks.append(f"has {pages} pages, of which the first is used")
      if image.format == "PNG":
        with Image.open(io.BytesIO(content), formats=("PNG",)) as checked:
          checked.verify()  # Reading alone compares no checksum.
      turn, unread = _turn(image)
      values, has_colours, colours = _values(image, content)
      if image.format == "TIFF":  # Pillow has turned it.
        values = np.ascontiguousarray(turn.undo(values))
      if _is_transparent_in_part(image):
        remarks.append(_TRANSPARENT)
      return Picture(values, turn, (*remarks, *colours, *unread), image.format in _LOSSY, has_colours)
  except (RefusedFilm, MemoryError):
    raise
  except Image.DecompressionBombError as error:  # Pillow comes first where a picture is several times too large.
    raise RefusedFilm(f"is too large; up to {MAX_PIXELS // 10**6} million pixels are read") from error
  except Exception as error:  # On damaged files, decoders raise errors of any kind.
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
      reason = "its header cannot be read, or it is of a kind that is not read here"
    raise ValueError(f"is damaged: {reason}") from error


def from_array(values: np.ndarray, name: str = "The film") -> Picture:
  """The picture of an array (H, W), (H, W, 1) or (H, W, 3): bool, whole numbers, or floats from 0 to 1.

  Raises:
    ValueError: it is something else.
  """
  channels = values if values.ndim == 3 else values[..., None]
  if channels.ndim != 3 or channels.shape[-1] not in (1, 3) or not values.size or values.dtype.kind not in "buif":
    raise ValueError(
      f"{name} is {values.dtype} of shape {values.shape}; expected (H, W), (H, W, 1) or (H, W, 3) of whole numbers, or "
      "of floats from 0 to 1."
    )
  if values.dtype.kind == "f":
    if not (values.min() >= 0 and values.max() <= 1):
      raise ValueError(f"{name} has values from {values.min()} to {values.max()}; expected floats from 0 to 1.")
    channels = np.round(255 * channels).astype(np.uint8)
  elif values.dtype.kind != "b" and values.dtype != np.uint8:
    channels = channels.astype(np.int64)
    if channels.min() >= 0 and channels.max() < 2**16:
      channels = channels.astype(np.uint16)
  grey, has_colours, remarks = of_channels(channels)
  return Picture(grey, remarks=remarks, has_colours=has_colours)


def to_mask(picture: Picture, film: Picture | None = None) -> np.ndarray:
  """bool (H, W), upright, of the picture of a mask.

  A mask has two levels, whichever they are, of which the lower one is background; or one colour on black. A soft mask,
  or one in JPEG, which has more levels, is cut at half of white, which is 1 where they are floats.

  Args:
    picture: of the mask.
    film: that the mask is of. A mask that names no orientation, and has the shape of the film as stored, was drawn on
      that, and is turned as the film is.

  Raises:
    ValueError: it is no mask; the message goes on after the file's name.
  """
  is_as_stored = film is not None and picture.turn == UPRIGHT and picture.values.shape == film.values.shape
  turn = film.turn if is_as_stored else picture.turn
  return np.ascontiguousarray(turn.apply(_mask_as_stored(picture)))


def _mask_as_stored(picture: Picture) -> np.ndarray:
  """bool (H, W) of the picture of a mask, not turned."""
  values = picture.values
  if values.dtype.kind == "f" and not np.isfinite(values).all():
    raise ValueError("is no mask: it has values that are not finite")
  levels = np.unique(values)
  for remark in picture.remarks:
    if "pages" in remark:
      raise ValueError(f"is no mask: it {remark}; expected one page")
  if _TRANSPARENT in picture.remarks:
    raise ValueError("is no mask: its shapes are in its transparency; expected black and white")
  is_one_colour_on_black = len(levels) == 2 and levels[0] == 0
  is_grey_but_for_compression = picture.is_lossy and "is in colours" not in picture.remarks
  if picture.has_colours and not (is_one_colour_on_black or is_grey_but_for_compression):
    raise ValueError("is no mask: it is in colours; expected black and white")
  if values.dtype.kind == "f" and len(levels) > 2 and not (levels[0] >= 0 and levels[-1] <= 1):
    raise ValueError(f"is no mask: it has floats from {levels[0]:g} to {levels[-1]:g}; expected two levels, or 0 to 1")
  white = 1 if values.dtype.kind in "bf" else 2 ** max(8, int(levels[-1]).bit_length()) - 1
  if len(levels) == 2:
    return values == levels[1]
  if len(levels) == 1 and levels[0] in (0, 1, white):
    return values > 0
  if picture.is_lossy and levels[-1] < _SOFT[0] * white:
    raise ValueError(
      f"is no mask: it is nearly black, of levels up to {levels[-1]}, as 0 and 1 become in JPEG; store masks as PNG"
    )
  low, high = _SOFT[0] * white, _SOFT[1] * white
  between = (values > low) & (values < high)
  # Where a label map has few levels, those between are areas, and not borders alone.
  has_areas = len(levels) <= 4 and ndimage.binary_erosion(between, np.ones((5, 5))).any()
  if levels[0] > low or levels[-1] < high or between.mean() > _MOST_BETWEEN or has_areas:
    shown = first_of([f"{level:g}" for level in levels], 6)
    raise ValueError(
      f"is no mask: it has {len(levels)} levels ({shown}); expected two, or black and white with soft borders"
    )
  return values > white / 2


def decode_mask(content: bytes, film: Picture | None = None) -> np.ndarray:
  """The mask in a file's content; see `decode` and `to_mask`."""
  return to_mask(decode(content), film)


def _is_transparent_in_part(image: Image.Image) -> bool:
  """Whether transparency says what the values do not. It does not where it is all alike, or where exactly what is black
  is transparent.
  """
  if image.mode == "P" and "transparency" in image.info:
    image = image.convert("RGBA")
  if "A" not in image.getbands():
    return False
  opacity, grey = np.asarray(image.getchannel("A")), np.asarray(image.convert("L"))
  return bool(np.ptp(opacity)) and not np.array_equal(opacity > 0, grey > 0)


def _turn(image: Image.Image) -> tuple[Turn, tuple[str, ...]]:
  """What brings the pixels upright, as far as a picture says, and a remark where that cannot be read; to be called
  before a TIFF is read, as Pillow turns it then.
  """
  if image.format != "TIFF":
    image.load()  # Pillow reports damage once; of a PNG, it would do so below, where errors are those of Exif data.
  try:
    return EXIF_TURNS.get(image.getexif().get(_ORIENTATION_TAG), UPRIGHT), ()
  except Exception:  # Broken Exif data raises errors of any kind, and the pixels are whole.
    return UPRIGHT, ("has Exif data that cannot be read",)


def _values(image: Image.Image, content: bytes) -> tuple[np.ndarray, bool, tuple[str, ...]]:
  """Values (H, W), brighter is higher; whether they are of colours; and remarks about these."""
  if image.format == "PNG" and content[24] == 16 and content[25] in (2, 4, 6):
    channels = _png_of_16_bits(content)
  elif image.format == "TIFF" and max(image.tag_v2.get(_BITS_TAG, (1,))) > 8 and len(image.getbands()) > 1:
    raise RefusedFilm("is a TIFF in colours of more than 8 bits; store it in grey")
  elif image.mode.startswith(("I", "F")):
    values = np.asarray(image)
    if image.format == "TIFF" and image.mode == "I" and image.tag_v2.get(_FORMAT_TAG, (_UNSIGNED,))[0] == _UNSIGNED:
      values = values.view(np.uint32)
    values = values.astype(np.uint16) if image.format == "PNG" else values
    # Pillow turns these round where they have 8 bits, and only there.
    is_inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    return (_inverted(values) if is_inverted else values), False, ()
  elif image.format == "TIFF" and image.mode == "L" and image.tag_v2.get(_FORMAT_TAG, (_UNSIGNED,))[0] == _SIGNED:
    return np.asarray(image) ^ np.uint8(128), False, ()
  elif image.mode in ("1", "L", "LA", "La"):
    return np.asarray(image if image.mode in ("1", "L") else image.getchannel(0)), False, ()
  else:
    channels = np.asarray(image.convert("RGB"))
  return of_channels(channels)


def _inverted(values: np.ndarray) -> np.ndarray:
  if values.dtype.kind == "u" and values.max() < 2**16:
    white = white_of(values)
    return white - np.minimum(values, white)
  return values.max() + values.min() - values


def _png_of_16_bits(content: bytes) -> np.ndarray:
  """uint16 (H, W, 1 or 3) of a PNG of 16 bits with several channels, of which Pillow gives the upper 8 bits.

  Pillow can be told that the bytes of a value come the other way round, and so gives the lower 8 bits, too. Grey with
  opacity has four bytes a pixel, like 8 bits with four channels.
  """

  def bytes_as(mode: str, raw_mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
      image._mode = mode
      image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
      return np.asarray(image).astype(np.uint16)

  if content[25] == 4:
    pixels = bytes_as("RGBA", "RGBA")
    return pixels[..., :1] * 256 + pixels[..., 1:2]
  mode = "RGB" if content[25] == 2 else "RGBA"
  high, low = bytes_as(mode, f"{mode};16B"), bytes_as(mode, f"{mode};16L")
  return (high * 256 + low)[..., :3]


def to_png(values: np.ndarray) -> io.BytesIO:
  """PNG file of a uint8 (H, W) array; TFDS itself would need TensorFlow to encode one."""
  file = io.BytesIO()
  Image.fromarray(values).save(file, format="PNG")
  file.seek(0)
  return file
