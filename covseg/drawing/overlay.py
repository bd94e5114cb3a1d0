"""The picture of a prediction: the film, outlines of infection and lungs, and in words what was found."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from covseg.drawing.pictures import PREDICTION_COLOR, TRUTH_COLOR, outline

_LONGEST_SIDE = 1024
_SHORTEST_WIDTH = 384  # Narrower films are enlarged, so that the words have room.
# Grey levels of the palette, and the places of the colours after them.
_NUM_GREYS = 128
_INFECTION, _LUNGS, _WHITE, _BLACK = _NUM_GREYS, _NUM_GREYS + 1, _NUM_GREYS - 1, 0


def draw(film: np.ndarray, infection: np.ndarray, lungs: np.ndarray | None, lines: Sequence[str]) -> Image.Image:
  """The picture, in a palette of greys and two colours, which keeps it small and quick to write.

  Args:
    film: uint8 (H, W).
    infection: bool (H, W).
    lungs: bool (H, W); None where they are not known.
    lines: what stands below the film.
  """
  height, width = film.shape
  scale = min(max(1, _SHORTEST_WIDTH / width), _LONGEST_SIDE / max(height, width))
  size = max(1, round(width * scale)), max(1, round(height * scale))

  def scaled(pixels: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, how))

  picture = scaled(film, Image.Resampling.BILINEAR) // (256 // _NUM_GREYS)
  outlines = [(lungs, _LUNGS), (infection, _INFECTION)]
  for mask, color in outlines:
    if mask is not None:
      picture[outline(scaled(mask.astype(np.uint8), Image.Resampling.NEAREST) > 0)] = color
  words = [("infection", _INFECTION), *([("lungs", _LUNGS)] if lungs is not None else [])]
  footer = _footer(size[0], words, lines)
  image = Image.fromarray(np.concatenate([picture, footer]))
  greys = np.repeat(np.linspace(0, 255, _NUM_GREYS).astype(np.uint8)[:, None], 3, axis=1)
  image.putpalette(np.concatenate([greys, PREDICTION_COLOR[None], TRUTH_COLOR[None]]).tobytes())
  return image


def _footer(width: int, legend: list[tuple[str, int]], lines: list[str]) -> np.ndarray:
  """The legend and lines of words, uint8 (h, width) in the picture's palette."""
  font = ImageFont.load_default(size=max(13, width // 45))
  height = round(1.4 * font.size)
  lines = [part for line in lines for part in _wrapped(line, font, width - height)]
  footer = Image.new("L", (width, height * (len(lines) + 1) + height // 2), _BLACK)
  pen = ImageDraw.Draw(footer)
  pen.fontmode = "1"  # Only the palette's own colours.
  x = height // 2
  for word, color in legend:
    pen.rectangle((x, height // 2, x + height // 2, height), fill=color)
    pen.text((x + height, height // 4), word, fill=_WHITE, font=font)
    x += 2 * height + round(font.getlength(word))
  for i, line in enumerate(lines, start=1):
    pen.text((height // 2, i * height + height // 4), line, fill=_WHITE, font=font)
  return np.asarray(footer)


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
  """A line in parts that are no wider than `width`, where its words allow."""
  if font.getlength(line) <= width:
    return [line]
  parts = [""]
  for word in line.split():
    longer = f"{parts[-1]} {word}".strip()
    if font.getlength(longer) <= width or not parts[-1]:
      parts[-1] = longer
    else:
      parts.append(word)
  return parts
